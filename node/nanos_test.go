package node

import (
	"math"
	"testing"
	"time"

	"securepeer/wire"
)

// TestNanosAreNeverWrapped: the embedder's times are anybody's.
func TestNanosAreNeverWrapped(t *testing.T) {
	for _, c := range []struct {
		sec, nsec, want int64
	}{
		{math.MinInt64, 0, math.MinInt64},
		{-1 << 40, 0, math.MinInt64},
		{-9223372037, 145224191, math.MinInt64},
		{-9223372037, 145224192, math.MinInt64},
		{-9223372037, 145224193, math.MinInt64 + 1},
		{-1, 1, -1e9 + 1},
		{0, 0, 0},
		{9223372036, 854775806, math.MaxInt64 - 1},
		{9223372036, 854775807, math.MaxInt64},
		{9223372036, 854775808, math.MaxInt64},
		{9223372037, 0, math.MaxInt64},
		{1 << 40, 0, math.MaxInt64},
		{math.MaxInt64, 999999999, math.MaxInt64},
	} {
		if got := nanos(time.Unix(c.sec, c.nsec)); got != c.want {
			t.Errorf("%d s and %d ns are %d, want %d", c.sec, c.nsec, got, c.want)
		}
	}
}

// TestLateIsNeverWrapped: what would take longer than a duration holds is
// late.
func TestLateIsNeverWrapped(t *testing.T) {
	for _, size := range []uint64{wire.BlockSize, 1 << 30, wire.MaxSize} {
		f := &fetch{manifest: wire.Manifest{Size: size}, lead: &stream{age: lateAfter}}
		f.lead.pace.add(10, 10*time.Second) // a byte a second
		if !f.late() {
			t.Errorf("%d bytes at a byte a second are not late", size)
		}
	}
}
