package ring

import "securepeer/wire"

// accord is who has given this peer everything that it should hold: until all
// home holders of its ranges have that it can reach, its no means nothing. Its
// ranges are the arc of which it is a home holder; that grows when another is
// gone, and then who gave it the smaller one has to say so anew.
type accord struct {
	settled map[wire.ID]wire.Settled // the newest of each member
	excused map[wire.ID]wire.Settled // what is waited for no longer

	known bool // what follows holds, for that view and incarnation
	epoch uint64
	want  wire.Settled // of everybody who can be reached
	late  []wire.ID    // who has not settled this peer, and is waited for
	given bool         // somebody has
}

// take notes that from has settled this peer, which has spoken that
// incarnation, and reports whether that can be.
func (a *accord) take(from wire.ID, m wire.Settled, spoken wire.Incarnation) bool {
	if m.Incarnation > spoken {
		return false
	}
	if m.Incarnation >= a.settled[from].Incarnation {
		a.settled[from] = m
		a.known = false
	}
	return true
}

// unsettle takes back that id has settled this peer: it holds more now.
func (a *accord) unsettle(id wire.ID) {
	delete(a.settled, id)
	a.known = false
}

// forget drops a member that the roster has taken out.
func (a *accord) forget(id wire.ID) {
	a.unsettle(id)
	delete(a.excused, id)
}

// arc returns where the arc begins of which member i is a home holder, if
// those are home: after the copies-th home before it, or, if there are fewer,
// at its own position, which is the whole ring.
func arc(v *view, i int, home func(j int) bool) wire.Pos {
	j := i
	for n := v.copies; n > 0; {
		if j = v.before(j); j == i {
			break
		}
		if home(j) {
			n--
		}
	}
	return v.pos(j)
}

// length returns how many positions but one an arc has.
func length(from, to wire.Pos) wire.Pos { return to - from - 1 }

// agreed reports whether every reachable home holder of this peer's ranges
// has given it what it had, in an incarnation from since on.
func (a *accord) agreed(v *view, since wire.Incarnation) bool {
	a.look(v, since)
	return len(a.late) == 0
}

// excuse waits no longer for those that have not settled this peer, if another
// has: "until its ranges agree with another holder's". It reports whether
// there is one. A member that settles nobody must not make others useless.
func (a *accord) excuse(v *view, since wire.Incarnation) bool {
	if a.look(v, since); !a.given {
		return false
	}
	for _, id := range a.late {
		a.excused[id] = a.want
	}
	a.known = false
	return true
}

// look finds out who is late, once for each view.
func (a *accord) look(v *view, since wire.Incarnation) {
	if a.known && a.epoch == v.epoch && a.want.Incarnation == since {
		return
	}
	a.known, a.epoch = true, v.epoch
	a.want = wire.Settled{Incarnation: since, From: arc(v, v.me, func(j int) bool { return v.members[j].home() })}
	a.late, a.given = a.late[:0], false
	for _, id := range v.givers() {
		if v.member(id).inRing {
			a.given = a.given || a.settled[id].Incarnation >= since
			if !a.enough(a.settled[id], v) && !a.enough(a.excused[id], v) {
				a.late = append(a.late, id)
			}
		}
	}
}

// enough reports whether a word is about this incarnation and the whole arc.
func (a *accord) enough(s wire.Settled, v *view) bool {
	me := v.pos(v.me)
	return s.Incarnation >= a.want.Incarnation && length(s.From, me) >= length(a.want.From, me)
}
