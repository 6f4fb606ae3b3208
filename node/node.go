package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"securepeer/crypto"
	"securepeer/internal/store"
	"securepeer/keys"
	"securepeer/ring"
	"securepeer/wire"
)

// Config is what a peer is made from. Secret, Roster and Dir must be set.
type Config struct {
	// Secret is the peer's own key; the member of the roster that has its
	// public half is who this peer is.
	Secret *keys.Secret
	// Roster says who may speak. It must not be changed afterwards.
	Roster *keys.Roster
	// Dir is the peer's folder; its files are in Dir/store.
	Dir string
	// MountedAnew says that Dir's file system was mounted anew since a sync of
	// it failed: else the disk is stuck until this machine is started again.
	MountedAnew bool

	// Listen is the HOST:PORT of TCP and UDP; "": that of the roster, of which
	// a literal address is listened at, and for a name all addresses of this
	// machine.
	Listen string
	// NotYet is asked while this machine does not have that address, or can't
	// resolve the name in Listen: true: try again. nil: New returns the error.
	NotYet func(err error) bool
	// Contact is the member to ask first when coming into the ring; "": any.
	Contact string
	// Interval is the time between two pings; 0: the roster's.
	Interval time.Duration
	// Shortcuts lets a walk skip to the second successor; see the roster's
	// route=walk.
	Shortcuts bool

	// Listener, PacketConn, Dial and Resolve replace the network and its name
	// server; nil: those of the operating system. The node closes the first
	// two. Dial is never given a name; to connect "udp" sends nothing.
	Listener   net.Listener
	PacketConn net.PacketConn
	Dial       func(ctx context.Context, network, address string) (net.Conn, error)
	Resolve    func(ctx context.Context, host string) ([]netip.Addr, error)

	// Logger hears of what an operator should know; nil: nobody does.
	Logger *slog.Logger
}

// inputQueue is how many events wait for the loop, pings not among them. It is
// short: a member that fills it with the largest messages, of which each keeps
// the loop some 100 microseconds, keeps those of others waiting for a few
// milliseconds only. Links hold what comes meanwhile.
const inputQueue = 64

// Node is one peer. Make one with [New], run it with [Node.Run]. All methods
// may be called from several goroutines.
type Node struct {
	config Config
	self   wire.ID
	began  time.Time
	log    *slog.Logger // goes through lines
	lines  queued

	disk    *disk
	members *members
	verify  *verifier
	refused *refusals
	unread  atomic.Pointer[error] // of the last look of this peer at its own disk
	short   *shortage
	network
	desk

	reloading chan struct{} // one place: who has it makes a roster law

	inputs chan input    // inputQueue places
	pinged chan happened // pingQueue places: no ping waits behind messages
	ready  chan struct{} // closed when the peer is in the ring
	life   life

	// ctx ends when the loop has: then everything else does. work counts
	// every goroutine that the node has started.
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// network is what a node needs to reach others and be reached.
type network struct {
	crypto    *crypto.Config
	listener  *crypto.Listener
	datagrams datagrams
	pings     *crypto.PingTable
	outgoing  chan ping // pingQueue places
	addresses *addresses
	pool      *pool
	rates     *rates
	dials     chan struct{} // maxDials places: dials of ring links under way
	moved     moved
}

// desk is what waits in a node: for the ring, the disk, or another peer.
type desk struct {
	jobs     *jobs
	state    *state
	ops      *operations
	uploads  *uploads
	targets  *targets
	replies  *replies
	lists    *lists
	offered  *offers
	claims   *claims
	watchers *watchers
}

// life is how far the node has come.
type life struct {
	stop chan struct{} // closed to ask Run to stop
	done chan struct{} // closed when all has ended

	mu      sync.Mutex
	running bool // Run was called, or Close before it
	stopped bool // stop is closed
	over    bool // nothing may begin any more
}

// moved counts bytes of files that went over links.
type moved struct{ in, out atomic.Uint64 }

var errRunsOnce = errors.New("a node runs once")

// New opens the data folder and the sockets, and starts nothing: the peer
// comes alive with Run. If Run is not called, Close lets all go. An error
// names the folder or address at fault.
func New(c Config) (*Node, error) {
	return open(c, store.Dir(filepath.Join(c.Dir, "store")))
}

// open is New on any disk.
func open(c Config, fsys store.FS) (*Node, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Resolve == nil {
		c.Resolve = systemResolve
	}
	b, err := newBook(c.Roster, c.Secret.Public())
	if err != nil {
		return nil, err
	}
	if _, ok := b.ByName(c.Contact); c.Contact != "" && !ok {
		return nil, &PeerError{Peer: c.Contact, Err: ErrNoSuchMember}
	}
	n := newNode(c, b)
	if err := n.openStore(fsys); err != nil {
		return nil, err
	}
	if err := n.openSockets(); err != nil {
		n.disk.Close() // nothing was written
		return nil, err
	}
	return n, nil
}

func newNode(c Config, b *book) *Node {
	n := &Node{config: c, self: b.self.ID, began: time.Now(), lines: newQueued(c.Logger.Handler())}
	n.log = slog.New(n.lines)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.reloading = make(chan struct{}, 1)
	n.inputs = make(chan input, inputQueue)
	n.pinged = make(chan happened, pingQueue)
	n.ready = make(chan struct{})
	n.life.stop, n.life.done = make(chan struct{}), make(chan struct{})

	n.pings = crypto.NewPingTable()
	n.outgoing = make(chan ping, pingQueue)
	n.addresses = newAddresses(n.ctx, &n.work, c.Resolve)
	n.pool = &pool{node: n, lanes: make(map[wire.ID]*lane)}
	n.rates = newRates()
	n.short = &shortage{}
	n.dials = make(chan struct{}, maxDials)

	n.members = newMembers(b, n.pings)
	n.verify = newVerifier()
	n.refused = newRefusals(n.log)
	n.desk = desk{
		jobs:     newJobs(n.self, func(id wire.ID) { n.refused.add(n.members.book().name(id), tooMuchAsked) }),
		state:    &state{wake: make(chan struct{}, 1)},
		ops:      &operations{open: make(map[ring.Op]*operation)},
		uploads:  newUploads(),
		targets:  &targets{open: make(map[*target]struct{})},
		replies:  &replies{waits: make(map[uint64]chan ring.PutReply)},
		lists:    &lists{last: mrand.Uint32(), waits: make(map[listKey]chan wire.Listed)},
		offered:  &offers{known: make(map[offerKey]struct{})},
		claims:   newClaims(),
		watchers: &watchers{open: make(map[*watcher]struct{})},
	}
	n.crypto = &crypto.Config{
		Secret:  c.Secret,
		Ring:    b.Ring,
		Info:    n.info,
		Lookup:  n.members.lookup,
		Pings:   n.pings,
		Publish: n.publish,
		Known:   n.addresses.has,
		Refused: n.turnedAway,
	}
	return n
}

func (n *Node) openStore(fsys store.FS) error {
	openFolder := store.Open
	if n.config.MountedAnew {
		openFolder = store.OpenAnew
	}
	s, err := openFolder(fsys, rand.Reader)
	if err != nil {
		return fmt.Errorf("opening %s: %w", n.config.Dir, err)
	}
	if n.disk, err = openDisk(s, n.log, n.members.believes); err != nil {
		s.Close() // nothing was written
		return fmt.Errorf("opening %s: %w", n.config.Dir, err)
	}
	n.disk.short = n.short
	return nil
}

// info is what this peer says of itself in a handshake.
func (n *Node) info() crypto.Info {
	b := n.members.book()
	return crypto.Info{Incarnation: uint64(n.disk.persisted()), RosterSerial: b.Serial, RosterDigest: b.digest}
}

// publish is for crypto: it takes a link up whose peer is proved.
func (n *Node) publish(c *crypto.Conn) error {
	surplus, flood, err := n.members.publish(c)
	if surplus != nil {
		surplus.Close() // its reader ends with this
	}
	if flood {
		n.refused.add(n.members.book().name(n.members.book().byNoise[c.Peer().Noise]), "more links than are kept")
	}
	return err
}

// interval is the time between two pings.
func (n *Node) interval() time.Duration { return n.members.book().interval(&n.config) }

// Addr is the TCP address that the peer listens on.
func (n *Node) Addr() net.Addr { return n.listener.Addr() }

// Ready is closed when the peer is in the ring.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Done is closed when the peer has ended and all its goroutines have.
func (n *Node) Done() <-chan struct{} { return n.life.done }

// Run runs the peer until ctx ends or Close is called, until a Leave is done,
// or until it cannot go on; only the last is an error. It returns when all
// goroutines have ended. It is called once.
func (n *Node) Run(ctx context.Context) error {
	n.life.mu.Lock()
	if n.life.running || n.life.stopped {
		n.life.mu.Unlock()
		return errRunsOnce
	}
	n.life.running = true
	n.life.mu.Unlock()
	defer close(n.life.done)
	defer context.AfterFunc(ctx, n.stop)()

	l, err := n.newLoop()
	if err == nil {
		// Each of these ends when its socket closes or n.ctx ends, and release
		// waits for them.
		n.addresses.load(n.disk.savedAddresses(), n.members.book())
		n.addresses.learn(n.members.book())
		n.work.Go(n.accept)
		for _, s := range n.datagrams.list() {
			n.work.Go(func() { n.readPings(s) })
		}
		n.work.Go(n.writePings)
		n.work.Go(func() { n.lines.write(n.ctx) })
		n.work.Go(n.writeState)
		n.work.Go(n.watchDisk)
		n.work.Go(n.settleDisk)
		n.work.Go(n.countDisk)
		if n.config.Listener == nil {
			n.work.Go(n.watchAddresses)
		}
		for range jobWorkers {
			n.work.Go(n.workJobs)
		}
		err = l.run()
	}
	return errors.Join(err, n.release())
}

// stop asks the loop to end.
func (n *Node) stop() {
	n.life.mu.Lock()
	defer n.life.mu.Unlock()
	if !n.life.stopped {
		n.life.stopped = true
		close(n.life.stop)
	}
}

// Close says goodbye to the ring, ends the peer and waits until everything of
// it has ended. The data stays. It may be called at any time and again.
func (n *Node) Close() error {
	n.stop()
	n.life.mu.Lock()
	running := n.life.running
	if !running {
		n.life.running = true // whoever closes a second time waits for this one
	}
	n.life.mu.Unlock()
	if !running {
		defer close(n.life.done)
		return n.release()
	}
	<-n.life.done
	return nil
}

// release ends everything but the loop, which has ended or never began, and
// waits for it.
func (n *Node) release() error {
	n.life.mu.Lock()
	n.life.over = true
	n.life.mu.Unlock()
	n.cancel()
	n.listener.Close() // its error is that of a socket nobody uses any more
	n.datagrams.close()
	n.members.close()
	n.uploads.close()
	n.watchers.close()
	n.work.Wait()
	if text, news := n.addresses.save(); news {
		n.disk.saveAddresses(text)
	}
	n.lines.write(n.ctx) // what was said last
	return n.disk.Close()
}

// enter counts work that a user's goroutine does for the node: Close waits
// until n.work.Done is called for it. It reports false if the node has ended.
func (n *Node) enter() bool {
	n.life.mu.Lock()
	defer n.life.mu.Unlock()
	if !n.life.over {
		n.work.Add(1)
	}
	return !n.life.over
}

// wait lets d pass; it reports false if the node ends meanwhile.
func (n *Node) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-n.ctx.Done():
		return false
	}
}

// settleDisk has what earlier runs left count as copies. It ends when that is
// so, when it never will be in this run, or with the node.
func (n *Node) settleDisk() {
	for {
		err := n.disk.Settle()
		switch {
		case err == nil:
			return
		case errors.Is(err, store.ErrStuck):
			n.disk.failed(err)
			n.log.Error("disk takes no writes", "error", err)
			return
		}
		n.disk.failed(err)
		n.log.Warn("disk is not settled, trying again", "error", err)
		if !n.wait(persistAgain) {
			return
		}
	}
}

// countDisk has the disk know what it holds, and the names of that for listings,
// and again when it no longer does. It ends with the node.
func (n *Node) countDisk() {
	for {
		if err := n.disk.index.build(n.disk); err != nil && n.ctx.Err() == nil {
			n.disk.failed(err)
			n.log.Warn("names are not known, trying again", "error", err)
		}
		if err := n.disk.Count(n.ctx); err != nil && n.ctx.Err() == nil {
			n.disk.failed(err)
			n.log.Warn("versions are not counted, trying again", "error", err)
		}
		if !n.wait(measureEach) {
			return
		}
	}
}

// watchDisk tells the ring of the disk's health. It ends when the node does.
func (n *Node) watchDisk() {
	ticker := time.NewTicker(measureEach)
	defer ticker.Stop()
	for {
		select {
		case <-n.disk.changed:
			if n.disk.health() == wire.Full {
				n.uploads.makeRoom(time.Now()) // whatever free space there seems to be: it may be a quota
			}
			n.post(happened{event: ring.DiskChanged{State: n.disk.health()}})
		case <-ticker.C:
			n.makeRoom()
			n.disk.measure()
			n.disk.retry()
		case <-n.ctx.Done():
			return
		}
	}
}

// makeRoom has uploads that bring nothing make room before this peer counts as
// full, and while it does.
func (n *Node) makeRoom() {
	for {
		usage, err := n.disk.Usage()
		if err != nil || usage.Free >= wellAbove || usage.Free >= fullBelow && n.disk.health() != wire.Full || !n.uploads.makeRoom(time.Now()) {
			return
		}
	}
}

// Reload makes another roster the law, at once: links and sessions of members
// whose key, id or position changed, or who are gone, end. It is refused if it
// is of another ring, or if this peer is not what it was in it. Of several at once
// one comes after the other, to the links and to the ring in the same order.
func (n *Node) Reload(r *keys.Roster) error {
	return n.ReloadFrom(func() (*keys.Roster, error) { return r, nil })
}

// ReloadFrom is Reload of what read returns, or its error. It is called when all
// reloads that began before have ended: so the roster that was read last is law.
func (n *Node) ReloadFrom(read func() (*keys.Roster, error)) error {
	select {
	case n.reloading <- struct{}{}:
		defer func() { <-n.reloading }()
	case <-n.ctx.Done():
	}
	if n.ctx.Err() != nil { // with both ready, select takes either
		return ErrClosed
	}
	r, err := read()
	if err != nil {
		return err
	}
	return n.reload(r)
}

// reload is for whoever has the one place of reloading: between the links and the
// ring no other roster comes.
func (n *Node) reload(r *keys.Roster) error {
	b := n.members.book()
	next, err := newBook(r, n.config.Secret.Public())
	if err != nil {
		return err
	}
	switch {
	case next.Ring != b.Ring:
		return fmt.Errorf("roster is of ring %q, this peer is in %q", next.Ring, b.Ring)
	case next.Space != b.Space:
		return fmt.Errorf("roster has space=%d, this peer runs with space=%d: start it again", next.Space, b.Space)
	case next.self.ID != n.self || next.self.Pos != b.self.Pos:
		return fmt.Errorf("roster gives this peer another id or position: start it again")
	}
	n.members.replace(next)
	if !n.post(happened{event: ring.RosterChanged{Roster: next.ringRoster(&n.config)}}) {
		return ErrClosed
	}
	return nil
}
