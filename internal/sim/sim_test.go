package sim

import (
	"flag"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

var (
	seeds   = flag.Int("seeds", 60, "how many seeds TestSeeds runs")
	start   = flag.Uint64("start", 1, "the first of them")
	verbose = flag.Bool("log", false, "print every event of every world")
	update  = flag.Bool("update", false, "write the golden transcripts anew")
)

// logger returns what Config.Log is: nothing, unless -log is given.
func logger() func(string) {
	if *verbose {
		return func(line string) { fmt.Println(line) }
	}
	return nil
}

// world starts the members of a world, all unless some are named, and waits
// until their ring is whole.
func world(t *testing.T, c Config, ids ...wire.ID) *World {
	t.Helper()
	if c.Log == nil {
		c.Log = logger()
	}
	w := New(c)
	t.Cleanup(func() {
		for _, err := range w.Violations() {
			t.Errorf("violation %v", err)
		}
	})
	w.StartAll(ids...)
	whole(t, w, 10*w.Config.Interval)
	return w
}

// whole waits until the ring is.
func whole(t *testing.T, w *World, limit time.Duration) {
	t.Helper()
	if !w.RunUntil(limit, w.every(20*time.Millisecond, func() bool { return w.Whole() == nil })) {
		t.Fatalf("the ring is not whole after %v: %v", limit, w.Whole())
	}
}

// settled waits until nothing moves any more.
func settled(t *testing.T, w *World) {
	t.Helper()
	if !w.RunUntil(time.Minute, w.every(time.Second, func() bool { return w.Settled() == nil })) {
		t.Fatalf("not settled after a minute: %v", w.Settled())
	}
}

// await wants all operations to end so.
func await(t *testing.T, w *World, want ring.Outcome, ops ...*Op) {
	t.Helper()
	w.Await(want, ops...)
	for _, op := range ops {
		if !op.Ended || op.Result.Outcome != want {
			t.Fatalf("%v of %q by %v: ended %v, outcome %v, want %v; %+v",
				op.Kind, op.Name, op.Host, op.Ended, op.Result.Outcome, want, op.Result)
		}
	}
}

// classic are the seven peers of the seed.
var classic = []wire.ID{2, 4, 5, 8, 9, 14, 19}

// plain is the same ring without walking, in intervals of a second.
func plain(seed uint64, ids ...wire.ID) Config {
	if len(ids) == 0 {
		ids = classic
	}
	return Config{Seed: seed, Members: Numbered(ids...), Interval: time.Second, Net: Net{Delay: time.Millisecond, Jitter: time.Millisecond}}
}

// kinds counts the notices of one kind at a host.
func kinds(h *Host, k ring.Kind) (n int) {
	for _, notice := range h.Notices {
		if notice.Kind == k {
			n++
		}
	}
	return n
}

// TestSeedIsTheWholeRun: the same seed gives the same run to the last bit, and
// another seed another.
func TestSeedIsTheWholeRun(t *testing.T) {
	run := func(seed uint64) (uint64, Counters) {
		w := Draw(seed).Run(nil, nil)
		return w.Trace(), w.Count
	}
	seen := make(map[uint64]bool)
	for seed := uint64(1); seed <= 4; seed++ {
		trace, count := run(seed)
		if again, countAgain := run(seed); again != trace || countAgain != count {
			t.Errorf("seed %v: trace %016x with %+v, then %016x with %+v", seed, trace, count, again, countAgain)
		}
		if seen[trace] {
			t.Errorf("seed %v has the trace of an earlier one", seed)
		}
		seen[trace] = true
	}
}

// TestSeeds runs drawn plans: a phase with faults, then one without. Whatever
// does not hold is printed with the command that replays it.
func TestSeeds(t *testing.T) {
	began := time.Now()
	fired := make(map[What]int)
	var total Counters
	violations := 0
	var virtual time.Duration
	for seed := *start; seed < *start+uint64(*seeds); seed++ {
		w := runSeed(t, seed, fired)
		if w == nil {
			violations++
			continue
		}
		violations += len(w.Violations())
		virtual += span(w.Now())
		total.Events += w.Count.Events
		total.Acked += w.Count.Acked
		total.Fetched += w.Count.Fetched
		total.Lost += w.Count.Lost
		total.Torn += w.Count.Torn
	}
	var counts []string
	for _, k := range append(slices.Clone(faultKinds), WhatPut, WhatGet, WhatRemove) {
		counts = append(counts, fmt.Sprintf("%v:%v", k, fired[k]))
		if *seeds >= 60 && fired[k] == 0 {
			t.Errorf("no seed drew %v", k)
		}
	}
	if *seeds >= 60 && (total.Acked < *seeds || total.Fetched < *seeds || total.Lost == 0 || total.Torn == 0) {
		t.Errorf("too little happened: %+v", total)
	}
	t.Logf("seeds=%v virtual=%v events=%v speed=%.0fx acked=%v fetched=%v faults=%v violations=%v",
		*seeds, virtual.Round(time.Second), total.Events, virtual.Seconds()/time.Since(began).Seconds(),
		total.Acked, total.Fetched, strings.Join(counts, ","), violations)
}

// runSeed runs one plan; nil if it panicked.
func runSeed(t *testing.T, seed uint64, fired map[What]int) (w *World) {
	p := Draw(seed)
	replay := fmt.Sprintf("go test ./internal/sim -run 'TestSeeds$' -seeds=1 -start=%v -log -v", seed)
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("seed %v: panic: %v\n%s\nreplay with: %s", seed, r, debug.Stack(), replay)
		}
	}()
	w = p.Run(logger(), fired)
	for i, err := range w.Violations() {
		if i == 5 {
			t.Errorf("seed %v: and %v more", seed, len(w.Violations())-i)
			break
		}
		t.Errorf("seed %v: %v", seed, err)
	}
	if len(w.Violations()) > 0 {
		t.Errorf("replay with: %s\n%v", replay, p)
	}
	return w
}
