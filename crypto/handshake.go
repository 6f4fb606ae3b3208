package crypto

import (
	"crypto/mlkem"
	"errors"
	"fmt"
	"io"

	"securepeer/keys"
)

// Session is what a finished handshake leaves: who the peer is, what both
// said, and the keys. A [Conn] uses the keys; each has one user.
type Session struct {
	// Peer is the other side's static key, proved by the handshake.
	Peer [32]byte
	// Mine and Theirs are what the two sides said of themselves.
	Mine, Theirs Info
	// Initiator says that this side dialled.
	Initiator bool

	send *sealer
	recv *opener
	// ping is nil unless both sides gave an index.
	ping *pingSession
}

// ErrSelf says that the other end of a handshake is this peer itself.
var ErrSelf = errors.New("the other end has our own key")

// The ways in which a handshake frame fails.
var (
	errMessage1 = errors.New("opening noise message 1")
	errMessage2 = errors.New("opening noise message 2")
)

// Initiator is the dialling side of one handshake. It is used once: after
// Finish, whatever it returned, nothing more can be done with it.
type Initiator struct {
	attempt *attempt
	kem     *mlkem.DecapsulationKey768
	ek      []byte
	peer    [32]byte
	me      Info
}

// NewInitiator begins a handshake with peer in the named ring and returns the
// first frame, of [Frame1Size] bytes. random gives the ephemeral keys.
func NewInitiator(secret *keys.Secret, peer keys.Public, ring string, me Info, random io.Reader) (*Initiator, []byte, error) {
	if secret.Public().Noise == peer.Noise {
		return nil, nil, ErrSelf
	}
	opening, err := prologue(ring)
	if err != nil {
		return nil, nil, err
	}
	kem, err := newKEMKey(random)
	if err != nil {
		return nil, nil, fmt.Errorf("making ML-KEM key: %w", err)
	}
	attempt, err := newAttempt(secret.Noise(), peer.Noise[:], opening)
	if err != nil {
		return nil, nil, err
	}
	i := &Initiator{attempt: attempt, kem: kem, ek: kem.EncapsulationKey().Bytes(), peer: peer.Noise, me: me}

	// -> e, es, s, ss, {ek, info}
	payload := me.append(append(make([]byte, 0, ekSize+infoSize), i.ek...))
	frame := make([]byte, 1+macSize, Frame1Size)
	frame[0] = Version
	frame, err = attempt.write(frame, payload, random)
	if err != nil {
		return nil, nil, fmt.Errorf("writing noise message 1: %w", err)
	}
	mac, err := mac1(&i.peer, Version, frame[1+macSize:])
	if err != nil {
		return nil, nil, err
	}
	copy(frame[1:], mac[:])
	return i, frame, nil
}

// Finish takes the answer, of [Frame2Size] bytes, and returns the session. The
// responder is proved by it; it believes us only when our first record has
// opened.
func (i *Initiator) Finish(frame []byte) (*Session, error) {
	if len(frame) != Frame2Size {
		return nil, errFrameSize
	}
	ciphertext, message := frame[:ciphertextSize], frame[ciphertextSize:]
	psk, err := kemFinish(i.kem, i.ek, ciphertext)
	if err != nil {
		return nil, err
	}
	// <- e, ee, se, psk, {info}
	payload, split, err := i.attempt.readLast(message, &psk)
	if err != nil || len(payload) != infoSize {
		return nil, errMessage2
	}
	s := &Session{Peer: i.peer, Mine: i.me, Theirs: parseInfo((*[infoSize]byte)(payload)), Initiator: true}
	return s, s.setKeys(split)
}

// Responder is the answering side of one handshake, after it has read the
// first frame. Nothing that it knows is proved yet to be fresh: a recorded
// frame reaches this far. It is used once.
type Responder struct {
	// Peer is the static key of the dialler; the caller looks it up.
	Peer [32]byte
	// Theirs is what the dialler says of itself.
	Theirs Info

	attempt *attempt
	ek      []byte
}

// Respond reads a first frame meant for secret in the named ring: size,
// mac1 and version first, then message 1. Every error means the same to the
// other side: silence.
func Respond(secret *keys.Secret, ring string, frame []byte) (*Responder, error) {
	own := secret.Public().Noise
	message, err := openFrame1(&own, frame)
	if err != nil {
		return nil, err
	}
	return respond(secret, ring, message)
}

// respond is Respond after mac1.
func respond(secret *keys.Secret, ring string, message []byte) (*Responder, error) {
	opening, err := prologue(ring)
	if err != nil {
		return nil, err
	}
	attempt, err := newAttempt(secret.Noise(), nil, opening)
	if err != nil {
		return nil, err
	}
	// -> e, es, s, ss, {ek, info}
	payload, err := attempt.read(message)
	if err != nil || len(payload) != ekSize+infoSize {
		return nil, errMessage1
	}
	r := &Responder{Peer: attempt.peerStatic(), attempt: attempt, ek: payload[:ekSize]}
	if r.Peer == secret.Public().Noise {
		return nil, ErrSelf
	}
	r.Theirs = parseInfo((*[infoSize]byte)(payload[ekSize:]))
	return r, nil
}

// Answer returns the second frame, of [Frame2Size] bytes, and the session, on
// which nothing may be done until the dialler's first record has opened.
// random gives the ephemeral X25519 key; the encapsulation always draws from
// the system's randomness.
func (r *Responder) Answer(me Info, random io.Reader) ([]byte, *Session, error) {
	return r.answer(me, random, randomEncapsulate)
}

func (r *Responder) answer(me Info, random io.Reader, encaps encapsulate) ([]byte, *Session, error) {
	psk, ciphertext, err := kemAnswer(encaps, r.ek)
	if err != nil {
		return nil, nil, err
	}
	// <- e, ee, se, psk, {info}
	frame := append(make([]byte, 0, Frame2Size), ciphertext...)
	frame, split, err := r.attempt.writeLast(frame, me.append(make([]byte, 0, infoSize)), &psk, random)
	if err != nil {
		return nil, nil, fmt.Errorf("writing noise message 2: %w", err)
	}
	s := &Session{Peer: r.Peer, Mine: me, Theirs: r.Theirs}
	if err := s.setKeys(split); err != nil {
		return nil, nil, err
	}
	return frame, s, nil
}

// setKeys derives the session's keys and gives each to its one user.
func (s *Session) setKeys(split splitKeys) error {
	name := s.AEAD()
	k, err := newSchedule(split, name)
	if err != nil {
		return err
	}
	sendRecord, recvRecord := &k.recordR2I, &k.recordI2R
	sendPing, recvPing := &k.pingR2I, &k.pingI2R
	if s.Initiator {
		sendRecord, recvRecord = recvRecord, sendRecord
		sendPing, recvPing = recvPing, sendPing
	}
	if s.send, err = newSealer(name, sendRecord); err != nil {
		return err
	}
	if s.recv, err = newOpener(name, recvRecord); err != nil {
		return err
	}
	if s.Mine.PingIndex == 0 || s.Theirs.PingIndex == 0 {
		return nil
	}
	s.ping, err = newPingSession(s, name, sendPing, recvPing)
	return err
}

// AEAD is the name of the cipher that records and pings of this session use.
func (s *Session) AEAD() string { return aeadName(s.Mine.Caps, s.Theirs.Caps) }
