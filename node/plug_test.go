package node

import (
	"context"
	"errors"
	"net"
	"sync"
)

// plug is the network of one node, which can be pulled: then the node lives
// and nobody hears of it, nor it of anybody, as after a power cut or behind a
// broken switch.
type plug struct {
	net.Listener
	packets net.PacketConn
	used    bool // by a node, which closes it

	mu     sync.Mutex
	pulled bool
	conns  map[net.Conn]struct{}
}

var errPulled = errors.New("plug is pulled")

func newPlug(tcp net.Listener, udp net.PacketConn) *plug {
	return &plug{Listener: tcp, packets: udp, conns: make(map[net.Conn]struct{})}
}

// pull cuts everything, without an end on any link.
func (p *plug) pull() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pulled = true
	for c := range p.conns {
		c.Close()
		delete(p.conns, c)
	}
}

func (p *plug) restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pulled = false
}

// cut closes the connections that are open now, and no later one.
func (p *plug) cut() {
	p.pull()
	p.restore()
}

func (p *plug) isPulled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pulled
}

func (p *plug) add(c net.Conn) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pulled {
		c.Close()
		return nil, errPulled
	}
	p.conns[c] = struct{}{}
	return c, nil
}

func (p *plug) Accept() (net.Conn, error) {
	for {
		c, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c, err = p.add(c); err == nil {
			return c, nil
		}
	}
}

func (p *plug) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if p.isPulled() {
		return nil, errPulled
	}
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return p.add(c)
}

// pluggedPackets is the datagram side.
type pluggedPackets struct {
	net.PacketConn
	plug *plug
}

func (p pluggedPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := p.PacketConn.ReadFrom(b)
		if err != nil || !p.plug.isPulled() {
			return n, from, err
		}
	}
}

func (p pluggedPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	if p.plug.isPulled() {
		return len(b), nil
	}
	return p.PacketConn.WriteTo(b, to)
}
