package ring

import (
	"slices"

	"securepeer/wire"
)

// lookupTime is how long a lookup that is not walked may take, whoever is
// silent.
const lookupTime = 2 * lookWait

// lookup finds who answers for a name. Walking, it follows a question. Else
// it asks a holder of its own view, which checks by its own: Here if it is
// one, or what it knows better and Ask. What it knows has been merged before,
// so the lookup goes on by a better view; an Ask alone only says whom to try
// when nobody else is left. At most [tries] peers are asked, nobody twice with
// the same news, for at most lookupTime.
type lookup struct {
	query
	key   wire.Pos
	began Time
	hedge Time      // when one more is asked beside those that don't answer
	hops  []hop     // everybody asked, in order
	hints []wire.ID // whom they named
}

// hop is one peer asked.
type hop struct {
	peer   wire.ID
	req    uint32
	sent   Time
	after  int // index of the hop whose answer led here; nowhere: it is the first
	state  lookState
	code   wire.Code // with which it declined, or would by what this peer knows; CodeOK: it did not
	again  bool      // the question was put twice: the link fell
	taught bool      // it had said Ask before, and was told what this peer knows
}

func (l *lookup) begin(now Time, s scene) {
	l.key, l.began = wire.KeyOf(s.view.space, l.name), now
	owner, _ := s.view.owner(l.key) // there is one: this peer is in the ring
	next, ok := s.route.next(l.key, s.view)
	switch {
	case owner == s.view.self && holds(owner, l.key, s.view):
		l.succeed(owner, nil, s)
	case s.route.walk && ok && next != s.view.self:
		l.ask(now, next, wire.ForLookup, s)
	default:
		l.goOn(now, nowhere, s)
	}
}

// led ends a walk.
func (l *lookup) led(_ Time, at wire.ID, how Outcome, s scene) {
	path := l.find.path
	switch how {
	case Succeeded:
		l.succeed(at, path, s)
	case Unavailable:
		r := Result{Outcome: how, Silent: []wire.ID{at}, Path: path}
		if l.find.code != wire.CodeOK {
			r.Declined = []Declined{{at, l.find.code}}
		}
		l.finish(r, s)
	default:
		l.finish(Result{Outcome: how, Path: path}, s)
	}
}

// succeed says who answers. The owner is that of the view that the answers
// have led to: any holder may have said Here, the owner's own answer being
// late. On a walk only the owner does.
func (l *lookup) succeed(at wire.ID, path []wire.ID, s scene) {
	r := Result{At: at, Path: path, Owner: at}
	if owner, ok := s.view.owner(l.key); ok && l.find == nil {
		r.Owner = owner
	}
	for _, h := range s.view.holders(l.key, nil) {
		r.Holders = append(r.Holders, h.id)
	}
	r.Silent = l.silent()
	l.finish(r, s)
}

// fail says why nobody was found: some were silent, or those who were asked
// sent the question elsewhere.
func (l *lookup) fail(s scene) {
	r := Result{Outcome: OutOfHops, Silent: l.silent()}
	for _, h := range l.hops {
		r.Path = append(r.Path, h.peer)
		if d := (Declined{h.peer, h.code}); h.code != wire.CodeOK && !slices.Contains(r.Declined, d) {
			r.Declined = append(r.Declined, d)
		}
	}
	for _, h := range s.view.holders(l.key, nil) {
		if !h.up && !slices.Contains(r.Silent, h.id) {
			r.Silent = append(r.Silent, h.id)
		}
	}
	if len(r.Silent) > 0 {
		r.Outcome = Unavailable
	}
	l.finish(r, s)
}

// silent returns who was asked and gave no answer that counts.
func (l *lookup) silent() (ids []wire.ID) {
	for _, h := range l.hops {
		if h.state != answered && !slices.Contains(ids, h.peer) {
			ids = append(ids, h.peer)
		}
	}
	return ids
}

// line returns the hops that led to the one at index i, it included. Who was
// asked beside another, or in the place of one that was silent, is on the line
// of that one's predecessor: so the length of a line counts how often the
// question was sent on, and one more.
func (l *lookup) line(i int) (path []wire.ID) {
	for ; i != nowhere; i = l.hops[i].after {
		path = append(path, l.hops[i].peer)
	}
	slices.Reverse(path)
	return path
}

// choose returns whom to ask next: a reachable holder of this peer's view, by
// position, those that somebody suspects last. Then whoever sent the question
// elsewhere and is a holder all the same: it may not know what this peer does.
// Then whom others named.
func (l *lookup) choose(s scene) (id wire.ID, taught, ok bool) {
	holders := s.view.holders(l.key, nil)
	for _, suspect := range []bool{false, true} {
		for _, h := range holders {
			if h.up && l.last(h.id) == nowhere && s.suspects(h.id) == suspect {
				return h.id, false, true
			}
		}
	}
	for _, h := range holders {
		if i := l.last(h.id); h.up && i != nowhere && l.hops[i].state == answered && !l.hops[i].taught {
			return h.id, true, true
		}
	}
	id, ok = l.other(l.hints, s)
	if !ok && !l.waiting() {
		// None of those that this peer takes for holders is any: the next ones
		// may know who is.
		id, ok = l.other(around(l.key, s.view), s)
	}
	return id, false, ok
}

// other returns the first of some peers that was not asked.
func (l *lookup) other(ids []wire.ID, s scene) (id wire.ID, ok bool) {
	for _, id := range ids {
		if id != s.view.self && s.view.has(id) && l.last(id) == nowhere {
			return id, true
		}
	}
	return 0, false
}

// last returns the index of the last hop to id, or nowhere.
func (l *lookup) last(id wire.ID) int {
	for i := len(l.hops) - 1; i >= 0; i-- {
		if l.hops[i].peer == id {
			return i
		}
	}
	return nowhere
}

// goOn asks one more, on the line that ends with after, and ends the lookup if
// there is nobody to ask and nobody who may still answer.
func (l *lookup) goOn(now Time, after int, s scene) {
	id, taught, ok := l.choose(s)
	switch {
	case ok && id == s.view.self: // a holder itself, and those before it are silent
		l.succeed(id, l.line(after), s)
	case ok && len(l.hops) < tries:
		if taught {
			inform(id, l.key, s.view, s.out)
		}
		l.hops = append(l.hops, hop{peer: id, after: after, taught: taught, sent: now})
		l.put(len(l.hops)-1, s)
		l.hedge = now + s.paces[id].late()
	case l.waiting():
		l.hedge = now + paceUnknown // the view may name others by then
	default:
		l.fail(s)
	}
}

func (l *lookup) put(i int, s scene) {
	h := &l.hops[i]
	h.req = s.out.number()
	s.out.send(h.peer, wire.Find{Req: h.req, For: wire.ForLookup, Name: l.name})
}

func (l *lookup) waiting() bool {
	return slices.ContainsFunc(l.hops, func(h hop) bool { return h.state == waiting })
}

// answer finds the hop that from answers, and notes how long that took.
func (l *lookup) answer(now Time, from wire.ID, req uint32, s scene) (i int, ok bool) {
	i = slices.IndexFunc(l.hops, func(h hop) bool {
		return h.peer == from && h.req == req && h.state == waiting
	})
	if i < 0 || l.over {
		return i, false
	}
	if !l.hops[i].again {
		s.paces.took(from, now-l.hops[i].sent)
	}
	return i, true
}

// onward takes an Ask.
func (l *lookup) onward(now Time, from wire.ID, m wire.Ask, s scene) {
	i, ok := l.answer(now, from, m.Req, s)
	if !ok {
		return
	}
	l.hops[i].state = answered
	l.hints = append(l.hints, m.Next)
	l.goOn(now, i, s)
}

// here takes a Here, which counts if it comes from a holder in this peer's
// view: by now it knows what those on the way knew.
func (l *lookup) here(now Time, from wire.ID, m wire.Here, s scene) {
	i, ok := l.answer(now, from, m.Req, s)
	if !ok {
		return
	}
	if !holds(from, l.key, s.view) {
		l.hops[i].code = wire.CodeNotOwner
		l.drop(now, i, s)
		return
	}
	l.hops[i].state = answered
	l.succeed(from, l.line(i), s)
}

// refused takes a Refuse.
func (l *lookup) refused(now Time, from wire.ID, m wire.Refuse, s scene) {
	if i, ok := l.answer(now, from, m.Req, s); ok {
		l.hops[i].code = m.Code
		l.drop(now, i, s)
	}
}

// lost notes that the link with id fell. It is asked once more, as the link
// may have been ended for being idle; the next one is asked as well.
func (l *lookup) lost(now Time, id wire.ID, s scene) {
	for i := range l.hops {
		h := &l.hops[i]
		switch {
		case l.over || h.peer != id || h.state != waiting:
		case h.again || !s.view.has(id):
			l.drop(now, i, s)
		default:
			h.again = true
			l.put(i, s)
			l.goOn(now, h.after, s)
		}
	}
}

// drop goes on without the hop at index i: with those that were asked beside
// it, or in its place.
func (l *lookup) drop(now Time, i int, s scene) {
	l.hops[i].state = failed
	if !l.waiting() {
		l.goOn(now, l.hops[i].after, s)
	}
}

// step asks one more when an answer is late, and gives up on who is silent.
func (l *lookup) step(now Time, s scene) {
	if l.over || l.find != nil {
		return
	}
	if now >= l.began+lookupTime {
		l.fail(s)
		return
	}
	for i := range l.hops {
		if h := &l.hops[i]; !l.over && h.state == waiting && now >= h.sent+lookWait {
			l.drop(now, i, s)
		}
	}
	if !l.over && now >= l.hedge {
		l.goOn(now, l.hops[len(l.hops)-1].after, s)
	}
}

func (l *lookup) next() Time {
	t := min(l.hedge, l.began+lookupTime)
	for _, h := range l.hops {
		if h.state == waiting {
			t = min(t, h.sent+lookWait)
		}
	}
	return t
}
