package ring

import (
	"testing"

	"securepeer/wire"
)

// TestGrownArcIsSettledAnew: when a predecessor is gone this peer becomes home
// to more, and its no means nothing until everybody has given it that, too;
// who settled it for the smaller arc has not.
func TestGrownArcIsSettledAnew(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60)
	for _, id := range []wire.ID{20, 30, 40, 50, 60} {
		w.step(Received{id, wire.Settled{Incarnation: 1, From: 40}}) // of 60, 50 and 40 it is the next
	}
	if w.behind() {
		t.Fatal("behind, although everybody has settled it")
	}
	w.step(Received{20, wire.Rows{Votes: []wire.Vote{vote(20, 60, 1, wire.Gone, 1), vote(30, 60, 1, wire.Gone, 1)}}})
	for _, id := range []wire.ID{20, 30, 40, 50} {
		if w.step(Received{id, wire.Settled{Incarnation: 1, From: 40}}); !w.behind() {
			t.Fatalf("not behind before %v has given it the arc that 60 left", id)
		}
		w.step(Received{id, wire.Settled{Incarnation: 1, From: 30}})
	}
	if w.behind() {
		t.Error("behind, although everybody has settled it")
	}
}

// TestSettledOfTheFuture: a word about an incarnation that this peer has not
// spoken is a lie, and counted; it does not stand for what will come.
func TestSettledOfTheFuture(t *testing.T) {
	w := within(t, 20, 30)
	w.step(Received{20, wire.Settled{Incarnation: 1 << 40, From: 10}})
	if got := w.links.line(20).refused; got != 1 {
		t.Errorf("%v refused, want 1", got)
	}
	if got := w.copies.accord.settled[20].Incarnation; got != 1 {
		t.Errorf("settled in incarnation %v, want 1", got)
	}
}

// TestLength: arcs that end at one position compare by how far back they
// begin, round the circle; the one that begins where it ends is the longest.
func TestLength(t *testing.T) {
	const to = 100
	from := []wire.Pos{99, 50, 0, 1<<64 - 1, 200, 101, 100} // longer and longer
	for i := range from[1:] {
		if a, b := length(from[i], to), length(from[i+1], to); a >= b {
			t.Errorf("(%v, %v] has %v, (%v, %v] has %v", from[i], to, a, from[i+1], to, b)
		}
	}
}
