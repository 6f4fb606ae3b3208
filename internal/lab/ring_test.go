//go:build linux

package lab

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"securepeer/internal/control"
	"securepeer/keys"
	"securepeer/wire"
)

const (
	// interval is T, in which the scenarios' bounds are counted.
	interval = 200 * time.Millisecond
	// peerPort is where each peer listens, in its namespace.
	peerPort = 7460
	// stopLimit is how long a peer may take to end after SIGTERM.
	stopLimit = 5 * time.Second
	// memoryLimit is what one peer may ever have had in memory.
	memoryLimit = 64 << 20
	// lookEvery is how often a condition is looked at.
	lookEvery = 10 * time.Millisecond
	// logTail is how many lines of a peer's log are shown when a scenario fails.
	logTail = 30
)

// world is a ring of real peers, each a process in a namespace of its own.
// Their positions are those of their ids, so that neighbours are p1 and p2.
type world struct {
	*testing.T
	lab     *Lab
	seed    uint64
	rng     *rand.Rand
	program string
	dir     string
	roster  *keys.Roster
	most    int     // members that there will be
	peers   []*peer // the namespace of peers[i] is i+1, as is its id
	figures []string
	late    *lateness
	disks   []string // mounted, to be unmounted
	terse   bool     // peers log what an operator sees, and no more

	mu     sync.Mutex
	files  map[string]int // sizes of those that are acked: on as many disks as wanted
	events []event
}

// event is what the peer by said of the member on, on this machine's clock.
type event struct {
	by, on, kind string
	at           time.Time
}

// newWorld makes n members that do not run yet, and spare namespaces without
// one, numbered from n+1.
func newWorld(t *testing.T, program string, seed uint64, n, spare int) *world {
	t.Helper()
	w := &world{T: t, lab: newLab(t, n+spare, seed), seed: seed, rng: rand.New(rand.NewPCG(seed, 0)),
		program: program, most: n + spare, files: make(map[string]int)}
	var err error
	if w.dir, err = os.MkdirTemp("", "splab-"); err != nil { // short: sockets lie in it
		t.Fatal(err)
	}
	t.Cleanup(w.clean)
	w.late = watchLateness(t)
	if w.roster, err = keys.NewRoster("lab"); err != nil {
		t.Fatal(err)
	}
	w.roster.Interval = interval
	for range n {
		w.add()
	}
	w.publish(w.peers...)
	return w
}

// add makes one more member, behind the others on the circle.
func (w *world) add() *peer {
	w.Helper()
	id := len(w.peers) + 1
	p := &peer{world: w, id: id, name: fmt.Sprint("p", id)}
	p.dir = filepath.Join(w.dir, p.name)
	p.client = control.New(p.dir)
	secret, err := keys.Generate()
	if err == nil {
		err = os.Mkdir(p.dir, 0o700)
	}
	if err == nil {
		err = keys.WriteKeyFile(filepath.Join(p.dir, "key"), secret)
	}
	if err == nil {
		err = w.roster.Add(keys.Member{ID: wire.ID(id), Name: p.name, Key: secret.Public(),
			Addr: netip.AddrPortFrom(Addr(id), peerPort).String(),
			Pos:  wire.Pos(uint64(id) * (math.MaxUint64 / uint64(w.most))), HasPos: true})
	}
	if err != nil {
		w.Fatal(err)
	}
	w.peers = append(w.peers, p)
	return p
}

// publish gives members the present roster, as a file.
func (w *world) publish(to ...*peer) {
	w.Helper()
	for _, p := range to {
		if err := keys.WriteRoster(filepath.Join(p.dir, "roster"), w.roster); err != nil {
			w.Fatal(err)
		}
	}
}

// clean kills what runs, shows what failed and removes the folders.
func (w *world) clean() {
	for _, p := range w.peers {
		if p.cmd != nil {
			p.kill()
		}
	}
	if w.Failed() {
		for _, p := range w.peers {
			w.Logf("last words of %s:\n%s", p.name, strings.Join(p.lastWords(), "\n"))
		}
	}
	for _, d := range w.disks {
		if err := unix.Unmount(d, unix.MNT_DETACH); err != nil {
			w.Errorf("unmounting %s: %v", d, err)
		}
	}
	if err := os.RemoveAll(w.dir); err != nil {
		w.Error(err)
	}
}

// stop asks peers to end, all at once, and returns how long the slowest took.
func (w *world) stop(peers ...*peer) (slowest time.Duration) {
	w.Helper()
	start := time.Now()
	for _, p := range peers {
		p.signal(syscall.SIGTERM)
	}
	late := time.After(stopLimit)
	for _, p := range peers {
		select {
		case <-p.ended:
		case <-late:
			w.Errorf("%s runs %v after SIGTERM", p.name, stopLimit)
			return stopLimit
		}
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			w.Errorf("%s ends with %v after SIGTERM", p.name, p.cmd.ProcessState)
		}
	}
	return time.Since(start)
}

// live returns those that run.
func (w *world) live() []*peer { return w.without() }

// without returns those that run and are none of these.
func (w *world) without(these ...*peer) []*peer {
	return slices.DeleteFunc(slices.Clone(w.peers), func(p *peer) bool {
		return !p.running() || slices.Contains(these, p)
	})
}

// await waits until something is so, and returns how long that took. Not in
// time, it ends the scenario.
func (w *world) await(limit time.Duration, what string, so func() bool) time.Duration {
	w.Helper()
	start := time.Now()
	for !so() {
		if time.Since(start) > limit {
			w.Fatalf("not so after %v: %s", limit, what)
		}
		time.Sleep(lookEvery)
	}
	return time.Since(start)
}

// whole waits until these peers, by id, are one ring: each is active and sees exactly them,
// their views are equal, and none is behind. It returns how long that took.
func (w *world) whole(limit time.Duration, peers ...*peer) time.Duration {
	w.Helper()
	want := names(peers)
	var last []string
	start := time.Now()
	for {
		last = last[:0]
		views := make(map[string]bool)
		for _, p := range peers {
			s, ok := p.status()
			views[s.View] = true
			if !ok || s.State != "active" || s.Behind || !slices.Equal(s.Circle, want) {
				last = append(last, fmt.Sprintf("%s is %s (behind: %v) and sees %v", p.name, s.State, s.Behind, s.Circle))
			}
		}
		took := time.Since(start)
		switch {
		case len(last) == 0 && len(views) == 1:
			return took
		case took > limit:
			w.Fatalf("after %v there is no one ring of %v, in %d views: %s", limit, want, len(views), strings.Join(last, "; "))
		}
		time.Sleep(lookEvery)
	}
}

// begin starts these peers, waits until they are a ring, and counts what they
// have open.
func (w *world) begin(peers ...*peer) {
	w.Helper()
	for _, p := range peers {
		p.start()
	}
	for _, p := range peers {
		p.listen()
	}
	w.figure("formed", w.whole(10*time.Second, peers...))
	for _, p := range peers {
		p.open = p.descriptors()
	}
}

// figure remembers what a scenario measured; durations are in T, too.
func (w *world) figure(name string, value any) {
	if d, ok := value.(time.Duration); ok {
		value = fmt.Sprintf("%v(%.1fT)", d.Round(100*time.Microsecond), float64(d)/float64(interval))
	}
	w.figures = append(w.figures, fmt.Sprintf("%s=%v", name, value))
}

// within is figure for what has a bound.
func (w *world) within(name string, took, bound time.Duration) {
	w.Helper()
	w.figure(name, took)
	if took > bound {
		w.Errorf("%s took %v, more than %v", name, took, bound)
	}
}

// since returns the events since a moment that are so.
func (w *world) since(at time.Time, so func(event) bool) []event {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []event
	for _, e := range w.events {
		if !e.at.Before(at) && so(e) {
			found = append(found, e)
		}
	}
	return found
}

// lost waits until each of by has said that on is out of the ring, and returns
// when the first, and the last, of them said so after at.
func (w *world) lost(at time.Time, limit time.Duration, on *peer, by ...*peer) (first, last time.Duration) {
	w.Helper()
	said := make(map[string]time.Duration)
	w.await(limit, fmt.Sprintf("%s is out of the ring of %v", on.name, names(by)), func() bool {
		for _, e := range w.since(at, func(e event) bool { return e.on == on.name && e.kind == "member-gone" }) {
			if _, ok := said[e.by]; !ok && slices.Contains(names(by), e.by) {
				said[e.by] = e.at.Sub(at)
			}
		}
		return len(said) == len(by)
	})
	first = limit
	for _, d := range said {
		first, last = min(first, d), max(last, d)
	}
	return first, last
}

// incarnations are those in which peers speak. A verdict on one that lives is
// refuted by a higher one, so what has not changed was not judged.
func (w *world) incarnations(peers ...*peer) map[*peer]uint64 {
	w.Helper()
	all := make(map[*peer]uint64)
	for _, p := range peers {
		s, ok := p.status()
		if !ok {
			w.Fatalf("%s does not say how it is", p.name)
		}
		all[p] = s.Incarnation
	}
	return all
}

// unjudged fails if one of those had to refute a verdict since.
func (w *world) unjudged(before map[*peer]uint64) {
	w.Helper()
	for p, was := range before {
		if s, ok := p.status(); !ok || s.Incarnation != was {
			w.Errorf("%s was judged: it spoke as incarnation %d, and now as %d", p.name, was, s.Incarnation)
		}
	}
}

// undoubted fails if, since at, anybody routed around one of those.
func (w *world) undoubted(at time.Time, these ...*peer) {
	w.Helper()
	for _, e := range w.since(at, func(e event) bool {
		return e.kind == "member-gone" && slices.Contains(names(these), e.on)
	}) {
		w.Errorf("%s lost %s at +%v", e.by, e.on, e.at.Sub(at))
	}
}

// end asserts what every scenario does: one ring of all that run, every acked
// file byte for byte, little memory, few descriptors, and an end in time.
func (w *world) end(limit time.Duration) {
	w.Helper()
	peers := w.live()
	w.within("one-ring", w.whole(2*limit, peers...), limit)
	w.fetch(10*time.Second, peers...)
	w.figure("files", len(w.acked()))
	most := 0
	for _, p := range peers {
		most = max(most, p.memory())
		// Idle links for transfers are kept for 30 s, at most four a pair.
		if n := p.descriptors(); p.open > 0 && n > p.open+4*len(peers) {
			w.Errorf("%s has %d descriptors open; when the ring was new it had %d", p.name, n, p.open)
		}
	}
	w.figure("memory", fmt.Sprintf("%.0fMiB", float64(most)/(1<<20)))
	if most > memoryLimit {
		w.Errorf("a peer had %d bytes in memory, more than %d", most, memoryLimit)
	}
	w.figure("stopped", w.stop(peers...))
	w.figure("late", time.Duration(w.late.most.Load()))
}

// settled waits until peers have no more descriptors than when the ring was
// new: transfer links end after 30 s.
func (w *world) settled(peers ...*peer) {
	w.Helper()
	w.await(35*time.Second, "descriptors are back to the start", func() bool {
		return !slices.ContainsFunc(peers, func(p *peer) bool { return p.descriptors() > p.open })
	})
}

// lateness is how long this machine has kept a process waiting that wanted to
// run: bounds in T are those of a machine that keeps nobody waiting for half
// of one.
type lateness struct{ most atomic.Int64 }

// watchLateness measures it until the test ends.
func watchLateness(t *testing.T) *lateness {
	l := new(lateness)
	done := make(chan struct{})
	ended := make(chan struct{})
	t.Cleanup(func() { close(done); <-ended })
	go func() { // ends with the test
		defer close(ended)
		for {
			wanted := time.Now().Add(lookEvery)
			select {
			case <-time.After(lookEvery):
				l.most.Store(max(l.most.Load(), int64(time.Since(wanted))))
			case <-done:
				return
			}
		}
	}()
	return l
}

// build builds the program as it is shipped.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "securepeer")
	cmd := exec.Command("go", "build", "-trimpath", "-o", program, "./cmd/securepeer")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v: %s", err, out)
	}
	return program
}
