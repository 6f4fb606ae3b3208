package sim

import (
	"slices"
	"testing"
)

// A planted failure that needs one kill and one pause to have happened, and
// nothing else, is shrunk to the two.
func TestShrinkLeavesWhatBreaks(t *testing.T) {
	shrunk := 0
	for seed := uint64(1); shrunk < 3; seed++ {
		p := Draw(seed)
		fails := func(p Plan) bool {
			fired := make(map[What]int)
			p.Run(nil, fired)
			return fired[WhatKill] > 0 && fired[WhatPause] > 0
		}
		late := slices.ContainsFunc(p.Faults, func(f Fault) bool { return f.What == WhatJoin || f.What == WhatSkew })
		if late || len(p.Config.Members) > manyHosts || !fails(p) { // who joins must, to be killed
			continue
		}
		shrunk++
		small := p.Shrink(300, fails)
		kinds := []What{small.Faults[0].What, small.Faults[len(small.Faults)-1].What}
		slices.Sort(kinds)
		if len(small.Faults) != 2 || !slices.Equal(kinds, []What{WhatKill, WhatPause}) || small.Config.Net.Loss != 0 {
			t.Errorf("seed %v: %v faults were shrunk to\n%v", seed, len(p.Faults), small)
		}
	}
}

// Shrinking asks no more often than it may.
func TestShrinkIsBounded(t *testing.T) {
	p := Draw(1)
	asked := 0
	p.Config.Net = Net{}
	p.Shrink(10, func(Plan) bool { asked++; return false })
	if asked > 10 {
		t.Errorf("asked %v times, want at most 10", asked)
	}
}
