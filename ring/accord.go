package ring

import "securepeer/wire"

// accord is who has given this peer everything that it should hold: until all
// home holders of its ranges have that it can reach, its no means nothing.
type accord struct {
	settled map[wire.ID]wire.Settled     // the newest of each member
	excused map[wire.ID]wire.Incarnation // whom this peer, in that incarnation, waits for no longer

	known bool // what follows holds, for that view and incarnation
	epoch uint64
	since wire.Incarnation
	late  []wire.ID // who has not settled this peer, and is waited for
	given bool      // somebody has
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

// forget takes back that id has settled this peer.
func (a *accord) forget(id wire.ID) {
	delete(a.settled, id)
	delete(a.excused, id)
	a.known = false
}

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
		a.excused[id] = since
	}
	a.known = false
	return true
}

// look finds out who is late, once for each view.
func (a *accord) look(v *view, since wire.Incarnation) {
	if a.known && a.epoch == v.epoch && a.since == since {
		return
	}
	a.known, a.epoch, a.since = true, v.epoch, since
	a.late, a.given = a.late[:0], false
	for _, id := range v.givers() {
		switch {
		case !v.member(id).inRing:
		case a.settled[id].Incarnation >= since:
			a.given = true
		case a.excused[id] != since:
			a.late = append(a.late, id)
		}
	}
}
