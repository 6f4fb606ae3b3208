package wire

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

// TestNewer: the order is by version, then by sum; total, and of two that
// differ exactly one is newer.
func TestNewer(t *testing.T) {
	later, other, signed := sampleManifest, sampleManifest, sampleManifest
	later.Version++
	other.Blocks[0]++
	signed.Sig[63]++
	all := []Manifest{sampleManifest, later, other, signed, sampleTombstone}
	for i, a := range all {
		for j, b := range all {
			sa, sb := a.Sum(), b.Sum()
			want := a.Version > b.Version || a.Version == b.Version && bytes.Compare(sa[:], sb[:]) > 0
			if got := a.Newer(b); got != want {
				t.Errorf("%d newer than %d: %v, want %v", i, j, got, want)
			}
			if i != j && a.Newer(b) == b.Newer(a) {
				t.Errorf("%d and %d: neither or both are newer", i, j)
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
