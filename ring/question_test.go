package ring

import (
	"testing"
	"time"

	"securepeer/wire"
)

// TestQuestionOfAFallenLink: it is put once more; when that fell as well, or
// whom it was put to is in the roster no more, the walk has ended.
func TestQuestionOfAFallenLink(t *testing.T) {
	w := walking(t, 20, 30, 40)
	w.step(Get{Op: 1, Name: "0035"})
	acts := w.step(LinkDown{20})
	if to, _ := firstFind(t, acts); to != 20 || len(asked(acts)) != 0 {
		t.Errorf("did %v, want the question to 20 again", acts)
	}
	if acts := w.step(LinkDown{20}); len(asked(acts)) != 3 {
		t.Errorf("did %v, want a look", acts)
	}
	w = walking(t, 20, 30, 40)
	w.step(Get{Op: 1, Name: "0035"})
	to := config(10, 10, 30, 40).Roster
	to.Walk = true
	acts = w.step(RosterChanged{to})
	if to, _ := sends[wire.Find](acts); len(to) != 0 || len(asked(acts)) == 0 {
		t.Errorf("did %v, want a look", acts)
	}
}

// TestWalkThatIsTooLong: that the next one is the owner is nothing that a peer
// on the way can say for it.
func TestWalkThatIsTooLong(t *testing.T) {
	w := walking(t, 20, 30, 40)
	if got := w.route.limit(ringOf(40)); got != 41 {
		t.Errorf("%d may be asked, want everybody once", got)
	}
	_, req := firstFind(t, w.step(Lookup{1, "0035"}))
	w.ops.list[0].base().find.limit = 1
	if r := first[Done](t, w.step(Received{20, wire.Ask{Req: req, Next: 40}})).Result; r.Outcome != OutOfHops {
		t.Errorf("%+v, want out of hops", r)
	}
}

// TestSuspectIsAskedLast: who leaves pings of this peer without an answer.
func TestSuspectIsAskedLast(t *testing.T) {
	for _, tries := range []int{helpAfter - 1, helpAfter} {
		w := within(t, 20, 30, 40)
		w.detect.watch(20).tries = tries
		want := wire.ID(20)
		if tries == helpAfter {
			want = 30
		}
		if to, _ := firstFind(t, w.step(Lookup{1, "0015"})); to != want {
			t.Errorf("after %d pings asks %d, want %d", tries, to, want)
		}
	}
}

// TestNewHolderIsLookedAt: as soon as time goes on, whoever told of it.
func TestNewHolderIsLookedAt(t *testing.T) {
	w := within(t, 20, 30, 40, 50)
	w.step(Get{Op: 1, Name: "0015"})
	w.step(Received{50, wire.Rows{Rows: left(20)}})
	if who := asked(w.step(Tick{})); len(who) != 1 || who[50] == 0 {
		t.Errorf("asks %v, want 50", who)
	}
}

// TestProbeIsOfOne: a link is dialled for it, and no other's ack answers it.
func TestProbeIsOfOne(t *testing.T) {
	w := within(t, 20, 30)
	l := w.links.line(20)
	l.up, l.tried = false, 0
	acts := w.step(Probe{Op: 1, Peer: 20})
	if d := first[Dial](t, acts); d.Peer != 20 {
		t.Errorf("dials %d", d.Peer)
	}
	ack := wire.Ping{Ack: true, Echo: first[SendPing](t, acts).Ping.Echo, Mine: 1}
	if has[Done](w.step(Pinged{30, ack})) || !has[Done](w.step(Pinged{20, ack})) {
		t.Error("the ack of 30 answers a probe of 20, or its own does not")
	}
}

// TestWhoIsAboutToJoin: by its question, if its link is of a later run than its
// row; until it speaks of that itself.
func TestWhoIsAboutToJoin(t *testing.T) {
	for _, later := range []bool{false, true} {
		w := within(t, 20, 30, 40)
		if later {
			w.links.line(20).said = 2
		}
		w.step(Received{20, wire.Find{Req: 1, For: wire.ForJoin}})
		if got := w.view.member(20).inRing; got == later {
			t.Errorf("of a later run %v, and in the ring %v", later, got)
		}
		if !later {
			continue
		}
		w.step(Received{20, wire.Rows{Rows: []wire.Row{row(30, 1, wire.Active)}}})
		if w.step(Pinged{20, wire.Ping{}}); w.view.member(20).inRing {
			t.Error("in the ring before it has said so")
		}
	}
}

// TestRingOfOneIsNotAccepted: an answer that comes too late changes nothing; who
// is accepted is shown its first successors as such.
func TestRingOfOneIsNotAccepted(t *testing.T) {
	for _, late := range []bool{false, true} {
		w := &world{Ring: New(config(10, 10, 20)), now: Time(time.Second)}
		w.step(Tick{})
		w.step(Persisted{1})
		w.pass(1900 * ms)
		_, req := firstFind(t, w.step(LinkUp{20, 1}))
		w.step(Received{20, wire.Rows{Rows: live(20)}})
		if late {
			w.pass(200 * ms)
		}
		acts := w.step(Received{20, wire.Here{Req: req}})
		if noticed(acts, JoinAccepted) == late || noticed(acts, FirstSuccessor) == late || !w.InRing() {
			t.Errorf("late %v: did %v", late, acts)
		}
	}
}
