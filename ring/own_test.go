package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// exits returns the error of an Exit among acts, if there is one.
func exits(acts []Action) error {
	for _, a := range acts {
		if e, ok := a.(Exit); ok {
			return e.Err
		}
	}
	return nil
}

// TestRefutation: a verdict on this peer is answered by one incarnation above,
// once an interval; a ping's word alone is hearsay.
func TestRefutation(t *testing.T) {
	judged := func(i wire.Incarnation) Event {
		return Received{20, wire.Rows{Votes: []wire.Vote{vote(20, 10, i, wire.Unreachable, 1), vote(30, 10, i, wire.Unreachable, 1)}}}
	}
	w := within(t, 20, 30)
	if p := first[Persist](t, w.step(judged(2))); p.Incarnation != 3 {
		t.Errorf("persists %d, want 3", p.Incarnation)
	}
	w.step(Persisted{3})
	if s := w.Status(); s.Incarnation != 3 || !s.Behind {
		t.Errorf("incarnation %d, behind %v, want 3 and behind until the others have given it all", s.Incarnation, s.Behind)
	}
	w.step(judged(2))
	if got := w.Status().Incarnation; got != 3 {
		t.Errorf("incarnation %d after votes on an earlier one, want 3", got)
	}
	persists := 0
	for range 1000 { // the others go on judging each new one
		w.now += Time(10 * time.Millisecond)
		for _, a := range slices.Concat(w.step(Pinged{20, wire.Ping{Ack: true, Mine: 1}}),
			w.step(Pinged{30, wire.Ping{Ack: true, Mine: 1}}), w.step(judged(w.own.spoken)), w.step(Tick{})) {
			if p, ok := a.(Persist); ok {
				persists++
				w.step(Persisted(p))
			}
		}
	}
	if persists < 8 || persists > 11 {
		t.Errorf("%d new incarnations in 10 intervals, want one each", persists)
	}
}

// TestLostStateGoesOneAbove: a peer that is shown a row of itself above its own
// goes above it; once is a restart that lost its state.
func TestLostStateGoesOneAbove(t *testing.T) {
	w := within(t, 20, 30)
	acts := w.step(Received{20, wire.Rows{Rows: []wire.Row{row(10, 77, wire.Active)}}})
	if p := first[Persist](t, acts); p.Incarnation != 78+contestLeap || exits(acts) != nil {
		t.Errorf("persists %d, exits %v, want one far above 77 and no end", p.Incarnation, exits(acts))
	}
	w.step(Persisted{78 + contestLeap})
	if got := w.Status().Incarnation; got != 78+contestLeap {
		t.Errorf("incarnation %d, want one far above 77", got)
	}
	if acts := w.step(Received{20, wire.Rows{Rows: []wire.Row{row(10, 5, wire.Active)}}}); len(acts) != 0 {
		t.Errorf("an old row of its own brings %v", acts)
	}
}

// TestKeyRunsTwice: contested again and again, it stops with an error.
func TestKeyRunsTwice(t *testing.T) {
	w := within(t, 20, 30)
	i := wire.Incarnation(10)
	for n := range contestLimit + 1 {
		acts := w.step(Received{20, wire.Rows{Rows: []wire.Row{row(10, i, wire.Active)}}})
		if err := exits(acts); (err != nil) != (n == contestLimit) {
			t.Fatalf("contest %d: exit %v", n+1, err)
		} else if err != nil {
			return
		}
		w.step(Persisted{i + 1 + contestLeap})
		i += 2 + contestLeap
		w.now += w.interval()
	}
}

// TestOldRowsEndNobody: whoever kept old rows of a peer that has lost its disk
// can't make it believe that its key runs twice: those of one message are one
// contest, and its answer is above all of them.
func TestOldRowsEndNobody(t *testing.T) {
	w := within(t, 20, 30)
	var old []wire.Row
	for i := range wire.Incarnation(2 * contestLimit) {
		old = append(old, row(10, 100+i, wire.Active))
	}
	for range 3 {
		acts := w.step(Received{20, wire.Rows{Rows: old}})
		for _, a := range acts {
			if p, ok := a.(Persist); ok {
				acts = append(acts, w.step(Persisted(p))...)
			}
		}
		if err := exits(acts); err != nil {
			t.Fatal(err)
		}
		for i := range old {
			acts = w.step(Received{20, wire.Rows{Rows: old[i : i+1]}})
			if err := exits(acts); err != nil {
				t.Fatal(err)
			}
		}
	}
	if w.own.contests != 1 {
		t.Errorf("%d contests, want 1", w.own.contests)
	}
}

// TestHalfSeenVerdictIsRefuted: two say that this peer is unreachable, one of
// whom it can't reach itself and so takes for no observer: to the others the
// verdict stands, and it is answered.
func TestHalfSeenVerdictIsRefuted(t *testing.T) {
	w := among(t, 6, 7, 8, 9, 20)
	w.live(3*time.Second, ms, nil, 6, 7, 8, 9, 20)
	w.view.silence(9, false)
	if acts := w.step(Received{8, wire.Rows{Votes: []wire.Vote{vote(9, 10, 2, wire.Unreachable, 1)}}}); has[Persist](acts) {
		t.Error("one vote is answered")
	}
	if acts := w.step(Received{8, wire.Rows{Votes: []wire.Vote{vote(8, 10, 2, wire.Unreachable, 1)}}}); !has[Persist](acts) {
		t.Error("two votes are not answered")
	}
}
