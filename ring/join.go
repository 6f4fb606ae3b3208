package ring

import (
	"slices"

	"securepeer/wire"
)

// join is how this peer comes into the ring: it asks its way to its
// predecessor, and publishes its row only when that accepts it; or, if no
// member of a ring answers for two intervals, it is a ring of one. Rings that
// meet merge by view.
type join struct {
	find     *find
	contact  wire.ID
	only     bool // ask nobody but the contact in the first interval
	started  Time
	answered Time             // when a member of a ring last answered
	refused  map[wire.ID]Time // who said that it is in no ring itself
	cursor   int              // next member to dial
	dialled  Time
	due      Time      // next step
	accepted []wire.ID // joiners that this peer said Here to
}

// joinFor is how many intervals a peer asks its way, whatever it is told: a
// member that sends it round must not keep it out.
const joinFor = 20

// accept remembers a joiner, at most as many as may join at once here.
func (j *join) accept(id wire.ID) {
	if !slices.Contains(j.accepted, id) {
		if len(j.accepted) == fanOut {
			j.accepted = j.accepted[1:]
		}
		j.accepted = append(j.accepted, id)
	}
}

// took reports whether this peer accepted id, and forgets it.
func (j *join) took(id wire.ID) bool {
	i := slices.Index(j.accepted, id)
	if i < 0 {
		return false
	}
	j.accepted = slices.Delete(j.accepted, i, i+1)
	return true
}

// dial opens links: to the contact, or to some members at a time, from this
// peer's position on.
func (j *join) dial(now Time, v *view, l *links, o *outbox) {
	if j.only {
		l.dial(now, j.contact, o)
	}
	if j.only && now-j.started < Time(l.interval) || now-j.dialled < Time(l.interval/2) && j.cursor > 0 {
		return
	}
	j.dialled = now
	for n := 0; n < fanOut && n < len(v.members)-1; n++ {
		j.cursor++
		if m := &v.members[(v.me+j.cursor)%len(v.members)]; m.id != v.self {
			l.dial(now, m.id, o)
		}
	}
}

// step asks somebody, if nobody is being asked, and reports whether this peer
// has waited long enough to be a ring of one.
func (j *join) step(now Time, v *view, l *links, rt route, o *outbox) (alone bool) {
	if j.find != nil && now >= j.find.until {
		j.refused[j.find.at] = now
		j.find = nil
	}
	j.dial(now, v, l, o)
	if j.find == nil {
		if id, ok := j.pick(now, v, l); ok {
			j.find = &find{purpose: wire.ForJoin, limit: rt.limit(v)}
			j.find.ask(now, id, Time(l.interval), o)
		}
	}
	return now-max(j.started, j.answered) >= Time(2*l.interval) || now-j.started >= Time(joinFor*l.interval)
}

// pick returns a peer with a link that was not asked lately, the contact
// first.
func (j *join) pick(now Time, v *view, l *links) (wire.ID, bool) {
	fresh := func(id wire.ID) bool {
		t, ok := j.refused[id]
		return l.up(id) && v.has(id) && (!ok || now-t >= Time(l.interval/4))
	}
	if j.only && (fresh(j.contact) || now-j.started < Time(l.interval)) {
		return j.contact, fresh(j.contact)
	}
	for _, id := range l.peers {
		if fresh(id) {
			return id, true
		}
	}
	return 0, false
}

// avoids reports whether id was of no help a moment ago.
func (j *join) avoids(now Time, id wire.ID, interval Time) bool {
	t, ok := j.refused[id]
	return ok && now-t < 4*interval
}

// met forgets that id was of no help: its link is new.
func (j *join) met(id wire.ID) { delete(j.refused, id) }

// failed notes that who was asked did not help.
func (j *join) failed(now Time, id wire.ID) {
	if j.find != nil && j.find.at == id {
		j.refused[id] = now
		j.find = nil
	}
}
