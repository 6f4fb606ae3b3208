package node

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"securepeer/crypto"
	"securepeer/wire"
)

// TestTwoWhoDialAtOnceKeepOneLink cuts all connections of a pair and lets both
// dial at the same moment, again and again, while both ask each other for
// listings, which the node itself sends over the ring link: every question
// must be answered, and in the end one link carries.
func TestTwoWhoDialAtOnceKeepOneLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "copies=2")
	w.startAll()
	put(t, w.nodes[0], "f", []byte("f"))
	for range 15 {
		w.plugs[0].cut()
		w.plugs[1].cut()
		var both sync.WaitGroup
		for _, n := range w.nodes {
			both.Go(func() {
				// The links may have been found dead by now or not: a question
				// on a dead one is lost, and asked again.
				until(t, "an answer", func() bool {
					infos, silent, err := n.List(t.Context(), "")
					return err == nil && len(silent) == 0 && len(infos) == 1
				})
			})
		}
		both.Wait()
	}
	w.oneLink()
}

// oneLink waits until each node of a pair has one ring link, the same.
func (w *world) oneLink() {
	w.t.Helper()
	until(w.t, "one ring link", func() bool {
		var keys []string
		for _, n := range w.nodes {
			n.members.mu.Lock()
			for c := range n.members.links {
				if c.Kind() == crypto.Ring {
					s := c.Session()
					dialled := s.Initiator == (n.self == 0)
					keys = append(keys, fmt.Sprint(dialled, s.Mine.PingIndex+s.Theirs.PingIndex))
				}
			}
			n.members.mu.Unlock()
		}
		return len(keys) == 2 && keys[0] == keys[1]
	})
}

// TestBothDialledLinksAreReadToTheirEnd opens the second link of a pair by
// hand while the first carries: what was sent on either arrives, in the order
// of its link.
func TestBothDialledLinksAreReadToTheirEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "")
	n := w.start(0)
	<-n.Ready()
	in := newInsider(t, w, 1)
	first, second := in.dial(crypto.Ring), in.dial(crypto.Ring)
	for req := range uint32(20) {
		in.send(first, wire.List{Req: 2 * req})
		in.send(second, wire.List{Req: 2*req + 1})
	}
	// Answers come on whichever link carries; both ends are read.
	answers := make(chan uint32, 40)
	var reading sync.WaitGroup
	for _, c := range in.conns {
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		reading.Go(func() {
			for {
				typ, body, err := c.ReadRecord()
				if err != nil {
					return
				}
				if msg, err := wire.Parse(wire.Type(typ), body); err == nil {
					if m, ok := msg.(wire.Listed); ok {
						answers <- m.Req
					}
				}
			}
		})
	}
	seen := make(map[uint32]bool)
	for len(seen) < 40 {
		select {
		case req := <-answers:
			seen[req] = true
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of 40 questions were answered", len(seen))
		}
	}
	for _, c := range in.conns {
		c.Close()
	}
	reading.Wait()
}

func TestLaterIsTheSameOnBothSides(t *testing.T) {
	// For every pair of crossing handshakes both sides must pick one order,
	// whichever link each of them confirmed first.
	type session struct{ dialler, low, high uint64 }
	ends := func(s session, self wire.ID) crypto.Ends {
		e := crypto.Ends{Dialler: uint16(s.dialler), Mine: s.low, Theirs: s.high}
		if self == 9 {
			e.Mine, e.Theirs = s.high, s.low
		}
		return e
	}
	for _, low := range []uint64{4, 5} {
		for _, high := range []uint64{3, 4} {
			for _, low2 := range []uint64{4, 5} {
				for _, high2 := range []uint64{3, 4} {
					a, b := session{2, low, high}, session{9, low2, high2}
					// 2 confirmed a first, 9 confirmed b first.
					carries := func(self, peer wire.ID, first, second session) session {
						x, y := ends(first, self), ends(second, self)
						order := [2]session{first, second}
						if before(y, x, self < peer) {
							x, y = y, x
							order[0], order[1] = order[1], order[0]
						}
						fate, _ := crypto.Settle(uint16(self), uint16(peer), x, y)
						if fate == crypto.Carry {
							return order[0]
						}
						return order[1]
					}
					if at2, at9 := carries(2, 9, a, b), carries(9, 2, b, a); at2 != at9 {
						t.Errorf("%v and %v: 2 keeps %v, 9 keeps %v", a, b, at2, at9)
					}
				}
			}
		}
	}
}
