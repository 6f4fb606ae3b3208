package wire

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"math"
	"testing"
)

// TestOrderIsOfNumberTombstoneAndSum: over every pair of flag bytes, also those
// that only a later program knows, and whatever the two clocks said. The order is
// total: of two that differ exactly one is newer.
func TestOrderIsOfNumberTombstoneAndSum(t *testing.T) {
	var all []Manifest
	for _, version := range []uint64{1, 2} {
		for flags := range 256 {
			for _, made := range []int64{math.MinInt64, math.MaxInt64} {
				m := sampleManifest
				m.Version, m.Flags, m.Made = version, Flags(flags), made
				all = append(all, m)
			}
		}
	}
	sums := make([]Sum, len(all))
	for i, m := range all {
		sums[i] = m.Sum()
	}
	removed := func(m Manifest) int { return int(m.Flags) % 2 }
	for i, a := range all {
		for j, b := range all {
			order := cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(removed(a), removed(b)), bytes.Compare(sums[i][:], sums[j][:]))
			if got := a.Newer(b); got != (order > 0) {
				t.Fatalf("version %d with flags %#x, made at %d, newer than version %d with flags %#x, made at %d: %v",
					a.Version, a.Flags, a.Made, b.Version, b.Flags, b.Made, got)
			}
		}
	}
}

// TestEveryByteIsInTheOrder: two manifests that differ anywhere have another
// sum, so that exactly one of them is newer.
func TestEveryByteIsInTheOrder(t *testing.T) {
	b := sampleManifest.Append(nil)
	for at := range b {
		for _, bit := range []byte{1, 0x80} {
			other := bytes.Clone(b)
			other[at] ^= bit
			m, err := ParseManifest(other)
			if err != nil {
				continue
			}
			if m.Newer(sampleManifest) == sampleManifest.Newer(m) {
				t.Errorf("byte %d: neither or both are newer", at)
			}
		}
	}
}

// TestSumIsOfTheEncoding: it covers every byte, signature included.
func TestSumIsOfTheEncoding(t *testing.T) {
	if got, want := sampleManifest.Sum(), sha256.Sum256(sampleManifest.Append(nil)); got != want {
		t.Errorf("Manifest.Sum = %x, want %x", got, want)
	}
}

// TestSignedBytesDiffer: no two of what is signed are equal or begin alike,
// over kinds and rings, so no signature stands for something else.
func TestSignedBytesDiffer(t *testing.T) {
	var all [][]byte
	for _, ring := range []string{"", "a", "ab", "attic"} {
		all = append(all, sampleRow.SignedBytes(ring, nil), sampleVote.SignedBytes(ring, nil),
			sampleManifest.SignedBytes(ring, nil))
	}
	for i, a := range all {
		for j, b := range all {
			if i != j && bytes.HasPrefix(a, b) {
				t.Errorf("%q begins with %q", a, b)
			}
		}
	}
}

// TestPosOf: every id has a place of its own, which is its bits after the point,
// the lowest first.
func TestPosOf(t *testing.T) {
	for id := range 1 << 16 {
		want := Pos(0)
		for bit := range 16 {
			if id>>bit&1 == 1 {
				want += 1 << (63 - bit)
			}
		}
		if got := PosOf(Space64, ID(id)); got != want {
			t.Fatalf("PosOf(64, %d) = %#x, want %#x", id, got, want)
		}
		if got := PosOf(Space8, ID(id)); got != Pos(id) {
			t.Fatalf("PosOf(8, %d) = %d", id, got)
		}
	}
}

func TestKeyOf(t *testing.T) {
	for _, c := range []struct {
		space Space
		name  string
		want  Pos
	}{
		{Space8, "2012", 220},
		{Space8, "4103", 7},
		{Space8, "0000", 0},
		{Space8, "9999", 15},
		{Space8, "+103", 0xd4},
		{Space8, "41030", 0x26},
		{Space64, "2012", 0xf2a714f7222945cd},
		{Space64, "notes/plan.txt", 0x8b06ef44bf584838},
	} {
		if got := KeyOf(c.space, c.name); got != c.want {
			t.Errorf("KeyOf(%d, %q) = %#x, want %#x", c.space, c.name, got, c.want)
		}
	}
}

func TestIDIsDecimal(t *testing.T) {
	if got := ID(65535).String(); got != "65535" {
		t.Errorf("ID(65535).String() = %s", got)
	}
}
