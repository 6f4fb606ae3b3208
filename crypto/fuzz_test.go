package crypto

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// Each target knows the one input that is genuine: everything else must be
// refused, without a panic. All work on the counted handshake, because the
// fuzzer's workers are processes of their own.

// addCuts seeds f with b whole, cut, lengthened, and damaged at its edges.
func addCuts(f *testing.F, b []byte, edges ...int) {
	f.Add(bytes.Clone(b))
	f.Add([]byte{})
	f.Add(append(bytes.Clone(b), 0))
	for _, at := range append(edges, 0, len(b)-1) {
		f.Add(bytes.Clone(b[:at]))
		bad := bytes.Clone(b)
		bad[at] ^= 0x80
		f.Add(bad)
	}
}

// FuzzRespond feeds a first frame, also with its mac1 made right, so that the
// fuzzer reaches Noise message 1.
func FuzzRespond(f *testing.F) {
	_, h := countedHandshake(f)
	b, genuine := h.b, h.frame1
	own := b.Public().Noise
	addCuts(f, genuine, 1, 17, 49, 97)
	f.Fuzz(func(t *testing.T, frame []byte) {
		if r, err := Respond(b, "attic", frame); (err == nil) != bytes.Equal(frame, genuine) || (r == nil) != (err != nil) {
			t.Fatalf("Respond: %v, %v", r, err)
		}
		if len(frame) != Frame1Size {
			return
		}
		mac, err := mac1(&own, Version, frame[1+macSize:])
		if err != nil {
			t.Fatal(err)
		}
		frame = append(append([]byte{Version}, mac[:]...), frame[1+macSize:]...)
		if _, err := Respond(b, "attic", frame); (err == nil) != bytes.Equal(frame, genuine) {
			t.Fatalf("Respond with a right mac1: %v", err)
		}
	})
}

// FuzzFinish feeds an answer.
func FuzzFinish(f *testing.F) {
	i, h := countedHandshake(f)
	genuine := h.frame2
	addCuts(f, genuine, 1087, 1088, 1120)
	f.Fuzz(func(t *testing.T, frame []byte) {
		again := i.clone(t, h.a, "attic")
		if s, err := again.Finish(frame); (err == nil) != bytes.Equal(frame, genuine) || (s == nil) != (err != nil) {
			t.Fatalf("Finish: %v, %v", s, err)
		}
		if _, err := again.Finish(genuine); len(frame) == Frame2Size && err == nil {
			t.Fatal("an attempt was used twice")
		}
	})
}

// FuzzOpenRecord feeds the bytes of a connection: what is read is a prefix of
// what was sent, and its end is believed only if it is there.
func FuzzOpenRecord(f *testing.F) {
	_, h := countedHandshake(f)
	var genuine []byte
	for _, body := range []string{"one", "", "three"} {
		genuine = append(genuine, sealRecord(f, h.dialler.send, typeData, body)...)
	}
	genuine = append(genuine, sealRecord(f, h.dialler.send, typeEnd, "")...)
	addCuts(f, genuine, 1, 2, 21, 22)
	f.Add([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, sent []byte) {
		s := *h.answerer
		s.recv = h.answerer.recv.again()
		c := newConn(scriptedConn{Reader: bytes.NewReader(bytes.Clone(sent))}, &s)
		got, err := io.ReadAll(c)
		if !bytes.HasPrefix([]byte("onethree"), got) {
			t.Fatalf("read %q, which was never sent", got)
		}
		if whole := bytes.HasPrefix(sent, genuine); whole != (err == nil) {
			t.Fatalf("whole %v, but the end is %v", whole, err)
		}
		if cap(c.in.buf) > maxRecord {
			t.Fatalf("a record made a buffer of %d bytes", cap(c.in.buf))
		}
	})
}

// FuzzOpenPing feeds a datagram.
func FuzzOpenPing(f *testing.F) {
	_, h := countedHandshake(f)
	table := NewPingTable()
	table.byIndex[h.answerer.Mine.PingIndex] = nil // reserved
	table.add(h.answerer, epoch)
	genuine := h.dialler.ping.seal(nil, new([PingBodySize]byte))
	addCuts(f, genuine, 3, 4, 11, 12, 79, 80)
	f.Fuzz(func(t *testing.T, datagram []byte) {
		h.answerer.ping.window = window{}
		_, _, opened := table.Open(bytes.Clone(datagram), epoch)
		if opened != bytes.Equal(datagram, genuine) {
			t.Fatalf("opened: %v", opened)
		}
		if !opened && h.answerer.ping.window != (window{}) {
			t.Fatal("a refused datagram moved the window")
		}
		if _, _, ok := table.Open(bytes.Clone(datagram), epoch.Add(time.Hour)); ok {
			t.Fatal("an ended session opened a datagram")
		}
	})
}

// FuzzInfo: what a side says of itself parses and re-encodes to itself.
func FuzzInfo(f *testing.F) {
	f.Add(count(0, infoSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != infoSize {
			return
		}
		info := parseInfo((*[infoSize]byte)(b))
		if got := info.append(nil); !bytes.Equal(got, b) {
			t.Fatalf("%x became %x", b, got)
		}
	})
}
