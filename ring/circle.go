package ring

import (
	"cmp"
	"slices"

	"securepeer/wire"
)

// between reports whether x lies on the arc (a, b], going up and round. The
// arc (a, a] is the whole ring.
func between(a, x, b wire.Pos) bool {
	if a < b {
		return a < x && x <= b
	}
	return a < x || x <= b
}

// Circle is the members of a roster by position, and where each is. It does not
// change, so many Rings of one process may share it.
type Circle struct {
	members []Member
	index   []int32 // in members, by id; nowhere: not a member
}

// NewCircle returns the circle of these members, in any order; each id and
// position is there once.
func NewCircle(members []Member) *Circle {
	c := &Circle{members: slices.Clone(members)}
	slices.SortFunc(c.members, func(a, b Member) int { return cmp.Compare(a.Pos, b.Pos) })
	for i, m := range c.members {
		for len(c.index) <= int(m.ID) {
			c.index = append(c.index, nowhere)
		}
		c.index[m.ID] = int32(i)
	}
	return c
}

// nowhere is no index.
const nowhere = -1

func (c *Circle) size() int { return len(c.members) }

func (c *Circle) id(i int) wire.ID { return c.members[i].ID }

// find returns the index of a member. A nil circle has none.
func (c *Circle) find(id wire.ID) (int, bool) {
	if c == nil || int(id) >= len(c.index) || c.index[id] == nowhere {
		return 0, false
	}
	return int(c.index[id]), true
}

func (c *Circle) has(id wire.ID) bool { _, ok := c.find(id); return ok }

// get returns the member of that id, which there is.
func (c *Circle) get(id wire.ID) Member { return c.members[c.index[id]] }

// at returns the index of the first member at or after k, or 0 if k is past
// the last one. There is at least one.
func (c *Circle) at(k wire.Pos) int {
	i, _ := slices.BinarySearchFunc(c.members, k, func(m Member, k wire.Pos) int { return cmp.Compare(m.Pos, k) })
	if i == len(c.members) {
		return 0
	}
	return i
}
