package crypto

import (
	"crypto/ecdh"
	"crypto/rand"
	"testing"

	"github.com/flynn/noise"
)

// forger is the Diffie-Hellman of a thief of the responder's secret who wants
// to pass for victim: it has no secret of victim, but the static-static result
// needs only one of the two.
type forger struct {
	x25519
	stolen *ecdh.PrivateKey
	victim []byte
}

func (f *forger) DH(handle, peer []byte) ([]byte, error) {
	if string(handle) == string(ephemeralHandle) {
		return f.x25519.DH(handle, peer)
	}
	if string(peer) == string(f.stolen.PublicKey().Bytes()) {
		peer = f.victim // ss
	}
	return (&x25519{static: f.stolen}).DH(staticHandle, peer) // se: the best it can do
}

// TestStolenResponderKey: with b's secret a thief can write a first frame that
// names a as its maker (Noise rev 34, 7.7: message 1 of IK has source property
// 1). It ends there: the thief can't read the answer, so it has no record for
// key confirmation, and until then nothing is done in a's name.
func TestStolenResponderKey(t *testing.T) {
	a, b := newSecret(t), newSecret(t)
	victim, own := a.Public().Noise, b.Public().Noise
	opening, err := prologue("attic")
	if err != nil {
		t.Fatal(err)
	}
	dh := &forger{stolen: b.Noise(), victim: victim[:]}
	dh.random = rand.Reader
	state, err := noise.NewHandshakeState(noise.Config{
		CipherSuite:           noise.NewCipherSuite(dh, noise.CipherChaChaPoly, noise.HashBLAKE2s),
		Pattern:               noise.HandshakeIK,
		PresharedKeyPlacement: 2,
		Initiator:             true,
		PeerStatic:            own[:],
		Prologue:              opening,
		StaticKeypair:         noise.DHKey{Private: staticHandle, Public: victim[:]},
	})
	if err != nil {
		t.Fatal(err)
	}
	thief := &attempt{state: state, dh: &dh.x25519}
	kem, err := newKEMKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ek := kem.EncapsulationKey().Bytes()
	message, err := thief.write(nil, new(Info).append(ek[:len(ek):len(ek)]), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := respond(b, "attic", message)
	if err != nil || r.Peer != victim {
		t.Fatalf("the forged first frame is not what it should be: %v", err)
	}
	frame2, _, err := r.Answer(Info{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	psk, err := kemFinish(kem, ek, frame2[:ciphertextSize])
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := thief.readLast(frame2[ciphertextSize:], &psk); err == nil {
		t.Fatal("a thief of the responder's key finished a handshake in another's name")
	}
}
