package ring

import (
	"slices"
	"time"

	"securepeer/wire"
)

const (
	// maxFresh is how many fresh versions are remembered until everybody has
	// them: those of 600 puts a second at intervals of a second, in 1 MB. Beyond,
	// a whole pass looks after them.
	maxFresh = 4096

	// freshWait is how many intervals a fresh version is left alone first: the
	// put itself may still bring it everywhere. Later waits double, up to
	// freshWait << freshBackoff.
	freshWait    = 3
	freshBackoff = 5

	// freshWindow is how many of maxOffers are of fresh versions.
	freshWindow = maxOffers / 4
)

// fresh is the versions that were just written here: until all home holders in
// reach have them, this peer offers them; if there is none but itself, to the
// stand-ins. Whoever put one may have died before all had it, or have taken
// others for its holders, and each peer that has it does so, as none knows who
// else did.
type fresh struct {
	interval time.Duration
	waiting  []young         // by due
	ready    []young         // are due, and wait until who lacks them has a place; oldest first
	open     map[wire.ID]int // offers that a peer has not answered
	owed     map[wire.ID]int // how many of ready a peer lacks
}

// young is one of them.
type young struct {
	version Version
	due     Time
	tries   int
	lack    []wire.ID // are to be offered it, and have not been yet
	offers  []offered // not answered yet
	have    []wire.ID // who confirmed it
}

// all calls f with each, until it returns false.
func (f *fresh) all(do func(*young) bool) {
	for _, list := range [][]young{f.waiting, f.ready} {
		for i := range list {
			if !do(&list[i]) {
				return
			}
		}
	}
}

// add remembers a version and reports whether there is room.
func (f *fresh) add(now Time, x Version) bool {
	known := false
	f.all(func(y *young) bool {
		known = y.version == x
		return !known
	})
	if known {
		return true
	}
	if len(f.waiting)+len(f.ready) >= maxFresh {
		return false
	}
	f.put(young{version: x, due: now + Time(freshWait*f.interval)})
	return true
}

func (f *fresh) put(y young) {
	i, _ := slices.BinarySearchFunc(f.waiting, y.due, func(o young, due Time) int {
		if o.due <= due {
			return -1
		}
		return 1
	})
	f.waiting = slices.Insert(f.waiting, i, y)
}

// step makes ready what is due, for whoever has not confirmed it, and forgets
// what all have.
func (f *fresh) step(now Time, v *view, o *outbox) {
	for len(f.waiting) > 0 && now >= f.waiting[0].due {
		y := f.waiting[0]
		f.waiting = f.waiting[1:]
		for _, a := range y.offers {
			take(f.open, a.peer)
		}
		y.offers, y.lack = nil, nil
		for _, id := range lacking(y.version.Key, v) {
			if !slices.Contains(y.have, id) {
				y.lack = append(y.lack, id)
				f.owed[id]++
			}
		}
		if len(y.lack) > 0 {
			f.ready = append(f.ready, y)
		}
	}
	f.offer(now, v, o)
}

// offer offers what is ready to those that have a place for it.
func (f *fresh) offer(now Time, v *view, o *outbox) {
	left, n := f.ready[:0], 0
	for n < len(f.ready) && !f.full() {
		y := f.ready[n]
		n++
		y.lack = slices.DeleteFunc(y.lack, func(id wire.ID) bool {
			m := v.member(id)
			if there := m != nil && m.inRing; there && f.open[id] < freshWindow {
				f.open[id]++
				y.offers = append(y.offers, offered{peer: id, req: o.number()})
				o.do(SendOffer{To: id, Req: y.offers[len(y.offers)-1].req, Version: y.version})
			} else if there {
				return false
			}
			take(f.owed, id)
			return true
		})
		if len(y.lack) > 0 {
			left = append(left, y)
			continue
		}
		y.due = now + Time(freshWait*f.interval)<<min(y.tries, freshBackoff)
		y.tries++
		f.put(y)
	}
	// Those that are left move up to the rest, which are many more.
	n -= copy(f.ready[n-len(left):n], left)
	clear(f.ready[:n])
	f.ready = f.ready[n:]
}

// full reports whether nobody that lacks one of ready has a place.
func (f *fresh) full() bool {
	for id := range f.owed {
		if f.open[id] < freshWindow {
			return false
		}
	}
	return true
}

// take takes one from a count.
func take(count map[wire.ID]int, id wire.ID) {
	if count[id]--; count[id] <= 0 {
		delete(count, id)
	}
}

// lacking returns who may lack a fresh version of k and is to have it. A home
// holder that is away has no copy of it, so if none is there, stand-ins do;
// else it is given its own when it comes back, or another is home in its place.
func lacking(k wire.Pos, v *view) []wire.ID {
	var homes, others []wire.ID
	for _, h := range v.holders(k, nil) {
		switch {
		case !h.use || h.id == v.self:
		case h.home:
			homes = append(homes, h.id)
		default:
			others = append(others, h.id)
		}
	}
	if len(homes) == 0 && v.copies > 1 {
		return others
	}
	return homes
}

// lost forgets what was offered over a link that fell.
func (f *fresh) lost(id wire.ID) {
	f.all(func(y *young) bool {
		y.offers = slices.DeleteFunc(y.offers, func(a offered) bool { return a.peer == id })
		return true
	})
	delete(f.open, id)
}

// answered takes the end of an offer; who took it needs it no more.
func (f *fresh) answered(from wire.ID, req uint32, took bool) {
	f.all(func(y *young) bool {
		j := slices.IndexFunc(y.offers, func(a offered) bool { return a.req == req && a.peer == from })
		if j < 0 {
			return true
		}
		y.offers = slices.Delete(y.offers, j, j+1)
		take(f.open, from)
		if took {
			y.have = append(y.have, from)
		}
		return false
	})
}

// pending counts the offers that are not answered.
func (f *fresh) pending() (n int) {
	f.all(func(y *young) bool {
		n += len(y.offers)
		return true
	})
	return n
}

// load counts the versions, the offers, who confirmed, and who waits.
func (f *fresh) load() int {
	n := len(f.waiting) + len(f.ready) + len(f.open) + len(f.owed)
	f.all(func(y *young) bool {
		n += len(y.offers) + len(y.have) + len(y.lack)
		return true
	})
	return n
}

// next is when something is due: at once, if somebody has a place for what is
// ready.
func (f *fresh) next() Time {
	switch {
	case len(f.ready) > 0 && !f.full():
		return f.ready[0].due
	case len(f.waiting) > 0:
		return f.waiting[0].due
	}
	return never
}
