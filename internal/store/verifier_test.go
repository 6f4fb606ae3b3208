package store_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/zeebo/blake3"

	"securepeer/internal/store"
)

// blockList is the list of data's blocks and its hash, from the definition.
func blockList(data []byte) (list []byte, root [32]byte) {
	for len(data) > 0 {
		n := min(len(data), store.BlockSize)
		sum := blake3.Sum256(data[:n])
		list, data = append(list, sum[:]...), data[n:]
	}
	return list, blake3.Sum256(list)
}

func newVerifier(t testing.TB, data []byte) *store.Verifier {
	t.Helper()
	list, root := blockList(data)
	v, err := store.NewVerifier(list, root, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var blockSizes = []int{0, 1, store.BlockSize - 1, store.BlockSize, store.BlockSize + 1, 2 * store.BlockSize, 2*store.BlockSize + 77}

// TestVerifierNamesTheBlock streams files of every size around a block, whole
// and with one byte of each block changed, in pieces of several sizes.
func TestVerifierNamesTheBlock(t *testing.T) {
	for _, size := range blockSizes {
		data := content(1, size)
		for _, piece := range []int{997, 65518, store.BlockSize, 5 * store.BlockSize} {
			v := newVerifier(t, data)
			if err := stream(v, data, piece); err != nil {
				t.Errorf("size %d: %v", size, err)
			}
			if err := v.Close(); err != nil {
				t.Errorf("size %d: Close = %v", size, err)
			}
			if _, err := v.Write([]byte{0}); err == nil {
				t.Errorf("size %d: a byte more is accepted", size)
			}
			for block := range (size + store.BlockSize - 1) / store.BlockSize {
				bad := bytes.Clone(data)
				bad[block*store.BlockSize] ^= 1
				v := newVerifier(t, data)
				err := stream(v, bad, piece)
				if e, ok := errors.AsType[*store.BlockError](err); !ok || e.Block != int64(block) || v.Block() != int64(block) {
					t.Errorf("size %d, block %d: %v, at block %d", size, block, err, v.Block())
				}
				v = v.From(v.Block())
				if err := errors.Join(stream(v, data[block*store.BlockSize:], piece), v.Close()); err != nil {
					t.Errorf("size %d: going on from block %d: %v", size, block, err)
				}
			}
		}
	}
}

func stream(w io.Writer, data []byte, piece int) error {
	for len(data) > 0 {
		n := min(len(data), piece)
		if _, err := w.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func TestVerifierChecksWholeBlocks(t *testing.T) {
	data := content(1, store.BlockSize+77)
	v := newVerifier(t, data)
	tests := []struct {
		block int64
		data  []byte
		good  bool
	}{
		{0, data[:store.BlockSize], true},
		{1, data[store.BlockSize:], true},
		{1, data[:store.BlockSize], false},
		{0, data[store.BlockSize:], false},
		{1, data[store.BlockSize : len(data)-1], false},
		{1, nil, false},
		{2, nil, false},
		{-1, nil, false},
		{1 << 60, nil, false},
	}
	for _, test := range tests {
		err := v.Check(test.block, test.data)
		if e, bad := errors.AsType[*store.BlockError](err); bad == test.good || bad && e.Block != test.block {
			t.Errorf("Check(%d, %d bytes) = %v", test.block, len(test.data), err)
		}
	}
}

func TestVerifierOfIncompleteFile(t *testing.T) {
	data := content(1, store.BlockSize+77)
	v := newVerifier(t, data)
	if err := stream(v, data[:len(data)-1], 1000); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Close = %v, want io.ErrUnexpectedEOF", err)
	}
}

// TestListMustBeTheOneOfItsRoot: a holder that sends another list is found
// before a byte of the file is taken.
func TestListMustBeTheOneOfItsRoot(t *testing.T) {
	data := content(1, store.BlockSize+1)
	list, root := blockList(data)
	swapped := append(bytes.Clone(list[32:]), list[:32]...)
	tests := map[string]struct {
		list []byte
		size int64
	}{
		"swapped":    {swapped, int64(len(data))},
		"short":      {list[:63], int64(len(data))},
		"long":       {append(bytes.Clone(list), 0), int64(len(data))},
		"none":       {nil, int64(len(data))},
		"block more": {list, 2*store.BlockSize + 1},
		"block less": {list, store.BlockSize},
		"negative":   {nil, -1},
		"too large":  {nil, store.MaxSize + 1},
		"overflow":   {nil, 1<<63 - 1},
	}
	for name, test := range tests {
		if _, err := store.NewVerifier(test.list, root, test.size); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
