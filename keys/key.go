// Package keys is who is who: a member's secret and the two keys derived from
// it, their text forms, the files that hold them, and the roster, the file
// that says who may speak.
//
// [Generate] with [WriteKeyFile] makes an identity, [ReadKeyFile] reads it
// back; [LoadRoster] reads a roster and refuses it with every fault and its
// line. Rosters are edited with [Roster.Add] and [Roster.Remove] and written
// by [WriteRoster].
//
// The package opens no connection and verifies no message; it hands package
// crypto the keys to do so. The byte-exact forms are in docs/protocol.md, the
// files as an operator sees them in docs/roster.md.
package keys

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"

	"securepeer/wire"
)

// Specification constants: docs/protocol.md, section "Keys and roster".
const (
	noiseLabel = "securepeer/1 noise"
	signLabel  = "securepeer/1 sign"

	seedSize = 32
)

const redacted = "[redacted]"

// Secret is a member's one 32-byte secret with the two private keys derived
// from it: an X25519 key for Noise and an Ed25519 key for signatures, never
// one key for both. It is immutable and safe for concurrent use. However it is
// printed, logged or marshalled it shows "[redacted]"; only [Secret.Text]
// gives it away. The zero Secret is not usable.
type Secret struct {
	// A closure and nothing else: fmt prints the unexported fields of other
	// people's structs without asking their methods, and follows a pointer
	// when the verb does not suit it; of a function it prints the address.
	m func() *material
}

type material struct {
	seed   [seedSize]byte
	noise  *ecdh.PrivateKey
	sign   ed25519.PrivateKey
	public Public
}

// Public is a member's public identity: the two public keys of its Secret. It
// is comparable. A Public from [ParsePublic] or [Secret.Public] has two sound
// halves; the zero Public has none.
type Public struct {
	Noise [32]byte // X25519
	Sign  [32]byte // Ed25519
}

// Generate makes a new Secret from the system's randomness. It fails only
// where the system's policy forbids one of the algorithms.
func Generate() (*Secret, error) {
	var seed [seedSize]byte
	rand.Read(seed[:]) // never returns an error: crypto/rand ends the program instead
	return newSecret(seed)
}

func newSecret(seed [seedSize]byte) (*Secret, error) {
	noiseKey, err := hkdf.Key(sha256.New, seed[:], nil, noiseLabel, 32)
	if err != nil {
		return nil, fmt.Errorf("deriving noise key: %w", err)
	}
	signSeed, err := hkdf.Key(sha256.New, seed[:], nil, signLabel, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("deriving sign key: %w", err)
	}
	noise, err := ecdh.X25519().NewPrivateKey(noiseKey)
	if err != nil {
		return nil, fmt.Errorf("deriving noise key: %w", err)
	}
	m := &material{seed: seed, noise: noise, sign: ed25519.NewKeyFromSeed(signSeed)}
	copy(m.public.Noise[:], noise.PublicKey().Bytes())
	copy(m.public.Sign[:], m.sign[ed25519.SeedSize:])
	return &Secret{func() *material { return m }}, nil
}

// Public returns the public identity.
func (s Secret) Public() Public { return s.m().public }

// Noise returns the X25519 private key, the child of label
// "securepeer/1 noise".
func (s Secret) Noise() *ecdh.PrivateKey { return s.m().noise }

// DH returns the 32-byte X25519 shared secret of the noise child and peer's
// public key. It fails when the result is all zero, which is the case exactly
// when peer is a low-order point.
func (s Secret) DH(peer [32]byte) ([]byte, error) {
	public, err := ecdh.X25519().NewPublicKey(peer[:])
	if err != nil {
		return nil, fmt.Errorf("computing shared secret: %w", err)
	}
	shared, err := s.m().noise.ECDH(public)
	if err != nil {
		return nil, fmt.Errorf("computing shared secret: %w", err)
	}
	return shared, nil
}

// Sign returns the Ed25519 signature of msg by the child of label
// "securepeer/1 sign". The caller begins msg with a label of its own and the
// ring's name, so that no signature can stand for another thing.
func (s Secret) Sign(msg []byte) [64]byte {
	return [64]byte(ed25519.Sign(s.m().sign, msg))
}

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// Format prints "[redacted]" for every verb.
func (Secret) Format(f fmt.State, _ rune) {
	io.WriteString(f, redacted) // fmt.State keeps its own errors
}

// LogValue is "[redacted]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]", so that no encoder finds its way in.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Verify reports whether sig is a signature of msg by the Secret of p.
func (p Public) Verify(msg []byte, sig [64]byte) bool {
	return ed25519.Verify(p.Sign[:], msg, sig[:])
}

// Digest is the digest of both keys. It stands for them where what somebody
// said under other keys is to be told apart; nothing is opened by it.
func (p Public) Digest() wire.Digest { return wire.DigestOf(p.bytes()) }

// LogValue is the fingerprint, [Public.Short].
func (p Public) LogValue() slog.Value { return slog.StringValue(p.Short()) }

// bytes is the 64-byte form that texts are made of.
func (p Public) bytes() []byte {
	return append(append(make([]byte, 0, 64), p.Noise[:]...), p.Sign[:]...)
}
