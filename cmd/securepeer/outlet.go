package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// Implementation constants.
const (
	// outletQueue is how many writes wait for a reader that stalls; each is a
	// line, or a few of at most 4 KiB together. Beyond that they are lost.
	outletQueue = 1024
	// drainWait is how long the program stays at its end for a reader that
	// stalls.
	drainWait = time.Second
)

// outlet is a writer that never waits and never fails, for a process that is
// there for others than those who read its words: a pipe whose reader has gone
// or stalls, a terminal that is stopped, a full disk under a log. A chunk
// that can't be written is lost, and a line in its place says so.
type outlet struct {
	chunks chan []byte // outletQueue places
	lost   atomic.Int64
	close  chan struct{}
	done   chan struct{} // closed when all that waited has been written
}

func newOutlet(w io.Writer) *outlet {
	o := &outlet{chunks: make(chan []byte, outletQueue), close: make(chan struct{}), done: make(chan struct{})}
	go o.pump(w) // ends with end, which waits for it; a stalled reader holds it until the process ends
	return o
}

// Write takes b, which stays the caller's, and always reports success.
func (o *outlet) Write(b []byte) (int, error) {
	select {
	case o.chunks <- bytes.Clone(b):
	default:
		o.lost.Add(1)
	}
	return len(b), nil
}

// pump writes what waits until end, and then what still does. A write that
// fails has nobody to tell, and the next one may succeed.
func (o *outlet) pump(w io.Writer) {
	defer close(o.done)
	for {
		select {
		case b := <-o.chunks:
			w.Write(b)
		case <-o.close:
			for {
				select {
				case b := <-o.chunks:
					w.Write(b)
				default:
					o.tellLost(w)
					return
				}
			}
		}
		o.tellLost(w)
	}
}

// tellLost says how many chunks were lost since it was called last.
func (o *outlet) tellLost(w io.Writer) {
	if n := o.lost.Swap(0); n > 0 {
		fmt.Fprintf(w, "securepeer: %s could not be written here: nobody read them\n", count(int(n), "line"))
	}
}

// end has what waits written, for as long as ctx gives it.
func (o *outlet) end(ctx context.Context) {
	close(o.close)
	select {
	case <-o.done:
	case <-ctx.Done():
	}
}

// neverWait has the console write to outlets until drain.
func (c *console) neverWait() {
	out, err := newOutlet(c.stdout), newOutlet(c.err)
	c.out, c.err = bufio.NewWriter(out), err
	c.outlets = []*outlet{out, err}
}

// drain hands on what the console's outlets still have. Nobody writes to the
// console any more.
func (c *console) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainWait)
	defer cancel()
	for _, o := range c.outlets {
		o.end(ctx)
	}
}
