package ring

import (
	"slices"
	"time"

	"securepeer/wire"
)

// maxOps is how many operations of its user a peer runs at once.
const maxOps = 1024

// operation is something that this peer's user asked for: a get, put or
// lookup. Walking, each begins with a question on its way to the owner of a
// name; a get and a put then look at what the holders have.
type operation interface {
	base() *query
	// begin is called once, in the ring.
	begin(now Time, s scene)
	// led is called when the question has led to at, who said Here
	// (Succeeded), or has ended early at it.
	led(now Time, at wire.ID, how Outcome, s scene)
	// step goes on when time or an answer allows it.
	step(now Time, s scene)
	next() Time
	// awaits returns the peers for which it waits now.
	awaits() []wire.ID
}

// scene is what an operation sees of the peer.
type scene struct {
	view    *view
	own     *own
	route   route
	out     *outbox
	detect  *detector
	paces   paces
	numbers *numbers
	ops     *operations
}

// suspects reports whether id is in doubt though it is in the ring: it leaves
// pings of this peer without an answer, or any observer has voted against it.
// That is hearsay, and only decides whom to ask first.
func (s scene) suspects(id wire.ID) bool {
	if w := s.detect.find(id); w != nil && w.tries >= helpAfter {
		return true
	}
	return slices.ContainsFunc(s.view.votes[id], against)
}

// query is what operations have in common.
type query struct {
	op    Op
	name  string
	find  *find // on its way; nil: not asked, or ended
	look  look
	asked bool // look has begun
	over  bool
}

func (q *query) base() *query { return q }

// finish ends the operation.
func (q *query) finish(r Result, s scene) {
	q.over = true
	s.out.done(q.op, r)
}

// ask sends the question on its way to next.
func (q *query) ask(now Time, next wire.ID, purpose wire.Purpose, s scene) {
	q.find = &find{purpose: purpose, name: q.name, limit: s.route.limit(s.view)}
	q.find.ask(now, next, lookWait, s.out)
}

// waits reports whether from was asked, by that request.
func (q *query) waits(from wire.ID, req uint32) bool {
	return !q.over && q.find != nil && q.find.at == from && q.find.req == req
}

// operations is what this peer's user has asked for and not yet got.
type operations struct {
	list    []operation // in the order in which they began
	probes  []*probe
	paces   paces
	numbers numbers
	offers  map[wire.ID]int // that the puts have made and a peer has not answered; nil: not counted in this step
}

// offering returns how many offers of all puts a peer has not answered.
func (p *operations) offering(id wire.ID) int {
	if p.offers == nil {
		p.offers = map[wire.ID]int{}
		for _, x := range p.list {
			if x, ok := x.(*put); ok {
				for _, f := range x.offers {
					p.offers[f.peer]++
				}
			}
		}
	}
	return p.offers[id]
}

// full reports whether there are as many as may be.
func (p *operations) full() bool { return len(p.list)+len(p.probes) >= maxOps }

// add begins an operation, unless there are too many.
func (p *operations) add(now Time, x operation, s scene) {
	if !s.view.inRing() || p.full() {
		x.base().finish(Result{Outcome: NotReady}, s)
		return
	}
	p.list = append(p.list, x)
	x.begin(now, s)
}

// probe begins a probe, unless there are too many operations.
func (p *operations) probe(now Time, e Probe, s scene) {
	if p.full() {
		s.out.done(e.Op, Result{Outcome: NotReady})
		return
	}
	x := &probe{op: e.Op, peer: e.Peer, began: now}
	p.probes = append(p.probes, x)
	x.step(now, s.detect, s.view, s.out)
}

// puts calls f with each put, and lets it go on.
func (p *operations) puts(now Time, s scene, f func(*put)) {
	for _, x := range p.list {
		if x, ok := x.(*put); ok && !x.over {
			f(x)
			x.step(now, s)
		}
	}
}

// lookups calls f with each lookup.
func (p *operations) lookups(f func(*lookup)) {
	for _, x := range p.list {
		if x, ok := x.(*lookup); ok {
			f(x)
		}
	}
}

// onward takes an Ask: the question goes on, or has ended.
func (p *operations) onward(now Time, from wire.ID, m wire.Ask, s scene) {
	p.lookups(func(l *lookup) { l.onward(now, from, m, s) })
	for _, x := range p.list {
		q := x.base()
		if !q.waits(from, m.Req) || q.find.onward(now, m.Next, s.view, lookWait, s.out) {
			continue
		}
		owner, _ := s.view.owner(wire.KeyOf(s.view.space, q.name))
		if m.Next == s.view.self && owner == m.Next { // it has become the owner meanwhile
			x.led(now, owner, Succeeded, s)
		} else {
			x.led(now, from, OutOfHops, s)
		}
	}
}

// here takes a Here: the question has come to its end.
func (p *operations) here(now Time, from wire.ID, m wire.Here, s scene) {
	p.lookups(func(l *lookup) { l.here(now, from, m, s) })
	for _, x := range p.list {
		if x.base().waits(from, m.Req) {
			x.led(now, from, Succeeded, s)
		}
	}
}

// refused takes a no to a question or look.
func (p *operations) refused(now Time, from wire.ID, m wire.Refuse, s scene) {
	p.lookups(func(l *lookup) { l.refused(now, from, m, s) })
	for _, x := range p.list {
		q := x.base()
		if q.waits(from, m.Req) {
			q.find.code = m.Code
			x.led(now, from, Unavailable, s)
		}
		if q.look.refused(now, from, m, s.view, s.out) {
			x.step(now, s)
		}
	}
}

// found takes an answer to a look. One of this peer itself is behind if this
// peer is.
func (p *operations) found(now Time, from wire.ID, m wire.Found, behind bool, s scene) {
	for _, x := range p.list {
		if took, ok := x.base().look.answer(now, from, m, behind, s.view, s.out); ok {
			if took > 0 {
				s.paces.took(from, took)
			}
			x.step(now, s)
		}
	}
}

// lost notes that the link with id fell. A question is put to it once more.
func (p *operations) lost(now Time, id wire.ID, s scene) {
	p.lookups(func(l *lookup) { l.lost(now, id, s) })
	for _, x := range p.list {
		q := x.base()
		if f := q.find; f != nil && f.at == id && !q.over && !(s.view.has(id) && f.repeat(now, lookWait, s.out)) {
			x.led(now, id, Unavailable, s)
		}
		q.look.cut(now, id, s.view, s.out)
		if x, ok := x.(*put); ok {
			x.lost(id)
		}
		x.step(now, s)
	}
}

// step does what time brings.
func (p *operations) step(now Time, s scene) {
	for _, x := range p.list {
		q := x.base()
		if f := q.find; f != nil && now >= f.until && !q.over {
			x.led(now, f.at, Unavailable, s)
		}
		if q.asked && !q.over {
			q.look.follow(now, s.view, s.out)
		}
		x.step(now, s)
	}
	for _, x := range p.probes {
		x.step(now, s.detect, s.view, s.out)
	}
}

// acked takes an ack, which may be that of a probe.
func (p *operations) acked(now Time, e Pinged, o *outbox) {
	for _, x := range p.probes {
		if !x.over && x.peer == e.From && x.echo == e.Ping.Echo {
			x.over = true
			o.done(x.op, Result{RTT: time.Duration(now - x.sent)})
		}
	}
}

// cancel forgets an operation whose user has gone.
func (p *operations) cancel(op Op) {
	p.list = slices.DeleteFunc(p.list, func(x operation) bool {
		if x, ok := x.(*put); ok && x.op == op {
			x.release(&p.numbers)
		}
		return x.base().op == op
	})
	p.probes = slices.DeleteFunc(p.probes, func(x *probe) bool { return x.op == op })
}

// forget drops what was known of a member that the roster has taken out.
func (p *operations) forget(id wire.ID) { delete(p.paces, id) }

// sweep forgets operations that are over.
func (p *operations) sweep() {
	p.offers = nil
	p.list = slices.DeleteFunc(p.list, func(x operation) bool { return x.base().over })
	p.probes = slices.DeleteFunc(p.probes, func(x *probe) bool { return x.over })
}

func (p *operations) next() Time {
	t := never
	for _, x := range p.list {
		if f := x.base().find; f != nil {
			t = min(t, f.until)
		} else {
			t = min(t, x.next())
		}
	}
	for _, x := range p.probes {
		t = min(t, x.next())
	}
	return t
}
