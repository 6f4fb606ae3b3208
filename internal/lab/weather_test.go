//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"securepeer/keys"
)

// quietWire: a ring of seven at rest sends at most 2 K + 2 datagrams a peer
// and interval, each of 96 bytes.
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
}

// secretWire: a file is stored and fetched, and neither its name nor its bytes
// are in any frame.
func secretWire(w *world) {
	w.begin(w.peers...)
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

// loss has every link lose packets for sixty intervals, under puts and gets:
// nobody is judged. Then one dies, and is found.
func loss(p float64) func(w *world) {
	return func(w *world) {
		w.begin(w.peers...)
		w.store(5, 20<<10, w.peers...)
		before, at := w.incarnations(w.peers...), time.Now()
		w.lab.Set(0, 0, Rule{Loss: p})
		stop := w.load(4 << 10)
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
	stop := w.load(4 << 10)
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
	stop := w.load(4 << 10)
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
