package ring

import (
	"slices"

	"securepeer/wire"
)

// between reports whether x lies on the arc (a, b], going up and round. The
// arc (a, a] is the whole ring.
func between(a, x, b wire.Pos) bool {
	if a < b {
		return a < x && x <= b
	}
	return a < x || x <= b
}

// at returns the index of the first member at or after k, or 0 if k is past
// the last one. The members are sorted by position; there is at least one.
func at(members []member, k wire.Pos) int {
	i, _ := slices.BinarySearchFunc(members, k, func(m member, k wire.Pos) int {
		switch {
		case m.pos < k:
			return -1
		case m.pos > k:
			return 1
		}
		return 0
	})
	if i == len(members) {
		return 0
	}
	return i
}
