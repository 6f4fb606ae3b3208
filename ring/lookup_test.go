package ring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// web is some peers that answer each other at once, for questions about keys.
// Their interval is an hour, so that nobody judges anybody.
type web struct {
	t     *testing.T
	now   Time
	conf  Config
	rings map[wire.ID]*Ring
	down  map[wire.ID]bool                            // its links fall
	lies  map[wire.ID]func(wire.Message) wire.Message // what it says instead; nil: nothing
	files map[wire.ID][]wire.Manifest                 // on their disks
	finds []wire.ID                                   // who was sent a Find, in order
	looks []wire.ID                                   // who was sent a Look, in order
}

func newWeb(t *testing.T, copies int, ids ...wire.ID) *web {
	w := &web{t: t, now: Time(time.Second), conf: config(0, ids...), rings: map[wire.ID]*Ring{},
		files: map[wire.ID][]wire.Manifest{},
		down:  map[wire.ID]bool{}, lies: map[wire.ID]func(wire.Message) wire.Message{}}
	w.conf.Roster.Interval, w.conf.Roster.Copies = time.Hour, copies
	return w
}

// runs has a peer run that knows these rows, and its own.
func (w *web) runs(id wire.ID, rows ...wire.Row) {
	w.t.Helper()
	c := w.conf
	c.Self = id
	r := New(c)
	w.rings[id] = r
	r.Step(w.now, Tick{}, nil)
	r.Step(w.now, Persisted{1}, nil)
	rows = slices.DeleteFunc(slices.Clone(rows), func(x wire.Row) bool { return x.ID == id })
	by := w.conf.Roster.Members[0].ID
	if by == id {
		by = w.conf.Roster.Members[1].ID
	}
	acts := r.Step(w.now, LinkUp{by, 1}, nil)
	acts = append(acts, r.Step(w.now, Received{by, wire.Rows{Rows: rows}}, nil)...)
	for _, a := range acts {
		if s, ok := a.(Send); ok {
			if f, ok := s.Msg.(wire.Find); ok {
				r.Step(w.now, Received{by, wire.Here{Req: f.Req}}, nil)
			}
		}
	}
	if !r.InRing() {
		w.t.Fatalf("%v is not in its ring", id)
	}
}

// op runs an operation of a peer to its end and returns its actions that are
// no messages.
func (w *web) op(at wire.ID, ev Event) (acts []Action) {
	w.t.Helper()
	r := w.rings[at]
	out := r.Step(w.now, ev, nil)
	for end := w.now + Time(20*time.Second); w.now < end; {
		for len(out) > 0 {
			a := out[0]
			out = out[1:]
			switch a := a.(type) {
			case Done, Fetch:
				return append(acts, a)
			case Send:
				out = append(out, w.send(at, a)...)
			case Answer:
				out = append(out, r.Step(w.now, Received{at, w.found(at, a)}, nil)...)
			}
		}
		if next := r.Next(); next > w.now {
			w.now = min(next, end)
		}
		out = r.Step(w.now, Tick{}, nil)
	}
	w.t.Fatalf("%v at %v never ended", ev, at)
	return nil
}

// send brings a message of an asker to its peer, and what that answers back.
func (w *web) send(from wire.ID, s Send) (out []Action) {
	switch s.Msg.(type) {
	case wire.Find:
		w.finds = append(w.finds, s.To)
	case wire.Look:
		w.looks = append(w.looks, s.To)
	}
	asker, r := w.rings[from], w.rings[s.To]
	if lie, ok := w.lies[s.To]; ok {
		if m := lie(s.Msg); m != nil {
			return asker.Step(w.now, Received{s.To, m}, nil)
		}
		return nil
	}
	if r == nil || w.down[s.To] {
		return asker.Step(w.now, LinkDown{s.To}, nil)
	}
	for _, a := range r.Step(w.now, Received{from, s.Msg}, nil) {
		switch a := a.(type) {
		case Send:
			if a.To == from {
				out = append(out, asker.Step(w.now, Received{s.To, a.Msg}, nil)...)
			}
		case Answer:
			out = append(out, asker.Step(w.now, Received{s.To, w.found(s.To, a)}, nil)...)
		}
	}
	return out
}

// found is what a peer answers that has been given all that it should have.
func (w *web) found(at wire.ID, a Answer) wire.Found {
	return wire.Found{Req: a.Req, Home: a.Home, Manifests: w.files[at]}
}

// lookup asks for the owner of a key in the ring of 256.
func (w *web) lookup(at wire.ID, key wire.Pos) Result {
	w.t.Helper()
	for _, a := range w.op(at, Lookup{1, fmt.Sprintf("%04d", key)}) {
		if d, ok := a.(Done); ok {
			return d.Result
		}
	}
	w.t.Fatal("a lookup ended without a result")
	return Result{}
}

// states of members as rows: live, or left after having been live.
func live(ids ...wire.ID) (rows []wire.Row) {
	for _, id := range ids {
		rows = append(rows, row(id, 1, wire.Active))
	}
	return rows
}

func left(ids ...wire.ID) (rows []wire.Row) {
	for _, id := range ids {
		rows = append(rows, row(id, 5, wire.Left))
	}
	return rows
}

// TestLookupOfAStaleAsker is a table of what an asker may have missed. All
// others know the truth: each lookup ends at a true holder.
func TestLookupOfAStaleAsker(t *testing.T) {
	ids := []wire.ID{10, 20, 30, 40, 50, 60, 70, 80, 90, 100}
	for _, c := range []struct {
		name   string
		copies int
		truth  []wire.Row
		asker  []wire.Row // what 100 knows
		path   []wire.ID
		owner  wire.ID
	}{
		{"it knows all", 3, live(ids...), live(ids...), []wire.ID{20}, 20},
		{"a joiner has just arrived", 3, live(ids...), live(10, 30, 40, 50, 60, 70, 80, 90, 100), []wire.ID{30}, 20},
		{"so it has, and there is one copy", 1, live(ids...), live(10, 30, 40, 50, 60, 70, 80, 90, 100), []wire.ID{30, 20}, 20},
		{"three joiners have", 3, live(ids...), live(10, 50, 60, 70, 80, 90, 100), []wire.ID{50, 20}, 20},
		{"six joiners have", 3, live(ids...), live(80, 90, 100), []wire.ID{80, 20}, 20},
		{"eight joiners have, with one copy", 1, live(ids...), live(90, 100), []wire.ID{90, 20}, 20},
		{"the owner has left", 3, append(live(10, 30, 40, 50, 60, 70, 80, 90, 100), left(20)...), live(ids...), []wire.ID{30}, 30},
		{"three have left", 3, append(live(10, 50, 60, 70, 80, 90, 100), left(20, 30, 40)...), live(ids...), []wire.ID{50}, 50},
		{"all knows of is gone but one", 3, append(live(10, 20, 90, 100), left(30, 40, 50, 60, 70, 80)...),
			live(30, 40, 50, 90, 100), []wire.ID{90}, 20},
	} {
		w := newWeb(t, c.copies, ids...)
		for _, r := range c.truth {
			if r.State == wire.Active && r.ID != 100 {
				w.runs(r.ID, c.truth...)
			}
		}
		w.runs(100, c.asker...)
		got := w.lookup(100, 15)
		if got.Outcome != Succeeded || !slices.Equal(got.Path, c.path) || got.Owner != c.owner || got.At != c.path[len(c.path)-1] {
			t.Errorf("%s: outcome %v, path %v, at %v, owner %v, want %v by %v", c.name, got.Outcome, got.Path, got.At, got.Owner, c.owner, c.path)
		}
		if len(w.finds) > tries {
			t.Errorf("%s: asked %v", c.name, w.finds)
		}
	}
}

// TestLookupOfAStaleHolder: with one copy the only holder may not have heard
// that it is one. Who asks tells it.
func TestLookupOfAStaleHolder(t *testing.T) {
	w := newWeb(t, 1, 10, 20, 30, 40)
	w.runs(30, live(10, 20, 30, 40)...)
	w.runs(10, append(live(10, 30, 40), left(20)...)...)
	if got := w.lookup(10, 15); got.Outcome != Succeeded || got.At != 30 || !slices.Equal(got.Path, []wire.ID{30, 30}) {
		t.Errorf("%+v, want 30 by asking it twice", got)
	}
}

// TestLiarsCostATry: whatever one holder says, or does not, the lookup ends at
// another; said in what it names as the path and as silent.
func TestLiarsCostATry(t *testing.T) {
	req := func(m wire.Message) uint32 {
		if f, ok := m.(wire.Find); ok {
			return f.Req
		}
		return 0
	}
	ids := []wire.ID{10, 20, 30, 40, 50, 60, 70, 80, 90, 100}
	for _, c := range []struct {
		name   string
		says   func(wire.Message) wire.Message
		path   []wire.ID
		silent []wire.ID
	}{
		{"ask you", func(m wire.Message) wire.Message { return wire.Ask{Req: req(m), Next: 100} }, []wire.ID{20, 30}, nil},
		{"ask me", func(m wire.Message) wire.Message { return wire.Ask{Req: req(m), Next: 20} }, []wire.ID{20, 30}, nil},
		{"ask one far off", func(m wire.Message) wire.Message { return wire.Ask{Req: req(m), Next: 70} }, []wire.ID{20, 30}, nil},
		{"not owner", func(m wire.Message) wire.Message { return wire.Refuse{Req: req(m), Code: wire.CodeNotOwner} }, []wire.ID{30}, []wire.ID{20}},
		{"another's number", func(m wire.Message) wire.Message { return wire.Here{Req: req(m) + 1} }, []wire.ID{30}, []wire.ID{20}},
		{"nothing", func(wire.Message) wire.Message { return nil }, []wire.ID{30}, []wire.ID{20}},
	} {
		w := newWeb(t, 3, ids...)
		for _, id := range ids {
			w.runs(id, live(ids...)...)
		}
		w.lies[20] = c.says
		began := w.now
		got := w.lookup(100, 15)
		if got.Outcome != Succeeded || got.At != 30 || !slices.Equal(got.Path, c.path) || !slices.Equal(got.Silent, c.silent) {
			t.Errorf("%s: %+v, want 30 by %v, silent %v", c.name, got, c.path, c.silent)
		}
		if took := w.now - began; took > paceUnknown {
			t.Errorf("%s: took %v", c.name, time.Duration(took))
		}
	}
}

// TestWalkIsNotEndedByALiar: whoever says that the asker itself is the owner,
// when that knows better, ends a walk with an error.
func TestWalkIsNotEndedByALiar(t *testing.T) {
	w := newWeb(t, 3, 10, 20, 30, 40)
	w.conf.Roster.Walk = true
	w.runs(10, live(10, 20, 30, 40)...)
	w.lies[20] = func(m wire.Message) wire.Message {
		if f, ok := m.(wire.Find); ok {
			return wire.Ask{Req: f.Req, Next: 10}
		}
		return nil
	}
	if got := w.lookup(10, 35); got.Outcome != OutOfHops {
		t.Errorf("%+v, want no answer: 40 is the owner", got)
	}
}

// TestHereThoughItIsNone: a Here of who is no holder in the asker's view, by
// then as good as that of those asked, does not count.
func TestHereThoughItIsNone(t *testing.T) {
	ids := []wire.ID{10, 20, 30, 40, 50, 60, 70, 80, 90, 100}
	w := newWeb(t, 1, ids...)
	for _, id := range ids {
		w.runs(id, live(ids...)...)
	}
	w.lies[20] = func(m wire.Message) wire.Message {
		f, ok := m.(wire.Find)
		if !ok {
			return nil
		}
		return wire.Ask{Req: f.Req, Next: 70}
	}
	w.lies[70] = func(m wire.Message) wire.Message {
		f, ok := m.(wire.Find)
		if !ok {
			return nil
		}
		return wire.Here{Req: f.Req}
	}
	got := w.lookup(100, 15)
	if got.Outcome != Unavailable || !slices.Equal(got.Silent, []wire.ID{70}) || !slices.Equal(w.finds[:3], []wire.ID{20, 20, 70}) || len(w.finds) > tries {
		t.Errorf("%+v, asked %v: want no answer, as 70 is no holder", got, w.finds)
	}
}

// TestLookupEndsInTime: all holders silent, it names them; all far off and
// pointing on, it ends after so many tries.
func TestLookupEndsInTime(t *testing.T) {
	ids := []wire.ID{10, 20, 30, 40, 50, 60, 70, 80, 90, 100}
	w := newWeb(t, 3, ids...)
	w.runs(100, live(ids...)...)
	for _, id := range ids[:9] {
		w.lies[id] = func(wire.Message) wire.Message { return nil }
	}
	began := w.now
	if got := w.lookup(100, 15); got.Outcome != Unavailable || !slices.Equal(got.Silent, []wire.ID{20, 30, 40, 50}) {
		t.Errorf("%+v, want the holders silent, and the next one, which may know others", got)
	}
	if took := w.now - began; took > lookupTime {
		t.Errorf("took %v, want at most %v", time.Duration(took), time.Duration(lookupTime))
	}
	next := wire.ID(0)
	w.finds = nil
	for _, id := range ids[:9] {
		w.lies[id] = func(m wire.Message) wire.Message {
			f, ok := m.(wire.Find)
			if !ok {
				return nil
			}
			next += 10
			return wire.Ask{Req: f.Req, Next: next}
		}
	}
	if got := w.lookup(100, 15); got.Outcome != OutOfHops || len(w.finds) != tries || len(got.Path) != tries {
		t.Errorf("%+v after asking %v, want an end after %d", got, w.finds, tries)
	}
}

// TestWhoIsPassedOverIsNamed: a home holder that is held unreachable is not
// asked, and when nobody else answers it is named with the silent.
func TestWhoIsPassedOverIsNamed(t *testing.T) {
	ids := []wire.ID{10, 20, 30, 40, 50}
	w := newWeb(t, 1, ids...)
	w.runs(50, live(ids...)...)
	r := w.rings[50]
	r.Step(w.now, Received{10, wire.Rows{Votes: []wire.Vote{vote(10, 20, 1, wire.Unreachable, 1), vote(40, 20, 1, wire.Unreachable, 1)}}}, nil)
	for _, id := range ids[:4] {
		w.lies[id] = func(wire.Message) wire.Message { return nil }
	}
	got := w.lookup(50, 15)
	if got.Outcome != Unavailable || !slices.Contains(got.Silent, 20) || slices.Contains(w.finds, 20) {
		t.Errorf("outcome %v, silent %v, asked %v, want 20 named and not asked", got.Outcome, got.Silent, w.finds)
	}
}

// TestHintsOutsideTheRoster: a liar can send nobody to who is no member.
func TestHintsOutsideTheRoster(t *testing.T) {
	w := newWeb(t, 1, 10, 20, 30)
	w.runs(10, live(10, 20, 30)...)
	w.lies[20] = func(m wire.Message) wire.Message {
		if f, ok := m.(wire.Find); ok {
			return wire.Ask{Req: f.Req, Next: 999}
		}
		return nil
	}
	if w.lookup(10, 15); len(w.finds) == 0 || slices.Contains(w.finds, 999) {
		t.Errorf("asked %v", w.finds)
	}
}

// TestLookupAtSelf: the owner asks nobody; another holder asks the owner, and
// answers itself when that is silent.
func TestLookupAtSelf(t *testing.T) {
	ids := []wire.ID{10, 20, 30, 40, 50}
	w := newWeb(t, 3, ids...)
	for _, id := range ids {
		w.runs(id, live(ids...)...)
	}
	if got := w.lookup(20, 15); got.Outcome != Succeeded || got.At != 20 || len(got.Path) != 0 {
		t.Errorf("the owner: %+v", got)
	}
	if got := w.lookup(30, 15); got.Outcome != Succeeded || got.At != 20 || len(got.Path) != 1 {
		t.Errorf("a holder: %+v", got)
	}
	w.down[20] = true
	if got := w.lookup(30, 15); got.Outcome != Succeeded || got.At != 30 || len(got.Path) != 0 {
		t.Errorf("a holder, the owner being down: %+v", got)
	}
}

// TestHedge: the second holder is asked when the first is later than its own
// 95th percentile, at once if its link falls, and first of all if an observer
// has voted against the first.
func TestHedge(t *testing.T) {
	ids := []wire.ID{10, 20, 30, 40, 50}
	silent := func(wire.Message) wire.Message { return nil }
	for _, c := range []struct {
		name  string
		set   func(w *web)
		after Time
		finds []wire.ID
	}{
		{"never answered before", func(w *web) { w.lies[20] = silent }, paceUnknown, []wire.ID{20, 30}},
		{"answers in 100 ms as a rule", func(w *web) {
			for range 100 {
				w.rings[50].ops.paces.took(20, Time(100*time.Millisecond))
			}
			w.lies[20] = silent
		}, Time(100 * time.Millisecond), []wire.ID{20, 30}},
		{"link falls", func(w *web) { w.down[20] = true }, 0, []wire.ID{20, 20, 30}},
		{"suspected", func(w *web) {
			w.rings[50].Step(w.now, Received{10, wire.Rows{Votes: []wire.Vote{vote(10, 20, 1, wire.Unreachable, 1)}}}, nil)
		}, 0, []wire.ID{30}},
	} {
		w := newWeb(t, 3, ids...)
		for _, id := range ids {
			w.runs(id, live(ids...)...)
		}
		c.set(w)
		began := w.now
		got := w.lookup(50, 15)
		if took := w.now - began; got.Outcome != Succeeded || took != c.after || !slices.Equal(got.Path, []wire.ID{30}) {
			t.Errorf("%s: %+v after %v, want 30 after %v", c.name, got, time.Duration(took), time.Duration(c.after))
		}
		if !slices.Equal(w.finds, c.finds) {
			t.Errorf("%s: asked %v, want %v", c.name, w.finds, c.finds)
		}
	}
}

// TestNewsEndsAWait: while all holders are silent, whoever the news makes one
// is asked, long before they are given up.
func TestNewsEndsAWait(t *testing.T) {
	ids := []wire.ID{10, 20, 30, 40, 50, 60}
	w := newWeb(t, 3, ids...)
	w.runs(10, live(ids...)...)
	r := w.rings[10]
	r.Step(w.now, Lookup{1, "0015"}, nil)
	tick := func(d time.Duration) (acts []Action) {
		for end := w.now + Time(d); w.now < end; {
			w.now = min(end, max(r.Next(), w.now+1))
			acts = append(acts, r.Step(w.now, Tick{}, nil)...)
		}
		return acts
	}
	tick(time.Second)
	r.Step(w.now, Received{60, wire.Rows{Rows: left(20, 30, 40)}}, nil)
	if to, _ := firstFind(t, tick(time.Duration(paceUnknown))); to != 50 {
		t.Errorf("asked %v, want 50", to)
	}
}

// TestLateAnswerOfTheHedgedOneCounts: first good answer wins, whose ever it is,
// and the other is ignored.
func TestLateAnswerOfTheHedgedOneCounts(t *testing.T) {
	w := within(t, 20, 30, 40)
	_, first := firstFind(t, w.step(Lookup{1, "0015"}))
	to, second := firstFind(t, w.pass(time.Duration(paceUnknown)))
	if to != 30 {
		t.Fatalf("hedged by %v, want 30", to)
	}
	acts := w.step(Received{20, wire.Here{Req: first}})
	i := slices.IndexFunc(acts, func(a Action) bool { _, ok := a.(Done); return ok })
	if i < 0 || acts[i].(Done).Result.At != 20 || !slices.Equal(acts[i].(Done).Result.Path, []wire.ID{20}) {
		t.Errorf("%v, want an end at 20", acts)
	}
	for _, a := range w.step(Received{30, wire.Here{Req: second}}) {
		if _, ok := a.(Done); ok {
			t.Error("ended twice")
		}
	}
	_, third := firstFind(t, w.step(Lookup{2, "0015"}))
	for _, a := range w.step(Received{30, wire.Here{Req: third}}) {
		if _, ok := a.(Done); ok {
			t.Error("ended by an answer of who was not asked")
		}
	}
}

// firstFind returns the first Find sent among acts, and to whom.
func firstFind(t *testing.T, acts []Action) (to wire.ID, req uint32) {
	t.Helper()
	for _, a := range acts {
		if s, ok := a.(Send); ok {
			if f, ok := s.Msg.(wire.Find); ok {
				return s.To, f.Req
			}
		}
	}
	t.Fatal("asked nobody")
	return 0, 0
}

// TestPaceIsOfWhatWasAskedOnce: an answer to what was asked again, over a new
// link, says nothing about how long answers take; any other does.
func TestPaceIsOfWhatWasAskedOnce(t *testing.T) {
	for _, fell := range []bool{false, true} {
		w := within(t, 20, 30, 40)
		_, req := firstFind(t, w.step(Lookup{1, "0015"}))
		w.now += Time(100 * time.Millisecond)
		if fell {
			_, req = firstFind(t, w.step(LinkDown{20}))
		}
		w.step(Received{20, wire.Here{Req: req}})
		want := Time(100 * time.Millisecond)
		if fell {
			want = 0
		}
		if got := w.ops.paces[20].mean; got != want {
			t.Errorf("the link fell %v: mean %v, want %v", fell, time.Duration(got), time.Duration(want))
		}
	}
}

// TestLate: twice the first answer; settled, the mean of answers that do not
// vary; never under the floor or over the ceiling.
func TestLate(t *testing.T) {
	for _, c := range []struct {
		took []time.Duration
		want time.Duration
	}{
		{nil, time.Duration(paceUnknown)},
		{[]time.Duration{100 * time.Millisecond}, 200 * time.Millisecond},
		{slices.Repeat([]time.Duration{100 * time.Millisecond}, 100), 100 * time.Millisecond},
		{[]time.Duration{time.Microsecond}, time.Duration(paceFloor)},
		{[]time.Duration{time.Minute}, time.Duration(paceCeiling)},
	} {
		var p pace
		for _, d := range c.took {
			p = p.after(Time(d))
		}
		if got := time.Duration(p.late()); max(got-c.want, c.want-got) > time.Millisecond {
			t.Errorf("late after %v answers of %v, want %v", len(c.took), got, c.want)
		}
	}
	// Of answers that vary some 5 % are late.
	g, p, late := rand.New(rand.NewPCG(1, 1)), pace{}, 0
	for i := range 20000 {
		took := Time(max(5, 100+15*g.NormFloat64()) * float64(time.Millisecond))
		if i > 100 && took > p.late() {
			late++
		}
		p = p.after(took)
	}
	if share := float64(late) / 20000; share < 0.02 || share > 0.10 {
		t.Errorf("%.3f of answers are late, want some 0.05", share)
	}
}

// TestLookupsOfRandomViews: every peer knows some of the truth. However little
// it is, a lookup ends within its budget, at who is a holder in its own view
// and in the asker's, or says why not; and if all others know the truth, at a
// true holder.
func TestLookupsOfRandomViews(t *testing.T) {
	const seeds = 600
	succeeded, asked, hops := 0, 0, 0
	for seed := range uint64(seeds) {
		g := rand.New(rand.NewPCG(seed, 4))
		var ids []wire.ID
		for id := wire.ID(7); id < 250; id += wire.ID(5 + g.IntN(30)) {
			ids = append(ids, id)
		}
		var truth, before []wire.Row
		for i, id := range ids {
			if i > 0 && i < len(ids)-1 && g.IntN(4) == 0 {
				truth = append(truth, left(id)...)
			} else {
				truth = append(truth, live(id)...)
			}
			if g.IntN(3) > 0 {
				before = append(before, live(id)...)
			}
		}
		others := seed%2 == 0 // who ask know less
		knows := func() (rows []wire.Row) {
			for _, r := range before {
				if g.IntN(2) == 0 {
					rows = append(rows, r)
				}
			}
			for _, r := range truth {
				if g.IntN(2) == 0 {
					rows = append(rows, r)
				}
			}
			return rows
		}
		asker := ids[0]
		w := newWeb(t, 1+g.IntN(3), ids...)
		for _, r := range truth {
			switch {
			case r.ID == asker || r.State != wire.Active:
			case others:
				w.runs(r.ID, knows()...)
			default:
				w.runs(r.ID, truth...)
			}
		}
		w.runs(asker, append(knows(), live(ids[len(ids)-1])...)...) // who knows nobody has nobody to ask
		key := wire.Pos(g.IntN(256))
		got := w.lookup(asker, key)
		if len(w.finds) > 2*tries || len(got.Path) > tries {
			t.Fatalf("seed %d: asked %v", seed, w.finds)
		}
		if got.Outcome != Succeeded {
			if !others {
				t.Errorf("seed %d: %+v, though all others know the truth", seed, got)
			}
			if got.Outcome != OutOfHops && (got.Outcome != Unavailable || len(got.Silent) == 0) {
				t.Errorf("seed %d: %+v", seed, got)
			}
			continue
		}
		succeeded++
		if len(got.Path) > 0 {
			asked++
			hops += len(got.Path)
		}
		if !holds(got.At, key, w.rings[got.At].view) || !holds(got.At, key, w.rings[asker].view) {
			t.Errorf("seed %d: %v is a holder of %d not in both views: %+v own %v asker %v", seed, got.At, key, got, w.rings[got.At].view.holders(key, nil), w.rings[asker].view.holders(key, nil))
		}
		if !others {
			v := w.rings[asker].view
			news{rows: truth}.merge(v)
			if owner, _ := v.owner(key); !holds(got.At, key, v) && got.At != asker || got.At != asker && got.Owner != owner {
				t.Errorf("seed %d: at %v, owner %v, truly %v", seed, got.At, got.Owner, owner)
			}
		}
	}
	if asked < seeds/2 || hops == asked {
		t.Errorf("%d of %d succeeded, %d of them by %d hops: too few to say anything", succeeded, seeds, asked, hops)
	}
	t.Logf("%d of %d succeeded, %d of them by asking, %.2f hops each", succeeded, seeds, asked, float64(hops)/float64(asked))
}
