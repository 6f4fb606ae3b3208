package node

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"securepeer/keys"
	"securepeer/wire"
)

// Implementation constants.
const (
	// maxVerified is how many signatures of each of two generations are
	// remembered: some 4 MiB, and a second sight of the same row, as from each of
	// the links that pass it on, costs a hash: a 150th of a signature
	// (BenchmarkRows).
	maxVerified = 1 << 15
	// checkEach is what a member pays for a new signature that it passes on: in
	// the long run one each millisecond is verified, for a twentieth of a core,
	// whatever it sends. At once there may be as many as its view may hold that
	// this peer has never seen: a row and checkVotes votes of each member, and
	// checkLeast at least.
	checkEach  = 1 * time.Millisecond
	checkVotes = 3
	checkLeast = 4096
	// checkKnown is what a row or vote costs its sender that this peer knows
	// already, checkMessage what any message does: what they cost this peer, as
	// parts of a signature. checkAtOnce is what may come at once of those: a
	// hundred of the largest messages, or 5,000 small ones. So a member on all
	// its links leaves the loop to the others: with interval=200ms a tick came up to
	// 2 ms late, and hundreds without this.
	checkKnown   = checkEach / 100
	checkMessage = checkEach / 20
	checkAtOnce  = 256 * checkEach
)

// What a message is refused for, besides an unknown signer.
var (
	errSignature = errors.New("bad signature")
	errSigner    = errors.New("signer may not sign it: not the writer, nor a steward that removes")
	errBlocks    = errors.New("size and blocks of the manifest contradict")
)

// verifier checks every signature before the ring sees it: a member may pass
// on what others signed, and nothing else of theirs. docs/protocol.md, section
// "What is signed".
type verifier struct {
	mu sync.Mutex

	// fresh and old hold what was found good; when fresh is full it becomes
	// old, so memory is bounded and what is in use stays.
	fresh, old map[[32]byte]struct{}
	spent      map[wire.ID]spent
}

func newVerifier() *verifier {
	return &verifier{fresh: make(map[[32]byte]struct{}), old: make(map[[32]byte]struct{}),
		spent: make(map[wire.ID]spent)}
}

// spent is what a member has had done.
type spent struct{ work, signatures allowance }

// allowance is what may still be done for a member, as the time up to which
// what it has had is paid for (the generic cell rate algorithm).
type allowance struct{ paid time.Time }

// take adds a cost, of which burst may come at once, and returns how long to
// wait before it.
func (a *allowance) take(now time.Time, cost, burst time.Duration) time.Duration {
	if least := now.Add(-burst); a.paid.Before(least) {
		a.paid = least
	}
	a.paid = a.paid.Add(cost)
	return max(0, a.paid.Sub(now))
}

// allow takes a cost if nothing has to be waited for before it.
func (a *allowance) allow(now time.Time, cost, burst time.Duration) bool {
	tried := *a
	if tried.take(now, cost, burst) > 0 {
		return false
	}
	*a = tried
	return true
}

// account is who pays for the work that one message makes: who sends too much
// waits, and nobody else does. That of nobody, nil, is free.
type account struct {
	verifier *verifier
	member   wire.ID
	burst    time.Duration       // of signatures
	wait     func(time.Duration) // before the work is done
}

// account returns that of a member for its next message.
func (n *Node) account(of keys.Member) *account {
	told := false
	burst := max(checkLeast, (1+checkVotes)*len(n.members.book().Members))
	return &account{n.verify, of.ID, time.Duration(burst) * checkEach, func(d time.Duration) {
		if !told {
			told = true
			n.refused.add(of.Name, "more than is checked at once")
		}
		n.wait(d) // at the node's end what follows ends by itself
	}}
}

// of is the member who pays; of nobody, who does not.
func (a *account) of() int {
	if a == nil {
		return -1
	}
	return int(a.member)
}

// work pays for anything but signatures.
func (a *account) work(cost time.Duration) {
	if a != nil {
		a.pay(cost, checkAtOnce, func(s *spent) *allowance { return &s.work })
	}
}

// signature pays for one that is verified.
func (a *account) signature() {
	if a != nil {
		a.pay(checkEach, a.burst, func(s *spent) *allowance { return &s.signatures })
	}
}

func (a *account) pay(cost, burst time.Duration, of func(*spent) *allowance) {
	a.verifier.mu.Lock()
	s := a.verifier.spent[a.member]
	wait := of(&s).take(time.Now(), cost, burst)
	a.verifier.spent[a.member] = s
	a.verifier.mu.Unlock()
	if wait > 0 {
		a.wait(wait)
	}
}

// checking is the verification of one message.
type checking struct {
	*verifier
	book  *book
	pays  *account
	buf   []byte // key, signature, and what is signed, of one at a time
	wrong error  // that of which its sender is to blame
}

// message returns msg as the ring may have it; nil: not at all. Rows, votes and
// manifests that are not rightly signed are left out: those of members that b does
// not know, which nobody can check; manifests that their signer may not sign, as
// when it was a steward once; and those with a bad signature. Of these, wrong is
// the sender's fault, nil if there is none: it may pass on others because its
// roster is another. The sender pays for the work. A message that has no case here
// is refused, whatever is in it.
func (v *verifier) message(b *book, msg wire.Message, pays *account) (_ wire.Message, wrong error) {
	pays.work(checkMessage)
	c := &checking{verifier: v, book: b, pays: pays}
	switch m := msg.(type) {
	case wire.Rows:
		m.Rows, m.Votes = c.said(m.Rows, m.Votes)
		return m, c.wrong
	case wire.Found:
		m.Manifests = c.manifests(m.Manifests)
		return m, c.wrong
	case wire.Listed:
		m.Manifests = c.manifests(m.Manifests)
		return m, c.wrong
	case wire.Offer:
		if len(c.manifests([]wire.Manifest{m.Manifest})) == 0 {
			return nil, c.wrong
		}
		return m, nil
	case wire.Find, wire.Ask, wire.Here, wire.Refuse, wire.Look, wire.Confirmed, wire.Settled,
		wire.List, wire.Buckets, wire.PingReq, wire.PingReqAck: // nothing in them is signed
		return m, nil
	}
	return nil, errNotHere
}

// manifest checks one manifest alone.
func (v *verifier) manifest(b *book, m wire.Manifest, pays *account) error {
	c := &checking{verifier: v, book: b, pays: pays}
	return c.manifest(m)
}

// errUnknownSigner says that nobody in the roster can have signed it.
var errUnknownSigner = errors.New("signer is not in the roster")

// said returns the rows and votes that their members have signed.
func (c *checking) said(rows []wire.Row, votes []wire.Vote) ([]wire.Row, []wire.Vote) {
	c.pays.work(time.Duration(len(rows)+len(votes)) * checkKnown)
	keptRows := rows[:0]
	for _, r := range rows {
		m, ok := c.book.ByID(r.ID)
		switch {
		case !ok:
		case !c.good(m.Key, r.SignedBytes(c.book.Ring, c.begin(m.Key, r.Sig)), r.Sig):
			c.wrong = errSignature
		default:
			keptRows = append(keptRows, r)
		}
	}
	keptVotes := votes[:0]
	for _, w := range votes {
		m, ok := c.book.ByID(w.Observer)
		switch {
		case !ok:
		case !c.good(m.Key, w.SignedBytes(c.book.Ring, c.begin(m.Key, w.Sig)), w.Sig):
			c.wrong = errSignature
		default:
			keptVotes = append(keptVotes, w)
		}
	}
	return keptRows, keptVotes
}

// manifests returns those that may be believed.
func (c *checking) manifests(ms []wire.Manifest) []wire.Manifest {
	kept := ms[:0]
	for _, m := range ms {
		switch err := c.manifest(m); {
		case err == nil:
			kept = append(kept, m)
		case err == errUnknownSigner, err == errSigner && c.pays.of() != int(m.Signer):
		default:
			c.wrong = err
		}
	}
	return kept
}

// noBlocks is the hash of the block list of an empty file.
var noBlocks = wire.Sum(blake3.Sum256(nil))

// manifest checks that there can be bytes that m describes, who signed it, and
// that it may.
func (c *checking) manifest(m wire.Manifest) error {
	if m.Flags&wire.Tombstone == 0 && (m.Size == 0) != (m.Blocks == noBlocks) {
		return errBlocks
	}
	key, err := c.book.signer(m)
	if err != nil {
		return err
	}
	if !c.good(key, m.SignedBytes(c.book.Ring, c.begin(key, m.Sig)), m.Sig) {
		return errSignature
	}
	return nil
}

// signer returns the key of the signer of a manifest, if it may sign it: the
// writer, or, if it is a tombstone, a steward of now. A member's own manifest
// stays valid when its key is revoked; its removal for others as a steward does
// not.
func (b *book) signer(m wire.Manifest) (keys.Public, error) {
	signer, known := b.ByID(m.Signer)
	gone, revoked := b.revoked[m.Signer]
	switch own := m.Signer == m.Writer; {
	case known && (own || signer.Steward && m.Flags&wire.Tombstone != 0):
		return signer.Key, nil
	case revoked && own:
		return gone.Key, nil
	case known || revoked:
		return keys.Public{}, errSigner
	}
	return keys.Public{}, errUnknownSigner
}

// signedAt is where in the buffer that begin begins the signed bytes begin.
const signedAt = len(keys.Public{}.Sign) + len(wire.Sig{})

// begin returns the buffer with key and signature in it, to which what is
// signed is to be appended.
func (c *checking) begin(key keys.Public, sig wire.Sig) []byte {
	return append(append(c.buf[:0], key.Sign[:]...), sig[:]...)
}

// good verifies one signature, or remembers it: buf is what begin began.
func (c *checking) good(key keys.Public, buf []byte, sig wire.Sig) bool {
	c.buf = buf
	sum := sha256.Sum256(buf)
	if c.knows(sum) {
		return true
	}
	c.pays.signature()
	if !key.Verify(buf[signedAt:], sig) {
		return false
	}
	c.remember(sum)
	return true
}

func (v *verifier) knows(sum [32]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.fresh[sum]; ok {
		return true
	}
	if _, ok := v.old[sum]; !ok {
		return false
	}
	v.rememberLocked(sum)
	return true
}

func (v *verifier) remember(sum [32]byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rememberLocked(sum)
}

func (v *verifier) rememberLocked(sum [32]byte) {
	if len(v.fresh) >= maxVerified {
		v.old, v.fresh = v.fresh, make(map[[32]byte]struct{})
	}
	v.fresh[sum] = struct{}{}
}
