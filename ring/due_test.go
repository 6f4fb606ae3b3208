package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// TestNothingIsDueBeforeNext: the driver sleeps until Next, so whatever a peer
// does by time alone it does then and not before; and it is not due for ever.
// The view is saved at any tick, and who asks holders looks at any whether
// there are others now.
func TestNothingIsDueBeforeNext(t *testing.T) {
	early := 0
	for seed := range uint64(60) {
		g := newChaos(seed)
		c := config(10, five...)
		c.Roster.Walk, c.Roster.Grace = g.IntN(2) == 0, time.Duration(g.IntN(2))*8*time.Second
		r := New(c)
		now := Time(1)
		step := func(e Event) (over bool) {
			for _, a := range r.Step(now, e, nil) {
				g.saw(a)
				if p, ok := a.(Persist); ok && g.IntN(4) > 0 {
					g.persists = []wire.Incarnation{p.Incarnation}
				}
				if _, ok := a.(Exit); ok {
					over = true
				}
			}
			return over
		}
		for over := false; !over && now < Time(5*time.Minute); {
			for due := 0; r.Next() <= now && !over; due++ {
				if due == 20 {
					t.Fatalf("seed %d: still due after 20 ticks at %v", seed, now)
				}
				over = step(Tick{})
			}
			if over = over || step(Tick{}); over {
				break
			}
			next := r.Next()
			until := now + Time(1+g.Int64N(int64(400*ms)))
			if next > now+1 {
				now += Time(g.Int64N(int64(min(next, until) - now)))
				early++
				acts := slices.DeleteFunc(r.Step(now, Tick{}, nil), func(a Action) bool { _, ok := a.(SaveView); return ok })
				if len(acts) > 0 {
					t.Fatalf("seed %d: %+v at %v, and the next tick is due at %v", seed, acts, now, next)
				}
				if got := r.Next(); got < min(next, now+1) || got-next > Time(c.Roster.Interval/4) {
					t.Fatalf("seed %d: an early tick at %v moves the next from %v to %v", seed, now, next, got)
				}
			}
			if now = max(now, min(next, until)); !over {
				if e := g.event(); g.IntN(8) > 0 {
					over = step(e)
				} else {
					over = step(Received{g.id(), wire.PingReq{Req: 1, Member: g.id()}})
				}
			}
		}
	}
	if early < 10000 {
		t.Errorf("only %d ticks were early", early)
	}
}
