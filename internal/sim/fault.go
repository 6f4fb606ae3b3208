package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// Fault is one thing that happens to a world at an instant, and what ends it.
type Fault struct {
	At     time.Duration // since the start of the run
	What   What
	Who    wire.ID
	Whom   wire.ID       // of a cut or contact, or whom an operator forgets
	Lasts  time.Duration // 0: for as long as faults last, or for ever
	Side   []wire.ID     // of a partition: the order in which it is made; of a skew: who hears of it first
	Jump   time.Duration // of a clock
	Late   time.Duration // how late a tick may come
	Change Change        // of a roster
	Lies   Lies
	Name   string  // of a file
	Rate   float64 // of reads that fail
}

// What kind of thing happens.
type What string

// The kinds: faults, then what users do.
const (
	WhatKill       What = "kill"       // the process; after Lasts it starts again
	WhatCrash      What = "crash"      // the machine; after Lasts it starts again
	WhatWipe       What = "wipe"       // as crash, and the disk is lost
	WhatPause      What = "pause"      // the process, for Lasts
	WhatLate       What = "late"       // ticks come up to Late late, for Lasts
	WhatJump       What = "jump"       // the clock goes forward by Jump, after a pause of Lasts
	WhatCut        What = "cut"        // one way, for Lasts
	WhatHalves     What = "halves"     // two parts that hear nothing of each other, for Lasts
	WhatThirds     What = "thirds"     // three
	WhatMajorities What = "majorities" // each hears its neighbours in Side, a majority, and no two the same one
	WhatSwizzle    What = "swizzle"    // the first of Side lose their links one by one, and get them back in another order
	WhatSkew       What = "skew"       // a Change of the roster that Side knows of, and after Lasts all
	WhatLie        What = "lie"        // the one liar begins to lie
	WhatFull       What = "full"       // the disk, for Lasts
	WhatStuck      What = "stuck"      // syncs fail, for Lasts; then the machine is started again
	WhatUnread     What = "unread"     // reads of the disk fail, with the chance Rate, for Lasts
	WhatStop       What = "stop"       // SIGTERM; after Lasts it starts again
	WhatJoin       What = "join"       // a member that has not run yet, through Whom
	WhatLeave      What = "leave"      // for good
	WhatForget     What = "forget"     // an operator says that Whom, silent, will not come back

	WhatPut    What = "put"
	WhatGet    What = "get"
	WhatRemove What = "remove"
	WhatLookup What = "lookup"
	WhatStat   What = "stat"
	WhatProbe  What = "probe"
)

// faultKinds are those that a seed switches on or off.
var faultKinds = []What{
	WhatKill, WhatCrash, WhatWipe, WhatPause, WhatLate, WhatJump, WhatCut, WhatHalves, WhatThirds, WhatMajorities,
	WhatSwizzle, WhatSkew, WhatLie, WhatFull, WhatStuck, WhatStop, WhatJoin, WhatLeave, WhatForget,
	WhatUnread,
}

// loadKinds are what users do, in every seed.
var loadKinds = []What{WhatPut, WhatGet, WhatRemove, WhatLookup, WhatStat, WhatProbe}

// String is one line of a plan.
func (f Fault) String() string {
	s := fmt.Sprintf("%8.3fs %v %v", f.At.Seconds(), f.What, f.Who)
	switch f.What {
	case WhatCut:
		s += fmt.Sprintf("->%v", f.Whom)
	case WhatJoin, WhatProbe, WhatForget:
		s += fmt.Sprintf(" to %v", f.Whom)
	case WhatHalves, WhatThirds, WhatMajorities, WhatSwizzle:
		s += fmt.Sprintf(" %v", f.Side)
	case WhatSkew:
		s += fmt.Sprintf(" %v, first for %v", f.Change, f.Side)
	case WhatJump:
		s += fmt.Sprintf(" by %v", f.Jump)
	case WhatLate:
		s += fmt.Sprintf(" by up to %v", f.Late)
	case WhatLie:
		s += fmt.Sprintf(" %+v", f.Lies)
	case WhatUnread:
		s += fmt.Sprintf(" %.2f of all", f.Rate)
	case WhatPut, WhatGet, WhatRemove, WhatLookup, WhatStat:
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
	fmt.Fprintf(&b, "seed %v: space %v, copies %v, observers %v, interval %v, grace %v, walk %v, net %+v, first %v of %v, later %v\n",
		c.Seed, c.Space, c.Copies, c.Observers, c.Interval, c.Grace, c.Walk, c.Net, p.First, c.Members, c.Later)
	for _, f := range p.Faults {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

// Run lets a plan happen and returns the world after it: what did not hold is
// in its Violations. What happened of each kind is counted in fired, if given.
func (p Plan) Run(log func(string), fired map[What]int) *World {
	c := p.Config
	c.Log = log
	w := New(c)
	w.watch()
	for _, f := range p.Faults {
		if f.What == WhatLie {
			w.byID[f.Who].liar = true // nothing that only it holds is counted on
		}
	}
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

// calm ends all faults: everybody has one roster, the network is well, disks
// have room, and all run that ever did, but for those that have left or are
// down for good.
func (w *World) calm() {
	w.logf("all faults end")
	w.strict.calm = true
	w.Config.Net.Loss, w.Config.Net.Dup = 0, 0
	w.Heal()
	w.hush()
	for _, end := range w.ends {
		end()
	}
	w.ends = nil
	for _, h := range w.hosts {
		h.late = 0
		w.Resume(h.ID)
		w.mend(h)
		if h.process == nil && h.started > 0 && !h.retired {
			w.Start(h.ID)
		}
	}
	w.disturbed()
}

// mend ends what is wrong with a disk. A stuck one is so until its machine is
// started again.
func (w *World) mend(h *Host) {
	h.disk.fails, h.disk.unread = false, 0
	switch {
	case h.disk.state == wire.Full:
		w.SetDisk(h.ID, wire.Active)
	case h.disk.state != wire.Stuck:
	case h.process == nil:
		w.reboot(h)
	case !h.process.leaving:
		w.Kill(h.ID)
		w.reboot(h)
		w.Start(h.ID)
	}
}

// reboot starts a machine again whose peer does not run. What it had not written
// is gone, as with the power.
func (w *World) reboot(h *Host) {
	w.logf("[%v] its machine is started again", h.ID)
	w.Count.Unsynced += h.disk.crash(w, true)
}

// apply does one thing of a plan, unless it makes no sense at that moment,
// and says whether it did.
func (w *World) apply(f Fault) bool {
	h := w.byID[f.Who]
	runs := h.process != nil
	switch f.What {
	case WhatSkew:
		return w.skew(f)
	case WhatLie:
		w.SetLies(f.Who, f.Lies)
		return true
	case WhatHalves, WhatThirds, WhatMajorities, WhatSwizzle:
		w.part(f)
		return true
	case WhatJoin:
		if runs || h.started > 0 || h.retired {
			return false
		}
		w.Start(f.Who, f.Whom)
		return true
	}
	if !runs || h.process.leaving && f.What != WhatPause {
		return false
	}
	if slices.Contains(loadKinds, f.What) {
		w.ask(f)
		return true
	}
	return w.strike(f, h)
}

// strike does one thing to a peer that runs.
func (w *World) strike(f Fault, h *Host) bool {
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
	case WhatLate:
		h.late = f.Late
		w.after(f.Lasts, func() { h.late = 0; w.disturbed(f.Who) })
	case WhatJump:
		w.Pause(f.Who)
		w.after(f.Lasts, func() {
			if h.process == nil || !h.process.paused {
				return // it was killed meanwhile, or faults have ended
			}
			w.jump(h, f.Jump)
			w.Resume(f.Who)
			w.disturbed(f.Who)
		})
	case WhatCut:
		w.Cut(f.Who, f.Whom, true)
		w.after(f.Lasts, func() { w.Cut(f.Who, f.Whom, false); w.disturbed(f.Who, f.Whom) })
		w.disturbed(f.Whom)
	case WhatFull:
		if h.disk.state != wire.Active {
			return false
		}
		w.SetDisk(f.Who, wire.Full)
		w.after(f.Lasts, func() {
			if h.disk.state == wire.Full {
				w.SetDisk(f.Who, wire.Active)
			}
		})
	case WhatStuck:
		h.disk.fails = true
		w.after(f.Lasts, func() { w.mend(h) })
	case WhatUnread:
		h.disk.unread = f.Rate
		w.after(f.Lasts, func() { h.disk.unread = 0; w.disturbed(f.Who) })
	case WhatLeave:
		h.retired = true
		w.Leave(f.Who)
	case WhatForget:
		if w.byID[f.Whom].process != nil {
			return false
		}
		for _, o := range w.running() {
			w.Forget(o.ID, f.Whom)
		}
		return true
	default:
		panic("sim: internal error: no case for " + string(f.What))
	}
	w.disturbed(f.Who)
	return true
}

// ask does what a user wants.
func (w *World) ask(f Fault) {
	switch f.What {
	case WhatPut:
		size := int64(300_000)
		if w.chance(0.4) {
			size *= 10
		}
		w.Put(f.Who, f.Name, w.rand.Uint64N(4), w.rand.Int64N(size))
	case WhatGet:
		w.Get(f.Who, f.Name)
	case WhatRemove:
		w.Remove(f.Who, f.Name)
	case WhatLookup:
		w.Lookup(f.Who, f.Name)
	case WhatStat:
		w.Stat(f.Who, f.Name)
	case WhatProbe:
		if f.Whom != f.Who {
			w.Probe(f.Who, f.Whom)
		}
	}
}

// part makes a partition, and ends it.
func (w *World) part(f Fault) {
	var pairs [][2]wire.ID
	between := func(apart func(i, j int) bool) {
		for i, a := range f.Side {
			for j, b := range f.Side {
				if i != j && apart(i, j) {
					pairs = append(pairs, [2]wire.ID{a, b})
				}
			}
		}
	}
	n := len(f.Side)
	switch f.What {
	case WhatHalves:
		between(func(i, j int) bool { return i < n/2 != (j < n/2) })
	case WhatThirds:
		between(func(i, j int) bool { return i*3/n != j*3/n })
	case WhatMajorities:
		between(func(i, j int) bool { d := (i - j + n) % n; return min(d, n-d) > (n+2)/4 })
	case WhatSwizzle:
		w.swizzle(f)
		return
	}
	w.cutAll(pairs, true)
	w.after(f.Lasts, func() { w.cutAll(pairs, false) })
}

// cutAll makes or ends cuts; none is made when faults have ended.
func (w *World) cutAll(pairs [][2]wire.ID, cut bool) {
	for _, p := range pairs {
		w.Cut(p[0], p[1], cut && !w.strict.calm)
	}
	w.disturbed()
}

// swizzle stops all links of the first half of Side, one member after the
// other, and restores them in another order.
func (w *World) swizzle(f Fault) {
	some := f.Side[:(len(f.Side)+1)/2]
	step := f.Lasts / time.Duration(2*len(some))
	for i, a := range some {
		var pairs [][2]wire.ID
		for _, h := range w.hosts {
			if h.ID != a {
				pairs = append(pairs, [2]wire.ID{a, h.ID}, [2]wire.ID{h.ID, a})
			}
		}
		w.after(time.Duration(i)*step, func() { w.cutAll(pairs, true) })
		back := (i*7 + 3) % len(some)
		w.after(f.Lasts/2+time.Duration(back)*step, func() { w.cutAll(pairs, false) })
	}
}

// spare says whether every version on a host's disk is also on that of another
// who runs and is no liar: no more disks are lost at once than the promise
// covers.
func (w *World) spare(h *Host) bool {
	for v := range h.disk.files {
		if !slices.ContainsFunc(w.hosts, func(o *Host) bool {
			return o != h && o.process != nil && !o.process.leaving && !o.liar && !o.skewed && o.keeps(v)
		}) {
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
