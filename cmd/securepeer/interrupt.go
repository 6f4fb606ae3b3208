package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// endWait is how long a command that was interrupted may take to end by
// itself. One that waits for a pipe that nobody reads, or in an open that
// nobody answers, cannot be woken: the program ends without it.
const endWait = time.Second

// lastWords is how long the program then tries to say so: standard error may
// be what it waits for.
const lastWords = 200 * time.Millisecond

// removeWait is how long the program then stays for what it must not leave
// behind: milliseconds, but for a disk that does not answer.
const removeWait = 5 * time.Second

// interrupted is the cause of a context that a signal ended.
type interrupted syscall.Signal

// errInterrupted is that of Ctrl-C.
const errInterrupted = interrupted(syscall.SIGINT)

func (i interrupted) Error() string { return "interrupted" }

// Is has all signals be one kind of end.
func (i interrupted) Is(target error) bool {
	_, ok := target.(interrupted)
	return ok
}

// interrupts is how signals end the program. The zero value is ready.
type interrupts struct {
	held    atomic.Int32 // what ends by itself, or cleans up, and must not be cut short
	hangups atomic.Bool  // SIGHUP has another meaning

	standing atomic.Pointer[string] // what stand noted; nil: nothing
	rest     atomic.Int32           // how many more things the command was to do after this one

	mu        sync.Mutex
	leftovers map[*leftover]struct{}
}

// stand notes how things stand if a signal ends the command from now on: what
// is done, what is not, and what to type. The error of its end says so; an
// empty text, that there is nothing to say.
func (i *interrupts) stand(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	i.standing.Store(&text)
}

// explain returns err, which says that the command was interrupted, with how
// things stand as its hint.
func (i *interrupts) explain(err error) error {
	hint := ""
	if text := i.standing.Load(); text != nil {
		hint = *text
	}
	if n := i.rest.Load(); n > 0 && hint != "" {
		hint += fmt.Sprintf("; not begun: %d more", n)
	}
	if hint == "" {
		return err
	}
	return &fault{exitOf(err), hint, err}
}

// leftover is what must not stay behind.
type leftover struct{ remove func() }

// leaves calls make, which may make something that remove takes away again.
// If the program is ended before forget is called, it calls remove. Nothing is
// made between the end and the last remove.
func (i *interrupts) leaves(make func() (remove func(), err error)) (forget func(), err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	remove, err := make()
	if err != nil {
		return nil, err
	}
	l := &leftover{remove}
	if i.leftovers == nil {
		i.leftovers = map[*leftover]struct{}{}
	}
	i.leftovers[l] = struct{}{}
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.leftovers, l)
	}, nil
}

// hold keeps a first signal from ending the program at all costs until
// release: a peer that says goodbye, a demo that cleans up. It waits for no reader.
func (i *interrupts) hold() (release func()) {
	i.held.Add(1)
	return func() { i.held.Add(-1) }
}

// die ends the program at once, but for what it must not leave behind.
func (c *console) die(cause interrupted) {
	removed, said := make(chan struct{}), make(chan struct{})
	go func() { // ends with the program
		c.interrupts.mu.Lock() // for good
		for l := range c.interrupts.leftovers {
			l.remove()
		}
		close(removed)
	}()
	select {
	case <-removed:
	case <-time.After(removeWait):
	}
	go func() { // likewise
		defer close(said)
		if c.terminal {
			io.WriteString(c.err, "\r\x1b[K") // what progress has drawn
		}
		c.fail(c.interrupts.explain(cause))
	}()
	select {
	case <-said:
	case <-time.After(lastWords):
	}
	os.Exit(int(exitOf(cause)))
}

// interruptible returns a context that the first SIGINT, SIGTERM or SIGHUP
// ends, with an interrupted as its cause. If the command has not ended a
// moment later, or another signal comes, the program ends without it.
func (c *console) interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2) // both, even if they come together
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) { // as nohup has it, and a shell for what runs in the background
			signal.Notify(signals, s)
		}
	}
	done := make(chan struct{})
	go c.watch(signals, cancel, done) // ends with stop, or with the program
	return ctx, func() {
		signal.Stop(signals)
		close(done)
	}
}

func (c *console) watch(signals <-chan os.Signal, cancel context.CancelCauseFunc, done <-chan struct{}) {
	var first interrupted
	var late <-chan time.Time // nil until the first signal
	for {
		select {
		case s := <-signals:
			cause := interrupted(s.(syscall.Signal))
			if s == syscall.SIGHUP && c.interrupts.hangups.Load() {
				continue
			}
			if late != nil {
				c.die(cause)
			}
			first, late = cause, time.After(endWait)
			cancel(cause)
		case <-late:
			if c.interrupts.held.Load() == 0 {
				c.die(first)
			}
			late = time.After(endWait) // until what holds it has ended
		case <-done:
			return
		}
	}
}

// interruption returns the signal that ended ctx, if one did and if err is
// what came of it.
func interruption(ctx context.Context, err error) error {
	var cause interrupted
	if wasInterrupted(err) && errors.As(context.Cause(ctx), &cause) {
		return cause
	}
	return err
}

// wasInterrupted reports whether err says that somebody ended the command.
func wasInterrupted(err error) bool { return exitOf(err) > 128 }
