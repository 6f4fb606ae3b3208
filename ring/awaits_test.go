package ring

import (
	"fmt"
	"slices"
	"testing"

	"securepeer/wire"
)

// awaited fails the test unless an operation waits for these, in any order.
func (w *world) awaited(t *testing.T, when string, op Op, want ...wire.ID) {
	t.Helper()
	got := w.Awaits(op)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s operation %d waits for %v, want %v", when, op, got, want)
	}
}

// TestWhomAPutWaitsFor: for answers, then for those that take the bytes, then for
// who is to have them from others in the place of one that failed. (Before: while
// other holders made the copies, nobody was named.)
func TestWhomAPutWaitsFor(t *testing.T) {
	w := within(t, 20, 30, 40, 50)
	asked := w.step(Put{Op: 1, Name: "0015"})
	w.awaited(t, "looking", 1, 20, 30, 40)
	w.answerLooks(asked, nil)
	w.awaited(t, "uploading", 1, 20, 30, 40)
	w.step(Sealed{1, wire.Manifest{Name: "0015", Version: 1, Writer: 10}})
	w.step(Uploaded{Op: 1, Peer: 20})
	w.step(Uploaded{Op: 1, Peer: 30})
	w.awaited(t, "with two that have it", 1, 40)
	_, o := firstOffer(t, w.step(Uploaded{Op: 1, Peer: 40, Code: wire.CodeBusy}))
	w.awaited(t, "making up", 1, 50)
	w.step(Received{50, wire.Confirmed{Req: o.Req}})
	w.awaited(t, "over", 1)
	w.awaited(t, "never begun", 2)
}

// TestWhomAQuestionWaitsFor: a get, a stat and a lookup name those that have not
// answered.
func TestWhomAQuestionWaitsFor(t *testing.T) {
	for op, ev := range []Event{Get{Op: 0, Name: "0015"}, Stat{Op: 1, Name: "0015"}} {
		w := within(t, 20, 30, 40, 50)
		acts := w.step(ev)
		w.awaited(t, "asking", Op(op), 20, 30, 40)
		for _, a := range acts {
			if s, ok := a.(Send); ok && s.To == 20 {
				w.step(Received{20, wire.Found{Req: s.Msg.(wire.Look).Req, Home: true}})
			}
		}
		w.awaited(t, "with one answer", Op(op), 30, 40)
		w.step(Cancel{Op(op)})
		w.awaited(t, "canceled", Op(op))
	}
	w := within(t, 20, 30, 40, 50)
	acts := w.step(Lookup{Op: 1, Name: "0015"})
	w.awaited(t, "looking up", 1, 20)
	w.step(Received{20, wire.Here{Req: first[Send](t, acts).Msg.(wire.Find).Req}})
	w.awaited(t, "over", 1)
}

// TestPutWaitsForAPlaceAmongOffers: it names the peer whose answers to the offers
// of others it waits for.
func TestPutWaitsForAPlaceAmongOffers(t *testing.T) {
	w := within(t, 20, 30, 40, 50)
	for i := range Op(putWindow + 1) {
		p := &put{query: query{op: i + 1, name: fmt.Sprint(i), asked: true}, key: 5, uploading: true, waiting: []wire.ID{30},
			ok: []wire.ID{10, 20}}
		p.numbered = w.ops.numbers.begin(p.name)
		w.ops.list = append(w.ops.list, p)
		w.step(Sealed{Op: i + 1, Manifest: wire.Manifest{Name: p.name, Version: 1, Writer: 10}})
		w.step(Uploaded{Op: i + 1, Peer: 30, Code: wire.CodeFull})
	}
	last := w.ops.list[putWindow].(*put)
	if len(last.offers) > 0 {
		t.Fatalf("%d offers to one peer are under way", putWindow+1)
	}
	w.awaited(t, "behind others", last.op, w.ops.list[0].(*put).offers[0].peer)
}
