package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
)

// testSecret returns the secret that a name stands for, the same every run.
func testSecret(t testing.TB, name string) *Secret {
	t.Helper()
	s, err := newSecret(sha256.Sum256([]byte("test secret of " + name)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testPublic(t testing.TB, name string) Public { return testSecret(t, name).Public() }

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatalf("bad hex in test data: %v", err)
	}
	return b
}

// The answers were computed by another implementation (Python's cryptography
// and the reference bech32m code of BIP-350), and are frozen: whoever changes
// one changes every identity there is.
func TestKnownAnswers(t *testing.T) {
	b, err := os.ReadFile("testdata/derivation.json")
	if err != nil {
		t.Fatal(err)
	}
	var answers []struct {
		Secret       string
		NoisePrivate string `json:"noise_private"`
		NoisePublic  string `json:"noise_public"`
		SignSeed     string `json:"sign_seed"`
		SignPublic   string `json:"sign_public"`
		SecretText   string `json:"secret_text"`
		PublicText   string `json:"public_text"`
		Message      string
		Signature    string
	}
	if err := json.Unmarshal(b, &answers); err != nil {
		t.Fatal(err)
	}
	if len(answers) < 4 {
		t.Fatalf("%d known answers, want 4", len(answers))
	}
	for i, want := range answers {
		s, err := newSecret([32]byte(unhex(t, want.Secret)))
		if err != nil {
			t.Fatal(err)
		}
		public, message := s.Public(), unhex(t, want.Message)
		signature := s.Sign(message)
		for _, c := range []struct{ what, got, want string }{
			{"noise private key", hex.EncodeToString(s.Noise().Bytes()), want.NoisePrivate},
			{"noise public key", hex.EncodeToString(public.Noise[:]), want.NoisePublic},
			{"sign seed", hex.EncodeToString(s.m().sign.Seed()), want.SignSeed},
			{"sign public key", hex.EncodeToString(public.Sign[:]), want.SignPublic},
			{"secret text", s.Text(), want.SecretText},
			{"public text", public.String(), want.PublicText},
			{"signature", hex.EncodeToString(signature[:]), want.Signature},
		} {
			if c.got != c.want {
				t.Errorf("answer %d: %s = %s, want %s", i, c.what, c.got, c.want)
			}
		}
		if !public.Verify(message, signature) {
			t.Errorf("answer %d: signature does not verify", i)
		}
	}
}

func TestGenerateMakesDifferentSoundKeys(t *testing.T) {
	seen := map[string]bool{}
	for range 32 {
		s, err := Generate()
		if err != nil {
			t.Fatal(err)
		}
		if seen[s.Text()] {
			t.Fatal("the same secret twice")
		}
		seen[s.Text()] = true
		again, err := ParseSecret(s.Text())
		if err != nil {
			t.Fatal(err)
		}
		if again.Text() != s.Text() || again.Public() != s.Public() {
			t.Fatal("a secret changed on its way through text")
		}
		public, err := ParsePublic(s.Public().String())
		if err != nil {
			t.Fatal(err)
		}
		if public != s.Public() {
			t.Fatal("a public key changed on its way through text")
		}
	}
}

func TestDHAgreesAndRefusesLowOrder(t *testing.T) {
	alice, bob := testSecret(t, "alice"), testSecret(t, "bob")
	ab, err := alice.DH(bob.Public().Noise)
	if err != nil {
		t.Fatal(err)
	}
	ba, err := bob.DH(alice.Public().Noise)
	if err != nil {
		t.Fatal(err)
	}
	if len(ab) != 32 || !bytes.Equal(ab, ba) {
		t.Errorf("DH = %x and %x, want 32 equal bytes", ab, ba)
	}
	for _, point := range lowOrderX25519(t) {
		if shared, err := alice.DH(point); err == nil {
			t.Errorf("DH(%x) = %x, want an error", point, shared)
		}
	}
}

func TestVerifyRefusesEveryChangedBit(t *testing.T) {
	s := testSecret(t, "alice")
	message := []byte("securepeer/1 example\x00attic")
	signature := s.Sign(message)
	for bit := range len(signature) * 8 {
		changed := signature
		changed[bit/8] ^= 1 << (bit % 8)
		if s.Public().Verify(message, changed) {
			t.Fatalf("signature with bit %d changed verifies", bit)
		}
	}
	if s.Public().Verify(append(message, 0), signature) || testPublic(t, "bob").Verify(message, signature) {
		t.Error("signature verifies for another message or key")
	}
}

// A secret must not come out of any way of printing but Text: neither itself,
// nor inside what others print, nor by value.
func TestSecretNeverPrints(t *testing.T) {
	s := testSecret(t, "alice")
	type holder struct {
		Open   *Secret
		hidden *Secret
		value  Secret
		Name   string
	}
	h := holder{s, s, *s, "alice"}
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%o", "%t", "%c", "%U", "%e", "%10.3s"} {
		for _, v := range []any{s, *s, h, &h, []*Secret{s}, map[string]Secret{"k": *s}} {
			printed = append(printed, fmt.Sprintf(verb, v))
		}
		if got := fmt.Sprintf(verb, s); got != redacted {
			t.Errorf("Sprintf(%q) = %s, want %s", verb, got, redacted)
		}
	}
	printed = append(printed, fmt.Sprint(s, *s), s.String(), fmt.Errorf("with %v", s).Error())
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("start", "secret", s, "value", *s, "holder", h)
	}
	if got := strings.Count(log.String(), redacted); got < 4 {
		t.Errorf("the log says %s %d times, want at least 4:\n%s", redacted, got, log.String())
	}
	j, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	printed = append(printed, log.String(), string(j))
	m := s.m()
	for _, text := range printed {
		lower := strings.ToLower(text)
		for _, private := range [][]byte{m.seed[:], m.noise.Bytes(), m.sign.Seed()} {
			for _, leak := range []string{fmt.Sprintf("%x", private[:8]), fmt.Sprintf("%d %d %d", private[0], private[1], private[2]), fmt.Sprintf("%#x, %#x", private[0], private[1]), string(private[:8])} {
				if strings.Contains(lower, leak) || strings.Contains(text, leak) {
					t.Errorf("%s shows private bytes", text)
				}
			}
		}
		if strings.Contains(lower, strings.ToLower(s.Text()[len("SECUREPEER-KEY-1"):])) {
			t.Errorf("%s shows the secret's text", text)
		}
	}
}

func TestPublicLogsAsFingerprint(t *testing.T) {
	p := testPublic(t, "alice")
	if got := p.Short(); len(got) != 11 || !strings.HasPrefix(p.String(), got) {
		t.Errorf("Short() = %q, want the first 11 characters of %s", got, p)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("link", "peer", p)
	if !strings.Contains(log.String(), "peer="+p.Short()+"\n") {
		t.Errorf("logged %q, want the fingerprint %s", log.String(), p.Short())
	}
}
