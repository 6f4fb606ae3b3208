package sim

import (
	"securepeer/ring"
	"securepeer/wire"
)

// event is one thing that will happen. The three that a quiet ring is made of
// have kinds of their own and need no closure: figures are in docs/proof.md.
type event struct {
	kind    kind
	process *process  // whose it is: it ends with it, and waits while it is paused; nil: nobody's
	from    *process  // of a datagram or segment
	link    *end      // of a segment
	due     ring.Time // of a wake: what the process asked for
	do      func()    // of a call
	ping    [wire.PingSize]byte
}

// kind of an event.
type kind uint8

const (
	call     kind = iota // do
	wake                 // the process asked for a tick
	datagram             // a ping of from arrives
	segment              // the oldest message on a link of from arrives
)

// run has the event happen.
func (w *World) run(e *event) {
	switch e.kind {
	case call:
		e.do()
	case wake:
		e.process.tick(e.due)
	case datagram:
		e.process.openPing(e.from, e.ping[:])
	case segment:
		e.from.arrive(e.link)
	}
}

// entry is the place of an event in time.
type entry struct {
	at   ring.Time
	seq  uint64 // for order at the same instant
	slot int32  // of the event
}

func (e entry) before(o entry) bool {
	return e.at < o.at || e.at == o.at && e.seq < o.seq
}

// queue is a heap of four children a node, by instant, then by order of
// entry. What moves in it is small and has no pointers; the events lie still
// beside it, in slots that are used again.
type queue struct {
	heap   []entry
	events []event
	free   []int32
	seq    uint64
}

// add makes an event at an instant and returns it, empty but for its process,
// for the caller to fill in before the next call.
func (q *queue) add(at ring.Time, p *process) *event {
	var slot int32
	if n := len(q.free); n > 0 {
		slot, q.free = q.free[n-1], q.free[:n-1]
	} else {
		slot = int32(len(q.events))
		q.events = append(q.events, event{})
	}
	q.seq++
	q.push(entry{at, q.seq, slot})
	e := &q.events[slot]
	e.process = p
	return e
}

// take moves the first event to e.
func (q *queue) take(e *event) {
	slot := q.pop().slot
	from := &q.events[slot]
	*e = *from
	// What it points to is let go; the bytes of a ping may stay.
	from.kind, from.process, from.from, from.link, from.do = call, nil, nil, nil, nil
	q.free = append(q.free, slot)
}

func (q *queue) push(e entry) {
	h := append(q.heap, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
	q.heap = h
}

func (q *queue) pop() entry {
	h := q.heap
	first, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	q.heap = h
	if len(h) == 0 {
		return first
	}
	i := 0
	for {
		down := 4*i + 1
		if down >= len(h) {
			break
		}
		for j := down + 1; j < min(down+4, len(h)); j++ {
			if h[j].before(h[down]) {
				down = j
			}
		}
		if !h[down].before(last) {
			break
		}
		h[i] = h[down]
		i = down
	}
	h[i] = last
	return first
}
