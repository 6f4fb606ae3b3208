package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// walking returns peer 10 in a ring that is asked successor by successor.
func walking(t *testing.T, others ...wire.ID) *world {
	t.Helper()
	w := within(t, others...)
	w.Ring.roster.Walk = true
	w.tune()
	return w
}

// found answers a Look or Answer of who, as a home holder.
func (w *world) found(who map[wire.ID]uint32, from wire.ID, ms ...wire.Manifest) []Action {
	return w.step(Received{from, wire.Found{Req: who[from], Home: true, Manifests: ms}})
}

// TestGetWaitsForTheOwnerOfItsWalk: the walk comes first, and ends nothing; then
// two others that have the file are not enough, as the bytes come from the owner.
func TestGetWaitsForTheOwnerOfItsWalk(t *testing.T) {
	w := walking(t, 20, 30, 40, 50)
	file := wire.Manifest{Name: "0045", Version: 1, Writer: 30}
	acts := w.step(Get{Op: 1, Name: file.Name})
	if n := first[Notify](t, acts).Notice; n.Kind != RequestSent || n.Peer != 20 || len(asked(acts)) != 0 {
		t.Errorf("did %v, want a question to 20 alone", acts)
	}
	_, req := firstFind(t, acts)
	if acts := w.step(Tick{}); has[Done](acts) {
		t.Errorf("ends on its way: %v", acts)
	}
	to, req := firstFind(t, w.step(Received{20, wire.Ask{Req: req, Next: 50}}))
	who := asked(w.step(Received{50, wire.Here{Req: req}}))
	if to != 50 || len(who) != 3 {
		t.Fatalf("led to %d, and asks %v", to, who)
	}
	if acts := append(w.found(who, 10, file), w.found(who, 20, file)...); has[Fetch](acts) {
		t.Error("does not wait for the owner")
	}
	if f := first[Fetch](t, w.found(who, 50, file)); !slices.Equal(f.Sources, []wire.ID{50, 10, 20}) {
		t.Errorf("from %v, want the owner first, then this peer itself", f.Sources)
	}
}

// TestGetAfterAWalkThatFailed: who ended it is nobody to wait for.
func TestGetAfterAWalkThatFailed(t *testing.T) {
	w := walking(t, 20, 30, 40, 50)
	file := wire.Manifest{Name: "0045", Version: 1, Writer: 30}
	_, req := firstFind(t, w.step(Get{Op: 1, Name: file.Name}))
	who := asked(w.step(Received{20, wire.Refuse{Req: req}}))
	w.found(who, 50, file)
	if f := first[Fetch](t, w.found(who, 10, file)); !slices.Equal(f.Sources, []wire.ID{10, 50}) {
		t.Errorf("from %v, want 10, then 50", f.Sources)
	}
}

// TestStatSaysWhoIsSilent: it walks nowhere; who is held unreachable is not asked,
// and no more than who does not answer has it said anything.
func TestStatSaysWhoIsSilent(t *testing.T) {
	w := walking(t, 20, 30, 40, 50, 60)
	w.judge(wire.Unreachable, 1, 30)
	acts := w.step(Stat{Op: 1, Name: "0015"})
	if to, _ := sends[wire.Find](acts); len(to) != 0 || has[Notify](acts) {
		t.Errorf("walks: %v", acts)
	}
	who := asked(acts)
	w.found(who, 20, file3)
	w.step(Received{50, wire.Found{Req: who[50]}})
	r := first[Done](t, w.keepAlive(4*time.Second, 20, 40, 50, 60)).Result
	silent := map[wire.ID]bool{}
	for _, f := range r.Found {
		silent[f.Peer] = f.Silent
	}
	if !slices.Equal(r.Holders, []wire.ID{20, 30, 40, 50}) || !slices.Equal(r.Silent, []wire.ID{30, 40}) ||
		silent[20] || !silent[30] || !silent[40] || silent[50] {
		t.Errorf("%+v, want 30 and 40 silent", r)
	}
}

// TestOneOfTwoAnswersIsOfAHomeHolder: if any can be reached; that the others
// are home only this peer thinks.
func TestOneOfTwoAnswersIsOfAHomeHolder(t *testing.T) {
	w := within(t, 20, 30, 40)
	who := asked(w.step(Get{Op: 1, Name: "0015"}))
	for _, id := range []wire.ID{20, 30} {
		if acts := w.step(Received{id, wire.Found{Req: who[id], Manifests: []wire.Manifest{file3}}}); has[Fetch](acts) {
			t.Errorf("fetches by the word of %d, which is not home", id)
		}
	}
	if f := first[Fetch](t, w.found(who, 40)); !slices.Equal(f.Sources, []wire.ID{20, 30}) {
		t.Errorf("from %v", f.Sources)
	}
}

// TestStandInOfEarlierIsFound: when a home holder says nothing, everybody near
// the key is asked before the file is called unavailable.
func TestStandInOfEarlierIsFound(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60, 70, 80, 90)
	who := asked(w.step(Get{Op: 1, Name: "0015"}))
	w.found(who, 20)
	w.found(who, 30)
	w.step(LinkDown{40})
	instead := asked(w.step(LinkDown{40}))
	if len(instead) != 1 || instead[50] == 0 {
		t.Fatalf("asks %v, want 50", instead)
	}
	all := asked(w.step(Received{50, wire.Found{Req: instead[50]}}))
	if len(all) != 5 {
		t.Fatalf("asks %v, want all the others", all)
	}
	if f := first[Fetch](t, w.step(Received{70, wire.Found{Req: all[70], Manifests: []wire.Manifest{file3}}})); !slices.Equal(f.Sources, []wire.ID{70}) {
		t.Errorf("from %v, want 70", f.Sources)
	}
}

// TestOtherVersionsHaveTheirOwnSources: who has the highest need not have them.
func TestOtherVersionsHaveTheirOwnSources(t *testing.T) {
	w := within(t, 20, 30, 40)
	also := wire.Manifest{Name: "0015", Version: 9, Writer: 40, Signer: 40}
	who := asked(w.step(Get{Op: 1, Name: "0015"}))
	w.found(who, 20, file3, also)
	f := first[Fetch](t, w.found(who, 30, file3))
	if f.Manifest != also || len(f.Others) != 1 || f.Others[0].Manifest != file3 || !slices.Equal(f.Others[0].Sources, []wire.ID{20, 30}) {
		t.Errorf("others %+v, want that of 30, from 20 and 30", f.Others)
	}
}

// TestWhoHasLeftAnswersNoLook: what it holds has been given away.
func TestWhoHasLeftAnswersNoLook(t *testing.T) {
	w := within(t, 20, 30)
	w.view.mergeRow(row(10, 9, wire.Left))
	w.view.settle()
	acts := w.step(Received{20, wire.Look{Req: 1, Name: "0005"}})
	if _, m := sends[wire.Refuse](acts); len(m) != 1 || m[0].Code != wire.CodeNotInRing || has[Answer](acts) {
		t.Errorf("did %v, want a no", acts)
	}
}

// TestOwnerThatHoldsNothingAsksNotItself: first after the key, and full.
func TestOwnerThatHoldsNothingAsksNotItself(t *testing.T) {
	w := walking(t, 20, 30, 40)
	w.view.copies = 1
	w.view.mergeRow(row(10, 3, wire.Full))
	w.judge(wire.Unreachable, 1, 40)
	if owner, _ := w.view.owner(35); owner != 10 || holds(10, 35, w.view) {
		t.Fatalf("owner %d, and 10 holds it: %v", owner, holds(10, 35, w.view))
	}
	if to, _ := firstFind(t, w.step(Lookup{1, "0035"})); to != 20 {
		t.Errorf("asks %d, want the stand-in 20", to)
	}
}

// TestWalkFindsTheOwner: it is who says Here, whoever this peer took for it.
func TestWalkFindsTheOwner(t *testing.T) {
	w := walking(t, 20, 30, 40)
	_, req := firstFind(t, w.step(Lookup{1, "0015"}))
	_, req = firstFind(t, w.step(Received{20, wire.Ask{Req: req, Next: 30}}))
	if r := first[Done](t, w.step(Received{30, wire.Here{Req: req}})).Result; r.At != 30 || r.Owner != 30 {
		t.Errorf("%+v, want 30", r)
	}
}

// TestWhoFellIsNotTaught: though it holds the key, and has sent the question
// elsewhere; who can be reached is.
func TestWhoFellIsNotTaught(t *testing.T) {
	w := within(t, 20, 30, 40, 50)
	w.view.copies = 1
	_, req := firstFind(t, w.step(Lookup{1, "0015"}))
	w.judge(wire.Unreachable, 1, 20)
	_, req = firstFind(t, w.step(Received{20, wire.Ask{Req: req, Next: 30}}))
	if to, _ := firstFind(t, w.step(Received{30, wire.Ask{Req: req, Next: 20}})); to != 30 {
		t.Errorf("asks %d, want 30 again", to)
	}
}

// TestFallenLinkOfALookup: who was asked is so once more, and one more beside
// it; who is in the roster no more is not.
func TestFallenLinkOfALookup(t *testing.T) {
	w := within(t, 20, 30, 40)
	w.step(Lookup{1, "0015"})
	if to, _ := sends[wire.Find](w.step(LinkDown{20})); !slices.Equal(to, []wire.ID{20, 30}) {
		t.Errorf("asks %v, want 20 again, and 30", to)
	}
	w = within(t, 20, 30, 40)
	w.step(Lookup{1, "0015"})
	r := config(10, 10, 30, 40).Roster
	if to, _ := sends[wire.Find](w.step(RosterChanged{r})); !slices.Equal(to, []wire.ID{30}) {
		t.Errorf("asks %v, want 30 alone", to)
	}
}

// TestWhenALookupGoesOn: when an answer is late, when who is silent is given up,
// and when all of it has taken too long.
func TestWhenALookupGoesOn(t *testing.T) {
	hops := []hop{{sent: 5, state: answered}, {sent: 7}}
	for _, c := range []struct {
		l    lookup
		want Time
	}{
		{lookup{began: 1, hedge: 9, hops: hops}, 9},
		{lookup{began: 1, hedge: never, hops: hops}, 7 + lookWait},
		{lookup{began: 1, hedge: never}, 1 + lookupTime},
	} {
		if got := c.l.next(); got != c.want {
			t.Errorf("next at %v, want %v", time.Duration(got), time.Duration(c.want))
		}
	}
}

// TestPaceIsThatOfRFC6298: mean and deviation; one that answered at once has a
// pace, too.
func TestPaceIsThatOfRFC6298(t *testing.T) {
	p := pace{}.after(80)
	if p != (pace{80, 40}) {
		t.Errorf("first %v", p)
	}
	if p = p.after(160); p != (pace{90, 50}) {
		t.Errorf("second %v", p)
	}
	if got := (pace{}).after(0).late(); got != paceFloor {
		t.Errorf("at once: late after %v", time.Duration(got))
	}
}
