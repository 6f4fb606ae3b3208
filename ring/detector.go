package ring

import (
	"slices"
	"time"

	"securepeer/wire"
)

const (
	// probes is how many pings in a row an observer sends before silence
	// counts: with a third of all packets lost each way, eight are lost once
	// in 200 rounds, those of two helpers besides once in 10,000, and two
	// observers must agree.
	probes = 8

	// helpAfter is how many of them are unanswered when helpers are asked.
	helpAfter = 3

	// helpers is how many are asked in a round; the next round asks others.
	helpers = 2

	// gap is how many pings of a burst fit in an interval.
	gap = 10

	// widest is how many times K successors are watched at most, when those
	// before them do not answer.
	widest = 8

	// aloneAfter is how many intervals a member must have been silent before
	// this peer routes around it on its own word.
	aloneAfter = 3

	// unsentRound is how many intervals a ping that did not leave this machine
	// keeps it from calling its target unreachable: a round. unsentWatch is the
	// same for a member out of the ring, which is tried more seldom.
	unsentRound = 2
	unsentWatch = slowDial + slowDial/4
)

// watch is what an observer knows of one member that it pings.
type watch struct {
	peer   wire.ID
	tick   uint64  // echo of this interval's ping; 0: answered
	sent   [8]sent // the newest pings
	last   Time    // when the newest was sent
	heard  Time    // when anything authenticated last came
	since  Time    // when the oldest that is not answered was; 0: all are
	tries  int     // pings since then
	full   Time    // when they were as many as a verdict needs
	judged bool    // what follows from that was done
	alone  bool    // so was what follows from silence for this peer's own routing
	alarm  bool    // a round is to begin, a moment after the last ping

	sought Time     // when helpers were asked; 0: they were not
	asked  []helper // those that have not answered
	alive  bool     // one has heard it

	srtt, rttvar time.Duration
}

// sent is a ping on its way.
type sent struct {
	echo uint64
	at   Time
}

// detector pings the successors, and turns silence into votes: never one lost
// ping, and never this peer's word alone but for its own routing.
type detector struct {
	interval time.Duration
	grace    time.Duration
	serial   uint64      // of the roster
	roster   wire.Digest // of the roster
	watches  []watch     // of the K successors
	due      Time        // next tick; 0: not in the ring
	anybody  Time        // when anything authenticated last came from anybody
	awake    Time        // since when this peer has run in the ring without a pause
	steady   Time        // the same, and without a cut
	last     Time        // when the last step was
	looked   Time        // when members out of the ring were last looked at
	turn     int         // of the fingers; of the helpers
	echo     uint64
	sequence uint64 // of the last vote
	helps    []help // pings for others
}

// rto is how long an ack may take (RFC 6298, section 2; the floor is ours).
func (d *detector) rto(w *watch) Time {
	floor := Time(d.interval / gap)
	if w.srtt == 0 { // not measured
		return max(floor, Time(d.interval/4))
	}
	return max(floor, Time(w.srtt+4*w.rttvar))
}

// pace is how far apart the pings of a burst are.
func (d *detector) pace(w *watch) Time {
	return max(Time(d.interval/gap), min(d.rto(w)/4, Time(d.interval/2)))
}

// start begins to tick.
func (d *detector) start(now Time) { d.due, d.anybody, d.awake, d.steady = now, now, now, now }

// stop ends it.
func (d *detector) stop() { d.due, d.watches = 0, nil }

func (d *detector) find(id wire.ID) *watch {
	for i := range d.watches {
		if d.watches[i].peer == id {
			return &d.watches[i]
		}
	}
	return nil
}

// woke restarts every round if this step comes so late that the process must
// have been paused: what the others said meanwhile may still be unread, and
// their silence is ours.
func (d *detector) woke(now Time, l *links) {
	last := d.last
	d.last = now
	// What an event has made due at once was not due before it.
	if d.due == 0 || now-max(last, d.next(l)) <= Time(d.interval/4) {
		return
	}
	d.awake, d.steady, d.anybody = now, now, now
	for i := range d.watches {
		d.watches[i].answered()
	}
}

// step pings, probes again who has not answered, and returns whom to vote on.
func (d *detector) step(now Time, v *view, l *links, o *outbox) (voted []wire.ID) {
	if d.due == 0 {
		return nil
	}
	if now >= d.due {
		d.tick(now, v, l, o)
	}
	more := false
	for i := range d.watches {
		w := &d.watches[i]
		suspect := w.sought != 0
		if w.alarm && now >= d.alarmed(w) {
			d.probe(now, w, v, o)
		}
		if w.since != 0 && d.suspect(now, w, v, l, o) {
			voted = append(voted, w.peer)
		}
		more = more || w.sought != 0 && !suspect
	}
	if more {
		d.widen(now, v, l, o)
	}
	d.help(now, v, o)
	return voted
}

// tick pings the K successors and one finger in turn.
func (d *detector) tick(now Time, v *view, l *links, o *outbox) {
	if d.due += Time(d.interval); d.due <= now {
		d.due = now + Time(d.interval)
	}
	near, watched := l.near(v), d.watched(now, v, l)
	d.watches = slices.DeleteFunc(d.watches, func(w watch) bool { return !slices.Contains(watched, w.peer) })
	for _, id := range watched {
		w := d.watch(id)
		if w.judged { // and still silent: other helpers
			w.judged, w.full = false, now
			w.sought, w.asked, w.alive = 0, nil, false
		}
		d.probe(now, w, v, o)
		if slices.Contains(near.succ, id) {
			w.tick = d.echo
		}
	}
	if len(near.fingers) > 0 {
		d.turn++
		d.ask(near.fingers[d.turn%len(near.fingers)], v, o)
	}
	if len(near.succ) > 0 {
		o.do(Notify{Notice{Kind: PingsSent, Peers: near.succ}})
	}
}

// watched returns whom to ping: the successors as far as it takes to have K
// that answer. If a whole row of them has died at once, their observers find
// out in one go and not one after the other. And the predecessors with which
// something is wrong one way: nobody but this peer can find out for itself.
func (d *detector) watched(now Time, v *view, l *links) []wire.ID {
	ids := d.ahead(v, l)
	for _, id := range l.near(v).pred {
		if l.strained(now, id) && !slices.Contains(ids, id) {
			ids = append(slices.Clip(ids), id)
		}
	}
	return ids
}

func (d *detector) ahead(v *view, l *links) []wire.ID {
	ids := l.near(v).succ
	for most := len(ids) * widest; ; {
		silent := 0
		for _, id := range ids {
			if w := d.find(id); w != nil && w.sought != 0 {
				silent++
			}
		}
		n := min(v.k+silent, most, len(v.ring)-1)
		if n <= len(ids) {
			return ids
		}
		ids = v.succ(n)
	}
}

// watch returns the watch on a peer, a new one if there is none.
func (d *detector) watch(id wire.ID) *watch {
	if w := d.find(id); w != nil {
		return w
	}
	d.watches = append(d.watches, watch{peer: id})
	return &d.watches[len(d.watches)-1]
}

// widen watches those who follow a peer that has just become suspect.
func (d *detector) widen(now Time, v *view, l *links, o *outbox) {
	for _, id := range d.watched(now, v, l) {
		if d.find(id) == nil {
			l.dial(now, id, o)
			d.probe(now, d.watch(id), v, o)
		}
	}
}

// suspect goes on with a round of pings without an answer, and reports whether
// it ends in a vote: direct and indirect pings have all failed, and this peer
// is not the one that is deaf.
func (d *detector) suspect(now Time, w *watch, v *view, l *links, o *outbox) bool {
	counts := l.reachable(w.peer, w.since)
	switch {
	case w.tries > helpAfter && w.sought == 0:
		d.seek(now, w, v, l, o)
	case now >= d.again(w):
		d.probe(now, w, v, o)
	}
	if now >= max(counts, w.since+aloneAfter*Time(d.interval)) {
		w.alone = true
		v.silence(w.peer, w.heard >= w.since) // again, if a newer row has put it back
	}
	if now >= max(counts, d.verdict(w)) {
		w.judged = true
		return !w.alive && !l.unsent(now, w.peer, unsentRound*d.interval) && d.hearing(now, v) && v.vote(w.peer) < wire.Unreachable &&
			slices.Contains(d.ahead(v, l), w.peer)
	}
	return false
}

// again is when the next ping of a round goes out.
func (d *detector) again(w *watch) Time {
	switch {
	case w.alone:
		return never
	case w.tries == 1:
		return w.last + d.rto(w)
	}
	return w.last + d.pace(w)
}

// verdict is when a round ends: the pings have had their time, helpers theirs,
// and nothing has come by itself, as a neighbour's own pings would.
func (d *detector) verdict(w *watch) Time {
	if w.judged || w.full == 0 {
		return never
	}
	t := max(w.full+d.rto(w), d.helpUntil(w))
	if w.heard != 0 {
		t = max(t, w.heard+Time(d.interval+d.interval/4))
	}
	return t
}

// hearing reports whether anybody at all was heard in the last interval: who
// hears nobody is more likely deaf than alone. Two neighbours that die at
// once do not silence their observers, whose predecessors still ping them.
func (d *detector) hearing(now Time, v *view) bool {
	return len(v.ring) > 2 && now-d.anybody <= Time(d.interval+d.interval/4)
}

func (d *detector) probe(now Time, w *watch, v *view, o *outbox) {
	d.echo++
	w.alarm = false
	if w.since == 0 {
		w.since, w.tries = now, 0
	}
	if w.tries++; w.tries == probes {
		w.full = now
	}
	w.last = now
	w.sent[d.echo%uint64(len(w.sent))] = sent{d.echo, now}
	p := d.ping(w.peer, d.echo, false, v)
	if w.tries > helpAfter && p.Said == wire.SaidNothing {
		p.Said = wire.SaidSuspect // Lifeguard's buddy: the suspect is told first
	}
	o.do(SendPing{w.peer, p})
}

// ask pings a member that is not watched, for any sign of life.
func (d *detector) ask(id wire.ID, v *view, o *outbox) {
	d.echo++
	o.do(SendPing{id, d.ping(id, d.echo, false, v)})
}

// ping fills in what a ping or ack to id says.
func (d *detector) ping(id wire.ID, echo uint64, ack bool, v *view) wire.Ping {
	p := wire.Ping{Ack: ack, Echo: echo, Mine: v.members[v.me].incarnation,
		Serial: d.serial, Roster: d.roster, View: v.digest().whole}
	if m := v.member(id); m != nil && m.seen() {
		p.Yours = m.incarnation
		switch {
		case m.verdict != 0:
			p.Said = wire.SaidUnreachable
		case v.vote(id) >= wire.Unreachable:
			p.Said = wire.SaidSuspect
		}
	}
	return p
}

// alarm begins a round at once: the link of a watched member fell, or another
// observer has voted on it, which is a reason to ask, not an answer. One that
// votes without end has nobody ping any faster than a burst does.
func (d *detector) alarm(now Time, id wire.ID, v *view, o *outbox) {
	if w := d.find(id); w == nil || w.since != 0 || d.due == 0 {
		return
	} else if w.alarm = true; now >= d.alarmed(w) {
		d.probe(now, w, v, o)
	}
}

// alarmed is when a round begins that an alarm asks for.
func (d *detector) alarmed(w *watch) Time {
	if w.last == 0 {
		return 0
	}
	return w.last + Time(d.interval/gap)
}

// acked takes an ack, and reports whether it is the first since this
// interval's ping.
func (d *detector) acked(now Time, id wire.ID, p wire.Ping) bool {
	w := d.find(id)
	if w == nil {
		return false
	}
	if s := &w.sent[p.Echo%uint64(len(w.sent))]; s.echo == p.Echo && s.at != 0 {
		rtt := time.Duration(now - s.at)
		*s = sent{}
		if w.srtt == 0 { // RFC 6298, section 2.2
			w.srtt, w.rttvar = max(rtt, 1), rtt/2
		} else { // RFC 6298, section 2.3
			w.rttvar = (3*w.rttvar + max(w.srtt-rtt, rtt-w.srtt)) / 4
			w.srtt = (7*w.srtt + rtt) / 8
		}
	}
	w.answered()
	first := w.tick != 0 && p.Echo >= w.tick && p.Echo <= d.echo
	if first {
		w.tick = 0
	}
	return first
}

// heard ends any question of others about id, and keeps this peer from voting
// on it: something authenticated came from it. Only an ack says that it hears
// this peer, too.
func (d *detector) heard(now Time, id wire.ID, o *outbox) {
	d.anybody = now
	if w := d.find(id); w != nil {
		if w.alone { // it is back: a round of its own says whether it hears
			w.answered()
		}
		w.heard = now
	}
	d.tell(id, o)
}

// drop forgets a member that the roster has taken out.
func (d *detector) drop(id wire.ID) {
	d.watches = slices.DeleteFunc(d.watches, func(w watch) bool { return w.peer == id })
	d.unhelp(id)
}

// answered ends a round.
func (w *watch) answered() {
	w.since, w.tries, w.full, w.judged, w.alone = 0, 0, 0, false, false
	w.sought, w.asked, w.alive = 0, nil, false
}

// judgement is what this peer finds of a member that is out of its ring.
type judgement struct {
	member  wire.ID
	verdict wire.Verdict
}

// missing judges, once in a quarter of an interval, members out of the ring
// that this peer watches: unreachable, if it stays silent after those who
// watched it before have gone themselves; gone, if this peer has tried in vain
// to reach it for the whole grace, all of it without a cut.
func (d *detector) missing(now Time, v *view, l *links) (found []judgement) {
	if d.due == 0 || now-d.looked < Time(d.interval/4) {
		return nil
	}
	d.looked = now
	for _, i := range l.near(v).outcasts {
		m := &v.members[i]
		if !m.home() || m.id == v.self {
			continue
		}
		n, since := l.line(m.id), v.since(i)
		tried := n.up || n.fell > since
		away := now - max(since, n.heard, d.awake)
		gone := now - max(since, n.heard, d.steady)
		switch {
		case !tried, l.unsent(now, m.id, unsentWatch*d.interval):
		case d.grace != 0 && !v.cut && gone >= Time(d.grace):
			if v.vote(m.id) != wire.Gone {
				found = append(found, judgement{m.id, wire.Gone})
			}
		case m.state < wire.Stopped && away >= aloneAfter*Time(d.interval) && v.vote(m.id) < wire.Unreachable:
			found = append(found, judgement{m.id, wire.Unreachable})
		}
	}
	return found
}

// next is when step has something to do.
func (d *detector) next(l *links) Time {
	if d.due == 0 {
		return never
	}
	t := min(d.due, d.helpDue())
	for i := range d.watches {
		w := &d.watches[i]
		if w.alarm {
			t = min(t, d.alarmed(w))
		}
		if w.since == 0 {
			continue
		}
		counts := l.reachable(w.peer, w.since)
		due := max(d.verdict(w), counts)
		if !w.alone {
			due = min(due, max(w.since+aloneAfter*Time(d.interval), counts))
		}
		if w.tries > helpAfter && w.sought == 0 {
			due = w.last
		}
		t = min(t, due, d.again(w))
	}
	return t
}
