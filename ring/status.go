package ring

import (
	"slices"

	"securepeer/wire"
)

// InRing reports whether this peer is in its own ring.
func (r *Ring) InRing() bool { return r.view.inRing() }

// Status returns a snapshot, for people and tests to look at.
func (r *Ring) Status() Status {
	v := r.view
	s := Status{
		Self:         v.self,
		InRing:       v.inRing(),
		Behind:       r.behind(),
		Stopping:     r.exit != 0 || r.own.state >= wire.Stopped,
		State:        v.members[v.me].row.State,
		Incarnation:  r.own.spoken,
		View:         v.digest,
		Successors:   v.succ(v.k),
		Predecessors: v.pred(v.k),
		Moving:       r.copies.pending(),
	}
	for _, i := range v.ring {
		s.Ring = append(s.Ring, v.members[i].id)
	}
	for i := range v.members {
		m := &v.members[i]
		w := r.detect.find(m.id)
		is := MemberStatus{ID: m.id, Pos: m.pos, Seen: m.seen, State: m.row.State,
			Incarnation: m.row.Incarnation, InRing: m.inRing, Unreachable: m.unreachable(),
			Linked: r.links.up(m.id), Heard: r.links.heard(m.id)}
		if w != nil {
			is.Suspect, is.RTT = w.tries >= probes, w.srtt
		}
		s.Members = append(s.Members, is)
	}
	slices.SortFunc(s.Members, func(a, b MemberStatus) int { return int(a.ID) - int(b.ID) })
	return s
}
