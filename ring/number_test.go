package ring

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// placed has put op begin and brings it to where its bytes are asked for.
func (w *world) placed(t *testing.T, op Op, have map[wire.ID][]wire.Manifest) Upload {
	t.Helper()
	return first[Upload](t, w.answerLooks(w.step(Put{Op: op, Name: "0015"}), have))
}

// sealAs ends the bytes of a put under the number that it was given.
func (w *world) sealAs(up Upload) wire.Manifest {
	m := wire.Manifest{Name: "0015", Version: up.Version, Writer: 10, Signer: 10, Size: uint64(up.Op) + 1, Blocks: wire.Sum{byte(up.Op)}}
	w.step(Sealed{up.Op, m})
	return m
}

// end ends the uploads of a put with these codes, and returns what came of it.
func (w *world) end(up Upload, codes ...wire.Code) (acts []Action) {
	for i, id := range up.To {
		acts = append(acts, w.step(Uploaded{Op: up.Op, Peer: id, Code: codes[min(i, len(codes)-1)]})...)
	}
	return acts
}

// TestTwoPutsOfOneNameTakeTwoNumbers: the second does not wait for the first, and
// the first, which ends last, says that it is not what a get brings.
func TestTwoPutsOfOneNameTakeTwoNumbers(t *testing.T) {
	w := within(t, 20, 30, 40)
	one, two := w.placed(t, 1, nil), w.placed(t, 2, nil)
	if one.Version != 1 || two.Version != 2 {
		t.Fatalf("versions %d and %d, want 1 and 2", one.Version, two.Version)
	}
	newer := w.sealAs(two)
	if r := first[Done](t, w.end(two, wire.CodeOK)).Result; r.Outcome != Succeeded || r.Newer.Name != "" {
		t.Errorf("the second: %+v, want success, nothing newer", r)
	}
	w.sealAs(one)
	if r := first[Done](t, w.end(one, wire.CodeOK)).Result; r.Outcome != Succeeded || r.Newer != newer {
		t.Errorf("the first: %+v, want success under version 2", r)
	}
	if n := len(w.ops.numbers.names); n != 0 {
		t.Errorf("%d names are remembered whose versions every look finds", n)
	}
}

// TestRemoveTakesANumberOfItsOwn: also before and after puts that are under way.
func TestRemoveTakesANumberOfItsOwn(t *testing.T) {
	w := within(t, 20, 30, 40)
	old := wire.Manifest{Name: "0015", Version: 4, Writer: 10, Signer: 10, Size: 1, Blocks: wire.Sum{1}}
	have := map[wire.ID][]wire.Manifest{20: {old}, 30: {old}, 40: {old}}
	one := w.placed(t, 1, have)
	acts := w.answerLooks(w.step(Remove{Op: 2, Name: "0015"}), have)
	_, o := firstOffer(t, acts)
	two := w.placed(t, 3, have)
	if one.Version != 5 || o.Manifest.Version != 6 || two.Version != 7 || two.Same != nil {
		t.Fatalf("put %d, remove %d, put %d with prior %v; want 5, 6, 7 and none", one.Version, o.Manifest.Version, two.Version, two.Same)
	}
	for to, offers := range offersOf(acts) {
		acts = append(acts, w.step(Received{to, wire.Confirmed{Req: offers.Req}})...)
	}
	acts = append(acts, w.step(Pulled{Version: Version{Key: 15, Sum: o.Manifest.Sum()}})...)
	if r := first[Done](t, acts).Result; r.Manifest.Version != 6 || r.Newer.Name != "" {
		t.Errorf("the remove: %+v", r)
	}
	w.sealAs(one)
	if r := first[Done](t, w.end(one, wire.CodeOK)).Result; r.Newer != o.Manifest {
		t.Errorf("the first put: %+v, want it to end under its removal", r)
	}
}

// offersOf returns the offers among acts by whom they were made to.
func offersOf(acts []Action) map[wire.ID]wire.Offer {
	to, offers := sends[wire.Offer](acts)
	by := make(map[wire.ID]wire.Offer)
	for i, id := range to {
		by[id] = offers[i]
	}
	return by
}

// TestNumberIsNotGivenAgain: whatever became of the put that it was given to,
// and though no holder shows it.
func TestNumberIsNotGivenAgain(t *testing.T) {
	for name, ends := range map[string]func(w *world, up Upload){
		"interrupted": func(w *world, up Upload) { w.step(Cancel{Op: up.Op}) },
		"interrupted when it was signed": func(w *world, up Upload) {
			w.sealAs(up)
			w.step(Cancel{Op: up.Op})
		},
		"interrupted when it was on one disk": func(w *world, up Upload) {
			w.sealAs(up)
			w.step(Uploaded{Op: up.Op, Peer: 20})
			w.step(Cancel{Op: up.Op})
		},
		"refused by all": func(w *world, up Upload) {
			w.sealAs(up)
			w.end(up, wire.CodeBusy)
		},
		"on a stand-in alone": func(w *world, up Upload) {
			w.sealAs(up)
			acts := w.step(Uploaded{Op: up.Op, Peer: 20, Kept: true, Code: wire.CodeNotOwner})
			acts = append(acts, w.step(Uploaded{Op: up.Op, Peer: 30, Code: wire.CodeBusy})...)
			acts = append(acts, w.step(Uploaded{Op: up.Op, Peer: 40, Code: wire.CodeBusy})...)
			for to, o := range offersOf(acts) {
				code := wire.CodeFull
				if to == 50 {
					code = wire.CodeOK
				}
				w.step(Received{to, wire.Confirmed{Req: o.Req, Code: code}})
			}
			w.pass(30 * time.Second)
		},
	} {
		w := within(t, 20, 30, 40, 50)
		up := w.placed(t, 1, nil)
		ends(w, up)
		w.keepAlive(0, 20, 30, 40, 50)
		if again := w.placed(t, 2, nil); up.Version != 1 || again.Version < 2 {
			t.Errorf("%s: version %d, then %d", name, up.Version, again.Version)
		}
		if len(w.ops.list) != 1 {
			t.Errorf("%s: the put goes on", name)
		}
	}
}

// TestNumberThatOneHolderMayDenyIsNotGivenAgain: a version that the only home
// holder had confirmed, and then did not show, had the next one take its number.
// Found by the simulator, in seed 20788934.
func TestNumberThatOneHolderMayDenyIsNotGivenAgain(t *testing.T) {
	w := within(t, 20, 30, 40)
	c := config(10, 10, 20, 30, 40)
	c.Roster.Copies = 1
	w.step(RosterChanged{c.Roster})
	for _, id := range []wire.ID{20, 30, 40} {
		w.step(Received{id, wire.Settled{Incarnation: 1, From: 10}})
	}
	for op, want := range []uint64{1, 2, 3} {
		up := w.placed(t, Op(op), nil)
		if !slices.Equal(up.To, []wire.ID{20}) || up.Version != want {
			t.Fatalf("put %d to %v takes version %d, want %d at 20", op, up.To, up.Version, want)
		}
		w.sealAs(up)
		if r := first[Done](t, w.end(up, wire.CodeOK)).Result; r.Outcome != Succeeded {
			t.Fatalf("put %d: %+v", op, r)
		}
	}
}

// TestTheSameBytesUseUpNoNumber: as often as they are put, by one put after the
// other or at once.
func TestTheSameBytesUseUpNoNumber(t *testing.T) {
	w := within(t, 20, 30, 40)
	mine := wire.Manifest{Name: "0015", Version: 3, Writer: 10, Signer: 10, Size: 1, Blocks: wire.Sum{1}}
	have := map[wire.ID][]wire.Manifest{20: {mine}, 30: {mine}, 40: {mine}}
	for op := range Op(3) {
		up := w.placed(t, op, have)
		if up.Version != 4 || up.Same == nil {
			t.Fatalf("put %d: version %d, prior %v; want 4 and one", op, up.Version, up.Same)
		}
		w.step(Sealed{op, mine})
		if r := first[Done](t, w.end(up, wire.CodeOK)).Result; r.Manifest != mine || r.Newer.Name != "" {
			t.Errorf("put %d: %+v", op, r)
		}
	}
	// While other bytes are under way the same are a new version: they are to win.
	w.placed(t, 5, have)
	if up := w.placed(t, 6, have); up.Version != 5 || up.Same != nil {
		t.Errorf("beside another put: version %d, prior %v", up.Version, up.Same)
	}
}

// TestNoNumberIsGivenTwice: puts and removes of a few names begin, are signed,
// end and are interrupted in any order; holders show what every look finds, and
// of the rest what chance shows. A number that a manifest has, or may have, is on
// no other.
func TestNoNumberIsGivenTwice(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := within(t, 20, 30, 40)
		given := map[uint64]Op{}
		open := map[Op]Upload{}
		var shown []wire.Manifest // by every look from now on
		take := func(number uint64, op Op) {
			if was, ok := given[number]; ok {
				t.Fatalf("seed %d: version %d was given to %d, and is given to %d", seed, number, was, op)
			}
			given[number] = op
		}
		for op := Op(1); op < 60; op++ {
			have := map[wire.ID][]wire.Manifest{20: shown, 30: shown, 40: shown}
			if r.IntN(4) == 0 {
				acts := w.answerLooks(w.step(Remove{Op: op, Name: "0015"}), have)
				if offers := offersOf(acts); len(offers) > 0 {
					_, o := firstOffer(t, acts)
					take(o.Manifest.Version, op)
					w.step(Cancel{Op: op})
				}
			} else if up := w.placed(t, op, have); true {
				take(up.Version, op)
				open[op] = up
			}
			for _, op := range slices.Sorted(maps.Keys(open)) {
				switch up := open[op]; r.IntN(6) {
				case 0:
					w.step(Cancel{Op: op})
					delete(open, op)
				case 1:
					m := w.sealAs(up)
					if res := first[Done](t, w.end(up, wire.CodeOK)).Result; res.Outcome != Succeeded {
						t.Fatalf("seed %d: %+v", seed, res)
					}
					shown = append(shown, m)
					delete(open, op)
				case 2:
					if up.Same != nil {
						w.step(Sealed{op, *up.Same})
						w.end(up, wire.CodeOK)
						delete(open, op)
						delete(given, up.Version) // on no manifest
					}
				}
			}
		}
	}
}

// TestNumbersAreBounded: what is remembered of names, and that what is forgotten
// is still not given again.
func TestNumbersAreBounded(t *testing.T) {
	n := numbers{names: map[wire.Pos]*numbered{}}
	for i := range 3 * maxUnsure {
		g := n.begin(fmt.Sprint(i))
		g.last = g.next(uint64(i%7) + 1)
		n.end(g)
		if len(n.names) > maxUnsure || len(n.unsure) != len(n.names) {
			t.Fatalf("%d names, %d unsure, after %d puts", len(n.names), len(n.unsure), i+1)
		}
	}
	for i := range 3 * maxUnsure {
		g := n.begin(fmt.Sprint(i))
		if got, was := g.next(1), uint64(i%7)+1; got <= was {
			t.Fatalf("name %d was given %d, and is given %d", i, was, got)
		}
		n.end(g) // gives nothing out
	}
	if len(n.names) > maxUnsure || n.floor > 100 {
		t.Errorf("%d names, floor %d", len(n.names), n.floor)
	}
}

// TestSlowHolderMayHaveAHigherNumber: a put that goes on without the answer of a
// home holder takes a number above what that one may have, and says whose.
func TestSlowHolderMayHaveAHigherNumber(t *testing.T) {
	w := within(t, 20, 30, 40)
	looks := map[wire.ID]uint32{}
	for _, a := range w.step(Put{Op: 1, Name: "0015"}) {
		if s, ok := a.(Send); ok {
			looks[s.To] = s.Msg.(wire.Look).Req
		}
	}
	w.step(Received{20, wire.Found{Req: looks[20], Home: true}})
	w.step(Received{30, wire.Found{Req: looks[30], Home: true}})
	up := first[Upload](t, w.keepAlive(2*time.Second, 20, 30, 40))
	if want := 1 + blindLeap + uint64(w.own.spoken); up.Version != want {
		t.Errorf("version %d without the word of 40, want %d", up.Version, want)
	}
	w.sealAs(up)
	if r := first[Done](t, w.end(up, wire.CodeOK)).Result; !slices.Equal(r.Blind, []wire.ID{40}) {
		t.Errorf("%+v, want the number to be above what 40 may have", r)
	}
}

// TestUnreadableHolderMayHaveAHigherNumber: a home holder that answers, and cannot
// read its disk, may have as high a version as one that does not answer. (Its answer
// counted as that of one that has shown all it has.) One that catches up has.
func TestUnreadableHolderMayHaveAHigherNumber(t *testing.T) {
	for code, leaps := range map[wire.Code]bool{wire.CodeOK: false, wire.CodeBehind: false, wire.CodeUnreadable: true, wire.CodeBusy: true} {
		w := within(t, 20, 30, 40)
		looks := asked(w.step(Put{Op: 1, Name: "0015"}))
		w.step(Received{20, wire.Found{Req: looks[20], Home: true}})
		w.step(Received{30, wire.Found{Req: looks[30], Home: true}})
		acts := w.step(Received{40, wire.Found{Req: looks[40], Home: true, Code: code}})
		up := first[Upload](t, append(acts, w.keepAlive(2*time.Second, 20, 30, 40)...))
		if (up.Version > blindLeap) != leaps {
			t.Errorf("code %d: version %d", code, up.Version)
		}
		w.sealAs(up)
		if r := first[Done](t, w.end(up, wire.CodeOK)).Result; slices.Equal(r.Blind, []wire.ID{40}) != leaps {
			t.Errorf("code %d: the number is said to be above what %v may have", code, r.Blind)
		}
	}
}

// TestNumberAboveALeapIsNotGivenAgain: a put that could ask everybody builds on one
// that could not, and the next one is as blind as that one was.
func TestNumberAboveALeapIsNotGivenAgain(t *testing.T) {
	w := within(t, 20, 30, 40)
	leapt := wire.Manifest{Name: "0015", Version: blindLeap + uint64(w.own.spoken), Writer: 10, Signer: 10, Size: 9, Blocks: wire.Sum{9}}
	up := w.placed(t, 1, map[wire.ID][]wire.Manifest{20: {leapt}})
	w.sealAs(up)
	if r := first[Done](t, w.end(up, wire.CodeOK)).Result; r.Outcome != Succeeded || len(r.Blind) != 0 {
		t.Fatalf("%+v", r)
	}
	w.view.silence(20, false)
	if again := w.placed(t, 2, nil); again.Version <= up.Version {
		t.Errorf("version %d, then, without the word of 20, %d", up.Version, again.Version)
	}
}

// TestNumberIsAboveWhatALeaverMayHave: a member that leaves may have the last put
// of a name, and the home holder after it nothing yet. While it is silent, a put
// takes no number that it may have; the simulator's seed 20787826 gave 1 twice.
func TestNumberIsAboveWhatALeaverMayHave(t *testing.T) {
	for _, silent := range []bool{true, false} {
		w := within(t, 20, 30, 40, 50)
		w.step(Received{20, wire.Rows{Rows: []wire.Row{row(50, 2, wire.Leaving)}}})
		who := asked(w.step(Put{Op: 1, Name: "0015"}))
		if who[50] == 0 {
			t.Fatalf("asked %v, want 50 among them", who)
		}
		if !silent {
			w.step(Received{50, wire.Found{Req: who[50]}})
		}
		var acts []Action
		for _, id := range []wire.ID{20, 30, 40} {
			acts = append(acts, w.step(Received{id, wire.Found{Req: who[id], Home: true}})...)
		}
		up := first[Upload](t, append(acts, w.pass(time.Duration(secondWait))...))
		if leaps := up.Version > blindLeap; leaps != silent {
			t.Errorf("silent %v: version %d", silent, up.Version)
		}
	}
}
