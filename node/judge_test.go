package node

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// within waits, in steps of a twentieth of a second of the bubble, until ok,
// and returns how long that took; more than most is an error.
func (b *bubble) within(most time.Duration, what string, ok func() bool) time.Duration {
	b.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > most {
			b.t.Errorf("not within %v: %s", most, what)
			for i := range b.nodes {
				s := status(b.t, b.nodes[i])
				b.t.Logf("n%d: %s ring %v cut %v view %s", i, s.State, s.Circle, s.Cut, s.View)
			}
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(began)
}

// sees reports whether each of these nodes has a ring of exactly them, and all
// have one view.
func (b *bubble) sees(nodes ...int) bool {
	view := ""
	for _, i := range nodes {
		s := status(b.t, b.nodes[i])
		if len(s.Circle) != len(nodes) || s.Behind || view != "" && s.View != view {
			return false
		}
		for _, j := range nodes {
			if !slices.Contains(s.Circle, fmt.Sprintf("n%d", j)) {
				return false
			}
		}
		view = s.View
	}
	return true
}

// blameless fails if an honest member was refused anything.
func (b *bubble) blameless() {
	b.t.Helper()
	for _, n := range b.nodes {
		for _, r := range status(b.t, n).Refused {
			if r.Peer != "" {
				b.t.Errorf("%s refused %d of %s: %s", status(b.t, n).Name, r.Count, r.Peer, r.Cause)
			}
		}
	}
}

// TestDeadPeerIsJudged: everybody has a dead peer out of its ring within 3
// intervals, says why, and takes it back when it is heard again.
func TestDeadPeerIsJudged(t *testing.T) {
	inBubble(t, 5, 5, "copies=2", func(b *bubble) {
		t := b.t
		b.net.off(b.addr(4))
		b.within(3*time.Second, "n4 is out of every ring", func() bool {
			for _, n := range b.nodes[:4] {
				if status(t, n).Peers[4].InRing {
					return false
				}
			}
			return true
		})
		time.Sleep(10 * time.Second)
		for _, n := range b.nodes[:4] {
			p := status(t, n).Peers[4]
			if p.Why != WhySilent || p.Gone || p.Out < 10*time.Second || p.Out > 13*time.Second {
				t.Errorf("at %s n4 is %+v; want silent for 10 to 13 s", status(t, n).Name, p)
			}
		}
		if p := status(t, b.nodes[4]); len(p.Circle) != 1 || !p.Cut {
			t.Errorf("n4 alone has ring %v, cut %v; want itself and a cut", p.Circle, p.Cut)
		}
		b.net.cut(nil)
		b.within(5*time.Second, "n4 is back everywhere", func() bool { return b.sees(0, 1, 2, 3, 4) })
		if p := status(t, b.nodes[0]).Peers[4]; p.Why != WhyNone || p.Out != 0 {
			t.Errorf("n4 is %+v; want it in the ring", p)
		}
		b.blameless()
	})
}

// TestForget: two peers' word makes a third gone, its copies are made anew,
// and it is let in again.
func TestForget(t *testing.T) {
	inBubble(t, 5, 4, "copies=2", func(b *bubble) {
		t := b.t
		const files = 20
		for i := range files {
			put(t, b.nodes[i%4], fmt.Sprint(i), []byte("x"))
		}
		forget := func(at int, who string) (ForgetResult, error) { return b.nodes[at].Forget(t.Context(), who) }
		for who, want := range map[string]error{"n3": ErrStillThere, "n0": ErrStillThere, "n4": ErrNeverSeen, "n9": ErrNoSuchMember} {
			var at *PeerError
			if _, err := forget(0, who); !errors.Is(err, want) || !errors.As(err, &at) || at.Peer != who {
				t.Errorf("Forget(%s): %v, want %v", who, err, want)
			}
		}
		b.net.off(b.addr(3))
		b.within(3*time.Second, "a ring of three", func() bool {
			return len(status(t, b.nodes[0]).Circle) == 3 && len(status(t, b.nodes[1]).Circle) == 3
		})
		for range 2 { // a second time changes nothing
			if f, err := forget(0, "n3"); err != nil || f.Gone || !slices.Equal(f.Said, []string{"n0"}) || f.Needed != 2 {
				t.Errorf("the first Forget: %+v, %v; want 1 of 2, by n0", f, err)
			}
		}
		time.Sleep(time.Second)
		if f, err := forget(1, "n3"); err != nil || !f.Gone || len(f.Said) != 2 {
			t.Errorf("the second Forget: %+v, %v; want gone", f, err)
		}
		b.within(30*time.Second, "two copies of each file without n3", func() bool {
			for i := range files {
				copies := 0
				for _, n := range b.nodes[:3] {
					ms, _, err := n.disk.look(b.roster.Space, fmt.Sprint(i))
					if err != nil {
						t.Fatal(err)
					}
					copies += len(ms)
				}
				if copies < 2 {
					return false
				}
			}
			return true
		})
		b.within(time.Second, "n3 is gone at n2, too", func() bool {
			p := status(t, b.nodes[2]).Peers[3]
			return p.Why == WhyGone && p.Gone
		})
		b.net.cut(nil)
		b.within(20*time.Second, "n3 is back", func() bool { return b.sees(0, 1, 2, 3) })
		b.blameless()
	})
}

// TestTwoHalvesOfNodesMerge: each side of a cut goes on and calls nobody gone,
// and both are one ring again soon after it ends, with the files of both.
func TestTwoHalvesOfNodesMerge(t *testing.T) {
	inBubble(t, 6, 6, "copies=2 grace=30s", func(b *bubble) {
		t := b.t
		left := func(a netip.AddrPort) bool { return a.Addr().Less(netip.MustParseAddr("10.0.0.4")) }
		b.net.cut(func(from, to netip.AddrPort) bool { return left(from) != left(to) })
		b.within(5*time.Second, "two rings of three", func() bool {
			return b.sees(0, 1, 2) && b.sees(3, 4, 5)
		})
		put(t, b.nodes[0], "left", []byte("of the left"))
		put(t, b.nodes[5], "right", []byte("of the right"))
		time.Sleep(time.Minute)
		for _, n := range b.nodes {
			s := status(t, n)
			if !s.Cut || slices.ContainsFunc(s.Peers, func(p PeerStatus) bool { return p.Gone }) {
				t.Errorf("%s: cut %v, %+v; want a cut, and nobody gone", s.Name, s.Cut, s.Peers)
			}
		}
		b.net.cut(nil)
		b.within(15*time.Second, "one ring of six", func() bool { return b.sees(0, 1, 2, 3, 4, 5) })
		for _, n := range b.nodes {
			for name, want := range map[string]string{"left": "of the left", "right": "of the right"} {
				if got, _ := get(t, n, name); string(got) != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		}
		b.blameless()
	})
}
