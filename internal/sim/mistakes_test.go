package sim

import (
	"slices"
	"strings"
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// The mistakes of the classic ring, by their numbers, as far as the ring
// decides them: 16, 21-23 and 26-29 are held by the tests of other packages.

// A joiner whose id is below its contact's, or below everybody's, joins.
func TestMistake01JoinBelowTheContactIsAccepted(t *testing.T) {
	for _, join := range []struct{ id, contact wire.ID }{{1, 4}, {0, 4}, {15, 19}, {3, 2}, {20, 2}, {255, 9}} {
		c := Classic(1)
		c.Members = Numbered(append(slices.Clone(classic), join.id)...)
		w := world(t, c, classic...)
		w.Start(join.id, join.contact)
		whole(t, w, 2*c.Interval)
		if kinds(w.Host(join.id), ring.JoinAccepted) != 1 {
			t.Errorf("join %v through %v: notices %v", join.id, join.contact, w.Host(join.id).Notices)
		}
	}
}

// Peer 0 is a peer like any other: it is pinged, owns keys, dies and leaves.
func TestMistake02PeerZeroIsAPeer(t *testing.T) {
	c := plain(2, 0, 10, 20, 30)
	w := world(t, c)
	w.Run(2 * c.Interval)
	if kinds(w.Host(0), ring.PingReceived) == 0 {
		t.Error("nobody pings peer 0")
	}
	put := w.Put(20, "0250", 1, 100) // key 250: the next peer is 0
	await(t, w, ring.Succeeded, put)
	look := w.Lookup(30, "0250")
	await(t, w, ring.Succeeded, look)
	if look.Result.Owner != 0 || !slices.Contains(put.Result.Copies, 0) {
		t.Errorf("owner %v, copies %v, want 0 and it among them", look.Result.Owner, put.Result.Copies)
	}
	w.Kill(0)
	whole(t, w, 5*c.Interval)
	w.Start(0, 10)
	whole(t, w, 5*c.Interval)
	await(t, w, ring.Succeeded, w.Leave(0))
	whole(t, w, 5*c.Interval)
}

// Two processes with one key do not fight for ever: one says so and ends.
func TestMistake03KeyThatRunsTwiceIsTold(t *testing.T) {
	w := world(t, plain(3))
	for i := range 40 {
		row := Sign(9, wire.Row{
			ID:          9,
			Incarnation: w.Host(9).disk.incarnation + wire.Incarnation(1+i%2),
			State:       wire.Active,
			Store:       wire.StoreID{1},
		})
		w.Inject(8, 9, wire.Rows{Rows: []wire.Row{row}})
		w.Run(50 * time.Millisecond)
		if !w.Host(9).Runs() {
			break
		}
	}
	if h := w.Host(9); h.Runs() || h.Failed == nil || kinds(h, ring.KeyRunsTwice) == 0 {
		t.Errorf("runs %v, failed with %v, want an end with an error and a notice", h.Runs(), h.Failed)
	}
}

// An interval of 3 s is 3 s.
func TestMistake04IntervalIsKept(t *testing.T) {
	w := classicRing(t, 4)
	since := w.Now()
	w.Run(time.Minute)
	for _, h := range w.running() {
		var last ring.Time
		n := 0
		for _, notice := range h.Notices {
			if notice.Kind != ring.PingsSent || notice.At < since {
				continue
			}
			if last != 0 && notice.At-last != ring.Time(3*time.Second) {
				t.Errorf("%v pings after %v", h.ID, span(notice.At-last))
			}
			last = notice.At
			n++
		}
		if n != 20 {
			t.Errorf("%v pings %v times a minute, want 20", h.ID, n)
		}
	}
}

// Lost pings kill nobody: 10 % of all datagrams, ten minutes, many seeds.
func TestMistake05LostPingsKillNobody(t *testing.T) {
	lost := 0
	for seed := range uint64(8) {
		c := Classic(seed)
		c.Net.Loss = 0.1
		w := world(t, c, classic...)
		w.Run(10 * time.Minute)
		for _, h := range w.running() {
			if n := kinds(h, ring.NotAlive) + kinds(h, ring.MemberGone); n > 0 {
				t.Errorf("seed %v: %v has judged %v live members", seed, h.ID, n)
			}
			for _, m := range h.Status().Members {
				if m.Unreachable {
					t.Errorf("seed %v: %v holds %v unreachable", seed, h.ID, m.ID)
				}
			}
		}
		lost += w.Count.Lost
	}
	if lost < 8*500 {
		t.Errorf("only %v datagrams were lost", lost)
	}
}

// A live peer that was declared dead is taken back by everybody.
func TestMistake06WhoWasDeclaredDeadComesBack(t *testing.T) {
	c := plain(6)
	w := world(t, c)
	w.Pause(14)
	gone := func() bool {
		for _, h := range w.running() {
			if h.ID != 14 && slices.Contains(h.Status().Ring, 14) {
				return false
			}
		}
		return true
	}
	if !w.RunUntil(10*c.Interval, gone) {
		t.Fatal("a silent peer is not declared dead")
	}
	w.Run(20 * c.Interval)
	w.Resume(14)
	whole(t, w, 5*c.Interval)
}

// Two neighbours that die at once cut nobody off, whichever they are.
func TestMistake07AdjacentDeathsHeal(t *testing.T) {
	for i, id := range classic {
		next := classic[(i+1)%len(classic)]
		for seed := range uint64(4) {
			c := Classic(seed)
			w := world(t, c, classic...)
			w.Run(2 * c.Interval)
			if seed%2 == 0 {
				w.Kill(id)
				w.Kill(next)
			} else {
				w.Crash(id)
				w.Crash(next)
			}
			whole(t, w, 6*c.Interval)
		}
	}
}

// A second successor that is dead is replaced, and not found dead again.
func TestMistake08SecondSuccessorIsRefreshed(t *testing.T) {
	w := classicRing(t, 8)
	w.Crash(14)
	w.Run(2 * time.Minute)
	for _, id := range []wire.ID{8, 9} {
		if n := kinds(w.Host(id), ring.NotAlive); n != 1 {
			t.Errorf("%v finds 14 dead %v times, want once", id, n)
		}
	}
	if s := w.Host(8).Status().Successors; !slices.Equal(s[:2], []wire.ID{9, 19}) {
		t.Errorf("successors of 8 are %v, want 9 and 19", s)
	}
}

// Predecessors that died are forgotten: a join and a quit after their death
// work.
func TestMistake09DeadPredecessorsAreForgotten(t *testing.T) {
	w := classicRing(t, 9)
	w.Crash(9)
	w.Crash(8)
	whole(t, w, 6*w.Config.Interval)
	if p := w.Host(14).Status().Predecessors; !slices.Equal(p, []wire.ID{5, 4}) {
		t.Errorf("predecessors of 14 are %v, want 5 and 4", p)
	}
	w.Start(15, 4)
	whole(t, w, 3*w.Config.Interval)
	await(t, w, ring.Succeeded, w.Leave(14))
	whole(t, w, 3*w.Config.Interval)
}

// Quit says that it worked when it worked, and tells everybody: 10 and 11.
func TestMistake10QuitSaysWhatHappened(t *testing.T) {
	w := classicRing(t, 10)
	leave := w.Leave(9)
	await(t, w, ring.Succeeded, leave)
	for _, id := range []wire.ID{5, 8} {
		if kinds(w.Host(id), ring.Departing) != 1 {
			t.Errorf("%v was not told", id)
		}
	}
}

func TestMistake11LeaveTellsEverybody(t *testing.T) {
	w := classicRing(t, 11)
	await(t, w, ring.Succeeded, w.Leave(9))
	w.Run(w.Config.Interval)
	for _, h := range w.running() {
		s := h.Status()
		if slices.Contains(s.Ring, 9) || slices.Contains(s.Predecessors, 9) {
			t.Errorf("%v still has 9: ring %v, predecessors %v", h.ID, s.Ring, s.Predecessors)
		}
	}
	if p := w.Host(14).Status().Predecessors; p[0] != 8 {
		t.Errorf("predecessors of 14 are %v, want 8 first", p)
	}
}

// A joiner gets the files of its arc: keys up to 15 were 19's.
func TestMistake12JoinTakesItsFilesOver(t *testing.T) {
	w := classicRing(t, 12)
	put := w.Put(2, "0015", 1, 1000)
	await(t, w, ring.Succeeded, put)
	w.Start(15, 4)
	settled(t, w)
	if !w.Host(15).Holds(w.version(put.Manifest)) {
		t.Error("15 lacks the file of its own key")
	}
	get := w.Get(8, "0015")
	await(t, w, ring.Succeeded, get)
	if get.Source != 15 {
		t.Errorf("got it from %v, want the owner 15", get.Source)
	}
}

// A leaver gives its files away, and a crash loses none.
func TestMistake13LeaveAndCrashLoseNothing(t *testing.T) {
	w := classicRing(t, 13)
	put := w.Put(2, "0014", 1, 1000) // on 14, 19 and 2
	await(t, w, ring.Succeeded, put)
	await(t, w, ring.Succeeded, w.Leave(14))
	settled(t, w)
	w.Crash(19)
	whole(t, w, 6*w.Config.Interval)
	await(t, w, ring.Succeeded, w.Get(8, "0014"))
	if !w.Host(4).Holds(w.version(put.Manifest)) {
		t.Error("4 is home now and lacks the file")
	}
}

// A put over a name is a new version, never an empty or cut file; a put that
// dies leaves the old one as it was.
func TestMistake14PutNeverTruncates(t *testing.T) {
	w := world(t, plain(14))
	first := w.Put(2, "4103", 1, 1000)
	await(t, w, ring.Succeeded, first)
	torn := w.Put(2, "4103", 2, 500<<20)
	w.Run(time.Second)
	w.Kill(2)
	get := w.Get(19, "4103")
	await(t, w, ring.Succeeded, get)
	if !torn.Lost || get.Manifest != first.Manifest {
		t.Errorf("after a torn put: got %+v, want %+v", get.Manifest, first.Manifest)
	}
	w.Start(2)
	whole(t, w, 10*w.Config.Interval)
	second := w.Put(2, "4103", 2, 600)
	await(t, w, ring.Succeeded, second)
	get = w.Get(19, "4103")
	await(t, w, ring.Succeeded, get)
	if get.Manifest != second.Manifest || second.Manifest.Version <= first.Manifest.Version {
		t.Errorf("after a second put: got %+v, want %+v", get.Manifest, second.Manifest)
	}
}

// A name with a leading zero is found under the same name.
func TestMistake15LeadingZeroIsPartOfTheName(t *testing.T) {
	w := classicRing(t, 15)
	put := w.Put(8, "0159", 1, 10)
	await(t, w, ring.Succeeded, put)
	get := w.Get(4, "0159")
	await(t, w, ring.Succeeded, get)
	if get.Manifest != put.Manifest {
		t.Errorf("got %+v, want %+v", get.Manifest, put.Manifest)
	}
	await(t, w, ring.NotFound, w.Get(4, "159"))
}

// Who asks for a missing file is told, at every peer, in every kind of ring.
func TestMistake17MissingFileIsReported(t *testing.T) {
	for _, c := range []Config{Classic(17), plain(17)} {
		w := world(t, c, classic...)
		for _, id := range classic {
			await(t, w, ring.NotFound, w.Get(id, "0007"))
		}
	}
}

// The owner that asks for its own file gets it.
func TestMistake18OwnerGetsItsOwnFile(t *testing.T) {
	for _, c := range []Config{Classic(18), plain(18)} {
		w := world(t, c, classic...)
		put := w.Put(2, "4103", 1, 1000)
		await(t, w, ring.Succeeded, put)
		get := w.Get(8, "4103")
		await(t, w, ring.Succeeded, get)
		if get.Source != 8 || get.Manifest != put.Manifest {
			t.Errorf("8 got %+v from %v, want its own", get.Manifest, get.Source)
		}
	}
}

// A question that is sent round in circles ends.
func TestMistake19QuestionsEnd(t *testing.T) {
	for _, c := range []Config{Classic(19), plain(19)} {
		w := world(t, c, classic...)
		for _, id := range classic {
			w.SetLies(id, Lies{Detours: true, Next: classic[(slices.Index(classic, id)+3)%7]})
		}
		var ops []*Op
		for _, id := range classic {
			ops = append(ops, w.Lookup(id, "0007"), w.Get(id, "0007"), w.Put(id, "0007", 1, 10))
		}
		w.Await(ring.Succeeded, ops...)
		for _, op := range ops {
			if !op.Ended {
				t.Errorf("%v by %v goes round for ever", op.Kind, op.Host)
			}
		}
	}
}

// Small and empty files are said to have been received.
func TestMistake20EmptyFileIsReceived(t *testing.T) {
	w := classicRing(t, 20)
	for i, size := range []int64{0, 1, 500, 1 << 20} {
		name := []string{"4103", "4104", "4105", "4106"}[i]
		await(t, w, ring.Succeeded, w.Put(8, name, 1, size))
		before := kinds(w.Host(4), ring.FileReceived)
		await(t, w, ring.Succeeded, w.Get(4, name))
		if kinds(w.Host(4), ring.FileReceived) != before+1 {
			t.Errorf("a file of %v bytes is not said to be received", size)
		}
	}
}

// No member makes another join, leave, die or change: rows and votes count
// only under their own signer's key.
func TestMistake24NobodySpeaksForAnother(t *testing.T) {
	w := world(t, plain(24))
	w.Run(3 * time.Second)
	before := w.Host(9).Status()
	forged := w.Count.Forged
	for _, state := range []wire.State{wire.Joining, wire.Active, wire.Full, wire.Stopped, wire.Leaving, wire.Left} {
		row := wire.Row{ID: 5, Incarnation: 1 << 40, State: state}
		w.Inject(4, 9, wire.Rows{Rows: []wire.Row{Sign(4, row)}})
	}
	for _, member := range classic {
		for _, observer := range classic {
			if observer == 4 {
				continue
			}
			vote := wire.Vote{
				Observer: observer, Member: member, Verdict: wire.Unreachable,
				Incarnation: w.Host(member).Status().Incarnation, Sequence: 1 << 40,
			}
			w.Inject(4, 9, wire.Rows{Votes: []wire.Vote{SignVote(4, vote)}})
		}
	}
	w.Run(10 * time.Second)
	after := w.Host(9).Status()
	if after.View != before.View || !slices.Equal(after.Ring, before.Ring) {
		t.Errorf("the view changed: ring %v, then %v", before.Ring, after.Ring)
	}
	if n := w.Count.Forged - forged; n != 6+7*6 {
		t.Errorf("%v forged rows and votes were counted, want 48", n)
	}
}

// A peer that hangs stalls nobody for ever: puts and gets beside it end.
func TestMistake25HungPeerStallsNobody(t *testing.T) {
	w := world(t, plain(25))
	put := w.Put(2, "0009", 1, 1000)
	await(t, w, ring.Succeeded, put)
	w.Pause(9)
	get, again := w.Get(4, "0009"), w.Put(2, "0009", 2, 1000)
	await(t, w, ring.Succeeded, get)
	w.Await(ring.Succeeded, again)
	if !again.Ended || len(again.Result.Copies) < 2 {
		t.Errorf("put beside a hung peer: ended %v, %+v", again.Ended, again.Result)
	}
	w.Run(20 * time.Second)
	await(t, w, ring.Succeeded, w.Put(2, "0009", 3, 1000))
	w.Resume(9)
	settled(t, w)
}

// The lines are those of the assignment: 14 says new for both.
func TestMistake30NoticesAreTheAssignments(t *testing.T) {
	w := classicRing(t, 30)
	since := w.Now()
	w.Start(15, 4)
	whole(t, w, 3*w.Config.Interval)
	got := transcript(w, since, notPings)
	if !strings.Contains(got, "[14] NewFirstSuccessor 15\n[14] NewSecondSuccessor 19\n") ||
		strings.Contains(got, "[14] FirstSuccessor") {
		t.Errorf("got\n%s", got)
	}
}
