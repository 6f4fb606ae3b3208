package node

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"securepeer/wire"
)

// shortHolds is for how long it is told that this machine ran out of something.
const shortHolds = 30 * time.Second

// shortage is what this machine has lately run out of: descriptors, memory,
// buffers. Whatever met it tells it, so that what then fails is held against
// nobody else. A nil one takes no notes.
type shortage struct {
	mu   sync.Mutex
	last *ownError
	at   time.Time
}

// remedies are what to do about each.
var remedies = map[syscall.Errno]string{
	syscall.EMFILE:  "raise the limit: ulimit -n before securepeer start, or LimitNOFILE= in its unit",
	syscall.ENFILE:  "raise the limit of the whole machine, or end what holds so many",
	syscall.ENOMEM:  "end what needs so much, or raise the limit of its unit",
	syscall.ENOBUFS: "end what needs so much, or raise the limit of its unit",
}

// Remedy says what to do about a failure of this machine; "": that is not known.
func Remedy(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return ""
	}
	return remedies[errno]
}

// inShort is err without the files at which a shortage was met: any would do.
func inShort(err error) error {
	if ours, ok := own(err); ok && Remedy(err) != "" {
		return ours
	}
	return err
}

// note keeps err if it is a shortage.
func (s *shortage) note(err error) {
	if s == nil || Remedy(err) == "" {
		return
	}
	ours, _ := own(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.at = ours, time.Now()
}

// now returns what there is lately none left of, or nil.
func (s *shortage) now() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil || time.Since(s.at) > shortHolds {
		return nil
	}
	return s.last
}

// warning is what the machine's operator is told of it; "": nothing.
func (s *shortage) warning() string {
	err := s.now()
	if err == nil {
		return ""
	}
	return fmt.Sprintf("%v; %s", err, Remedy(err))
}

// noting is a listener whose failures are this machine's own.
type noting struct {
	net.Listener
	short *shortage
}

func (l noting) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	l.short.note(err)
	return conn, err
}

// errLate says that this peer's own disk has said nothing in time.
var errLate = errors.New("it takes too long")

// lacks adds to e a member that is missing, under the reason for it. What this
// peer's own disk could not do is no member's reason.
func (n *Node) lacks(e *UnavailableError, id wire.ID, why error) {
	reason := reasonFor(why)
	var refused *refusalError
	switch {
	case id != n.self:
	case why == nil:
		e.Own = errLate
		return
	case reason == Silent || reason == Unsent || errors.As(why, &refused) && refused.ofDisk():
		e.Own = inShort(why)
		return
	}
	if reason == Unsent {
		e.Unsent, _ = own(why)
	}
	e.Lacks = append(e.Lacks, Lack{n.members.book().name(id), reason})
}

// unsent returns why this machine can't send to members, of those to which it
// can't.
func (n *Node) unsent() map[wire.ID]error {
	why := make(map[wire.ID]error)
	s, err := n.snapshot(n.ctx)
	if err != nil {
		return why // the node ends
	}
	for id, p := range s.pairs {
		if p.unsent != nil {
			why[id] = p.unsent
		}
	}
	return why
}
