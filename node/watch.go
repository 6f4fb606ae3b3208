package node

import (
	"context"
	"sync"
	"time"

	"securepeer/ring"
)

// Implementation constants.
const (
	// watchQueue is how many events wait for a watcher.
	watchQueue = 256
	// noticeEach is how much time lies between two events of one member in the
	// long run, noticesAtOnce how many may come at once: a member makes them by
	// what it asks for, sends or fetches, as many as it likes.
	noticeEach    = 2 * time.Second
	noticesAtOnce = 64
)

// kindNames are the notices in words, in the order of ring's constants.
var kindNames = map[ring.Kind]string{
	ring.PingsSent: "pings-sent", ring.PingReceived: "ping-received", ring.PingAnswered: "ping-answered",
	ring.JoinForwarded: "join-forwarded", ring.JoinReceived: "join-received", ring.JoinAccepted: "join-accepted",
	ring.FirstSuccessor: "first-successor", ring.SecondSuccessor: "second-successor", ring.SuccessorChange: "successor-change",
	ring.NewFirstSuccessor: "new-first-successor", ring.NewSecondSuccessor: "new-second-successor",
	ring.Departing: "departing", ring.NotAlive: "not-alive",
	ring.StoreForwarded: "store-forwarded", ring.StoreAccepted: "store-accepted",
	ring.RequestSent: "request-sent", ring.NotStoredHere: "not-stored-here", ring.StoredHere: "stored-here",
	ring.SendingFile: "sending-file", ring.FileSent: "file-sent", ring.HadFile: "had-file",
	ring.ReceivingFile: "receiving-file", ring.FileReceived: "file-received",
	ring.Returned: "returned", ring.MemberSeen: "member-seen", ring.MemberGone: "member-gone",
	ring.KeyRunsTwice: "key-runs-twice",
}

// KindGap is the kind of an event that stands for some that were lost, because
// the watcher did not keep up; KindFlood of one that stands for some that were
// left out, because its peer caused too many.
const (
	KindGap   = "gap"
	KindFlood = "flood"
)

// watchers are those who listen to the notices.
type watchers struct {
	mu     sync.Mutex
	open   map[*watcher]struct{}
	closed bool
}

type watcher struct {
	events chan Event // watchQueue places
	lost   bool
}

// Watch returns what happens from now on, until ctx ends or the node does;
// then the channel is closed. A watcher that is too slow misses events, and
// finds one of kind [KindGap] in their place; nobody waits for it.
func (n *Node) Watch(ctx context.Context) <-chan Event {
	w := &watcher{events: make(chan Event, watchQueue)}
	n.watchers.mu.Lock()
	defer n.watchers.mu.Unlock()
	if n.watchers.closed {
		close(w.events)
		return w.events
	}
	n.watchers.open[w] = struct{}{}
	context.AfterFunc(ctx, func() { n.watchers.end(w) })
	return w.events
}

func (s *watchers) end(w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.open[w]; ok {
		delete(s.open, w)
		close(w.events)
	}
}

func (s *watchers) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for w := range s.open {
		delete(s.open, w)
		close(w.events)
	}
}

// notices is the pace of those about one member.
type notices struct {
	allowance
	flood bool // some were left out
}

// tell hands a notice to whoever watches, unless the member that it is about
// causes too many. A thing that this peer's user has asked for is told in
// any case.
func (l *loop) tell(a ring.Notice) {
	n, now := l.node, time.Now()
	b := n.members.book()
	switch a.Kind {
	case ring.PingsSent, ring.PingReceived, ring.PingAnswered, ring.JoinAccepted,
		ring.RequestSent, ring.HadFile, ring.ReceivingFile, ring.FileReceived:
	default:
		p := l.notices[a.Peer]
		if p == nil {
			p = new(notices) // at most as many as there are ids
			l.notices[a.Peer] = p
		}
		if a.Peer != n.self && !p.allow(now, noticeEach, noticesAtOnce*noticeEach) {
			p.flood = true
			return
		}
		if p.flood {
			p.flood = false
			n.watchers.tell(Event{Time: now, Kind: KindFlood, Peer: b.name(a.Peer)})
		}
	}
	e := b.event(now, a)
	n.log.Debug(e.Kind, "peer", e.Peer, "peers", e.Peers, "file", e.Name)
	n.watchers.tell(e)
}

// tell is for the loop: it never waits.
func (s *watchers) tell(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.open {
		if w.lost && len(w.events) < watchQueue-1 {
			w.events <- Event{Time: e.Time, Kind: KindGap} // there are two places
			w.lost = false
		}
		if w.lost || len(w.events) == watchQueue {
			w.lost = true
			continue
		}
		w.events <- e
	}
}

// event words a notice with the members' names.
func (b *book) event(at time.Time, a ring.Notice) Event {
	e := Event{Time: at, Kind: kindNames[a.Kind], Name: a.Name, Peers: b.names(a.Peers)}
	if a.Kind != ring.PingsSent {
		e.Peer = b.name(a.Peer)
	}
	return e
}
