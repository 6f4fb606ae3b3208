package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"securepeer/crypto"
	"securepeer/internal/store"
	"securepeer/keys"
	"securepeer/ring"
	"securepeer/wire"
)

// brokenFS is a disk on which nothing can be created or listed any more, if told
// so, and whose lock is let go with an error.
type brokenFS struct {
	store.FS
	broken atomic.Bool
}

type brokenLock struct{ io.Closer }

var errLock = errors.New("lock was not let go")

func (l brokenLock) Close() error { return errors.Join(l.Closer.Close(), errLock) }

func (f *brokenFS) Lock() (io.Closer, error) {
	lock, err := f.FS.Lock()
	return brokenLock{lock}, err
}

func (f *brokenFS) Create(name string) (store.File, error) {
	if f.broken.Load() {
		return nil, syscall.EMFILE
	}
	return f.FS.Create(name)
}

func (f *brokenFS) List(dir string) ([]string, error) {
	if f.broken.Load() {
		return nil, syscall.EIO
	}
	return f.FS.List(dir)
}

// loner makes a node that does not run, of a bubble's member who does not run
// either.
func (b *bubble) loner(i int, fsys store.FS, change ...func(*Config)) *Node {
	b.t.Helper()
	l, p := b.net.listen(b.addr(i))
	c := Config{Secret: b.secrets[i], Roster: b.roster, Listener: l, PacketConn: p, Dial: b.net.dialFrom(b.addr(i))}
	for _, f := range change {
		f(&c)
	}
	n, err := open(c, fsys)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// TestCloseDoesNotWaitForTheDisk: a peer whose goodbye cannot be written closes
// after stopTime without one.
func TestCloseDoesNotWaitForTheDisk(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		fsys := &brokenFS{FS: b.disks[1].Mount()}
		n := b.loner(1, fsys)
		ended := make(chan error, 1)
		go func() { ended <- n.Run(context.Background()) }()
		<-n.Ready()
		time.Sleep(5 * time.Second)
		n.disk.mu.Lock()
		n.disk.reserved = n.disk.spoken // the next is to be written first
		n.disk.mu.Unlock()
		fsys.broken.Store(true)
		began := time.Now()
		n.Close()
		if d := time.Since(began); d < stopTime || d > stopTime+2*flushTime {
			b.t.Errorf("closed after %v, want %v", d, stopTime)
		}
		if err := <-ended; !errors.Is(err, errLock) {
			b.t.Errorf("Run: %v, want that the folder was not let go", err)
		}
	})
}

// TestCloseSaysThatTheFolderIsNotLetGo: also of a node that never ran.
func TestCloseSaysThatTheFolderIsNotLetGo(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		n := b.loner(1, &brokenFS{FS: b.disks[1].Mount()})
		if err := n.Close(); !errors.Is(err, errLock) {
			b.t.Errorf("Close: %v", err)
		}
	})
}

// TestCloseWaitsForItsUsers: nothing of a node goes on when Close returns, and
// nothing begins any more.
func TestCloseWaitsForItsUsers(t *testing.T) {
	inBubble(t, 1, 1, "copies=1", func(b *bubble) {
		n := b.nodes[0]
		events := n.Watch(context.Background())
		if !n.enter() {
			b.t.Fatal("a node that runs lets nobody in")
		}
		var over atomic.Bool
		go func() {
			n.Close()
			over.Store(true)
		}()
		time.Sleep(time.Minute)
		if synctest.Wait(); over.Load() {
			b.t.Error("Close has returned while somebody works for the node")
		}
		if n.wait(time.Hour) {
			b.t.Error("an hour passes in a node that ends")
		}
		n.work.Done()
		if synctest.Wait(); !over.Load() {
			b.t.Error("Close waits for nobody")
		}
		if n.enter() {
			b.t.Error("a node that has ended lets somebody in")
		}
		for range events { // until it is closed
		}
		if _, ok := <-n.Watch(context.Background()); ok {
			b.t.Error("a node that has ended has news")
		}
	})
}

// loopOf makes the loop of a node that does not run.
func (b *bubble) loopOf(n *Node) *loop {
	b.t.Helper()
	l, err := n.newLoop()
	if err != nil {
		b.t.Fatal(err)
	}
	l.timer = time.NewTimer(time.Hour)
	return l
}

// TestLoop is what the loop does with what it takes, without the rest of the
// node.
func TestLoop(t *testing.T) {
	inBubble(t, 3, 1, "copies=1", func(b *bubble) {
		t := b.t
		n := b.loner(1, b.disks[1].Mount())
		l := b.loopOf(n)
		l.pending = []ring.Event{ring.LinkDown{Peer: 2}, ring.LinkDown{Peer: 2}, ring.LinkDown{Peer: 2}}
		l.settle()
		if len(l.pending) > 0 {
			t.Errorf("%d events wait for the next input", len(l.pending))
		}
		l.note(happened{event: ring.Pinged{From: 2, Ping: wire.Ping{Roster: wire.Digest{7}}}})
		if p := l.links.pair(2); !p.heard || p.digest != (wire.Digest{7}) {
			t.Errorf("a ping tells of roster %x, known %v", p.digest, p.heard)
		}
		l.note(happened{event: ring.RosterChanged{}})
		if _, ok := n.addresses.known[b.addr(2)]; !ok {
			t.Error("addresses of a new roster are not looked up")
		}
		// Two incarnations at once: both are reported.
		l.do(ring.Persist{Incarnation: 3}, path{})
		l.do(ring.Persist{Incarnation: 4}, path{})
		if w := n.state.take(); !slices.Equal(w.persist, []wire.Incarnation{3, 4}) {
			t.Errorf("to be written are %v", w.persist)
		}
		if w := n.state.take(); len(w.persist) > 0 || w.hasView {
			t.Error("they are to be written again")
		}
		why := errors.New("why")
		if l.do(ring.Exit{Err: why}, path{}); !l.over || l.err != why {
			t.Errorf("the ring ends it: over %v, %v", l.over, l.err)
		}
		info := n.info()
		if book := n.members.book(); info.RosterDigest != book.digest || info.Incarnation != uint64(n.disk.persisted()) || info.Incarnation <= uint64(n.disk.last) {
			t.Errorf("a handshake says %+v; the last run's incarnation was %d", info, n.disk.last)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestRestartKnowsWhatItKnew: a peer that comes back alone is above what it
// said before, and knows whom it has met.
func TestRestartKnowsWhatItKnew(t *testing.T) {
	inBubble(t, 2, 2, "copies=1", func(b *bubble) {
		t := b.t
		time.Sleep(2 * time.Minute) // the view is saved lazily
		before := status(t, b.nodes[0])
		for _, n := range b.nodes {
			n.Close()
		}
		synctest.Wait()
		b.start(0)
		n := b.nodes[2]
		<-n.Ready()
		after := status(t, n)
		if after.Incarnation <= before.Incarnation {
			t.Errorf("incarnation %d after %d", after.Incarnation, before.Incarnation)
		}
		if p := after.Peers[1]; p.State == "unseen" || p.Incarnation == 0 {
			t.Errorf("the other is %+v", p)
		}
	})
}

// TestContactIsAskedFirst: a peer that comes for the first time asks whom it
// was told to ask.
func TestContactIsAskedFirst(t *testing.T) {
	for _, contact := range []string{"n0", "n1", "n2"} {
		inBubble(t, 4, 0, "copies=1", func(b *bubble) {
			asked := make(chan string, 64)
			n := b.loner(3, b.disks[3].Mount(), func(c *Config) {
				c.Contact = contact
				c.Dial = func(_ context.Context, _, address string) (net.Conn, error) {
					asked <- address
					return nil, syscall.ECONNREFUSED
				}
			})
			go n.Run(context.Background())
			m, _ := b.roster.ByName(contact)
			if first := <-asked; first != m.Addr {
				b.t.Errorf("the first who is asked is %s, want %s", first, m.Addr)
			}
			n.Close()
		})
	}
}

// TestReloadKeepsWhoThisPeerIs: its id, its position and the space of all.
func TestReloadKeepsWhoThisPeerIs(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		n := b.nodes[0]
		for what, change := range map[string]func(*keys.Roster){
			"another id":       func(r *keys.Roster) { r.Members[0].ID = 9 },
			"another position": func(r *keys.Roster) { r.Members[0].Pos++ },
			"another space":    func(r *keys.Roster) { r.Space = wire.Space8 },
		} {
			next := *b.roster
			next.Members = slices.Clone(next.Members)
			change(&next)
			slices.SortFunc(next.Members, func(a, b keys.Member) int { return int(a.ID) - int(b.ID) })
			if err := n.Reload(&next); err == nil || n.members.book().Roster == &next {
				b.t.Errorf("a roster with %s is taken: %v", what, err)
			}
		}
	})
}

// TestListDoesNotWaitForALinkThatFell: no answer comes over it.
func TestListDoesNotWaitForALinkThatFell(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		n := b.nodes[0]
		c, _ := b.dial(1, crypto.Ring, 1)
		synctest.Wait()
		go func() {
			for {
				if msg, err := readMessage(c); err != nil || msg.Type() == wire.TypeList {
					c.Close()
					return
				}
			}
		}()
		began := time.Now()
		if _, err := n.listPage(b.t.Context(), 1, "", ""); err == nil || time.Since(began) > 0 {
			b.t.Errorf("a page: %v after %v", err, time.Since(began))
		}
		b.hung(1, func(c *crypto.Conn) { untilEnd(c) })
		began = time.Now()
		if _, err := n.listPage(b.t.Context(), 1, "", ""); err == nil || time.Since(began) != listTime {
			b.t.Errorf("a page of one that hangs: %v after %v, want %v", err, time.Since(began), listTime)
		}
	})
}

// TestLastWordsAreLogged: though nothing reads the log any more.
func TestLastWordsAreLogged(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		var text strings.Builder
		n := b.loner(1, b.disks[1].Mount(), func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&text, nil)) })
		n.log.Warn("the last word")
		n.Close()
		if !strings.Contains(text.String(), "the last word") {
			b.t.Errorf("the log is %q", text.String())
		}
	})
}

// TestLongListingOverASlowLineIsWhole: pages that come one after the other are waited
// for, though all of them take longer than maxListTime. (Before: 30 s for any number
// of names.)
func TestLongListingOverASlowLineIsWhole(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		n, page := b.nodes[0], 0
		const pages, each = 50, wire.MaxListed
		b.hung(2, func(c *crypto.Conn) {
			for {
				msg, err := readMessage(c)
				if err != nil {
					return
				}
				ask, ok := msg.(wire.List)
				if !ok {
					continue
				}
				var ms []wire.Manifest
				for i := range each {
					ms = append(ms, claim(b.secrets[2], wire.Manifest{Name: fmt.Sprintf("a/%03d/%03d", page, i), Version: 1, Writer: 2, Signer: 2, Size: 1, Blocks: wire.Sum{1}}))
				}
				page++
				time.Sleep(time.Second)
				tell(c, wire.Listed{Req: ask.Req, More: page < pages, Manifests: ms})
			}
		})
		l := &listing{names: make(map[string][]wire.Manifest)}
		began := time.Now()
		n.listFrom(b.t.Context(), 2, "", l)
		if d := time.Since(began); len(l.silent) > 0 || len(l.names) != pages*each || d < maxListTime {
			b.t.Errorf("%d names after %v, missing: %v", len(l.names), d, l.silent)
		}
	})
}
