package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// What a pass gives to whom, and whom it takes as served.

// given returns peer 10 of six that has had version x, home to 10, 20 and 30,
// from 20, after all had everything.
func given(t *testing.T) (*world, Version) {
	t.Helper()
	w := within(t, 20, 30, 40, 50, 60)
	w.walk(time.Second, nil)
	m := wire.Manifest{Name: "0005", Version: 1, Writer: 20, Size: 9}
	x := Version{5, m.Sum()}
	w.step(Received{20, wire.Offer{Req: 7, Source: 20, Manifest: m}})
	w.step(Pulled{Version: x, Code: wire.CodeOK, New: true})
	return w, x
}

// says has id publish another row of itself.
func (w *world) says(id wire.ID, i wire.Incarnation, s wire.State) {
	w.step(Received{id, wire.Rows{Rows: []wire.Row{row(id, i, s)}}})
}

// TestGiverThatDidNotFall: who has left has given all before it did, and who is
// full gives still; nothing is offered anew for them.
func TestGiverThatDidNotFall(t *testing.T) {
	for _, c := range []struct {
		says wire.State
		want []wire.ID
	}{{wire.Left, []wire.ID{40}}, {wire.Full, nil}} {
		w, x := given(t)
		w.says(20, 2, c.says)
		if got := w.walk(200*ms, nil, x)[x]; !slices.Equal(got, c.want) {
			t.Errorf("20 is %v: offered to %v, want %v", c.says, got, c.want)
		}
	}
}

// TestFallOfAGiverIsMadeUpOnce: whatever passes lie between its gift and its
// fall; not again with the next pass, nor with its next fall.
func TestFallOfAGiverIsMadeUpOnce(t *testing.T) {
	w, x := given(t)
	w.says(60, 2, wire.Active)
	if got := w.walk(200*ms, nil, x)[x]; len(got) != 0 {
		t.Fatalf("with another 60 offered to %v", got)
	}
	w.judge(wire.Unreachable, 1, 20)
	if got := w.walk(200*ms, nil, x)[x]; !slices.Equal(got, []wire.ID{30}) {
		t.Errorf("with the fall of 20 offered to %v, want 30", got)
	}
	w.says(60, 3, wire.Active)
	if got := w.walk(200*ms, nil, x)[x]; len(got) != 0 {
		t.Errorf("with another 60 offered to %v again", got)
	}
	w.says(20, 2, wire.Active)
	if got := w.walk(200*ms, nil, x)[x]; !slices.Equal(got, []wire.ID{20}) {
		t.Errorf("with the return of 20 offered to %v, want 20", got)
	}
	w.judge(wire.Unreachable, 2, 20)
	if got := w.walk(200*ms, nil, x)[x]; len(got) != 0 {
		t.Errorf("with another fall of 20, which gave nothing since, offered to %v", got)
	}
}

// TestSettledIsSaidUnderEachRoster: and under each row of this peer that may
// have missed something, as what it said before counts for nothing.
func TestSettledIsSaidUnderEachRoster(t *testing.T) {
	w := within(t, 20, 30)
	w.walk(time.Second, nil)
	w.step(RosterChanged{w.Ring.roster})
	var acts []Action
	for _, a := range w.pass(200 * ms) {
		if s, ok := a.(Scan); ok {
			acts = w.step(Scanned{Scan: s.Scan})
		}
	}
	if got := settledOf(acts); !got[20] || !got[30] {
		t.Errorf("settled %v, want 20 and 30", got)
	}
}

// batches begins a pass that has another batch to come, which it returns the
// Scan of, and answers the offers of the first.
func (w *world) batches(t *testing.T, x Version, answer func(SendOffer) Event) Scan {
	t.Helper()
	acts := w.step(Scanned{Scan: first[Scan](t, w.pass(200*ms)).Scan, Versions: []Version{x}, More: true})
	next := first[Scan](t, acts)
	for _, a := range acts {
		if o, ok := a.(SendOffer); ok {
			w.step(answer(o))
		}
	}
	return next
}

// offeredTo returns to whom something is offered, in order.
func offeredTo(acts []Action) (ids []wire.ID) {
	for _, a := range acts {
		if o, ok := a.(SendOffer); ok {
			ids = append(ids, o.To)
		}
	}
	slices.Sort(ids)
	return ids
}

var alsoOnTen = Version{Key: 5, Sum: wire.Sum{6}}

// TestWhoDidNotGetOneIsOfferedNoOther: in that pass; whatever kept it from the
// first, it is not settled by the rest.
func TestWhoDidNotGetOneIsOfferedNoOther(t *testing.T) {
	for name, not := range map[string]func(o SendOffer) Event{
		"busy":         func(o SendOffer) Event { return Received{o.To, wire.Confirmed{Req: o.Req, Code: wire.CodeBusy}} },
		"not readable": func(o SendOffer) Event { return OfferFailed{Peer: o.To, Req: o.Req} },
	} {
		w := within(t, 20, 30, 40, 50, 60)
		next := w.batches(t, onTen, func(o SendOffer) Event {
			if o.To == 20 {
				return not(o)
			}
			return Received{o.To, wire.Confirmed{Req: o.Req}}
		})
		acts := w.step(Scanned{Scan: next.Scan, Versions: []Version{alsoOnTen}})
		if got := offeredTo(acts); !slices.Equal(got, []wire.ID{30}) {
			t.Errorf("%s: then offered to %v, want 30 alone", name, got)
		}
		for _, a := range acts {
			if o, ok := a.(SendOffer); ok {
				acts = w.step(Received{o.To, wire.Confirmed{Req: o.Req}})
			}
		}
		if got := settledOf(acts); got[20] || !got[30] {
			t.Errorf("%s: settled %v, want 30 and not 20", name, got)
		}
	}
}

// TestWhoRestsIsNotSettled: a pass that begins while it is left alone offers it
// nothing, and does not count it as served.
func TestWhoRestsIsNotSettled(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60)
	w.walk(100*ms, map[wire.ID]wire.Code{20: wire.CodeBusy}, onTen)
	w.says(60, 2, wire.Active)
	var acts []Action
	for _, a := range w.pass(200 * ms) {
		if s, ok := a.(Scan); ok {
			acts = w.step(Scanned{Scan: s.Scan, Versions: []Version{onTen}})
		}
	}
	if got, told := offeredTo(acts), settledOf(acts); len(got) != 0 || told[20] || !told[60] {
		t.Errorf("offered to %v, settled %v", got, told)
	}
}

// TestPlaceThatIsTakenBackIsNotGiven: a stand-in is offered nothing any more
// when the home holders come back in the middle of the pass; and is not taken
// for one that has it, should they fall again.
func TestPlaceThatIsTakenBackIsNotGiven(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60)
	w.walk(200*ms, nil, onTen)
	w.judge(wire.Unreachable, 1, 20, 30)
	scan := first[Scan](t, w.pass(200*ms))
	w.step(Received{40, wire.Rows{Rows: []wire.Row{row(20, 3, wire.Active), row(30, 3, wire.Active)}}})
	if got := offeredTo(w.step(Scanned{Scan: scan.Scan, Versions: []Version{onTen}})); len(got) != 0 {
		t.Errorf("offered to %v, whose places are taken", got)
	}
	w.judge(wire.Unreachable, 2, 20, 30)
	if got := w.walk(200*ms, nil, onTen)[onTen]; !slices.Equal(got, []wire.ID{40, 50}) {
		t.Errorf("offered to %v after both fell again, want 40 and 50", got)
	}
}

// TestOfferIsMadeAgainOverANewLink: to whom it was made, and to nobody else.
func TestOfferIsMadeAgainOverANewLink(t *testing.T) {
	w := within(t, 20, 30)
	by := w.offers(t)
	acts := w.step(LinkUp{20, 1})
	if got := first[SendOffer](t, acts); got != by[20] || !slices.Equal(offeredTo(acts), []wire.ID{20}) {
		t.Errorf("%+v to %v, want %+v again", got, offeredTo(acts), by[20])
	}
}

// TestFreshVersionIsOfferedToWhoLacksIt: not to who has confirmed it, or was to
// be offered one that is not here any more; and what went over a link that fell
// is not on its way.
func TestFreshVersionIsOfferedToWhoLacksIt(t *testing.T) {
	for _, c := range []struct {
		name string
		ev   func(o SendOffer) Event
		want []wire.ID
	}{
		{"confirmed", func(o SendOffer) Event { return Received{o.To, wire.Confirmed{Req: o.Req}} }, []wire.ID{30}},
		{"busy", func(o SendOffer) Event { return Received{o.To, wire.Confirmed{Req: o.Req, Code: wire.CodeBusy}} }, []wire.ID{20, 30}},
		{"confirmed by another", func(o SendOffer) Event { return Received{40, wire.Confirmed{Req: o.Req}} }, []wire.ID{20, 30}},
		{"missing", func(o SendOffer) Event { return OfferFailed{Peer: o.To, Req: o.Req, Missing: true} }, []wire.ID{30}},
		{"not readable", func(o SendOffer) Event { return OfferFailed{Peer: o.To, Req: o.Req} }, []wire.ID{20, 30}},
	} {
		w := within(t, 20, 30, 40, 50, 60)
		w.walk(time.Second, nil)
		w.copies.stored(w.now, onTen)
		to := func() (offers []SendOffer) {
			w.now = w.copies.fresh.next()
			var o outbox
			w.copies.fresh.step(w.now, w.view, &o)
			for _, a := range o.acts {
				offers = append(offers, a.(SendOffer))
			}
			return offers
		}
		for _, o := range to() {
			if o.To == 20 {
				w.step(c.ev(o))
			}
		}
		var got []wire.ID
		for _, o := range to() {
			got = append(got, o.To)
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: then offered to %v, want %v", c.name, got, c.want)
		}
		if w.step(LinkDown{30}); w.copies.fresh.pending() != len(c.want)-1 {
			t.Errorf("%s: %d on their way after the link with 30 fell", c.name, w.copies.fresh.pending())
		}
	}
}

// TestLeaverTriesAgain: while nobody is there to take what it holds, once an
// interval.
func TestLeaverTriesAgain(t *testing.T) {
	w := within(t, 20, 30)
	w.walk(200*ms, nil, onTen)
	w.step(Leave{1})
	w.step(Persisted{3})
	w.copies.pass, w.copies.wanted = nil, false
	for i := range w.copies.is {
		w.copies.is[i].up = false
	}
	w.copies.pass = &pass{stamps: w.copies.is, epoch: w.copies.epoch, batch: []Version{onTen}}
	var o outbox
	w.copies.advance(w.now, w.view, &o)
	if c := w.copies; c.pass != nil || !c.wanted || c.due != w.now+Time(time.Second) {
		t.Errorf("the next pass wanted %v, due in %v", c.wanted, time.Duration(c.due-w.now))
	}
}

// TestProgressIsWhatIsTaken: a leave that others only refuse makes none.
func TestProgressIsWhatIsTaken(t *testing.T) {
	for code, want := range map[wire.Code]bool{wire.CodeOK: true, wire.CodeBusy: false, wire.CodeFull: false} {
		w := within(t, 20, 30)
		by := w.offers(t)
		w.copies.progress = 0
		if w.step(Received{20, wire.Confirmed{Req: by[20].Req, Code: code}}); (w.copies.progress == w.now) != want {
			t.Errorf("code %v: progress %v", code, w.copies.progress == w.now)
		}
	}
}
