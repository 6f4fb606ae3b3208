package keys

import (
	"errors"
	"strings"
	"testing"
)

// BIP-350, "Test vectors for Bech32m", the valid ones. Encoded again they are
// the same but for case.
func TestBIP350ValidVectors(t *testing.T) {
	for _, text := range []string{
		"A1LQFN3A",
		"a1lqfn3a",
		"an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
		"abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
		"11llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllludsr8",
		"split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
		"?1v759aa",
	} {
		prefix, fives, err := decodeBech32m(text)
		if err != nil {
			t.Errorf("decodeBech32m(%q): %v", text, err)
			continue
		}
		if got, want := encodeBech32m(prefix, fives), strings.ToLower(text); got != want {
			t.Errorf("encoded again %q, want %q", got, want)
		}
	}
}

// BIP-350, the invalid ones, each with the reason given there. The one that is
// only too long is not among them: our forms have an exact length each, and
// TestTextErrorsHelp holds that.
func TestBIP350InvalidVectors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"\x201xj0phk", "character 1 is a blank"},
		{"\x7f1g6xzxy", "character 1 is a blank"},
		{"\x801vctc34", "character 1 is a blank"},
		{"qyrz8wqd2c9m", "no prefix"},
		{"1qyrz8wqd2c9m", "no prefix"},
		{"y1b0jsk6g", "character 3, 'b'"},
		{"lt1igcx5c0", "character 4, 'i'"},
		{"in1muywd", "checksum"},
		{"mm1crxm3i", "character 9, 'i'"},
		{"au1s5cgom", "character 8, 'o'"},
		{"M1VUXWEZ", "checksum"},
		{"16plkw9", "no prefix"},
		{"1p2gdwpf", "no prefix"},
		// Segwit vectors: Bech32 where Bech32m is due, mixed case.
		{"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "checksum"},
		{"tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq", "mixes"},
	} {
		if _, _, err := decodeBech32m(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("decodeBech32m(%q) = %v, want %q", c.text, err, c.want)
		}
	}
}

func TestFivesAndEights(t *testing.T) {
	for n := range 70 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i*37 + n)
		}
		got, ok := toEights(toFives(b))
		if !ok || string(got) != string(b) {
			t.Fatalf("%d bytes came back as %x, %v, want %x", n, got, ok, b)
		}
	}
	for _, bad := range [][]byte{{0}, {0, 1}, {31, 31}, {0, 0, 0}, {0, 0, 0, 1}, {0, 0, 0, 0, 0, 0}} {
		if b, ok := toEights(bad); ok {
			t.Errorf("toEights(%v) = %x, want it refused", bad, b)
		}
	}
	if b, ok := toEights([]byte{31, 28}); !ok || string(b) != "\xff" {
		t.Errorf("toEights(31, 28) = %x, %v, want ff", b, ok)
	}
}

// The errors of a key as text say what to look at. Those of a secret do not
// show it.
func TestTextErrorsHelp(t *testing.T) {
	public, secret := testPublic(t, "alice").String(), testSecret(t, "alice").Text()
	fives := toFives(testPublic(t, "alice").bytes())
	padded := append([]byte(nil), fives...)
	padded[len(padded)-1] |= 1
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "it is empty"},
		{"prefix alone", "sp1", "3 characters, a public key has 112"},
		{"another prefix", encodeBech32m("spa", fives), "does not begin with sp1"},
		{"a longer prefix", encodeBech32m("sp1q", fives[:101]), "character 5, '1', is none of those"},
		{"a word", "alice", "does not begin with sp1"},
		{"a secret", secret, "this is a secret key"},
		{"a secret in lower case", strings.ToLower(secret), "this is a secret key"},
		{"upper case", strings.ToUpper(public), "a public key is written in lower case"},
		{"mixed case", public[:20] + strings.ToUpper(public[20:]), "mixes upper and lower case"},
		{"a character out of the alphabet", public[:9] + "b" + public[10:], "character 10, 'b', is none of those"},
		{"a separator among the data", public[:9] + "1" + public[10:], "character 10, '1', is none of those"},
		{"a blank", public[:9] + " " + public[10:], "character 10 is a blank"},
		{"not ASCII", public[:9] + "ä" + public[11:], "character 10 is a blank, a control character or not ASCII"},
		{"cut short", public[:50], "50 characters, a public key has 112"},
		{"one lost", public[:50] + public[51:], "111 characters"},
		{"one too many", public + "q", "113 characters"},
		{"shorter, with a good checksum", encodeBech32m("sp", fives[:100]), "109 characters"},
		{"longer, with a good checksum", encodeBech32m("sp", append(fives, 0)), "113 characters"},
		{"far too long", "sp1" + strings.Repeat("q", 1<<20), "1048579 characters"},
		{"last bits", encodeBech32m("sp", padded), "last bits are not zero"},
		{"two swapped", public[:30] + public[31:32] + public[30:31] + public[32:], "checksum is wrong"},
	} {
		if _, err := ParsePublic(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: ParsePublic = %v, want %q", c.name, err, c.want)
		} else if strings.Contains(strings.ToUpper(err.Error()), secret[:24]) {
			t.Errorf("%s: the error shows the secret: %v", c.name, err)
		}
	}
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "it is empty"},
		{"a public key", public, "this is a public key"},
		{"lower case", strings.ToLower(secret), "a secret key is written in upper case"},
		{"mixed case", strings.ToLower(secret[:20]) + secret[20:], "mixes"},
		{"cut short", secret[:40], "40 characters, a secret key has 74"},
		{"mistyped", secret[:40] + swapped(secret[40:41]) + secret[41:], "checksum is wrong"},
		{"out of the alphabet", secret[:40] + "O" + secret[41:], "character 41, 'o'"},
		{"age's", "AGE-SECRET-KEY-1" + secret[16:], "does not begin with SECUREPEER-KEY-1"},
	} {
		if s, err := ParseSecret(c.text); err == nil || s != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: ParseSecret = %v, want %q", c.name, err, c.want)
		} else if strings.Contains(strings.ToUpper(err.Error()), secret[:24]) {
			t.Errorf("%s: the error shows the secret: %v", c.name, err)
		}
	}
}

// swapped returns another character of the upper-case alphabet.
func swapped(c string) string {
	if c == "Q" {
		return "P"
	}
	return "Q"
}

// One wrong character anywhere, each of the 31 others of the alphabet, and any
// two neighbours swapped, are found by the checksum.
func TestChecksumFindsTypingErrors(t *testing.T) {
	public := testPublic(t, "alice").String()
	for i := len("sp1"); i < len(public); i++ {
		for _, c := range []byte(bech32Chars) {
			if c == public[i] {
				continue
			}
			if _, err := ParsePublic(public[:i] + string(c) + public[i+1:]); !errors.Is(err, errChecksum) {
				t.Fatalf("character %d made %q: %v, want the checksum", i+1, c, err)
			}
		}
		if i > len("sp1") && public[i-1] != public[i] {
			if _, err := ParsePublic(public[:i-1] + public[i:i+1] + public[i-1:i] + public[i+1:]); !errors.Is(err, errChecksum) {
				t.Fatalf("characters %d and %d swapped: %v, want the checksum", i, i+1, err)
			}
		}
	}
}

func TestFingerprintsAreTheBeginning(t *testing.T) {
	p := testPublic(t, "alice")
	if len(p.String()) != publicForm.length() || len(testSecret(t, "alice").Text()) != secretForm.length() {
		t.Errorf("text forms have %d and %d characters, want 112 and 74", len(p.String()), len(testSecret(t, "alice").Text()))
	}
	if publicForm.length() != 112 || secretForm.length() != 74 {
		t.Errorf("lengths %d and %d, want 112 and 74", publicForm.length(), secretForm.length())
	}
}
