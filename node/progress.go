package node

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"securepeer/ring"
	"securepeer/wire"
)

// Progress is how far a put, a remove or a get is, and which members it waits
// for. Its zero value is ready for one; any goroutine may ask it.
type Progress struct {
	mu      sync.Mutex
	node    *Node    // nil: it has not begun
	op      ring.Op  // what the ring does for it, or did last
	put     *upload  // nil: no bytes go
	fetches []*fetch // of a get, in the order in which they began
}

// ProgressState is how far an operation is at one moment.
type ProgressState struct {
	Taken   int64    `json:"taken"`   // of a put: bytes that each member has which still takes any
	Waiting []string `json:"waiting"` // members that it waits for; none: for this machine, or its user
}

// begins notes what the ring does now for the operation.
func (p *Progress) begins(n *Node, op ring.Op) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.node, p.op = n, op
}

// puts notes the bytes of a put.
func (p *Progress) puts(u *upload) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.put = u
}

// gets notes bytes that a get asks for.
func (p *Progress) gets(f *fetch) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetches = append(p.fetches, f)
}

// Now returns how far the operation is. Not ok: it has not begun, or ctx or the
// node has ended.
func (p *Progress) Now(ctx context.Context) (s ProgressState, ok bool) {
	p.mu.Lock()
	n, op, put, fetches := p.node, p.op, p.put, slices.Clone(p.fetches)
	p.mu.Unlock()
	if n == nil {
		return s, false
	}
	var ids []wire.ID
	ended := true
	if put != nil {
		s.Taken, ids, ended = put.last()
	}
	for _, f := range fetches {
		ids = append(ids, f.asks.now()...)
	}
	if len(ids) == 0 && ended {
		if ids, ok = n.awaits(ctx, op); !ok {
			return s, false
		}
	}
	slices.Sort(ids)
	s.Waiting = n.members.book().names(slices.Compact(ids))
	return s, true
}

// last returns how many bytes each target has that still takes any, and which
// of them have the least, unless that is all that there is to have: then the put
// waits for its user. Ended: none takes any.
func (u *upload) last() (taken int64, ids []wire.ID, ended bool) {
	read, sealed := u.read.Load(), u.sealed.Load()
	taken = math.MaxInt64
	for _, t := range u.targets {
		has := t.taken.Load()
		if t.ended.Load() || has > taken {
			continue
		}
		if has < taken {
			taken, ids = has, nil
		}
		ids = append(ids, t.peer)
	}
	switch {
	case len(ids) == 0: // the ring makes up for those that failed
		return read, nil, true
	case taken >= read && !sealed:
		ids = nil
	}
	return taken, ids, false
}

// awaited are the holders that a fetch waits for. One goroutine sets them, any may
// ask.
type awaited struct{ ids atomic.Pointer[[]wire.ID] }

// set says that the fetch waits for these streams; nil ones do not count.
func (a *awaited) set(streams ...*stream) {
	var ids []wire.ID
	for _, s := range streams {
		if s != nil {
			ids = append(ids, s.holder.peer)
		}
	}
	a.ids.Store(&ids)
}

func (a *awaited) now() []wire.ID {
	if ids := a.ids.Load(); ids != nil {
		return *ids
	}
	return nil
}

// awaits asks the loop which members an operation of the ring waits for. Not
// ok: ctx or the node has ended.
func (n *Node) awaits(ctx context.Context, op ring.Op) ([]wire.ID, bool) {
	ask := awaiting{op, make(chan []wire.ID, 1)} // one place: the loop never waits
	select {
	case n.inputs <- ask:
	case <-ctx.Done():
		return nil, false
	case <-n.ctx.Done():
		return nil, false
	}
	select {
	case ids := <-ask.answer:
		return ids, true
	case <-ctx.Done():
		return nil, false
	case <-n.ctx.Done():
		return nil, false
	}
}
