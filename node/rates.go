package node

import (
	"slices"
	"sync"
	"time"

	"securepeer/wire"
)

// Implementation constants.
const (
	// rateKept is how long a rate is remembered: lines and disks change.
	rateKept = 10 * time.Minute
	// slowBy is how many times faster another one must be for a member to be
	// slow, and rateBeside how far apart the two may have been measured: at another
	// time the line was full, or free, for both.
	slowBy     = 4
	rateBeside = 30 * time.Second
	// rateBytes, or rateTime, is what a transfer must have moved, or lasted,
	// to say anything of a member's rate; and rateBytes what it was to move: how
	// long a small file takes is how far a member is, and how its disk syncs.
	rateBytes = 1 << 20
	rateTime  = 500 * time.Millisecond
	// leastRate is the least rate of a transfer, in bytes a second, over each
	// leastTime: what moves slower counts as standing still, whatever the line.
	// A byte now and then, or records without any, keep nobody.
	leastRate = 1 << 10
	leastTime = 30 * time.Second
	// quietTime is how long a member may take for its first byte.
	quietTime = 15 * time.Second
)

// rates remembers how fast each member last gave and took the bytes of files:
// an entry each, until rateKept.
type rates struct {
	mu           sync.Mutex
	gives, takes map[wire.ID]rate
}

// rate is in bytes a second, the mean of those that were measured beside each other,
// the newest for half.
type rate struct {
	bytes int64
	at    time.Time
	slow  bool // another one, measured beside it, was faster by slowBy
}

func newRates() *rates {
	return &rates{gives: make(map[wire.ID]rate), takes: make(map[wire.ID]rate)}
}

// gave notes that a member gave so many bytes, of all that it was to give, in
// the time that it was waited for; took is its opposite.
func (r *rates) gave(id wire.ID, bytes, all int64, in time.Duration) {
	r.note(r.gives, id, bytes, all, in)
}

func (r *rates) took(id wire.ID, bytes, all int64, in time.Duration) {
	r.note(r.takes, id, bytes, all, in)
}

func (r *rates) note(of map[wire.ID]rate, id wire.ID, bytes, all int64, in time.Duration) {
	if all < rateBytes || bytes < rateBytes && in < rateTime {
		return
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, old := range of {
		if now.Sub(old.at) > rateKept {
			delete(of, k)
		}
	}
	measured := max(1, int64(float64(bytes)/max(in, time.Millisecond).Seconds()))
	if old, ok := of[id]; ok && now.Sub(old.at) <= rateBeside {
		measured = old.bytes/2 + measured/2
	}
	mine := rate{bytes: measured, at: now}
	for k, other := range of {
		if k == id || now.Sub(other.at) > rateBeside {
			continue
		}
		mine.slow = mine.slow || other.bytes/slowBy > measured
		if measured/slowBy > other.bytes {
			other.slow = true
			of[k] = other
		}
	}
	of[id] = mine
}

// of returns what is remembered of a member; 0: nothing.
func (r *rates) of(id wire.ID) (gives, takes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fresh(r.gives[id]), fresh(r.takes[id])
}

// givenSince returns what a member gave, measured since then, or just before; 0:
// nothing.
func (r *rates) givenSince(id wire.ID, then time.Time) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.gives[id]; then.Sub(x.at) <= rateBeside {
		return fresh(x)
	}
	return 0
}

func fresh(x rate) int64 {
	if time.Since(x.at) > rateKept {
		return 0
	}
	return x.bytes
}

// slow reports whether others gave or took several times faster than a member, when
// it was last measured.
func (r *rates) slow(id wire.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gives[id].isSlow() || r.takes[id].isSlow()
}

func (x rate) isSlow() bool { return x.slow && fresh(x) > 0 }

// fastFirst puts those of ids last that gave slower than others by slowBy; else the
// order stays.
func (r *rates) fastFirst(ids []wire.ID) []wire.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	slow := func(id wire.ID) int {
		if r.gives[id].isSlow() {
			return 1
		}
		return 0
	}
	ids = slices.Clone(ids)
	slices.SortStableFunc(ids, func(a, b wire.ID) int { return slow(a) - slow(b) })
	return ids
}

// pace is how fast one transfer moves now, over about the last paceTime of the
// time in which it could: time that it was not waited for is not counted.
type pace struct {
	bytes int64
	time  time.Duration
	mark  int64         // bytes of the transfer when the window of leastTime began
	since time.Duration // when that was, by the transfer's clock
}

// paceTime is how far back a pace looks.
const paceTime = 2 * time.Second

// add notes that so many bytes moved while the transfer was waited for.
func (p *pace) add(bytes int64, waited time.Duration) {
	p.bytes += bytes
	p.time += waited
	if p.time > paceTime {
		p.bytes /= 2
		p.time /= 2
	}
}

// rate is in bytes a second; -1: not known yet.
func (p *pace) rate() int64 {
	if p.time <= 0 {
		return -1
	}
	return int64(float64(p.bytes) / p.time.Seconds())
}

// stands reports whether a transfer that has moved so many bytes in all, with
// left still to come, was below leastRate for leastTime. Its clock is how long
// it was waited for.
func (p *pace) stands(moved, left int64, clock time.Duration) bool {
	if clock-p.since < leastTime {
		return false
	}
	stands := moved-p.mark < min(leastRate*int64(leastTime/time.Second), left)
	p.mark, p.since = moved, clock
	return stands
}
