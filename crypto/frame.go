package crypto

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/blake2s"
)

// Specification constants, in the order of docs/protocol.md.
const (
	// Version is the first byte of frame 1. It rises with every change of a
	// message, or of what is signed: peers of two versions have no link.
	Version = 2
	// Frame1Size is the size in bytes of the dialler's first frame:
	// version 1 | mac1 16 | Noise message 1.
	Frame1Size = 1 + macSize + message1Size
	// Frame2Size is the size in bytes of the answer:
	// ML-KEM ciphertext 1088 | Noise message 2.
	Frame2Size = ciphertextSize + message2Size

	prologueLabel = "securepeer/1"
	macLabel      = "securepeer/1 mac1"

	macSize        = 16
	ekSize         = 1184
	ciphertextSize = 1088
	infoSize       = 8 + 4 + 4 + 8 + 16
	// e 32 | sealed s 48 | sealed {ek, info}
	message1Size = 32 + 48 + ekSize + infoSize + tagSize
	// e 32 | sealed info
	message2Size = 32 + infoSize + tagSize

	// maxRing is the longest ring name in bytes: its length is one byte.
	maxRing = 255
)

// Info is what each side says of itself in the handshake, sealed. Big-endian:
// incarnation 8 | ping index 4 | caps 4 | roster serial 8 | roster digest 16.
type Info struct {
	// Incarnation is the sender's, from its persisted row.
	Incarnation uint64
	// PingIndex is the index under which the sender wants to receive the
	// pings of this session; 0 on a transfer link, which has none.
	PingIndex uint32
	// Caps are capability bits, see [CapAES]; unknown ones are ignored.
	Caps uint32
	// RosterSerial and RosterDigest name the sender's roster.
	RosterSerial uint64
	RosterDigest [16]byte
}

func (i *Info) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, i.Incarnation)
	b = binary.BigEndian.AppendUint32(b, i.PingIndex)
	b = binary.BigEndian.AppendUint32(b, i.Caps)
	b = binary.BigEndian.AppendUint64(b, i.RosterSerial)
	return append(b, i.RosterDigest[:]...)
}

// parseInfo takes exactly infoSize bytes; every value is allowed.
func parseInfo(b *[infoSize]byte) (i Info) {
	i.Incarnation = binary.BigEndian.Uint64(b[0:])
	i.PingIndex = binary.BigEndian.Uint32(b[8:])
	i.Caps = binary.BigEndian.Uint32(b[12:])
	i.RosterSerial = binary.BigEndian.Uint64(b[16:])
	copy(i.RosterDigest[:], b[24:])
	return i
}

var errRingName = fmt.Errorf("ring name is not 1 to %d bytes long", maxRing)

// prologue is `securepeer/1` | 0 | length of ring 1 | ring. It makes a frame
// for another ring fail as a forged one does.
func prologue(ring string) ([]byte, error) {
	if len(ring) == 0 || len(ring) > maxRing {
		return nil, errRingName
	}
	b := make([]byte, 0, len(prologueLabel)+2+len(ring))
	b = append(b, prologueLabel...)
	b = append(b, 0, byte(len(ring)))
	return append(b, ring...), nil
}

// mac1 is BLAKE2s-128 over version and message 1, keyed with
// BLAKE2s-256(label, responder's static key). Whoever knows the public key
// can make it: it turns scanners away for two microseconds instead of two
// Diffie-Hellman operations, and promises nothing else.
func mac1(responder *[32]byte, version byte, message []byte) (sum [macSize]byte, err error) {
	var b [len(macLabel) + 32]byte
	copy(b[:], macLabel)
	copy(b[len(macLabel):], responder[:])
	key := blake2s.Sum256(b[:])
	h, err := blake2s.New128(key[:])
	if err != nil {
		return sum, err
	}
	h.Write([]byte{version})
	h.Write(message)
	h.Sum(sum[:0])
	return sum, nil
}

// The ways in which a first frame is refused before any Diffie-Hellman. On
// the wire they are one: silence.
var (
	errFrameSize = errors.New("frame has the wrong size")
	errMAC       = errors.New("frame is not for this key")
)

// VersionError is why a frame is refused that somebody made for this peer's key
// in another version of the protocol, which is this byte.
type VersionError byte

// Error names the version.
func (e VersionError) Error() string { return fmt.Sprintf("frame has version %d", byte(e)) }

// openFrame1 checks size, mac1 and version for the responder with this static
// key, and returns Noise message 1, which aliases frame. A [VersionError] is of
// a sender that knew the key, and no scanner.
func openFrame1(responder *[32]byte, frame []byte) (message []byte, err error) {
	if len(frame) != Frame1Size {
		return nil, errFrameSize
	}
	message = frame[1+macSize:]
	want, err := mac1(responder, frame[0], message)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(want[:], frame[1:1+macSize]) != 1 {
		return nil, errMAC
	}
	if frame[0] != Version {
		return nil, VersionError(frame[0])
	}
	return message, nil
}

// frame1Ephemeral is the dialler's ephemeral key, in clear in every frame 1.
func frame1Ephemeral(frame []byte) (key [32]byte) {
	copy(key[:], frame[1+macSize:])
	return key
}
