package sim

import (
	"slices"
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// TestDiskOfWhichReadsFail: with one peer whose disk gives nothing, or now and then,
// all others put, and get what any of them can give; of what it alone holds nobody
// says that it is not in the ring; and when the disk can be read again, each copy is
// where it belongs.
func TestDiskOfWhichReadsFail(t *testing.T) {
	for _, rate := range []float64{0.3, 1} {
		for seed := range uint64(20) {
			c := plain(seed, 5, 9, 14, 60, 130)
			c.Copies = 1 + int(seed%3)
			w := world(t, c)
			w.watch()
			const ill = 14
			putAll(t, w, someNames...)
			settled(t, w)
			w.apply(Fault{What: WhatUnread, Who: ill, Rate: rate, Lasts: time.Minute})
			for i, name := range someNames {
				by := w.running()[i%5].ID
				homes, _ := w.places(w.Host(by).Status(), name)
				only := by == ill || slices.Equal(homes, []wire.ID{ill})
				get := w.Get(by, name)
				w.Run(3 * time.Second)
				if !get.Ended || get.Result.Outcome == ring.NotFound || get.Result.Outcome != ring.Succeeded && !only {
					t.Errorf("seed %v, rate %v: get of %q by %v: ended %v, %v", seed, rate, name, by, get.Ended, get.Result.Outcome)
				}
				if by == ill {
					continue
				}
				put := w.Put(by, "new"+name, uint64(i), 1000)
				w.Run(3 * time.Second)
				if r := put.Result; !put.Ended || r.Outcome != ring.Succeeded {
					t.Errorf("seed %v, rate %v: put by %v: ended %v, %v", seed, rate, by, put.Ended, r.Outcome)
				}
			}
			w.Run(time.Minute)
			settled(t, w)
			readable(t, w)
		}
	}
}
