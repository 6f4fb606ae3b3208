package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// bury has two members say that id is gone.
func bury(v *view, id wire.ID, seq uint64) {
	for _, by := range []wire.ID{11, 13} {
		v.mergeVote(vote(by, id, v.member(id).incarnation, wire.Gone, seq))
	}
	v.settle()
}

// TestGoneIsTriedForTheGrace: the grace runs from when this peer does, or last
// heard it; then it is dialled, and is gone when that was in vain. Any packet
// begins that again, and so does its return; a pause of this peer does not.
func TestGoneIsTriedForTheGrace(t *testing.T) {
	v, l := ringOf(6), newLinks()
	at := func(s int) Time { return Time(s) * Time(time.Second) }
	d := doubts{interval: time.Second, grace: time.Minute, since: at(100), of: map[wire.ID]doubt{}}
	review := func(when, dials int, sure bool, due Time) {
		t.Helper()
		var o outbox
		d.review(at(when), v, l, &o)
		if len(o.acts) != dials || d.sure(12) != sure || d.due != due {
			t.Errorf("at %d s: %v, sure %v, due at %v; want %d dials, %v, %v",
				when, o.acts, d.sure(12), time.Duration(d.due), dials, sure, time.Duration(due))
		}
	}
	review(110, 0, false, at(160)) // until then who was not heard is awaited
	review(160, 0, false, never)
	l.line(12).heard = at(10)
	bury(v, 12, 1)
	review(110, 0, false, at(160))
	review(160, 1, false, at(163))
	review(162, 0, false, at(163))
	l.line(12).heard = at(162)
	review(162, 0, false, at(222))
	review(222, 1, false, at(225))
	review(225, 0, true, never)
	d.since = at(500)
	review(501, 0, true, at(560))
	v.mergeRow(row(12, 2, wire.Active))
	v.settle()
	if review(502, 0, false, at(560)); len(d.of) != 0 {
		t.Errorf("it is back, and in doubt: %v", d.of)
	}
	bury(v, 12, 2)
	review(503, 0, false, at(560))
}

// TestGoneFarAwayIsNotDialled: only those that this peer shares keys with, on
// either side, however many of them are gone.
func TestGoneFarAwayIsNotDialled(t *testing.T) {
	v, l := ringOf(40), newLinks()
	d := doubts{interval: time.Second, grace: time.Minute, since: 1, of: map[wire.ID]doubt{}}
	for _, id := range []wire.ID{22, 25, 35, 39} {
		bury(v, id, 1)
	}
	var o outbox
	d.review(Time(time.Hour), v, l, &o)
	if !slices.Equal(o.acts, []Action{Dial{22}, Dial{39}}) || len(d.of) != 2 {
		t.Errorf("%v, in doubt %v; want 22 and 39 alone", o.acts, d.of)
	}
}

// TestWhoLeavesStillWaitsForTheGone: it gives all away meanwhile, by what it
// has heard itself; who has left waits for nobody.
func TestWhoLeavesStillWaitsForTheGone(t *testing.T) {
	v := ringOf(3)
	d := doubts{interval: time.Second, since: 5, ticked: 9}
	v.mergeRow(row(10, 2, wire.Leaving))
	v.settle()
	if d.tick(10, v); d.since != 5 {
		t.Errorf("leaving, it runs since %v, want 5", d.since)
	}
	v.mergeRow(row(10, 3, wire.Left))
	v.settle()
	if d.tick(11, v); d.since != 0 {
		t.Errorf("left, it runs since %v", d.since)
	}
}

// TestRefutedWhileItGoesOn: a row that says that the disk is full, and answers a
// verdict as well, stands for what may have been missed.
func TestRefutedWhileItGoesOn(t *testing.T) {
	v := newView(config(10, 10, 11))
	w := own{id: 10, sign: stub, asked: 1, durable: 1}
	w.begin(wire.Active, v)
	var o outbox
	w.refute(&o)
	w.become(wire.Full, &o)
	if w.persisted(Persisted{2}, v); v.member(10).state != wire.Full || w.since != 2 || w.missed {
		t.Errorf("full: %+v, since %d, missed %v", v.member(10).row(), w.since, w.missed)
	}
}

// TestPersistedTwiceIsSpokenOnce: a report that says nothing new is no news to
// anybody, and has nobody give this peer anything anew.
func TestPersistedTwiceIsSpokenOnce(t *testing.T) {
	v := newView(config(10, 10, 11))
	w := own{id: 10, sign: stub, asked: 1, durable: 1}
	w.begin(wire.Joining, v)
	var o outbox
	w.become(wire.Active, &o)
	for range 2 {
		if w.persisted(Persisted{2}, v); w.spoken != 2 || w.since != 1 {
			t.Errorf("spoken %d, since %d", w.spoken, w.since)
		}
	}
}

// TestFirstRowWaitsForTheDisk: contested before it has joined, this peer begins
// with the incarnation that is above.
func TestFirstRowWaitsForTheDisk(t *testing.T) {
	v := newView(config(10, 10, 11))
	w := own{id: 10, sign: stub, asked: 9, durable: 1}
	if w.begin(wire.Joining, v); v.member(10).seen() {
		t.Errorf("speaks %+v while 9 is on its way to the disk", v.member(10).row())
	}
	if w.persisted(Persisted{9}, v); v.member(10).incarnation != 9 {
		t.Errorf("speaks %+v, want incarnation 9", v.member(10).row())
	}
}

// TestSilentPredecessorLeavesItsArc: only who is gone does; it may come back
// with all that it had.
func TestSilentPredecessorLeavesItsArc(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60)
	for _, id := range []wire.ID{20, 30, 40, 50, 60} {
		w.step(Received{id, wire.Settled{Incarnation: 1, From: 40}})
	}
	if w.judge(wire.Unreachable, 1, 60); w.view.member(60).inRing || w.behind() {
		t.Errorf("60 in the ring %v; behind %v", w.view.member(60).inRing, w.behind())
	}
	if w.judge(wire.Gone, 2, 60); !w.behind() {
		t.Error("not behind, though it is home to what was of 60")
	}
}

// TestOldestOffersOfOneMakeRoom: for its own newer ones, and not those of others.
func TestOldestOffersOfOneMakeRoom(t *testing.T) {
	x := pull{waiters: []offered{{peer: 20, req: 1}}}
	for req := range uint32(maxWaiters + 1) {
		x.wait(offered{peer: 30, req: req})
	}
	if got := x.waiters; len(got) != 1+maxWaiters || got[0].peer != 20 || got[1].req != 1 || got[maxWaiters].req != maxWaiters {
		t.Errorf("%v wait, want 20 and the last %d of 30", got, maxWaiters)
	}
	p := pulls{under: []pull{x}, queue: []pull{x}}
	p.queue[0].waiters = slices.Clone(x.waiters)
	if p.forget(30); len(p.under[0].waiters) != 1 || len(p.queue[0].waiters) != 1 {
		t.Errorf("without 30: %v and %v wait", p.under[0].waiters, p.queue[0].waiters)
	}
}
