//go:build linux

package lab

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// What one slow member may cost those that have quick ones beside it: twice
// the time without it, and these.
const (
	slowRate  = 100 << 10 // bytes a second: not a block in the time that a silence may last
	sluggish  = 250 << 10 // a block each few seconds, and so for minutes
	slowGrace = 3 * time.Second
	far       = 20 * time.Millisecond // to a quick one
)

// bulk is the size of the files: what a whole run has, and what a share of it
// has time for.
func bulk() int {
	if *shareFlag != "0/1" {
		return 16 << 20
	}
	return 64 << 20
}

// slow makes the line of a machine slow, both ways. It is near: its short
// answers come before those of the others.
func (w *world) slow(p *peer, rate int64) {
	for _, other := range w.peers {
		if other != p {
			w.lab.Both(p.id, other.id, Rule{Rate: rate})
		}
	}
}

// quick makes all lines fast, and long.
func (w *world) quick() { w.lab.Set(0, 0, Rule{Delay: far}) }

// holders are who is to hold a name: its home holders.
func (w *world) holders(name string) (all []*peer) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	l, err := w.peers[0].client.Lookup(ctx, name)
	w.must(err)
	for _, h := range l.Holders {
		all = append(all, w.peers[w.index(h)])
	}
	return all
}

// nameHeldBy returns a new name that one of two peers holds, and the other does not.
func (w *world) nameHeldBy(yes, no *peer) string {
	w.Helper()
	for i := range 1000 {
		name := fmt.Sprint("bulk-", i)
		if h := w.holders(name); slices.Contains(h, yes) && !slices.Contains(h, no) && !slices.Contains(w.acked(), name) {
			return name
		}
	}
	w.Fatalf("no name is held by %s and not by %s", yes.name, no.name)
	return ""
}

// slowHolder: of the three that have a file one has a slow line, each in turn.
// Who has no copy gets it in little more than the time without that one.
func slowHolder(w *world) {
	w.begin(w.peers...)
	w.quick()
	asker := w.peers[0]
	name := w.nameHeldBy(w.peers[2], asker)
	if acked, err := asker.put(name, bulk(), time.Minute); err != nil || !acked {
		w.Fatalf("put: acked %v, %v", acked, err)
	}
	get := func() time.Duration {
		at := time.Now()
		if err := asker.get(name, 2*time.Minute); err != nil {
			w.Errorf("get: %v", err)
		}
		return time.Since(at)
	}
	quiet := get()
	w.figure("quiet", quiet)
	for i, p := range w.holders(name) {
		w.slow(p, []int64{slowRate, sluggish, 1 << 20}[i])
		w.within(fmt.Sprint("get", i), get(), 2*quiet+slowGrace)
		w.within(fmt.Sprint("again", i), get(), 2*quiet+slowGrace)
		w.quick()
	}
}
