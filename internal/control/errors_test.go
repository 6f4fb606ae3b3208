package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"securepeer/node"
)

// Each kind of failure of a node is told apart at the other end.
func TestErrorCodes(t *testing.T) {
	for _, test := range []struct {
		err    error
		code   Code
		status int
	}{
		{&node.NotFoundError{Name: "f"}, CodeNotFound, 404},
		{&node.UnavailableError{Name: "f", Lacks: lacks(node.Silent, "bob")}, CodeUnavailable, 503},
		{&node.TakenError{Name: "f", By: "bob"}, CodeTaken, 403},
		{&node.IntegrityError{Name: "f", Peers: []string{"bob"}}, CodeIntegrity, 500},
		{&node.NameError{Name: "..", Err: errors.New("no")}, CodeBadName, 400},
		{&node.LeaveError{Why: node.UnavailableError{Lacks: []node.Lack{{Peer: "bob", Reason: node.Silent}}}}, CodeUnavailable, 503},
		{&node.PeerError{Peer: "bob", Err: errors.New("no answer")}, CodeUnreachable, 503},
		{&node.PeerError{Peer: "zoe", Err: node.ErrNoSuchMember}, CodeNoPeer, 404},
		{node.ErrNotReady, CodeNotReady, 503},
		{node.ErrClosed, CodeInterrupted, 503},
		{node.ErrNoSpace, CodeNoSpace, 507},
		{node.ErrOutOfHops, CodeUnavailable, 503},
		{context.DeadlineExceeded, CodeTimeout, 504},
		{context.Canceled, CodeCanceled, 503},
		{newError(CodeBadRoster, "line 3"), CodeBadRoster, 400},
		{errors.New("anything"), CodeInternal, 500},
	} {
		got := errorOf(fmt.Errorf("putting: %w", test.err))
		if got.Code != test.code || got.Schema != SchemaError || got.Message == "" {
			t.Errorf("errorOf(%v) = %+v, want %s", test.err, got, test.code)
		}
		if status := statusOf(got.Code); status != test.status || http.StatusText(status) == "" {
			t.Errorf("statusOf(%s) = %d, want %d", got.Code, status, test.status)
		}
		b, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var back Error
		if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back, *got) {
			t.Errorf("%s reads back as %+v, %v", b, back, err)
		}
	}
}

func lacks(r node.Reason, peers ...string) (all []node.Lack) {
	for _, p := range peers {
		all = append(all, node.Lack{Peer: p, Reason: r})
	}
	return all
}

// TestHintIsForWhatFailed: to start a peer is advised only if one is silent, and
// what this machine lacks comes first. Once the hint to start a peer stood below
// every failure, also of this peer itself.
func TestHintIsForWhatFailed(t *testing.T) {
	for _, test := range []struct {
		err  node.UnavailableError
		want string
	}{
		{node.UnavailableError{Lacks: append(lacks(node.Silent, "bob"), lacks(node.CatchingUp, "ann")...)}, "start that one"},
		{node.UnavailableError{Lacks: append(lacks(node.CatchingUp, "ann"), lacks(node.Slow, "bob")...)}, "nobody is away"},
		{node.UnavailableError{Lacks: lacks(node.Slow, "bob")}, "the line of bob"},
		{node.UnavailableError{Lacks: lacks(node.Unreadable, "bob")}, "securepeer status on bob"},
		{node.UnavailableError{Lacks: append(lacks(node.CatchingUp, "ann"), lacks(node.Unwritable, "bob")...)}, "securepeer status on bob"},
		{node.UnavailableError{Lacks: append(lacks(node.Silent, "ann"), lacks(node.Unreadable, "bob")...)}, "start that one"},
		{node.UnavailableError{Lacks: append(lacks(node.Silent, "ann"), lacks(node.Full, "bob")...)}, "securepeer status on bob"},
		{node.UnavailableError{Lacks: lacks(node.Outside, "bob")}, "the state, the limits and the roster of bob"},
		{node.UnavailableError{Lacks: lacks(node.NotThere, "bob")}, "try again"},
		{node.UnavailableError{Lacks: lacks(node.Refused, "bob")}, "the roster of bob"},
		{node.UnavailableError{Lacks: append(lacks(node.Silent, "bob"), lacks(node.Unsent, "ann")...), Unsent: syscall.EMFILE}, "ulimit -n"},
		{node.UnavailableError{Own: fmt.Errorf("listing: %w", syscall.EMFILE)}, "LimitNOFILE="},
		{node.UnavailableError{Own: syscall.ENFILE}, "the whole machine"},
		{node.UnavailableError{Own: syscall.EIO}, "look at this machine"},
	} {
		hint := errorOf(&test.err).Hint
		if !strings.Contains(hint, test.want) || strings.Contains(hint, "start that one") && len(test.err.Of(node.Silent)) == 0 {
			t.Errorf("%v: %q, want %q", &test.err, hint, test.want)
		}
	}
}
