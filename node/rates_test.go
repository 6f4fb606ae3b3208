package node

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"securepeer/wire"
)

// TestRatesOfOtherTimesJudgeNobody: a member is slow if another was several times
// faster beside it, and stays so until it is measured anew; a rate of another time,
// when the line was full or free, says nothing of now. (A holder measured over a full
// line was slow for ten minutes once another was measured over a free one.)
func TestRatesOfOtherTimesJudgeNobody(t *testing.T) {
	const slow, fast = 100 << 10, 10 << 20
	type at struct {
		id     wire.ID
		rate   int64
		before time.Duration // since the one before
	}
	for _, c := range []struct {
		name  string
		rates []at
		want  []wire.ID // that are slow
	}{
		{"beside each other", []at{{1, slow, 0}, {2, fast, time.Second}}, []wire.ID{1}},
		{"the other way round", []at{{2, fast, 0}, {1, slow, rateBeside}}, []wire.ID{1}},
		{"a full line, then a free one", []at{{1, slow, 0}, {2, fast, rateBeside + 1}}, nil},
		{"a free line, then a full one", []at{{1, fast, 0}, {2, slow, rateBeside + 1}}, nil},
		{"all slow alike", []at{{1, slow, 0}, {2, slow * 2, time.Second}, {3, slow * 3, time.Second}}, nil},
		{"slow, and remembered", []at{{1, slow, 0}, {2, fast, time.Second}, {2, fast, rateKept / 2}}, []wire.ID{1}},
		{"slow, and forgotten", []at{{1, slow, 0}, {2, fast, time.Second}, {2, fast, rateKept}}, nil},
		{"slow, then no longer", []at{{1, slow, 0}, {2, fast, time.Second}, {1, fast, time.Minute}}, nil},
		{"slow, then alone", []at{{1, slow, 0}, {2, fast, time.Second}, {1, slow, time.Minute}}, nil},
		{"once full, now as fast", []at{{1, slow, 0}, {1, fast, time.Minute}, {2, fast, time.Second}}, nil},
		{"three, two of them beside", []at{{3, fast, 0}, {1, slow, rateBeside + 1}, {2, fast, time.Second}}, []wire.ID{1}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRates()
			for _, a := range c.rates {
				time.Sleep(a.before) // of the bubble
				r.gave(a.id, a.rate*20, a.rate*20, 20*time.Second)
			}
			var got []wire.ID
			for id := range wire.ID(4) {
				if r.slow(id) {
					got = append(got, id)
				}
			}
			order := r.fastFirst([]wire.ID{1, 2, 3})
			if !slices.Equal(got, c.want) || len(c.want) > 0 && order[2] != c.want[0] || len(c.want) == 0 && order[0] != 1 {
				t.Errorf("%s: slow are %v, want %v; order %v", c.name, got, c.want, order)
			}
		})
	}
}
