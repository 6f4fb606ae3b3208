package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// What Parse, ParsePing and ParseManifest refuse, whatever the message.
var (
	errShort    = errors.New("bytes are missing at the end")
	errLeftover = errors.New("bytes are left over at the end")
)

var be = binary.BigEndian

// appendCount appends the 2-byte length of a text or list. A count over its
// limit is a mistake of this program, never of a peer: writing it would give
// bytes that mean something else.
func appendCount(b []byte, n, limit int) []byte {
	if n > limit {
		panic(fmt.Sprintf("wire: internal error: appending %d items, at most %d", n, limit))
	}
	return be.AppendUint16(b, uint16(n))
}

func appendText(b []byte, s string) []byte {
	return append(appendCount(b, len(s), MaxName), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// decoder takes fields off the front of a body. The first fault sticks: every
// later field is zero, so that a parser reads as the layout does and the
// fault is looked at once, in end.
type decoder struct {
	b   []byte // what is left
	err error
}

func (d *decoder) refuse(err error) {
	if d.err == nil {
		d.err, d.b = err, nil
	}
}

// end returns the first fault; bytes that are left over are one.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		return errLeftover
	}
	return d.err
}

// take returns the next n bytes, of the body itself, or nil after a fault.
func (d *decoder) take(n int) []byte {
	if d.err != nil || len(d.b) < n {
		d.refuse(errShort)
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) u8() uint8 {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) u16() uint16 {
	if p := d.take(2); p != nil {
		return be.Uint16(p)
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if p := d.take(4); p != nil {
		return be.Uint32(p)
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if p := d.take(8); p != nil {
		return be.Uint64(p)
	}
	return 0
}

// fill fills dst, an array field.
func (d *decoder) fill(dst []byte) { copy(dst, d.take(len(dst))) }

func (d *decoder) boolean() bool { return d.oneOf("bool", 0, 1) == 1 }

// oneOf takes one byte that is at least low and at most high.
func (d *decoder) oneOf(what string, low, high uint8) uint8 {
	v := d.u8()
	if d.err == nil && (v < low || v > high) {
		d.refuse(fmt.Errorf("%s is %d, not %d to %d", what, v, low, high))
		return 0
	}
	return v
}

// atMost takes an 8-byte number that is not above limit.
func (d *decoder) atMost(what string, limit uint64) uint64 {
	v := d.u64()
	if v > limit {
		d.refuse(fmt.Errorf("%s is %d, at most %d", what, v, limit))
		return 0
	}
	return v
}

// code takes a Code that is at least low.
func (d *decoder) code(low Code) Code {
	c := Code(d.u16())
	if d.err == nil && (c < low || c > CodeUnreadable) {
		d.refuse(fmt.Errorf("code is %d, not %d to %d", c, low, CodeUnreadable))
		return 0
	}
	return c
}

// count takes the length of a list of items that are at least size bytes
// each. The items are allocated after it: so it is checked against the limit
// and against what is left.
func (d *decoder) count(limit, size int) int {
	n := int(d.u16())
	switch {
	case n > limit:
		d.refuse(fmt.Errorf("list has %d items, at most %d", n, limit))
		return 0
	case n*size > len(d.b):
		d.refuse(errShort)
		return 0
	}
	return n
}

// text takes a string and returns a copy of it, after check found no fault.
func (d *decoder) text(check func(string) error) string {
	n := int(d.u16())
	if n > MaxName {
		d.refuse(fmt.Errorf("text has %d bytes, at most %d", n, MaxName))
	}
	s := string(d.take(n))
	if d.err != nil {
		return ""
	}
	if err := check(s); err != nil {
		d.refuse(err)
		return ""
	}
	return s
}
