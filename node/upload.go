package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"securepeer/crypto"
	"securepeer/ring"
	"securepeer/wire"
)

// Implementation constants.
const (
	// chunkSize is how many bytes go to all targets at a time: what one system
	// call of a link takes. A segment is a whole number of them.
	chunkSize = 256 << 10
	// window is how many chunks a put holds: the slowest target may be that
	// far, 4 MiB, behind the fastest.
	window = 16
	// awayTime is for how many intervals, and awayLeast how long at least, a
	// target that has left the ring may take no byte and answer nothing.
	awayTime  = 2
	awayLeast = 500 * time.Millisecond
	// movedTime is how long a target may answer nothing that is at another
	// address now than before: ten times as long as it takes to say how much
	// has come.
	movedTime = 10 * progressEach
	// pauseTime is how long a link waits for bytes of the user before its
	// segment ends: nobody at the other side waits for a slow keyboard.
	pauseTime = 10 * time.Second
)

// chunk is a piece of the file that all targets share.
type chunk struct {
	data []byte
	refs atomic.Int32 // targets that have not sent it yet
}

// upload streams the bytes of one put to all its targets at once.
type upload struct {
	node    *Node
	op      ring.Op
	put     wire.Put // what every segment begins with, but for Offset
	free    chan *chunk
	targets []*target
	ends    sync.WaitGroup // counts the targets
	read    atomic.Int64   // bytes of the user
	given   atomic.Int64   // bytes that all targets have been given
	held    atomic.Bool    // the stream waits for a target
	sealed  atomic.Bool    // all bytes are given, and the manifest
	opened  atomic.Int32   // targets that have a link, or get none
	ready   chan struct{}  // closed when that is all of them
	over    chan struct{}  // closed when all targets have ended
	watched sync.WaitGroup // counts watch

	mu     sync.Mutex
	failed []wire.Code       // how those ended that take no more bytes
	slow   []wire.ID         // those that were given up for it
	why    map[wire.ID]error // why those did not store the file that did not
}

// errNoTarget says that nobody takes the bytes any more.
var errNoTarget = errors.New("every peer that should store the file has failed")

var errTooLarge = fmt.Errorf("file is larger than %d bytes, as much as one may have", uint64(wire.MaxSize))

// target is one peer that is to store the file. Its goroutine ends when in is
// closed, whatever became of the peer before.
type target struct {
	peer   wire.ID
	in     chan *chunk // window places: sending to it never waits
	ctx    context.Context
	cancel context.CancelCauseFunc
	begun  atomic.Bool   // it is linked: from here it is waited for
	ended  atomic.Bool   // it takes no more bytes
	stored atomic.Bool   // and has acked them
	sent   atomic.Int64  // bytes handed to its link
	taken  atomic.Int64  // bytes that it says it has
	heard  atomic.Uint64 // how often it said so
	lags   lags

	// Set before in is closed.
	manifest wire.Manifest
	whole    bool // manifest is set; else the put was given up
}

// targets are those of all uploads, so that the ring's word on a peer reaches
// them: it knows sooner than any deadline of a transfer that a peer is away.
type targets struct {
	mu   sync.Mutex
	open map[*target]struct{}
}

func (s *targets) add(t *target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[t] = struct{}{}
}

func (s *targets) remove(t *target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, t)
}

// errAway says that a target was given up.
var errAway = errors.New("has left the ring, and takes nothing")

// left gives the targets that are this peer up, unless they go on taking bytes.
func (s *targets) left(peer wire.ID, patience time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.open {
		if t.peer == peer {
			taken := t.taken.Load()
			time.AfterFunc(patience, func() { // of a target that has ended nothing is left to cancel
				if t.taken.Load() == taken {
					t.cancel(errAway)
				}
			})
		}
	}
}

// errMoved says that a target was given up whose bytes went where it was before.
var errMoved = errors.New("has moved to another address, and takes nothing at the one before")

// moved gives the targets up that are this peer, which is at another address now,
// unless they answer what they were sent.
func (s *targets) moved(peer wire.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.open {
		if taken, heard := t.taken.Load(), t.heard.Load(); t.peer == peer && t.begun.Load() && t.sent.Load() > taken {
			time.AfterFunc(movedTime, func() { // of a target that has ended nothing is left to cancel
				if t.taken.Load() == taken && t.heard.Load() == heard {
					t.cancel(errMoved)
				}
			})
		}
	}
}

// newUpload starts a goroutine for each target of a, and one that watches them.
// They end when finish is called, which waits for them.
func (n *Node) newUpload(ctx context.Context, a ring.Upload, name string, size int64) *upload {
	u := &upload{node: n, op: a.Op, free: make(chan *chunk, window), ready: make(chan struct{}), over: make(chan struct{}), why: make(map[wire.ID]error)}
	u.put = wire.Put{Upload: rand.Uint64(), Size: wire.SizeUnknown, Name: name,
		Roster: n.members.book().digest, Holders: a.Holders[:min(len(a.Holders), wire.MaxHolders)]}
	if size > 0 {
		u.put.Size = uint64(size)
	}
	for range window {
		u.free <- nil // made when first used: a small file needs one
	}
	for _, id := range a.To {
		t := &target{peer: id, in: make(chan *chunk, window)}
		t.ctx, t.cancel = context.WithCancelCause(ctx)
		u.targets = append(u.targets, t)
	}
	for _, t := range u.targets {
		n.targets.add(t)
		u.ends.Go(func() {
			defer t.cancel(nil)
			defer n.targets.remove(t)
			if n.enter() {
				u.run(ctx, t)
				n.work.Done()
			}
			for c := range t.in {
				u.release(c)
			}
		})
	}
	u.watched.Go(u.watch)
	return u
}

// stream reads body to its end and gives every byte to every target. It
// returns what a manifest needs to know.
func (u *upload) stream(ctx context.Context, body io.Reader) (*blockHasher, error) {
	hash := newBlockHasher()
	for {
		c, err := u.chunk(ctx)
		if err != nil {
			return nil, err
		}
		if c == nil {
			c = &chunk{data: make([]byte, chunkSize)}
		}
		n, err := fill(c.data[:chunkSize], body)
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("reading the bytes to put: %w", err)
		}
		c.data = c.data[:n]
		hash.add(c.data)
		u.read.Add(int64(n))
		if hash.size > wire.MaxSize {
			return nil, errTooLarge
		}
		if u.put.Size != wire.SizeUnknown && (hash.size > u.put.Size || err != nil && hash.size < u.put.Size) {
			return nil, fmt.Errorf("file has not the %d bytes that were announced", u.put.Size)
		}
		if u.nobody() {
			return nil, errNoTarget
		}
		c.refs.Store(int32(len(u.targets)))
		for _, t := range u.targets {
			t.in <- c
		}
		u.given.Add(int64(n))
		if err != nil {
			return hash, nil
		}
	}
}

// chunk returns the next one that is free, or nil if one is to be made.
func (u *upload) chunk(ctx context.Context) (*chunk, error) {
	select {
	case c := <-u.free:
		return c, nil
	default:
	}
	u.held.Store(true)
	defer u.held.Store(false)
	select {
	case c := <-u.free:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// maxEmptyReads is how often in a row a body may give no byte and no error.
const maxEmptyReads = 100

// fill reads until p is full or body ends, which io.EOF alone says: a body
// that was cut off (io.ErrUnexpectedEOF) must not become a shorter file, so
// this is not io.ReadFull.
func fill(p []byte, body io.Reader) (n int, err error) {
	for empty := 0; n < len(p) && err == nil; {
		var k int
		k, err = body.Read(p[n:])
		n += k
		if empty++; k > 0 {
			empty = 0
		}
		if empty == maxEmptyReads {
			return n, io.ErrNoProgress
		}
	}
	return n, err
}

// finish ends the targets, with the manifest or, if it is nil, without a
// version, and waits for them.
func (u *upload) finish(m *wire.Manifest) {
	for _, t := range u.targets {
		if m != nil {
			t.manifest, t.whole = *m, true
		}
		close(t.in)
	}
	u.sealed.Store(m != nil)
	u.ends.Wait()
	close(u.over)
	u.watched.Wait()
}

// release gives a chunk back when the last target is done with it.
func (u *upload) release(c *chunk) {
	if c.refs.Add(-1) == 0 {
		u.free <- c // it has a place: there are window chunks in all
	}
}

// run sends to one target until its end and reports how that was.
func (u *upload) run(ctx context.Context, t *target) {
	var ack wire.PutAck
	var err error
	if t.peer == u.node.self {
		u.linked()
		ack, err = u.store(t.ctx, t)
	} else {
		ack, err = u.send(t.ctx, t)
	}
	t.stored.Store(err == nil && ack.Code == wire.CodeOK)
	t.ended.Store(true)
	if err != nil {
		ack = wire.PutAck{Code: wire.CodeBusy}
		if ctx.Err() == nil && t.ctx.Err() != nil {
			err = context.Cause(t.ctx) // what judge said, or left
		}
		if ctx.Err() == nil { // else its user has given the put up
			u.node.log.Warn("upload", "peer", u.node.members.book().name(t.peer), "error", err)
		}
	}
	if len(ack.Rows)+len(ack.Votes) > 0 {
		u.node.told(t.peer, wire.Rows{Rows: ack.Rows, Votes: ack.Votes})
	}
	u.node.post(happened{event: ring.Uploaded{Op: u.op, Peer: t.peer, Code: ack.Code, Kept: ack.Code == wire.CodeNotOwner}})
	u.mu.Lock()
	defer u.mu.Unlock()
	u.failed = append(u.failed, ack.Code)
	if isSlow(err) {
		u.slow = append(u.slow, t.peer)
	}
	if err == nil && ack.Code != wire.CodeOK {
		err = &refusalError{ack.Code}
	}
	if err != nil {
		u.why[t.peer] = err
	}
}

// explain is err, in which each target that did not store the file stands under
// its own reason.
func (u *upload) explain(err error) error {
	var none *UnavailableError
	if !errors.As(err, &none) {
		return err
	}
	b, e := u.node.members.book(), *none
	for id := range u.why {
		e.Lacks = slices.DeleteFunc(slices.Clone(e.Lacks), func(l Lack) bool { return l.Peer == b.name(id) })
		if id == u.node.self {
			e.Own = nil
		}
	}
	return u.because(&e)
}

// because adds to e the targets that did not store the file. The upload is over.
func (u *upload) because(e *UnavailableError) *UnavailableError {
	for _, id := range slices.Sorted(maps.Keys(u.why)) {
		why := u.why[id]
		var refused *refusalError
		if id == u.node.self && errors.As(why, &refused) && refused.ofDisk() {
			why = cmp.Or(u.node.short.now(), u.node.disk.reason(), why)
		}
		u.node.lacks(e, id, why)
	}
	return e
}

// told hands on the rows and votes that came with an ack.
func (n *Node) told(by wire.ID, said wire.Rows) {
	b := n.members.book()
	peer, ok := b.ByID(by)
	if !ok {
		return // dropped meanwhile
	}
	rows, wrong := n.verify.message(b, said, n.account(peer))
	if wrong != nil {
		n.refused.add(peer.Name, faultOf(wrong)+wire.TypePutAck.String())
	}
	if rows := rows.(wire.Rows); len(rows.Rows)+len(rows.Votes) == 0 {
		return
	}
	n.post(happened{event: ring.Received{From: by, Msg: rows}})
}

// nobody reports whether all targets have ended before the bytes have.
func (u *upload) nobody() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.failed) == len(u.targets)
}

// noSpace reports whether all of them have full disks.
func (u *upload) noSpace() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !slices.ContainsFunc(u.failed, func(c wire.Code) bool { return c != wire.CodeFull })
}

// store writes to this peer's own disk, and asks the ring as for anybody's
// upload.
func (u *upload) store(ctx context.Context, t *target) (wire.PutAck, error) {
	v := ring.Version{Key: wire.KeyOf(u.node.members.book().Space, u.put.Name)}
	code := u.write(ctx, t)
	if code == wire.CodeOK {
		v.Sum = t.manifest.Sum()
	}
	return u.node.verdict(u.node.self, u.put, v, code)
}

// write is store without the ring.
func (u *upload) write(ctx context.Context, t *target) wire.Code {
	size := int64(-1)
	if u.put.Size != wire.SizeUnknown {
		size = int64(u.put.Size)
	}
	w, err := u.node.disk.Create(size)
	if err != nil {
		return u.node.disk.code(err)
	}
	defer w.Abort()
	for open := true; open; {
		var c *chunk
		select {
		case c, open = <-t.in:
		case <-ctx.Done():
			return wire.CodeInvalid
		}
		if !open {
			break
		}
		_, err := w.Write(c.data)
		t.taken.Add(int64(len(c.data)))
		u.release(c)
		if err != nil {
			return u.node.disk.code(err)
		}
	}
	if !t.whole {
		return wire.CodeInvalid
	}
	return u.node.disk.commit(w, u.node.members.book().Space, t.manifest)
}

// segment is one Put request under way.
type segment struct {
	link *transfer
	ack  chan ackOrError // one place; filled by the reader, which then ends
	size int
	stop func() bool // the end of the put's context ends the link until then
}

type ackOrError struct {
	ack wire.PutAck
	err error
}

// refusal is an ack that came before the end of the bytes: only a refusal may.
func (a ackOrError) refusal() (wire.PutAck, error) {
	if a.err == nil && (a.ack.Code == wire.CodeOK || a.ack.Code == wire.CodeMore) {
		return wire.PutAck{}, errors.New("upload was answered before its end")
	}
	return a.ack, a.err
}

// send streams to another peer, segment by segment. The ack is the last one,
// or the early one with which the target gave up.
func (u *upload) send(ctx context.Context, t *target) (wire.PutAck, error) {
	var offset uint64
	s, err := u.open(ctx, t, offset)
	u.linked()
	if err != nil {
		return wire.PutAck{}, err
	}
	u.together(ctx)
	pause := time.NewTimer(pauseTime)
	defer pause.Stop()
	for {
		pause.Reset(pauseTime)
		var full *chunk
		select {
		case c, ok := <-t.in:
			if !ok {
				return u.end(ctx, t, s, offset)
			}
			if s == nil {
				if s, err = u.open(ctx, t, offset); err != nil {
					u.release(c)
					return wire.PutAck{}, err
				}
			}
			full = c
		case early := <-s.answer():
			u.drop(s)
			return early.refusal()
		case <-pause.C:
		case <-ctx.Done():
			if s != nil {
				u.drop(s)
			}
			return wire.PutAck{}, ctx.Err()
		}
		if full != nil {
			t.sent.Add(int64(len(full.data))) // before: it may be there sooner than Write returns
			err = s.write(full.data)
			offset += uint64(len(full.data))
			u.node.moved.out.Add(uint64(len(full.data)))
			u.release(full)
		}
		if err == nil && s != nil && (full == nil || s.size >= wire.MaxSegment) {
			answer := u.close(s, wire.PutMore{})
			if s = nil; answer.err != nil || answer.ack.Code != wire.CodeMore {
				return answer.refusal()
			}
		}
		if err != nil {
			answer := u.broken(s, err)
			return answer.ack, answer.err
		}
	}
}

// linked notes that a target has a link, or gets none.
func (u *upload) linked() {
	if u.opened.Add(1) == int32(len(u.targets)) {
		close(u.ready)
	}
}

// together waits until all targets are linked, but not long: on a slow line that
// they share, the bytes for one would be in the way of the handshakes of others.
func (u *upload) together(ctx context.Context) {
	patience := time.NewTimer(lateAfter)
	defer patience.Stop()
	select {
	case <-u.ready:
	case <-patience.C:
	case <-ctx.Done():
	}
}

// answer is where an early ack comes; nil between two segments.
func (s *segment) answer() <-chan ackOrError {
	if s == nil {
		return nil
	}
	return s.ack
}

// open begins a segment. Its reader ends with the ack, or with the link.
func (u *upload) open(ctx context.Context, t *target, offset uint64) (*segment, error) {
	link, err := u.node.pool.take(ctx, t.peer)
	if err != nil {
		return nil, err
	}
	put := u.put
	put.Offset = offset
	t.begun.Store(true)
	s := &segment{link: link, ack: make(chan ackOrError, 1)}
	s.stop = context.AfterFunc(ctx, func() { link.Conn.Close() })
	if err := s.say(put); err != nil {
		u.drop(s)
		return nil, err
	}
	u.ends.Go(func() { s.ack <- u.node.readAck(link.Conn, t) })
	return s, nil
}

// drop ends the link of a segment that was not answered to its end.
func (u *upload) drop(s *segment) {
	s.stop()
	u.node.pool.drop(s.link)
}

// readAck reads up to the ack, and notes what the target says before.
func (n *Node) readAck(c *crypto.Conn, t *target) ackOrError {
	for {
		msg, err := n.readMessage(c)
		if err != nil {
			return ackOrError{err: err}
		}
		switch m := msg.(type) {
		case wire.PutAck:
			if m.Code == wire.CodeMore || m.Code == wire.CodeOK {
				t.taken.Store(t.sent.Load()) // nothing is sent before this is answered
			}
			return ackOrError{ack: m}
		case wire.Progress:
			if m.Bytes > uint64(t.sent.Load()) {
				return ackOrError{err: errors.New("target has more bytes than it was sent")}
			}
			t.taken.Store(max(t.taken.Load(), int64(m.Bytes)))
			t.heard.Add(1)
		default:
			return ackOrError{err: fmt.Errorf("answer to Put is %v", msg.Type())}
		}
	}
}

// write sends bytes. How long that may take watch decides: it cancels the
// target, which closes the link.
func (s *segment) write(p []byte) error {
	n, err := s.link.Write(p)
	s.size += n
	return err
}

// say sends a message, under the same rule.
func (s *segment) say(m wire.Message) error {
	return s.link.WriteRecord(byte(m.Type()), m.Append(nil))
}

// broken is for a link that does not take bytes any more: the reason may have
// come before.
func (u *upload) broken(s *segment, err error) ackOrError {
	s.link.SetReadDeadline(time.Now().Add(time.Second)) // then the reader ends
	early := <-s.ack
	u.drop(s)
	if early.err == nil && early.ack.Code >= wire.CodeNotOwner {
		return early
	}
	return ackOrError{err: err}
}

// close ends a segment with m and waits for its ack.
func (u *upload) close(s *segment, m wire.Message) ackOrError {
	if err := s.say(m); err != nil {
		return u.broken(s, err)
	}
	answer := <-s.ack
	if _, last := m.(wire.PutEnd); answer.err != nil || !last && answer.ack.Code != wire.CodeMore || !s.stop() {
		u.drop(s)
		return answer
	}
	u.node.pool.give(s.link)
	return answer
}

// end sends the manifest, if the put came to its end.
func (u *upload) end(ctx context.Context, t *target, s *segment, offset uint64) (ack wire.PutAck, err error) {
	if !t.whole {
		if s != nil {
			u.drop(s)
		}
		return wire.PutAck{Code: wire.CodeInvalid}, nil
	}
	if s == nil {
		if s, err = u.open(ctx, t, offset); err != nil {
			return wire.PutAck{}, err
		}
	}
	answer := u.close(s, wire.PutEnd{Manifest: t.manifest})
	if answer.err == nil && answer.ack.Code == wire.CodeMore {
		return answer.refusal()
	}
	return answer.ack, answer.err
}

// sealed makes the manifest of what was streamed; same says that it is one of
// before, whose bytes were these.
func (n *Node) sealed(a ring.Upload, name string, hash *blockHasher, opt PutOptions) (m wire.Manifest, same bool) {
	root := hash.root()
	if p := a.Same; p != nil && p.Size == hash.size && p.Blocks == root {
		return *p, true
	}
	mode := opt.Mode
	if mode == 0 {
		mode = 0o644
	}
	now := time.Now()
	mtime := opt.Mtime
	if mtime.IsZero() {
		mtime = now
	}
	m = wire.Manifest{Name: name, Version: a.Version, Writer: n.self, Signer: n.self, Mode: mode & wire.MaxMode,
		Mtime: nanos(mtime), Made: nanos(now), Size: hash.size, Blocks: root, Prior: a.Prior}
	m.Sig = n.config.Secret.Sign(m.SignedBytes(n.members.book().Ring, nil))
	return m, false
}

// nanos returns t in Unix nanoseconds, as a manifest has it, or the nearest
// time that 64 bits hold: from 1677-09-21 to 2262-04-11. Unix is right for
// every t, and Before is not: a Time that was made of a file's 64 bits of
// seconds may have wrapped inside.
func nanos(t time.Time) int64 {
	const first, last = math.MinInt64/1_000_000_000 - 1, math.MaxInt64 / 1_000_000_000 // seconds in which the range begins and ends
	switch s := t.Unix(); {
	case s < first, s == first && t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case s > last, s == last && t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}
