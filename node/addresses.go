package node

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Implementation constants.
const (
	// lookupAgain is how long an answer of the name server is used.
	lookupAgain = time.Minute
	// lookupTime is how long one may take.
	lookupTime = 5 * time.Second
)

// addresses knows the IP addresses of the roster's HOST:PORTs. Names are
// looked up in the background, so that no ping waits for a name server; until
// one is known, nothing is sent to it. No address is learned from a datagram.
type addresses struct {
	ctx  context.Context // ends the lookups
	work *sync.WaitGroup // counts them

	mu    sync.Mutex
	known map[string]*address // by HOST:PORT
}

type address struct {
	at      netip.AddrPort // zero: not known yet
	literal bool
	asked   time.Time
	looking bool
}

// udp returns the address of hostport, or nil if it is not known yet.
func (a *addresses) udp(hostport string) net.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.known[hostport]
	if known == nil {
		known = &address{}
		if at, err := netip.ParseAddrPort(hostport); err == nil {
			known.at, known.literal = at, true
		}
		a.known[hostport] = known
	}
	if !known.literal && !known.looking && time.Since(known.asked) > lookupAgain && a.ctx.Err() == nil {
		known.looking, known.asked = true, time.Now()
		// Ends by its own timeout or with ctx; the node's Close waits for it.
		a.work.Go(func() { a.lookup(hostport) })
	}
	if !known.at.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(known.at)
}

func (a *addresses) lookup(hostport string) {
	ctx, cancel := context.WithTimeout(a.ctx, lookupTime)
	defer cancel()
	found, err := resolve(ctx, hostport)
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.known[hostport]
	known.looking = false
	if err == nil {
		known.at = found
	}
}

// resolve takes the first address of a host.
func resolve(ctx context.Context, hostport string) (netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(hostport)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(ips[0].Unmap(), uint16(port)), nil
}

// has reports whether ip is an address of the roster, as far as it is known.
func (a *addresses) has(ip netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, known := range a.known {
		if known.at.Addr().Unmap() == ip {
			return true
		}
	}
	return false
}
