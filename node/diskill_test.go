package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"securepeer/internal/store"
	"securepeer/wire"
)

// illFS is a disk on which some calls fail, as one that was remounted read-only
// or is about to die.
type illFS struct {
	store.FS
	creates, opens, lists atomic.Pointer[error]
}

func (f *illFS) Create(name string) (store.File, error) {
	if err := f.creates.Load(); err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: *err}
	}
	return f.FS.Create(name)
}

func (f *illFS) Open(name string) (store.File, error) {
	if err := f.opens.Load(); err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: *err}
	}
	return f.FS.Open(name)
}

func (f *illFS) List(name string) ([]string, error) {
	if err := f.lists.Load(); err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: *err}
	}
	return f.FS.List(name)
}

// TestDiskThatFailsIsAStateWithAReason: whichever call meets it and whoever
// makes it, an error of the disk that lasts has the peer stuck, with the error
// in its status, until the disk works again; to have no descriptors left is none.
// Once the peer of a disk that was remounted read-only showed as active.
func TestDiskThatFailsIsAStateWithAReason(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EROFS, syscall.EIO, syscall.ENODEV, syscall.ESTALE, syscall.EACCES, syscall.EMFILE} {
		for what, fails := range map[string]func(*illFS) *atomic.Pointer[error]{
			"creating": func(f *illFS) *atomic.Pointer[error] { return &f.creates },
			"opening":  func(f *illFS) *atomic.Pointer[error] { return &f.opens },
			"listing":  func(f *illFS) *atomic.Pointer[error] { return &f.lists },
		} {
			inBubble(t, 1, 0, "copies=1", func(b *bubble) {
				t := b.t
				fsys := &illFS{FS: b.disks[0].Mount()}
				n := b.loner(0, fsys)
				go n.Run(t.Context())
				<-n.Ready()
				put(t, n, "f", []byte("abc"))
				fails(fsys).Store(ptr[error](errno))
				n.Put(t.Context(), "g", strings.NewReader("x"), PutOptions{Size: 1})
				n.Stat(t.Context(), "f")
				n.List(t.Context(), "")
				time.Sleep(time.Second) // of the bubble
				s := status(t, n)
				want := "stuck"
				if errno == syscall.EMFILE {
					want = "active"
				}
				if s.State != want || want == "stuck" && !strings.Contains(s.Store.Problem, errno.Error()) {
					t.Errorf("%s with %v: %s, %q; want %s", what, errno, s.State, s.Store.Problem, want)
				}
				fails(fsys).Store(nil)
				time.Sleep(illHold + 3*measureEach)
				if s := status(t, n); s.State != "active" || s.Store.Problem != "" {
					t.Errorf("%s works again after %v: %s, %q", what, errno, s.State, s.Store.Problem)
				}
				put(t, n, "h", []byte("abc"))
				n.Close()
				synctest.Wait()
			})
		}
	}
}

// TestFailedSyncStaysStuck: what a disk has lost by a failed sync no later
// write brings back, whatever else works again.
func TestFailedSyncStaysStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := &failingFS{FS: diskFS(t)}
		d := diskOn(t, fsys)
		d.failed(fmt.Errorf("reading: %w", syscall.EIO))
		fsys.sync = syscall.EIO
		if err := d.WriteState("x", nil); !errors.Is(err, store.ErrStuck) {
			t.Fatal(err)
		}
		fsys.sync = nil
		for range 10 {
			time.Sleep(illHold)
			d.measure()
		}
		if d.health() != wire.Stuck || !errors.Is(d.reason(), store.ErrStuck) {
			t.Errorf("the disk is %v: %v", d.health(), d.reason())
		}
	})
}

// diskFS is a real folder.
func diskFS(t *testing.T) store.FS { return store.Dir(filepath.Join(t.TempDir(), "store")) }
