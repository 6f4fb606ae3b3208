package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// snapshot is what the loop alone knows, at one moment.
type snapshot struct {
	ring  ring.Status
	now   ring.Time
	pairs map[wire.ID]pairStatus
}

// pairStatus is what the loop's table of links says of a member.
type pairStatus struct {
	problem     string
	unsent      error // why this machine can't send to it; nil: it can
	otherRoster bool
}

// unsentHolds is for how many intervals, and unsentLeast for how long at least,
// a ping that did not leave this machine is told: members out of the ring are
// pinged in turn.
const (
	unsentHolds = 15
	unsentLeast = 5 * time.Second
)

func (l *loop) snapshot() snapshot {
	s := snapshot{ring: l.ring.Status(), now: l.now(), pairs: make(map[wire.ID]pairStatus, len(l.links.pairs))}
	digest := l.node.members.book().digest
	for id, p := range l.links.pairs {
		is := pairStatus{otherRoster: p.heard && p.digest != digest}
		if p.problem != nil {
			is.problem = p.problem.Error()
		}
		o, ours := own(p.problem)
		switch {
		case p.unsent != nil && time.Since(p.failed) <= max(unsentHolds*l.node.interval(), unsentLeast):
			is.unsent = p.unsent
		case ours && p.carry == nil:
			is.unsent = o
		}
		s.pairs[id] = is
	}
	return s
}

// snapshot asks the loop.
func (n *Node) snapshot(ctx context.Context) (snapshot, error) {
	ask := asking{make(chan snapshot, 1)} // one place: the loop never waits
	select {
	case n.inputs <- ask:
	case <-ctx.Done():
		return snapshot{}, ctx.Err()
	case <-n.ctx.Done():
		return snapshot{}, ErrClosed
	}
	select {
	case s := <-ask.answer:
		return s, nil
	case <-ctx.Done():
		return snapshot{}, ctx.Err()
	case <-n.ctx.Done():
		return snapshot{}, ErrClosed
	}
}

// Status returns what the peer knows of itself and the others.
func (n *Node) Status(ctx context.Context) (Status, error) {
	s, err := n.snapshot(ctx)
	if err != nil {
		return Status{}, err
	}
	b := n.members.book()
	status := Status{
		Name: b.self.Name, ID: n.self, Ring: b.Ring, Listen: n.Addr().String(),
		Ready: s.ring.InRing, Behind: s.ring.Behind, Stopping: s.ring.Stopping,
		State: stateName(s.ring.State), Incarnation: uint64(s.ring.Incarnation),
		Position: b.self.Pos, Space: uint8(b.Space), Copies: b.Copies,
		Interval: b.interval(&n.config), Grace: b.Grace, View: fmt.Sprintf("%x", s.ring.View),
		RosterSerial: b.Serial, RosterDigest: fmt.Sprintf("%x", b.digest),
		Successors: b.names(s.ring.Successors), Predecessors: b.names(s.ring.Predecessors),
		Circle: b.names(s.ring.Ring), Cut: s.ring.Cut, Moving: s.ring.Moving,
		BytesIn: n.moved.in.Load(), BytesOut: n.moved.out.Load(),
		Refused: n.refusedOf(b, s), Uptime: time.Since(n.began),
	}
	refused := make(map[string]uint64)
	for _, r := range status.Refused {
		refused[r.Peer] += r.Count
	}
	for _, m := range s.ring.Members {
		if p, ok := n.peerStatus(b, s, m); ok {
			p.Refused = refused[p.Name]
			status.Peers = append(status.Peers, p)
		}
	}
	status.Warnings = n.warnings(b, s)
	for _, r := range b.Revoked {
		status.Revoked = append(status.Revoked, RevokedStatus{r.ID, r.Name, r.Key.Short()})
	}
	status.Store = n.storeStatus()
	return status, nil
}

// againstRules is the cause of what parses, is signed by who may, and makes no
// sense to the ring.
const againstRules = "message against the rules of the ring"

// refusedOf is what the node has refused, and what its ring has.
func (n *Node) refusedOf(b *book, s snapshot) []Refusal {
	list := n.refused.list()
	for _, m := range s.ring.Members {
		if m.Refused > 0 {
			list = append(list, Refusal{Peer: b.name(m.ID), Cause: againstRules, Count: m.Refused})
		}
	}
	sortRefusals(list)
	return list
}

// peerStatus reports false for a member that the roster has dropped since.
func (n *Node) peerStatus(b *book, s snapshot, m ring.MemberStatus) (PeerStatus, bool) {
	member, ok := b.ByID(m.ID)
	if !ok {
		return PeerStatus{}, false
	}
	p := PeerStatus{
		ID: m.ID, Name: member.Name, Key: member.Key.Short(), Address: member.Addr, Position: m.Pos,
		State: "unseen", Incarnation: uint64(m.Incarnation), Self: m.ID == n.self,
		InRing: m.InRing, Unreachable: m.Unreachable, Suspect: m.Suspect, Linked: m.Linked,
		Steward: member.Steward, Drain: member.Drain, Silence: -1, RTT: m.RTT,
		Why: whys[m.Why], Gone: m.Gone,
		OtherRoster: s.pairs[m.ID].otherRoster, Problem: s.pairs[m.ID].problem,
	}
	p.Gives, p.Takes = n.rates.of(m.ID)
	p.Slow = n.rates.slow(m.ID)
	if unsent := s.pairs[m.ID].unsent; unsent != nil {
		p.Problem, p.Suspect = unsent.Error(), false
		if m.Suspect || m.Why == ring.WhySilent || m.Why == ring.WhyOneWay || m.Why == ring.WhyCut || m.Why == ring.WhyUnseen {
			p.Why = WhyUnsent
		}
	}
	if m.Seen {
		p.State = stateName(m.State)
	}
	if m.Heard > 0 {
		p.Silence = time.Duration(s.now - m.Heard)
	}
	if m.Since > 0 {
		p.Out = time.Duration(max(s.now-m.Since, 1))
	}
	for _, v := range m.Votes {
		if v.Verdict == wire.Gone {
			p.GoneBy = append(p.GoneBy, b.name(v.Observer))
		}
	}
	return p, true
}

// warnings are what this machine's operator should look at: that it can't send
// to anybody, has run out of something, cannot read some of its files, or that its
// own address can't be right.
func (n *Node) warnings(b *book, s snapshot) (list []string) {
	others, last := 0, ""
	for _, m := range b.Members {
		if m.ID == n.self {
			continue
		}
		if others++; s.pairs[m.ID].unsent == nil {
			others, last = 0, ""
			break
		}
		last = s.pairs[m.ID].unsent.Error()
	}
	if others > 0 {
		list = append(list, "nothing that this peer sends leaves this machine: "+last)
	}
	if text := n.short.warning(); text != "" {
		list = append(list, text)
	}
	if text := n.disk.unread.warning(); text != "" {
		list = append(list, text)
	}
	if text := n.addresses.loopback(b.self.Addr); text != "" {
		list = append(list, text)
	}
	return list
}

func (n *Node) storeStatus() StoreStatus {
	s := StoreStatus{ID: fmt.Sprintf("%x", n.disk.ID()), Doubt: n.disk.Doubt(), Unfinished: []Unfinished{}}
	for id, x := range n.uploads.unfinished() {
		x.Peer = n.members.book().name(id)
		s.Unfinished = append(s.Unfinished, x)
	}
	slices.SortFunc(s.Unfinished, func(a, b Unfinished) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Peer, b.Peer))
	})
	versions, bytes, known := n.disk.Stored()
	s.Versions, s.Bytes, s.Counting = versions, uint64(max(bytes, 0)), !known
	usage, err := n.disk.Usage()
	s.Free, s.Total = usage.Free, usage.Total
	n.disk.failed(err)
	if reason := n.disk.reason(); reason != nil {
		err = reason
	}
	if err != nil {
		s.Problem = err.Error()
	}
	return s
}

// stateName is a row's state in words.
func stateName(s wire.State) string {
	names := [...]string{"starting", "joining", "active", "full", "stuck", "stopped", "leaving", "left"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("state %d", s)
}
