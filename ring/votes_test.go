package ring

import (
	"slices"
	"testing"

	"securepeer/wire"
)

// TestActiveRowNeedsNoHere: that a member is in the ring is for itself to say. Its
// row is signed, by a member of the roster, and that is all there is to believe:
// whoever said Here to it, if anybody did, is known to nobody else, and two rings
// become one by their rows.
func TestActiveRowNeedsNoHere(t *testing.T) {
	for _, state := range []wire.State{wire.Joining, wire.Active, wire.Full, wire.Stuck} {
		w := within(t, 20, 30)
		w.Ring.rosterChanged(w.now, config(10, 10, 20, 30, 40).Roster)
		w.step(Received{20, wire.Rows{Rows: []wire.Row{row(40, 1, state)}}})
		if s := w.Status(); !slices.Contains(s.Ring, 40) || !w.view.member(40).home() {
			t.Errorf("state %v: ring %v, home holder %v", state, s.Ring, w.view.member(40).home())
		}
		// Its no counts as that of any other who says that it is home and not behind:
		// not found needs all home holders, and what it denies another may have.
		if state == wire.Active && w.view.usableHomes(15) != 3 {
			t.Errorf("%d home holders take writes", w.view.usableHomes(15))
		}
	}
}

// usableHomes counts the home holders of a key that take writes.
func (v *view) usableHomes(k wire.Pos) (n int) {
	for _, h := range v.holders(k, nil) {
		if h.home && h.use {
			n++
		}
	}
	return n
}

// TestWhoseVotesCount: unreachable is said by who watches, so the votes of those
// in the ring count alone; gone by who has watched, so that of a member that has
// stopped, left or fallen silent since counts as it did, until the roster drops it
// or the one that it is about speaks again.
func TestWhoseVotesCount(t *testing.T) {
	for name, out := range map[string]func(w *world){
		"in the ring": func(*world) {},
		"stopped":     func(w *world) { w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 2, wire.Stopped)}}}) },
		"leaving":     func(w *world) { w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 2, wire.Leaving)}}}) },
		"left":        func(w *world) { w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 2, wire.Left)}}}) },
		"silent":      func(w *world) { w.view.silence(20, false) },
		"dropped":     func(w *world) { w.Ring.rosterChanged(w.now, config(10, 10, 30, 40, 50).Roster) },
	} {
		for _, verdict := range []wire.Verdict{wire.Unreachable, wire.Gone} {
			w := within(t, 20, 30, 40, 50)
			w.step(Received{30, wire.Rows{Votes: []wire.Vote{vote(20, 40, 1, verdict, 1), vote(30, 40, 1, verdict, 1)}}})
			if w.view.member(40).verdict != verdict {
				t.Fatalf("%v by two who are in the ring does not stand", verdict)
			}
			out(w)
			w.view.compute()
			want := wire.Verdict(0)
			if name == "in the ring" || verdict == wire.Gone && name != "dropped" {
				want = verdict
			}
			if got := w.view.member(40).verdict; got != want {
				t.Errorf("one of two is %s: verdict %v of %v, want %v", name, got, verdict, want)
			}
			w.step(Received{30, wire.Rows{Rows: []wire.Row{row(40, 2, wire.Active)}}})
			if got := w.view.member(40); got.verdict != 0 || !got.inRing {
				t.Errorf("one of two is %s: %v stands though 40 has spoken", name, got.verdict)
			}
		}
	}
	// A vote that a member casts after it has stopped is one of two, like any.
	w := within(t, 20, 30, 40, 50)
	w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 2, wire.Stopped)}, Votes: []wire.Vote{vote(20, 40, 1, wire.Gone, 9)}}})
	if got := w.view.member(40); got.verdict != 0 || !got.inRing {
		t.Errorf("one who has stopped calls 40 %v alone", got.verdict)
	}
}
