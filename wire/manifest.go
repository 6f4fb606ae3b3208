package wire

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
)

// Sizes of an encoded manifest in bytes: with a name of one byte, and of
// MaxName.
const (
	minManifest = 2 + 1 + 175
	maxManifest = 2 + MaxName + 175
)

// Flags of a manifest.
type Flags uint8

// Tombstone marks a manifest that says removed: Size is 0 and Blocks all
// zero. Blocks of any other manifest are never all zero: those of an empty
// file are the BLAKE3 of no bytes. Other bits are refused.
const Tombstone Flags = 1

// Manifest describes one version of a file by one writer, signed by the
// signer: the writer itself or a steward.
//
//	name 2+n | version 8 | writer 2 | signer 2 | flags 1 | mode 2 | mtime 8 |
//	made 8 | expires 8 | size 8 | blocks 32 | prior 32 | signature 64
type Manifest struct {
	Name    string
	Version uint64
	Writer  ID
	Signer  ID
	Flags   Flags
	Mode    uint16 // permission bits, at most MaxMode
	Mtime   int64  // Unix nanoseconds
	Made    int64  // Unix nanoseconds, by the signer's wall clock when it signed: its word, and nothing is decided by it
	Expires int64  // Unix nanoseconds, 0: never
	Size    uint64 // bytes, at most MaxSize
	Blocks  Sum    // BLAKE3 of the block list: 32 bytes for each started MiB
	Prior   Sum    // sum of the writer's version that this one replaces, as its signer knew; zero: none
	Sig     Sig
}

// Append appends the encoding of m to b: 178 to 1,201 bytes, those that a
// store keeps and that [Manifest.Sum] names.
func (m Manifest) Append(b []byte) []byte {
	return append(m.appendUnsigned(b), m.Sig[:]...)
}

func (m Manifest) appendUnsigned(b []byte) []byte {
	b = appendText(b, m.Name)
	b = be.AppendUint64(b, m.Version)
	b = be.AppendUint16(b, uint16(m.Writer))
	b = be.AppendUint16(b, uint16(m.Signer))
	b = append(b, byte(m.Flags))
	b = be.AppendUint16(b, m.Mode)
	b = be.AppendUint64(b, uint64(m.Mtime))
	b = be.AppendUint64(b, uint64(m.Made))
	b = be.AppendUint64(b, uint64(m.Expires))
	b = be.AppendUint64(b, m.Size)
	b = append(b, m.Blocks[:]...)
	return append(b, m.Prior[:]...)
}

// SignedBytes appends to b what Sig signs in the ring of that name:
//
//	"securepeer/1 manifest" 21 | zero 1 | ring 1+n | all fields before the signature
func (m Manifest) SignedBytes(ring string, b []byte) []byte {
	return m.appendUnsigned(appendLabel(b, "securepeer/1 manifest\x00", ring))
}

// Sum is the SHA-256 of the encoding, signature included: the identity of the
// version.
func (m Manifest) Sum() Sum {
	var buf [maxManifest]byte
	return sha256.Sum256(m.Append(buf[:0]))
}

// Newer says whether m comes after o in the order of versions: the higher
// version, then a tombstone, whatever other flags there are, then the larger
// sum. Of two manifests one is newer unless they are the same.
func (m Manifest) Newer(o Manifest) bool {
	if m.Version != o.Version {
		return m.Version > o.Version
	}
	if removed := m.Flags & Tombstone; removed != o.Flags&Tombstone {
		return removed != 0
	}
	a, b := m.Sum(), o.Sum()
	return bytes.Compare(a[:], b[:]) > 0
}

// ParseManifest returns the manifest that b holds, which must be all of it.
// The signature is not verified.
func ParseManifest(b []byte) (Manifest, error) {
	d := decoder{b: b}
	m := d.manifest()
	if err := d.end(); err != nil {
		return Manifest{}, fmt.Errorf("parsing Manifest: %w", err)
	}
	return m, nil
}

func (d *decoder) manifest() Manifest {
	m := Manifest{
		Name:    d.text(CheckName),
		Version: d.u64(),
		Writer:  ID(d.u16()),
		Signer:  ID(d.u16()),
		Flags:   Flags(d.oneOf("flags", 0, uint8(Tombstone))),
		Mode:    d.u16(),
		Mtime:   int64(d.u64()),
		Made:    int64(d.u64()),
		Expires: int64(d.u64()),
		Size:    d.atMost("size", MaxSize),
	}
	d.fill(m.Blocks[:])
	d.fill(m.Prior[:])
	d.fill(m.Sig[:])
	if d.err != nil {
		return m
	}
	removed := m.Flags&Tombstone != 0
	switch {
	case m.Version == 0 || m.Version > MaxVersion:
		d.refuse(fmt.Errorf("version is %d, not 1 to %d", m.Version, uint64(MaxVersion)))
	case m.Mode > MaxMode:
		d.refuse(fmt.Errorf("mode is %#o, at most %#o", m.Mode, MaxMode))
	case removed && m.Size != 0:
		d.refuse(errors.New("tombstone has a size"))
	case removed != (m.Blocks == Sum{}):
		d.refuse(errors.New("blocks are all zero if and only if it is a tombstone"))
	}
	return m
}

// Look asks which versions of a name the receiver holds: the newest of each
// writer.
//
//	req 4 | name 2+n
type Look struct {
	Req  uint32
	Name string
}

// Found answers a Look. With another Code than CodeOK an absence means nothing:
// CodeBehind, CodeUnreadable. Home says that the sender is a home holder of the
// key in its own view. At most [MaxManifests].
//
//	req 4 | code 2 | home 1 | count 2 | manifests
type Found struct {
	Req       uint32
	Code      Code
	Home      bool
	Manifests []Manifest
}

// Offer asks the receiver, a home holder or stand-in in the sender's view, to
// have this version: if it lacks it, it pulls it from Source, the sender or
// another holder. A tombstone needs no bytes and no Source.
//
//	req 4 | source 2 | manifest
type Offer struct {
	Req      uint32
	Source   ID
	Manifest Manifest
}

// Confirmed answers an Offer: with CodeOK the version is on the receiver's
// disk, verified and synced; with CodeMore its bytes are on their way, and
// another Confirmed comes.
//
//	req 4 | code 2
type Confirmed struct {
	Req  uint32
	Code Code
}

// Settled says: everything that I hold of the arc from From (not included) to
// your position, of which you are a home holder in your incarnation, I have
// offered and you have confirmed. From your position on it is the whole ring.
//
//	incarnation 8 | from 8
type Settled struct {
	Incarnation Incarnation
	From        Pos
}

// List asks for the manifests that the receiver holds, by name, after After,
// names that begin with Prefix only. Both may be empty, and need not be whole
// names.
//
//	req 4 | prefix 2+n | after 2+n
type List struct {
	Req    uint32
	Prefix string
	After  string
}

// Listed answers a List. With another Code than CodeOK the listing ends here, and
// is not whole: CodeUnreadable, CodeBusy. More says that names after the last one
// remain. Unread is how many names of this part are left out because their files
// cannot be read; those that cannot be known for that reason count in the first
// part. At most [MaxListed], which fit in [MaxBody] even with the longest names.
//
//	req 4 | code 2 | more 1 | unread 2 | count 2 | manifests
type Listed struct {
	Req       uint32
	Code      Code
	More      bool
	Unread    uint16
	Manifests []Manifest
}

// Type is TypeLook.
func (Look) Type() Type { return TypeLook }

// Append appends the body to b.
func (m Look) Append(b []byte) []byte {
	return appendText(be.AppendUint32(b, m.Req), m.Name)
}

// Type is TypeFound.
func (Found) Type() Type { return TypeFound }

// Append appends the body to b.
func (m Found) Append(b []byte) []byte {
	b = be.AppendUint32(b, m.Req)
	b = appendBool(be.AppendUint16(b, uint16(m.Code)), m.Home)
	return appendManifests(b, m.Manifests, MaxManifests)
}

// Type is TypeOffer.
func (Offer) Type() Type { return TypeOffer }

// Append appends the body to b.
func (m Offer) Append(b []byte) []byte {
	b = be.AppendUint32(b, m.Req)
	b = be.AppendUint16(b, uint16(m.Source))
	return m.Manifest.Append(b)
}

// Type is TypeConfirmed.
func (Confirmed) Type() Type { return TypeConfirmed }

// Append appends the body to b.
func (m Confirmed) Append(b []byte) []byte {
	return be.AppendUint16(be.AppendUint32(b, m.Req), uint16(m.Code))
}

func (d *decoder) confirmed() Confirmed {
	return Confirmed{d.u32(), d.code(CodeOK)}
}

// Type is TypeSettled.
func (Settled) Type() Type { return TypeSettled }

// Append appends the body to b.
func (m Settled) Append(b []byte) []byte {
	return be.AppendUint64(be.AppendUint64(b, uint64(m.Incarnation)), uint64(m.From))
}

// Type is TypeList.
func (List) Type() Type { return TypeList }

// Append appends the body to b.
func (m List) Append(b []byte) []byte {
	return appendText(appendText(be.AppendUint32(b, m.Req), m.Prefix), m.After)
}

// Type is TypeListed.
func (Listed) Type() Type { return TypeListed }

// Append appends the body to b.
func (m Listed) Append(b []byte) []byte {
	b = be.AppendUint32(b, m.Req)
	b = appendBool(be.AppendUint16(b, uint16(m.Code)), m.More)
	b = be.AppendUint16(b, m.Unread)
	return appendManifests(b, m.Manifests, MaxListed)
}

func appendManifests(b []byte, ms []Manifest, limit int) []byte {
	b = appendCount(b, len(ms), limit)
	for _, m := range ms {
		b = m.Append(b)
	}
	return b
}

func (d *decoder) manifests(limit int) []Manifest {
	n := d.count(limit, minManifest)
	if n == 0 {
		return nil
	}
	ms := make([]Manifest, n)
	for i := range ms {
		ms[i] = d.manifest()
	}
	return ms
}
