package node

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"securepeer/crypto"
	"securepeer/keys"
	"securepeer/ring"
	"securepeer/wire"
)

// Implementation constants.
const (
	// linkQueue is how many messages wait for a link, or in it, and linkLarge how
	// many that may be large. More than that have what this peer's users ask for
	// at once, and the offers of all that it does; what is beyond is lost.
	linkQueue = 2048
	linkLarge = 256
	// writeTime is how long one message may take to leave, besides its time at
	// leastRate. A member that takes nothing for so long has its link cut.
	writeTime = 30 * time.Second
	// endTime is how long a link that was ended waits for the other side's end.
	endTime = 5 * time.Second
	// glareTime is how far apart two links may be confirmed and still have
	// been dialled at once: as long as a handshake may take.
	glareTime = 5 * time.Second
	// dialPause is the least time between two dials of one member, jittered
	// down to its half, so that two who fail at each other do not stay in step.
	dialPause = 20 * time.Millisecond
	// renewAfter is the age at which who dialled a ring link replaces it, and
	// renewLate that at which the other side does: the keys of both carriers
	// get new ones, long before the ping session ends 240 s after its
	// handshake. renewPause lies between two tries.
	renewAfter = 120 * time.Second
	renewLate  = 180 * time.Second
	renewPause = 5 * time.Second
	// maxDials is how many dials are under way at once.
	maxDials = 64
)

// link is one ring link. Its reader and its writer are a goroutine each; only
// the loop sends to queue and closes it.
type link struct {
	conn  *crypto.Conn
	peer  keys.Member
	queue chan wire.Message // linkQueue places
	at    time.Time         // when it was confirmed
	sent  chan struct{}     // closed when the writer has ended

	// doubted: a link of a higher incarnation has taken its place. That is another
	// process, unless this link comes to its end.
	doubted bool

	large  atomic.Int32 // messages in queue that may be large
	unread atomic.Bool  // cut, as nothing of it was read
}

// isLarge reports whether a message may have many rows or manifests in it.
func isLarge(m wire.Message) bool {
	switch m.(type) {
	case wire.Rows, wire.Found, wire.Listed, wire.Buckets:
		return true
	}
	return false
}

func (l *link) dialler(self wire.ID) wire.ID {
	if l.conn.Session().Initiator {
		return self
	}
	return l.peer.ID
}

func (l *link) ends(self wire.ID) crypto.Ends {
	s := l.conn.Session()
	return crypto.Ends{Dialler: uint16(l.dialler(self)), Mine: s.Mine.Incarnation, Theirs: s.Theirs.Incarnation}
}

// pair is what the loop knows of its ring links with one member.
type pair struct {
	carry   *link          // takes what is sent; nil: no link
	others  []*link        // read until they end
	waiting []wire.Message // for the link that is being dialled
	dialing bool
	dialed  time.Time   // when the last dial began
	problem error       // why the last dial failed; nil: it did not
	unsent  error       // why a ping to it has not left this machine; nil: it was acked since
	failed  time.Time   // when that was
	at      netip.Addr  // where the last link that carried what is sent went
	digest  wire.Digest // of the roster that the member works by
	heard   bool        // digest is known
}

// links is the loop's table of ring links; nobody else touches it.
type links struct {
	node  *Node
	pairs map[wire.ID]*pair
}

func (l *links) pair(id wire.ID) *pair {
	p := l.pairs[id]
	if p == nil {
		p = &pair{}
		l.pairs[id] = p
	}
	return p
}

// send gives msg to the link with id, or keeps it for the one it dials. It
// never waits, and a queue that is full says nothing of the other side: this
// peer may have had too much to say. A message without a place is lost as with a
// link that falls: a question is asked again or ends, an offer comes again, and news is
// found by comparing views.
func (l *links) send(id wire.ID, msg wire.Message) {
	p := l.pair(id)
	if p.carry == nil {
		if len(p.waiting) < linkQueue {
			p.waiting = append(p.waiting, msg)
		}
		l.dial(id)
		return
	}
	k := p.carry
	if isLarge(msg) {
		if k.large.Load() >= linkLarge {
			return
		}
		k.large.Add(1)
	}
	select {
	case k.queue <- msg:
	default:
		if isLarge(msg) {
			k.large.Add(-1)
		}
	}
}

// order carries out a Dial of the ring. If there is a link the ring has not
// heard of it, as when it was confirmed before the ring had the roster with
// its member: it hears of it now.
func (l *links) order(id wire.ID) []ring.Event {
	if p := l.pair(id); p.carry != nil {
		return []ring.Event{p.up()}
	}
	l.dial(id)
	return nil
}

// dial opens a ring link, unless there is one or it is on its way.
func (l *links) dial(id wire.ID) {
	p := l.pair(id)
	member, ok := l.node.members.book().ByID(id)
	if !ok {
		p.waiting = nil // nobody to send it to
		return
	}
	if id == l.node.self || p.carry != nil || p.dialing {
		return
	}
	l.open(p, member)
}

// renew replaces links that are old: the new one carries what is sent from
// when it is confirmed, and the old one ends when that is done.
func (l *links) renew() {
	for _, p := range l.pairs {
		if p.carry == nil || p.dialing || time.Since(p.dialed) < renewPause {
			continue
		}
		limit := renewLate
		if p.carry.conn.Session().Initiator {
			limit = renewAfter
		}
		if time.Since(p.carry.at) > limit {
			l.open(p, p.carry.peer)
		}
	}
}

// open dials a member whose pair has no dial under way.
func (l *links) open(p *pair, member keys.Member) {
	wait := time.Until(p.dialed.Add(dialPause/2 + rand.N(dialPause/2)))
	p.dialing, p.dialed = true, time.Now()
	// Ends within dialTime, a handshake and a link's life, or when the node
	// ends, which waits for it.
	l.node.work.Go(func() { l.node.dialRing(member, max(wait, 0)) })
}

// up takes a confirmed link in and settles which one carries. It returns what
// the ring has to hear.
func (l *links) up(k *link) []ring.Event {
	p := l.pair(k.peer.ID)
	theirs := k.conn.Session().Theirs
	p.digest, p.heard, p.problem = theirs.RosterDigest, true, nil
	l.node.addresses.linked(k.peer.Addr, addrOf(k.conn.RemoteAddr()), k.conn.Session().Initiator)
	if k.conn.Session().Initiator {
		p.dialing = false
	}
	up := ring.LinkUp{Peer: k.peer.ID, Incarnation: wire.Incarnation(theirs.Incarnation)}
	if p.carry == nil {
		p.carry = k
		l.stands(p)
		l.flush(p)
		return []ring.Event{up}
	}
	old := p.carry
	first, second := old, k
	if k.at.Sub(old.at) < glareTime && before(k.ends(l.node.self), old.ends(l.node.self), l.node.self < k.peer.ID) {
		first, second = k, old
	}
	firstFate, secondFate := crypto.Settle(uint16(l.node.self), uint16(k.peer.ID), first.ends(l.node.self), second.ends(l.node.self))
	l.fate(p, first, firstFate)
	l.fate(p, second, secondFate)
	if p.carry == old {
		return nil
	}
	l.stands(p)
	switch was := old.conn.Session().Theirs.Incarnation; {
	case theirs.Incarnation < was: // it has lost its disk, and so what was sent to it
		return []ring.Event{ring.LinkDown{Peer: k.peer.ID}, up}
	case theirs.Incarnation > was:
		old.doubted = true
	}
	return []ring.Event{up}
}

// stands notes where the link that carries goes now. If the member was elsewhere
// before, nothing new is sent there, and what is under way has to show that it
// arrives.
func (l *links) stands(p *pair) {
	was := p.at
	p.at = addrOf(p.carry.conn.RemoteAddr())
	if was.IsValid() && was != p.at {
		l.node.pool.left(p.carry.peer.ID)
		l.node.targets.moved(p.carry.peer.ID)
	}
}

// before reports whether link a counts as confirmed before link b, of the same
// pair and moment. If both were dialled at once, the two sides may have
// confirmed them in either order, and an incarnation may have risen between
// the two handshakes: so that both sides keep the same link, the incarnations
// decide, which only rise. lower says that this side has the lower id.
func before(a, b crypto.Ends, lower bool) bool {
	if a.Dialler == b.Dialler {
		return false
	}
	if x, y := a.Mine+a.Theirs, b.Mine+b.Theirs; x != y {
		return x < y
	}
	if lower {
		return a.Mine < b.Mine
	}
	return a.Theirs < b.Theirs
}

// fate does with a link what crypto's rule says.
func (l *links) fate(p *pair, k *link, fate crypto.Fate) {
	switch fate {
	case crypto.Carry:
		p.carry = k
		p.others = slices.DeleteFunc(p.others, func(o *link) bool { return o == k })
		return
	case crypto.Finish, crypto.Shut:
		// Of a link to be shut the process at the other end may be gone; but an
		// incarnation rises within a process, too. What is queued is still
		// sent, and the link ends at endTime at the latest.
		k.finish()
		k.finish()
	}
	if !slices.Contains(p.others, k) {
		p.others = append(p.others, k)
	}
}

// finish has the writer send what is queued and then the end. The reader goes
// on until the other side has ended too.
func (k *link) finish() {
	if k.queue != nil {
		close(k.queue)
		k.queue = nil
	}
}

func (l *links) flush(p *pair) {
	waiting := p.waiting
	p.waiting = nil
	for _, msg := range waiting {
		l.send(p.carry.peer.ID, msg)
	}
}

// down takes a link out that has ended. It returns what the ring has to hear:
// nothing, if another link goes on. ended says that the other side has ended it,
// and so has read what was sent, or reads it.
func (l *links) down(k *link, ended bool) []ring.Event {
	p := l.pair(k.peer.ID)
	k.finish()
	if p.carry != k {
		p.others = slices.DeleteFunc(p.others, func(o *link) bool { return o == k })
		if k.doubted && !ended && p.carry != nil {
			// What was sent to the process that was before is lost.
			return []ring.Event{ring.LinkDown{Peer: k.peer.ID}, p.up()}
		}
		return nil
	}
	p.carry = nil
	l.node.addresses.trouble(k.peer.Addr)
	events := []ring.Event{ring.LinkDown{Peer: k.peer.ID}}
	i := slices.IndexFunc(p.others, func(o *link) bool { return o.queue != nil })
	if i < 0 {
		return events
	}
	p.carry = p.others[i]
	p.others = slices.Delete(p.others, i, i+1)
	return append(events, p.up())
}

// up is what the ring hears of the link that carries.
func (p *pair) up() ring.Event {
	return ring.LinkUp{Peer: p.carry.peer.ID, Incarnation: wire.Incarnation(p.carry.conn.Session().Theirs.Incarnation)}
}

// failed notes that a dial came to nothing.
func (l *links) failed(id wire.ID, err error) []ring.Event {
	p := l.pair(id)
	p.dialing, p.problem = false, err
	if p.carry != nil {
		return nil
	}
	p.waiting = nil
	if _, ours := own(err); ours { // first: a silence that is this machine's own is none
		return []ring.Event{ring.NotSent{Peer: id}, ring.LinkDown{Peer: id}}
	}
	return []ring.Event{ring.LinkDown{Peer: id}}
}

// addrOf is the IP address of a TCP connection's end; the zero Addr for
// anything else.
func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// hangup ends the links with id when what is queued has gone.
func (l *links) hangup(id wire.ID) []ring.Event {
	p := l.pair(id)
	if p.carry == nil {
		return nil
	}
	p.carry.finish()
	p.others = append(p.others, p.carry)
	p.carry = nil
	return []ring.Event{ring.LinkDown{Peer: id}}
}

// finishAll ends every link and returns them.
func (l *links) finishAll() (all []*link) {
	for _, p := range l.pairs {
		if p.carry != nil {
			all = append(all, p.carry)
			p.carry.finish()
		}
		for _, k := range p.others {
			all = append(all, k)
			k.finish()
		}
	}
	return all
}

// accept takes the links that others dial. It ends when the listener closes.
func (n *Node) accept() {
	for {
		conn, err := n.listener.Accept()
		if err != nil {
			return // closed: nothing else ends it
		}
		// Ends with the link; the node's end closes all links and waits.
		n.work.Go(func() {
			if conn.Kind() == crypto.Transfer {
				n.serve(conn)
				return
			}
			n.runLink(conn)
		})
	}
}

// runLink reads a ring link to its end. The loop hears of the link first, then
// of what came over it, then of its end. It reports false if the loop heard
// nothing, because the member was dropped after the handshake.
func (n *Node) runLink(conn *crypto.Conn) bool {
	defer n.members.forget(conn)
	defer conn.Close() // the end was sent before, if there was one to send
	member, ok := n.members.book().member(conn.Peer().Noise)
	if !ok {
		return false
	}
	queue := make(chan wire.Message, linkQueue)
	l := &link{conn: conn, peer: member, queue: queue, at: time.Now(), sent: make(chan struct{})}
	// Ends when the loop closes the queue, which it does when it hears of the
	// link's end, or when the node ends; it is waited for below.
	n.work.Go(func() { n.writeLink(l, queue) })
	if n.post(linkUp{l}) {
		err := n.readLink(l)
		if err != io.EOF {
			conn.Close() // what is queued has nobody to read it
		}
		n.post(linkDown{l, err == io.EOF})
	}
	select {
	case <-l.sent:
	case <-n.ctx.Done():
	}
	return true
}

// writeLink sends what is queued, and the end after it.
func (n *Node) writeLink(l *link, queue <-chan wire.Message) {
	defer close(l.sent)
	var buf []byte
	for {
		select {
		case msg, ok := <-queue:
			if !ok {
				l.conn.SetWriteDeadline(writeLimit(0)) // an error comes back from the write
				// If the end does not go out the other side finds the link cut.
				l.conn.CloseWrite()
				l.conn.SetReadDeadline(time.Now().Add(endTime))
				return
			}
			if isLarge(msg) {
				l.large.Add(-1)
			}
			buf = msg.Append(buf[:0])
			l.conn.SetWriteDeadline(writeLimit(len(buf))) // an error comes back from the write
			if err := l.conn.WriteRecord(byte(msg.Type()), buf); err != nil {
				l.unread.Store(errors.Is(err, os.ErrDeadlineExceeded))
				l.conn.Close() // the reader ends with this and reports
				n.drain(queue)
				return
			}
			if cap(buf) > wire.MaxBody/4 {
				buf = nil // an idle link keeps no large buffer
			}
		case <-n.ctx.Done():
			return
		}
	}
}

// writeLimit is until when a message of size bytes may take to leave.
func writeLimit(size int) time.Time {
	return time.Now().Add(writeTime + time.Duration(size)*time.Second/leastRate)
}

// drain empties the queue of a link that is dead until the loop closes it.
func (n *Node) drain(queue <-chan wire.Message) {
	for {
		select {
		case _, ok := <-queue:
			if !ok {
				return
			}
		case <-n.ctx.Done():
			return
		}
	}
}

var errNotHere = errors.New("message does not belong on a ring link")

// readLink hands on what comes until the link ends: io.EOF if its end was
// authenticated.
func (n *Node) readLink(l *link) error {
	for {
		typ, body, err := l.conn.ReadRecord()
		if err != nil {
			return err
		}
		msg, err := n.parse(l.conn, typ, body)
		if err != nil {
			return err
		}
		if msg.Type().Carrier() != wire.OnRing {
			n.refused.add(l.peer.Name, "transfer message on a ring link")
			return errNotHere
		}
		if !n.receive(l.peer, msg) {
			return ErrClosed
		}
	}
}

// receive verifies one message of a ring link and hands it to whom it is for. It
// reports false when the node ends.
func (n *Node) receive(from keys.Member, msg wire.Message) bool {
	verified, wrong := n.verify.message(n.members.book(), msg, n.account(from))
	if wrong != nil {
		n.refused.add(from.Name, faultOf(wrong)+msg.Type().String())
	}
	switch m := verified.(type) {
	case nil:
		if offer, ok := msg.(wire.Offer); ok { // who offered waits for an answer
			return n.post(sending{from.ID, wire.Confirmed{Req: offer.Req, Code: wire.CodeForbidden}})
		}
		return true
	case wire.List:
		if !n.jobs.add(job{list: &m, from: from.ID}) {
			return n.post(sending{from.ID, wire.Listed{Req: m.Req, Code: wire.CodeBusy}})
		}
		return true
	case wire.Listed:
		n.lists.deliver(from.ID, m)
		return true
	}
	return n.post(happened{event: ring.Received{From: from.ID, Msg: verified}})
}

// faultOf says, before the name of a message, what is wrong in it.
func faultOf(wrong error) string {
	switch wrong {
	case errBlocks:
		return "manifest that contradicts itself in "
	case errSigner:
		return "manifest that its sender may not sign in "
	case errNotHere:
		return "no business of anybody here: "
	}
	return badSignature
}
