package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// What is asked, waited for, or offered anew, and what is not.

// TestWhoComesAnewIsWaitedFor: one that was cut off, or never met before, may
// hold what this peer lacks, whatever it said earlier; one whose disk has
// filled up does not.
func TestWhoComesAnewIsWaitedFor(t *testing.T) {
	for _, c := range []struct {
		said   wire.Row
		behind bool
	}{
		{row(20, 2, wire.Active), true},
		{row(20, 2, wire.Full), false},
		{row(40, 1, wire.Active), true},
	} {
		w := within(t, 20, 30)
		r := w.Ring.roster
		r.Members = append(slices.Clone(r.Members), Member{ID: 40, Pos: 40})
		w.step(RosterChanged{r})
		w.step(Received{40, wire.Settled{Incarnation: 1, From: 10}})
		if w.behind() {
			t.Fatal("behind at first")
		}
		if w.step(Received{20, wire.Rows{Rows: []wire.Row{c.said}}}); w.behind() != c.behind {
			t.Errorf("%d is %v now: behind %v", c.said.ID, c.said.State, w.behind())
		}
	}
}

// TestWhenAPeerThatIsBehindActs: 20 T after what came here last, or, with the
// word of another that it has all, 20 T whatever still comes now and then; and
// it goes one above only when nothing is on its way.
func TestWhenAPeerThatIsBehindActs(t *testing.T) {
	const T = Time(time.Second)
	for _, c := range []struct {
		name   string
		given  bool
		gained Time
		moving bool
		at     Time
		asks   bool // by a new incarnation
		behind bool
	}{
		{"early", false, 0, false, 20 * T, false, true},
		{"late", false, 0, false, 20*T + 1, true, true},
		{"while something comes", false, 15 * T, false, 30 * T, false, true},
		{"long after", false, 15 * T, false, 35*T + 1, true, true},
		{"with more on its way", false, 0, true, 30 * T, false, true},
		{"early, by the word of another", true, 0, false, 20 * T, false, true},
		{"by the word of another", true, 15 * T, true, 20*T + 1, false, false},
	} {
		w := within(t, 20, 30)
		w.copies.accord.unsettle(20)
		if !c.given {
			w.copies.accord.unsettle(30)
		}
		w.copies.pass = &pass{}
		if c.moving {
			w.copies.pass.batch = []Version{onTen}
		}
		start := w.now
		w.agreed, w.copies.gained = start, start+c.gained
		asked := w.own.asked
		w.heal(start + c.at)
		if asks := w.own.asked > asked; asks != c.asks || w.behind() != c.behind {
			t.Errorf("%s: asks %v, behind %v", c.name, asks, w.behind())
		}
	}
}

// TestDiskIsToldWhileBehind: who is active and behind still says that its disk
// takes no more; who is joining becomes nothing else before it has caught up.
func TestDiskIsToldWhileBehind(t *testing.T) {
	for _, s := range []wire.State{wire.Active, wire.Joining} {
		w := within(t, 20, 30)
		w.copies.accord.unsettle(20)
		w.own.state = s
		asks := has[Persist](w.step(DiskChanged{wire.Full}))
		if told := s == wire.Active; asks != told || !w.behind() {
			t.Errorf("%v: tells of its disk %v", s, asks)
		}
	}
}

// joining returns peer 10 that has links with some of the others and has asked
// the first of them, by the question it returns.
func joining(t *testing.T, linked ...wire.ID) (*world, uint32) {
	t.Helper()
	w := &world{Ring: New(config(10, 10, 20, 30, 40)), now: Time(time.Second)}
	w.step(Tick{})
	w.step(Persisted{1})
	to, m := sends[wire.Find](w.step(LinkUp{linked[0], 1}))
	if len(m) != 1 || to[0] != linked[0] {
		t.Fatalf("asks %v", to)
	}
	for _, id := range linked[1:] {
		w.step(LinkUp{id, 1})
	}
	return w, m[0].Req
}

// asks returns whom the joiner asks at an event and within a fifth of an
// interval after it, the last of all.
func (w *world) asks(e Event) wire.ID {
	to, _ := sends[wire.Find](append(w.step(e), w.pass(200*ms)...))
	if len(to) == 0 {
		return 0
	}
	return to[len(to)-1]
}

// TestJoinerGoesOnToTheNext: at once when the one that it asked can't help, or
// its link falls; not by what that one says of another question.
func TestJoinerGoesOnToTheNext(t *testing.T) {
	for _, c := range []struct {
		name string
		said func(req uint32) Event
		want wire.ID
	}{
		{"the link falls", func(uint32) Event { return LinkDown{20} }, 30},
		{"it is in no ring", func(req uint32) Event { return Received{20, wire.Refuse{Req: req}} }, 30},
		{"it says so of another question", func(req uint32) Event { return Received{20, wire.Refuse{Req: req + 9}} }, 0},
		{"it sends another question on", func(req uint32) Event { return Received{20, wire.Ask{Req: req + 9, Next: 40}} }, 0},
		{"it answers another question", func(req uint32) Event { return Received{20, wire.Here{Req: req + 9}} }, 0},
	} {
		w, req := joining(t, 20, 30)
		if got := w.asks(c.said(req)); got != c.want || w.InRing() {
			t.Errorf("%s: asks %d, want %d; in the ring %v", c.name, got, c.want, w.InRing())
		}
	}
}

// TestNewLinkIsAskedAtOnce: though it was of no help over the one before.
func TestNewLinkIsAskedAtOnce(t *testing.T) {
	w, req := joining(t, 20)
	if got := w.asks(Received{20, wire.Refuse{Req: req}}); got != 0 {
		t.Fatalf("asks %d again within a quarter of an interval", got)
	}
	if to, _ := sends[wire.Find](w.step(LinkUp{20, 2})); !slices.Equal(to, []wire.ID{20}) {
		t.Errorf("asks %v over the new link", to)
	}
}

// TestJoinerIsNotSentBack: if it is sent to one that did not help a moment
// ago, the word of who sent it is enough.
func TestJoinerIsNotSentBack(t *testing.T) {
	w, req := joining(t, 20, 30)
	w.step(Received{20, wire.Refuse{Req: req}})
	_, m := sends[wire.Find](w.pass(200 * ms))
	if w.step(Received{30, wire.Ask{Req: m[0].Req, Next: 20}}); !w.InRing() {
		t.Error("is not in the ring")
	}
}

// TestAnswerPutsOffARingOfOne: a member of a ring that sends the joiner on has
// answered, so it is alone two intervals after that; but not for ever.
func TestAnswerPutsOffARingOfOne(t *testing.T) {
	w, req := joining(t, 20)
	w.pass(900 * ms)
	w.step(Received{20, wire.Ask{Req: req, Next: 40}})
	if w.pass(1900 * ms); w.InRing() {
		t.Error("in a ring of one before two intervals")
	}
	if w.pass(200 * ms); !w.InRing() {
		t.Error("not in a ring after two intervals")
	}
	j, start := join{started: 5, answered: 5 + joinFor*Time(time.Second), refused: map[wire.ID]Time{}}, Time(5)
	l, o := newLinks(), outbox{}
	end := start + joinFor*Time(time.Second)
	if j.step(end-1, w.view, l, route{}, &o) || !j.step(end, w.view, l, route{}, &o) {
		t.Errorf("does not end its search after %d intervals", joinFor)
	}
}

// TestContactIsAskedFirst: for an interval nobody else is dialled or asked, and
// the contact only over a link; then the others, some at a time.
func TestContactIsAskedFirst(t *testing.T) {
	c := config(10, 10, 20, 30, 40)
	c.Contact, c.HasContact = 40, true
	w := &world{Ring: New(c), now: Time(time.Second)}
	dials := func(acts []Action) (ids []wire.ID) {
		for _, a := range acts {
			if d, ok := a.(Dial); ok {
				ids = append(ids, d.Peer)
			}
		}
		slices.Sort(ids)
		return slices.Compact(ids)
	}
	acts := append(w.step(Tick{}), w.step(Persisted{1})...)
	acts = append(acts, w.pass(400*ms)...)
	acts = append(acts, w.step(LinkUp{20, 1})...)
	acts = append(acts, w.pass(500*ms)...)
	if to, _ := sends[wire.Find](acts); len(to) != 0 || !slices.Equal(dials(acts), []wire.ID{40}) {
		t.Errorf("in the first interval asks %v, dials %v", to, dials(acts))
	}
	acts = w.pass(300 * ms)
	if to, _ := sends[wire.Find](acts); !slices.Equal(to, []wire.ID{20}) || !slices.Contains(dials(acts), 30) {
		t.Errorf("then asks %v, dials %v", to, dials(acts))
	}
}

// TestMoreAreDialledInTurn: some at a time, not all at once.
func TestMoreAreDialledInTurn(t *testing.T) {
	v := ringOf(80)
	j, l := join{started: 1}, newLinks()
	for i, want := range []int{fanOut, 0, 0, 0, fanOut, 0, 0, 0, fanOut} {
		var o outbox
		if j.dial(1+Time(i)*Time(time.Second/8), v, l, &o); len(o.acts) != want {
			t.Errorf("dials %d at step %d, want %d", len(o.acts), i, want)
		}
	}
}
