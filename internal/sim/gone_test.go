package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// graceTime is that of the worlds here.
const graceTime = 20 * time.Second

// mortal is the plain ring with a grace.
func mortal(seed uint64, ids ...wire.ID) Config {
	c := plain(seed, ids...)
	c.Grace = graceTime
	return c
}

// says counts those of the running hosts, but for the member itself, to whom
// it is gone, or, if not, to whom it is not.
func says(w *World, id wire.ID, gone bool) int {
	n := 0
	for _, h := range w.members() {
		for _, m := range h.Status().Members {
			if m.ID == id && h.ID != id && m.Gone == gone {
				n++
			}
		}
	}
	return n
}

// goneEverywhere waits until all that run say so.
func goneEverywhere(t *testing.T, w *World, limit time.Duration, ids ...wire.ID) {
	t.Helper()
	ok := w.RunUntil(limit, w.every(100*time.Millisecond, func() bool {
		return !slices.ContainsFunc(ids, func(id wire.ID) bool { return says(w, id, false) > 0 })
	}))
	if !ok {
		t.Fatalf("not gone everywhere after %v: %v", limit, ids)
	}
}

// nobodyGone fails if anybody is gone to anybody.
func nobodyGone(t *testing.T, w *World) {
	t.Helper()
	for _, h := range w.hosts {
		if n := says(w, h.ID, true); n > 0 {
			t.Fatalf("at %v: %v is gone to %v peers", span(w.Now()), h.ID, n)
		}
	}
}

// copies returns on whose disks the newest version of a name is, of those that
// run.
func copies(w *World, name string) []wire.ID {
	var ids []wire.ID
	for _, m := range w.live(name) {
		for _, h := range w.members() {
			if h.Holds(w.version(m)) {
				ids = append(ids, h.ID)
			}
		}
	}
	return ids
}

// A member that stays away is gone after the grace, and only then are its
// copies made elsewhere. When it returns it is home again, has what was put
// while it was away, and nothing was lost.
func TestGoneIsCopiedAndComesBack(t *testing.T) {
	for seed := range uint64(4) {
		for _, dead := range []wire.ID{2, 9, 14} {
			w := world(t, mortal(seed))
			putAll(t, w, someNames...)
			settled(t, w)
			moved := w.Count.Streams
			w.Crash(dead)
			w.Run(graceTime - time.Second)
			nobodyGone(t, w)
			if n := w.Count.Streams - moved; n > 0 {
				t.Errorf("seed %v: %v copies moved before %v was gone", seed, n, dead)
			}
			goneEverywhere(t, w, 10*time.Second, dead)
			settled(t, w)
			if w.Count.Streams == moved {
				t.Errorf("seed %v: nothing was copied for %v", seed, dead)
			}
			for _, name := range someNames {
				if on := copies(w, name); len(on) < 3 || slices.Contains(w.homes(name), dead) {
					t.Errorf("seed %v: %q is on %v, home to %v", seed, name, on, w.homes(name))
				}
			}
			putAll(t, w, "while it was away", "0013", "0001", "0008")
			w.Start(dead)
			whole(t, w, 5*w.Config.Interval)
			settled(t, w)
			readable(t, w)
			if !slices.Contains(w.homes("0013"), 14) || says(w, dead, true) > 0 {
				t.Errorf("seed %v: %v is back and not home: %v", seed, dead, w.homes("0013"))
			}
		}
	}
}

// A member that returns while others copy for its sake stops them: all that
// has not been offered yet stays where it is.
func TestReturnStopsTheCopies(t *testing.T) {
	c := mortal(1)
	c.Net.Rate = 1 << 20
	w := world(t, c)
	var ops []*Op
	for i := range 120 {
		ops = append(ops, w.Put(4, fmt.Sprintf("%04d", i*256+10), uint64(i), 300_000)) // on 14, 19 and 2
	}
	await(t, w, ring.Succeeded, ops...)
	settled(t, w)
	moved := w.Count.Streams
	w.Crash(14)
	goneEverywhere(t, w, 2*graceTime, 14)
	if !w.RunUntil(20*time.Second, func() bool { return w.Count.Streams > moved+5 }) {
		t.Fatal("nothing is copied")
	}
	w.Start(14)
	settled(t, w)
	if n := w.Count.Streams - moved; n >= 100 {
		t.Errorf("%v of 120 versions were copied although 14 came back", n)
	}
	readable(t, w)
}

// Half of the ring cut off is no reason to call anybody gone: nothing moves
// but what has a single live copy on a side, and that does at once.
func TestCutMovesLastCopiesAlone(t *testing.T) {
	for seed := range uint64(4) {
		w := world(t, mortal(seed))
		putAll(t, w, someNames...)
		side := []wire.ID{2, 5, 9}
		w.Split(side...)
		w.Run(3 * graceTime)
		nobodyGone(t, w)
		last, more := 0, 0
		for _, name := range someNames {
			homes := w.homes(name)
			for _, within := range []bool{true, false} {
				of := func(ids []wire.ID) []wire.ID {
					return slices.DeleteFunc(slices.Clone(ids), func(id wire.ID) bool { return slices.Contains(side, id) != within })
				}
				home, on := of(homes), of(copies(w, name))
				switch {
				case len(home) == 1:
					if last++; len(on) != 3 {
						t.Errorf("seed %v: %q has one home holder on a side, %v, and is there on %v", seed, name, home, on)
					}
				case !slices.Equal(slices.Sorted(slices.Values(home)), on):
					t.Errorf("seed %v: %q is home to %v on a side, and there on %v", seed, name, home, on)
				default:
					more++
				}
			}
		}
		if last == 0 || more == 0 {
			t.Errorf("seed %v: %v last copies, %v others: both kinds are wanted", seed, last, more)
		}
		for _, h := range w.running() {
			if !h.Status().Cut {
				t.Errorf("seed %v: %v does not know of the cut", seed, h.ID)
			}
		}
		w.Heal()
		whole(t, w, 15*w.Config.Interval)
		settled(t, w)
		readable(t, w)
	}
}

// Of three home holders two die: the third gives what it has to the stand-ins
// without waiting for anything but the verdict. Then it may die as well.
func TestLastCopyIsCopiedAtOnce(t *testing.T) {
	for seed := range uint64(6) {
		w := world(t, mortal(seed))
		putAll(t, w, "0010") // on 14, 19 and 2
		settled(t, w)
		w.Crash(14)
		w.Crash(19)
		if !w.RunUntil(10*time.Second, w.every(100*time.Millisecond, func() bool { return len(copies(w, "0010")) >= 3 })) {
			t.Fatalf("seed %v: ten seconds after the second death it is on %v", seed, copies(w, "0010"))
		}
		nobodyGone(t, w)
		w.Crash(2)
		whole(t, w, 10*w.Config.Interval)
		await(t, w, ring.Succeeded, w.Get(8, "0010"))
		for _, id := range []wire.ID{14, 19, 2} {
			w.Start(id)
		}
		whole(t, w, 10*w.Config.Interval)
		settled(t, w)
		readable(t, w)
	}
}

// With two copies one death is enough; with one wanted nothing is urgent.
func TestLastCopyOfTwoAndOfOne(t *testing.T) {
	for n, want := range map[int]int{2: 2, 1: 0} {
		c := mortal(1)
		c.Copies = n
		w := world(t, c)
		putAll(t, w, "0010") // on 14, and 19
		settled(t, w)
		w.Crash(14)
		w.Run(graceTime / 2)
		nobodyGone(t, w)
		if on := copies(w, "0010"); len(on) != want {
			t.Errorf("copies=%v: on %v, want %v", n, on, want)
		}
	}
}

// A peer that was stopped has its disk, and says so: nothing is copied until
// it is gone, though there are two copies of each file only. Then everything
// is that it held.
func TestStopIsNoLoss(t *testing.T) {
	c := mortal(1)
	c.Copies = 2
	w := world(t, c)
	putAll(t, w, someNames...)
	w.Run(10 * time.Second) // 14 has been given what was put
	moved := w.Count.Streams
	w.Stop(14)
	w.Run(graceTime - time.Second)
	if n := w.Count.Streams - moved; n > 0 {
		t.Errorf("%v copies moved because of a stop", n)
	}
	goneEverywhere(t, w, 10*time.Second, 14)
	settled(t, w)
	for _, name := range someNames {
		if on := copies(w, name); len(on) < 2 {
			t.Errorf("%q is on %v", name, on)
		}
	}
}

// Three of seven silent are a cut: nobody is gone by time. The operators of
// two peers say of one that it will not come back; then the others are no cut
// any more.
func TestForgetEndsACut(t *testing.T) {
	w := world(t, mortal(1))
	putAll(t, w, someNames...)
	settled(t, w)
	for _, id := range []wire.ID{5, 9, 19} {
		w.Crash(id)
	}
	w.Run(3 * graceTime)
	nobodyGone(t, w)
	forget := func(at, id wire.ID) *Op {
		return w.begin(at, "forget", "", func(op *Op) ring.Event { return ring.Forget{Op: op.ID, Member: id} })
	}
	await(t, w, ring.StillThere, forget(2, 14))
	await(t, w, ring.NeedsAnother, forget(2, 9))
	w.Run(graceTime)
	nobodyGone(t, w)
	await(t, w, ring.Succeeded, forget(4, 9))
	goneEverywhere(t, w, 5*time.Second, 9)
	goneEverywhere(t, w, 2*graceTime, 5, 19)
	settled(t, w)
	readable(t, w)
	for _, name := range someNames {
		if on := copies(w, name); len(on) < 3 {
			t.Errorf("%q is on %v", name, on)
		}
	}
	for _, id := range []wire.ID{5, 9, 19} {
		w.Start(id)
	}
	whole(t, w, 10*w.Config.Interval)
	settled(t, w)
	readable(t, w)
}

// The grace is time in which there was somebody to see: all are down for
// longer than it, one does not return, and has the whole grace from then.
func TestGraceRunsOnlyWhileObserversDo(t *testing.T) {
	w := world(t, mortal(1))
	putAll(t, w, someNames...)
	w.Run(5 * time.Second)
	for _, id := range classic {
		w.Crash(id)
	}
	w.Run(3 * graceTime)
	for _, id := range classic {
		if id != 14 {
			w.Start(id)
		}
	}
	moved := w.Count.Streams
	w.Run(graceTime - time.Second)
	nobodyGone(t, w)
	if w.Count.Streams > moved {
		t.Errorf("%v copies were moved", w.Count.Streams-moved)
	}
	goneEverywhere(t, w, 10*time.Second, 14)
	settled(t, w)
	readable(t, w)
}

// A disk that was lost is filled at once, whether its member was gone or not,
// by others that wait for nothing.
func TestNewStoreIsFilledAtOnce(t *testing.T) {
	for _, away := range []time.Duration{time.Second, 2 * graceTime} {
		w := world(t, mortal(1))
		putAll(t, w, someNames...)
		settled(t, w)
		w.Crash(14)
		w.Wipe(14)
		w.Run(away)
		w.Start(14)
		if !w.RunUntil(5*time.Second, w.every(100*time.Millisecond, func() bool { return w.Settled() == nil })) {
			t.Errorf("away for %v: %v", away, w.Settled())
		}
		readable(t, w)
	}
}

// A leave beside a member that is gone does not wait for it. In a ring of two
// a leaver waits for the other, whose disk lacks what it has, until that
// returns.
func TestLeaveBesideTheGone(t *testing.T) {
	w := world(t, mortal(1))
	putAll(t, w, someNames...)
	w.Crash(14)
	goneEverywhere(t, w, 2*graceTime, 14)
	await(t, w, ring.Succeeded, w.Leave(9))
	settled(t, w)
	readable(t, w)

	two := world(t, mortal(1, 10, 20))
	two.Crash(20)
	two.Run(5 * time.Second)
	put := two.Put(10, "0015", 1, 1000)
	await(t, two, ring.Degraded, put)
	leave := two.Leave(10)
	await(t, two, ring.StillHolding, leave)
	if !slices.Equal(leave.Result.Silent, []wire.ID{20}) {
		t.Errorf("waits for %v, want 20", leave.Result.Silent)
	}
	two.Start(20)
	two.Run(10 * time.Second)
	if two.Host(10).Runs() || !two.Host(20).Holds(two.version(put.Manifest)) {
		t.Errorf("10 runs: %v; 20 holds the version: %v", two.Host(10).Runs(), two.Host(20).Holds(two.version(put.Manifest)))
	}
}

// Of two, the one that stays judges alone: the other is gone after the grace,
// and is home again when it returns.
func TestGoneOfTwo(t *testing.T) {
	w := world(t, mortal(1, 10, 20))
	putAll(t, w, someNames...)
	w.Crash(20)
	goneEverywhere(t, w, 2*graceTime, 20)
	w.Put(10, "alone", 1, 10)
	w.Start(20)
	whole(t, w, 10*time.Second)
	settled(t, w)
	readable(t, w)
	w.Crash(20)
	goneEverywhere(t, w, 2*graceTime, 20)
}
