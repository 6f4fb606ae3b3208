// Package wire is what bytes mean: every message that two peers send each
// other inside a link, as a struct that appends itself to a byte slice and a
// parser that takes all of it or nothing. Call [Message]'s Append and [Parse]
// for the records of a link, [Ping.Append] and [ParsePing] for the datagrams.
//
// It does not know what carries the bytes: frames, records and datagram
// headers belong to package crypto. Every layout, with the same names in the
// same order, is in docs/protocol.md.
//
// Everything is big-endian and fixed-width, and has one encoding only: what
// parses re-encodes to the same bytes. Every length is checked against a
// named limit before it is used, and leftovers are refused.
package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"strconv"
)

// ID is a member's ring id, from its roster line: 0 to 65,535. 0 is a peer
// like any other.
type ID uint16

// String is the id in decimal.
func (i ID) String() string { return strconv.Itoa(int(i)) }

// Pos is a point on the ring: the position of a peer or the key of a file.
type Pos uint64

// Sum is a 32-byte hash: SHA-256 of a manifest, or BLAKE3 of a block list.
type Sum [32]byte

// Sig is an Ed25519 signature.
type Sig [64]byte

// StoreID names one data folder, at random, for as long as it exists.
type StoreID [16]byte

// Incarnation counts the changes of what a member says of itself. It is
// persisted before it is spoken, so it only rises.
type Incarnation uint64

// Space says how wide positions are: 8 (the classic ring, where a peer's
// position is its id) or 64 bits.
type Space uint8

// The two spaces.
const (
	Space8  Space = 8
	Space64 Space = 64
)

// PosOf returns where a member stands whose roster line has no pos=. In Space64
// that is its id with the 16 bits in reverse order, at the top of the position:
// van der Corput's sequence (1935), each member of which halves an arc that is
// among the largest. So arcs differ by a factor of 2 at most while the ids
// run from 0 without a gap. In Space8 it is the id.
func PosOf(s Space, id ID) Pos {
	if s == Space8 {
		return Pos(id)
	}
	return Pos(bits.Reverse16(uint16(id))) << 48
}

// NameHash returns the SHA-256 of "securepeer/1 name", a zero byte and name.
func NameHash(name string) Sum {
	h := sha256.New()
	h.Write([]byte("securepeer/1 name\x00"))
	h.Write([]byte(name))
	var sum Sum
	h.Sum(sum[:0])
	return sum
}

// KeyOf returns the position that name hashes to. In Space8 a name of four
// digits NNNN has key NNNN mod 256, as in the classic ring.
func KeyOf(s Space, name string) Pos {
	if s == Space8 && len(name) == 4 {
		if n, err := strconv.ParseUint(name, 10, 16); err == nil {
			return Pos(n % 256)
		}
	}
	hash := NameHash(name)
	k := Pos(binary.BigEndian.Uint64(hash[:]))
	if s == Space8 {
		return k >> 56
	}
	return k
}
