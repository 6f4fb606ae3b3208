package wire

import (
	"errors"
	"fmt"
)

// Specification constants: limits of what is sent, each checked before
// anything is allocated. Any legal message fits in MaxBody, even one at all its limits.
const (
	MaxBody      = 65518    // bytes of a message, as a record holds
	MaxName      = 1024     // bytes of a file's name
	MaxPart      = 255      // bytes between two '/' of a name
	MaxRows      = 256      // rows of a message
	MaxVotes     = 256      // votes of a message
	MaxHolders   = 64       // holders named by a Put
	MaxManifests = 16       // manifests of a Found
	MaxListed    = 48       // manifests of a Listed
	MaxHashes    = 2000     // hashes of a BlockList
	MaxSegment   = 64 << 20 // bytes that one Put or Get moves
	BlockSize    = 1 << 20  // bytes of a block
	MaxSize      = 1 << 40  // bytes of a file: its block list is 32 MiB then
	MaxVersion   = 1 << 62  // of a manifest: a next one can be counted
	MaxMode      = 0o777    // mode of a file: no setuid bit comes from another machine
)

// Type is the first byte of a record that carries a message. Types below 16
// belong to the link itself.
type Type uint8

// The types, in the order of docs/protocol.md.
const (
	TypeRows Type = 16 + iota
	TypeFind
	TypeAsk
	TypeHere
	TypeRefuse
	TypeLook
	TypeFound
	TypeOffer
	TypeConfirmed
	TypeSettled
	TypeList
	TypeListed
	TypePut
	TypePutMore
	TypePutEnd
	TypePutAck
	TypeBlocks
	TypeBlockList
	TypeGet
	TypeFail
	TypeBuckets
	TypePingReq
	TypePingReqAck
	TypeProgress
)

// Carrier is the kind of link that a message belongs on.
type Carrier uint8

// The carriers. A type with none belongs nowhere.
const (
	OnRing     Carrier = 1 + iota // between the rings of two peers, any time
	OnTransfer                    // one request at a time, with its answer and bytes of files
)

// register has an entry for each type: what is missing here is refused on every
// link.
var register = [256]struct {
	name string
	on   Carrier
}{
	TypeRows: {"Rows", OnRing}, TypeFind: {"Find", OnRing}, TypeAsk: {"Ask", OnRing}, TypeHere: {"Here", OnRing},
	TypeRefuse: {"Refuse", OnRing}, TypeLook: {"Look", OnRing}, TypeFound: {"Found", OnRing},
	TypeOffer: {"Offer", OnRing}, TypeConfirmed: {"Confirmed", OnRing}, TypeSettled: {"Settled", OnRing},
	TypeList: {"List", OnRing}, TypeListed: {"Listed", OnRing}, TypeBuckets: {"Buckets", OnRing},
	TypePingReq: {"PingReq", OnRing}, TypePingReqAck: {"PingReqAck", OnRing},

	TypePut: {"Put", OnTransfer}, TypePutMore: {"PutMore", OnTransfer}, TypePutEnd: {"PutEnd", OnTransfer},
	TypePutAck: {"PutAck", OnTransfer}, TypeBlocks: {"Blocks", OnTransfer}, TypeBlockList: {"BlockList", OnTransfer},
	TypeGet: {"Get", OnTransfer}, TypeFail: {"Fail", OnTransfer}, TypeProgress: {"Progress", OnTransfer},
}

// Carrier returns the kind of link that the message belongs on; 0: none.
func (t Type) Carrier() Carrier { return register[t].on }

// String is the name of the message's struct.
func (t Type) String() string {
	if name := register[t].name; name != "" {
		return name
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// Message is one of the message structs of this package, by value.
type Message interface {
	Type() Type
	// Append appends the body to b; the type travels in the record. It
	// panics if a list or text is over its limit, so that no other bytes
	// than those of a message ever leave: bound lists where they are made,
	// and check names with [CheckName] where they come in.
	Append(b []byte) []byte
}

// Parse returns the message that body holds, which must be all of it. What it
// returns shares no memory with body. A message that parses appends to the
// same bytes again. No signature is verified.
func Parse(t Type, body []byte) (Message, error) {
	if len(body) > MaxBody {
		return nil, fmt.Errorf("parsing %v: body has %d bytes, at most %d", t, len(body), MaxBody)
	}
	d := decoder{b: body}
	m := d.message(t)
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("parsing %v: %w", t, err)
	}
	return m, nil
}

func (d *decoder) message(t Type) Message {
	switch t {
	case TypeRows:
		return Rows{d.rows(), d.votes()}
	case TypeFind:
		return d.find()
	case TypeAsk:
		return Ask{d.u32(), ID(d.u16())}
	case TypeHere:
		return Here{d.u32()}
	case TypeRefuse:
		return Refuse{d.u32(), d.code(CodeNotOwner)}
	case TypeLook:
		return Look{d.u32(), d.text(CheckName)}
	case TypeFound:
		return Found{d.u32(), d.code(CodeOK), d.boolean(), d.manifests(MaxManifests)}
	case TypeOffer:
		return Offer{d.u32(), ID(d.u16()), d.manifest()}
	case TypeConfirmed:
		return d.confirmed()
	case TypeSettled:
		return Settled{Incarnation(d.u64()), Pos(d.u64())}
	case TypeList:
		return List{d.u32(), d.text(checkPartial), d.text(checkPartial)}
	case TypeListed:
		return Listed{d.u32(), d.code(CodeOK), d.boolean(), d.u16(), d.manifests(MaxListed)}
	case TypePut:
		return d.put()
	case TypePutMore:
		return PutMore{}
	case TypePutEnd:
		return PutEnd{d.manifest()}
	case TypePutAck:
		return PutAck{d.code(CodeOK), d.rows(), d.votes()}
	case TypeBlocks:
		return d.blocks()
	case TypeBlockList:
		return d.blockList()
	case TypeGet:
		return d.get()
	case TypeFail:
		return Fail{d.code(CodeNotOwner)}
	case TypeBuckets:
		return d.buckets()
	case TypePingReq:
		return PingReq{d.u32(), ID(d.u16())}
	case TypePingReqAck:
		return PingReqAck{d.u32(), d.boolean()}
	case TypeProgress:
		return Progress{d.atMost("bytes", MaxSize)}
	}
	d.refuse(errors.New("unknown type"))
	return nil
}
