package crypto

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"securepeer/keys"
)

// The known answers of the hybrid handshake: there are no official ones. All
// randomness is counted up: the dialler's secret is bytes 00 to 1f, the
// answerer's 20 to 3f, the ML-KEM seed 40 to 7f, the two ephemeral keys 80 to
// 9f and a0 to bf, the encapsulation's randomness c0 to df.
const (
	dialSecret   = "SECUREPEER-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SLVPN0Z"
	answerSecret = "SECUREPEER-KEY-1YQSJYGEYY5NZW2PF9G4JCTFW9UCRZV3NXS6NVDEC8YARK0PA8CLSLFDKL2"
)

// count is n bytes that count up from first.
func count(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// countedHandshake is the handshake of the known answers: the same bytes in
// every run and every process.
func countedHandshake(t testing.TB) (*Initiator, *finished) {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var h finished
	var err error
	h.a, err = keys.ParseSecret(dialSecret)
	ok(err)
	h.b, err = keys.ParseSecret(answerSecret)
	ok(err)
	infoA := Info{0x0102030405060708, 0x11121314, CapAES, 0x2122232425262728, [16]byte(count(0x31, 16))}
	infoB := Info{0x4142434445464748, 0x51525354, CapAES, 0x6162636465666768, [16]byte(count(0x71, 16))}
	i, frame1, err := NewInitiator(h.a, h.b.Public(), "attic", infoA, bytes.NewReader(append(count(0x40, 64), count(0x80, 32)...)))
	ok(err)
	r, err := Respond(h.b, "attic", frame1)
	ok(err)
	h.frame1 = frame1
	h.frame2, h.answerer, err = r.answer(infoB, bytes.NewReader(count(0xa0, 32)), fixedEncapsulate(t, count(0xc0, 32)))
	ok(err)
	h.dialler, err = i.clone(t, h.a, "attic").Finish(h.frame2)
	ok(err)
	return i, &h
}

// answer is one named value of the protocol.
type answer struct {
	name  string
	bytes []byte
}

// knownAnswers runs a handshake on counted randomness, step by step where the
// API hides a value, and through the API where it does not.
func knownAnswers(t *testing.T) (all []answer) {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	add := func(name string, b []byte) { all = append(all, answer{name, bytes.Clone(b)}) }
	i, h := countedHandshake(t)
	opening, err := prologue("attic")
	ok(err)
	add("dialler-static", h.a.Noise().PublicKey().Bytes())
	add("answerer-static", h.b.Noise().PublicKey().Bytes())
	add("prologue", opening)
	add("dialler-info", h.dialler.Mine.append(nil))
	add("answerer-info", h.answerer.Mine.append(nil))
	add("ek", i.ek)
	add("mac1", h.frame1[1:1+macSize])
	add("frame1", h.frame1)
	psk, err := kemFinish(i.kem, i.ek, h.frame2[:ciphertextSize])
	ok(err)
	add("psk", psk[:])
	add("frame2", h.frame2)
	_, split, err := i.attempt.readLast(h.frame2[ciphertextSize:], &psk)
	ok(err)
	add("handshake-hash", split.hash[:])
	add("split-i2r", split.i2r[:])
	add("split-r2i", split.r2i[:])
	for _, aead := range bothAEADs {
		k, err := newSchedule(split, aead)
		ok(err)
		add("record-i2r-"+aead, k.recordI2R[:])
		add("record-r2i-"+aead, k.recordR2I[:])
		add("ping-i2r-"+aead, k.pingI2R[:])
		add("ping-r2i-"+aead, k.pingR2I[:])
	}
	add("hello-record", sealRecord(t, h.dialler.send, typeHello, "\x01"))
	add("message-record", sealRecord(t, h.dialler.send, FirstMessage, "hello"))
	add("end-record", sealRecord(t, h.dialler.send, typeEnd, ""))
	add("answer-record", sealRecord(t, h.answerer.send, typeData, "data"))
	h.dialler.ping.counter = 7
	add("ping-body", count(0, PingBodySize))
	add("ping", h.dialler.ping.seal(nil, (*[PingBodySize]byte)(count(0, PingBodySize))))

	s, err := newSealer(nameChaCha, chachaKey(t, split))
	ok(err)
	add("hello-record-"+nameChaCha, sealRecord(t, s, typeHello, "\x01"))
	return all
}

func chachaKey(t *testing.T, split splitKeys) *[32]byte {
	t.Helper()
	k, err := newSchedule(split, nameChaCha)
	if err != nil {
		t.Fatal(err)
	}
	return &k.recordI2R
}

const answersFile = "testdata/link.txt"

// TestKnownAnswers holds every value of the link against the frozen file. If
// this fails, the protocol has changed: peers of before and after can't talk.
func TestKnownAnswers(t *testing.T) {
	frozen, err := os.ReadFile(answersFile)
	if err != nil {
		t.Fatal(err)
	}
	var now strings.Builder
	for _, a := range knownAnswers(t) {
		now.WriteString(a.name + " " + hex.EncodeToString(a.bytes) + "\n")
	}
	want := strings.Split(string(frozen), "\n")
	got := strings.Split(now.String(), "\n")
	if len(got) != len(want) || len(got) < 25 {
		t.Fatalf("%d values, want %d", len(got)-1, len(want)-1)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
}

var hexBlock = regexp.MustCompile("(?s)```hex link/([^\n ]+)\n(.*?)```")

// TestProtocolDocument executes the hex blocks of the link's section: each is
// a known answer, and each known answer that two implementations exchange or
// must agree on is in a block.
func TestProtocolDocument(t *testing.T) {
	known := make(map[string]string)
	for _, a := range knownAnswers(t) {
		known[a.name] = hex.EncodeToString(a.bytes)
	}
	text, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, block := range hexBlock.FindAllStringSubmatch(string(text), -1) {
		name, written := block[1], strings.Join(strings.Fields(block[2]), "")
		if want, ok := known[name]; !ok || written != want {
			t.Errorf("block %s is\n%s\nwant\n%s", name, written, want)
		}
		seen[name] = true
	}
	for name := range known {
		if !seen[name] {
			t.Errorf("no block link/%s", name)
		}
	}
}
