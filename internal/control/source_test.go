package control

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestSourceEndsAtItsSize: net/http asks for a byte behind the announced ones
// until it is told that there is none.
func TestSourceEndsAtItsSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "longer")
	if err := os.WriteFile(path, []byte("four and more"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &source{Reader: f, left: 4}
	if _, err := io.ReadFull(s, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF || s.err != nil {
		t.Errorf("read %d bytes behind the end with error %v (kept: %v), want io.EOF", n, err, s.err)
	}
}
