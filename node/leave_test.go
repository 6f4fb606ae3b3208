package node

import (
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"securepeer/wire"
)

// TestLeaveSaysWhyItWaits: of each member that keeps it from leaving, whether that one
// is silent, full, cannot write, or cannot be reached from this machine. (All were
// listed as silent.)
func TestLeaveSaysWhyItWaits(t *testing.T) {
	inBubble(t, 4, 4, "copies=4", func(b *bubble) {
		t, by := b.t, b.nodes[0]
		b.nodes[1].Close()
		b.room[2].Store(0)
		b.nodes[2].disk.measure()
		b.nodes[3].disk.failed(syscall.EROFS)
		time.Sleep(10 * time.Second) // of the bubble: everybody knows
		put(t, by, "f", []byte("x"))
		err := by.Leave(t.Context())
		var e *LeaveError
		want := []Lack{{"n1", Outside}, {"n2", Full}, {"n3", Unwritable}}
		if !errors.As(err, &e) || !slices.Equal(e.Why.Lacks, want) {
			t.Errorf("leave: %v, want %v", err, want)
		}
	})
}

// TestReasonOfAMember: each state and cause as what a user can do about it.
func TestReasonOfAMember(t *testing.T) {
	for _, c := range []struct {
		state wire.State
		why   Why
		want  Reason
	}{
		{wire.Active, WhyNone, Awaited}, {wire.Joining, WhyNone, Awaited}, {wire.Full, WhyNone, Full},
		{wire.Stuck, WhyNone, Unwritable}, {wire.Full, WhyUnsent, Unsent}, {wire.Active, WhyUnsent, Unsent},
		{wire.Active, WhySilent, Silent}, {wire.Active, WhyOneWay, Silent}, {wire.Active, WhyCut, Silent},
		{wire.Active, WhyUnseen, Silent}, {wire.Stuck, WhySilent, Silent}, {wire.Stopped, WhyStopped, Outside},
		{wire.Active, WhyStarting, Outside}, {wire.Leaving, WhyLeaving, Outside},
	} {
		if got := ReasonOf(stateName(c.state), c.why); got != c.want {
			t.Errorf("%v, %q: %s, want %s", c.state, c.why, got, c.want)
		}
	}
}
