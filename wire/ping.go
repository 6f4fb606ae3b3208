package wire

import "fmt"

// PingSize is the size of a Ping's encoding in bytes.
const PingSize = 68

// Said is what the sender of a ping or ack holds of its receiver.
type Said uint8

// What may be said.
const (
	SaidNothing     Said = 0
	SaidSuspect     Said = 1 // the sender voted, or is about to
	SaidUnreachable Said = 2 // the verdict stands in the sender's view
)

// The first byte of a datagram's body.
const (
	pingType = 1
	ackType  = 2
)

// Ping is the body of a ring datagram, 68 bytes; an ack has the same shape.
//
//	type 1 | said 1 | zero 2 | echo 8 | mine 8 | yours 8 |
//	roster serial 8 | roster digest 16 | view digest 16
type Ping struct {
	Ack    bool   // type is 1 for a ping, 2 for an ack; an ack repeats the Echo of its ping
	Said   Said   // of the receiver
	Echo   uint64 // chosen by the pinger
	Mine   Incarnation
	Yours  Incarnation // the receiver's as the sender knows it, 0: none
	Serial uint64
	Roster Digest
	View   Digest
}

// Append appends the [PingSize] bytes of p to b.
func (p Ping) Append(b []byte) []byte {
	typ := byte(pingType)
	if p.Ack {
		typ = ackType
	}
	b = append(b, typ, byte(p.Said), 0, 0)
	b = be.AppendUint64(b, p.Echo)
	b = be.AppendUint64(b, uint64(p.Mine))
	b = be.AppendUint64(b, uint64(p.Yours))
	b = be.AppendUint64(b, p.Serial)
	b = append(b, p.Roster[:]...)
	return append(b, p.View[:]...)
}

// ParsePing returns the ping or ack that body holds, which must be all of it.
// It allocates nothing unless it refuses.
func ParsePing(body []byte) (Ping, error) {
	d := decoder{b: body}
	var p Ping
	p.Ack = d.oneOf("type", pingType, ackType) == ackType
	p.Said = Said(d.oneOf("said", uint8(SaidNothing), uint8(SaidUnreachable)))
	if zero := d.u16(); zero != 0 {
		d.refuse(fmt.Errorf("zero bytes are %#04x", zero))
	}
	p.Echo = d.u64()
	p.Mine = Incarnation(d.u64())
	p.Yours = Incarnation(d.u64())
	p.Serial = d.u64()
	d.fill(p.Roster[:])
	d.fill(p.View[:])
	if err := d.end(); err != nil {
		return Ping{}, fmt.Errorf("parsing Ping: %w", err)
	}
	return p, nil
}
