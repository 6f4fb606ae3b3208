package crypto

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"testing"
	"time"

	"securepeer/keys"
)

// pinger is one peer with its table.
type pinger struct {
	secret *keys.Secret
	table  *PingTable
}

func newPinger(t testing.TB) *pinger {
	return &pinger{newSecret(t), NewPingTable()}
}

func (p *pinger) info(t testing.TB, incarnation uint64) Info {
	t.Helper()
	index, err := p.table.reserve(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Info{Incarnation: incarnation, PingIndex: index, Caps: Caps()}
}

// meet gives a, who dials, and b the ping session of a new link.
func meet(t testing.TB, a, b *pinger, incA, incB uint64, now time.Time) (*Session, *Session) {
	t.Helper()
	i, frame1, err := NewInitiator(a.secret, b.secret.Public(), "attic", a.info(t, incA), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Respond(b.secret, "attic", frame1)
	if err != nil {
		t.Fatal(err)
	}
	frame2, sb, err := r.Answer(b.info(t, incB), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sa, err := i.Finish(frame2)
	if err != nil {
		t.Fatal(err)
	}
	a.table.add(sa, now)
	b.table.add(sb, now)
	return sa, sb
}

func (p *pinger) seal(t testing.TB, to *pinger, now time.Time) []byte {
	t.Helper()
	datagram, err := p.table.Seal(nil, to.secret.Public().Noise, &[PingBodySize]byte{1, 2, 3}, now)
	if err != nil {
		t.Fatal(err)
	}
	return datagram
}

func (p *pinger) opens(datagram []byte, now time.Time) bool {
	_, _, ok := p.table.Open(bytes.Clone(datagram), now)
	return ok
}

var epoch = time.Unix(1_000_000, 0)

func TestPingGoesBothWays(t *testing.T) {
	a, b := newPinger(t), newPinger(t)
	meet(t, a, b, 1, 1, epoch)
	for _, way := range [][2]*pinger{{a, b}, {b, a}} {
		datagram, err := way[0].table.Seal([]byte("head"), way[1].secret.Public().Noise, &[PingBodySize]byte{9}, epoch)
		if err != nil || len(datagram) != 4+DatagramSize || DatagramSize != 96 {
			t.Fatalf("%d bytes, %v", len(datagram), err)
		}
		peer, body, ok := way[1].table.Open(datagram[4:], epoch)
		if !ok || peer != way[0].secret.Public().Noise || len(body) != PingBodySize || body[0] != 9 {
			t.Fatalf("Open = %x, %x, %v", peer, body, ok)
		}
	}
}

func TestTamperEveryByteOfAPing(t *testing.T) {
	a, b := newPinger(t), newPinger(t)
	meet(t, a, b, 1, 1, epoch)
	datagram := a.seal(t, b, epoch)
	for at := range datagram {
		bad := bytes.Clone(datagram)
		bad[at] ^= 1 << (at % 8)
		if b.opens(bad, epoch) {
			t.Fatalf("a ping with byte %d flipped was accepted", at)
		}
	}
	for _, bad := range [][]byte{nil, datagram[:95], append(bytes.Clone(datagram), 0)} {
		if b.opens(bad, epoch) {
			t.Fatalf("a datagram of %d bytes was accepted", len(bad))
		}
	}
	if a.opens(datagram, epoch) {
		t.Error("a ping reflected to its sender was accepted")
	}
	if !b.opens(datagram, epoch) {
		t.Error("the genuine ping was refused after the forged ones")
	}
	if b.opens(datagram, epoch) {
		t.Error("a ping was accepted twice")
	}
}

// TestForgedCounterMovesNothing: a datagram with a far counter and a wrong tag
// leaves the window where it was.
func TestForgedCounterMovesNothing(t *testing.T) {
	a, b := newPinger(t), newPinger(t)
	sa, sb := meet(t, a, b, 1, 1, epoch)
	datagram := a.seal(t, b, epoch)
	for _, counter := range []uint64{100, maxCounter - 1, maxCounter, 1<<64 - 1} {
		bad := bytes.Clone(datagram)
		binary.BigEndian.PutUint64(bad[4:], counter)
		if b.opens(bad, epoch) {
			t.Fatalf("counter %d was accepted", counter)
		}
	}
	if sb.ping.window != (window{}) {
		t.Errorf("window moved to %+v", sb.ping.window)
	}
	sa.ping.counter = maxCounter - 1
	last := a.seal(t, b, epoch)
	if !b.opens(last, epoch) || b.opens(datagram, epoch) {
		t.Error("the last counter was refused, or one far behind it accepted")
	}
	if _, err := a.table.Seal(nil, b.secret.Public().Noise, new([PingBodySize]byte), epoch); err != ErrNoPing {
		t.Errorf("sealing after the last counter: %v, want ErrNoPing", err)
	}
}

func TestPingSessionLives240s(t *testing.T) {
	a, b := newPinger(t), newPinger(t)
	meet(t, a, b, 1, 1, epoch)
	before, after := epoch.Add(PingLife-1), epoch.Add(PingLife)
	datagram := a.seal(t, b, before)
	if b.opens(datagram, after) {
		t.Error("a session was accepted after its life")
	}
	if !b.opens(datagram, before) {
		t.Error("a session was refused within its life")
	}
	if _, err := a.table.Seal(nil, b.secret.Public().Noise, new([PingBodySize]byte), after); err != ErrNoPing {
		t.Errorf("Seal after its life: %v, want ErrNoPing", err)
	}
	other := newPinger(t)
	meet(t, a, other, 1, 1, after)
	if len(a.table.byIndex) != 1 || len(a.table.byPeer) != 1 {
		t.Errorf("%d sessions are kept, want the live one", len(a.table.byIndex))
	}
}

func TestNewestThreeSessionsAreAccepted(t *testing.T) {
	a, b := newPinger(t), newPinger(t)
	var datagrams [][]byte
	for range 4 {
		sa, _ := meet(t, a, b, 1, 1, epoch)
		datagrams = append(datagrams, sa.ping.seal(nil, new([PingBodySize]byte)))
	}
	for n, datagram := range datagrams {
		if got, want := b.opens(datagram, epoch), n > 0; got != want {
			t.Errorf("session %d of 4: accepted %v, want %v", n, got, want)
		}
	}
	if len(a.table.byIndex) != 3 || len(b.table.byIndex) != 3 {
		t.Errorf("%d and %d sessions, want 3 and 3", len(a.table.byIndex), len(b.table.byIndex))
	}
}

// TestSendUnderTheNewestConfirmed: a dialler goes on under its old session
// until something came under the new one, because the other side may not have
// read Hello yet.
func TestSendUnderTheNewestConfirmed(t *testing.T) {
	a, b := newPinger(t), newPinger(t)
	first, _ := meet(t, a, b, 1, 1, epoch)
	index := func(datagram []byte) uint32 { return binary.BigEndian.Uint32(datagram) }
	if got := index(a.seal(t, b, epoch)); got != first.Theirs.PingIndex {
		t.Fatalf("the only session is not used")
	}
	if !a.opens(b.seal(t, a, epoch), epoch) {
		t.Fatal("ping refused")
	}
	second, _ := meet(t, a, b, 1, 1, epoch)
	if got := index(a.seal(t, b, epoch)); got != first.Theirs.PingIndex {
		t.Error("the dialler changed over before the session was confirmed")
	}
	answer := b.seal(t, a, epoch)
	if got := index(answer); got != second.Mine.PingIndex {
		t.Error("the responder, for whom Hello confirms, did not change over")
	}
	if !a.opens(answer, epoch) {
		t.Fatal("ping refused")
	}
	if got := index(a.seal(t, b, epoch)); got != second.Theirs.PingIndex {
		t.Error("the dialler did not change over after a datagram confirmed")
	}
}

func TestAnotherIncarnationEndsTheOldSessions(t *testing.T) {
	a, b, c := newPinger(t), newPinger(t), newPinger(t)
	sa, _ := meet(t, a, b, 1, 1, epoch)
	sc, _ := meet(t, c, b, 1, 1, epoch)
	old, others := sa.ping.seal(nil, new([PingBodySize]byte)), sc.ping.seal(nil, new([PingBodySize]byte))
	meet(t, a, b, 2, 1, epoch.Add(handshakeTime+1))
	if b.opens(old, epoch.Add(handshakeTime+1)) {
		t.Error("a session of the old incarnation was accepted")
	}
	if !b.opens(others, epoch) {
		t.Error("the session of another peer ended")
	}
}

// Two links cross while an incarnation rises: what the peer sends under the
// other of the two is still accepted, and nothing is sent under the older.
func TestCrossingIncarnationsLoseNoPing(t *testing.T) {
	a, b := newPinger(t), newPinger(t)
	first, _ := meet(t, a, b, 1, 1, epoch)
	if !b.opens(a.seal(t, b, epoch), epoch) || !a.opens(b.seal(t, a, epoch), epoch) {
		t.Fatal("ping refused")
	}
	late := first.ping.seal(nil, new([PingBodySize]byte))
	second, _ := meet(t, b, a, 1, 2, epoch.Add(time.Second))
	if !b.opens(late, epoch.Add(2*time.Second)) {
		t.Error("a ping under the session that crossed was refused")
	}
	if got := binary.BigEndian.Uint32(b.seal(t, a, epoch.Add(2*time.Second))); got != second.Theirs.PingIndex {
		t.Error("a ping went out under the session of the lower incarnation")
	}
}

func TestDropEndsEverySessionOfAPeer(t *testing.T) {
	a, b, c := newPinger(t), newPinger(t), newPinger(t)
	meet(t, a, b, 1, 1, epoch)
	meet(t, a, b, 1, 1, epoch)
	meet(t, c, b, 1, 1, epoch)
	datagram, others := a.seal(t, b, epoch), c.seal(t, b, epoch)
	b.table.Drop(a.secret.Public().Noise)
	if b.opens(datagram, epoch) || !b.opens(others, epoch) {
		t.Error("Drop ended too little or too much")
	}
	if _, err := b.table.Seal(nil, a.secret.Public().Noise, new([PingBodySize]byte), epoch); err != ErrNoPing {
		t.Errorf("Seal after Drop: %v, want ErrNoPing", err)
	}
	if len(b.table.byIndex) != 1 || len(b.table.byPeer) != 1 {
		t.Errorf("%d sessions are left, want 1", len(b.table.byIndex))
	}
}

func TestReservedIndexesAreUniqueAndNotZero(t *testing.T) {
	table := NewPingTable()
	// 0 is skipped, 1 is taken once, the end of randomness is an error.
	random := bytes.NewReader([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2})
	for _, want := range []uint32{1, 2} {
		if got, err := table.reserve(random); got != want || err != nil {
			t.Fatalf("reserve = %d, %v, want %d", got, err, want)
		}
	}
	if _, err := table.reserve(random); err == nil {
		t.Error("reserve without randomness gave an index")
	}
	datagram := make([]byte, DatagramSize)
	datagram[3] = 1
	if _, _, ok := table.Open(datagram, epoch); ok {
		t.Error("a reserved index opened a datagram")
	}
	table.release(1)
	table.release(0)
	if len(table.byIndex) != 1 {
		t.Errorf("%d indexes in use, want 1", len(table.byIndex))
	}
}

func TestReleaseLeavesALiveSession(t *testing.T) {
	a, b := newPinger(t), newPinger(t)
	_, sb := meet(t, a, b, 1, 1, epoch)
	b.table.release(sb.Mine.PingIndex)
	if !b.opens(a.seal(t, b, epoch), epoch) {
		t.Error("release ended a session")
	}
	b.table.remove(sb)
	b.table.remove(sb)
	if b.opens(a.seal(t, b, epoch), epoch) || len(b.table.byIndex) != 0 || len(b.table.byPeer) != 0 {
		t.Error("remove left something")
	}
}

func TestPingsDoNotAllocate(t *testing.T) {
	a, b := newPinger(t), newPinger(t)
	meet(t, a, b, 1, 1, epoch)
	to, body, buf := b.secret.Public().Noise, new([PingBodySize]byte), make([]byte, 0, DatagramSize)
	if n := testing.AllocsPerRun(100, func() {
		datagram, err := a.table.Seal(buf, to, body, epoch)
		if err != nil {
			t.Error(err)
		}
		if _, _, ok := b.table.Open(datagram, epoch); !ok {
			t.Error("ping refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations for a ping", n)
	}
}

func BenchmarkPing(b *testing.B) {
	from, to := newPinger(b), newPinger(b)
	meet(b, from, to, 1, 1, epoch)
	peer, body, buf := to.secret.Public().Noise, new([PingBodySize]byte), make([]byte, 0, DatagramSize)
	b.ReportAllocs()
	for b.Loop() {
		datagram, err := from.table.Seal(buf, peer, body, epoch)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, ok := to.table.Open(datagram, epoch); !ok {
			b.Fatal("ping refused")
		}
	}
}
