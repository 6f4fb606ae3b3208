package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// Rules of a line each, and what each is for.

// TestWhichRowWins: of one incarnation the later state, then the larger bytes;
// neither wins over itself. So it is of votes, by sequence.
func TestWhichRowWins(t *testing.T) {
	larger := func(a, b wire.Row) bool { return slices.Compare(a.Append(nil), b.Append(nil)) > 0 }
	a, b := row(20, 1, wire.Active), row(20, 1, wire.Active)
	b.Store[0] = 1
	if larger(a, b) {
		a, b = b, a
	}
	for _, c := range []struct {
		a, b wire.Row
		want bool
	}{
		{row(20, 2, wire.Joining), row(20, 1, wire.Left), true},
		{row(20, 1, wire.Stopped), row(20, 1, wire.Active), true},
		{b, a, true},
		{a, a, false},
	} {
		if rowWins(c.a, c.b) != c.want || c.want && rowWins(c.b, c.a) {
			t.Errorf("%v over %v: %v, want %v", c.a, c.b, rowWins(c.a, c.b), c.want)
		}
	}
	x, y := vote(20, 30, 1, wire.Reachable, 5), vote(20, 30, 1, wire.Unreachable, 5)
	if slices.Compare(x.Append(nil), y.Append(nil)) > 0 {
		x, y = y, x
	}
	if !voteWins(y, x) || voteWins(x, y) || voteWins(x, x) || !voteWins(vote(20, 30, 1, wire.Reachable, 6), y) {
		t.Error("of two votes of one sequence not the larger wins")
	}
}

// TestNewRowEndsBeliefs: whatever this peer believed was of the run before.
func TestNewRowEndsBeliefs(t *testing.T) {
	for _, believe := range []func(m *member){
		func(m *member) { m.absent = true },
		func(m *member) { m.silent = true },
		func(m *member) { m.deaf = true },
		func(m *member) { m.starts = true },
	} {
		v := ringOf(6)
		m := v.member(12)
		believe(m)
		if v.compute(); m.inRing {
			t.Fatal("what is believed keeps nobody out")
		}
		v.mergeRow(row(12, 2, wire.Active))
		if v.settle(); !m.inRing || m.believed() {
			t.Errorf("still out of the ring: %+v", *m)
		}
	}
	v := ringOf(6)
	m := v.member(12)
	v.joins(12)
	out := m.inRing
	if v.joined(12); out || !m.inRing {
		t.Errorf("joins: in the ring %v; joined: %v", out, m.inRing)
	}
	m.absent = true
	v.compute()
	if v.heard(12); !m.inRing {
		t.Error("is heard, and still taken for absent")
	}
}

// TestVerdictsFindEachOther: who is held unreachable is no observer, wherever
// in the circle it is, and another is.
func TestVerdictsFindEachOther(t *testing.T) {
	for turn := range 6 {
		id := func(i int) wire.ID { return wire.ID(10 + (i+turn)%6) }
		c := config(id(3), 10, 11, 12, 13, 14, 15)
		c.Roster.Observers = 2
		v := newView(c)
		for i := range 6 {
			v.mergeRow(row(id(i), 1, wire.Active))
		}
		// 5 is judged by 4 and 3, and so 0 by 4 and 3, 5 being none.
		for _, on := range []int{5, 0} {
			for _, by := range []int{4, 3} {
				v.mergeVote(vote(id(by), id(on), 1, wire.Unreachable, 1))
			}
		}
		v.settle()
		if v.member(id(5)).verdict == 0 || v.member(id(0)).verdict == 0 {
			t.Errorf("%d: verdict %v; %d: %v", id(5), v.member(id(5)).verdict, id(0), v.member(id(0)).verdict)
		}
		epoch := v.epoch
		v.mergeVote(vote(id(4), id(5), 1, wire.Gone, 2))
		v.mergeVote(vote(id(3), id(5), 1, wire.Gone, 2))
		if v.settle(); !v.member(id(5)).gone() || v.epoch == epoch {
			t.Errorf("gone %v, and that is a change: %v", v.member(id(5)).gone(), v.epoch != epoch)
		}
	}
}

// TestOneOfTwo: its word is enough against the other, and against this peer.
func TestOneOfTwo(t *testing.T) {
	v := ringOf(2)
	v.mergeVote(vote(11, 10, 1, wire.Unreachable, 1))
	if v.settle(); !v.charged() {
		t.Error("the word of its only observer is no charge")
	}
	v = ringOf(2)
	v.mergeVote(vote(10, 11, 1, wire.Gone, 1))
	if v.settle(); !v.member(11).gone() {
		t.Error("one of two is not enough to bury the other")
	}
	v = ringOf(3)
	v.mergeVote(vote(10, 11, 1, wire.Gone, 1))
	if v.settle(); v.member(11).gone() {
		t.Error("one of three is enough")
	}
}

// TestOtherKeyOrPlaceIsAnother: the votes of who had the id before are nobody's,
// and news of before is not passed on.
func TestOtherKeyOrPlaceIsAnother(t *testing.T) {
	for _, change := range []func(m *Member){func(m *Member) { m.Pos = 99 }, func(m *Member) { m.Key[0] = 1 }} {
		v := ringOf(6)
		v.mergeVote(vote(12, 13, 1, wire.Unreachable, 1))
		v.settle()
		r := config(10, 10, 11, 12, 13, 14, 15).Roster
		change(&r.Members[2])
		v.setRoster(r)
		if v.member(12).seen() || len(v.votes[13]) != 0 || !v.member(13).seen() || len(v.take()) != 0 {
			t.Errorf("12 is seen: %v, its votes: %v", v.member(12).seen(), v.votes[13])
		}
	}
}

// TestContestIsToldAndMissed: who is shown another row of itself is behind from
// then on; a row below one that is on its way is no contest; too many are told.
func TestContestIsToldAndMissed(t *testing.T) {
	w := own{id: 10, sign: stub, spoken: 2, asked: 5, durable: 4}
	var o outbox
	if w.contest(1, row(10, 4, wire.Active), time.Second, &o); len(o.acts) != 0 || w.missed {
		t.Errorf("contests one that is being overtaken: %v", o.acts)
	}
	if w.contest(1, row(10, 5, wire.Active), time.Second, &o); !has[Persist](o.acts) || !w.missed {
		t.Errorf("contest: %v, missed %v", o.acts, w.missed)
	}
	o = outbox{}
	for range contestLimit {
		w.contest(2, row(10, w.asked, wire.Active), time.Second, &o)
	}
	if n := slices.IndexFunc(o.acts, func(a Action) bool { x, ok := a.(Notify); return ok && x.Notice.Kind == KeyRunsTwice }); n < 0 || !has[Exit](o.acts) {
		t.Errorf("contested %d times: %v", contestLimit+1, o.acts)
	}
}

// TestSettledIsOfTheNewest: an older word does not overwrite it, and it is
// taken back at once.
func TestSettledIsOfTheNewest(t *testing.T) {
	v := ringOf(3)
	a := accord{settled: map[wire.ID]wire.Settled{}, excused: map[wire.ID]wire.Settled{}}
	for _, id := range []wire.ID{11, 12} {
		a.take(id, wire.Settled{Incarnation: 3, From: 10}, 3)
		a.take(id, wire.Settled{Incarnation: 1, From: 10}, 3)
	}
	if !a.agreed(v, 2) {
		t.Error("an older word overwrites a newer one")
	}
	if a.unsettle(11); a.agreed(v, 2) {
		t.Error("what is taken back counts")
	}
}

// TestJoinersAreRemembered: the newest, each once.
func TestJoinersAreRemembered(t *testing.T) {
	var j join
	for id := range wire.ID(fanOut + 2) {
		j.accept(id)
		j.accept(id)
	}
	if len(j.accepted) != fanOut || j.took(0) || j.took(1) {
		t.Errorf("remembers %v, want the newest %d", j.accepted, fanOut)
	}
	if !j.took(fanOut+1) || j.took(fanOut+1) {
		t.Error("who was accepted is not taken once")
	}
}

// TestJoinerDialsAFewInTurn: all members after a while, itself never, and so
// many at once.
func TestJoinerDialsAFewInTurn(t *testing.T) {
	v, l := ringOf(40), newLinks()
	var j join
	dialled := map[wire.ID]int{}
	for i := range 3 {
		var o outbox
		j.dial(Time(1+i)*Time(time.Second), v, l, &o)
		if len(o.acts) > fanOut {
			t.Errorf("dials %d at once", len(o.acts))
		}
		for _, a := range o.acts {
			dialled[a.(Dial).Peer]++
		}
	}
	if len(dialled) != 39 || dialled[10] != 0 {
		t.Errorf("dials %d members in three turns, itself %d times", len(dialled), dialled[10])
	}
	var o outbox
	if new(join).dial(1, ringOf(2), newLinks(), &o); len(o.acts) != 1 {
		t.Errorf("of two dials %v", o.acts)
	}
}

// TestWhoWasOfNoHelp: is not asked again at once, and avoided for a while,
// unless its link is new; that another failed says nothing of it.
func TestWhoWasOfNoHelp(t *testing.T) {
	v, l := ringOf(3), newLinks()
	l.opened(1, 11, 1)
	j := join{refused: map[wire.ID]Time{}, started: 1}
	var o outbox
	j.step(2, v, l, route{}, &o)
	if j.find == nil || j.find.at != 11 {
		t.Fatalf("asks %+v, want 11", j.find)
	}
	if j.failed(3, 12); j.find == nil {
		t.Error("that 12 failed ends the question to 11")
	}
	j.failed(3, 11)
	if _, ok := j.pick(4, v, l); ok || j.find != nil || !j.avoids(3+Time(4*time.Second)-1, 11, Time(time.Second)) || j.avoids(3+Time(4*time.Second), 11, Time(time.Second)) {
		t.Error("who failed is asked again, or not avoided for four intervals")
	}
	j.met(11)
	if _, ok := j.pick(4, v, l); !ok || j.avoids(4, 11, Time(time.Second)) {
		t.Error("its link is new, and it is avoided")
	}
	j.step(5, v, l, route{}, &o)
	late := j.find.until
	if late != 5+Time(time.Second) {
		t.Errorf("waits until %v for an answer", late)
	}
	if j.step(late, v, l, route{}, &o); j.find != nil {
		t.Error("asks who is silent again at once")
	}
}

// TestQuestionGoesSoFar: as its limit says, to members, and not to this peer.
func TestQuestionGoesSoFar(t *testing.T) {
	v := ringOf(6)
	f := find{limit: 3}
	var o outbox
	f.ask(1, 11, 7, &o)
	if f.onward(2, 10, v, 7, &o) || f.onward(2, 99, v, 7, &o) {
		t.Error("goes to itself, or to nobody")
	}
	if !f.onward(2, 12, v, 7, &o) || f.until != 9 || !f.onward(3, 13, v, 7, &o) || f.onward(4, 14, v, 7, &o) {
		t.Errorf("went to %v, until %v, with a limit of 3", f.path, f.until)
	}
	if !f.repeat(5, 7, &o) || f.repeat(6, 7, &o) || f.until != 12 {
		t.Error("is not put twice to the same")
	}
}

// TestWhoAcceptsAJoiner: its predecessor, whoever is asked, and also when the
// joiner's row of an earlier run is in the ring.
func TestWhoAcceptsAJoiner(t *testing.T) {
	for _, seen := range []bool{true, false} {
		for self := wire.ID(10); self < 16; self++ {
			v := newView(config(self, 10, 11, 12, 13, 14, 15))
			for id := wire.ID(10); id < 16; id++ {
				if seen || id != 13 {
					v.mergeRow(row(id, 1, wire.Active))
				}
			}
			v.settle()
			if self == 13 {
				continue
			}
			if got := (route{}).joinNext(v.place(13), v); got != 12 {
				t.Errorf("13 seen %v: %d sends it to %d, want 12", seen, self, got)
			}
			want := self + 1
			if self == 12 {
				want = 12
			} else if want == 13 {
				want = 14
			} else if want == 16 {
				want = 10
			}
			if got := (route{walk: true}).joinNext(v.place(13), v); got != want {
				t.Errorf("13 seen %v: walking, %d sends it to %d, want %d", seen, self, got, want)
			}
		}
	}
}

// TestStandInHolds: it answers for a key as a home holder does, but is none.
func TestStandInHolds(t *testing.T) {
	w := within(t, 20, 30, 40, 50)
	w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 2, wire.Full), row(30, 2, wire.Full)}}})
	v := w.view
	if k := wire.Pos(15); !holds(20, k, v) || !holds(50, k, v) || !holds(10, k, v) {
		t.Fatalf("holders of 15: %v", v.holders(k, nil))
	}
	if a := first[Answer](t, w.step(Received{20, wire.Look{Req: 1, Name: "0015"}})); a.Home {
		t.Error("a stand-in says that it is home")
	}
}

// TestSourcesOfAVersion: the owner that a walk has led to, then this peer, then
// the others as they were asked; whoever has another version is none.
func TestSourcesOfAVersion(t *testing.T) {
	v := ringOf(6)
	other := file3
	other.Version = 2
	k := look{}
	for id := wire.ID(15); id >= 10; id-- {
		k.asked = append(k.asked, looked{peer: id, manifests: []wire.Manifest{file3}})
	}
	k.asked[1].manifests[0] = other // 14
	if got, want := k.sources(file3, v, []wire.ID{12}), []wire.ID{12, 10, 15, 13, 11}; !slices.Equal(got, want) {
		t.Errorf("sources %v, want %v", got, want)
	}
	if got, want := k.sources(file3, v, nil), []wire.ID{10, 15, 13, 12, 11}; !slices.Equal(got, want) {
		t.Errorf("sources %v, want %v", got, want)
	}
}

// TestAnswersThatCount: none that is behind, none twice, none of a peer that was
// asked and fell; and a version of one member is its own word alone unless a
// home holder, which would know, has said nothing.
func TestAnswersThatCount(t *testing.T) {
	v, o := ringOf(6), &outbox{}
	k := look{}
	k.begin(1, "0010", paces{}, v, o)
	reqs := map[wire.ID]uint32{}
	for _, l := range k.asked {
		reqs[l.peer] = l.req
	}
	if _, ok := k.answer(2, 10, wire.Found{Req: reqs[10], Home: true}, true, v, o); !ok || k.asked[k.index(10)].counts() {
		t.Error("its own answer counts, and it is behind")
	}
	if took, ok := k.answer(2, 10, wire.Found{Req: reqs[10], Home: true}, false, v, o); ok || took != 0 || k.awaits([]wire.ID{10}) {
		t.Error("an answer counts twice, or is still awaited")
	}
	if n, home := k.good(); n != 0 || home {
		t.Errorf("%d answers, one of a home holder: %v", n, home)
	}
	if took, ok := k.answer(5, 11, wire.Found{Req: reqs[11], Home: true, Manifests: []wire.Manifest{{Name: "0010", Writer: 11, Version: 1}}}, true, v, o); !ok || took != 4 {
		t.Errorf("answer of 11 took %v", took)
	}
	m := wire.Manifest{Name: "0010", Writer: 11, Version: 1}
	if k.asked = append(k.asked, looked{peer: 14, home: true, agrees: true, state: answered}, looked{peer: 15, state: answered}); k.vouched(m) {
		t.Error("the word of 11 alone counts, and 14 would know")
	}
}
