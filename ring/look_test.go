package ring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// TestLookAtAPeerFarFromTheKey: the holders answer, and so do those that are
// asked in their place; any other refuses, and both say who the holders are,
// unless they are holders themselves.
func TestLookAtAPeerFarFromTheKey(t *testing.T) {
	var ids []wire.ID
	for id := wire.ID(1); id <= 200; id += 10 {
		ids = append(ids, id)
	}
	for i, id := range ids { // the key is 0: the holders are the first three
		w := newWeb(t, 3, ids...)
		w.runs(id, live(ids...)...)
		asker := ids[(i+1)%len(ids)]
		acts := w.rings[id].Step(w.now, Received{asker, wire.Look{Req: 7, Name: "0000"}}, nil)
		var told, refused, looks bool
		for _, a := range acts {
			switch a := a.(type) {
			case Send:
				switch m := a.Msg.(type) {
				case wire.Rows:
					told = told || a.To == asker && !refused && len(m.Rows) > 3 && m.Rows[0].ID == ids[0]
				case wire.Refuse:
					refused = a.To == asker && m == wire.Refuse{Req: 7, Code: wire.CodeNotOwner}
				}
			case Answer:
				looks = a.To == asker && a.Req == 7 && a.Home == (i < 3)
			}
		}
		if far := i >= 3+extraLooks; told != (i >= 3) || refused != far || looks == far {
			t.Errorf("%d of %d after the key: told %v, refused %v, looks %v", i, len(ids), told, refused, looks)
		}
	}
}

// TestLeavingPeerLooks: what it has not given away yet it still shows, however
// far from the key it is for others.
func TestLeavingPeerLooks(t *testing.T) {
	w := within(t, 20, 30, 40)
	w.step(Leave{1})
	w.step(Persisted{3})
	if a := first[Answer](t, w.step(Received{20, wire.Look{Req: 1, Name: "0005"}})); a.Home {
		t.Error("takes itself for a home holder")
	}
	w.step(Stop{})
	w.step(Persisted{4})
	for _, a := range w.step(Received{20, wire.Look{Req: 2, Name: "0005"}}) {
		if _, ok := a.(Answer); ok {
			t.Error("answers when it has stopped")
		}
	}
}

// TestFewOfThoseThatLeaveAreAsked: however many leave at once.
func TestFewOfThoseThatLeaveAreAsked(t *testing.T) {
	ids := []wire.ID{10, 20, 30, 40}
	n := wire.Rows{}
	for id := wire.ID(50); id < 100; id++ {
		ids = append(ids, id)
		n.Rows = append(n.Rows, row(id, 5, wire.Leaving))
	}
	w := within(t, ids[1:]...)
	w.step(Received{20, n})
	leaving := 0
	for id := range asked(w.step(Get{Op: 1, Name: "0015"})) {
		if id >= 50 {
			leaving++
		}
	}
	if leaving != extraLooks {
		t.Errorf("asked %d of those that leave, want %d", leaving, extraLooks)
	}
}

// TestWhoLeavesInSilenceSlowsNobody: a member that says that it leaves is asked
// for every name. If it does not answer, an operation ends shortly after the
// last home holder has said what the others say; if they differ, or one of
// them is silent as well, it goes on waiting.
func TestWhoLeavesInSilenceSlowsNobody(t *testing.T) {
	m := wire.Manifest{Name: "0015", Version: 1, Writer: 10, Signer: 10, Size: 9}
	all := map[wire.ID][]wire.Manifest{20: {m}, 30: {m}, 40: {m}}
	none := map[wire.ID][]wire.Manifest{20: nil, 30: nil, 40: nil}
	for _, c := range []struct {
		name string
		op   Event
		says map[wire.ID][]wire.Manifest
		want time.Duration // 0: the operation is not through after two seconds
	}{
		{"a get", Get{Op: 1, Name: "0015"}, none, time.Duration(paceUnknown)},
		{"a put of a new name", Put{Op: 1, Name: "0015"}, none, time.Duration(paceUnknown)},
		{"a put", Put{Op: 1, Name: "0015"}, all, time.Duration(paceUnknown)},
		{"a remove", Remove{Op: 1, Name: "0015"}, all, time.Duration(paceUnknown)},
		{"a stat", Stat{Op: 1, Name: "0015"}, all, time.Duration(paceUnknown)},
		{"a put, and one lacks it", Put{Op: 1, Name: "0015"}, map[wire.ID][]wire.Manifest{20: {m}, 30: {m}, 40: nil}, time.Duration(secondWait)},
		{"a get, and a home holder is silent", Get{Op: 1, Name: "0015"}, map[wire.ID][]wire.Manifest{20: nil, 30: nil}, 0},
	} {
		w := within(t, 20, 30, 40, 50)
		w.step(Received{20, wire.Rows{Rows: []wire.Row{row(50, 2, wire.Leaving)}}})
		who := asked(w.step(c.op))
		if who[50] == 0 {
			t.Fatalf("%s: asked %v, want 50 among them", c.name, who)
		}
		began, ended := w.now, func(acts []Action) bool {
			return has[Done](acts) || has[Upload](acts) || slices.ContainsFunc(acts, func(a Action) bool {
				s, ok := a.(Send)
				_, offers := s.Msg.(wire.Offer)
				return ok && offers
			})
		}
		for _, id := range []wire.ID{20, 30, 40} {
			if list, ok := c.says[id]; ok && ended(w.step(Received{id, wire.Found{Req: who[id], Home: true, Manifests: list}})) {
				t.Errorf("%s: ended before all had answered", c.name)
			}
		}
		took := time.Duration(0)
		for took == 0 && w.now < began+Time(2*time.Second) {
			if ended(w.pass(10 * ms)) {
				took = time.Duration(w.now - began)
			}
		}
		if took != c.want {
			t.Errorf("%s: went on after %v, want %v", c.name, took, c.want)
		}
	}
}

// TestRowsLeadOn: whoever the rows before an answer name is asked at once.
func TestRowsLeadOn(t *testing.T) {
	for _, m := range []func(req uint32) wire.Message{
		func(req uint32) wire.Message { return wire.Refuse{Req: req, Code: wire.CodeNotOwner} },
		func(req uint32) wire.Message { return wire.Found{Req: req} },
	} {
		w := newWeb(t, 1, 20, 30, 200)
		w.runs(200, live(30, 200)...)
		r := w.rings[200]
		who := asked(r.Step(w.now, Get{Op: 1, Name: "0015"}, nil))
		r.Step(w.now, Received{30, wire.Rows{Rows: live(20)}}, nil)
		answer := m(who[30])
		if next := asked(r.Step(w.now, Received{30, answer}, nil)); next[20] == 0 {
			t.Errorf("after %T: asked %v first and then %v, want 20", answer, who, next)
		}
	}
}

// TestLookIsBounded: however often the view changes under a look, it asks so
// many peers and no more, and a holder beyond them is not taken to have said no.
func TestLookIsBounded(t *testing.T) {
	var ids []wire.ID
	for id := range wire.ID(200) {
		ids = append(ids, id+1)
	}
	v := newView(config(200, ids...))
	news{rows: live(ids...)}.merge(v)
	var k look
	o := &outbox{}
	k.begin(1, "0000", nil, v, o)
	for _, id := range ids[:150] {
		v.mergeRow(row(id, 2, wire.Left))
		v.settle()
		k.follow(1, v, o)
	}
	if n := len(asked(o.acts)); n != maxLooks {
		t.Errorf("asked %d, want %d", n, maxLooks)
	}
	if got := k.silent(); !slices.Equal(got, []wire.ID{151, 152, 153}) {
		t.Errorf("silent %v, want the holders of now", got)
	}
}

// get brings the end of a get of key 15: what is fetched, or how it ended.
func (w *web) get(at wire.ID, key wire.Pos) (f Fetch, r Result) {
	w.t.Helper()
	for _, a := range w.op(at, Get{Op: 1, Name: fmt.Sprintf("%04d", key)}) {
		switch a := a.(type) {
		case Fetch:
			return a, Result{}
		case Done:
			r = a.Result
		}
	}
	return Fetch{}, r
}

// stored puts a file of a key onto the disks of some peers.
func (w *web) stored(key wire.Pos, on ...wire.ID) {
	for _, id := range on {
		w.files[id] = []wire.Manifest{{Name: fmt.Sprintf("%04d", key), Version: 3, Writer: 30, Signer: 30, Size: 1}}
	}
}

// TestGetOfAStaleAsker: the holders of its view are none any more, near the
// key or far off. It finds the file where it is, and says not found only when
// the true home holders do.
func TestGetOfAStaleAsker(t *testing.T) {
	ids := []wire.ID{10, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150, 160, 170, 180, 190, 200}
	for _, c := range []struct {
		name  string
		asker []wire.Row
	}{
		{"three joiners have just arrived", live(10, 30, 40, 50, 60, 200)},
		{"twelve have, and its holders are far off", live(140, 150, 160, 200)},
		{"it knows one other peer", live(150, 200)},
	} {
		for _, stored := range []bool{true, false} {
			w := newWeb(t, 3, ids...)
			for _, id := range ids[:20] {
				w.runs(id, live(ids...)...)
			}
			w.runs(200, c.asker...)
			if stored {
				w.stored(15, 20, 25, 30)
			}
			f, r := w.get(200, 15)
			switch {
			case stored && f.Manifest.Version != 3:
				t.Errorf("%s: outcome %v, silent %v, asked %v: want the file", c.name, r.Outcome, r.Silent, w.looks)
			case !stored && r.Outcome == NotFound:
				for _, id := range []wire.ID{20, 25, 30} {
					if !slices.Contains(w.looks, id) {
						t.Errorf("%s: not found, and %v was never asked: %v", c.name, id, w.looks)
					}
				}
			case !stored && r.Outcome != Unavailable:
				t.Errorf("%s: outcome %v, asked %v", c.name, r.Outcome, w.looks)
			}
			if len(w.looks) > maxLooks {
				t.Errorf("%s: asked %v", c.name, w.looks)
			}
		}
	}
}

// TestGetsOfRandomViews: all but the asker know the truth, and the file is on
// its true home holders: it is never said that it is not there.
func TestGetsOfRandomViews(t *testing.T) {
	const seeds = 400
	gets := 0
	for seed := range uint64(seeds) {
		g := rand.New(rand.NewPCG(seed, 6))
		var ids []wire.ID
		for id := wire.ID(3); id < 250; id += wire.ID(4 + g.IntN(12)) {
			ids = append(ids, id)
		}
		asker := ids[0]
		var truth, knows []wire.Row
		for i, id := range ids {
			is := live(id)[0]
			if i > 0 && i < len(ids)-1 && g.IntN(3) == 0 {
				is = left(id)[0]
			}
			truth = append(truth, is)
			switch g.IntN(3) {
			case 0:
				knows = append(knows, is)
			case 1:
				knows = append(knows, live(id)...)
			}
		}
		w := newWeb(t, 3, ids...)
		for _, r := range truth {
			if r.ID != asker && r.State == wire.Active {
				w.runs(r.ID, truth...)
			}
		}
		w.runs(asker, append(knows, live(ids[len(ids)-1])...)...)
		key := wire.Pos(g.IntN(256))
		v := newView(w.conf)
		news{rows: truth}.merge(v)
		if holds(asker, key, v) {
			continue // it asks itself
		}
		w.stored(key, v.targets(key)...)
		gets++
		if f, r := w.get(asker, key); f.Manifest.Version != 3 {
			t.Errorf("seed %d: outcome %v, silent %v, though it is on %v; asked %v", seed, r.Outcome, r.Silent, v.targets(key), w.looks)
		}
	}
	if gets < seeds*8/10 {
		t.Errorf("only %d of %d askers were no holders", gets, seeds)
	}
}

// TestOneHolderCostsAGetNothing: one that is silent, refuses for ever or says
// that it is none, with its rows or without: the others' answers are enough,
// at once; and who finds nothing is told how it answered.
func TestOneHolderCostsAGetNothing(t *testing.T) {
	ids := []wire.ID{10, 20, 30, 40, 50}
	codes := map[string]wire.Code{"not owner": wire.CodeNotOwner, "busy": wire.CodeBusy, "not home": wire.CodeNotOwner,
		"behind": wire.CodeBehind, "cannot read": wire.CodeUnreadable}
	for name, says := range map[string]func(wire.Look) wire.Message{
		"nothing":   func(wire.Look) wire.Message { return nil },
		"not owner": func(m wire.Look) wire.Message { return wire.Refuse{Req: m.Req, Code: wire.CodeNotOwner} },
		"busy":      func(m wire.Look) wire.Message { return wire.Refuse{Req: m.Req, Code: wire.CodeBusy} },
		"not home":  func(m wire.Look) wire.Message { return wire.Found{Req: m.Req} },
		"behind":    func(m wire.Look) wire.Message { return wire.Found{Req: m.Req, Code: wire.CodeBehind} },
		"cannot read": func(m wire.Look) wire.Message {
			return wire.Found{Req: m.Req, Code: wire.CodeUnreadable, Home: true}
		},
	} {
		for _, liar := range []wire.ID{20, 30, 40} {
			w := newWeb(t, 3, ids...)
			for _, id := range ids {
				w.runs(id, live(ids...)...)
			}
			w.lies[liar] = func(m wire.Message) wire.Message {
				if m, ok := m.(wire.Look); ok {
					return says(m)
				}
				return nil
			}
			w.stored(15, 20, 30, 40)
			began := w.now
			f, r := w.get(50, 15)
			if took := w.now - began; f.Manifest.Version != 3 || f.OneAnswer || took > 0 {
				t.Errorf("%v says %s: outcome %v, one answer %v after %v, want the file at once", liar, name, r.Outcome, f.OneAnswer, time.Duration(took))
			}
			delete(w.files, 20)
			delete(w.files, 30)
			delete(w.files, 40)
			if _, r := w.get(50, 15); r.Outcome != Unavailable || !slices.Equal(r.Silent, []wire.ID{liar}) {
				t.Errorf("%v says %s: of no file outcome %v, silent %v, want it named", liar, name, r.Outcome, r.Silent)
			} else if code := codes[name]; code == 0 && len(r.Declined) > 0 || code != 0 && !slices.Equal(r.Declined, []Declined{{liar, code}}) {
				t.Errorf("%v says %s: it is told as %v", liar, name, r.Declined)
			}
		}
	}
}

// TestNoOfOneThatTakesNothingWaits: what was put while a home holder was full
// or stuck has passed it by, so a get waits for a home holder that takes writes
// before it delivers what a stand-in of earlier shows.
func TestNoOfOneThatTakesNothingWaits(t *testing.T) {
	old, now := wire.Manifest{Name: "0015", Version: 1, Writer: 60}, wire.Manifest{Name: "0015", Version: 2, Writer: 60}
	for _, state := range []wire.State{wire.Stuck, wire.Full} {
		w := within(t, 20, 30, 40, 50)
		w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 2, state)}}})
		who := asked(w.step(Get{Op: 1, Name: "0015"}))
		if who[20] == 0 || who[30] == 0 || who[50] == 0 {
			t.Fatalf("%v: asked %v, want 20, 30 and the stand-in 50 among them", state, who)
		}
		acts := w.step(Received{20, wire.Found{Req: who[20], Home: true}})
		acts = append(acts, w.step(Received{50, wire.Found{Req: who[50], Manifests: []wire.Manifest{old}}})...)
		if has[Fetch](acts) {
			t.Errorf("%v: fetched what a stand-in shows before a home holder that takes writes had answered", state)
		}
		acts = w.step(Received{30, wire.Found{Req: who[30], Home: true, Manifests: []wire.Manifest{now}}})
		acts = append(acts, w.step(Received{40, wire.Found{Req: who[40], Home: true, Manifests: []wire.Manifest{now}}})...)
		i := slices.IndexFunc(acts, func(a Action) bool { f, ok := a.(Fetch); return ok && f.Manifest.Version == 2 })
		if i < 0 {
			t.Errorf("%v: the answers of the home holders led to %v, want a fetch of version 2", state, acts)
		}
	}
}

// TestNoOfAFullRingCounts: where no home holder takes writes, their answers do.
func TestNoOfAFullRingCounts(t *testing.T) {
	m := wire.Manifest{Name: "0015", Version: 1, Writer: 60}
	w := within(t, 20, 30, 40, 50)
	for _, id := range []wire.ID{20, 30, 40, 50} {
		w.step(Received{id, wire.Rows{Rows: []wire.Row{row(id, 2, wire.Full)}}})
	}
	who := asked(w.step(Get{Op: 1, Name: "0015"}))
	w.step(Received{20, wire.Found{Req: who[20], Home: true}})
	if !has[Fetch](w.step(Received{30, wire.Found{Req: who[30], Home: true, Manifests: []wire.Manifest{m}}})) {
		t.Error("two home holders of a full ring have answered, and the get waits")
	}
}
