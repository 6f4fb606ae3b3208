package node

import (
	"errors"
	"net"
	"runtime"
	"syscall"
	"time"

	"securepeer/crypto"
	"securepeer/keys"
	"securepeer/ring"
	"securepeer/wire"
)

// pingQueue is how many pings wait for the socket, or for the loop; beyond that
// they are lost, as any datagram may be.
const pingQueue = 1024

// ping is one ping or ack on its way out.
type ping struct {
	member keys.Member
	to     []path // the first that takes it
	body   wire.Ping
}

// maxPings is how many datagrams of a member are taken in an interval. A ping,
// an ack, a burst of eight and the acks of another are the most that one has
// to send, each perhaps twice on its way, and a user may ask for more.
const maxPings = 256

// pingLimit counts those of one member. Each may cost an answer, and none may
// take the place of all others'.
type pingLimit struct {
	since time.Time // when the interval began
	n     int
}

// allow counts one, and reports whether it is within the limit.
func (l *pingLimit) allow(now time.Time, interval time.Duration) bool {
	if now.Sub(l.since) >= interval {
		l.since, l.n = now, 0
	}
	l.n++
	return l.n <= maxPings
}

// readPings hands the authenticated datagrams of one socket to the loop.
// Anything else is silence. It ends when the socket closes.
func (n *Node) readPings(s *udpSocket) {
	limits := make(map[wire.ID]*pingLimit)     // at most as many as there are ids
	buf := make([]byte, crypto.DatagramSize+1) // one more: a longer one is not cut to fit
	for {
		size, source, err := s.read(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// Of one datagram, as an ICMP answer to an earlier ping of ours.
			if !n.wait(time.Millisecond) {
				return
			}
			continue
		}
		noise, body, ok := n.pings.Open(buf[:size], time.Now())
		if !ok {
			if noise != ([32]byte{}) {
				continue // of a session that ended while it was under way
			}
			n.refused.stranger(net.UDPAddrFromAddrPort(source.remote), "datagrams of no session: strangers, or members that just restarted")
			continue
		}
		member, ok := n.members.book().member(noise)
		if !ok {
			continue // dropped just now; its session goes too
		}
		limit := limits[member.ID]
		if limit == nil {
			limit = new(pingLimit)
			limits[member.ID] = limit
		}
		if !limit.allow(time.Now(), n.interval()) {
			n.refused.add(member.Name, "more pings than are answered")
			continue
		}
		p, err := wire.ParsePing(body)
		if err != nil {
			n.refused.add(member.Name, "malformed ping")
			continue
		}
		offer(n.pinged, happened{event: ring.Pinged{From: member.ID, Ping: p}, source: source})
	}
}

// writePings seals and sends. It ends when the node does.
func (n *Node) writePings() {
	var text [crypto.PingBodySize]byte
	buf := make([]byte, 0, crypto.DatagramSize)
	for {
		var p ping
		select {
		case p = <-n.outgoing:
		case <-n.ctx.Done():
			return
		}
		p.body.Append(text[:0])
		datagram, err := n.pings.Seal(buf[:0], p.member.Key.Noise, &text, time.Now())
		if err != nil {
			continue // no session: the ring sees no ack and dials
		}
		// An ack goes where its ping came from, which is the member's choice: that
		// it cannot be sent there excuses no silence of that member.
		if err := n.sendTo(p, datagram); err != nil && !p.body.Ack {
			offer(n.pinged, happened{event: ring.NotSent{Peer: p.member.ID}, ours: err})
		}
	}
}

// sendTo sends a ping or ack to the first address to which this machine can
// send. An error is this machine's own: nothing has left it.
func (n *Node) sendTo(p ping, datagram []byte) error {
	var ours error
	for _, to := range p.to {
		err := n.sendDatagram(datagram, to)
		o, ok := ownSend(err)
		if !ok {
			if !p.body.Ack {
				n.addresses.sent(p.member.Addr, p.body.Echo, to.remote.Addr())
			}
			return nil
		}
		ours = o
	}
	return ours
}

// ownSend is own for a datagram, of which the answers of others are not told:
// that there is no route to a host is what this machine's own table says.
func ownSend(err error) (*ownError, bool) {
	if errors.Is(err, syscall.EHOSTUNREACH) && runtime.GOOS == "linux" {
		return &ownError{ownErrnos[syscall.ENETUNREACH], syscall.EHOSTUNREACH}, true
	}
	return own(err)
}

// sendPing queues a ping to where the member is, or an ack to the source of
// the ping that it answers.
// It returns why it can't, if that is this machine's own fault.
func (n *Node) sendPing(a ring.SendPing, source path) error {
	member, ok := n.members.book().ByID(a.To)
	if !ok {
		return nil
	}
	p := ping{member: member, body: a.Ping}
	if a.Ping.Ack {
		p.to = []path{source}
	} else {
		for _, at := range n.addresses.ping(member.Addr) {
			p.to = append(p.to, path{remote: at})
		}
	}
	if len(p.to) == 0 {
		return n.addresses.unknown(member.Addr)
	}
	if !offer(n.outgoing, p) {
		return &ownError{"this machine's network takes no more packets", nil}
	}
	return nil
}
