package ring

import (
	"iter"

	"securepeer/wire"
)

// digests is what peers compare of their views: equal digests are of equal
// rows and votes. A belief of this peer alone is in none.
type digests struct {
	whole wire.Digest                  // of the parts'
	parts [wire.NumBuckets]wire.Digest // each of its rows and votes
	stale uint64                       // bit i: part i has changed since
}

// alter notes that a row of the member on, or a vote on it, has changed.
func (d *digests) alter(on wire.ID) { d.stale |= 1 << wire.Bucket(on) }

// alterAll notes that any part may have changed.
func (d *digests) alterAll() { d.stale = 1<<wire.NumBuckets - 1 }

// digest returns the digests of the view as it is. Parts that have changed are
// hashed anew here, so any number of changes between two pings costs one hash.
func (v *view) digest() *digests {
	d := &v.digests
	if d.stale == 0 {
		return d
	}
	for i := range d.parts {
		if d.stale>>i&1 == 1 {
			d.parts[i] = wire.PartDigest(v.part(i))
		}
	}
	d.whole, d.stale = wire.ViewDigest(&d.parts), 0
	return d
}

// part yields the rows of one part of the view by id, each with the votes on
// its member by observer.
func (v *view) part(i int) iter.Seq2[wire.Row, []wire.Vote] {
	return func(yield func(wire.Row, []wire.Vote) bool) {
		for id := i; id < len(v.circle.index); id += wire.NumBuckets {
			m := v.member(wire.ID(id))
			if m != nil && m.seen() && !yield(m.row(), v.votes[m.id]) {
				return
			}
		}
	}
}
