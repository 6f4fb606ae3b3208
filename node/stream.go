package node

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"securepeer/crypto"
	"securepeer/internal/store"
	"securepeer/wire"
)

// stream is the bytes of one version from one holder, from one block on. A
// goroutine of its own reads them and hands them to the fetch, which judges
// how fast they come.
type stream struct {
	fetch  *fetch
	holder *holder
	first  int64         // the block to begin at
	list   bool          // the block list is asked for before
	good   chan struct{} // closed when that list is the manifest's
	cancel context.CancelCauseFunc
	got    atomic.Int64 // bytes that have come
	linked atomic.Bool  // the holder is asked: from here it is waited for
	free   chan []byte  // two places: a block is read while another is checked

	// The fetch's own.
	total   int64         // bytes that it is to bring
	age     time.Duration // for how long it was waited for
	asked   time.Duration // and for how long of that it was linked
	seen    int64         // got, when last looked at
	pace    pace
	racing  time.Duration // when its first bytes in a race were seen, by the fetch's clock; negative: not yet
	base    int64         // what it had brought then
	against int64         // and what the lead had
}

// arrival is what a stream hands to its fetch: the block list, a block, or its
// end.
type arrival struct {
	from  *stream
	list  []byte // the whole; has says that it is one
	has   bool
	index int64
	data  []byte
	ended bool
	err   error
}

// open begins to read from a holder. The goroutine ends when all bytes are
// handed over, or with cancel; run waits for it.
func (f *fetch) open(ctx context.Context, h *holder) *stream {
	h.tries++
	s := &stream{fetch: f, holder: h, first: f.next, list: f.list == nil, free: make(chan []byte, 2),
		good: make(chan struct{}), total: f.left(), racing: -1}
	if s.list {
		s.total += int64(blocksOf(f.manifest.Size)) * store.HashSize
	}
	ctx, s.cancel = context.WithCancelCause(ctx)
	for range cap(s.free) {
		s.free <- nil // made when it is first used
	}
	f.streams.Go(func() {
		defer s.cancel(nil)
		err := s.read(ctx)
		if err != nil || f.manifest.Size == 0 {
			s.hand(ctx, arrival{ended: true, err: err})
		}
	})
	return s
}

// stands says why a stream is not waited for any longer, if it is not: nothing
// comes, or next to nothing.
func (s *stream) stands() error {
	switch {
	case !s.linked.Load():
	case s.seen == 0 && s.total > 0 && s.asked >= quietTime:
		return errSilent
	case s.pace.stands(s.seen, s.total-s.seen, s.asked):
		return errSlow
	}
	return nil
}

// hand gives the fetch what has come.
func (s *stream) hand(ctx context.Context, a arrival) error {
	a.from = s
	select {
	case s.fetch.arrivals <- a:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// handList hands the block list over and returns when it was found good.
func (s *stream) handList(ctx context.Context, list []byte) error {
	if err := s.hand(ctx, arrival{list: list, has: true}); err != nil {
		return err
	}
	select {
	case <-s.good:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *stream) read(ctx context.Context) error {
	if s.holder.peer == s.fetch.node.self {
		s.linked.Store(true)
		return s.local(ctx)
	}
	t, err := s.fetch.node.pool.take(ctx, s.holder.peer)
	if err != nil {
		return err
	}
	s.linked.Store(true)
	stop := context.AfterFunc(ctx, func() { t.Conn.Close() })
	err = s.remote(ctx, t)
	if !stop() || err != nil {
		s.fetch.node.pool.drop(t)
		return err
	}
	s.fetch.node.pool.give(t)
	return nil
}

// buffer is one for the next block.
func (s *stream) buffer(ctx context.Context) ([]byte, error) {
	select {
	case b := <-s.free:
		if b == nil {
			b = make([]byte, min(s.fetch.manifest.Size, wire.BlockSize))
		}
		return b, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// local reads this peer's own copy, and trusts it no more than another's.
func (s *stream) local(ctx context.Context) error {
	r, err := s.fetch.node.disk.Reader(s.fetch.version)
	if err != nil {
		return err
	}
	defer r.Close() // read only
	if s.list {
		list, err := r.BlockList()
		if err != nil {
			return err
		}
		if err := s.handList(ctx, list); err != nil {
			return err
		}
	}
	for index := s.first; index*wire.BlockSize < r.Size(); index++ {
		buf, err := s.buffer(ctx)
		if err != nil {
			return err
		}
		off := index * wire.BlockSize
		data := buf[:min(wire.BlockSize, r.Size()-off)]
		if n, err := r.ReadAt(data, off); n < len(data) {
			return err
		}
		s.got.Add(int64(len(data)))
		if err := s.hand(ctx, arrival{index: index, data: data}); err != nil {
			return err
		}
	}
	return nil
}

// remote asks another peer: for the block list, then for one range after the
// other. The next range is asked for before the last has come, so that the
// pipe stays full.
func (s *stream) remote(ctx context.Context, t *transfer) error {
	if s.list {
		list, err := s.blockList(t)
		if err != nil {
			return err
		}
		if err := s.handList(ctx, list); err != nil {
			return err
		}
	}
	size := s.fetch.manifest.Size
	if size == 0 {
		// There is nothing to wait for, but the holder knows that it was asked.
		return s.ask(t.Conn, 0, 0)
	}
	asked := uint64(s.first) * wire.BlockSize
	for index := s.first; uint64(index)*wire.BlockSize < size; index++ {
		at := uint64(index) * wire.BlockSize
		if asked < size && asked-at <= wire.MaxSegment/2 {
			length := min(size-asked, wire.MaxSegment)
			if err := s.ask(t.Conn, asked, length); err != nil {
				return err
			}
			asked += length
		}
		buf, err := s.buffer(ctx)
		if err != nil {
			return err
		}
		data := buf[:min(size-at, wire.BlockSize)]
		if err := s.receive(t, data); err != nil {
			return err
		}
		if err := s.hand(ctx, arrival{index: index, data: data}); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) ask(conn *crypto.Conn, offset, length uint64) error {
	v := s.fetch.version
	return writeMessage(conn, wire.Get{Key: wire.Pos(v.Key), Sum: v.Sum, Offset: offset, Length: length})
}

// blockList asks for all hashes.
func (s *stream) blockList(t *transfer) ([]byte, error) {
	v, count := s.fetch.version, blocksOf(s.fetch.manifest.Size)
	list := make([]byte, 0, int(count)*store.HashSize) // at most 32 MiB
	for from := uint32(0); from < count; {
		ask := wire.Blocks{Key: wire.Pos(v.Key), Sum: v.Sum, From: from, Count: min(count-from, wire.MaxHashes)}
		if err := writeMessage(t.Conn, ask); err != nil {
			return nil, err
		}
		msg, err := s.fetch.node.readMessage(t.Conn)
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
		s.got.Add(int64(ask.Count) * store.HashSize)
		from += ask.Count
	}
	return list, nil
}

// blocksOf is how many blocks size bytes have.
func blocksOf(size uint64) uint32 { return uint32((size + wire.BlockSize - 1) / wire.BlockSize) }

// receive fills data from the data records of a link. How long that may take
// the fetch decides, by the bytes that come: it cancels the stream.
func (s *stream) receive(t *transfer, data []byte) error {
	for len(data) > 0 {
		n, err := t.Read(data)
		data = data[n:]
		s.got.Add(int64(n))
		s.fetch.node.moved.in.Add(uint64(n))
		switch {
		case errors.Is(err, crypto.ErrMessage):
			msg, err := s.fetch.node.readMessage(t.Conn)
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
