package node

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"securepeer/crypto"
	"securepeer/keys"
	"securepeer/ring"
	"securepeer/wire"
)

// TestDroppedMemberIsCutOff: a member that the roster drops, or gives another
// key, has no link and no ping session a moment later; the others keep theirs.
func TestDroppedMemberIsCutOff(t *testing.T) {
	other, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func([]keys.Member) []keys.Member{
		"dropped": func(ms []keys.Member) []keys.Member {
			return slices.DeleteFunc(ms, func(m keys.Member) bool { return m.ID == 1 })
		},
		"under another key": func(ms []keys.Member) []keys.Member {
			ms[1].Key = other.Public()
			return ms
		},
	} {
		inBubble(t, 3, 3, "copies=2", func(b *bubble) {
			n := b.nodes[0]
			linked := func(i int) bool {
				n.members.mu.Lock()
				defer n.members.mu.Unlock()
				for c := range n.members.links {
					if c.Peer() == b.secrets[i].Public() {
						return true
					}
				}
				return false
			}
			pinged := func(i int) bool {
				_, err := n.pings.Seal(nil, b.secrets[i].Public().Noise, new([crypto.PingBodySize]byte), time.Now())
				return err == nil
			}
			_, c := b.insider(1)
			defer c.Close()
			for i := 1; i <= 2; i++ {
				if !linked(i) || !pinged(i) {
					t.Fatalf("before: member %d is linked %v, pinged %v", i, linked(i), pinged(i))
				}
			}
			next := *b.roster
			next.Members = change(slices.Clone(next.Members))
			if err := n.Reload(&next); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // of the bubble
			if linked(1) || pinged(1) {
				t.Errorf("%s: still linked %v, pinged %v", what, linked(1), pinged(1))
			}
			if _, _, err := c.ReadRecord(); err == nil {
				t.Errorf("%s: its transfer link goes on", what)
			}
			if !linked(2) || !pinged(2) {
				t.Errorf("%s: another is linked %v, pinged %v", what, linked(2), pinged(2))
			}
		})
	}
}

// linkOf returns node 0's end of a ring link that member 1 has dialled in some
// incarnation.
func (w *world) linkOf(incarnation uint64) *link {
	w.t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	config := func(i int, incarnation uint64) *crypto.Config {
		return &crypto.Config{
			Secret: w.secrets[i], Ring: "test", Pings: crypto.NewPingTable(),
			Info: func() crypto.Info { return crypto.Info{Incarnation: incarnation} },
			Lookup: func(noise [32]byte) (keys.Public, bool) {
				m, ok := w.roster.ByKey(noise)
				return m.Key, ok
			},
			Publish: func(*crypto.Conn) error { return nil },
		}
	}
	l := crypto.Listen(tcp, config(0, 1))
	w.t.Cleanup(func() { l.Close() })
	raw, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	theirs, err := crypto.Dial(w.t.Context(), raw, config(1, incarnation), w.secrets[0].Public(), crypto.Ring)
	if err != nil {
		w.t.Fatal(err)
	}
	mine, err := l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { theirs.Close(); mine.Close() })
	return &link{conn: mine, peer: w.roster.Members[1], queue: make(chan wire.Message, linkQueue), at: time.Now(), sent: make(chan struct{})}
}

// TestRingHearsOfEveryBreak: what was sent to an earlier process of a member,
// whose link breaks, or over a link that fell, may be lost, and the ring asks
// again; of a link that only takes over it hears nothing.
func TestRingHearsOfEveryBreak(t *testing.T) {
	w := newWorld(t, 2, "")
	b, err := newBook(w.roster, w.secrets[0].Public())
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{self: 0, members: newMembers(b, nil)}
	n.addresses = newAddresses(t.Context(), &n.work, systemResolve)
	up := func(i wire.Incarnation) ring.Event { return ring.LinkUp{Peer: 1, Incarnation: i} }
	down := ring.Event(ring.LinkDown{Peer: 1})
	for _, c := range []struct {
		name                   string
		first, second          uint64
		both, oneFell, allFell []ring.Event
	}{
		{"the same process", 5, 5, []ring.Event{}, []ring.Event{}, []ring.Event{down}},
		{"a later process", 5, 6, []ring.Event{up(6)}, []ring.Event{down, up(6)}, []ring.Event{down}},
	} {
		l := &links{node: n, pairs: make(map[wire.ID]*pair)}
		first, second := w.linkOf(c.first), w.linkOf(c.second)
		second.at = first.at.Add(2 * glareTime)
		if got := l.up(first); !reflect.DeepEqual(got, []ring.Event{up(wire.Incarnation(c.first))}) {
			t.Errorf("%s: the first link: %+v", c.name, got)
		}
		check := func(when string, got, want []ring.Event) {
			if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: the ring hears %+v, want %+v", c.name, when, got, want)
			}
		}
		events := l.up(second)
		if c.first == c.second { // that the other one carries now is nothing it has to know
			events = slices.DeleteFunc(events, func(e ring.Event) bool { return e == up(wire.Incarnation(c.second)) })
		}
		check("the second link", events, c.both)
		carries, rest := l.pair(1).carry, first
		if carries == first {
			rest = second
		}
		check("the one that does not carry falls", l.down(rest, false), c.oneFell)
		check("the other falls", l.down(carries, false), c.allFell)
	}
	// One that is left takes over, after the break.
	l := &links{node: n, pairs: make(map[wire.ID]*pair)}
	k, left := w.linkOf(5), w.linkOf(5)
	l.up(k)
	p := l.pair(1)
	p.others = append(p.others, left)
	if got := l.down(k, false); !reflect.DeepEqual(got, []ring.Event{down, up(5)}) || p.carry != left || len(p.others) != 0 {
		t.Errorf("with a link left the ring hears %+v, and %d others stay", got, len(p.others))
	}
}

// TestIdleLinkThatFellIsNotUsed: a link whose watcher has found anything but
// the end of its watch is of no more use.
func TestIdleLinkThatFellIsNotUsed(t *testing.T) {
	w := newWorld(t, 2, "")
	conn := w.linkOf(5).conn
	for _, c := range []struct {
		found error
		fit   bool
	}{
		{fmt.Errorf("reading: %w", os.ErrDeadlineExceeded), true},
		{io.EOF, false}, {io.ErrUnexpectedEOF, false}, {errors.New("record on an idle link"), false},
	} {
		idle := &transfer{Conn: conn, peer: 1, rest: make(chan error, 1)}
		idle.rest <- c.found
		if got := idle.awake(); got != c.fit {
			t.Errorf("the watcher found %v: fit for use %v, want %v", c.found, got, c.fit)
		}
	}
}
