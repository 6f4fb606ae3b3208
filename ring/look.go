package ring

import (
	"slices"
	"time"

	"securepeer/wire"
)

const (
	// secondWait is how long a second answer is waited for when there is one.
	secondWait = Time(500 * time.Millisecond)

	// lookWait is how long any answer is waited for.
	lookWait = Time(3 * time.Second)

	// extraLooks is how many more peers are asked in the place of those that
	// are behind or silent.
	extraLooks = 8
)

// look asks who may hold a name which versions they have.
type look struct {
	name    string
	key     wire.Pos
	asked   []looked
	reserve []wire.ID // who is asked in the place of one that can't say no
	began   Time
	first   Time // when the first answer came that counts; 0: none
}

type looked struct {
	peer      wire.ID
	home      bool // in this peer's view
	req       uint32
	again     bool // was asked twice
	state     lookState
	behind    bool
	manifests []wire.Manifest
}

type lookState uint8

const (
	waiting lookState = iota
	answered
	failed  // no link, no answer, or not in the ring
	skipped // not asked: held unreachable
)

// begin asks all home holders and stand-ins at once. Members that are leaving
// are asked as well, as they may still hold what others are about to get.
func (k *look) begin(now Time, name string, v *view, o *outbox) {
	k.name, k.key, k.began = name, wire.KeyOf(v.space, name), now
	for _, h := range v.holders(k.key, nil) {
		k.asked = append(k.asked, looked{peer: h.id, home: h.home, state: skipped})
		if h.up {
			k.ask(len(k.asked)-1, v, o)
		}
	}
	for i := range v.members {
		if m := &v.members[i]; m.seen && m.row.State == wire.Leaving && m.id != v.self && len(k.reserve) < extraLooks {
			k.asked = append(k.asked, looked{peer: m.id})
			k.ask(len(k.asked)-1, v, o)
		}
	}
	for _, id := range v.successors(k.key-1, v.copies+extraLooks, nobody, nil) {
		if !slices.ContainsFunc(k.asked, func(l looked) bool { return l.peer == id }) {
			k.reserve = append(k.reserve, id)
		}
	}
}

func (k *look) ask(i int, v *view, o *outbox) {
	l := &k.asked[i]
	l.req, l.state = o.number(), waiting
	if l.peer == v.self {
		o.do(Answer{To: v.self, Req: l.req, Name: k.name, Home: l.home})
		return
	}
	o.send(l.peer, wire.Look{Req: l.req, Name: k.name})
}

// instead asks one more peer in the place of one that can't say no.
func (k *look) instead(v *view, o *outbox) {
	for len(k.reserve) > 0 {
		id := k.reserve[0]
		k.reserve = k.reserve[1:]
		if v.has(id) { // the roster may have changed
			k.asked = append(k.asked, looked{peer: id})
			k.ask(len(k.asked)-1, v, o)
			return
		}
	}
}

// widen asks everybody else near the key, once: a version may be with a
// stand-in of earlier. It reports whether there is somebody.
func (k *look) widen(now Time, v *view, o *outbox) bool {
	more := len(k.reserve) > 0
	if more {
		k.began = now
	}
	for len(k.reserve) > 0 {
		k.instead(v, o)
	}
	return more
}

// answer takes a Found and reports whether it was one of this look's. Of what
// it carries, only manifests of the name asked for count. An answer of this
// peer itself is behind if this peer is.
func (k *look) answer(now Time, from wire.ID, f wire.Found, behind bool, v *view, o *outbox) bool {
	i := slices.IndexFunc(k.asked, func(l looked) bool {
		return l.peer == from && l.req == f.Req && l.state == waiting
	})
	if i < 0 {
		return false
	}
	l := &k.asked[i]
	l.state, l.behind = answered, f.Behind || from == v.self && behind
	for _, m := range f.Manifests {
		if m.Name == k.name {
			l.manifests = append(l.manifests, m)
		}
	}
	if l.behind {
		k.instead(v, o)
	} else if k.first == 0 {
		k.first = now
	}
	return true
}

// cut notes that the link with peer fell. It is asked once more, over a new
// one: the old may have been idle for so long that peer was just ending it.
func (k *look) cut(peer wire.ID, v *view, o *outbox) {
	for i := range k.asked {
		switch l := &k.asked[i]; {
		case l.peer != peer || l.state != waiting:
		case !l.again && v.has(peer):
			l.again = true
			k.ask(i, v, o)
			return
		default:
			k.fail(i, v, o)
			return
		}
	}
}

// refused notes that peer won't answer this request.
func (k *look) refused(peer wire.ID, req uint32, v *view, o *outbox) {
	for i := range k.asked {
		if l := &k.asked[i]; l.peer == peer && l.state == waiting && l.req == req {
			k.fail(i, v, o)
			return
		}
	}
}

func (k *look) fail(i int, v *view, o *outbox) {
	k.asked[i].state = failed
	k.instead(v, o)
}

// awaits reports whether one of ids may still answer.
func (k *look) awaits(ids []wire.ID) bool {
	return slices.ContainsFunc(k.asked, func(l looked) bool {
		return l.state == waiting && slices.Contains(ids, l.peer)
	})
}

// complete reports whether nobody can still answer.
func (k *look) complete(now Time) bool {
	return now >= k.began+lookWait ||
		!slices.ContainsFunc(k.asked, func(l looked) bool { return l.state == waiting })
}

// deadline is when waiting longer is in vain.
func (k *look) deadline() Time {
	if k.first != 0 {
		return min(k.began+lookWait, k.first+secondWait)
	}
	return k.began + lookWait
}

// good counts the answers that may say no, and says whether one is from a home
// holder, or none can be had.
func (k *look) good() (n int, home bool) {
	reachable := false
	for _, l := range k.asked {
		if l.home && (l.state == waiting || l.state == answered && !l.behind) {
			reachable = true
		}
		if l.state == answered && !l.behind {
			n++
			home = home || l.home
		}
	}
	return n, home || !reachable
}

// silent returns the home holders that did not say yes or no.
func (k *look) silent() []wire.ID {
	var ids []wire.ID
	for _, l := range k.asked {
		if l.home && (l.state != answered || l.behind) {
			ids = append(ids, l.peer)
		}
	}
	return ids
}

// newest returns the newest manifest of each writer, the highest first.
func (k *look) newest() []wire.Manifest {
	var all []wire.Manifest
	for _, l := range k.asked {
		for _, m := range l.manifests {
			i := slices.IndexFunc(all, func(a wire.Manifest) bool { return a.Writer == m.Writer })
			if i < 0 {
				all = append(all, m)
			} else if m.Newer(all[i]) {
				all[i] = m
			}
		}
	}
	slices.SortFunc(all, func(a, b wire.Manifest) int {
		if a.Newer(b) {
			return -1
		}
		return 1
	})
	return all
}

// sources returns who answered that it has m: first the owner that a walk has
// led to, then this peer itself, then the others in their order.
func (k *look) sources(m wire.Manifest, v *view, owner []wire.ID) []wire.ID {
	rank := func(id wire.ID) int {
		switch {
		case slices.Contains(owner, id):
			return 0
		case id == v.self:
			return 1
		}
		return 2
	}
	var ids []wire.ID
	sum := m.Sum()
	for _, l := range k.asked {
		if slices.ContainsFunc(l.manifests, func(a wire.Manifest) bool { return a.Sum() == sum }) {
			ids = append(ids, l.peer)
		}
	}
	slices.SortStableFunc(ids, func(a, b wire.ID) int { return rank(a) - rank(b) })
	return ids
}
