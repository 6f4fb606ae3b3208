package store_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
)

// random is what content is cut from.
var random = func() []byte {
	b := make([]byte, 5*store.BlockSize)
	mathrand.NewChaCha8([32]byte{}).Read(b)
	return b
}()

// content returns n bytes, others for each seed.
func content(seed, n int) []byte { return random[seed*101 : seed*101+n : seed*101+n] }

// labels are those of the versions of these tests: the store keeps them and
// does not ask what they mean.
var labels = store.Labels{Name: [16]byte{1, 15: 2}, Number: 3, Writer: 4, Signer: 5, Flags: 6}

// nameOf is the name of the file of v, which is there.
func nameOf(t testing.TB, s *store.Store, v store.Version) string {
	t.Helper()
	e, err := s.Find(v)
	if err != nil {
		t.Fatal(err)
	}
	return e.String()
}

// put writes one version, in pieces.
func put(s *store.Store, key uint64, manifest, data []byte) (store.Version, error) {
	w, err := s.Create(int64(len(data)))
	if err != nil {
		return store.Version{}, err
	}
	defer w.Abort()
	for p := data; len(p) > 0; {
		n := min(len(p), 300_000)
		if _, err := w.Write(p[:n]); err != nil {
			return store.Version{}, err
		}
		p = p[n:]
	}
	return w.Commit(key, labels, manifest)
}

// read reads one version whole and verifies it as a receiver does. A bad block
// is reported to the store, which says what it thinks of it.
func read(s *store.Store, v store.Version) (manifest, data []byte, err error) {
	r, err := s.Reader(v)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	list, err := r.BlockList()
	if err != nil {
		return nil, nil, err
	}
	verifier, err := store.NewVerifier(list, r.Root(), r.Size())
	if err != nil {
		return nil, nil, err
	}
	b := bytes.NewBuffer(make([]byte, 0, r.Size()))
	err = r.CopyRange(io.MultiWriter(b, verifier), 0, r.Size(), make([]byte, 100_000))
	if bad, ok := errors.AsType[*store.BlockError](err); ok {
		if err := s.Quarantine(v, bad.Block); err != nil {
			return nil, nil, err
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return bytes.Clone(r.Manifest()), b.Bytes(), verifier.Close()
}

// history is what a run told the store and what it was told.
type history struct {
	t      *testing.T
	disk   *simdisk.Disk
	files  []entry
	states int // the last state written is the decimal of it
	saved  int // the last confirmed

	opened     bool
	syncFailed bool // a sync was made to fail
	failed     int  // operations that returned an error
}

type entry struct {
	key            uint64
	manifest, data []byte
	version        store.Version // zero until acked
	removed        bool          // or tried to
}

// newHistory has files of sizes around what matters. Two lie in one folder.
func newHistory(t *testing.T, disk *simdisk.Disk, sizes ...int) *history {
	h := &history{t: t, disk: disk}
	for i, size := range sizes {
		key := uint64(i/2+1)<<52 + uint64(i)
		h.files = append(h.files, entry{key: key, manifest: fmt.Appendf(nil, "manifest %d", i), data: content(i, size)})
	}
	return h
}

// ok notes the outcome of an operation. What is confirmed after a failed sync
// is a lie.
func (h *history) ok(err error) bool {
	if err != nil {
		h.failed++
		return false
	}
	if h.syncFailed {
		h.t.Error("something was confirmed after a failed sync")
	}
	return true
}

// run opens the store and does everything a peer does with it, whatever fails.
func (h *history) run(fsys store.FS) {
	s, err := store.Open(fsys, rand.Reader)
	if err != nil {
		h.failed++
		return
	}
	h.opened = true
	h.settle(s)
	for i := range h.files {
		f := &h.files[i]
		if v, err := put(s, f.key, f.manifest, f.data); h.ok(err) {
			f.version, f.removed = v, false
			if present, synced, err := s.Has(v); err == nil && (!present || !synced) {
				h.t.Errorf("committed, and Has = %v, %v", present, synced)
			}
		}
		h.states++
		if h.ok(s.WriteState("count", fmt.Append(nil, h.states))) {
			h.saved = h.states
		}
	}
	put(s, h.files[0].key, h.files[0].manifest, h.files[0].data) // the same again
	for _, f := range h.files {
		if f.version == (store.Version{}) {
			continue
		}
		manifest, data, err := read(s, f.version)
		if err == nil && (!bytes.Equal(data, f.data) || !bytes.Equal(manifest, f.manifest)) {
			h.t.Errorf("version %s reads back as something else, in the same run", f.version)
		}
		if err != nil {
			h.failed++
		}
	}
	last := &h.files[len(h.files)-1]
	last.removed = true
	if err := s.Remove(last.version); err != nil {
		h.failed++
	}
	if h.syncFailed && !errors.Is(s.Stuck(), store.ErrStuck) {
		h.t.Errorf("Stuck() = %v after a failed sync", s.Stuck())
	}
	s.Close()
}

// settle settles what an earlier run left: before it nothing of that counts,
// after it all that is there is as good as confirmed.
func (h *history) settle(s *store.Store) {
	for i, f := range h.files {
		if _, synced, _ := s.Has(store.Version{Key: f.key, Sum: sum(f.manifest)}); synced {
			h.t.Errorf("file %d, of an earlier run, counts before it is settled", i)
		}
	}
	if err := s.Settle(); err != nil {
		h.failed++
	} else if h.syncFailed {
		h.t.Error("settled after a failed sync")
	}
	for i := range h.files {
		f := &h.files[i]
		v := store.Version{Key: f.key, Sum: sum(f.manifest)}
		present, synced, err := s.Has(v)
		switch {
		case err != nil:
			h.failed++
		case synced && h.syncFailed:
			h.t.Errorf("file %d counts as a copy after a failed sync", i)
		case present && synced:
			f.version, f.removed = v, false
		}
	}
}

// check opens the store again and holds it to what it confirmed.
func (h *history) check(when string) {
	h.t.Helper()
	fsys := h.disk.Mount()
	s, err := store.Open(fsys, rand.Reader)
	if err != nil {
		h.t.Fatalf("%s: opening the store again: %v", when, err)
	}
	defer s.Close()
	if names, err := fsys.List("tmp"); len(names) > 0 || err != nil {
		h.t.Errorf("%s: tmp/ holds %q, %v", when, names, err)
	}
	present := 0
	for i, f := range h.files {
		v := store.Version{Key: f.key, Sum: sum(f.manifest)}
		manifest, data, err := read(s, v)
		switch {
		case errors.Is(err, store.ErrDamaged):
			h.t.Errorf("%s: file %d is damaged: %v", when, i, err)
		case errors.Is(err, store.ErrNotFound):
			if f.version != (store.Version{}) && !f.removed {
				h.t.Errorf("%s: file %d was confirmed and is lost", when, i)
			}
		case err != nil:
			h.t.Errorf("%s: reading file %d: %v", when, i, err)
		case !bytes.Equal(data, f.data) || !bytes.Equal(manifest, f.manifest):
			h.t.Errorf("%s: file %d reads back as something else", when, i)
		default:
			present++
		}
	}
	listed := 0
	if err := s.List(0, 0, func(store.Entry) bool { listed++; return true }); err != nil || listed != present {
		h.t.Errorf("%s: %d versions listed, %v, %d there", when, listed, err, present)
	}
	h.checkBytes(when, fsys, s)
	h.checkState(when, s)
}

// checkBytes wants no bytes on the disk that lie apart and that no version has, in
// trash/ neither, now that all names have been listed.
func (h *history) checkBytes(when string, fsys store.FS, s *store.Store) {
	h.t.Helper()
	for _, f := range h.files {
		names, err := fsys.List(fmt.Sprintf("files/%03x", f.key>>52))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			h.t.Errorf("%s: %v", when, err)
		}
		present, _, err := s.Has(store.Version{Key: f.key, Sum: sum(f.manifest)})
		trashed := f.removed && f.version != (store.Version{})
		if err != nil || !present && !trashed && slices.Contains(names, bytesName(f.key, f.data)) {
			h.t.Errorf("%s: bytes that no version has stay, %v", when, err)
		}
	}
}

func (h *history) checkState(when string, s *store.Store) {
	h.t.Helper()
	b, err := s.ReadState("count")
	n := 0
	if err == nil {
		fmt.Sscan(string(b), &n)
	}
	if errors.Is(err, store.ErrDamaged) || n < h.saved || n > h.states {
		h.t.Errorf("%s: state is %d, %v; %d was confirmed and %d written", when, n, err, h.saved, h.states)
	}
}

// failing makes the n-th call, and if forever all after it, fail with err,
// where it can. It returns a function that ends that and tells whether any
// call did.
func (h *history) failing(n int, forever bool, err error) (fired func() bool) {
	calls := 0
	h.disk.Fail = func(c simdisk.Call) error {
		if err == syscall.EMFILE && !slices.Contains([]string{"Lock", "Create", "Open", "Edit", "List", "SyncDir", "SyncAll"}, c.Op) {
			return nil // needs no new descriptor
		}
		calls++
		if calls <= n || calls > n+1 && !forever {
			return nil
		}
		if err != syscall.EMFILE && (c.Op == "Sync" || c.Op == "SyncDir" || c.Op == "SyncAll") {
			h.syncFailed = true
		}
		return err
	}
	return func() bool { h.disk.Fail = nil; return calls > n }
}

// TestEveryCallFails is SQLite's loop: fail the first call of the disk, the
// second, and so on, once and for ever, until a run ends without meeting the
// fault. Whatever fails, what was confirmed is there and the rest is whole or
// absent: for the next process, and after it has tried again and the power is
// cut.
func TestEveryCallFails(t *testing.T) {
	for _, fault := range []error{syscall.EIO, syscall.ENOSPC, syscall.EMFILE} {
		for _, forever := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v,forever=%v", fault, forever), func(t *testing.T) {
				t.Parallel()
				n, large := 0, 5000
				if fault == syscall.EIO && !forever && !testing.Short() {
					large = store.BlockSize + 1
				}
				for ; ; n++ {
					h := newHistory(t, simdisk.New(uint64(n)), 0, 70_000, large, 5)
					fired := h.failing(n, forever, fault)
					h.run(h.disk.Mount())
					if !fired() {
						if h.failed > 0 {
							t.Errorf("%d operations failed without a fault", h.failed)
						}
						break
					}
					h.disk.Kill()
					h.check(fmt.Sprintf("call %d failed", n))
					h.disk.Kill()
					if forever {
						h.disk.PowerCut() // a disk that does nothing any more has been replaced or reset
					}
					if forever {
						h.syncFailed = false
					}
					h.run(h.disk.Mount()) // in the same boot: of a failed sync it confirms nothing
					h.disk.PowerCut()
					h.syncFailed = false
					h.check(fmt.Sprintf("call %d failed, then the power", n))
					h.disk.Kill()
					failed := h.failed
					h.run(h.disk.Mount())
					if h.failed > failed {
						t.Errorf("call %d failed: %d operations fail after the machine was started again", n, h.failed-failed)
					}
					if t.Failed() {
						return
					}
				}
				if n < 30 {
					t.Errorf("only %d calls were made to fail", n)
				}
			})
		}
	}
}

// TestFullDiskGoesOn: a version that does not fit is refused or ends with
// ErrFull, leaves nothing behind, and the next one that fits is stored.
func TestFullDiskGoesOn(t *testing.T) {
	disk := simdisk.New(1)
	disk.Capacity = 100_000
	fsys := disk.Mount()
	s, err := store.Open(fsys, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(200_000); !errors.Is(err, store.ErrFull) {
		t.Errorf("Create of too much = %v, want ErrFull", err)
	}
	w, err := s.Create(-1) // from a pipe: nobody knows
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = w.Write(content(1, 30_000))
	}
	if !errors.Is(err, store.ErrFull) {
		t.Errorf("Write = %v, want ErrFull", err)
	}
	if _, err := w.Commit(1, labels, []byte("m")); !errors.Is(err, store.ErrFull) {
		t.Errorf("Commit = %v, want ErrFull", err)
	}
	if names, err := fsys.List("tmp"); len(names) > 0 || err != nil {
		t.Errorf("tmp/ holds %q, %v", names, err)
	}
	if _, err := put(s, 1, []byte("m"), content(1, 90_000)); err != nil {
		t.Errorf("what fits after a full disk: %v", err)
	}
	if err := s.WriteState("large", make([]byte, 90_000)); !errors.Is(err, store.ErrFull) {
		t.Errorf("WriteState = %v, want ErrFull", err)
	}
	if err := s.Stuck(); err != nil {
		t.Errorf("Stuck() = %v", err)
	}
	if u, err := s.Usage(); err != nil || u.Total != 100_000 || u.Free >= 6_000 || u.Free < 5_000 {
		t.Errorf("Usage() = %+v, %v", u, err)
	}
}

// TestStuckStoreStillReads: after a failed sync nothing is written, and what
// is there is still served.
func TestStuckStoreStillReads(t *testing.T) {
	disk := simdisk.New(1)
	s, err := store.Open(disk.Mount(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v, err := put(s, 1, []byte("m"), content(1, 1000))
	if err != nil {
		t.Fatal(err)
	}
	var before [2]*store.Writer // begun before, ended after
	for i := range before {
		if before[i], err = s.Create(-1); err != nil {
			t.Fatal(err)
		}
	}
	disk.Fail = func(c simdisk.Call) error {
		if c.Op == "Sync" {
			return syscall.EIO
		}
		return nil
	}
	if _, err := put(s, 1, []byte("n"), nil); !errors.Is(err, store.ErrStuck) || !errors.Is(err, syscall.EIO) {
		t.Errorf("Commit = %v, want ErrStuck and the cause", err)
	}
	disk.Fail = nil
	for i, manifest := range []string{"new", "m"} {
		if _, err := before[i].Commit(1, labels, []byte(manifest)); !errors.Is(err, store.ErrStuck) {
			t.Errorf("Commit of %q by a writer from before = %v, want ErrStuck", manifest, err)
		}
	}
	if _, err := s.Create(1); !errors.Is(err, store.ErrStuck) {
		t.Errorf("Create = %v, want ErrStuck", err)
	}
	if err := s.WriteState("a", nil); !errors.Is(err, store.ErrStuck) {
		t.Errorf("WriteState = %v, want ErrStuck", err)
	}
	if _, d, err := read(s, v); err != nil || !bytes.Equal(d, content(1, 1000)) {
		t.Errorf("reading: %v", err)
	}
}

// TestRotAtEveryRead flips a bit in one read after another. A bit that is
// right the next time must not cost a copy.
func TestRotAtEveryRead(t *testing.T) {
	for n := 0; ; n++ {
		h := newHistory(t, simdisk.New(uint64(n)), 0, 70_000, store.BlockSize+1, 5)
		reads := 0
		h.disk.Fail = func(c simdisk.Call) error {
			if c.Op == "ReadAt" {
				if reads++; reads == n+1 {
					return simdisk.ErrRot
				}
			}
			return nil
		}
		h.run(h.disk.Mount())
		h.disk.Fail = nil
		if reads <= n {
			if n < 20 {
				t.Errorf("only %d reads rotted", n)
			}
			return
		}
		h.disk.Kill()
		h.check(fmt.Sprintf("bit flipped in read %d", n))
		if t.Failed() {
			return
		}
	}
}
