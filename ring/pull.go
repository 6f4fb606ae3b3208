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

	// uploadWait is how long a version is left to the upload that brings it here
	// until that is looked at again, and maxUploadWaits how often: for ten minutes.
	uploadWait     = offerWait / 4
	maxUploadWaits = 120
)

// pulls are the versions on their way here: at most MaxPulls, and maxQueued
// that wait.
type pulls struct {
	interval time.Duration
	under    []pull
	queue    []pull           // oldest first
	vain     map[wire.ID]Time // until when nothing is pulled of whom the last was in vain
}

// pull is a version on its way here, and who offered it.
type pull struct {
	by       wire.ID // who offered it first
	manifest wire.Manifest
	sum      wire.Sum
	source   wire.ID
	waiters  []offered // at most maxWaiters of each member
	waits    int       // how often it is left to an upload that brings it
	rest     Time      // it is until then
}

// offered answers an Offer: with Confirmed when the version is here. A source
// that this peer's roster does not have may be in that of who offers.
func (p *pulls) offered(now Time, from wire.ID, m wire.Offer, v *view, o *outbox) {
	if !v.has(m.Source) {
		o.send(from, wire.Confirmed{Req: m.Req, Code: wire.CodeInvalid})
		return
	}
	if code := mayTake(wire.KeyOf(v.space, m.Manifest.Name), v); code != wire.CodeOK {
		o.send(from, wire.Confirmed{Req: m.Req, Code: code})
		return
	}
	x := pull{by: from, manifest: m.Manifest, sum: m.Manifest.Sum(), source: m.Source,
		waiters: []offered{{peer: from, req: m.Req}}}
	if v.members[v.me].state != wire.Joining && v.member(from) != nil && v.member(from).state != wire.Leaving {
		x.waits = maxUploadWaits // else the end of a join or of a leave hangs on it
	}
	for _, list := range [][]pull{p.under, p.queue} {
		for i := range list {
			if list[i].sum == x.sum {
				list[i].wait(x.waiters[0])
				return
			}
		}
	}
	if len(p.queue) == maxQueued || offeredBy(p.queue, from) == maxQueued/share {
		o.send(from, wire.Confirmed{Req: m.Req, Code: wire.CodeBusy})
		return
	}
	p.queue = append(p.queue, x)
	p.fetch(now, o)
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

// step goes on with those who waited because of what they offered before.
func (p *pulls) step(now Time, o *outbox) {
	for id, until := range p.vain {
		if now >= until {
			delete(p.vain, id)
		}
	}
	for i := range p.queue {
		if now >= p.queue[i].rest {
			p.queue[i].rest = 0
		}
	}
	p.fetch(now, o)
}

func (p *pulls) next() Time {
	t := never
	for _, until := range p.vain {
		t = min(t, until)
	}
	for i := range p.queue {
		if until := p.queue[i].rest; until > 0 {
			t = min(t, until)
		}
	}
	return t
}

// fetch begins pulls while there is room, the oldest offers first. Whoever
// offered what could not be had waits an interval: else one that names as the
// source a third member, which has nothing of the kind, would have everybody
// ask that one as fast as messages go.
func (p *pulls) fetch(now Time, o *outbox) {
	for i := 0; i < len(p.queue) && len(p.under) < MaxPulls; {
		x := p.queue[i]
		if offeredBy(p.under, x.by) >= MaxPulls/share || now < p.vain[x.by] || now < x.rest {
			i++
			continue
		}
		p.queue = slices.Delete(p.queue, i, i+1)
		p.under = append(p.under, x)
		o.do(Pull{From: x.source, Manifest: x.manifest, Leave: x.waits > 0})
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
	case me.state == wire.Full:
		return wire.CodeFull
	case me.state == wire.Stuck:
		return wire.CodeStuck
	}
	return wire.CodeOK
}

// pulled answers who waited for a version, and begins the next pull. It
// reports who offered the version first, if it was one of these.
func (p *pulls) pulled(now Time, e Pulled, o *outbox) (by wire.ID, ok bool) {
	i := slices.IndexFunc(p.under, func(x pull) bool { return x.sum == e.Version.Sum })
	if i < 0 {
		return 0, false
	}
	x := p.under[i]
	for _, f := range x.waiters {
		o.send(f.peer, wire.Confirmed{Req: f.req, Code: e.Code})
	}
	p.under = slices.Delete(p.under, i, i+1)
	switch e.Code {
	case wire.CodeOK, wire.CodeFull, wire.CodeStuck: // the last two are of this disk
	default:
		p.vain[x.by] = now + Time(p.interval)
	}
	p.fetch(now, o)
	return x.by, true
}

// left takes the word that an upload brings a version here by itself: to fetch it
// as well would have each of its bytes come twice, over a line that may be slow.
// It takes no place among the pulls, and is looked at again.
func (p *pulls) left(now Time, x Version, o *outbox) {
	i := slices.IndexFunc(p.under, func(u pull) bool { return u.sum == x.Sum })
	if i < 0 {
		return
	}
	p.goesOn(x, o)
	u := p.under[i]
	u.waits--
	u.rest = now + uploadWait
	p.under = slices.Delete(p.under, i, i+1)
	p.queue = append(p.queue, u)
	p.fetch(now, o)
}

// goesOn says of a pull that its bytes come to those who wait for it, and to
// those whose offers wait behind it.
func (p *pulls) goesOn(x Version, o *outbox) {
	i := slices.IndexFunc(p.under, func(u pull) bool { return u.sum == x.Sum })
	if i < 0 {
		return
	}
	say := func(u pull) {
		for _, f := range u.waiters {
			o.send(f.peer, wire.Confirmed{Req: f.req, Code: wire.CodeMore})
		}
	}
	say(p.under[i])
	for _, u := range p.queue {
		if u.by == p.under[i].by {
			say(u)
		}
	}
}

// forget answers a member that the roster has taken out no more.
func (p *pulls) forget(id wire.ID) {
	delete(p.vain, id)
	for _, list := range [][]pull{p.under, p.queue} {
		for i := range list {
			list[i].waiters = slices.DeleteFunc(list[i].waiters, func(f offered) bool { return f.peer == id })
		}
	}
}

func (p *pulls) pending() int { return len(p.under) + len(p.queue) }

// load counts the pulls and who waits for them.
func (p *pulls) load() int {
	n := p.pending() + len(p.vain)
	for _, list := range [][]pull{p.under, p.queue} {
		for i := range list {
			n += len(list[i].waiters)
		}
	}
	return n
}
