package store_test

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
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

// openSim opens a simulated disk for this test.
func openSim(t testing.TB, disk *simdisk.Disk) *store.Store {
	t.Helper()
	s, err := store.Open(disk.Mount(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestListFollowsTheArc compares List with the definition of an arc, for every
// pair of ends at or beside a key, a folder or the top of the ring.
func TestListFollowsTheArc(t *testing.T) {
	s := openSim(t, simdisk.New(1))
	const top = 1<<64 - 1
	keys := []uint64{0, 1, 255, 1<<52 - 1, 1 << 52, 1<<52 + 1, 1<<63 - 1, 1 << 63, top - 1, top}
	var all []store.Version
	for i, key := range keys {
		for j := range i%2 + 1 {
			v, err := put(s, key, fmt.Appendf(nil, "%d %d", i, j), nil)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, v)
		}
	}
	ends := slices.Concat(keys, []uint64{2, 1 << 40, 1<<53 + 7, 1<<62 + 5, top - 2})
	for _, from := range ends {
		for _, to := range ends {
			var got []store.Version
			if err := s.List(from, to, func(e store.Entry) bool { got = append(got, e.Version); return true }); err != nil {
				t.Fatal(err)
			}
			if want := arc(all, from, to); !slices.Equal(got, want) {
				t.Errorf("List(%#x, %#x) = %v, want %v", from, to, got, want)
			}
		}
	}
	n := 0
	if err := s.List(5, 5, func(store.Entry) bool { n++; return n < 4 }); err != nil || n != 4 {
		t.Errorf("List goes on to %d after false, %v", n, err)
	}
}

// arc is the definition: distances from the start of the arc, which is not on
// it, go from 1 to that of its end; the whole ring ends where it starts.
func arc(all []store.Version, from, to uint64) []store.Version {
	var on []store.Version
	for _, v := range all {
		if v.Key-from-1 <= to-from-1 {
			on = append(on, v)
		}
	}
	slices.SortFunc(on, func(a, b store.Version) int {
		return cmp.Or(cmp.Compare(a.Key-from-1, b.Key-from-1), bytes.Compare(a.Sum[:], b.Sum[:]))
	})
	return on
}

// TestVersionsOfAKey: two writers of one name, and another name beside it.
func TestVersionsOfAKey(t *testing.T) {
	s := openSim(t, simdisk.New(1))
	want := map[uint64]int{7: 2, 8: 1, 9: 0, 1 << 60: 0}
	for key, n := range want {
		for i := range n {
			if _, err := put(s, key, fmt.Append(nil, key, i), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for key, n := range want {
		got := 0
		err := s.Each(key, func(e store.Entry) {
			if got++; e.Key != key || e.Labels != labels {
				t.Errorf("Each(%d) gives %+v", key, e)
			}
		})
		if err != nil || got != n {
			t.Errorf("Each(%d) gives %d versions, %v, want %d", key, got, err, n)
		}
	}
}

// TestStrangeNamesAreIgnored: what is no version, or lies in a folder that is
// not its own, is not listed and stops nothing.
func TestStrangeNamesAreIgnored(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	v, err := put(s, 0xabc<<52, []byte("m"), nil)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := store.Entry{Version: store.Version{Key: 1, Sum: v.Sum}}.String()
	name := nameOf(t, s, v)
	name1 := v.String() // of format 1
	for _, strange := range []string{
		"files/zzz/x", "files/ABC/x", "files/abcd/x", "files/0/x", "files/+bc/x", "files/1/2/3",
		"files/abc/" + elsewhere,
		"files/abc/" + strings.ToUpper(name),
		"files/abc/" + name + "0",
		"files/abc/" + name[1:],
		"files/abc/" + strings.Replace(name, "-", "_", 1),
		"files/abc/" + strings.Replace(name, "a", "g", 1),
		"files/abc/.hidden", "files/abc/" + name1,
	} {
		path := filepath.Join(dir, strange)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	s = open(t, dir)
	var got []store.Version
	if err := s.List(0, 0, func(e store.Entry) bool { got = append(got, e.Version); return true }); err != nil || !slices.Equal(got, []store.Version{v}) {
		t.Errorf("List = %v, %v, want %v", got, err, v)
	}
}

// TestStartReadsNoVersion: a start makes the same calls whatever is stored, and
// none of them on a version.
func TestStartReadsNoVersion(t *testing.T) {
	disk := simdisk.New(1)
	openSim(t, disk) // makes the folders
	calls := func() (n int) {
		disk.Kill()
		disk.Fail = func(c simdisk.Call) error {
			n++
			if strings.HasPrefix(c.Name, "files/") {
				t.Errorf("start calls %s %s", c.Op, c.Name)
			}
			return nil
		}
		defer func() { disk.Fail = nil }()
		openSim(t, disk)
		return n
	}
	before := calls()
	disk.Kill()
	s := openSim(t, disk)
	for i := range 50 {
		if _, err := put(s, uint64(i)<<55, fmt.Append(nil, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if after := calls(); after != before {
		t.Errorf("%d calls to start with 50 versions, %d with none", after, before)
	}
}

// TestListOfFewIsFewCalls: folders that are not there cost nothing.
func TestListOfFewIsFewCalls(t *testing.T) {
	disk := simdisk.New(1)
	s := openSim(t, disk)
	for i := range 3 {
		if _, err := put(s, uint64(i)<<60, fmt.Append(nil, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	before := disk.Calls()
	if err := s.List(0, 0, func(store.Entry) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if n := disk.Calls() - before; n > 5 { // files/, each of three, and the first again for its other end
		t.Errorf("%d calls to list 3 versions", n)
	}
}

// TestRemovedGoesToTrash: a dropped copy is kept aside, and is not counted.
func TestRemovedGoesToTrash(t *testing.T) {
	disk := simdisk.New(1)
	s := openSim(t, disk)
	v, err := put(s, 1, []byte("m"), content(1, 10))
	if err != nil {
		t.Fatal(err)
	}
	name := nameOf(t, s, v)
	if err := s.Remove(v); err != nil {
		t.Fatal(err)
	}
	if present, synced, err := s.Has(v); present || synced || err != nil {
		t.Errorf("Has = %v, %v, %v after Remove", present, synced, err)
	}
	if err := disk.Damage("trash/"+name, func(b []byte) []byte { return b }); err != nil {
		t.Errorf("trash: %v", err)
	}
	if err := s.Remove(v); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Remove again = %v, want ErrNotFound", err)
	}
	if _, err := put(s, 1, []byte("m"), content(1, 10)); err != nil {
		t.Fatal(err)
	}
	if present, synced, err := s.Has(v); !present || !synced || err != nil {
		t.Errorf("Has = %v, %v, %v when stored again", present, synced, err)
	}
}

// TestHasIsNeverAGuess: an error is not a no.
func TestHasIsNeverAGuess(t *testing.T) {
	disk := simdisk.New(1)
	s := openSim(t, disk)
	v, err := put(s, 1, []byte("m"), nil)
	if err != nil {
		t.Fatal(err)
	}
	disk.Kill()
	s = openSim(t, disk) // one that has read no names
	disk.Fail = func(simdisk.Call) error { return errors.New("no descriptor") }
	if _, _, err := s.Has(v); err == nil {
		t.Error("Has gives no error")
	}
	if err := s.Each(1, func(store.Entry) {}); err == nil {
		t.Error("Each gives no error")
	}
	if err := s.List(0, 0, func(store.Entry) bool { return true }); err == nil {
		t.Error("List gives no error")
	}
	if _, err := s.Usage(); err == nil {
		t.Error("Usage gives no error")
	}
}
