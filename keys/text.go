package keys

import (
	"errors"
	"fmt"
	"strings"
)

// Specification constants: BIP-350.
const (
	bech32Chars    = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	bech32Checksum = 6
	bech32mConst   = 0x2bc830a3
)

// Implementation constants.
const (
	// maxTextSize is more than any text form has; what is longer is not looked at.
	maxTextSize = 256
	// shortChars is how many data characters a fingerprint shows: 40 bits.
	shortChars = 8
)

var errChecksum = errors.New("its checksum is wrong: a character was mistyped, lost or swapped")

// form is one kind of key as text: bech32m of size bytes under a prefix, all
// lower or all upper case, so that a key has one spelling. BIP-350 stops at 90
// characters, where its code finds any 4 wrong ones; up to 1,023 it still
// finds any 3 (BIP-173, "Checksum design").
type form struct {
	what   string
	prefix string // the human-readable part, in lower case, without the separator
	size   int    // bytes
	upper  bool
}

var (
	publicForm = form{what: "public key", prefix: "sp", size: 64}
	secretForm = form{what: "secret key", prefix: "securepeer-key-", size: seedSize, upper: true}
)

// String returns the text form: "sp1..." of both public keys, 112 characters
// in lower case.
func (p Public) String() string { return publicForm.encode(p.bytes()) }

// Short returns the fingerprint: "sp1" and the first 8 data characters, for
// people to look at, never to compare by.
func (p Public) Short() string { return p.String()[:len("sp1")+shortChars] }

// ParsePublic reads the text form of a Public. It refuses text that is not
// exactly what [Public.String] returns, and a half that is not canonical, of
// low order, or (Ed25519) not on the curve; the error says which.
func ParsePublic(text string) (Public, error) {
	p, err := decodePublic(text)
	if err != nil {
		return Public{}, err
	}
	if err := p.check(); err != nil {
		return Public{}, err
	}
	return p, nil
}

// decodePublic is ParsePublic without the check of the two points.
func decodePublic(text string) (p Public, err error) {
	b, err := publicForm.decode(text)
	if err != nil {
		return Public{}, fmt.Errorf("reading public key: %w", err)
	}
	copy(p.Noise[:], b[:32])
	copy(p.Sign[:], b[32:])
	return p, nil
}

func (p Public) check() error {
	if err := checkNoise(p.Noise); err != nil {
		return fmt.Errorf("checking public key: its first half (X25519) is %w", err)
	}
	if err := checkSign(p.Sign); err != nil {
		return fmt.Errorf("checking public key: its second half (Ed25519) is %w", err)
	}
	return nil
}

// Text returns the text form of the secret itself, "SECUREPEER-KEY-1...", 74
// characters in upper case so that leak scanners find it. This is the only way
// to get the secret out.
func (s Secret) Text() string { return secretForm.encode(s.m().seed[:]) }

// ParseSecret reads the text form of a Secret. It refuses text that is not
// exactly what [Secret.Text] returns. Its errors never hold the text.
func ParseSecret(text string) (*Secret, error) {
	b, err := secretForm.decode(text)
	if err != nil {
		return nil, fmt.Errorf("reading secret key: %w", err)
	}
	return newSecret([seedSize]byte(b))
}

// length is that of the text form in characters.
func (f form) length() int {
	return len(f.prefix) + 1 + (f.size*8+4)/5 + bech32Checksum
}

// is reports whether text begins like this form, in whichever case.
func (f form) is(text string) bool {
	n := len(f.prefix) + 1
	return len(text) >= n && strings.EqualFold(text[:n], f.prefix+"1")
}

func (f form) encode(b []byte) string {
	text := encodeBech32m(f.prefix, toFives(b))
	if f.upper {
		return strings.ToUpper(text)
	}
	return text
}

func (f form) decode(text string) ([]byte, error) {
	if err := f.checkKind(text); err != nil {
		return nil, err
	}
	// Without this the decoder would take a 1 that was typed for an l as the
	// end of the prefix.
	start := len(f.prefix) + 1
	if i := strings.IndexByte(text[start:], '1'); i >= 0 {
		return nil, badChar(start+i, '1')
	}
	_, fives, err := decodeBech32m(text)
	if len(text) != f.length() && (err == nil || errors.Is(err, errChecksum)) {
		return nil, fmt.Errorf("it has %d characters, a %s has %d: it is cut short or has something added", len(text), f.what, f.length())
	}
	if err != nil {
		return nil, err
	}
	b, ok := toEights(fives)
	if !ok || len(b) != f.size {
		return nil, errors.New("its last bits are not zero")
	}
	return b, nil
}

// checkKind tells apart what is not this kind of key at all, or is one in the
// wrong case.
func (f form) checkKind(text string) error {
	want := f.prefix + "1"
	wrongCase, right := text == strings.ToUpper(text), "lower"
	if f.upper {
		want = strings.ToUpper(want)
		wrongCase, right = text == strings.ToLower(text), "upper"
	}
	switch {
	case text == "":
		return errors.New("it is empty")
	case len(text) > maxTextSize:
		return fmt.Errorf("it has %d characters, a %s has %d", len(text), f.what, f.length())
	case f != secretForm && secretForm.is(text):
		return fmt.Errorf("this is a secret key: it belongs in its owner's key file and nowhere else; a %s begins with %s", f.what, want)
	case f != publicForm && publicForm.is(text):
		return fmt.Errorf("this is a public key; a %s begins with %s", f.what, want)
	case !f.is(text):
		return fmt.Errorf("it does not begin with %s", want)
	case wrongCase:
		return fmt.Errorf("a %s is written in %s case", f.what, right)
	}
	return nil
}

// encodeBech32m returns the bech32m text of 5-bit values under a lower-case
// prefix.
func encodeBech32m(prefix string, fives []byte) string {
	sum := polymod(prefix, fives, make([]byte, bech32Checksum)) ^ bech32mConst
	var b strings.Builder
	b.WriteString(prefix)
	b.WriteByte('1')
	for _, v := range fives {
		b.WriteByte(bech32Chars[v])
	}
	for i := range bech32Checksum {
		b.WriteByte(bech32Chars[sum>>(5*(bech32Checksum-1-i))&31])
	}
	return b.String()
}

// decodeBech32m returns the lower-case prefix and the 5-bit values of text. It
// does not limit the length: the exact length of each form is checked above.
// An error names the first character that cannot be right, else the checksum.
func decodeBech32m(text string) (prefix string, fives []byte, err error) {
	for i := range len(text) {
		if text[i] < 33 || text[i] > 126 {
			return "", nil, fmt.Errorf("character %d is a blank, a control character or not ASCII", i+1)
		}
	}
	lower := strings.ToLower(text)
	if lower != text && strings.ToUpper(text) != text {
		return "", nil, errors.New("it mixes upper and lower case")
	}
	separator := strings.LastIndexByte(lower, '1')
	if separator < 1 {
		return "", nil, errors.New("it has no prefix that ends in 1")
	}
	prefix, data := lower[:separator], lower[separator+1:]
	fives = make([]byte, 0, len(data))
	for i := range len(data) {
		v := strings.IndexByte(bech32Chars, data[i])
		if v < 0 {
			return "", nil, badChar(separator+1+i, data[i])
		}
		fives = append(fives, byte(v))
	}
	if len(fives) < bech32Checksum || polymod(prefix, fives, nil) != bech32mConst {
		return "", nil, errChecksum
	}
	return prefix, fives[:len(fives)-bech32Checksum], nil
}

func badChar(index int, c byte) error {
	return fmt.Errorf("character %d, %q, is none of those a key is written in: letters and digits without 1, b, i and o", index+1, c)
}

// polymod is the checksum of BIP-173 over the expanded prefix and both runs of
// 5-bit values.
func polymod(prefix string, fives, more []byte) uint32 {
	sum := uint32(1)
	step := func(v byte) {
		top := sum >> 25
		sum = (sum&0x1ffffff)<<5 ^ uint32(v)
		for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	for i := range len(prefix) {
		step(prefix[i] >> 5)
	}
	step(0)
	for i := range len(prefix) {
		step(prefix[i] & 31)
	}
	for _, v := range fives {
		step(v)
	}
	for _, v := range more {
		step(v)
	}
	return sum
}

// toFives cuts bytes into 5-bit values, first bit first, the last one filled
// up with zeros.
func toFives(b []byte) []byte {
	fives := make([]byte, 0, (len(b)*8+4)/5)
	var rest uint
	bits := 0
	for _, c := range b {
		rest = rest<<8 | uint(c)
		for bits += 8; bits >= 5; {
			bits -= 5
			fives = append(fives, byte(rest>>bits&31))
		}
	}
	if bits > 0 {
		fives = append(fives, byte(rest<<(5-bits)&31))
	}
	return fives
}

// toEights is the inverse of toFives; not ok if the filling is 5 bits or more,
// or not zero.
func toEights(fives []byte) (b []byte, ok bool) {
	var rest uint
	bits := 0
	for _, v := range fives {
		rest = rest<<5 | uint(v)
		if bits += 5; bits >= 8 {
			bits -= 8
			b = append(b, byte(rest>>bits))
		}
	}
	return b, bits < 5 && rest&(1<<bits-1) == 0
}
