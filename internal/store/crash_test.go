package store_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
)

// at makes the n-th call from here end in err.
func at(disk *simdisk.Disk, n int, err error) (fired func() bool) {
	start, hit := disk.Calls(), false
	disk.Fail = func(c simdisk.Call) error {
		if c.N-start == n {
			hit = true
			return err
		}
		return nil
	}
	return func() bool { disk.Fail = nil; return hit }
}

// TestPowerCutAtEveryCall cuts the power at each call of a run, with several
// seeds for what the disk keeps of the unsynced; every third time once more
// at a call of the recovery.
func TestPowerCutAtEveryCall(t *testing.T) {
	const seeds = 12
	cuts, recoveries := 0, 0
	for n := 0; ; n++ {
		for seed := range uint64(seeds) {
			sizes := []int{0, 3000, 9000, 511}
			if seed == 0 {
				sizes[2] = store.BlockSize + 1
			}
			h := newHistory(t, simdisk.New(seed<<32+uint64(n)), sizes...)
			fired := at(h.disk, n, simdisk.ErrPower)
			h.run(h.disk.Mount())
			if !fired() {
				t.Logf("%d cuts, %d more during recovery", cuts, recoveries)
				if cuts < 100*seeds || recoveries < 100 {
					t.Errorf("too few cuts")
				}
				return
			}
			cuts++
			if n%3 == 0 {
				fired := at(h.disk, int(seed), simdisk.ErrPower)
				store.Open(h.disk.Mount(), rand.Reader)
				if fired() {
					recoveries++
				}
				h.disk.PowerCut()
			}
			h.check(fmt.Sprintf("power cut at call %d, seed %d", n, seed))
			if t.Failed() {
				return
			}
		}
	}
}

// TestKillAtEveryCall ends the process at each call, as kill -9 does: the
// kernel keeps what was written, and the next run must not take that for
// synced.
func TestKillAtEveryCall(t *testing.T) {
	for n := 0; ; n++ {
		h := newHistory(t, simdisk.New(uint64(n)), 0, 3000, 511)
		fired := at(h.disk, n, simdisk.ErrKilled)
		h.run(h.disk.Mount())
		if !fired() {
			if n < 80 {
				t.Errorf("only %d kills", n)
			}
			return
		}
		h.check(fmt.Sprintf("killed at call %d", n))
		h.disk.Kill()
		h.run(h.disk.Mount())
		h.disk.PowerCut()
		h.check(fmt.Sprintf("killed at call %d, then a power cut", n))
		if t.Failed() {
			return
		}
	}
}

// forgetful is a file system that leaves out a sync: a store over it is the
// store with that line missing.
type forgetful struct {
	store.FS
	file func(name string) bool // syncs of these files do nothing
	dir  func(name string) bool
}

func (f forgetful) SyncDir(dir string) error {
	if f.dir != nil && f.dir(dir) {
		return nil
	}
	return f.FS.SyncDir(dir)
}

func (f forgetful) Create(name string) (store.File, error) {
	file, err := f.FS.Create(name)
	if err != nil || f.file == nil || !f.file(name) {
		return file, err
	}
	return unsynced{file}, nil
}

type unsynced struct{ store.File }

func (unsynced) Sync() error { return nil }

// TestDiskFindsEveryMissingSync holds the simulated disk to its purpose: a
// store that leaves out any one of its syncs loses something that it has
// confirmed, within 40 power cuts.
func TestDiskFindsEveryMissingSync(t *testing.T) {
	tests := map[string]forgetful{
		"file":                    {file: func(string) bool { return true }},
		"folder of the version":   {dir: func(dir string) bool { return strings.HasPrefix(dir, "files/") }},
		"folder of that folder":   {dir: func(dir string) bool { return dir == "files" }},
		"data folder":             {dir: func(dir string) bool { return dir == "." }},
		"folder of the state":     {dir: func(dir string) bool { return dir == "state" }},
		"none, as a counter-test": {},
	}
	for name, fsys := range tests {
		t.Run(name, func(t *testing.T) {
			lost := 0
			for seed := range uint64(40) {
				disk := simdisk.New(seed)
				fsys.FS = disk.Mount()
				if !survives(t, disk, fsys) {
					lost++
				}
			}
			if wantLoss := fsys.dir != nil || fsys.file != nil; wantLoss != (lost > 0) {
				t.Errorf("%d of 40 power cuts lost something confirmed", lost)
			}
		})
	}
}

// survives stores one version and one state through fsys, cuts the power, and
// tells whether both are back.
func survives(t *testing.T, disk *simdisk.Disk, fsys store.FS) bool {
	t.Helper()
	s, err := store.Open(fsys, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v, err := put(s, 1, []byte("m"), content(1, 5000))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WriteState("count", []byte("1")); err != nil {
		t.Fatal(err)
	}
	disk.PowerCut()
	s, err = store.Open(disk.Mount(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = read(s, v)
	_, stateErr := s.ReadState("count")
	return err == nil && stateErr == nil
}

// TestFailedFolderSyncStopsTheWriterBesideIt: A's sync of a folder fails, and
// takes B's name in the same folder with it. B must not be confirmed by a
// sync that has nothing left to do: neither where both names are versions, nor
// where both are new folders.
func TestFailedFolderSyncStopsTheWriterBesideIt(t *testing.T) {
	for round := range 40 {
		keys := [2]uint64{1, 1}
		if round%2 == 1 {
			keys = [2]uint64{1 << 52, 2 << 52}
		}
		fsys := &gate{FS: simdisk.New(1).Mount(), entered: make(chan struct{}), written: make(chan struct{})}
		s, err := store.Open(fsys, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := put(s, 1, []byte("first"), nil); err != nil { // makes the folder
			t.Fatal(err)
		}
		fsys.armed.Store(true)
		// Both end when their commits do, and are waited for by their channels.
		a, b := make(chan error, 1), make(chan error, 1)
		go func() { _, err := put(s, keys[0], []byte("a"), nil); a <- err }()
		<-fsys.entered
		go func() { _, err := put(s, keys[1], []byte("b"), nil); b <- err }()
		if err := <-a; !errors.Is(err, store.ErrStuck) {
			t.Errorf("A: Commit = %v, want ErrStuck", err)
		}
		if err := <-b; !errors.Is(err, store.ErrStuck) {
			t.Errorf("B: Commit = %v, want ErrStuck", err)
		}
	}
}
