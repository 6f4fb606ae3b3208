package crypto

import (
	"bytes"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"securepeer/keys"
)

// finished is a handshake of two members that went through.
type finished struct {
	a, b           *keys.Secret
	frame1, frame2 []byte
	dialler        *Session
	answerer       *Session
}

func shakeHands(t testing.TB, capsA, capsB uint32) *finished {
	t.Helper()
	f := &finished{a: newSecret(t), b: newSecret(t)}
	i, frame1, err := NewInitiator(f.a, f.b.Public(), "attic", Info{Incarnation: 1, PingIndex: 11, Caps: capsA}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Respond(f.b, "attic", frame1)
	if err != nil {
		t.Fatal(err)
	}
	f.frame1 = frame1
	f.frame2, f.answerer, err = r.Answer(Info{Incarnation: 2, PingIndex: 22, Caps: capsB}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if f.dialler, err = i.Finish(f.frame2); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestHandshakeTellsEachSideOfTheOther(t *testing.T) {
	f := shakeHands(t, CapAES|1<<31, CapAES)
	if len(f.frame1) != 1337 || len(f.frame2) != 1176 {
		t.Errorf("frames of %d and %d bytes, want 1337 and 1176", len(f.frame1), len(f.frame2))
	}
	if f.dialler.Peer != f.b.Public().Noise || f.answerer.Peer != f.a.Public().Noise {
		t.Error("a side has another key for its peer")
	}
	if f.dialler.Mine != f.answerer.Theirs || f.dialler.Theirs != f.answerer.Mine || f.dialler.Mine == f.dialler.Theirs {
		t.Errorf("infos differ: %+v, %+v", f.dialler, f.answerer)
	}
	if !f.dialler.Initiator || f.answerer.Initiator {
		t.Error("roles are mixed up")
	}
}

func TestAESOnlyWhenBothSayIt(t *testing.T) {
	for caps, want := range map[[2]uint32]string{
		{0, 0}: nameChaCha, {CapAES, 0}: nameChaCha, {0, CapAES}: nameChaCha, {CapAES, CapAES}: nameAES, {2, 2}: nameChaCha,
	} {
		f := shakeHands(t, caps[0], caps[1])
		if f.dialler.AEAD() != want || f.answerer.AEAD() != want {
			t.Errorf("caps %v: %s and %s, want %s", caps, f.dialler.AEAD(), f.answerer.AEAD(), want)
		}
		record := sealRecord(t, f.dialler.send, 16, "x")
		if _, body, err := f.answerer.recv.open(record); err != nil || string(body) != "x" {
			t.Errorf("caps %v: %q, %v", caps, body, err)
		}
	}
}

// TestTamperEveryByteOfTheHandshake flips each byte of frame 1, of frame 2 and
// of the first record; the mac1 of frame 1 is made right again, as anybody
// who knows the public key can.
func TestTamperEveryByteOfTheHandshake(t *testing.T) {
	a, b := newSecret(t), newSecret(t)
	own := b.Public().Noise
	i, frame1, err := NewInitiator(a, b.Public(), "attic", Info{PingIndex: 1}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for at := range frame1 {
		bad := bytes.Clone(frame1)
		bad[at] ^= 1 << (at % 8)
		if _, err := Respond(b, "attic", bad); err == nil {
			t.Fatalf("frame 1 with byte %d flipped was accepted", at)
		}
		if at <= macSize {
			continue
		}
		mac, err := mac1(&own, Version, bad[1+macSize:])
		if err != nil {
			t.Fatal(err)
		}
		copy(bad[1:], mac[:])
		if _, err := Respond(b, "attic", bad); err == nil {
			t.Fatalf("frame 1 with byte %d flipped and mac1 made new was accepted", at)
		}
	}
	r, err := Respond(b, "attic", frame1)
	if err != nil {
		t.Fatal(err)
	}
	frame2, answerer, err := r.Answer(Info{PingIndex: 2}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for at := range frame2 {
		bad := bytes.Clone(frame2)
		bad[at] ^= 1 << (at % 8)
		if _, err := i.clone(t, a, "attic").Finish(bad); err == nil {
			t.Fatalf("frame 2 with byte %d flipped was accepted", at)
		}
	}
	dialler, err := i.Finish(frame2)
	if err != nil {
		t.Fatal(err)
	}
	hello := sealRecord(t, dialler.send, typeHello, string(rune(Ring)))
	for at := range hello {
		bad := bytes.Clone(hello)
		bad[at] ^= 1 << (at % 8)
		if _, _, err := answerer.recv.open(bad); err == nil {
			t.Fatalf("first record with byte %d flipped was accepted", at)
		}
	}
	if _, body, err := answerer.recv.open(hello); err != nil || !bytes.Equal(body, []byte{byte(Ring)}) {
		t.Fatalf("genuine first record: %x, %v", body, err)
	}
}

// clone is the same attempt again, so that each flip meets a live one.
func (i *Initiator) clone(t testing.TB, secret *keys.Secret, ring string) *Initiator {
	t.Helper()
	opening, err := prologue(ring)
	if err != nil {
		t.Fatal(err)
	}
	attempt, err := newAttempt(secret.Noise(), i.peer[:], opening)
	if err != nil {
		t.Fatal(err)
	}
	ephemeral := bytes.NewReader(i.attempt.dh.ephemeral.Bytes())
	if _, err := attempt.write(nil, i.me.append(bytes.Clone(i.ek)), ephemeral); err != nil {
		t.Fatal(err)
	}
	return &Initiator{attempt: attempt, kem: i.kem, ek: i.ek, peer: i.peer, me: i.me}
}

// TestClonedAttemptFinishes shows that the flips above fail for being flips.
func TestClonedAttemptFinishes(t *testing.T) {
	a, b := newSecret(t), newSecret(t)
	i, frame1, err := NewInitiator(a, b.Public(), "attic", Info{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Respond(b, "attic", frame1)
	if err != nil {
		t.Fatal(err)
	}
	frame2, _, err := r.Answer(Info{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.clone(t, a, "attic").Finish(frame2); err != nil {
		t.Fatal(err)
	}
	if _, err := i.clone(t, a, "cellar").Finish(frame2); err == nil {
		t.Fatal("frame 2 for another ring was accepted")
	}
}

func TestFrame1ForAnotherKeyRingVersionOrSize(t *testing.T) {
	a, b, c := newSecret(t), newSecret(t), newSecret(t)
	_, frame, err := NewInitiator(a, b.Public(), "attic", Info{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := b.Public().Noise
	version1 := bytes.Clone(frame)
	version1[0] = 1
	mac, err := mac1(&own, 1, version1[1+macSize:])
	if err != nil {
		t.Fatal(err)
	}
	copy(version1[1:], mac[:])
	forged := bytes.Clone(frame)
	forged[0] = 1
	for name, try := range map[string]struct {
		secret *keys.Secret
		ring   string
		frame  []byte
		want   error
	}{
		"another key":     {c, "attic", frame, errMAC},
		"another ring":    {b, "attiC", frame, errMessage1},
		"longer ring":     {b, "attic2", frame, errMessage1},
		"no ring":         {b, "", frame, errRingName},
		"another version": {b, "attic", version1, VersionError(1)},
		"that and no mac": {b, "attic", forged, errMAC},
		"short":           {b, "attic", frame[:Frame1Size-1], errFrameSize},
		"long":            {b, "attic", append(bytes.Clone(frame), 0), errFrameSize},
		"empty":           {b, "attic", nil, errFrameSize},
	} {
		if _, err := Respond(try.secret, try.ring, try.frame); !errors.Is(err, try.want) {
			t.Errorf("%s: %v, want %v", name, err, try.want)
		}
	}
}

func TestRingNameHasALimit(t *testing.T) {
	a, b := newSecret(t), newSecret(t)
	for size, want := range map[int]bool{0: false, 1: true, 255: true, 256: false} {
		_, _, err := NewInitiator(a, b.Public(), strings.Repeat("r", size), Info{}, rand.Reader)
		if (err == nil) != want {
			t.Errorf("ring name of %d bytes: %v", size, err)
		}
	}
}

func TestSelfDialIsRefused(t *testing.T) {
	a := newSecret(t)
	if _, _, err := NewInitiator(a, a.Public(), "attic", Info{}, rand.Reader); err != ErrSelf {
		t.Errorf("dialling oneself: %v, want ErrSelf", err)
	}
	// A frame of our own that comes back to us: the dialler's check is
	// passed by making the attempt by hand.
	opening, err := prologue("attic")
	if err != nil {
		t.Fatal(err)
	}
	own := a.Public().Noise
	attempt, err := newAttempt(a.Noise(), own[:], opening)
	if err != nil {
		t.Fatal(err)
	}
	message, err := attempt.write(nil, make([]byte, ekSize+infoSize), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := respond(a, "attic", message); err != ErrSelf {
		t.Errorf("answering oneself: %v, want ErrSelf", err)
	}
}

func TestAnAttemptIsUsedOnce(t *testing.T) {
	a, b := newSecret(t), newSecret(t)
	i, frame1, err := NewInitiator(a, b.Public(), "attic", Info{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Respond(b, "attic", frame1)
	if err != nil {
		t.Fatal(err)
	}
	frame2, _, err := r.Answer(Info{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Answer(Info{}, rand.Reader); err == nil {
		t.Error("a responder answered twice")
	}
	bad := bytes.Clone(frame2)
	bad[len(bad)-1]++
	if _, err := i.Finish(bad); err == nil {
		t.Fatal("forged frame 2 was accepted")
	}
	if _, err := i.Finish(frame2); err == nil {
		t.Error("an initiator went on after an error")
	}
}

// TestLowOrderEphemeral: a responder that sends a point of small order is not
// believed, nor is a dialler.
func TestLowOrderEphemeral(t *testing.T) {
	f := shakeHands(t, 0, 0)
	own := f.b.Public().Noise
	bad := bytes.Clone(f.frame1)
	clear(bad[1+macSize : 1+macSize+32])
	mac, err := mac1(&own, Version, bad[1+macSize:])
	if err != nil {
		t.Fatal(err)
	}
	copy(bad[1:], mac[:])
	if _, err := Respond(f.b, "attic", bad); err == nil {
		t.Error("frame 1 with a zero ephemeral key was accepted")
	}
	i, _, err := NewInitiator(f.a, f.b.Public(), "attic", Info{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bad = bytes.Clone(f.frame2)
	clear(bad[ciphertextSize : ciphertextSize+32])
	if _, err := i.Finish(bad); err == nil {
		t.Error("frame 2 with a zero ephemeral key was accepted")
	}
}

// TestSessionKeysDependOnTheKEM: with every X25519 key the same, another
// shared secret of ML-KEM gives other keys for everything.
func TestSessionKeysDependOnTheKEM(t *testing.T) {
	a, b := newSecret(t), newSecret(t)
	_, frame1, err := NewInitiator(a, b.Public(), "attic", Info{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seed := make([]byte, 32)
	records := make(map[string]bool)
	for n := range 2 {
		r, err := Respond(b, "attic", frame1)
		if err != nil {
			t.Fatal(err)
		}
		_, s, err := r.answer(Info{}, bytes.NewReader(seed), fixedEncapsulate(t, bytes.Repeat([]byte{byte(n)}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		records[string(sealRecord(t, s.send, 16, "the same"))] = true
	}
	if len(records) != 2 {
		t.Error("record keys do not depend on ML-KEM")
	}
}

// fixedEncapsulate takes its randomness, 32 bytes, from random.
func fixedEncapsulate(t testing.TB, random []byte) encapsulate {
	return func(key *mlkem.EncapsulationKey768) (shared, ciphertext []byte) {
		shared, ciphertext, err := mlkemtest.Encapsulate768(key, random)
		if err != nil {
			t.Fatal(err)
		}
		return shared, ciphertext
	}
}

// TestOnlyNoiseFileNamesFlynn keeps the handshake state in one file. The
// vectors' runner names patterns, and the forger of TestStolenResponderKey
// breaks rules, that no other code may.
func TestOnlyNoiseFileNamesFlynn(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		named := bytes.Contains(b, []byte(`"github.com/flynn/`+`noise"`))
		if want := file == "noise.go" || file == "vectors_test.go" || file == "forger_test.go"; named != want {
			t.Errorf("%s imports flynn: %v", file, named)
		}
	}
}
