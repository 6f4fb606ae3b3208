package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"securepeer/crypto"
	"securepeer/wire"
)

// Implementation constants.
const (
	// maxTransfers is how many transfer links this peer dials to one member.
	maxTransfers = 4
	// transferIdle is how long one that is not used stays open.
	transferIdle = 30 * time.Second
)

// pool keeps the transfer links that this peer has dialled. Each carries one
// request at a time; between two it is watched, so that one that the other
// side closed is never used for the next.
type pool struct {
	node *Node

	mu    sync.Mutex
	lanes map[wire.ID]*lane
}

type lane struct {
	places chan struct{} // maxTransfers: one for each link in use
	idle   []*transfer   // the one used last is at the end
}

// transfer is one transfer link. Whoever has it from take gives it back, or
// drops it.
type transfer struct {
	*crypto.Conn
	peer wire.ID
	rest chan error // what the watcher of the idle link found; it ends with this
}

func (p *pool) lane(id wire.ID) *lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lanes[id]
	if l == nil {
		l = &lane{places: make(chan struct{}, maxTransfers)}
		p.lanes[id] = l
	}
	return l
}

// take returns a transfer link with that member, at once if one is idle. If
// all are in use it waits.
func (p *pool) take(ctx context.Context, id wire.ID) (*transfer, error) {
	member, ok := p.node.members.book().ByID(id)
	if !ok {
		return nil, errDropped
	}
	l := p.lane(id)
	select {
	case l.places <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a link with %s: %w", member.Name, ctx.Err())
	}
	for t := p.wake(l); t != nil; t = p.wake(l) {
		if t.awake() {
			return t, nil
		}
		p.close(t)
	}
	conn, err := p.node.dial(ctx, member, crypto.Transfer)
	if err != nil {
		<-l.places
		return nil, err
	}
	return &transfer{Conn: conn, peer: id}, nil
}

// wake takes the link that was used last out of the idle ones.
func (p *pool) wake(l *lane) *transfer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(l.idle) == 0 {
		return nil
	}
	t := l.idle[len(l.idle)-1]
	l.idle = l.idle[:len(l.idle)-1]
	return t
}

// awake stops the watcher and reports whether the link is fit for use.
func (t *transfer) awake() bool {
	t.SetReadDeadline(time.Unix(1, 0)) // an error comes back from the read
	err := <-t.rest
	t.SetReadDeadline(time.Time{})
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// give puts a link back whose request is answered.
func (p *pool) give(t *transfer) {
	l := p.lane(t.peer)
	t.SetDeadline(time.Time{})
	if !p.node.enter() {
		p.drop(t)
		return
	}
	t.rest = make(chan error, 1) // one place: the watcher never waits
	t.SetReadDeadline(time.Now().Add(transferIdle))
	p.mu.Lock()
	l.idle = append(l.idle, t)
	p.mu.Unlock()
	<-l.places
	// Ends at transferIdle, when the link is used again, or when it is closed,
	// as the end of the node does, which waits for it.
	go func() {
		defer p.node.work.Done()
		p.watch(l, t)
	}()
}

// watch reads an idle link, on which nothing may come, until it is used again
// or to be closed.
func (p *pool) watch(l *lane, t *transfer) {
	_, _, err := t.ReadRecord()
	if err == nil {
		err = errors.New("record on an idle link")
	}
	t.rest <- err
	p.mu.Lock()
	i := slices.Index(l.idle, t)
	if i >= 0 {
		l.idle = slices.Delete(l.idle, i, i+1)
	}
	p.mu.Unlock()
	if i >= 0 {
		// Not to be used any more. The other side reads an end and not a cut.
		t.SetWriteDeadline(time.Now().Add(time.Second))
		t.CloseWrite()
		p.close(t)
	}
}

// left ends the idle links with a member that may not be where they go any
// more: an answer to what is sent over one of them would be waited for in vain.
func (p *pool) left(id wire.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lanes[id]
	if l == nil {
		return
	}
	for _, t := range l.idle {
		p.close(t)
	}
	l.idle = nil
}

// drop ends a link whose request was not answered to the end.
func (p *pool) drop(t *transfer) {
	l := p.lane(t.peer)
	p.close(t)
	<-l.places
}

func (p *pool) close(t *transfer) {
	t.Conn.Close() // whatever was to be said on it was said before
	p.node.members.forget(t.Conn)
}

// readMessage reads the next record of a transfer link, which must be a
// message; an end of the link is never what was waited for.
func (n *Node) readMessage(c *crypto.Conn) (wire.Message, error) {
	typ, body, err := c.ReadRecord()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return n.parse(c, typ, body)
}

// parse is wire.Parse, and counts what a member sends that does not parse.
func (n *Node) parse(c *crypto.Conn, typ byte, body []byte) (wire.Message, error) {
	msg, err := wire.Parse(wire.Type(typ), body)
	if err != nil {
		if member, ok := n.members.book().member(c.Peer().Noise); ok {
			n.refused.add(member.Name, malformed)
		}
	}
	return msg, err
}

// writeMessage sends one message, within writeLimit.
func writeMessage(c *crypto.Conn, m wire.Message) error {
	body := m.Append(nil)
	c.SetWriteDeadline(writeLimit(len(body))) // an error comes back from the write
	return c.WriteRecord(byte(m.Type()), body)
}
