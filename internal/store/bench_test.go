package store_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
)

// noSync leaves the syncs out, so that a benchmark measures our work and not
// the disk.
type noSync struct{ store.FS }

func (noSync) SyncDir(string) error { return nil }

func (n noSync) Create(name string) (store.File, error) {
	f, err := n.FS.Create(name)
	return unsynced{f}, err
}

const benchSize = 64 << 20

// BenchmarkWrite writes and commits a version, without syncs, in the pieces
// in which records arrive; BenchmarkRawWrite is the same bytes to a file.
func BenchmarkWrite(b *testing.B) {
	s, err := store.Open(noSync{store.Dir(b.TempDir())}, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	data := make([]byte, 65518)
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		w, err := s.Create(benchSize)
		if err != nil {
			b.Fatal(err)
		}
		for left := benchSize; left > 0; left -= len(data) {
			if _, err := w.Write(data[:min(left, len(data))]); err != nil {
				b.Fatal(err)
			}
		}
		v, err := w.Commit(1, labels, []byte("m"))
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Remove(v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRawWrite(b *testing.B) {
	dir := b.TempDir()
	data := make([]byte, 65518)
	b.SetBytes(benchSize)
	for b.Loop() {
		f, err := os.Create(filepath.Join(dir, "new"))
		if err != nil {
			b.Fatal(err)
		}
		for left := benchSize; left > 0; left -= len(data) {
			if _, err := f.Write(data[:min(left, len(data))]); err != nil {
				b.Fatal(err)
			}
		}
		f.Close()
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "old")); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCopyRange reads a version; BenchmarkRawRead the same bytes of a
// file.
func BenchmarkCopyRange(b *testing.B) {
	s := open(b, b.TempDir())
	v, err := put(s, 1, []byte("m"), make([]byte, benchSize))
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 128<<10)
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		r, err := s.Reader(v)
		if err != nil {
			b.Fatal(err)
		}
		if err := r.CopyRange(discard{}, 0, benchSize, buf); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}

func BenchmarkRawRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, benchSize), 0o600); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 128<<10)
	b.SetBytes(benchSize)
	for b.Loop() {
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyBuffer(discard{}, struct{ io.Reader }{f}, buf); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

// discard is io.Discard without its ReadFrom, which would bring a buffer of
// its own.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkVerifier checks blocks as they stream.
func BenchmarkVerifier(b *testing.B) {
	data := make([]byte, 8<<20)
	whole := newVerifier(b, data)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := stream(whole.From(0), data, 65518); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPut makes small versions durable, one after the other.
func BenchmarkPut(b *testing.B) {
	s := open(b, b.TempDir())
	data, i := content(1, 10_000), uint64(0)
	for b.Loop() {
		i++
		if _, err := put(s, i<<50, fmt.Append(nil, i), data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPutAtOnce is BenchmarkPut from 16 writers.
func BenchmarkPutAtOnce(b *testing.B) {
	s := open(b, b.TempDir())
	data, i := content(1, 10_000), atomic.Uint64{}
	b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := i.Add(1)
			if _, err := put(s, n<<50, fmt.Append(nil, n), data); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkList lists a store of few versions: what an arc costs a small ring.
func BenchmarkList(b *testing.B) {
	s := open(b, b.TempDir())
	for i := range 3 {
		if _, err := put(s, uint64(i)<<60, fmt.Append(nil, i), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.List(0, 1<<63, func(store.Entry) bool { return true }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEach goes through the names of so many versions of a key.
func BenchmarkEach(b *testing.B) {
	for _, count := range []int{1, 1000, 10_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			s := openSim(b, simdisk.New(1))
			for i := range count {
				if _, err := put(s, 1, fmt.Append(nil, i), nil); err != nil {
					b.Fatal(err)
				}
			}
			n := 0
			for b.Loop() {
				n = 0
				if err := s.Each(1, func(store.Entry) { n++ }); err != nil || n != count {
					b.Fatal(n, err)
				}
			}
		})
	}
}
