package crypto

import (
	"bytes"
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"encoding/hex"
	"encoding/json"
	"math/bits"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/flynn/noise"
)

// readVectors decodes one file of official vectors. They are public and not
// kept here; SECUREPEER_VECTORS names their folder.
func readVectors(t *testing.T, name string, into any) {
	t.Helper()
	folder := os.Getenv("SECUREPEER_VECTORS")
	if folder == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("SECUREPEER_VECTORS is not set")
		}
		t.Skip("SECUREPEER_VECTORS is not set")
	}
	b, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// hexBytes is a hexadecimal string in a vector file.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type noiseVector struct {
	Name          string     `json:"protocol_name"`
	InitPrologue  hexBytes   `json:"init_prologue"`
	InitPSKs      []hexBytes `json:"init_psks"`
	InitStatic    hexBytes   `json:"init_static"`
	InitEphemeral hexBytes   `json:"init_ephemeral"`
	InitRemote    hexBytes   `json:"init_remote_static"`
	RespPrologue  hexBytes   `json:"resp_prologue"`
	RespPSKs      []hexBytes `json:"resp_psks"`
	RespStatic    hexBytes   `json:"resp_static"`
	RespEphemeral hexBytes   `json:"resp_ephemeral"`
	RespRemote    hexBytes   `json:"resp_remote_static"`
	Hash          hexBytes   `json:"handshake_hash"`
	Messages      []struct{ Payload, Ciphertext hexBytes }
}

var noisePatterns = func() map[string]noise.HandshakePattern {
	m := make(map[string]noise.HandshakePattern)
	for _, p := range []noise.HandshakePattern{
		noise.HandshakeNN, noise.HandshakeKN, noise.HandshakeNK, noise.HandshakeKK,
		noise.HandshakeNX, noise.HandshakeKX, noise.HandshakeXN, noise.HandshakeIN,
		noise.HandshakeXK, noise.HandshakeIK, noise.HandshakeXX, noise.HandshakeIX,
		noise.HandshakeN, noise.HandshakeK, noise.HandshakeX,
	} {
		m[p.Name] = p
	}
	return m
}()

var ourSuite = regexp.MustCompile(`^Noise_([A-Z]+)(?:psk([0-3]))?_25519_ChaChaPoly_BLAKE2s$`)

// TestNoiseVectors runs every case of our suite whose pattern flynn has, with
// at most one psk, through the steps and the Diffie-Hellman of noise.go.
func TestNoiseVectors(t *testing.T) {
	for _, file := range []struct {
		name string
		want int
	}{{"cacophony.json.txt", 36}, {"snow.json.txt", 15}} {
		var all struct{ Vectors []noiseVector }
		readVectors(t, file.name, &all)
		ran := 0
		for _, v := range all.Vectors {
			m := ourSuite.FindStringSubmatch(v.Name)
			if m == nil {
				continue
			}
			pattern, ok := noisePatterns[m[1]]
			if !ok {
				continue // deferred patterns, which flynn does not have
			}
			place := 0
			if m[2] != "" {
				place, _ = strconv.Atoi(m[2]) // one digit, says the expression
			}
			v.run(t, pattern, place)
			ran++
		}
		if ran != file.want {
			t.Errorf("%s: %d vectors ran, want %d", file.name, ran, file.want)
		}
	}
}

func (v *noiseVector) attempt(t *testing.T, config noise.Config, static hexBytes, psks []hexBytes) *attempt {
	t.Helper()
	if len(psks) > 0 {
		config.PresharedKey = psks[0]
	}
	var key *ecdh.PrivateKey
	if len(static) > 0 {
		var err error
		if key, err = ecdh.X25519().NewPrivateKey(static); err != nil {
			t.Fatal(err)
		}
	}
	a, err := newPatternAttempt(config, key)
	if err != nil {
		t.Fatalf("%s: %v", v.Name, err)
	}
	return a
}

func (v *noiseVector) run(t *testing.T, pattern noise.HandshakePattern, place int) {
	config := noise.Config{Pattern: pattern, PresharedKeyPlacement: place}
	config.Initiator, config.Prologue, config.PeerStatic = true, v.InitPrologue, v.InitRemote
	sender := v.attempt(t, config, v.InitStatic, v.InitPSKs)
	config.Initiator, config.Prologue, config.PeerStatic = false, v.RespPrologue, v.RespRemote
	reader := v.attempt(t, config, v.RespStatic, v.RespPSKs)

	var psk [32]byte // unused where the pattern has none
	if len(v.InitPSKs) > 0 {
		copy(psk[:], v.InitPSKs[0])
	}
	var keys splitKeys
	ephemerals := [2]hexBytes{v.InitEphemeral, v.RespEphemeral}
	last := len(pattern.Messages) - 1
	for i, m := range v.Messages[:last+1] {
		var message, payload []byte
		var err, rerr error
		random := bytes.NewReader(ephemerals[i%2])
		if i < last {
			message, err = sender.write(nil, m.Payload, random)
			payload, rerr = reader.read(message)
		} else {
			var other splitKeys
			message, keys, err = sender.writeLast(nil, m.Payload, &psk, random)
			payload, other, rerr = reader.readLast(message, &psk)
			if keys != other {
				t.Errorf("%s: the two sides have different keys", v.Name)
			}
		}
		if err != nil || rerr != nil || !bytes.Equal(message, m.Ciphertext) || !bytes.Equal(payload, m.Payload) {
			t.Fatalf("%s: message %d: write %v, read %v, %x, want %x", v.Name, i, err, rerr, message, m.Ciphertext)
		}
		sender, reader = reader, sender
	}
	if len(v.Hash) > 0 && !bytes.Equal(keys.hash[:], v.Hash) {
		t.Errorf("%s: handshake hash %x, want %x", v.Name, keys.hash, v.Hash)
	}
	v.runTransport(t, keys, last+1)
}

// runTransport seals the transport messages with the Split keys. Noise counts
// nonces in little-endian order, our own records in big-endian order.
func (v *noiseVector) runTransport(t *testing.T, keys splitKeys, from int) {
	i2r, err1 := newSealing(nameChaCha, &keys.i2r)
	r2i, err2 := newSealing(nameChaCha, &keys.r2i)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	var counters [2]uint64
	for i := from; i < len(v.Messages); i++ {
		m, side, s := v.Messages[i], i%2, i2r
		if from == 1 {
			side = 0 // one-way patterns
		}
		if side == 1 {
			s = r2i
		}
		got := s.aead.Seal(nil, s.at(bits.ReverseBytes64(counters[side])), m.Payload, nil)
		counters[side]++
		if !bytes.Equal(got, m.Ciphertext) {
			t.Errorf("%s: transport message %d = %x, want %x", v.Name, i, got, m.Ciphertext)
		}
	}
}

func TestWycheproofX25519(t *testing.T) {
	var all struct {
		TestGroups []struct {
			Tests []struct {
				ID                      int `json:"tcId"`
				Public, Private, Shared hexBytes
			}
		}
	}
	readVectors(t, "x25519_test.json", &all)
	equal, rejected := 0, 0
	for _, g := range all.TestGroups {
		for _, v := range g.Tests {
			static, err := ecdh.X25519().NewPrivateKey(v.Private)
			if err != nil {
				t.Fatal(err)
			}
			got, err := (&x25519{static: static}).DH(staticHandle, v.Public)
			switch lowOrder := bytes.Equal(v.Shared, make([]byte, 32)); {
			case lowOrder && err != nil:
				rejected++
			case !lowOrder && err == nil && bytes.Equal(got, v.Shared):
				equal++
			default:
				t.Errorf("case %d: %x, %v, want %x", v.ID, got, err, v.Shared)
			}
		}
	}
	if equal != 487 || rejected != 31 {
		t.Errorf("%d equal, %d rejected, want 487 and 31", equal, rejected)
	}
}

type kemVector struct {
	ID                int `json:"tcId"`
	Seed, EK, C, M, K hexBytes
	Result            string
}

func readKEMVectors(t *testing.T, name string) (tests []kemVector) {
	t.Helper()
	var all struct{ TestGroups []struct{ Tests []kemVector } }
	readVectors(t, name, &all)
	for _, g := range all.TestGroups {
		tests = append(tests, g.Tests...)
	}
	return tests
}

func TestWycheproofMLKEM768(t *testing.T) {
	valid := 0
	for _, v := range readKEMVectors(t, "mlkem_768_test.json") {
		seed := bytes.NewReader(v.Seed)
		key, err := newKEMKey(seed)
		var psk [32]byte
		if err == nil {
			psk, err = kemFinish(key, v.EK, v.C)
		}
		// A seed has one size with us; what is longer is no seed.
		accepted := err == nil && seed.Len() == 0
		if accepted != (v.Result == "valid") {
			t.Errorf("case %d: accepted %v (%v), want %s", v.ID, accepted, err, v.Result)
		}
		if v.Result != "valid" {
			continue
		}
		valid++
		want, err := kemPSK(v.K, v.EK, v.C)
		if err != nil || psk != want || !bytes.Equal(key.EncapsulationKey().Bytes(), v.EK) {
			t.Errorf("case %d: another key than the vector's (%v)", v.ID, err)
		}
	}
	if valid != 153 {
		t.Errorf("%d valid cases, want 153", valid)
	}
}

func TestWycheproofMLKEM768Encapsulate(t *testing.T) {
	valid := 0
	for _, v := range readKEMVectors(t, "mlkem_768_encaps_test.json") {
		fixed := func(key *mlkem.EncapsulationKey768) (shared, ciphertext []byte) {
			shared, ciphertext, err := mlkemtest.Encapsulate768(key, v.M)
			if err != nil {
				t.Fatal(err)
			}
			return shared, ciphertext
		}
		psk, ciphertext, err := kemAnswer(fixed, v.EK)
		if (err == nil) != (v.Result == "valid") {
			t.Errorf("case %d: %v, want %s", v.ID, err, v.Result)
		}
		if v.Result != "valid" {
			continue
		}
		valid++
		want, err := kemPSK(v.K, v.EK, v.C)
		if err != nil || psk != want || !bytes.Equal(ciphertext, v.C) {
			t.Errorf("case %d: another answer than the vector's (%v)", v.ID, err)
		}
	}
	if valid != 133 {
		t.Errorf("%d valid cases, want 133", valid)
	}
}

// TestWycheproofChaCha20Poly1305 takes the cases with a nonce of 12 bytes, the
// only size that records and pings have.
func TestWycheproofChaCha20Poly1305(t *testing.T) {
	var all struct {
		TestGroups []struct {
			Tests []struct {
				ID                         int `json:"tcId"`
				Key, IV, AAD, Msg, CT, Tag hexBytes
				Result                     string
			}
		}
	}
	readVectors(t, "chacha20_poly1305_test.json", &all)
	ran := 0
	for _, g := range all.TestGroups {
		for _, v := range g.Tests {
			if len(v.IV) != 12 {
				continue
			}
			ran++
			s, err := newSealing(nameChaCha, (*[32]byte)(v.Key))
			if err != nil {
				t.Fatal(err)
			}
			copy(s.nonce[:], v.IV)
			sealed := append(bytes.Clone(v.CT), v.Tag...)
			got, err := s.aead.Open(nil, s.nonce[:], sealed, v.AAD)
			if (err == nil) != (v.Result == "valid") || err == nil && !bytes.Equal(got, v.Msg) {
				t.Errorf("case %d: opened %x, %v, want %s", v.ID, got, err, v.Result)
			}
			again := s.aead.Seal(nil, s.nonce[:], v.Msg, v.AAD)
			if v.Result == "valid" && !bytes.Equal(again, sealed) {
				t.Errorf("case %d: sealed %x, want %x", v.ID, again, sealed)
			}
		}
	}
	if ran != 316 {
		t.Errorf("%d cases ran, want 316", ran)
	}
}
