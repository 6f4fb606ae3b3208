package sim

import (
	"testing"
	"time"

	"securepeer/ring"
)

// TestPutsOfOneNameAtOnce: one peer puts and removes one name again and again
// without waiting for the end of the last, while others die and come back: what
// was acked is there, or a newer version, and no number is given twice.
func TestPutsOfOneNameAtOnce(t *testing.T) {
	for seed := range uint64(40) {
		c := plain(seed)
		c.Net = Net{Delay: 50 * time.Millisecond, Jitter: 50 * time.Millisecond, Loss: 0.05, Rate: 1 << 20}
		c.Disk = 200 * time.Millisecond
		w := world(t, c)
		self := classic[seed%7]
		var ops []*Op
		for i := range uint64(30) {
			switch w.rand.IntN(6) {
			case 0:
				ops = append(ops, w.Remove(self, "0010"))
			case 1:
				if id := classic[(seed+1+i%6)%7]; w.Host(id).process != nil {
					w.Kill(id)
				} else {
					w.Start(id, self)
				}
			default:
				ops = append(ops, w.Put(self, "0010", i, int64(w.rand.IntN(1<<20))))
			}
			w.Run(w.upTo(600 * time.Millisecond))
		}
		stored, under := 0, 0
		w.RunUntil(time.Minute, func() bool { return ended(ops) })
		for _, op := range ops {
			if r := op.Result; op.Ended && (r.Outcome == ring.Succeeded || r.Outcome == ring.Degraded) {
				stored++
				if r.Newer.Name != "" {
					under++
				}
			}
		}
		if stored < 5 {
			t.Errorf("seed %v: %v of %v puts and removes were stored", seed, stored, len(ops))
		}
		if under == 0 {
			t.Errorf("seed %v: none of %v ended under a newer one", seed, stored)
		}
		for _, id := range classic {
			if w.Host(id).process == nil {
				w.Start(id, self)
			}
		}
		whole(t, w, time.Minute)
		settled(t, w)
		readable(t, w)
	}
}

func ended(ops []*Op) bool {
	for _, op := range ops {
		if !op.Ended && !op.Lost {
			return false
		}
	}
	return true
}
