package crypto

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"reflect"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"securepeer/keys"
)

// send writes what a stranger would, says that no more comes, and returns all
// that came back.
func (p *testPeer) send(t *testing.T, bytes []byte) []byte {
	t.Helper()
	raw := dialRaw(t, p)
	// The other side may have closed already: that is the answer.
	raw.Write(bytes)
	raw.(*net.TCPConn).CloseWrite()
	back, err := io.ReadAll(raw)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	return back
}

// clientHello is what a TLS client says first.
func clientHello(t *testing.T) []byte {
	t.Helper()
	a, b := newBufferedPipe()
	done := make(chan error, 1)
	go func() { done <- tls.Client(a, &tls.Config{ServerName: "peer.test"}).Handshake() }()
	hello := make([]byte, 4096)
	n, err := b.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	close(b.out)
	if err := <-done; err == nil {
		t.Fatal("a handshake without an answer went through")
	}
	return hello[:n]
}

// TestStrangersGetNoByte: whatever a stranger sends, nothing comes back and
// nothing is published.
func TestStrangersGetNoByte(t *testing.T) {
	var roster testRoster
	member, p := newPeer(t, &roster), newPeer(t, &roster)
	p.config.Publish = func(*Conn) error { t.Error("a stranger's link was published"); return nil }
	p.listen(t)
	noise := make([]byte, 3*Frame1Size)
	rand.Read(noise)
	versioned := bytes.Clone(noise)
	versioned[0] = Version
	own := p.secret.Public().Noise
	frame := func(from *testPeer, ring string) []byte {
		_, frame, err := NewInitiator(from.secret, p.secret.Public(), ring, Info{PingIndex: 1}, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return frame
	}
	other := frame(member, "attic")
	other[0] = Version + 1
	mac, err := mac1(&own, other[0], other[1+macSize:])
	if err != nil {
		t.Fatal(err)
	}
	copy(other[1:], mac[:])
	stranger := newPeer(t, new(testRoster))
	hello := clientHello(t)
	for _, try := range []struct {
		name string
		sent []byte
		want error
	}{
		{"nothing", nil, io.EOF},
		{"random bytes", noise, errMAC},
		{"random bytes with our version", versioned, errMAC},
		{"TLS hello", append(hello, make([]byte, Frame1Size)...), errMAC},
		{"a member of another version", other, VersionError(Version + 1)},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), io.ErrUnexpectedEOF},
		{"a key outside the roster", frame(stranger, "attic"), &StrangerError{stranger.secret.Public().Noise}},
		{"another ring", frame(member, "cellar"), errMessage1},
		{"a frame cut short", frame(member, "attic")[:Frame1Size-1], io.ErrUnexpectedEOF},
		{"a ping", make([]byte, DatagramSize), io.ErrUnexpectedEOF},
	} {
		if back := p.send(t, try.sent); len(back) != 0 {
			t.Errorf("%s: %d bytes came back", try.name, len(back))
		}
		if reason := <-p.reasons; !errors.Is(reason, try.want) && !reflect.DeepEqual(reason, try.want) {
			t.Errorf("%s: refused for %v, want %v", try.name, reason, try.want)
		}
	}
	if len(p.config.Pings.byIndex) != 0 {
		t.Error("a stranger holds a ping index")
	}
}

// TestRecordedFirstFrame: it gets nothing from the same listener, and after a
// restart one frame 2 and no effect.
func TestRecordedFirstFrame(t *testing.T) {
	var roster testRoster
	member, p := newPeer(t, &roster), newPeer(t, &roster)
	published := make(chan *Conn, 8)
	p.config.Publish = func(c *Conn) error { published <- c; return nil }
	p.listen(t)
	tap := &tappedConn{Conn: dialRaw(t, p)}
	if _, err := Dial(context.Background(), tap, member.config, p.secret.Public(), Ring); err != nil {
		t.Fatal(err)
	}
	if _, err := p.l.Accept(); err != nil {
		t.Fatal(err)
	}
	<-published
	if got := len(tap.written); got != Frame1Size+recordOverhead+1 {
		t.Fatalf("recorded %d bytes", got)
	}
	for _, recorded := range [][]byte{tap.written[:Frame1Size], tap.written} {
		if back := p.send(t, recorded); len(back) != 0 {
			t.Errorf("a recorded first frame got %d bytes", len(back))
		}
		if reason := <-p.reasons; reason != errReplay {
			t.Errorf("refused for %v, want %v", reason, errReplay)
		}
	}
	p.l.Close()
	p.listen(t)
	if back := p.send(t, tap.written); len(back) != Frame2Size {
		t.Errorf("after a restart a recorded first frame got %d bytes, want one frame 2", len(back))
	}
	<-p.reasons
	if back := p.send(t, tap.written); len(back) != 0 {
		t.Errorf("the second time it got %d bytes", len(back))
	}
	if len(published) != 0 || len(p.config.Pings.byIndex) != 1 {
		t.Errorf("a recorded first frame had an effect: %d links, %d indexes", len(published), len(p.config.Pings.byIndex))
	}
}

// tappedConn remembers what was written.
type tappedConn struct {
	net.Conn
	written []byte
}

func (c *tappedConn) Write(b []byte) (int, error) {
	c.written = append(c.written, b...)
	return c.Conn.Write(b)
}

func TestDialSaysWhenTheOtherSideIsSilent(t *testing.T) {
	var roster, empty testRoster
	p, stranger := newPeer(t, &roster), newPeer(t, &empty)
	member := newPeer(t, &roster)
	p.listen(t)
	cellar := *member.config
	cellar.Ring = "cellar"
	for name, config := range map[string]*Config{"not in the roster": stranger.config, "another ring": &cellar} {
		_, err := Dial(context.Background(), dialRaw(t, p), config, p.secret.Public(), Ring)
		if !errors.Is(err, ErrSilent) {
			t.Errorf("%s: %v, want ErrSilent", name, err)
		}
	}
	if _, err := Dial(context.Background(), dialRaw(t, p), member.config, stranger.secret.Public(), Ring); !errors.Is(err, ErrSilent) {
		t.Errorf("another key than the peer's: %v, want ErrSilent", err)
	}
	if _, err := Dial(context.Background(), dialRaw(t, p), p.config, p.secret.Public(), Ring); !errors.Is(err, ErrSelf) {
		t.Errorf("dialling oneself: %v, want ErrSelf", err)
	}
	for name, q := range map[string]*testPeer{"stranger": stranger, "member": member, "self": p} {
		if n := len(q.config.Pings.byIndex); n != 0 {
			t.Errorf("%s: %d ping indexes are still held", name, n)
		}
	}
}

// TestDialWithAForgedAnswer: an answer that is not the peer's is no silence.
func TestDialWithAForgedAnswer(t *testing.T) {
	var roster testRoster
	member, p := newPeer(t, &roster), newPeer(t, &roster)
	a, b := net.Pipe()
	go func() {
		io.ReadFull(b, make([]byte, Frame1Size))
		b.Write(make([]byte, Frame2Size))
	}()
	_, err := Dial(context.Background(), a, member.config, p.secret.Public(), Ring)
	if !errors.Is(err, errMessage2) || errors.Is(err, ErrSilent) {
		t.Errorf("Dial: %v, want %v", err, errMessage2)
	}
	if _, err := a.Write([]byte{0}); err == nil {
		t.Error("the connection is still open")
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var roster testRoster
		member, p := newPeer(t, &roster), newPeer(t, &roster)
		for name, limit := range map[string]time.Duration{"cancelled": 2 * time.Second, "never": time.Hour} {
			a, b := net.Pipe()
			go io.Copy(io.Discard, b)
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(limit, cancel)
			start := time.Now()
			_, err := Dial(ctx, a, member.config, p.secret.Public(), Ring)
			if took := time.Since(start); err == nil || took != min(limit, memberTime) {
				t.Errorf("%s: Dial took %v: %v", name, took, err)
			}
			if limit < memberTime && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v, want context.Canceled", name, err)
			}
			timer.Stop()
			cancel()
			b.Close()
		}
	})
}

// TestMembershipIsAskedAgainAtPublish: a member that is revoked between its
// first frame and its Hello gets no link and no ping session.
func TestMembershipIsAskedAgainAtPublish(t *testing.T) {
	var roster testRoster
	member, p := newPeer(t, &roster), newPeer(t, &roster)
	revoked := errors.New("revoked")
	p.config.Lookup = func(noise [32]byte) (k keys.Public, ok bool) {
		k, ok = roster.lookup(noise)
		roster.remove(noise)
		return k, ok
	}
	p.config.Publish = func(c *Conn) error {
		if _, ok := roster.lookup(c.Session().Peer); !ok {
			return revoked
		}
		return nil
	}
	p.listen(t)
	c, err := Dial(context.Background(), dialRaw(t, p), member.config, p.secret.Public(), Ring)
	if err != nil {
		t.Fatal(err)
	}
	if reason := <-p.reasons; reason != revoked {
		t.Errorf("refused for %v, want %v", reason, revoked)
	}
	if _, _, err := c.ReadRecord(); err != io.ErrUnexpectedEOF {
		t.Errorf("the revoked side reads %v, want io.ErrUnexpectedEOF", err)
	}
	if len(p.config.Pings.byIndex) != 0 {
		t.Error("the revoked member has a ping session")
	}
}

func TestLinksBringPingSessions(t *testing.T) {
	var roster testRoster
	a, b := newPeer(t, &roster), newPeer(t, &roster)
	b.listen(t)
	link(t, a, b, Transfer)
	if len(a.config.Pings.byIndex)+len(b.config.Pings.byIndex) != 0 {
		t.Error("a transfer link holds ping indexes")
	}
	link(t, a, b, Ring)
	datagram, err := a.config.Pings.Seal(nil, b.secret.Public().Noise, new([PingBodySize]byte), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if peer, _, ok := b.config.Pings.Open(datagram, time.Now()); !ok || peer != a.secret.Public().Noise {
		t.Error("a ping of a ring link was refused")
	}
}

// TestOnlyHelloConfirms: any other first record ends the attempt.
func TestOnlyHelloConfirms(t *testing.T) {
	var roster testRoster
	member, p := newPeer(t, &roster), newPeer(t, &roster)
	p.config.Publish = func(*Conn) error { t.Error("published without a Hello"); return nil }
	p.listen(t)
	for _, try := range []struct {
		index uint32
		typ   byte
		body  string
	}{
		{1, FirstMessage, "x"}, {1, typeData, "\x01"}, {1, typeEnd, ""},
		{1, typeHello, ""}, {1, typeHello, "\x01\x01"}, {1, typeHello, "\x00"}, {1, typeHello, "\x03"},
		{0, typeHello, "\x01"}, // a ring link without a ping index
		{1, typeHello, "\x02"}, // a transfer link with one
	} {
		raw := dialRaw(t, p)
		i, frame, err := NewInitiator(member.secret, p.secret.Public(), "attic", Info{PingIndex: try.index}, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		raw.Write(frame)
		answer := make([]byte, Frame2Size)
		if _, err := io.ReadFull(raw, answer); err != nil {
			t.Fatal(err)
		}
		s, err := i.Finish(answer)
		if err != nil {
			t.Fatal(err)
		}
		raw.Write(sealRecord(t, s.send, try.typ, try.body))
		if reason := <-p.reasons; reason != errHello {
			t.Errorf("first record %d %q: refused for %v, want %v", try.typ, try.body, reason, errHello)
		}
		if back, _ := io.ReadAll(raw); len(back) != 0 {
			t.Errorf("first record %d: %d bytes came back", try.typ, len(back))
		}
	}
	if len(p.config.Pings.byIndex) != 0 {
		t.Error("ping indexes are still held")
	}
}

// memoryListener gives out what a test puts in.
type memoryListener struct {
	conns chan any // net.Conn or error
	done  chan struct{}
}

func newMemoryListener() *memoryListener {
	return &memoryListener{make(chan any), make(chan struct{})}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case v := <-l.conns:
		if err, ok := v.(error); ok {
			return nil, err
		}
		return v.(net.Conn), nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error   { close(l.done); return nil }
func (l *memoryListener) Addr() net.Addr { return &net.TCPAddr{} }

// addressedConn comes from an address.
type addressedConn struct {
	net.Conn
	from net.Addr
}

func (c *addressedConn) RemoteAddr() net.Addr { return c.from }

func from(c net.Conn, addr string) net.Conn {
	return &addressedConn{c, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))}
}

// TestHandshakeDeadlineIsAbsolute: a byte a second does not keep a stranger in.
func TestHandshakeDeadlineIsAbsolute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer(t, new(testRoster))
		inner := newMemoryListener()
		l := Listen(inner, p.config)
		defer l.Close()
		a, b := net.Pipe()
		inner.conns <- from(b, "192.0.2.1:1")
		start := time.Now()
		for {
			if _, err := a.Write([]byte{Version}); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if reason := <-p.reasons; !errors.Is(reason, os.ErrDeadlineExceeded) || time.Since(start) > handshakeTime+time.Second {
			t.Errorf("cut after %v: %v", time.Since(start), reason)
		}
	})
}

// TestListenerSurvivesAcceptErrors: no more file descriptors is waited out,
// longer and longer, and forgotten after the next connection.
func TestListenerSurvivesAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeer(t, new(testRoster))
		inner := newMemoryListener()
		l := Listen(inner, p.config)
		start := time.Now()
		for range 10 {
			inner.conns <- error(syscall.EMFILE)
		}
		a, b := net.Pipe()
		inner.conns <- b
		// 5, 10, 20 ... 640 ms and twice 1 s
		if got, want := time.Since(start), 3275*time.Millisecond; got != want {
			t.Errorf("ten errors took %v, want %v", got, want)
		}
		a.Close()
		<-p.reasons
		start = time.Now()
		inner.conns <- error(syscall.EMFILE)
		inner.conns <- error(syscall.EMFILE)
		if got := time.Since(start); got != minAcceptDelay {
			t.Errorf("the delay after a connection is %v, want %v", got, minAcceptDelay)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := l.Accept(); err != net.ErrClosed {
			t.Errorf("Accept after Close: %v, want net.ErrClosed", err)
		}
	})
}

// TestHalfOpenLimits: four from one stranger, sixty-four strangers, thirty-two
// from a roster address, and no more in all than there may be.
func TestHalfOpenLimits(t *testing.T) {
	d := newDoors()
	enter := func(addr string, known bool) {
		t.Helper()
		if d.at(addr, known) == nil {
			t.Fatalf("no place for %s among %d", addr, len(d.open))
		}
	}
	for range 3 * maxPerStrange {
		enter("192.0.2.1:1", false)
		enter("[::ffff:192.0.2.2]:1", false)
		enter("192.0.2.2:2", false) // another form of one address
	}
	for n := range 5 {
		enter(netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 15: byte(n)}), 1).String(), false) // one /64
	}
	if len(d.sources) != 3 || d.strange != 3*maxPerStrange {
		t.Errorf("%d sources with %d connections, want 3 with %d each", len(d.sources), d.strange, maxPerStrange)
	}
	for n := range 2 * maxStrange {
		enter(strange(n), false)
	}
	if d.strange != maxStrange {
		t.Errorf("%d strangers are in, want %d", d.strange, maxStrange)
	}
	for range 2 * maxPerKnown {
		enter("10.1.0.1:1", true)
	}
	if n := d.sources[prefixOf(netip.MustParseAddr("10.1.0.1"))]; n != maxPerKnown {
		t.Errorf("%d of a roster address are in, want %d", n, maxPerKnown)
	}
	for n := range 4 * maxHalfOpen {
		enter(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(n % 8), 1}), 1).String(), true)
	}
	if len(d.open) != maxHalfOpen || d.strange != 0 {
		t.Errorf("%d connections are in, %d of strangers, want %d and none", len(d.open), d.strange, maxHalfOpen)
	}
	var first net.Conn
	for c := range d.open {
		first = c
	}
	if !d.leave(first) || d.leave(first) {
		t.Error("a place is not given back once")
	}
	d.empty(t)
}

// TestIdleConnectionsKeepNoMemberOut: whatever stands silent at the door from a
// member's own address, or from a stranger's that it shares, the member comes
// in; and one whose frame came is not cut for one that only dials. Once 34 idle
// connections from its address kept a member out.
func TestIdleConnectionsKeepNoMemberOut(t *testing.T) {
	for _, known := range []bool{true, false} {
		for _, idle := range []int{4, 34, 300} {
			var roster testRoster
			member, p := newPeer(t, &roster), newPeer(t, &roster)
			p.config.Known = func(netip.Addr) bool { return known }
			inner := newMemoryListener()
			l := Listen(inner, p.config)
			for n := range idle {
				a, b := net.Pipe()
				inner.conns <- from(b, "127.0.0.1:1")
				if n%2 == 0 { // half of them have said half of a first frame
					go a.Write(make([]byte, Frame1Size/2)) // ends when b is closed
				}
			}
			a, b := net.Pipe()
			inner.conns <- from(b, "127.0.0.1:2")
			if _, err := Dial(context.Background(), a, member.config, p.secret.Public(), Transfer); err != nil {
				t.Errorf("known %v, behind %d idle connections: %v", known, idle, err)
			} else if _, err := l.Accept(); err != nil {
				t.Error(err)
			}
			l.Close()
		}
	}
}

// TestSpokenConnectionsMakeRoom: of those whose first frames have come, the
// oldest of the member that has the most makes room, and no other.
func TestSpokenConnectionsMakeRoom(t *testing.T) {
	d := newDoors()
	speak := func(member byte) net.Conn {
		t.Helper()
		c := d.at("10.1.0.1:1", true)
		if c == nil || !d.keep(c) {
			t.Fatal("no place")
		}
		d.claim(c, [32]byte{member})
		return c
	}
	honest := speak(1)
	var liar []net.Conn
	for range maxPerKnown - 1 {
		liar = append(liar, speak(2))
	}
	for n := range liar {
		liar = append(liar, speak(2))
		if d.open[honest] == nil || d.open[liar[n]] != nil || d.open[liar[n+1]] == nil {
			t.Fatalf("after %d more, not the oldest of the liar was cut", n+1)
		}
	}
	d.empty(t)
	for n := range maxPerKnown { // as many members as places, each with one
		speak(byte(n))
	}
	if d.at("10.1.0.1:1", true) != nil {
		t.Error("a member was cut that was about to prove itself")
	}
	d.empty(t)
}

// TestSilentStrangersMakeRoom: when all places are taken, the stranger who has
// been silent longest goes; never one whose first frame came, never a roster
// address, and for a source that has its share one of its own.
func TestSilentStrangersMakeRoom(t *testing.T) {
	d := newDoors()
	member := d.at("127.0.0.1:1", true)
	var strangers []net.Conn
	for n := range maxStrange {
		strangers = append(strangers, d.at(strange(n), false))
	}
	has := func(c net.Conn) bool { return d.open[c] != nil }
	d.keep(strangers[0])
	next := d.at("192.0.2.1:1", false)
	if next == nil || has(strangers[1]) || d.strange != maxStrange {
		t.Fatalf("no room for a stranger: %v, %d strangers", next, d.strange)
	}
	if d.keep(strangers[1]) || d.leave(strangers[1]) {
		t.Error("who was cut still has a place")
	}
	if _, err := strangers[1].Read(make([]byte, 1)); err != io.ErrClosedPipe {
		t.Errorf("who has no place reads on: %v", err)
	}
	for range maxPerStrange { // the last takes the place of next
		d.at("192.0.2.1:1", false)
	}
	if has(next) || d.strange != maxStrange {
		t.Errorf("a source that has its share made others leave: %d strangers", d.strange)
	}
	if !has(strangers[0]) || !has(member) || has(strangers[4]) || !has(strangers[5]) {
		t.Error("not the oldest silent strangers left")
	}
	for n := 0; len(d.open) < maxHalfOpen; n++ {
		d.at(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(n), 1}), 1).String(), true)
	}
	if d.at("127.0.0.1:1", true) == nil || has(strangers[5]) || !has(strangers[6]) || len(d.open) != maxHalfOpen {
		t.Error("a silent stranger was kept before a member's address")
	}
	d.empty(t)
}

// at enters a connection from addr; nil if there is no place.
func (d *doors) at(addr string, known bool) net.Conn {
	_, b := net.Pipe()
	c := from(b, addr)
	if !d.enter(c, prefixOf(sourceOf(c.RemoteAddr())), known) {
		return nil
	}
	return c
}

// strange is the n-th of many addresses.
func strange(n int) string {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n), 1}), 1).String()
}

// empty empties d and asks that it kept nothing.
func (d *doors) empty(t *testing.T) {
	t.Helper()
	for c := range d.open {
		d.leave(c)
	}
	if len(d.open)+d.strange+len(d.sources) != 0 {
		t.Errorf("%d, %d, %d entries are left", len(d.open), d.strange, len(d.sources))
	}
}

// TestFloodOfIdleDials: strangers hold no more places than they may, and a
// member still comes in, from a roster address or from any other.
func TestFloodOfIdleDials(t *testing.T) {
	for addr, evicted := range map[string]int{"127.0.0.1:1": 0, "192.0.2.1:1": 1} {
		var roster testRoster
		member, p := newPeer(t, &roster), newPeer(t, &roster)
		p.config.Known = func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.1") }
		inner := newMemoryListener()
		l := Listen(inner, p.config)
		for n := range 200 {
			_, b := net.Pipe()
			inner.conns <- from(b, strange(n))
		}
		a, b := net.Pipe()
		inner.conns <- from(b, addr)
		if _, err := Dial(context.Background(), a, member.config, p.secret.Public(), Ring); err != nil {
			t.Fatalf("from %s: %v", addr, err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		for range 200 - maxStrange + evicted {
			if reason := <-p.reasons; reason != errBusy {
				t.Fatalf("refused for %v, want %v", reason, errBusy)
			}
		}
		l.Close()
		for range maxStrange - evicted {
			<-p.reasons
		}
		// What Accept returned outlives the listener.
		go c.WriteRecord(FirstMessage, nil)
		if err := b.SetDeadline(time.Time{}); err != nil {
			t.Errorf("an accepted link was cut: %v", err)
		}
	}
}

func TestMemoryForgetsTheOldest(t *testing.T) {
	m := newMemory()
	key := func(n int) (k [32]byte) { k[0], k[1] = byte(n), byte(n>>8); return k }
	for n := range memorySize + 10 {
		if !m.add(key(n)) || m.add(key(n)) || !m.has(key(n)) {
			t.Fatalf("key %d", n)
		}
	}
	for n := range memorySize + 10 {
		if got, want := m.has(key(n)), n >= 10; got != want {
			t.Fatalf("key %d is known: %v, want %v", n, got, want)
		}
	}
	if len(m.known) != memorySize || len(m.order) != memorySize {
		t.Errorf("%d and %d keys, want %d", len(m.known), len(m.order), memorySize)
	}
}

func BenchmarkJunkFrame(b *testing.B) {
	p := newPeer(b, new(testRoster))
	l := &Listener{config: p.config, doors: newDoors(), memory: newMemory()}
	junk := make([]byte, Frame1Size)
	rand.Read(junk)
	junk[0] = Version
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := l.readFrame1(nil, junk); err != errMAC {
			b.Fatal(err)
		}
	}
}
