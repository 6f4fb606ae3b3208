//go:build unix

package store

import (
	"math"
	"testing"
)

// TestSpaceIsNeverWrapped: a file system may say any number of blocks.
func TestSpaceIsNeverWrapped(t *testing.T) {
	for _, c := range []struct {
		blocks, size uint64
		want         int64
	}{
		{0, 0, 0},
		{3, 4096, 12288},
		{math.MaxInt64, 1, math.MaxInt64},
		{math.MaxInt64, 2, math.MaxInt64},
		{1 << 52, 4096, math.MaxInt64},
		{1<<51 - 1, 4096, (1<<51 - 1) * 4096},
		{1 << 60, 1 << 20, math.MaxInt64},
		{math.MaxUint64, 4096, 0}, // -1
	} {
		if got := spaceOf(c.blocks, c.size); got != c.want {
			t.Errorf("%d blocks of %d bytes are %d, want %d", c.blocks, c.size, got, c.want)
		}
	}
}
