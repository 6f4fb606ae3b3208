package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/zeebo/blake3"
)

// Specification constants, from docs/protocol.md, section "A version on disk".
const (
	// BlockSize is the number of bytes under one hash of a block list. The
	// last block of a file is shorter if it must be; an empty file has none.
	BlockSize = 1 << 20

	// HashSize is the length of a BLAKE3 hash in a block list.
	HashSize = 32

	// MaxManifest is the largest manifest a version may have, in bytes.
	MaxManifest = 4096

	// MaxSize is the largest file, in bytes: 1 TiB, whose block list is
	// 32 MiB long.
	MaxSize = 1 << 40

	footerMagic = "SPFILE\x00\x02" // the last byte is the version of the layout
	footerSize  = 8 + 8 + 8 + 4 + HashSize + HashSize
)

// Version names one version of one file.
type Version struct {
	Key uint64   // the position its name hashes to
	Sum [32]byte // SHA-256 of its manifest
}

func (v Version) String() string { return fmt.Sprintf("%016x-%x", v.Key, v.Sum) }

// FlagApart is among the flags of a version of more than BlockSize bytes: they
// and its block list lie in a file of their own, which all versions under one
// key share that have these bytes (R24).
const FlagApart = 0x40

// Labels are what the caller says of a version in the name of its file, so
// that nobody opens the file to know it (R20). The store only keeps them.
type Labels struct {
	Name   [16]byte // the first bytes of the hash of the file's name
	Number uint64   // of the version, among those of the writer
	Writer uint16
	Signer uint16
	Flags  uint8 // FlagApart is the store's
}

// Entry is what the name of a version's file says: 88 bytes, no pointers.
type Entry struct {
	Version
	Labels
	Root [16]byte // the first bytes of the BLAKE3 hash of the block list
}

// nameSize is the length of the name of a version's file.
const nameSize = 16 + 1 + 32 + 1 + 4 + 1 + 4 + 1 + 16 + 1 + 2 + 1 + 32 + 1 + 64

// String is the name of the version's file: KEY-NAME-WRITER-SIGNER-NUMBER-
// FLAGS-ROOT-SUM, all in hexadecimal digits.
func (e Entry) String() string {
	b := make([]byte, 0, nameSize)
	field := func(value []byte) {
		if len(b) > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, value)
	}
	var n [8]byte
	field(binary.BigEndian.AppendUint64(n[:0], e.Key))
	field(e.Name[:])
	field(binary.BigEndian.AppendUint16(n[:0], e.Writer))
	field(binary.BigEndian.AppendUint16(n[:0], e.Signer))
	field(binary.BigEndian.AppendUint64(n[:0], e.Number))
	field([]byte{e.Flags})
	field(e.Root[:])
	field(e.Sum[:])
	return string(b)
}

// parseEntry is the reverse of String; ok is false for any other name.
func parseEntry(name string) (e Entry, ok bool) {
	if len(name) != nameSize || strings.ToLower(name) != name {
		return Entry{}, false
	}
	ok = true
	field := func(value []byte) {
		digits := 2 * len(value)
		_, err := hex.Decode(value, []byte(name[:digits]))
		name = name[digits:]
		ok = ok && err == nil && (name == "" || name[0] == '-')
		name = name[min(1, len(name)):]
	}
	var key, number [8]byte
	var writer, signer [2]byte
	var flags [1]byte
	field(key[:])
	field(e.Name[:])
	field(writer[:])
	field(signer[:])
	field(number[:])
	field(flags[:])
	field(e.Root[:])
	field(e.Sum[:])
	if !ok {
		return Entry{}, false
	}
	e.Key, e.Number = binary.BigEndian.Uint64(key[:]), binary.BigEndian.Uint64(number[:])
	e.Writer, e.Signer = binary.BigEndian.Uint16(writer[:]), binary.BigEndian.Uint16(signer[:])
	e.Flags = flags[0]
	return e, true
}

// apart tells whether the version's bytes lie in a file of their own.
func (e Entry) apart() bool { return e.Flags&FlagApart != 0 }

// bytesFile names bytes that lie apart.
type bytesFile struct {
	key  uint64
	root [HashSize]byte // BLAKE3 of the block list
}

// String is the name of the file of these bytes: KEY-ROOT.
func (b bytesFile) String() string { return fmt.Sprintf("%016x-%x", b.key, b.root) }

func (b bytesFile) path() string { return folderPath(folderOf(b.key)) + "/" + b.String() }

// parseBytesFile is the reverse of String; ok is false for any other name.
func parseBytesFile(name string) (b bytesFile, ok bool) {
	if len(name) != 16+1+64 || name[16] != '-' || strings.ToLower(name) != name {
		return bytesFile{}, false
	}
	var key [8]byte
	_, err := hex.Decode(key[:], []byte(name[:16]))
	_, errRoot := hex.Decode(b.root[:], []byte(name[17:]))
	if err != nil || errRoot != nil {
		return bytesFile{}, false
	}
	b.key = binary.BigEndian.Uint64(key[:])
	return b, true
}

// bytesKey is what is in memory of a bytesFile: 24 bytes. It is in order of the key,
// then the root.
type bytesKey struct {
	key  uint64
	root [16]byte // the first of it
}

func (b bytesKey) compare(o bytesKey) int {
	if c := cmp.Compare(b.key, o.key); c != 0 {
		return c
	}
	return bytes.Compare(b.root[:], o.root[:])
}

func (b bytesFile) inMemory() bytesKey { return bytesKey{b.key, [16]byte(b.root[:16])} }

func (e Entry) bytes() bytesKey { return bytesKey{e.Key, e.Root} }

// compare orders entries by version, and those of one version, which only a
// file under a wrong name makes, by what else they say.
func (e Entry) compare(o Entry) int {
	if c := e.Version.compare(o.Version); c != 0 || e == o {
		return c
	}
	return strings.Compare(e.String(), o.String())
}

func (v Version) compare(o Version) int {
	if c := cmp.Compare(v.Key, o.Key); c != 0 {
		return c
	}
	return bytes.Compare(v.Sum[:], o.Sum[:])
}

// The versions lie in 4,096 folders by the top 12 bits of their keys, so that
// the folders in order are the keys in order: an arc is listed one folder at
// a time, in the memory of one. (Keys of the classic ring, 0 to 255, are all
// in the first folder.)
const (
	folderBits  = 12
	folderShift = 64 - folderBits
	folderCount = 1 << folderBits
)

func folderOf(key uint64) int { return int(key >> folderShift) }

func folderPath(folder int) string { return fmt.Sprintf("files/%03x", folder) }

// parseFolder is the reverse of the last part of folderPath.
func parseFolder(name string) (folder int, ok bool) {
	n, err := strconv.ParseUint(name, 16, folderBits)
	if err != nil || fmt.Sprintf("%03x", n) != name {
		return 0, false
	}
	return int(n), true
}

func (e Entry) path() string { return folderPath(folderOf(e.Key)) + "/" + e.String() }

// blockCount returns the number of blocks of a file of size bytes.
func blockCount(size int64) int64 { return (size + BlockSize - 1) / BlockSize }

// blockLength returns the length of a block of a file of size bytes.
func blockLength(block, size int64) int64 { return min(BlockSize, size-block*BlockSize) }

// footer is the end of a version's file:
//
//	magic 8 | key 8 | size 8 | manifest length 4 | root 32 | check 32
//
// check is the BLAKE3 hash of the manifest and of the footer up to it.
type footer struct {
	key          uint64
	size         int64
	manifestSize int
	root         [HashSize]byte // BLAKE3 of the block list
}

// appendTail appends what follows the block list: the manifest and the footer.
func (f footer) appendTail(b, manifest []byte) []byte {
	start := len(b)
	b = append(b, manifest...)
	b = append(b, footerMagic...)
	b = binary.BigEndian.AppendUint64(b, f.key)
	b = binary.BigEndian.AppendUint64(b, uint64(f.size))
	b = binary.BigEndian.AppendUint32(b, uint32(len(manifest)))
	b = append(b, f.root[:]...)
	check := blake3.Sum256(b[start:])
	return append(b, check[:]...)
}

// parseTail reads footer and manifest from the last bytes of a file that is
// length bytes long, and checks that every byte of the file is accounted for.
// The manifest aliases tail.
func parseTail(tail []byte, length int64) (f footer, manifest []byte, err error) {
	if len(tail) < footerSize {
		return footer{}, nil, fmt.Errorf("%d bytes are too few for a footer: %w", len(tail), ErrDamaged)
	}
	b := tail[len(tail)-footerSize:]
	f.key = binary.BigEndian.Uint64(b[8:])
	size := binary.BigEndian.Uint64(b[16:])
	manifestSize := binary.BigEndian.Uint32(b[24:])
	copy(f.root[:], b[28:])
	switch {
	case string(b[:8]) != footerMagic:
		return footer{}, nil, fmt.Errorf("footer of another kind: %w", ErrDamaged)
	case manifestSize == 0 || manifestSize > MaxManifest:
		return footer{}, nil, fmt.Errorf("manifest of %d bytes: %w", manifestSize, ErrDamaged)
	case size > MaxSize:
		return footer{}, nil, fmt.Errorf("size of %d bytes: %w", size, ErrDamaged)
	}
	f.size, f.manifestSize = int64(size), int(manifestSize)
	if f.fileLength() != length || f.manifestSize+footerSize > len(tail) {
		return footer{}, nil, fmt.Errorf("file of %d bytes, %d expected: %w", length, f.fileLength(), ErrDamaged)
	}
	tail = tail[len(tail)-footerSize-f.manifestSize:]
	if blake3.Sum256(tail[:len(tail)-HashSize]) != [HashSize]byte(tail[len(tail)-HashSize:]) {
		return footer{}, nil, fmt.Errorf("checksum of the footer: %w", ErrDamaged)
	}
	return f, tail[:f.manifestSize], nil
}

// apart tells whether the bytes and the block list lie in a file of their own.
func (f footer) apart() bool { return f.size > BlockSize }

// bytesLength is the length of the bytes and the block list.
func (f footer) bytesLength() int64 { return f.size + blockCount(f.size)*HashSize }

// fileLength is the length of the version's own file.
func (f footer) fileLength() int64 {
	length := int64(f.manifestSize) + footerSize
	if !f.apart() {
		length += f.bytesLength()
	}
	return length
}
