package node

import (
	"cmp"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"
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

// refusals counts what nobody may send, by member and cause, and logs it at
// most once a minute for each member, and once a second for each cause of a
// stranger: nobody must fill a log.
type refusals struct {
	log *slog.Logger

	mu     sync.Mutex
	counts map[refusalKey]uint64
	logged map[refusalKey]time.Time // of a member without a cause
}

type refusalKey struct{ peer, cause string }

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{log: log, counts: make(map[refusalKey]uint64), logged: make(map[refusalKey]time.Time)}
}

// add counts one of a member. cause is a constant of this program, never text
// from outside.
func (r *refusals) add(peer, cause string) {
	if count, due := r.count(refusalKey{peer, cause}, time.Now()); due {
		r.log.Warn("refused", "peer", peer, "cause", cause, "count", count)
	}
}

// stranger counts one of somebody who has not said who it is; the log alone
// names the address, of which there are too many to count.
func (r *refusals) stranger(source net.Addr, cause string) {
	if count, due := r.count(refusalKey{"", cause}, time.Now()); due {
		r.log.Warn("refused", "source", source.String(), "cause", cause, "count", count)
	}
}

func (r *refusals) count(key refusalKey, now time.Time) (count uint64, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.counts[key]; !ok && len(r.counts) >= maxRefusals {
		key.peer = ""
	}
	r.counts[key]++
	line, each := refusalKey{cause: key.cause}, time.Second
	if key.peer != "" {
		line, each = refusalKey{peer: key.peer}, time.Minute
	}
	if last, ok := r.logged[line]; ok && now.Sub(last) < each {
		return r.counts[key], false
	}
	r.logged[line] = now
	return r.counts[key], true
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
