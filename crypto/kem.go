package crypto

import (
	"crypto/hkdf"
	"crypto/mlkem"
	"crypto/sha256"
	"fmt"
	"io"
)

// kemSeedSize is what an ML-KEM-768 decapsulation key is made from.
const kemSeedSize = mlkem.SeedSize

const kemLabel = "securepeer/1 kem"

// encapsulate is the responder's half of the KEM. It is a type so that the
// known-answer tests can put the derandomized form of FIPS 203 in its place.
type encapsulate func(*mlkem.EncapsulationKey768) (shared, ciphertext []byte)

// randomEncapsulate draws from the system's randomness, always: crypto/mlkem
// takes no reader.
func randomEncapsulate(key *mlkem.EncapsulationKey768) (shared, ciphertext []byte) {
	return key.Encapsulate()
}

// newKEMKey makes the ephemeral decapsulation key of one attempt.
func newKEMKey(random io.Reader) (*mlkem.DecapsulationKey768, error) {
	var seed [kemSeedSize]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, fmt.Errorf("reading randomness: %w", err)
	}
	return mlkem.NewDecapsulationKey768(seed[:])
}

// kemAnswer encapsulates to the peer's key and returns the ciphertext and the
// psk of both sides. It refuses a key that is not canonical (FIPS 203, 7.2).
func kemAnswer(encaps encapsulate, ek []byte) (psk [32]byte, ciphertext []byte, err error) {
	key, err := mlkem.NewEncapsulationKey768(ek)
	if err != nil {
		return psk, nil, fmt.Errorf("parsing encapsulation key: %w", err)
	}
	shared, ciphertext := encaps(key)
	psk, err = kemPSK(shared, ek, ciphertext)
	return psk, ciphertext, err
}

// kemFinish decapsulates. A forged ciphertext gives another psk, not an
// error (FIPS 203, implicit rejection); Noise message 2 then fails.
func kemFinish(key *mlkem.DecapsulationKey768, ek, ciphertext []byte) (psk [32]byte, err error) {
	shared, err := key.Decapsulate(ciphertext)
	if err != nil {
		return psk, fmt.Errorf("decapsulating: %w", err)
	}
	return kemPSK(shared, ek, ciphertext)
}

// kemPSK is HKDF-SHA256(shared, no salt, label + SHA-256(ek, ct)). The
// ciphertext travels outside the Noise transcript; this binds it.
func kemPSK(shared, ek, ciphertext []byte) (psk [32]byte, err error) {
	h := sha256.New()
	h.Write(ek)
	h.Write(ciphertext)
	info := h.Sum([]byte(kemLabel))
	key, err := hkdf.Key(sha256.New, shared, nil, string(info), len(psk))
	if err != nil {
		return psk, fmt.Errorf("deriving psk: %w", err)
	}
	return [32]byte(key), nil
}
