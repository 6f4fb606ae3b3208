package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// flooded lets two intervals go by in which everybody answers pings at once and
// each of say comes every millisecond. It returns how many pings went to each.
func (w *town) flooded(say []func(n uint32) Received, ids ...wire.ID) map[wire.ID]int {
	count := map[wire.ID]int{}
	for n := range uint32(2000) {
		for _, f := range say {
			w.coming = append(w.coming, coming{w.now, f(n)})
		}
		for id, p := range pings(w.live(ms, 100*time.Microsecond, says(true), ids...)) {
			count[id] += len(p)
		}
	}
	return count
}

// TestRequestsMakeNoFloodOfPings: whatever others ask this peer to find out
// about a member, and however often, that member gets little more pings from
// it than those of a round: else it would refuse them, and this peer's own with
// them. A liar's requests are counted, an honest one's are answered. Once they
// made a thousand pings a second, and live peers were called one-way.
func TestRequestsMakeNoFloodOfPings(t *testing.T) {
	others := []wire.ID{20, 30, 40, 50, 60, 70}
	request := func(from, about wire.ID) func(uint32) Received {
		return func(n uint32) Received { return Received{from, wire.PingReq{Req: n, Member: about}} }
	}
	voter := func(from, about wire.ID) func(uint32) Received {
		return func(n uint32) Received {
			return Received{from, wire.Rows{Votes: []wire.Vote{vote(from, about, 1, wire.Unreachable, uint64(n)+1)}}}
		}
	}
	for what, say := range map[string][]func(uint32) Received{
		"requests of one":     {request(40, 20)},
		"requests of three":   {request(40, 20), request(50, 20), request(70, 20)},
		"votes of one":        {voter(50, 20)},
		"requests and votes":  {request(40, 20), voter(50, 20), voter(40, 20)},
		"requests about many": {request(40, 20), request(40, 30), request(40, 60), request(40, 70)},
		"about one far away":  {request(40, 60)},
	} {
		w := among(t, others...)
		w.live(3500*ms, ms, nil, others...)
		for id, n := range w.flooded(say, others...) {
			if n > 2*(gap+3) {
				t.Errorf("%s: %d pings to %d in two intervals, want %d at most", what, n, id, 2*(gap+3))
			}
		}
		for _, m := range w.Status().Members {
			if named := m.Refused > 0; named && !slices.Contains([]wire.ID{40, 50, 70}, m.ID) || m.ID == 30 && m.Suspect {
				t.Errorf("%s: %d of %d were refused, suspect %v", what, m.Refused, m.ID, m.Suspect)
			}
		}
		w.coming = append(w.coming, coming{w.now, Received{30, wire.PingReq{Req: 7, Member: 20}}})
		to, said := sends[wire.PingReqAck](w.live(200*ms, 100*time.Microsecond, nil, others...))
		if i := slices.Index(to, 30); i < 0 || said[i] != (wire.PingReqAck{Req: 7, Alive: true}) {
			t.Errorf("%s: one who asks for itself is told %v (to %v)", what, said, to)
		}
		// A real death is found out as soon as ever.
		w.coming = append(w.coming, coming{w.now, LinkDown{20}})
		w.live(2500*ms, ms, says(false), others[1:]...)
		if w.votesOn(20) != wire.Unreachable {
			t.Errorf("%s: no vote on one that died afterwards", what)
		}
	}
}
