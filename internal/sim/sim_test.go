package sim

import (
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

var (
	seeds   = flag.Int("seeds", defaultSeeds, "how many seeds TestSeeds runs")
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
	fired := make(map[What]bool)
	for seed := uint64(1); len(seen) < 4 || len(fired) < len(faultKinds)+len(loadKinds); seed++ {
		anew := false
		for _, f := range Draw(seed).Faults {
			anew = anew || !fired[f.What]
			fired[f.What] = true
		}
		if !anew || len(Draw(seed).Config.Members) > manyHosts {
			continue
		}
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

// outcome is what one seed came to.
type outcome struct {
	broken  []error
	panic   string
	fired   map[What]int
	count   Counters
	virtual time.Duration
}

// runSeed runs one plan.
func runSeed(seed uint64) (o outcome) {
	defer func() {
		if r := recover(); r != nil {
			o.panic = fmt.Sprintf("%v\n%s", r, debug.Stack())
		}
	}()
	o.fired = make(map[What]int)
	w := Draw(seed).Run(logger(), o.fired)
	o.broken, o.count, o.virtual = w.Violations(), w.Count, span(w.Now())
	return o
}

// runSeeds runs plans, as many at once as there are processors: worlds share
// nothing, so it makes no difference but to the time it takes.
func runSeeds(first uint64, n int) []outcome {
	outcomes := make([]outcome, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() { // ends with the seeds, before runSeeds returns
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				outcomes[i] = runSeed(first + uint64(i))
			}
		})
	}
	wg.Wait()
	return outcomes
}

// manySeeds is from how many on each kind of fault, and whatever should happen
// now and then, must have happened floor times; with fewer, but defaultSeeds,
// once.
const (
	defaultSeeds = 60
	manySeeds    = 1000
	floor        = 100
)

// TestSeeds runs drawn plans: a phase with faults, then one without. Whatever
// does not hold is printed with the command that replays it and the fewest
// faults that still break it.
func TestSeeds(t *testing.T) {
	began := time.Now()
	fired := make(map[What]int)
	var total Counters
	violations := 0
	var virtual time.Duration
	for i, o := range runSeeds(*start, *seeds) {
		if violations += len(o.broken); o.panic != "" {
			violations++
		}
		report(t, *start+uint64(i), o)
		for k, n := range o.fired {
			fired[k] += n
		}
		total.add(o.count)
		virtual += o.virtual
	}
	least := 0
	if *seeds >= manySeeds {
		least = floor
	} else if *seeds >= defaultSeeds {
		least = 1
	}
	var counts []string
	count := func(kind string, n int) {
		counts = append(counts, fmt.Sprintf("%v:%v", kind, n))
		if n < least {
			t.Errorf("%v happened %v times, want at least %v", kind, n, least)
		}
	}
	for _, k := range slices.Concat(faultKinds, loadKinds) {
		count(string(k), fired[k])
	}
	count("loss", total.Lost)
	count("duplicate", total.Doubled)
	count("reorder", total.Overtaken)
	count("acked", total.Acked)
	total.Sometimes.each(count)
	if *seeds >= defaultSeeds && (total.Acked < *seeds || total.Fetched < *seeds) {
		t.Errorf("too little happened: %+v", total)
	}
	// A line of its own, for scripts: what t.Logf prints begins with a file.
	fmt.Printf("seeds=%v virtual=%v events=%v speed=%.0fx faults=%v violations=%v\n",
		*seeds, virtual.Round(time.Second), total.Events, virtual.Seconds()/time.Since(began).Seconds(),
		strings.Join(counts, ","), violations)
}

// report prints what did not hold with a seed.
func report(t *testing.T, seed uint64, o outcome) {
	if o.panic == "" && len(o.broken) == 0 {
		return
	}
	for i, err := range o.broken {
		if i == 5 {
			t.Errorf("seed %v: and %v more", seed, len(o.broken)-i)
			break
		}
		t.Errorf("seed %v: %v", seed, err)
	}
	if o.panic != "" {
		t.Errorf("seed %v: panic: %v", seed, o.panic)
	}
	p := Draw(seed)
	t.Errorf("replay with: go test ./internal/sim -run 'TestSeeds$' -seeds=1 -start=%v -log -v\n%v", seed, p)
	if reports++; reports > maxShrunk {
		return
	}
	sentence := p.Broken()
	until := time.Now().Add(shrinkTime)
	small := p.Shrink(shrinkRuns, func(p Plan) bool { return time.Now().Before(until) && p.Broken() == sentence })
	t.Errorf("%v of %v faults still break it:\n%v", len(small.Faults), len(p.Faults), small)
}

// How much is shrunk, and for how long: a run with many failures must end.
const (
	maxShrunk  = 5
	shrinkRuns = 300
	shrinkTime = 20 * time.Second
)

var reports int // of failed seeds so far
