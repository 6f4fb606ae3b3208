package node

import (
	"testing"
	"testing/synctest"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// asks are what member 1 asks of a peer, and how that peer is.
type asks struct {
	second   int           // questions a second, whatever is answered
	users    int           // who ask again when they are answered, or have waited for askedFor
	versions int           // of each name that is asked for
	rate     int           // versions that the disk reads a second, for each worker
	stall    time.Duration // once, in which it reads none
	crowd    int           // other members, each with fifty costly questions a second
}

// reader is a worker in virtual time.
type reader struct {
	job  job
	left float64 // versions that it has still to read; 0: it has no job
	took time.Duration
}

// named runs a queue under it for a minute of virtual time, and counts how
// often each member is named.
func (c asks) named(t *testing.T) (named map[wire.ID]int) {
	const tick = 20 * time.Millisecond
	named = make(map[wire.ID]int)
	synctest.Test(t, func(t *testing.T) {
		q := newJobs(0, func(id wire.ID) { named[id]++ })
		var waiting []time.Time // when each user asked
		due, began, workers := 0.0, time.Now(), make([]reader, jobWorkers)
		ask := func(id wire.ID) { q.add(job{action: ring.Answer{To: id}}) }
		for now := began; now.Sub(began) < time.Minute; now = time.Now() {
			for due += float64(c.second) * tick.Seconds(); due >= 1; due-- {
				ask(1)
			}
			for len(waiting) > 0 && now.Sub(waiting[0]) > askedFor {
				waiting = waiting[1:]
			}
			for len(waiting) < c.users {
				ask(1)
				waiting = append(waiting, now)
			}
			for id := range wire.ID(c.crowd) {
				ask(2 + id)
			}
			stalls := now.Sub(began) > 25*time.Second && now.Sub(began) < 25*time.Second+c.stall
			for i := range workers {
				for reads := float64(c.rate) * tick.Seconds(); reads > 0 && !stalls; {
					read, answered := workers[i].work(q, c, reads)
					if reads -= read; read == 0 {
						break
					}
					if answered == 1 && len(waiting) > 0 {
						waiting = waiting[1:]
					}
				}
				workers[i].took += tick
			}
			time.Sleep(tick) // of the bubble
		}
	})
	return named
}

// work reads up to so many versions for the job at hand, or the next one. A
// question costs as much as one version.
func (w *reader) work(q *jobs, c asks, reads float64) (read float64, answered wire.ID) {
	of := func(id wire.ID) int {
		if id == 1 {
			return c.versions
		}
		return 3000
	}
	if w.left == 0 {
		var ok bool
		if w.job, ok = q.next(); !ok {
			return 0, 0
		}
		w.left, w.took = float64(1+of(w.job.asker(0))), 0
	}
	read = min(reads, w.left)
	if w.left -= read; w.left > 0 {
		return read, 0
	}
	id := w.job.asker(0)
	q.done(w.job, w.took+time.Microsecond, of(id))
	return read, id
}

// TestOnlyWhoAsksTooMuchIsNamed: a member is named if it asks for more than this
// peer reads for one member, at a rate that any disk has: by names with many
// versions, or by many questions. Its users may be as many as its ring serves; a
// name may be costly to some; and a disk that is slow or stands still, or others
// that ask too much, are no fault of a member. (Before: a flood of costly questions
// was named by nobody, one of which the disk was slow was named.)
func TestOnlyWhoAsksTooMuchIsNamed(t *testing.T) {
	for what, c := range map[string]asks{
		"many of a costly name":          {second: 50, versions: 3000, rate: 20_000},
		"few of a very costly name":      {second: 5, versions: 30_000, rate: 15_000},
		"more than any disk reads":       {second: 8_000, versions: 1, rate: 3000},
		"beside others who ask too much": {second: 50, versions: 3000, rate: 20_000, crowd: 2},
	} {
		if named := c.named(t); named[1] == 0 || len(named) != 1+c.crowd {
			t.Errorf("%s: named are %v, want member 1", what, named)
		}
	}
	for what, c := range map[string]asks{
		"as many users as a ring has":     {users: 1024, versions: 1, rate: 8_000},
		"and names with versions":         {users: 1024, versions: 9, rate: 8_000},
		"and a fast disk":                 {users: 1024, versions: 9, rate: 40_000},
		"and a slow disk":                 {users: 1024, versions: 1, rate: 100},
		"and a disk that stands still":    {users: 1024, versions: 1, rate: 8_000, stall: 20 * time.Second},
		"and for a moment":                {users: 1024, versions: 1, rate: 8_000, stall: 6 * time.Second},
		"and others who ask too much":     {users: 200, versions: 1, rate: 8_000, crowd: 3},
		"a user of a costly name":         {users: 1, versions: 30_000, rate: 5000},
		"some users of a costly name":     {users: 20, versions: 3000, rate: 8_000},
		"some, and a slow disk":           {users: 50, versions: 3000, rate: 2000},
		"some, and one that stands still": {users: 20, versions: 300, rate: 8_000, stall: 10 * time.Second},
	} {
		if named := c.named(t); named[1] > 0 {
			t.Errorf("%s: named %d times", what, named[1])
		}
	}
}
