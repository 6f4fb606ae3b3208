package store_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"securepeer/internal/store"
)

// gate fails the first folder sync after it is armed, but not before another
// file has been synced and closed, so that its rename is next.
type gate struct {
	store.FS
	armed            atomic.Bool
	entered, written chan struct{}
}

func (g *gate) SyncDir(dir string) error {
	if !g.armed.CompareAndSwap(true, false) {
		return g.FS.SyncDir(dir)
	}
	close(g.entered)
	<-g.written
	for range 100 {
		runtime.Gosched() // so that the other has come as far as it can
	}
	return syscall.EIO
}

func (g *gate) Create(name string) (store.File, error) {
	f, err := g.FS.Create(name)
	select {
	case <-g.entered:
		return &gateFile{File: f, closed: g.written}, err
	default:
		return f, err
	}
}

type gateFile struct {
	store.File
	closed chan struct{}
}

func (f *gateFile) Close() error {
	close(f.closed)
	return f.File.Close()
}

// TestWritersAtOnce has writers of different versions, of one version twice,
// and of versions in one folder, with readers of each as soon as it is there.
func TestWritersAtOnce(t *testing.T) {
	s := open(t, t.TempDir())
	const versions, writers = 12, 2
	var wg sync.WaitGroup
	for i := range versions * writers {
		n := i / writers
		wg.Go(func() {
			manifest, data := fmt.Appendf(nil, "manifest %d", n), content(n, n*50_000)
			v, err := put(s, uint64(n%3)<<52, manifest, data)
			if err != nil {
				t.Error(err)
				return
			}
			m, d, err := read(s, v)
			if err != nil || !bytes.Equal(m, manifest) || !bytes.Equal(d, data) {
				t.Errorf("version %d reads back as something else: %v", n, err)
			}
			if present, synced, err := s.Has(v); !present || !synced || err != nil {
				t.Errorf("Has = %v, %v, %v after Commit", present, synced, err)
			}
		})
	}
	wg.Wait()
	n := 0
	if err := s.List(0, 0, func(store.Entry) bool { n++; return true }); n != versions || err != nil {
		t.Errorf("%d versions listed, %v; want %d", n, err, versions)
	}
}

// TestReadersDuringRenameOver reads versions of an earlier run while this one
// writes each of them over: a reader has the old file or the new one, and both
// are whole.
func TestReadersDuringRenameOver(t *testing.T) {
	dir, data := t.TempDir(), content(3, 200_000)
	earlier := open(t, dir)
	var versions []store.Version
	for i := range 20 {
		v, err := put(earlier, 1<<63, fmt.Append(nil, i), data)
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, v)
	}
	earlier.Close()
	s := open(t, dir)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				if _, d, err := read(s, versions[i%len(versions)]); err != nil || !bytes.Equal(d, data) {
					t.Errorf("reading during a rename: %v", err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for _, v := range versions {
		if present, synced, err := s.Has(v); !present || synced || err != nil {
			t.Errorf("Has = %v, %v, %v in the next run", present, synced, err)
		}
	}
	if err := s.Settle(); err != nil {
		t.Error(err)
	}
	for _, v := range versions {
		if _, synced, err := s.Has(v); !synced {
			t.Errorf("not synced after Settle: %v", err)
		}
		if _, err := put(s, v.Key, fmt.Appendf(nil, "%d", v.Key), data); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
}

// TestFolderIsLocked: one data folder has one store.
func TestFolderIsLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	s, err := store.Open(store.Dir(dir), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(store.Dir(dir), rand.Reader)
	if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second Open = %v, want ErrInUse with the folder", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if again.ID() != s.ID() || s.ID() == [16]byte{} {
		t.Errorf("store id %x after a restart, was %x", again.ID(), s.ID())
	}
}
