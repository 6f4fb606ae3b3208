package ring

import (
	"math/big"
	"slices"
	"testing"

	"securepeer/wire"
)

// TestChosenVotesMakeNoEqualDigests: member 0 has two votes to choose from on
// each of 200 members, enough for any digest that is a sum of its entries: what
// each choice changes is a vector of 128 bits, and by linear algebra some of
// these come to nothing together. Two peers that are told the one and the other
// would then differ for ever, and compare nothing. All members are in one part
// of the view.
func TestChosenVotesMakeNoEqualDigests(t *testing.T) {
	const n = 200
	ids := make([]wire.ID, n+1)
	for i := range ids {
		ids[i] = wire.ID(i * wire.NumBuckets)
	}
	choose := func(second ...int) digests {
		v := newView(config(ids[1], ids...))
		for i, id := range ids {
			v.mergeRow(row(id, 1, wire.Active))
			if i > 0 {
				v.mergeVote(vote(0, id, 1, wire.Reachable, 1))
			}
		}
		for _, i := range second {
			v.mergeVote(vote(0, ids[1+i], 1, wire.Reachable, 2))
		}
		v.settle()
		return *v.digest()
	}
	for name, bits := range map[string]func(d digests) []byte{
		"the part": func(d digests) []byte { return d.parts[0][:] },
		"the view": func(d digests) []byte { return d.whole[:] },
	} {
		first := bits(choose())
		changes := make([]*big.Int, n)
		for i := range changes {
			changes[i] = new(big.Int).SetBytes(bits(choose(i)))
			changes[i].Xor(changes[i], new(big.Int).SetBytes(first))
		}
		together := dependent(changes)
		if len(together) == 0 {
			t.Fatalf("%s: no dependency among %d vectors of %d bits", name, n, 8*len(first))
		}
		if got := bits(choose(together...)); slices.Equal(got, first) {
			t.Errorf("%s has digest %x with the first votes, and with the second ones on %d members", name, got, len(together))
		}
	}
}

// dependent returns the indices of some of the vectors whose XOR is 0, by
// Gaussian elimination.
func dependent(vectors []*big.Int) []int {
	type reduced struct{ vector, of *big.Int }
	basis := map[int]reduced{} // by the highest bit
	for i, x := range vectors {
		r := reduced{new(big.Int).Set(x), new(big.Int).SetBit(new(big.Int), i, 1)}
		for r.vector.Sign() != 0 {
			b, ok := basis[r.vector.BitLen()]
			if !ok {
				basis[r.vector.BitLen()] = r
				break
			}
			r.vector.Xor(r.vector, b.vector)
			r.of.Xor(r.of, b.of)
		}
		if r.vector.Sign() != 0 {
			continue
		}
		var indices []int
		for j := range vectors {
			if r.of.Bit(j) == 1 {
				indices = append(indices, j)
			}
		}
		return indices
	}
	return nil
}

// TestDigestIsMadeWhenAskedFor: however changes and questions follow each other,
// each answer is that of a view which was told all at once.
func TestDigestIsMadeWhenAskedFor(t *testing.T) {
	ids := []wire.ID{0, 1, 63, 64, 65, 128, 9000}
	steps := []func(v *view){
		func(v *view) { v.mergeRow(row(64, 1, wire.Joining)) },
		func(v *view) { v.mergeRow(row(0, 1, wire.Active)) },
		func(v *view) { v.mergeVote(vote(1, 64, 1, wire.Unreachable, 1)) },
		func(v *view) { v.mergeVote(vote(0, 64, 1, wire.Unreachable, 1)) },
		func(v *view) { v.mergeVote(vote(1, 64, 1, wire.Reachable, 2)) },
		func(v *view) { v.mergeRow(row(9000, 5, wire.Left)) },
		func(v *view) { v.mergeRow(row(64, 2, wire.Active)) }, // its votes go
	}
	for asked := range 1 << len(steps) {
		v := newView(config(65, ids...))
		for i, step := range steps {
			step(v)
			if asked>>i&1 == 1 {
				again := newView(config(1, ids...))
				for _, step := range steps[:i+1] {
					step(again)
				}
				if *v.digest() != *again.digest() {
					t.Fatalf("asked after %b, after step %d: %x and %x", asked, i, v.digest().whole, again.digest().whole)
				}
			}
		}
	}
}

// TestPartsDifferWhereTheViewDoes: each row and vote is in the digest of its
// member's part, and in no other.
func TestPartsDifferWhereTheViewDoes(t *testing.T) {
	ids := []wire.ID{0, 1, 63, 64, 65, 9000}
	v := newView(config(1, ids...))
	for _, id := range ids {
		v.mergeRow(row(id, 1, wire.Active))
	}
	for i, id := range ids {
		for _, change := range []func() bool{
			func() bool { return v.mergeVote(vote(ids[(i+1)%len(ids)], id, 1, wire.Reachable, 1)) },
			func() bool { return v.mergeRow(row(id, 2, wire.Active)) },
		} {
			was := *v.digest()
			if !change() {
				t.Fatalf("the change of %d was no news", id)
			}
			for part := range was.parts {
				if differ := was.parts[part] != v.digest().parts[part]; differ != (part == wire.Bucket(id)) {
					t.Errorf("with a change of %d, part %d differs: %v", id, part, differ)
				}
			}
			if was.whole == v.digest().whole {
				t.Errorf("with a change of %d the view has the same digest", id)
			}
		}
	}
}
