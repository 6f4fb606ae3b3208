package store

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"unsafe"
)

// openDir opens the folder at dir for this test, which may close it before.
func openDir(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(Dir(dir), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// commit stores an empty version.
func commit(t testing.TB, s *Store, key uint64, labels Labels, manifest []byte) Version {
	t.Helper()
	w, err := s.Create(0)
	if err != nil {
		t.Fatal(err)
	}
	v, err := w.Commit(key, labels, manifest)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// all lists from key 0.
func all(t testing.TB, s *Store) (entries []Entry) {
	t.Helper()
	if err := s.List(1<<64-1, 1<<64-1, func(e Entry) bool { entries = append(entries, e); return true }); err != nil {
		t.Fatal(err)
	}
	return entries
}

// TestNamesFollowTheDisk stores, removes, rejects and finds damaged at random,
// in few folders and under few keys, and takes files away behind the store's
// back. At any time the store that has seen all of it, and began to read names in
// the midst of it, lists what one lists that reads the disk anew.
func TestNamesFollowTheDisk(t *testing.T) {
	for seed := range uint64(8) {
		rng := mathrand.New(mathrand.NewPCG(seed, 1))
		dir := t.TempDir()
		s := openDir(t, dir)
		var there []Entry
		for step := range 150 {
			i := rng.IntN(len(there) + 1)
			switch op := rng.IntN(8); {
			case op < 4 || i == len(there):
				l := Labels{Name: [16]byte{byte(rng.IntN(3))}, Number: rng.Uint64N(9), Writer: uint16(rng.IntN(3)), Flags: uint8(rng.IntN(2))}
				v := commit(t, s, uint64(rng.IntN(3))<<52+uint64(rng.IntN(2)), l, fmt.Append(nil, seed, step))
				there = append(there, Entry{v, l, [16]byte{0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40, 0x4d, 0xea, 0x36, 0xdc, 0xc9, 0x49}})
				continue
			case op == 4:
				if err := s.Remove(there[i].Version); err != nil {
					t.Fatal(err)
				}
			case op == 5:
				if err := s.Reject(there[i]); err != nil {
					t.Fatal(err)
				}
			default: // damaged, or gone
				path := filepath.Join(dir, there[i].path())
				err := os.Remove(path)
				if op == 6 {
					err = errors.Join(err, os.WriteFile(path, []byte("damaged"), 0o600))
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Reader(there[i].Version); errors.Is(err, ErrDamaged) != (op == 6) || !errors.Is(err, ErrNotFound) {
					t.Fatalf("seed %d: reading what is not there: %v", seed, err)
				}
			}
			there = slices.Delete(there, i, i+1)
			if step < 30 {
				continue // nobody has read a name so far, but of what was found missing
			}
			slices.SortFunc(there, Entry.compare)
			if got := all(t, s); !slices.Equal(got, there) {
				t.Fatalf("seed %d, step %d: %d versions listed, %d there", seed, step, len(got), len(there))
			}
			for _, e := range there {
				if got, err := s.Find(e.Version); err != nil || got != e {
					t.Fatalf("seed %d, step %d: Find = %+v, %v", seed, step, got, err)
				}
			}
		}
		s.Close()
		slices.SortFunc(there, Entry.compare)
		if got := all(t, openDir(t, dir)); !slices.Equal(got, there) {
			t.Errorf("seed %d: another run lists %d versions, %d are there", seed, len(got), len(there))
		}
	}
}

// TestNamesAreReadAmidWrites: whenever the names of a folder are first read,
// none that is committed or removed meanwhile is lost or kept.
func TestNamesAreReadAmidWrites(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	const writers, each = 4, 12
	var work sync.WaitGroup
	for i := range writers {
		work.Go(func() {
			for j := range each {
				v := commit(t, s, uint64(j)<<52, Labels{}, fmt.Append(nil, i, j))
				if j%2 == 1 {
					if err := s.Remove(v); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	work.Go(func() {
		for range 20 {
			all(t, s)
		}
	})
	work.Wait()
	if got := len(all(t, s)); got != writers*each/2 {
		t.Errorf("%d versions listed, %d are there", got, writers*each/2)
	}
	s.Close()
	if got := len(all(t, openDir(t, dir))); got != writers*each/2 {
		t.Errorf("another run lists %d versions", got)
	}
}

// lists is a file system that counts which folders are listed, and whose
// folders may hold names without files.
type lists struct {
	FS
	mu     sync.Mutex
	count  map[string]int
	claims map[string][]string
}

func (l *lists) List(dir string) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count[dir]++
	names, err := l.FS.List(dir)
	if claims, ok := l.claims[dir]; ok {
		return append(names, claims...), nil
	}
	return names, err
}

// TestNamesAreReadOnce: a folder is listed when it is first asked for, and no
// more in that run, whatever is asked.
func TestNamesAreReadOnce(t *testing.T) {
	fsys := &lists{FS: Dir(t.TempDir()), count: make(map[string]int)}
	s, err := Open(fsys, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 20 {
		v := commit(t, s, 7<<52, Labels{}, fmt.Append(nil, i))
		if _, _, err := s.Has(v); err != nil {
			t.Fatal(err)
		}
		all(t, s)
		if err := s.Each(9<<52, func(Entry) { t.Error("nothing has that key") }); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := fsys.count["files/007"], fsys.count["files/009"]; a != 1 || b != 1 {
		t.Errorf("the folders were listed %d and %d times", a, b)
	}
}

// TestMemoryOfNames: a version costs 120 bytes at most, and holds nothing that
// the garbage collector follows.
func TestMemoryOfNames(t *testing.T) {
	if size := unsafe.Sizeof(Entry{}); size != 88 {
		t.Errorf("an entry has %d bytes", size)
	}
	const folders, each = 64, 500
	fsys := &lists{FS: Dir(t.TempDir()), count: make(map[string]int), claims: make(map[string][]string)}
	s, err := Open(fsys, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := heap()
	entry := func(folder, i int) Entry {
		return Entry{Version: Version{Key: uint64(folder)<<52 + uint64(i), Sum: [32]byte{byte(i), byte(i >> 8)}}}
	}
	for folder := range folders {
		var names []string
		for i := range each {
			names = append(names, entry(folder, i).String())
		}
		fsys.claims = map[string][]string{folderPath(folder): names}
		if _, err := s.Find(Version{Key: uint64(folder) << 52}); err != nil && !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		for i := range each { // and as many that come later
			s.folders[folder].add(entry(folder, each+i), 0)
		}
	}
	fsys.claims = nil
	count := 0
	for folder := range folders {
		count += len(s.folders[folder].entries)
	}
	if per := float64(heap()-before) / float64(count); count != folders*2*each || per > 120 || per < 88 {
		t.Errorf("%d versions cost %.1f bytes each", count, per)
	}
	runtime.KeepAlive(s)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestFolderOfAnotherFormatIsRefused: by number, and nothing in it changes.
func TestFolderOfAnotherFormatIsRefused(t *testing.T) {
	for id, says := range map[string]string{
		"0123456789abcdef":     "format is 1",
		"\x030123456789abcdef": "format is 3",
	} {
		dir := t.TempDir()
		s := openDir(t, dir)
		if err := s.writeChecked(idFile, ".", []byte(id)); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if err := os.WriteFile(filepath.Join(dir, "tmp/1"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(Dir(dir), rand.Reader)
		if !errors.Is(err, ErrFormat) || !bytes.Contains([]byte(err.Error()), []byte(says)) {
			t.Errorf("a folder of id %q: %v", id, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "tmp/1")); err != nil {
			t.Errorf("something was changed: %v", err)
		}
	}
}
