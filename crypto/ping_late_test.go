package crypto

import "testing"

// TestPingUnderWayWhenItsSessionEndsIsNoStrangers: it is not accepted, and it
// says whose it was; a forged one under the same index does not, nor does one
// of a member that is out.
func TestPingUnderWayWhenItsSessionEndsIsNoStrangers(t *testing.T) {
	a, b := newPinger(t), newPinger(t)
	later := epoch.Add(handshakeTime + 1)
	late := func(datagram []byte) bool {
		peer, _, ok := b.table.Open(datagram, later)
		if ok {
			t.Error("a session that has ended accepts pings")
		}
		return peer != [32]byte{}
	}
	sa, _ := meet(t, a, b, 1, 1, epoch)
	seal := func() []byte { return sa.ping.seal(nil, new([PingBodySize]byte)) }
	meet(t, a, b, 2, 1, later) // an incarnation more, as of a link that is replaced after 120 s
	forged := seal()
	forged[len(forged)-1] ^= 1
	if late(forged) {
		t.Error("a forged datagram is taken for a member's")
	}
	if once := seal(); !late(append([]byte(nil), once...)) || late(once) {
		t.Error("a ping that was under way is taken for a stranger's, or its copy is not")
	}
	for range 3 * pingSessions { // of many that end, one is remembered
		meet(t, a, b, 2, 1, later)
	}
	if live, ended := len(b.table.byIndex), len(b.table.endedIndex); live != pingSessions || ended != 1 || len(b.table.ended) != 1 {
		t.Errorf("%d sessions live and %d that ended are remembered, want %d and 1", live, ended, pingSessions)
	}
	b.table.Drop(a.secret.Public().Noise)
	if late(seal()) || len(b.table.ended)+len(b.table.endedIndex)+len(b.table.byIndex) > 0 {
		t.Error("something is left of a member that was dropped")
	}
}
