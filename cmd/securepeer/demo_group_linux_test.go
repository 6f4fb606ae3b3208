package main

import (
	"io"
	"os"
	"testing"
	"time"
)

// TestPeersDieWithTheDemo: if the demo itself is killed it cannot clean up,
// but the kernel ends its peers.
func TestPeersDieWithTheDemo(t *testing.T) {
	t.Parallel()
	temp, err := os.MkdirTemp("", "sp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	cmd := program("demo", "--interval", "400ms")
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	out := launch(t, cmd)
	awaitLine(t, out, "one ring, the same")
	if n := len(processes(t, temp)); n < 7 {
		t.Errorf("%d processes in %s, want seven peers", n, temp)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	cmd.Wait() // its error is that it was killed
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for left := processes(t, temp); len(left) > 0; left = processes(t, temp) {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("still there: %q", left)
		}
	}
}
