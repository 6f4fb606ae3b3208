package node

import (
	"testing"
	"testing/synctest"
	"time"

	"securepeer/crypto"
	"securepeer/wire"
)

// TestPingsOfOneMemberAreBounded: whoever sends more pings in an interval than
// any member has to is answered no more until the next one, and it is counted.
func TestPingsOfOneMemberAreBounded(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		s := b.speaker(2)
		c := s.dial(crypto.Ring)
		defer c.Close()
		refused := func() uint64 { return status(t, n).Peers[2].Refused }
		flood := func(more int) {
			for range maxPings + more {
				var body [crypto.PingBodySize]byte
				wire.Ping{Mine: 1}.Append(body[:0])
				s.ping(body)
				synctest.Wait()
			}
		}
		time.Sleep(n.interval()) // of the bubble
		flood(10)
		if got := refused(); got != 10 {
			t.Errorf("%d of %d pings were refused, want 10: %+v", got, maxPings+10, status(t, n).Refused)
		}
		time.Sleep(n.interval())
		flood(0)
		if got := refused(); got != 10 {
			t.Errorf("%d were refused an interval later, want 10 still", got)
		}
		if now := status(t, n); now.Peers[1].Why != WhyNone || !now.Ready {
			t.Errorf("the ring is %+v", now)
		}
	})
}
