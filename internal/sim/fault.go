package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// Fault is one thing that happens to a world at an instant, and what ends it.
type Fault struct {
	At    time.Duration // since the start of the run
	What  What
	Who   wire.ID
	Whom  wire.ID       // of a cut or contact
	Lasts time.Duration // 0: for as long as faults last, or for ever
	Side  []wire.ID     // of a split
	Name  string        // of a file
}

// What kind of thing happens.
type What string

// The kinds: faults, then what users do.
const (
	WhatKill   What = "kill"   // the process; after Lasts it starts again
	WhatCrash  What = "crash"  // the machine; after Lasts it starts again
	WhatWipe   What = "wipe"   // as crash, and the disk is lost
	WhatPause  What = "pause"  // the process, for Lasts
	WhatCut    What = "cut"    // one way, for Lasts
	WhatSplit  What = "split"  // Side from the others, for Lasts
	WhatFull   What = "full"   // the disk, for Lasts
	WhatStop   What = "stop"   // SIGTERM; after Lasts it starts again
	WhatJoin   What = "join"   // a member that has not run yet, through Whom
	WhatLeave  What = "leave"  // for good
	WhatPut    What = "put"    //
	WhatGet    What = "get"    //
	WhatRemove What = "remove" //
)

// faultKinds are those that a seed switches on or off; users' operations are
// always on, and loss and duplicates belong to the network.
var faultKinds = []What{
	WhatKill, WhatCrash, WhatWipe, WhatPause, WhatCut, WhatSplit, WhatFull, WhatStop, WhatJoin, WhatLeave,
}

// String is one line of a plan.
func (f Fault) String() string {
	s := fmt.Sprintf("%8.3fs %v %v", f.At.Seconds(), f.What, f.Who)
	switch f.What {
	case WhatCut:
		s += fmt.Sprintf("->%v", f.Whom)
	case WhatJoin:
		s += fmt.Sprintf(" through %v", f.Whom)
	case WhatSplit:
		s += fmt.Sprintf(" with %v", f.Side)
	case WhatPut, WhatGet, WhatRemove:
		s += " " + f.Name
	}
	if f.Lasts > 0 {
		s += fmt.Sprintf(" for %.3fs", f.Lasts.Seconds())
	}
	return s
}

// Plan is what a seed stands for: a world and what happens in it. A safety
// phase with all its faults is followed by a liveness phase without.
type Plan struct {
	Config Config
	First  []wire.ID // who runs from the start
	Faults []Fault   // by instant
	Safety time.Duration
	Quiet  time.Duration // how long the ring may take to converge
}

// String is the plan, one thing a line.
func (p Plan) String() string {
	var b strings.Builder
	c := p.Config
	fmt.Fprintf(&b, "seed %v: space %v, copies %v, observers %v, interval %v, walk %v, net %+v, first %v of %v\n",
		c.Seed, c.Space, c.Copies, c.Observers, c.Interval, c.Walk, c.Net, p.First, c.Members)
	for _, f := range p.Faults {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

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
		on[k] = d.IntN(3) == 0
	}
	late := 0
	if on[WhatJoin] {
		late = d.IntN(len(ids)/2 + 1)
	}
	p.First = ids[late:]
	for _, id := range ids[:late] {
		p.add(d, WhatJoin, id, p.First[d.IntN(len(p.First))])
	}
	for _, k := range faultKinds {
		if on[k] && k != WhatJoin {
			d.faults(&p, k, ids)
		}
	}
	d.load(&p, ids)
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return p
}

// drawer draws plans.
type drawer struct{ *rand.Rand }

func (d drawer) config(seed uint64) Config {
	n := 2 + d.IntN(8)
	c := Config{
		Seed:      seed,
		Space:     wire.Space64,
		Copies:    1 + d.IntN(4),
		Observers: 2 + d.IntN(2),
		Interval:  time.Duration(1+d.IntN(4)) * time.Second,
		Walk:      d.IntN(3) == 0,
		Net:       Net{Delay: d.between(0, 100*time.Millisecond), Rate: 1 << 20},
	}
	used := make(map[wire.Pos]bool)
	if d.IntN(2) == 0 {
		c.Space = wire.Space8
	}
	for id := range wire.ID(n) {
		pos := wire.Pos(d.Uint64())
		if c.Space == wire.Space8 {
			id *= 31
			pos = wire.Pos(id)
		}
		if !used[pos] {
			used[pos] = true
			c.Members = append(c.Members, ring.Member{ID: id, Pos: pos})
		}
	}
	if d.IntN(2) == 0 {
		c.Net.Loss = 0.25 * d.Float64()
	}
	if d.IntN(3) == 0 {
		c.Net.Dup = 0.5 * d.Float64()
	}
	if d.IntN(2) == 0 {
		c.Net.Jitter = d.between(0, 100*time.Millisecond)
	}
	return c
}

func (d drawer) between(a, b time.Duration) time.Duration {
	return a + time.Duration(d.Int64N(int64(b-a)+1))
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
		// More lost disks than copies less one lose files, whatever we do.
		n = min(1, p.Config.Copies-1)
	case WhatLeave:
		n = d.IntN(1 + len(ids)/2)
	}
	for range n {
		f := p.add(d, k, ids[d.IntN(len(ids))], ids[d.IntN(len(ids))])
		f.Lasts = d.between(100*time.Millisecond, 30*time.Second)
		switch k {
		case WhatSplit:
			for _, id := range ids {
				if d.IntN(2) == 0 {
					f.Side = append(f.Side, id)
				}
			}
		case WhatKill, WhatCrash, WhatStop:
			if d.IntN(10) == 0 {
				f.Lasts = 0
			}
		case WhatLeave:
			f.Lasts = 0
		}
	}
}

// load draws what the users do.
func (d drawer) load(p *Plan, ids []wire.ID) {
	names := make([]string, 1+d.IntN(6))
	for i := range names {
		names[i] = fmt.Sprintf("%04d", d.IntN(10_000))
	}
	for range 5 + d.IntN(40) {
		what := WhatPut
		switch r := d.IntN(10); {
		case r < 5:
			what = WhatGet
		case r == 9:
			what = WhatRemove
		}
		f := p.add(d, what, ids[d.IntN(len(ids))], 0)
		f.Name = names[d.IntN(len(names))]
	}
}

// Run lets a plan happen and returns the world after it: what did not hold is
// in its Violations. What happened of each kind is counted in fired.
func (p Plan) Run(log func(string), fired map[What]int) *World {
	c := p.Config
	c.Log = log
	w := New(c)
	w.StartAll(p.First...)
	for _, f := range p.Faults {
		w.after(f.At, func() {
			if w.apply(f) && fired != nil {
				fired[f.What]++
			}
		})
	}
	for end := w.now + ring.Time(p.Safety); w.now < end; {
		w.Run(time.Second)
		w.Check()
	}
	w.calm()
	w.Run(calmTime * w.Config.Interval) // links that hung recover, or fall
	w.calm()                            // who was about to stop has stopped
	w.RunUntil(p.Quiet, w.every(time.Second, func() bool { w.Check(); return w.Settled() == nil }))
	w.CheckQuiet()
	w.Check()
	return w
}

// every asks a question no more often than once in d.
func (w *World) every(d time.Duration, ask func() bool) func() bool {
	due := w.now
	return func() bool {
		if w.now < due {
			return false
		}
		due = w.now + ring.Time(d)
		return ask()
	}
}

// calm ends all faults: the network is well, disks have room, and all run
// that ever did, but for those that have left or are down for good.
func (w *World) calm() {
	w.logf("all faults end")
	w.Config.Net.Loss, w.Config.Net.Dup = 0, 0
	w.Heal()
	for _, h := range w.hosts {
		w.Resume(h.ID)
		if h.disk.state != wire.Active {
			w.SetDisk(h.ID, wire.Active)
		}
		if h.process == nil && h.started > 0 && !h.retired {
			w.Start(h.ID)
		}
	}
}

// apply does one thing of a plan, unless it makes no sense at that moment,
// and says whether it did.
func (w *World) apply(f Fault) bool {
	h := w.byID[f.Who]
	runs := h.process != nil
	if f.What == WhatJoin {
		if runs || h.started > 0 {
			return false
		}
		w.Start(f.Who, f.Whom)
		return true
	}
	if !runs || h.process.leaving && f.What != WhatPause {
		return false
	}
	switch f.What {
	case WhatKill:
		w.Kill(f.Who)
		w.revive(f)
	case WhatCrash:
		w.Crash(f.Who)
		w.revive(f)
	case WhatWipe:
		if !w.spare(h) {
			return false
		}
		w.Crash(f.Who)
		w.Wipe(f.Who)
		w.revive(f)
	case WhatStop:
		w.Stop(f.Who)
		w.revive(f)
	case WhatPause:
		w.Pause(f.Who)
		w.after(f.Lasts, func() { w.Resume(f.Who) })
	case WhatCut:
		w.Cut(f.Who, f.Whom, true)
		w.after(f.Lasts, func() { w.Cut(f.Who, f.Whom, false) })
	case WhatSplit:
		w.Split(f.Side...)
		w.after(f.Lasts, w.Heal)
	case WhatFull:
		w.SetDisk(f.Who, wire.Full)
		w.after(f.Lasts, func() { w.SetDisk(f.Who, wire.Active) })
	case WhatLeave:
		h.retired = true
		w.Leave(f.Who)
	case WhatPut:
		w.Put(f.Who, f.Name, w.rand.Uint64N(4), w.rand.Int64N(300_000))
	case WhatGet:
		w.Get(f.Who, f.Name)
	case WhatRemove:
		w.Remove(f.Who, f.Name)
	}
	return true
}

// spare says whether every version on a host's disk is also on that of another
// who runs: no more disks are lost at once than the promise covers.
func (w *World) spare(h *Host) bool {
	for v := range h.disk.files {
		if !slices.ContainsFunc(w.hosts, func(o *Host) bool { return o != h && o.process != nil && !o.process.leaving && o.Holds(v) }) {
			return false
		}
	}
	return true
}

// revive starts a peer again when a fault is over. One that was asked to stop
// may not have got round to it: it is killed.
func (w *World) revive(f Fault) {
	h := w.byID[f.Who]
	if f.Lasts == 0 && w.spare(h) {
		h.retired = true
		return
	}
	was := h.started
	w.after(f.Lasts, func() {
		if h.started != was || h.retired {
			return
		}
		if h.process != nil {
			w.Kill(f.Who)
		}
		w.Start(f.Who)
	})
}
