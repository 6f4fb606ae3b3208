package ring

import (
	"encoding/binary"

	"securepeer/wire"
)

// stamp is what a pass took a member for, in 12 bytes. Two incarnations, or
// stores, that end alike are no harm: a member gets what it claims to have.
type stamp struct {
	incarnation uint32 // its end
	store       uint32 // its end
	state       wire.State
	home        bool
	up          bool
	awaited     bool // not up, but its disk is not taken for lost
}

// takes reports whether writes go to the member.
func (s stamp) takes() bool { return s.up && s.state != wire.Full && s.state != wire.Stuck }

// continues reports whether a member that was given everything as was needs
// nothing anew as is.
func (s stamp) continues(was stamp) bool {
	return was.up && s.up && was.home && s.store == was.store &&
		(s.incarnation == was.incarnation ||
			goesOn(wire.Incarnation(was.incarnation), was.state, wire.Incarnation(s.incarnation), s.state))
}

// goesOn reports whether a row that follows another of the same member says
// only that it has caught up, or that its disk takes no more: then nobody has
// to give it anything anew. Any other change may stand for a time in which it
// missed something.
func goesOn(i wire.Incarnation, was wire.State, j wire.Incarnation, is wire.State) bool {
	return j == i+1 && (was == wire.Joining && is == wire.Active ||
		(was == wire.Joining || was == wire.Active) && (is == wire.Full || is == wire.Stuck))
}

// stampOf takes a member for what the view, and doubt, say of it.
func (c *copier) stampOf(now Time, m *member, l *links) stamp {
	return stamp{
		home:        m.home() || m.gone() && m.state < wire.Leaving && !c.doubts.sure(m.id),
		up:          m.inRing,
		awaited:     !m.inRing && c.doubts.awaits(now, m, l),
		state:       m.state,
		incarnation: uint32(m.incarnation),
		store:       binary.BigEndian.Uint32(m.store[12:]),
	}
}

// places returns the indices of those who should be given a version of key k
// by this peer, as the stamps have it: its home holders in reach. If there is
// none but this peer, its copy is the last live one, and the stand-ins get
// one at once, unless one copy is all that is wanted. Who leaves has no copy
// that counts: it gives to stand-ins when no home holder takes anything.
func places(v *view, of []stamp, k wire.Pos) []int {
	var to []int
	homes, lacking, alone := 0, 0, true
	leaves := leaving(v)
	for n, i := 0, v.at(k); n < len(of); n, i = n+1, (i+1)%len(of) {
		s := of[i]
		switch {
		case homes < v.copies:
			if !s.home {
				continue
			}
			homes++
			if !s.takes() {
				lacking++
			}
			if i != v.me {
				if s.takes() {
					to = append(to, i)
				}
				alone = alone && !s.takes() && (leaves || !s.up && !s.awaited)
			}
		case !alone || lacking == 0 || v.copies == 1 && !leaves:
			return to
		case s.takes():
			lacking--
			if i != v.me {
				to = append(to, i)
			}
		}
	}
	return to
}
