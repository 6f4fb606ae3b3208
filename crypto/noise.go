package crypto

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"io"

	"github.com/flynn/noise"
)

// This is the only file that names flynn/noise. What it hides: which of the
// two cipher states belongs to which direction, that PeerStatic and
// ChannelBinding alias internal memory, that a handshake state that returned
// an error is dead (its rollback is partial: a low-order point or a failed
// tag leaves the transcript changed), and that placement of the psk below 2
// silently means no psk at all.

// attempt is one handshake: made, used for one message each way, and thrown
// away. Any error ends it.
type attempt struct {
	state *noise.HandshakeState
	dh    *x25519
	// over is set by the first error; from then on every call fails.
	over bool
}

// splitKeys is what a finished handshake leaves: the key of each direction
// and the handshake hash. The hash is public (an observer can compute it), so
// it may only ever be a salt.
type splitKeys struct {
	i2r, r2i [32]byte
	hash     [32]byte
}

var errAttemptOver = errors.New("handshake attempt already failed or finished")

// newAttempt begins Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s. peer is the
// responder's static key for the initiator, nil for the responder.
func newAttempt(static *ecdh.PrivateKey, peer, prologue []byte) (*attempt, error) {
	return newPatternAttempt(noise.Config{
		Pattern:               noise.HandshakeIK,
		PresharedKeyPlacement: 2,
		Initiator:             peer != nil,
		PeerStatic:            peer,
		Prologue:              prologue,
	}, static)
}

// newPatternAttempt completes config with our suite and static key, which may
// be nil. Apart from IKpsk2 only the official vectors use it, so that they
// run through the same Diffie-Hellman and the same steps.
func newPatternAttempt(config noise.Config, static *ecdh.PrivateKey) (*attempt, error) {
	dh := &x25519{static: static}
	config.CipherSuite = noise.NewCipherSuite(dh, noise.CipherChaChaPoly, noise.HashBLAKE2s)
	if static != nil {
		config.StaticKeypair = noise.DHKey{Private: staticHandle, Public: static.PublicKey().Bytes()}
	}
	state, err := noise.NewHandshakeState(config)
	if err != nil {
		return nil, err
	}
	return &attempt{state: state, dh: dh}, nil
}

// write appends the next message, which is not the last one. random gives
// the ephemeral key.
func (a *attempt) write(out, payload []byte, random io.Reader) ([]byte, error) {
	if a.over {
		return nil, errAttemptOver
	}
	a.dh.random = random
	out, _, _, err := a.state.WriteMessage(out, payload)
	a.over = err != nil
	return out, err
}

// read takes the peer's next message, which is not the last one, and returns
// its payload in memory of its own.
func (a *attempt) read(message []byte) ([]byte, error) {
	if a.over {
		return nil, errAttemptOver
	}
	// nil, never message[:0]: flynn panics on inexact overlap.
	payload, _, _, err := a.state.ReadMessage(nil, message)
	a.over = err != nil
	return payload, err
}

// writeLast appends the last message under psk and ends the attempt.
func (a *attempt) writeLast(out, payload []byte, psk *[32]byte, random io.Reader) ([]byte, splitKeys, error) {
	if a.over {
		return nil, splitKeys{}, errAttemptOver
	}
	a.over = true
	a.dh.random = random
	if err := a.state.SetPresharedKey(psk[:]); err != nil {
		return nil, splitKeys{}, err
	}
	out, i2r, r2i, err := a.state.WriteMessage(out, payload)
	if err != nil {
		return nil, splitKeys{}, err
	}
	return out, a.split(i2r, r2i), nil
}

// readLast takes the peer's last message under psk and ends the attempt.
func (a *attempt) readLast(message []byte, psk *[32]byte) ([]byte, splitKeys, error) {
	if a.over {
		return nil, splitKeys{}, errAttemptOver
	}
	a.over = true
	if err := a.state.SetPresharedKey(psk[:]); err != nil {
		return nil, splitKeys{}, err
	}
	payload, i2r, r2i, err := a.state.ReadMessage(nil, message)
	if err != nil {
		return nil, splitKeys{}, err
	}
	return payload, a.split(i2r, r2i), nil
}

// split copies the keys out. The first cipher state is always the one from
// initiator to responder, whichever side finishes.
func (a *attempt) split(first, second *noise.CipherState) splitKeys {
	k := splitKeys{i2r: first.UnsafeKey(), r2i: second.UnsafeKey()}
	copy(k.hash[:], a.state.ChannelBinding())
	return k
}

// peerStatic is a copy of the static key that the peer's message carried.
func (a *attempt) peerStatic() (key [32]byte) {
	copy(key[:], a.state.PeerStatic())
	return key
}

// x25519 is the Diffie-Hellman of one attempt: flynn's interface over parsed
// crypto/ecdh keys. flynn's own parses the private key again for every
// operation, which computes its public key again and doubles the cost.
//
// flynn is given handles for private keys; the keys themselves stay here.
type x25519 struct {
	static, ephemeral *ecdh.PrivateKey
	// random gives the ephemeral key; set before the message that makes it.
	random io.Reader
}

var (
	staticHandle    = []byte("static")
	ephemeralHandle = []byte("ephemeral")
)

// GenerateKeypair makes the attempt's ephemeral key from 32 bytes of
// x.random. The reader that flynn passes was fixed when the attempt began.
func (x *x25519) GenerateKeypair(io.Reader) (noise.DHKey, error) {
	var seed [32]byte
	if _, err := io.ReadFull(x.random, seed[:]); err != nil {
		return noise.DHKey{}, fmt.Errorf("reading randomness: %w", err)
	}
	key, err := ecdh.X25519().NewPrivateKey(seed[:])
	if err != nil {
		return noise.DHKey{}, err
	}
	x.ephemeral = key
	return noise.DHKey{Private: ephemeralHandle, Public: key.PublicKey().Bytes()}, nil
}

// DH refuses low-order points: crypto/ecdh returns an error when the result
// is all zero.
func (x *x25519) DH(handle, peer []byte) ([]byte, error) {
	key := x.ephemeral
	if string(handle) == string(staticHandle) {
		key = x.static
	}
	public, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, err
	}
	return key.ECDH(public)
}

// DHLen is the length of a public key and of a result.
func (*x25519) DHLen() int { return 32 }

// DHName is the name in the protocol string, which keeps us interoperable.
func (*x25519) DHName() string { return "25519" }
