package ring

import (
	"slices"
	"time"

	"securepeer/wire"
)

// probes is how many pings an observer sends, one RTO apart, before silence
// counts: at 10 % loss each way six are lost in a row once in 20,000 rounds,
// and two observers must agree.
const probes = 6

// watch is what an observer knows of one member that it pings.
type watch struct {
	peer   wire.ID
	tick   uint64 // echo of this interval's ping
	echo   uint64 // echo of the last ping
	sent   Time   // when it was sent
	tries  int    // pings since the last sign of life; 0: answered
	since  Time   // of silence: when the unanswered round began
	judged bool   // the last probe's time is up, and what follows was done
	alone  bool   // so is the time for this peer's own word
	srtt   time.Duration
	rttvar time.Duration
}

// detector pings the successors, and turns silence into votes: never one lost
// ping, and never this peer's word alone but for its own routing.
type detector struct {
	interval time.Duration
	serial   uint64       // of the roster
	roster   wire.Digest8 // of the roster
	watches  []watch      // of the K successors
	due      Time         // next tick; 0: not in the ring
	last     Time         // previous tick
	anybody  Time         // when anything authenticated last came from anybody
	echo     uint64
	sequence uint64 // of the last vote
}

// rto is how long an ack may take before the next probe.
func (d *detector) rto(w *watch) time.Duration {
	if w.srtt == 0 {
		return d.interval / 8
	}
	return min(max(w.srtt+4*w.rttvar, d.interval/10), d.interval/4)
}

// silenceAlone is how long a member must have been silent before this peer
// routes around it on its own word.
func (d *detector) silenceAlone() Time { return Time(3 * d.interval) }

// start begins to tick.
func (d *detector) start(now Time) { d.due, d.last, d.anybody = now, now, now }

func (d *detector) find(id wire.ID) *watch {
	for i := range d.watches {
		if d.watches[i].peer == id {
			return &d.watches[i]
		}
	}
	return nil
}

// step probes again who has not answered, and votes on who stays silent.
// It returns whom to vote on.
func (d *detector) step(now Time, v *view, o *outbox) (voted []wire.ID) {
	if d.due == 0 {
		return nil
	}
	late := now-d.due > Time(d.interval/4)
	if late { // a pause of this process is not the others' silence
		for i := range d.watches {
			d.watches[i].answered()
		}
	}
	if now >= d.due {
		d.tick(now, late, v, o)
	}
	for i := range d.watches {
		w := &d.watches[i]
		if w.tries == 0 || now < w.sent+Time(d.rto(w)) {
			continue
		}
		if w.tries < probes {
			d.probe(now, w, v, o)
			continue
		}
		if !w.judged && d.hearing(now, v) && v.vote(w.peer) != wire.Unreachable {
			voted = append(voted, w.peer)
		}
		w.judged = true
		if !w.alone && now-w.since >= d.silenceAlone() {
			w.alone = true
			v.silence(w.peer)
		}
	}
	return voted
}

// hearing reports whether anybody at all was heard in the last interval: who
// hears nobody is more likely deaf than alone. Two neighbours that die at
// once do not silence their observers, whose predecessors still ping them.
func (d *detector) hearing(now Time, v *view) bool {
	return len(v.ring) > 2 && now-d.anybody <= Time(d.interval+d.interval/4)
}

// tick pings the successors.
func (d *detector) tick(now Time, late bool, v *view, o *outbox) {
	d.last = d.due
	if d.due += Time(d.interval); late || d.due <= now {
		d.due = now + Time(d.interval)
	}
	succ := v.succ(v.k)
	d.watches = slices.DeleteFunc(d.watches, func(w watch) bool { return !slices.Contains(succ, w.peer) })
	for _, id := range succ {
		w := d.find(id)
		if w == nil {
			d.watches = append(d.watches, watch{peer: id})
			w = &d.watches[len(d.watches)-1]
		}
		if w.tries == 0 {
			w.since = now
		} else if w.tries >= probes {
			w.tries = probes - 1 // one more a tick, while it stays silent
		}
		d.probe(now, w, v, o)
		w.tick = w.echo
	}
	if len(succ) > 0 {
		o.do(Notify{Notice{Kind: PingsSent, Peers: succ}})
	}
}

func (d *detector) probe(now Time, w *watch, v *view, o *outbox) {
	d.echo++
	w.echo, w.sent, w.judged = d.echo, now, false
	w.tries++
	o.do(SendPing{w.peer, d.ping(w.peer, d.echo, false, v)})
}

// ask pings a member that is not watched, for any sign of life.
func (d *detector) ask(id wire.ID, v *view, o *outbox) {
	d.echo++
	o.do(SendPing{id, d.ping(id, d.echo, false, v)})
}

// ping fills in what a ping or ack to id says.
func (d *detector) ping(id wire.ID, echo uint64, ack bool, v *view) wire.Ping {
	p := wire.Ping{Ack: ack, Echo: echo, Mine: v.members[v.me].row.Incarnation,
		Serial: d.serial, Roster: d.roster, View: v.digest}
	if m := v.member(id); m != nil && m.seen {
		p.Yours = m.row.Incarnation
		switch {
		case m.verdict:
			p.Said = wire.SaidUnreachable
		case v.vote(id) == wire.Unreachable:
			p.Said = wire.SaidSuspect
		}
	}
	return p
}

// hangup begins a round at once: the link of a watched member fell, which is
// a reason to ask, not an answer.
func (d *detector) hangup(now Time, id wire.ID, v *view, o *outbox) {
	if w := d.find(id); w != nil && w.tries == 0 && d.due != 0 {
		w.since = now
		d.probe(now, w, v, o)
	}
}

// acked takes an ack, and reports whether it is the first since this
// interval's ping.
func (d *detector) acked(now Time, id wire.ID, p wire.Ping) bool {
	w := d.find(id)
	if w == nil {
		return false
	}
	if p.Echo == w.echo && w.sent != 0 {
		rtt := time.Duration(now - w.sent)
		if w.srtt == 0 { // RFC 6298, section 2.2
			w.srtt, w.rttvar = rtt, rtt/2
		} else { // RFC 6298, section 2.3
			w.rttvar = (3*w.rttvar + max(w.srtt-rtt, rtt-w.srtt)) / 4
			w.srtt = (7*w.srtt + rtt) / 8
		}
	}
	first := w.tick != 0 && p.Echo >= w.tick && p.Echo <= d.echo
	if first {
		w.tick = 0
	}
	return first
}

// heard ends any suspicion of id: something authenticated came from it.
func (d *detector) heard(now Time, id wire.ID) {
	d.anybody = now
	if w := d.find(id); w != nil {
		w.answered()
	}
}

func (w *watch) answered() { w.tries, w.since, w.judged, w.alone = 0, 0, false, false }

// next is when step has something to do.
func (d *detector) next() Time {
	if d.due == 0 {
		return never
	}
	t := d.due
	for i := range d.watches {
		switch w := &d.watches[i]; {
		case w.tries == 0:
		case !w.judged:
			t = min(t, w.sent+Time(d.rto(w)))
		case !w.alone:
			t = min(t, max(w.since+d.silenceAlone(), w.sent+Time(d.rto(w))))
		}
	}
	return t
}
