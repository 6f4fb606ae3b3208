package ring

import (
	"slices"
	"time"

	"securepeer/wire"
)

// Status is a snapshot of a Ring; it shares nothing with it.
type Status struct {
	Self         wire.ID
	InRing       bool // its own row is in its view
	Behind       bool // may not say no yet
	Stopping     bool
	State        wire.State // 0: starting
	Incarnation  wire.Incarnation
	View         wire.Digest
	Successors   []wire.ID // the first K in the computed ring
	Predecessors []wire.ID // the first K in the computed ring
	Ring         []wire.ID // everybody in the computed ring, by position
	Members      []MemberStatus
	Moving       int  // offers and pulls that are not confirmed yet
	Cut          bool // too many are silent to call anybody gone by time
	Load         int  // entries of all tables, lists and queues but the user's operations: O(members)
}

// MemberStatus is what this peer knows of one member of the roster.
type MemberStatus struct {
	ID          wire.ID
	Pos         wire.Pos
	Seen        bool // there is a row
	State       wire.State
	Incarnation wire.Incarnation
	InRing      bool
	Unreachable bool // to this peer: by votes, or by its own belief
	Verdict     bool // by votes
	Believed    bool // by its own belief, whatever the votes
	Suspect     bool
	Linked      bool
	Heard       Time          // when anything authenticated last came; 0: never
	RTT         time.Duration // smoothed; 0: not measured
	Gone        bool
	Since       Time // since when it is not in the ring; 0: it is
	Why         Why
	Votes       []wire.Vote // on it
	Refused     uint64      // what of its messages broke a rule
}

// Why says why a member is not in the ring, or not well in it.
type Why uint8

// The reasons.
const (
	WhyNone     Why = iota // it is in the ring
	WhyUnseen              // it has never been heard of
	WhyStarting            // it runs, and has not joined yet
	WhySilent              // nothing comes from it
	WhyOneWay              // its packets come and our acks do not, or others still hear it
	WhyCut                 // silent, and so are too many
	WhyStopped             // it said so; its files stay there
	WhyLeaving             // it gives its files away
	WhyLeft                // and has
	WhyGone                // silent or stopped for the whole grace, or forgotten
)

// InRing reports whether this peer is in its own ring.
func (r *Ring) InRing() bool { return r.view.inRing() }

// Heard returns when anything authenticated last came from a member; 0: never.
func (r *Ring) Heard(id wire.ID) Time { return r.links.heard(id) }

// Status returns a snapshot, for people and tests to look at.
func (r *Ring) Status() Status {
	v := r.view
	s := Status{
		Self:         v.self,
		InRing:       v.inRing(),
		Behind:       r.behind(),
		Stopping:     r.exit != 0 || r.own.state >= wire.Stopped,
		State:        v.members[v.me].state,
		Incarnation:  r.own.spoken,
		View:         v.digest().whole,
		Successors:   v.succ(v.k),
		Predecessors: v.pred(v.k),
		Moving:       r.copies.pending(),
		Cut:          v.cut,
		Load:         r.load(),
	}
	for _, i := range v.ring {
		s.Ring = append(s.Ring, v.members[i].id)
	}
	s.Members = make([]MemberStatus, 0, len(v.members))
	for _, at := range v.circle.index { // by id
		if at == nowhere {
			continue
		}
		i := int(at)
		m := &v.members[i]
		w := r.detect.find(m.id)
		is := MemberStatus{ID: m.id, Pos: v.pos(i), Seen: m.seen(), State: m.state,
			Incarnation: m.incarnation, InRing: m.inRing, Unreachable: m.unreachable(), Verdict: m.verdict != 0, Believed: m.believed(),
			Linked: r.links.up(m.id), Heard: r.links.heard(m.id), Gone: m.gone(), Since: v.since(i),
			Why: r.why(m), Votes: slices.Clone(v.votes[m.id]), Refused: r.links.refusals(m.id)}
		if w != nil {
			is.Suspect, is.RTT = w.judged, w.srtt
		}
		s.Members = append(s.Members, is)
	}
	return s
}

// Summary is what can be said of a Ring without looking at every member.
type Summary struct {
	InRing bool // this peer is in its own ring
	Behind bool
	State  wire.State // 0: starting
	View   wire.Digest
	Size   int // of the computed ring
}

// Summary returns some of what Status does, at once.
func (r *Ring) Summary() Summary {
	v := r.view
	return Summary{v.inRing(), r.behind(), v.members[v.me].state, v.digest().whole, len(v.ring)}
}

// load counts what this peer remembers beside its members.
func (r *Ring) load() int {
	n := len(r.links.lines) + len(r.links.peers) + len(r.detect.watches) + len(r.detect.helps) +
		len(r.spread.pending) + len(r.spread.asked) + len(r.spread.answered) + len(r.spread.passed) +
		len(r.join.refused) + len(r.join.accepted) + len(r.console.was) + r.copies.load()
	for _, votes := range r.view.votes {
		n += len(votes)
	}
	return n
}

// why says why a member is not in this peer's ring, or not well in it.
func (r *Ring) why(m *member) Why {
	n, t := r.links.lines[m.id], Time(r.roster.Interval)
	oneWay := m.deaf || n != nil && n.oneWay != 0 && r.view.now-n.oneWay < 5*t
	switch {
	case m.id == r.view.self && m.inRing:
		return WhyNone
	case m.inRing && !oneWay:
		return WhyNone
	case !m.seen():
		return WhyUnseen
	case m.gone():
		return WhyGone
	case m.state == wire.Stopped:
		return WhyStopped
	case m.state == wire.Leaving:
		return WhyLeaving
	case m.state == wire.Left:
		return WhyLeft
	case m.starts:
		return WhyStarting
	case oneWay || m.silent && m.verdict == 0 && len(r.view.ring) > 2:
		return WhyOneWay
	case r.view.cut:
		return WhyCut
	}
	return WhySilent
}
