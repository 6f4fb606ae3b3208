package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
)

// inFolder are the names in the folder of key 1.
func inFolder(t *testing.T, fsys store.FS) (own, bytes int) {
	t.Helper()
	names, err := fsys.List("files/000")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if len(name) == len(bytesName(1, nil)) {
			bytes++
		} else {
			own++
		}
	}
	return own, bytes
}

// TestLargeBytesLieApart: from a byte above a block on, and once for all versions
// of one key that have them. They go when no version has them, in trash/ neither.
func TestLargeBytesLieApart(t *testing.T) {
	for _, size := range []int{0, store.BlockSize, store.BlockSize + 1, 3 * store.BlockSize} {
		disk := simdisk.New(1)
		fsys := disk.Mount()
		s := openSim(t, disk)
		data := content(1, size)
		var versions []store.Version
		for i := range 3 {
			v, err := put(s, uint64(1+i/2), fmt.Append(nil, i), data)
			if err != nil {
				t.Fatal(err)
			}
			versions = append(versions, v)
		}
		files := func(want int) {
			t.Helper()
			if size <= store.BlockSize {
				want = 0
			}
			if _, n := inFolder(t, fsys); n != want {
				t.Errorf("size %d: %d files of bytes, want %d", size, n, want)
			}
		}
		again := func() {
			t.Helper()
			disk.Kill()
			fsys, s = disk.Mount(), openSim(t, disk)
			if err := s.List(0, 0, func(store.Entry) bool { return true }); err != nil {
				t.Fatal(err)
			}
		}
		files(2) // of key 1 and of key 2
		if err := s.Remove(versions[0]); err != nil {
			t.Fatal(err)
		}
		for _, v := range versions[1:] {
			if _, got, err := read(s, v); err != nil || !bytes.Equal(got, data) {
				t.Errorf("size %d: beside a removed version: %v", size, err)
			}
		}
		name := nameOf(t, s, versions[1])
		if err := s.Remove(versions[1]); err != nil {
			t.Fatal(err)
		}
		again()
		files(2) // as long as trash/ has one
		trash, err := fsys.List("trash")
		if err != nil || len(trash) != 2 || !slices.Contains(trash, name) {
			t.Fatalf("trash/ holds %q, %v", trash, err)
		}
		for _, name := range trash {
			if err := fsys.Remove("trash/" + name); err != nil {
				t.Fatal(err)
			}
		}
		again()
		files(1)
		if _, got, err := read(s, versions[2]); err != nil || !bytes.Equal(got, data) {
			t.Errorf("size %d: the last version: %v", size, err)
		}
	}
}

// TestVersionCountsWithItsBytes: one whose bytes are gone, taken away or damaged,
// is not here, in no list and for no key, and neither is another that has the same;
// when one is written again, both are.
func TestVersionCountsWithItsBytes(t *testing.T) {
	for _, how := range []string{"gone", "damaged", "gone while it does not run"} {
		disk := simdisk.New(1)
		fsys := disk.Mount()
		s := openSim(t, disk)
		data := content(1, store.BlockSize+5)
		var versions []store.Version
		for i := range 2 {
			v, err := put(s, 1, fmt.Append(nil, i), data)
			if err != nil {
				t.Fatal(err)
			}
			versions = append(versions, v)
		}
		count := func(want int) {
			t.Helper()
			listed, each, found, has := 0, 0, 0, 0
			if err := errors.Join(s.List(0, 0, func(store.Entry) bool { listed++; return true }), s.Each(1, func(store.Entry) { each++ })); err != nil {
				t.Fatal(err)
			}
			for _, v := range versions {
				if _, err := s.Find(v); err == nil {
					found++
				}
				if present, _, err := s.Has(v); present && err == nil {
					has++
				}
			}
			if listed != want || each != want || found != want || has != want {
				t.Errorf("%s: %d listed, %d of the key, %d found, %d there; want %d of each", how, listed, each, found, has, want)
			}
		}
		count(2)
		file := "files/000/" + bytesName(1, data)
		var err error
		if how == "damaged" {
			err = disk.Damage(file, func(b []byte) []byte { b[9] ^= 1; return b })
		} else {
			err = fsys.Remove(file)
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(how, "run") {
			disk.Kill()
			s = openSim(t, disk)
		} else if _, _, err := read(s, versions[0]); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: read = %v", how, err)
		}
		count(0)
		if _, err := put(s, 1, []byte("1"), data); err != nil {
			t.Fatal(err)
		}
		count(2)
		for _, v := range versions {
			if _, got, err := read(s, v); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: written again: %v", how, err)
			}
		}
	}
}

// TestAdoptWritesNoBytes: a version whose bytes are here costs its own file, and
// outlives a power cut; of bytes that are not, or not surely on the disk, of
// another key, root or size, none is made.
func TestAdoptWritesNoBytes(t *testing.T) {
	disk := simdisk.New(1)
	s := openSim(t, disk)
	data := content(1, 2*store.BlockSize)
	_, root := blockList(data)
	if _, err := s.Adopt(1, labels, root, int64(len(data)), []byte("m")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Adopt of nothing = %v", err)
	}
	first, err := put(s, 1, []byte("m"), data)
	if err != nil {
		t.Fatal(err)
	}
	other := root
	other[31] ^= 1 // beyond what is in names
	for what, try := range map[string]func() (store.Version, error){
		"key":   func() (store.Version, error) { return s.Adopt(2, labels, root, int64(len(data)), []byte("n")) },
		"root":  func() (store.Version, error) { return s.Adopt(1, labels, other, int64(len(data)), []byte("n")) },
		"size":  func() (store.Version, error) { return s.Adopt(1, labels, root, int64(len(data))-1, []byte("n")) },
		"small": func() (store.Version, error) { return s.Adopt(1, labels, root, 5, []byte("n")) },
	} {
		if v, err := try(); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("another %s: %v, %v", what, v, err)
		}
	}
	if _, err := s.Adopt(1, labels, root, int64(len(data)), nil); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("without a manifest: %v", err)
	}
	written := 0
	disk.Fail = func(c simdisk.Call) error {
		if c.Op == "WriteAt" {
			written++
		}
		return nil
	}
	second, err := s.Adopt(1, labels, root, int64(len(data)), []byte("n"))
	if err != nil || written != 1 {
		t.Fatalf("Adopt = %v, with %d writes", err, written)
	}
	disk.PowerCut()
	s = openSim(t, disk)
	for _, v := range []store.Version{first, second} {
		if _, got, err := read(s, v); err != nil || !bytes.Equal(got, data) {
			t.Errorf("after a power cut: %v", err)
		}
	}
	if v, err := s.Adopt(1, labels, root, int64(len(data)), []byte("o")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of bytes that this run does not know to be on the disk: %v, %v", v, err)
	}
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	for _, v := range []store.Version{first, second} { // of which nothing but the bytes is left
		if err := disk.Damage("files/000/"+nameOf(t, s, v), func([]byte) []byte { return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Reader(v); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("Reader = %v, want ErrDamaged", err)
		}
	}
	v, err := s.Adopt(1, labels, root, int64(len(data)), []byte("n"))
	if err != nil || v != second {
		t.Errorf("Adopt of what an earlier run left, settled: %v, %v", v, err)
	}
	if _, got, err := read(s, v); err != nil || !bytes.Equal(got, data) {
		t.Errorf("adopted: %v", err)
	}
}

// TestBytesApartAreCountedOnce: two versions that have them are two, of the bytes
// of one and of two manifests, in this run and the next.
func TestBytesApartAreCountedOnce(t *testing.T) {
	disk := simdisk.New(1)
	s := openSim(t, disk)
	data := content(1, 2*store.BlockSize)
	want := int64(len(data) + 2*store.HashSize + 2*(92+1))
	for i := range 3 {
		if i == 2 {
			disk.Kill()
			s = openSim(t, disk)
		}
		if err := s.Count(t.Context()); err != nil {
			t.Fatal(err)
		}
		for j := range 2 - 2*min(i, 1) { // the first time, after it was counted
			if _, err := put(s, 1, fmt.Append(nil, j), data); err != nil {
				t.Fatal(err)
			}
		}
		n, size, known := s.Stored()
		if n != 2 || size != want || !known {
			t.Errorf("time %d: %d versions of %d bytes, known %v; want 2 of %d", i, n, size, known, want)
		}
	}
}
