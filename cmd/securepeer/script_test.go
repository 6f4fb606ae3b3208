package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"securepeer/internal/control"
	"securepeer/keys"
)

// TestScripts runs what a user types, with real peers on loopback. Beside
// testscript's own commands there are these:
//
//	code N program args...     run it; it must end with that exit code
//	ports N                    set port1 to portN to ports that nobody has
//	ring NAME... [-- flags]    make a folder with key and roster for each; sue is a steward
//	run NAME program args...   run it in the background; NAME.out, NAME.err
//	tell NAME line             write a line to its standard input
//	output NAME regexp         wait until its standard output or error has it
//	signal NAME INT|TERM|HUP|KILL
//	ended NAME N               wait for its end, with that exit code
//	whole N DIR...             wait until each peer sees a ring of N, and may say no
//	gone NAME DIR...           wait until each peer holds that member gone
//	random FILE SIZE           make a file of random bytes
//	readkeys NAME...           set NAME to what NAME.pub holds
//	pour NAME FILE             write a file to its standard input
//	oddnames                   set long, escape and bidi
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("NO_COLOR", "1")
			env.Setenv("SECUREPEER_DIR", "")
			env.Setenv("deep", filepath.Join("deep", strings.Repeat("d", 120)))
			env.Values[processesKey{}] = make(scriptProcesses)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": scriptCode, "ports": scriptPorts, "ring": scriptRing, "run": scriptRun, "tell": scriptTell,
			"output": scriptOutput, "signal": scriptSignal, "ended": scriptEnded, "whole": scriptWhole, "gone": scriptGone, "random": scriptRandom, "readkeys": scriptReadkeys,
			"pour": scriptPour, "oddnames": scriptOddnames,
		},
	})
}

// scriptWait is how long a script waits for what must come.
const scriptWait = 20 * time.Second

// await looks again and again until ok, or fails the script.
func await(ts *testscript.TestScript, what string, ok func(context.Context) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), scriptWait)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !ok(ctx) {
		select {
		case <-again.C:
		case <-ctx.Done():
			ts.Fatalf("waited %v in vain for %s", scriptWait, what)
		}
	}
}

func scriptCode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// given are the ports that a script of this run has. They lie below those
// that the system gives to connections.
var given = struct {
	sync.Mutex
	next int
}{next: 15000 + rand.IntN(10000)}

func freePort(fail func(format string, args ...any)) string {
	given.Lock()
	defer given.Unlock()
	for range 1000 {
		given.next++
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(given.next))
		tcp, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp", addr)
		tcp.Close()
		if err != nil {
			continue
		}
		udp.Close()
		return strconv.Itoa(given.next)
	}
	fail("no free port")
	return ""
}

func scriptPorts(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for i := range n {
		ts.Setenv(fmt.Sprintf("port%d", i+1), freePort(ts.Fatalf))
	}
}

// scriptRing makes the folders of a ring, as keygen and roster would. A name
// of digits is an id.
func scriptRing(ts *testscript.TestScript, _ bool, args []string) {
	roster, err := keys.NewRoster("attic")
	ts.Check(err)
	roster.Interval = 100 * time.Millisecond
	var dirs []string
	for i, arg := range args {
		if arg == "--" {
			ts.Check(classicRoster(roster, args[i+1:]))
			break
		}
		dirs = append(dirs, arg)
	}
	for _, dir := range dirs {
		secret, err := keys.Generate()
		ts.Check(err)
		ts.Check(os.Mkdir(ts.MkAbs(dir), 0o700))
		ts.Check(keys.WriteKeyFile(filepath.Join(ts.MkAbs(dir), "key"), secret))
		m := keys.Member{Name: dir, Key: secret.Public(), Addr: "127.0.0.1:" + freePort(ts.Fatalf), Steward: dir == "sue"}
		if id, err := parseID(dir); err == nil {
			m.ID = id
		} else {
			m.ID, _ = roster.NextID()
		}
		ts.Check(roster.Add(m))
	}
	for _, dir := range dirs {
		ts.Check(keys.WriteRoster(filepath.Join(ts.MkAbs(dir), "roster"), roster))
	}
}

func classicRoster(r *keys.Roster, flags []string) error {
	for _, flag := range flags {
		switch flag {
		case "classic":
			r.Space, r.Route, r.Observers = 8, keys.Walk, 2
		case "one-copy":
			r.Copies = 1
		default:
			return fmt.Errorf("no such ring: %s", flag)
		}
	}
	return nil
}

type processesKey struct{}

// scriptProcesses are those that a script has started, by name.
type scriptProcesses map[string]*scriptProcess

type scriptProcess struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out, err string // files
	ended    chan struct{}
}

func scriptProcessOf(ts *testscript.TestScript, name string) *scriptProcess {
	p := ts.Value(processesKey{}).(scriptProcesses)[name]
	if p == nil {
		ts.Fatalf("%s does not run", name)
	}
	return p
}

func scriptRun(ts *testscript.TestScript, _ bool, args []string) {
	name := args[0]
	p := &scriptProcess{cmd: exec.Command(args[1], args[2:]...), ended: make(chan struct{}), out: ts.MkAbs(name + ".out"), err: ts.MkAbs(name + ".err")}
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"), "NO_COLOR=1", "SECUREPEER_DIR=")
	out, err := os.Create(p.out)
	ts.Check(err)
	errs, err := os.Create(p.err)
	ts.Check(err)
	p.cmd.Stdout, p.cmd.Stderr = out, errs
	p.in, err = p.cmd.StdinPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	out.Close() // the process has its own
	errs.Close()
	go func() { // ends with the process
		p.cmd.Wait() // the exit code is looked at by ended
		close(p.ended)
	}()
	ts.Value(processesKey{}).(scriptProcesses)[name] = p
	ts.Defer(func() {
		p.cmd.Process.Kill() // it may have ended
		<-p.ended
		for _, file := range []string{p.out, p.err} {
			if text, err := os.ReadFile(file); err == nil && len(text) > 0 && len(text) < 10000 {
				ts.Logf("%s:\n%s", filepath.Base(file), text)
			}
		}
	})
}

func scriptTell(ts *testscript.TestScript, _ bool, args []string) {
	_, err := io.WriteString(scriptProcessOf(ts, args[0]).in, args[1]+"\n")
	ts.Check(err)
}

func scriptOutput(ts *testscript.TestScript, _ bool, args []string) {
	p, want := scriptProcessOf(ts, args[0]), regexp.MustCompile("(?m)"+args[1])
	await(ts, strconv.Quote(args[1]), func(context.Context) bool {
		out, err := os.ReadFile(p.out)
		ts.Check(err)
		errs, err := os.ReadFile(p.err)
		ts.Check(err)
		return want.Match(out) || want.Match(errs)
	})
}

func scriptSignal(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": os.Kill}
	ts.Check(scriptProcessOf(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

func scriptEnded(ts *testscript.TestScript, _ bool, args []string) {
	p := scriptProcessOf(ts, args[0])
	select {
	case <-p.ended:
	case <-time.After(scriptWait):
		ts.Fatalf("%s still runs", args[0])
	}
	if got := strconv.Itoa(p.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("%s ended with %s, want %s", args[0], got, args[1])
	}
}

func scriptWhole(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for _, dir := range args[1:] {
		client := control.New(ts.MkAbs(dir))
		await(ts, fmt.Sprintf("a ring of %d at %s", n, dir), func(ctx context.Context) bool {
			s, err := client.Status(ctx)
			return err == nil && s.Ready && !s.Behind && len(s.Circle) == n
		})
	}
}

func scriptGone(ts *testscript.TestScript, _ bool, args []string) {
	for _, dir := range args[1:] {
		client := control.New(ts.MkAbs(dir))
		await(ts, fmt.Sprintf("%s to be gone at %s", args[0], dir), func(ctx context.Context) bool {
			peers, err := client.Peers(ctx)
			return err == nil && slices.ContainsFunc(peers.Members, func(m control.Member) bool { return m.Name == args[0] && m.Gone })
		})
	}
}

func scriptRandom(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o640))
}

// scriptReadkeys sets NAME to what NAME.pub holds, as a user would paste it.
func scriptReadkeys(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		ts.Setenv(name, strings.TrimSpace(ts.ReadFile(name+".pub")))
	}
}

// scriptPour writes a file to a process's standard input and leaves it open.
// When it returns, all but what fits a pipe has been read.
func scriptPour(ts *testscript.TestScript, _ bool, args []string) {
	_, err := io.WriteString(scriptProcessOf(ts, args[0]).in, ts.ReadFile(args[1]))
	ts.Check(err)
}

// scriptOddnames sets names that a script cannot spell.
func scriptOddnames(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Setenv("long", strings.Repeat("n", 2000))
	ts.Setenv("escape", "\x1b[2Jx")
	ts.Setenv("bidi", "x\u202etxt.exe")
}
