package sim

import (
	"math"
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// storm holds what a ring sends while it forms to a cap: each row that a
// member has had, which are at most five (of its earlier run, joining, active,
// and two to refute), comes to a peer once over each of its links, and those
// are to K and K neighbours and to and from the fingers. Once more counts what
// is told when a link is new.
func storm(t *testing.T, w *World, was Counters, n int) {
	each := float64(n)
	most := 6 * (2*float64(w.Config.Observers) + 2*math.Log2(each))
	t.Logf("messages a peer %.0f, rows a peer and member %.1f, datagrams a peer %.0f",
		float64(w.Count.Messages-was.Messages)/each, float64(w.Count.Rows-was.Rows)/each/each,
		float64(w.Count.Datagrams-was.Datagrams)/each)
	bound(t, "storm: rows that reach a peer, for each member", float64(w.Count.Rows-was.Rows)/each/each, most)
}

// A thousand join at once through one contact.
func TestScaleJoinAtOnce(t *testing.T) {
	t.Parallel()
	n := many(1000, few)
	c := lan(1, scattered(1, n))
	listen(&c)
	w := New(c)
	w.Start(0)
	w.Run(5 * time.Second)
	was, began := w.Count, w.now
	for i := 1; i < n; i++ {
		w.Start(wire.ID(i), 0)
	}
	w.RunUntil(2*time.Minute, w.every(time.Second, func() bool { return w.alike() == nil }))
	if err := w.alike(); err != nil {
		t.Fatal(err)
	}
	bound(t, "join at once: one ring after T", span(w.now-began).Seconds(), 30)
	storm(t, w, was, n)
}

// All restart within a second, each with the view that it saved.
func TestScaleRestartAtOnce(t *testing.T) {
	t.Parallel()
	n := many(1000, few)
	c := lan(2, scattered(2, n))
	listen(&c)
	w := warm(t, c)
	was, began := w.Count, w.now
	for _, i := range w.rand.Perm(n) {
		id := wire.ID(i)
		w.after(time.Duration(w.rand.Int64N(int64(time.Second))), func() { w.Kill(id); w.Start(id) })
	}
	w.Run(time.Second)
	w.RunUntil(2*time.Minute, w.every(time.Second, func() bool { return w.alike() == nil }))
	if err := w.alike(); err != nil {
		t.Fatal(err)
	}
	bound(t, "restart at once: one ring after T", span(w.now-began).Seconds(), 30)
	storm(t, w, was, n)
}

// A rolling restart of 128, one each two seconds, down for one: nobody else is
// judged, and the ring is not stirred.
func TestScaleRollingRestart(t *testing.T) {
	t.Parallel()
	n := many(128, few)
	c := lan(3, scattered(3, n))
	v := listen(&c)
	w := warm(t, c)
	down := make(map[wire.ID]ring.Time) // when it was last stopped
	wrong := 0
	v.hook = func(h *Host, n ring.Notice) {
		at, ok := down[n.Peer]
		if n.Kind == ring.MemberGone && (!ok || span(w.now-at) > 5*time.Second) && h.process != nil {
			wrong++
			w.logf("FALSE verdict of %v on %v", h.ID, n.Peer)
		}
	}
	was, began := w.Count, w.now
	for _, i := range w.rand.Perm(n) {
		id := wire.ID(i)
		down[id] = w.now
		w.Stop(id)
		w.Run(time.Second)
		if w.Host(id).Runs() {
			t.Fatalf("%v did not stop in a second", id)
		}
		w.Start(id)
		w.Run(time.Second)
	}
	w.Run(10 * time.Second)
	if err := w.alike(); err != nil {
		t.Error(err)
	}
	intervals := float64(n) * span(w.now-began).Seconds()
	bound(t, "rolling restart: others judged", float64(wrong), 0)
	bound(t, "rolling restart: messages a peer and interval", float64(w.Count.Messages-was.Messages)/intervals, 60)
	bound(t, "rolling restart: datagrams a peer and interval", float64(w.Count.Datagrams-was.Datagrams)/intervals, 12)
}
