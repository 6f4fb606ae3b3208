package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"securepeer/internal/store"
	"securepeer/ring"
	"securepeer/wire"
)

// Implementation constants.
const (
	// claimKept is how long a version whose bytes did not come is taken for one
	// that its holder only claims to have, and maxClaims how many of one member
	// are remembered.
	claimKept = 10 * time.Minute
	maxClaims = 64
	// claimTime is how long the first block of what one member alone claims to
	// have is waited for while its bytes come as fast as that asks for. How fast
	// they come is not asked for the first claimEarly.
	claimTime  = 20 * time.Second
	claimEarly = 2 * time.Second
)

// claims are versions that one member alone says it has, and of which nothing
// came when they were asked for, and the members that are asked again for such.
type claims struct {
	mu    sync.Mutex
	of    map[wire.ID]map[wire.Sum]claimed
	asked map[wire.ID]bool
}

// claimed is one of those.
type claimed struct {
	at      time.Time // when nothing came
	checked bool      // what came later was looked at
}

func newClaims() *claims {
	return &claims{of: make(map[wire.ID]map[wire.Sum]claimed), asked: make(map[wire.ID]bool)}
}

func (c *claims) add(by wire.ID, sum wire.Sum) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.of[by]) >= maxClaims {
		delete(c.of, by) // a get that waits once more is all that comes of it
	}
	if c.of[by] == nil {
		c.of[by] = make(map[wire.Sum]claimed)
	}
	c.of[by][sum] = claimed{time.Now(), c.of[by][sum].checked}
}

func (c *claims) has(by wire.ID, sum wire.Sum) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.of[by][sum]
	return ok && time.Since(x.at) < claimKept
}

// any reports whether a member is known for a mere claim.
func (c *claims) any(by wire.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.of[by] {
		if time.Since(x.at) < claimKept {
			return true
		}
	}
	return false
}

// check reports whether a claim that is remembered was not checked yet; now it is.
func (c *claims) check(by wire.ID, sum wire.Sum) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.of[by][sum]
	if !ok || x.checked {
		return false
	}
	c.of[by][sum] = claimed{x.at, true}
	return true
}

// begin takes a member up that is to be asked again, if there is a place, and end
// lets it go.
func (c *claims) begin(by wire.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked[by] || len(c.asked) >= maxInquiries {
		return false
	}
	c.asked[by] = true
	return true
}

func (c *claims) end(by wire.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.asked, by)
}

// alone reports whether one member alone says that it has a version.
func alone(c ring.Choice) bool { return len(c.Sources) == 1 }

// credible puts those choices last that are known for mere claims.
func (n *Node) credible(choices []ring.Choice) []ring.Choice {
	mere := func(c ring.Choice) int {
		if alone(c) && n.claims.has(c.Sources[0], c.Manifest.Sum()) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(choices, func(a, b ring.Choice) int { return mere(a) - mere(b) })
	return choices
}

// trial asks for the first block of one choice.
type trial struct {
	choice   ring.Choice
	fetch    *fetch
	patience time.Duration // for its first byte
	began    time.Time
	ended    bool
	comes    bool // the first block is here
}

func (n *Node) newTrial(c ring.Choice, p *Progress) *trial {
	t := &trial{choice: c, fetch: n.newFetch(c.Manifest, c.Sources, &firstSink{}), patience: silentTime, began: time.Now()}
	t.fetch.more = func(ctx context.Context) []wire.ID { return n.holdersOf(ctx, p, c.Manifest.Name, c.Manifest.Sum()) }
	p.gets(t.fetch)
	if alone(c) {
		t.patience = lateAfter
	}
	return t
}

// run reports whether the first block of the choice can be had.
func (t *trial) run(ctx context.Context) bool {
	n := t.fetch.node
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	err := t.fetch.run(ctx)
	if t.fetch.healed() {
		n.heal(t.choice.Manifest, t.choice.Sources)
	}
	return err == nil || errors.Is(err, errBegins)
}

// awaited reports whether a trial is worth the wait of one that has an older
// version: for a moment, and while its bytes are on their way. A member
// known for mere claims has the moment alone.
func (t *trial) awaited() bool {
	m, age, came := t.choice.Manifest, time.Since(t.began), t.fetch.came.Load()
	switch {
	case t.ended:
		return false
	case age < t.patience:
		return true
	case came == 0 || alone(t.choice) && t.fetch.node.claims.any(t.choice.Sources[0]):
		return false
	case age < claimEarly:
		return true
	}
	need := min(m.Size, wire.BlockSize) + uint64(blocksOf(m.Size))*store.HashSize
	return age < claimTime && float64(came)*claimTime.Seconds() >= float64(need)*age.Seconds()
}

// first returns the first of choices, which are the newest first, whose first
// block comes. The next one is asked as well when those before have failed or
// sent nothing for a while, which is short for what one member alone claims to
// have; it is taken when they are awaited no more. One that lost is remembered if
// it was such a claim. With none it is the last.
func (n *Node) first(ctx context.Context, choices []ring.Choice, p *Progress) int {
	if len(choices) == 1 {
		return 0
	}
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan *trial, len(choices)) // a place for each
	trials := make([]*trial, 0, len(choices))
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	for {
		waits := slices.ContainsFunc(trials, (*trial).awaited)
		if !waits && len(trials) < len(choices) {
			t := n.newTrial(choices[len(trials)], p)
			trials = append(trials, t)
			asking.Go(func() { // ends with ctx, or before
				t.comes = t.run(ctx)
				answers <- t
			})
			continue
		}
		if i := chosen(trials); i >= 0 {
			n.lost(choices[:i])
			return i
		}
		if len(trials) == len(choices) && !slices.ContainsFunc(trials, func(t *trial) bool { return !t.ended }) {
			return len(choices) - 1
		}
		select {
		case t := <-answers:
			t.ended = true
		case <-tick.C:
		case <-ctx.Done():
			return len(choices) - 1
		}
	}
}

// chosen is the newest version whose first block is here, or -1 while there is
// none, or a newer one is awaited.
func chosen(trials []*trial) int {
	for i, t := range trials {
		switch {
		case t.ended && t.comes:
			return i
		case t.awaited():
			return -1
		}
	}
	return -1
}

// lost remembers, and says, that these versions were claimed and did not come, and
// has their holders asked again.
func (n *Node) lost(choices []ring.Choice) {
	for _, c := range choices {
		if alone(c) {
			n.claims.add(c.Sources[0], c.Manifest.Sum())
			n.log.Info("a newer version is claimed by one member alone, and does not come", "file", c.Manifest.Name,
				"version", c.Manifest.Version, "peer", n.members.book().name(c.Sources[0]))
			n.inquire(c.Sources[0], c.Manifest.Name)
		}
	}
}

// claimed are the versions that were shown, are newer than the one that is
// delivered, and did not come.
func (b *book) claimed(choices []ring.Choice, delivered wire.Manifest) []Claim {
	claims := []Claim{}
	for _, c := range choices {
		if m := c.Manifest; m.Newer(delivered) {
			claims = append(claims, Claim{Version: m.Version, Writer: b.name(m.Writer), Peers: b.names(c.Sources)})
		}
	}
	return claims
}
