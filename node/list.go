package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"securepeer/wire"
)

// Implementation constants.
const (
	// listTime is how long a member may take for one page of a listing while
	// nothing else comes from it, and maxPageTime while something does: over a full
	// line the page waits behind all that is queued there.
	listTime    = 5 * time.Second
	maxPageTime = 3 * listTime
	// maxListPeers is how many are asked at once.
	maxListPeers = 16
	// maxListTime, besides the time at listRate, in bytes a second, of what has
	// come, and maxListNames are how long one member may go on, and how many names
	// it may list: then the rest of its listing is missing.
	maxListTime  = 30 * time.Second
	listRate     = 12 << 10
	allListTime  = 10 * time.Minute // however many come
	maxListNames = 1_000_000
)

// lists are the questions of listings that wait for an answer.
type lists struct {
	mu    sync.Mutex
	last  uint32
	waits map[listKey]chan wire.Listed
}

type listKey struct {
	peer wire.ID
	req  uint32
}

func (l *lists) open(peer wire.ID) (listKey, <-chan wire.Listed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	k := listKey{peer, l.last}
	c := make(chan wire.Listed, 1) // one place: a link's reader never waits
	l.waits[k] = c
	return k, c
}

func (l *lists) close(k listKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waits, k)
}

func (l *lists) deliver(from wire.ID, m wire.Listed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := listKey{from, m.Req}
	if c := l.waits[k]; c != nil {
		c <- m
		delete(l.waits, k)
	}
}

// lost ends the questions to a peer whose link has fallen: no answer comes.
func (l *lists) lost(peer wire.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, c := range l.waits {
		if k.peer == peer {
			close(c)
			delete(l.waits, k)
		}
	}
}

// listing merges what all members answer.
type listing struct {
	mu     sync.Mutex
	names  map[string][]wire.Manifest
	silent map[wire.ID]error // who is missing; why, if this machine knows
}

func (l *listing) add(ms []wire.Manifest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range ms {
		known := l.names[m.Name]
		i := slices.IndexFunc(known, func(o wire.Manifest) bool { return o.Writer == m.Writer })
		switch {
		case i < 0:
			l.names[m.Name] = append(known, m)
		case m.Newer(known[i]):
			known[i] = m
		}
	}
}

// List returns the files whose names begin with prefix, by name, those that
// were removed left out, and the members of the ring of which no whole answer
// came: what only they hold is missing.
func (n *Node) List(ctx context.Context, prefix string) ([]FileInfo, []Unheard, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, nil, &NameError{Name: prefix, Err: err}
	}
	s, err := n.snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	if !s.ring.InRing {
		return nil, nil, ErrNotReady
	}
	l := &listing{names: make(map[string][]wire.Manifest)}
	var asking sync.WaitGroup
	places := make(chan struct{}, maxListPeers)
	for _, m := range s.ring.Members {
		switch {
		case m.ID == n.self || m.InRing:
			// Each ends by listTime, ctx or the node's end; waited for below.
			asking.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				n.listFrom(ctx, m.ID, prefix, l)
			})
		case m.Unreachable || m.Seen && m.State == wire.Stopped:
			l.misses(m.ID, errSilent)
		}
	}
	asking.Wait()
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	return l.files(n.members.book()), n.unheard(l.silent), nil
}

// checkPrefix says what the others would refuse.
func checkPrefix(prefix string) error {
	if len(prefix) > wire.MaxName {
		return fmt.Errorf("prefix has %d bytes, at most %d", len(prefix), wire.MaxName)
	}
	_, err := wire.Parse(wire.TypeList, wire.List{Prefix: prefix}.Append(nil))
	return err
}

// listFrom asks one member page by page, or this peer's own store. One that
// does not come to an end in maxListTime is left.
func (n *Node) listFrom(ctx context.Context, id wire.ID, prefix string, l *listing) {
	if err := n.listPages(ctx, id, prefix, l); err != nil {
		l.misses(id, err)
	}
}

// misses notes that the listing of a member is not whole.
func (l *listing) misses(id wire.ID, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.silent == nil {
		l.silent = make(map[wire.ID]error)
	}
	l.silent[id] = why
}

// listPages returns why the listing is not whole, if it is not.
func (n *Node) listPages(ctx context.Context, id wire.ID, prefix string, l *listing) error {
	names, unread, came, began := 0, 0, 0, time.Now()
	for after := ""; ; {
		m, err := n.listPage(ctx, id, prefix, after)
		if err != nil {
			return err
		}
		ms := m.Manifests
		if !inOrder(ms, prefix, after) || m.More && len(ms) == 0 {
			n.refused.add(n.members.book().name(id), "listing that was not asked for")
			return errNotWhole
		}
		unread += int(m.Unread)
		if names += len(ms); names > maxListNames && id != n.self {
			return errNotWhole
		}
		l.add(ms)
		if !m.More && unread > 0 {
			return &unreadError{unread}
		}
		if !m.More {
			return nil
		}
		if id != n.self {
			came += len(m.Append(nil))
			if time.Since(began) > min(allListTime, maxListTime+time.Duration(came)*time.Second/listRate) {
				return errNotWhole
			}
		}
		after = ms[len(ms)-1].Name
	}
}

// inOrder reports whether ms is what was asked for: names with prefix after
// the given one, in order.
func inOrder(ms []wire.Manifest, prefix, after string) bool {
	for i, m := range ms {
		if !strings.HasPrefix(m.Name, prefix) || m.Name <= after || i > 0 && m.Name < ms[i-1].Name {
			return false
		}
	}
	return true
}

func (n *Node) listPage(ctx context.Context, id wire.ID, prefix, after string) (wire.Listed, error) {
	if id == n.self {
		m, _, err := n.disk.listed(prefix, after)
		n.disk.failed(err)
		return m, err
	}
	k, answer := n.lists.open(id)
	defer n.lists.close(k)
	if !n.post(sending{id, wire.List{Req: k.req, Prefix: prefix, After: after}}) {
		return wire.Listed{}, ErrClosed
	}
	ticker := time.NewTicker(listTime)
	defer ticker.Stop()
	for began := time.Now(); ; {
		select {
		case m, ok := <-answer:
			switch {
			case ok && m.Code != wire.CodeOK:
				return m, &refusalError{m.Code}
			case ok:
				return m, nil
			}
			return wire.Listed{}, errSilent
		case <-ticker.C:
			if time.Since(began) < maxPageTime && n.heard(ctx, id, listTime) {
				continue
			}
		case <-ctx.Done():
			if after != "" {
				return wire.Listed{}, errNotWhole
			}
		case <-n.ctx.Done():
		}
		return wire.Listed{}, errSilent
	}
}

func (l *listing) files(b *book) []FileInfo {
	files := make([]FileInfo, 0, len(l.names))
	for _, ms := range l.names {
		if info := newestInfo(b, ms); !info.Removed {
			files = append(files, *info)
		}
	}
	slices.SortFunc(files, func(a, b FileInfo) int { return strings.Compare(a.Name, b.Name) })
	return files
}

// unheard tells silence from an answer that is none, and from what this machine
// itself could not do.
func (n *Node) unheard(missing map[wire.ID]error) []Unheard {
	list := []Unheard{}
	if len(missing) == 0 {
		return list
	}
	b, unsent := n.members.book(), n.unsent()
	for _, id := range slices.Sorted(maps.Keys(missing)) {
		u := Unheard{Peer: b.name(id), Reason: reasonFor(missing[id])}
		var some *unreadError
		switch why := unsent[id]; {
		case errors.As(missing[id], &some):
			u.Files, u.Why = some.names, u.Peer+" "+some.Error()
			if id == n.self {
				u.Why = "this peer " + some.Error()
			}
		case id == n.self:
			u.Reason, u.Why = Unreadable, fmt.Sprintf("this peer cannot read its own disk: %v", inShort(missing[id]))
		case u.Reason == Silent && why != nil:
			u.Reason, u.Why = Unsent, fmt.Sprintf("%s: %v", Unsent.Says("it"), why)
		default:
			u.Why = u.Reason.Says(u.Peer)
		}
		list = append(list, u)
	}
	return list
}
