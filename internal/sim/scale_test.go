package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// The scale tests print a figure for each sentence that docs/proof.md makes
// about speed and size, and hold it to its bound. Without flags they are the
// same scenarios with few peers.
var (
	scale = flag.Bool("scale", false, "run the scale tests with as many peers as docs/proof.md says: minutes")
	huge  = flag.Bool("huge", false, "and as often and as long, and some with 10,000 peers: two hours and 20 GB")
)

// few is how many peers a scale test has without -scale.
const few = 32

// sizes returns the numbers of peers a scale test runs with.
func sizes(all ...int) []int {
	if *scale {
		return all
	}
	return []int{8, few}
}

// many returns n with -scale, else a small number.
func many[T int | time.Duration](n, small T) T {
	if *scale {
		return n
	}
	return small
}

// often returns how often to repeat what is slow: n times with -huge, some
// times with -scale, else few times.
func often[T int | time.Duration](n, some, few T) T {
	if *huge {
		return n
	}
	return many(some, few)
}

// scattered returns n members whose positions are as good as hashes.
func scattered(seed uint64, n int) []ring.Member {
	r := rand.New(rand.NewPCG(seed, 0x706f73))
	members := make([]ring.Member, n)
	for i := range members {
		members[i] = ring.Member{ID: wire.ID(i), Pos: wire.Pos(r.Uint64())}
	}
	return members
}

// lan is a network of a few milliseconds, T is a second.
func lan(seed uint64, members []ring.Member) Config {
	return Config{Seed: seed, Members: members, Space: wire.Space64, Interval: time.Second,
		Net: Net{Delay: 2 * time.Millisecond, Jitter: 3 * time.Millisecond}}
}

// verdicts notes when peers held others to be out of the ring, and back.
type verdicts struct {
	gone map[[2]wire.ID]ring.Time // host, member: since when; absent: in the ring
	hook func(h *Host, n ring.Notice)
}

// listen has v get every notice of w.
func listen(c *Config) *verdicts {
	v := &verdicts{gone: make(map[[2]wire.ID]ring.Time)}
	c.Notice = func(h *Host, n ring.Notice) {
		switch n.Kind {
		case ring.MemberGone:
			v.gone[[2]wire.ID{h.ID, n.Peer}] = h.world.now
		case ring.MemberSeen, ring.Returned:
			delete(v.gone, [2]wire.ID{h.ID, n.Peer})
		default:
			return
		}
		if v.hook != nil {
			v.hook(h, n)
		}
	}
	return v
}

// holds says whether all of hosts have each of members out of their ring.
func (v *verdicts) holds(hosts []*Host, members ...wire.ID) bool {
	for _, h := range hosts {
		for _, id := range members {
			if _, ok := v.gone[[2]wire.ID{h.ID, id}]; !ok {
				return false
			}
		}
	}
	return true
}

// last returns when the last of hosts has put a member out of its ring.
func (v *verdicts) last(hosts []*Host, id wire.ID) (last ring.Time, all bool) {
	for _, h := range hosts {
		t, ok := v.gone[[2]wire.ID{h.ID, id}]
		if !ok {
			return 0, false
		}
		last = max(last, t)
	}
	return last, true
}

// warm makes a world whose ring of ids, or everybody, has been formed: each
// peer was a ring of one for a moment, and then heard the rows of all others
// at once, as rings that meet do. They tick at different moments.
func warm(t testing.TB, c Config, ids ...wire.ID) *World {
	t.Helper()
	if c.Log == nil {
		c.Log = logger()
	}
	listener := c.Notice
	c.Notice = func(*Host, ring.Notice) {}
	w := New(c)
	if len(ids) == 0 {
		for _, h := range w.hosts {
			ids = append(ids, h.ID)
		}
	}
	interval := ring.Time(w.Config.Interval)
	base := w.now
	rows := make([]wire.Row, len(ids))
	for i, id := range ids {
		p := w.process(w.byID[id])
		w.now = base + ring.Time(w.rand.Int64N(int64(interval)))
		p.alone()
		rows[i] = Sign(id, wire.Row{ID: id, Incarnation: p.host.disk.incarnation,
			State: wire.Active, Store: p.host.disk.store})
	}
	w.now = base + 3*interval
	for i, id := range ids {
		p := w.byID[id].process
		p.ring.Step(w.now, ring.Received{From: ids[(i+1)%len(ids)], Msg: wire.Rows{Rows: rows}}, nil)
		p.arm()
	}
	w.Config.Notice = listener
	t.Cleanup(func() {
		for _, err := range w.Violations() {
			t.Errorf("violation %v", err)
		}
	})
	w.Run(10 * w.Config.Interval)
	if err := w.alike(); err != nil {
		t.Fatalf("not whole after the warm start: %v", err)
	}
	return w
}

// alone steps a peer that hears nobody until it is a ring of one.
func (p *process) alone() {
	events := []ring.Event{ring.Tick{}}
	for p.ring.Summary().State != wire.Active {
		if len(events) == 0 {
			p.world.now = p.ring.Next()
			events = append(events, ring.Tick{})
		}
		actions := p.ring.Step(p.world.now, events[0], nil)
		events = events[1:]
		for _, a := range actions {
			switch a := a.(type) {
			case ring.Persist:
				p.host.disk.incarnation = a.Incarnation
				events = append(events, ring.Persisted(a))
			case ring.Scan:
				events = append(events, ring.Scanned{Scan: a.Scan})
			}
		}
	}
}

// alike is Whole for many peers.
func (w *World) alike() error {
	running := w.members()
	want := running[0].process.ring.Summary()
	want.InRing, want.Behind, want.State, want.Size = true, false, wire.Active, len(running)
	for _, h := range running {
		if is := h.process.ring.Summary(); is != want {
			return fmt.Errorf("%v is %+v, not %+v", h.ID, is, want)
		}
	}
	return nil
}

// figures are durations or counts of which quantiles are told.
type figures []float64

func (f figures) at(q float64) float64 {
	if len(f) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(f))
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

func (f figures) String() string {
	return fmt.Sprintf("n=%v median=%.2f p99=%.2f max=%.2f", len(f), f.at(0.5), f.at(0.99), f.at(1))
}

// bound fails if a figure is over its bound, and prints it in any case.
func bound(t *testing.T, what string, got, most float64) {
	t.Helper()
	t.Logf("%-60s %10.3f  (bound %v)", what, got, most)
	if got > most {
		t.Errorf("%s: %.3f, want at most %v", what, got, most)
	}
}
