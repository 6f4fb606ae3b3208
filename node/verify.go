package node

import (
	"crypto/sha256"
	"errors"
	"sync"

	"github.com/zeebo/blake3"

	"securepeer/keys"
	"securepeer/wire"
)

// maxVerified is how many signatures of each of two generations are
// remembered: some 4 MiB, and a second sight of the same row costs a hash and not
// 45 microseconds.
const maxVerified = 1 << 15

// What a message is refused for, besides an unknown signer.
var (
	errSignature = errors.New("bad signature")
	errSigner    = errors.New("signer is neither the writer nor a steward")
	errBlocks    = errors.New("size and blocks of the manifest contradict")
)

// verifier checks every signature before the ring sees it: a member may pass
// on what others signed, and nothing else of theirs.
type verifier struct {
	mu sync.Mutex

	// fresh and old hold what was found good; when fresh is full it becomes
	// old, so memory is bounded and what is in use stays.
	fresh, old map[[32]byte]struct{}
}

func newVerifier() *verifier {
	return &verifier{fresh: make(map[[32]byte]struct{}), old: make(map[[32]byte]struct{})}
}

// message returns msg as the ring may have it. Rows, votes and manifests of
// members that b does not know cannot be checked and are left out; one with a
// bad signature is an error, and the whole message is worth nothing.
func (v *verifier) message(b *book, msg wire.Message) (wire.Message, error) {
	switch m := msg.(type) {
	case wire.Rows:
		var err error
		m.Rows, m.Votes, err = v.said(b, m.Rows, m.Votes)
		return m, err
	case wire.Offer:
		return m, v.manifest(b, m.Manifest)
	case wire.Found:
		var err error
		m.Manifests, err = v.manifests(b, m.Manifests)
		return m, err
	case wire.Listed:
		var err error
		m.Manifests, err = v.manifests(b, m.Manifests)
		return m, err
	}
	return msg, nil
}

// errUnknownSigner says that nobody in the roster can have signed it.
var errUnknownSigner = errors.New("signer is not in the roster")

// said checks rows and votes.
func (v *verifier) said(b *book, rows []wire.Row, votes []wire.Vote) ([]wire.Row, []wire.Vote, error) {
	keptRows := rows[:0]
	for _, r := range rows {
		m, ok := b.ByID(r.ID)
		if !ok {
			continue
		}
		if !v.check(m.Key, r.SignedBytes(b.Ring, nil), r.Sig) {
			return nil, nil, errSignature
		}
		keptRows = append(keptRows, r)
	}
	keptVotes := votes[:0]
	for _, w := range votes {
		m, ok := b.ByID(w.Observer)
		if !ok {
			continue
		}
		if !v.check(m.Key, w.SignedBytes(b.Ring, nil), w.Sig) {
			return nil, nil, errSignature
		}
		keptVotes = append(keptVotes, w)
	}
	return keptRows, keptVotes, nil
}

func (v *verifier) manifests(b *book, ms []wire.Manifest) ([]wire.Manifest, error) {
	kept := ms[:0]
	for _, m := range ms {
		switch err := v.manifest(b, m); err {
		case nil:
			kept = append(kept, m)
		case errUnknownSigner:
		default:
			return nil, err
		}
	}
	return kept, nil
}

// noBlocks is the hash of the block list of an empty file.
var noBlocks = wire.Sum(blake3.Sum256(nil))

// manifest checks that there can be bytes that m describes, who signed it, and
// that it may. What a member stored before its key was revoked stays valid.
func (v *verifier) manifest(b *book, m wire.Manifest) error {
	if m.Flags&wire.Tombstone == 0 && (m.Size == 0) != (m.Blocks == noBlocks) {
		return errBlocks
	}
	var key keys.Public
	if signer, ok := b.ByID(m.Signer); ok {
		if m.Signer != m.Writer && !signer.Steward {
			return errSigner
		}
		key = signer.Key
	} else if gone, ok := b.revoked[m.Signer]; ok {
		if m.Signer != m.Writer {
			return errSigner
		}
		key = gone.Key
	} else {
		return errUnknownSigner
	}
	if !v.check(key, m.SignedBytes(b.Ring, nil), m.Sig) {
		return errSignature
	}
	return nil
}

// check verifies one signature, or remembers it.
func (v *verifier) check(key keys.Public, msg []byte, sig wire.Sig) bool {
	h := sha256.New()
	h.Write(key.Sign[:])
	h.Write(sig[:])
	h.Write(msg)
	sum := [32]byte(h.Sum(nil))
	if v.knows(sum) {
		return true
	}
	if !key.Verify(msg, sig) {
		return false
	}
	v.remember(sum)
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
