package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"securepeer/internal/control"
	"securepeer/keys"
)

// folders makes the folders of a ring, with key and roster, below one that is
// returned.
func folders(t *testing.T, names ...string) string {
	t.Helper()
	top, err := os.MkdirTemp("", "sp") // short: sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	roster, err := keys.NewRoster("attic")
	if err != nil {
		t.Fatal(err)
	}
	roster.Interval = 100 * time.Millisecond
	for _, name := range names {
		secret, err := keys.Generate()
		if err != nil {
			t.Fatal(err)
		}
		m := keys.Member{Name: name, Key: secret.Public(), Addr: "127.0.0.1:" + freePort(t.Fatalf)}
		m.ID, _ = roster.NextID()
		dir := filepath.Join(top, name)
		if err := errors.Join(os.Mkdir(dir, 0o700), keys.WriteKeyFile(filepath.Join(dir, "key"), secret), roster.Add(m)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		if err := keys.WriteRoster(filepath.Join(top, name, "roster"), roster); err != nil {
			t.Fatal(err)
		}
	}
	return top
}

// underway is a process of this program that a test has started.
type underway struct {
	*exec.Cmd
	name  string
	in    io.WriteCloser
	ended chan struct{}
}

// begin starts cmd, which is killed at the end of the test if it still runs.
func begin(t *testing.T, cmd *exec.Cmd) *underway {
	t.Helper()
	u := &underway{Cmd: cmd, name: strings.Join(cmd.Args, " "), ended: make(chan struct{})}
	var err error
	if cmd.Stdin == nil {
		if u.in, err = cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		cmd.Wait() // the exit code is looked at by ends
		close(u.ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill() // it may have ended
		<-u.ended
	})
	return u
}

// ends waits for the end of the process, with that exit code.
func (u *underway) ends(t *testing.T, code exitCode) {
	t.Helper()
	select {
	case <-u.ended:
	case <-time.After(scriptWait):
		t.Fatalf("%s still runs", u.name)
	}
	if got := u.ProcessState.ExitCode(); got != int(code) {
		t.Errorf("%s ended with %v, want exit code %d", u.name, u.ProcessState, code)
	}
}

// eventually looks again and again until ok, or fails the test.
func eventually(t *testing.T, what string, ok func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scriptWait)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !ok(ctx) {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("waited %v in vain for %s", scriptWait, what)
		}
	}
}

func ringIsWhole(t *testing.T, n int, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		client := control.New(dir)
		eventually(t, "the ring at "+dir, func(ctx context.Context) bool {
			s, err := client.Status(ctx)
			return err == nil && s.Ready && !s.Behind && len(s.Circle) == n
		})
	}
}

// pipe returns both ends of a pipe. The reading end is closed at the end of
// the test.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, w
}

// stuffed returns the writing end of a pipe that is full, and that nobody
// reads.
func stuffed(t *testing.T) *os.File {
	t.Helper()
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(ends[1], true); err != nil {
		t.Fatal(err)
	}
	for err, size := error(nil), 4096; size > 0; {
		if _, err = syscall.Write(ends[1], bytes.Repeat([]byte("."), size)); err != nil {
			size /= 2
		}
	}
	if err := syscall.SetNonblock(ends[1], false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(ends[0]) })
	return os.NewFile(uintptr(ends[1]), "full pipe")
}

// TestPeerOutlivesItsReaders: a peer is there for its ring. When the reader of
// its words goes, or stalls, or their disk is full, it lives on, and its end
// is a signal's, with a goodbye.
func TestPeerOutlivesItsReaders(t *testing.T) {
	top := folders(t, "a", "b")
	a, b := filepath.Join(top, "a"), filepath.Join(top, "b")
	begin(t, program("start", "--dir", b))
	for _, c := range []struct {
		what   string
		stream func() (out *os.File, begun func())
	}{
		{"gone", func() (*os.File, func()) {
			r, w := pipe(t)
			return w, func() {
				r.Read(make([]byte, 1)) // as head does; without a byte the process has ended, which is found out below
				r.Close()
			}
		}},
		{"stalled", func() (*os.File, func()) { return stuffed(t), func() {} }},
		{"full", func() (*os.File, func()) {
			f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			return f, func() {}
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			cmd := program("start", "--dir", a, "--show-ping-requests")
			cmd.Dir = top
			out, outBegun := c.stream()
			errs, errsBegun := c.stream()
			cmd.Stdout, cmd.Stderr = out, errs
			p := begin(t, cmd)
			out.Close() // the process has its own
			errs.Close()
			outBegun()
			errsBegun()
			ringIsWhole(t, 2, a, b)
			io.WriteString(p.in, strings.Repeat("nonsense\n", 2*outletQueue))
			pings(t, control.New(a), 10)
			if out, err := program("put", filepath.Join(b, "roster"), "--name", "f", "--dir", a).CombinedOutput(); err != nil {
				t.Errorf("put: %v: %s", err, out)
			}
			p.Process.Signal(syscall.SIGTERM)
			p.ends(t, exitOK)
			client := control.New(b)
			eventually(t, "a's goodbye", func(ctx context.Context) bool {
				peers, err := client.Peers(ctx)
				return err == nil && slices.ContainsFunc(peers.Members, func(m control.Member) bool { return m.Name == "a" && m.State == "stopped" })
			})
		})
	}
}

// pings waits for n events of pings at a peer: each is a line that it prints.
func pings(t *testing.T, client *control.Client, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scriptWait)
	defer cancel()
	events, err := client.Watch(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(e.Kind, "ping") {
			n--
		}
		if n == 0 {
			return
		}
	}
	t.Error("the peer has ended")
}

// TestOutletSaysWhatItLost: a reader that returns finds the newest words, and how
// many are missing.
func TestOutletSaysWhatItLost(t *testing.T) {
	r, w := io.Pipe()
	o := newOutlet(w)
	for range outletQueue + 10 {
		o.Write([]byte("x\n"))
	}
	var got bytes.Buffer
	read := make(chan struct{})
	go func() { // ends with w
		io.Copy(&got, r)
		close(read)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), scriptWait)
	defer cancel()
	o.end(ctx)
	w.Close()
	<-read
	kept := strings.Count(got.String(), "x\n")
	if kept < outletQueue || kept > outletQueue+1 || !strings.Contains(got.String(), "lines could not be written here") {
		t.Errorf("%d of %d lines came, and %q", kept, outletQueue+10, got.String()[max(0, got.Len()-200):])
	}
}

// TestResultsThatCannotBeWritten: no command says 0 when its words are lost.
func TestResultsThatCannotBeWritten(t *testing.T) {
	top := folders(t, "a")
	a := filepath.Join(top, "a")
	for _, args := range [][]string{
		{"version"}, {"--help"}, {"help", "put"}, {"completion", "bash"}, {"pubkey", "--dir", a}, {"roster", "show", "--dir", a},
		{"roster", "check", "--dir", a, "--json"},
	} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		cmd := program(args...)
		cmd.Stdout, cmd.Stderr = full, &errs
		cmd.Run() // the exit code is looked at
		full.Close()
		if code := cmd.ProcessState.ExitCode(); code != int(exitNoSpace) || !strings.Contains(errs.String(), "no space left on device") {
			t.Errorf("%q on a full disk ended with %d: %s", args, code, errs.String())
		}
	}
}
