package ring

import (
	"math/rand/v2"
	"slices"
	"testing"

	"securepeer/wire"
)

// crowded is a view of n members, of which some have left, some are stopped
// and some are held unreachable by their observers; and part of what it knows.
func crowded(g *rand.Rand, n int) (ids []wire.ID, all, part news) {
	for id := range n {
		ids = append(ids, wire.ID(4*id+g.IntN(4)))
	}
	for i, id := range ids {
		older := row(id, 1, wire.Active)
		is := older
		switch g.IntN(6) {
		case 0:
			is = row(id, 2, wire.Left)
		case 1:
			is = row(id, 2, wire.Stopped)
		case 2: // seven observers say so: most of its reachable predecessors
			for j := 1; j <= 7; j++ {
				by := ids[(i+n-j)%n]
				all.votes = append(all.votes, vote(by, id, 1, wire.Unreachable, 1))
			}
		}
		all.rows = append(all.rows, is)
		switch g.IntN(3) {
		case 0:
			part.rows = append(part.rows, older)
		case 1:
			part.rows = append(part.rows, is)
		}
	}
	for _, t := range all.votes {
		if g.IntN(2) == 0 {
			part.votes = append(part.votes, t)
		}
	}
	return ids, all, part
}

// TestNearbyDecides: with what is told near a key, one that knew less of
// everything names the same holders.
func TestNearbyDecides(t *testing.T) {
	for seed := range uint64(2000) {
		g := rand.New(rand.NewPCG(seed, 5))
		ids, all, part := crowded(g, 20+g.IntN(40))
		knows, lacks := newView(config(ids[0], ids...)), newView(config(ids[0], ids...))
		all.merge(knows)
		part.merge(lacks)
		k := wire.Pos(g.IntN(256))
		rows, votes := nearby(k, knows)
		news{rows, votes}.merge(lacks)
		if got, want := lacks.holders(k, nil), knows.holders(k, nil); !slices.Equal(got, want) {
			t.Errorf("seed %d: holders of %d are %v, want %v", seed, k, got, want)
		}
		if len(rows) == len(ids) && len(ids) > 50 {
			t.Errorf("seed %d: told of all %d", seed, len(ids))
		}
	}
}

// TestNearbyFitsAMessage: however many have left near the key, or are voted on.
func TestNearbyFitsAMessage(t *testing.T) {
	for _, votes := range []bool{false, true} {
		var ids []wire.ID
		for id := range wire.ID(1000) {
			ids = append(ids, id+1)
		}
		v := newView(config(1, ids...))
		for _, id := range ids[1:] {
			if v.mergeRow(row(id, 1, wire.Left)); votes {
				v.mergeVote(vote(1, id, 1, wire.Unreachable, 1))
				v.mergeVote(vote(2, id, 1, wire.Unreachable, 1))
			}
		}
		v.settle()
		told, cast := nearby(100, v)
		if len(told) != nearbyRows || len(cast) > wire.MaxVotes || votes && len(cast) != 2*nearbyRows {
			t.Errorf("%d rows and %d votes, want %d and those on them", len(told), len(cast), nearbyRows)
		}
	}
}

// TestAskNamesWhoCanBeReached: a home holder that is held unreachable is not
// who an asker is sent to.
func TestAskNamesWhoCanBeReached(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60)
	w.step(Received{60, wire.Rows{Votes: []wire.Vote{vote(60, 20, 1, wire.Unreachable, 1), vote(50, 20, 1, wire.Unreachable, 1)}}})
	for _, a := range w.step(Received{60, wire.Find{Req: 5, For: wire.ForLookup, Name: "0015"}}) {
		if s, ok := a.(Send); ok {
			if m, ok := s.Msg.(wire.Ask); ok {
				if m.Next != 30 {
					t.Errorf("sent to %v, want 30", m.Next)
				}
				return
			}
		}
	}
	t.Error("sent nowhere")
}
