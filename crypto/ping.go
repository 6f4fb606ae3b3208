package crypto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// A ping or ack is one datagram of one size:
// index 4 | counter 8 | AEAD(body 68), with the first 12 as additional data.
const (
	// DatagramSize is the size in bytes of every ping and ack.
	DatagramSize = pingHeader + PingBodySize + tagSize
	// PingBodySize is the size in bytes of what a ping carries.
	PingBodySize = 68
	// PingLife is how long after its handshake a ping session may be used.
	PingLife = 240 * time.Second

	pingHeader = 4 + 8
	// pingSessions is how many sessions of one peer are accepted.
	pingSessions = 3
	// maxPingIndexes bounds the table: three for each of 65,536 members and
	// as many again for handshakes under way.
	maxPingIndexes = 1 << 19
)

// ErrNoPing says that a peer has no ping session that may be sent under; a
// ring link to it brings one.
var ErrNoPing = errors.New("no ping session with this peer")

var errPingTable = errors.New("ping table is full")

// pingSession is one pair of ping keys, from one ring link. It outlives the
// link's connection.
type pingSession struct {
	send, recv *sealing
	window     window
	// counter is the next to send.
	counter uint64

	peer        [32]byte
	incarnation uint64 // the peer's
	mine        uint32 // the index the peer sends to
	theirs      uint32 // the index we send to
	born        time.Time
	// confirmed: the peer has proved that it holds this session. For the
	// responder Hello proves it; for the dialler, the first datagram.
	confirmed bool
}

// newPingSession makes the ping session of s. The responder adds it to a
// table only after Hello, so its own is confirmed from the start.
func newPingSession(s *Session, aead string, send, recv *[32]byte) (*pingSession, error) {
	p := &pingSession{
		peer:        s.Peer,
		incarnation: s.Theirs.Incarnation,
		mine:        s.Mine.PingIndex,
		theirs:      s.Theirs.PingIndex,
		confirmed:   !s.Initiator,
	}
	var err error
	if p.send, err = newSealing(aead, send); err != nil {
		return nil, err
	}
	p.recv, err = newSealing(aead, recv)
	return p, err
}

// seal appends one datagram.
func (p *pingSession) seal(dst []byte, body *[PingBodySize]byte) []byte {
	at := len(dst)
	dst = slices.Grow(dst, DatagramSize)
	dst = binary.BigEndian.AppendUint32(dst, p.theirs)
	dst = binary.BigEndian.AppendUint64(dst, p.counter)
	dst = append(dst, body[:]...)
	text := dst[at+pingHeader:]
	p.send.aead.Seal(text[:0], p.send.at(p.counter), text, dst[at:at+pingHeader])
	p.counter++
	return dst[:at+DatagramSize]
}

// open opens a whole datagram in place. Order matters: the window is asked,
// then the tag is checked, and only then the window moves.
func (p *pingSession) open(datagram []byte) ([]byte, bool) {
	counter := binary.BigEndian.Uint64(datagram[4:])
	if counter >= maxCounter || !p.window.fresh(counter) {
		return nil, false
	}
	text := datagram[pingHeader:]
	body, err := p.recv.aead.Open(text[:0], p.recv.at(counter), text, datagram[:pingHeader])
	if err != nil {
		return nil, false
	}
	p.window.accept(counter)
	return body, true
}

func (p *pingSession) expired(now time.Time) bool { return now.Sub(p.born) >= PingLife }

// PingTable holds the ping sessions of all peers and finds them by the index
// in a datagram. Make one with [NewPingTable]. Its methods may be called from
// several goroutines.
type PingTable struct {
	mu sync.Mutex

	// byIndex has every index in use; nil: reserved by a handshake.
	byIndex map[uint32]*pingSession
	// byPeer has at most pingSessions of each peer, newest last.
	byPeer map[[32]byte][]*pingSession
	// ended has the session of each peer that ended last, and endedIndex the
	// same by index. They accept nothing: they tell what was under way from a
	// stranger's.
	ended      map[[32]byte]*pingSession
	endedIndex map[uint32]*pingSession
}

// NewPingTable returns an empty table.
func NewPingTable() *PingTable {
	return &PingTable{
		byIndex: make(map[uint32]*pingSession),
		byPeer:  make(map[[32]byte][]*pingSession),

		ended:      make(map[[32]byte]*pingSession),
		endedIndex: make(map[uint32]*pingSession),
	}
}

// reserve picks an index at random, not 0 and unique in the table, for a
// handshake that begins. It ends with add or release.
func (t *PingTable) reserve(random io.Reader) (uint32, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byIndex) >= maxPingIndexes {
		return 0, errPingTable
	}
	for {
		var b [4]byte
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return 0, fmt.Errorf("reading randomness: %w", err)
		}
		index := binary.BigEndian.Uint32(b[:])
		if _, used := t.byIndex[index]; index != 0 && !used {
			t.byIndex[index] = nil
			return index, nil
		}
	}
}

// release gives a reserved index back.
func (t *PingTable) release(index uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.byIndex[index]; ok && p == nil {
		delete(t.byIndex, index)
	}
}

// add takes up the ping session of a ring link whose peer is proved, under
// its reserved index. Sessions of another incarnation of that peer end, so do
// the fourth newest and whatever has had its time.
//
// An incarnation may rise between two handshakes that cross: the peer may then
// go on to send under the session that came first here and last there. So a
// session as young as a handshake may take stays, to be accepted only.
func (t *PingTable) add(s *Session, now time.Time) {
	p := s.ping
	p.born = now
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, old := range t.byIndex {
		if old == nil {
			continue
		}
		if old.expired(now) {
			t.dropLocked(old)
		} else if old.peer == p.peer && old.incarnation != p.incarnation && now.Sub(old.born) > handshakeTime {
			t.endLocked(old)
		}
	}
	if all := t.byPeer[p.peer]; len(all) == pingSessions {
		t.endLocked(all[0])
	}
	t.byIndex[p.mine] = p
	t.byPeer[p.peer] = append(t.byPeer[p.peer], p)
}

// remove ends the ping session of a link that was not published.
func (t *PingTable) remove(s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byIndex[s.ping.mine] == s.ping {
		t.dropLocked(s.ping)
	}
}

// endLocked ends p and remembers it, in the place of the one before.
func (t *PingTable) endLocked(p *pingSession) {
	t.dropLocked(p)
	t.forgetLocked(p.peer)
	t.ended[p.peer], t.endedIndex[p.mine] = p, p
}

// forgetLocked forgets the session of a peer that ended last.
func (t *PingTable) forgetLocked(peer [32]byte) {
	if last := t.ended[peer]; last != nil {
		delete(t.ended, peer)
		delete(t.endedIndex, last.mine)
	}
}

func (t *PingTable) dropLocked(p *pingSession) {
	delete(t.byIndex, p.mine)
	all := t.byPeer[p.peer]
	if i := slices.Index(all, p); i >= 0 {
		all = slices.Delete(all, i, i+1)
	}
	if len(all) == 0 {
		delete(t.byPeer, p.peer)
		return
	}
	t.byPeer[p.peer] = all
}

// Drop ends every ping session with the peer of that noise key, at once: it
// is revoked, or its key, id or position changed.
func (t *PingTable) Drop(peer [32]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range slices.Clone(t.byPeer[peer]) {
		t.dropLocked(p)
	}
	t.forgetLocked(peer)
}

// Seal appends one datagram of [DatagramSize] bytes for the peer to dst, under
// the newest session that the peer has confirmed, else the newest. It returns
// [ErrNoPing] if there is none.
func (t *PingTable) Seal(dst []byte, peer [32]byte, body *[PingBodySize]byte, now time.Time) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var best *pingSession
	all := t.byPeer[peer]
	for _, p := range all {
		if p.incarnation != all[len(all)-1].incarnation || p.expired(now) || p.counter >= maxCounter {
			continue
		}
		if best == nil || p.confirmed || !best.confirmed {
			best = p
		}
	}
	if best == nil {
		return dst, ErrNoPing
	}
	return best.seal(dst, body), nil
}

// Open opens a datagram in place and says which peer sealed it; body aliases
// datagram. Anything that is not a fresh datagram of a live session gives
// false, without a reason: there is nobody to tell it to. With false, peer is
// not zero only if that peer sealed it under a session that has ended: it was
// under way meanwhile, and is no stranger's.
func (t *PingTable) Open(datagram []byte, now time.Time) (peer [32]byte, body []byte, ok bool) {
	if len(datagram) != DatagramSize {
		return peer, nil, false
	}
	index := binary.BigEndian.Uint32(datagram)
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.byIndex[index]
	if p == nil {
		return t.lateLocked(t.endedIndex[index], datagram, now), nil, false
	}
	if p.expired(now) {
		return peer, nil, false
	}
	body, ok = p.open(datagram)
	if !ok {
		return peer, nil, false
	}
	p.confirmed = true
	return p.peer, body, true
}

// lateLocked returns whose datagram it is if it is one of p, which has ended
// but would not be expired, else zero. p may be nil.
func (t *PingTable) lateLocked(p *pingSession, datagram []byte, now time.Time) (peer [32]byte) {
	if p == nil || p.expired(now) {
		return peer
	}
	if _, ok := p.open(datagram); ok {
		peer = p.peer
	}
	return peer
}
