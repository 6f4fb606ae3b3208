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
	// are behind or silent, or cannot read their disks.
	extraLooks = 8

	// maxLooks is how many peers one look asks, whatever the view becomes
	// meanwhile. A home holder beyond counts as silent.
	maxLooks = 40
)

// look answers which versions this peer holds; the driver has the store. Who
// is far from the key says so, and who is not one of its holders, in its own
// view, says before what the asker may not have heard: its no is not one of a
// home holder. A peer that leaves still answers, for what it has not given
// away yet.
func (r *Ring) look(from wire.ID, m wire.Look) {
	leaving := r.view.members[r.view.me].state == wire.Leaving
	if !r.view.inRing() && !leaving {
		r.out.send(from, wire.Refuse{Req: m.Req, Code: wire.CodeNotInRing})
		return
	}
	k := wire.KeyOf(r.view.space, m.Name)
	home, holds := false, false
	for _, h := range r.view.holders(k, nil) {
		if h.id == r.view.self {
			home, holds = h.home, true
		}
	}
	if !holds {
		inform(from, k, r.view, &r.out)
	}
	if !holds && !leaving && !slices.Contains(around(k, r.view), r.view.self) {
		r.out.send(from, wire.Refuse{Req: m.Req, Code: wire.CodeNotOwner})
		return
	}
	answer := Answer{To: from, Req: m.Req, Name: m.Name, Home: home}
	if r.behind() {
		answer.Code = wire.CodeBehind
	}
	r.out.do(answer)
}

// around returns the live peers at and after k that are asked, if need be, for
// what was put while others were its holders.
func around(k wire.Pos, v *view) []wire.ID {
	return v.successors(k-1, v.copies+extraLooks, nobody, nil)
}

// look asks who may hold a name which versions they have.
type look struct {
	name    string
	key     wire.Pos
	asked   []looked
	reserve []wire.ID // who is asked in the place of one that can't say no
	began   Time
	first   Time   // when the first answer came that counts; 0: none
	last    Time   // when the last home holder answered; 0: none has
	spare   Time   // how long those that leave are waited for after that
	epoch   uint64 // of the view that the holders among asked are of
}

type looked struct {
	peer      wire.ID
	home      bool // in this peer's view
	passed    bool // it takes no writes, in this peer's view: they pass it by
	leaves    bool // asked only because it may not have given all away
	agrees    bool // it is home in its own view, too
	req       uint32
	sent      Time
	again     bool // was asked twice
	state     lookState
	code      wire.Code // how it has answered, or refused to
	manifests []wire.Manifest
}

// shows reports whether a version is among what l has answered with.
func (l *looked) shows(sum wire.Sum) bool {
	return slices.ContainsFunc(l.manifests, func(m wire.Manifest) bool { return m.Sum() == sum })
}

// counts reports whether l has answered and may say no.
func (l *looked) counts() bool { return l.state == answered && l.code == wire.CodeOK }

// asHome reports whether that no is one of a home holder: the two must agree
// that it is one.
func (l *looked) asHome() bool { return l.counts() && l.home && l.agrees }

type lookState uint8

const (
	waiting lookState = iota
	answered
	failed  // no link, no answer, or it won't answer
	skipped // not asked: held unreachable
)

// begin asks all home holders and stand-ins at once. Members that are leaving
// are asked as well, as they may still hold what others are about to get.
func (k *look) begin(now Time, name string, p paces, v *view, o *outbox) {
	k.name, k.key, k.began = name, wire.KeyOf(v.space, name), now
	k.follow(now, v, o)
	for j, i, n := 0, v.at(k.key), 0; j < len(v.members) && n < extraLooks; j, i = j+1, (i+1)%len(v.members) {
		if m := &v.members[i]; m.seen() && m.state == wire.Leaving {
			l := k.add(m.id)
			k.asked[l].leaves, k.spare = true, max(k.spare, min(p[m.id].late(), secondWait))
			k.ask(now, l, v, o)
			n++
		}
	}
	k.reserve = around(k.key, v)
}

// follow asks who has become a holder since, as the view has changed: others
// may have said what this peer had missed. A no counts from those alone that
// are home holders now.
func (k *look) follow(now Time, v *view, o *outbox) {
	if len(k.asked) > 0 && (k.epoch == v.epoch || k.complete(now)) {
		return
	}
	k.epoch = v.epoch
	for i := range k.asked {
		k.asked[i].home = false
	}
	for _, h := range v.holders(k.key, nil) {
		i := k.index(h.id)
		if i < 0 {
			i = k.add(h.id)
			k.asked[i].state = skipped
		}
		k.asked[i].home, k.asked[i].passed = h.home, !h.use
		if h.up && k.asked[i].state == skipped && i < maxLooks {
			k.ask(now, i, v, o)
		}
	}
}

// add appends a peer that is not asked yet and returns its index.
func (k *look) add(id wire.ID) int {
	k.asked = append(k.asked, looked{peer: id})
	return len(k.asked) - 1
}

// index returns that of id among those asked, or -1.
func (k *look) index(id wire.ID) int {
	return slices.IndexFunc(k.asked, func(l looked) bool { return l.peer == id })
}

func (k *look) ask(now Time, i int, v *view, o *outbox) {
	l := &k.asked[i]
	l.req, l.state, l.sent = o.number(), waiting, now
	if l.peer == v.self {
		o.do(Answer{To: v.self, Req: l.req, Name: k.name, Home: l.home})
		return
	}
	o.send(l.peer, wire.Look{Req: l.req, Name: k.name})
}

// instead asks one more peer in the place of one that can't say no.
func (k *look) instead(now Time, v *view, o *outbox) {
	for len(k.reserve) > 0 && len(k.asked) < maxLooks {
		id := k.reserve[0]
		k.reserve = k.reserve[1:]
		if v.has(id) && k.index(id) < 0 { // the roster and the view may have changed
			k.ask(now, k.add(id), v, o)
			return
		}
	}
}

// widen asks everybody else near the key, once: a version may be with a
// stand-in of earlier. It reports whether there is somebody.
func (k *look) widen(now Time, v *view, o *outbox) bool {
	n := len(k.asked)
	for len(k.reserve) > 0 && len(k.asked) < maxLooks {
		k.instead(now, v, o)
	}
	if len(k.asked) == n {
		return false
	}
	k.began = now
	return true
}

// answer takes a Found and reports whether it was one of this look's, and how
// long it took; 0: not known. Of what it carries, only manifests of the name
// asked for count. An answer of this peer itself is behind if this peer is. Who
// could not read its disk may have any version, as one that has not answered.
func (k *look) answer(now Time, from wire.ID, f wire.Found, behind bool, v *view, o *outbox) (took Time, ok bool) {
	i := k.waits(from, f.Req)
	if i < 0 {
		return 0, false
	}
	k.follow(now, v, o)
	l := &k.asked[i]
	l.state, l.code, l.agrees = answered, f.Code, f.Home
	if from == v.self && behind && l.code == wire.CodeOK {
		l.code = wire.CodeBehind
	}
	if from != v.self && !l.again {
		took = now - l.sent
	}
	for _, m := range f.Manifests {
		if m.Name == k.name {
			l.manifests = append(l.manifests, m)
		}
	}
	if l.counts() && k.first == 0 {
		k.first = now
	}
	if l.asHome() {
		k.last = now
	}
	if l.code != wire.CodeOK {
		k.instead(now, v, o)
	}
	return took, true
}

// waits returns the index of the peer that is to answer that request, or -1.
func (k *look) waits(peer wire.ID, req uint32) int {
	return slices.IndexFunc(k.asked, func(l looked) bool {
		return l.peer == peer && l.req == req && l.state == waiting
	})
}

// cut notes that the link with peer fell. It is asked once more, over a new
// one: the old may have been idle for so long that peer was just ending it.
func (k *look) cut(now Time, peer wire.ID, v *view, o *outbox) {
	i := k.index(peer)
	switch {
	case i < 0 || k.asked[i].state != waiting:
	case !k.asked[i].again && v.has(peer):
		k.asked[i].again = true
		k.ask(now, i, v, o)
	default:
		k.fail(now, i, v, o)
	}
}

// refused notes that peer won't answer this request, and reports whether it is
// one of this look's. It may have said before who the holders are.
func (k *look) refused(now Time, peer wire.ID, m wire.Refuse, v *view, o *outbox) bool {
	i := k.waits(peer, m.Req)
	if i < 0 {
		return false
	}
	k.follow(now, v, o)
	k.asked[i].code = m.Code
	k.fail(now, i, v, o)
	return true
}

func (k *look) fail(now Time, i int, v *view, o *outbox) {
	k.asked[i].state = failed
	k.instead(now, v, o)
}

// awaits reports whether one of ids may still answer.
func (k *look) awaits(ids []wire.ID) bool {
	return slices.ContainsFunc(k.asked, func(l looked) bool {
		return l.state == waiting && slices.Contains(ids, l.peer)
	})
}

// complete reports whether nobody can still answer who is waited for.
func (k *look) complete(now Time) bool {
	return now >= min(k.began+lookWait, k.enough()) ||
		!slices.ContainsFunc(k.asked, func(l looked) bool { return l.state == waiting })
}

// enough is when those that leave are waited for no longer; never, if others
// are, or the home holders are not at one. They are asked for every name: one
// that says that it leaves, and then nothing, must not slow all.
func (k *look) enough() Time {
	for i := range k.asked {
		l := &k.asked[i]
		if l.home && !l.asHome() || l.state == waiting && (l.home || !l.leaves) {
			return never
		}
	}
	if k.last == 0 || !k.atOne() {
		return never
	}
	return k.last + k.spare
}

// atOne reports whether the home holders have all that is newest.
func (k *look) atOne() bool {
	for _, m := range k.newest() {
		sum := m.Sum()
		if slices.ContainsFunc(k.asked, func(l looked) bool { return l.home && !l.shows(sum) }) {
			return false
		}
	}
	return true
}

// deadline is when waiting longer is in vain.
func (k *look) deadline() Time {
	if k.first != 0 {
		return min(k.began+lookWait, k.first+secondWait)
	}
	return k.began + lookWait
}

// good counts the answers that may say no, and says whether one is from a home
// holder that takes writes, or none can be had: what was put while a holder was
// full or stuck has passed it by.
func (k *look) good() (n int, home bool) {
	reachable := false
	for i := range k.asked {
		l := &k.asked[i]
		if l.home && !l.passed && (l.state == waiting || l.asHome()) {
			reachable = true
		}
		if l.counts() {
			n++
		}
		home = home || !l.passed && l.asHome()
	}
	return n, home || !reachable
}

// vouched reports whether anybody but its writer says that it has a version, or
// nobody else could know. A member's word alone, which costs it nothing, must
// not take a name from all others.
func (k *look) vouched(m wire.Manifest) bool {
	sum, known := m.Sum(), true
	for i := range k.asked {
		l := &k.asked[i]
		if l.state != answered || l.peer == m.Writer {
			continue
		}
		if l.shows(sum) {
			return true
		}
		known = known && !l.asHome()
	}
	return known
}

// unasked returns those of the home holders, and of the members that leave, that
// have not said what they have: they could not be asked, are slow, or could not
// read their disks. A member that leaves may have what the home holder after it was
// not given yet.
func (k *look) unasked() (ids []wire.ID) {
	for i := range k.asked {
		if l := &k.asked[i]; (l.home || l.leaves) && (l.state != answered || l.code != wire.CodeOK && l.code != wire.CodeBehind) {
			ids = append(ids, l.peer)
		}
	}
	return ids
}

// silent returns the home holders that did not say yes or no, as such.
func (k *look) silent() []wire.ID {
	var ids []wire.ID
	for i := range k.asked {
		if l := &k.asked[i]; l.home && !l.asHome() {
			ids = append(ids, l.peer)
		}
	}
	return ids
}

// declined returns those of silent that have answered, and how.
func (k *look) declined() []Declined {
	var all []Declined
	for i := range k.asked {
		if l := &k.asked[i]; l.home && !l.asHome() && l.said() != wire.CodeOK {
			all = append(all, Declined{l.peer, l.said()})
		}
	}
	return all
}

// said is why the answer of l is neither a yes nor a no; CodeOK: none has come, or
// it is one.
func (l *looked) said() wire.Code {
	if l.state == answered && l.code == wire.CodeOK && l.home && !l.agrees {
		return wire.CodeNotOwner // it holds itself for no home holder
	}
	if l.state == answered || l.state == failed {
		return l.code
	}
	return wire.CodeOK
}

// unavailable is the result of an operation that the answers do not allow.
func (k *look) unavailable() Result {
	return Result{Outcome: Unavailable, Silent: k.silent(), Declined: k.declined()}
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
	slices.SortFunc(all, newestFirst)
	return all
}

func newestFirst(a, b wire.Manifest) int {
	if a.Newer(b) {
		return -1
	}
	return 1
}

// below returns, of a version that one member alone shows, the newest older one
// by its writer that another shows.
func (k *look) below(m wire.Manifest) (older wire.Manifest, ok bool) {
	by := k.showing(m)
	if len(by) != 1 {
		return wire.Manifest{}, false
	}
	for i := range k.asked {
		l := &k.asked[i]
		for _, o := range l.manifests {
			if l.peer != by[0] && o.Writer == m.Writer && m.Newer(o) && (!ok || o.Newer(older)) {
				older, ok = o, true
			}
		}
	}
	return older, ok
}

// showing returns who has answered with a version.
func (k *look) showing(m wire.Manifest) (ids []wire.ID) {
	sum := m.Sum()
	for i := range k.asked {
		if k.asked[i].shows(sum) {
			ids = append(ids, k.asked[i].peer)
		}
	}
	return ids
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
	ids := k.showing(m)
	slices.SortStableFunc(ids, func(a, b wire.ID) int { return rank(a) - rank(b) })
	return ids
}
