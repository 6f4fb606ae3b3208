package store_test

import (
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"securepeer/internal/store"
)

func sum(manifest []byte) [32]byte { return sha256.Sum256(manifest) }

// open opens the folder of the operating system at dir for this test.
func open(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(store.Dir(dir), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
