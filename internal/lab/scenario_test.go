//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"securepeer/internal/control"
	"securepeer/keys"
	"securepeer/node"
)

// T is the interval, in which bounds are given.
const T = interval

// scenario is something that happens to a ring of real processes. Besides what
// run asserts, end asserts what must be so after each of them.
type scenario struct {
	name  string
	seed  uint64
	peers int
	spare int           // namespaces without a peer
	heal  time.Duration // from the end of run until there is one ring
	run   func(w *world)
}

// play runs a scenario in a new world, and prints what it measured in one line.
func (s scenario) play(t *testing.T, program string) {
	start := time.Now()
	w := newWorld(t, program, s.seed, s.peers, s.spare)
	s.run(w)
	w.end(s.heal)
	t.Logf("%s: seed=%d T=%v %s took=%v", s.name, s.seed, T, strings.Join(w.figures, " "), time.Since(start).Round(100*time.Millisecond))
}

var scenarios = []scenario{
	{"quiet wire", 124, 7, 0, 5 * T, quietWire},
	{"kill one", 101, 7, 0, 5 * T, killOne},
	{"kill two adjacent", 102, 7, 0, 5 * T, killTwo},
	{"kill three of seven", 103, 7, 0, 5 * T, killThree},
	{"kill down to one", 104, 3, 0, 5 * T, killDownToOne},
	{"kill all", 105, 7, 0, 5 * T, killAll},
	{"stop one", 106, 5, 0, 5 * T, stopOne},
	{"gone", 122, 5, 0, 5 * T, gone},
	{"forget", 123, 5, 0, 5 * T, forget},
	{"split and heal", 107, 7, 0, 15 * T, splitTheRing},
	{"one-way cuts", 108, 5, 0, 5 * T, oneWayCuts},
	{"majorities ring", 109, 5, 0, 15 * T, majoritiesRing},
	{"loss 10%", 110, 5, 0, 15 * T, loss(.1)},
	{"loss 20%", 111, 5, 0, 15 * T, loss(.2)},
	{"loss 30%", 112, 5, 0, 15 * T, loss(.3)},
	{"delay 200 ms", 113, 5, 0, 15 * T, delay},
	{"duplicates", 114, 5, 0, 5 * T, duplicates},
	{"pause", 115, 5, 0, 5 * T, pause},
	{"restart storm", 116, 5, 0, 15 * T, restartStorm},
	{"slow link", 117, 5, 0, 5 * T, slowLink},
	{"idle strangers", 118, 5, 1, 5 * T, idleStrangers},
	{"join storm", 119, 16, 0, 5 * T, joinStorm},
	{"roster skew", 120, 5, 1, 5 * T, rosterSkew},
	{"kill during join", 121, 7, 0, 5 * T, killDuringJoin},
}

// Bounds, in T. A death is known to its observers in three intervals (ping,
// burst, helpers, votes) and to all in five; who comes back is in everybody's
// ring in ten, a start of the process included.
const (
	detected = 3 * T
	known    = 5 * T
	rejoined = 10 * T
)

// quietWire: a ring of seven at rest sends at most 2 K + 2 datagrams a peer
// and interval, each of 96 bytes. Then a file is stored and fetched: neither
// its name nor its bytes are in any frame.
func quietWire(w *world) {
	const (
		observers = keys.DefaultObservers
		intervals = 25
		datagram  = etherHeader + ipHeader + 8 + 96
		udp       = 17
	)
	w.begin(w.peers...)
	var sent [8]atomic.Int64 // datagrams of each peer
	var others atomic.Int64  // that have another size
	w.lab.Sniff(func(from, _ int, frame []byte) {
		if len(frame) > etherHeader+9 && frame[etherHeader+9] == udp {
			sent[from].Add(1)
			if len(frame) != datagram {
				others.Add(1)
			}
		}
	})
	time.Sleep(intervals * T)
	w.lab.Sniff(nil)
	var least, most int64 = math.MaxInt64, 0
	for i := range w.peers {
		least, most = min(least, sent[i+1].Load()), max(most, sent[i+1].Load())
	}
	w.figure("datagrams", fmt.Sprintf("%.1f/T", float64(most)/intervals))
	if least == 0 || most > (2*observers+2)*(intervals+1) || others.Load() != 0 {
		w.Errorf("%d to %d datagrams a peer in %d intervals, %d not of 96 bytes", least, most, intervals, others.Load())
	}

	const name, size = "plaintext-canary", 64 << 10
	needles := [][]byte{[]byte(name), w.content(name, size)[:16], w.content(name, size)[size-16:]}
	var frames, found atomic.Int64
	w.lab.Sniff(func(_, _ int, frame []byte) {
		frames.Add(1)
		if slices.ContainsFunc(needles, func(n []byte) bool { return bytes.Contains(frame, n) }) {
			found.Add(1)
		}
	})
	if acked, err := w.peers[0].put(name, size, 5*time.Second); err != nil || !acked {
		w.Errorf("put: acked %v, %v", acked, err)
	}
	for _, p := range w.peers {
		if err := p.get(name, 5*time.Second); err != nil {
			w.Error(err)
		}
	}
	w.lab.Sniff(nil)
	w.figure("frames", frames.Load())
	if frames.Load() < 3*size/1500 || found.Load() != 0 {
		w.Errorf("%d of %d frames show the file", found.Load(), frames.Load())
	}
}

// observers returns the three nearest predecessors of a peer that run: they
// are the members of the roster's default that watch it.
func (w *world) observers(of *peer) []*peer {
	var all []*peer
	for i := 1; i < len(w.peers) && len(all) < 3; i++ {
		if p := w.peers[(of.id-1-i+len(w.peers))%len(w.peers)]; p.running() {
			all = append(all, p)
		}
	}
	return all
}

// killAndReturn kills peers at once, sees that the others notice in time and
// say why, that every file is still there, and that they come back.
func (w *world) killAndReturn(round string, why node.Why, victims ...*peer) {
	w.Helper()
	others := w.without(victims...)
	before := w.incarnations(others...)
	at := time.Now()
	for _, p := range victims {
		p.cmd.Process.Kill()
	}
	for _, p := range victims {
		p.kill()
		first, last := w.lost(at, 2*known, p, others...)
		_, watching := w.lost(at, 2*known, p, w.observers(p)...)
		w.figure("first"+round, first)
		w.within("observers"+round, watching, detected)
		w.within("all"+round, last, known)
	}
	w.within("get"+round, w.fetch(5*time.Second, others...), time.Second)
	w.because(why, others, victims)
	w.undoubted(at, others...)
	w.unjudged(before)
	w.within("back"+round, w.restart(victims...), rejoined)
}

// restart starts peers that ended, and returns how long it took until all that
// run were one ring, from before the processes were started.
func (w *world) restart(these ...*peer) time.Duration {
	w.Helper()
	at := time.Now()
	for _, p := range these {
		p.start()
	}
	for _, p := range these {
		p.listen()
	}
	w.whole(2*rejoined, w.live()...)
	return time.Since(at)
}

// killOne: three times one of seven dies by SIGKILL.
func killOne(w *world) {
	w.begin(w.peers...)
	w.store(7, 20<<10, w.peers...)
	for round, i := range w.rng.Perm(7)[:3] {
		w.killAndReturn(fmt.Sprint(round), node.WhySilent, w.peers[i])
	}
}

// killTwo: three times two neighbours die at once, so that one of them is an
// observer of the other and two copies of some files are gone.
func killTwo(w *world) {
	w.begin(w.peers...)
	w.store(7, 20<<10, w.peers...)
	for round, i := range w.rng.Perm(7)[:3] {
		w.killAndReturn(fmt.Sprint(round), node.WhySilent, w.peers[i], w.peers[(i+1)%7])
	}
}

// killThree: three of seven die at once, three times others. That is more than
// two and a quarter of all, so it may be a cut. There are no files yet: all
// three copies of one could be gone.
func killThree(w *world) {
	w.begin(w.peers...)
	for round := range 3 {
		i := w.rng.Perm(7)
		w.killAndReturn(fmt.Sprint(round), node.WhyCut, w.peers[i[0]], w.peers[i[1]], w.peers[i[2]])
	}
	w.store(7, 20<<10, w.peers...)
}

// killDownToOne: of a ring of three one dies, then of the ring of two. Every
// file is on all three, so the last one has all.
func killDownToOne(w *world) {
	w.begin(w.peers...)
	w.store(5, 20<<10, w.peers...)
	for round, i := range w.rng.Perm(3)[:2] {
		at := time.Now()
		w.peers[i].kill()
		_, last := w.lost(at, 2*known, w.peers[i], w.live()...)
		w.within(fmt.Sprint("all", round), last, known)
		w.because(node.WhySilent, w.live(), []*peer{w.peers[i]})
		w.within(fmt.Sprint("get", round), w.fetch(5*time.Second, w.live()...), time.Second)
	}
	w.restart(w.without(w.live()...)...)
}

// killAll: three times all seven die at once, and all are started again.
func killAll(w *world) {
	w.begin(w.peers...)
	for round := range 3 {
		w.store(7, 20<<10, w.peers...)
		for _, p := range w.peers {
			p.cmd.Process.Kill()
		}
		for _, p := range w.peers {
			p.kill()
		}
		w.within(fmt.Sprint("back", round), w.restart(w.peers...), rejoined)
		w.fetch(5*time.Second, w.peers...)
	}
}

// splitTheRing: three and four of seven do not hear each other for twenty
// intervals. Each side is a ring, takes files, and keeps what it had; then
// they are one. A file whose home holders are all on the other side is stored
// on fewer disks than wanted, and that is said; it is completed afterwards.
func splitTheRing(w *world) {
	w.begin(w.peers...)
	w.store(7, 20<<10, w.peers...)
	at := time.Now()
	w.lab.Split([]int{1, 2, 3})
	w.whole(4*known, w.peers[:3]...)
	w.whole(4*known, w.peers[3:]...)
	w.within("two-rings", time.Since(at), 2*known)
	w.because(node.WhyCut, w.peers[:3], w.peers[3:])
	w.because(node.WhyCut, w.peers[3:], w.peers[:3])
	fewer := 0
	for _, p := range w.peers {
		name := "split-" + p.name
		acked, err := p.put(name, 10<<10, 10*time.Second)
		if err != nil {
			w.Errorf("put at %s: %v", p.name, err)
		}
		if !acked {
			w.keep(name, 10<<10)
			fewer++
		}
	}
	w.figure("on-fewer", fewer)
	time.Sleep(time.Until(at.Add(20 * T)))
	w.lab.Heal()
}

// oneWayCuts: each of the twenty directed links of a ring of five is cut in
// turn. One observer does not hear a member that all others hear: it says so,
// nobody is judged, and both ends store.
func oneWayCuts(w *world) {
	w.begin(w.peers...)
	w.store(5, 20<<10, w.peers...)
	var slowest time.Duration
	for _, from := range w.peers {
		for _, to := range w.peers {
			if from == to {
				continue
			}
			before := w.incarnations(w.peers...)
			w.lab.Set(from.id, to.id, Rule{Cut: true})
			at := time.Now()
			said := w.await(2*known, fmt.Sprintf("%s or %s says that the way from the first is cut", from.name, to.name), func() bool {
				return from.member(to).Why == string(node.WhyOneWay) || to.member(from).Why == string(node.WhyOneWay)
			})
			slowest = max(slowest, said)
			time.Sleep(time.Until(at.Add(5 * T)))
			for _, p := range []*peer{from, to} {
				name := fmt.Sprintf("cut-%d-%d-%d", from.id, to.id, p.id)
				if _, err := p.put(name, 5<<10, 3*time.Second); err != nil {
					w.Errorf("%d -> %d cut: put at %s: %v", from.id, to.id, p.name, err)
				}
			}
			w.unjudged(before)
			w.lab.Heal()
			w.whole(10*T, w.peers...)
		}
	}
	w.within("said", slowest, known)
}

// stopOne: one of five is stopped by SIGTERM, says so, and returns; three
// times. Nobody is judged, and nobody waits for it.
func stopOne(w *world) {
	w.begin(w.peers...)
	w.store(5, 20<<10, w.peers...)
	for round, i := range w.rng.Perm(5)[:3] {
		p := w.peers[i]
		others := w.without(p)
		before := w.incarnations(others...)
		at := time.Now()
		w.within(fmt.Sprint("stop", round), w.stop(p), 5*T)
		_, last := w.lost(at, known, p, others...)
		w.within(fmt.Sprint("all", round), last, detected)
		w.because(node.WhyStopped, others, []*peer{p})
		w.within(fmt.Sprint("get", round), w.fetch(5*time.Second, others...), time.Second)
		w.unjudged(before)
		w.within(fmt.Sprint("back", round), w.restart(p), rejoined)
	}
}

// gone: one of five stays away for the grace of twenty intervals. Then, and
// not before, its files are copied to others; and when it comes back after
// all, it is a member like any other.
func gone(w *world) {
	const grace = 20 * T
	w.roster.Grace = grace
	w.publish(w.peers...)
	w.begin(w.peers...)
	w.store(8, 20<<10, w.peers...)
	victim := w.peers[w.rng.IntN(5)]
	at := time.Now()
	victim.kill()
	others := w.live()
	w.lost(at, 2*known, victim, others...)
	time.Sleep(time.Until(at.Add(grace - 2*T)))
	w.because(node.WhySilent, others, []*peer{victim})
	w.await(2*grace, "the silent member is gone", func() bool { return all(others, victim, node.WhyGone) })
	w.within("gone-after-grace", time.Since(at)-grace, 2*known)
	w.within("copied", w.copied(3, others), 2*known)
	w.within("back", w.restart(victim), rejoined)
}

// forget: an operator says at two of five that a dead one will not come back.
// One peer's word is not enough; with the second's, its files are copied.
func forget(w *world) {
	w.begin(w.peers...)
	w.store(8, 20<<10, w.peers...)
	i := w.rng.Perm(5)
	victim, first, second := w.peers[i[0]], w.peers[i[1]], w.peers[i[2]]
	if _, err := first.forget(victim); err == nil {
		w.Errorf("%s forgets %s, which is there", first.name, victim.name)
	}
	at := time.Now()
	victim.kill()
	others := w.live()
	w.lost(at, 2*known, victim, others...)
	if f, err := first.forget(victim); err != nil || f.Gone || len(f.Said) != 1 {
		w.Errorf("after one peer's word: %+v, %v", f, err)
	}
	time.Sleep(T) // the second operator has been told of it
	at = time.Now()
	if f, err := second.forget(victim); err != nil || !f.Gone {
		w.Errorf("after two peers' word: %+v, %v", f, err)
	}
	w.await(2*known, "the forgotten member is gone", func() bool { return all(others, victim, node.WhyGone) })
	w.within("gone", time.Since(at), detected)
	w.within("copied", w.copied(3, others), 2*known)
	w.within("back", w.restart(victim), rejoined)
}

func (p *peer) forget(member *peer) (control.Forget, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return p.client.Forget(ctx, member.name)
}

// all reports whether each of by says that reason of on.
func all(by []*peer, on *peer, why node.Why) bool {
	return !slices.ContainsFunc(by, func(p *peer) bool { return p.member(on).Why != string(why) })
}

// because waits until each of by says that reason of each of on.
func (w *world) because(why node.Why, by, on []*peer) {
	w.Helper()
	for _, m := range on {
		w.await(known, fmt.Sprintf("%v say that %s is %s; one says %q", names(by), m.name, why, by[0].member(m).Why),
			func() bool { return all(by, m, why) })
	}
}

// copied waits until each acked file is on so many of the disks of those, and
// returns how long it took.
func (w *world) copied(copies int, among []*peer) time.Duration {
	w.Helper()
	return w.await(4*known, fmt.Sprintf("each file is on %d disks", copies), func() bool {
		return !slices.ContainsFunc(w.acked(), func(name string) bool {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			stat, err := among[0].client.Stat(ctx, name)
			n := 0
			for _, h := range stat.Holders {
				if len(h.Versions) > 0 && slices.Contains(names(among), h.Peer) {
					n++
				}
			}
			return err != nil || n < copies
		})
	})
}

// majoritiesRing: each of five hears its two neighbours and nobody else, so
// each sees a majority and no two see the same. Then the cuts end.
func majoritiesRing(w *world) {
	w.begin(w.peers...)
	w.store(5, 20<<10, w.peers...)
	stop := w.load(4<<10, func() []*peer { return w.peers })
	for i := range 5 {
		w.lab.Both(i+1, (i+2)%5+1, Rule{Cut: true})
	}
	time.Sleep(30 * T)
	stop()
	w.lab.Heal()
}

// loss has every link lose packets for sixty intervals, under puts and gets:
// nobody is judged. Then one dies, and is found.
func loss(p float64) func(w *world) {
	return func(w *world) {
		w.begin(w.peers...)
		w.store(5, 20<<10, w.peers...)
		before, at := w.incarnations(w.peers...), time.Now()
		w.lab.Set(0, 0, Rule{Loss: p})
		stop := w.load(4<<10, func() []*peer { return w.peers })
		time.Sleep(60 * T)
		w.unjudged(before)
		w.undoubted(at, w.peers...)
		stop()
		w.killUnder(4 * known)
		w.lab.Set(0, 0, Rule{})
		w.restart(w.without(w.live()...)...)
	}
}

// killUnder kills one of all, and sees that the others find out in time,
// whatever the network is like.
func (w *world) killUnder(limit time.Duration) {
	w.Helper()
	victim := w.peers[w.rng.IntN(len(w.peers))]
	at := time.Now()
	victim.kill()
	_, watching := w.lost(at, 2*limit, victim, w.observers(victim)...)
	_, last := w.lost(at, 2*limit, victim, w.live()...)
	w.figure("observers", watching)
	w.within("all", last, limit)
}

// delay makes every packet take an interval, and up to a half more: a ring
// forms, stores and fetches, nobody is judged, and a death is found.
func delay(w *world) {
	w.lab.Set(0, 0, Rule{Delay: 200 * time.Millisecond, Jitter: 100 * time.Millisecond})
	w.begin(w.peers...)
	w.store(2, 20<<10, w.peers...)
	before, at := w.incarnations(w.peers...), time.Now()
	stop := w.load(4<<10, func() []*peer { return w.peers })
	time.Sleep(30 * T)
	stop()
	w.unjudged(before)
	w.undoubted(at, w.peers...)
	w.killUnder(2 * known)
	w.restart(w.without(w.live()...)...)
}

// duplicates has half of all packets arrive twice, a fifth late and one in a
// hundred damaged: each request acts once.
func duplicates(w *world) {
	w.begin(w.peers...)
	before, at := w.incarnations(w.peers...), time.Now()
	w.lab.Set(0, 0, Rule{Dup: .5, Reorder: .2, Flip: .01})
	w.store(5, 100<<10, w.peers...)
	stop := w.load(4<<10, func() []*peer { return w.peers })
	time.Sleep(40 * T)
	stop()
	w.unjudged(before)
	w.undoubted(at, w.peers...)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	list, err := w.peers[0].client.List(ctx, "")
	if err != nil || len(list.Files) < len(w.acked()) {
		w.Errorf("%d files are listed, %d are acked (%v)", len(list.Files), len(w.acked()), err)
	}
	for _, f := range list.Files {
		if f.Version != 1 {
			w.Errorf("%s was put once, and has version %d", f.Name, f.Version)
		}
	}
}

// pause stops one of five for ten intervals with SIGSTOP, three times: it is
// found out, the files are read from others, and when it wakes it judges
// nobody and is back in five.
func pause(w *world) {
	w.begin(w.peers...)
	w.store(5, 20<<10, w.peers...)
	for round, i := range w.rng.Perm(5)[:3] {
		p := w.peers[i]
		others := w.without(p)
		before := w.incarnations(others...)
		at := time.Now()
		p.signal(syscall.SIGSTOP)
		_, last := w.lost(at, 2*known, p, others...)
		w.within(fmt.Sprint("all", round), last, known)
		w.within(fmt.Sprint("get", round), w.fetch(5*time.Second, others...), time.Second)
		w.because(node.WhySilent, others, []*peer{p})
		time.Sleep(time.Until(at.Add(10 * T)))
		woken := time.Now()
		p.signal(syscall.SIGCONT)
		w.whole(10*T, w.peers...)
		w.within(fmt.Sprint("back", round), time.Since(woken), 5*T)
		w.undoubted(at, others...)
		w.unjudged(before)
	}
}

// restartStorm: for 15 s each of five dies every 1 to 3 s and is started at
// once, under puts and gets. Nothing acked is lost, and when it is over
// nothing is left open.
func restartStorm(w *world) {
	w.begin(w.peers...)
	w.store(5, 20<<10, w.peers...)
	stop := w.load(4<<10, func() []*peer { return w.peers })
	pause := func() time.Duration { return time.Second + time.Duration(w.rng.Int64N(int64(2*time.Second))) }
	over, kills := time.Now().Add(15*time.Second), 0
	due := make(map[*peer]time.Time)
	for _, p := range w.peers {
		due[p] = time.Now().Add(pause())
	}
	for {
		next := slices.MinFunc(w.peers, func(a, b *peer) int { return due[a].Compare(due[b]) })
		if due[next].After(over) {
			break
		}
		time.Sleep(time.Until(due[next]))
		next.kill()
		next.start()
		kills++
		due[next] = time.Now().Add(pause())
	}
	stop()
	w.figure("kills", kills)
	w.within("calm", w.whole(30*T, w.peers...), 15*T)
	w.fetch(10*time.Second, w.peers...)
	w.settled(w.peers...)
}

// slowLink: every link carries 10 Mbit/s, and a file of 2 MiB goes out from
// each of five at once. The bulk does not starve the pings.
func slowLink(w *world) {
	const size, rate = 2 << 20, 1_250_000
	w.begin(w.peers...)
	w.lab.Set(0, 0, Rule{Rate: rate})
	before, at := w.incarnations(w.peers...), time.Now()
	var running sync.WaitGroup
	for _, p := range w.peers {
		running.Go(func() { // ends with the put
			if acked, err := p.put("bulk-"+p.name, size, time.Minute); err != nil || !acked {
				w.Errorf("put at %s: acked %v, %v", p.name, acked, err)
			}
		})
	}
	running.Wait()
	took := time.Since(at)
	w.figure("put", took)
	w.figure("each", fmt.Sprintf("%.2fMB/s", size/1e6/took.Seconds()))
	w.unjudged(before)
	w.undoubted(at, w.peers...)
	w.lab.Set(0, 0, Rule{})
}

// idleStrangers: 1,000 connections from 250 addresses that say nothing come to
// one peer, and again as often as they are dropped, for forty intervals.
// Members notice nothing: their pings are as fast, a member that restarts
// comes in through that peer, and afterwards nothing is left open.
func idleStrangers(w *world) {
	w.begin(w.peers...)
	w.store(5, 20<<10, w.peers...)
	before, at := w.incarnations(w.peers...), time.Now()
	quiet := w.roundTrips(w.peers[1], w.peers[0])
	s := w.besiege(w.peers[0], 6, 1000)
	w.await(20*time.Second, "1000 strangers have come", func() bool { return s.came.Load() >= 1000 })
	besieged := w.roundTrips(w.peers[1], w.peers[0])
	w.peers[2].kill()
	w.within("back", w.restart(w.peers[2]), rejoined)
	if acked, err := w.peers[0].put("besieged", 20<<10, 5*time.Second); err != nil || !acked {
		w.Errorf("put at the besieged: acked %v, %v", acked, err)
	}
	open := w.peers[0].descriptors() - w.peers[0].open
	w.figure("strangers", s.came.Load())
	w.figure("inside", open)
	if open > 128+4*5 { // places at the door, transfer links
		w.Errorf("%d connections are kept open", open)
	}
	time.Sleep(time.Until(at.Add(40 * T)))
	w.within("dropped", s.end(), 6*time.Second)
	w.figure("p99-quiet", quiet)
	w.within("p99-besieged", besieged, max(2*quiet, T/20))
	delete(before, w.peers[2])
	w.unjudged(before)
	w.undoubted(at, w.peers[0], w.peers[1], w.peers[3], w.peers[4])
	w.settled(w.peers[0])
}

// roundTrips is the 99th of 100 pings from one peer to another.
func (w *world) roundTrips(from, to *peer) time.Duration {
	w.Helper()
	var all []time.Duration
	for range 100 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		start := time.Now()
		_, err := from.client.Ping(ctx, to.name)
		all = append(all, time.Since(start))
		cancel()
		if err != nil {
			w.Errorf("ping of %s at %s: %v", to.name, from.name, err)
		}
	}
	slices.Sort(all)
	return all[98]
}

// siege is many connections that say nothing.
type siege struct {
	came    atomic.Int64 // how often one was opened
	over    chan struct{}
	running sync.WaitGroup
}

// besiege keeps n connections from a namespace without a peer to a peer, from
// as many addresses as it can have.
func (w *world) besiege(target *peer, from, n int) *siege {
	w.Helper()
	addrs, err := w.lab.AddAliases(from, maxAliases)
	if err != nil {
		w.Fatal(err)
	}
	s := &siege{over: make(chan struct{})}
	outside := make(chan netip.Addr, n) // all of them
	for i := range n {
		outside <- addrs[i%len(addrs)]
	}
	s.running.Go(func() { // ends when the siege does
		err := w.lab.Do(from, func() error {
			s.dial(netip.AddrPortFrom(Addr(target.id), peerPort).String(), outside)
			return nil
		})
		if err != nil {
			w.Error(err)
		}
	})
	return s
}

// dial has every stranger that is outside come, until the siege is over.
func (s *siege) dial(target string, outside chan netip.Addr) {
	for {
		var addr netip.Addr
		select {
		case addr = <-outside:
		case <-s.over:
			return
		}
		d := net.Dialer{Timeout: T, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))}
		c, err := d.Dial("tcp4", target)
		if err == nil {
			s.came.Add(1)
		}
		s.running.Go(func() { // ends when the peer has closed the connection
			if err == nil {
				io.Copy(io.Discard, c)
				c.Close()
			}
			time.Sleep(T) // who is refused comes again
			outside <- addr
		})
	}
}

// end lets no more come, and returns how long it took until the peer had
// closed all that were there.
func (s *siege) end() time.Duration {
	start := time.Now()
	close(s.over)
	s.running.Wait()
	return time.Since(start)
}

// joinStorm: twelve members come at once to a ring of four.
func joinStorm(w *world) {
	w.begin(w.peers[:4]...)
	w.store(8, 20<<10, w.peers[:4]...)
	w.within("joined", w.restart(w.peers[4:]...), 2*rejoined)
}

// rosterSkew: a sixth member is in the roster of four, and one still has the
// old roster. It stays a member and serves; who has another roster is said;
// and when it has the new one, all are one ring.
func rosterSkew(w *world) {
	w.begin(w.peers...)
	w.store(5, 20<<10, w.peers...)
	before, at := w.incarnations(w.peers...), time.Now()
	behind := w.peers[w.rng.IntN(5)]
	informed := w.without(behind)
	sixth := w.add()
	w.publish(append(informed, sixth)...)
	for _, p := range informed {
		p.reload()
	}
	sixth.start()
	sixth.listen()
	took := w.await(rejoined, "both sides see that their rosters differ", func() bool {
		return informed[0].member(behind).OtherRoster && behind.member(informed[0]).OtherRoster
	})
	w.within("seen", took, 5*T)
	w.await(rejoined, "the sixth is in the ring of those who know it", func() bool {
		for _, p := range informed {
			if !p.member(sixth).InRing {
				return false
			}
		}
		return true
	})
	if _, err := behind.put("skewed", 20<<10, 5*time.Second); err != nil {
		w.Errorf("put at %s, which has the old roster: %v", behind.name, err)
	}
	w.fetch(5*time.Second, behind)
	w.fetch(5*time.Second, informed...)
	w.unjudged(before)
	w.undoubted(at, w.peers[:5]...)
	w.publish(behind)
	behind.reload()
	sixth.open = sixth.descriptors()
}

// reload has a peer read its roster again.
func (p *peer) reload() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := p.client.Reload(ctx); err != nil {
		p.world.Fatalf("reloading the roster of %s: %v", p.name, err)
	}
}

// killDuringJoin: four members join a ring of three, again and again, and die
// before they are in it, two hundred times in all; each time they join again
// at once, within 2 s. In the end nobody believes anything of any of them that
// is not so.
func killDuringJoin(w *world) {
	const kills = 200
	ring, joiners := w.peers[:3], w.peers[3:]
	w.begin(ring...)
	w.store(6, 10<<10, ring...)
	results := make([]joins, len(joiners))
	var running sync.WaitGroup
	for i, p := range joiners {
		rng := rand.New(rand.NewPCG(w.seed, uint64(p.id)))
		running.Go(func() { results[i] = p.dieJoining(kills/len(joiners), rng) }) // ends by itself
	}
	running.Wait()
	var all joins
	for _, r := range results {
		all.killed += r.killed
		all.late += r.late
		all.slowest = max(all.slowest, r.slowest)
	}
	w.figure("killed", all.killed)
	w.figure("too-late-to", all.late)
	w.within("slowest", all.slowest, 2*time.Second)
	w.within("together", w.restart(joiners...), rejoined)
}

// joins is what came of one member's tries to join.
type joins struct {
	killed  int           // before it was in the ring
	late    int           // after: they do not count
	slowest time.Duration // of those that were let
}

// dieJoining has a peer die n times while it joins, at a moment drawn from the
// time that it has needed so far, and join after each.
func (p *peer) dieJoining(n int, rng *rand.Rand) (r joins) {
	typical := T / 4
	for r.killed < n && r.late < 10*n && !p.world.Failed() {
		if err := p.launch(); err != nil {
			p.world.Error(err)
			return r
		}
		time.Sleep(time.Duration(rng.Int64N(int64(typical))))
		p.kill()
		if p.wasReady() {
			r.late++
		} else {
			r.killed++
		}
		at := time.Now()
		if err := p.launch(); err != nil {
			p.world.Error(err)
			return r
		}
		for !p.wasReady() && time.Since(at) < 5*time.Second {
			time.Sleep(lookEvery / 5)
		}
		took := time.Since(at)
		r.slowest = max(r.slowest, took)
		typical = (7*typical + took) / 8
		p.kill()
	}
	return r
}

// wasReady reports whether the process that runs, or ran last, has said that
// it is in the ring.
func (p *peer) wasReady() bool {
	log, err := os.ReadFile(p.logPath())
	return err == nil && bytes.Contains(log, []byte("securepeer: ready: "))
}
