package crypto

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"securepeer/keys"
)

// testRing is a ring whose members all have a key and a listener on loopback.
type testPeer struct {
	secret *keys.Secret
	config *Config
	l      *Listener

	mu      sync.Mutex
	links   []*Conn
	refused []error
	reasons chan error
}

// testRoster is a roster that tests can change.
type testRoster struct {
	mu      sync.Mutex
	members map[[32]byte]keys.Public
}

func (r *testRoster) lookup(noise [32]byte) (keys.Public, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.members[noise]
	return p, ok
}

func (r *testRoster) remove(noise [32]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.members, noise)
}

func newSecret(t testing.TB) *keys.Secret {
	t.Helper()
	s, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newPeer adds a member to roster.
func newPeer(t testing.TB, roster *testRoster) *testPeer {
	t.Helper()
	p := &testPeer{secret: newSecret(t), reasons: make(chan error, 1024)}
	roster.mu.Lock()
	if roster.members == nil {
		roster.members = make(map[[32]byte]keys.Public)
	}
	roster.members[p.secret.Public().Noise] = p.secret.Public()
	roster.mu.Unlock()
	p.config = &Config{
		Secret:  p.secret,
		Ring:    "attic",
		Info:    func() Info { return Info{Incarnation: 7, RosterSerial: 3} },
		Lookup:  roster.lookup,
		Pings:   NewPingTable(),
		Known:   func(netip.Addr) bool { return true },
		Publish: func(*Conn) error { return nil },
		Refused: func(_ net.Addr, reason error) { p.reasons <- reason },
	}
	return p
}

// listen puts the peer on loopback.
func (p *testPeer) listen(t testing.TB) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.l = Listen(inner, p.config)
	t.Cleanup(func() { p.l.Close() })
}

func dialRaw(t testing.TB, to *testPeer) net.Conn {
	t.Helper()
	raw, err := net.Dial("tcp", to.l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return raw
}

// link opens a link between two members and returns both ends.
func link(t testing.TB, from, to *testPeer, kind Kind) (*Conn, *Conn) {
	t.Helper()
	a, err := Dial(context.Background(), dialRaw(t, to), from.config, to.secret.Public(), kind)
	if err != nil {
		t.Fatal(err)
	}
	b, err := to.l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func newLink(t testing.TB, kind Kind) (*Conn, *Conn) {
	t.Helper()
	var roster testRoster
	a, b := newPeer(t, &roster), newPeer(t, &roster)
	b.listen(t)
	return link(t, a, b, kind)
}

func TestLinkCarriesRecordsAndStream(t *testing.T) {
	a, b := newLink(t, Ring)
	big := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
	sent := make(chan error, 1)
	go func() {
		sent <- errors.Join(a.WriteRecord(16, []byte("hello")),
			func() error { _, err := a.Write(big); return err }(),
			func() error { _, err := a.ReadFrom(bytes.NewReader(big)); return err }(),
			a.WriteRecord(255, nil), a.CloseWrite(), a.CloseWrite())
	}()
	typ, body, err := b.ReadRecord()
	if typ != 16 || string(body) != "hello" || err != nil {
		t.Fatalf("ReadRecord() = %d, %q, %v", typ, body, err)
	}
	for range 2 {
		got := make([]byte, len(big))
		if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, big) {
			t.Fatalf("stream: %v, equal %v", err, bytes.Equal(got, big))
		}
	}
	if n, err := b.Read(make([]byte, 8)); n != 0 || err != ErrMessage {
		t.Fatalf("Read before a message = %d, %v, want ErrMessage", n, err)
	}
	if typ, body, err := b.ReadRecord(); typ != 255 || len(body) != 0 || err != nil {
		t.Fatalf("ReadRecord() = %d, %q, %v", typ, body, err)
	}
	for range 2 {
		if _, _, err := b.ReadRecord(); err != io.EOF {
			t.Fatalf("after the end: %v, want io.EOF", err)
		}
		if n, err := b.Read(make([]byte, 8)); n != 0 || err != io.EOF {
			t.Fatalf("after the end: %d, %v, want io.EOF", n, err)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if err := a.WriteRecord(16, nil); err == nil {
		t.Fatal("a record went out after the end")
	}
	if a.Kind() != Ring || b.Kind() != Ring || b.Peer().Noise != b.session.Peer || a.session.Theirs.Incarnation != 7 {
		t.Fatalf("link is described wrongly: %+v, %+v", a.Session(), b.Session())
	}
}
