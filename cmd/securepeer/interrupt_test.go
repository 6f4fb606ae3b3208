package main

import (
	"bytes"
	"fmt"
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
// nothing behind.
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
		default:
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
	}{
		{"put of a pipe nobody writes to", []string{"put", "pipe"}, nil},
		{"put of one of two", []string{"put", "pipe", "other"}, nil},
		{"put of standard input", []string{"put", "-", "--name", "f"}, nil},
		{"put of a command", []string{"put", "--name", "f", "--from-command", "--", "sh", "-c", "trap '' TERM; while :; do read x; done"}, nil},
		{"get into a pipe nobody reads", []string{"get", "f", "-o", "pipe", "--force"}, nil},
		{"get into a reader that stalls", []string{"get", "f", "-o", "-"}, stuffed},
		{"get of a file whose rest does not come", []string{"get", "f"}, nil},
		{"ls into a reader that stalls", []string{"ls"}, stuffed},
		{"stat that gets no answer", []string{"stat", "f"}, nil},
		{"stop that gets no answer", []string{"stop"}, nil},
		{"leave that gets no answer", []string{"leave"}, nil},
		{"rm that gets no answer", []string{"rm", "f"}, nil},
		{"monitor that gets no answer", []string{"monitor"}, nil},
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
				if c.args[0] == "leave" && !strings.Contains(errs.String(), "the peer goes on with it") {
					t.Errorf("said %q", &errs)
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
