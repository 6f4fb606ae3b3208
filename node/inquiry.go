package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"securepeer/crypto"
	"securepeer/ring"
	"securepeer/wire"
)

// Implementation constants.
const (
	// A member is named for empty claims if it has, inquiryRounds times in a row,
	// one each inquiryEach, claimed a version that nobody else shows, given nothing
	// of it when it was asked at once, and claimed one again after the last time. A
	// disk or a line that fails for less than a minute gets nobody named.
	inquiryRounds = 4
	inquiryEach   = quietTime
	// maxInquiries is of how many members that is asked at once; of each it is
	// once.
	maxInquiries = 8
	// checkTime is how long a member that gives something may take for the first
	// block, whose hash says what that was.
	checkTime = time.Minute
)

// emptyClaims is the cause for which such a member is named.
const emptyClaims = "claims versions of which it gives no byte"

// inquire finds out, in the background, whether a member that has claimed to have
// a version of name, and did not bring it in time, has what it claims.
func (n *Node) inquire(by wire.ID, name string) {
	if by == n.self || !n.claims.begin(by) {
		return
	}
	if !n.enter() {
		n.claims.end(by)
		return
	}
	// Ends after its rounds, or with the node, which waits.
	go func() {
		defer n.work.Done()
		defer n.claims.end(by)
		if n.claimsInVain(by, name) {
			n.refused.add(n.members.book().name(by), emptyClaims)
		}
	}()
}

// claimsInVain reports whether all that a member claims of name is empty, in each
// round.
func (n *Node) claimsInVain(by wire.ID, name string) bool {
	for range inquiryRounds {
		began := time.Now()
		m, ok := n.claimOf(by, name)
		if !ok || !n.givesNothing(by, m) || !n.wait(inquiryEach-time.Since(began)) {
			return false
		}
	}
	_, ok := n.claimOf(by, name)
	return ok
}

// claimOf asks for name again, and returns the newest version with bytes that this
// member shows now, and nobody else.
func (n *Node) claimOf(by wire.ID, name string) (claimed wire.Manifest, ok bool) {
	ctx, cancel := context.WithTimeout(n.ctx, askTime)
	defer cancel()
	r, err := n.call(ctx, func(op ring.Op) ring.Event { return ring.Stat{Op: op, Name: name} })
	if err != nil {
		return claimed, false
	}
	var shown []wire.Manifest
	others := make(map[wire.Sum]bool)
	for _, f := range r.Found {
		for _, m := range f.Manifests {
			if f.Peer == by {
				shown = append(shown, m)
			} else {
				others[m.Sum()] = true
			}
		}
	}
	slices.SortFunc(shown, newestFirst)
	i := slices.IndexFunc(shown, func(m wire.Manifest) bool { return m.Size > 0 && !others[m.Sum()] })
	if i < 0 {
		return claimed, false
	}
	return shown[i], true
}

// givesNothing asks a member for a version. It reports true if the member says
// that it does not have it, says nothing for quietTime, or ends the link; not if
// its disk fails, or anything here does. What it gives is checked, once for each
// version: a lie has a name of its own.
func (n *Node) givesNothing(by wire.ID, m wire.Manifest) bool {
	ctx, cancel := context.WithTimeout(n.ctx, askTime)
	defer cancel()
	t, err := n.pool.take(ctx, by)
	if err != nil {
		return false
	}
	stop := context.AfterFunc(n.ctx, func() { t.Conn.Close() })
	err = n.sample(t, m)
	if !stop() || err != nil {
		n.pool.drop(t)
	} else {
		n.pool.give(t)
	}
	if err == nil && n.claims.check(by, m.Sum()) {
		ctx, cancel := context.WithTimeout(n.ctx, checkTime)
		defer cancel()
		n.newTrial(ring.Choice{Manifest: m, Sources: []wire.ID{by}}, nil).run(ctx)
	}
	var refused *refusalError
	if errors.As(err, &refused) {
		return refused.code == wire.CodeNotFound || refused.code == wire.CodeInvalid
	}
	_, ours := own(err)
	return err != nil && !ours && n.ctx.Err() == nil
}

// sample asks for one hash and one byte of a version, which any line carries.
func (n *Node) sample(t *transfer, m wire.Manifest) error {
	v := versionOf(n.members.book().Space, m)
	if err := writeMessage(t.Conn, wire.Blocks{Key: wire.Pos(v.Key), Sum: v.Sum, Count: 1}); err != nil {
		return err
	}
	t.SetReadDeadline(time.Now().Add(quietTime))
	msg, err := n.readMessage(t.Conn)
	if err != nil {
		return err
	}
	if list, ok := msg.(wire.BlockList); !ok || len(list.Hashes) != 1 {
		return refusedWith(msg)
	}
	if err := writeMessage(t.Conn, wire.Get{Key: wire.Pos(v.Key), Sum: v.Sum, Length: 1}); err != nil {
		return err
	}
	t.SetReadDeadline(time.Now().Add(quietTime))
	_, err = t.Read(make([]byte, 1))
	if errors.Is(err, crypto.ErrMessage) {
		if msg, err = n.readMessage(t.Conn); err == nil {
			err = refusedWith(msg)
		}
	}
	return err
}
