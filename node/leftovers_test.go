package node

import (
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"securepeer/internal/store"
)

// countedFS counts what is open.
type countedFS struct {
	store.FS
	open *atomic.Int64
}

type countedFile struct {
	store.File
	open *atomic.Int64
}

type countedLock struct {
	io.Closer
	open *atomic.Int64
}

func (f countedFS) count(file store.File, err error) (store.File, error) {
	if err != nil {
		return nil, err
	}
	f.open.Add(1)
	return countedFile{file, f.open}, nil
}

func (f countedFS) Open(name string) (store.File, error)   { return f.count(f.FS.Open(name)) }
func (f countedFS) Create(name string) (store.File, error) { return f.count(f.FS.Create(name)) }

func (f countedFile) Close() error {
	f.open.Add(-1)
	return f.File.Close()
}

func (f countedFS) Lock() (io.Closer, error) {
	lock, err := f.FS.Lock()
	if err != nil {
		return nil, err
	}
	f.open.Add(1)
	return countedLock{lock, f.open}, nil
}

func (l countedLock) Close() error {
	l.open.Add(-1)
	return l.Closer.Close()
}

// leftovers says what a node that has ended, and whose users have, still has:
// whatever it is, a peer that runs for a year has had enough of it.
func (n *Node) leftovers() (found []string) {
	say := func(count int, what string) {
		if count != 0 {
			found = append(found, fmt.Sprintf("%d %s", count, what))
		}
	}
	n.members.mu.Lock()
	say(len(n.members.links), "links")
	say(len(n.members.accepted), "members with accepted links")
	n.members.mu.Unlock()
	n.ops.mu.Lock()
	say(len(n.ops.open), "operations")
	n.ops.mu.Unlock()
	n.uploads.mu.Lock()
	say(len(n.uploads.open), "unfinished uploads")
	n.uploads.mu.Unlock()
	n.targets.mu.Lock()
	say(len(n.targets.open), "targets")
	n.targets.mu.Unlock()
	n.replies.mu.Lock()
	say(len(n.replies.waits), "uploads that wait for the ring")
	n.replies.mu.Unlock()
	n.lists.mu.Lock()
	say(len(n.lists.waits), "questions of listings")
	n.lists.mu.Unlock()
	n.watchers.mu.Lock()
	say(len(n.watchers.open), "watchers")
	n.watchers.mu.Unlock()
	n.pool.mu.Lock()
	for id, l := range n.pool.lanes {
		say(len(l.places), fmt.Sprintf("places for transfers to %v", id))
		say(len(l.idle), fmt.Sprintf("idle transfer links to %v", id))
	}
	n.pool.mu.Unlock()
	say(len(n.dials), "dials")
	say(len(n.addresses.places), "lookups of addresses")
	return found
}

// nothingIsLeft is what a bubble asks of each of its nodes in the end.
func (b *bubble) nothingIsLeft() {
	b.t.Helper()
	for i, n := range b.nodes {
		if found := n.leftovers(); len(found) > 0 {
			b.t.Errorf("node %v has ended and has %q", n.self, found)
		}
		if open := b.open[i].Load(); open != 0 {
			b.t.Errorf("node %v has ended and has %d files or locks open", n.self, open)
		}
		if names, err := b.disks[n.self].Mount().List("tmp"); err != nil || len(names) > 0 {
			b.t.Errorf("node %v has ended and leaves %q, %v", n.self, names, err)
		}
	}
	for _, c := range b.net.conns {
		if c.isGone() || !slices.ContainsFunc(b.nodes, func(n *Node) bool { return b.addr(int(n.self)) == c.local.String() }) {
			continue
		}
		b.t.Errorf("the connection from %v to %v was never closed", c.local, c.peer)
	}
}
