package node

import (
	"context"
	"maps"
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
	// maxLookups is how many are under way at once.
	maxLookups = 8
)

// addresses knows the IP addresses of the roster's HOST:PORTs. Names are
// looked up in the background, so that no ping waits for a name server; until
// one is known, nothing is sent to it. No address is learned from a datagram.
type addresses struct {
	ctx    context.Context // ends the lookups
	work   *sync.WaitGroup // counts them
	places chan struct{}   // maxLookups: one for each that asks

	mu    sync.Mutex
	known map[string]*address     // by HOST:PORT
	hosts map[netip.Addr]struct{} // of all of them
}

type address struct {
	at      netip.AddrPort // zero: not known yet
	literal bool
	asked   time.Time
	looking bool
}

func newAddresses(ctx context.Context, work *sync.WaitGroup) *addresses {
	return &addresses{ctx: ctx, work: work, places: make(chan struct{}, maxLookups),
		known: make(map[string]*address), hosts: make(map[netip.Addr]struct{})}
}

// learn begins to look up every address of a roster, and forgets all others.
func (a *addresses) learn(b *book) {
	listed := make(map[string]bool, len(b.Members))
	for _, m := range b.Members {
		listed[m.Addr] = true
	}
	a.mu.Lock()
	maps.DeleteFunc(a.known, func(hostport string, _ *address) bool { return !listed[hostport] })
	a.countLocked()
	a.mu.Unlock()
	for _, m := range b.Members {
		a.udp(m.Addr)
	}
}

// countLocked makes hosts those of what is known.
func (a *addresses) countLocked() {
	clear(a.hosts)
	for _, k := range a.known {
		if k.at.IsValid() {
			a.hosts[k.at.Addr().Unmap()] = struct{}{}
		}
	}
}

// udp returns the address of hostport, or nil if it is not known yet.
func (a *addresses) udp(hostport string) net.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.known[hostport]
	if known == nil {
		known = &address{}
		if at, err := netip.ParseAddrPort(hostport); err == nil {
			known.literal, known.at = true, at
			a.hosts[at.Addr().Unmap()] = struct{}{}
		}
		a.known[hostport] = known
	}
	if !known.literal && !known.looking && time.Since(known.asked) > lookupAgain && a.ctx.Err() == nil {
		known.looking, known.asked = true, time.Now()
		// Ends by its own timeout or with ctx; the node's Close waits for it.
		a.work.Go(func() { a.lookup(hostport, known) })
	}
	if !known.at.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(known.at)
}

func (a *addresses) lookup(hostport string, known *address) {
	var found netip.AddrPort
	var err error
	select {
	case a.places <- struct{}{}:
		ctx, cancel := context.WithTimeout(a.ctx, lookupTime)
		found, err = resolve(ctx, hostport)
		cancel()
		<-a.places
	case <-a.ctx.Done():
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	known.looking = false
	if err == nil && known.at != found {
		known.at = found
		a.countLocked()
	}
}

// resolve takes the first IPv4 address of a host, or its first one: as
// net.Listen does for a name.
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
	ip := ips[0].Unmap() // there is one, or an error
	for _, other := range ips {
		if !ip.Is4() && other.Unmap().Is4() {
			ip = other.Unmap()
		}
	}
	return netip.AddrPortFrom(ip, uint16(port)), nil
}

// has reports whether ip is an address of the roster, as far as it is known.
func (a *addresses) has(ip netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.hosts[ip]
	return ok
}
