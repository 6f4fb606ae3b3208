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

// TestDamagedVersionIsMissing damages the files of a version in every way a
// disk does, at the places that matter: it is found, moved to bad/, and
// reported missing; nothing else is.
func TestDamagedVersionIsMissing(t *testing.T) {
	t.Run("one file", func(t *testing.T) { damageVersion(t, 700, false) })
	t.Run("own file", func(t *testing.T) { damageVersion(t, store.BlockSize+700, false) })
	t.Run("bytes", func(t *testing.T) { damageVersion(t, store.BlockSize+700, true) })
}

// damageVersion damages the file of the bytes of a version that lie apart, or its
// own.
func damageVersion(t *testing.T, size int, ofBytes bool) {
	manifest := []byte("the manifest")
	disk := simdisk.New(1)
	fsys := disk.Mount()
	s := openSim(t, disk)
	others := make(map[string]store.Version)
	for i, name := range []string{"another version", "same manifest, another key"} {
		v, err := put(s, uint64(7+i), [][]byte{[]byte("other"), manifest}[i], content(2+i, size))
		if err != nil {
			t.Fatal(err)
		}
		others[name] = v
	}
	fileOf := func(v store.Version, size int) string {
		if ofBytes {
			return bytesName(v.Key, content(map[int]int{7: 2, 8: 3}[int(v.Key)], size))
		}
		return nameOf(t, s, v)
	}
	damages := waysToDamage(size, len(manifest), ofBytes)
	for name, v := range others {
		var file []byte
		if err := disk.Damage("files/000/"+fileOf(v, size), func(b []byte) []byte { file = bytes.Clone(b); return b }); err != nil {
			t.Fatal(err)
		}
		damages[name] = func([]byte) []byte { return bytes.Clone(file) }
	}
	for name, damage := range damages {
		v, err := put(s, 7, manifest, content(1, size))
		if err != nil {
			t.Fatal(err)
		}
		file := nameOf(t, s, v)
		if ofBytes {
			file = bytesName(7, content(1, size))
		}
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
	for name, v := range others {
		if _, _, err := read(s, v); err != nil {
			t.Errorf("beside it, %s: %v", name, err)
		}
	}
}

// waysToDamage are ways to damage a file of a version.
func waysToDamage(size, manifest int, ofBytes bool) map[string]func([]byte) []byte {
	damages := map[string]func([]byte) []byte{
		"empty":              func(b []byte) []byte { return nil },
		"last byte missing":  func(b []byte) []byte { return b[:len(b)-1] },
		"a byte more":        func(b []byte) []byte { return append(b, 0) },
		"first byte missing": func(b []byte) []byte { return b[1:] },
		"only zeros":         func(b []byte) []byte { return make([]byte, len(b)) },
		"half":               func(b []byte) []byte { return b[:len(b)/2] },
		"zeros at a gap":     func(b []byte) []byte { clear(b[len(b)/3 : len(b)/2]); return b },
	}
	flip := func(at int) {
		damages[fmt.Sprintf("bit of byte %d", at)] = func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 4; return b }
	}
	flip(0)
	if ofBytes {
		for _, at := range []int{store.BlockSize - 1, store.BlockSize, size - 1, size, size + store.HashSize, size + 2*store.HashSize - 1} {
			flip(at)
		}
		return damages
	}
	for i := 1; i <= 92+manifest; i++ { // each byte of footer and manifest
		flip(-i)
	}
	return damages
}

// bytesName is the name of the file of bytes that lie apart.
func bytesName(key uint64, data []byte) string {
	_, root := blockList(data)
	return fmt.Sprintf("%016x-%x", key, root)
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
