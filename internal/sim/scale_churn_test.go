package sim

import (
	"fmt"
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// asker asks who answers for random names, from random peers, and holds every
// answer to what is true.
type asker struct {
	w       *World
	entered map[wire.ID]ring.Time // when a peer was last told to start; absent: it ran before
	leaves  map[wire.ID]ring.Time // when a peer was told to leave or lost its power
	open    []*Op
	count   answers
}

// answers counts how lookups ended.
type answers struct {
	right, wrong, errors int
	own                  int // right, and the asker answers itself: nobody was asked
	hops                 int // of those that asked somebody
	first                int // right at the first peer asked
	took                 figures
}

func newAsker(w *World) *asker {
	return &asker{w: w, entered: make(map[wire.ID]ring.Time), leaves: make(map[wire.ID]ring.Time)}
}

// ask begins n lookups.
func (a *asker) ask(n int) {
	running := a.w.members()
	for range n {
		h := running[a.w.rand.IntN(len(running))]
		a.open = append(a.open, a.w.Lookup(h.ID, fmt.Sprintf("%016x", a.w.rand.Uint64())))
	}
}

// tally takes the lookups that have ended.
func (a *asker) tally() {
	open := a.open[:0]
	for _, op := range a.open {
		switch {
		case op.Lost:
		case !op.Ended:
			open = append(open, op)
		case op.Result.Outcome != ring.Succeeded:
			a.count.errors++
		case !a.right(op):
			a.count.wrong++
			a.w.logf("WRONG: %v asked for %q, by %v: %v says here", op.Host, op.Name, op.Result.Path, op.Result.At)
		default:
			a.count.right++
			a.count.took = append(a.count.took, span(op.At-op.Begun).Seconds())
			if hops := len(op.Result.Path); hops == 0 {
				a.count.own++
			} else {
				a.count.hops += hops
				if hops == 1 {
					a.count.first++
				}
			}
		}
	}
	a.open = open
	a.w.ops, a.w.open = nil, nil // thousands of them: their ends have been checked
}

// settling is how long, in intervals, a peer that comes or goes may be taken
// for here or away.
const settling = 4

// right says whether who said Here was right to at some moment while the
// lookup ran: it is in the ring, and of those who have been there for a while,
// and are, fewer than the copies of a key lie between the key and it. So it
// is a home holder, or stands in for one that is away.
func (a *asker) right(op *Op) bool {
	w := a.w
	grace := ring.Time(settling * w.Config.Interval)
	at := op.Result.At
	if left, ok := a.leaves[at]; ok && left+grace < op.Begun {
		return false
	}
	key, pos := wire.KeyOf(w.Config.Space, op.Name), a.pos(at)
	before := 0
	for _, h := range w.hosts {
		if h.started == 0 || a.pos(h.ID)-key >= pos-key {
			continue
		}
		_, away := a.leaves[h.ID]
		if since, late := a.entered[h.ID]; !away && (!late || since+grace < op.Begun) {
			before++
		}
	}
	return before < w.Config.Copies
}

// pos is where a member is: their ids are the indices of the roster.
func (a *asker) pos(id wire.ID) wire.Pos { return a.w.Config.Members[id].Pos }

// hops is the mean over the lookups that asked somebody.
func (c answers) mean() float64 { return float64(c.hops) / float64(max(1, c.right-c.own)) }

// A lookup in a quiet ring asks one peer, and it is the right one.
func TestScaleHopsQuiet(t *testing.T) {
	t.Parallel()
	n := many(1000, few)
	c := lan(1, scattered(1, n))
	listen(&c)
	a := newAsker(warm(t, c))
	for range 100 {
		a.ask(many(100, 10))
		a.w.Run(time.Second)
		a.tally()
	}
	t.Logf("n=%v: %v right, %v by the asker itself, %v wrong, %v errors", n, a.count.right, a.count.own, a.count.wrong, a.count.errors)
	bound(t, "hops: quiet, mean", a.count.mean(), 1)
	bound(t, "hops: quiet, wrong or failed", float64(a.count.wrong+a.count.errors), 0)
}

// Twelve joins and twelve leaves every 30 s among a thousand: one hop all the
// same, and no wrong answer.
func TestScaleHopsUnderChurn(t *testing.T) {
	t.Parallel()
	n, each := many(1000, few), many(12, 2)
	rounds := often(20, 4, 3)
	c := lan(2, scattered(2, n+each*rounds))
	listen(&c)
	ids := make([]wire.ID, n)
	for i := range ids {
		ids[i] = wire.ID(i)
	}
	w := warm(t, c, ids...)
	a := newAsker(w)
	joined := n
	for range rounds {
		for second := range 30 {
			if second < each {
				members := w.members()
				contact, leaver := members[w.rand.IntN(len(members))].ID, members[w.rand.IntN(len(members))].ID
				a.entered[wire.ID(joined)] = w.now
				w.Start(wire.ID(joined), contact)
				joined++
				w.Run(500 * time.Millisecond)
				a.leaves[leaver] = w.now
				w.Leave(leaver)
				w.Run(500 * time.Millisecond)
			} else {
				w.Run(time.Second)
			}
			a.ask(many(100, 10))
			a.tally()
		}
	}
	w.Run(10 * time.Second)
	a.tally()
	t.Logf("n=%v, %v joins, %v leaves: %v right, %v by the asker itself, %v wrong, %v errors, %.5f right at the first peer",
		n, joined-n, len(a.leaves), a.count.right, a.count.own, a.count.wrong, a.count.errors,
		float64(a.count.first)/float64(max(1, a.count.right-a.count.own)))
	bound(t, "churn: mean hops", a.count.mean(), 1.05)
	bound(t, "churn: wrong answers", float64(a.count.wrong), 0)
	bound(t, "churn: lookups that failed", float64(a.count.errors), 0)
	bound(t, "churn: lookups that have not ended", float64(len(a.open)), 0)
	if err := w.alike(); err != nil {
		t.Error(err)
	}
}

// Half of a thousand lose power at once. Lookups that begin before the ring is
// repaired end at a right peer or with an explicit error; all views are equal
// within ten intervals (median of the seeds; the worst within sixteen).
func TestScaleHalfKilled(t *testing.T) {
	t.Parallel()
	n := many(1000, few)
	var equal figures
	var total answers
	for seed := range uint64(often(5, 1, 3)) {
		c := lan(seed, scattered(seed, n))
		v := listen(&c)
		w := warm(t, c)
		a := newAsker(w)
		var dead []wire.ID
		for _, i := range w.rand.Perm(n)[:n/2] {
			dead = append(dead, wire.ID(i))
			a.leaves[wire.ID(i)] = w.now
			w.Crash(wire.ID(i))
		}
		began := w.now
		live := w.running()
		gone := 0
		v.hook = func(h *Host, n ring.Notice) {
			if h.process != nil && a.leaves[n.Peer] != 0 {
				if gone++; n.Kind != ring.MemberGone {
					gone -= 2
				}
			}
		}
		asked := ring.Time(0)
		repaired := w.RunUntil(30*w.Config.Interval, func() bool {
			if w.now >= asked {
				a.ask(many(20, 5))
				asked = w.now + ring.Time(w.Config.Interval/4)
			}
			return gone == len(dead)*len(live)
		})
		took := span(w.now-began).Seconds() / w.Config.Interval.Seconds()
		if !repaired {
			t.Errorf("seed %v: not repaired after %.1f T: %v of %v", seed, took, gone, len(dead)*len(live))
		}
		w.Run(10 * time.Second)
		a.tally()
		if err := w.alike(); err != nil {
			t.Errorf("seed %v: %v", seed, err)
		}
		t.Logf("seed %v: repaired after %.2f T; %+v right, %v wrong, %v errors, mean hops %.2f, seconds each %v, not ended %v",
			seed, took, a.count.right, a.count.wrong, a.count.errors, a.count.mean(), a.count.took, len(a.open))
		equal = append(equal, took)
		total.right += a.count.right
		total.wrong += a.count.wrong
		total.errors += a.count.errors + len(a.open)
	}
	bound(t, "half killed: views equal, median of T", equal.at(0.5), 10)
	bound(t, "half killed: views equal, worst of T", equal.at(1), 16)
	bound(t, "half killed: wrong answers", float64(total.wrong), 0)
	bound(t, "half killed: errors among lookups", float64(total.errors)/float64(total.right+total.errors+1), 0.5)
}

// Two halves that did not hear each other for ten minutes are one ring again
// within fifteen intervals after the way is free.
func TestScaleTwoHalves(t *testing.T) {
	t.Parallel()
	n := many(1000, few)
	c := lan(1, scattered(5, n))
	v := listen(&c)
	w := warm(t, c)
	var side []wire.ID
	for _, i := range w.rand.Perm(n)[:n/2] {
		side = append(side, wire.ID(i))
	}
	w.Split(side...)
	w.Run(often(10*time.Minute, 3*time.Minute, 2*time.Minute))
	apart := len(v.gone)
	if apart != n*n/2 {
		t.Errorf("each half holds the other to be away: %v verdicts, want %v", apart, n*n/2)
	}
	w.Heal()
	began := w.now
	w.RunUntil(60*w.Config.Interval, func() bool { return len(v.gone) == 0 })
	took := span(w.now-began).Seconds() / w.Config.Interval.Seconds()
	if err := w.alike(); err != nil {
		w.Run(10 * w.Config.Interval)
		if err = w.alike(); err != nil {
			t.Error(err)
		}
	}
	bound(t, "two halves: one ring after T", took, 15)
}
