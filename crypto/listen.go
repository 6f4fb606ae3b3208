package crypto

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"securepeer/keys"
)

// handshakeTime is how long the first frame may take from the moment a connection
// is there, and memberTime the rest of the handshake once that frame is a
// member's: over a line that is full each frame waits behind all that is queued.
// Each is one absolute deadline, so that a byte now and then gains nothing. The
// context of a dial bounds it, and memberTime at most.
const (
	handshakeTime = 5 * time.Second
	memberTime    = 15 * time.Second
)

// Accept errors (no more file descriptors, mostly) are waited out.
const (
	minAcceptDelay = 5 * time.Millisecond
	maxAcceptDelay = time.Second
)

var (
	// ErrSilent is the dialler's error when the other side closes without an
	// answer, which is how every refusal looks: it does not list our key, or
	// has another ring name, another key of its own than the one we dialled,
	// or another version; or nothing of ours listens there.
	ErrSilent = errors.New("closed without an answer")

	errReplay = errors.New("first frame was seen before")
	errHello  = errors.New("first record is not a Hello")
	errBusy   = errors.New("too many unproved connections")
)

// StrangerError is why a connection is refused whose first frame is of a key that
// the roster does not have. The frame proves the key, but for a recording.
type StrangerError struct{ Noise [32]byte }

// Error says nothing of the key.
func (e *StrangerError) Error() string { return "key is not in the roster" }

// Config is what both sides of a link need. All but Known and Refused must be
// set; it is not changed after its first use. The functions are called from
// several goroutines.
type Config struct {
	// Secret is this peer's own.
	Secret *keys.Secret
	// Ring is the ring's name, part of what both sides must agree on.
	Ring string
	// Info gives incarnation, roster serial and roster digest of now. Ping
	// index and caps are filled in.
	Info func() Info
	// Lookup finds the member with that noise key in the roster of now.
	Lookup func(noise [32]byte) (keys.Public, bool)
	// Pings takes the ping sessions of ring links up.
	Pings *PingTable
	// Publish is called once for each link, by Dial and by a Listener, when
	// the peer is proved and before anybody has the link. The caller asks its
	// roster again under the lock under which it publishes links; an error
	// ends the link and its ping session.
	Publish func(*Conn) error

	// Known reports whether a roster line has this address; such sources have
	// a reserved share of the half-open connections. nil: none is known.
	Known func(netip.Addr) bool
	// Refused hears of every connection that came to nothing and why; it is
	// for counting and must not block. nil: nobody hears.
	Refused func(source net.Addr, reason error)
}

// Dial makes a link of that kind to peer over raw, a connection that is
// already open. It takes 5 s at most, less if ctx ends before. On an error raw
// is closed; the error is [ErrSilent] if the other side said nothing.
func Dial(ctx context.Context, raw net.Conn, config *Config, peer keys.Public, kind Kind) (*Conn, error) {
	c, err := config.dial(ctx, raw, peer, kind)
	if err == nil {
		err = config.publish(c)
	}
	if err != nil {
		raw.Close() // nothing more to say on it
		return nil, fmt.Errorf("opening link: %w", err)
	}
	return c, nil
}

// dial runs the dialler's side, within its time, up to Hello.
func (config *Config) dial(ctx context.Context, raw net.Conn, peer keys.Public, kind Kind) (*Conn, error) {
	me, err := config.info(kind == Ring)
	if err != nil {
		return nil, err
	}
	stop := bound(ctx, raw)
	c, err := config.initiate(me, raw, peer, kind)
	if !stop() {
		err = ctx.Err()
	}
	if err == nil {
		err = raw.SetDeadline(time.Time{})
	}
	if err != nil {
		config.Pings.release(me.PingIndex)
	}
	return c, err
}

// bound gives raw the handshake's deadline and lets the end of ctx cut it
// short. stop reports whether ctx was still alive.
func bound(ctx context.Context, raw net.Conn) (stop func() bool) {
	deadline := time.Now().Add(memberTime)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	// An error here comes back from the first read or write.
	raw.SetDeadline(deadline)
	return context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
}

// initiate writes frame 1, reads frame 2 and sends Hello.
func (config *Config) initiate(me Info, raw net.Conn, peer keys.Public, kind Kind) (*Conn, error) {
	initiator, frame, err := NewInitiator(config.Secret, peer, config.Ring, me, rand.Reader)
	if err != nil {
		return nil, err
	}
	if _, err := raw.Write(frame); err != nil {
		return nil, silence(err, 0)
	}
	var answer [Frame2Size]byte
	if n, err := io.ReadFull(raw, answer[:]); err != nil {
		return nil, silence(err, n)
	}
	session, err := initiator.Finish(answer[:])
	if err != nil {
		return nil, err
	}
	if (session.ping != nil) != (kind == Ring) {
		return nil, errHello
	}
	c := newConn(raw, session)
	c.peer = peer
	c.setKind(kind)
	return c, c.out.record(typeHello, []byte{byte(kind)})
}

// silence words an error of the connection below after n bytes of an answer.
func silence(err error, n int) error {
	closed := err == io.EOF || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if closed && n == 0 {
		return ErrSilent
	}
	return err
}

// info is what we say of ourselves; with a ping index if the link brings a
// ping session. The index is to be released if the handshake fails.
func (config *Config) info(ping bool) (me Info, err error) {
	me = config.Info()
	me.Caps = Caps()
	me.PingIndex = 0
	if ping {
		me.PingIndex, err = config.Pings.reserve(rand.Reader)
	}
	return me, err
}

// publish hands a link out whose peer is proved. The ping session is there
// before Publish asks the roster: a revocation before Publish makes it fail,
// and one after it finds the session to drop.
func (config *Config) publish(c *Conn) error {
	if c.session.ping != nil {
		config.Pings.add(c.session, time.Now())
	}
	err := config.Publish(c)
	if err != nil && c.session.ping != nil {
		config.Pings.remove(c.session)
	}
	return err
}

// Listener accepts links. Whoever does not complete a handshake as a member
// gets no byte back (a recorded first frame, after a restart, gets one frame
// 2) and is closed at once, by one path.
type Listener struct {
	inner  net.Listener
	config *Config
	doors  *doors
	memory *memory

	// links has no place: a link waits until Accept takes it. It is proved
	// and published, so what it costs is bounded by Publish.
	links   chan *Conn
	done    chan struct{}
	closing sync.Once
	// running counts the accept loop and the handshakes; Close waits for it.
	running sync.WaitGroup
}

// Listen accepts links on inner until Close, which closes inner too.
func Listen(inner net.Listener, config *Config) *Listener {
	l := &Listener{
		inner:  inner,
		config: config,
		doors:  newDoors(),
		memory: newMemory(),
		links:  make(chan *Conn),
		done:   make(chan struct{}),
	}
	l.running.Go(l.loop)
	return l
}

// Accept returns the next link, proved by its Hello and published. After
// Close it returns net.ErrClosed.
func (l *Listener) Accept() (*Conn, error) {
	select {
	case c := <-l.links:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Addr is the address of the listener below.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Close stops listening, cuts every handshake under way and waits for them.
// Links that Accept returned stay open.
func (l *Listener) Close() error {
	var err error
	l.closing.Do(func() {
		close(l.done)
		err = l.inner.Close()
		l.doors.shut()
	})
	l.running.Wait()
	return err
}

// loop accepts raw connections. It ends when inner is closed.
func (l *Listener) loop() {
	delay := minAcceptDelay
	for {
		raw, err := l.inner.Accept()
		switch {
		case err == nil:
			delay = minAcceptDelay
			l.admit(raw)
		case errors.Is(err, net.ErrClosed) || l.wait(delay):
			return
		default:
			delay = min(2*delay, maxAcceptDelay)
		}
	}
}

// wait lets d pass; it reports whether the listener was closed meanwhile.
func (l *Listener) wait(d time.Duration) (closed bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-l.done:
		return true
	}
}

// admit begins the handshake of raw, if there is a place for it.
func (l *Listener) admit(raw net.Conn) {
	source := sourceOf(raw.RemoteAddr())
	known := l.config.Known != nil && l.config.Known(source)
	if !l.doors.enter(raw, prefixOf(source), known) {
		l.refuse(raw, errBusy)
		return
	}
	l.running.Go(func() {
		c, err := l.handshake(raw)
		// From here on a Close of the listener does not cut the link.
		if !l.doors.leave(raw) {
			err = errBusy // it was cut for somebody else
		}
		if err != nil {
			l.refuse(raw, err)
			return
		}
		select {
		case l.links <- c:
		case <-l.done:
			c.Close()
		}
	})
}

// refuse is the one way out for whoever is turned away: no byte, close.
func (l *Listener) refuse(raw net.Conn, reason error) {
	raw.Close() // the answer to a stranger is this and nothing else
	if l.config.Refused != nil {
		l.config.Refused(raw.RemoteAddr(), reason)
	}
}

// handshake runs the responder's side up to key confirmation.
func (l *Listener) handshake(raw net.Conn) (*Conn, error) {
	if err := raw.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return nil, err
	}
	var frame [Frame1Size]byte
	if _, err := io.ReadFull(raw, frame[:]); err != nil {
		return nil, err
	}
	responder, peer, err := l.readFrame1(raw, frame[:])
	if err != nil {
		return nil, err
	}
	if err := raw.SetDeadline(time.Now().Add(memberTime)); err != nil {
		return nil, err
	}
	me, err := l.config.info(responder.Theirs.PingIndex != 0)
	if err != nil {
		return nil, err
	}
	c, err := l.confirm(raw, responder, me)
	if err == nil {
		err = raw.SetDeadline(time.Time{})
	}
	if err != nil {
		l.config.Pings.release(me.PingIndex)
		return nil, err
	}
	c.peer = peer
	return c, l.config.publish(c)
}

// readFrame1 asks in the order of cost: mac1, memory, message 1, roster.
func (l *Listener) readFrame1(raw net.Conn, frame []byte) (*Responder, keys.Public, error) {
	own := l.config.Secret.Public().Noise
	message, err := openFrame1(&own, frame)
	if err != nil {
		return nil, keys.Public{}, err
	}
	ephemeral := frame1Ephemeral(frame)
	if l.memory.has(ephemeral) {
		return nil, keys.Public{}, errReplay
	}
	if !l.doors.keep(raw) {
		return nil, keys.Public{}, errBusy
	}
	responder, err := respond(l.config.Secret, l.config.Ring, message)
	if err != nil {
		return nil, keys.Public{}, err
	}
	peer, ok := l.config.Lookup(responder.Peer)
	if !ok {
		return nil, keys.Public{}, &StrangerError{responder.Peer}
	}
	// Two copies of one frame may have come this far at once.
	if !l.memory.add(ephemeral) {
		return nil, keys.Public{}, errReplay
	}
	l.doors.claim(raw, responder.Peer)
	return responder, peer, nil
}

// confirm answers and waits for Hello, which proves that the dialler lives.
func (l *Listener) confirm(raw net.Conn, responder *Responder, me Info) (*Conn, error) {
	answer, session, err := responder.Answer(me, rand.Reader)
	if err != nil {
		return nil, err
	}
	if _, err := raw.Write(answer); err != nil {
		return nil, err
	}
	c := newConn(raw, session)
	typ, body, err := c.in.record()
	if err != nil {
		return nil, err
	}
	if typ != typeHello || len(body) != 1 {
		return nil, errHello
	}
	kind := Kind(body[0])
	if kind != Ring && kind != Transfer || (session.ping != nil) != (kind == Ring) {
		return nil, errHello
	}
	c.setKind(kind)
	return c, nil
}
