package node

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"

	"securepeer/crypto"
)

// maxRefusals bounds the table. Causes are few and members are bounded, so
// only a very large roster that misbehaves as a whole reaches it; what comes
// then is counted without its member.
const maxRefusals = 4096

// Causes that several places name.
const (
	malformed    = "malformed message"
	badSignature = "bad signature in " // and the message's name
)

// refusals counts what nobody may send, by member and cause, and logs it: the
// logger has the pace.
type refusals struct {
	log *slog.Logger

	mu     sync.Mutex
	counts map[refusalKey]uint64
}

type refusalKey struct{ peer, cause string }

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{log: log, counts: make(map[refusalKey]uint64)}
}

// add counts one of a member. cause is a constant of this program, never text
// from outside.
func (r *refusals) add(peer, cause string) {
	r.log.Warn("refused", "peer", peer, "cause", cause, "count", r.count(refusalKey{peer, cause}))
}

// stranger counts one of somebody who has not said who it is; the log alone
// names the address, of which there are too many to count.
func (r *refusals) stranger(source net.Addr, cause string) {
	r.log.Warn("refused", "source", source.String(), "cause", cause, "count", r.count(refusalKey{"", cause}))
}

func (r *refusals) count(key refusalKey) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.counts[key]; !ok && len(r.counts) >= maxRefusals {
		key.peer = ""
	}
	r.counts[key]++
	return r.counts[key]
}

// turnedAway counts a connection that came to no link. The first frame of a
// member that was removed says whose it is: no stranger's.
func (n *Node) turnedAway(source net.Addr, reason error) {
	stranger, named := errors.AsType[*crypto.StrangerError](reason)
	switch {
	case errors.Is(reason, errClosing): // this peer's own doing
	case errors.As(reason, new(crypto.VersionError)):
		n.refused.stranger(source, "links in another version of the protocol: run the same securepeer on all machines")
	case !named:
		n.refused.stranger(source, "connections that opened no link: strangers, or members that gave up")
	default:
		if name, ok := n.members.book().removed[stranger.Noise]; ok {
			n.refused.add(name, "it still runs with a key that this roster has revoked: stop it there")
		} else {
			n.refused.stranger(source, "links with a key that this roster does not have: a member of another roster, or of another version of this one")
		}
	}
}

// list returns the counts, in no order.
func (r *refusals) list() []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Refusal, 0, len(r.counts))
	for k, n := range r.counts {
		list = append(list, Refusal{Peer: k.peer, Cause: k.cause, Count: n})
	}
	return list
}

// sortRefusals puts them in order: by peer, then cause.
func sortRefusals(list []Refusal) {
	slices.SortFunc(list, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Cause, b.Cause))
	})
}
