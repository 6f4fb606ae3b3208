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
)

// fresh is the versions that were just written here: until all home holders in
// reach have them, this peer offers them; if there is none but itself, to the
// stand-ins. Whoever put one may have died before all had it, or have taken
// others for its holders, and each peer that has it does so, as none knows who
// else did.
type fresh struct {
	interval time.Duration
	waiting  []young // by due
}

// young is one of them.
type young struct {
	version Version
	due     Time
	tries   int
	offers  []offered // not answered yet
	have    []wire.ID // who confirmed it
}

// add remembers a version and reports whether there is room.
func (f *fresh) add(now Time, x Version) bool {
	if slices.ContainsFunc(f.waiting, func(y young) bool { return y.version == x }) {
		return true
	}
	if len(f.waiting) >= maxFresh {
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

// step offers what is due to whoever has not confirmed it, and forgets what
// all have.
func (f *fresh) step(now Time, v *view, o *outbox) {
	for len(f.waiting) > 0 && now >= f.waiting[0].due {
		y := f.waiting[0]
		f.waiting = f.waiting[1:]
		y.offers = nil
		for _, id := range lacking(y.version.Key, v) {
			if !slices.Contains(y.have, id) {
				y.offers = append(y.offers, offered{peer: id, req: o.number()})
			}
		}
		for _, a := range y.offers {
			o.do(SendOffer{To: a.peer, Req: a.req, Version: y.version})
		}
		if len(y.offers) > 0 {
			y.due = now + Time(freshWait*f.interval)<<min(y.tries, freshBackoff)
			y.tries++
			f.put(y)
		}
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
	for i := range f.waiting {
		y := &f.waiting[i]
		y.offers = slices.DeleteFunc(y.offers, func(a offered) bool { return a.peer == id })
	}
}

// answered takes the end of an offer; who took it needs it no more.
func (f *fresh) answered(from wire.ID, req uint32, took bool) {
	for i := range f.waiting {
		y := &f.waiting[i]
		j := slices.IndexFunc(y.offers, func(a offered) bool { return a.req == req && a.peer == from })
		if j < 0 {
			continue
		}
		y.offers = slices.Delete(y.offers, j, j+1)
		if took {
			y.have = append(y.have, from)
		}
		return
	}
}

// pending counts the offers that are not answered.
func (f *fresh) pending() int {
	n := 0
	for i := range f.waiting {
		n += len(f.waiting[i].offers)
	}
	return n
}

// load counts the versions, the offers, and who confirmed.
func (f *fresh) load() int {
	n := len(f.waiting) + f.pending()
	for i := range f.waiting {
		n += len(f.waiting[i].have)
	}
	return n
}

func (f *fresh) next() Time {
	if len(f.waiting) == 0 {
		return never
	}
	return f.waiting[0].due
}
