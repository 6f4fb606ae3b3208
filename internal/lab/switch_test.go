//go:build linux

package lab

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// newLink returns a link that nobody else uses.
func newLink(seed uint64, r Rule) *link {
	k := new(link)
	k.init(seed, 1, 2)
	k.rule.Store(&r)
	return k
}

// epoch is when the tests of single links begin.
var epoch = time.Unix(1e9, 0)

// fates draws those of n frames of 100 bytes, one every millisecond.
func fates(k *link, n int) []fate {
	all := make([]fate, n)
	for i := range all {
		all[i] = k.decide(epoch.Add(time.Duration(i)*time.Millisecond), 100)
	}
	return all
}

// near reports whether count of n is within five standard deviations of what
// the probability p gives: one in two million honest seeds is not.
func near(count uint64, n int, p float64) bool {
	return math.Abs(float64(count)-float64(n)*p) <= 5*math.Sqrt(float64(n)*p*(1-p))
}

// TestRatesAreThoseOfTheRule: each probability is what the rule says, whatever
// the others are, for twenty seeds.
func TestRatesAreThoseOfTheRule(t *testing.T) {
	const n = 20_000
	r := Rule{Loss: .3, Dup: .5, Reorder: .2, Flip: .01}
	for seed := range uint64(20) {
		k := newLink(seed, r)
		fates(k, n)
		s := k.stats()
		if s.Lost+s.Passed != n || s.Dropped != 0 {
			t.Fatalf("seed %d: %+v do not add up to %d", seed, s, n)
		}
		if passed := int(s.Passed); !near(s.Lost, n, r.Loss) || !near(s.Duplicated, passed, r.Dup) ||
			!near(s.Reordered, passed, r.Reorder) || !near(s.Flipped, passed, r.Flip) {
			t.Errorf("seed %d: %+v of %d frames under %+v", seed, s, n, r)
		}
	}
}

// TestSameSeedSameFate: the seed decides, another gives another sequence, and
// turning one fault on changes none of the others.
func TestSameSeedSameFate(t *testing.T) {
	differ := func(a, b []fate, same func(a, b fate) bool) (n int) {
		for i := range a {
			if !same(a[i], b[i]) {
				n++
			}
		}
		return n
	}
	equal := func(a, b fate) bool { return a == b }
	r := Rule{Loss: .3, Dup: .3, Reorder: .3, Flip: .3, Delay: time.Second, Jitter: time.Second}
	a := fates(newLink(1, r), 1000)
	if n := differ(a, fates(newLink(1, r), 1000), equal); n != 0 {
		t.Errorf("%d of 1000 fates differ under one seed", n)
	}
	if n := differ(a, fates(newLink(2, r), 1000), equal); n < 900 {
		t.Errorf("%d of 1000 fates differ under two seeds", n)
	}
	alone := fates(newLink(1, Rule{Loss: .3}), 1000)
	if n := differ(a, alone, func(a, b fate) bool { return a.copies == 0 == (b.copies == 0) }); n != 0 {
		t.Errorf("other faults change who is lost, %d times in 1000", n)
	}
}

// TestDelayJitterAndOrder: no frame comes before its delay or after its
// jitter, and only a reordered one is overtaken.
func TestDelayJitterAndOrder(t *testing.T) {
	r := Rule{Delay: 30 * time.Millisecond, Jitter: 20 * time.Millisecond, Reorder: .1, Hold: 40 * time.Millisecond}
	var last time.Time
	overtaken := 0
	for i, f := range fates(newLink(3, r), 10_000) {
		took := f.due.Sub(epoch.Add(time.Duration(i) * time.Millisecond))
		if took < r.Delay || took >= r.Delay+r.Jitter+r.Hold {
			t.Fatalf("frame %d takes %v", i, took)
		}
		switch late := took >= r.Delay+r.Hold; {
		case late && f.due.After(last):
			overtaken++
		case !late && f.due.Before(last):
			t.Fatalf("frame %d overtakes one before it", i)
		case !late:
			last = f.due
		}
	}
	if !near(uint64(overtaken), 10_000, r.Reorder) {
		t.Errorf("%d of 10000 frames are overtaken, want a tenth", overtaken)
	}
}

// TestOrderOutlivesTheDelay: frames sent after a delay was taken away do not
// overtake those that still wait.
func TestOrderOutlivesTheDelay(t *testing.T) {
	k := newLink(4, Rule{Delay: time.Second})
	slow := k.decide(epoch, 100)
	k.rule.Store(&Rule{})
	fast := k.decide(epoch.Add(time.Millisecond), 100)
	if fast.due.Before(slow.due) {
		t.Errorf("due %v and then %v", slow.due, fast.due)
	}
	if f := newLink(4, Rule{}).decide(epoch, 100); !f.due.IsZero() {
		t.Error("a perfect link holds a frame")
	}
}

// TestRateAndItsQueue: what passes is never faster than the rate, what waits
// longer than the queue is dropped, and a link that was idle owes nothing.
func TestRateAndItsQueue(t *testing.T) {
	r := Rule{Rate: 100_000, Queue: 50 * time.Millisecond} // a frame of 1,000 bytes in 10 ms
	k := newLink(5, r)
	passed := 0
	var last time.Time
	for range 100 { // all at once
		if f := k.decide(epoch, 1000); f.copies == 1 {
			passed++
			if gap := f.due.Sub(last); passed > 1 && gap != 10*time.Millisecond {
				t.Fatalf("two frames are %v apart, want 10ms", gap)
			}
			last = f.due
		}
	}
	if s := k.stats(); passed != 6 || s.Passed != 6 || s.Dropped != 94 || s.Lost != 0 {
		t.Errorf("%d of 100 frames pass, %+v: want 6, those that begin within 50 ms", passed, s)
	}
	later := epoch.Add(time.Hour)
	if f := k.decide(later, 1000); f.copies != 1 || f.due.Sub(later) != 10*time.Millisecond {
		t.Errorf("after an hour a frame takes %v", f.due.Sub(later))
	}
}

// TestCutLosesEverything, and nothing that was not sent through it.
func TestCutLosesEverything(t *testing.T) {
	k := newLink(6, Rule{Cut: true, Dup: 1})
	for _, f := range fates(k, 1000) {
		if f.copies != 0 {
			t.Fatal("a frame passes a cut")
		}
	}
	if s := k.stats(); s != (Stats{Lost: 1000}) {
		t.Errorf("%+v", s)
	}
}

// TestFlipChangesOneBitBehindTheHeader, whatever the frame.
func TestFlipChangesOneBitBehindTheHeader(t *testing.T) {
	for size := range 100 {
		for _, at := range []float64{0, .5, math.Nextafter(1, 0)} {
			frame := make([]byte, size)
			flip(frame, at)
			bits := 0
			for i, b := range frame {
				for ; b != 0; b &= b - 1 {
					if bits++; i < etherHeader+ipHeader {
						t.Fatalf("flip of %d bytes at %v changes a header", size, at)
					}
				}
			}
			if want := min(1, max(0, size-etherHeader-ipHeader)); bits != want {
				t.Errorf("flip of %d bytes at %v changes %d bits, want %d", size, at, bits, want)
			}
		}
	}
}

// TestHeldFramesComeInOrder: the earliest first, then who came first; and
// there is a limit.
func TestHeldFramesComeInOrder(t *testing.T) {
	p := &port{wake: make(chan struct{}, 1)}
	rng := rand.New(rand.NewPCG(7, 0))
	for i := range 1000 {
		due := epoch.Add(time.Duration(rng.IntN(10)) * time.Second)
		if !p.hold(due, []byte{byte(due.Sub(epoch) / time.Second), byte(i >> 8), byte(i)}) {
			t.Fatal("not held")
		}
	}
	if frame, wait := p.due(epoch.Add(-time.Minute)); frame != nil || wait != time.Minute {
		t.Errorf("a minute before, frame %v and a wait of %v", frame, wait)
	}
	var last []byte
	for range 1000 {
		frame, _ := p.due(epoch.Add(time.Hour))
		if bytes.Compare(frame, last) <= 0 {
			t.Fatalf("frame %v comes after %v", frame, last)
		}
		last = frame
	}
	if frame, wait := p.due(epoch); frame != nil || wait != time.Hour {
		t.Errorf("of none, frame %v and a wait of %v", frame, wait)
	}
	held := 0
	for range maxHeld + 10 {
		if p.hold(epoch, nil) {
			held++
		}
	}
	if held != maxHeld {
		t.Errorf("%d frames are held, want %d", held, maxHeld)
	}
}
