package node

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"securepeer/wire"
)

// sampled calls f and returns for whom p says meanwhile that it waits, each
// 100 ms: the names of one sample as one word, the same ones in a row once.
func (b *bubble) sampled(p *Progress, f func()) (said []string) {
	done := make(chan struct{})
	go func() { // ends with f
		defer close(done)
		f()
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-done:
			return slices.Compact(said)
		}
		if s, ok := p.Now(b.t.Context()); ok {
			said = append(said, strings.Join(s.Waiting, " "))
		}
	}
}

// TestGetSaysWhomItWaitsFor: while it looks for holders, while one sends nothing,
// while others are looked for in its place; and nobody while its user takes the
// bytes. (Before: a get said nothing for 5 s, and not of whom.)
func TestGetSaysWhomItWaitsFor(t *testing.T) {
	inBubble(t, 3, 3, "copies=1", func(b *bubble) {
		t := b.t
		r := put(t, b.nodes[0], "f", bytesOf(1, 3*wire.BlockSize))
		holder := r.Copies[0]
		at := b.outsider("f")

		var p Progress
		f, err := at.Get(t.Context(), "f", GetOptions{Progress: &p})
		if err != nil {
			t.Fatal(err)
		}
		took := 0
		said := b.sampled(&p, func() {
			_, err = f.WriteTo(writerFunc(func(data []byte) (int, error) {
				if took += len(data); took == wire.BlockSize {
					b.net.cut(func(_, _ netip.AddrPort) bool { return true })
				}
				time.Sleep(5 * time.Second) // of the bubble
				return len(data), nil
			}))
		})
		if i := slices.Index(said, ""); err == nil || i != 0 || !slices.Contains(said, holder) || slices.ContainsFunc(said, func(s string) bool { return s != "" && s != holder }) {
			t.Errorf("while the bytes come it waits for %q, then %v; the holder is %s", said, err, holder)
		}
	})
	inBubble(t, 3, 3, "copies=2", func(b *bubble) {
		t := b.t
		holders := put(t, b.nodes[0], "f", bytesOf(1, 1000)).Copies
		at := b.outsider("f")
		b.net.cut(func(_, _ netip.AddrPort) bool { return true })
		slices.Sort(holders)
		for _, call := range []func(*Progress){ // whatever comes of them
			func(p *Progress) { at.Get(t.Context(), "f", GetOptions{Progress: p}) },
			func(p *Progress) { at.Remove(t.Context(), "f", p) },
			func(p *Progress) { at.Put(t.Context(), "f", strings.NewReader("x"), PutOptions{Progress: p}) },
		} {
			var p Progress
			if said := b.sampled(&p, func() { call(&p) }); len(said) == 0 || said[0] != strings.Join(holders, " ") {
				t.Errorf("while it asks %q it waits for %q", holders, said)
			}
			b.net.cut(nil)
			time.Sleep(time.Minute) // of the bubble: all are back
			b.net.cut(func(_, _ netip.AddrPort) bool { return true })
		}
		b.net.cut(nil)
	})
}

// TestPutSaysWhoMakesUp: a target ends in the middle of a put over slow lines, and
// the one that gets its copy from another holder is named. The line said
// that it waits for the copies, and not for whose.
func TestPutSaysWhoMakesUp(t *testing.T) {
	inBubble(t, 4, 4, "copies=3", func(b *bubble) {
		t := b.t
		const rate = 64 << 10
		for i := range b.nodes {
			b.net.shape(b.addr(i), rate, lineDelay)
		}
		where, err := b.nodes[0].Lookup(t.Context(), "f")
		if err != nil {
			t.Fatal(err)
		}
		away := 1
		if !slices.Contains(where.Holders[:3], "n1") {
			away = 2
		}
		time.AfterFunc(20*time.Second, func() { b.nodes[away].Close() })
		var p Progress
		var r PutResult
		said := b.sampled(&p, func() {
			r, err = b.nodes[0].Put(t.Context(), "f", strings.NewReader(string(bytesOf(1, 40*rate))), PutOptions{Progress: &p})
		})
		if err != nil || len(r.Copies) != 3 {
			t.Fatalf("put = %+v, %v", r, err)
		}
		standIn := ""
		for _, c := range r.Copies {
			if !slices.Contains(where.Holders[:3], c) {
				standIn = c
			}
		}
		if standIn == "" || said[len(said)-1] != standIn {
			t.Errorf("holders %q, %s ends, copies on %q: it waits for %q", where.Holders, fmt.Sprint("n", away), r.Copies, said)
		}
	})
}

// TestPutThatWaitsForItsUserNamesNobody: all that there is has arrived.
func TestPutThatWaitsForItsUserNamesNobody(t *testing.T) {
	inBubble(t, 3, 3, "copies=3", func(b *bubble) {
		t := b.t
		var p Progress
		rest := 10
		r, err := b.nodes[0].Put(t.Context(), "f", readerFunc(func(data []byte) (int, error) {
			time.Sleep(5 * time.Second) // of the bubble: what has come is told
			if s, ok := p.Now(t.Context()); !ok || len(s.Waiting) > 0 || s.Taken != int64(10-rest)*chunkSize {
				t.Errorf("after %d pieces the put is at %+v, %v", 10-rest, s, ok)
			}
			if rest--; rest == 0 {
				return 0, io.EOF
			}
			return chunkSize, nil
		}), PutOptions{Progress: &p})
		if err != nil || len(r.Copies) != 3 {
			t.Errorf("put = %+v, %v", r, err)
		}
	})
}

// readerFunc is a function that gives bytes.
type readerFunc func([]byte) (int, error)

func (r readerFunc) Read(p []byte) (int, error) { return r(p) }
