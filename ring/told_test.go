package ring

import (
	"slices"
	"testing"

	"securepeer/wire"
)

// TestWhatIsToldNearAKey: of twice the copies from the key on, and twice the
// observers before it, each once; and no more votes than a message takes.
func TestWhatIsToldNearAKey(t *testing.T) {
	for _, c := range []struct {
		members int
		key     wire.Pos
		want    []wire.ID
	}{
		{40, 30, []wire.ID{30, 31, 32, 33, 34, 35, 29, 28, 27, 26, 25, 24}},
		{40, 48, []wire.ID{48, 49, 10, 11, 12, 13, 47, 46, 45, 44, 43, 42}},
		{8, 12, []wire.ID{12, 13, 14, 15, 16, 17, 11, 10}},
		{3, 11, []wire.ID{11, 12, 10}},
	} {
		rows, _ := nearby(c.key, ringOf(c.members))
		var got []wire.ID
		for _, r := range rows {
			got = append(got, r.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("near %d, of %d: %v, want %v", c.key, c.members, got, c.want)
		}
	}
	v := ringOf(200)
	for on := range wire.ID(60) {
		v.mergeRow(row(20+on, 2, wire.Left))
		for by := range wire.ID(5) {
			v.mergeVote(vote(100+by, 20+on, 2, wire.Reachable, 1))
		}
	}
	v.settle()
	if rows, votes := nearby(20, v); len(rows) != 51+6 || len(votes) != 51*5 {
		t.Errorf("%d rows and %d votes, want 51 with their votes, and the 6 before them", len(rows), len(votes))
	}
}

// TestWalkedQuestions: what is said of each, and shown: a get is stored here, or
// is not; a put is accepted when it is stored, and else forwarded.
func TestWalkedQuestions(t *testing.T) {
	for _, c := range []struct {
		purpose wire.Purpose
		name    string
		kinds   []Kind
		next    wire.ID // 0: Here
	}{
		{wire.ForGet, "0005", []Kind{StoredHere}, 0},
		{wire.ForPut, "0005", nil, 0},
		{wire.ForGet, "0015", []Kind{NotStoredHere}, 20},
		{wire.ForPut, "0015", []Kind{StoreForwarded}, 20},
		{wire.ForLookup, "0005", nil, 0},
		{wire.ForLookup, "0035", nil, 20},
	} {
		w := walking(t, 20, 30, 40)
		acts := w.step(Received{40, wire.Find{Req: 9, For: c.purpose, Name: c.name}})
		var kinds []Kind
		for _, a := range acts {
			if n, ok := a.(Notify); ok {
				kinds = append(kinds, n.Notice.Kind)
			}
		}
		_, here := sends[wire.Here](acts)
		_, ask := sends[wire.Ask](acts)
		if !slices.Equal(kinds, c.kinds) || c.next == 0 && len(here) != 1 || c.next != 0 && (len(ask) != 1 || ask[0].Next != c.next) {
			t.Errorf("%v of %s: did %v", c.purpose, c.name, acts)
		}
	}
}

// TestAcceptedJoinerIsNoChangeOfSuccessor: it is shown of those alone whom
// another has accepted.
func TestAcceptedJoinerIsNoChangeOfSuccessor(t *testing.T) {
	for _, accepted := range []bool{false, true} {
		w := within(t, 20, 30, 40)
		w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 5, wire.Left)}}})
		if accepted {
			if to, _ := sends[wire.Here](w.step(Received{20, wire.Find{Req: 1, For: wire.ForJoin}})); len(to) != 1 {
				t.Fatal("20 is not accepted")
			}
		}
		acts := w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 6, wire.Joining)}}})
		shown := slices.ContainsFunc(acts, func(a Action) bool {
			n, ok := a.(Notify)
			return ok && n.Notice.Kind == SuccessorChange
		})
		if shown == accepted {
			t.Errorf("accepted %v, and a change of successor is shown: %v", accepted, shown)
		}
	}
}
