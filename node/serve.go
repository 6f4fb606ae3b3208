package node

import (
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"securepeer/crypto"
	"securepeer/internal/store"
	"securepeer/keys"
	"securepeer/ring"
	"securepeer/wire"
)

// Implementation constants.
const (
	// serveIdle is how long a transfer link that others dialled may be without
	// a request; its dialler ends it before.
	serveIdle = 2 * transferIdle
	// receiveTime is how long an upload waits for the next record within a
	// segment, the largest of which has its time at leastRate; replyTime for the
	// ring's word on it.
	receiveTime = quietTime + (crypto.MaxBody*time.Second+leastRate-1)/leastRate
	replyTime   = 10 * time.Second
	// progressEach is how often the sender of an upload hears how much has come,
	// while something does, and workEach how often while it is synced.
	progressEach = 200 * time.Millisecond
	workEach     = time.Second
	// copyBuffer is what is read from the disk and sealed at a time.
	copyBuffer = 256 << 10
)

// serve answers the requests that come over a transfer link, one at a time,
// until it ends.
func (n *Node) serve(conn *crypto.Conn) {
	defer n.members.forget(conn)
	defer conn.Close() // its dialler has ended it, or it is of no use
	peer, ok := n.members.book().member(conn.Peer().Noise)
	if !ok {
		return // dropped between the handshake and here
	}
	for {
		conn.SetWriteDeadline(time.Time{})
		conn.SetReadDeadline(time.Now().Add(serveIdle))
		msg, err := n.readMessage(conn)
		if err != nil {
			return
		}
		n.members.used(conn)
		switch m := msg.(type) {
		case wire.Put:
			err = n.serveSegment(conn, peer, m)
		case wire.Blocks:
			err = n.serveBlocks(conn, m)
		case wire.Get:
			err = n.serveGet(conn, peer, m)
		default:
			n.refused.add(peer.Name, "ring message on a transfer link")
			return
		}
		if err != nil {
			return
		}
	}
}

// serveBlocks answers with a part of a block list.
func (n *Node) serveBlocks(conn *crypto.Conn, m wire.Blocks) error {
	r, err := n.disk.Reader(store.Version{Key: uint64(m.Key), Sum: m.Sum})
	if err != nil {
		return writeMessage(conn, wire.Fail{Code: n.disk.readCode(err)})
	}
	defer r.Close() // read only
	list, err := r.BlockList()
	if err != nil {
		return writeMessage(conn, wire.Fail{Code: n.disk.readCode(err)})
	}
	from, to := uint64(m.From)*store.HashSize, (uint64(m.From)+uint64(m.Count))*store.HashSize
	if to > uint64(len(list)) {
		return writeMessage(conn, wire.Fail{Code: wire.CodeInvalid})
	}
	answer := wire.BlockList{Hashes: make([]wire.Sum, 0, m.Count)}
	for hash := range slices.Chunk(list[from:to], store.HashSize) {
		answer.Hashes = append(answer.Hashes, wire.Sum(hash))
	}
	return writeMessage(conn, answer)
}

// serveGet streams bytes as the disk gives them: whoever receives them checks
// them.
func (n *Node) serveGet(conn *crypto.Conn, peer keys.Member, m wire.Get) error {
	r, err := n.disk.Reader(store.Version{Key: uint64(m.Key), Sum: m.Sum})
	if err != nil {
		return writeMessage(conn, wire.Fail{Code: n.disk.readCode(err)})
	}
	defer r.Close() // read only
	size := uint64(r.Size())
	if m.Offset > size || m.Length > size-m.Offset {
		return writeMessage(conn, wire.Fail{Code: wire.CodeInvalid})
	}
	manifest, err := wire.ParseManifest(r.Manifest())
	if err != nil {
		return writeMessage(conn, wire.Fail{Code: wire.CodeNotFound})
	}
	user := !n.offered.has(peer.ID, m.Sum) // else a copy moves, and no user sees it
	if user && m.Offset == 0 {
		n.post(happened{event: ring.Moving{Peer: peer.ID, Name: manifest.Name, Phase: ring.Sending}})
	}
	w := stallWriter{conn, &n.moved}
	if err := r.CopyRange(w, int64(m.Offset), int64(m.Length), makeBuffer(m.Length)); err != nil {
		var broken *linkError
		if errors.As(err, &broken) {
			return err
		}
		n.log.Error("reading version", "name", manifest.Name, "error", err)
		return writeMessage(conn, wire.Fail{Code: n.disk.readCode(err)})
	}
	if user && m.Offset+m.Length == size {
		n.post(happened{event: ring.Moving{Peer: peer.ID, Name: manifest.Name, Phase: ring.Sent}})
	}
	return nil
}

// makeBuffer makes what size bytes are copied through. A link keeps none while
// it is idle.
func makeBuffer(size uint64) []byte { return make([]byte, max(1, min(size, copyBuffer))) }

// linkError tells an error of the link from one of the disk.
type linkError struct{ error }

func (e *linkError) Unwrap() error { return e.error }

// stallWriter gives the other side what it needs for each piece at leastRate,
// and quietTime.
type stallWriter struct {
	conn  *crypto.Conn
	moved *moved
}

func (w stallWriter) Write(p []byte) (int, error) {
	patience := quietTime + time.Duration(len(p))*time.Second/leastRate
	w.conn.SetWriteDeadline(time.Now().Add(patience)) // an error comes back from the write
	k, err := w.conn.Write(p)
	w.moved.out.Add(uint64(k))
	if err != nil {
		return k, &linkError{err}
	}
	return k, nil
}

// serveSegment receives one segment of an upload and answers it. An error ends
// the link.
func (n *Node) serveSegment(conn *crypto.Conn, peer keys.Member, m wire.Put) error {
	in, code := n.beginSegment(uploadKey{peer.ID, m.Upload}, conn, peer, m)
	if code != wire.CodeOK {
		return n.refuseUpload(conn, peer, m, code)
	}
	end, code, err := n.receiveSegment(conn, in, makeBuffer(m.Size-m.Offset))
	switch {
	case err != nil:
		n.uploads.end(in)
		return err
	case code != wire.CodeOK:
		n.uploads.end(in)
		if code == wire.CodeInvalid {
			n.refused.add(peer.Name, "upload that is not what it says")
		}
		return n.refuseUpload(conn, peer, in.put, code)
	case end == nil:
		n.uploads.wait(in)
		return writeMessage(conn, wire.PutAck{Code: wire.CodeMore})
	}
	defer n.uploads.end(in)
	n.uploads.whole(in)
	return n.endUpload(conn, peer, in, end.Manifest)
}

// beginSegment makes a new upload, or finds the one that goes on.
func (n *Node) beginSegment(k uploadKey, conn *crypto.Conn, peer keys.Member, m wire.Put) (*incoming, wire.Code) {
	waited := n.uploads.take(k, conn)
	if m.Offset > 0 {
		switch {
		case waited == nil: // or it had to make room
			return nil, wire.CodeInvalid
		case waited.offset != m.Offset || waited.put.Name != m.Name:
			n.uploads.end(waited)
			n.refused.add(peer.Name, "upload that is not what it says")
			return nil, wire.CodeInvalid
		}
		return waited, wire.CodeOK
	}
	if waited != nil {
		n.uploads.end(waited) // its sender has begun again
	}
	size := int64(-1)
	if m.Size != wire.SizeUnknown {
		size = int64(m.Size)
		if code := n.roomFor(peer.ID, size); code != wire.CodeOK {
			return nil, code
		}
	}
	in := n.uploads.begin(k, conn, m)
	if in == nil {
		n.refused.add(peer.Name, "too many uploads at once")
		return nil, wire.CodeBusy
	}
	w, err := n.disk.Create(size)
	if err != nil {
		n.uploads.end(in)
		return nil, n.disk.code(err)
	}
	in.writer = w
	return in, wire.CodeOK
}

// roomFor is the disk's room for an upload of that member, for which others may
// have to make some.
func (n *Node) roomFor(from wire.ID, size int64) wire.Code {
	for {
		code := n.disk.room(size)
		if code != wire.CodeFull {
			return code
		}
		usage, err := n.disk.Usage()
		if err != nil || !n.uploads.makeRoomFor(from, size, size-usage.Free, time.Now()) {
			return code
		}
	}
}

// receiveSegment takes the bytes of one segment, at most wire.MaxSegment, up
// to PutMore (end is nil) or PutEnd.
func (n *Node) receiveSegment(conn *crypto.Conn, in *incoming, buf []byte) (end *wire.PutEnd, code wire.Code, err error) {
	last, told := in.offset+wire.MaxSegment, time.Now()
	for more := true; more; {
		// Whole buffers: writes that begin and end in the middle of a page of
		// the disk's cache cost several times as much.
		size := 0
		for more && size < len(buf) {
			untold := in.offset+uint64(size) > in.told
			patience := receiveTime
			if untold {
				patience = progressEach
			}
			conn.SetReadDeadline(time.Now().Add(patience))
			k, err := conn.Read(buf[size:])
			size += k
			if more = err != crypto.ErrMessage; more && err != nil && !(untold && errors.Is(err, os.ErrDeadlineExceeded)) {
				return nil, 0, err
			}
			if got := in.offset + uint64(size); more && got > in.told && time.Since(told) >= progressEach {
				if err := writeMessage(conn, wire.Progress{Bytes: got}); err != nil {
					return nil, 0, err
				}
				in.told, told = got, time.Now()
				n.uploads.came(in, got, told)
			}
		}
		if in.offset+uint64(size) > last {
			return nil, wire.CodeInvalid, nil
		}
		if _, err := in.writer.Write(buf[:size]); err != nil {
			return nil, n.disk.code(err), nil
		}
		in.offset += uint64(size)
		n.uploads.wrote(in, time.Now())
		n.moved.in.Add(uint64(size))
	}
	msg, err := n.readMessage(conn)
	switch m := msg.(type) {
	case wire.PutMore:
		return nil, wire.CodeOK, nil
	case wire.PutEnd:
		return &m, wire.CodeOK, nil
	}
	if err != nil {
		return nil, 0, err
	}
	return nil, wire.CodeInvalid, nil
}

// endUpload compares the manifest with what came, commits, and lets the ring
// say what the sender is told.
func (n *Node) endUpload(conn *crypto.Conn, peer keys.Member, in *incoming, m wire.Manifest) error {
	_, root, size := in.writer.Blocks()
	b := n.members.book()
	code := wire.CodeOK
	switch {
	case m.Signer != peer.ID || n.verify.manifest(b, m, n.account(peer)) != nil:
		code = wire.CodeForbidden
		n.refused.add(peer.Name, "upload in another's name")
	case m.Name != in.put.Name || m.Flags&wire.Tombstone != 0 || m.Size != uint64(size) || m.Blocks != root:
		code = wire.CodeInvalid
	default:
		// A sync of a large file takes longer than any write.
		conn.SetDeadline(time.Time{})
		stop := working(conn, m.Size)
		code = n.disk.commit(in.writer, b.Space, m)
		stop()
	}
	if code == wire.CodeInvalid {
		n.refused.add(peer.Name, "upload that is not what it says")
	}
	if code == wire.CodeForbidden || code == wire.CodeInvalid {
		return writeMessage(conn, wire.PutAck{Code: code})
	}
	return n.reply(conn, peer, in.put, ring.Version{Key: wire.KeyOf(b.Space, m.Name), Sum: m.Sum()}, code)
}

// working tells the sender of an upload now and then that its bytes are about
// to be on disk, until stop is called, which returns when nothing more is said.
func working(conn *crypto.Conn, size uint64) (stop func()) {
	var said sync.WaitGroup
	done := make(chan struct{})
	said.Go(func() { // ends with stop, which waits
		tick := time.NewTicker(workEach)
		defer tick.Stop()
		for err := error(nil); err == nil; {
			select {
			case <-tick.C:
				err = writeMessage(conn, wire.Progress{Bytes: size}) // one comes back from the ack, too
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		said.Wait()
	}
}

// verdict asks the ring how an upload that ended so is answered.
func (n *Node) verdict(from wire.ID, put wire.Put, v ring.Version, code wire.Code) (wire.PutAck, error) {
	serve, replies := n.replies.open()
	defer n.replies.close(serve)
	n.post(happened{event: ring.PutStored{Serve: serve, From: from, Name: put.Name, Version: v,
		Holders: put.Holders, Roster: put.Roster, Code: code}})
	timer := time.NewTimer(replyTime)
	defer timer.Stop()
	select {
	case r := <-replies:
		return wire.PutAck{Code: r.Code, Rows: r.Rows[:min(len(r.Rows), wire.MaxRows)],
			Votes: r.Votes[:min(len(r.Votes), wire.MaxVotes)]}, nil
	case <-timer.C:
		return wire.PutAck{}, errors.New("the ring does not answer")
	case <-n.ctx.Done():
		return wire.PutAck{}, ErrClosed
	}
}

// reply gives the ring's verdict on an upload to its sender.
func (n *Node) reply(conn *crypto.Conn, peer keys.Member, put wire.Put, v ring.Version, code wire.Code) error {
	ack, err := n.verdict(peer.ID, put, v, code)
	if err != nil {
		return err
	}
	return writeMessage(conn, ack)
}

// refuseUpload answers before the bytes have ended: what still comes is read
// and thrown away, so that the answer is not lost with the connection.
func (n *Node) refuseUpload(conn *crypto.Conn, peer keys.Member, put wire.Put, code wire.Code) error {
	var err error
	switch code {
	case wire.CodeFull, wire.CodeStuck:
		err = n.reply(conn, peer, put, ring.Version{Key: wire.KeyOf(n.members.book().Space, put.Name)}, code)
	default:
		err = writeMessage(conn, wire.PutAck{Code: code})
	}
	if err != nil {
		return err
	}
	conn.CloseWrite() // the link is of no more use; its end comes after the ack
	conn.SetReadDeadline(time.Now().Add(endTime))
	for err == nil {
		_, _, err = conn.ReadRecord()
	}
	return err
}

// replies are the uploads that wait for the ring's word.
type replies struct {
	mu    sync.Mutex
	next  uint64
	waits map[uint64]chan ring.PutReply
}

func (r *replies) open() (serve uint64, c <-chan ring.PutReply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	wait := make(chan ring.PutReply, 1) // one place: the loop never waits
	r.waits[r.next] = wait
	return r.next, wait
}

func (r *replies) close(serve uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waits, serve)
}

// deliver is for the loop. Nobody waits any more for a reply that is late.
func (r *replies) deliver(p ring.PutReply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.waits[p.Serve]; c != nil {
		c <- p
		delete(r.waits, p.Serve)
	}
}
