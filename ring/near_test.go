package ring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// strewn returns the view of peer 10 of some members in any state, some of
// which are believed silent.
func strewn(g *rand.Rand) *view {
	ids := []wire.ID{10}
	for i := range 4 + g.IntN(12) {
		ids = append(ids, wire.ID(20+10*i))
	}
	c := config(10, ids...)
	c.Roster.Copies, c.Roster.Observers = 1+g.IntN(3), 1+g.IntN(3)
	v := newView(c)
	states := []wire.State{wire.Joining, wire.Active, wire.Active, wire.Active, wire.Full, wire.Stuck, wire.Stopped, wire.Leaving, wire.Left}
	if g.IntN(4) == 0 { // many join at once
		states = append(states, slices.Repeat([]wire.State{wire.Joining}, 20)...)
	}
	for _, id := range ids {
		if g.IntN(8) > 0 {
			v.mergeRow(row(id, 1, states[g.IntN(len(states))]))
		}
	}
	v.settle()
	for _, id := range ids[1:] {
		if g.IntN(5) == 0 {
			v.silence(id, g.IntN(2) == 0)
		}
	}
	return v
}

// walkAround returns the other members as they come from this peer on, up or down.
func (v *view) walkAround(step int) (ms []*member) {
	for n, i := 1, v.me; n < len(v.members); n++ {
		i = (i + step + len(v.members)) % len(v.members)
		ms = append(ms, &v.members[i])
	}
	return ms
}

// TestGiversAndTakers: on either side of this peer, the members that can be
// home holders, to the copies-th; members that are joining are no givers of
// one that joins, nor does it count who takes, so the walk goes on past them, to
// the crowd times copies-th.
func TestGiversAndTakers(t *testing.T) {
	crowded := 0
	for seed := range uint64(1000) {
		v := strewn(rand.New(rand.NewPCG(seed, 3)))
		naive := func(joiningCount bool) (ids []wire.ID) {
			for _, step := range []int{1, -1} {
				passed, counted := 0, 0
				for _, m := range v.walkAround(step) {
					if !m.seen() || m.state >= wire.Leaving || m.gone() || counted == v.copies || passed == crowd*v.copies {
						continue
					}
					passed++
					if joiningCount || m.state != wire.Joining {
						counted++
					}
					if passed == crowd*v.copies && counted < v.copies {
						crowded++
					}
					if !slices.Contains(ids, m.id) {
						ids = append(ids, m.id)
					}
				}
			}
			return ids
		}
		givers, takers := naive(v.members[v.me].state != wire.Joining), naive(false)
		if got := v.givers(); !slices.Equal(got, givers) {
			t.Fatalf("seed %d: givers %v, want %v", seed, got, givers)
		}
		if got := v.takers(); !slices.Equal(got, takers) {
			t.Fatalf("seed %d: takers %v, want %v", seed, got, takers)
		}
	}
	if crowded == 0 {
		t.Error("no walk was ended by a crowd of joiners")
	}
}

// TestWhoIsAwayWatchedAndTested: away are home holders that take no writes;
// watched those out of the ring that lie before this peer's K-th successor;
// tested those, and whom its own belief keeps out, unless they have left.
func TestWhoIsAwayWatchedAndTested(t *testing.T) {
	watched := 0
	for seed := range uint64(1000) {
		v := strewn(rand.New(rand.NewPCG(seed, 4)))
		var away, out, missing []wire.ID
		for _, m := range v.members {
			writes := m.inRing && m.state != wire.Full && m.state != wire.Stuck
			if m.seen() && m.state < wire.Leaving && !m.gone() && !writes {
				away = append(away, m.id)
			}
		}
		passed := 0
		for _, m := range v.walkAround(1) {
			if m.inRing {
				passed++
			} else if passed < v.k && v.inRing() {
				out = append(out, m.id)
			}
		}
		for _, m := range v.members {
			left := m.seen() && m.state >= wire.Leaving
			if m.id != 10 && !m.inRing && !left && (m.absent || m.silent || m.deaf || slices.Contains(out, m.id)) {
				missing = append(missing, m.id)
			}
		}
		watched += len(out)
		ids := func(indices []int) (ids []wire.ID) {
			for _, i := range indices {
				ids = append(ids, v.members[i].id)
			}
			return ids
		}
		if got := v.away(); !slices.Equal(got, away) {
			t.Fatalf("seed %d: away %v, want %v", seed, got, away)
		}
		if got := ids(v.outcasts()); !slices.Equal(got, out) {
			t.Fatalf("seed %d: watches %v, want %v", seed, got, out)
		}
		if got := ids(v.missing()); !slices.Equal(got, missing) {
			t.Fatalf("seed %d: tests %v, want %v", seed, got, missing)
		}
	}
	if watched < 500 {
		t.Errorf("only %d were watched", watched)
	}
}

// TestPlacesOfRandomStamps compares with the rule in other words, over random stamps: a
// version goes to its home holders that take writes; if none of the others is
// there, its copy here is the last, and as many of the next members get one as
// there are home holders that take none.
func TestPlacesOfRandomStamps(t *testing.T) {
	last := 0
	for seed := range uint64(1000) {
		g := rand.New(rand.NewPCG(seed, 5))
		v := strewn(g)
		of := make([]stamp, len(v.members))
		for i := range of {
			of[i] = stamp{home: g.IntN(4) > 0, up: g.IntN(3) > 0, awaited: g.IntN(5) == 0,
				state: []wire.State{wire.Active, wire.Active, wire.Full, wire.Stuck}[g.IntN(4)]}
		}
		takes := func(i int) bool { return of[i].up && of[i].state == wire.Active }
		leaves := v.members[v.me].state == wire.Leaving
		for k := wire.Pos(0); k < 256; k += 5 {
			var homes, rest, want []int
			for n := range of {
				switch i := (v.at(k) + n) % len(of); {
				case len(homes) == v.copies:
					rest = append(rest, i)
				case of[i].home:
					homes = append(homes, i)
				}
			}
			alone, lacking := true, 0
			for _, i := range homes {
				if !takes(i) {
					lacking++
				}
				if i == v.me {
					continue
				}
				if takes(i) {
					want = append(want, i)
				}
				there := takes(i)
				if !leaves { // a copy on a disk that takes no more is one
					there = there || of[i].up || of[i].awaited
				}
				alone = alone && !there
			}
			if alone && (v.copies > 1 || leaves) {
				for _, i := range rest {
					if takes(i) && lacking > 0 {
						lacking--
						if i != v.me {
							last++
							want = append(want, i)
						}
					}
				}
			}
			if got := places(v, of, k); !slices.Equal(got, want) {
				t.Fatalf("seed %d, key %d, %d copies: %v, want %v, of %+v", seed, k, v.copies, got, want, of)
			}
		}
	}
	if last < 500 {
		t.Errorf("only %d versions had a last copy", last)
	}
}

// TestWhoNeedsNothingAnew is goesOn over all pairs of states: only who has
// caught up, or whose disk takes no more, has missed nothing by it.
func TestWhoNeedsNothingAnew(t *testing.T) {
	const states = wire.Left
	for was := wire.Joining; was <= states; was++ {
		for is := wire.Joining; is <= states; is++ {
			var want bool
			switch fmt.Sprint(was, ">", is) {
			case fmt.Sprint(wire.Joining, ">", wire.Active), fmt.Sprint(wire.Joining, ">", wire.Full), fmt.Sprint(wire.Joining, ">", wire.Stuck),
				fmt.Sprint(wire.Active, ">", wire.Full), fmt.Sprint(wire.Active, ">", wire.Stuck):
				want = true
			}
			if got := goesOn(7, was, 8, is); got != want {
				t.Errorf("from %v to %v: %v, want %v", was, is, got, want)
			}
			if goesOn(7, was, 9, is) || goesOn(7, was, 7, is) {
				t.Errorf("from %v to %v: not the next incarnation, and goes on", was, is)
			}
		}
	}
	whole := stamp{home: true, up: true, state: wire.Active, incarnation: 7, store: 1}
	for name, change := range map[string]func(was, is *stamp){
		"was out":               func(was, _ *stamp) { was.up = false },
		"was no home holder":    func(was, _ *stamp) { was.home = false },
		"is out":                func(_, is *stamp) { is.up = false },
		"has another store":     func(_, is *stamp) { is.store = 2 },
		"has been away":         func(_, is *stamp) { is.incarnation = 8 },
		"is two ahead":          func(_, is *stamp) { is.incarnation, is.state = 9, wire.Full },
		"":                      func(_, _ *stamp) {},
		" is no home holder":    func(_, is *stamp) { is.home = false },
		" has a full disk":      func(_, is *stamp) { is.incarnation, is.state = 8, wire.Full },
		" is awaited, as it is": func(_, is *stamp) { is.awaited = true },
	} {
		was, is := whole, whole
		change(&was, &is)
		want := name == "" || name[0] == ' '
		if got := is.continues(was); got != want {
			t.Errorf("who%s needs nothing anew: %v, want %v", name, got, want)
		}
	}
}

// TestMayTake is who takes an offer: a member of the ring near the key whose
// disk takes writes.
func TestMayTake(t *testing.T) {
	ids := []wire.ID{10, 20, 30, 40, 50, 60, 70, 80, 90, 100}
	c := config(10, ids...)
	c.Roster.Copies = 1 // so that four are near a key
	for _, x := range []struct {
		state wire.State
		key   wire.Pos
		want  wire.Code
	}{
		{wire.Active, 5, wire.CodeOK}, {wire.Active, 10, wire.CodeOK}, {wire.Active, 11, wire.CodeNotOwner},
		{wire.Active, 71, wire.CodeOK}, {wire.Active, 70, wire.CodeNotOwner},
		{wire.Joining, 5, wire.CodeOK}, {wire.Joining, 70, wire.CodeNotOwner},
		{wire.Full, 5, wire.CodeFull}, {wire.Stuck, 5, wire.CodeStuck}, {wire.Full, 70, wire.CodeNotOwner},
		{wire.Stopped, 5, wire.CodeNotInRing}, {wire.Leaving, 5, wire.CodeNotInRing},
	} {
		v := newView(c)
		for _, id := range ids {
			v.mergeRow(row(id, 1, map[bool]wire.State{true: x.state, false: wire.Active}[id == 10]))
		}
		v.settle()
		if got := mayTake(x.key, v); got != x.want {
			t.Errorf("%v, key %d: %v, want %v", x.state, x.key, got, x.want)
		}
	}
}

// TestFreshVersionIsOffered: to whoever has not confirmed it, after waits that
// double, and no more when all have.
func TestFreshVersionIsOffered(t *testing.T) {
	w := within(t, 20, 30, 40)
	f := &fresh{interval: time.Second, open: map[wire.ID]int{}, owed: map[wire.ID]int{}}
	x := Version{Key: 15, Sum: wire.Sum{1}}
	var o outbox
	step := func(now Time) (offers []SendOffer) {
		o.acts = nil
		f.step(now, w.view, &o)
		for _, a := range o.acts {
			offers = append(offers, a.(SendOffer))
		}
		return offers
	}
	for range 2 {
		if !f.add(0, x) {
			t.Fatal("no room for one")
		}
	}
	if f.load() != 1 {
		t.Fatalf("remembers %d, want one", f.load())
	}
	const wait = freshWait * Time(time.Second)
	if f.next() != wait || len(step(wait-1)) > 0 {
		t.Errorf("due at %v, want %v and not before", f.next(), wait)
	}
	now, to := wait, []int{3, 3, 2, 1}
	for i, n := range to {
		offers := step(now)
		if len(offers) != n || f.pending() != n {
			t.Fatalf("round %d: %d offers, %d pending, want %d", i, len(offers), f.pending(), n)
		}
		for _, s := range offers {
			if s.Version != x || s.To == 10 {
				t.Errorf("round %d: %+v", i, s)
			}
		}
		f.answered(99, offers[0].Req, true) // not who was asked
		f.answered(offers[0].To, 9999, true)
		f.answered(offers[0].To, offers[0].Req, i > 0)
		if f.pending() != n-1 {
			t.Errorf("round %d: %d pending after an answer, want %d", i, f.pending(), n-1)
		}
		if want := now + wait<<i; f.next() != want {
			t.Errorf("round %d: next at %v, want %v", i, f.next(), want)
		}
		now = f.next()
	}
	if offers := step(now); len(offers) > 0 || f.load() != 0 || f.next() != never {
		t.Errorf("%d offers, %d remembered after all have it", len(offers), f.load())
	}
	for i := range maxFresh {
		f.add(now, Version{Key: 15, Sum: wire.Sum{2, byte(i), byte(i >> 8)}})
	}
	if f.add(now, Version{Key: 15, Sum: wire.Sum{3}}) || f.load() != maxFresh {
		t.Errorf("remembers %d beyond its bound", f.load())
	}
}
