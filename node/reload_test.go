package node

import (
	"slices"
	"testing"
	"testing/synctest"

	"securepeer/keys"
	"securepeer/ring"
)

// TestReloadsAtOnceHaveOneOrder: while the ring has not been told of one roster, no
// other becomes law for the links, and none is read: so what was read last is law
// for both.
func TestReloadsAtOnceHaveOneOrder(t *testing.T) {
	inBubble(t, 4, 0, "", func(b *bubble) {
		t := b.t
		n := b.loner(0, b.disks[0].Mount())
		with := func(members int) *keys.Roster {
			next := *b.roster
			next.Members = slices.Clone(next.Members[:members])
			return &next
		}
		for len(n.inputs) < cap(n.inputs) { // the loop is busy
			n.inputs <- happened{event: ring.Tick{}}
		}
		ended := make(chan error, 3)
		reads := make(chan int, 3)
		reload := func(members int) {
			go func() { // ends when the loop has taken its roster; waited for below
				ended <- n.ReloadFrom(func() (*keys.Roster, error) { reads <- members; return with(members), nil })
			}()
			synctest.Wait()
		}
		for _, members := range []int{3, 2, 1} {
			reload(members)
		}
		if got := len(n.members.book().Members); got != 3 || len(reads) != 1 {
			t.Errorf("the links have a roster of %d, and %d were read, though the ring has not been told of the first, of 3", got, len(reads))
		}
		for _, want := range []int{3, 2, 1} {
			var told ring.RosterChanged
			for ok := false; !ok; {
				told, ok = (<-n.inputs).(happened).event.(ring.RosterChanged)
			}
			if len(told.Roster.Members) != want || <-reads != want {
				t.Errorf("the ring is told of %d members, want %d", len(told.Roster.Members), want)
			}
		}
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if got := len(n.members.book().Members); got != 1 {
			t.Errorf("the links have a roster of %d, the ring of 1", got)
		}
		n.Close()
	})
}

// TestReloadThatCannotBeReadChangesNothing, and keeps nobody from the next one.
func TestReloadThatCannotBeReadChangesNothing(t *testing.T) {
	inBubble(t, 2, 1, "", func(b *bubble) {
		n := b.nodes[0]
		was := n.members.book()
		if err := n.ReloadFrom(func() (*keys.Roster, error) { return nil, ErrNoSuchMember }); err != ErrNoSuchMember || n.members.book() != was {
			b.t.Errorf("ReloadFrom: %v", err)
		}
		if err := n.Reload(b.roster); err != nil || n.members.book() == was {
			b.t.Errorf("Reload: %v", err)
		}
		n.Close()
		if err := n.Reload(b.roster); err != ErrClosed {
			b.t.Errorf("after the end: %v", err)
		}
	})
}
