package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// memnet is a network in memory, for tests inside a synctest bubble: TCP-like
// connections with a buffer and deadlines, and datagrams. It can be cut.
type memnet struct {
	mu        sync.Mutex
	listeners map[string]*memListener
	packets   map[string]*memPackets
	halves    []*half
	conns     []*memConn                         // both ends of each
	swallows  func(from, to netip.AddrPort) bool // nil: nothing
	pipes     map[netip.AddrPort]*pipe           // of hosts behind a slow line
}

// cut makes the network swallow what goes from one address to another, until
// the next call; nil: nothing. What is in a connection comes when it may.
func (m *memnet) cut(swallows func(from, to netip.AddrPort) bool) {
	m.mu.Lock()
	m.swallows = swallows
	halves := m.halves
	m.mu.Unlock()
	for _, h := range halves {
		h.mu.Lock()
		h.cond.Broadcast()
		h.mu.Unlock()
	}
}

// off cuts one host from all others.
func (m *memnet) off(addr string) {
	at := netip.MustParseAddrPort(addr)
	m.cut(func(from, to netip.AddrPort) bool { return from == at || to == at })
}

func (m *memnet) swallowed(from, to netip.AddrPort) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.swallows != nil && m.swallows(from, to)
}

// pipe is a line that takes its time: what all connections of a host send, or
// are sent, goes through it in order.
type pipe struct{ up, down line }

// line is one direction: bytes a second, 0: as fast as can be; how long each
// is under way besides; and when the last is through.
type line struct {
	mu    sync.Mutex
	rate  int64
	delay time.Duration
	free  time.Time
}

// pass is how long n bytes take from now until they are through.
func (l *line) pass(n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	if l.rate > 0 {
		l.free = l.free.Add(time.Duration(int64(n) * int64(time.Second) / l.rate))
	}
	return l.free.Sub(now) + l.delay
}

// pipe is the line of a host.
func (m *memnet) pipe(at netip.AddrPort) *pipe {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.pipes[at]
	if p == nil {
		p = &pipe{}
		m.pipes[at] = p
	}
	return p
}

// shape puts a host behind a line of so many bytes a second, each way, after a
// delay. Datagrams are small, and go as before.
func (m *memnet) shape(addr string, rate int64, delay time.Duration) {
	p := m.pipe(netip.MustParseAddrPort(addr))
	for _, l := range []*line{&p.up, &p.down} {
		l.mu.Lock()
		l.rate, l.delay = rate, delay
		l.mu.Unlock()
	}
}

func newMemnet() *memnet {
	return &memnet{listeners: make(map[string]*memListener), packets: make(map[string]*memPackets),
		pipes: make(map[netip.AddrPort]*pipe)}
}

type memListener struct {
	net   *memnet
	addr  netip.AddrPort
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (m *memnet) listen(addr string) (net.Listener, net.PacketConn) {
	at := netip.MustParseAddrPort(addr)
	l := &memListener{net: m, addr: at, conns: make(chan net.Conn), done: make(chan struct{})}
	p := &memPackets{net: m, addr: at, queue: make(chan datagram, 64), done: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listeners[addr], m.packets[addr] = l, p
	return l, p
}

// dialFrom is the dialler of one host.
func (m *memnet) dialFrom(addr string) func(context.Context, string, string) (net.Conn, error) {
	from := netip.MustParseAddrPort(addr)
	return func(ctx context.Context, _, to string) (net.Conn, error) {
		m.mu.Lock()
		l := m.listeners[to]
		var there netip.AddrPort
		if l != nil {
			there = l.addr
		}
		m.mu.Unlock()
		if l == nil {
			if at, err := netip.ParseAddrPort(to); err == nil && m.swallowed(from, at) {
				<-ctx.Done() // nobody there to refuse it
				return nil, ctx.Err()
			}
			return nil, errors.New("connection refused")
		}
		if m.swallowed(from, there) || m.swallowed(there, from) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		a, b := m.newConns(from, there)
		select {
		case l.conns <- b:
			m.mu.Lock()
			defer m.mu.Unlock()
			m.conns = append(m.conns, a, b)
			return a, nil
		case <-l.done:
			return nil, errors.New("connection refused")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *memListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// move gives a host another address, in place of the one that it has; that one
// swallows what is sent there, also over connections that are open.
func (m *memnet) move(from, to string) {
	was, at := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	m.mu.Lock()
	l, p := m.listeners[from], m.packets[from]
	delete(m.listeners, from)
	delete(m.packets, from)
	l.addr, p.addr = at, at
	m.listeners[to], m.packets[to] = l, p
	m.mu.Unlock()
	m.cut(func(from, to netip.AddrPort) bool { return from == was || to == was })
}

// at is the address of packets, which may move.
func (p *memPackets) at() netip.AddrPort {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	return p.addr
}

type datagram struct {
	b    []byte
	from net.Addr
}

type memPackets struct {
	net   *memnet
	addr  netip.AddrPort
	queue chan datagram
	done  chan struct{}
	once  sync.Once
}

func (p *memPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-p.queue:
		return copy(b, d.b), d.from, nil
	case <-p.done:
		return 0, nil, net.ErrClosed
	}
}

func (p *memPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	p.net.mu.Lock()
	other := p.net.packets[to.String()]
	p.net.mu.Unlock()
	from := p.at()
	if other != nil && !p.net.swallowed(from, other.at()) {
		select {
		case other.queue <- datagram{bytes.Clone(b), net.UDPAddrFromAddrPort(from)}:
		default: // lost, as a datagram may be
		}
	}
	return len(b), nil
}

func (p *memPackets) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *memPackets) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(p.at()) }
func (p *memPackets) SetDeadline(time.Time) error      { return nil }
func (p *memPackets) SetReadDeadline(time.Time) error  { return nil }
func (p *memPackets) SetWriteDeadline(time.Time) error { return nil }

// memBuffer is how many bytes a connection holds in one direction, memFlight how
// many of them are on the line, memPiece how many it carries at a time.
const (
	memBuffer = 1 << 20
	memFlight = 16 << 10
	memPiece  = 4 << 10
)

// half is one direction of a connection.
type half struct {
	mu       sync.Mutex
	cond     *sync.Cond
	buf      []byte
	late     int         // bytes at the end of buf that are not there yet
	unsent   int         // and those of them that are not on the line
	closed   bool        // by either side
	stands   func() bool // the network swallows what is in it
	up, down *line
	read     deadline
	write    deadline
}

// send takes b, and puts on the line what may be there. Its lock is held.
func (h *half) send(b []byte) {
	h.buf = append(h.buf, b...)
	h.late += len(b)
	h.unsent += len(b)
	h.pump()
}

// pump puts bytes on the lines of both hosts, as many as may be under way.
func (h *half) pump() {
	for h.unsent > 0 && h.late-h.unsent < memFlight {
		n := min(h.unsent, memPiece)
		h.unsent -= n
		there := func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.late -= n
			h.pump()
			h.cond.Broadcast()
		}
		arrives := func() { time.AfterFunc(h.down.pass(n), there) }
		if up := h.up.pass(n); up > 0 {
			time.AfterFunc(up, arrives)
		} else if down := h.down.pass(n); down > 0 {
			time.AfterFunc(down, there)
		} else {
			h.late -= n
		}
	}
}

// deadline of one side of a half.
type deadline struct {
	passed bool
	timer  *time.Timer
}

func (m *memnet) newHalf(from, to netip.AddrPort) *half {
	h := &half{stands: func() bool { return m.swallowed(from, to) }, up: &m.pipe(from).up, down: &m.pipe(to).down}
	h.cond = sync.NewCond(&h.mu)
	return h
}

func (h *half) set(d *deadline, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.passed = !t.IsZero() && !t.After(time.Now())
	if !t.IsZero() && !d.passed {
		var timer *time.Timer
		timer = time.AfterFunc(time.Until(t), func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if d.timer == timer {
				d.passed = true
				h.cond.Broadcast()
			}
		})
		d.timer = timer
	}
	h.cond.Broadcast()
}

func (h *half) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.cond.Broadcast()
}

type memConn struct {
	in, out     *half
	local, peer netip.AddrPort
	closed      sync.Once
	gone        chan struct{}
}

func (m *memnet) newConns(a, b netip.AddrPort) (*memConn, *memConn) {
	x, y := m.newHalf(b, a), m.newHalf(a, b)
	here := &memConn{in: x, out: y, local: a, peer: b, gone: make(chan struct{})}
	there := &memConn{in: y, out: x, local: b, peer: a, gone: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.halves = append(m.halves, x, y)
	return here, there
}

func (c *memConn) isGone() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

func (c *memConn) Read(p []byte) (int, error) {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case c.isGone():
			return 0, net.ErrClosed
		case h.read.passed:
			return 0, os.ErrDeadlineExceeded
		case h.stands():
			// not even the end of the other side comes
		case len(h.buf) > h.late:
			n := copy(p, h.buf[:len(h.buf)-h.late])
			h.buf = h.buf[n:]
			h.cond.Broadcast()
			return n, nil
		case h.closed && h.late == 0:
			return 0, io.EOF
		}
		h.cond.Wait()
	}
}

func (c *memConn) Write(p []byte) (n int, err error) {
	h := c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	for n < len(p) {
		switch {
		case c.isGone():
			return n, net.ErrClosed
		case h.write.passed:
			return n, os.ErrDeadlineExceeded
		case h.closed:
			return n, io.ErrClosedPipe
		case len(h.buf) < memBuffer:
			k := min(len(p)-n, memBuffer-len(h.buf))
			h.send(p[n : n+k])
			n += k
			h.cond.Broadcast()
			continue
		}
		h.cond.Wait()
	}
	return n, nil
}

func (c *memConn) Close() error {
	c.closed.Do(func() {
		close(c.gone)
		for _, h := range []*half{c.in, c.out} {
			h.close()
		}
	})
	return nil
}

func (c *memConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *memConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.peer) }
func (c *memConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.set(&c.in.read, t)
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.set(&c.out.write, t)
	return nil
}
