package ring

import (
	"slices"

	"securepeer/wire"
)

// tries is how many peers a question is put to when it goes straight to who
// should know. Walking, it is everybody once.
const tries = 8

// find is a question on its way: who answers for a key? Each peer asked
// answers Here, or Ask with the next one; the asker goes there itself, so the
// link proves who asks.
type find struct {
	purpose wire.Purpose
	name    string // empty for a join
	req     uint32
	at      wire.ID
	path    []wire.ID
	limit   int
	until   Time      // when the peer that is asked counts as silent
	again   bool      // the peer that is asked was asked twice
	code    wire.Code // with which it refused; CodeOK: it did not
}

// ask puts the question to id.
func (f *find) ask(now Time, id wire.ID, wait Time, o *outbox) {
	f.path = append(f.path, id)
	f.at, f.again = id, false
	f.send(now, wait, o)
}

func (f *find) send(now Time, wait Time, o *outbox) {
	f.req, f.until = o.number(), now+wait
	o.send(f.at, wire.Find{Req: f.req, For: f.purpose, Name: f.name})
}

// repeat puts the question once more after the link fell: it may have been
// idle for so long that the other side was just ending it.
func (f *find) repeat(now Time, wait Time, o *outbox) bool {
	if f.again {
		return false
	}
	f.again = true
	f.send(now, wait, o)
	return true
}

// onward goes where an Ask says, unless the question has gone far enough or
// the answer is no member.
func (f *find) onward(now Time, next wire.ID, v *view, wait Time, o *outbox) bool {
	if len(f.path) >= f.limit || !v.has(next) || next == v.self {
		return false
	}
	f.ask(now, next, wait, o)
	return true
}

// route is how questions go: straight to the owner, or successor by
// successor.
type route struct {
	walk      bool
	shortcuts bool
}

// limit returns how many peers may be asked.
func (r route) limit(v *view) int {
	if r.walk {
		return len(v.members) + 1
	}
	return tries
}

// next returns whom this peer would ask about key k, or itself if it owns it.
func (r route) next(k wire.Pos, v *view) (wire.ID, bool) {
	owner, ok := v.owner(k)
	if !ok || owner == v.self || !r.walk {
		return owner, ok
	}
	succ := v.succ(2)
	if len(succ) == 0 {
		return 0, false
	}
	first := v.pos(v.place(succ[0]))
	if r.shortcuts && len(succ) == 2 && !between(v.pos(v.me), k, first) {
		return succ[1], true
	}
	return succ[0], true
}

// joinNext returns who accepts a joiner at index i, or whom to ask: this peer
// itself if the joiner's position lies between it and its successor.
func (r route) joinNext(i int, v *view) wire.ID {
	id, pos := v.members[i].id, v.pos(i)
	succ := v.successors(v.pos(v.me), 1, int(id), nil)
	if len(succ) == 0 || succ[0] == v.self || between(v.pos(v.me), pos, v.pos(v.place(succ[0]))) {
		return v.self
	}
	if r.walk {
		return succ[0]
	}
	return v.predecessors(pos, 1, int(id), nil)[0]
}

// asked answers a question of another peer.
func (r route) asked(from wire.ID, f wire.Find, v *view, j *join, o *outbox) {
	if !v.inRing() {
		o.send(from, wire.Refuse{Req: f.Req, Code: wire.CodeNotInRing})
		return
	}
	if f.For == wire.ForJoin {
		if next := r.joinNext(v.place(from), v); next != v.self {
			o.notify(JoinForwarded, from, "")
			o.send(from, wire.Ask{Req: f.Req, Next: next})
			return
		}
		o.notify(JoinReceived, from, "")
		j.accept(from)
		o.send(from, wire.Here{Req: f.Req})
		return
	}
	k := wire.KeyOf(v.space, f.Name)
	if r.walk {
		r.walked(from, f, k, v, o)
	} else {
		verify(from, f.Req, k, v, o)
	}
}

// walked answers a question that goes from successor to successor: Here from
// the owner, Ask with the next one from all others.
func (r route) walked(from wire.ID, f wire.Find, k wire.Pos, v *view, o *outbox) {
	next, ok := r.next(k, v)
	switch {
	case !ok:
		o.send(from, wire.Refuse{Req: f.Req, Code: wire.CodeNotInRing})
	case next == v.self:
		if f.For == wire.ForGet {
			o.notify(StoredHere, from, f.Name)
		}
		o.send(from, wire.Here{Req: f.Req})
	default:
		switch f.For {
		case wire.ForPut:
			o.notify(StoreForwarded, from, f.Name)
		case wire.ForGet:
			o.notify(NotStoredHere, from, f.Name)
		}
		o.send(from, wire.Ask{Req: f.Req, Next: next})
	}
}

// verify answers a question that came straight here, by this peer's own view:
// any holder says Here. Before, the asker is told what that view says near the
// key, so that it goes on, or ends, by a view that is at least as good.
func verify(from wire.ID, req uint32, k wire.Pos, v *view, o *outbox) {
	inform(from, k, v, o)
	holders := v.holders(k, nil)
	if slices.ContainsFunc(holders, func(h holder) bool { return h.id == v.self }) {
		o.send(from, wire.Here{Req: req})
		return
	}
	for _, h := range holders {
		if h.up {
			o.send(from, wire.Ask{Req: req, Next: h.id})
			return
		}
	}
	o.send(from, wire.Refuse{Req: req, Code: wire.CodeNotOwner})
}

// holds reports whether id is a home holder of k, or a stand-in.
func holds(id wire.ID, k wire.Pos, v *view) bool {
	return slices.ContainsFunc(v.holders(k, nil), func(h holder) bool { return h.id == id })
}

// inform tells id what decides who holds k.
func inform(id wire.ID, k wire.Pos, v *view, o *outbox) {
	rows, votes := nearby(k, v)
	o.send(id, wire.Rows{Rows: rows, Votes: votes})
}

// nearbyRows is how many rows nearby returns at most: who needs more has fallen
// so far behind that its neighbours' views are the shorter way.
const nearbyRows = 64

// nearby returns the rows and votes that decide who holds k: of the members
// from k on, as far as its holders reach and as far again; and of those before
// it, by whose votes it is decided who of the others can be reached, to twice
// the observers. What a message does not take is left out, the farthest first.
func nearby(k wire.Pos, v *view) (rows []wire.Row, votes []wire.Vote) {
	n := len(v.members)
	first := v.at(k)
	take := func(i int) (more bool) {
		m := &v.members[i%n]
		if len(rows) == nearbyRows || len(votes)+len(v.votes[m.id]) > wire.MaxVotes {
			return false
		}
		if m.seen() {
			rows = append(rows, m.row())
			votes = append(votes, v.votes[m.id]...)
		}
		return true
	}
	ahead, usable := 0, 0
	for ; ahead < n && usable < 2*v.copies && take(first+ahead); ahead++ {
		if v.members[(first+ahead)%n].usable() {
			usable++
		}
	}
	for j, inRing := 1, 0; j <= n-ahead && inRing < 2*v.k && take(first+n-j); j++ {
		if v.members[(first+n-j)%n].inRing {
			inRing++
		}
	}
	return rows, votes
}
