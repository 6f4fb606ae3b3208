package keys

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"securepeer/wire"
)

// shares returns the part of the circle of which each of the members at these
// positions is a home holder, by position, as multiples of the mean. There are
// more members than copies: one of them has the arc that begins after the
// member so many places before it.
func shares(at []wire.Pos, copies int) []float64 {
	at, n := slices.Sorted(slices.Values(at)), len(at)
	all := make([]float64, n)
	for i, p := range at {
		arc := p - at[(i+n-copies)%n] // modulo 2^64, as the circle
		all[i] = float64(arc) / (1 << 64) * float64(n) / float64(copies)
	}
	return all
}

// byRoster returns the positions of n members as a roster gives them.
func byRoster(t *testing.T, n int) []wire.Pos {
	r, err := NewRoster("attic")
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		id, _ := r.NextID()
		name := fmt.Sprint("n", i)
		if err := r.Add(Member{ID: id, Name: name, Key: testPublic(t, name), Addr: name + ":1"}); err != nil {
			t.Fatal(err)
		}
	}
	at := make([]wire.Pos, n)
	for i, m := range r.Members {
		at[i] = m.Pos
	}
	return at
}

// TestNoMemberHoldsFarMoreThanItsShare: six members held 76, 12, 23, 19, 25 and
// 85 of 240 copies when positions were hashes of keys.
func TestNoMemberHoldsFarMoreThanItsShare(t *testing.T) {
	for _, n := range []int{6, 7, 12, 50} {
		all := shares(byRoster(t, n), 3)
		if most := slices.Max(all); most > 1.5 {
			t.Errorf("of %d members one holds %.2f times the mean", n, most)
		}
		t.Logf("%d members, 3 copies: %.2f", n, all)
	}
}

// byID returns the positions of the ids below n.
func byID(n int) []wire.Pos {
	at := make([]wire.Pos, n)
	for id := range at {
		at[id] = wire.PosOf(wire.Space64, wire.ID(id))
	}
	return at
}

// TestSharesWithoutAGap: at every size up to 300, and some larger ones, arcs
// differ by a factor of 2 at most, and so do the shares.
func TestSharesWithoutAGap(t *testing.T) {
	sizes := []int{1000, 1023, 1024, 1025, 40000, 1 << 16}
	for n := 2; n <= 300; n++ {
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		for copies := 1; copies < min(n, 6); copies++ {
			all := shares(byID(n), copies)
			most, least := slices.Max(all), slices.Min(all)
			if most > 2*least {
				t.Errorf("%d members, %d copies: %.3f to %.3f", n, copies, least, most)
			}
			if copies == 3 && n > 4 && most > 1.5 {
				t.Errorf("%d members: one holds %.3f times the mean", n, most)
			}
		}
	}
}

// byHash returns what positions were at e158c6c: as good as random.
func byHash(r *rand.Rand, n int) []wire.Pos {
	at := make([]wire.Pos, n)
	for i := range at {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, r.Uint64()))
		at[i] = wire.Pos(binary.BigEndian.Uint64(sum[:]))
	}
	return at
}

// TestSharesBySize prints the table of docs/performance.md, section
// "Shares by size": smallest and largest share as multiples of the mean.
// Where chance is in it, of 1,000 draws the median of each, and the largest
// that 99 of 100 stay under. It holds that ids without a gap are better
// than the median of hashes, and so are three of four of them.
func TestSharesBySize(t *testing.T) {
	r := rand.New(rand.NewPCG(38, 38))
	t.Log("| members | copies | by hash | 99 of 100 | by id | a quarter revoked | 99 of 100 |")
	for _, n := range []int{4, 5, 6, 7, 8, 12, 16, 24, 50, 100, 1000} {
		for _, copies := range []int{1, 3} {
			byHash := draws(func() []wire.Pos { return byHash(r, n) }, copies)
			// n members are left when n/3 more were, and are revoked.
			left := draws(func() []wire.Pos {
				at := byID(n + n/3)
				r.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
				return at[:n]
			}, copies)
			all := shares(byID(n), copies)
			least, most := slices.Min(all), slices.Max(all)
			t.Logf("| %d | %d | %.2f to %.2f | %.2f | **%.2f to %.2f** | %.2f to %.2f | %.2f |",
				n, copies, byHash.least, byHash.most, byHash.rare, least, most, left.least, left.most, left.rare)
			if most >= byHash.most || left.most >= byHash.most {
				t.Errorf("%d members, %d copies: by id the largest share is %.2f, with a quarter revoked %.2f, by hash %.2f",
					n, copies, most, left.most, byHash.most)
			}
		}
	}
}

// spread is what many draws of positions give: the medians of the smallest and
// of the largest share, and the largest that 99 of 100 stay under.
type spread struct{ least, most, rare float64 }

func draws(draw func() []wire.Pos, copies int) spread {
	var least, most []float64
	for range 1000 {
		all := shares(draw(), copies)
		least, most = append(least, slices.Min(all)), append(most, slices.Max(all))
	}
	slices.Sort(least)
	slices.Sort(most)
	return spread{least[len(least)/2], most[len(most)/2], most[len(most)*99/100]}
}
