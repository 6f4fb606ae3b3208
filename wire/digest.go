package wire

import (
	"crypto/sha256"
	"iter"
)

// Digest is the first 16 bytes of a SHA-256: of a roster, of a member's public
// keys, of a view or a part of it. To find two things of one digest takes
// 2^64 tries; two digests are never added or XORed, which needs far fewer.
type Digest [16]byte

// DigestOf returns the digest of b.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(sum[:len(Digest{})])
}

// PartDigest returns the digest of one of the [NumBuckets] parts of a view: of
// its rows, in the order of their ids, each with the votes on its member, in
// the order of their observers. There are fewer than 2^16 of those.
//
//	row 91 | count 2 | votes 85 each
func PartDigest(entries iter.Seq2[Row, []Vote]) Digest {
	h := sha256.New()
	var buf []byte
	for row, votes := range entries {
		buf = appendEntry(buf[:0], row, votes)
		h.Write(buf)
	}
	var sum [sha256.Size]byte
	return Digest(h.Sum(sum[:0])[:len(Digest{})])
}

func appendEntry(b []byte, row Row, votes []Vote) []byte {
	b = be.AppendUint16(row.Append(b), uint16(len(votes)))
	for _, v := range votes {
		b = v.Append(b)
	}
	return b
}

// ViewDigest returns the digest of a view whose parts have these: of all of
// them, one after the other.
func ViewDigest(parts *[NumBuckets]Digest) Digest {
	b := make([]byte, 0, NumBuckets*len(Digest{}))
	for i := range parts {
		b = append(b, parts[i][:]...)
	}
	return DigestOf(b)
}
