package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// TestLastWordsNeedAMoment: a quarter of an interval from when it was told to
// stop, however often it is.
func TestLastWordsNeedAMoment(t *testing.T) {
	w := within(t, 20, 30)
	began := w.now
	w.step(Persisted(first[Persist](t, w.step(Stop{}))))
	if has[Exit](w.pass(200 * ms)) {
		t.Error("ends before what it said last was heard")
	}
	w.step(Stop{})
	if at, over := w.exitAt(time.Second); !over || at != began+Time(250*ms) {
		t.Errorf("ends %v, %v after it was told to", over, time.Duration(at-began))
	}
}

// TestWhoStopsDoesNotLeave: the data stays here.
func TestWhoStopsDoesNotLeave(t *testing.T) {
	w := within(t, 20, 30)
	w.step(Persisted(first[Persist](t, w.step(Stop{}))))
	if acts := w.step(Leave{Op: 1}); has[Persist](acts) || w.own.state != wire.Stopped {
		t.Errorf("state %v, did %v", w.own.state, acts)
	}
}

// TestLeavingIsSaidBeforeLeft: even when nobody is there to give anything to;
// and it ends a moment after, whatever else happens.
func TestLeavingIsSaidBeforeLeft(t *testing.T) {
	w := within(t, 20)
	w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 2, wire.Left)}}})
	var said []wire.State
	acts := w.step(Leave{Op: 7})
	for has[Persist](acts) && len(said) < 3 {
		acts = w.step(Persisted(first[Persist](t, acts)))
		said = append(said, w.view.member(10).state)
	}
	if !slices.Equal(said, []wire.State{wire.Leaving, wire.Left}) {
		t.Errorf("says %v", said)
	}
	if d := first[Done](t, acts); d.Op != 7 || d.Result.Outcome != Succeeded {
		t.Errorf("ends with %+v", d)
	}
	for i := range 10 {
		w.now += Time(100 * ms)
		if has[Exit](w.step(Tick{})) {
			if i != 2 {
				t.Errorf("ends after %d steps of 100 ms, want 3", i+1)
			}
			return
		}
	}
	t.Error("never ends")
}

// TestWhoLeavesGivesAllAnew: what it was told of earlier counts for nothing, as
// these may be the last copies.
func TestWhoLeavesGivesAllAnew(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60)
	if got := w.walk(time.Second, nil, onTen)[onTen]; !slices.Equal(got, []wire.ID{20, 30}) {
		t.Fatalf("offered to %v, want 20 and 30", got)
	}
	if got := w.walk(time.Second, nil, onTen); len(got) != 0 {
		t.Fatalf("offered again: %v", got)
	}
	w.step(Persisted(first[Persist](t, w.step(Leave{Op: 1}))))
	if got := w.walk(time.Second, nil, onTen)[onTen]; !slices.Equal(got, []wire.ID{20, 30, 40}) {
		t.Errorf("leaving, offers it to %v, want 20, 30 and 40", got)
	}
}

// TestLeaveThatGoesOnIsNotReported: ten intervals after the last version was
// taken the user is told of all that are waited for, and not before.
func TestLeaveThatGoesOnIsNotReported(t *testing.T) {
	w := within(t, 20, 30, 40, 50)
	w.judge(wire.Unreachable, 1, 50)
	began := w.now
	w.step(Persisted(first[Persist](t, w.step(Leave{Op: 7}))))
	by := w.offers(t)
	if all := w.keepAlive(8*time.Second-time.Duration(w.now-began), 20, 30, 40); has[Done](all) {
		t.Fatal("reported after less than ten intervals")
	}
	w.step(Received{20, wire.Confirmed{Req: by[20].Req}})
	confirmed := w.now
	if all := w.keepAlive(9*time.Second, 20, 30, 40); has[Done](all) {
		t.Error("reported though it goes on")
	}
	d := first[Done](t, w.keepAlive(2*time.Second, 20, 30, 40))
	slices.Sort(d.Result.Silent)
	if d.Result.Outcome != StillHolding || !slices.Equal(d.Result.Silent, []wire.ID{30, 40, 50}) {
		t.Errorf("%v after the last: %+v, want 30, 40 and 50", time.Duration(w.now-confirmed), d.Result)
	}
}

// TestWhoHasLeftIsForgotten: nobody has to say so.
func TestWhoHasLeftIsForgotten(t *testing.T) {
	w := within(t, 20, 30)
	w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 5, wire.Left)}}})
	if d := first[Done](t, w.step(Forget{1, 20})); d.Result.Outcome != Succeeded || w.votesOn(20) != 0 {
		t.Errorf("%+v, and votes %v", d.Result, w.votesOn(20))
	}
}
