package sim

import (
	"runtime"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"securepeer/ring"
)

// A quiet ring costs each peer at most 2K + 2 datagrams an interval, however
// large it is, and next to nothing over links; nobody judges anybody.
func TestScaleQuiet(t *testing.T) {
	for _, n := range sizes(8, 128, 1000) {
		c := lan(1, scattered(1, n))
		v := listen(&c)
		w := warm(t, c)
		w.Run(20 * time.Second)
		was, gone := w.Count, len(v.gone)
		const intervals = 120
		began := time.Now()
		w.Run(intervals * w.Config.Interval)
		each := float64(n * intervals)
		most := float64(2*w.Config.Observers + 2)
		t.Logf("n=%v: %.0f times real time, %v events a peer and interval", n,
			intervals/time.Since(began).Seconds(), float64(w.Count.Events-was.Events)/each)
		bound(t, "quiet: datagrams sent a peer and interval", float64(w.Count.Datagrams-was.Datagrams)/each, most)
		bound(t, "quiet: messages over links a peer and interval", float64(w.Count.Messages-was.Messages)/each, 0.01)
		bound(t, "quiet: verdicts", float64(len(v.gone)-gone), 0)
	}
}

// An hour of a quiet ring of a thousand is simulated in three minutes by one
// core.
func TestScaleSpeed(t *testing.T) {
	n, virtual := many(1000, few), 3*time.Minute
	if *huge {
		virtual = time.Hour
	}
	c := lan(1, scattered(2, n))
	v := listen(&c)
	w := warm(t, c)
	was, began := w.Count, cpu(t)
	w.Run(virtual)
	took := cpu(t) - began
	t.Logf("%v peers x %v: %v of one core, %v events, %v datagrams, %.2f µs an event", n, virtual, took.Round(time.Millisecond),
		w.Count.Events-was.Events, w.Count.Datagrams-was.Datagrams,
		float64(took.Microseconds())/float64(w.Count.Events-was.Events))
	bound(t, "speed: seconds for 1,000 peers x 1 h", took.Seconds()*(time.Hour.Seconds()/virtual.Seconds())*1000/float64(n), 180*slowed)
	bound(t, "speed: verdicts", float64(len(v.gone)), 0)
	if err := w.alike(); err != nil {
		t.Error(err)
	}
}

// What a peer knows of a member takes at most 140 bytes, so that 10,000 peers
// fit in 20 GB; with -huge they are there, for ten quiet minutes.
func TestScaleTenThousand(t *testing.T) {
	n, virtual := many(1000, 200), 10*time.Second
	if *huge {
		n, virtual = 10_000, 10*time.Minute
		defer debug.SetGCPercent(debug.SetGCPercent(15))
	}
	c := lan(1, scattered(4, n))
	c.Unsaved = true
	v := listen(&c)
	w := warm(t, c)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	bound(t, "size: bytes a peer and member, all included", float64(m.HeapAlloc)/float64(n)/float64(n), 140+50_000/float64(n))
	was, began := w.Count, cpu(t)
	w.Run(virtual)
	t.Logf("%v peers x %v: %v of a core, %v events", n, virtual, (cpu(t) - began).Round(time.Millisecond), w.Count.Events-was.Events)
	bound(t, "size: verdicts", float64(len(v.gone)), 0)
	if err := w.alike(); err != nil {
		t.Error(err)
	}
}

// cpu is what this process has used of all cores so far: other work on the
// machine does not count.
func cpu(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Seven quiet peers go two thousand times as fast as real time.
func TestScaleSpeedOfSeven(t *testing.T) {
	w := world(t, plain(1))
	began := cpu(t)
	w.Config.Notice = func(*Host, ring.Notice) {}
	w.Run(time.Hour)
	bound(t, "speed: seconds for seven peers x 1 h", (cpu(t) - began).Seconds(), 1.8*slowed)
}
