package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// How a put makes up for the holders that it lost, and what a belief costs.

// sealedPut is one of key 15 at peer 10 of so many, whose uploads have ended.
func sealedPut(members int, ok, kept, cannot []wire.ID) (*put, scene) {
	v := ringOf(members)
	p := &put{query: query{op: 1, name: "0015", asked: true}, key: 15, sealed: true, ok: ok, kept: kept, cannot: cannot,
		manifest: wire.Manifest{Name: "0015", Version: 1, Writer: 10}}
	n := numbers{names: map[wire.Pos]*numbered{}}
	p.numbered = n.begin(p.name)
	return p, scene{view: v, out: &outbox{}, numbers: &n, ops: &operations{}}
}

// TestWhoIsMadeToSource: one that has confirmed it before one that has only
// kept it; one that has kept it before nobody; and nobody is sent for bytes
// that nobody has.
func TestWhoIsMadeToSource(t *testing.T) {
	for _, c := range []struct {
		ok, kept, cannot []wire.ID
		to               []wire.ID
		source           wire.ID
	}{
		{[]wire.ID{15}, []wire.ID{19}, []wire.ID{16}, []wire.ID{17, 18}, 15},
		{nil, []wire.ID{19}, []wire.ID{16}, []wire.ID{15, 17, 18}, 19},
		{nil, nil, []wire.ID{16}, nil, 0},
		{[]wire.ID{15, 16, 17}, nil, nil, nil, 0},
	} {
		p, s := sealedPut(10, c.ok, c.kept, c.cannot)
		p.complete(1, s)
		to, offers := sends[wire.Offer](s.out.acts)
		if slices.Sort(to); !slices.Equal(to, c.to) || has[Done](s.out.acts) != (len(to) == 0) {
			t.Errorf("%v have it, %v kept it, %v can't: offered to %v, want %v", c.ok, c.kept, c.cannot, to, c.to)
		}
		for _, o := range offers {
			if o.Source != c.source {
				t.Errorf("%v have it, %v kept it: sent to %d for it, want %d", c.ok, c.kept, o.Source, c.source)
			}
		}
	}
}

// TestMakingUpHasAnEnd: when everybody is full, so many are tried, each once.
func TestMakingUpHasAnEnd(t *testing.T) {
	p, s := sealedPut(40, []wire.ID{15}, nil, nil)
	var tried []wire.ID
	for range 40 {
		s.out.acts = nil
		if p.complete(1, s); has[Done](s.out.acts) {
			break
		}
		to, offers := sends[wire.Offer](s.out.acts)
		for i, id := range to {
			tried = append(tried, id)
			p.confirmed(0, id, wire.Confirmed{Req: offers[i].Req, Code: wire.CodeFull})
		}
	}
	once := slices.Clone(tried)
	slices.Sort(once)
	if len(tried) != tries || len(slices.Compact(once)) != tries {
		t.Errorf("tried %v, want %d", tried, tries)
	}
	if r := first[Done](t, s.out.acts).Result; r.Outcome != Degraded || !slices.Equal(r.Copies, []wire.ID{15}) {
		t.Errorf("%+v", r)
	}
}

// TestWhoRemovesKeepsTheTombstone: though it is no holder, as it sees to those
// that can't be reached now; who puts does not.
func TestWhoRemovesKeepsTheTombstone(t *testing.T) {
	for _, remove := range []bool{true, false} {
		p, s := sealedPut(10, nil, []wire.ID{19}, nil)
		p.remove = remove
		if p.complete(1, s); has[Pull](s.out.acts) != remove {
			t.Errorf("removes %v: takes it %v", remove, !remove)
		}
	}
}

// TestPutEndsByItsOwn: another put's seal, or the end of another's upload,
// leaves it as it is; and it does not end while one of its offers is open.
func TestPutEndsByItsOwn(t *testing.T) {
	p, s := sealedPut(10, nil, nil, nil)
	p.sealed, p.uploading, p.waiting = false, true, []wire.ID{15}
	p.uploaded(Uploaded{Op: 2, Peer: 15})
	if p.seal(Sealed{Op: 2}); p.sealed || len(p.waiting) != 1 {
		t.Errorf("ends by another's: sealed %v, waits for %v", p.sealed, p.waiting)
	}
	p.seal(Sealed{Op: 1, Manifest: p.manifest})
	if p.uploaded(Uploaded{Op: 1, Peer: 15}); !p.sealed || len(p.waiting) != 0 {
		t.Errorf("does not end by its own: sealed %v, waits for %v", p.sealed, p.waiting)
	}
	p.step(1, s)
	if n := len(p.offers); n != 2 {
		t.Fatalf("%d offers, want to 16 and 17", n)
	}
	p.confirmed(0, p.offers[0].peer, wire.Confirmed{Req: p.offers[0].req})
	acts := len(s.out.acts)
	if p.step(2, s); len(s.out.acts) != acts || len(p.offers) != 1 {
		t.Errorf("with one offer open: %v", s.out.acts[acts:])
	}
	p.confirmed(0, p.offers[0].peer, wire.Confirmed{Req: p.offers[0].req})
	p.step(3, s)
	if r := first[Done](t, s.out.acts).Result; r.Outcome != Succeeded || len(r.Copies) != 3 {
		t.Errorf("%+v", r)
	}
}

// TestBeliefIsNewsOfWhoIsOut: what this peer believes of a member that a verdict
// keeps out of the ring anyway changes no ring; what was found out under the
// belief of before must be found out again all the same.
func TestBeliefIsNewsOfWhoIsOut(t *testing.T) {
	w := within(t, 20, 30, 40, 50)
	w.judge(wire.Unreachable, 1, 20)
	v := w.view
	for _, c := range []struct {
		name string
		does func()
		news bool
	}{
		{"is deaf", func() { v.silence(20, true) }, true},
		{"is still deaf", func() { v.silence(20, true) }, false},
		{"hears", func() { v.heeded(20) }, true},
		{"hears still", func() { v.heeded(20) }, false},
		{"is silent", func() { v.silence(20, false) }, true},
		{"is not deaf", func() { v.heeded(20) }, false},
	} {
		epoch := v.epoch
		if c.does(); v.epoch > epoch != c.news {
			t.Errorf("20 %s: news %v, want %v", c.name, v.epoch > epoch, c.news)
		}
		if v.member(20).inRing {
			t.Fatalf("20 %s: it is in the ring", c.name)
		}
	}
}

// TestRefusedLeaverIsTriedSoon: who does not take what a peer holds that only
// waits to leave is left alone no longer each time; else it is, up to an end,
// and once for all that it refuses meanwhile.
func TestRefusedLeaverIsTriedSoon(t *testing.T) {
	const T = Time(time.Second)
	for _, leaves := range []bool{false, true} {
		v, c := ringOf(4), newCopierOf(time.Second)
		if leaves {
			v.members[v.me].state = wire.Leaving
		}
		now := Time(0)
		for i := range 2 * backoffs {
			wait := T << min(i+1, backoffs)
			if leaves {
				wait = T
			}
			c.rest(now, 11, v)
			c.rest(now+1, 11, v)
			if r := c.resting[11].until; r != now+wait {
				t.Fatalf("leaves %v: rests for %v at the refusal %d, want %v", leaves, time.Duration(r-now), i, time.Duration(wait))
			}
			now += wait
		}
		if c.later(0, 11); c.resting[11].until != now {
			t.Errorf("leaves %v: a moment's rest ends a longer one", leaves)
		}
	}
}
