package store_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"testing"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
)

// TestDamagedVersionIsMissing damages the file of a version in every way a
// disk does, at the places that matter: it is found, moved to bad/, and
// reported missing; nothing else is.
func TestDamagedVersionIsMissing(t *testing.T) {
	const size = store.BlockSize + 700
	manifest := []byte("the manifest")
	list, tail := size, size+2*store.HashSize
	damages := map[string]func([]byte) []byte{
		"empty":             func(b []byte) []byte { return nil },
		"last byte missing": func(b []byte) []byte { return b[:len(b)-1] },
		"a byte more":       func(b []byte) []byte { return append(b, 0) },
		"first byte missing": func(b []byte) []byte {
			return b[1:]
		},
		"only zeros":     func(b []byte) []byte { return make([]byte, len(b)) },
		"half":           func(b []byte) []byte { return b[:len(b)/2] },
		"zeros at a gap": func(b []byte) []byte { clear(b[4096:8192]); return b },
	}
	for _, at := range []int{0, store.BlockSize - 1, store.BlockSize, list - 1, list, list + store.HashSize, tail, tail + 5} {
		damages[fmt.Sprintf("bit of byte %d", at)] = func(b []byte) []byte { b[at] ^= 4; return b }
	}
	for i := 1; i <= 92; i++ { // each byte of the footer
		damages[fmt.Sprintf("bit of byte -%d", i)] = func(b []byte) []byte { b[len(b)-i] ^= 1; return b }
	}
	disk := simdisk.New(1)
	fsys := disk.Mount()
	s, err := store.Open(fsys, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := put(s, 7, []byte("other"), content(2, 100))
	if err != nil {
		t.Fatal(err)
	}
	otherFile := fileOf(t, disk, s, other)
	otherKey, err := put(s, 8, manifest, content(1, size))
	if err != nil {
		t.Fatal(err)
	}
	otherKeyFile := fileOf(t, disk, s, otherKey)
	damages["same manifest, another key"] = func([]byte) []byte { return bytes.Clone(otherKeyFile) }
	damages["another version"] = func([]byte) []byte { return bytes.Clone(otherFile) }
	for name, damage := range damages {
		v, err := put(s, 7, manifest, content(1, size))
		if err != nil {
			t.Fatal(err)
		}
		file := nameOf(t, s, v)
		if err := disk.Damage("files/000/"+file, damage); err != nil {
			t.Fatal(err)
		}
		if _, _, err := read(s, v); !errors.Is(err, store.ErrDamaged) || !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: read = %v, want ErrDamaged", name, err)
		}
		if present, _, err := s.Has(v); present || err != nil {
			t.Errorf("%s: Has = %v, %v after quarantine", name, present, err)
		}
		bad, err := fsys.List("bad")
		if err != nil || len(bad) != 1 || bad[0] != file {
			t.Errorf("%s: bad/ holds %q, %v", name, bad, err)
		}
		if err := fsys.Remove("bad/" + file); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := read(s, other); err != nil {
		t.Errorf("the version beside it: %v", err)
	}
}

// fileOf returns the bytes of a version's file.
func fileOf(t testing.TB, disk *simdisk.Disk, s *store.Store, v store.Version) (file []byte) {
	t.Helper()
	err := disk.Damage(fmt.Sprintf("files/%03x/%s", v.Key>>52, nameOf(t, s, v)), func(b []byte) []byte {
		file = bytes.Clone(b)
		return b
	})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestGoodBlockIsNotQuarantined: a receiver that lies about a block takes no
// copy away, and neither does a block that does not exist.
func TestGoodBlockIsNotQuarantined(t *testing.T) {
	s := open(t, t.TempDir())
	v, err := put(s, 1, []byte("m"), content(1, store.BlockSize+1))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range []int64{-1, 0, 1, 2, 1 << 62} {
		if err := s.Quarantine(v, block); err != nil {
			t.Errorf("Quarantine of good block %d = %v", block, err)
		}
	}
	if present, _, _ := s.Has(v); !present {
		t.Error("a good version was quarantined")
	}
	if err := s.Quarantine(store.Version{Key: 1}, 0); !errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
		t.Errorf("Quarantine of nothing = %v, want ErrNotFound", err)
	}
}

// TestReadRanges compares ReadAt and CopyRange with the bytes, at every edge.
func TestReadRanges(t *testing.T) {
	s := open(t, t.TempDir())
	const size = 3000
	data := content(1, size)
	v, err := put(s, 1, []byte("m"), data)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Reader(v)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, off := range []int64{0, 1, 1500, size - 1, size, size + 1} {
		for _, n := range []int64{0, 1, 1499, size - 1, size, size + 1} {
			var b bytes.Buffer
			err := r.CopyRange(&b, off, n, make([]byte, 1000))
			if inside := off+n <= size; inside != (err == nil) {
				t.Errorf("CopyRange(%d, %d) = %v", off, n, err)
			}
			if err == nil && !bytes.Equal(b.Bytes(), data[off:off+n]) {
				t.Errorf("CopyRange(%d, %d) gives other bytes", off, n)
			}
			if n == 0 {
				continue
			}
			p := make([]byte, n)
			got, err := r.ReadAt(p, off)
			want := max(0, min(n, size-off))
			if int64(got) != want || (err == io.EOF) != (want < n) || !bytes.Equal(p[:got], data[min(off, size):min(off, size)+want]) {
				t.Errorf("ReadAt(%d, %d) = %d, %v, want %d bytes", off, n, got, err, want)
			}
		}
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("ReadAt(-1) gives no error")
	}
	if err := r.CopyRange(io.Discard, 1, 1<<63-1, make([]byte, 1)); err == nil {
		t.Error("CopyRange of a range that overflows gives no error")
	}
	if err := r.CopyRange(io.Discard, 0, 1, nil); err == nil {
		t.Error("CopyRange without a buffer gives no error")
	}
}

// TestFileCutShortUnderReader: a file that shrinks after it was opened ends
// with an error, never with fewer bytes.
func TestFileCutShortUnderReader(t *testing.T) {
	disk := simdisk.New(1)
	s, err := store.Open(disk.Mount(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v, err := put(s, 1, []byte("m"), content(1, 3000))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Reader(v)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := disk.Damage("files/000/"+nameOf(t, s, v), func(b []byte) []byte { return b[:1000] }); err != nil {
		t.Fatal(err)
	}
	if err := r.CopyRange(io.Discard, 0, 3000, make([]byte, 100)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("CopyRange = %v, want io.ErrUnexpectedEOF", err)
	}
}

// TestRootOfTheNameIsThatOfTheFile: the same manifest over other bytes, under the
// name of a version, is not that version.
func TestRootOfTheNameIsThatOfTheFile(t *testing.T) {
	disk := simdisk.New(1)
	s := openSim(t, disk)
	var files [][]byte
	var v store.Version
	for _, data := range []string{"one", "two"} {
		var err error
		if v, err = put(s, 7, []byte("m"), []byte(data)); err != nil {
			t.Fatal(err)
		}
		files = append(files, fileOf(t, disk, s, v))
		if data == "one" {
			if err := s.Remove(v); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := disk.Damage("files/000/"+nameOf(t, s, v), func([]byte) []byte { return files[0] }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reader(v); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Reader = %v, want ErrDamaged", err)
	}
}
