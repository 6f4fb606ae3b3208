package store_test

import (
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
)

// TestCountFollowsTheDisk: what is stored is known from names and lengths, is
// not known before it has been counted, and is kept up to date by commits,
// removals and damage. Nothing is read for it.
func TestCountFollowsTheDisk(t *testing.T) {
	disk := simdisk.New(1)
	earlier := openOn(t, disk.Mount())
	var versions []store.Version
	for i := range 6 {
		v, err := put(earlier, uint64(i%3)<<52, fmt.Append(nil, i), content(i, 1000))
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, v)
	}
	disk.Kill()
	s := openOn(t, disk.Mount())
	if _, _, known := s.Stored(); known {
		t.Error("known before it is counted")
	}
	disk.Fail = func(c simdisk.Call) error {
		if c.Op == "ReadAt" {
			t.Error("a count reads a file")
		}
		return nil
	}
	one := int64(-1)
	want := func(when string, versions int) {
		t.Helper()
		if err := s.Count(t.Context()); err != nil {
			t.Fatal(err)
		}
		n, bytes, known := s.Stored()
		if one < 0 {
			one = bytes / int64(n)
		}
		if n != versions || bytes != one*int64(versions) || !known {
			t.Errorf("%s: Stored() = %d, %d, %v; want %d of %d bytes", when, n, bytes, known, versions, one)
		}
	}
	want("counted", 6)
	calls := disk.Calls()
	if want("counted again", 6); disk.Calls() != calls {
		t.Error("a count of what is known asks the disk")
	}
	disk.Fail = nil
	if one < 1000 || one > 1500 {
		t.Errorf("a version of 1000 bytes takes %d", one)
	}
	for _, key := range []uint64{0, 9 << 52} { // a folder that is there, and a new one
		if _, err := put(s, key, []byte{byte(key>>52) + 'a'}, content(1, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if n, bytes, known := s.Stored(); n != 8 || bytes != 8*one || !known {
		t.Errorf("after two commits: %d, %d, %v", n, bytes, known)
	}
	if _, err := put(s, 0, []byte("a"), content(1, 1000)); err != nil { // the same again
		t.Fatal(err)
	}
	if err := s.Remove(versions[0]); err != nil {
		t.Fatal(err)
	}
	want("one again, one removed", 7)
	gone := "files/001/" + nameOf(t, s, versions[1])
	if err := disk.Mount().Remove(gone); err != nil {
		t.Fatal(err)
	}
	if present, _, err := s.Has(versions[1]); present || err != nil {
		t.Errorf("Has = %v, %v of what somebody took away", present, err)
	}
	want("one taken away", 6)
}

// TestCommitsWhileItIsCounted: none is counted twice or left out.
func TestCommitsWhileItIsCounted(t *testing.T) {
	disk := simdisk.New(1)
	s := openOn(t, disk.Mount())
	for i := range 50 {
		if _, err := put(s, 0, fmt.Append(nil, "before ", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	disk.Kill()
	s = openOn(t, disk.Mount())
	var wg sync.WaitGroup
	wg.Go(func() { // ends with its commits
		for i := range 50 {
			if _, err := put(s, uint64(i%2)<<52, fmt.Append(nil, "while ", i), nil); err != nil {
				t.Error(err)
			}
		}
	})
	for known := false; !known; _, _, known = s.Stored() {
		if err := s.Count(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if n, _, known := s.Stored(); n != 100 || !known {
		t.Errorf("Stored() = %d, %v; want 100", n, known)
	}
}

// TestVersionThatIsBackIsKnown: a file that was away when somebody looked, and
// is back when it is stored again, is known again.
func TestVersionThatIsBackIsKnown(t *testing.T) {
	fsys := &awayFS{FS: simdisk.New(1).Mount()}
	s := openOn(t, fsys)
	v, err := put(s, 1, []byte("m"), content(1, 1000))
	if err != nil || s.Settle() != nil {
		t.Fatal(err)
	}
	fsys.away = true
	if present, _, err := s.Has(v); present || err != nil {
		t.Errorf("Has = %v, %v while it is away", present, err)
	}
	fsys.away = false
	if _, err := put(s, 1, []byte("m"), content(1, 1000)); err != nil {
		t.Fatal(err)
	}
	if present, synced, err := s.Has(v); !present || !synced || err != nil {
		t.Errorf("Has = %v, %v, %v when it is stored again", present, synced, err)
	}
}

// awayFS opens no version while they are away.
type awayFS struct {
	store.FS
	away bool
}

func (f *awayFS) Open(name string) (store.File, error) {
	if f.away && strings.HasPrefix(name, "files/") {
		return nil, fs.ErrNotExist
	}
	return f.FS.Open(name)
}
