package store

import (
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/blake3"
)

// BlockError says that a block is not what the block list says.
type BlockError struct {
	Block int64 // the first is 0
}

func (e *BlockError) Error() string { return fmt.Sprintf("block %d has another hash", e.Block) }

// Verifier checks the bytes of a file against its block list as they stream
// in. A Verifier is an [io.Writer] for one goroutine; Check and From may be
// called from several.
type Verifier struct {
	list []byte
	size int64

	hash *blake3.Hasher // of the bytes before off that are in its block; nil before the first Write
	off  int64
}

// NewVerifier returns a Verifier of a file of size bytes whose block list has
// the BLAKE3 hash root. It takes list over. The error says that the list is
// not the one that root stands for.
func NewVerifier(list []byte, root [32]byte, size int64) (*Verifier, error) {
	if size < 0 || size > MaxSize {
		return nil, fmt.Errorf("checking block list: size of %d bytes is not between 0 and %d", size, int64(MaxSize))
	}
	if int64(len(list)) != blockCount(size)*HashSize {
		return nil, fmt.Errorf("checking block list: %d bytes for a file of %d", len(list), size)
	}
	if blake3.Sum256(list) != root {
		return nil, errors.New("checking block list: another hash")
	}
	return &Verifier{list: list, size: size}, nil
}

// Check checks one whole block, for callers that have it in memory. The error
// is a *[BlockError] also if the length is wrong or there is no such block.
func (v *Verifier) Check(block int64, data []byte) error {
	if block < 0 || block >= blockCount(v.size) || int64(len(data)) != blockLength(block, v.size) {
		return &BlockError{Block: block}
	}
	sum := blake3.Sum256(data)
	return v.compare(block, sum[:])
}

// compare compares the hash of a block that exists.
func (v *Verifier) compare(block int64, sum []byte) error {
	// Not in constant time: the list is no secret.
	if string(sum) != string(v.list[block*HashSize:(block+1)*HashSize]) {
		return &BlockError{Block: block}
	}
	return nil
}

// Write takes the next bytes of the file. At the end of a block that differs
// it returns a *[BlockError]; the bytes before that block are good, and
// v.From(v.Block()) goes on from there.
func (v *Verifier) Write(p []byte) (int, error) {
	if v.hash == nil {
		v.hash = blake3.New()
	}
	n := 0
	for n < len(p) {
		if v.off >= v.size {
			return n, fmt.Errorf("checking blocks: more than %d bytes", v.size)
		}
		block := v.Block()
		end := block*BlockSize + blockLength(block, v.size)
		part := p[n:min(int64(len(p)), int64(n)+end-v.off)]
		v.hash.Write(part)
		n += len(part)
		if v.off+int64(len(part)) == end {
			var sum [HashSize]byte
			if err := v.compare(block, v.hash.Sum(sum[:0])); err != nil {
				v.hash.Reset()
				v.off = block * BlockSize
				return n, err
			}
			v.hash.Reset()
		}
		v.off += int64(len(part))
	}
	return n, nil
}

// Block returns the number of the block that the next byte belongs to; all
// before it are good.
func (v *Verifier) Block() int64 { return v.off / BlockSize }

// From returns a Verifier of the same file whose next byte is the first of
// the given block. It shares the block list: several may check different
// ranges of one file at once.
func (v *Verifier) From(block int64) *Verifier {
	return &Verifier{list: v.list, size: v.size, off: min(block*BlockSize, v.size)}
}

// Close returns nil if the file is complete, else [io.ErrUnexpectedEOF].
func (v *Verifier) Close() error {
	if v.off != v.size {
		return fmt.Errorf("checking blocks: %d bytes of %d: %w", v.off, v.size, io.ErrUnexpectedEOF)
	}
	return nil
}
