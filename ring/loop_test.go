package ring

import (
	"testing"
	"time"

	"securepeer/wire"
)

// TestWhatAStampTakesAMemberFor: home is who can be, and who is gone by hearsay
// alone, if it was not leaving; awaited who is not in the ring, and was not heard
// of since this peer runs.
func TestWhatAStampTakesAMemberFor(t *testing.T) {
	w := within(t, 20, 30, 40, 50)
	c := &w.copies
	c.doubts.grace, c.doubts.since = time.Minute, w.now+1 // none was heard since
	w.view.mergeRow(row(30, 2, wire.Leaving))
	w.judge(wire.Gone, 1, 20, 30)
	w.view.silence(40, false)
	for _, x := range []struct {
		id                wire.ID
		home, up, awaited bool
	}{{20, true, false, true}, {30, false, false, true}, {40, true, false, true}, {50, true, true, false}} {
		s := c.stampOf(w.now+1, w.view.member(x.id), &w.links)
		if s.home != x.home || s.up != x.up || s.awaited != x.awaited {
			t.Errorf("%d: %+v, want %+v", x.id, s, x)
		}
	}
}

// TestOffersUnderWayAreFew: however many versions a batch has.
func TestOffersUnderWayAreFew(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60)
	scan := first[Scan](t, w.pass(time.Second))
	var batch []Version
	for i := range scanLimit {
		batch = append(batch, Version{Key: 5, Sum: wire.Sum{byte(i)}})
	}
	if acts := w.step(Scanned{Scan: scan.Scan + 1, Versions: batch}); len(offeredTo(acts)) != 0 {
		t.Errorf("takes the answer to another question: %v", acts)
	}
	if got := len(offeredTo(w.step(Scanned{Scan: scan.Scan, Versions: batch}))); got != window {
		t.Errorf("%d offers at once, want %d", got, window)
	}
	f := w.copies.pass.offers[0]
	if w.copies.pass.answered(60, f.req, true) || !w.copies.pass.answered(f.peer, f.req, true) {
		t.Error("an offer is answered by another than it was made to")
	}
}

// TestStrandedIsRemembered: one version that nobody takes is enough.
func TestStrandedIsRemembered(t *testing.T) {
	w := within(t, 20, 30)
	w.copies.pass = &pass{stamps: w.copies.is, epoch: w.copies.epoch, stranded: true}
	if w.copies.give(w.now, onTen, w.view, &w.out); len(w.copies.pass.offers) != 2 || !w.copies.pass.stranded {
		t.Errorf("%+v, want two offers, and stranded still", w.copies.pass)
	}
}

// TestWhoElseIsToBeGiven: who is in the ring, has not failed, and was not given
// all; neither this peer nor the slow one.
func TestWhoElseIsToBeGiven(t *testing.T) {
	w := within(t, 20, 30)
	w.walk(time.Second, nil, onTen)
	c := &w.copies
	for _, x := range []struct {
		given, failed, want bool
	}{{false, false, true}, {true, false, false}, {false, true, false}} {
		c.pass = &pass{stamps: c.is}
		if c.last = nil; x.given {
			c.last = &pass{stamps: c.is, failed: []wire.ID{20}}
		}
		if x.failed {
			c.pass.failed = []wire.ID{30}
		}
		if got := c.others(20, w.view); got != x.want {
			t.Errorf("30 was given all %v, failed %v: others %v", x.given, x.failed, got)
		}
	}
	alone := within(t, 20)
	alone.copies.last, alone.copies.pass = nil, &pass{stamps: alone.copies.is}
	if alone.copies.others(20, alone.view) {
		t.Error("waits for others than the only one")
	}
}

// TestWhoRestsAfterAPass: whoever took all is forgotten when its rest is over;
// the next pass is when the first of the others has rested, or this disk has.
func TestWhoRestsAfterAPass(t *testing.T) {
	w := within(t, 20, 30, 40)
	w.walk(time.Second, nil, onTen)
	c := &w.copies
	c.pass = &pass{stamps: c.is, epoch: c.epoch, failed: []wire.ID{30}}
	c.resting = map[wire.ID]resting{20: {w.now - 1, 1}, 30: {w.now, 1}, 40: {w.now + 9, 1}}
	if c.finish(w.now, w.view, &w.out); len(c.resting) != 2 || c.resting[30].times != 1 || c.resting[40].times != 1 || !c.wanted || c.due != w.now {
		t.Errorf("rest: %v; wanted %v at %v", c.resting, c.wanted, c.due)
	}
	c.pass = &pass{stamps: c.is, epoch: c.epoch, failed: []wire.ID{30}}
	c.wanted, c.resting = false, map[wire.ID]resting{10: {w.now + 7, 1}}
	if c.finish(w.now, w.view, &w.out); !c.wanted || c.due != w.now+7 {
		t.Errorf("wanted %v at %v, want when this disk has rested", c.wanted, c.due)
	}
	if c.last, c.wanted = (&pass{stamps: c.is}), false; !c.done(w.view) {
		t.Error("is not done")
	}
	if c.want(w.now); c.done(w.view) {
		t.Error("is done while another pass is wanted")
	}
	c.wanted = false
	if c.reset(5); !c.wanted || c.due != 5 || c.last != nil || c.done(w.view) {
		t.Error("a reset wants no pass, or is none")
	}
}

// TestWordIsOfThePass: of the arc that was the member's when all was given, and
// of no view that came after.
func TestWordIsOfThePass(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60)
	w.walk(time.Second, nil, onTen)
	w.judge(wire.Gone, 1, 60)
	settle := func() []wire.Settled {
		var o outbox
		clear(w.copies.told)
		w.copies.settle(w.view.place(20), w.view, &o)
		_, m := sends[wire.Settled](o.acts)
		return m
	}
	if m := settle(); len(m) != 1 || m[0].From != 50 {
		t.Errorf("settles %v, want from 50", m)
	}
	w.copies.epoch--
	if m := settle(); len(m) != 0 {
		t.Errorf("settles %v by a view that it has not looked at", m)
	}
}

// TestWhenTheLoopGoesOn: with the first of an offer without an answer and of
// who may be gone.
func TestWhenTheLoopGoesOn(t *testing.T) {
	w := within(t, 20, 30)
	w.walk(time.Second, nil, onTen)
	c := &w.copies
	c.wanted, c.doubts.due = false, never
	c.pass = &pass{offers: []offered{{at: 7}}}
	if got := c.next(w.view); got != 7+offerWait {
		t.Errorf("goes on at %v, want %v", got, 7+offerWait)
	}
	if c.doubts.due = 6; c.next(w.view) != 6 {
		t.Errorf("goes on at %v, want 6", c.next(w.view))
	}
}

// TestChangesAreForgiven: one in each two intervals; what is far away waits.
func TestChangesAreForgiven(t *testing.T) {
	c := newCopierOf(time.Second)
	for range 3 {
		c.moved(1, 20, true)
	}
	if c.moved(1+Time(4*time.Second), 20, true); c.fickle[20].times != 2 {
		t.Errorf("%d changes are remembered, want 3 less 2, and this one", c.fickle[20].times)
	}
	c = newCopierOf(time.Second)
	if c.moved(1, 30, false); len(c.fickle) != 0 || c.due != 1+Time(farPass*time.Second) {
		t.Errorf("far away: a pass at %v, fickle %v", time.Duration(c.due), c.fickle)
	}
}

// TestPulledVersionIsGivenOn: if this peer is not home to it; and it has gained.
func TestPulledVersionIsGivenOn(t *testing.T) {
	for name, fresh := range map[string]int{"0005": 0, "0015": 1} {
		w := within(t, 20, 30, 40, 50, 60)
		w.walk(time.Second, nil)
		w.now += 7
		m := wire.Manifest{Name: name, Version: 1, Writer: 20, Size: 9}
		first[Pull](t, w.step(Received{20, wire.Offer{Req: 7, Source: 20, Manifest: m}}))
		before := len(w.copies.fresh.waiting)
		w.step(Pulled{Version: Version{wire.KeyOf(wire.Space8, name), m.Sum()}, New: true})
		if got := len(w.copies.fresh.waiting) - before; got != fresh || w.copies.gained != w.now || !w.copies.gave[20] {
			t.Errorf("%s: %d fresh, gained at %v, given by %v", name, got, w.copies.gained, w.copies.gave)
		}
	}
}

// TestForgottenInAllTables: who is in the roster no more.
func TestForgottenInAllTables(t *testing.T) {
	w := within(t, 20, 30)
	c, s := &w.copies, &w.spread
	c.fickle[20], c.resting[20], c.told[20], c.gave[20], c.doubts.of[20] = fickle{}, resting{}, wire.Settled{}, true, doubt{}
	c.accord.settled[20], c.accord.excused[20] = wire.Settled{}, wire.Settled{}
	s.asked[20], s.answered[20], s.passed[20] = question{}, 1, 1
	w.join.refused[20], w.ops.paces[20] = 1, pace{}
	w.links.line(20)
	w.erase(20)
	var left []string
	note := func(table string, there bool) {
		if there {
			left = append(left, table)
		}
	}
	has := func(m map[wire.ID]Time) bool { _, ok := m[20]; return ok }
	_, is := c.fickle[20]
	note("fickle", is)
	_, is = c.resting[20]
	note("resting", is)
	_, is = c.told[20]
	note("told", is)
	note("gave", c.gave[20])
	_, is = c.doubts.of[20]
	note("doubts", is)
	_, is = c.accord.settled[20]
	note("settled", is)
	_, is = c.accord.excused[20]
	note("excused", is)
	_, is = s.asked[20]
	note("asked", is)
	note("answered", has(s.answered))
	note("passed", has(s.passed))
	note("refused", has(w.join.refused))
	_, is = w.ops.paces[20]
	note("paces", is)
	note("lines", w.links.lines[20] != nil)
	if len(left) > 0 {
		t.Errorf("left in %v", left)
	}
}
