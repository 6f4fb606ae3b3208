package wire

import "fmt"

// SizeUnknown is the Size of a Put whose end is not known when it begins.
const SizeUnknown = 1<<64 - 1

// Put opens one segment of an upload on a transfer link: data records follow,
// at most [MaxSegment] bytes, then PutMore or PutEnd. Segments of one upload
// (an id that the sender chose) come in order; Offset is where this one
// begins. Holders are those that the sender writes to.
//
//	upload 8 | offset 8 | size 8 | roster digest 16 | name 2+n | count 2 | holders 2 each
type Put struct {
	Upload  uint64
	Offset  uint64
	Size    uint64 // of the whole file, at most MaxSize, or SizeUnknown
	Roster  Digest
	Name    string
	Holders []ID
}

// PutMore ends a segment that is not the last.
//
//	(no bytes)
type PutMore struct{}

// PutEnd ends an upload: the receiver compares size and block list with what
// came, commits, and answers PutAck.
//
//	manifest
type PutEnd struct {
	Manifest Manifest
}

// PutAck answers a segment (CodeMore), an upload (CodeOK: on disk, synced),
// or ends it at any moment. With CodeNotOwner come rows and votes that the
// sender of the Put lacks.
//
//	code 2 | count 2 | rows 91 each | count 2 | votes 85 each
type PutAck struct {
	Code  Code
	Rows  []Row
	Votes []Vote
}

// Progress says, before PutAck, how many bytes of the upload under way have come
// to its receiver so far, and that this works on it.
//
//	bytes 8
type Progress struct {
	Bytes uint64 // at most MaxSize
}

// Blocks asks for hashes of the block list of a version: Count of them from
// index From, at most [MaxHashes].
//
//	key 8 | sum 32 | from 4 | count 4
type Blocks struct {
	Key   Pos
	Sum   Sum
	From  uint32
	Count uint32
}

// BlockList answers Blocks.
//
//	count 2 | hashes 32 each
type BlockList struct {
	Hashes []Sum
}

// Get asks for Length bytes of a version from Offset, at most [MaxSegment]:
// data records follow, exactly as many bytes, or Fail.
//
//	key 8 | sum 32 | offset 8 | length 8
type Get struct {
	Key    Pos
	Sum    Sum
	Offset uint64
	Length uint64
}

// Fail ends a Get or Blocks that can't be answered, even between data
// records. Its Code is neither CodeOK nor CodeMore.
//
//	code 2
type Fail struct {
	Code Code
}

// Type is TypePut.
func (Put) Type() Type { return TypePut }

// Append appends the body to b.
func (m Put) Append(b []byte) []byte {
	b = be.AppendUint64(b, m.Upload)
	b = be.AppendUint64(b, m.Offset)
	b = be.AppendUint64(b, m.Size)
	b = append(b, m.Roster[:]...)
	b = appendText(b, m.Name)
	b = appendCount(b, len(m.Holders), MaxHolders)
	for _, id := range m.Holders {
		b = be.AppendUint16(b, uint16(id))
	}
	return b
}

func (d *decoder) put() Put {
	m := Put{Upload: d.u64(), Offset: d.atMost("offset", MaxSize), Size: d.u64()}
	if m.Size != SizeUnknown && m.Size > MaxSize {
		d.refuse(fmt.Errorf("size is %d, at most %d", m.Size, uint64(MaxSize)))
	}
	d.fill(m.Roster[:])
	m.Name = d.text(CheckName)
	if n := d.count(MaxHolders, 2); n > 0 {
		m.Holders = make([]ID, n)
	}
	for i := range m.Holders {
		m.Holders[i] = ID(d.u16())
	}
	return m
}

// Type is TypePutMore.
func (PutMore) Type() Type { return TypePutMore }

// Append returns b: the body is empty.
func (PutMore) Append(b []byte) []byte { return b }

// Type is TypePutEnd.
func (PutEnd) Type() Type { return TypePutEnd }

// Append appends the body to b.
func (m PutEnd) Append(b []byte) []byte { return m.Manifest.Append(b) }

// Type is TypePutAck.
func (PutAck) Type() Type { return TypePutAck }

// Append appends the body to b.
func (m PutAck) Append(b []byte) []byte {
	b = be.AppendUint16(b, uint16(m.Code))
	return appendVotes(appendRows(b, m.Rows), m.Votes)
}

// Type is TypeProgress.
func (Progress) Type() Type { return TypeProgress }

// Append appends the body to b.
func (m Progress) Append(b []byte) []byte {
	return be.AppendUint64(b, m.Bytes)
}

// Type is TypeBlocks.
func (Blocks) Type() Type { return TypeBlocks }

// Append appends the body to b.
func (m Blocks) Append(b []byte) []byte {
	b = be.AppendUint64(b, uint64(m.Key))
	b = append(b, m.Sum[:]...)
	b = be.AppendUint32(b, m.From)
	return be.AppendUint32(b, m.Count)
}

func (d *decoder) blocks() Blocks {
	m := Blocks{Key: Pos(d.u64())}
	d.fill(m.Sum[:])
	m.From = d.u32()
	m.Count = d.u32()
	if m.Count > MaxHashes {
		d.refuse(fmt.Errorf("count is %d, at most %d", m.Count, MaxHashes))
	}
	return m
}

// Type is TypeBlockList.
func (BlockList) Type() Type { return TypeBlockList }

// Append appends the body to b.
func (m BlockList) Append(b []byte) []byte {
	b = appendCount(b, len(m.Hashes), MaxHashes)
	for i := range m.Hashes {
		b = append(b, m.Hashes[i][:]...)
	}
	return b
}

func (d *decoder) blockList() BlockList {
	n := d.count(MaxHashes, len(Sum{}))
	if n == 0 {
		return BlockList{}
	}
	hashes := make([]Sum, n)
	for i := range hashes {
		d.fill(hashes[i][:])
	}
	return BlockList{hashes}
}

// Type is TypeGet.
func (Get) Type() Type { return TypeGet }

// Append appends the body to b.
func (m Get) Append(b []byte) []byte {
	b = be.AppendUint64(b, uint64(m.Key))
	b = append(b, m.Sum[:]...)
	b = be.AppendUint64(b, m.Offset)
	return be.AppendUint64(b, m.Length)
}

func (d *decoder) get() Get {
	m := Get{Key: Pos(d.u64())}
	d.fill(m.Sum[:])
	m.Offset = d.atMost("offset", MaxSize)
	m.Length = d.atMost("length", MaxSegment)
	return m
}

// Type is TypeFail.
func (Fail) Type() Type { return TypeFail }

// Append appends the body to b.
func (m Fail) Append(b []byte) []byte { return be.AppendUint16(b, uint16(m.Code)) }
