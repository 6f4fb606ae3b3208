//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"securepeer/internal/control"
)

// peer is one member, running or not.
type peer struct {
	world  *world
	id     int
	name   string
	dir    string
	client *control.Client
	cmd    *exec.Cmd     // nil: never started
	ended  chan struct{} // closed when the process has been waited for
	open   int           // descriptors when the ring was first whole
	addrs  []netip.Addr  // of its machine; nil: the first one
}

// lastWords are the last lines of the peer's log that are not of pings.
func (p *peer) lastWords() []string {
	log, _ := os.ReadFile(p.logPath()) // a peer that never ran has none
	lines := slices.DeleteFunc(strings.Split(string(log), "\n"), func(l string) bool {
		return l == "" || strings.Contains(l, "msg=ping")
	})
	return lines[max(0, len(lines)-logTail):]
}

func (p *peer) logPath() string { return filepath.Join(p.dir, "log") }

// start runs the peer's process.
func (p *peer) start() {
	p.world.Helper()
	if err := p.launch(); err != nil {
		p.world.Fatal(err)
	}
}

// launch is start for goroutines that are not the test's. Each process begins
// a new log.
func (p *peer) launch() error {
	log, err := os.Create(p.logPath())
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(p.world.program, "--dir", p.dir, "start")
	if !p.world.terse {
		cmd.Args = append(cmd.Args, "--debug")
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	if err := p.world.lab.Start(p.id, cmd); err != nil {
		return err
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() { // ends with the process, which the world's end kills
		cmd.Wait() // how it ended is in its ProcessState
		close(ended)
	}()
	return nil
}

// listen collects the peer's events until it ends. It returns when nothing
// that happens from then on is missed.
func (p *peer) listen() {
	w := p.world
	var events func(func(control.Event, error) bool)
	w.await(5*time.Second, p.name+" has a socket", func() bool {
		e, err := p.client.Watch(context.Background(), false)
		events = e
		return err == nil
	})
	go func() { // ends with the process
		for e, err := range events {
			if err != nil {
				return
			}
			w.mu.Lock()
			w.events = append(w.events, event{p.name, e.Peer, e.Kind, e.Time})
			w.mu.Unlock()
		}
	}()
}

// running reports whether the process runs.
func (p *peer) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the peer as a power cut would, and waits for its end.
func (p *peer) kill() {
	p.cmd.Process.Kill() // an error says that it has ended already
	<-p.ended
}

func (p *peer) signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil {
		p.world.Fatalf("sending %v to %s: %v", s, p.name, err)
	}
}

// status asks one peer; it reports false if that does not answer.
func (p *peer) status() (control.Status, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := p.client.Status(ctx)
	return s, err == nil
}

// member returns what p knows of on.
func (p *peer) member(on *peer) control.Member {
	s, _ := p.status()
	i := slices.IndexFunc(s.Members, func(m control.Member) bool { return m.Name == on.name })
	if i < 0 {
		return control.Member{}
	}
	return s.Members[i]
}

// names returns those of peers.
func names(peers []*peer) []string {
	var all []string
	for _, p := range peers {
		all = append(all, p.name)
	}
	return all
}

// memory is the most that the process has ever had in memory, in bytes.
func (p *peer) memory() int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.world.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest + " -")[0])
	if err != nil {
		p.world.Fatalf("the memory of %s: %v", p.name, err)
	}
	return kib << 10
}

// descriptors is how many the process has open, but for the connections of
// this test to its local API.
func (p *peer) descriptors() (n int) {
	proc := fmt.Sprintf("/proc/%d", p.cmd.Process.Pid)
	local, err := os.ReadFile(proc + "/net/unix")
	if err != nil {
		p.world.Fatal(err)
	}
	open, err := os.ReadDir(proc + "/fd")
	if err != nil {
		p.world.Fatal(err)
	}
	for _, fd := range open {
		target, err := os.Readlink(proc + "/fd/" + fd.Name())
		if err != nil {
			continue // closed meanwhile
		}
		inode, socket := strings.CutPrefix(target, "socket:[")
		if !socket || !bytes.Contains(local, []byte(" "+strings.TrimSuffix(inode, "]")+" ")) {
			n++
		}
	}
	return n
}
