package sim

import (
	"fmt"
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// TestClockThatIsOffHarmsNothing: wall clocks show anything here, and jump by
// centuries either way. The last version that was put, or its removal, is what
// every peer gets, and each names the one before.
func TestClockThatIsOffHarmsNothing(t *testing.T) {
	back := 0
	for seed := range uint64(20) {
		w := world(t, plain(seed))
		last := map[string]wire.Manifest{} // of each name, by its only writer
		for i := range uint64(40) {
			n := w.rand.IntN(5)
			name, writer := fmt.Sprintf("%04d", 10*n), classic[n]
			op := w.Put(writer, name, i, 1<<10)
			was, there := last[name]
			if there && was.Flags == 0 && w.rand.IntN(3) == 0 {
				w.Run(w.upTo(time.Second)) // the put is under way, or has ended
				op = w.Remove(writer, name)
			}
			if !w.Await(ring.Succeeded, op) {
				t.Fatalf("seed %d: %v of %s ended as %+v", seed, op.Kind, name, op.Result)
			}
			m := op.Manifest
			if there && m.Version <= was.Version {
				t.Fatalf("seed %d: version %d of %s after %d", seed, m.Version, name, was.Version)
			}
			if there && m.Made < was.Made {
				back++
			}
			last[name] = m
			got := w.Get(classic[w.rand.IntN(len(classic))], name)
			if want := outcomeOf(m); !w.Await(want, got) || want == ring.Succeeded && got.Manifest != m {
				t.Fatalf("seed %d: get of %s ended as %+v, want %v of %+v", seed, name, got.Result, want, m)
			}
		}
		readable(t, w)
	}
	if back < 100 {
		t.Errorf("%d versions were made before the one that they replace", back)
	}
}

func outcomeOf(m wire.Manifest) ring.Outcome {
	if m.Flags&wire.Tombstone != 0 {
		return ring.NotFound
	}
	return ring.Succeeded
}

// TestPriorIsTheVersionBefore: in a quiet ring each version names the one before.
func TestPriorIsTheVersionBefore(t *testing.T) {
	w := world(t, plain(1))
	var prior wire.Sum
	for i := range uint64(12) {
		op := w.Put(classic[1], "0010", i, 1<<10)
		if i%3 == 2 {
			w.Await(ring.Succeeded, op)
			prior, op = op.Manifest.Sum(), w.Remove(classic[1], "0010")
		}
		if !w.Await(ring.Succeeded, op) || op.Manifest.Prior != prior {
			t.Fatalf("%v %d ended as %+v, want it to replace %x", op.Kind, i, op.Result, prior)
		}
		prior = op.Manifest.Sum()
	}
}
