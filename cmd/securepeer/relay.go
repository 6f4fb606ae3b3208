package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"securepeer/crypto"
)

// Implementation constants.
const (
	// The ports of the demos lie below those that systems give to outgoing
	// connections, so that none of these takes one between two uses.
	lowestPort  = 12000
	highestPort = 32000
	portTries   = 200

	relayBuffer = 128 << 10
	maxDatagram = 64 << 10
	// maxFlows is how many sources of datagrams a relay tells apart. A demo's
	// ring has few; the datagrams of more are dropped, as a network may.
	maxFlows = 256
)

// tally is what a set of relays has seen pass, in both directions.
type tally struct {
	streams, streamBytes     atomic.Int64
	datagrams, datagramBytes atomic.Int64
	hits                     atomic.Int64 // of the needle
}

// relay stands before one peer, on TCP and UDP: the roster names the relay's
// address, so that all that others send to the peer, and all that it answers,
// passes here and is searched. It changes nothing. It is the wire, as an
// eavesdropper has it.
type relay struct {
	tcp    net.Listener
	udp    *net.UDPConn
	target string // host:port of the peer
	needle []byte
	tally  *tally

	work sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	conns    map[net.Conn]struct{}
	flows    map[netip.AddrPort]*net.UDPConn
	frame    []byte // the newest first frame of a dialler that was answered
	datagram []byte // the newest datagram of a ping's size
}

// newRelay begins to pass on what comes to the sockets, which it takes over.
func newRelay(s sockets, target string, needle []byte, t *tally) *relay {
	r := &relay{
		tcp: s.tcp, udp: s.udp, target: target, needle: needle, tally: t,
		conns: make(map[net.Conn]struct{}), flows: make(map[netip.AddrPort]*net.UDPConn),
	}
	r.work.Go(r.accept)  // ends with close
	r.work.Go(r.receive) // likewise
	return r
}

func (r *relay) addr() string { return r.tcp.Addr().String() }

// close ends all that passes, and returns when nothing runs any more.
func (r *relay) close() {
	r.tcp.Close() // closing is all that ends them; an error has no use
	r.udp.Close()
	r.mu.Lock()
	r.closed = true
	for c := range r.conns {
		c.Close()
	}
	for _, up := range r.flows {
		up.Close()
	}
	r.mu.Unlock()
	r.work.Wait()
}

// recorded returns a first frame and a ping that passed here, as an
// eavesdropper could keep them; nil: none has.
func (r *relay) recorded() (frame, datagram []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.frame), bytes.Clone(r.datagram)
}

func (r *relay) accept() {
	for {
		conn, err := r.tcp.Accept()
		if err != nil {
			return // closed
		}
		r.tally.streams.Add(1)
		r.work.Go(func() { r.pass(conn.(*net.TCPConn)) }) // ends with its two sides, or with close
	}
}

// track keeps a connection for close. Not ok: close has been already.
func (r *relay) track(c net.Conn) (ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		c.Close()
		return false
	}
	r.conns[c] = struct{}{}
	return true
}

func (r *relay) forget(c net.Conn) {
	c.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

// pass joins a dialler to the peer until both directions have ended.
func (r *relay) pass(dialler *net.TCPConn) {
	if !r.track(dialler) {
		return
	}
	defer r.forget(dialler)
	conn, err := net.Dial("tcp", r.target)
	if err != nil {
		dialler.SetLinger(0) // refused, as far as can be told from here
		return
	}
	peer := conn.(*net.TCPConn)
	if !r.track(peer) {
		return
	}
	defer r.forget(peer)
	var both sync.WaitGroup
	rec := &recording{relay: r}
	both.Go(func() { r.copy(peer, dialler, rec.asked) })
	both.Go(func() { r.copy(dialler, peer, rec.answered) })
	both.Wait()
}

// copy passes one direction on, with its end, and shows it to see. If it
// breaks, both ends break.
func (r *relay) copy(to, from *net.TCPConn, see func([]byte)) {
	buf := make([]byte, relayBuffer)
	s := scanner{needle: r.needle}
	for {
		n, err := from.Read(buf)
		if n > 0 {
			r.tally.streamBytes.Add(int64(n))
			r.tally.hits.Add(int64(s.scan(buf[:n])))
			see(buf[:n])
			if _, err := to.Write(buf[:n]); err != nil {
				from.Close()
				return
			}
		}
		switch {
		case err == io.EOF:
			to.CloseWrite() // if that fails the other direction finds out
			return
		case err != nil:
			to.SetLinger(0)
			to.Close()
			return
		}
	}
}

// recording keeps the first frame of a stream until it is answered: a peer
// that has not seen it yet would take a copy for the first.
type recording struct {
	relay *relay
	frame []byte // guarded by the relay's lock
	done  bool   // likewise
}

func (c *recording) asked(p []byte) {
	c.relay.mu.Lock()
	defer c.relay.mu.Unlock()
	c.frame = append(c.frame, p[:min(len(p), crypto.Frame1Size-len(c.frame))]...)
}

func (c *recording) answered([]byte) {
	c.relay.mu.Lock()
	defer c.relay.mu.Unlock()
	if !c.done && len(c.frame) == crypto.Frame1Size {
		c.relay.frame = c.frame
	}
	c.done = true
}

// receive passes datagrams on to the peer, each source's from a socket of its
// own, so that the peer's answers find their way back.
func (r *relay) receive() {
	buf := make([]byte, maxDatagram)
	for {
		n, source, err := r.udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an earlier datagram of ours that found nobody
		}
		r.search(buf[:n])
		if up := r.flow(source); up != nil {
			up.Write(buf[:n]) // a peer that is gone loses it, as on any wire
		}
	}
}

func (r *relay) search(datagram []byte) {
	r.tally.datagrams.Add(1)
	r.tally.datagramBytes.Add(int64(len(datagram)))
	r.tally.hits.Add(int64(bytes.Count(datagram, r.needle)))
	if len(datagram) == crypto.DatagramSize {
		r.mu.Lock()
		r.datagram = append(r.datagram[:0], datagram...)
		r.mu.Unlock()
	}
}

// flow returns the socket from which the peer hears that source, or nil if
// there are too many.
func (r *relay) flow(source netip.AddrPort) *net.UDPConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	up := r.flows[source]
	if up != nil || r.closed || len(r.flows) == maxFlows {
		return up
	}
	conn, err := net.Dial("udp", r.target)
	if err != nil {
		return nil
	}
	up = conn.(*net.UDPConn)
	r.flows[source] = up
	r.work.Go(func() { r.answer(up, source) }) // ends with close
	return up
}

func (r *relay) answer(up *net.UDPConn, source netip.AddrPort) {
	buf := make([]byte, maxDatagram)
	for {
		n, err := up.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // nobody listens at the peer's port
		}
		r.search(buf[:n])
		r.udp.WriteToUDPAddrPort(buf[:n], source) // lost, as on any wire
	}
}

// scanner counts a needle in a stream that comes in pieces, also where it
// lies across them. The needle does not overlap itself.
type scanner struct {
	needle []byte
	tail   []byte // the last bytes before, one less than the needle has
	seam   []byte // reused
}

// scan returns how many needles end in p.
func (s *scanner) scan(p []byte) int {
	keep := len(s.needle) - 1
	// The seam holds too few bytes of either side for a needle of its own.
	s.seam = append(append(s.seam[:0], s.tail...), p[:min(keep, len(p))]...)
	hits := bytes.Count(s.seam, s.needle)
	if len(p) >= keep {
		s.tail = append(s.tail[:0], p[len(p)-keep:]...)
	} else {
		// The whole of a short p is in the seam.
		s.tail = append(s.tail[:0], s.seam[max(0, len(s.seam)-keep):]...)
	}
	return hits + bytes.Count(p, s.needle)
}

// plainSample sends needle through a relay in plain, over TCP in two pieces
// and in a datagram, and returns how often the relay has found it: a search
// that finds nothing proves nothing unless it finds what is there.
func plainSample(ctx context.Context, p *ports, needle string) (hits int64, err error) {
	sink, err := p.reserve()
	if err != nil {
		return 0, err
	}
	defer sink.release()
	front, err := p.reserve()
	if err != nil {
		return 0, err
	}
	t := new(tally)
	r := newRelay(front, sink.addr(), []byte(needle), t)
	defer r.close()
	var dialer net.Dialer
	datagrams, err := dialer.DialContext(ctx, "udp", r.addr())
	if err != nil {
		return 0, err
	}
	defer datagrams.Close()
	if _, err := io.WriteString(datagrams, "plain "+needle+" plain"); err != nil {
		return 0, err
	}
	stream, err := dialer.DialContext(ctx, "tcp", r.addr())
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	half := len(needle) / 2
	for _, piece := range []string{"plain " + needle[:half], needle[half:] + " plain"} {
		if _, err := io.WriteString(stream, piece); err != nil {
			return 0, err
		}
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 2000 { // 2 s are ample on one machine
		if hits = t.hits.Load(); hits == 2 {
			break
		}
		<-tick.C
	}
	return hits, nil
}

// sockets are one port of the loopback address, on TCP and UDP.
type sockets struct {
	tcp net.Listener
	udp *net.UDPConn
}

func (s sockets) addr() string { return s.tcp.Addr().String() }

// release makes the port free again.
func (s sockets) release() {
	s.tcp.Close() // nothing was ever sent or received on either
	s.udp.Close()
}

// ports gives out the ports of a demo, none of them twice: between its release
// and its use by a peer no other peer can take it.
type ports struct {
	mu sync.Mutex

	next int // before it is brought into the range
}

// newPorts begins somewhere, so that two demos hardly meet.
func newPorts() *ports { return &ports{next: rand.IntN(highestPort - lowestPort)} }

func (p *ports) take() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	return lowestPort + p.next%(highestPort-lowestPort)
}

// reserve binds the next port that is free on TCP and UDP.
func (p *ports) reserve() (sockets, error) {
	var last error
	for range portTries {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(p.take()))
		tcp, err := net.Listen("tcp", addr)
		if err != nil {
			last = err
			continue
		}
		udp, err := net.ListenPacket("udp", addr)
		if err != nil {
			tcp.Close()
			last = err
			continue
		}
		return sockets{tcp, udp.(*net.UDPConn)}, nil
	}
	return sockets{}, fmt.Errorf("looking for a free port on 127.0.0.1: %w", last)
}
