package node

import (
	"context"
	"slices"
	"sync"
	"time"

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
)

// claims are versions that one member alone says it has, and of which nothing
// came when they were asked for.
type claims struct {
	mu sync.Mutex
	of map[wire.ID]map[wire.Sum]time.Time
}

func (c *claims) add(by wire.ID, sum wire.Sum) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.of[by]) >= maxClaims {
		delete(c.of, by) // a get that waits once more is all that comes of it
	}
	if c.of[by] == nil {
		c.of[by] = make(map[wire.Sum]time.Time)
	}
	c.of[by][sum] = time.Now()
}

func (c *claims) has(by wire.ID, sum wire.Sum) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.of[by][sum]
	return ok && time.Since(at) < claimKept
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

// first returns the first of choices whose first block comes: each is asked for
// when the one before has failed, or has had its time; that is short for what
// one member alone claims to have. What lost is remembered if it was such. With
// none it is the last.
func (n *Node) first(ctx context.Context, choices []ring.Choice) int {
	if len(choices) == 1 {
		return 0
	}
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		of    int
		comes bool
	}
	answers := make(chan answer, len(choices)) // a place for each
	begun := 0
	next := func() (patience time.Duration) {
		i := begun
		begun++
		asking.Go(func() { answers <- answer{i, n.begins(ctx, choices[i])} }) // ends with ctx, or before
		if alone(choices[i]) {
			return lateAfter
		}
		return silentTime
	}
	late := time.NewTimer(next())
	defer late.Stop()
	for failed := 0; failed < len(choices); {
		more := false
		select {
		case a := <-answers:
			if a.comes {
				n.lost(choices[:a.of])
				return a.of
			}
			failed++
			more = failed == begun
		case <-late.C:
			more = true
		case <-ctx.Done():
			return len(choices) - 1
		}
		if more && begun < len(choices) {
			late.Reset(next())
		}
	}
	return len(choices) - 1
}

// lost remembers, and says, that these versions were claimed and did not come.
func (n *Node) lost(choices []ring.Choice) {
	for _, c := range choices {
		if alone(c) {
			n.claims.add(c.Sources[0], c.Manifest.Sum())
			n.log.Info("a newer version is claimed by one member alone, and does not come", "file", c.Manifest.Name,
				"version", c.Manifest.Version, "peer", n.members.book().name(c.Sources[0]))
		}
	}
}
