package ring

import (
	"slices"
	"time"

	"securepeer/wire"
)

const (
	// slowDial is how many intervals lie between two dials of a member that
	// is not in the ring, give or take a quarter: it goes on for ever, so that
	// two halves of a ring always find each other.
	slowDial = 10

	// fanOut is how many members a peer that is starting dials at once.
	fanOut = 16

	// retest is how many members outside of the ring this peer dials or pings
	// in a quarter of an interval.
	retest = 8

	// idleAfter is how many intervals a link that no neighbour needs is kept.
	idleAfter = 30

	// firstFinger is the distance, in peers, of the nearest finger; each other
	// one is twice as far.
	firstFinger = 4
)

// line is what links knows of one member.
type line struct {
	up      bool
	tried   Time             // last dial; 0: none
	tries   int              // dials since the link was last up
	opened  Time             // when the link last came up; 0: never
	fell    Time             // when it, or a dial of it, last failed; 0: never
	used    Time             // last message either way
	heard   Time             // when anything authenticated last came; 0: never
	pinged  Time             // when this interval's ping came; 0: never
	said    wire.Incarnation // at the handshake of the link
	doubted Time             // when it last said that it doubts this peer; 0: never
	asked   Time             // when it was last pinged though it is not in the ring; 0: never
	blank   Time             // when it first pinged or acked without a row of its own; 0: it has one
	oneWay  Time             // when somebody last said that it lives, and we did not hear it; 0: never
	kept    Time             // when the view was last saved for its sake; 0: never
	refused uint64           // what of its messages broke a rule
	unsent  Time             // when something to it last did not leave this machine; 0: never
}

// links keeps ring links to the K successors, K predecessors and fingers, and
// dials the missing.
type links struct {
	interval time.Duration
	self     wire.ID
	lines    map[wire.ID]*line // made as needed; never ranged over
	peers    []wire.ID         // with a link, in the order they came
	cursor   int               // next member out of the ring to test again
	due      Time
	idle     Time // when idle links are next looked for
	wanted   neighbours
}

// neighbours is who this peer keeps links to, as of an epoch of its view.
type neighbours struct {
	epoch               uint64
	succ, pred, fingers []wire.ID
	linked              bool  // with each of them there is a link
	outcasts            []int // indices of members out of the ring whose observer this peer is
	missing             []int // of those out of the ring that are tested again and again
}

// near returns the neighbours in the ring of now. The slices are links'.
func (l *links) near(v *view) *neighbours {
	n := &l.wanted
	if n.epoch == v.epoch && n.epoch != 0 {
		return n
	}
	*n = neighbours{epoch: v.epoch, succ: v.succ(v.k), pred: v.pred(v.k)}
	if !v.inRing() {
		return n
	}
	n.outcasts, n.missing = v.outcasts(), v.missing()
	me, _ := slices.BinarySearch(v.ring, int32(v.me))
	for d := firstFinger; d < len(v.ring); d *= 2 {
		id := v.members[v.ring[(me+d)%len(v.ring)]].id
		if !n.has(id) {
			n.fingers = append(n.fingers, id)
		}
	}
	return n
}

func (n *neighbours) has(id wire.ID) bool {
	return slices.Contains(n.succ, id) || slices.Contains(n.pred, id) || slices.Contains(n.fingers, id)
}

// opened and closed note the ends of a ring link's life.
func (l *links) opened(now Time, id wire.ID, said wire.Incarnation) {
	n := l.line(id)
	n.up, n.opened, n.used, n.said, n.tries = true, max(now, 1), now, said, 0
	if !slices.Contains(l.peers, id) {
		l.peers = append(l.peers, id)
	}
}

func (l *links) closed(now Time, id wire.ID) {
	n := l.line(id)
	n.up, n.fell = false, max(now, 1)
	l.wanted.linked = false
	l.peers = slices.DeleteFunc(l.peers, func(p wire.ID) bool { return p == id })
}

// reachable returns from when the silence of id counts that began at since: at
// once if there is a link, or from when one is there or could not be had; else
// a handshake over a slow network, which is several round trips, may still be
// under way.
func (l *links) reachable(id wire.ID, since Time) Time {
	n := l.lines[id]
	switch {
	case n != nil && n.up:
		return max(since, n.opened)
	case n != nil && n.fell >= since:
		return n.fell
	}
	return since + Time(max(l.interval, 1500*time.Millisecond))
}

// starting takes the incarnation in a ping or ack of id, and reports whether
// id has had none for a while: it is about to join. A single one may be late.
func (l *links) starting(now Time, id wire.ID, said wire.Incarnation) bool {
	n := l.line(id)
	switch {
	case said != 0:
		n.blank = 0
	case n.blank == 0:
		n.blank = max(now, 1)
	}
	return n.blank != 0 && now-n.blank >= Time(l.interval/2)
}

// pinged notes a ping of id, and reports whether it is this interval's: those
// that come sooner ask again.
func (l *links) pinged(now Time, id wire.ID) bool {
	n := l.line(id)
	if n.pinged != 0 && now-n.pinged < Time(l.interval*3/4) {
		return false
	}
	n.pinged = max(now, 1)
	return true
}

// strained reports whether a predecessor has ceased to ping this peer, or says
// that it gets no acks.
func (l *links) strained(now Time, id wire.ID) bool {
	n := l.lines[id]
	return n != nil && (n.pinged != 0 && now-n.pinged > Time(2*l.interval) ||
		n.doubted != 0 && now-n.doubted < Time(aloneAfter*l.interval))
}

// unsent reports whether something to id did not leave this machine in the
// last d.
func (l *links) unsent(now Time, id wire.ID, d time.Duration) bool {
	n := l.lines[id]
	return n != nil && n.unsent != 0 && now-n.unsent <= Time(d)
}

func (l *links) line(id wire.ID) *line {
	n := l.lines[id]
	if n == nil {
		n = &line{}
		l.lines[id] = n
	}
	return n
}

func (l *links) up(id wire.ID) bool { return l.lines[id] != nil && l.lines[id].up }

// heard returns when something authenticated last came from id; 0: never.
func (l *links) heard(id wire.ID) Time {
	if n := l.lines[id]; n != nil {
		return n.heard
	}
	return 0
}

// refusals returns how often refuse was called for id.
func (l *links) refusals(id wire.ID) uint64 {
	if n := l.lines[id]; n != nil {
		return n.refused
	}
	return 0
}

// refuse counts something of id that broke a rule.
func (l *links) refuse(id wire.ID) { l.line(id).refused++ }

func (l *links) dial(now Time, id wire.ID, o *outbox) {
	n := l.line(id)
	if n.up || n.tried != 0 && now-n.tried < Time(l.interval/4) {
		return
	}
	n.tried = max(now, 1)
	n.tries++
	o.do(Dial{id})
}

// step dials who is wanted and hangs up on who is idle, once in a quarter of
// an interval. It returns whom to ping: a link may outlive a cut that nobody
// used it in, and then nobody would ever dial.
func (l *links) step(now Time, v *view, o *outbox) (ping []wire.ID) {
	if now < l.due || !v.inRing() {
		return nil
	}
	l.due = now + Time(l.interval/4)
	if near := l.near(v); !near.linked {
		l.link(now, near, o)
	}
	if now >= l.idle {
		l.idle = now + Time(l.interval)
		l.tidy(now, v, o)
	}
	return l.again(now, v, o)
}

// link dials the neighbours that are not linked.
func (l *links) link(now Time, near *neighbours, o *outbox) {
	near.linked = true
	for _, id := range near.succ {
		near.linked = near.linked && l.up(id)
		l.dial(now, id, o)
	}
	for _, id := range near.fingers {
		near.linked = near.linked && l.up(id)
		if now-l.line(id).tried >= Time(l.interval) {
			l.dial(now, id, o)
		}
	}
	for _, id := range near.pred { // who pings dials; after a while, who is pinged
		near.linked = near.linked && l.up(id)
		if n := l.line(id); !n.up && n.tried == 0 {
			n.tried = max(now, 1)
		} else if now-n.tried >= Time(l.interval) {
			l.dial(now, id, o)
		}
	}
}

// next is when step has something to do.
func (l *links) next(v *view) Time {
	if !v.inRing() {
		return never
	}
	if near := l.near(v); near.linked && len(near.missing) == 0 {
		return max(l.due, l.idle)
	}
	return l.due
}

// tidy hangs up on peers of the ring whom neither side needs. Who pings this
// peer needs it.
func (l *links) tidy(now Time, v *view, o *outbox) {
	near := l.near(v)
	for _, id := range l.peers {
		if near.has(id) {
			continue
		}
		n := l.line(id)
		if m := v.member(id); m != nil && m.inRing && now-max(n.used, n.pinged) > Time(idleAfter*l.interval) {
			o.do(Hangup{id})
			n.used = now
		}
	}
}

// again tests, in turn, some of the members that are not in the ring: those
// that this peer watches, or whom only its own belief keeps out, as others may
// have no reason to tell it otherwise. It dials them, slowly, and returns whom
// to ping, as a ping session outlives its link. A link that has been silent
// since is no good: what TCP waits with for its next try, a new one says at once.
func (l *links) again(now Time, v *view, o *outbox) (ping []wire.ID) {
	missing := l.near(v).missing
	for n, asked := 0, 0; n < len(missing) && asked < retest; n++ {
		l.cursor++
		i := missing[l.cursor%len(missing)]
		id := v.members[i].id
		t := l.line(id)
		if t.asked != 0 && now-t.asked < Time(l.interval/2) {
			continue
		}
		t.asked = max(now, 1)
		asked++
		ping = append(ping, id)
		if t.up && t.heard < v.since(i) {
			o.do(Hangup{id})
		}
		if t.tried == 0 || now-t.tried >= l.wait(id, t.tries) {
			l.dial(now, id, o)
		}
	}
	return ping
}

// wait is how long after one slow dial the next comes: some intervals, spread
// so that peers which lost each other at once don't all dial at once.
func (l *links) wait(id wire.ID, tries int) Time {
	h := uint32(l.self)*2654435761 ^ uint32(id)*2246822519 ^ uint32(tries)*3266489917
	h ^= h >> 15
	slow := Time(slowDial * l.interval)
	return slow - slow/4 + Time(h%1024)*(slow/2)/1024
}
