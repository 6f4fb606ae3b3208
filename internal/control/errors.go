package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"securepeer/node"
	"securepeer/wire"
)

// Code says what kind of failure an [Error] is, for programs.
type Code string

// The codes.
const (
	CodeInternal    Code = "internal"
	CodeBadRequest  Code = "bad_request"
	CodeBadName     Code = "bad_name"    // no file may have that name
	CodeBadRoster   Code = "bad_roster"  // the old one stays
	CodeNotFound    Code = "not_found"   // every home holder said no
	CodeNoPeer      Code = "no_peer"     // no member of that name
	CodeNotRunning  Code = "not_running" // nothing answers at the socket
	CodeNotReady    Code = "not_ready"   // the peer is not in the ring
	CodeUnreachable Code = "unreachable" // a member does not answer
	CodeUnavailable Code = "unavailable" // somebody who may have it is of no help now
	CodeRefused     Code = "refused"     // this user may not
	CodeTaken       Code = "taken"       // the name is another writer's
	CodeStillThere  Code = "still_there" // the member is in the ring
	CodeIntegrity   Code = "integrity"   // no holder has bytes that verify
	CodeTimeout     Code = "timeout"     // it took too long
	CodeNoSpace     Code = "no_space"    // the disks are full
	CodeInterrupted Code = "interrupted" // the peer ended in the middle
	CodeCanceled    Code = "canceled"    // whoever asked went away
)

// Error is why something was not done. It travels as JSON.
type Error struct {
	Schema  string      `json:"schema"`
	Code    Code        `json:"code"`
	Message string      `json:"message"`
	Hint    string      `json:"hint,omitempty"`  // what to do
	Peer    string      `json:"peer,omitempty"`  // whom it is about
	Peers   []string    `json:"peers,omitempty"` // whom it waits for, or who was of no help
	Lacks   []node.Lack `json:"lacks,omitempty"` // the same, and why
	File    string      `json:"file,omitempty"`
}

// Error is the message, in which text from others is quoted.
func (e *Error) Error() string { return e.Message }

func newError(code Code, message string) *Error {
	return &Error{Schema: SchemaError, Code: code, Message: message}
}

// errorOf says in an Error what the node's error is.
func errorOf(err error) *Error {
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	if e := errorOfType(err); e != nil {
		return e
	}
	e := newError(CodeInternal, err.Error())
	switch {
	case errors.Is(err, node.ErrNoSuchMember):
		e.Code, e.Hint = CodeNoPeer, "securepeer peers lists the members"
	case errors.Is(err, node.ErrNotReady):
		e.Code, e.Hint = CodeNotReady, "securepeer status says what it waits for"
	case errors.Is(err, node.ErrClosed):
		e.Code = CodeInterrupted
	case errors.Is(err, node.ErrNoSpace):
		e.Code, e.Hint = CodeNoSpace, "securepeer status at the holders says how much is free"
	case errors.Is(err, node.ErrOutOfHops):
		e.Code, e.Hint = CodeUnavailable, "try again in a moment"
	case errors.Is(err, context.DeadlineExceeded):
		e.Code = CodeTimeout
	case errors.Is(err, context.Canceled):
		e.Code = CodeCanceled
	}
	return e
}

// errorOfType is errorOf for the errors that carry fields.
func errorOfType(err error) *Error {
	e := newError("", err.Error())
	var (
		notFound    *node.NotFoundError
		unavailable *node.UnavailableError
		taken       *node.TakenError
		integrity   *node.IntegrityError
		name        *node.NameError
		leave       *node.LeaveError
		peer        *node.PeerError
	)
	switch {
	case errors.As(err, &notFound):
		e.Code, e.File, e.Hint = CodeNotFound, notFound.Name, "securepeer ls lists the files"
	case errors.As(err, &unavailable):
		e.File = unavailable.Name
		e.unavailable(unavailable)
	case errors.As(err, &taken):
		e.Code, e.File, e.Peer = CodeTaken, taken.Name, taken.By
		e.Hint = fmt.Sprintf("choose another name: only %s may replace it, and only %s, or a steward, remove it", taken.By, taken.By)
		if taken.Steward {
			e.Hint = fmt.Sprintf("choose another name: only %s may replace it; a steward, as this peer is, may remove it", taken.By)
		}
	case errors.As(err, &integrity):
		e.Code, e.File, e.Peers = CodeIntegrity, integrity.Name, integrity.Peers
	case errors.As(err, &name):
		e.Code, e.File = CodeBadName, name.Name
		e.Hint = fmt.Sprintf("choose another name: parts divided by /, none empty, . or .., each of at most %d bytes of UTF-8 without control characters", wire.MaxPart)
	case errors.As(err, &leave):
		e.unavailable(&leave.Why)
		e.Hint = hintLeave(&leave.Why)
	case errors.Is(err, node.ErrStillThere) && errors.As(err, &peer):
		e.Code, e.Peer = CodeStillThere, peer.Peer
		e.Message = fmt.Sprintf("%s is in the ring, and is not forgotten", peer.Peer)
		e.Hint = "securepeer leave on its machine has it give its files away; securepeer roster rm cuts it off"
	case errors.Is(err, node.ErrNeverSeen) && errors.As(err, &peer):
		e.Code, e.Peer = CodeNoPeer, peer.Peer
		e.Message = fmt.Sprintf("%s has never been in the ring: there is nothing to forget", peer.Peer)
	case errors.As(err, &peer) && !errors.Is(err, node.ErrNoSuchMember):
		e.Code, e.Peer = CodeUnreachable, peer.Peer
	default:
		return nil
	}
	return e
}

// unavailable takes over which members were of no help, and why.
func (e *Error) unavailable(why *node.UnavailableError) {
	e.Code, e.Lacks, e.Hint = CodeUnavailable, why.Lacks, hintUnavailable(why)
	for _, l := range why.Lacks {
		if l.Reason != node.Unsent { // this machine's own fault
			e.Peers = append(e.Peers, l.Peer)
		}
	}
}

// hintLeave says what to do so that a peer may leave, and how to end it else.
func hintLeave(e *node.UnavailableError) string {
	var todo []string
	if silent := slices.Concat(e.Of(node.Silent), e.Of(node.Outside)); len(silent) > 0 {
		todo = append(todo, "start "+strings.Join(silent, ", ")+", or have it forgotten if it will not come back")
	}
	if ill := slices.Concat(e.Of(node.Unwritable), e.Of(node.Full)); len(ill) > 0 {
		todo = append(todo, "securepeer status on "+strings.Join(ill, ", ")+" says what is wrong with the disk there")
	}
	if len(e.Of(node.Unsent)) > 0 {
		todo = append(todo, hintUnavailable(e))
	}
	return strings.Join(append(todo, "the peer goes on trying; securepeer stop ends it without that"), "; ")
}

// hintUnavailable says what to do: what this machine can mend first, to start
// another only if one is silent, and to look at a disk where one fails.
func hintUnavailable(e *node.UnavailableError) string {
	remedy := cmp.Or(node.Remedy(e.Own), node.Remedy(e.Unsent))
	switch {
	case remedy != "":
		return "on this machine " + remedy
	case e.Own != nil || e.Unsent != nil:
		return "look at this machine: securepeer status shows its disk and its network"
	}
	var todo []string
	if len(e.Of(node.Silent)) > 0 {
		todo = append(todo, "it may be on a peer that does not answer: start that one, or try again")
	}
	if ill := slices.Concat(e.Of(node.Unreadable), e.Of(node.Unwritable), e.Of(node.Full)); len(ill) > 0 {
		todo = append(todo, "securepeer status on "+strings.Join(ill, ", ")+" says what is wrong with the disk there")
	}
	if len(todo) > 0 {
		return strings.Join(todo, "; ")
	}
	busy := slices.Concat(e.Of(node.Refused), e.Of(node.Busy), e.Of(node.Outside), e.Of(node.Elsewhere))
	switch {
	case len(e.Of(node.CatchingUp)) > 0:
		return "nobody is away: they are being given what they missed; try again in a moment"
	case len(e.Of(node.Slow)) > 0:
		return "look at the disk and the line of " + strings.Join(e.Of(node.Slow), ", ") + ", or try again"
	case len(busy) > 0:
		return "try again; securepeer status shows the state, the limits and the roster of " + strings.Join(busy, ", ")
	}
	return "try again"
}

// statusOf is the HTTP status of a code, for those who ask by other programs.
func statusOf(c Code) int {
	switch c {
	case CodeBadRequest, CodeBadName, CodeBadRoster:
		return http.StatusBadRequest
	case CodeNotFound, CodeNoPeer:
		return http.StatusNotFound
	case CodeStillThere:
		return http.StatusConflict
	case CodeRefused, CodeTaken:
		return http.StatusForbidden
	case CodeNotReady, CodeUnreachable, CodeUnavailable, CodeInterrupted, CodeCanceled:
		return http.StatusServiceUnavailable
	case CodeTimeout:
		return http.StatusGatewayTimeout
	case CodeNoSpace:
		return http.StatusInsufficientStorage
	}
	return http.StatusInternalServerError
}

// Explain returns an error of a node as its server would send it, with code
// and hint; nil for nil.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	return errorOf(err)
}
