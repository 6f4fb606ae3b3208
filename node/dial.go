package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"securepeer/crypto"
	"securepeer/keys"
	"securepeer/ring"
	"securepeer/wire"
)

// Implementation constants.
const (
	// dialTime bounds a dial with its handshake while nothing is heard of the
	// member, and maxDialTime one while something is: what is sent over a full
	// line waits behind all that is queued there, and who is heard is not away.
	dialTime    = 5 * time.Second
	maxDialTime = 20 * time.Second
	// dialNext is how long an address of a member is waited for until the next
	// one is tried as well (RFC 8305, section 5).
	dialNext = 250 * time.Millisecond
	// dialTry is after how many intervals, and dialTryLeast after how long at
	// least, a connection is tried anew within that time: the system waits 1, 3
	// and 7 s until it repeats a packet that a cut has swallowed, and so would
	// find the end of the cut late.
	dialTry      = 4
	dialTryLeast = 500 * time.Millisecond
)

// ownError is a failure of this machine, or of what it asks on the way: it says
// nothing of the member that could not be reached.
type ownError struct {
	what string
	err  error // nil: there is no more to say
}

func (e *ownError) Error() string {
	if e.err == nil {
		return e.what
	}
	return fmt.Sprintf("%s: %v", e.what, e.err)
}

func (e *ownError) Unwrap() error { return e.err }

// ownErrnos are what a system call returns when the packet has not left this
// machine: no route, a firewall's rule, no buffer, no descriptor. A refused
// connection is the other side's, and "no route to host" may be: its router,
// or its neighbour that finds nobody at that address, says so.
var ownErrnos = map[syscall.Errno]string{
	syscall.ENETUNREACH:   "this machine has no route there",
	syscall.ENETDOWN:      "this machine's network is down",
	syscall.EADDRNOTAVAIL: "this machine has no address or port left to reach it from",
	syscall.EAFNOSUPPORT:  "this machine does not speak its kind of address",
	syscall.EPERM:         "this machine's firewall forbids it",
	syscall.EACCES:        "this machine forbids it",
	syscall.EINVAL:        "this machine has no route there",
	syscall.ENOBUFS:       "this machine has no buffer left",
	syscall.ENOMEM:        "this machine has no memory left",
	syscall.EMSGSIZE:      "this machine's network takes no packet of that size",
	syscall.EMFILE:        "this process has no file descriptor left",
	syscall.ENFILE:        "this machine has no file descriptor left",
}

// own returns err as an ownError if it is this machine's own.
func own(err error) (*ownError, bool) {
	var already *ownError
	if errors.As(err, &already) {
		return already, true
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return nil, false
	}
	what, ok := ownErrnos[errno]
	return &ownError{what, errno}, ok
}

// dial opens a link of that kind to a member, at whichever of its addresses it
// is found: the next one is tried when one has failed, or takes long.
func (n *Node) dial(ctx context.Context, member keys.Member, kind crypto.Kind) (*crypto.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, maxDialTime)
	defer cancel()
	ctx, cut := context.WithCancelCause(ctx)
	// Ends with ctx, at the end of the dial; waited for by the node's end.
	n.work.Go(func() { n.whileHeard(ctx, member.ID, cut) })
	to, err := n.addresses.find(ctx, member.Addr)
	if err != nil {
		n.short.note(err)
		return nil, fmt.Errorf("dialling %s: %w", member.Name, err)
	}
	d := dialing{node: n, member: member, kind: kind, to: to, connected: make(chan connected, len(to))}
	conn, err := d.run(ctx)
	cancel()
	for range d.open {
		if c := <-d.connected; c.raw != nil {
			c.raw.Close() // another address was faster
		}
	}
	return conn, err
}

// whileHeard ends a dial when nothing is heard of the member for dialTime.
func (n *Node) whileHeard(ctx context.Context, id wire.ID, cut context.CancelCauseFunc) {
	ticker := time.NewTicker(dialTime)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if !n.heard(ctx, id, dialTime) {
			cut(context.DeadlineExceeded)
			return
		}
	}
}

// heard reports whether anything came from a member within the last so long.
func (n *Node) heard(ctx context.Context, id wire.ID, within time.Duration) bool {
	s, err := n.snapshot(ctx)
	i := slices.IndexFunc(s.ring.Members, func(m ring.MemberStatus) bool { return m.ID == id })
	return err == nil && i >= 0 && s.ring.Members[i].Heard > 0 && time.Duration(s.now-s.ring.Members[i].Heard) < within
}

// late is err, or that the dial took too long, if that is why.
func late(ctx context.Context, at netip.AddrPort, err error) error {
	if err == nil || context.Cause(ctx) != context.DeadlineExceeded {
		return err
	}
	return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: os.ErrDeadlineExceeded}
}

// dialing is one dial, of several addresses. Connections are opened beside
// each other, handshakes one after the other: so the member never sees two
// links of one dial.
type dialing struct {
	node      *Node
	member    keys.Member
	kind      crypto.Kind
	to        []netip.AddrPort
	begun     int            // how many of to are tried
	open      int            // how many of those have not come back
	connected chan connected // as many places: nobody waits
	failures  []error
}

// connected is how a connection went.
type connected struct {
	at  netip.AddrPort
	raw net.Conn
	err error
}

func (d *dialing) run(ctx context.Context) (*crypto.Conn, error) {
	next := time.NewTimer(0)
	defer next.Stop()
	for d.begun < len(d.to) || d.open > 0 {
		select {
		case <-next.C:
			if d.begun < len(d.to) {
				d.begin(ctx, d.to[d.begun])
				next.Reset(dialNext)
			}
		case c := <-d.connected:
			d.open--
			conn, err := d.handshake(ctx, c)
			if err == nil {
				d.node.addresses.reached(d.member.Addr, c.at.Addr())
				return conn, nil
			}
			d.node.addresses.missed(d.member.Addr, c.at.Addr())
			if c.at.String() != d.member.Addr { // which failure tells
				err = fmt.Errorf("%s: %w", c.at, err)
			}
			d.failures = append(d.failures, err)
			next.Reset(0)
		}
	}
	return nil, d.failure()
}

// begin opens a connection to one address.
func (d *dialing) begin(ctx context.Context, at netip.AddrPort) {
	d.begun++
	d.open++
	// Ends with ctx at the latest; dial waits for it.
	d.node.work.Go(func() {
		raw, err := d.node.connect(ctx, at.String())
		d.connected <- connected{at, raw, late(ctx, at, err)}
	})
}

// handshake makes a connection a link. While there are other addresses, one
// that says nothing does not take all the time.
func (d *dialing) handshake(ctx context.Context, c connected) (*crypto.Conn, error) {
	if c.err != nil {
		return nil, c.err
	}
	if d.begun < len(d.to) || d.open > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, dialTime/3)
		defer cancel()
	}
	conn, err := crypto.Dial(ctx, c.raw, d.node.crypto, d.member.Key, d.kind)
	if errors.Is(err, crypto.ErrSilent) {
		err = fmt.Errorf("%w: it does not list this key, or has another ring name, "+
			"another key in its roster, or another version", err)
	}
	return conn, err
}

// failure is what to tell of a dial that no address answered: it is this
// machine's own only if every part of it is.
func (d *dialing) failure() error {
	var texts []string
	var ours *ownError
	all := true
	for _, err := range d.failures {
		texts = append(texts, err.Error())
		o, ok := own(err)
		ours, all = o, all && ok
	}
	err := d.failures[0]
	switch {
	case all:
		err = ours
	case len(texts) > 1:
		err = errors.New(strings.Join(texts, "; "))
	}
	return fmt.Errorf("dialling %s at %s: %w", d.member.Name, d.member.Addr, err)
}

// connect opens a TCP connection, in several tries until ctx ends.
func (n *Node) connect(ctx context.Context, addr string) (net.Conn, error) {
	patience := max(dialTry*n.interval(), dialTryLeast)
	for {
		try, cancel := context.WithTimeout(ctx, patience)
		conn, err := n.config.Dial(try, "tcp", addr)
		late := try.Err() != nil
		cancel()
		n.short.note(err)
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // without the address, which whoever dials tells
		}
		if err == nil || !late || ctx.Err() != nil {
			return conn, n.distant(ctx, addr, err)
		}
	}
}

// distant is err without its errno if it is a router's word: of a TCP connection
// the system tells that as its own. To connect a datagram asks this machine alone.
func (n *Node) distant(ctx context.Context, addr string, err error) error {
	if !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, syscall.EACCES) {
		return err
	}
	probe, own := n.config.Dial(ctx, "udp", addr)
	if own != nil {
		return err
	}
	probe.Close() // nothing was sent
	return fmt.Errorf("a router on the way refuses: %v", err)
}

// dialRing opens a ring link and runs it to its end.
func (n *Node) dialRing(member keys.Member, wait time.Duration) {
	conn, err := n.dialLater(member, wait)
	if err != nil {
		n.post(dialFailed{member.ID, err})
		return
	}
	if !n.runLink(conn) {
		n.post(dialFailed{member.ID, errDropped})
	}
}

func (n *Node) dialLater(member keys.Member, wait time.Duration) (*crypto.Conn, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-n.ctx.Done():
		return nil, ErrClosed
	}
	select {
	case n.dials <- struct{}{}:
		defer func() { <-n.dials }()
	case <-n.ctx.Done():
		return nil, ErrClosed
	}
	return n.dial(n.ctx, member, crypto.Ring)
}
