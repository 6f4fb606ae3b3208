package sim

import (
	"fmt"
	"slices"
	"strings"
)

// Broken runs a plan and returns the sentence of the first invariant that did
// not hold, "panic" and its reason, or nothing.
func (p Plan) Broken() (sentence string) {
	defer func() {
		if r := recover(); r != nil {
			sentence = fmt.Sprintf("panic: %v", r)
		}
	}()
	if broken := p.Run(nil, nil).Violations(); len(broken) > 0 {
		return Sentence(broken[0])
	}
	return ""
}

// Sentence is what a violation says of the invariant, without when, who and
// what.
func Sentence(violation error) string {
	_, s, _ := strings.Cut(violation.Error(), ": ")
	s, _, _ = strings.Cut(s, ": ")
	return s
}

// Shrink returns a plan with fewer faults that still fails: it leaves out
// halves, quarters and so on down to single faults, and keeps out what is not
// needed (Zeller and Hildebrandt 2002, ddmin). It asks fails at most so many
// times.
func (p Plan) Shrink(times int, fails func(Plan) bool) Plan {
	try := func(without Plan) bool {
		if times == 0 {
			return false
		}
		times--
		return fails(without)
	}
	for size := (len(p.Faults) + 1) / 2; size > 0; {
		left := false
		for i := 0; i < len(p.Faults); {
			without := p
			without.Faults = slices.Delete(slices.Clone(p.Faults), i, min(i+size, len(p.Faults)))
			if try(without) {
				p, left = without, true
			} else {
				i += size
			}
		}
		if size == 1 && !left {
			break
		}
		size = max(size/2, 1)
		if times == 0 {
			break
		}
	}
	return p.still(try)
}

// still takes away what a network does, as far as the plan still fails.
func (p Plan) still(fails func(Plan) bool) Plan {
	for _, calm := range []func(*Net){
		func(n *Net) { n.Loss = 0 },
		func(n *Net) { n.Dup = 0 },
		func(n *Net) { n.Jitter = 0 },
	} {
		without := p
		if calm(&without.Config.Net); without.Config.Net != p.Config.Net && fails(without) {
			p = without
		}
	}
	return p
}
