package crypto

import (
	"math/rand/v2"
	"testing"
)

// naiveWindow is the rule in one line: accepted never before, and less than
// 64 behind the newest.
type naiveWindow struct {
	seen   map[uint64]bool
	newest uint64
}

func (n *naiveWindow) take(counter uint64) bool {
	if n.seen[counter] || len(n.seen) > 0 && counter+windowSize <= n.newest {
		return false
	}
	n.seen[counter] = true
	n.newest = max(n.newest, counter)
	return true
}

// take is what a session does when the tag is right.
func (w *window) take(counter uint64) bool {
	if !w.fresh(counter) {
		return false
	}
	w.accept(counter)
	return true
}

func TestWindowIsTheNaiveOne(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		var w window
		n := naiveWindow{seen: make(map[uint64]bool)}
		base := uint64(0)
		for step := range 500 {
			switch r.IntN(20) {
			case 0:
				base += uint64(r.IntN(300))
			case 1:
				base += 64
			default:
				base += uint64(r.IntN(3))
			}
			counter := base - min(base, uint64(r.IntN(130)))
			if got, want := w.take(counter), n.take(counter); got != want {
				t.Fatalf("seed %d, step %d: take(%d) = %v, want %v; %+v", seed, step, counter, got, want, w)
			}
		}
	}
}

// TestWindowSmallSequences tries every sequence of 4 counters around the two
// edges of the window.
func TestWindowSmallSequences(t *testing.T) {
	around := []uint64{0, 1, 2, 62, 63, 64, 65, 66, 127, 128, maxCounter - 1}
	for _, a := range around {
		for _, b := range around {
			for _, c := range around {
				for _, d := range around {
					var w window
					n := naiveWindow{seen: make(map[uint64]bool)}
					for _, counter := range []uint64{a, b, c, d} {
						if got, want := w.take(counter), n.take(counter); got != want {
							t.Fatalf("%d %d %d %d: take(%d) = %v, want %v", a, b, c, d, counter, got, want)
						}
					}
				}
			}
		}
	}
}
