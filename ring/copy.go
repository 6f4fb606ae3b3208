package ring

import (
	"slices"
	"time"

	"securepeer/wire"
)

const (
	// MaxPulls is how many Pull actions are under way at most.
	MaxPulls = 8

	// maxQueued is how many accepted offers wait for a pull; more are answered
	// CodeBusy, and come again.
	maxQueued = 256

	// share is the part of pulls and queue that the offers of one member may
	// take: one that offers what nobody can fetch must leave room for others.
	share = 4

	// maxWaiters is how many offers of one version by one member are answered.
	maxWaiters = 4

	// backoffs is how often the wait for whoever did not answer is doubled.
	backoffs = 6

	// window is how many offers of this peer are not answered at most.
	window = 32

	// scanLimit is how many versions a Scan brings.
	scanLimit = 64

	// offerWait is how long an offer may go without an answer: a peer that
	// never gives one must not keep the others from being settled. A pull that
	// takes longer goes on, and the next pass finds what it brought.
	offerWait = Time(20 * time.Second)
)

// copier is the one loop that moves versions, for join, leave, return and
// what a put left undone: for each version that this peer has and each of its
// home holders in its view, has it this version, verified and synced? If not,
// offer it. It never drops.
//
// A pass walks all versions, after every change of the view that changes who
// is home or who can be reached. It offers only to whom the last complete
// pass did not already give: what it knew of each member then is its stamp.
type copier struct {
	interval time.Duration

	stamps []stamp   // by member index, of the last complete pass
	seen   []stamp   // what the last pass that began took them for
	near   []wire.ID // whom it settled, or had before
	due    Time      // when the next pass may begin
	wanted bool      // a pass is

	pass    *pass
	failed  []wire.ID // did not take all that the last pass offered
	holding bool      // the last pass found a version that nobody else in reach is home to

	fresh    fresh
	pulls    []pull
	queue    []pull
	excused  map[wire.ID]wire.Incarnation // whom this peer, in that incarnation, waits for no longer
	resting  map[wire.ID]resting          // who does not answer offers
	failures int                          // passes in a row that did not reach everybody
	progress Time                         // when an offer was last confirmed
	settled  map[wire.ID]wire.Incarnation // who gave this peer all, in which incarnation of it
}

// stamp is what a pass took a member for.
type stamp struct {
	home        bool
	up          bool
	state       wire.State
	incarnation wire.Incarnation
}

// resting is how long a peer that does not answer offers is left alone.
type resting struct {
	until Time
	times int
}

// pass is one walk over all versions.
type pass struct {
	stamps  []stamp
	scan    uint64
	batch   []Version
	more    bool // after batch
	after   Version
	asked   bool // a Scan is under way
	offers  []offered
	failed  []wire.ID
	skipped bool // a version had no home holder within reach but this peer
}

// pull is a version on its way here, and who offered it.
type pull struct {
	by       wire.ID // who offered it first
	manifest wire.Manifest
	sum      wire.Sum
	source   wire.ID
	waiters  []offered
}

func stampsOf(v *view) []stamp {
	s := make([]stamp, len(v.members))
	for i := range v.members {
		m := &v.members[i]
		s[i] = stamp{m.home(), m.inRing, m.row.State, m.row.Incarnation}
	}
	return s
}

// continues reports whether a member that was given everything as was needs
// nothing anew as is.
func (is stamp) continues(was stamp) bool {
	return was.up && is.up && was.home &&
		(is.incarnation == was.incarnation || goesOn(was.incarnation, was.state, is.incarnation, is.state))
}

// goesOn reports whether a row that follows another of the same member says
// only that it has caught up, or that its disk takes no more: then nobody has
// to give it anything anew. Any other change may stand for a time in which it
// missed something.
func goesOn(i wire.Incarnation, was wire.State, j wire.Incarnation, is wire.State) bool {
	return j == i+1 && (was == wire.Joining && is == wire.Active ||
		(was == wire.Joining || was == wire.Active) && (is == wire.Full || is == wire.Stuck))
}

// changed notes that the view has, and whether that asks for a pass.
func (c *copier) changed(now Time, v *view, o *outbox) {
	if !slices.Equal(c.seen, stampsOf(v)) {
		c.want(now + Time(c.interval/20))
	}
	if c.pass == nil {
		return
	}
	// Who is no longer in the ring is not waited for.
	n := len(c.pass.offers)
	c.pass.offers = slices.DeleteFunc(c.pass.offers, func(f offered) bool {
		away := !v.member(f.peer).inRing
		if away {
			c.fail(f.peer)
		}
		return away
	})
	if len(c.pass.offers) < n {
		c.advance(now, v, o)
	}
}

// reset forgets what was given to whom: the roster has changed, or this peer
// leaves and wants to hear it from everybody.
func (c *copier) reset(now Time) {
	c.stamps, c.seen, c.pass = nil, nil, nil
	c.wanted, c.due = true, now
}

// step begins a pass when one is due, and checks fresh puts.
func (c *copier) step(now Time, v *view, o *outbox) {
	if !gives(v) {
		return
	}
	if c.wanted && now >= c.due && c.pass == nil {
		c.wanted, c.seen = false, stampsOf(v)
		c.pass = &pass{stamps: slices.Clone(c.seen), more: true}
		c.advance(now, v, o)
	}
	if p := c.pass; p != nil && len(p.offers) > 0 && now >= p.offers[0].at+offerWait {
		c.rest(now, p.offers[0].peer)
		c.advance(now, v, o)
	}
	c.fresh.step(now, v, o)
}

// gives reports whether this peer offers what it holds: in the ring, and on
// its way out of it.
func gives(v *view) bool { return v.inRing() || v.members[v.me].row.State == wire.Leaving }

// advance offers what is in the batch while the window has room, asks for the
// next batch, and ends the pass when there is none.
func (c *copier) advance(now Time, v *view, o *outbox) {
	p := c.pass
	for len(p.batch) > 0 && len(p.offers) < window {
		c.give(now, p.batch[0], v, o)
		p.batch = p.batch[1:]
	}
	switch {
	case len(p.batch) > 0 || p.asked:
	case p.more:
		p.asked = true
		p.scan = uint64(o.number())
		o.do(Scan{Scan: p.scan, First: p.after == Version{}, After: p.after, Limit: scanLimit})
	case len(p.offers) == 0:
		c.finish(now, v, o)
	}
}

func (c *copier) scanned(now Time, e Scanned, v *view, o *outbox) {
	p := c.pass
	if p == nil || !p.asked || e.Scan != p.scan {
		return
	}
	if e.Failed { // what this peer can't read it may still have to give
		c.pass = nil
		c.retry(now, v)
		return
	}
	p.asked, p.batch = false, e.Versions
	p.more = e.More && len(e.Versions) > 0
	if len(e.Versions) > 0 {
		p.after = e.Versions[len(e.Versions)-1]
	}
	c.advance(now, v, o)
}

// give offers one version to each home holder that may lack it.
func (c *copier) give(now Time, x Version, v *view, o *outbox) {
	p := c.pass
	within := false
	for _, i := range homes(v, p.stamps, x.Key) {
		m := &v.members[i]
		if m.id == v.self {
			continue
		}
		is := p.stamps[i]
		if !is.up || is.state == wire.Full || is.state == wire.Stuck {
			continue
		}
		within = true
		if len(c.stamps) == len(p.stamps) && is.continues(c.stamps[i]) &&
			slices.Contains(homes(v, c.stamps, x.Key), i) {
			continue
		}
		c.offer(now, m.id, x, o)
	}
	if !within && v.members[v.me].row.State == wire.Leaving {
		for _, id := range v.targets(x.Key) { // stand-ins, rather than nobody
			within = true
			c.offer(now, id, x, o)
		}
	}
	p.skipped = p.skipped || !within
}

func (c *copier) offer(now Time, to wire.ID, x Version, o *outbox) {
	if r, ok := c.resting[to]; slices.Contains(c.pass.failed, to) || ok && now < r.until {
		c.fail(to)
		return
	}
	f := offered{peer: to, req: o.number(), version: x, at: now}
	c.pass.offers = append(c.pass.offers, f)
	o.do(SendOffer{To: to, Req: f.req, Version: x})
}

// homes returns the indices of the home holders of k as the stamps have it.
func homes(v *view, stamps []stamp, k wire.Pos) []int {
	var is []int
	for j, i := 0, at(v.members, k); j < len(stamps) && len(is) < v.copies; j, i = j+1, (i+1)%len(stamps) {
		if stamps[i].home {
			is = append(is, i)
		}
	}
	return is
}

// stored remembers a version that was just written here.
func (c *copier) stored(now Time, x Version) {
	if !c.fresh.add(now, x) {
		c.reset(now + Time(c.interval))
	}
}

// confirmed takes the answer to an offer.
func (c *copier) confirmed(now Time, from wire.ID, m wire.Confirmed, v *view, o *outbox) {
	c.fresh.confirmed(from, m)
	delete(c.resting, from)
	if m.Code == wire.CodeOK {
		c.progress = now
	}
	if c.pass == nil {
		return
	}
	i := slices.IndexFunc(c.pass.offers, func(f offered) bool { return f.req == m.Req && f.peer == from })
	if i < 0 {
		return
	}
	c.pass.offers = slices.Delete(c.pass.offers, i, i+1)
	// Forbidden is final: who wrote this version is not in its roster.
	if m.Code != wire.CodeOK && m.Code != wire.CodeForbidden {
		c.fail(from)
	}
	c.advance(now, v, o)
}

// refusing returns who has not taken all that was offered.
func (c *copier) refusing() []wire.ID {
	ids := slices.Clone(c.failed)
	if c.pass != nil {
		ids = append(ids, c.pass.failed...)
		for _, f := range c.pass.offers {
			ids = append(ids, f.peer)
		}
	}
	return ids
}

// rest leaves alone, for a while that doubles, a peer that does not answer
// offers: what it should get must not wait in the way of what others should.
func (c *copier) rest(now Time, id wire.ID) {
	r := c.resting[id]
	r.times++
	r.until = now + Time(c.interval)<<min(r.times, backoffs)
	c.resting[id] = r
	c.pass.offers = slices.DeleteFunc(c.pass.offers, func(f offered) bool { return f.peer == id })
	c.fail(id)
}

// want has a pass at due, if none is to be before.
func (c *copier) want(due Time) {
	if !c.wanted || due < c.due {
		c.wanted, c.due = true, due
	}
}

// retry has another pass after a wait that doubles as long as passes fail,
// unless this peer is only waiting to leave.
func (c *copier) retry(now Time, v *view) {
	if v.members[v.me].row.State == wire.Leaving {
		c.failures = 0
	}
	c.want(now + Time(c.interval)<<min(c.failures, backoffs))
	c.failures++
}

// fail notes that id did not get all: nothing more is offered to it in this
// pass.
func (c *copier) fail(id wire.ID) {
	if !slices.Contains(c.pass.failed, id) {
		c.pass.failed = append(c.pass.failed, id)
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
	i := v.index[id]
	if len(c.stamps) != len(v.members) || slices.Contains(c.near, id) || !slices.Contains(v.takers(), id) {
		return
	}
	if is := stampsOf(v)[i]; is.continues(c.stamps[i]) {
		c.near = append(c.near, id)
		settle(id, is.incarnation, v, o)
	}
}

// lost notes that the link with id fell: what was offered over it is not
// answered. Who offered something here still gets its answer: its own end of
// the link may have been replaced without a gap.
func (c *copier) lost(now Time, id wire.ID, v *view, o *outbox) {
	c.near = slices.DeleteFunc(c.near, func(p wire.ID) bool { return p == id })
	if c.pass == nil {
		return
	}
	n := len(c.pass.offers)
	c.pass.offers = slices.DeleteFunc(c.pass.offers, func(f offered) bool { return f.peer == id })
	if len(c.pass.offers) < n {
		c.fail(id)
		c.advance(now, v, o)
	}
}

// forget drops a member that the roster has taken out.
func (c *copier) forget(id wire.ID) {
	delete(c.settled, id)
	delete(c.excused, id)
	delete(c.resting, id)
	for _, list := range [][]pull{c.pulls, c.queue} {
		for i := range list {
			list[i].waiters = slices.DeleteFunc(list[i].waiters, func(f offered) bool { return f.peer == id })
		}
	}
}

// finish ends a pass: who got everything is told so. Who did not, or came
// meanwhile, is for the next one.
func (c *copier) finish(now Time, v *view, o *outbox) {
	p := c.pass
	for _, id := range p.failed {
		p.stamps[v.index[id]] = stamp{}
	}
	near := v.takers()
	for i := range v.members {
		m := &v.members[i]
		is := p.stamps[i]
		given := len(c.stamps) == len(p.stamps) && is.continues(c.stamps[i]) && slices.Contains(c.near, m.id)
		if is.up && !given && m.id != v.self && slices.Contains(near, m.id) {
			settle(m.id, is.incarnation, v, o)
		}
	}
	c.stamps, c.near, c.pass, c.failed, c.holding = p.stamps, near, nil, p.failed, p.skipped
	if len(p.failed) > 0 || p.skipped && v.members[v.me].row.State == wire.Leaving {
		c.retry(now, v)
	} else {
		c.failures = 0
	}
	c.changed(now, v, o)
}

// done reports whether everything that this peer holds is on all home holders
// that it can reach.
func (c *copier) done(v *view) bool {
	return c.pass == nil && !c.wanted && slices.Equal(c.stamps, stampsOf(v))
}

// settle tells id that it has everything. This peer's own row goes before: it
// may say that this peer missed something, after which what it said earlier
// counts for nothing, and it must not come later over another link.
func settle(id wire.ID, incarnation wire.Incarnation, v *view, o *outbox) {
	o.send(id, wire.Rows{Rows: []wire.Row{v.members[v.me].row}})
	o.send(id, wire.Settled{Incarnation: incarnation})
}

// agreed reports whether every reachable home holder of this peer's ranges
// has given it what it had, in an incarnation from since on.
func (c *copier) agreed(v *view, since wire.Incarnation) bool {
	for _, id := range v.givers() {
		if v.member(id).inRing && c.settled[id] < since && c.excused[id] != since {
			return false
		}
	}
	return true
}

// excuse waits no longer for those that have not settled this peer, if another
// has: "until its ranges agree with another holder's". It reports whether
// there is one. A member that settles nobody must not make others useless.
func (c *copier) excuse(v *view, since wire.Incarnation) bool {
	var late []wire.ID
	given := false
	for _, id := range v.givers() {
		switch {
		case !v.member(id).inRing:
		case c.settled[id] >= since:
			given = true
		default:
			late = append(late, id)
		}
	}
	if given {
		for _, id := range late {
			c.excused[id] = since
		}
	}
	return given
}

// load counts what the copier remembers.
func (c *copier) load() int {
	n := len(c.settled) + len(c.excused) + len(c.resting) + len(c.fresh.waiting) + len(c.queue) + len(c.pulls)
	for _, list := range [][]pull{c.pulls, c.queue} {
		for i := range list {
			n += len(list[i].waiters)
		}
	}
	if c.pass != nil {
		n += len(c.pass.offers) + len(c.pass.batch) + len(c.pass.failed)
	}
	return n
}

// pending counts what is on its way.
func (c *copier) pending() int {
	n := len(c.pulls) + len(c.queue) + c.fresh.pending()
	if c.pass != nil {
		n += len(c.pass.offers) + len(c.pass.batch)
	}
	return n
}

// offered answers an Offer: with Confirmed when the version is here.
func (c *copier) offered(from wire.ID, m wire.Offer, v *view, o *outbox) {
	if code := mayTake(wire.KeyOf(v.space, m.Manifest.Name), v); code != wire.CodeOK {
		o.send(from, wire.Confirmed{Req: m.Req, Code: code})
		return
	}
	x := pull{by: from, manifest: m.Manifest, sum: m.Manifest.Sum(), source: m.Source,
		waiters: []offered{{peer: from, req: m.Req}}}
	for _, list := range [][]pull{c.pulls, c.queue} {
		for i := range list {
			if list[i].sum == x.sum {
				list[i].wait(x.waiters[0])
				return
			}
		}
	}
	if len(c.queue) == maxQueued || offeredBy(c.queue, from) == maxQueued/share {
		o.send(from, wire.Confirmed{Req: m.Req, Code: wire.CodeBusy})
		return
	}
	c.queue = append(c.queue, x)
	c.fetch(o)
}

// wait adds who wants to hear how a pull ended. Of each peer its last few
// offers are answered: a walk and a fresh put may offer the same version.
func (p *pull) wait(f offered) {
	first, n := -1, 0
	for i, w := range p.waiters {
		if w.peer != f.peer {
			continue
		}
		if w.req == f.req {
			return
		}
		if n++; first < 0 {
			first = i
		}
	}
	if n >= maxWaiters {
		p.waiters = slices.Delete(p.waiters, first, first+1)
	}
	p.waiters = append(p.waiters, f)
}

func offeredBy(list []pull, id wire.ID) int {
	n := 0
	for i := range list {
		if list[i].by == id {
			n++
		}
	}
	return n
}

// fetch begins pulls while there is room, the oldest offers first.
func (c *copier) fetch(o *outbox) {
	for i := 0; i < len(c.queue) && len(c.pulls) < MaxPulls; {
		x := c.queue[i]
		if offeredBy(c.pulls, x.by) >= MaxPulls/share {
			i++
			continue
		}
		c.queue = slices.Delete(c.queue, i, i+1)
		c.pulls = append(c.pulls, x)
		o.do(Pull{From: x.source, Manifest: x.manifest})
	}
}

// mayTake says whether this peer takes a version of key k: as one of those
// near enough to be a stand-in. Who offers may know of a loss that this peer
// has not heard of.
func mayTake(k wire.Pos, v *view) wire.Code {
	me := &v.members[v.me]
	switch {
	case !me.inRing:
		return wire.CodeNotInRing
	case !slices.Contains(v.successors(k-1, 2*v.copies+2, nobody, nil), v.self):
		return wire.CodeNotOwner
	case me.row.State == wire.Full:
		return wire.CodeFull
	case me.row.State == wire.Stuck:
		return wire.CodeStuck
	}
	return wire.CodeOK
}

// pulled answers who waited for a version, and begins the next pull.
func (c *copier) pulled(now Time, e Pulled, v *view, o *outbox) {
	i := slices.IndexFunc(c.pulls, func(p pull) bool { return p.sum == e.Version.Sum })
	if i < 0 {
		return
	}
	if e.Code == wire.CodeOK && !slices.ContainsFunc(homes(v, stampsOf(v), e.Version.Key), func(j int) bool { return j == v.me }) {
		// Whoever gave it here could not reach somebody who is home to it, which
		// this peer may never have missed.
		c.stored(now, e.Version)
	}
	for _, f := range c.pulls[i].waiters {
		o.send(f.peer, wire.Confirmed{Req: f.req, Code: e.Code})
	}
	c.pulls = slices.Delete(c.pulls, i, i+1)
	c.fetch(o)
}

func (c *copier) next(v *view) Time {
	t := never
	if !gives(v) {
		return t
	}
	if c.wanted && c.pass == nil {
		t = c.due
	}
	if c.pass != nil && len(c.pass.offers) > 0 {
		t = min(t, c.pass.offers[0].at+offerWait)
	}
	t = min(t, c.fresh.next())
	return t
}
