package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// What a peer says and does on its way out, and what it writes down.

// exitAt returns when a peer that nothing happens to ends, at most d from now.
func (w *world) exitAt(d time.Duration) (Time, bool) {
	for end := w.now + Time(d); w.now < end; {
		w.now = max(w.now, min(w.Next(), end))
		if has[Exit](w.step(Tick{})) {
			return w.now, true
		}
	}
	return 0, false
}

// TestStop: the row that says so goes out when it is on disk, and the peer
// ends a moment later; asked again, no later.
func TestStop(t *testing.T) {
	w := within(t, 20, 30)
	began := w.now
	p := first[Persist](t, w.step(Stop{}))
	if at, over := w.exitAt(5 * time.Second); over {
		t.Fatalf("ends after %v, before its last row is on disk", time.Duration(at-began))
	}
	acts := w.step(Persisted(p))
	acts = append(acts, w.step(Stop{})...)
	acts = append(acts, w.pass(100*ms)...)
	_, rows := sends[wire.Rows](acts)
	if !slices.ContainsFunc(rows, func(m wire.Rows) bool {
		return slices.ContainsFunc(m.Rows, func(r wire.Row) bool { return r.ID == 10 && r.State == wire.Stopped })
	}) {
		t.Error("tells nobody that it stops")
	}
	if s := w.Status(); s.InRing || !s.Stopping || s.State != wire.Stopped {
		t.Errorf("in the ring %v, stopping %v, state %v", s.InRing, s.Stopping, s.State)
	}
	if at, over := w.exitAt(5 * time.Second); !over && !has[Exit](acts) {
		t.Errorf("does not end: %v, %v", at, over)
	}
	if has[Exit](w.step(Tick{})) {
		t.Error("ends twice")
	}
}

// TestStopBeforeTheRing: who has not joined has nothing to say.
func TestStopBeforeTheRing(t *testing.T) {
	w := &world{Ring: New(config(10, 10, 20)), now: Time(time.Second)}
	w.step(Tick{})
	w.step(Stop{})
	if has[Exit](w.step(Tick{})) {
		t.Error("ends while its incarnation is on its way to the disk")
	}
	w.step(Persisted{1})
	if acts := w.step(Tick{}); !has[Exit](acts) || has[Send](acts) {
		t.Errorf("does %v, want an end alone", acts)
	}
}

// TestLeaveEnds: it is through when everything is with the home holders, not
// before; the user hears it, and the peer ends.
func TestLeaveEnds(t *testing.T) {
	early := &world{Ring: New(config(10, 10, 20)), now: Time(time.Second)}
	early.step(Tick{})
	if d := first[Done](t, early.step(Leave{Op: 1})); d.Result.Outcome != NotReady {
		t.Errorf("a leave before the ring ends with %v, want not ready", d.Result.Outcome)
	}
	w := within(t, 20, 30, 40)
	todo := w.step(Leave{Op: 7})
	var offers []SendOffer
	var done []Done
	carry := func() {
		for len(todo) > 0 {
			a := todo[0]
			todo = todo[1:]
			switch a := a.(type) {
			case Persist:
				todo = append(todo, w.step(Persisted(a))...)
			case Scan:
				todo = append(todo, w.step(Scanned{Scan: a.Scan, Versions: []Version{{Key: 15, Sum: wire.Sum{1}}}})...)
			case SendOffer:
				offers = append(offers, a)
			case Done:
				done = append(done, a)
			}
		}
	}
	carry()
	for range 20 {
		todo = append(todo, w.keepAlive(500*ms, 20, 30, 40)...)
		carry()
		if len(offers) > 0 {
			break
		}
	}
	if s := w.Status(); s.State != wire.Leaving || s.InRing || len(offers) != 3 || len(done) > 0 {
		t.Fatalf("state %v, in the ring %v, %d offers, %d ends", s.State, s.InRing, len(offers), len(done))
	}
	for i, o := range offers {
		if len(done) > 0 {
			t.Fatalf("through after %d of %d offers", i, len(offers))
		}
		todo = append(todo, w.step(Received{o.To, wire.Confirmed{Req: o.Req}})...)
		carry()
	}
	todo = append(todo, w.keepAlive(500*ms, 20, 30, 40)...)
	carry()
	if len(done) != 1 || done[0].Op != 7 || done[0].Result.Outcome != Succeeded {
		t.Errorf("ends %+v, want one that succeeded", done)
	}
	if s := w.Status(); s.State != wire.Left {
		t.Errorf("state %v, want left", s.State)
	}
}

// TestLeaveSaysWhomItWaitsFor: after a while, and goes on all the same.
func TestLeaveSaysWhomItWaitsFor(t *testing.T) {
	w := within(t, 20, 30, 40)
	began := w.now
	todo := append(w.step(Leave{Op: 7}), w.step(Leave{Op: 8})...)
	var done []Done
	for w.now < began+Time(15*time.Second) {
		for len(todo) > 0 {
			a := todo[0]
			todo = todo[1:]
			switch a := a.(type) {
			case Persist:
				todo = append(todo, w.step(Persisted(a))...)
			case Scan:
				todo = append(todo, w.step(Scanned{Scan: a.Scan, Versions: []Version{{Key: 15, Sum: wire.Sum{1}}}})...)
			case SendOffer:
				code := wire.CodeOK
				if a.To == 30 {
					code = wire.CodeBusy
				}
				if w.now < began+Time(5*time.Second) {
					todo = append(todo, w.step(Received{a.To, wire.Confirmed{Req: a.Req, Code: code}})...)
				}
			case Done:
				if after := time.Duration(w.now - began); after < stillHolding*time.Second {
					t.Errorf("gives up after %v", after)
				}
				done = append(done, a)
			}
		}
		todo = w.keepAlive(500*ms, 20, 30, 40)
	}
	if len(done) != 2 {
		t.Fatalf("%d of two leaves were answered", len(done))
	}
	for _, d := range done {
		if d.Result.Outcome != StillHolding || !slices.Contains(d.Result.Silent, 30) || slices.Contains(d.Result.Silent, 10) {
			t.Errorf("ends %+v, want waiting for 30", d)
		}
	}
	if s := w.Status(); s.State != wire.Leaving {
		t.Errorf("state %v, want leaving still", s.State)
	}
}

// TestViewIsSaved: at once when somebody can be a home holder who could not be
// before, and when this peer stops; else 30 intervals after the last time,
// whatever one member says of itself; without this peer's own row.
func TestViewIsSaved(t *testing.T) {
	w := within(t, 20, 30, 40)
	all := []wire.ID{20, 30, 40}
	w.keepAlive(40*time.Second, all...)
	if has[SaveView](w.keepAlive(40*time.Second, all...)) {
		t.Error("saved though nothing changed")
	}
	i := wire.Incarnation(1)
	for _, states := range [][]wire.State{{wire.Active}, {wire.Leaving, wire.Active}} {
		saves := 0
		for range 130 {
			i++
			w.step(Received{20, wire.Rows{Rows: []wire.Row{row(30, i, states[int(i)%len(states)])}}})
			for _, a := range w.keepAlive(500*ms, all...) {
				if s, ok := a.(SaveView); ok {
					saves++
					if len(s.Rows) != 3 || slices.ContainsFunc(s.Rows, func(r wire.Row) bool { return r.ID == 10 }) {
						t.Errorf("saves %d rows, want the three of others", len(s.Rows))
					}
				}
			}
		}
		if saves < 2 || saves > 4 {
			t.Errorf("saved %d times in 65 intervals of changes between %v, want every 30", saves, states)
		}
	}
	if !has[SaveView](w.step(Stop{})) {
		t.Error("the last changes are not saved at a stop")
	}

	n := &world{Ring: New(config(10, 10, 20, 30, 40)), now: Time(time.Second)}
	n.step(Tick{})
	n.step(Persisted{1})
	n.step(LinkUp{20, 1})
	for _, c := range []struct {
		name string
		row  wire.Row
		want bool
	}{
		{"whom it has met", row(20, 1, wire.Active), true},
		{"whom it has met next", row(30, 1, wire.Active), true},
		{"another row of who is known", row(30, 2, wire.Active), false},
		{"who has left", row(40, 1, wire.Left), false},
		{"who is back after it had left", row(40, 2, wire.Joining), true},
	} {
		n.now += Time(10 * ms)
		n.step(Received{20, wire.Rows{Rows: []wire.Row{c.row}}})
		if got := has[SaveView](n.step(Tick{})); got != c.want {
			t.Errorf("%s: saved at once: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestTransfersAreNoticed: each end of a transfer is its lines, in order; what
// this peer gives itself is none.
func TestTransfersAreNoticed(t *testing.T) {
	w := within(t, 20, 30)
	for phase, want := range map[Phase][]Kind{
		Sending: {SendingFile}, Sent: {FileSent}, Receiving: {HadFile, ReceivingFile}, Got: {FileReceived},
	} {
		var got []Kind
		for _, a := range w.step(Moving{Peer: 20, Name: "0015", Phase: phase}) {
			if n, ok := a.(Notify); ok && n.Notice.Peer == 20 && n.Notice.Name == "0015" {
				got = append(got, n.Notice.Kind)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("phase %v: notices %v, want %v", phase, got, want)
		}
		if has[Notify](w.step(Moving{Peer: 10, Name: "0015", Phase: phase})) {
			t.Errorf("phase %v: a notice of what it gives itself", phase)
		}
	}
}

// TestLeaveIsPatientWhileBytesCome: a member that says that bytes of what it was
// offered come is waited for, for the grace at most, and nobody is told to be missing
// meanwhile. (Before: ten intervals, whatever the line.)
func TestLeaveIsPatientWhileBytesCome(t *testing.T) {
	w := within(t, 20, 30, 40)
	const grace = 2 * time.Minute
	began := w.now
	w.copies.doubts.grace = grace
	todo, offers := w.step(Leave{Op: 7}), make(map[wire.ID][]uint32)
	var done Time
	for next := w.now; w.now < began+3*Time(grace) && done == 0; {
		for len(todo) > 0 {
			a := todo[0]
			todo = todo[1:]
			switch a := a.(type) {
			case Persist:
				todo = append(todo, w.step(Persisted(a))...)
			case Scan:
				todo = append(todo, w.step(Scanned{Scan: a.Scan, Versions: []Version{{Key: 15, Sum: wire.Sum{1}}}})...)
			case SendOffer:
				offers[a.To] = append(offers[a.To], a.Req)
			case Done:
				done = w.now
			}
		}
		if w.now >= next {
			next = w.now + offerWait/4
			for _, to := range []wire.ID{20, 30, 40} {
				for _, req := range offers[to] {
					todo = append(todo, w.step(Received{to, wire.Confirmed{Req: req, Code: wire.CodeMore}})...)
				}
			}
		}
		todo = append(todo, w.keepAlive(500*ms, 20, 30, 40)...)
	}
	if after := time.Duration(done - began); done == 0 || after < grace {
		t.Errorf("gives up after %v, the grace is %v", after, grace)
	}
}
