package node

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors of operations that a caller branches on.
var (
	// ErrNotReady says that this peer is not in the ring: it starts, or stops.
	ErrNotReady = errors.New("this peer is not in the ring")
	// ErrClosed says that the node was closed, or is closing.
	ErrClosed = errors.New("the peer is closed")
	// ErrNoSpace says that no peer that should hold the file could write it.
	ErrNoSpace = errors.New("no space left on any peer that should hold the file")
	// ErrNoSuchMember says that the roster has no member of that name.
	ErrNoSuchMember = errors.New("not in the roster")
	// ErrNeverSeen says that this peer has never heard of the member.
	ErrNeverSeen = errors.New("has never been seen, and holds nothing")
	// ErrStillThere says that the member is in the ring, or is this peer.
	ErrStillThere = errors.New("is in the ring")
	// ErrOutOfHops says that a question was sent round too often; the views of
	// the peers differ, and it may be asked again.
	ErrOutOfHops = errors.New("the question was sent on too often")
)

// NotFoundError says that every peer that should hold Name said no.
type NotFoundError struct{ Name string }

// Error names the file.
func (e *NotFoundError) Error() string { return fmt.Sprintf("%q is not in the ring", e.Name) }

// UnavailableError says that nothing certain is known of Name, or that its bytes
// can't be had or stored, and why of each member that it would take.
type UnavailableError struct {
	Name   string
	Lacks  []Lack
	Unsent error // why this machine could not send to those that are unsent; nil: none is
	Own    error // why this peer cannot use its own disk; nil: it can
}

// Of returns those that are missing for that reason.
func (e *UnavailableError) Of(r Reason) []string { return lacking(e.Lacks, r) }

// Error names the file, and the members with their reasons.
func (e *UnavailableError) Error() string {
	if why := e.reasons(); why != "" {
		return fmt.Sprintf("%q is not available: %s", e.Name, why)
	}
	return fmt.Sprintf("%q is not available", e.Name)
}

// reasons tells of all that was missing; "": that is not known.
func (e *UnavailableError) reasons() string {
	why := Lacking(slices.DeleteFunc(slices.Clone(e.Lacks), func(l Lack) bool { return l.Reason == Unsent }))
	if ours := e.ours(); ours != "" {
		why = append(why, ours)
	}
	return strings.Join(why, "; ")
}

// ours says what this machine itself could not do; "": nothing.
func (e *UnavailableError) ours() string {
	var why []string
	if unsent := e.Of(Unsent); len(unsent) > 0 {
		why = append(why, fmt.Sprintf("%s: %v", Unsent.Says(unsent...), e.Unsent))
	}
	if e.Own != nil {
		why = append(why, fmt.Sprintf("this peer cannot use its own disk: %v", e.Own))
	}
	return strings.Join(why, "; ")
}

// TakenError says that the member called By has a live file of that name.
// Steward: this peer may remove it.
type TakenError struct {
	Name, By string
	Steward  bool
}

// Error names the file and its writer.
func (e *TakenError) Error() string { return fmt.Sprintf("%q is a file of %s", e.Name, e.By) }

// IntegrityError says that Peers sent, or had, other bytes of Name than its
// writer signed, and that no other holder was left.
type IntegrityError struct {
	Name  string
	Peers []string
}

// Error names the file and the peers.
func (e *IntegrityError) Error() string {
	return fmt.Sprintf("%q has wrong bytes at %s", e.Name, strings.Join(e.Peers, ", "))
}

// NameError says what is wrong with a file's name.
type NameError struct {
	Name string
	Err  error
}

// Error quotes the beginning of the name.
func (e *NameError) Error() string { return fmt.Sprintf("%.80q: %v", e.Name, e.Err) }

// Unwrap returns Err.
func (e *NameError) Unwrap() error { return e.Err }

// PeerError says what went wrong with the member called Peer.
type PeerError struct {
	Peer string
	Err  error
}

// Error names the peer.
func (e *PeerError) Error() string { return fmt.Sprintf("%s: %v", e.Peer, e.Err) }

// Unwrap returns Err.
func (e *PeerError) Unwrap() error { return e.Err }

// LeaveError says which members do not confirm yet what this peer gives away, and
// why. The peer goes on trying until it is closed.
type LeaveError struct{ Why UnavailableError } // without a name

// Error names the members that are waited for, with their reasons.
func (e *LeaveError) Error() string {
	return "not everything is confirmed elsewhere: " + cmp.Or(e.Why.reasons(), "this peer is about to go on")
}
