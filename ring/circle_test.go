package ring

import (
	"testing"

	"securepeer/wire"
)

// TestBetween is exhaustive over a circle of eight points: x lies on (a, b] if
// going up from a one meets x before, or at, b.
func TestBetween(t *testing.T) {
	for a := range wire.Pos(8) {
		for b := range wire.Pos(8) {
			on := map[wire.Pos]bool{}
			for p := a; ; {
				p = (p + 1) % 8
				on[p] = true
				if p == b {
					break
				}
			}
			for x := range wire.Pos(8) {
				if got := between(a, x, b); got != on[x] {
					t.Errorf("between(%d, %d, %d) = %v, want %v", a, x, b, got, on[x])
				}
			}
		}
	}
}

// TestAt is exhaustive over all rings on a circle of eight points.
func TestAt(t *testing.T) {
	for set := 1; set < 1<<8; set++ {
		var members []Member
		for p := range wire.Pos(8) {
			if set>>p&1 == 1 {
				members = append(members, Member{ID: wire.ID(p), Pos: p})
			}
		}
		c := NewCircle(members)
		for k := range wire.Pos(8) {
			want := k
			for set>>want&1 == 0 {
				want = (want + 1) % 8
			}
			if got := c.members[c.at(k)].Pos; got != want {
				t.Errorf("the first of %08b at or after %d = %d, want %d", set, k, got, want)
			}
		}
	}
}
