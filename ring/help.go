package ring

import (
	"slices"

	"securepeer/wire"
)

const (
	// maxHelps is how many requests to ping others are remembered, each for an
	// interval; what is beyond goes unanswered.
	maxHelps = 256

	// maxHelpsEach is how many of them are one member's, or 2 K: so many
	// neighbours has this peer, about whom alone others have a reason to ask it.
	maxHelpsEach = 8

	// helpTries is how many pings a helper sends.
	helpTries = 4
)

// helper is a member that was asked to ping another.
type helper struct {
	peer wire.ID
	req  uint32
}

// help is what this peer does for another that asked it (SWIM, section 3.1).
// It is kept for an interval: so long it counts against who asked.
type help struct {
	asker  helper // whom to answer
	member wire.ID
	began  Time
	last   Time // when the newest ping was sent
	tries  int
	done   bool // answered
}

// seek asks helpers to ping the peer of w: neighbours of it, which have links
// with it, others in each round. An answer is hearsay: alive keeps this peer
// from voting, and no more.
func (d *detector) seek(now Time, w *watch, v *view, l *links, o *outbox) {
	pos := v.pos(v.place(w.peer))
	near := v.successors(pos, v.k, int(w.peer), nil)
	near = v.predecessors(pos, v.k, int(w.peer), near)
	var can []wire.ID
	for _, id := range near {
		if id != v.self && l.up(id) && !slices.Contains(can, id) {
			can = append(can, id)
		}
	}
	for range min(helpers, len(can)) {
		d.turn++
		i := d.turn % len(can)
		h := helper{can[i], o.number()}
		can = slices.Delete(can, i, i+1)
		w.asked = append(w.asked, h)
		o.send(h.peer, wire.PingReq{Req: h.req, Member: w.peer})
	}
	w.sought = now
}

// helpUntil is when what helpers say no longer matters.
func (d *detector) helpUntil(w *watch) Time {
	if len(w.asked) == 0 || w.alive {
		return 0
	}
	return w.sought + Time(d.interval)
}

// helped takes the answer of a helper, and says whom it was asked about.
func (d *detector) helped(from wire.ID, m wire.PingReqAck) (about wire.ID, asked bool) {
	for i := range d.watches {
		w := &d.watches[i]
		if j := slices.Index(w.asked, helper{from, m.Req}); j >= 0 {
			w.asked = slices.Delete(w.asked, j, j+1)
			w.alive = w.alive || m.Alive
			return w.peer, true
		}
	}
	return 0, false
}

// helpWith begins to ping a member for another, and reports whether that one may
// ask so. That this peer is out of the ring, or helps as many as it can, or that
// its roster, which may be another, does not have the member, is nobody's fault.
func (d *detector) helpWith(now Time, from wire.ID, m wire.PingReq, v *view, l *links, o *outbox) bool {
	each := 0
	for _, h := range d.helps {
		if h.asker.peer == from {
			each++
		}
	}
	switch {
	case m.Member == v.self, m.Member == from, each >= max(maxHelpsEach, 2*v.k):
		return false
	case d.due == 0, !v.has(m.Member), len(d.helps) == maxHelps:
		return true
	}
	last := d.askFor(now, m.Member, v, o)
	d.helps = append(d.helps, help{helper{from, m.Req}, m.Member, now, last, 1, false})
	if l.near(v).has(m.Member) { // else a liar could have everybody linked with everybody
		l.dial(now, m.Member, o)
	}
	return true
}

// askFor pings a member for another, unless a ping to it is just under way,
// for whatever reason: so much a member is pinged for others, and no more, whoever
// asks and how often. The rest that it takes of this peer is for this peer's own
// pings. It returns when the newest ping was sent.
func (d *detector) askFor(now Time, id wire.ID, v *view, o *outbox) Time {
	last := never
	if w := d.find(id); w != nil && w.last != 0 {
		last = w.last
	}
	for _, h := range d.helps {
		if h.member == id && (last == never || h.last > last) {
			last = h.last
		}
	}
	if last == never || now-last >= Time(d.interval/gap) {
		d.ask(id, v, o)
		return now
	}
	return last
}

// help goes on with the pings for others.
func (d *detector) help(now Time, v *view, o *outbox) {
	for i := range d.helps {
		switch h := &d.helps[i]; {
		case h.done || now < d.helpNext(*h):
		case h.tries < helpTries:
			h.last = d.askFor(now, h.member, v, o)
			h.tries++
		default:
			h.done = true
			o.send(h.asker.peer, wire.PingReqAck{Req: h.asker.req})
		}
	}
	d.helps = slices.DeleteFunc(d.helps, func(h help) bool { return h.done && now >= d.helpNext(h) })
}

// tell answers those who asked about id: it lives.
func (d *detector) tell(id wire.ID, o *outbox) {
	for i := range d.helps {
		if h := &d.helps[i]; h.member == id && !h.done {
			h.done = true
			o.send(h.asker.peer, wire.PingReqAck{Req: h.asker.req, Alive: true})
		}
	}
}

// unhelp forgets what is asked by id, or about it.
func (d *detector) unhelp(id wire.ID) {
	d.helps = slices.DeleteFunc(d.helps, func(h help) bool { return h.asker.peer == id || h.member == id })
}

// helpNext is when something is due for h.
func (d *detector) helpNext(h help) Time {
	switch {
	case h.done:
		return h.began + Time(d.interval)
	case h.tries < helpTries:
		return h.last + Time(d.interval/gap)
	}
	if w := d.find(h.member); w != nil {
		return h.last + d.rto(w)
	}
	return h.last + Time(d.interval/4)
}

func (d *detector) helpDue() Time {
	t := never
	for _, h := range d.helps {
		t = min(t, d.helpNext(h))
	}
	return t
}
