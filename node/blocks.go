package node

import (
	"github.com/zeebo/blake3"

	"securepeer/wire"
)

// blockHasher makes the block list of what is written to it: 32 bytes in
// memory for each MiB, and nothing else.
type blockHasher struct {
	block *blake3.Hasher // of the block that is not full
	size  uint64
	list  []byte
}

func newBlockHasher() *blockHasher { return &blockHasher{block: blake3.New()} }

func (h *blockHasher) add(p []byte) {
	for len(p) > 0 {
		n := min(len(p), int(wire.BlockSize-h.size%wire.BlockSize))
		h.block.Write(p[:n])
		h.size += uint64(n)
		p = p[n:]
		if h.size%wire.BlockSize == 0 {
			h.end()
		}
	}
}

func (h *blockHasher) end() {
	h.list = h.block.Sum(h.list)
	h.block.Reset()
}

// root ends the bytes and returns the hash of the list.
func (h *blockHasher) root() wire.Sum {
	if h.size%wire.BlockSize != 0 {
		h.end()
	}
	return blake3.Sum256(h.list)
}
