package node

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"securepeer/crypto"
	"securepeer/wire"
)

// untilEnd reads a link to its end, with no limit but the bubble's time.
func untilEnd(c *crypto.Conn) error {
	for {
		if _, _, err := c.ReadRecord(); err != nil {
			return err
		}
	}
}

// TestLinkOfAnEarlierProcessEnds: the link that a later process of a member
// has replaced is ended, not cut, and soon closed, though nobody ends its
// other side.
func TestLinkOfAnEarlierProcessEnds(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		t := b.t
		first, far := b.dial(1, crypto.Ring, 1)
		time.Sleep(2 * glareTime)
		began := time.Now()
		second, _ := b.dial(1, crypto.Ring, 2)
		defer second.Close()
		if err := untilEnd(first); err != io.EOF || time.Since(began) > 0 {
			t.Errorf("the first link: %v after %v, want its end at once", err, time.Since(began))
		}
		if synctest.Wait(); far.isGone() {
			t.Error("the first link is closed before its other side may have ended")
		}
		time.Sleep(endTime)
		if synctest.Wait(); !far.isGone() {
			t.Errorf("the first link is open after %v", endTime)
		}
	})
}

// TestClosingPeerEndsItsLinks: a peer that closes says so on every link: to
// the others it has not broken down.
func TestClosingPeerEndsItsLinks(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		c, _ := b.dial(1, crypto.Ring, 1)
		ended := make(chan error, 1)
		go func() { ended <- untilEnd(c) }()
		b.nodes[0].Close()
		if err := <-ended; err != io.EOF {
			b.t.Errorf("the link of a peer that closed: %v, want io.EOF", err)
		}
	})
}

// stuffed opens a ring link of member 1, who reads nothing, and has node 0
// send it count large messages, of which some fill the connection.
func (b *bubble) stuffed(count int) (*crypto.Conn, *memConn) {
	c, far := b.dial(1, crypto.Ring, 1)
	synctest.Wait()
	for range count {
		b.nodes[0].post(sending{1, wire.Rows{Rows: make([]wire.Row, wire.MaxRows)}})
	}
	synctest.Wait()
	return c, far
}

// largest is how long the largest message may take to leave.
func largest() time.Duration {
	return time.Until(writeLimit(len(wire.Rows{Rows: make([]wire.Row, wire.MaxRows)}.Append(nil))))
}

// TestMessageThatDoesNotLeaveEndsItsLink: one that takes longer than writeTime and
// its time at leastRate. (Before: 30 s for any message, which for the largest was a
// least rate that no document named.)
func TestMessageThatDoesNotLeaveEndsItsLink(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		most := largest()
		if most < writeTime+20*time.Second {
			b.t.Errorf("the largest message has %v", most)
		}
		_, far := b.stuffed(linkLarge / 2)
		time.Sleep(most - time.Second)
		if synctest.Wait(); far.isGone() {
			b.t.Errorf("closed before %v", most)
		}
		time.Sleep(2 * time.Second)
		if synctest.Wait(); !far.isGone() {
			b.t.Errorf("open after %v", most)
		}
	})
}

// TestFullQueueIsNobodysFault: a link whose queue is full goes on, and what was
// queued comes; one that reads nothing for as long as a message may take is cut, and counted if its
// member is there. Once honest peers that had much to say to each other cut
// their links and blamed each other.
func TestFullQueueIsNobodysFault(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		n := b.nodes[0]
		for _, reads := range []bool{true, false} {
			s := b.speaker(1)
			c := s.dialSilently(crypto.Ring)
			for range 2 * linkLarge {
				n.post(sending{1, wire.Rows{Rows: make([]wire.Row, wire.MaxRows)}})
			}
			for i := range uint32(2 * linkQueue) {
				n.post(sending{1, wire.Here{Req: i}})
			}
			synctest.Wait()
			if refusedOf(b.t, n, "n1") != 0 {
				b.t.Fatal("a full queue is the other's fault")
			}
			rows, heres, err := 0, 0, error(nil)
			for end := time.Now().Add(2 * largest()); err == nil && time.Now().Before(end); {
				var body [crypto.PingBodySize]byte
				wire.Ping{Mine: 1}.Append(body[:0])
				s.ping(body)
				time.Sleep(time.Second)
				for typ := byte(0); reads && err == nil && heres < linkQueue/2; {
					if typ, _, err = c.ReadRecord(); typ == byte(wire.TypeRows) {
						rows++
					} else if typ == byte(wire.TypeHere) {
						heres++
					}
				}
			}
			if reads && (rows < linkLarge || heres < linkQueue/2 || err != nil) {
				b.t.Errorf("%d large messages and %d small ones came: %v", rows, heres, err)
			}
			if got := refusedOf(b.t, n, "n1"); (got > 0) == reads {
				b.t.Errorf("reads %v: counted %d times", reads, got)
			}
			c.Close()
			synctest.Wait()
		}
	})
}

// TestWrongRecordEndsALinkAtOnce: though a message is on its way out that the
// other side does not take.
func TestWrongRecordEndsALinkAtOnce(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		c, far := b.stuffed(linkLarge / 2)
		if err := c.WriteRecord(200, nil); err != nil {
			b.t.Fatal(err)
		}
		if synctest.Wait(); !far.isGone() {
			b.t.Error("the link is open")
		}
	})
}

// TestTransferMessagesEndARingLink: each of them.
func TestTransferMessagesEndARingLink(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		for _, m := range []wire.Message{
			wire.Put{Name: "f"}, wire.PutMore{}, wire.PutEnd{Manifest: wire.Manifest{Name: "f", Version: 1}}, wire.PutAck{},
			wire.Blocks{}, wire.BlockList{}, wire.Get{}, wire.Fail{Code: wire.CodeBusy},
		} {
			before := refusedOf(b.t, b.nodes[0], "n1")
			c, far := b.dial(1, crypto.Ring, 1)
			if !tell(c, m) {
				b.t.Fatal("not sent")
			}
			if synctest.Wait(); !far.isGone() || refusedOf(b.t, b.nodes[0], "n1") != before+1 {
				b.t.Errorf("%v on a ring link: it is open, or nobody counts it", m.Type())
			}
			c.Close()
			time.Sleep(time.Second)
		}
	})
}

// TestForgedOfferIsAnswered: who passes on what another has forged waits for
// an answer, and gets one; its link goes on.
func TestForgedOfferIsAnswered(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		c, _ := b.dial(1, crypto.Ring, 1)
		defer c.Close()
		m := wire.Manifest{Name: "f", Version: 1, Writer: 1, Signer: 1, Size: 1, Blocks: wire.Sum{1}}
		for req := range uint32(2) {
			if !tell(c, wire.Offer{Req: req, Source: 1, Manifest: m}) {
				b.t.Fatal("not sent")
			}
			for {
				msg, err := readMessage(c)
				if err != nil {
					b.t.Fatal(err)
				}
				if got, ok := msg.(wire.Confirmed); ok {
					if got != (wire.Confirmed{Req: req, Code: wire.CodeForbidden}) {
						b.t.Errorf("a forged offer is answered with %+v", got)
					}
					break
				}
			}
		}
	})
}

// TestDialThatComesToNothingEnds: in dialTime, whatever swallows it.
func TestDialThatComesToNothingEnds(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		n := b.nodes[0]
		b.hung(1, func(c *crypto.Conn) { untilEnd(c) })
		b.net.off(b.addr(1))
		began := time.Now()
		if _, err := n.dial(b.t.Context(), b.roster.Members[1], crypto.Ring); err == nil || time.Since(began) != dialTime {
			b.t.Errorf("dial: %v after %v, want an error after %v", err, time.Since(began), dialTime)
		}
	})
}

// TestDroppedWhileItIsDialled: a member that the roster drops just when its
// link has come up is dialled again if another roster brings it back.
func TestDroppedWhileItIsDialled(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		n := b.nodes[0]
		b.hung(1, func(c *crypto.Conn) { untilEnd(c) })
		without := *b.roster
		without.Members = without.Members[:1]
		next, err := newBook(&without, b.secrets[0].Public())
		if err != nil {
			b.t.Fatal(err)
		}
		publish := n.crypto.Publish
		with := n.members.book()
		var once sync.Once
		n.crypto.Publish = func(c *crypto.Conn) error {
			err := publish(c)
			once.Do(func() { n.members.current.Store(next) })
			return err
		}
		n.post(sending{1, wire.Here{}})
		time.Sleep(time.Second)
		n.members.current.Store(with)
		n.post(sending{1, wire.Here{}})
		time.Sleep(time.Second)
		n.members.mu.Lock()
		defer n.members.mu.Unlock()
		if len(n.members.links) != 1 {
			b.t.Errorf("%d links, want one with the member that is back", len(n.members.links))
		}
	})
}

// TestPoolBounds: so many transfer links are dialled to one member; who wants
// another waits, no longer than it likes, and a place that came to nothing is
// free again.
func TestPoolBounds(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		t, p := b.t, b.nodes[0].pool
		for range 2 * maxTransfers {
			if _, err := p.take(t.Context(), 1); err == nil {
				t.Fatal("a link with nobody")
			}
		}
		b.hung(1, func(c *crypto.Conn) { untilEnd(c) })
		var all []*transfer
		for range maxTransfers {
			link, err := p.take(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, link)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := p.take(ctx, 1); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("one more: %v after %v", err, time.Since(began))
		}
		p.drop(all[0])
		p.give(all[1])
		for i := range 2 {
			link, err := p.take(t.Context(), 1)
			if err != nil || i == 0 && link.Conn != all[1].Conn {
				t.Fatalf("after two were given back: %v", err)
			}
			defer p.drop(link)
		}
		p.drop(all[2])
		p.drop(all[3])
	})
}

// TestIdleLinkThatSpeaksIsNotUsed: nothing may come between two requests; what
// does would be taken for the answer to the next.
func TestIdleLinkThatSpeaksIsNotUsed(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		t, p := b.t, b.nodes[0].pool
		speak := make(chan struct{})
		b.hung(1, func(c *crypto.Conn) {
			<-speak
			tell(c, wire.PutAck{})
			untilEnd(c)
		})
		link, err := p.take(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		p.give(link)
		close(speak)
		synctest.Wait()
		next, err := p.take(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer p.drop(next)
		if next.Conn == link.Conn || !closed(link.Conn) {
			t.Error("a link is used on which the other side speaks unasked")
		}
	})
}

// TestLinkThatFellWhileItRestedIsClosed: who takes it finds that before its
// watcher has taken it away.
func TestLinkThatFellWhileItRestedIsClosed(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		t, p := b.t, b.nodes[0].pool
		b.hung(1, func(c *crypto.Conn) { untilEnd(c) })
		link, err := p.take(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		link.rest = make(chan error, 1)
		link.rest <- io.ErrUnexpectedEOF
		l := p.lane(1)
		<-l.places
		l.idle = append(l.idle, link)
		next, err := p.take(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer p.drop(next)
		if next.Conn == link.Conn || !closed(link.Conn) {
			t.Error("it is used, or stays open")
		}
	})
}

// TestIdleLinkEndsWithAnEnd: the other side of a transfer link that is not used
// any more reads its end, and no cut.
func TestIdleLinkEndsWithAnEnd(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		t, p := b.t, b.nodes[0].pool
		ended := make(chan error, 1)
		b.hung(1, func(c *crypto.Conn) { ended <- untilEnd(c) })
		link, err := p.take(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		p.give(link)
		if err := <-ended; err != io.EOF || time.Since(began) != transferIdle {
			t.Errorf("%v after %v, want io.EOF after %v", err, time.Since(began), transferIdle)
		}
	})
}

// TestRequestThatDoesNotLeave: in writeTime, and its time at leastRate.
func TestRequestThatDoesNotLeave(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		t, p := b.t, b.nodes[0].pool
		stop := make(chan struct{})
		b.hung(1, func(*crypto.Conn) { <-stop })
		defer close(stop)
		link, err := p.take(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer p.drop(link)
		began, list := time.Now(), wire.BlockList{Hashes: make([]wire.Sum, wire.MaxHashes)}
		most := time.Until(writeLimit(len(list.Append(nil))))
		for err == nil {
			err = writeMessage(link.Conn, list)
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(began) != most {
			t.Errorf("%v after %v, want a timeout after %v", err, time.Since(began), most)
		}
	})
}

// TestHalfOpenLinksKeepNoMemberOut: a member whose machine went down with all
// the links that it may have, twice, so that nobody has ended them, is answered
// at once when it is back. Once it was kept out until they ended, for a minute
// or more.
func TestHalfOpenLinksKeepNoMemberOut(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		s := b.speaker(1)
		for range 2 * maxTransfers {
			s.dial(crypto.Transfer)
		}
		for range maxAcceptedRing {
			s.dial(crypto.Ring)
		}
		began := time.Now()
		c := s.dialSilently(crypto.Transfer)
		if err := writeMessage(c, wire.Blocks{Count: 1}); err != nil {
			t.Fatal(err)
		}
		if msg, err := readMessage(c); err != nil || msg.Type() != wire.TypeFail {
			t.Errorf("a request is answered by %v, %v", msg, err)
		}
		s.dial(crypto.Ring)
		if p := status(b.t, b.nodes[0]).Peers[1]; !p.Linked || time.Since(began) > time.Second {
			t.Errorf("after %v it is %+v", time.Since(began), p)
		}
		if got := refusedOf(b.t, b.nodes[0], "n1"); got > 0 {
			b.t.Errorf("it is named for that, %d times", got)
		}
	})
}

// TestFloodOfLinksIsNamed: more links than are kept are a mishap of a member that
// restarts every second, or of links that this peer's own disk holds;
// and a flood if they are many more. (A member that went down with its links was
// named for those of its next life.)
func TestFloodOfLinksIsNamed(t *testing.T) {
	for each, flood := range map[time.Duration]bool{surplusEach: false, surplusEach / 10: true} {
		inTable(t, func(t *testing.T, x *table) {
			floods := false
			for range 120 {
				surplus, is, err := x.node.members.publish(x.accept(crypto.Transfer))
				if err != nil || is && surplus == nil {
					t.Fatal(surplus, is, err)
				}
				if surplus != nil {
					surplus.Close()
				}
				floods = floods || is
				time.Sleep(each) // of the bubble
			}
			if floods != flood {
				t.Errorf("a link each %v: a flood is %v, want %v", each, floods, flood)
			}
		})
	}
}

// TestDialOverAFullLine: a member whose frames wait behind what is queued, longer than
// a dial may take to a member of which nothing is heard, is reached as long as its
// pings come. (A dial had 5 s in all, and such a member was unreachable.)
func TestDialOverAFullLine(t *testing.T) {
	inBubble(t, 2, 2, "copies=1", func(b *bubble) {
		b.net.shape(b.addr(1), 0, 7*dialTime/10)
		began := time.Now()
		c, err := b.nodes[0].dial(b.t.Context(), b.roster.Members[1], crypto.Transfer)
		if err != nil {
			b.t.Fatalf("after %v: %v", time.Since(began), err)
		}
		if d := time.Since(began); d <= dialTime || d >= maxDialTime {
			b.t.Errorf("it took %v, which proves nothing", d)
		}
		b.nodes[0].members.forget(c)
		c.Close()
	})
}

// TestPageOverAFullLineIsWaitedFor: a part of a listing that waits behind what is
// queued comes later than from a member of which nothing else is heard. (It had 5 s.)
func TestPageOverAFullLineIsWaitedFor(t *testing.T) {
	inBubble(t, 2, 2, "copies=2", func(b *bubble) {
		put(b.t, b.nodes[0], "f", []byte("x"))
		b.net.shape(b.addr(1), 0, 7*listTime/10)
		began := time.Now()
		files, missing, err := b.nodes[0].List(b.t.Context(), "")
		if d := time.Since(began); err != nil || len(files) != 1 || len(missing) > 0 || d <= listTime {
			b.t.Errorf("%d files without %+v, %v, after %v", len(files), missing, err, d)
		}
	})
}
