package sim

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// putAll stores some files from several peers and waits until all are acked.
func putAll(t *testing.T, w *World, names ...string) {
	t.Helper()
	running := w.running()
	var ops []*Op
	for i, name := range names {
		ops = append(ops, w.Put(running[i%len(running)].ID, name, uint64(i), int64(i)*1000))
	}
	await(t, w, ring.Succeeded, ops...)
}

// readable has everybody read everything.
func readable(t *testing.T, w *World) {
	t.Helper()
	if err := w.checkReadable(); err != nil {
		t.Error(err)
	}
}

var someNames = []string{"0000", "0003", "0009", "0014", "0100", "0255", "4103", "2067", "a/b/c", "x"}

// Ten minutes of 10 % loss on every link, with delay and jitter: no live
// member is judged unreachable, in either kind of ring, and files keep moving.
func TestLossJudgesNobody(t *testing.T) {
	for seed := range uint64(8) {
		c := plain(seed)
		c.Net = Net{Delay: 20 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.1}
		w := world(t, c)
		for end := w.Now() + ring.Time(10*time.Minute); w.Now() < end; {
			w.Run(30 * time.Second)
			putAll(t, w, "0003")
			for _, h := range w.running() {
				for _, m := range h.Status().Members {
					if m.Unreachable {
						t.Fatalf("seed %v: at %v %v holds %v unreachable", seed, span(w.Now()), h.ID, m.ID)
					}
				}
			}
		}
	}
}

// All seven are killed at once and start again: the ring is whole within
// three intervals, and every file is readable.
func TestAllKilledAndRestarted(t *testing.T) {
	for seed := range uint64(10) {
		for _, c := range []Config{plain(seed), Classic(seed)} {
			w := world(t, c, classic...)
			putAll(t, w, someNames...)
			for _, id := range classic {
				if seed%2 == 0 {
					w.Kill(id)
				} else {
					w.Crash(id)
				}
			}
			w.Run(time.Minute)
			for _, id := range classic {
				w.Start(id)
			}
			whole(t, w, 3*w.Config.Interval)
			readable(t, w)
		}
	}
}

// Three join before a key, then the three leave again: its file is readable
// all the time and ends on its home holders.
func TestThreeJoinsThenThreeLeaves(t *testing.T) {
	for seed := range uint64(5) {
		w := world(t, plain(seed, 2, 4, 5, 8, 9, 14, 19, 10, 11, 12), classic...)
		putAll(t, w, "0010") // on 14, 19 and 2
		for _, id := range []wire.ID{12, 11, 10} {
			w.Start(id, 4)
			for range 20 {
				await(t, w, ring.Succeeded, w.Get(5, "0010"))
				w.Run(50 * time.Millisecond)
			}
			settled(t, w)
		}
		if homes := w.homes("0010"); !slices.Equal(homes, []wire.ID{10, 11, 12}) {
			t.Fatalf("home holders are %v", homes)
		}
		for _, id := range []wire.ID{10, 11, 12} {
			leave := w.Leave(id)
			for !leave.Ended {
				await(t, w, ring.Succeeded, w.Get(5, "0010"))
				w.Run(50 * time.Millisecond)
			}
			settled(t, w)
		}
		if homes := w.homes("0010"); !slices.Equal(homes, []wire.ID{14, 19, 2}) {
			t.Fatalf("home holders are %v", homes)
		}
		readable(t, w)
	}
}

// A put that begins at any moment of a join is on its home holders after it.
func TestPutDuringJoin(t *testing.T) {
	for ms := 0; ms < 60; ms += 2 {
		w := world(t, plain(uint64(ms), 2, 4, 5, 8, 9, 14, 19, 10), classic...)
		w.Start(10, 4)
		w.Run(time.Duration(ms) * time.Millisecond)
		put := w.Put(5, "0010", 1, 1_000_000)
		await(t, w, ring.Succeeded, put)
		settled(t, w)
		get := w.Get(19, "0010")
		await(t, w, ring.Succeeded, get)
		if get.Manifest != put.Manifest || !w.Host(10).Holds(w.version(put.Manifest)) {
			t.Errorf("put %v ms after the join: 10 holds it %v", ms, w.Host(10).Holds(w.version(put.Manifest)))
		}
	}
}

// A put by a peer that has missed two joins is not acked by holders that are
// no longer all of them: it ends on the right ones, or says that it did not.
func TestPutWithStaleView(t *testing.T) {
	for seed := range uint64(5) {
		w := world(t, plain(seed, 2, 4, 5, 8, 9, 14, 19, 10, 11), classic...)
		for _, id := range []wire.ID{10, 11} {
			w.Cut(id, 5, true)
			w.Cut(5, id, true)
		}
		for _, id := range classic {
			if id != 5 {
				w.Cut(id, 5, true)
				w.Cut(5, id, true)
			}
		}
		w.Start(10, 4)
		w.Start(11, 4)
		w.Run(300 * time.Millisecond) // too short for anybody to miss anybody
		for _, id := range classic {
			w.Cut(id, 5, false)
			w.Cut(5, id, false)
		}
		put := w.Put(5, "0010", 1, 1000)
		w.Await(ring.Succeeded, put)
		w.Heal()
		settled(t, w)
		if !put.Ended || len(put.Result.Copies) == 0 {
			t.Fatalf("seed %v: put ended %v, %+v", seed, put.Ended, put.Result)
		}
		readable(t, w)
	}
}

// Two puts of one name at once by one writer: both end, and everybody reads
// one of them, the same.
func TestTwoPutsAtOnceByOneWriter(t *testing.T) {
	for seed := range uint64(10) {
		w := world(t, plain(seed))
		a, b := w.Put(4, "0010", 1, 1_000_000), w.Put(4, "0010", 2, 1_000_000)
		w.Await(ring.Succeeded, a, b)
		settled(t, w)
		if !a.Ended || !b.Ended || a.Result.Outcome != ring.Succeeded && b.Result.Outcome != ring.Succeeded {
			t.Errorf("seed %v: %+v and %+v", seed, a.Result, b.Result)
		}
		readable(t, w)
	}
}

// Two puts of one name at once by two writers: either is stored or told that
// the name is taken; if both got in, get gives the higher and names the other.
func TestTwoPutsAtOnceByTwoWriters(t *testing.T) {
	both := 0
	for seed := range uint64(10) {
		w := world(t, plain(seed))
		a, b := w.Put(4, "0010", 1, 1_000_000), w.Put(9, "0010", 2, 1_000_000)
		w.Await(ring.Succeeded, a, b)
		settled(t, w)
		readable(t, w)
		stored := 0
		for _, op := range []*Op{a, b} {
			switch op.Result.Outcome {
			case ring.Succeeded:
				stored++
			case ring.Taken:
			default:
				t.Errorf("seed %v: put by %v: %+v", seed, op.Host, op.Result)
			}
		}
		if stored < 2 {
			continue
		}
		both++
		for _, h := range w.running() {
			get := w.Get(h.ID, "0010")
			await(t, w, ring.Succeeded, get)
			if len(get.AlsoBy) != 1 {
				t.Errorf("seed %v: %v is not told of the other writer: %v", seed, h.ID, get.AlsoBy)
			}
			for _, by := range []*Op{a, b} {
				get := w.GetBy(h.ID, "0010", by.Host)
				await(t, w, ring.Succeeded, get)
				if get.Manifest != by.Manifest {
					t.Errorf("seed %v: %v asks for the version of %v, gets that of %v", seed, h.ID, by.Host, get.Manifest.Writer)
				}
			}
		}
		await(t, w, ring.Taken, w.Put(5, "0010", 3, 10))
	}
	if both == 0 {
		t.Error("no two puts met")
	}
}

// A name of another is refused; after its removal it may be used again.
func TestNameOfAnotherIsTaken(t *testing.T) {
	w := world(t, plain(1))
	first := w.Put(4, "0010", 1, 10)
	await(t, w, ring.Succeeded, first)
	taken := w.Put(5, "0010", 2, 10)
	await(t, w, ring.Taken, taken)
	if taken.Result.By != 4 {
		t.Errorf("taken by %v, want 4", taken.Result.By)
	}
	await(t, w, ring.Taken, w.Remove(5, "0010"))
	await(t, w, ring.Succeeded, w.Remove(4, "0010"))
	await(t, w, ring.NotFound, w.Get(9, "0010"))
	second := w.Put(5, "0010", 2, 10)
	await(t, w, ring.Succeeded, second)
	if second.Manifest.Version <= first.Manifest.Version {
		t.Errorf("version %v after version %v and a removal", second.Manifest.Version, first.Manifest.Version)
	}
	await(t, w, ring.Succeeded, w.Get(9, "0010"))
}

// The same bytes again are the same version.
func TestSameBytesAreTheSameVersion(t *testing.T) {
	w := world(t, plain(1))
	a := w.Put(4, "0010", 1, 10)
	await(t, w, ring.Succeeded, a)
	b := w.Put(4, "0010", 1, 10)
	await(t, w, ring.Succeeded, b)
	if a.Manifest != b.Manifest {
		t.Errorf("%+v, then %+v", a.Manifest, b.Manifest)
	}
}

// A put whose writer dies when one holder has it all is completed by the copy
// loop, or has left nothing.
func TestPartialPutIsCompleted(t *testing.T) {
	appeared := 0
	for ms := range 40 {
		c := plain(uint64(ms))
		c.Net.Jitter = 20 * time.Millisecond
		w := world(t, c)
		w.Put(4, "0010", 1, 1_000_000)
		w.Run(20*time.Millisecond + time.Duration(ms)*2*time.Millisecond)
		w.Crash(4)
		whole(t, w, 6*c.Interval)
		settled(t, w)
		if len(w.live("0010")) > 0 {
			appeared++
		}
		readable(t, w)
	}
	if appeared == 0 || appeared == 40 {
		t.Errorf("the file appeared in %v of 40 runs", appeared)
	}
}

// Any two of seven are killed at once: every file is readable as soon as the
// ring is whole, by everybody who is left.
func TestKillTwoOfSeven(t *testing.T) {
	for i, a := range classic {
		for _, b := range classic[i+1:] {
			w := world(t, plain(uint64(i)))
			putAll(t, w, someNames...)
			w.Kill(a)
			w.Crash(b)
			whole(t, w, 8*w.Config.Interval)
			readable(t, w)
			w.Start(a)
			w.Start(b)
			whole(t, w, 8*w.Config.Interval)
			settled(t, w)
			readable(t, w)
		}
	}
}

// While two of seven are silent a get still ends with the file: at once, not
// when they have been judged.
func TestGetBesideTheSilent(t *testing.T) {
	w := world(t, plain(1))
	putAll(t, w, "0010") // on 14, 19 and 2
	w.Crash(14)
	w.Crash(19)
	get := w.Get(5, "0010")
	await(t, w, ring.Succeeded, get)
	if get.Source != 2 {
		t.Errorf("got it from %v, want 2", get.Source)
	}
}

// With every holder of a file silent a get is unavailable and names them,
// never not found.
func TestAllHoldersSilentIsUnavailable(t *testing.T) {
	w := world(t, plain(1))
	putAll(t, w, "0010") // on 14, 19 and 2
	for _, id := range []wire.ID{14, 19, 2} {
		w.Crash(id)
	}
	for range 3 {
		get := w.Get(5, "0010")
		await(t, w, ring.Unavailable, get)
		silent := slices.Sorted(slices.Values(get.Result.Silent))
		if !slices.Equal(silent, []wire.ID{2, 14, 19}) {
			t.Errorf("silent are %v, want 2, 14 and 19", silent)
		}
		w.Run(10 * time.Second)
	}
}

// Two halves that were apart, each with its own puts, are one ring soon after
// they meet, and nothing is lost.
func TestTwoHalvesMerge(t *testing.T) {
	for seed := range uint64(6) {
		w := world(t, plain(seed))
		putAll(t, w, "0003", "0010")
		w.Split(2, 5, 9)
		w.Run(time.Minute)
		for _, id := range classic {
			w.Put(id, fmt.Sprintf("of %v", id), uint64(id), 1000)
			w.Put(id, "of somebody", uint64(id), 1000)
		}
		w.Run(time.Minute)
		w.Heal()
		whole(t, w, 15*w.Config.Interval)
		settled(t, w)
		readable(t, w)
	}
}

// Seven members that all start alone, cut from each other, are one ring when
// the cuts end.
func TestRingsOfOneMerge(t *testing.T) {
	w := New(plain(1))
	for _, id := range classic {
		w.Split(id)
	}
	w.StartAll()
	w.Run(20 * time.Second)
	w.Heal()
	whole(t, w, 15*w.Config.Interval)
}

// A full disk is stood in for, and catches up when it has room again.
func TestFullDiskIsStoodInFor(t *testing.T) {
	w := world(t, plain(1))
	w.SetDisk(14, wire.Full)
	w.Run(2 * time.Second)
	put := w.Put(5, "0010", 1, 1000)
	await(t, w, ring.Succeeded, put)
	if slices.Contains(put.Result.Copies, 14) || len(put.Result.Copies) != 3 {
		t.Errorf("copies on %v", put.Result.Copies)
	}
	await(t, w, ring.Succeeded, w.Get(14, "0010"))
	w.SetDisk(14, wire.Active)
	settled(t, w)
	if !w.Host(14).Holds(w.version(put.Manifest)) {
		t.Error("14 lacks the file")
	}
}

// A home holder that lies harms nobody: its denial and its wrong bytes are
// made good by another in the same request.
func TestLyingHolderHarmsNobody(t *testing.T) {
	for _, lies := range []Lies{{Denies: true}, {Corrupts: true}, {Denies: true, Corrupts: true}} {
		for seed := range uint64(5) {
			w := world(t, plain(seed))
			putAll(t, w, "0010") // on 14, 19 and 2
			w.SetLies(14, lies)
			for _, id := range []wire.ID{2, 5, 9, 19} {
				get := w.Get(id, "0010")
				await(t, w, ring.Succeeded, get)
				if get.Source == 14 {
					t.Errorf("%v got it from the liar", id)
				}
			}
		}
	}
}

// A lost disk is filled again, and never taken for the truth.
func TestLostDiskIsFilledAgain(t *testing.T) {
	for seed := range uint64(5) {
		w := world(t, plain(seed))
		putAll(t, w, someNames...)
		w.Crash(14)
		w.Wipe(14)
		if seed%2 == 0 {
			w.Run(20 * time.Second)
		}
		w.Start(14)
		for range 20 {
			get := w.Get(14, "0009")
			if w.Await(ring.NotFound, get); get.Result.Outcome == ring.NotFound {
				t.Fatalf("seed %v: %v after its start 14 says that the file is not there", seed, span(w.Now()))
			}
			w.Run(20 * time.Millisecond)
		}
		settled(t, w)
		readable(t, w)
	}
}

// Rings of one, two and three: every order of up to four of start, leave and
// crash ends in a ring over those that run; when all are back that have not
// left, their files are where they belong.
func TestSmallRings(t *testing.T) {
	runs := 0
	for _, ids := range [][]wire.ID{{10}, {10, 20}, {10, 20, 30}} {
		for _, o := range orders(ids, 4) {
			smallRing(t, ids, o)
			runs++
		}
	}
	t.Logf("%v orders", runs)
	if runs < 480 {
		t.Errorf("only %v orders", runs)
	}
}

// orders returns every sequence of at most n things that can happen to a ring
// in which the first of ids runs.
func orders(ids []wire.ID, n int) [][]Fault {
	var all [][]Fault
	var extend func(done []Fault, runs map[wire.ID]bool)
	extend = func(done []Fault, runs map[wire.ID]bool) {
		all = append(all, slices.Clone(done))
		if len(done) == n {
			return
		}
		for _, id := range ids {
			whats := []What{WhatJoin}
			if runs[id] {
				whats = []What{WhatLeave, WhatCrash}
			}
			for _, what := range whats {
				now := maps.Clone(runs)
				now[id] = what == WhatJoin
				extend(append(done, Fault{What: what, Who: id}), now)
			}
		}
	}
	extend(nil, map[wire.ID]bool{ids[0]: true})
	return all
}

// smallRing runs one order.
func smallRing(t *testing.T, ids []wire.ID, order []Fault) {
	w := New(plain(uint64(len(order)), ids...))
	w.Start(ids[0])
	w.Run(5 * time.Second)
	left := make(map[wire.ID]bool)
	for i, f := range order {
		switch h := w.Host(f.Who); {
		case f.What == WhatJoin && !h.Runs():
			w.Start(f.Who, ids[0])
			left[f.Who] = false
		case f.What == WhatLeave:
			w.Leave(f.Who)
			left[f.Who] = true
		case f.What == WhatCrash:
			w.Crash(f.Who)
		}
		w.Run(700 * time.Millisecond)
		w.Put(ids[i%len(ids)], "0010", uint64(i), 100)
	}
	w.Run(20 * time.Second)
	if err := w.Whole(); err != nil {
		t.Errorf("%v: %v: %v", ids, order, err)
	}
	for _, h := range w.hosts {
		if !h.Runs() && !left[h.ID] {
			w.Start(h.ID)
		}
	}
	w.RunUntil(30*time.Second, w.every(time.Second, func() bool { return w.Settled() == nil }))
	w.CheckQuiet()
	for _, err := range w.Violations() {
		t.Errorf("%v: %v: %v", ids, order, err)
	}
}

// One observer that says of a live member that it is unreachable, and of
// itself whatever it likes, takes nobody out of any ring.
func TestOneLyingObserverJudgesNobody(t *testing.T) {
	w := world(t, plain(1))
	w.Run(5 * time.Second)
	for _, member := range classic {
		if member == 8 {
			continue
		}
		vote := SignVote(8, wire.Vote{
			Observer: 8, Member: member, Verdict: wire.Unreachable,
			Incarnation: w.Host(member).Status().Incarnation, Sequence: 1 << 60,
		})
		for _, to := range classic {
			if to != 8 {
				w.Inject(8, to, wire.Rows{Votes: []wire.Vote{vote}})
			}
		}
	}
	w.Run(10 * time.Second)
	for _, h := range w.running() {
		if n := kinds(h, ring.MemberGone) + kinds(h, ring.NotAlive); n > 0 {
			t.Errorf("%v took %v members out of its ring", h.ID, n)
		}
	}
	if w.Count.Forged != 0 {
		t.Errorf("%v of its own votes were taken for forged", w.Count.Forged)
	}
}
