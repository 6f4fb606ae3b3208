package ring

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"securepeer/wire"
)

// The exhaustive model: every order of a few events among three and four
// peers, breadth first, over the Step that ships. This file says what is
// explored; model_check_test.go what must hold; model_world_test.go is the
// driver; model_deep_test.go tells states apart.

var deeper = flag.Int("model", 0, "how many events more than usual each scope of the model has")

// A scope is a part of all that can happen: from one beginning, so many events
// of some kinds in every order, each at any of some moments after the one
// before, which are also as soon as that has happened.
type scope struct {
	name    string
	peers   int
	roster  Roster
	begin   []string // what happens first, as in perform
	events  []string // kinds
	hears   int      // up to so many rows of parcels arrive, one row after the other, before the next event
	ticks   int      // up to so many ticks pass before that
	moments []string // kinds
	depth   int      // events

	floor int // of the states found, or the model explores nothing
}

// quietIn is the bound on how long it takes from any state, once all cuts have
// healed and nothing more happens, until the ring is quiet: the slow dial with
// its jitter, and what follows from it.
const quietIn = 20 // intervals

var (
	one    = Roster{Copies: 1, Observers: 2, Grace: 5 * interval}
	two    = Roster{Copies: 2, Observers: 2, Grace: 5 * interval}
	all    = Roster{Copies: 3, Observers: 3, Grace: 5 * interval}
	walked = Roster{Copies: 2, Observers: 2, Grace: 5 * interval, Walk: true}

	// The rings that scopes begin with: quiet, with an acked file.
	three = []string{"start 0", "start 1", "start 2", "wait 12", "put 0", "wait 6"}
	four  = []string{"start 0", "start 1", "start 2", "start 3", "wait 12", "put 0", "wait 6"}
)

var scopes = []scope{
	{name: "rings of none to three", peers: 3, roster: two,
		events: []string{"start", "crash", "put", "split", "heal"}, hears: 1,
		moments: []string{"arrive", "tick", "wait 1", "wait 12"}, depth: 3, floor: 3500},
	{name: "three come and go", peers: 3, roster: two, begin: three,
		events:  []string{"start", "new", "crash", "kill", "stop", "leave", "forget"},
		moments: []string{"arrive", "wait 1", "wait 12"}, depth: 2, floor: 1100},
	{name: "three word by word", peers: 3, roster: two, begin: three,
		events: []string{"start", "kill", "leave", "put"}, hears: 3,
		moments: []string{"wait 1"}, depth: 2, floor: 3100},
	{name: "three are cut", peers: 3, roster: two, begin: three,
		events: []string{"cut", "mute", "split", "heal", "crash", "start"},
		ticks:  1, moments: []string{"wait 1", "wait 4", "wait 12"}, depth: 2, floor: 2100},
	{name: "three doze", peers: 3, roster: two, begin: three,
		events: []string{"doze", "wake", "crash", "put"},
		ticks:  1, moments: []string{"wait 1", "wait 4", "wait 12"}, depth: 2, floor: 500},
	{name: "three hold a file", peers: 3, roster: two, begin: three,
		events: []string{"put", "get", "rm", "look", "crash", "start", "fill", "free", "cut", "heal"}, hears: 1,
		moments: []string{"arrive", "wait 1", "wait 12"}, depth: 2, floor: 3600},
	{name: "three all hold a file", peers: 3, roster: all, begin: three,
		events:  []string{"put", "rm", "start", "new", "crash", "stop", "leave"},
		moments: []string{"arrive", "wait 1", "wait 12"}, depth: 2, floor: 1300},
	{name: "three with one copy", peers: 3, roster: one, begin: append(three, "crash 0", "wait 3"),
		events: []string{"put", "get", "look", "crash", "start", "leave"}, hears: 2,
		moments: []string{"wait 1"}, depth: 2, floor: 1200},
	{name: "one between two", peers: 4, roster: two, begin: []string{"start 1", "start 2", "start 3", "wait 6", "put 1", "wait 6", "kill 1"},
		events: []string{"start", "new", "get"}, ticks: 4, depth: 3, floor: 2400},
	{name: "three that walk", peers: 3, roster: walked, begin: three,
		events: []string{"put", "get", "look", "crash", "start", "new"}, hears: 1,
		moments: []string{"arrive", "wait 1"}, depth: 2, floor: 500},
	{name: "four come and go", peers: 4, roster: all, begin: four,
		events:  []string{"start", "new", "crash", "kill", "stop", "leave"},
		moments: []string{"arrive", "wait 1", "wait 12"}, depth: 2, floor: 1900},
	{name: "four are cut", peers: 4, roster: all, begin: four,
		events:  []string{"cut", "split", "heal", "crash"},
		moments: []string{"wait 1", "wait 4", "wait 12"}, depth: 2, floor: 1400},
	{name: "four hold a file", peers: 4, roster: two, begin: four,
		events:  []string{"put", "get", "rm", "look", "crash", "start"},
		moments: []string{"arrive", "wait 1", "wait 12"}, depth: 2, floor: 1000},
}

func TestModel(t *testing.T) {
	began := time.Now()
	var searches []*search
	t.Run("scopes", func(t *testing.T) {
		for _, sc := range scopes {
			sc.depth += *deeper
			s := newSearch(sc)
			searches = append(searches, s)
			t.Run(sc.name, func(t *testing.T) {
				t.Parallel()
				s.run()
				t.Logf("events=%d %v", sc.depth, s.counts)
				t.Logf("slowest: %s", s.path(s.slowest))
				for _, f := range s.failed {
					t.Error(f)
				}
				s.compared = len(s.twins.pairs)
				if err := s.twins.differ(); err != nil {
					t.Error(err)
				}
				if s.states < sc.floor {
					t.Errorf("%d states, want %d or more", s.states, sc.floor)
				}
			})
		}
	})
	var sum counts
	part := false // was asked for
	for _, s := range searches {
		sum.add(s.counts)
		part = part || s.states == 0
	}
	if sum.compared < 50 && !part {
		t.Errorf("%d worlds were met twice and compared, want 50 or more", sum.compared)
	}
	t.Logf("model: scopes=%d %v bound=%d in %v", len(searches), sum, quietIn, time.Since(began).Round(time.Millisecond))
}

// perform does one thing: an event, or a moment that passes. Paths are made of
// these words.
func (g *globe) perform(words string) {
	verb, rest, _ := strings.Cut(words, " ")
	var a, b int
	fmt.Sscan(rest, &a, &b)
	id, to := wire.ID(a), wire.ID(b)
	switch verb {
	case "start":
		g.start(id)
	case "new": // start with an empty disk
		g.wipe(id)
		g.start(id)
	case "crash": // the power goes: nobody is told
		g.crash(id)
	case "kill": // the process goes: its kernel closes its links
		g.kill(id)
	case "stop":
		g.step(id, Stop{})
	case "leave":
		g.step(id, Leave{Op: g.ask(id, verb)})
	case "put":
		g.step(id, Put{Op: g.ask(id, verb), Name: theName})
	case "look":
		g.step(id, Lookup{Op: g.ask(id, verb), Name: theName})
	case "get":
		g.step(id, Get{Op: g.ask(id, verb), Name: theName})
	case "rm":
		g.step(id, Remove{Op: g.ask(id, verb), Name: theName})
	case "forget": // one is told that another will not come back
		g.step(id, Forget{Op: g.ask(id, verb), Member: to})
	case "fill":
		g.setDisk(id, wire.Full)
	case "free":
		g.setDisk(id, wire.Active)
	case "doze": // the process is stopped and hears nothing, its kernel goes on
		g.host(id).dozes = true
	case "wake":
		g.host(id).dozes = false
	case "cut": // both ways
		g.cut[id][to], g.cut[to][id] = true, true
	case "mute": // what one sends another is lost
		g.cut[id][to] = true
	case "split": // one from all others
		for i := range g.hosts {
			g.cut[id][i], g.cut[i][id] = i != a, i != a
		}
	case "heal":
		g.cut = [most][most]bool{}
	case "hear": // what is on its way from one to another arrives, and nothing else
		for k := range kinds {
			w := way(id, to, k)
			for n := len(g.ways[w]); n > 0 && g.deliverable(w); n-- {
				g.deliver(w)
			}
		}
	case "arrive": // everything arrives, and what is said to that
		g.arrive()
	case "tick": // that, and time passes to the next tick that is due
		g.tick(g.now + Time(interval))
	case "wait": // intervals
		g.pass(time.Duration(a) * interval)
	default:
		panic("the model cannot " + words)
	}
}

// can lists what of a kind can happen now.
func (g *globe) can(verb string) (all []string) {
	each := func(ok func(h *host) bool) {
		for _, h := range g.hosts {
			if ok(h) {
				all = append(all, fmt.Sprintf("%s %d", verb, h.id))
			}
		}
	}
	pairs := func(ok func(a, b *host) bool) {
		for _, a := range g.hosts {
			for _, b := range g.hosts {
				if ok(a, b) {
					all = append(all, fmt.Sprintf("%s %d %d", verb, a.id, b.id))
				}
			}
		}
	}
	runs := func(h *host) bool { return h.ring != nil }
	cut := g.cut != [most][most]bool{}
	switch verb {
	case "start":
		each(func(h *host) bool { return !runs(h) })
	case "new":
		each(func(h *host) bool { return !runs(h) && h.used() })
	case "crash", "kill":
		each(runs)
	case "stop", "leave":
		each(func(h *host) bool { return runs(h) && !h.leaves() })
	case "doze":
		each(func(h *host) bool { return runs(h) && !h.dozes })
	case "wake":
		each(func(h *host) bool { return h.dozes })
	case "put", "get", "rm", "look":
		each(func(h *host) bool { return runs(h) && h.ring.InRing() })
	case "forget":
		pairs(func(a, b *host) bool { return runs(a) && !runs(b) })
	case "fill":
		each(func(h *host) bool { return runs(h) && h.state == wire.Active })
	case "free":
		each(func(h *host) bool { return runs(h) && h.state == wire.Full })
	case "cut":
		pairs(func(a, b *host) bool { return a.id < b.id && !g.cut[a.id][b.id] && !g.cut[b.id][a.id] })
	case "mute":
		pairs(func(a, b *host) bool { return a.id != b.id && !g.cut[a.id][b.id] })
	case "split":
		each(func(h *host) bool { return !cut })
	case "heal":
		if cut {
			all = []string{verb}
		}
	case "hear":
		pairs(func(a, b *host) bool {
			return g.deliverable(way(a.id, b.id, linked)) || g.deliverable(way(a.id, b.id, pinging)) ||
				g.deliverable(way(a.id, b.id, moving))
		})
	case "arrive":
		for w := range g.ways {
			if g.deliverable(w) {
				return []string{verb}
			}
		}
	default: // time passes always
		all = []string{verb}
	}
	return all
}

// search is a breadth-first walk over a scope.
type search struct {
	scope
	counts
	steps   []step
	rests   map[uint64]bool // worlds in which the next event may come
	afters  map[uint64]bool // worlds just after an event
	quiet   map[uint64]int  // intervals to quiet, of worlds without cuts
	slowest int             // the step after which quiet takes longest
	failed  []string
	twins   twins
}

// counts say what a search has done.
type counts struct {
	states      int // worlds that differ
	transitions int
	healed      int // worlds on the way to quiet
	quiets      int // quiet ones
	worst       int // intervals to quiet
	compared    int // pairs of worlds that have one hash
}

func (c *counts) add(o counts) {
	c.states += o.states
	c.transitions += o.transitions
	c.healed += o.healed
	c.quiets += o.quiets
	c.compared += o.compared
	c.worst = max(c.worst, o.worst)
}

func (c counts) String() string {
	return fmt.Sprintf("states=%d transitions=%d healed=%d quiet=%d worst=%d intervals",
		c.states, c.transitions, c.healed, c.quiets, c.worst)
}

// step is how the search came to a world: from the world after another step,
// the first of which is the beginning.
type step struct {
	from  int
	words string
}

// spot is a world that the search has come to.
type spot struct {
	*globe
	step int
}

func newSearch(sc scope) *search {
	return &search{scope: sc, rests: map[uint64]bool{}, afters: map[uint64]bool{}, quiet: map[uint64]int{},
		twins: twins{first: map[uint64]met{}}}
}

// path is everything that led to the world after a step.
func (s *search) path(at int) string {
	var words []string
	for ; at > 0; at = s.steps[at].from {
		words = append(words, s.steps[at].words)
	}
	slices.Reverse(words)
	return strings.Join(append(slices.Clone(s.begin), words...), ", ")
}

// enough is how many failures end a search.
const enough = 3

func (s *search) run() {
	g := newGlobe(s.peers, s.roster)
	for _, words := range s.begin {
		g.perform(words)
	}
	s.steps = []step{{}}
	edge := []spot{{g, 0}}
	for left := s.depth; left > 0; left-- {
		var next []spot
		for _, p := range edge {
			for _, event := range s.events {
				for _, words := range p.can(event) {
					if rests := s.event(p, words); left > 1 {
						next = append(next, rests...)
					}
					if len(s.failed) >= enough {
						return
					}
				}
			}
		}
		edge = next
	}
}

// event has one event happen at p, and returns the worlds in which the next
// one may.
func (s *search) event(p spot, words string) (rests []spot) {
	q, ok := s.follow(p, words, s.afters)
	if !ok {
		return nil
	}
	if sum := q.hash(); !s.rests[sum] {
		s.rests[sum] = true
		rests = append(rests, q)
	}
	later := func(from []spot, moment string) (spots []spot) {
		for _, p := range from {
			for _, words := range p.can(moment) {
				if r, ok := s.follow(p, words, s.rests); ok {
					spots = append(spots, r)
				}
			}
		}
		rests = append(rests, spots...)
		return spots
	}
	for _, moment := range s.moments {
		later([]spot{q}, moment)
	}
	ticked := []spot{q}
	for left := s.ticks; ; left-- {
		heard := ticked
		for range s.hears {
			heard = later(heard, "hear")
		}
		if left == 0 {
			return rests
		}
		ticked = later(ticked, "tick")
	}
}

// follow does one thing at p. If nothing like the world that follows is among
// those met, it holds it to all that must hold, and reports whether it does.
func (s *search) follow(p spot, words string, met map[uint64]bool) (spot, bool) {
	s.transitions++
	g := p.fork()
	g.perform(words)
	sum := g.hash()
	s.twins.take(g, sum, func() string { return s.path(p.step) + ", " + words })
	if met[sum] {
		return spot{}, false
	}
	known := s.rests[sum] || s.afters[sum]
	met[sum] = true
	s.steps = append(s.steps, step{p.step, words})
	q := spot{g, len(s.steps) - 1}
	if known {
		return q, true
	}
	s.states++
	g.check()
	if len(g.broken) == 0 {
		s.settle(q)
	}
	for _, b := range g.broken {
		s.failed = append(s.failed, s.path(q.step)+"\n\t"+b)
	}
	return q, len(g.broken) == 0
}

// settle heals all cuts after a step and lets time pass until it is quiet, or
// a world is met of which it is known when it will be.
func (s *search) settle(p spot) {
	g := p.fork()
	g.perform("heal")
	for _, h := range g.hosts {
		g.host(h.id).dozes = false
	}
	g.arrive()
	var way []uint64
	for {
		sum := g.hash()
		left, known := s.quiet[sum]
		if !known {
			way = append(way, sum)
			s.healed++
			why := g.unquiet()
			if why != nil && len(way) <= quietIn {
				g.pass(interval)
				if len(g.broken) == 0 {
					continue
				}
			}
			if why == nil {
				s.quiets++
				why = g.readable()
			}
			if len(g.broken) > 0 {
				why = errors.New(strings.Join(g.broken, "; "))
			}
			if why != nil {
				p.violate("heal, arrive, wait %d: %v", len(way)-1, why)
				return
			}
		}
		n := len(way)
		if known {
			n++
		}
		for i, sum := range way {
			s.quiet[sum] = left + n - 1 - i
		}
		if n += left - 1; n > s.worst {
			s.worst, s.slowest = n, p.step
		}
		return
	}
}
