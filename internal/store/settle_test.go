package store_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
)

// left returns a disk on which a run has left versions of which the name is not
// synced: it was killed between the rename and the sync of the folder.
func left(t *testing.T, seed uint64) (*simdisk.Disk, []store.Version) {
	t.Helper()
	disk := simdisk.New(seed)
	s, err := store.Open(disk.Mount(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var versions []store.Version
	for i := range 4 {
		key, manifest := uint64(i%2)<<52, fmt.Append(nil, i)
		versions = append(versions, store.Version{Key: key, Sum: sum(manifest)})
		disk.Fail = func(c simdisk.Call) error {
			if i >= 2 && c.Op == "SyncDir" && strings.HasPrefix(c.Name, "files/") {
				return simdisk.ErrKilled
			}
			return nil
		}
		if _, err := put(s, key, manifest, content(i, 2000)); i == 3 {
			continue // the process is dead
		} else if (err == nil) != (i < 2) {
			t.Fatalf("Commit %d = %v", i, err)
		}
	}
	disk.Fail = nil
	return disk, versions[:3]
}

func openOn(t *testing.T, fsys store.FS) *store.Store {
	t.Helper()
	s, err := store.Open(fsys, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// synced returns how many of versions count as copies.
func synced(t *testing.T, s *store.Store, versions []store.Version) int {
	t.Helper()
	n := 0
	for _, v := range versions {
		present, synced, err := s.Has(v)
		if err != nil {
			t.Fatal(err)
		}
		if present && synced {
			n++
		}
	}
	return n
}

// unsettled is a file system whose sync of everything does nothing.
type unsettled struct{ store.FS }

func (unsettled) SyncAll() error { return nil }

// TestStartRewritesNothing: what an earlier run left counts after one sync of
// the data folder, and not before; no byte of it is read or written, and then no
// power cut takes it away. A build whose sync does nothing is found.
func TestStartRewritesNothing(t *testing.T) {
	for _, forgets := range []bool{false, true} {
		lost := 0
		for seed := range uint64(40) {
			disk, versions := left(t, seed)
			fsys := disk.Mount()
			if forgets {
				fsys = unsettled{fsys}
			}
			s := openOn(t, fsys)
			if n := synced(t, s, versions); n > 0 {
				t.Fatalf("%d versions count before the disk is settled", n)
			}
			var calls []string
			disk.Fail = func(c simdisk.Call) error { calls = append(calls, c.Op+" "+c.Name); return nil }
			if err := s.Settle(); err != nil {
				t.Fatal(err)
			}
			disk.Fail = nil
			if !forgets && !slices.Equal(calls, []string{"SyncAll ."}) {
				t.Fatalf("Settle calls the disk for %q", calls)
			}
			if n := synced(t, s, versions); n != len(versions) {
				t.Fatalf("%d of %d versions count when the disk is settled", n, len(versions))
			}
			disk.PowerCut()
			s = openOn(t, disk.Mount())
			for _, v := range versions {
				if _, _, err := read(s, v); err != nil {
					lost++
				}
			}
		}
		if forgets != (lost > 0) {
			t.Errorf("sync left out: %v; %d versions that counted are lost", forgets, lost)
		}
	}
}

// TestPowerCutBeforeTheSettle: what does not count yet may go, and what is left
// of it is whole.
func TestPowerCutBeforeTheSettle(t *testing.T) {
	lost := 0
	for seed := range uint64(40) {
		disk, versions := left(t, seed)
		openOn(t, disk.Mount())
		disk.PowerCut()
		s := openOn(t, disk.Mount())
		for i, v := range versions {
			switch _, _, err := read(s, v); {
			case errors.Is(err, store.ErrDamaged), err != nil && i < 2:
				t.Fatalf("version %d: %v", i, err)
			case err != nil:
				lost++
			}
		}
	}
	if lost == 0 {
		t.Error("the disk forgets nothing: this tests nothing")
	}
}

// TestFailedSettleIsStuckUntilTheMachineStarts: the page cache may count as
// clean what is not on the disk, so no run of this boot confirms anything, until
// somebody says that the file system was mounted anew.
func TestFailedSettleIsStuckUntilTheMachineStarts(t *testing.T) {
	for _, op := range []string{"SyncAll", "Sync", "SyncDir"} {
		disk, versions := left(t, 1)
		s := openOn(t, disk.Mount())
		disk.Fail = func(c simdisk.Call) error {
			if c.Op == op {
				return syscall.EIO
			}
			return nil
		}
		if op != "SyncAll" {
			put(s, 5, []byte("of this run"), nil) // so it finds out
		}
		if err := s.Settle(); !errors.Is(err, store.ErrStuck) {
			t.Errorf("%s fails: Settle = %v", op, err)
		}
		<-s.Settled()
		disk.Fail = nil
		disk.Kill()
		for range 2 { // the second finds what the first has left of the word
			s = openOn(t, disk.Mount())
			if err := s.Stuck(); !errors.Is(err, store.ErrStuck) {
				t.Errorf("%s failed: Stuck() = %v in the next run", op, err)
			}
			if err := s.Settle(); !errors.Is(err, store.ErrStuck) || synced(t, s, versions) > 0 {
				t.Errorf("%s failed: Settle = %v in the next run, %d versions count", op, err, synced(t, s, versions))
			}
			if _, err := s.Create(0); !errors.Is(err, store.ErrStuck) {
				t.Errorf("%s failed: Create = %v in the next run", op, err)
			}
			if _, _, err := read(s, versions[0]); err != nil {
				t.Errorf("%s failed: reading: %v", op, err)
			}
			disk.Kill()
		}
		anew, err := store.OpenAnew(disk.Mount(), rand.Reader)
		if err != nil || anew.Stuck() != nil || anew.Settle() != nil {
			t.Errorf("%s failed: mounted anew: %v, %v", op, err, anew.Stuck())
		}
		disk.Kill()
		if s = openOn(t, disk.Mount()); s.Stuck() != nil {
			t.Errorf("%s failed: %v in the run after the one that was told", op, s.Stuck())
		}
	}
}

// TestMachineThatStartsAgainForgetsAFailedSync: nothing is held of its disk any
// more that is not on it.
func TestMachineThatStartsAgainForgetsAFailedSync(t *testing.T) {
	disk, versions := left(t, 1)
	s := openOn(t, disk.Mount())
	disk.Fail = func(c simdisk.Call) error {
		if c.Op == "SyncAll" {
			return syscall.EIO
		}
		return nil
	}
	if err := s.Settle(); !errors.Is(err, store.ErrStuck) {
		t.Errorf("Settle = %v", err)
	}
	disk.Fail = nil
	disk.PowerCut()
	s = openOn(t, disk.Mount())
	if err := errors.Join(s.Stuck(), s.Settle()); err != nil || synced(t, s, versions) < 2 {
		t.Errorf("after a start of the machine: %v, %d versions count", err, synced(t, s, versions))
	}
}

// TestBlockOfARun: of a block that is not whole, or says something else, nobody
// trusts what it does not say.
func TestBlockOfARun(t *testing.T) {
	tests := map[string]struct {
		change func([]byte) []byte
		stuck  bool
	}{
		"as it was":          {func(b []byte) []byte { return b }, false},
		"empty":              {func(b []byte) []byte { return nil }, false},
		"of another boot":    {func(b []byte) []byte { b[0] ^= 1; return b }, false},
		"too short":          {func(b []byte) []byte { return b[:100] }, false},
		"another word":       {func(b []byte) []byte { b[len("boot 0\n")] ^= 1; return b }, true},
		"no word":            {func(b []byte) []byte { clear(b[len("boot 0\n"):]); return b }, true},
		"a word after ours":  {func(b []byte) []byte { b[2000] = 'x'; return b }, true},
		"of another boot, x": {func(b []byte) []byte { b[0], b[2000] = 'x', 'x'; return b }, false},
	}
	for name, test := range tests {
		disk := simdisk.New(1)
		openOn(t, disk.Mount())
		disk.Kill()
		if err := disk.Damage("state/run", test.change); err != nil {
			t.Fatal(err)
		}
		if s := openOn(t, disk.Mount()); (s.Stuck() != nil) != test.stuck {
			t.Errorf("%s: Stuck() = %v", name, s.Stuck())
		}
	}
}

// TestRunThatCannotBeRead: it is not known whether a sync failed.
func TestRunThatCannotBeRead(t *testing.T) {
	for _, fault := range []error{syscall.EIO, syscall.EMFILE} {
		disk := simdisk.New(1)
		openOn(t, disk.Mount())
		disk.Kill()
		disk.Fail = func(c simdisk.Call) error {
			if c.Op == "Open" && c.Name == "state/run" {
				return fault
			}
			return nil
		}
		s, err := store.Open(disk.Mount(), rand.Reader)
		if fault == syscall.EMFILE {
			if !errors.Is(err, syscall.EMFILE) {
				t.Errorf("no descriptors: Open = %v", err)
			}
			continue
		}
		if err != nil || !errors.Is(s.Stuck(), store.ErrStuck) {
			t.Errorf("Open = %v, Stuck() = %v", err, s.Stuck())
		}
	}
}

// slowly has a sync of everything wait until it is told to end.
type slowly struct {
	store.FS
	began, end chan struct{}
}

func (f slowly) SyncAll() error {
	close(f.began)
	<-f.end
	return f.FS.SyncAll()
}

// TestFolderSyncThatFailsBesideTheSettle: it may have had names of an earlier
// run count as clean, so nothing of that counts though the sync of everything
// found nothing to do. Commits do not wait for it meanwhile.
func TestFolderSyncThatFailsBesideTheSettle(t *testing.T) {
	disk, versions := left(t, 1)
	fsys := slowly{disk.Mount(), make(chan struct{}), make(chan struct{})}
	s := openOn(t, fsys)
	settled := make(chan error)
	go func() { settled <- s.Settle() }() // ends below
	<-fsys.began
	v, err := put(s, 7, []byte("meanwhile"), nil)
	if err != nil || synced(t, s, []store.Version{v}) != 1 {
		t.Errorf("a commit beside the settle: %v", err)
	}
	disk.Fail = func(c simdisk.Call) error {
		if c.Op == "SyncDir" {
			return syscall.EIO
		}
		return nil
	}
	if _, err := put(s, 8, []byte("fails"), nil); !errors.Is(err, store.ErrStuck) {
		t.Errorf("Commit = %v", err)
	}
	close(fsys.end)
	if err := <-settled; !errors.Is(err, store.ErrStuck) || synced(t, s, versions) > 0 {
		t.Errorf("Settle = %v, %d versions of an earlier run count", err, synced(t, s, versions))
	}
}

// TestSettleWithoutDescriptors: no sync has begun, so another may.
func TestSettleWithoutDescriptors(t *testing.T) {
	disk, versions := left(t, 1)
	s := openOn(t, disk.Mount())
	disk.Fail = func(c simdisk.Call) error {
		if c.Op == "SyncAll" {
			return syscall.EMFILE
		}
		return nil
	}
	if err := s.Settle(); !errors.Is(err, syscall.EMFILE) || errors.Is(err, store.ErrStuck) || synced(t, s, versions) > 0 {
		t.Errorf("Settle = %v", err)
	}
	disk.Fail = nil
	if err := s.Settle(); err != nil || synced(t, s, versions) != len(versions) {
		t.Errorf("Settle again = %v", err)
	}
}

// TestNameThatIsNotSyncedDoesNotCount: also when everything of before does.
func TestNameThatIsNotSyncedDoesNotCount(t *testing.T) {
	disk := simdisk.New(1)
	s := openOn(t, disk.Mount())
	if _, err := put(s, 1, []byte("first"), nil); err != nil { // makes the folder
		t.Fatal(err)
	}
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	disk.Fail = func(c simdisk.Call) error {
		if c.Op == "SyncDir" {
			return syscall.EMFILE
		}
		return nil
	}
	if _, err := put(s, 1, []byte("m"), nil); !errors.Is(err, syscall.EMFILE) {
		t.Fatalf("Commit = %v", err)
	}
	v := store.Version{Key: 1, Sum: sum([]byte("m"))}
	if present, synced, err := s.Has(v); !present || synced || err != nil {
		t.Errorf("Has = %v, %v, %v of a name that is not synced", present, synced, err)
	}
	disk.Fail = nil
	if _, err := put(s, 1, []byte("n"), nil); err != nil {
		t.Fatal(err)
	}
	if _, synced, err := s.Has(v); !synced || err != nil {
		t.Errorf("Has = %v, %v when its folder has been synced since", synced, err)
	}
}

// TestSettleOfARealFolder: by syncfs where that is, and else folder by folder.
func TestSettleOfARealFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	v, err := put(s, 1<<63, []byte("m"), content(1, 3000))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, dir)
	if n := synced(t, s, []store.Version{v}); n != 0 {
		t.Error("it counts before the disk is settled")
	}
	if err := s.Settle(); err != nil || synced(t, s, []store.Version{v}) != 1 {
		t.Errorf("Settle = %v", err)
	}
	if err := store.Dir(dir + "/none").SyncAll(); err == nil {
		t.Error("a folder that is not there is synced")
	}
}

// TestVersionLargerThanTheFreeSpaceStopsNoStart: on a disk with less room than what
// one version takes, a start is settled and counted, and the version counts and is
// whole. (Each start wrote every version anew, and never ended here.)
func TestVersionLargerThanTheFreeSpaceStopsNoStart(t *testing.T) {
	disk := simdisk.New(1)
	data := bytes.Repeat([]byte("x"), 3*store.BlockSize)
	s := openOn(t, disk.Mount())
	v, err := put(s, 7, []byte("m"), data)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	for _, room := range []int64{0, 1, store.BlockSize} {
		disk.Capacity = 0
		s := openOn(t, disk.Mount())
		usage, err := s.Usage()
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		disk.Capacity = usage.Total - usage.Free + room
		s = openOn(t, disk.Mount())
		if err := errors.Join(s.Settle(), s.Count(t.Context())); err != nil {
			t.Fatalf("%d bytes free: %v", room, err)
		}
		if n, size, known := s.Stored(); n != 1 || size < int64(len(data)) || !known {
			t.Errorf("%d bytes free: %d versions of %d bytes, known %v", room, n, size, known)
		}
		if n := synced(t, s, []store.Version{v}); n != 1 {
			t.Errorf("%d bytes free: it counts as no copy", room)
		}
		if _, got, err := read(s, v); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes free: read %d bytes, %v", room, len(got), err)
		}
		s.Close()
	}
}
