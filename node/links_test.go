package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"securepeer/crypto"
	"securepeer/keys"
	"securepeer/ring"
	"securepeer/wire"
)

// table is node 0's table of ring links, without its loop. What it dials
// hangs until the test ends.
type table struct {
	*links
	t       *testing.T
	net     *memnet
	secrets []*keys.Secret
	roster  *keys.Roster
	pings   *crypto.PingTable // of 0's ends of links; nil: one each
	mu      sync.Mutex        // of dials, while some are under way
	dials   []time.Time       // when each reached the network
}

// inTable runs f in a bubble, with a ring of two.
func inTable(t *testing.T, f func(*testing.T, *table)) {
	synctest.Test(t, func(t *testing.T) {
		x := &table{t: t, net: newMemnet()}
		text := "ring test\n"
		for i := range 2 {
			secret, err := keys.Generate()
			if err != nil {
				t.Fatal(err)
			}
			x.secrets = append(x.secrets, secret)
			text += fmt.Sprintf("peer %d n%d %s addr=10.0.0.%d:7460\n", i, i, secret.Public(), i+1)
		}
		var err error
		if x.roster, err = keys.ParseRoster([]byte(text)); err != nil {
			t.Fatal(err)
		}
		x.links = x.of(0)
		f(t, x)
		x.node.cancel()
		x.node.work.Wait()
	})
}

// of makes the table of one of the two.
func (x *table) of(self wire.ID) *links {
	b, err := newBook(x.roster, x.secrets[self].Public())
	if err != nil {
		x.t.Fatal(err)
	}
	n := &Node{self: self, inputs: make(chan input, 8)}
	n.members = newMembers(b, crypto.NewPingTable())
	n.refused = newRefusals(slog.New(slog.DiscardHandler))
	n.dials = make(chan struct{}, maxDials)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.addresses = newAddresses(n.ctx, &n.work, systemResolve)
	n.config.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		x.mu.Lock()
		x.dials = append(x.dials, time.Now())
		x.mu.Unlock()
		<-n.ctx.Done()
		return nil, errPulled
	}
	return &links{node: n, pairs: make(map[wire.ID]*pair)}
}

// dialled is how many dials there were.
func (x *table) dialled() int {
	time.Sleep(dialPause) // of the bubble
	synctest.Wait()
	return len(x.dials)
}

// connect makes a link between the two that dialler has dialled, in these
// incarnations of 0 and 1, and returns both ends of it.
func (x *table) connect(dialler int, kind crypto.Kind, incarnations [2]uint64) (ends [2]*crypto.Conn) {
	x.t.Helper()
	config := func(i int) *crypto.Config {
		c := &crypto.Config{
			Secret: x.secrets[i], Ring: "test", Pings: crypto.NewPingTable(),
			Info: func() crypto.Info {
				return crypto.Info{Incarnation: incarnations[i], RosterDigest: [16]byte{byte(i) + 1}}
			},
			Lookup: func(noise [32]byte) (keys.Public, bool) {
				m, ok := x.roster.ByKey(noise)
				return m.Key, ok
			},
			Publish: func(*crypto.Conn) error { return nil },
		}
		if i == 0 && x.pings != nil {
			c.Pings = x.pings
		}
		return c
	}
	other := 1 - dialler
	tcp, _ := x.net.listen(x.roster.Members[other].Addr)
	l := crypto.Listen(tcp, config(other))
	defer l.Close()
	raw, err := x.net.dialFrom(x.roster.Members[dialler].Addr)(x.t.Context(), "tcp", tcp.Addr().String())
	if err != nil {
		x.t.Fatal(err)
	}
	if ends[dialler], err = crypto.Dial(x.t.Context(), raw, config(dialler), x.secrets[other].Public(), kind); err != nil {
		x.t.Fatal(err)
	}
	if ends[other], err = l.Accept(); err != nil {
		x.t.Fatal(err)
	}
	for _, c := range ends {
		x.t.Cleanup(func() { c.Close() })
	}
	return ends
}

// link is connect of a ring link, as the tables of both have it.
func (x *table) link(dialler int, incarnations [2]uint64) (ends [2]*link) {
	x.t.Helper()
	for i, c := range x.connect(dialler, crypto.Ring, incarnations) {
		ends[i] = &link{conn: c, peer: x.roster.Members[1-i], queue: make(chan wire.Message, linkQueue), at: time.Now(), sent: make(chan struct{})}
	}
	return ends
}

func (x *table) hears(what string, got []ring.Event, want ...ring.Event) {
	x.t.Helper()
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		x.t.Errorf("%s: the ring hears %+v, want %+v", what, got, want)
	}
}

// numbers are the questions that wait in a queue.
func numbers(queue <-chan wire.Message) (reqs []uint32) {
	for {
		select {
		case msg := <-queue:
			reqs = append(reqs, msg.(wire.Here).Req)
		default:
			return reqs
		}
	}
}

// TestMessagesWaitForTheLink: what is sent before there is a link has one
// dialled, goes over it once and in order, and is bounded.
func TestMessagesWaitForTheLink(t *testing.T) {
	inTable(t, func(t *testing.T, x *table) {
		for i := range uint32(linkQueue + 10) {
			x.send(1, wire.Here{Req: i})
		}
		p := x.pair(1)
		if got := len(p.waiting); got != linkQueue {
			t.Errorf("%d messages wait, want %d", got, linkQueue)
		}
		if got := x.dialled(); got != 1 {
			t.Errorf("%d dials, want 1", got)
		}
		p.problem = errPulled
		k := x.link(0, [2]uint64{1, 1})[0]
		x.hears("a link", x.up(k), ring.LinkUp{Peer: 1, Incarnation: 1})
		if p.dialing || p.problem != nil || len(p.waiting) > 0 {
			t.Errorf("after the dial: still dialling %v, problem %v, %d wait", p.dialing, p.problem, len(p.waiting))
		}
		if !p.heard || p.digest != (wire.Digest{2}) {
			t.Errorf("the roster that it works by is %x, known %v", p.digest, p.heard)
		}
		got := numbers(k.queue)
		if want := linkQueue; len(got) != want || !slices.IsSorted(got) || got[want-1] != uint32(want-1) {
			t.Errorf("%d messages went over the link, %v", len(got), got)
		}
		x.send(1, wire.Here{Req: 7})
		if got := numbers(k.queue); !slices.Equal(got, []uint32{7}) || x.dialled() != 1 {
			t.Errorf("over an open link went %v, after %d dials", got, len(x.dials))
		}
	})
}

// TestFailedDialLeavesNothing: what waited for a dial that failed is lost, the
// ring hears of it, and the next message has the next link dialled.
func TestFailedDialLeavesNothing(t *testing.T) {
	inTable(t, func(t *testing.T, x *table) {
		x.send(1, wire.Here{Req: 1})
		x.hears("a failed dial", x.failed(1, errors.New("no route")), ring.LinkDown{Peer: 1})
		p := x.pair(1)
		if p.dialing || p.problem == nil || p.problem.Error() != "no route" || len(p.waiting) > 0 {
			t.Errorf("after it: still dialling %v, problem %v, %d wait", p.dialing, p.problem, len(p.waiting))
		}
		x.send(1, wire.Here{Req: 2})
		if got := x.dialled(); got != 2 {
			t.Errorf("%d dials, want 2", got)
		}
		// The other side's dial came through meanwhile.
		k := x.link(1, [2]uint64{1, 1})[0]
		x.hears("an accepted link", x.up(k), ring.LinkUp{Peer: 1, Incarnation: 1})
		if !p.dialing {
			t.Error("a link that was accepted ended a dial")
		}
		x.hears("a failed dial beside a link", x.failed(1, errors.New("no route")))
		if got := numbers(k.queue); !slices.Equal(got, []uint32{2}) || p.carry != k {
			t.Errorf("over the link went %v", got)
		}
	})
}

// TestNobodyIsDialledWhoIsNotInTheRoster: what waits for one who was dropped
// is thrown away.
func TestNobodyIsDialledWhoIsNotInTheRoster(t *testing.T) {
	inTable(t, func(t *testing.T, x *table) {
		for range 3 {
			x.send(9, wire.Here{})
			if got := len(x.pair(9).waiting); got != 0 || x.dialled() != 0 {
				t.Errorf("%d messages wait, after %d dials", got, len(x.dials))
			}
		}
	})
}

// TestDialsOfOneMemberPause: the next dial of a member waits a little, and two
// are never under way at once.
func TestDialsOfOneMemberPause(t *testing.T) {
	inTable(t, func(t *testing.T, x *table) {
		for range 20 {
			x.dial(1)
			x.dial(1)
			x.failed(1, errors.New("no route"))
		}
		if x.dialled(); len(x.dials) != 20 {
			t.Fatalf("%d dials, want 20", len(x.dials))
		}
		x.dials = nil
		x.dial(1)
		x.failed(1, errors.New("no route"))
		time.Sleep(dialPause)
		began := time.Now()
		x.dial(1)
		x.failed(1, errors.New("no route"))
		x.dial(1)
		if x.dialled(); len(x.dials) != 3 || x.dials[1] != began {
			t.Fatalf("dials at %v, the second should be at %v", x.dials, began)
		}
		if d := x.dials[2].Sub(x.dials[1]); d < dialPause/2 || d > dialPause {
			t.Errorf("%v between two dials, want %v to %v", d, dialPause/2, dialPause)
		}
	})
}

// TestLinksAreRenewed: who dialled a link replaces it first, the other side
// only later, neither twice at once nor without a pause.
func TestLinksAreRenewed(t *testing.T) {
	for _, c := range []struct {
		what    string
		dialler int
		age     time.Duration
		change  func(*pair)
		want    int
	}{
		{"a young one", 0, renewAfter - time.Second, nil, 0},
		{"an old one", 0, renewAfter + time.Second, nil, 1},
		{"an old one that the other side dialled", 1, renewLate - time.Second, nil, 0},
		{"a very old one that the other side dialled", 1, renewLate + time.Second, nil, 1},
		{"one whose successor is on its way", 0, time.Hour, func(p *pair) { p.dialing = true }, 0},
		{"one whose successor has just failed", 0, time.Hour, func(p *pair) { p.dialed = time.Now().Add(-renewPause + time.Second) }, 0},
		{"one whose successor has failed", 0, time.Hour, func(p *pair) { p.dialed = time.Now().Add(-renewPause) }, 1},
		{"none", 0, time.Hour, func(p *pair) { p.carry = nil }, 0},
	} {
		inTable(t, func(t *testing.T, x *table) {
			x.up(x.link(c.dialler, [2]uint64{1, 1})[0])
			time.Sleep(c.age)
			if c.change != nil {
				c.change(x.pair(1))
			}
			x.renew()
			if got := x.dialled(); got != c.want {
				t.Errorf("%s: %d dials, want %d", c.what, got, c.want)
			}
		})
	}
}

// TestHangUp: a link that the ring wants no more says what is queued, and is
// read until the other side has ended it too.
func TestHangUp(t *testing.T) {
	inTable(t, func(t *testing.T, x *table) {
		x.hears("hanging up nothing", x.hangup(1))
		k := x.link(0, [2]uint64{1, 1})[0]
		x.up(k)
		queue := k.queue
		x.send(1, wire.Here{Req: 1})
		x.hears("hanging up", x.hangup(1), ring.LinkDown{Peer: 1})
		if msg, ok := <-queue; !ok || msg.(wire.Here).Req != 1 {
			t.Errorf("what was queued is %v", msg)
		}
		if _, ok := <-queue; ok {
			t.Error("the link goes on")
		}
		if all := x.finishAll(); len(all) != 1 || all[0] != k {
			t.Errorf("%d links are known, want the one that ends", len(all))
		}
		next := x.link(0, [2]uint64{1, 1})[0]
		x.hears("a link while another ends", x.up(next), ring.LinkUp{Peer: 1, Incarnation: 1})
		x.hears("the end of the one before", x.down(k, false))
		if p := x.pair(1); p.carry != next || len(p.others) != 0 {
			t.Errorf("the new one carries: %v; %d others", p.carry == next, len(p.others))
		}
		if all := x.finishAll(); len(all) != 1 || all[0] != next || next.queue != nil {
			t.Errorf("%d links were ended, want the one that carries", len(all))
		}
	})
}

// TestLinkThatEndsDoesNotTakeOver: of those that are left when the carrying
// link falls, one that sends its end already is no link.
func TestLinkThatEndsDoesNotTakeOver(t *testing.T) {
	inTable(t, func(t *testing.T, x *table) {
		ended, carries, read := x.link(0, [2]uint64{1, 1})[0], x.link(0, [2]uint64{1, 1})[0], x.link(1, [2]uint64{1, 1})[0]
		x.up(ended)
		x.up(carries) // ends the first
		if p := x.pair(1); p.carry != carries || ended.queue != nil || !slices.Equal(p.others, []*link{ended}) {
			t.Fatalf("after two: %d others", len(p.others))
		}
		x.pair(1).others = append(x.pair(1).others, read)
		x.hears("the end of the one that carries", x.down(carries, false), ring.LinkDown{Peer: 1}, ring.LinkUp{Peer: 1, Incarnation: 1})
		if p := x.pair(1); p.carry != read || !slices.Equal(p.others, []*link{ended}) {
			t.Errorf("the link that is ending carries: %v", p.carry == ended)
		}
		x.hears("the end of that", x.down(read, false), ring.LinkDown{Peer: 1})
		if p := x.pair(1); p.carry != nil || read.queue != nil {
			t.Error("a link that has fallen still carries")
		}
	})
}

// TestBothSidesKeepOneOfTwo: two links that were dialled at once come up in any
// order, in incarnations that may have risen between: both sides carry the
// same one, and read the other to its end.
func TestBothSidesKeepOneOfTwo(t *testing.T) {
	for _, second := range [][2]uint64{{5, 5}, {6, 5}, {5, 6}} {
		for order := range 4 {
			inTable(t, func(t *testing.T, x *table) {
				sides := [2]*links{x.links, x.of(1)}
				a, b := x.link(0, [2]uint64{5, 5}), x.link(1, second)
				var carry [2]*link
				for i, side := range sides {
					two := [2]*link{a[i], b[i]}
					if order>>i&1 == 1 {
						two = [2]*link{b[i], a[i]}
					}
					two[0].at, two[1].at = time.Now(), time.Now().Add(time.Millisecond)
					side.up(two[0])
					side.up(two[1])
					p := side.pair(wire.ID(1 - i))
					carry[i] = p.carry
					if len(p.others) != 1 || p.others[0] == p.carry {
						t.Errorf("incarnations %v, order %d: %d others are read", second, order, len(p.others))
					}
				}
				want := b
				if second == [2]uint64{5, 5} {
					want = a // that which the lower id dialled
				}
				if carry != want {
					t.Errorf("incarnations %v, order %d: side 0 keeps the first %v, side 1 %v", second, order, carry[0] == a[0], carry[1] == a[1])
				}
				sides[1].node.cancel()
			})
		}
	}
}

// TestLaterProcessReplacesTheLink: a member that has lost its disk comes back
// in a lower incarnation; the link with the process of before carries nothing
// any more.
func TestLaterProcessReplacesTheLink(t *testing.T) {
	inTable(t, func(t *testing.T, x *table) {
		old := x.link(0, [2]uint64{5, 70})[0]
		x.up(old)
		time.Sleep(2 * glareTime)
		k := x.link(1, [2]uint64{5, 1})[0]
		x.hears("the new process", x.up(k), ring.LinkDown{Peer: 1}, ring.LinkUp{Peer: 1, Incarnation: 1})
		if p := x.pair(1); p.carry != k || old.queue != nil {
			t.Errorf("the new link carries: %v; the old one is ended: %v", p.carry == k, old.queue == nil)
		}
	})
}

// TestRenewedLinkLosesNothing: a member whose incarnation has risen while it ran
// ends the link of before when the new one carries: nothing that waits for it is
// lost. Only a link that breaks was with another process. (Before: the first renewal
// of each link, 120 s after it was dialled, ended the copies that a put waited for.)
func TestRenewedLinkLosesNothing(t *testing.T) {
	for _, ended := range []bool{true, false} {
		inTable(t, func(t *testing.T, x *table) {
			old := x.link(0, [2]uint64{5, 1})[0]
			x.up(old)
			time.Sleep(renewAfter)
			x.hears("the new link", x.up(x.link(0, [2]uint64{5, 2})[0]), ring.LinkUp{Peer: 1, Incarnation: 2})
			var lost []ring.Event
			if !ended {
				lost = []ring.Event{ring.LinkDown{Peer: 1}, ring.LinkUp{Peer: 1, Incarnation: 2}}
			}
			x.hears("the end of the one before", x.down(old, ended), lost...)
		})
	}
}
