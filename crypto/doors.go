package crypto

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// How many connections may be at the door, unproved, at once. Each costs a
// goroutine and some 10 KiB for 5 s at most, or 20 s with the first frame of a
// member. Places are counted by source, never by the member that a first frame
// claims: a replayer would lock that member out. A limit that is reached refuses
// nobody: the oldest of the same account makes room.
const (
	// maxHalfOpen bounds them all, maxStrange those from sources that are no
	// roster address; the difference is reserved for members.
	maxHalfOpen = 128
	maxStrange  = 64
	// maxPerStrange bounds one /32 or /64, maxPerKnown one that a roster line
	// has: several members may share it, behind one router or in a demo.
	maxPerStrange = 4
	maxPerKnown   = 32
)

// doors counts the connections that are not proved yet.
type doors struct {
	mu sync.Mutex

	open    map[net.Conn]*place
	strange int // those of open that no roster line has
	sources map[netip.Prefix]int
	entered uint64
	closed  bool
}

// place is what one connection at the door has.
type place struct {
	source  netip.Prefix
	known   bool
	kept    bool     // its first frame came
	claim   [32]byte // the member that the frame names; zero: not read yet
	claimed bool
	number  uint64 // in the order of arrival
}

func newDoors() *doors {
	return &doors{open: make(map[net.Conn]*place), sources: make(map[netip.Prefix]int)}
}

// enter takes a place for raw. Where a limit is reached another one of the same
// account makes room, if it can: of the same source, of the strangers, of all.
// A member proves itself within milliseconds, so that who has been silent
// longest costs it nothing, and whoever shares its address can keep no place
// that it needs.
func (d *doors) enter(raw net.Conn, source netip.Prefix, known bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || !d.room(source, known) {
		return false
	}
	d.entered++
	d.open[raw] = &place{source: source, known: known, number: d.entered}
	d.sources[source]++
	if !known {
		d.strange++
	}
	return true
}

// room makes room for one more of that source. The caller holds mu.
func (d *doors) room(source netip.Prefix, known bool) bool {
	most := maxPerStrange
	if known {
		most = maxPerKnown
	}
	stranger := func(p *place) bool { return !p.known }
	switch {
	case d.sources[source] >= most:
		return d.evict(func(p *place) bool { return p.source == source })
	case !known && d.strange >= maxStrange:
		return d.evict(stranger)
	case len(d.open) < maxHalfOpen || d.evict(stranger):
		return true
	}
	fullest := source
	for s, n := range d.sources {
		if n > d.sources[fullest] {
			fullest = s
		}
	}
	return d.evict(func(p *place) bool { return p.source == fullest })
}

// evict cuts one of those that which chooses: the one that has been silent
// longest or, if the first frames of all have come, the oldest of the member
// that has the most places, if it has several. It reports false if nobody can
// go. The caller holds mu.
func (d *doors) evict(which func(*place) bool) bool {
	var silent net.Conn
	members := make(map[[32]byte][]net.Conn)
	for raw, p := range d.open {
		switch {
		case !which(p):
		case p.claimed:
			members[p.claim] = append(members[p.claim], raw)
		case !p.kept && (silent == nil || d.byAge(raw, silent) < 0):
			silent = raw
		}
	}
	victim, most := silent, 1
	for _, conns := range members {
		if silent == nil && len(conns) > most {
			most, victim = len(conns), slices.MinFunc(conns, d.byAge)
		}
	}
	if victim == nil {
		return false
	}
	d.remove(victim)
	victim.Close() // its handshake ends with this and says so
	return true
}

// byAge compares two of those that are open; the caller holds mu.
func (d *doors) byAge(a, b net.Conn) int { return cmp.Compare(d.open[a].number, d.open[b].number) }

// claim notes whom the first frame of raw names. It is proved by nothing but
// the frame, which may be a recording: it says only which of several that have
// spoken makes room for another.
func (d *doors) claim(raw net.Conn, member [32]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.open[raw]; p != nil {
		p.claim, p.claimed = member, true
	}
}

// keep lets raw stay until its handshake ends, for its first frame shows that
// it knows whom it dials. It reports false if raw's place is given away.
func (d *doors) keep(raw net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.open[raw]
	if p != nil {
		p.kept = true
	}
	return p != nil
}

// leave gives the place back; it reports false if raw had lost it.
func (d *doors) leave(raw net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.open[raw]
	if ok {
		d.remove(raw)
	}
	return ok
}

// remove frees the place of raw, which has one. The caller holds mu.
func (d *doors) remove(raw net.Conn) {
	p := d.open[raw]
	delete(d.open, raw)
	if !p.known {
		d.strange--
	}
	if d.sources[p.source]--; d.sources[p.source] == 0 {
		delete(d.sources, p.source)
	}
}

// shut cuts everybody at the door and lets nobody in any more.
func (d *doors) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for raw := range d.open {
		raw.Close() // its handshake ends with this and says so
	}
}

// sourceOf is the IP address of a connection's other side; the zero Addr for
// anything that is not TCP.
func sourceOf(addr net.Addr) netip.Addr {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap()
}

// prefixOf is what one source is counted by: an IPv4 address, or an IPv6 /64,
// which is what one household has.
func prefixOf(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // the zero Addr: all such count as one source
	}
	return prefix
}

// memorySize is how many accepted ephemeral keys are remembered: at the most
// connections that 5 s of handshakes allow, minutes of them.
const memorySize = 4096

// memory knows the ephemeral keys of the last first frames that were
// accepted, so that a recorded one costs no Diffie-Hellman.
type memory struct {
	mu sync.Mutex

	known map[[32]byte]struct{}
	// order has the known keys; oldest is at next once it is full.
	order [][32]byte
	next  int
}

func newMemory() *memory {
	return &memory{known: make(map[[32]byte]struct{})}
}

func (m *memory) has(key [32]byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.known[key]
	return ok
}

// add notes key and forgets the oldest; it reports false if key was known.
func (m *memory) add(key [32]byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.known[key]; ok {
		return false
	}
	m.known[key] = struct{}{}
	if len(m.order) < memorySize {
		m.order = append(m.order, key)
		return true
	}
	delete(m.known, m.order[m.next])
	m.order[m.next] = key
	m.next = (m.next + 1) % memorySize
	return true
}
