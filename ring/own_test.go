package ring

import (
	"testing"

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

// TestRefutation: a verdict on this peer, told by an ack or a view, is
// answered by one incarnation above, once.
func TestRefutation(t *testing.T) {
	w := within(t, 20, 30)
	acts := w.step(Pinged{20, wire.Ping{Ack: true, Mine: 1, Said: wire.SaidUnreachable, Yours: 2}})
	if p := first[Persist](t, acts); p.Incarnation != 3 {
		t.Errorf("persists %d, want 3", p.Incarnation)
	}
	if acts := w.step(Pinged{30, wire.Ping{Ack: true, Mine: 1, Said: wire.SaidUnreachable, Yours: 2}}); len(acts) > 0 {
		if _, ok := acts[0].(Persist); ok {
			t.Error("answered twice")
		}
	}
	w.step(Persisted{3})
	if s := w.Status(); s.Incarnation != 3 || !s.Behind {
		t.Errorf("incarnation %d, behind %v, want 3 and behind until the others have given it all", s.Incarnation, s.Behind)
	}
	w.step(Received{20, wire.Rows{Votes: []wire.Vote{vote(20, 10, 2, wire.Unreachable, 1), vote(30, 10, 2, wire.Unreachable, 1)}}})
	if got := w.Status().Incarnation; got != 3 {
		t.Errorf("incarnation %d after votes on an earlier one, want 3", got)
	}
}

// TestLostStateGoesOneAbove: a peer that is shown a row of itself above its own
// goes above it; once is a restart that lost its state.
func TestLostStateGoesOneAbove(t *testing.T) {
	w := within(t, 20, 30)
	acts := w.step(Received{20, wire.Rows{Rows: []wire.Row{row(10, 77, wire.Active)}}})
	if p := first[Persist](t, acts); p.Incarnation != 78 || exits(acts) != nil {
		t.Errorf("persists %d, exits %v, want 78 and no end", p.Incarnation, exits(acts))
	}
	w.step(Persisted{78})
	if got := w.Status().Incarnation; got != 78 {
		t.Errorf("incarnation %d, want 78", got)
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
		w.step(Persisted{i + 1})
		i += 2
		w.now += w.interval()
	}
}
