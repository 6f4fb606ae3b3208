package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDemoTellsTheErrorOfAPeer: not the hint that stands behind it, which is
// for the user that started that peer.
func TestDemoTellsTheErrorOfAPeer(t *testing.T) {
	for log, want := range map[string]string{
		"securepeer: error: listening on 127.0.0.1:1: another program has that port\nsecurepeer: hint: --listen HOST:PORT\n": "listening on 127.0.0.1:1: another program has that port",
		"securepeer: ready\nsecurepeer: error: first\nsecurepeer: hint: x\nsecurepeer: error: second\n":                      "second",
		"panic: oops\n\ngoroutine 1": "panic: oops\n\ngoroutine 1",
		"":                           "",
	} {
		if got := lastError([]byte(log)); got != want {
			t.Errorf("lastError(%q) = %q, want %q", log, got, want)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "log"), []byte("securepeer: error: that port\nsecurepeer: hint: another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := program("version")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	a := &actor{dir: dir, process: &process{cmd: cmd}}
	if told := fmt.Sprint(a.ended()); !strings.HasSuffix(told, ": that port") {
		t.Errorf("ended() = %q", told)
	}
}
