package node

import (
	"errors"
	"net"
	"time"

	"securepeer/crypto"
	"securepeer/ring"
	"securepeer/wire"
)

// pingQueue is how many pings wait for the socket, or for the loop; beyond that
// they are lost, as any datagram may be.
const pingQueue = 1024

// ping is one ping or ack on its way out.
type ping struct {
	peer [32]byte
	to   net.Addr
	body wire.Ping
}

// readPings hands authenticated datagrams to the loop. Anything else is
// silence. It ends when the socket closes.
func (n *Node) readPings() {
	buf := make([]byte, crypto.DatagramSize+1) // one more: a longer one is not cut to fit
	for {
		size, source, err := n.packets.ReadFrom(buf)
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
			n.refused.stranger(source, "datagram of no session")
			continue
		}
		member, ok := n.members.book().member(noise)
		if !ok {
			continue // dropped just now; its session goes too
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
		datagram, err := n.pings.Seal(buf[:0], p.peer, &text, time.Now())
		if err != nil {
			continue // no session: the ring sees no ack and dials
		}
		// An error is a lost datagram: no route, a full buffer.
		n.packets.WriteTo(datagram, p.to)
	}
}

// sendPing queues a ping to the member's roster address, or an ack to the
// source of the ping that it answers.
func (n *Node) sendPing(a ring.SendPing, source net.Addr) {
	member, ok := n.members.book().ByID(a.To)
	if !ok {
		return
	}
	if !a.Ping.Ack {
		source = n.addresses.udp(member.Addr)
	}
	if source == nil {
		return // its name is being looked up
	}
	offer(n.outgoing, ping{peer: member.Key.Noise, to: source, body: a.Ping})
}
