//go:build linux

package lab

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"securepeer/internal/control"
	"securepeer/node"
)

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
	stop := w.load(4 << 10)
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
