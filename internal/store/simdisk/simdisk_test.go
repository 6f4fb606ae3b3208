package simdisk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"securepeer/internal/store"
)

// TestSameCallsSameDisk: what a power cut leaves is drawn from the seed.
func TestSameCallsSameDisk(t *testing.T) {
	after := func(seed uint64) string {
		d := New(seed)
		m := d.Mount()
		for i := range 8 {
			f := create(t, m, fmt.Sprint("file ", i))
			writeAt(t, f, 0, bytes.Repeat([]byte{byte(i + 1)}, 3000))
			if i%3 == 0 {
				syncFile(t, f)
			}
		}
		d.PowerCut()
		return dump(t, d)
	}
	differ := 0
	for seed := range uint64(20) {
		if first, second := after(seed), after(seed); first != second {
			t.Errorf("seed %d leaves\n%sand\n%s", seed, first, second)
		}
		if after(seed) != after(seed+1) {
			differ++
		}
	}
	if differ < 15 {
		t.Errorf("only %d of 20 seeds differ from the next", differ)
	}
}

// dump is a line for each name on the disk.
func dump(t *testing.T, d *Disk) string {
	t.Helper()
	m := d.Mount()
	names, err := m.List(".")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, name := range names {
		fmt.Fprintf(&b, "%s %x\n", name, contents(t, m, name))
	}
	return b.String()
}

// TestCutKeepsWholeSectors overwrites a synced file and cuts the power: each
// sector is the old one or the new one, and all kinds of mixture occur.
func TestCutKeepsWholeSectors(t *testing.T) {
	const sectors = 6
	var old, fresh, torn int
	for seed := range uint64(200) {
		d := New(seed)
		m := d.Mount()
		f := create(t, m, "file")
		writeAt(t, f, 0, bytes.Repeat([]byte{1}, sectors*sector))
		syncFile(t, f)
		if err := m.SyncDir("."); err != nil {
			t.Fatal(err)
		}
		writeAt(t, f, 0, bytes.Repeat([]byte{2}, sectors*sector))
		d.PowerCut()
		b := contents(t, d.Mount(), "file")
		n := 0
		for i := range sectors {
			part := b[i*sector : (i+1)*sector]
			if bytes.Count(part, []byte{2}) == sector {
				n++
			} else if bytes.Count(part, []byte{1}) != sector {
				t.Fatalf("seed %d: sector %d is mixed", seed, i)
			}
		}
		switch n {
		case 0:
			old++
		case sectors:
			fresh++
		default:
			torn++
		}
	}
	if old < 20 || fresh < 20 || torn < 20 {
		t.Errorf("%d old, %d new, %d torn of 200", old, fresh, torn)
	}
}

// TestFailedSyncCountsAsClean: the second sync of a file or folder succeeds and
// writes nothing.
func TestFailedSyncCountsAsClean(t *testing.T) {
	lost := 0
	for seed := range uint64(100) {
		d := New(seed)
		m := d.Mount()
		f := create(t, m, "file")
		writeAt(t, f, 0, bytes.Repeat([]byte{1}, 3*sector))
		d.Fail = func(Call) error { return syscall.EIO }
		if err := f.Sync(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("Sync = %v, want EIO", err)
		}
		if err := m.SyncDir("."); !errors.Is(err, syscall.EIO) {
			t.Fatalf("SyncDir = %v, want EIO", err)
		}
		d.Fail = nil
		syncFile(t, f)
		if err := m.SyncDir("."); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, m, "file"); bytes.Count(got, []byte{1}) != 3*sector {
			t.Fatalf("seed %d: memory forgets", seed)
		}
		d.PowerCut()
		if g, err := d.Mount().Open("file"); err != nil {
			lost++
		} else if n, _ := g.Size(); n < 3*sector {
			lost++
		}
	}
	if lost < 50 {
		t.Errorf("only %d of 100 lost something", lost)
	}
}

// TestEarlierMountIsDead: a process that has been killed does nothing more.
func TestEarlierMountIsDead(t *testing.T) {
	for name, end := range map[string]func(*Disk){"kill": (*Disk).Kill, "power cut": (*Disk).PowerCut} {
		d := New(1)
		m := d.Mount()
		f := create(t, m, "file")
		if _, err := m.Lock(); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Mount().Lock(); !errors.Is(err, store.ErrInUse) {
			t.Errorf("%s: second Lock = %v, want ErrInUse", name, err)
		}
		end(d)
		if _, err := f.WriteAt([]byte{1}, 0); err == nil {
			t.Errorf("%s: a file of before still writes", name)
		}
		if err := m.Mkdir("dir"); err == nil {
			t.Errorf("%s: a mount of before still makes folders", name)
		}
		if _, err := d.Mount().Lock(); err != nil {
			t.Errorf("%s: Lock after it = %v", name, err)
		}
	}
}

// TestErrorsOfAFileSystem: the store branches on these.
func TestErrorsOfAFileSystem(t *testing.T) {
	d := New(1)
	d.Capacity = 100
	m := d.Mount()
	f := create(t, m, "file")
	if _, err := m.Create("file"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create again = %v", err)
	}
	if err := m.Mkdir("dir"); err != nil {
		t.Fatal(err)
	}
	if err := m.Mkdir("dir"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Mkdir again = %v", err)
	}
	create(t, m, "dir/file")
	if err := m.Remove("dir"); err == nil {
		t.Error("a folder with a file in it is removed")
	}
	for _, name := range []string{"none", "none/none", "dir/none"} {
		if _, err := m.Open(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%q) = %v", name, err)
		}
		if err := m.Rename(name, "other"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Rename(%q) = %v", name, err)
		}
		if err := m.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Remove(%q) = %v", name, err)
		}
	}
	n, err := f.WriteAt(make([]byte, 101), 0)
	if !errors.Is(err, syscall.ENOSPC) || n > 101 {
		t.Errorf("WriteAt = %d, %v, want ENOSPC", n, err)
	}
}

func create(t *testing.T, m store.FS, name string) store.File {
	t.Helper()
	f, err := m.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func writeAt(t *testing.T, f store.File, off int64, b []byte) {
	t.Helper()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

func syncFile(t *testing.T, f store.File) {
	t.Helper()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, m store.FS, name string) []byte {
	t.Helper()
	f, err := m.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	n, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	if n > 0 {
		if _, err := f.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
	}
	return b
}
