package node

import (
	"errors"
	"fmt"
	"strings"

	"securepeer/wire"
)

// Lack is a member that was of no help, and why.
type Lack struct {
	Peer   string `json:"peer"`
	Reason Reason `json:"reason"`
}

// Reason is why a member was of no help, in a word. Only one that is silent gave
// no answer.
type Reason string

// The reasons.
const (
	Silent     Reason = "silent"      // nothing came in time
	Slow       Reason = "slow"        // next to no bytes came
	CatchingUp Reason = "catching-up" // its no means nothing until others have given it what it missed
	Unreadable Reason = "unreadable"  // it cannot read its disk
	Unwritable Reason = "unwritable"  // it cannot write to its disk
	Full       Reason = "full"        // its disk has no room
	Outside    Reason = "outside"     // it starts, stops, or has left the ring
	Elsewhere  Reason = "elsewhere"   // by its own view the file belongs on others
	NotThere   Reason = "not-there"   // it has not the version that it was asked for
	Busy       Reason = "busy"        // a limit of its own is reached
	NotWhole   Reason = "not-whole"   // its listing did not come to an end
	Refused    Reason = "refused"     // it refused otherwise
	Unsent     Reason = "unsent"      // this machine could not send to it
	Awaited    Reason = "awaited"     // nothing is wrong with it: it has not confirmed all yet
)

// reasons are what is said of one member, and of several, in the order in which it
// is said.
var reasons = []struct {
	Reason
	one, more string
}{
	{Silent, "no answer from %s", ""},
	{Slow, fmt.Sprintf("less than %d bytes a second from", leastRate) + " %s", ""},
	{CatchingUp, "still catching up: %s", ""},
	{Unreadable, "%s cannot read its disk", "%s cannot read their disks"},
	{Unwritable, "%s cannot write to its disk", "%s cannot write to their disks"},
	{Full, "no room on the disk of %s", "no room on the disks of %s"},
	{Outside, "not in the ring: %s", ""},
	{Elsewhere, "no holder of it by its own view: %s", "no holders of it by their own views: %s"},
	{NotThere, "not at %s", ""},
	{Busy, "at a limit of its own: %s", "at limits of their own: %s"},
	{NotWhole, "no whole listing from %s", ""},
	{Refused, "refused by %s", ""},
	{Unsent, "this peer could not ask %s", ""},
	{Awaited, "not all confirmed yet by %s", ""},
}

// ReasonOf is why a member in that state, and not well in the ring for that cause,
// does not confirm what is given to it.
func ReasonOf(state string, why Why) Reason {
	switch {
	case why == WhyUnsent:
		return Unsent
	case why == WhyStopped || why == WhyLeaving || why == WhyLeft || why == WhyStarting:
		return Outside
	case why != WhyNone:
		return Silent
	case state == stateName(wire.Full):
		return Full
	case state == stateName(wire.Stuck):
		return Unwritable
	}
	return Awaited
}

// Says tells of peers that this is why they were of no help.
func (r Reason) Says(peers ...string) string {
	for _, known := range reasons {
		if known.Reason == r {
			text := known.one
			if len(peers) > 1 && known.more != "" {
				text = known.more
			}
			return fmt.Sprintf(text, strings.Join(peers, ", "))
		}
	}
	panic("node: internal error: no words for the reason " + string(r))
}

// Lacking tells of all, each reason once.
func Lacking(all []Lack) (why []string) {
	for _, r := range reasons {
		if peers := lacking(all, r.Reason); len(peers) > 0 {
			why = append(why, r.Says(peers...))
		}
	}
	return why
}

// lacking returns those that are missing for that reason.
func lacking(all []Lack, r Reason) (peers []string) {
	for _, l := range all {
		if l.Reason == r {
			peers = append(peers, l.Peer)
		}
	}
	return peers
}

// reasonOf is what a code says of the member that sent it. Codes about what was
// asked, and CodeOK and CodeMore, where they are no answer, say no more than that
// it refused.
func reasonOf(c wire.Code) Reason {
	switch c {
	case wire.CodeBehind:
		return CatchingUp
	case wire.CodeUnreadable:
		return Unreadable
	case wire.CodeStuck:
		return Unwritable
	case wire.CodeFull:
		return Full
	case wire.CodeNotInRing:
		return Outside
	case wire.CodeNotOwner:
		return Elsewhere
	case wire.CodeNotFound:
		return NotThere
	case wire.CodeBusy:
		return Busy
	}
	return Refused
}

// refusalError is an answer of a member that declines: a Fail, a PutAck, a Found or
// a Listed with a code that says why.
type refusalError struct{ code wire.Code }

// Error names the code.
func (e *refusalError) Error() string { return fmt.Sprintf("answered %s", reasonOf(e.code)) }

// ofDisk reports whether a disk is why, and not what was asked.
func (e *refusalError) ofDisk() bool {
	switch e.code {
	case wire.CodeFull, wire.CodeStuck, wire.CodeUnreadable, wire.CodeBusy:
		return true
	}
	return false
}

// refusedWith is the error of an answer that is none to what was asked.
func refusedWith(msg wire.Message) error {
	if fail, ok := msg.(wire.Fail); ok {
		return &refusalError{fail.Code}
	}
	return fmt.Errorf("holder answered with %v", msg.Type())
}

// errNotWhole says that a listing has no end, or is not in order.
var errNotWhole = errors.New("no whole listing")

// reasonFor is why a member was of no help that an operation ended with err at:
// silence is only what is left.
func reasonFor(err error) Reason {
	var refused *refusalError
	var some *unreadError
	switch {
	case errors.As(err, &some):
		return Unreadable
	case err == errSlow || err == errOutrun || isSlow(err) && err != errSilent:
		return Slow
	case errors.As(err, &refused):
		return reasonOf(refused.code)
	case err == errNotWhole:
		return NotWhole
	}
	if _, ours := own(err); ours {
		return Unsent
	}
	return Silent
}
