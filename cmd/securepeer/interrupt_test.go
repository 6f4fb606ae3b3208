package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// outWithin is how soon an interrupted command must have ended, 2 s, and what
// a loaded machine needs to run it at all.
const outWithin = 15 * time.Second

// TestInterruptedWhileItWaits: a command that waits for something of this
// machine, and that nothing can wake, ends with the first signal, and leaves
// nothing behind. One that changes something says what is done, what is not, and
// what shows it. (Before: of all commands leave alone did.)
func TestInterruptedWhileItWaits(t *testing.T) {
	hangs := make(chan struct{})
	dir := fakePeer(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v1/files/"): // a file without an end
			w.Header().Set("Securepeer-File", `{"name":"f","size":1000000000,"version":1,"writer":"a","signer":"a"}`)
			w.Write(make([]byte, 4<<20))
			w.(http.Flusher).Flush()
			select {
			case <-hangs:
			case <-r.Context().Done():
			}
		case r.URL.Path == "/v1/files" || r.URL.Path == "/v1/files/": // a list longer than a pipe
			fmt.Fprintf(w, `{"schema":"securepeer/ls/1","files":[%s{"name":"z"}],"silent":[]}`, strings.Repeat(`{"name":"`+strings.Repeat("n", 200)+`"},`, 2000))
		case r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/done"):
			fmt.Fprint(w, `{"schema":"securepeer/rm/1","name":"done","version":2,"copies":["a"],"wanted":1}`)
		default:
			if strings.HasSuffix(r.URL.Path, "/all") {
				io.Copy(io.Discard, r.Body) // as a peer that waits for the copies
			}
			select {
			case <-hangs:
			case <-r.Context().Done():
			}
		}
	})
	t.Cleanup(func() { close(hangs) }) // before the peer ends
	for _, c := range []struct {
		what string
		args []string
		out  func(*testing.T) *os.File // nil: read
		says string
	}{
		{"put of a pipe nobody writes to", []string{"put", "pipe"}, nil, "hint: pipe is as it was: nothing of this put is stored\n"},
		{"put of one of two", []string{"put", "pipe", "other", "another"}, nil, "hint: pipe is as it was: nothing of this put is stored; not begun: 2 more\n"},
		{"put of standard input", []string{"put", "-", "--name", "f"}, nil, "hint: f is as it was: nothing of this put is stored\n"},
		{"put of a command", []string{"put", "--name", "f", "--from-command", "--", "sh", "-c", "trap '' TERM; while :; do read x; done"}, nil, "hint: f is as it was: nothing of this put is stored\n"},
		{"put that waits for copies", []string{"put", "--name", "all", "--from-command", "--", "echo", "x"}, nil, "hint: all may be stored or not: securepeer stat all shows it\n"},
		{"get into a pipe nobody reads", []string{"get", "f", "-o", "pipe", "--force"}, nil, "hint: f has not come whole\n"},
		{"get into a reader that stalls", []string{"get", "f", "-o", "-"}, stuffed, "hint: f has not come whole\n"},
		{"get of a file whose rest does not come", []string{"get", "f"}, nil, "hint: f is as it was: nothing is written to it before all bytes have come\n"},
		{"ls into a reader that stalls", []string{"ls"}, stuffed, ""},
		{"stat that gets no answer", []string{"stat", "f"}, nil, ""},
		{"stop that gets no answer", []string{"stop"}, nil, "hint: the peer may end all the same: securepeer status shows whether it runs\n"},
		{"leave that gets no answer", []string{"leave"}, nil, "hint: the peer goes on with it; securepeer stop ends it\n"},
		{"leave in JSON", []string{"leave", "--json"}, nil, `"hint":"the peer goes on with it; securepeer stop ends it"`},
		{"rm that gets no answer", []string{"rm", "f"}, nil, "hint: f may be removed or not: securepeer stat f shows it\n"},
		{"rm of two", []string{"rm", "f", "g"}, nil, "hint: f may be removed or not: securepeer stat f shows it; not begun: 1 more\n"},
		{"rm into a reader that stalls", []string{"rm", "done"}, stuffed, "hint: done is removed\n"},
		{"forget that gets no answer", []string{"forget", "bob"}, nil, "hint: this peer may have said so: securepeer peers shows it; saying so again does no harm\n"},
		{"reload that gets no answer", []string{"roster", "reload"}, nil, "hint: the peer may read it all the same: securepeer status shows the digest of the one that it works by\n"},
		{"a roster into a reader that stalls", []string{"roster", "init", "attic", "--json", "--roster", "../roster"}, stuffed, `"hint":"../roster is written"`},
		{"monitor that gets no answer", []string{"monitor"}, nil, ""},
	} {
		for signal, code := range map[syscall.Signal]exitCode{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
			t.Run(fmt.Sprintf("%s, %v", c.what, signal), func(t *testing.T) {
				t.Parallel()
				work := t.TempDir()
				if err := syscall.Mkfifo(filepath.Join(work, "pipe"), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := program(append(c.args, "--dir", dir)...)
				if i := strings.Index(strings.Join(c.args, " "), " -- "); i >= 0 { // behind it stands the command's
					cmd = program(append([]string{"--dir", dir}, c.args...)...)
				}
				cmd.Dir = work
				if c.out != nil {
					out := c.out(t)
					defer out.Close()
					cmd.Stdout = out
				}
				var errs bytes.Buffer
				cmd.Stderr = &errs
				p := begin(t, cmd)
				awaitsWaiting(t, p.Cmd)
				p.Process.Signal(signal)
				select {
				case <-p.ended:
				case <-time.After(outWithin):
					t.Fatalf("%s still runs", p.name)
				}
				if got := p.ProcessState.ExitCode(); got != int(code) {
					t.Errorf("ended with %v, want exit code %d", p.ProcessState, code)
				}
				if said := errs.String(); !strings.Contains(said, c.says) || c.says == "" && strings.Contains(said, "hint") {
					t.Errorf("said %q, want %q", said, c.says)
				}
				if left := entries(t, work); len(left) != 1 {
					t.Errorf("%q are left", left)
				}
			})
		}
	}
}

// awaitsWaiting returns when the process has slept for a while: it has done
// what it can do by itself.
func awaitsWaiting(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	asleep, again := 0, time.NewTicker(20*time.Millisecond)
	defer again.Stop()
	for deadline := time.After(scriptWait); asleep < 25; {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal("the process never waits")
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if asleep++; !strings.HasPrefix(rest, "S") {
			asleep = 0
		}
	}
}
