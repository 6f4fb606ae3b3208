package crypto

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/cpu"
)

// tagSize is what either AEAD adds to what it seals.
const tagSize = 16

// The AEADs of records and pings, by their name in the key labels.
const (
	nameAES    = "AES-256-GCM"
	nameChaCha = "ChaCha20-Poly1305"
)

// CapAES is the bit of [Info].Caps that says: this machine has AES and
// carry-less multiplication in hardware. AES-256-GCM is used when both sides
// say so, under authentication; both AEADs are full strength, so there is
// nothing to downgrade.
const CapAES uint32 = 1

// Caps is what this machine can do, for [Info].Caps.
func Caps() uint32 {
	var has bool
	switch runtime.GOARCH {
	case "amd64":
		has = cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ && cpu.X86.HasSSE41
	case "arm64":
		// Every 64-bit Apple chip has both; x/sys asks only where the
		// kernel tells.
		has = cpu.ARM64.HasAES && cpu.ARM64.HasPMULL || runtime.GOOS == "darwin"
	}
	if has {
		return CapAES
	}
	return 0
}

// aeadName is the AEAD that two sides with these capabilities use.
func aeadName(mine, theirs uint32) string {
	if mine&theirs&CapAES != 0 {
		return nameAES
	}
	return nameChaCha
}

// schedule is the four keys of a session.
type schedule struct {
	recordI2R, recordR2I [32]byte
	pingI2R, pingR2I     [32]byte
}

// newSchedule derives them. The root has both Split keys in it, salted with
// the handshake hash; the hash alone would be public.
func newSchedule(k splitKeys, aead string) (s schedule, err error) {
	var secret [64]byte
	copy(secret[:32], k.i2r[:])
	copy(secret[32:], k.r2i[:])
	root, err := hkdf.Extract(sha256.New, secret[:], k.hash[:])
	if err != nil {
		return s, fmt.Errorf("extracting root: %w", err)
	}
	for _, out := range []struct {
		key  *[32]byte
		what string
	}{
		{&s.recordI2R, "record i2r "},
		{&s.recordR2I, "record r2i "},
		{&s.pingI2R, "ping i2r "},
		{&s.pingR2I, "ping r2i "},
	} {
		key, err := hkdf.Expand(sha256.New, root, "securepeer/1 "+out.what+aead, len(out.key))
		if err != nil {
			return s, fmt.Errorf("deriving key: %w", err)
		}
		copy(out.key[:], key)
	}
	return s, nil
}

// sealing is one key in use in one direction: an AEAD and the memory for its
// nonce. The nonce lies here and not on the stack because an AEAD behind an
// interface makes its arguments escape: this is what makes 0 allocations.
// It is never copied and has one user at a time.
type sealing struct {
	aead  cipher.AEAD
	nonce [12]byte
}

// newSealing makes the AEAD called name, one of the two above.
func newSealing(name string, key *[32]byte) (*sealing, error) {
	if name == nameChaCha {
		aead, err := chacha20poly1305.New(key[:])
		return &sealing{aead: aead}, err
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &sealing{aead: aead}, err
}

// at is the nonce of a counter: 4 zero bytes, then the counter, big-endian.
func (s *sealing) at(counter uint64) []byte {
	binary.BigEndian.PutUint64(s.nonce[4:], counter)
	return s.nonce[:]
}
