package node

import (
	"context"
	"sync"
	"time"

	"securepeer/ring"
)

// watchQueue is how many events wait for a watcher.
const watchQueue = 256

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
// the watcher did not keep up.
const KindGap = "gap"

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
