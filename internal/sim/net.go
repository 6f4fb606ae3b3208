package sim

import (
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// Net is how bytes travel.
type Net struct {
	Delay  time.Duration // one way
	Jitter time.Duration // added to it, uniform: datagrams may overtake
	Loss   float64       // of datagrams; on a link a lost segment costs time only
	Dup    float64       // of datagrams
	Rate   int64         // bytes a second of one transfer; default 100 MiB
}

// Implementation constants: what kernels do.
const (
	dialTimeout = 5 * time.Second        // nobody answers a dial
	dialTry     = time.Second            // nobody answers the first packet of it; doubles
	linkTimeout = 10 * time.Second       // nobody acknowledges what was sent
	idleTimeout = time.Minute            // nobody answers a keepalive
	firstRTO    = 200 * time.Millisecond // of a lost segment; doubles
	retry       = 250 * time.Millisecond // of what a cut holds back
	pingLife    = 240 * time.Second      // of a ping session without a link
)

// end is one process's side of the ring link to another member. Both sides of
// a link have one; bytes that come for an end that is not there are answered
// by a reset, as TCP does, so half-open links die when they are used.
type end struct {
	dial   uint64         // number of the dial that made it, or is on its way
	by     wire.ID        // who dialled
	remote *process       // nil until the handshake is done
	up     bool           // the ring was told
	out    []wire.Message // in order; waits for up, then is on its way
	last   ring.Time      // when the newest of what is on its way arrives
	stall  ring.Time      // since when what is held is
	held   int            // messages that should have arrived
}

// pair is what a process has with another member: the ring link and the ping
// session.
type pair struct {
	end     *end      // nil: there is no link, nor a dial
	dropped uint64    // number of the newest dial when a link was dropped
	remote  *process  // of the ping session; nil: there has been none
	since   ring.Time // of its handshake
	newest  ring.Time // when the last of the datagrams sent so far arrives
}

// with returns what p has with a member.
func (p *process) with(id wire.ID) *pair {
	r := p.pairs[id]
	if r == nil {
		r = &pair{}
		p.pairs[id] = r
	}
	return r
}

// Cut stops every byte from one member to another, or lets it pass again.
// Cutting one way stops datagrams that way; links need both ways.
func (w *World) Cut(from, to wire.ID, cut bool) {
	if w.Config.Log != nil {
		w.logf("cut %v->%v %v", from, to, cut)
	}
	if cut {
		w.cuts[[2]wire.ID{from, to}] = true
	} else {
		delete(w.cuts, [2]wire.ID{from, to})
	}
}

// Split cuts every member of side from all the others, both ways.
func (w *World) Split(side ...wire.ID) {
	in := make(map[wire.ID]bool)
	for _, id := range side {
		in[id] = true
	}
	for _, a := range w.hosts {
		for _, b := range w.hosts {
			if in[a.ID] != in[b.ID] {
				w.Cut(a.ID, b.ID, true)
			}
		}
	}
}

// Heal ends every cut.
func (w *World) Heal() {
	w.logf("heal")
	clear(w.cuts)
}

// cut says that nothing comes from one member to another.
func (w *World) cut(from, to wire.ID) bool {
	return len(w.cuts) > 0 && w.cuts[[2]wire.ID{from, to}]
}

// blocked says that no link can make progress between two members.
func (w *World) blocked(a, b wire.ID) bool { return w.cut(a, b) || w.cut(b, a) }

// flight is how long one datagram travels.
func (w *World) flight() time.Duration {
	return w.Config.Net.Delay + w.upTo(w.Config.Net.Jitter)
}

// segment is how long bytes on a link travel: loss is made good by waiting.
func (w *World) segment() time.Duration {
	d := w.flight()
	for rto := firstRTO; w.chance(w.Config.Net.Loss) && rto < linkTimeout; rto *= 2 {
		d += rto
	}
	return d
}

// sendPing carries a ping or ack as a datagram.
func (p *process) sendPing(to wire.ID, ping wire.Ping) {
	w := p.world
	r := p.pairs[to]
	if r == nil || r.expired(w.now) {
		w.Count.Unsealed++
		return
	}
	w.Count.Datagrams++
	ping = p.host.lies.ping(w, ping)
	w.strict.sent(p, to, datagramSize)
	copies := 1
	if w.chance(w.Config.Net.Dup) {
		w.Count.Doubled++
		copies = 2
	}
	for range copies {
		if w.cut(p.id, to) || w.chance(w.Config.Net.Loss) {
			w.Count.Lost++
			continue
		}
		at := w.now + ring.Time(w.flight())
		if at < r.newest {
			w.Count.Overtaken++
		}
		r.newest = max(r.newest, at)
		e := w.queue.add(at, r.remote)
		e.kind, e.from = datagram, p
		ping.Append(e.ping[:0])
	}
}

// expired says that there is no ping session, or its time is over. While the
// link is up, its dialler replaces it, and with it the session, long before
// that.
func (r *pair) expired(now ring.Time) bool {
	return r.remote == nil || (r.end == nil || !r.end.up) && span(now-r.since) > pingLife
}

// openPing takes a datagram of from: silence if no session of the two
// processes opens it.
func (p *process) openPing(from *process, body []byte) {
	r := p.pairs[from.id]
	if r == nil || r.remote != from || r.expired(p.world.now) {
		p.world.Count.Unsealed++
		return
	}
	ping, err := wire.ParsePing(body)
	if err != nil {
		panic("sim: internal error: " + err.Error())
	}
	p.step(ring.Pinged{From: from.id, Ping: ping}, body)
}

// dial opens a link to a member unless there is one, or one is on its way.
func (p *process) dial(to wire.ID) {
	r := p.with(to)
	if r.end != nil {
		return
	}
	w := p.world
	w.links++
	e := &end{dial: w.links, by: p.id}
	r.end = e
	w.at(w.now+ring.Time(dialTimeout), p, func() { p.giveUp(to, e) })
	if w.byID[to] != nil { // else an address of nobody: silence
		p.knock(to, e, dialTry)
	}
}

// knock asks for a connection, and again after a while.
func (p *process) knock(to wire.ID, e *end, patience time.Duration) {
	w, host := p.world, p.world.byID[to]
	w.after(w.segment(), func() {
		if p.with(to).end != e || e.up {
			return
		}
		q := host.process
		switch {
		case w.blocked(p.id, to) || host.dark:
			w.at(w.now+ring.Time(patience), p, func() { p.knock(to, e, 2*patience) })
		case q == nil:
			w.at(w.now+ring.Time(w.flight()), p, func() { p.giveUp(to, e) })
		default:
			w.at(w.now, q, func() { q.answer(p, e) })
		}
	})
}

// giveUp ends a dial that is not up.
func (p *process) giveUp(to wire.ID, e *end) {
	if p.with(to).end == e && !e.up {
		p.drop(to)
	}
}

// answer is the responder's half of the handshake: it acts on nothing. A key
// that its roster does not have gets silence.
func (p *process) answer(from *process, e *end) {
	w := p.world
	if !p.host.knows(from.id) {
		return
	}
	said := p.host.disk.incarnation
	w.at(w.now+ring.Time(w.segment()), from, func() {
		if from.with(p.id).end != e || e.up || w.blocked(from.id, p.id) {
			return
		}
		dial, heard := e.dial, from.host.disk.incarnation
		e.last = w.now + ring.Time(w.segment())
		w.at(e.last, p, func() { p.confirm(from, dial, heard) })
		from.up(e, p, said)
	})
}

// confirm takes Hello, the first record of the dialler: only now the
// responder acts. Of two links of the same processes, dialled by both at
// once, the one that the lower id dialled stays, and the rings notice
// nothing; of two processes of one member the later stays.
func (p *process) confirm(from *process, dial uint64, said wire.Incarnation) {
	r := p.with(from.id)
	e := r.end
	if e != nil && e.up {
		switch {
		case e.remote.number > from.number:
			return
		case e.remote == from && e.dial > from.with(p.id).dropped:
			if from.id <= e.by {
				e.dial, e.by = dial, from.id
			}
			r.remote, r.since = from, p.world.now
			return
		}
		p.drop(from.id)
		e = r.end
	}
	if e == nil {
		e = &end{}
		r.end = e
	}
	e.dial, e.by = dial, from.id
	p.up(e, from, said)
}

// up tells the ring of a link and sends what waited for it.
func (p *process) up(e *end, remote *process, said wire.Incarnation) {
	e.up, e.remote = true, remote
	r := p.with(remote.id)
	r.remote, r.since = remote, p.world.now
	waiting := e.out
	e.out = nil
	for _, m := range waiting {
		p.transmit(e, m)
	}
	p.watch(e)
	p.step(ring.LinkUp{Peer: remote.id, Incarnation: said}, nil)
}

// send gives a message to the link of a member, dialling it if need be.
func (p *process) send(to wire.ID, m wire.Message) {
	if to == p.id {
		panic("sim: the ring sends a message to itself")
	}
	p.world.strict.message(p, to, m)
	r := p.with(to)
	if r.end == nil {
		p.dial(to)
	}
	if e := r.end; e.up {
		p.transmit(e, m)
	} else {
		e.out = append(e.out, m)
	}
}

// transmit puts a message behind those that are on their way.
func (p *process) transmit(e *end, m wire.Message) {
	e.last = max(e.last, p.world.now+ring.Time(p.world.segment()))
	e.out = append(e.out, m)
	p.world.arriving(p, e, e.last)
}

// arriving has a message of a link arrive at an instant.
func (w *World) arriving(p *process, e *end, at ring.Time) {
	v := w.queue.add(at, nil)
	v.kind, v.from, v.link = segment, p, e
}

// arrive delivers the oldest message of an end, or holds it back while the
// way is cut or the machine there is dark. One event a message; the order
// stays, since each takes the oldest.
func (p *process) arrive(e *end) {
	w, q := p.world, e.remote
	if len(e.out) == 0 {
		return // reset
	}
	if w.blocked(p.id, q.id) || q.dead && q.host.dark {
		w.hold(p, e)
		return
	}
	m := e.out[0]
	e.out[0] = nil
	if e.out = e.out[1:]; len(e.out) == 0 {
		e.out = nil
	}
	switch {
	case q.paused:
		body := m.Append(nil)
		w.at(w.now, q, func() { q.receive(p, m.Type(), body) })
	case !q.dead:
		w.body = m.Append(w.body[:0])
		q.receive(p, m.Type(), w.body)
	}
	if q.dead && !p.dead {
		w.at(w.now+ring.Time(w.flight()), p, func() { p.reset(e) })
	}
}

// hold keeps what is on its way, and breaks the link if that takes too long.
// However many messages are held, one event looks after them.
func (w *World) hold(p *process, e *end) {
	e.held++
	if e.held > 1 || p.dead && p.host.dark {
		return
	}
	e.stall = w.now
	w.after(retry, func() { w.release(p, e) })
}

// release lets what is held arrive if it can, or breaks the link.
func (w *World) release(p *process, e *end) {
	q := e.remote
	switch {
	case len(e.out) == 0: // reset
	case !w.blocked(p.id, q.id) && !(q.dead && q.host.dark):
		n := e.held
		e.held = 0
		for range n {
			p.arrive(e)
		}
	case span(w.now-e.stall) < linkTimeout:
		w.after(retry, func() { w.release(p, e) })
	default:
		w.at(w.now, p, func() { p.reset(e) })
	}
}

// watch looks now and then whether an idle link still has its other side.
func (p *process) watch(e *end) {
	w := p.world
	w.at(w.now+ring.Time(idleTimeout), p, func() {
		if !e.up || p.with(e.remote.id).end != e {
			return
		}
		if e.remote.dead || w.blocked(p.id, e.remote.id) {
			p.reset(e)
			return
		}
		p.watch(e)
	})
}

// receive takes a message from a link. If this process has no such link it
// resets the other side.
func (p *process) receive(from *process, t wire.Type, body []byte) {
	e := p.with(from.id).end
	if e == nil || !e.up || e.remote != from {
		p.world.fin(p, from, p.world.links)
		return
	}
	m, err := wire.Parse(t, body)
	if err != nil {
		panic("sim: the ring sends what does not parse: " + err.Error())
	}
	p.world.Count.Messages++
	p.deliver(from.id, m, body)
}

// reset ends this side of a link, and tells the other when it can.
func (p *process) reset(e *end) {
	if e.up && p.with(e.remote.id).end == e {
		p.world.Count.Broken++
		p.world.fin(p, e.remote, p.world.links)
		p.drop(e.remote.id)
	}
}

// drop forgets the link with a member and tells the ring.
func (p *process) drop(id wire.ID) {
	r := p.with(id)
	r.end.out, r.end.up = nil, false
	r.end, r.dropped = nil, p.world.links
	p.step(ring.LinkDown{Peer: id}, nil)
}

// fin tells process q that p has no link with it that is older than the dial
// numbered mark; held back by cuts, and by the silence of a dark machine.
func (w *World) fin(p, q *process, mark uint64) {
	w.after(w.segment(), func() {
		switch {
		case q.dead:
		case w.blocked(p.id, q.id):
			w.after(retry, func() { w.fin(p, q, mark) })
		default:
			w.at(w.now, q, func() {
				if e := q.with(p.id).end; e != nil && e.up && e.remote == p && e.dial <= mark {
					q.drop(p.id)
				}
			})
		}
	})
}

// hangup ends a link after what is on its way.
func (p *process) hangup(id wire.ID) {
	e := p.with(id).end
	if e == nil {
		return
	}
	w := p.world
	w.at(max(w.now, e.last), p, func() {
		if p.with(id).end == e {
			if e.up {
				w.fin(p, e.remote, w.links)
			}
			p.drop(id)
		}
	})
}
