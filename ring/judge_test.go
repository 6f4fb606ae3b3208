package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// TestRoundAfterAJudgement: who is still silent has the time of a round again,
// with other helpers; and is pinged no more than the others, once it is routed
// around.
func TestRoundAfterAJudgement(t *testing.T) {
	v, l, o := ringOf(6), newLinks(), &outbox{}
	d := detector{interval: time.Second}
	d.start(1)
	*d.watch(11) = watch{peer: 11, last: 1, since: 1, tries: 12, full: 2, judged: true, sought: 2,
		asked: []helper{{12, 1}}, srtt: 80 * ms}
	now := Time(5 * time.Second)
	d.tick(now, v, l, o)
	w := d.find(11)
	if got, want := d.verdict(w), now+Time(100*ms); got != want || w.sought != 0 || len(w.asked) != 0 {
		t.Errorf("judged again at %v, want %v: %+v", time.Duration(got), time.Duration(want), w)
	}
	if got, want := d.again(w), now+Time(100*ms); got != want {
		t.Errorf("next ping at %v, want %v", time.Duration(got), time.Duration(want))
	}
	w.alone = true
	if got := d.again(w); got != never {
		t.Errorf("next ping of one that is routed around at %v", time.Duration(got))
	}
	if d.heard(now, 11, o); w.since != 0 || w.alone {
		t.Errorf("it is back, and no round of its own begins: %+v", w)
	}
}

// TestVoteStands: it is not said again while it does, though nobody agrees.
func TestVoteStands(t *testing.T) {
	others := []wire.ID{20, 30, 40, 50}
	w := among(t, others...)
	w.live(3*time.Second, ms, nil, others...)
	for w.votesOn(20) == 0 && w.now < Time(10*time.Second) {
		w.live(10*ms, ms, nil, others[1:]...)
	}
	x := w.detect.find(20)
	if w.votesOn(20) != wire.Unreachable || x == nil {
		t.Fatalf("vote %v, watch %+v", w.votesOn(20), x)
	}
	for _, stands := range []bool{true, false} {
		if !stands {
			w.cast(20, wire.Reachable)
		}
		w.detect.anybody = w.now
		x.judged, x.full, x.asked, x.sought = false, x.since, nil, x.since
		w.now = max(w.now, w.detect.verdict(x), w.links.reachable(20, x.since))
		w.detect.anybody = w.now
		if got := w.detect.suspect(w.now, x, w.view, &w.links, &outbox{}); got == stands {
			t.Errorf("the vote stands %v: votes %v", stands, got)
		}
	}
}

// TestWhoWidensDials: a link may be needed with whoever comes behind those that
// have fallen silent; and there is an end to that.
func TestWhoWidensDials(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60, 70, 80, 90, 100)
	w.links.closed(w.now, 60)
	w.links.line(60).tried = 0
	for _, id := range []wire.ID{20, 30, 40, 50} {
		w.detect.watch(id)
	}
	w.detect.find(20).sought, w.detect.find(30).sought = 1, 1
	var o outbox
	w.detect.widen(w.now, w.view, &w.links, &o)
	if !slices.Contains(o.acts, Action(Dial{60})) || len(pings(o.acts)[60]) != 1 {
		t.Errorf("did %v, want a dial of 60 and a ping", o.acts)
	}
	v, l := ringOf(60), newLinks()
	var d detector
	for id := wire.ID(11); id < 70; id++ {
		d.watch(id).sought = 1
	}
	if got := d.ahead(v, l); len(got) != 3*widest {
		t.Errorf("watches %d, want %d", len(got), 3*widest)
	}
}

// TestOneOfTwoHearsNobody: that the other is silent may be its own deafness.
func TestOneOfTwoHearsNobody(t *testing.T) {
	d := detector{interval: time.Second, anybody: 5}
	if d.hearing(5, ringOf(2)) || !d.hearing(5, ringOf(3)) || !d.hearing(5+Time(1250*ms), ringOf(3)) || d.hearing(5+Time(1250*ms)+1, ringOf(3)) {
		t.Error("hears, of two; or not, of three, whom it has just heard; or for longer")
	}
}

// TestGraceRunsFromTheVerdict: not from when it was last heard, which may be
// long ago where it was not watched.
func TestGraceRunsFromTheVerdict(t *testing.T) {
	const grace = 20 * time.Second
	w, _ := graced(t)
	w.step(Received{80, wire.Rows{Votes: []wire.Vote{vote(80, 20, 1, wire.Unreachable, 1), vote(70, 20, 1, wire.Unreachable, 1)}}})
	since := w.view.since(w.view.place(20))
	l := w.links.line(20)
	l.up, l.fell, l.heard = false, since+1, 0
	w.detect.awake, w.detect.steady = 1, 1
	for _, c := range []struct {
		after Time
		want  wire.Verdict
	}{{Time(grace) - 1, wire.Unreachable}, {Time(grace), wire.Gone}} {
		w.detect.looked = 0
		w.now = since + c.after
		if got := w.detect.missing(w.now, w.view, &w.links); len(got) != 1 || got[0] != (judgement{20, c.want}) {
			t.Errorf("%v after: %v, want %v", time.Duration(c.after), got, c.want)
		}
	}
}

// TestClocksMoveWithTheirMembers: when the roster takes one out, the clocks of
// those behind it go on.
func TestClocksMoveWithTheirMembers(t *testing.T) {
	w := within(t, 20, 30, 40, 50)
	w.judge(wire.Unreachable, 1, 40)
	since := w.view.since(w.view.place(40))
	w.now += Time(time.Second)
	w.step(RosterChanged{config(10, 10, 20, 40, 50).Roster})
	if got := w.view.since(w.view.place(40)); got != since || since == 0 || len(w.view.out) != 1 {
		t.Errorf("out since %v, want %v: %v", got, since, w.view.out)
	}
}

// TestBeliefIsNoNewsTwice: that one is deaf, or silent, is believed once.
func TestBeliefIsNoNewsTwice(t *testing.T) {
	for _, deaf := range []bool{true, false} {
		v := ringOf(6)
		v.silence(12, deaf)
		if epoch := v.epoch; v.member(12).inRing {
			t.Error("is still in the ring")
		} else if v.silence(12, deaf); v.epoch != epoch {
			t.Errorf("deaf %v: a change for the second time", deaf)
		}
	}
}

// TestCutEndsWhenTheSilentHaveLeft: who has left is waited for by nobody.
func TestCutEndsWhenTheSilentHaveLeft(t *testing.T) {
	v := ringOf(8)
	for _, id := range []wire.ID{12, 14, 16} {
		v.mergeRow(row(id, 2, wire.Stopped))
	}
	if v.settle(); !v.cut {
		t.Fatal("three of eight are silent, and that is no cut")
	}
	v.mergeRow(row(14, 3, wire.Left))
	if v.settle(); v.cut {
		t.Error("two of seven are silent, and that is a cut")
	}
}

// TestVerdictsAreFoundInOrder: who is convicted first calls in other observers
// for the next, so all views must go the same way round.
func TestVerdictsAreFoundInOrder(t *testing.T) {
	v := newView(config(10, 10, 11, 12, 13, 14, 15))
	v.k = 2
	for id := wire.ID(10); id < 16; id++ {
		v.mergeRow(row(id, 1, wire.Active))
	}
	for _, on := range []wire.ID{12, 13} { // each by its two observers
		v.mergeVote(vote(on-1, on, 1, wire.Unreachable, 1))
		v.mergeVote(vote(on-2, on, 1, wire.Unreachable, 1))
	}
	for range 64 {
		if v.compute(); v.member(12).verdict == 0 || v.member(13).verdict != 0 {
			t.Fatalf("verdicts on 12 %v, on 13 %v: 12 is none of its observers any more", v.member(12).verdict, v.member(13).verdict)
		}
	}
}
