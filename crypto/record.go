package crypto

import (
	"encoding/binary"
	"errors"
)

// A record is length 2 | AEAD(type 1 | body). The length counts the sealed
// bytes and is the additional data.
const (
	// MaxBody is the largest body of a record in bytes.
	MaxBody = 1<<16 - 1 - 1 - tagSize

	recordHeader   = 2
	recordOverhead = recordHeader + 1 + tagSize
	maxRecord      = recordOverhead + MaxBody

	// maxCounter is how many records or pings one key seals: a hard stop.
	// Links are replaced long before (2^32 full records are 281 TB).
	maxCounter = 1 << 32
)

// The record types of this package. Types 3 to 15 are refused; from
// [FirstMessage] on a type says which message of package wire the body is.
const (
	typeEnd   = 0
	typeData  = 1
	typeHello = 2

	// FirstMessage is the lowest record type that is the caller's.
	FirstMessage = 16
)

var (
	errCounter    = errors.New("key is used up")
	errRecordSize = errors.New("record has an impossible length")
	errTag        = errors.New("record is forged, or out of its order")
)

// sealer seals the records of one direction, in order. It is never copied.
type sealer struct {
	*sealing
	counter uint64
}

func newSealer(aead string, key *[32]byte) (*sealer, error) {
	s, err := newSealing(aead, key)
	return &sealer{sealing: s}, err
}

// seal makes a record in place. record is the whole of it: the caller has put
// the type at recordHeader and the body behind it; seal writes the length and
// the tag in the last tagSize bytes. After 2^32 records it refuses for ever.
func (s *sealer) seal(record []byte) error {
	if s.counter == maxCounter {
		return errCounter
	}
	header, text := record[:recordHeader], record[recordHeader:len(record)-tagSize]
	binary.BigEndian.PutUint16(header, uint16(len(text)+tagSize))
	s.aead.Seal(text[:0], s.at(s.counter), text, header)
	s.counter++
	return nil
}

// opener opens the records of one direction, in order. It is never copied.
type opener struct {
	*sealing
	counter uint64
}

func newOpener(aead string, key *[32]byte) (*opener, error) {
	s, err := newSealing(aead, key)
	return &opener{sealing: s}, err
}

// open opens a whole record in place; body aliases it. An error is final: the
// caller must not read on.
func (o *opener) open(record []byte) (typ byte, body []byte, err error) {
	if len(record) < recordHeader {
		return 0, nil, errRecordSize
	}
	return o.openTo(record[recordHeader:recordHeader], record)
}

// openTo is open into dst, which is empty, has room for type and body, and
// lies elsewhere than record or where its sealed bytes begin. After an error
// nothing of the plaintext is there.
func (o *opener) openTo(dst, record []byte) (typ byte, body []byte, err error) {
	if o.counter == maxCounter {
		return 0, nil, errCounter
	}
	if size := recordSize(record); size < recordOverhead || size != len(record) {
		return 0, nil, errRecordSize
	}
	text, err := o.aead.Open(dst, o.at(o.counter), record[recordHeader:], record[:recordHeader])
	if err != nil {
		return 0, nil, errTag
	}
	o.counter++
	return text[0], text[1:], nil
}

// recordSize is the size of the record that begins with b, header and all; 0
// if b is too short to tell.
func recordSize(b []byte) int {
	if len(b) < recordHeader {
		return 0
	}
	return recordHeader + int(binary.BigEndian.Uint16(b))
}
