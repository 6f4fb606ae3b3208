package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"securepeer/internal/control"
	"securepeer/keys"
	"securepeer/wire"
)

// Implementation constants.
const (
	// askEvery is how often a demo asks its peers whether it is so far.
	askEvery = 25 * time.Millisecond
	// askTime is how long the answers of all peers to one question may take.
	askTime = patience
	// logTail is how much of what a peer wrote is shown when it failed.
	logTail = 2 << 10
)

// stage is one ring of a demo: a temporary folder with a folder for each
// member, and peers that run there as processes of this program.
type stage struct {
	dir     string
	program string
	roster  *keys.Roster
	cast    []*actor
	tap     *tap // nil: peers talk to each other directly
	ports   *ports

	interrupts *interrupts
	forget     func() // by interrupts

	mu      sync.Mutex
	running []*process // all that were started
	gone    bool       // nothing is started any more
}

// tap puts a relay before each peer.
type tap struct {
	needle []byte
	tally  tally
}

// actor is one member, running or not.
type actor struct {
	member  keys.Member
	dir     string
	secret  *keys.Secret
	relay   *relay  // nil without a tap
	listen  sockets // held until the peer starts
	client  *control.Client
	process *process // nil: never started
}

func (a *actor) name() string { return a.member.Name }

// process is a running peer.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{} // closed when it has ended; then err is set
	err   error
}

// newStage makes the folder. Its path is short: a peer's socket lies in it.
// What is in it is gone at the end, also if a signal ends the program first.
func newStage(i *interrupts, roster *keys.Roster, p *ports, t *tap) (*stage, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	s := &stage{program: program, roster: roster, ports: p, tap: t, interrupts: i}
	s.forget, err = i.leaves(func() (func(), error) {
		var err error
		s.dir, err = os.MkdirTemp("", "securepeer-demo-")
		return func() { s.clear() }, err // nobody is left to tell
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// close kills what still runs and removes the folder.
func (s *stage) close() error {
	defer s.interrupts.hold()() // clear waits for no reader
	defer s.forget()
	err := s.clear()
	for _, a := range s.cast {
		a.listen.release()
		if a.relay != nil {
			a.relay.close()
		}
	}
	return err
}

// clear ends the processes and removes the folder. It may be called while the
// demo goes on, and more than once.
func (s *stage) clear() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	for _, p := range s.running {
		p.cmd.Process.Kill() // an error says that it has ended already
	}
	for _, p := range s.running {
		<-p.done
	}
	return os.RemoveAll(s.dir)
}

// add makes a member: its folder with a key, its ports, and its roster line.
func (s *stage) add(id wire.ID, name string) (*actor, error) {
	a := &actor{dir: filepath.Join(s.dir, name)}
	a.client = control.New(a.dir)
	var err error
	if a.secret, err = keys.Generate(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(a.dir, 0o700); err != nil {
		return nil, err
	}
	if err := keys.WriteKeyFile(filepath.Join(a.dir, "key"), a.secret); err != nil {
		return nil, err
	}
	if a.listen, err = s.ports.reserve(); err != nil {
		return nil, err
	}
	s.cast = append(s.cast, a) // from here on close releases it
	addr := a.listen.addr()
	if s.tap != nil {
		front, err := s.ports.reserve()
		if err != nil {
			return nil, err
		}
		a.relay = newRelay(front, addr, s.tap.needle, &s.tap.tally)
		addr = a.relay.addr()
	}
	if err := s.roster.Add(keys.Member{ID: id, Name: name, Key: a.secret.Public(), Addr: addr}); err != nil {
		return nil, err
	}
	a.member, _ = s.roster.ByID(id) // with its position
	return a, nil
}

// publish gives every member the roster, as a file in its folder.
func (s *stage) publish() error {
	for _, a := range s.cast {
		if err := keys.WriteRoster(filepath.Join(a.dir, "roster"), s.roster); err != nil {
			return err
		}
	}
	return nil
}

// start runs a member's peer with a command of this program and its
// arguments. Its words on the ring go to out, the rest to its log. Once ctx has
// ended no peer is started: each takes a while.
func (s *stage) start(ctx context.Context, a *actor, out io.Writer, command ...string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	log, err := os.OpenFile(a.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(s.program, append([]string{"--dir", a.dir}, command...)...)
	cmd.Args[0] = os.Args[0]
	cmd.Dir, cmd.Stdout, cmd.Stderr = a.dir, out, log
	cmd.SysProcAttr = ownGroup()
	a.listen.release()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return errInterrupted
	}
	if err := a.run(cmd); err != nil {
		return fmt.Errorf("starting %s: %w", a.name(), err)
	}
	s.running = append(s.running, a.process)
	return nil
}

// run starts the peer's process.
func (a *actor) run(cmd *exec.Cmd) error {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{cmd: cmd, stdin: stdin, done: make(chan struct{})}
	a.process = p
	go func() { // ends with the process, which clear ends and waits for
		p.err = cmd.Wait()
		close(p.done)
	}()
	return nil
}

func (a *actor) logPath() string { return filepath.Join(a.dir, "log") }

// logged is how many lines the peer has written to its log.
func (a *actor) logged() int {
	log, err := os.ReadFile(a.logPath())
	if err != nil {
		return 0 // it has written none
	}
	return bytes.Count(log, []byte("\n"))
}

// running reports whether the member's peer runs.
func (a *actor) running() bool {
	if a.process == nil {
		return false
	}
	select {
	case <-a.process.done:
		return false
	default:
		return true
	}
}

// kill ends the peer as a power cut would, and waits for its end.
func (a *actor) kill() {
	if a.process != nil {
		a.process.cmd.Process.Kill() // an error says that it has ended already
		<-a.process.done
	}
}

// tell types a line on the peer's standard input.
func (a *actor) tell(line string) error {
	if _, err := io.WriteString(a.process.stdin, line+"\n"); err != nil {
		return fmt.Errorf("telling %s %q: %w", a.name(), line, err)
	}
	return nil
}

// ended returns the error of a peer that has ended and should not have.
func (a *actor) ended() error {
	log, err := os.ReadFile(a.logPath())
	if err != nil {
		return err
	}
	return fmt.Errorf("peer %s has ended (%v): %s", a.name(), a.process.cmd.ProcessState, lastError(log[max(0, len(log)-logTail):]))
}

// lastError is the error that a program of ours has told last, without the
// hint behind it; or all that it told.
func lastError(log []byte) string {
	last := string(bytes.TrimSpace(log))
	for line := range strings.Lines(last) {
		if text, ok := strings.CutPrefix(line, "securepeer: error: "); ok {
			last = strings.TrimSpace(text)
		}
	}
	return last
}

// actor returns the member of that name; there is one.
func (s *stage) actor(name string) *actor {
	return s.cast[slices.IndexFunc(s.cast, func(a *actor) bool { return a.name() == name })]
}

// started returns those that were started, whether they still run or not.
func (s *stage) started() []*actor {
	return slices.DeleteFunc(slices.Clone(s.cast), func(a *actor) bool { return a.process == nil })
}

// live returns those that run.
func (s *stage) live() []*actor {
	return slices.DeleteFunc(slices.Clone(s.cast), func(a *actor) bool { return !a.running() })
}

// statuses asks each actor for its status.
func statuses(ctx context.Context, actors []*actor) ([]control.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	all := make([]control.Status, len(actors))
	for i, a := range actors {
		var err error
		if all[i], err = a.client.Status(ctx); err != nil {
			if !a.running() {
				err = a.ended()
			}
			return nil, err
		}
	}
	return all, nil
}

// until asks actors for their status until what they say is so, and returns
// it. It is an error if an actor ends meanwhile, or if it is not so in time:
// what says what was waited for.
func until(ctx context.Context, actors []*actor, limit time.Duration, what string, so func([]control.Status) bool) ([]control.Status, error) {
	late := fmt.Errorf("waiting until %s: not so after %v", what, limit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	var last []control.Status
	for {
		all, err := statuses(ctx, actors)
		if err == nil {
			last = all
		}
		switch {
		case err == nil && so(all):
			return all, nil
		case context.Cause(ctx) == late:
			return last, fmt.Errorf("%w: %s", late, differences(last))
		case ctx.Err() != nil:
			return last, context.Cause(ctx)
		case err != nil && !passes(err):
			return nil, err
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// passes reports whether a peer that could not be asked for its status may
// answer later: it is just starting, or the machine is busy.
func passes(err error) bool {
	var remote *control.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &remote) && remote.Code == control.CodeNotRunning
}

// differences says how each peer sees the ring.
func differences(all []control.Status) string {
	if all == nil {
		return "they have not all said how they see it"
	}
	var views []string
	for _, s := range all {
		view := fmt.Sprintf("%s is %s and sees %s (%.8s)", s.Name, s.State, strings.Join(s.Circle, " "), s.View)
		if s.Behind {
			view += ", is behind"
		}
		views = append(views, view)
	}
	return strings.Join(views, "; ")
}

// agree reports whether n peers are in one ring that all of them see in the
// same way.
func agree(all []control.Status, n int) bool {
	for _, s := range all {
		if !s.Ready || s.Behind || len(s.Circle) != n || s.View != all[0].View {
			return false
		}
	}
	return true
}

// lines is a writer that calls f with each whole line.
type lines struct {
	f   func(line string)
	buf []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.buf = append(l.buf, p...)
	for {
		i := bytes.IndexByte(l.buf, '\n')
		if i < 0 {
			return len(p), nil
		}
		l.f(string(l.buf[:i]))
		l.buf = l.buf[i+1:]
	}
}
