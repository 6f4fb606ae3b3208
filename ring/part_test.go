package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// What each part of the copy loop, of a put and of a row counts, and what not.

// TestWhenALeaverIsThrough: not while anything is to be done, or was not.
func TestWhenALeaverIsThrough(t *testing.T) {
	for name, but := range map[string]func(c *copier, v *view){
		"a pass is under way":       func(c *copier, _ *view) { c.pass = &pass{} },
		"one is wanted":             func(c *copier, _ *view) { c.wanted = true },
		"there was none":            func(c *copier, _ *view) { c.last = nil },
		"a version found no place":  func(c *copier, _ *view) { c.last.stranded = true },
		"somebody did not take all": func(c *copier, _ *view) { c.last.failed = []wire.ID{12} },
		"the view is another":       func(_ *copier, v *view) { v.touch() },
		"somebody is another":       func(c *copier, _ *view) { c.is[1].up = false },
	} {
		v, c := ringOf(4), newCopier()
		c.is = make([]stamp, 4)
		c.is[1].up = true
		c.last, c.epoch = &pass{stamps: slices.Clone(c.is)}, v.epoch
		if !c.done(v) {
			t.Fatal("is not through when all is done")
		}
		if but(&c, v); c.done(v) {
			t.Errorf("is through, and %s", name)
		}
	}
	v, c := ringOf(3), newCopier()
	for _, id := range []wire.ID{11, 12} {
		v.mergeVote(vote(10, id, 1, wire.Gone, 1))
	}
	if v.settle(); !c.done(v) {
		t.Error("waits for those that it has called gone itself")
	}
	if v := ringOf(1); !c.done(v) {
		t.Error("waits for itself")
	}
}

// TestWhoLacksAFreshVersion: home holders that take writes, but this peer; if
// there is none, stand-ins, unless one copy is enough.
func TestWhoLacksAFreshVersion(t *testing.T) {
	for _, c := range []struct {
		copies int
		full   []wire.ID
		want   []wire.ID
	}{
		{3, nil, []wire.ID{11, 12}},
		{3, []wire.ID{11}, []wire.ID{12}},
		{3, []wire.ID{11, 12}, []wire.ID{13, 14}},
		{1, nil, nil},
		{1, []wire.ID{10}, nil},
	} {
		v := ringOf(6)
		v.copies = c.copies
		for _, id := range c.full {
			v.mergeRow(row(id, 2, wire.Full))
		}
		v.settle()
		if got := lacking(10, v); !slices.Equal(got, c.want) {
			t.Errorf("%d copies, %v are full: %v lack it, want %v", c.copies, c.full, got, c.want)
		}
	}
}

// TestFreshVersionsComeInTurn: each when it is due, the others stay; waits have
// an end; what went over a link that fell is not on its way.
func TestFreshVersionsComeInTurn(t *testing.T) {
	v, sec := ringOf(6), Time(time.Second)
	f := fresh{interval: time.Second, open: map[wire.ID]int{}, owed: map[wire.ID]int{}}
	a, b := Version{Key: 10, Sum: wire.Sum{1}}, Version{Key: 10, Sum: wire.Sum{2}}
	f.add(sec, b)
	f.add(0, a)
	var o outbox
	if f.step(3*sec, v, &o); f.pending() != 2 || len(f.waiting) != 2 || f.waiting[1].version != a && f.waiting[0].version != a {
		t.Errorf("%d offers, waiting %+v", f.pending(), f.waiting)
	}
	for _, x := range o.acts {
		if x.(SendOffer).Version != a {
			t.Errorf("offers %v before its time", x)
		}
	}
	if f.lost(11); f.pending() != 1 {
		t.Errorf("%d offers are on their way, want that to 12", f.pending())
	}
	f.waiting = []young{{version: a, due: 1, tries: 40}}
	if f.step(1, v, &o); f.next() != 1+3*sec<<freshBackoff {
		t.Errorf("waits until %v", time.Duration(f.next()))
	}
}

// TestPullsAreOneAVersion: whoever offers it is answered; so many are under way,
// so many wait, and the next begins when one ends.
func TestPullsAreOneAVersion(t *testing.T) {
	v, p := ringOf(14), &newCopierOf(time.Second).pulls
	m := func(version uint64) wire.Manifest { return wire.Manifest{Name: "0010", Version: version, Writer: 11} }
	var o outbox
	offer := func(from wire.ID, req uint32, version uint64) {
		p.offered(1, from, wire.Offer{Req: req, Manifest: m(version), Source: 13}, v, &o)
	}
	offer(11, 1, 1)
	offer(11, 1, 1)
	offer(11, 2, 1)
	offer(12, 3, 1)
	if len(p.under) != 1 || len(p.queue) != 0 || len(p.under[0].waiters) != 3 {
		t.Fatalf("one version is under way %d times, %d wait for it", len(p.under), p.load())
	}
	offer(11, 4, 2)
	offer(11, 5, 3)
	if len(p.under) != 2 || len(p.queue) != 1 {
		t.Fatalf("%d of one member are under way, %d wait", len(p.under), len(p.queue))
	}
	o = outbox{}
	by, ok := p.pulled(2, Pulled{Version: Version{Sum: m(1).Sum()}}, &o)
	to, _ := sends[wire.Confirmed](o.acts)
	if by != 11 || !ok || !slices.Equal(to, []wire.ID{11, 11, 12}) || !has[Pull](o.acts) || len(p.queue) != 0 {
		t.Errorf("pulled: by %d, told %v, %d wait", by, to, len(p.queue))
	}
	for i := range uint64(100) {
		for from := wire.ID(11); from < 24; from++ {
			offer(from, 9, 100*uint64(from)+i)
		}
	}
	if len(p.under) != MaxPulls || len(p.queue) != maxQueued {
		t.Errorf("%d under way, %d wait; want %d and %d", len(p.under), len(p.queue), MaxPulls, maxQueued)
	}
}

func newCopierOf(interval time.Duration) *copier {
	c := newCopier()
	c.tune(interval, 0)
	return &c
}

// TestWhoseCopiesAreAwaited: of who stopped, always; of who was not heard since
// this peer runs, for the grace.
func TestWhoseCopiesAreAwaited(t *testing.T) {
	d := doubts{grace: time.Second, since: 5}
	l := newLinks()
	l.line(12).heard = 6
	for _, c := range []struct {
		id    wire.ID
		state wire.State
		at    Time
		want  bool
	}{
		{11, wire.Active, 7, true},
		{11, wire.Active, 5 + Time(time.Second), false},
		{12, wire.Active, 7, false},
		{12, wire.Stopped, 7, true},
		{11, wire.Stopped, 5 + Time(time.Hour), true},
	} {
		if got := d.awaits(c.at, &member{id: c.id, state: c.state}, l); got != c.want {
			t.Errorf("%d, %v, at %v: awaited %v", c.id, c.state, time.Duration(c.at), got)
		}
	}
}

// TestOwnRowIsOfTheLastOnDisk: one on its way carries the state; one that was
// overtaken is not spoken; a row that goes on needs nothing anew.
func TestOwnRowIsOfTheLastOnDisk(t *testing.T) {
	v := newView(config(10, 10, 11))
	w := own{id: 10, sign: stub, asked: 1, durable: 1}
	w.begin(wire.Joining, v)
	if w.spoken != 1 || w.since != 1 {
		t.Fatalf("begins with %+v", w)
	}
	var o outbox
	w.become(wire.Active, &o)
	w.become(wire.Full, &o)
	w.become(wire.Active, &o)
	if len(o.acts) != 1 || w.asked != 2 {
		t.Errorf("three changes at once ask for %v", o.acts)
	}
	if w.persisted(Persisted{2}, v); w.spoken != 2 || w.since != 1 || v.member(10).state != wire.Active {
		t.Errorf("active: %+v", w)
	}
	w.become(wire.Full, &o)
	w.refute(&o)
	if len(o.acts) != 2 {
		t.Errorf("refutes by one more than is on its way: %v", o.acts)
	}
	w.raise(7, &o)
	if w.persisted(Persisted{3}, v); w.spoken != 2 {
		t.Errorf("speaks %d, which was overtaken", w.spoken)
	}
	if w.persisted(Persisted{8}, v); w.spoken != 8 || w.since != 8 || w.missed {
		t.Errorf("refuted: %+v", w)
	}
	w.become(wire.Active, &o)
	if w.persisted(Persisted{9}, v); w.since != 9 {
		t.Errorf("from full to active it may have missed something: %+v", w)
	}
}

// TestLookupTakesAnAnswerOnce: of who was asked, while it is waited for.
func TestLookupTakesAnAnswerOnce(t *testing.T) {
	w := within(t, 20, 30, 40)
	s := w.scene()
	l := lookup{began: 1, hops: []hop{{peer: 20, req: 5, sent: 10, after: nowhere}}}
	for _, c := range []struct {
		from wire.ID
		req  uint32
	}{{20, 6}, {30, 5}} {
		if _, ok := l.answer(30, c.from, c.req, s); ok {
			t.Errorf("takes the answer %d of %d", c.req, c.from)
		}
	}
	if i, ok := l.answer(30, 20, 5, s); i != 0 || !ok || s.paces[20].mean != 20 {
		t.Errorf("hop %d, %v, pace %v", i, ok, s.paces[20])
	}
	l.hops[0].state = answered
	s.out.acts = nil
	if _, ok := l.answer(30, 20, 5, s); ok {
		t.Error("takes an answer twice")
	}
	if l.lost(30, 20, s); len(s.out.acts) != 0 {
		t.Errorf("asks again who has answered: %v", s.out.acts)
	}
	l.hops[0].state, l.over = waiting, true
	if _, ok := l.answer(30, 20, 5, s); ok {
		t.Error("takes an answer when it is over")
	}
	if l.lost(30, 20, s); len(s.out.acts) != 0 {
		t.Errorf("goes on when it is over: %v", s.out.acts)
	}
}

// TestWhatAPutCounts: answers to its own offers; a source that has the bytes;
// copies that are wanted of the members there are.
func TestWhatAPutCounts(t *testing.T) {
	v := ringOf(6)
	p := put{key: 11, ok: []wire.ID{14}}
	if r := p.result(v.targets(11), v); r.Wanted != 3 || r.Outcome != Degraded {
		t.Errorf("a stand-in alone: %+v", r)
	}
	two := ringOf(2)
	p = put{key: 11, ok: []wire.ID{10, 11}}
	if r := p.result(two.targets(11), two); r.Wanted != 2 || r.Outcome != Succeeded {
		t.Errorf("both of two: %+v", r)
	}
	p = put{offers: []offered{{peer: 12, req: 1}, {peer: 13, req: 2}}}
	p.confirmed(0, 12, wire.Confirmed{Req: 2})
	p.confirmed(0, 14, wire.Confirmed{Req: 1})
	if p.lost(15); len(p.offers) != 2 || len(p.ok) != 0 || len(p.cannot) != 0 {
		t.Errorf("answers to others' offers count: %+v", p)
	}
	p.confirmed(0, 12, wire.Confirmed{Req: 1})
	if p.lost(13); len(p.offers) != 0 || !slices.Equal(p.ok, []wire.ID{12}) || !slices.Equal(p.cannot, []wire.ID{13}) {
		t.Errorf("answers do not count: %+v", p)
	}
	var o outbox
	p.offer(1, 13, []wire.ID{12}, scene{view: v, out: &o})
	if _, m := firstOffer(t, o.acts); m.Source != 12 {
		t.Errorf("sends 13 for the bytes to %d, want 12", m.Source)
	}
	p = put{sealed: true, manifest: file3, offers: []offered{{peer: 10, req: 1}}}
	if p.pulled(Pulled{Version: Version{Sum: wire.Sum{1}}}, v) || len(p.offers) != 1 {
		t.Error("another version that came here counts")
	}
	if p.pulled(Pulled{Version: Version{Sum: file3.Sum()}, Code: wire.CodeFull}, v) || len(p.offers) != 0 {
		t.Error("one that could not come here counts")
	}
	if p = (put{}); p.known() {
		t.Error("knows what is newest by no answer")
	}
}

// TestTombstoneIsAboveAll: also above what those may have who can't be asked;
// and what a silent home holder may have is not said to be nothing.
func TestTombstoneIsAboveAll(t *testing.T) {
	w := within(t, 20, 30, 40)
	s := w.scene()
	mine := wire.Manifest{Name: "0015", Version: 5, Writer: 20}
	far := wire.Manifest{Name: "0015", Version: leap + 3, Writer: 30}
	p := &put{query: query{op: 1, name: "0015"}, key: 15, remove: true, steward: true, numbered: s.numbers.begin("0015")}
	p.bury(1, nil, []wire.Manifest{mine}, []wire.Manifest{far, mine}, s)
	if m := p.manifest; m.Writer != 20 || m.Version != leap+4 {
		t.Errorf("buries 20's by %d of %d, want %d", m.Version, m.Writer, uint64(leap+4))
	}
	p = &put{query: query{op: 1, name: "0015"}, key: 15, remove: true, numbered: s.numbers.begin("0015")}
	p.look.asked = []looked{{peer: 20, home: true, state: failed}}
	p.bury(1, &mine, nil, []wire.Manifest{mine}, s)
	if p.manifest.Version != 6+blindLeap+uint64(s.own.spoken) {
		t.Errorf("buries, blind, by %d", p.manifest.Version)
	}
	if got := p.above(wire.MaxVersion-1, s); got != wire.MaxVersion {
		t.Errorf("goes on to %d past the last version", got)
	}
	s.out.acts = nil
	p.bury(1, nil, nil, nil, s)
	if r := first[Done](t, s.out.acts).Result; r.Outcome != Unavailable || !slices.Equal(r.Silent, []wire.ID{20}) {
		t.Errorf("with a silent home holder: %+v", r)
	}
}

// TestWhatRowsBring: news, of whichever row or vote, makes who said it worth
// asking; a vote against a member is a reason to ask that one.
func TestWhatRowsBring(t *testing.T) {
	for _, c := range []struct {
		m    wire.Rows
		want int
	}{
		{wire.Rows{Rows: []wire.Row{row(30, 2, wire.Active), row(40, 1, wire.Active)}}, 1},
		{wire.Rows{Votes: []wire.Vote{vote(30, 40, 1, wire.Reachable, 1)}}, 1},
		{wire.Rows{Rows: []wire.Row{row(40, 1, wire.Active)}}, 8},
	} {
		w := within(t, 20, 30, 40)
		w.spread.asked[20] = question{wait: 8}
		if w.step(Received{20, c.m}); w.spread.asked[20].wait != c.want {
			t.Errorf("%v: waits %d intervals to ask again, want %d", c.m, w.spread.asked[20].wait, c.want)
		}
	}
	w := among(t, 20, 30, 40, 50)
	w.live(3500*ms, ms, nil, 20, 30, 40, 50)
	if got := pings(w.step(Received{30, wire.Rows{Votes: []wire.Vote{vote(30, 20, 1, wire.Reachable, 1)}}})); len(got) != 0 {
		t.Errorf("a vote for 20: pings %v", got)
	}
	if got := pings(w.step(Received{30, wire.Rows{Votes: []wire.Vote{vote(30, 20, 1, wire.Unreachable, 2)}}})); len(got) != 1 || len(got[20]) != 1 {
		t.Errorf("a vote against 20: pings %v", got)
	}
	w.step(Received{40, wire.PingReqAck{Req: 1 << 30, Alive: true}})
	for id := range wire.ID(60) {
		if n := w.links.lines[id]; n != nil && n.oneWay != 0 {
			t.Errorf("an answer that was not asked for makes %d one that is heard by others", id)
		}
	}
}

// TestJoinerFollowsWhomItAsked: and nobody else's Ask, Here or Refuse.
func TestJoinerFollowsWhomItAsked(t *testing.T) {
	w := &world{Ring: New(config(10, 10, 20, 30, 40)), now: Time(time.Second)}
	w.step(Tick{})
	w.step(Persisted{1})
	to, m := sends[wire.Find](w.step(LinkUp{20, 1}))
	if len(m) != 1 || to[0] != 20 {
		t.Fatalf("asks %v", to)
	}
	w.step(LinkUp{30, 1})
	for _, said := range []wire.Message{wire.Ask{Req: m[0].Req, Next: 40}, wire.Here{Req: m[0].Req}, wire.Here{Req: m[0].Req + 1}} {
		w.step(Received{30, said})
		if f := w.join.find; w.InRing() || f == nil || f.at != 20 {
			t.Fatalf("%#v of 30: in the ring %v, asks %+v", said, w.InRing(), f)
		}
	}
	if w.step(Received{20, wire.Here{Req: m[0].Req}}); !w.InRing() || w.join.find != nil {
		t.Error("Here of who was asked does not bring it in")
	}
}

// TestWordOfTheOperator: of one never seen, and before the ring, it is none; and
// a user that has gone is told nothing.
func TestWordOfTheOperator(t *testing.T) {
	w := &world{Ring: New(config(10, 10, 20, 30)), now: Time(time.Second)}
	w.step(Tick{})
	if r := first[Done](t, w.step(Forget{1, 20})).Result; r.Outcome != NotFound {
		t.Errorf("of one never seen: %+v", r)
	}
	w.view.mergeRow(row(20, 1, wire.Stopped))
	if r := first[Done](t, w.step(Forget{1, 20})).Result; r.Outcome != NotReady || len(w.view.votes[20]) != 0 {
		t.Errorf("before the ring: %+v", r)
	}
	w = within(t, 20, 30)
	w.step(Get{Op: 3, Name: "0015"})
	if w.step(Cancel{3}); len(w.ops.list) != 0 {
		t.Error("a get goes on that nobody waits for")
	}
	w.step(Leave{4})
	if w.step(Cancel{4}); len(w.leaving) != 0 {
		t.Error("a leave is reported to nobody")
	}
}

// TestNewLinkIsTold: what this peer knows, at once.
func TestNewLinkIsTold(t *testing.T) {
	w := within(t, 20, 30)
	w.step(LinkDown{30})
	to, m := sends[wire.Rows](w.step(LinkUp{30, 1}))
	if len(m) == 0 || to[0] != 30 || len(m[0].Rows) != 3 {
		t.Errorf("tells %v %v", to, m)
	}
}

// TestVotesOfALaterRunAreAbove: an observer that has lost its count must not be
// taken for one that repeats itself.
func TestVotesOfALaterRunAreAbove(t *testing.T) {
	w := within(t, 20, 30, 40)
	w.cast(20, wire.Unreachable)
	before := w.view.voteOf(10, 20).Sequence
	w.own.spoken++
	w.detect.sequence = 0
	w.cast(20, wire.Reachable)
	w.cast(20, wire.Unreachable)
	if got := w.view.voteOf(10, 20); got.Sequence <= before+1 || got.Verdict != wire.Unreachable {
		t.Errorf("votes %+v after %d", got, before)
	}
}

// TestNewRosterIsTheLaw: its times count from then on.
func TestNewRosterIsTheLaw(t *testing.T) {
	w := within(t, 20, 30)
	r := w.Ring.roster
	r.Interval, r.Grace, r.Serial, r.Walk = 2*time.Second, time.Hour, 7, true
	w.step(RosterChanged{r})
	if d := w.detect; d.interval != r.Interval || d.grace != r.Grace || d.serial != 7 || !w.route.walk ||
		w.links.interval != r.Interval || w.spread.interval != r.Interval || w.copies.interval != r.Interval {
		t.Errorf("goes on by the one before: %+v", d)
	}
}

// TestOutsideOfTheRing: nothing is asked before the incarnation is on disk, a
// question is refused, and nobody is watched once this peer has stopped.
func TestOutsideOfTheRing(t *testing.T) {
	w := &world{Ring: New(config(10, 10, 20, 30)), now: Time(time.Second)}
	w.step(Tick{})
	if to, _ := sends[wire.Find](w.step(LinkUp{20, 1})); len(to) != 0 {
		t.Errorf("asks %v before its incarnation is on disk", to)
	}
	for _, f := range []wire.Find{{Req: 1, For: wire.ForJoin}, {Req: 1, For: wire.ForLookup, Name: "0015"}} {
		if _, m := sends[wire.Refuse](w.step(Received{20, f})); len(m) != 1 || m[0].Code != wire.CodeNotInRing {
			t.Errorf("answers %v by %v", f, m)
		}
	}
	w = within(t, 20, 30)
	w.step(Persisted(first[Persist](t, w.step(Stop{}))))
	if w.InRing() || w.detect.due != 0 || len(w.detect.watches) != 0 {
		t.Errorf("watches %v when it has stopped", w.detect.watches)
	}
}

// TestWhoHasJoinedSaysSo: by its own row, or by a ping that has one.
func TestWhoHasJoinedSaysSo(t *testing.T) {
	for _, e := range []Event{Pinged{20, wire.Ping{Mine: 1}}, Received{20, wire.Rows{Rows: []wire.Row{row(20, 1, wire.Active)}}}} {
		w := within(t, 20, 30)
		w.view.joins(20)
		w.step(Received{30, wire.Rows{Rows: []wire.Row{row(20, 1, wire.Active)}}})
		before := w.view.member(20).inRing
		if w.step(e); before || !w.view.member(20).inRing {
			t.Errorf("%v: in the ring %v, before %v", e, w.view.member(20).inRing, before)
		}
	}
}
