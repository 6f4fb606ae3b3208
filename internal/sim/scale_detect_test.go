package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// With T = 1 s a death is known to the observers of the dead within two
// seconds (median), three (99 of 100), and to all live within four (median),
// however large the ring is; after a power cut, which nobody hears of, as
// after a kill, which closes the links.
func TestScaleDetection(t *testing.T) {
	for _, n := range sizes(8, 128, 1000) {
		for _, how := range []struct {
			name string
			end  func(*World, wire.ID)
		}{{"crash", (*World).Crash}, {"kill", (*World).Kill}} {
			t.Run(fmt.Sprintf("n=%v/%s", n, how.name), func(t *testing.T) {
				t.Parallel()
				c := lan(3, scattered(uint64(n), n))
				v := listen(&c)
				w := warm(t, c)
				var observers, all figures
				for deaths := often(400, 40, 20); len(all) < deaths; {
					o, a := w.deaths(t, v, how.end)
					observers, all = append(observers, o...), append(all, a...)
				}
				t.Logf("n=%v: death to verdict at the last observer, in T: %v", n, observers)
				t.Logf("n=%v: death to verdict at everybody, in T: %v", n, all)
				bound(t, "detection: at the observers, median of T", observers.at(0.5), 2)
				bound(t, "detection: at the observers, 99 of 100, of T", observers.at(0.99), 3)
				bound(t, "detection: known to all live, median of T", all.at(0.5), 4)
			})
		}
	}
}

// deaths kills some peers that have no observer in common, at different
// moments of an interval, and brings them back. It returns how many intervals
// it took until the observers knew, and until everybody did.
func (w *World) deaths(t *testing.T, v *verdicts, end func(*World, wire.ID)) (observers, all figures) {
	k := w.Config.Observers
	order := w.running()[0].Status().Ring
	type death struct {
		id  wire.ID
		at  ring.Time
		obs []*Host
	}
	var dead []death
	for i := w.rand.IntN(len(order)); len(dead) < max(1, len(order)/(8*k)); i += 3*k + w.rand.IntN(k) {
		d := death{id: order[i%len(order)]}
		for j := range k {
			d.obs = append(d.obs, w.byID[order[(i-1-j+2*len(order))%len(order)]])
		}
		w.Run(time.Duration(w.rand.Int64N(int64(w.Config.Interval))) / time.Duration(1+len(order)/100))
		end(w, d.id)
		d.at = w.now
		dead = append(dead, d)
	}
	live := w.running()
	known := func() bool {
		return !slices.ContainsFunc(dead, func(d death) bool { return !v.holds(live, d.id) })
	}
	if !w.RunUntil(20*w.Config.Interval, w.every(w.Config.Interval/4, known)) {
		t.Fatalf("not everybody knows after 20 T")
	}
	for _, d := range dead {
		o, _ := v.last(d.obs, d.id)
		a, _ := v.last(live, d.id)
		observers = append(observers, span(o-d.at).Seconds()/w.Config.Interval.Seconds())
		all = append(all, span(a-d.at).Seconds()/w.Config.Interval.Seconds())
		w.Start(d.id)
	}
	if !w.RunUntil(30*w.Config.Interval, w.every(w.Config.Interval, func() bool { return w.alike() == nil })) {
		t.Fatalf("not back after 30 T: %v", w.alike())
	}
	return observers, all
}

// judged counts the times that live peers were put out of the ring: by a
// verdict of observers who agree, and by one peer's own word, which only
// routes. All who do so within a few intervals do it once.
type judged struct {
	verdicts, words int
	last            map[wire.ID]ring.Time
}

// count has j count what v hears of members that innocent says are well, by
// peers that are.
func (j *judged) count(v *verdicts, innocent func(h *Host) bool) {
	j.last = make(map[wire.ID]ring.Time)
	v.hook = func(h *Host, n ring.Notice) {
		w := h.world
		about := w.byID[n.Peer]
		if n.Kind != ring.MemberGone || !innocent(h) || !innocent(about) {
			return
		}
		agree := 0
		for _, m := range h.Status().Members {
			for _, vote := range m.Votes {
				if m.ID == n.Peer && vote.Verdict >= wire.Unreachable {
					agree++
				}
			}
		}
		at, before := j.last[about.ID]
		switch j.last[about.ID] = w.now; {
		case before && span(w.now-at) < 5*w.Config.Interval:
		case agree >= 2:
			j.verdicts++
			w.logf("FALSE verdict of %v on %v", h.ID, about.ID)
		default:
			j.words++
			w.logf("FALSE word of %v on %v", h.ID, about.ID)
		}
	}
}

// At 10 % loss nobody who lives is judged in 10,000 peer-hours, at 30 % fewer
// than one in a hundred. Loss is that of single datagrams, and segments, each
// way. A tenth of the hours run with -scale, all of them with -huge.
func TestScaleFalseVerdicts(t *testing.T) {
	t.Run("loss=0.1", func(t *testing.T) { falseVerdicts(t, 0.1, 10_000, 0) })
	t.Run("loss=0.3", func(t *testing.T) { falseVerdicts(t, 0.3, 3_000, 0.01) })
}

// falseVerdicts runs worlds of 32 peers for so many peer-hours together, two
// at once.
func falseVerdicts(t *testing.T, loss, hours, most float64) {
	switch {
	case *huge:
	case *scale:
		hours /= 10
	default:
		hours /= 1000
	}
	const worlds, n = 2, 32
	var count [worlds]judged
	t.Run("worlds", func(t *testing.T) {
		for i := range worlds {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				c := lan(uint64(i), scattered(uint64(i), n))
				c.Net = Net{Delay: 10 * time.Millisecond, Jitter: 10 * time.Millisecond}
				v := listen(&c)
				w := warm(t, c)
				count[i].count(v, func(*Host) bool { return true })
				w.Config.Net.Loss = loss
				w.Run(time.Duration(hours / n / worlds * float64(time.Hour)))
				if lost := float64(w.Count.Lost) / float64(w.Count.Datagrams); lost < loss*0.95 {
					t.Errorf("only %.3f of the datagrams were lost", lost)
				}
			})
		}
	})
	var total judged
	for _, c := range count {
		total.verdicts += c.verdicts
		total.words += c.words
	}
	t.Logf("loss %v, %.0f peer-hours: %v verdicts on who lives, %v times by one peer's own word", loss, hours, total.verdicts, total.words)
	bound(t, "loss: false verdicts a peer-hour", float64(total.verdicts)/hours, most)
	bound(t, "loss: out of one peer's ring by its own word, a peer-hour", float64(total.words)/hours, most)
}

// Lifeguard's grid: C members of 128 are paused for D, run for I, and again,
// for two minutes. No healthy peer is judged by a healthy one. The whole grid
// runs with -huge, its corners with -scale.
func TestScalePauses(t *testing.T) {
	t.Parallel()
	concurrent := []int{1, 4, 8, 12, 16, 20, 24, 28, 32}
	pause := []time.Duration{128, 512, 2048, 8192, 16384, 32768}
	run := []time.Duration{1, 4, 16, 64, 256, 1024, 4096, 16384}
	n, length := many(128, few), 2*time.Minute
	if !*huge {
		concurrent, pause, run = []int{4, 32}, []time.Duration{2048, 32768}, []time.Duration{4, 16384}
	}
	if !*scale {
		concurrent, pause, run, length = []int{8}, []time.Duration{512, 8192}, []time.Duration{256}, 30*time.Second
	}
	worst, cells, paused := 0, 0, 0
	for _, c := range concurrent {
		for _, d := range pause {
			for _, i := range run {
				cells++
				t.Run(fmt.Sprintf("C=%v,D=%v,I=%v", c, d*time.Millisecond, i*time.Millisecond), func(t *testing.T) { // its world ends with it
					judged, pauses := pauseCell(t, n, c, d*time.Millisecond, i*time.Millisecond, length)
					paused += pauses
					if worst = max(worst, judged); judged > 0 {
						t.Errorf("%v healthy peers judged by healthy ones", judged)
					}
				})
			}
		}
	}
	t.Logf("n=%v: %v cells, %v pauses, most healthy judged in a cell: %v", n, cells, paused, worst)
}

// pauseCell runs one cell of the grid and counts the healthy that were judged,
// and the pauses.
func pauseCell(t *testing.T, n, concurrent int, pause, run, length time.Duration) (int, int) {
	c := lan(uint64(concurrent), scattered(uint64(concurrent)+9, n))
	v := listen(&c)
	w := warm(t, c)
	sick := make(map[wire.ID]bool)
	for len(sick) < concurrent {
		sick[wire.ID(w.rand.IntN(n))] = true
	}
	var healthy judged
	healthy.count(v, func(h *Host) bool { return !sick[h.ID] })
	pauses := 0
	for end := w.now + ring.Time(length); w.now < end; {
		for _, id := range sortedKeys(sick) {
			w.Pause(id)
			pauses++
		}
		w.Run(pause)
		for _, id := range sortedKeys(sick) {
			w.Resume(id)
		}
		w.Run(run)
	}
	return healthy.verdicts + healthy.words, pauses
}
