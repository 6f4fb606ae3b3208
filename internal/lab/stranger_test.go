//go:build linux

package lab

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

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

// roundTrips is the 99th of 100 round trips of pings, as the peer that sends
// them measures it: this process is busy with the siege.
func (w *world) roundTrips(from, to *peer) time.Duration {
	w.Helper()
	var all []float64
	for range 100 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		r, err := from.client.Ping(ctx, to.name)
		cancel()
		if err != nil || r.RTT <= 0 {
			w.Errorf("ping of %s at %s: %v s, %v", to.name, from.name, r.RTT, err)
		}
		all = append(all, r.RTT)
	}
	slices.Sort(all)
	return time.Duration(all[98] * float64(time.Second))
}

// siege is many connections that say nothing.
type siege struct {
	came    atomic.Int64 // how often one was opened
	over    chan struct{}
	lift    func() // closes it
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
	s.lift = sync.OnceFunc(func() { close(s.over) })
	w.Cleanup(s.lift)                   // of a scenario that fails before end
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
	s.lift()
	s.running.Wait()
	return time.Since(start)
}
