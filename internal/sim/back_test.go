package sim

import (
	"slices"
	"testing"
	"time"
)

// TestAbsenceOfTheDeadIsNotCounted: a peer that runs again is back within the
// bound counted from its return, also if it died out of another's ring before and
// was back in its own between two looks. (Seed 90000773 of an earlier draw found
// the check at fault, which counted from before the death.)
func TestAbsenceOfTheDeadIsNotCounted(t *testing.T) {
	c := plain(1, 5, 9, 14)
	c.Net = Net{Delay: 64 * time.Millisecond, Loss: 0.15}
	w := world(t, c)
	w.watch()
	const dead, other = 5, 14
	// out is that dead runs well, is linked to other, and is not in its ring.
	out := func() bool {
		h := w.Host(dead)
		return h.process != nil && w.well(h) && w.linked(w.Host(other))[dead] && !slices.Contains(w.Host(other).Status().Ring, dead)
	}
	returns := func() {
		t.Helper()
		w.Kill(dead)
		for end := w.now + 30*1e9; w.now < end; w.Run(time.Second) {
			w.Check() // as a plan does each second
		}
		w.Start(dead)
		if !w.RunUntil(10*time.Second, w.every(time.Millisecond, out)) {
			t.Fatal("it is in all rings at once, and nothing is proven")
		}
		w.Check()
	}
	returns()
	if w.strict.peers[other].out[dead] == 0 {
		t.Fatal("that it is out is not counted")
	}
	returns()
}
