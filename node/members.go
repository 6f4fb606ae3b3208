package node

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"securepeer/crypto"
	"securepeer/keys"
	"securepeer/ring"
	"securepeer/wire"
)

// book is one roster with what is asked of it often. It never changes.
type book struct {
	*keys.Roster
	digest  wire.Digest
	byNoise map[[32]byte]wire.ID
	revoked map[wire.ID]keys.Revoked
	removed map[[32]byte]string // names of those that have a revoke line
	self    keys.Member
}

// newBook checks that the member with self's key is in r.
func newBook(r *keys.Roster, self keys.Public) (*book, error) {
	b := &book{
		Roster:  r,
		digest:  r.Digest(),
		byNoise: make(map[[32]byte]wire.ID, len(r.Members)),
		revoked: make(map[wire.ID]keys.Revoked, len(r.Revoked)),
		removed: make(map[[32]byte]string, len(r.Revoked)),
	}
	for _, m := range r.Members {
		b.byNoise[m.Key.Noise] = m.ID
	}
	for _, v := range r.Revoked {
		b.revoked[v.ID], b.removed[v.Key.Noise] = v, v.Name
	}
	id, ok := b.byNoise[self.Noise]
	if ok {
		b.self, ok = r.ByID(id)
	}
	if !ok || b.self.Key != self {
		return nil, fmt.Errorf("roster of ring %q has no member with this peer's key %s", r.Ring, self.Short())
	}
	return b, nil
}

// name is the member's, or that of one that was revoked, or its id.
func (b *book) name(id wire.ID) string {
	if m, ok := b.ByID(id); ok {
		return m.Name
	}
	if r, ok := b.revoked[id]; ok {
		return r.Name
	}
	return id.String()
}

func (b *book) names(ids []wire.ID) []string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = b.name(id)
	}
	return names
}

// member finds who has that noise key.
func (b *book) member(noise [32]byte) (keys.Member, bool) {
	id, ok := b.byNoise[noise]
	if !ok {
		return keys.Member{}, false
	}
	return b.ByID(id)
}

// interval is the time between two pings.
func (b *book) interval(c *Config) time.Duration {
	if c.Interval > 0 {
		return c.Interval
	}
	return b.Interval
}

// ringRoster is what the ring needs of the roster.
func (b *book) ringRoster(c *Config) ring.Roster {
	r := ring.Roster{
		Ring: b.Ring, Space: b.Space, Copies: b.Copies, Observers: b.Observers,
		Interval: b.interval(c), Grace: b.Grace, Serial: b.Serial, Digest: b.digest,
		Walk: b.Route == keys.Walk, Shortcuts: c.Shortcuts,
		Members: make([]ring.Member, len(b.Members)),
	}
	for i, m := range b.Members {
		r.Members[i] = ring.Member{ID: m.ID, Pos: m.Pos, Key: m.Key.Digest()}
	}
	return r
}

// members is the roster of now and the links that are open under it. A link
// is published, and a roster becomes law, under one lock: so there is no
// moment at which a link of somebody who has just been dropped gets in.
type members struct {
	current atomic.Pointer[book]
	pings   *crypto.PingTable

	mu       sync.Mutex
	links    map[*crypto.Conn]struct{}
	accepted map[accepted][]*crypto.Conn // the one used last is at the end
	surplus  map[[32]byte]allowance      // of each member, for links beyond those
	closed   bool
}

// accepted names the links of one kind that one member has dialled.
type accepted struct {
	noise [32]byte
	kind  crypto.Kind
}

// What one member may have open here. It dials one ring link and maxTransfers
// others; twice that and more is for links that are on their way out. For one
// more, the one that it used least recently ends: of a member that lost its
// power, or its router, all may be dead.
const (
	maxAcceptedRing     = 4
	maxAcceptedTransfer = 2 * maxTransfers
	// surplusEach and surplusAtOnce are how many such links count as a mishap: a
	// member that restarts and restarts, or gives up links that this peer's own disk
	// holds, comes to fewer.
	surplusEach   = time.Second
	surplusAtOnce = 32 * surplusEach
)

var (
	errDropped = errors.New("not a member of the roster any more")
	errClosing = errors.New("this peer is closing")
)

func newMembers(b *book, pings *crypto.PingTable) *members {
	m := &members{pings: pings, links: make(map[*crypto.Conn]struct{}), accepted: make(map[accepted][]*crypto.Conn), surplus: make(map[[32]byte]allowance)}
	m.current.Store(b)
	return m
}

// book is the roster of now.
func (m *members) book() *book { return m.current.Load() }

// believes reports whether who signed a manifest may sign it, by the roster of
// now. That it did is known since it came here.
func (m *members) believes(f wire.Manifest) bool {
	_, err := m.book().signer(f)
	return err == nil
}

// lookup is for crypto: the member with that noise key.
func (m *members) lookup(noise [32]byte) (keys.Public, bool) {
	member, ok := m.book().member(noise)
	return member.Key, ok
}

// publish takes a link up whose peer is proved. If its peer has too many, surplus
// is one that was taken out for it, to be closed; else nil. They are a flood if that
// happens more often than by mishap.
func (m *members) publish(c *crypto.Conn) (surplus *crypto.Conn, flood bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, false, errClosing
	}
	if member, ok := m.book().member(c.Peer().Noise); !ok || member.Key != c.Peer() {
		return nil, false, errDropped
	}
	if k := (accepted{c.Peer().Noise, c.Kind()}); !c.Session().Initiator {
		if open := m.accepted[k]; len(open) >= k.most() {
			surplus = open[0]
			m.forgetLocked(surplus)
			a := m.surplus[k.noise]
			flood = !a.allow(time.Now(), surplusEach, surplusAtOnce)
			m.surplus[k.noise] = a
		}
		m.accepted[k] = append(m.accepted[k], c)
	}
	m.links[c] = struct{}{}
	return surplus, flood, nil
}

// most is how many of those may be open.
func (k accepted) most() int {
	if k.kind == crypto.Ring {
		return maxAcceptedRing
	}
	return maxAcceptedTransfer
}

// used notes that a link that its peer has dialled carries a request now.
func (m *members) used(c *crypto.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	open := m.accepted[accepted{c.Peer().Noise, c.Kind()}]
	if i := slices.Index(open, c); i >= 0 { // else it was just taken out
		copy(open[i:], open[i+1:])
		open[len(open)-1] = c
	}
}

// forget is called by whoever ends a link.
func (m *members) forget(c *crypto.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetLocked(c)
}

func (m *members) forgetLocked(c *crypto.Conn) {
	if _, ok := m.links[c]; !ok {
		return
	}
	delete(m.links, c)
	if c.Session().Initiator {
		return
	}
	k := accepted{c.Peer().Noise, c.Kind()}
	open := m.accepted[k]
	if i := slices.Index(open, c); len(open) > 1 {
		m.accepted[k] = slices.Delete(open, i, i+1)
	} else {
		delete(m.accepted, k)
	}
}

// replace makes next the law, and ends the links and ping sessions of members
// whose key, id or position changed, or who are in it no more.
func (m *members) replace(next *book) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.book()
	m.current.Store(next)
	clear(m.surplus) // of members that are in it no more, too
	for _, old := range last.Members {
		now, ok := next.ByID(old.ID)
		if !ok || now.Key != old.Key || now.Pos != old.Pos {
			m.pings.Drop(old.Key.Noise)
		}
	}
	for c := range m.links {
		old, _ := last.member(c.Peer().Noise)
		now, ok := next.member(c.Peer().Noise)
		if !ok || now.Key != old.Key || now.ID != old.ID || now.Pos != old.Pos {
			c.Close() // its reader ends with this and forgets it
		}
	}
}

// leave ends the links that stand at an address of this machine which it does
// not have.
func (m *members) leave(has func(netip.Addr) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.links {
		if local := addrOf(c.LocalAddr()).WithZone(""); local.IsValid() && !local.IsLoopback() && !has(local) {
			c.Close() // its reader ends with this and forgets it
		}
	}
}

// close ends every link, and every later one at once.
func (m *members) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for c := range m.links {
		c.Close() // its reader ends with this and forgets it
	}
}
