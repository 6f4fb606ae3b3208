package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"securepeer/crypto"
	"securepeer/internal/control"
	"securepeer/keys"
	"securepeer/wire"
)

func TestTableSaysWhatFailed(t *testing.T) {
	var all checks
	all.add("peers", "7 of 7", "7 of 7")
	all.add("files of the ring", "8", "7")
	all.judge("lines", "at most 20", "3", true)
	var b strings.Builder
	all.write(&b)
	want := `CHECK              EXPECTED    SEEN    OK
peers              7 of 7      7 of 7  ok
files of the ring  8           7       FAILED
lines              at most 20  3       ok
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if got := all.failed(); !slices.Equal(got, []string{"files of the ring"}) {
		t.Errorf("failed() = %q", got)
	}
}

// TestJudge: the exit code is that of what happened, and the table is there
// whenever something was checked.
func TestJudge(t *testing.T) {
	good, failed := checks{{what: "a", ok: true}}, checks{{what: "a", ok: true}, {what: "b"}}
	for _, test := range []struct {
		all  checks
		err  error
		code exitCode
		text string
	}{
		{good, nil, exitOK, ""},
		{failed, nil, exitOther, "1 of 2 checks failed: b"},
		{good, errors.New("it broke"), exitOther, "the demo could not go on: it broke"},
		{failed, fmt.Errorf("waiting: %w", errInterrupted), exitInterrupted, "interrupted"},
	} {
		var out bytes.Buffer
		c := &console{out: bufio.NewWriter(&out)}
		err := c.judge(test.all, test.err)
		c.flush()
		if exitOf(err) != test.code || (err != nil && err.Error() != test.text) {
			t.Errorf("judge(%v, %v) = %v with exit code %d, want %q and %d", test.all, test.err, err, exitOf(err), test.text, test.code)
		}
		if table := strings.Contains(out.String(), "CHECK"); table != (test.code != exitInterrupted) {
			t.Errorf("judge(%v, %v) printed %q", test.all, test.err, out.String())
		}
	}
}

// TestContentIsAlwaysTheSame: whoever reads it in whatever pieces, and with
// the canary in it.
func TestContentIsAlwaysTheSame(t *testing.T) {
	s := &story{seed: 7, canary: "CANARY-0123456789abcdef"}
	for _, p := range props(s.canary)[:7] {
		once, err := io.ReadAll(s.content(p))
		if err != nil || int64(len(once)) != p.size {
			t.Fatalf("%s has %d bytes and %v, want %d", p.file, len(once), err, p.size)
		}
		var pieces bytes.Buffer
		if _, err := io.CopyBuffer(struct{ io.Writer }{&pieces}, s.content(p), make([]byte, 1009)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once, pieces.Bytes()) {
			t.Errorf("%s is another in pieces", p.file)
		}
		if n := bytes.Count(once, []byte(s.canary)); (n > 0) != p.canary {
			t.Errorf("%s has %d canaries", p.file, n)
		}
	}
}

func TestComparisonTakesTheSameBytesOnly(t *testing.T) {
	for _, test := range []struct {
		want, got string
		ok        bool
	}{
		{"", "", true}, {"abc", "abc", true}, {"abc", "abd", false}, {"abc", "abcd", false},
	} {
		c := &comparison{want: strings.NewReader(test.want)}
		var err error
		for i := 0; i < len(test.got) && err == nil; i += 2 {
			_, err = c.Write([]byte(test.got[i:min(i+2, len(test.got))]))
		}
		if (err == nil) != test.ok {
			t.Errorf("comparing %q with %q: %v", test.got, test.want, err)
		}
	}
}

// ringOf makes a roster of members with keys of their own.
func ringOf(t *testing.T, names ...string) (*keys.Roster, []*actor) {
	t.Helper()
	roster, err := keys.NewRoster("test")
	if err != nil {
		t.Fatal(err)
	}
	var actors []*actor
	for i, name := range names {
		secret, err := keys.Generate()
		if err != nil {
			t.Fatal(err)
		}
		m := keys.Member{ID: wire.ID(i + 1), Name: name, Key: secret.Public(), Addr: fmt.Sprintf("127.0.0.1:%d", i+1)}
		if err := roster.Add(m); err != nil {
			t.Fatal(err)
		}
		actors = append(actors, &actor{member: m, secret: secret})
	}
	return roster, actors
}

// doors is a peer's listener, and what it refused.
func doors(t *testing.T, roster *keys.Roster, self *actor) (addr string, links <-chan *crypto.Conn, refused <-chan error) {
	t.Helper()
	f := forger{self: self, roster: roster}
	config := f.config()
	reasons, accepted := make(chan error, 16), make(chan *crypto.Conn, 16) // more than any test makes
	config.Refused = func(_ net.Addr, reason error) { reasons <- reason }
	s := reserve(t)
	listener := crypto.Listen(s.tcp, config)
	t.Cleanup(func() { listener.Close() })
	go func() { // ends when the test closes the listener
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	return s.addr(), accepted, reasons
}

// TestStrangersAreWhatTheySay: the frames that the story's strangers send are
// good ones, but for what is to be refused about them.
func TestStrangersAreWhatTheySay(t *testing.T) {
	roster, actors := ringOf(t, "alice", "bob")
	addr, _, refused := doors(t, roster, actors[0])
	_, frame, err := crypto.NewInitiator(actors[1].secret, actors[0].secret.Public(), roster.Ring, crypto.Info{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := knock(context.Background(), addr, frame); back != crypto.Frame2Size || err != nil {
		t.Fatalf("a member's first frame got %d bytes and %v, want the second frame", back, err)
	}
	<-refused // it said no more
	all, err := strangers(roster.Ring, actors[0].secret.Public(), frame)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"random bytes": "frame", "a TLS hello": "frame", "an HTTP request": "EOF",
		"a handshake with a key outside the roster": "key is not in the roster",
		"a recorded handshake":                      "first frame was seen before",
	}
	for _, s := range all {
		back, err := knock(context.Background(), addr, s.bytes)
		if back != 0 || err != nil {
			t.Errorf("%s: got %d bytes and %v, want none", s.what, back, err)
		}
		reason := <-refused
		if want[s.what] == "" || !strings.Contains(reason.Error(), want[s.what]) {
			t.Errorf("%s was refused because %q, want %q", s.what, reason, want[s.what])
		}
		delete(want, s.what)
	}
	if len(want) > 0 {
		t.Errorf("no stranger sent %v", want)
	}
}

// TestForgerIsAMemberAndALiar: its link is let in, its messages parse, and
// their signatures are those of a member, but not of the one they name.
func TestForgerIsAMemberAndALiar(t *testing.T) {
	roster, actors := ringOf(t, "alice", "bob", "mallory")
	addr, links, _ := doors(t, roster, actors[0])
	f := forger{self: actors[2], roster: roster}
	target := actors[0].member
	target.Addr = addr
	row, vote, manifest := f.row(2, wire.Joining), f.vote(2, 1, 5), f.manifest(2, "file", 3)
	messages := []wire.Message{wire.Rows{Rows: []wire.Row{row}, Votes: []wire.Vote{vote}}, wire.Offer{Req: 1, Source: 3, Manifest: manifest}}
	said := make(chan error, 1) // one result
	go func() { said <- f.say(context.Background(), target, messages...) }()
	link := <-links
	defer link.Close()
	if link.Peer() != f.self.secret.Public() {
		t.Error("the link is not the forger's own")
	}
	for _, want := range messages {
		typ, body, err := link.ReadRecord()
		if err != nil || wire.Type(typ) != want.Type() || !bytes.Equal(body, want.Append(nil)) {
			t.Fatalf("got type %d and %v, want %v", typ, err, want.Type())
		}
		if _, err := wire.Parse(wire.Type(typ), body); err != nil {
			t.Errorf("%v does not parse: %v", want.Type(), err)
		}
	}
	if _, _, err := link.ReadRecord(); err != io.EOF {
		t.Errorf("after the messages came %v, want the end", err)
	}
	link.Close()
	if err := <-said; err != nil {
		t.Errorf("saying it: %v", err)
	}
	for _, signed := range []struct {
		bytes []byte
		sig   wire.Sig
	}{
		{row.SignedBytes("test", nil), row.Sig}, {vote.SignedBytes("test", nil), vote.Sig}, {manifest.SignedBytes("test", nil), manifest.Sig},
	} {
		if actors[1].secret.Public().Verify(signed.bytes, signed.sig) || !actors[2].secret.Public().Verify(signed.bytes, signed.sig) {
			t.Errorf("%.30q is signed by the one it names, or by nobody", signed.bytes)
		}
	}
}

// program is a run of this program as a process of its own.
func program(args ...string) *exec.Cmd { return exec.Command("securepeer", args...) }

// demo runs the demo as a process, in a temporary folder of its own that has
// to be empty afterwards.
func demo(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := program(append([]string{"demo"}, args...)...)
	temp, err := os.MkdirTemp("", "sp") // short: sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	t.Cleanup(func() {
		left, err := os.ReadDir(temp)
		if err != nil || len(left) > 0 {
			t.Errorf("the demo left %v behind (%v)", left, err)
		}
		if left := processes(t, temp); len(left) > 0 {
			t.Errorf("the demo left processes behind: %q", left)
		}
		os.RemoveAll(temp)
	})
	return cmd
}

// processes returns the command lines that name a folder. Only Linux says.
func processes(t *testing.T, dir string) (found []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || (len(lines) == 0) == (runtime.GOOS == "linux") {
		t.Fatalf("%d processes (%v)", len(lines), err)
	}
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if err == nil && bytes.Contains(line, []byte(dir)) { // else it has ended
			found = append(found, string(line))
		}
	}
	return found
}

// launch starts the demo and returns what it prints.
func launch(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() }) // it has ended, unless the test failed
	return bufio.NewReader(stdout)
}

// awaitLine reads lines until one contains text, and returns it.
func awaitLine(t *testing.T, r *bufio.Reader, text string) string {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if strings.Contains(line, text) {
			return line
		}
		if err != nil {
			t.Fatalf("waiting for %q: %v", text, err)
		}
	}
}

// withDemos has the tests of the demos run both whole, which costs more CPU than
// most packages, as .ci/run does.
var withDemos = flag.Bool("demos", false, "run both demos whole, and end them at each point")

// TestDemo runs all of the story with real processes. With --keep one can talk
// to the ring then, until Ctrl-C.
func TestDemo(t *testing.T) {
	if !*withDemos {
		return
	}
	t.Parallel()
	cmd := demo(t, "--seed", "11", "--keep")
	var all bytes.Buffer
	stdout := launch(t, cmd)
	out := bufio.NewReader(io.TeeReader(stdout, &all))
	awaitLine(t, out, "The ring stays up")
	for _, want := range []string{"content from seed 11.", "\nCHECK ", "\nAll 14 checks held"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no %q in\n%s", want, &all)
		}
	}
	if strings.Contains(all.String(), "FAILED") {
		t.Errorf("a check failed, and all are said to have held:\n%s", &all)
	}
	words := strings.Fields(awaitLine(t, out, " status"))
	list := program(append(words[1:len(words)-1], "ls")...)
	if text, err := list.CombinedOutput(); err != nil || !bytes.Contains(text, []byte("16MiB")) {
		t.Errorf("%q: %v\n%s", list.Args, err, text)
	}
	awaitLine(t, out, "Ctrl-C")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
}

// TestDemoWaitsForABusyMachine: seven peers that had not all answered within 5 s
// ended the demo, though it had all of 20 s for what it waited for.
func TestDemoWaitsForABusyMachine(t *testing.T) {
	dir := t.TempDir()
	listener, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	busy := &actor{client: control.New(dir), process: &process{done: make(chan struct{})}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := statuses(ctx, []*actor{busy}); !passes(err) {
		t.Errorf("a peer that takes its time: %v, and it is not asked again", err)
	}
	if passes(&control.Error{Code: control.CodeInterrupted}) {
		t.Error("a peer that has ended is asked again")
	}
}

// TestDemoCleansUp: whatever ends it in the middle, nothing is left.
func TestDemoCleansUp(t *testing.T) {
	for i, test := range []struct {
		end  syscall.Signal
		at   string
		args []string
	}{
		{syscall.SIGINT, "Seven peers start", nil},
		{syscall.SIGINT, "A ring of real peers", nil},
		{syscall.SIGTERM, "Files are stored", nil},
		{syscall.SIGHUP, "Two peers are killed", nil},
		{syscall.SIGINT, "Launching nodes:", []string{"--classic"}},
	} {
		if i > 0 && !*withDemos {
			break
		}
		t.Run(fmt.Sprintf("%v at %s", test.end, test.at), func(t *testing.T) {
			t.Parallel()
			cmd := demo(t, append(test.args, "--interval", "400ms")...)
			out := launch(t, cmd)
			awaitLine(t, out, test.at)
			if err := cmd.Process.Signal(test.end); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, out); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 128+int(test.end) {
				t.Errorf("ended with %v, want exit code %d", err, 128+test.end)
			}
		})
	}
}

// TestInterruptedDemoStartsNoPeer: on a busy machine a start takes so long that
// those which are still to come would keep Ctrl-C waiting.
func TestInterruptedDemoStartsNoPeer(t *testing.T) {
	roster, err := keys.NewRoster("classic")
	if err != nil {
		t.Fatal(err)
	}
	roster.Space, roster.Observers, roster.Route = wire.Space8, 2, keys.Walk
	r := &classicRing{interval: roster.Interval}
	if r.stage, err = newStage(new(interrupts), roster, testPorts, nil); err != nil {
		t.Fatal(err)
	}
	defer r.stage.close()
	ctx, interrupt := context.WithCancelCause(t.Context())
	interrupt(errInterrupted)
	if _, err := r.launch(ctx); !errors.Is(err, errInterrupted) {
		t.Errorf("launching ends with %v, want %v", err, errInterrupted)
	}
	for _, a := range r.stage.cast {
		if a.process != nil {
			t.Errorf("peer %s was started", a.name())
		}
	}
}

// TestDemoEndsWithItsReader: a pipe that nobody reads any more ends it as
// Ctrl-C does.
func TestDemoEndsWithItsReader(t *testing.T) {
	t.Parallel()
	cmd := demo(t, "--interval", "400ms")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	launched := cmd.Start()
	w.Close()
	if launched != nil {
		t.Fatal(launched)
	}
	awaitLine(t, bufio.NewReader(r), "Seven peers start")
	r.Close()
	if err := cmd.Wait(); err == nil {
		t.Error("nobody read it to the end, and the exit code is 0")
	}
}

// TestDemoInterruptedBehindAReaderThatStalls: the first signal ends it, its
// peers and its folder.
func TestDemoInterruptedBehindAReaderThatStalls(t *testing.T) {
	for signal, args := range map[syscall.Signal][]string{syscall.SIGINT: nil, syscall.SIGTERM: {"--classic"}, syscall.SIGHUP: {"--keep"}} {
		t.Run(fmt.Sprintf("%v %s", signal, args), func(t *testing.T) {
			t.Parallel()
			cmd := demo(t, append(args, "--interval", "400ms")...)
			cmd.Stdout = stuffed(t)
			p := begin(t, cmd)
			temp := strings.TrimPrefix(cmd.Env[len(cmd.Env)-1], "TMPDIR=")
			eventually(t, "peers", func(context.Context) bool {
				return len(args) == 0 || len(processes(t, temp)) >= 7 || args[0] == "--keep"
			})
			awaitsWaiting(t, p.Cmd)
			p.Process.Signal(signal)
			select {
			case <-p.ended:
			case <-time.After(outWithin):
				t.Fatal("it still runs")
			}
			if got := p.ProcessState.ExitCode(); got != 128+int(signal) {
				t.Errorf("ended with %v, want exit code %d", p.ProcessState, 128+int(signal))
			}
		})
	}
}

func TestDemoRefusesWhatDoesNotGoTogether(t *testing.T) {
	for _, args := range [][]string{{"--classic", "--keep"}, {"--classic", "--seed", "1"}, {"--interval", "1ms"}, {"--interval", "-1s"}, {"more"}} {
		cmd := demo(t, args...)
		if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != int(exitUsage) {
			t.Errorf("demo %q ended with %v, want exit code %d\n%s", args, err, exitUsage, out)
		}
	}
}
