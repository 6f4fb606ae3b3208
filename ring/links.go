package ring

import (
	"slices"
	"time"

	"securepeer/wire"
)

const (
	// slowDial is how many intervals lie between two dials of a member that
	// is not in the ring: it goes on for ever, so that two halves of a ring
	// always find each other.
	slowDial = 10

	// fanOut is how many members a peer that is starting dials at once.
	fanOut = 16

	// retest is how many members that this peer alone holds silent it asks
	// again in a quarter of an interval.
	retest = 4

	// idleAfter is how many intervals a link that no neighbour needs is kept.
	idleAfter = 30
)

// line is what links knows of one member.
type line struct {
	up     bool
	tried  Time             // last dial; 0: none
	used   Time             // last message either way
	lost   Time             // since when this peer, its observer, has missed it; 0: not
	heard  Time             // when anything authenticated last came; 0: never
	pinged Time             // when this interval's ping came; 0: never
	said   wire.Incarnation // at the handshake of the link
	blank  Time             // when it first pinged or acked without a row of its own; 0: it has one
}

// links keeps ring links to the K successors and K predecessors, and dials
// the missing.
type links struct {
	interval time.Duration
	lines    map[wire.ID]*line // made as needed; never ranged over
	peers    []wire.ID         // with a link, in the order they came
	cursor   int               // next member to test again
	due      Time
}

// opened and closed note the ends of a ring link's life.
func (l *links) opened(now Time, id wire.ID, said wire.Incarnation) {
	n := l.line(id)
	n.up, n.used, n.said = true, now, said
	if !slices.Contains(l.peers, id) {
		l.peers = append(l.peers, id)
	}
}

func (l *links) closed(id wire.ID) {
	l.line(id).up = false
	l.peers = slices.DeleteFunc(l.peers, func(p wire.ID) bool { return p == id })
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

func (l *links) line(id wire.ID) *line {
	if l.lines[id] == nil {
		l.lines[id] = &line{}
	}
	return l.lines[id]
}

func (l *links) up(id wire.ID) bool { return l.lines[id] != nil && l.lines[id].up }

// heard returns when something authenticated last came from id; 0: never.
func (l *links) heard(id wire.ID) Time {
	if n := l.lines[id]; n != nil {
		return n.heard
	}
	return 0
}

func (l *links) dial(now Time, id wire.ID, o *outbox) {
	n := l.line(id)
	if n.up || n.tried != 0 && now-n.tried < Time(l.interval/4) {
		return
	}
	n.tried = max(now, 1)
	o.do(Dial{id})
}

// step dials who is wanted and hangs up on who is idle, once in a quarter of
// an interval. It returns which missing members to vote on, and which to ping:
// a link may outlive a cut that nobody used it in, and then nobody would ever
// dial.
func (l *links) step(now Time, v *view, o *outbox) (vote, ping []wire.ID) {
	if now < l.due {
		return nil, nil
	}
	l.due = now + Time(l.interval/4)
	if !v.inRing() {
		return nil, nil
	}
	succ, pred := v.succ(v.k), v.pred(v.k)
	for _, id := range succ {
		l.dial(now, id, o)
	}
	for _, id := range pred { // who pings dials; after a while, who is pinged
		if n := l.line(id); !n.up && n.tried == 0 {
			n.tried = max(now, 1)
		} else if now-n.tried >= Time(l.interval) {
			l.dial(now, id, o)
		}
	}
	ping = l.again(now, v, o)
	for i := range v.members {
		m := &v.members[i]
		n := l.line(m.id)
		switch {
		case m.id == v.self || slices.Contains(succ, m.id) || slices.Contains(pred, m.id):
			n.lost = 0
		case m.inRing:
			n.lost = 0
			if n.up && now-n.used > Time(idleAfter*l.interval) {
				o.do(Hangup{m.id})
				n.used = now
			}
		case v.watches(i):
			if l.missing(now, m, n, o) && v.vote(m.id) != wire.Unreachable {
				vote = append(vote, m.id)
			}
			if n.up && !slices.Contains(ping, m.id) {
				ping = append(ping, m.id)
			}
		default:
			n.lost = 0
		}
	}
	return vote, ping
}

// again dials, in turn, some of the members that only this peer's belief keeps
// out of its ring: others may have no reason to tell it otherwise. Those that
// have a link it returns.
func (l *links) again(now Time, v *view, o *outbox) (ping []wire.ID) {
	for n, asked := 0, 0; n < len(v.members) && asked < retest; n++ {
		l.cursor = (l.cursor + 1) % len(v.members)
		m := &v.members[l.cursor]
		t := l.line(m.id)
		switch {
		case !m.absent && !m.silent:
		case t.up:
			ping = append(ping, m.id)
			asked++
		case now-t.tried >= Time(slowDial*l.interval):
			l.dial(now, m.id, o)
			asked++
		}
	}
	return ping
}

// missing dials a member outside the ring that this peer watches, slowly, and
// reports whether to vote on it: it should be in the ring and stays silent,
// and those who watched it before may have gone themselves.
func (l *links) missing(now Time, m *member, n *line, o *outbox) bool {
	if m.seen && m.row.State >= wire.Leaving {
		return false
	}
	wait := Time(slowDial*l.interval) + Time(m.id%8)*Time(l.interval/8)
	if !n.up && (n.tried == 0 || now-n.tried >= wait) {
		l.dial(now, m.id, o)
	}
	if n.lost == 0 {
		n.lost = max(now, 1)
	}
	return m.seen && m.row.State < wire.Stopped && now-max(n.lost, n.heard) >= Time(3*l.interval)
}
