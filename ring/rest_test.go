package ring

import (
	"testing"
	"time"

	"securepeer/wire"
)

// TestProbePingsAreToldApart: each has an echo of its own, so that a late ack is
// of none.
func TestProbePingsAreToldApart(t *testing.T) {
	w := within(t, 20, 30)
	one := first[SendPing](t, w.step(Probe{Op: 1, Peer: 20})).Ping.Echo
	two := first[SendPing](t, w.step(Probe{Op: 2, Peer: 20})).Ping.Echo
	if one == two || one == 0 || two == 0 {
		t.Errorf("echoes %d and %d", one, two)
	}
}

// TestDiskThatCannotBeReadRests: longer and longer.
func TestDiskThatCannotBeReadRests(t *testing.T) {
	w := within(t, 20, 30)
	for _, want := range []time.Duration{2 * time.Second, 4 * time.Second} {
		scan := first[Scan](t, w.keepAlive(5*time.Second, 20, 30))
		w.step(Scanned{Scan: scan.Scan, Failed: true})
		if got := time.Duration(w.copies.due - w.now); !w.copies.wanted || got != want {
			t.Errorf("read again after %v, want %v", got, want)
		}
	}
}

// TestSilentTakerRests: before it is offered anything again.
func TestSilentTakerRests(t *testing.T) {
	w := within(t, 20, 30)
	by := w.offers(t)
	w.step(Received{30, wire.Confirmed{Req: by[30].Req}})
	w.keepAlive(time.Duration(offerWait), 20, 30)
	if r := w.copies.resting[20]; r.times != 1 || r.until <= w.now {
		t.Errorf("20 rests %+v at %v", r, w.now)
	}
}
