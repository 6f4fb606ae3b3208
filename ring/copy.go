package ring

import (
	"slices"
	"time"

	"securepeer/wire"
)

const (
	// maxOffers is how many offers to one peer are not answered at most, of all
	// that this peer does: more it takes no faster, and they would fill its link.
	maxOffers = 32

	// window is how many of them are of a pass: so many it has in all.
	window = maxOffers / 2

	// scanLimit is how many versions a Scan brings.
	scanLimit = 64

	// offerWait is how long an offer may go without an answer, or the word that
	// its bytes are on their way: a peer that never gives one must not keep the
	// others from being settled. That word counts for the grace, at most. A pull
	// that takes longer goes on, and the next pass finds what it brought.
	offerWait = Time(20 * time.Second)

	// farPass is how many intervals after a change of members that are far away
	// the next pass is due: in a large ring there is always one, and hardly
	// anything here is theirs.
	farPass = 10

	// floodPause is how many intervals lie between two passes that give
	// everything to everybody because there were more fresh versions than are
	// remembered: each offers all that this peer holds.
	floodPause = 100

	// slowTaker is how long the oldest offer of a full window may wait while
	// others are to be given something: then the rest of what its peer lacks is
	// for another pass.
	slowTaker = Time(2 * time.Second)

	// steadyTimes is how often a member may become another before others take
	// their time over it: one that comes back is held unreachable, joining,
	// active, and full at most. Each steadyAfter intervals one of them is forgiven.
	steadyTimes = 6
	steadyAfter = 2

	// backoffs is how often the wait for whoever does not take what it is
	// offered is doubled.
	backoffs = 6
)

// copier is the one loop that moves versions, for join, leave, loss, return
// and what a put left undone: for each version that this peer has and each of
// its home holders in its view, has it this version, verified and synced? If
// not, offer it. It never drops.
//
// A pass walks all versions, after every change of the view that changes who
// is home or who can be reached. It offers only to whom the last complete
// pass did not give the same already: what a pass took each member for is its
// stamp. While none is due and the view stays, a step costs nothing.
//
// All that it remembers is bounded by the members of the roster: a stamp each
// in at most three lists, one while it is quiet, and an entry each in the maps;
// and by constants: a batch of scanLimit versions, window offers, and those of
// fresh and pulls.
type copier struct {
	interval time.Duration

	is    []stamp // of the view as of epoch, by member index; never written to, passes share it
	epoch uint64
	last  *pass // complete; nil: the next one gives everything to everybody
	pass  *pass // under way; nil: none

	wanted  bool // another pass is
	due     Time // when it may begin
	anew    bool // and it gives everything to everybody
	resting map[wire.ID]resting
	told    map[wire.ID]wire.Settled // what was last said over the link of now
	gave    map[wire.ID]bool         // brought something here that the others may lack
	fickle  map[wire.ID]fickle       // those near

	flood    Time // when everything is given anew for what fresh had no room for; 0: not
	flooded  Time // when it last was
	progress Time // when an offer was last confirmed
	gained   Time // when a version that was not here last came

	doubts doubts
	fresh  fresh
	pulls  pulls
	accord accord
}

// fickle counts how often a member has become another in a short time.
type fickle struct {
	at    Time // when it last did
	times int
}

// resting is how long a peer that does not take what it is offered is left
// alone. That of this peer itself stands for its disk.
type resting struct {
	until Time
	times int
}

// pass is one walk over all versions.
type pass struct {
	stamps   []stamp
	epoch    uint64
	scan     uint64 // the number of the Scan that is under way; 0: none is
	after    Version
	more     bool      // after that
	batch    []Version // to be offered
	offers   []offered // not answered yet
	failed   []wire.ID // did not take all: nothing more is offered to them
	stranded bool      // a version could be offered to nobody
}

func newCopier() copier {
	return copier{
		resting: map[wire.ID]resting{},
		told:    map[wire.ID]wire.Settled{},
		gave:    map[wire.ID]bool{},
		fickle:  map[wire.ID]fickle{},
		doubts:  doubts{of: map[wire.ID]doubt{}},
		fresh:   fresh{open: map[wire.ID]int{}, owed: map[wire.ID]int{}},
		pulls:   pulls{vain: map[wire.ID]Time{}},
		accord:  accord{settled: map[wire.ID]wire.Settled{}, excused: map[wire.ID]wire.Settled{}},
	}
}

// tune takes what the copier needs of the roster.
func (c *copier) tune(interval, grace time.Duration) {
	c.interval, c.fresh.interval, c.pulls.interval = interval, interval, interval
	c.doubts.interval, c.doubts.grace = interval, grace
}

// gives reports whether this peer offers what it holds: in the ring, and on
// its way out of it.
func gives(v *view) bool { return v.inRing() || leaving(v) }

func leaving(v *view) bool { return v.members[v.me].state == wire.Leaving }

// changed takes a view that has, and notes whether that asks for a pass.
func (c *copier) changed(now Time, v *view, l *links, o *outbox) {
	c.doubts.review(now, v, l, o)
	c.epoch = v.epoch
	if len(c.is) != len(v.members) {
		c.is = make([]stamp, len(v.members))
	}
	shared, near := true, reachOf(v)
	for i := range v.members {
		m := &v.members[i]
		was, is := c.is[i], c.stampOf(now, m, l)
		if is == was {
			continue
		}
		if shared {
			c.is, shared = slices.Clone(c.is), false
		}
		c.is[i] = is
		if is.incarnation != was.incarnation {
			delete(c.resting, m.id) // what an earlier run did not take says nothing of this one
		}
		c.moved(now, m.id, near.has(i) || leaving(v))
		// Who fell may have been about to give others what it gave here, and
		// was taken at its word that it would.
		if was.up && !is.up && is.state != wire.Left && c.gave[m.id] {
			c.anew = true
		}
	}
	c.drop(now, v, o, func(f offered) bool { return !v.member(f.peer).inRing })
}

// moved wants a pass because a member is not what it was: soon, if it is near;
// later and later if it never stays what it is, so that nobody by that alone
// has the others walk all that they hold without a pause.
func (c *copier) moved(now Time, id wire.ID, near bool) {
	if !near {
		c.want(now + farPass*Time(c.interval))
		return
	}
	f := c.fickle[id]
	rest := int(min((now-f.at)/Time(steadyAfter*c.interval), Time(f.times))) // so much is forgiven
	f = fickle{now, f.times - rest + 1}
	c.fickle[id] = f
	if f.times <= steadyTimes {
		c.want(now + Time(c.interval/20))
	} else {
		c.want(now + Time(c.interval)<<min(f.times-steadyTimes, 2))
	}
}

// drop waits for some offers no longer; who was made them did not get all.
func (c *copier) drop(now Time, v *view, o *outbox, which func(offered) bool) {
	if c.pass == nil {
		return
	}
	n := len(c.pass.offers)
	c.pass.offers = slices.DeleteFunc(c.pass.offers, func(f offered) bool {
		if which(f) {
			c.pass.fail(f.peer)
			return true
		}
		return false
	})
	if len(c.pass.offers) < n {
		c.advance(now, v, o)
	}
}

// reset forgets what was given to whom and said: the roster has changed, or
// this peer has, and what it said as it was counts for nothing.
func (c *copier) reset(now Time) {
	c.is, c.last, c.pass = nil, nil, nil
	c.epoch = 0
	clear(c.told)
	c.wanted, c.due = true, now
}

// step begins a pass when one is due, and sees to fresh puts.
func (c *copier) step(now Time, v *view, l *links, o *outbox) {
	c.doubts.tick(now, v)
	c.pulls.step(now, o)
	if !gives(v) {
		return
	}
	if c.epoch != v.epoch || now >= c.doubts.due {
		c.changed(now, v, l, o)
	}
	if c.flood != 0 && (now >= c.flood || leaving(v)) {
		c.flooded, c.anew = now, true
		c.want(now)
	}
	if c.wanted && now >= c.due && c.pass == nil {
		if c.anew {
			c.last, c.anew = nil, false
		}
		if c.last == nil {
			clear(c.gave)
			c.flood = 0
		}
		c.wanted = false
		c.pass = &pass{stamps: c.is, epoch: c.epoch, more: true}
		c.advance(now, v, o)
	}
	if p := c.pass; p != nil {
		if at, silent := overdue(p.offers); now >= at {
			c.rest(now, silent, v)
			c.drop(now, v, o, func(f offered) bool { return f.peer == silent })
		}
	}
	if p := c.pass; p != nil && now >= p.full() && c.others(p.offers[0].peer, v) {
		slow := p.offers[0].peer
		c.later(now, slow)
		c.drop(now, v, o, func(f offered) bool { return f.peer == slow })
	}
	c.fresh.step(now, v, o)
}

// advance offers what is in the batch while the window has room, asks for the
// next batch, and ends the pass when there is none.
func (c *copier) advance(now Time, v *view, o *outbox) {
	p := c.pass
	for len(p.batch) > 0 && len(p.offers) < window {
		c.give(now, p.batch[0], v, o)
		p.batch = p.batch[1:]
	}
	switch {
	case len(p.batch) > 0 || p.scan != 0:
	case p.more:
		p.scan = uint64(o.number())
		o.do(Scan{Scan: p.scan, First: p.after == Version{}, After: p.after, Limit: scanLimit})
	case len(p.offers) == 0:
		c.finish(now, v, o)
	}
}

func (c *copier) scanned(now Time, e Scanned, v *view, o *outbox) {
	p := c.pass
	if p == nil || p.scan == 0 || e.Scan != p.scan {
		return
	}
	if e.Failed { // what this peer can't read it may still have to give
		c.pass = nil
		c.rest(now, v.self, v)
		c.want(c.resting[v.self].until)
		return
	}
	p.scan, p.batch = 0, e.Versions
	p.more = e.More && len(e.Versions) > 0
	if len(e.Versions) > 0 {
		p.after = e.Versions[len(e.Versions)-1]
	}
	c.advance(now, v, o)
}

// give offers one version to those of its places that may lack it.
func (c *copier) give(now Time, x Version, v *view, o *outbox) {
	p := c.pass
	to := places(v, p.stamps, x.Key)
	p.stranded = p.stranded || len(to) == 0
	for _, i := range to {
		id := v.members[i].id
		r, rests := c.resting[id]
		switch {
		case c.given(i, p.stamps[i], v) && slices.Contains(places(v, c.last.stamps, x.Key), i):
		case slices.Contains(p.failed, id):
		case rests && now < r.until:
			p.fail(id)
		case p.epoch != c.epoch && !slices.Contains(places(v, c.is, x.Key), i):
			p.fail(id) // whose place it was to take has come back
		default:
			f := offered{peer: id, req: o.number(), version: x, made: now, at: now}
			p.offers = append(p.offers, f)
			o.do(SendOffer{To: id, Req: f.req, Version: x})
		}
	}
}

// given reports whether the last pass gave member i, taken for is now, all
// that it was to get, and it goes on from there.
func (c *copier) given(i int, is stamp, v *view) bool {
	return c.last != nil && is.continues(c.last.stamps[i]) && !slices.Contains(c.last.failed, v.members[i].id)
}

// others reports whether anybody but id is still to be given something.
func (c *copier) others(id wire.ID, v *view) bool {
	p := c.pass
	for i, is := range p.stamps {
		o := v.members[i].id
		if is.up && o != id && o != v.self && !slices.Contains(p.failed, o) && !c.given(i, is, v) {
			return true
		}
	}
	return false
}

// stored remembers a version that was just written here.
func (c *copier) stored(now Time, x Version) {
	if c.fresh.add(now, x) || c.flood != 0 {
		return
	}
	c.flood = now + Time(c.interval)
	if c.flooded != 0 {
		c.flood = max(c.flood, c.flooded+floodPause*Time(c.interval))
	}
}

// confirmed takes the answer to an offer.
func (c *copier) confirmed(now Time, from wire.ID, m wire.Confirmed, v *view, o *outbox) {
	if m.Code == wire.CodeMore {
		if c.pass != nil && prolong(now, c.pass.offers, from, m.Req, Time(c.doubts.grace)) {
			c.progress = now
		}
		return
	}
	if m.Code == wire.CodeOK {
		c.progress = now
	}
	// Forbidden is final: who wrote this version is not in its roster.
	took := m.Code == wire.CodeOK || m.Code == wire.CodeForbidden
	c.fresh.answered(from, m.Req, took)
	if c.pass == nil || !c.pass.answered(from, m.Req, took) {
		return
	}
	if !took {
		c.rest(now, from, v)
	}
	c.advance(now, v, o)
}

// offerFailed notes that an offer was not made. A version that is not here any
// more is nobody's; one that can't be read may still have to be given.
func (c *copier) offerFailed(now Time, e OfferFailed, v *view, o *outbox) {
	c.fresh.answered(e.Peer, e.Req, e.Missing)
	if c.pass == nil || !c.pass.answered(e.Peer, e.Req, e.Missing) {
		return
	}
	if !e.Missing {
		c.rest(now, v.self, v)
	}
	c.advance(now, v, o)
}

// answered ends an offer, and reports whether it was one of this pass.
func (p *pass) answered(from wire.ID, req uint32, took bool) bool {
	i := slices.IndexFunc(p.offers, func(f offered) bool { return f.req == req && f.peer == from })
	if i < 0 {
		return false
	}
	p.offers = slices.Delete(p.offers, i, i+1)
	if !took {
		p.fail(from)
	}
	return true
}

// full is when whoever was made the oldest offer has taken too long over it, if
// no more can be made; or never.
func (p *pass) full() Time {
	if len(p.offers) < window {
		return never
	}
	return p.offers[0].made + slowTaker
}

// fail notes that id did not get all: nothing more is offered to it in this
// pass.
func (p *pass) fail(id wire.ID) {
	if !slices.Contains(p.failed, id) {
		p.failed = append(p.failed, id)
	}
}

// rest leaves id alone for a while that doubles, unless this peer is only
// waiting to leave. What id should get must not wait in the way of what
// others should.
func (c *copier) rest(now Time, id wire.ID, v *view) {
	r := c.resting[id]
	if now < r.until {
		return
	}
	if !leaving(v) {
		r.times++
	}
	r.until = now + Time(c.interval)<<min(r.times, backoffs)
	c.resting[id] = r
}

// later leaves alone, for a moment, a peer that takes what it is offered, but
// slowly.
func (c *copier) later(now Time, id wire.ID) {
	r := c.resting[id]
	r.until = max(r.until, now+2*Time(c.interval))
	c.resting[id] = r
}

// want has a pass at due, if none is to be before.
func (c *copier) want(due Time) {
	if !c.wanted || due < c.due {
		c.wanted, c.due = true, due
	}
}

// linked says once more, over a new link, what may not have arrived over the
// one before: an offer that is not answered, and that id is settled.
func (c *copier) linked(id wire.ID, v *view, o *outbox) {
	if c.pass != nil {
		for _, f := range c.pass.offers {
			if f.peer == id {
				o.do(SendOffer{To: id, Req: f.req, Version: f.version})
			}
		}
	}
	if slices.Contains(v.takers(), id) {
		c.settle(v.place(id), v, o)
	}
}

// lost notes that the link with id fell: what was offered over it is not
// answered. Who offered something here still gets its answer: its own end of
// the link may have been replaced without a gap.
func (c *copier) lost(now Time, id wire.ID, v *view, o *outbox) {
	delete(c.told, id)
	c.fresh.lost(id)
	if c.pass != nil && slices.ContainsFunc(c.pass.offers, func(f offered) bool { return f.peer == id }) {
		c.rest(now, id, v)
	}
	c.drop(now, v, o, func(f offered) bool { return f.peer == id })
}

// forget drops a member that the roster has taken out.
func (c *copier) forget(id wire.ID) {
	delete(c.fickle, id)
	delete(c.resting, id)
	delete(c.told, id)
	delete(c.gave, id)
	delete(c.doubts.of, id)
	c.accord.forget(id)
	c.pulls.forget(id)
}

// finish ends a pass: who got everything is told so. Who did not is for
// another one.
func (c *copier) finish(now Time, v *view, o *outbox) {
	p := c.pass
	c.last, c.pass = p, nil
	for id, r := range c.resting {
		if now >= r.until && !slices.Contains(p.failed, id) {
			delete(c.resting, id)
		}
	}
	if len(p.failed) > 0 {
		for _, id := range append(p.failed, v.self) {
			if r, ok := c.resting[id]; ok {
				c.want(max(now, r.until))
			}
		}
	}
	if p.stranded && leaving(v) {
		c.want(now + Time(c.interval))
	}
	for _, id := range v.takers() {
		c.settle(v.place(id), v, o)
	}
}

// settle tells a member that it was given everything, if it was and has not
// been told yet. This peer's own row goes before: it may say that this peer
// missed something, after which what it said earlier counts for nothing, and
// it must not come later over another link.
func (c *copier) settle(i int, v *view, o *outbox) {
	if c.epoch != v.epoch || !c.given(i, c.is[i], v) {
		return
	}
	id := v.members[i].id
	s := wire.Settled{
		Incarnation: v.members[i].incarnation,
		From:        arc(v, i, func(j int) bool { return c.last.stamps[j].home }),
	}
	if c.told[id] != s {
		c.told[id] = s
		o.send(id, wire.Rows{Rows: []wire.Row{v.members[v.me].row()}})
		o.send(id, s)
	}
}

// done reports whether everything that this peer holds is on all home holders
// that it can reach, or on stand-ins.
func (c *copier) done(v *view) bool {
	if !slices.ContainsFunc(v.members, func(m member) bool {
		return m.id != v.self && m.home() && v.vote(m.id) != wire.Gone
	}) {
		return true // nobody is there who could hold anything, or is still waited for
	}
	return c.pass == nil && !c.wanted && c.flood == 0 && c.last != nil && !c.last.stranded && len(c.last.failed) == 0 &&
		c.epoch == v.epoch && slices.Equal(c.last.stamps, c.is)
}

// refusing returns who has not taken all that was offered.
func (c *copier) refusing() []wire.ID {
	var ids []wire.ID
	if c.last != nil {
		ids = slices.Clone(c.last.failed)
	}
	if c.pass != nil {
		ids = append(ids, c.pass.failed...)
		for _, f := range c.pass.offers {
			ids = append(ids, f.peer)
		}
	}
	return ids
}

// pending counts what is on its way.
func (c *copier) pending() int {
	n := c.pulls.pending() + c.fresh.pending()
	if c.pass != nil {
		n += len(c.pass.offers) + len(c.pass.batch)
	}
	return n
}

// pulled takes the end of a pull.
func (c *copier) pulled(now Time, e Pulled, v *view, o *outbox) {
	by, ok := c.pulls.pulled(now, e, o)
	if !ok || e.Code != wire.CodeOK || !e.New {
		return
	}
	c.gave[by], c.gained = true, now
	if home := func(h holder) bool { return h.home && h.id == v.self }; !slices.ContainsFunc(v.holders(e.Version.Key, nil), home) {
		// Whoever gave it here could not reach somebody who is home to it, which
		// this peer may never have missed.
		c.stored(now, e.Version)
	}
}

// load counts the entries of all that is remembered.
func (c *copier) load() int {
	n := len(c.is) + len(c.resting) + len(c.fickle) + len(c.told) + len(c.gave) + len(c.doubts.of) +
		len(c.accord.settled) + len(c.accord.excused) + c.pulls.load() + c.fresh.load()
	for _, p := range []*pass{c.last, c.pass} {
		if p != nil {
			n += len(p.stamps) + len(p.batch) + len(p.offers) + len(p.failed)
		}
	}
	return n
}

func (c *copier) next(v *view) Time {
	if !gives(v) {
		return c.pulls.next()
	}
	t := min(c.pulls.next(), c.fresh.next(), c.doubts.due)
	if c.wanted && c.pass == nil {
		t = min(t, c.due)
	}
	if c.flood != 0 && c.pass == nil {
		t = min(t, c.flood)
	}
	if c.pass != nil {
		at, _ := overdue(c.pass.offers)
		t = min(t, at)
	}
	return t
}
