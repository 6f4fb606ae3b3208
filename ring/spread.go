package ring

import (
	"maps"
	"time"

	"securepeer/wire"
)

const (
	// batches is how many times in an interval news is passed on, at most:
	// what comes between goes together.
	batches = 20

	// authored is how many times in an interval the news of one member is
	// passed on, so that one which speaks without end floods nobody.
	authored = 8

	// authoredAtOnce is how many items of one member go in one of those: more
	// than an observer has to say of a row of dead neighbours.
	authoredAtOnce = 32

	// patience is how many intervals lie between two comparisons with the same
	// peer at most, when those before have brought nothing.
	patience = 8
)

// spread tells news to everybody with a link, and compares views, part by
// part, with a peer whose digest differs.
type spread struct {
	interval time.Duration
	pending  []rumor
	index    map[item]int // in pending; never ranged over
	due      Time         // when some of pending may go; 0: nothing is pending
	last     Time         // when some last went

	asked    map[wire.ID]question // the last Buckets to a peer
	answered map[wire.ID]Time     // when a peer's Buckets were last answered
	passed   map[wire.ID]Time     // when news by a member was last passed on, if lately
}

// question is Buckets that were sent.
type question struct {
	at   Time
	wait int  // intervals until the next
	open bool // there was no reply
}

// rumor is an item on its way (Demers et al., 1987), and whom it is not news to.
type rumor struct {
	item
	from int
}

// add takes what is news in the view; from is who said it.
func (s *spread) add(now Time, from int, v *view) {
	for _, x := range v.take() {
		if i, ok := s.index[x]; ok {
			s.pending[i].from = from
			continue
		}
		s.index[x] = len(s.pending)
		s.pending = append(s.pending, rumor{x, from})
		if s.due == 0 {
			s.due = max(now, s.last+Time(s.interval/batches))
		}
	}
}

// step passes on what is due to all of peers.
func (s *spread) step(now Time, peers []wire.ID, v *view, o *outbox) {
	if len(s.passed) > 0 && now-s.last >= Time(s.interval/authored) {
		s.passed = make(map[wire.ID]Time) // a new one: the old may have had room for all
	}
	if s.due == 0 || now < s.due {
		return
	}
	var going, held []rumor
	next := Time(0)
	many := map[wire.ID]int{} // never ranged over
	for _, x := range s.pending {
		t, lately := s.passed[x.by]
		ready := t + Time(s.interval/authored)
		if many[x.by]++; many[x.by] > authoredAtOnce {
			lately, ready = true, now+Time(s.interval/authored)
		}
		if lately && now < ready && x.by != v.self {
			held = append(held, x)
			if next == 0 || ready < next {
				next = ready
			}
			continue
		}
		going = append(going, x)
	}
	maps.DeleteFunc(s.passed, func(_ wire.ID, t Time) bool { return now-t >= Time(s.interval/authored) })
	for _, x := range going {
		s.passed[x.by] = now
	}
	s.pending, s.due, s.last = held, next, now
	s.index = make(map[item]int, len(held))
	for i, x := range held {
		s.index[x.item] = i
	}
	s.pass(going, peers, v, o)
}

// pass sends news to each peer but its source.
func (s *spread) pass(going []rumor, peers []wire.ID, v *view, o *outbox) {
	if len(going) == 0 {
		return
	}
	sources := make(map[int]bool)
	var rows []wire.Row
	var votes []wire.Vote
	for _, x := range going {
		sources[x.from] = true
		rows, votes = v.read(x.item, rows, votes)
	}
	for _, id := range peers {
		if !sources[int(id)] {
			tell(id, rows, votes, o)
			continue
		}
		var rows []wire.Row
		var votes []wire.Vote
		for _, x := range going {
			if x.from != int(id) {
				rows, votes = v.read(x.item, rows, votes)
			}
		}
		tell(id, rows, votes, o)
	}
}

// meet begins what a new link is for: each side learns what the other knows.
// A small view is said at once, a large one compared.
func (s *spread) meet(now Time, id wire.ID, v *view, o *outbox) {
	if len(v.members) > wire.NumBuckets {
		s.compare(now, id, v, o)
		return
	}
	rows, votes := v.all()
	tell(id, rows, votes, o)
}

// differs answers a digest that is not this peer's, once an interval; seldomer
// while that brings nothing.
func (s *spread) differs(now Time, id wire.ID, v *view, o *outbox) {
	if q, ok := s.asked[id]; !ok || now-q.at >= Time(q.wait)*Time(s.interval) {
		s.compare(now, id, v, o)
	}
}

func (s *spread) compare(now Time, id wire.ID, v *view, o *outbox) {
	s.asked[id] = question{now, min(max(2*s.asked[id].wait, 1), patience), true}
	o.send(id, wire.Buckets{Sums: v.digest().parts})
}

// learned notes that id had something to say.
func (s *spread) learned(id wire.ID) {
	if q, ok := s.asked[id]; ok {
		q.wait = 1
		s.asked[id] = q
	}
}

// compared takes a peer's sums and sends it what may differ; if they are not a
// reply, it says this peer's own before. It reports whether the peer may say
// them now: as a reply to Buckets, or as a question that is not one of a flood.
func (s *spread) compared(now Time, id wire.ID, m wire.Buckets, v *view, o *outbox) bool {
	if m.Reply {
		q := s.asked[id]
		if !q.open {
			return false
		}
		q.open = false
		s.asked[id] = q
	} else {
		if t, ok := s.answered[id]; ok && now-t < Time(s.interval/4) {
			return false
		}
		s.answered[id] = now
		o.send(id, wire.Buckets{Reply: true, Sums: v.digest().parts})
	}
	mine := v.digest()
	rows, votes := v.parts(func(i int) bool { return m.Sums[i] != mine.parts[i] })
	tell(id, rows, votes, o)
	return true
}

// forget drops what is kept about a member that the roster has taken out, and
// news by or about it.
func (s *spread) forget(id wire.ID) {
	delete(s.asked, id)
	delete(s.answered, id)
	delete(s.passed, id)
}

func (s *spread) next() Time {
	if s.due == 0 {
		return never
	}
	return s.due
}

// tell sends rows and votes, as many messages as they need: rows first, as a
// vote on a row that is not known says nothing.
func tell(to wire.ID, rows []wire.Row, votes []wire.Vote, o *outbox) {
	for len(rows)+len(votes) > 0 {
		r, t := min(len(rows), wire.MaxRows), 0
		if r == len(rows) {
			t = min(len(votes), wire.MaxVotes)
		}
		o.send(to, wire.Rows{Rows: rows[:r:r], Votes: votes[:t:t]})
		rows, votes = rows[r:], votes[t:]
	}
}
