//go:build linux

package lab

import (
	"fmt"
	"time"

	"securepeer/node"
)

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

// majoritiesRing: each of five hears its two neighbours and nobody else, so
// each sees a majority and no two see the same. Then the cuts end.
func majoritiesRing(w *world) {
	w.begin(w.peers...)
	w.store(5, 20<<10, w.peers...)
	stop := w.load(4 << 10)
	for i := range 5 {
		w.lab.Both(i+1, (i+2)%5+1, Rule{Cut: true})
	}
	time.Sleep(30 * T)
	stop()
	w.lab.Heal()
}
