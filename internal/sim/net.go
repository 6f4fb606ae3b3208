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
	stall  ring.Time      // since when the oldest is held back; 0: it is not
}

// pings is one side of the ping sessions with a member.
type pings struct {
	remote *process
	since  ring.Time // of the handshake
}

// Cut stops every byte from one member to another, or lets it pass again.
// Cutting one way stops datagrams that way; links need both ways.
func (w *World) Cut(from, to wire.ID, cut bool) {
	w.logf("cut %v->%v %v", from, to, cut)
	w.cuts[[2]wire.ID{from, to}] = cut
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

// blocked says that no link can make progress between two members.
func (w *World) blocked(a, b wire.ID) bool {
	return w.cuts[[2]wire.ID{a, b}] || w.cuts[[2]wire.ID{b, a}]
}

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
	s, ok := p.pings[to]
	if !ok || p.expired(to, s) {
		w.Count.Unsealed++
		return
	}
	w.Count.Datagrams++
	body := ping.Append(nil)
	copies := 1
	if w.chance(w.Config.Net.Dup) {
		w.Count.Doubled++
		copies = 2
	}
	for range copies {
		if w.cuts[[2]wire.ID{p.id, to}] || w.chance(w.Config.Net.Loss) {
			w.Count.Lost++
			continue
		}
		w.at(w.now+ring.Time(w.flight()), s.remote, func() { s.remote.openPing(p, body) })
	}
}

// expired says that a session's time is over. While the link is up, its
// dialler replaces it, and with it the session, long before that.
func (p *process) expired(id wire.ID, s pings) bool {
	e := p.ends[id]
	return (e == nil || !e.up) && span(p.world.now-s.since) > pingLife
}

// openPing takes a datagram of from: silence if no session of the two
// processes opens it.
func (p *process) openPing(from *process, body []byte) {
	s, ok := p.pings[from.id]
	if !ok || s.remote != from || p.expired(from.id, s) {
		p.world.Count.Unsealed++
		return
	}
	ping, err := wire.ParsePing(body)
	if err != nil {
		panic("sim: internal error: " + err.Error())
	}
	p.step(ring.Pinged{From: from.id, Ping: ping}, string(body))
}

// dial opens a link to a member unless there is one, or one is on its way.
func (p *process) dial(to wire.ID) {
	if p.ends[to] != nil {
		return
	}
	w := p.world
	w.links++
	e := &end{dial: w.links, by: p.id}
	p.ends[to] = e
	w.at(w.now+ring.Time(dialTimeout), p, func() { p.giveUp(to, e) })
	host := w.byID[to]
	if host == nil {
		return // an address of nobody: silence
	}
	w.after(w.segment(), func() {
		q := host.process
		switch {
		case w.blocked(p.id, to) || host.dark:
		case q == nil:
			w.at(w.now+ring.Time(w.flight()), p, func() { p.giveUp(to, e) })
		default:
			w.at(w.now, q, func() { q.answer(p, e) })
		}
	})
}

// giveUp ends a dial that is not up.
func (p *process) giveUp(to wire.ID, e *end) {
	if p.ends[to] == e && !e.up {
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
		if from.ends[p.id] != e || e.up || w.blocked(from.id, p.id) {
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
	e := p.ends[from.id]
	if e != nil && e.up {
		switch {
		case e.remote.number > from.number:
			return
		case e.remote == from && e.dial > from.dropped[p.id]:
			if from.id <= e.by {
				e.dial, e.by = dial, from.id
			}
			p.pings[from.id] = pings{from, p.world.now}
			return
		}
		p.drop(from.id)
		e = p.ends[from.id]
	}
	if e == nil {
		e = &end{}
		p.ends[from.id] = e
	}
	e.dial, e.by = dial, from.id
	p.up(e, from, said)
}

// up tells the ring of a link and sends what waited for it.
func (p *process) up(e *end, remote *process, said wire.Incarnation) {
	e.up, e.remote = true, remote
	p.pings[remote.id] = pings{remote, p.world.now}
	waiting := e.out
	e.out = nil
	for _, m := range waiting {
		p.transmit(e, m)
	}
	p.watch(e)
	p.step(ring.LinkUp{Peer: remote.id, Incarnation: said}, "")
}

// send gives a message to the link of a member, dialling it if need be.
func (p *process) send(to wire.ID, m wire.Message) {
	if to == p.id {
		panic("sim: the ring sends a message to itself")
	}
	if p.ends[to] == nil {
		p.dial(to)
	}
	if e := p.ends[to]; e.up {
		p.transmit(e, m)
	} else {
		e.out = append(e.out, m)
	}
}

// transmit puts a message behind those that are on their way.
func (p *process) transmit(e *end, m wire.Message) {
	e.last = max(e.last, p.world.now+ring.Time(p.world.segment()))
	e.out = append(e.out, m)
	p.world.after(span(e.last-p.world.now), func() { p.arrive(e) })
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
	e.stall = 0
	m := e.out[0]
	e.out = e.out[1:]
	body := m.Append(nil)
	w.at(w.now, q, func() { q.receive(p, m.Type(), body) })
	if q.dead && !p.dead {
		w.at(w.now+ring.Time(w.flight()), p, func() { p.reset(e) })
	}
}

// hold keeps what is on its way, and breaks the link if that takes too long.
func (w *World) hold(p *process, e *end) {
	if p.dead && p.host.dark {
		return
	}
	if e.stall == 0 {
		e.stall = w.now
	}
	if span(w.now-e.stall) < linkTimeout {
		w.after(retry, func() { p.arrive(e) })
		return
	}
	w.at(w.now, p, func() { p.reset(e) })
}

// watch looks now and then whether an idle link still has its other side.
func (p *process) watch(e *end) {
	w := p.world
	w.at(w.now+ring.Time(idleTimeout), p, func() {
		if !e.up || p.ends[e.remote.id] != e {
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
	e := p.ends[from.id]
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
	if e.up && p.ends[e.remote.id] == e {
		p.world.Count.Broken++
		p.world.fin(p, e.remote, p.world.links)
		p.drop(e.remote.id)
	}
}

// drop forgets the link with a member and tells the ring.
func (p *process) drop(id wire.ID) {
	e := p.ends[id]
	delete(p.ends, id)
	e.out, e.up = nil, false
	p.dropped[id] = p.world.links
	p.step(ring.LinkDown{Peer: id}, "")
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
				if e := q.ends[p.id]; e != nil && e.up && e.remote == p && e.dial <= mark {
					q.drop(p.id)
				}
			})
		}
	})
}

// hangup ends a link after what is on its way.
func (p *process) hangup(id wire.ID) {
	e := p.ends[id]
	if e == nil {
		return
	}
	w := p.world
	w.at(max(w.now, e.last), p, func() {
		if p.ends[id] == e {
			if e.up {
				w.fin(p, e.remote, w.links)
			}
			p.drop(id)
		}
	})
}
