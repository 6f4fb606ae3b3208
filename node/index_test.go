package node

import (
	"flag"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
	"securepeer/wire"
)

// heldFS opens versions only when it is told to.
type heldFS struct {
	store.FS
	began, free chan struct{}
}

func (f *heldFS) Open(name string) (store.File, error) {
	if f.began != nil && len(name) > len("files/000/") && name[:6] == "files/" {
		began := f.began
		f.began = nil
		close(began)
		<-f.free
	}
	return f.FS.Open(name)
}

// TestCommitDoesNotWaitForAListing: what is committed while a listing walks the
// disk does not wait for it, and is in it.
func TestCommitDoesNotWaitForAListing(t *testing.T) {
	fsys := &heldFS{FS: simdisk.New(1).Mount()}
	d := diskOn(t, fsys)
	for i := range 5 {
		d.keep(t, wire.Manifest{Name: fmt.Sprint("before ", i), Version: 1, Writer: 1, Signer: 1, Flags: wire.Tombstone})
	}
	began := make(chan struct{})
	fsys.began, fsys.free = began, make(chan struct{})
	listed := make(chan error)
	go func() { listed <- d.index.build(d) }() // ends below
	<-began
	d.index.add(indexed{"while", 1})
	close(fsys.free)
	if err := <-listed; err != nil {
		t.Fatal(err)
	}
	if names, _ := d.index.after("", "", 10); len(names) != 6 || names[5].name != "while" {
		t.Errorf("listed: %v", names)
	}
}

// openedFS counts the versions that are opened.
type openedFS struct {
	store.FS
	opened atomic.Int64
}

func (f *openedFS) Open(name string) (store.File, error) {
	if strings.HasPrefix(name, "files/") {
		f.opened.Add(1)
	}
	return f.FS.Open(name)
}

// rerun opens the disk of an earlier run and builds its index.
func rerun(t *testing.T, sim *simdisk.Disk) (d *disk, names []string, opened int64) {
	t.Helper()
	fsys := &openedFS{FS: sim.Mount()}
	s, err := store.Open(fsys, strings.NewReader(strings.Repeat("x", 16)))
	if err != nil {
		t.Fatal(err)
	}
	d, err = openDisk(s, slog.New(slog.DiscardHandler), anybody)
	if err == nil {
		err = d.index.build(d)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range d.index.entries {
		if e.key != uint64(wire.KeyOf(wire.Space8, e.name)) {
			t.Errorf("%q lies at %d", e.name, e.key)
		}
		names = append(names, e.name)
	}
	return d, names, fsys.opened.Load()
}

// TestNamesOfAnEarlierRunAreNotOpened: the names that a run has known are known to
// the next without opening a version, whenever they were stored; one that is not in
// the cache is read from one of its versions, and is in the cache then; one without
// a version is not listed, and when most are such the cache is written anew.
// (The first listing after a start opened every version there was.)
func TestNamesOfAnEarlierRunAreNotOpened(t *testing.T) {
	sim := simdisk.New(1)
	d, _, _ := rerun(t, sim)
	keep := func(name string, version uint64) store.Version {
		m := wire.Manifest{Name: name, Version: version, Writer: 1, Signer: 1, Flags: wire.Tombstone}
		d.keep(t, m)
		return versionOf(wire.Space8, m)
	}
	var want []string
	var versions []store.Version
	for i := range 40 {
		want = append(want, fmt.Sprintf("f%02d", i))
		for v := range uint64(3) {
			versions = append(versions, keep(want[i], v+1))
		}
	}
	check := func(when string, opens int64) {
		t.Helper()
		d.Close()
		var names []string
		var opened int64
		if d, names, opened = rerun(t, sim); !slices.Equal(names, want) || opened != opens {
			t.Errorf("%s: %d names, %d versions opened; want %d, %d", when, len(names), opened, len(want), opens)
		}
	}
	check("another run", 0)
	d.index.built = false // as when names are stored before the index is built
	keep("f40", 1)
	keep("f40", 2)
	want = append(want, "f40")
	check("one is not in the cache", 1)
	check("it is now", 0)

	for _, v := range versions[:25*3] {
		if err := d.Remove(v); err != nil {
			t.Fatal(err)
		}
	}
	want = want[25:]
	size := func() (n int) {
		sim.Damage("state/names", func(b []byte) []byte { n = len(b); return b })
		return n
	}
	if n := size(); n != 41*5 {
		t.Errorf("cache of %d bytes, want %d", n, 41*5)
	}
	check("most are dead", 0)
	if n := size(); n != len(want)*5 {
		t.Errorf("cache of %d bytes when most of it was dead, want %d", n, len(want)*5)
	}
	check("it was written anew", 0)
	d.Close()
}

// TestDamagedCacheOfNamesHarmsNothing: wherever it is cut off, or a byte of it is
// another, the names are those of the versions, and the next run opens none.
func TestDamagedCacheOfNamesHarmsNothing(t *testing.T) {
	sim := simdisk.New(1)
	d, _, _ := rerun(t, sim)
	var want []string
	for i := range 6 {
		want = append(want, fmt.Sprintf("f%d", i))
		d.keep(t, wire.Manifest{Name: want[i], Version: 1, Writer: 1, Signer: 1, Flags: wire.Tombstone})
	}
	d.Close()
	length := 4 * len(want)
	for i := range length {
		for _, change := range []func([]byte) []byte{
			func(b []byte) []byte { return b[:i] },
			func(b []byte) []byte { b[i] ^= 1; return b },
			func(b []byte) []byte { b[i] ^= 0x80; return b },
			func(b []byte) []byte { clear(b[i:]); return b },
			func(b []byte) []byte { return append(b, make([]byte, i+1)...) },
		} {
			if err := sim.Damage("state/names", change); err != nil {
				t.Fatal(err)
			}
			for _, when := range []string{"damaged", "in the next run"} {
				d, names, opened := rerun(t, sim)
				d.Close()
				if !slices.Equal(names, want) || when == "in the next run" && opened > 0 {
					t.Fatalf("byte %d, %s: %q, %d versions opened", i, when, names, opened)
				}
			}
		}
	}
}

// unsynced leaves the syncs out: a benchmark stores as fast as it can.
type unsynced struct{ store.FS }

type unsyncedFile struct{ store.File }

func (unsynced) SyncDir(string) error { return nil }
func (unsyncedFile) Sync() error      { return nil }

func (u unsynced) Create(name string) (store.File, error) {
	f, err := u.FS.Create(name)
	return unsyncedFile{f}, err
}

var manyNames = flag.Int("names", 10_000, "names on the disk of BenchmarkNames")

// BenchmarkNames is what the names of a disk cost at a start, and a listing of
// all: give -names=1000000 for a large one.
func BenchmarkNames(b *testing.B) {
	fsys := unsynced{store.Dir(b.TempDir())}
	open := func() *disk {
		s, err := store.Open(fsys, strings.NewReader(strings.Repeat("x", 16)))
		if err != nil {
			b.Fatal(err)
		}
		d, err := openDisk(s, slog.New(slog.DiscardHandler), anybody)
		if err != nil {
			b.Fatal(err)
		}
		return d
	}
	d := open()
	for i := range *manyNames {
		w, err := d.Create(0)
		if err != nil {
			b.Fatal(err)
		}
		m := wire.Manifest{Name: fmt.Sprintf("folder/file %08d", i), Version: 1, Writer: 1, Signer: 1, Flags: wire.Tombstone}
		if code := d.commit(w, wire.Space64, m); code != wire.CodeOK {
			b.Fatal(code)
		}
	}
	run := func(what string) {
		d.Close()
		d = nil // its memory counts for nothing
		before := heap()
		began := time.Now()
		d = open()
		opened := time.Since(began)
		if err := d.index.build(d); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(opened.Microseconds())/1000, "ms-serve-"+what)
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "ms-names-"+what)
		b.ReportMetric(float64(heap()-before)/float64(*manyNames), "B/name-"+what)
	}
	for b.Loop() {
		run("uncached")
		run("cached")
		began, pages := time.Now(), 0
		for more, after := true, ""; more; pages++ {
			m, _, err := d.listed("", after)
			if err != nil {
				b.Fatal(err)
			}
			if pages == 0 {
				b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "ms-first-page")
			}
			more, after = m.More, m.Manifests[len(m.Manifests)-1].Name
		}
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "ms-all-pages")
	}
	d.Close()
}

// heap is what lives of the memory of this process, in bytes.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
