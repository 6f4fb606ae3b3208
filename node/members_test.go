package node

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"securepeer/crypto"
	"securepeer/keys"
	"securepeer/ring"
	"securepeer/wire"
)

// accept makes a link of that kind that 1 has dialled, and returns 0's end.
func (x *table) accept(kind crypto.Kind) *crypto.Conn {
	return x.connect(1, kind, [2]uint64{1, 1})[0]
}

// closed reports whether this side of a link is.
func closed(c *crypto.Conn) bool { return c.WriteRecord(crypto.FirstMessage, nil) != nil }

// TestLinksOfOneMemberAreCounted: so many of each kind may be open that it has
// dialled, and for one more the one used least recently goes; what this peer
// dials does not count, nor what has ended.
func TestLinksOfOneMemberAreCounted(t *testing.T) {
	inTable(t, func(t *testing.T, x *table) {
		m := x.node.members
		for kind, most := range map[crypto.Kind]int{crypto.Ring: maxAcceptedRing, crypto.Transfer: maxAcceptedTransfer} {
			var open []*crypto.Conn
			publish := func(gone *crypto.Conn) {
				t.Helper()
				c := x.accept(kind)
				if surplus, _, err := m.publish(c); surplus != gone || err != nil {
					t.Errorf("link %d of kind %d: %p and %v, want %p", len(open), kind, surplus, err, gone)
				}
				open = append(open, c)
			}
			for range most {
				publish(nil)
			}
			m.used(open[0])
			publish(open[1])
			m.used(open[1]) // which has gone
			publish(open[2])
			if surplus, _, err := m.publish(x.connect(0, kind, [2]uint64{1, 1})[0]); surplus != nil || err != nil {
				t.Errorf("one that this peer dialled: %p, %v", surplus, err)
			}
			refused := x.accept(kind)
			for range 2 { // the second time there is nothing to forget
				m.forget(open[0])
				m.forget(refused)
			}
			publish(nil)
			publish(open[3])
		}
		for c := range m.links {
			m.forget(c)
		}
		if len(m.links)+len(m.accepted) > 0 {
			t.Errorf("after all have ended %d links are known, %v counted", len(m.links), m.accepted)
		}
	})
}

// TestPublishAsksTheRosterOfNow: a link whose handshake began under another
// roster, or before this peer began to close, gets nowhere.
func TestPublishAsksTheRosterOfNow(t *testing.T) {
	for what, change := range map[string]func(*members, *keys.Roster){
		"dropped":                   func(m *members, r *keys.Roster) { r.Members = r.Members[:1] },
		"under another signing key": func(m *members, r *keys.Roster) { r.Members[1].Key.Sign[0]++ },
		"while this peer closes":    func(m *members, r *keys.Roster) { m.close() },
	} {
		inTable(t, func(t *testing.T, x *table) {
			m, c := x.node.members, x.accept(crypto.Ring)
			next := *x.roster
			next.Members = slices.Clone(next.Members)
			change(m, &next)
			b, err := newBook(&next, x.secrets[0].Public())
			if err != nil {
				t.Fatal(err)
			}
			m.replace(b)
			if _, _, err := m.publish(c); err == nil || len(m.links) > 0 {
				t.Errorf("%s: a link is published", what)
			}
		})
	}
}

// TestRosterEndsWhatItChanges: a new roster ends the links and the ping
// session of a member that it gives another key, id or position, and no
// others.
func TestRosterEndsWhatItChanges(t *testing.T) {
	for what, change := range map[string]func(*keys.Member){
		"":                          func(*keys.Member) {},
		"another address":           func(m *keys.Member) { m.Addr = "10.0.0.9:7460" },
		"another id":                func(m *keys.Member) { m.ID = 7 },
		"another position":          func(m *keys.Member) { m.Pos++ },
		"under another signing key": func(m *keys.Member) { m.Key.Sign[0]++ },
	} {
		ends := what != "" && what != "another address"
		inTable(t, func(t *testing.T, x *table) {
			m := x.node.members
			x.pings = m.pings
			c := x.accept(crypto.Ring)
			if _, _, err := m.publish(c); err != nil {
				t.Fatal(err)
			}
			next := *x.roster
			next.Members = slices.Clone(next.Members)
			change(&next.Members[1])
			b, err := newBook(&next, x.secrets[0].Public())
			if err != nil {
				t.Fatal(err)
			}
			pinged := func() bool {
				_, err := m.pings.Seal(nil, x.secrets[1].Public().Noise, new([crypto.PingBodySize]byte), time.Now())
				return err == nil
			}
			if closed(c) || !pinged() {
				t.Fatal("there was nothing to end")
			}
			m.replace(b)
			if closed(c) != ends || pinged() == ends {
				t.Errorf("%s: the link is closed %v, pings go %v", what, closed(c), pinged())
			}
			if m.book() != b {
				t.Error("it is not the law")
			}
		})
	}
}

// TestAnotherSigningKeyIsAnotherMember: nobody could verify a row that the ring
// still has, and passes on, when one half of its member's key has changed.
func TestAnotherSigningKeyIsAnotherMember(t *testing.T) {
	secret, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	key, other := secret.Public(), secret.Public()
	other.Sign[0]++
	var members [2]ring.Member
	for i, key := range []keys.Public{key, other} {
		b, err := newBook(&keys.Roster{Ring: "r", Members: []keys.Member{{ID: 7, Name: "a", Key: key, Pos: 7}}}, key)
		if err != nil {
			t.Fatal(err)
		}
		members[i] = b.ringRoster(&Config{}).Members[0]
	}
	if members[0] == members[1] {
		t.Errorf("with another signing key the ring is told of the same member, %+v", members[0])
	}
}

// TestRingIsToldTheRoster: all that the ring needs, as the roster has it, and
// an interval that overrides.
func TestRingIsToldTheRoster(t *testing.T) {
	secret, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	key := secret.Public()
	roster := &keys.Roster{
		Ring: "r", Space: wire.Space8, Copies: 2, Observers: 4, Interval: 3 * time.Second, Grace: 5 * time.Minute,
		Route: keys.Walk, Serial: 6, Members: []keys.Member{{ID: 7, Name: "a", Key: key, Pos: 7}},
	}
	b, err := newBook(roster, key)
	if err != nil {
		t.Fatal(err)
	}
	want := ring.Roster{
		Ring: "r", Space: wire.Space8, Copies: 2, Observers: 4, Interval: 3 * time.Second, Grace: 5 * time.Minute,
		Walk: true, Serial: 6, Digest: roster.Digest(),
		Members: []ring.Member{{ID: 7, Pos: 7, Key: key.Digest()}},
	}
	if got := b.ringRoster(&Config{}); !reflect.DeepEqual(got, want) {
		t.Errorf("the ring is told %+v, want %+v", got, want)
	}
	want.Interval, want.Shortcuts, want.Walk = time.Second, true, false
	roster.Route = keys.Hop
	want.Digest = roster.Digest()
	if b, err = newBook(roster, key); err != nil {
		t.Fatal(err)
	}
	if got := b.ringRoster(&Config{Interval: time.Second, Shortcuts: true}); !reflect.DeepEqual(got, want) {
		t.Errorf("with options the ring is told %+v, want %+v", got, want)
	}
	if got := b.interval(&Config{Interval: time.Minute}); got != time.Minute {
		t.Errorf("interval %v, want %v", got, time.Minute)
	}
	key.Sign[0]++
	if _, err := newBook(roster, key); err == nil {
		t.Error("a roster that has another signing key of this peer is taken")
	}
}
