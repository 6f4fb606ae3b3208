//go:build linux

package lab

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

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
