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

// TestWriterBlocks compares the list that a writer makes with the definition,
// and the version with what was written.
func TestWriterBlocks(t *testing.T) {
	s := open(t, t.TempDir())
	for _, size := range blockSizes {
		for _, announced := range []int64{int64(size), -1} {
			data := content(2, size)
			w, err := s.Create(announced)
			if err != nil {
				t.Fatal(err)
			}
			if err := stream(w, data, 65518); err != nil {
				t.Fatal(err)
			}
			list, root, n := w.Blocks()
			wantList, wantRoot := blockList(data)
			if !bytes.Equal(list, wantList) || root != wantRoot || n != int64(size) {
				t.Errorf("size %d, announced %d: Blocks gives another list", size, announced)
			}
			v, err := w.Commit(9, labels, fmt.Appendf(nil, "%d as %d", size, announced))
			if err != nil {
				t.Fatal(err)
			}
			if _, d, err := read(s, v); err != nil || !bytes.Equal(d, data) {
				t.Errorf("size %d, announced %d: reads back as something else: %v", size, announced, err)
			}
			w.Abort()
			if present, synced, err := s.Has(v); !present || !synced || err != nil {
				t.Errorf("Has = %v, %v, %v after Commit and Abort", present, synced, err)
			}
		}
	}
}

// TestWriterTakesOnlyTheBlocksOfTheList pulls a file from a source that sends
// a bad block and one that falls silent in mid-block, and completes it from a
// good one.
func TestWriterTakesOnlyTheBlocksOfTheList(t *testing.T) {
	s := open(t, t.TempDir())
	for _, size := range blockSizes[1:] {
		data := content(1, size)
		for block := range (size + store.BlockSize - 1) / store.BlockSize {
			w, err := s.CreateFrom(newVerifier(t, data))
			if err != nil {
				t.Fatal(err)
			}
			bad := bytes.Clone(data)
			bad[min(size-1, block*store.BlockSize+500)] ^= 1
			err = stream(w, bad, 65518)
			if e, ok := errors.AsType[*store.BlockError](err); !ok || e.Block != int64(block) {
				t.Errorf("size %d: bad block %d: %v", size, block, err)
			}
			off := block * store.BlockSize
			if block == 0 { // then silence in mid-block, and a third source
				if err := stream(w, data[:1], 1); err != nil {
					t.Error(err)
				}
				off = int(w.Rewind())
				if size > 1 && off != 0 { // a byte alone is a block
					t.Errorf("size %d: Rewind = %d, want 0", size, off)
				}
			}
			if err := stream(w, data[off:], 1000_000); err != nil {
				t.Errorf("size %d: going on: %v", size, err)
			}
			v, err := w.Commit(1, labels, []byte("m"))
			if err != nil {
				t.Fatal(err)
			}
			if _, d, err := read(s, v); err != nil || !bytes.Equal(d, data) {
				t.Errorf("size %d: reads back as something else: %v", size, err)
			}
			if err := s.Remove(v); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestWriterRefuses is every way to end without a version; none leaves a file.
func TestWriterRefuses(t *testing.T) {
	disk := simdisk.New(1)
	fsys := disk.Mount()
	s, err := store.Open(fsys, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	data := content(1, 100)
	tests := map[string]struct {
		announced int64
		data      []byte
		manifest  []byte
		want      error
	}{
		"too few bytes":    {101, data, []byte("m"), store.ErrSize},
		"too many bytes":   {99, data, []byte("m"), store.ErrSize},
		"a byte of none":   {0, data[:1], []byte("m"), nil},
		"no manifest":      {100, data, nil, nil},
		"manifest too big": {100, data, make([]byte, store.MaxManifest+1), nil},
	}
	for name, test := range tests {
		w, err := s.Create(test.announced)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(test.data) // the error comes again from Commit
		_, err = w.Commit(1, labels, test.manifest)
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: Commit = %v", name, err)
		}
		if _, err := w.Write(data); err == nil {
			t.Errorf("%s: Write after the end gives no error", name)
		}
	}
	w, err := s.Create(-1)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	w.Abort()
	if _, err := w.Commit(1, labels, []byte("m")); err == nil {
		t.Error("Commit after Abort gives no error")
	}
	for _, size := range []int64{-2, store.MaxSize + 1} {
		if _, err := s.Create(size); err == nil {
			t.Errorf("Create(%d) gives no error", size)
		}
	}
	for _, dir := range []string{"tmp", "files"} {
		if names, err := fsys.List(dir); len(names) > 0 || err != nil {
			t.Errorf("%s/ holds %q, %v", dir, names, err)
		}
	}
}

// TestWritingAllocatesLittle: no allocation to a record, and none that grows
// with the file but 32 bytes of list to a block.
func TestWritingAllocatesLittle(t *testing.T) {
	s := open(t, t.TempDir())
	w, err := s.Create(-1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	record := content(1, 65518)
	if n := testing.AllocsPerRun(64, func() { w.Write(record) }); n > 0.2 {
		t.Errorf("%v allocations to a Write", n)
	}
	id, err := put(s, 1, []byte("m"), content(1, store.BlockSize))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Reader(id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	buf := make([]byte, 65518)
	if n := testing.AllocsPerRun(10, func() { r.CopyRange(io.Discard, 0, r.Size(), buf) }); n > 0 {
		t.Errorf("%v allocations to a CopyRange", n)
	}
	v := newVerifier(t, content(1, 4*store.BlockSize))
	v.Write(record)
	if n := testing.AllocsPerRun(40, func() { v.Write(content(1, 65518)) }); n > 1 { // the error of the last
		t.Errorf("%v allocations to a Write of a Verifier", n)
	}
}
