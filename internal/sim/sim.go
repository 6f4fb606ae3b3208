// Package sim is a seeded world for the ring: one thread, one virtual clock,
// one heap of events. In it run several real [ring.Ring]s, and every message
// between them is appended and parsed by package wire. [New] makes a world,
// [World.Start] starts peers in it, [World.Run] lets time pass.
//
// What is stood in for: links, handshakes and signatures by keyed stubs with
// the same rules (net.go), a peer's folder by what would be on its disk after
// a crash (disk.go), the bytes of files by their size and hash (move.go).
// Everything random comes from the seed, so the same seed and the same calls
// give the same run to the last bit ([World.Trace]).
package sim

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// Config describes a world. Zero values are taken as they are, unless a
// default is named.
type Config struct {
	Seed    uint64
	Members []ring.Member // the roster that everybody has at first
	Later   []ring.Member // who may get into a roster later

	Space     wire.Space    // default wire.Space8
	Copies    int           // default 3
	Observers int           // default 3
	Interval  time.Duration // default 1 s
	Grace     time.Duration // 0: nobody is gone by time
	Disk      time.Duration // of each half of a write, at most; default 5 ms
	Walk      bool
	Shortcuts bool

	Net Net
	Log func(line string) // nil: none

	// Notice gets the notices of all peers; nil: each host keeps its own.
	Notice func(h *Host, n ring.Notice)

	// Unsaved says that views are not saved on any disk: those of thousands of
	// peers, each with a row of every other, take gigabytes.
	Unsaved bool
}

// Classic is the world of the seed: seven peers of a ring of 256 that ping
// two successors every 3 s and walk.
func Classic(seed uint64) Config {
	return Config{
		Seed:      seed,
		Members:   Numbered(2, 4, 5, 8, 9, 14, 15, 19),
		Space:     wire.Space8,
		Copies:    3,
		Observers: 2,
		Interval:  3 * time.Second,
		Walk:      true,
		Net:       Net{Delay: 2 * time.Millisecond, Jitter: time.Millisecond},
	}
}

// Numbered returns members whose positions are their ids.
func Numbered(ids ...wire.ID) []ring.Member {
	members := make([]ring.Member, len(ids))
	for i, id := range ids {
		members[i] = ring.Member{ID: id, Pos: wire.Pos(id)}
	}
	return members
}

// World is the whole of it. It belongs to one goroutine.
type World struct {
	Config Config
	Count  Counters

	now     ring.Time
	queue   queue
	event   event  // the one that happens
	links   uint64 // numbers given to dials
	serves  uint64 // numbers given to uploads at their targets
	rand    *rand.Rand
	hosts   []*Host // by id
	byID    map[wire.ID]*Host
	cuts    map[[2]wire.ID]bool // from, to: those that stand
	trace   uint64
	ops     []*Op
	open    []*Op         // those that may not have ended
	broken  []error       // invariants that did not hold, oldest first
	buf     []byte        // scratch of signatures
	actions []ring.Action // scratch of steps
	body    []byte        // scratch of messages on their way
	law     law           // the newest roster
	ends    []func()      // of what must end with the faults; each works once
	strict  *strict       // what Plan.Run watches; nil: nothing
}

// Counters say what happened in a world, so that a test can prove that it
// tested something.
type Counters struct {
	Events    int // taken from the heap
	Steps     int // calls of ring.Step
	Datagrams int // sent
	Lost      int // datagrams that the network lost
	Doubled   int // datagrams that the network delivered twice
	Unsealed  int // pings without a session, at the sender or the receiver
	Messages  int // delivered over links
	Rows      int // in them
	Forged    int // rows, votes and manifests whose signature was wrong
	Broken    int // links that fell
	Streams   int // transfers that ended well
	Torn      int // transfers that did not
	Acked     int // puts and removes that ended in Succeeded
	Fetched   int // gets that brought the bytes
	Sometimes
}

// New returns a world in which every member has an empty disk
// and nobody runs.
func New(c Config) *World {
	if c.Space == 0 {
		c.Space = wire.Space8
	}
	if c.Copies == 0 {
		c.Copies = 3
	}
	if c.Observers == 0 {
		c.Observers = 3
	}
	if c.Interval == 0 {
		c.Interval = time.Second
	}
	if c.Disk == 0 {
		c.Disk = diskTime
	}
	if c.Net.Rate == 0 {
		c.Net.Rate = 100 << 20
	}
	w := &World{
		Config: c,
		rand:   rand.New(rand.NewPCG(c.Seed, 0x7365637572657065)),
		byID:   make(map[wire.ID]*Host),
		cuts:   make(map[[2]wire.ID]bool),
		now:    ring.Time(time.Second), // 0 is never
		trace:  14695981039346656037,
	}
	w.law = law{serial: 1, members: slices.Clone(c.Members)}
	first := w.roster(c.Members, 1)
	for _, m := range slices.Concat(c.Members, c.Later) {
		h := &Host{ID: m.ID, world: w, roster: first, member: m, keys: []wire.Digest{m.Key}}
		h.disk.wipe(w.storeID())
		w.hosts = append(w.hosts, h)
		w.byID[m.ID] = h
	}
	slices.SortFunc(w.hosts, func(a, b *Host) int { return int(a.ID) - int(b.ID) })
	return w
}

// roster is what a ring gets to know of a roster, and who is in it.
type roster struct {
	ring.Roster
	has map[wire.ID]wire.Digest // keys of the members
}

// roster makes the one with these members.
func (w *World) roster(members []ring.Member, serial uint64) roster {
	h := fnv.New64a()
	fmt.Fprint(h, serial, members)
	r := roster{has: make(map[wire.ID]wire.Digest, len(members))}
	for _, m := range members {
		r.has[m.ID] = m.Key
	}
	r.Roster = ring.Roster{
		Ring:      ringName,
		Space:     w.Config.Space,
		Members:   slices.Clone(members),
		Circle:    ring.NewCircle(members),
		Copies:    w.Config.Copies,
		Observers: w.Config.Observers,
		Interval:  w.Config.Interval,
		Grace:     w.Config.Grace,
		Serial:    serial,
		Walk:      w.Config.Walk,
		Shortcuts: w.Config.Shortcuts,
	}
	binary.BigEndian.PutUint64(r.Digest[:], h.Sum64())
	return r
}

const ringName = "sim"

// Now is the virtual instant.
func (w *World) Now() ring.Time { return w.now }

// Host returns the machine of a member of the first roster.
func (w *World) Host(id wire.ID) *Host { return w.byID[id] }

// Hosts returns all machines, by id.
func (w *World) Hosts() []*Host { return w.hosts }

// Trace is a hash over every event and action so far.
func (w *World) Trace() uint64 { return w.trace }

// Run lets d pass.
func (w *World) Run(d time.Duration) {
	w.RunUntil(d, func() bool { return false })
}

// RunUntil lets time pass until cond holds, but no longer than limit, and
// says whether it holds. cond is asked after every event.
func (w *World) RunUntil(limit time.Duration, cond func() bool) bool {
	end := w.now + ring.Time(limit)
	for {
		if cond() {
			return true
		}
		if len(w.queue.heap) == 0 || w.queue.heap[0].at > end {
			w.now = end
			return cond()
		}
		w.next()
	}
}

// next takes one event from the queue.
func (w *World) next() {
	w.now = w.queue.heap[0].at
	e := &w.event
	w.queue.take(e)
	w.Count.Events++
	switch p := e.process; {
	case p == nil:
		w.run(e)
	case p.dead:
	case p.paused:
		p.inbox = append(p.inbox, *e)
	default:
		w.run(e)
	}
}

// after calls do when d has passed.
func (w *World) after(d time.Duration, do func()) { w.at(w.now+ring.Time(d), nil, do) }

// at calls do at an instant, unless p, if given, has died; while p is paused
// it waits.
func (w *World) at(t ring.Time, p *process, do func()) {
	w.queue.add(max(t, w.now), p).do = do
}

// chance is true with probability p.
func (w *World) chance(p float64) bool { return p > 0 && w.rand.Float64() < p }

// span is the time since the start, or between two instants.
func span(t ring.Time) time.Duration { return time.Duration(t) }

// upTo returns a duration of 0 to d.
func (w *World) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(w.rand.Int64N(int64(d) + 1))
}

func (w *World) storeID() (id wire.StoreID) {
	binary.BigEndian.PutUint64(id[:8], w.rand.Uint64())
	binary.BigEndian.PutUint64(id[8:], w.rand.Uint64())
	return id
}

// logf writes a line of the log, if there is one.
func (w *World) logf(format string, args ...any) {
	if w.Config.Log != nil {
		w.Config.Log(fmt.Sprintf("%9.3fs ", span(w.now).Seconds()) + fmt.Sprintf(format, args...))
	}
}

// violate records that an invariant does not hold.
func (w *World) violate(format string, args ...any) {
	err := fmt.Errorf("at %v: "+format, append([]any{span(w.now)}, args...)...)
	w.logf("VIOLATION %v", err)
	w.broken = append(w.broken, err)
}

// Violations returns the invariants that did not hold so far.
func (w *World) Violations() []error { return w.broken }

// mix adds a word to the trace: FNV-1a a word at a time, and a shift, as a
// product alone carries nothing down.
func (w *World) mix(x uint64) {
	h := (w.trace ^ x) * 1099511628211
	w.trace = h ^ h>>32
}

// mixBytes adds bytes to the trace.
func (w *World) mixBytes(b []byte) {
	w.mix(uint64(len(b)))
	for ; len(b) >= 8; b = b[8:] {
		w.mix(binary.BigEndian.Uint64(b))
	}
	for _, c := range b {
		w.mix(uint64(c))
	}
}

// mixAt adds to the trace where and when what follows happens.
func (w *World) mixAt(id wire.ID) {
	w.mix(uint64(w.now))
	w.mix(uint64(id))
}
