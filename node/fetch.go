package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"securepeer/crypto"
	"securepeer/internal/store"
	"securepeer/ring"
	"securepeer/wire"
)

// Implementation constants.
const (
	// silentTime is how long a holder may take for each block, or MiB of the
	// block list, while another one is left to ask.
	silentTime = 5 * time.Second
	// lastTime is what the last one may take for a block, and besides the time
	// that its bytes need at lastRate, in bytes a second.
	lastTime = 10 * time.Second
	lastRate = 64 << 10
	// maxTries is how often one holder is tried for one file.
	maxTries = 2
)

// fetch brings the bytes of one version to a sink, in order, each block
// checked, from the first holder that has them; another one goes on at the
// block where one died or lied.
type fetch struct {
	node     *Node
	manifest wire.Manifest
	version  store.Version
	holders  []holder
	sink     sink
	hurry    bool                            // there is another version to be had
	begun    func(from wire.ID)              // or nil; called once, when bytes are about to come
	more     func(context.Context) []wire.ID // or nil; called once, when no holder is left

	list  *store.Verifier // nil until one holder has sent a good block list
	next  int64           // the block that the sink wants
	from  wire.ID         // who gave the last one
	block []byte
}

type holder struct {
	peer  wire.ID
	tries int
	lied  bool
	err   error
}

// sink takes checked blocks, or checks them itself: its error is then a
// *store.BlockError. Any other error is its own, and ends the fetch.
type sink interface {
	begin(list *store.Verifier) error
	block(index int64, data []byte) error
}

func (n *Node) newFetch(m wire.Manifest, sources []wire.ID, s sink) *fetch {
	f := &fetch{node: n, manifest: m, version: versionOf(n.members.book().Space, m), sink: s}
	for _, id := range sources {
		f.holders = append(f.holders, holder{peer: id})
	}
	return f
}

// sinkError is an error of the sink itself: no holder is to blame.
type sinkError struct{ error }

func (e *sinkError) Unwrap() error { return e.error }

// run fetches the whole file. The error is ctx's, the sink's, or says what is
// wrong with the holders.
func (f *fetch) run(ctx context.Context) error {
	for {
		h := f.best()
		if h == nil && f.more != nil {
			f.again(f.more(ctx))
			f.more = nil
			continue
		}
		if h == nil {
			return f.exhausted()
		}
		h.tries++
		before := f.next
		err := f.try(ctx, h.peer)
		var mine *sinkError
		switch {
		case err == nil:
			f.from = h.peer
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &mine):
			return mine.error
		}
		h.err = err
		if f.next > before && !errors.Is(err, os.ErrDeadlineExceeded) {
			h.tries = 1 // it gave something: the file ends, so this does too
		}
		f.blame(h)
	}
}

// again takes holders in that were found later, and gives those that failed
// and did not lie one more try.
func (f *fetch) again(found []wire.ID) {
	for _, id := range found {
		i := slices.IndexFunc(f.holders, func(h holder) bool { return h.peer == id })
		if i < 0 {
			f.holders = append(f.holders, holder{peer: id})
		} else {
			f.holders[i].tries = min(f.holders[i].tries, maxTries-1)
		}
	}
}

// best is who to try now: in the order of the sources, the least tried first.
func (f *fetch) best() *holder {
	var best *holder
	for i := range f.holders {
		h := &f.holders[i]
		if h.lied || h.tries >= maxTries {
			continue
		}
		if best == nil || h.tries < best.tries {
			best = h
		}
	}
	return best
}

// patience is how long a holder may take for size bytes, however they trickle:
// little while another one is left, who may be faster.
func (f *fetch) patience(id wire.ID, size int) time.Duration {
	hurried := silentTime * time.Duration(max(1, (size+wire.BlockSize-1)/wire.BlockSize))
	for _, h := range f.holders {
		if h.peer != id && !h.lied && h.tries < maxTries {
			return hurried
		}
	}
	if f.hurry {
		return hurried
	}
	return lastTime + time.Duration(size)*time.Second/lastRate
}

// blame notes and logs what a holder did.
func (f *fetch) blame(h *holder) {
	name := f.node.members.book().name(h.peer)
	var bad *store.BlockError
	if !errors.As(h.err, &bad) && !errors.Is(h.err, errBlockList) && !errors.Is(h.err, store.ErrDamaged) {
		f.node.log.Info("holder failed", "peer", name, "file", f.manifest.Name, "error", h.err)
		return
	}
	h.lied = true
	f.node.refused.add(name, "block with a wrong hash")
	if h.peer == f.node.self && bad != nil {
		// This peer's own disk is what lied.
		if err := f.node.disk.Quarantine(f.version, bad.Block); err != nil && !errors.Is(err, store.ErrNotFound) {
			f.node.log.Error("quarantining", "file", f.manifest.Name, "error", err)
		}
	}
}

// exhausted says why no holder is left.
func (f *fetch) exhausted() error {
	b := f.node.members.book()
	var liars, silent []string
	for _, h := range f.holders {
		if h.lied {
			liars = append(liars, b.name(h.peer))
		} else {
			silent = append(silent, b.name(h.peer))
		}
	}
	if len(silent) == 0 && len(liars) > 0 {
		return &IntegrityError{Name: f.manifest.Name, Peers: liars}
	}
	return &UnavailableError{Name: f.manifest.Name, Silent: silent}
}

// healed reports whether this peer's own copy was found bad on the way.
func (f *fetch) healed() bool {
	return slices.ContainsFunc(f.holders, func(h holder) bool { return h.lied && h.peer == f.node.self })
}

func (f *fetch) try(ctx context.Context, id wire.ID) error {
	if id == f.node.self {
		return f.local()
	}
	dialing, cancel := context.WithTimeout(ctx, silentTime)
	t, err := f.node.pool.take(dialing, id)
	cancel()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { t.Conn.Close() })
	err = f.remote(t)
	if !stop() || err != nil {
		f.node.pool.drop(t)
		return err
	}
	f.node.pool.give(t)
	return nil
}

var errBlockList = errors.New("block list is not the manifest's")

// start gives the sink the block list and notes who is about to send.
func (f *fetch) start(id wire.ID, list []byte) error {
	if f.list == nil {
		v, err := store.NewVerifier(list, f.manifest.Blocks, int64(f.manifest.Size))
		if err != nil {
			return fmt.Errorf("%w: %w", errBlockList, err)
		}
		if err := f.sink.begin(v); err != nil {
			return &sinkError{err}
		}
		f.list = v
	}
	if f.block == nil {
		f.block = make([]byte, min(f.manifest.Size, wire.BlockSize))
	}
	if f.begun != nil {
		f.begun(id)
		f.begun = nil
	}
	return nil
}

// local reads this peer's own copy, and trusts it no more than another's.
func (f *fetch) local() error {
	r, err := f.node.disk.Reader(f.version)
	if err != nil {
		return err
	}
	defer r.Close() // read only
	list, err := r.BlockList()
	if err != nil {
		return err
	}
	if err := f.start(f.node.self, list); err != nil {
		return err
	}
	for off := f.next * wire.BlockSize; off < r.Size(); off = f.next * wire.BlockSize {
		data := f.block[:min(wire.BlockSize, r.Size()-off)]
		if n, err := r.ReadAt(data, off); n < len(data) {
			return err
		}
		if err := f.take(f.node.self, data); err != nil {
			return err
		}
	}
	return nil
}

// take gives one block to the sink.
func (f *fetch) take(from wire.ID, data []byte) error {
	err := f.sink.block(f.next, data)
	var bad *store.BlockError
	switch {
	case errors.As(err, &bad):
		return err
	case err != nil:
		return &sinkError{err}
	}
	f.next++
	f.from = from
	return nil
}

// remote asks another peer: for the block list, then for one range after the
// other. The next range is asked for before the last has come, so that the
// pipe stays full.
func (f *fetch) remote(t *transfer) error {
	if f.list == nil {
		list, err := f.blockList(t)
		if err != nil {
			return err
		}
		if err := f.start(t.peer, list); err != nil {
			return err
		}
	} else if err := f.start(t.peer, nil); err != nil {
		return err
	}
	size := f.manifest.Size
	asked := uint64(f.next) * wire.BlockSize
	if size == 0 {
		// There is nothing to wait for, but the holder knows that it was asked.
		return f.ask(t.Conn, 0, 0)
	}
	for at := asked; at < size; at = uint64(f.next) * wire.BlockSize {
		if asked < size && asked-at <= wire.MaxSegment/2 {
			length := min(size-asked, wire.MaxSegment)
			if err := f.ask(t.Conn, asked, length); err != nil {
				return err
			}
			asked += length
		}
		data := f.block[:min(size-at, wire.BlockSize)]
		if err := f.receive(t, data); err != nil {
			return err
		}
		if err := f.take(t.peer, data); err != nil {
			return err
		}
	}
	return nil
}

func (f *fetch) ask(conn *crypto.Conn, offset, length uint64) error {
	return writeMessage(conn, wire.Get{Key: wire.Pos(f.version.Key), Sum: f.version.Sum, Offset: offset, Length: length})
}

// blockList asks for all hashes.
func (f *fetch) blockList(t *transfer) ([]byte, error) {
	count := uint32((f.manifest.Size + wire.BlockSize - 1) / wire.BlockSize)
	list := make([]byte, 0, int(count)*store.HashSize) // at most 32 MiB
	late := time.Now().Add(f.patience(t.peer, cap(list)))
	for from := uint32(0); from < count; {
		ask := wire.Blocks{Key: wire.Pos(f.version.Key), Sum: f.version.Sum, From: from, Count: min(count-from, wire.MaxHashes)}
		if err := writeMessage(t.Conn, ask); err != nil {
			return nil, err
		}
		t.SetReadDeadline(late) // an error comes back from the read
		msg, err := f.node.readMessage(t.Conn)
		if err != nil {
			return nil, err
		}
		part, ok := msg.(wire.BlockList)
		if !ok || len(part.Hashes) != int(ask.Count) {
			return nil, refusedWith(msg)
		}
		for _, hash := range part.Hashes {
			list = append(list, hash[:]...)
		}
		from += ask.Count
	}
	return list, nil
}

// receive fills data from the data records of a link. The deadline is that of
// the whole block, so that a byte now and then keeps nobody.
func (f *fetch) receive(t *transfer, data []byte) error {
	t.SetReadDeadline(time.Now().Add(f.patience(t.peer, len(data)))) // an error comes back from the read
	for len(data) > 0 {
		n, err := t.Read(data)
		data = data[n:]
		f.node.moved.in.Add(uint64(n))
		switch {
		case errors.Is(err, crypto.ErrMessage):
			msg, err := f.node.readMessage(t.Conn)
			if err != nil {
				return err
			}
			return refusedWith(msg)
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	return nil
}

// refusalError is a Fail of a holder.
type refusalError struct{ code wire.Code }

func (e *refusalError) Error() string { return fmt.Sprintf("holder refused with code %d", e.code) }

func refusedWith(msg wire.Message) error {
	if fail, ok := msg.(wire.Fail); ok {
		return &refusalError{fail.Code}
	}
	return fmt.Errorf("holder answered with %v", msg.Type())
}

// userSink checks blocks and gives them to the user's writer.
type userSink struct {
	w    io.Writer
	list *store.Verifier
	n    int64
}

func (s *userSink) begin(list *store.Verifier) error {
	s.list = list
	return nil
}

func (s *userSink) block(index int64, data []byte) error {
	if err := s.list.Check(index, data); err != nil {
		return err
	}
	n, err := s.w.Write(data)
	s.n += int64(n)
	return err
}

// errBegins ends a fetch that only asks whether there are bytes.
var errBegins = errors.New("the first block is right")

// firstSink checks the first block and ends there.
type firstSink struct{ list *store.Verifier }

func (s *firstSink) begin(list *store.Verifier) error {
	s.list = list
	return nil
}

func (s *firstSink) block(index int64, data []byte) error {
	if err := s.list.Check(index, data); err != nil {
		return err
	}
	return errBegins
}

// storeSink writes to this peer's own disk; the store's writer checks.
type storeSink struct {
	disk   *disk
	writer *store.Writer
}

func (s *storeSink) begin(list *store.Verifier) (err error) {
	s.writer, err = s.disk.CreateFrom(list)
	return err
}

func (s *storeSink) block(_ int64, data []byte) error {
	_, err := s.writer.Write(data)
	return err
}

// pull makes sure that a version is on this disk, checked and synced in this
// run.
func (n *Node) pull(a ring.Pull, sources []wire.ID) wire.Code {
	b := n.members.book()
	v := versionOf(b.Space, a.Manifest)
	_, synced, err := n.disk.Has(v)
	if err != nil {
		return n.disk.code(err)
	}
	if synced {
		return wire.CodeOK
	}
	if a.Manifest.Flags&wire.Tombstone != 0 {
		return n.bury(b.Space, a.Manifest)
	}
	// What an earlier run left is read again, checked, and written anew.
	if err := n.disk.Sync(v); err == nil {
		return wire.CodeOK
	} else if !errors.Is(err, store.ErrNotFound) {
		return n.disk.code(err)
	}
	if code := n.disk.room(int64(a.Manifest.Size)); code != wire.CodeOK {
		return code // before 32 bytes for each MiB of it come to memory
	}
	sink := &storeSink{disk: n.disk}
	f := n.newFetch(a.Manifest, sources, sink)
	err = f.run(n.ctx)
	if sink.writer != nil {
		defer sink.writer.Abort() // does nothing after a commit
	}
	if err != nil {
		return n.pullCode(f, err)
	}
	return n.disk.commit(sink.writer, b.Space, a.Manifest)
}

// pullCode is what the ring is told of a fetch that failed.
func (n *Node) pullCode(f *fetch, err error) wire.Code {
	var wrong *IntegrityError
	if errors.As(err, &wrong) {
		return wire.CodeInvalid
	}
	if errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrStuck) {
		return n.disk.code(err)
	}
	for _, h := range f.holders {
		var r *refusalError
		if errors.As(h.err, &r) {
			return r.code
		}
	}
	return wire.CodeBusy
}

// bury writes a tombstone, which has no bytes.
func (n *Node) bury(space wire.Space, m wire.Manifest) wire.Code {
	w, err := n.disk.Create(0)
	if err != nil {
		return n.disk.code(err)
	}
	defer w.Abort() // does nothing after a commit
	return n.disk.commit(w, space, m)
}
