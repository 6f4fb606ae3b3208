package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// Phases of a drawn plan.
const (
	safetyPhase = 120 * time.Second
	quietPhase  = 120 * time.Second
	calmTime    = 10 // intervals before anything is asked
)

// Draw makes the plan of a seed. It first draws which kinds of faults are on,
// so that plans differ in kind and not only in amount.
func Draw(seed uint64) Plan {
	d := drawer{rand.New(rand.NewPCG(seed, 0x706c616e))}
	p := Plan{Config: d.config(seed), Safety: safetyPhase, Quiet: quietPhase}
	ids := make([]wire.ID, len(p.Config.Members))
	for i, m := range p.Config.Members {
		ids[i] = m.ID
	}
	on := make(map[What]bool)
	for _, k := range faultKinds {
		if k != WhatUnread {
			on[k] = d.IntN(3) == 0
		}
	}
	late := 0
	if on[WhatJoin] {
		late = d.IntN(len(ids)/2 + 1)
	}
	p.First = ids[late:]
	for _, id := range ids[:late] {
		p.add(d, WhatJoin, id, p.First[d.IntN(len(p.First))])
	}
	d.load(&p, ids)
	for _, k := range faultKinds {
		if on[k] && k != WhatJoin {
			d.faults(&p, k, ids)
		}
	}
	if d.IntN(3) == 0 { // last: all else of a seed's plan is as it was without this kind
		d.faults(&p, WhatUnread, ids)
	}
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return p
}

// drawer draws plans.
type drawer struct{ *rand.Rand }

// config draws a world: one in a hundred has 32 to 64 peers, others 2 to 9.
func (d drawer) config(seed uint64) Config {
	n := 2 + d.IntN(8)
	many := d.IntN(100) == 0
	if many {
		n = 32 + d.IntN(33)
	}
	c := Config{
		Seed:      seed,
		Space:     wire.Space64,
		Copies:    1 + d.IntN(4),
		Observers: 2 + d.IntN(2),
		Interval:  time.Duration(1+d.IntN(4)) * time.Second,
		Grace:     d.between(5*time.Second, time.Minute),
		Walk:      d.IntN(3) == 0,
		Net:       Net{Delay: d.between(0, 100*time.Millisecond), Rate: 1 << 20},
	}
	used := make(map[wire.Pos]bool)
	if d.IntN(2) == 0 && !many {
		c.Space = wire.Space8
	}
	byID := d.IntN(2) == 0
	for id := range wire.ID(n) {
		m := d.member(c.Space, id)
		if byID {
			m.Pos = wire.PosOf(c.Space, m.ID)
		}
		if used[m.Pos] {
			continue
		}
		used[m.Pos] = true
		if int(id) >= n-2 && n > 3 && d.IntN(2) == 0 {
			c.Later = append(c.Later, m)
		} else {
			c.Members = append(c.Members, m)
		}
	}
	if d.IntN(2) == 0 {
		c.Net.Loss = 0.3 * d.Float64()
	}
	if d.IntN(3) == 0 {
		c.Net.Dup = 0.5 * d.Float64()
	}
	if d.IntN(2) == 0 {
		c.Net.Jitter = d.between(0, 100*time.Millisecond)
	}
	if d.IntN(2) == 0 {
		c.Disk = d.between(0, time.Second)
	}
	return c
}

// member draws a line of the roster that has pos=.
func (d drawer) member(space wire.Space, id wire.ID) ring.Member {
	m := ring.Member{ID: id, Pos: wire.Pos(d.Uint64())}
	if space == wire.Space8 {
		m.ID *= 28
		m.Pos = wire.PosOf(space, m.ID)
	}
	return m
}

func (d drawer) between(a, b time.Duration) time.Duration {
	return a + time.Duration(d.Int64N(int64(b-a)+1))
}

// one returns one of some.
func (d drawer) one(ids []wire.ID) wire.ID { return ids[d.IntN(len(ids))] }

// shuffled returns them in another order.
func (d drawer) shuffled(ids []wire.ID) []wire.ID {
	ids = slices.Clone(ids)
	d.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids
}

// add puts a fault at some instant of the safety phase.
func (p *Plan) add(d drawer, what What, who, whom wire.ID) *Fault {
	p.Faults = append(p.Faults, Fault{At: d.between(0, p.Safety), What: what, Who: who, Whom: whom})
	return &p.Faults[len(p.Faults)-1]
}

// faults draws some of one kind.
func (d drawer) faults(p *Plan, k What, ids []wire.ID) {
	n := 1 + d.IntN(6)
	switch k {
	case WhatWipe:
		// With one copy a lost disk loses files, whatever we do.
		n = min(1+d.IntN(3), 3*(p.Config.Copies-1))
	case WhatForget:
		n *= 3 // most meet somebody who runs
	case WhatLeave:
		n = d.IntN(1 + len(ids)/2)
	case WhatHalves, WhatThirds, WhatMajorities, WhatSwizzle, WhatSkew:
		n = 1 + d.IntN(3)
	case WhatLie:
		if n = 1; len(p.Config.Members) < 4 {
			n = 0 // beside a liar two cannot tell which of them lies
		}
	}
	for range n {
		f := p.add(d, k, d.one(ids), d.one(ids))
		if o := p.Faults[d.IntN(len(p.Faults))]; o.What == WhatPut {
			f.At = o.At + d.between(0, 2*time.Second) // while something moves
		}
		f.Lasts = d.between(100*time.Millisecond, 30*time.Second)
		switch k {
		case WhatHalves, WhatThirds, WhatMajorities, WhatSwizzle:
			f.Lasts *= 2
			f.Side = d.shuffled(ids)
		case WhatKill, WhatCrash, WhatWipe, WhatStop:
			if d.IntN(10) == 0 {
				f.Lasts = 0
			}
		case WhatLeave:
			f.Lasts = 0
		case WhatLate:
			f.Late = d.between(10*time.Millisecond, 2*p.Config.Interval)
		case WhatJump:
			f.Jump = d.between(time.Second, 10*time.Hour)
		case WhatUnread:
			f.Rate = min(1, 1.5*d.Float64())
		case WhatLie:
			f.Lasts, f.Lies = 0, d.lies(ids)
		case WhatSkew:
			d.skew(p, f, ids)
		}
	}
}

// skew draws a change of the roster, and who hears of it first.
func (d drawer) skew(p *Plan, f *Fault, ids []wire.ID) {
	f.Side = d.shuffled(ids)[:1+d.IntN((len(ids)+1)/2)]
	f.Change = Removes
	switch r := d.IntN(3); {
	case r == 0 && len(p.Config.Later) > 0:
		f.Change = Adds
		f.Who = p.Config.Later[d.IntN(len(p.Config.Later))].ID
	case r == 1:
		f.Change = Rekeys
	}
}

// lies draws what a liar does: one thing or several.
func (d drawer) lies(ids []wire.ID) (l Lies) {
	l.Next = d.one(ids)
	for l == (Lies{Next: l.Next}) {
		for _, b := range []*bool{
			&l.Denies, &l.Corrupts, &l.Forgets, &l.Detours, &l.Claims,
			&l.Accuses, &l.Usurps, &l.Replays, &l.Floods, &l.Garbles,
		} {
			*b = d.IntN(4) == 0
		}
	}
	return l
}

// load draws what the users do.
func (d drawer) load(p *Plan, ids []wire.ID) {
	names := make([]string, 1+d.IntN(6))
	for i := range names {
		names[i] = fmt.Sprintf("%04d", d.IntN(10_000))
	}
	for range 5 + d.IntN(40) {
		what := WhatPut
		switch r := d.IntN(20); {
		case r < 8:
			what = WhatGet
		case r < 10:
			what = WhatLookup
		case r == 10:
			what = WhatStat
		case r == 11:
			what = WhatProbe
		case r < 14:
			what = WhatRemove
		}
		f := p.add(d, what, d.one(ids), d.one(ids))
		f.Name = names[d.IntN(len(names))]
	}
}
