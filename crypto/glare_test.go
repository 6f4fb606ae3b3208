package crypto

import "testing"

// TestSettleExhaustively tries every pair of links between peers 3 and 8, with
// each dialler, each incarnation and each order of confirmation at each side,
// and asks what must hold for both sides together.
func TestSettleExhaustively(t *testing.T) {
	const low, high = uint16(3), uint16(8)
	type global struct { // a link without a side
		dialler         uint16
		lowInc, highInc uint64
	}
	ends := func(self, dialler uint16, lowInc, highInc uint64) Ends {
		if self == low {
			return Ends{dialler, lowInc, highInc}
		}
		return Ends{dialler, highInc, lowInc}
	}
	tried := 0
	for bits := range 1 << 8 {
		bit := func(n int) bool { return bits>>n&1 == 1 }
		pick := func(n int) uint16 {
			if bit(n) {
				return high
			}
			return low
		}
		inc := func(n int) uint64 { return uint64(bits >> n & 1) }
		links := [2]global{{dialler: pick(0), lowInc: inc(1), highInc: inc(2)}, {dialler: pick(3), lowInc: inc(4), highInc: inc(5)}}
		sameDialler := links[0].dialler == links[1].dialler
		sameIncs := links[0].lowInc == links[1].lowInc && links[0].highInc == links[1].highInc
		swapLow, swapHigh := bit(6), bit(7)
		if swapLow != swapHigh && (sameDialler || !sameIncs) {
			// One dialler opens its links one after the other, and a new
			// incarnation comes after the old one: only links dialled at
			// once by both are confirmed in two orders.
			continue
		}
		tried++
		settle := func(self, peer uint16, swap bool) (fates [2]Fate) {
			first, second := 0, 1
			if swap {
				first, second = 1, 0
			}
			e := func(n int) Ends { return ends(self, links[n].dialler, links[n].lowInc, links[n].highInc) }
			fates[first], fates[second] = Settle(self, peer, e(first), e(second))
			return fates
		}
		atLow, atHigh := settle(low, high, swapLow), settle(high, low, swapHigh)
		for n := range 2 {
			carries := atLow[n] == Carry
			if carries != (atHigh[n] == Carry) {
				t.Fatalf("%+v: the sides disagree on who carries: %v, %v", links, atLow, atHigh)
			}
			if carries {
				continue
			}
			wantLow, wantHigh := Read, Finish
			if links[n].dialler == low {
				wantLow, wantHigh = Finish, Read
			}
			if !sameIncs {
				wantLow, wantHigh = Shut, Shut
			}
			if atLow[n] != wantLow || atHigh[n] != wantHigh {
				t.Fatalf("%+v: link %d is %d and %d, want %d and %d", links, n, atLow[n], atHigh[n], wantLow, wantHigh)
			}
		}
		if (atLow[0] == Carry) == (atLow[1] == Carry) {
			t.Fatalf("%+v: %v: not exactly one carries", links, atLow)
		}
		if sameIncs && !sameDialler {
			if n := map[bool]int{true: 0, false: 1}[links[0].dialler == low]; atLow[n] != Carry {
				t.Fatalf("%+v: the link of the lower id does not carry", links)
			}
			continue
		}
		if last := map[bool]int{true: 0, false: 1}[swapLow]; atLow[last] != Carry {
			t.Fatalf("%+v: the link confirmed last does not carry", links)
		}
	}
	if tried != 144 {
		t.Fatalf("only %d cases", tried)
	}
}
