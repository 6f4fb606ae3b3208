package ring

import (
	"slices"

	"securepeer/wire"
)

// Notice is something that happened and that a user may want to see. The
// words are cmd's.
type Notice struct {
	Kind  Kind
	Peer  wire.ID   // whom it is about
	Peers []wire.ID // PingsSent: the successors pinged
	Name  string    // of a file
}

// Kind of a notice. Those of the classic ring come first, in its order.
type Kind uint8

// The kinds.
const (
	PingsSent          Kind = iota // the tick's pings to the successors
	PingReceived                   // from one of the K predecessors
	PingAnswered                   // by a successor
	JoinForwarded                  // Peer asked to join, and was sent on
	JoinReceived                   // Peer asked to join, and was accepted here
	JoinAccepted                   // this peer was
	FirstSuccessor                 // of a peer that has just joined
	SecondSuccessor                // of a peer that has just joined
	SuccessorChange                // a joiner that was accepted elsewhere changed them
	NewFirstSuccessor              // a change of either gives both
	NewSecondSuccessor             //
	Departing                      // one of the first two said that it leaves
	NotAlive                       // one of the first two was judged unreachable
	StoreForwarded                 // a put was sent on
	StoreAccepted                  // a put is stored, and this peer owns the key
	RequestSent                    // a get was sent to the next hop
	NotStoredHere                  // a get was sent on
	StoredHere                     // a get found its owner here
	SendingFile                    // to Peer
	FileSent                       // to Peer
	HadFile                        // Peer had it
	ReceivingFile                  // from Peer
	FileReceived                   // from Peer
	Returned                       // a member that was held unreachable is back
	MemberSeen                     // a member came into the ring
	MemberGone                     // a member left the ring: stopped, leaving, or unreachable
	KeyRunsTwice                   // another process speaks with this peer's key
)

// console turns changes of the view into notices.
type console struct {
	first  []wire.ID // the first two successors as last shown
	was    []known   // by member
	circle *Circle   // of was
	joined bool      // accepted, and not yet shown where
}

// known is what was last shown of a member.
type known struct {
	inRing bool
	state  wire.State
	lost   bool
}

// step compares the view with what was shown: what happened to members first,
// then what that did to the first two successors. Those lines follow the line
// of their cause.
func (c *console) step(v *view, j *join, o *outbox) {
	first := v.succ(2)
	change := !slices.Equal(first, c.first)
	c.follow(v.circle)
	for i := range v.members {
		m := &v.members[i]
		is := known{m.inRing, m.state, m.unreachable() && !m.starts}
		was := c.was[i]
		if is == was || m.id == v.self {
			continue
		}
		c.was[i] = is
		c.member(m, was, is, change, v, j, o)
	}
	if !v.inRing() || !change {
		return
	}
	c.first = first
	kinds := [2]Kind{NewFirstSuccessor, NewSecondSuccessor}
	if c.joined {
		kinds, c.joined = [2]Kind{FirstSuccessor, SecondSuccessor}, false
	}
	for i, id := range first {
		o.notify(kinds[i], id, "")
	}
}

// follow keeps what was shown of those who are in another circle, too.
func (c *console) follow(circle *Circle) {
	if c.circle == circle {
		return
	}
	was := make([]known, circle.size())
	for i, m := range circle.members {
		if j, ok := c.circle.find(m.ID); ok && c.circle.members[j] == m {
			was[i] = c.was[j]
		}
	}
	c.was, c.circle = was, circle
}

// member says what happened to one member.
func (c *console) member(m *member, was, is known, change bool, v *view, j *join, o *outbox) {
	near := slices.Contains(c.first, m.id)
	switch {
	case is.inRing && !was.inRing:
		if is.state == wire.Joining && !j.took(m.id) && change && v.inRing() && !c.joined {
			o.notify(SuccessorChange, m.id, "")
		}
		if was.lost {
			o.notify(Returned, m.id, "")
		} else {
			o.notify(MemberSeen, m.id, "")
		}
	case was.inRing && !is.inRing:
		switch {
		case near && is.state == wire.Leaving:
			o.notify(Departing, m.id, "")
		case near && is.lost:
			o.notify(NotAlive, m.id, "")
		}
		o.notify(MemberGone, m.id, "")
	}
}
