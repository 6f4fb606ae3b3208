package node

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"securepeer/crypto"
	"securepeer/internal/store"
	"securepeer/wire"
)

// Implementation constants.
const (
	// uploadIdle is how long an upload waits for its next bytes, if nobody needs
	// its place.
	uploadIdle = 10 * time.Minute
	// uploadStall is how long an upload may bring nothing, or less than leastRate,
	// until it counts among those that make room for others.
	uploadStall = 10 * time.Second
	// maxUploads is how many uploads of one member are under way at once, and
	// maxAllUploads of all of them: each is an open file.
	maxUploads    = 8
	maxAllUploads = 256
)

// uploadKey names an upload: the number is its sender's choice.
type uploadKey struct {
	from   wire.ID
	upload uint64
}

// incoming is one upload that others send here. One segment at a time has it;
// what it holds of the disk and when is the table's.
type incoming struct {
	key    uploadKey
	put    wire.Put      // of the first segment
	writer *store.Writer // nil: not created yet
	offset uint64
	told   uint64 // of the offset, to its sender

	leads  *wire.Sum    // the version that is left to it; nil: none
	ends   bool         // all bytes have come: it is put onto the disk
	conn   *crypto.Conn // brings its segment; nil: it waits for the next one
	expiry *time.Timer  // of one that waits
	held   uint64       // bytes on the disk
	got    uint64       // bytes that have come
	last   time.Time    // when some last did
	mark   uint64       // how many had when it last was no slower than leastRate
	moved  time.Time    // and when that was
}

// uploads are those that are under way. Their part of the disk is nobody's
// file yet: when it is needed, or a place is, the oldest that waits goes, of the
// member that holds the most.
type uploads struct {
	mu     sync.Mutex
	open   map[*incoming]struct{}
	doomed []*store.Writer // end when mu is unlocked: that takes as long as the disk does
	closed bool
}

func newUploads() *uploads { return &uploads{open: make(map[*incoming]struct{})} }

// begin takes one more up, if its member may have one. If it has too many, one
// of its own that waits makes room; if all have, one of who holds most does.
func (u *uploads) begin(k uploadKey, conn *crypto.Conn, put wire.Put) *incoming {
	u.mu.Lock()
	defer u.unlock()
	count := 0
	for in := range u.open {
		if in.key.from == k.from {
			count++
		}
	}
	own := func(in *incoming) bool { return in.conn == nil && in.key.from == k.from }
	switch {
	case u.closed:
		return nil
	case count >= maxUploads && !u.evictLocked(own):
		return nil
	case len(u.open) >= maxAllUploads && !u.evictLocked(func(in *incoming) bool { return in.conn == nil }):
		return nil
	}
	now := time.Now()
	in := &incoming{key: k, put: put, conn: conn, last: now, moved: now}
	u.open[in] = struct{}{}
	return in
}

// take returns the upload that waits under k, if there is one, for its next
// segment, which conn brings.
func (u *uploads) take(k uploadKey, conn *crypto.Conn) *incoming {
	u.mu.Lock()
	defer u.mu.Unlock()
	for in := range u.open {
		if in.key == k && in.conn == nil {
			in.expiry.Stop() // if it runs already it finds that it is too late
			in.conn = conn
			return in
		}
	}
	return nil
}

// wrote notes how many bytes of in are on the disk.
func (u *uploads) wrote(in *incoming, now time.Time) {
	u.came(in, in.offset, now)
	u.mu.Lock()
	defer u.mu.Unlock()
	in.held = in.offset
}

// came notes how many bytes of in have come, on the disk or not yet: over a slow line
// that takes long. A segment without any moves nothing, and what comes slower than
// leastRate stands still.
func (u *uploads) came(in *incoming, got uint64, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if got > in.got {
		in.got, in.last = got, now
	}
	if got > in.mark && float64(got-in.mark) >= leastRate*now.Sub(in.moved).Seconds() {
		in.mark, in.moved = got, now
	}
}

// bring reports whether an upload that goes on here may be that of m, as far as
// can be known before its end: it has its signer, its name and, if it says so, its
// size. Of each upload that is one version, so that none holds up others.
func (u *uploads) bring(m wire.Manifest, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	sum := m.Sum()
	for in := range u.open {
		switch {
		case in.key.from != m.Signer || in.put.Name != m.Name || in.held > m.Size:
		case in.put.Size != wire.SizeUnknown && in.put.Size != m.Size:
		case !in.ends && now.Sub(in.moved) > uploadStall:
		case in.leads == nil || *in.leads == sum:
			in.leads = &sum
			return true
		}
	}
	return false
}

// whole notes that all bytes of in have come: it makes no room any more.
func (u *uploads) whole(in *incoming) {
	u.mu.Lock()
	defer u.mu.Unlock()
	in.held, in.ends = 0, true
}

// wait keeps an upload for its next segment, until uploadIdle after its last
// byte. One that waits under the same number ends: its sender has begun again.
func (u *uploads) wait(in *incoming) {
	u.mu.Lock()
	defer u.unlock()
	for old := range u.open {
		if old.key == in.key && old.conn == nil {
			u.dropLocked(old)
		}
	}
	if _, ok := u.open[in]; !ok || u.closed { // it had to make room
		u.dropLocked(in)
		return
	}
	in.conn = nil
	in.expiry = time.AfterFunc(uploadIdle-time.Since(in.last), func() { u.expire(in) })
}

// expire ends in if it still waits.
func (u *uploads) expire(in *incoming) {
	u.mu.Lock()
	defer u.unlock()
	if _, ok := u.open[in]; ok && in.conn == nil {
		u.dropLocked(in)
	}
}

// end ends an upload whose segment the caller has.
func (u *uploads) end(in *incoming) {
	u.mu.Lock()
	defer u.unlock()
	u.dropLocked(in)
}

func (u *uploads) dropLocked(in *incoming) {
	delete(u.open, in)
	if in.expiry != nil {
		in.expiry.Stop()
	}
	if in.writer != nil {
		u.doomed = append(u.doomed, in.writer)
	}
}

// unlock lets go of mu, and then of the files of those that were dropped.
func (u *uploads) unlock() {
	doomed := u.doomed
	u.doomed = nil
	u.mu.Unlock()
	for _, w := range doomed {
		w.Abort() // does nothing after a commit
	}
}

// makeRoom ends one upload that brings nothing, for what it holds of the disk,
// and reports whether that is free now.
func (u *uploads) makeRoom(now time.Time) bool {
	u.mu.Lock()
	defer u.unlock()
	return u.evictLocked(func(in *incoming) bool {
		return in.held > 0 && (in.conn == nil || now.Sub(in.moved) > uploadStall)
	})
}

// makeRoomFor is makeRoom for an upload of that size, which lacks some of it. One
// that waits for its next segment since a moment goes only if its member has no
// less than the other would have then; and none does in vain: a size is a claim.
func (u *uploads) makeRoomFor(from wire.ID, size, lacks int64, now time.Time) bool {
	u.mu.Lock()
	defer u.unlock()
	held := make(map[wire.ID]uint64)
	for in := range u.open {
		held[in.key.from] += in.held
	}
	may := func(in *incoming) bool {
		return in.held > 0 && (now.Sub(in.moved) > uploadStall || in.conn == nil && held[in.key.from] >= held[from]+uint64(size))
	}
	var most uint64
	for in := range u.open {
		if may(in) {
			most += in.held
		}
	}
	return most >= uint64(lacks) && u.evictLocked(may)
}

// evictLocked ends one of those that may go: of the member that holds the most
// of the disk the one that has brought nothing for longest. If a link still
// brings it, the link is closed, and its reader lets go.
func (u *uploads) evictLocked(may func(*incoming) bool) (free bool) {
	held := make(map[wire.ID]uint64)
	var list []*incoming
	for in := range u.open {
		held[in.key.from] += in.held
		if may(in) {
			list = append(list, in)
		}
	}
	if len(list) == 0 {
		return false
	}
	in := slices.MinFunc(list, func(a, b *incoming) int {
		return cmp.Or(cmp.Compare(held[b.key.from], held[a.key.from]), a.moved.Compare(b.moved), cmp.Compare(a.key.upload, b.key.upload))
	})
	if in.conn == nil {
		u.dropLocked(in)
		return true
	}
	delete(u.open, in)
	in.conn.Close() // its reader ends with this
	return false
}

// unfinished is what the uploads of each member hold, in no order.
func (u *uploads) unfinished() map[wire.ID]Unfinished {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := make(map[wire.ID]Unfinished)
	for in := range u.open {
		x := all[in.key.from]
		x.Uploads++
		x.Bytes += in.held
		all[in.key.from] = x
	}
	return all
}

// close ends those that wait. Nothing waits after it.
func (u *uploads) close() {
	u.mu.Lock()
	defer u.unlock()
	u.closed = true
	for in := range u.open {
		if in.conn == nil {
			u.dropLocked(in)
		}
	}
}
