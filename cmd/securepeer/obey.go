package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

	"securepeer/internal/control"
	"securepeer/node"
)

// maxCommand is more than any command on standard input has.
const maxCommand = 4096

// commandForm is the classic ring's commands: the file is four digits, or
// Quit.
var commandForm = regexp.MustCompile(`^(?:(Store|Request) +([0-9]{4})|(Quit))$`)

// obey does what the lines of in say, one after the other, from when the peer
// is in the ring. Its end is no
// reason to stop.
func (p *peer) obey(ctx context.Context, in io.Reader) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxCommand)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		if err := p.command(ctx, line); err != nil && ctx.Err() == nil {
			p.fail(err)
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		p.fail(usagef("a command has at most %d bytes; no more are read", maxCommand))
	}
}

func (p *peer) command(ctx context.Context, line string) error {
	words := commandForm.FindStringSubmatch(line)
	switch {
	case words == nil:
		return &fault{exitUsage, "the commands here are: Store NNNN, Request NNNN, Quit; NNNN is four digits", fmt.Errorf("there is no command %q", shorten(line))}
	case !p.ready(ctx):
		return nil // it ends: nobody waits for an answer
	case words[1] == "Store":
		return p.store(ctx, words[2])
	case words[1] == "Request":
		return p.request(ctx, words[2])
	}
	return p.remote(p.node.Leave(ctx))
}

// ready waits until the peer is in the ring. Not ok: it ended before.
func (p *peer) ready(ctx context.Context) (ok bool) {
	select {
	case <-p.node.Ready():
		return true
	case <-p.node.Done():
	case <-ctx.Done():
	}
	return false
}

func shorten(line string) string {
	if len(line) > 80 {
		return line[:80] + "..."
	}
	return line
}

// remote gives an error of the node the hint that another command would give.
func (p *peer) remote(err error) error { return control.Explain(err) }

// store puts ./NNNN.pdf under NNNN.
func (p *peer) store(ctx context.Context, number string) error {
	return p.read(number+".pdf", putOptions{}, func(src *source) error {
		result, err := p.node.Put(ctx, number, src, node.PutOptions{Size: src.info.Size, Mode: src.info.Mode, Mtime: src.info.Mtime})
		if err != nil {
			return p.remote(err)
		}
		p.remark(result, "stored")
		if len(result.Copies) < result.Wanted {
			p.notef("%s is stored, but on %d of %d peers", number, len(result.Copies), result.Wanted)
		}
		return nil
	})
}

// request fetches NNNN as ./received_NNNN.pdf, a name that is ours to
// overwrite.
func (p *peer) request(ctx context.Context, number string) (err error) {
	saved := p.saving.begin(number)
	defer func() { saved(err == nil) }()
	file, err := p.node.Get(ctx, number, node.GetOptions{})
	if err != nil {
		return p.remote(err)
	}
	defer file.Close()
	err = p.save("received_"+number+".pdf", file.Info, true, func(w io.Writer) error {
		_, err := file.WriteTo(w)
		return p.remote(err)
	})
	if err == nil && file.From() == p.self.Name {
		// Nobody sent it, so the ring has nothing to say.
		text, _, _ := sentence(control.Event{Event: node.Event{Kind: "file-received", Name: number}})
		p.say(text)
	}
	return err
}

// saving knows which files this process is putting under their names, so that
// none is said to be received before it can be seen.
type saving struct {
	mu    sync.Mutex
	files map[string]chan bool
}

// begin says that name is on its way; the function it returns, whether it is
// there.
func (s *saving) begin(name string) (end func(ok bool)) {
	done := make(chan bool, 1) // for one reader, who may not come
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = make(map[string]chan bool)
	}
	s.files[name] = done
	return func(ok bool) { done <- ok }
}

// wait returns when name is there, at once if it is not on its way. Not ok: it
// could not be saved, or the node has ended before.
func (s *saving) wait(ended <-chan struct{}, name string) (ok bool) {
	s.mu.Lock()
	done := s.files[name]
	delete(s.files, name)
	s.mu.Unlock()
	if done == nil {
		return true
	}
	select {
	case ok = <-done:
	case <-ended:
	}
	return ok
}
