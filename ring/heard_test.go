package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// noticed reports whether a notice of that kind is among acts.
func noticed(acts []Action, k Kind) bool {
	return slices.ContainsFunc(acts, func(a Action) bool { n, ok := a.(Notify); return ok && n.Notice.Kind == k })
}

// TestHelperThatHearsNothingEither: only one that hears the suspect says that
// it is this peer's way that is broken.
func TestHelperThatHearsNothingEither(t *testing.T) {
	for _, alive := range []bool{false, true} {
		w := within(t, 20, 30)
		w.detect.watch(20).asked = []helper{{30, 7}}
		w.step(Received{30, wire.PingReqAck{Req: 7, Alive: alive}})
		if got := w.links.line(20).oneWay; (got != 0) != alive {
			t.Errorf("30 hears it %v: one way since %v", alive, got)
		}
	}
}

// TestPacketOfOneFarAwayIsNoReasonToDial: else all would have links with all;
// of one that was out of the ring it is.
func TestPacketOfOneFarAwayIsNoReasonToDial(t *testing.T) {
	for _, out := range []bool{false, true} {
		w := within(t, 20, 30, 40, 50, 60, 70, 80, 90, 100)
		if out {
			w.judge(wire.Unreachable, 1, 60)
		}
		l := w.links.line(60)
		l.up, l.tried = false, 0
		if acts := w.step(Pinged{60, wire.Ping{Mine: 1}}); slices.Contains(acts, Action(Dial{60})) != out {
			t.Errorf("out of the ring %v: did %v", out, acts)
		}
	}
}

// TestPingReceivedIsShownOfPredecessors: and while this peer is in the ring.
func TestPingReceivedIsShownOfPredecessors(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60, 70, 80)
	for _, id := range []wire.ID{20, 50, 60, 80} {
		if acts := w.step(Pinged{id, wire.Ping{Mine: 1}}); noticed(acts, PingReceived) != (id >= 60) {
			t.Errorf("ping of %d: did %v", id, acts)
		}
	}
	w.now += Time(time.Second)
	w.view.mergeRow(row(10, 9, wire.Leaving))
	w.view.settle()
	if acts := w.step(Pinged{80, wire.Ping{Mine: 1}}); noticed(acts, PingReceived) {
		t.Errorf("leaving: did %v", acts)
	}
}

// TestViewsAreComparedOverALink: one is not made for that.
func TestViewsAreComparedOverALink(t *testing.T) {
	for _, up := range []bool{false, true} {
		w := within(t, 20, 30)
		if !up {
			w.links.closed(w.now, 20)
		}
		ping := wire.Ping{Ack: true, Mine: 1, View: wire.Digest{1}}
		if to, _ := sends[wire.Buckets](w.step(Pinged{20, ping})); (len(to) == 1) != up {
			t.Errorf("link %v: asks %v", up, to)
		}
	}
}

// TestWhoHasEndedAsksNobody: told to stop before it was in the ring, it does not
// go on with joining.
func TestWhoHasEndedAsksNobody(t *testing.T) {
	w := &world{Ring: New(config(10, 10, 20, 30)), now: Time(time.Second)}
	w.step(Tick{})
	w.step(Stop{})
	w.step(Persisted{1})
	if acts := w.step(Tick{}); !has[Exit](acts) {
		t.Fatalf("did %v, want an end", acts)
	}
	w.now += Time(5 * time.Second)
	if acts := w.step(Tick{}); len(acts) != 0 || w.InRing() {
		t.Errorf("after its end: %v", acts)
	}
}

// TestVotesAreOfTheRing: who is out of it says nothing of others.
func TestVotesAreOfTheRing(t *testing.T) {
	w := within(t, 20, 30, 40)
	w.cast(20, wire.Unreachable)
	w.view.mergeRow(row(10, 9, wire.Leaving))
	w.view.settle()
	before := *w.view.voteOf(10, 20)
	w.step(Pinged{20, wire.Ping{Mine: 1}})
	if got := *w.view.voteOf(10, 20); got != before {
		t.Errorf("leaving, votes %+v", got)
	}
}
