package node

import (
	"slices"
	"testing"
	"time"

	"securepeer/keys"
	"securepeer/wire"
)

// without is a roster without the line of one member.
func without(r *keys.Roster, id wire.ID) *keys.Roster {
	next := *r
	next.Members = slices.DeleteFunc(slices.Clone(r.Members), func(m keys.Member) bool { return m.ID == id })
	return &next
}

// TestMembersOfAnOlderRosterAreNotBlamed: a line is taken out of the roster while
// that member runs, and the rosters of the others are read one after the other.
// Who has read the new one counted "message against the rules of the ring"
// against those who asked it to ping the one that it does not have any more.
func TestMembersOfAnOlderRosterAreNotBlamed(t *testing.T) {
	for _, gone := range []bool{false, true} {
		inBubble(t, 6, 6, "copies=3 interval=1s", func(b *bubble) {
			for i := range 10 {
				put(b.t, b.nodes[0], string(rune('a'+i)), bytesOf(byte(i), 1000))
			}
			if gone { // those that still have it miss it, and ask the others
				b.net.off(b.addr(5))
			}
			next := without(b.roster, 5)
			for _, n := range b.nodes[:5] {
				if err := n.Reload(next); err != nil {
					b.t.Fatal(err)
				}
				time.Sleep(7 * time.Second)
			}
			b.blameless()
			b.net.cut(nil)
		})
	}
}
