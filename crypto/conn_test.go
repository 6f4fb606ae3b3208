package crypto

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"securepeer/keys"
)

// testPeer is a member and, once it listens, its listener on loopback.
type testPeer struct {
	secret *keys.Secret
	config *Config
	l      *Listener
	// reasons has room for every refusal of a test.
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
			func() error { _, err := a.Write(big); return err }(),
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

// scriptedConn reads from bytes and swallows writes.
type scriptedConn struct {
	net.Conn
	io.Reader
	io.Writer
}

func (c scriptedConn) Read(b []byte) (int, error)  { return c.Reader.Read(b) }
func (c scriptedConn) Write(b []byte) (int, error) { return c.Writer.Write(b) }

// again is o before its first record.
func (o *opener) again() *opener { return &opener{sealing: o.sealing} }

// TestCutAtEveryByte: a connection that is cut, between two records as within
// one, never reads as a whole stream.
func TestCutAtEveryByte(t *testing.T) {
	f := shakeHands(t, CapAES, CapAES)
	var sent []byte
	for _, body := range []string{"one", "", "three"} {
		sent = append(sent, sealRecord(t, f.dialler.send, typeData, body)...)
	}
	sent = append(sent, sealRecord(t, f.dialler.send, typeEnd, "")...)
	for cut := range len(sent) + 1 {
		s := *f.answerer
		s.recv = f.answerer.recv.again()
		c := newConn(scriptedConn{Reader: iotest.OneByteReader(bytes.NewReader(bytes.Clone(sent[:cut])))}, &s)
		got, err := io.ReadAll(c)
		if cut == len(sent) {
			if err != nil || string(got) != "onethree" {
				t.Errorf("the whole stream: %q, %v", got, err)
			}
			continue
		}
		if err != io.ErrUnexpectedEOF || !bytes.HasPrefix([]byte("onethree"), got) {
			t.Errorf("cut at %d of %d: %q, %v, want io.ErrUnexpectedEOF", cut, len(sent), got, err)
		}
		if _, _, err := c.ReadRecord(); err != io.ErrUnexpectedEOF {
			t.Errorf("cut at %d, read again: %v", cut, err)
		}
	}
}

// TestForbiddenRecords: what an authenticated peer may not send either.
func TestForbiddenRecords(t *testing.T) {
	for name, try := range map[string]struct {
		typ  byte
		body string
	}{
		"a second hello": {typeHello, "\x01"}, "type 3": {3, ""}, "type 15": {15, "x"}, "an end with a body": {typeEnd, "x"},
	} {
		f := shakeHands(t, CapAES, CapAES)
		bad := sealRecord(t, f.dialler.send, try.typ, try.body)
		good := sealRecord(t, f.dialler.send, FirstMessage, "")
		c := newConn(scriptedConn{Reader: bytes.NewReader(append(bad, good...))}, f.answerer)
		for range 2 {
			if _, _, err := c.ReadRecord(); err != errRecordType {
				t.Errorf("%s: %v, want %v", name, err, errRecordType)
			}
		}
	}
	a, _ := newLink(t, Ring)
	for typ := range byte(FirstMessage) {
		if err := a.WriteRecord(typ, nil); err != errRecordType {
			t.Errorf("WriteRecord of type %d: %v, want %v", typ, err, errRecordType)
		}
	}
	if err := a.WriteRecord(FirstMessage, make([]byte, MaxBody+1)); err != errBodySize {
		t.Errorf("WriteRecord of %d bytes: %v, want %v", MaxBody+1, err, errBodySize)
	}
	if err := a.WriteRecord(FirstMessage, make([]byte, MaxBody)); err != nil {
		t.Errorf("a refused record ended the link: %v", err)
	}
}

// TestForgedRecordIsFinal: after one forged record nothing is read any more.
func TestForgedRecordIsFinal(t *testing.T) {
	f := shakeHands(t, CapAES, CapAES)
	bad := sealRecord(t, f.dialler.send, FirstMessage, "x")
	good := bytes.Clone(bad)
	bad[5]++
	c := newConn(scriptedConn{Reader: bytes.NewReader(append(bad, good...))}, f.answerer)
	for range 2 {
		if _, _, err := c.ReadRecord(); !errors.Is(err, errTag) {
			t.Errorf("ReadRecord: %v, want %v", err, errTag)
		}
	}
}

// TestReadAndReadRecordTakeTurns: what Read left of a data record is the next
// record.
func TestReadAndReadRecordTakeTurns(t *testing.T) {
	a, b := newLink(t, Transfer)
	if _, err := a.Write([]byte("abcdef")); err != nil {
		t.Fatal(err)
	}
	if err := a.WriteRecord(20, []byte("m")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2)
	if n, err := b.Read(got); n != 2 || err != nil || string(got) != "ab" {
		t.Fatalf("Read = %d, %v, %q", n, err, got)
	}
	if n, err := b.Read(nil); n != 0 || err != nil {
		t.Fatalf("Read of nothing = %d, %v", n, err)
	}
	if typ, body, err := b.ReadRecord(); typ != typeData || string(body) != "cdef" || err != nil {
		t.Fatalf("ReadRecord = %d, %q, %v", typ, body, err)
	}
	if typ, body, err := b.ReadRecord(); typ != 20 || string(body) != "m" || err != nil {
		t.Fatalf("ReadRecord = %d, %q, %v", typ, body, err)
	}
}

// TestReadTakesAllThatIsHere: one Read takes as many data records as fit and
// are there, whatever their sizes and its own, and stops before a message, a
// forged record and the end.
func TestReadTakesAllThatIsHere(t *testing.T) {
	type last struct {
		name string
		make func(*sealer) []byte
		err  error
	}
	for _, last := range []last{
		{"end", func(s *sealer) []byte { return sealRecord(t, s, typeEnd, "") }, io.EOF},
		{"message", func(s *sealer) []byte { return sealRecord(t, s, FirstMessage, "message") }, ErrMessage},
		{"forbidden", func(s *sealer) []byte { return sealRecord(t, s, 3, "") }, errRecordType},
		{"forged", func(s *sealer) []byte { r := sealRecord(t, s, typeData, "forged"); r[9]++; return r }, errTag},
	} {
		for size := 1; size <= 12; size++ {
			f := shakeHands(t, CapAES, CapAES)
			var sent []byte
			for _, body := range []string{"a", "", "bcd", "efghi", "j"} {
				sent = append(sent, sealRecord(t, f.dialler.send, typeData, body)...)
			}
			sent = append(sent, last.make(f.dialler.send)...)
			c := newConn(scriptedConn{Reader: bytes.NewReader(sent)}, f.answerer)
			var got []byte
			var err error
			for reads := 0; err == nil; reads++ {
				p := make([]byte, size)
				var n int
				n, err = c.Read(p)
				got = append(got, p[:n]...)
				if size == 12 && reads == 0 && n != 10 {
					t.Errorf("before %s: the first Read of %d bytes took %d, want all 10", last.name, size, n)
				}
			}
			if string(got) != "abcdefghij" || !errors.Is(err, last.err) {
				t.Errorf("before %s, %d bytes a time: got %q and %v, want %v", last.name, size, got, err, last.err)
			}
			if last.err == ErrMessage {
				if typ, body, err := c.ReadRecord(); typ != FirstMessage || string(body) != "message" || err != nil {
					t.Errorf("ReadRecord = %d, %q, %v", typ, body, err)
				}
			}
		}
	}
}

// TestReadTimeoutIsNotFinal: a reader may set a new deadline and go on, in the
// middle of a record too.
func TestReadTimeoutIsNotFinal(t *testing.T) {
	f := shakeHands(t, CapAES, CapAES)
	near, far := net.Pipe()
	defer far.Close()
	c := newConn(near, f.answerer)
	defer c.Close()
	record := sealRecord(t, f.dialler.send, FirstMessage, "whole")
	c.SetReadDeadline(time.Unix(1, 0))
	if _, _, err := c.ReadRecord(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("past deadline: %v", err)
	}
	c.SetReadDeadline(time.Time{})
	half := make(chan error, 1)
	go func() {
		_, err := far.Write(record[:5])
		c.SetReadDeadline(time.Unix(1, 0))
		half <- err
	}()
	if _, _, err := c.ReadRecord(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("past deadline in a record: %v", err)
	}
	if err := <-half; err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Time{})
	go far.Write(record[5:])
	if _, body, err := c.ReadRecord(); string(body) != "whole" || err != nil {
		t.Fatalf("after two timeouts: %q, %v", body, err)
	}
}

// TestWriteErrorIsFinal: part of a record may be out, so nothing may follow.
func TestWriteErrorIsFinal(t *testing.T) {
	f := shakeHands(t, CapAES, CapAES)
	near, far := net.Pipe()
	defer far.Close()
	c := newConn(near, f.dialler)
	c.SetWriteDeadline(time.Unix(1, 0))
	if err := c.WriteRecord(FirstMessage, nil); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("past deadline: %v", err)
	}
	c.SetWriteDeadline(time.Time{})
	go io.Copy(io.Discard, far)
	for name, write := range map[string]func() error{
		"WriteRecord": func() error { return c.WriteRecord(FirstMessage, nil) },
		"Write":       func() error { _, err := c.Write([]byte("x")); return err },
		"Write of 0":  func() error { _, err := c.Write(nil); return err },
		"CloseWrite":  c.CloseWrite,
	} {
		if err := write(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s after a write error: %v, want that error", name, err)
		}
	}
	if f.dialler.send.counter != 1 {
		t.Errorf("%d records were sealed, want 1", f.dialler.send.counter)
	}
}

func TestCloseWakesReadAndWrite(t *testing.T) {
	f := shakeHands(t, CapAES, CapAES)
	near, far := net.Pipe()
	defer far.Close()
	c := newConn(near, f.dialler)
	ended := make(chan error, 2)
	go func() { _, err := c.Read(make([]byte, 1)); ended <- err }()
	go func() { _, err := c.Write(make([]byte, 1)); ended <- err }()
	c.Close()
	for range 2 {
		if err := <-ended; err == nil || err == io.EOF {
			t.Errorf("after Close: %v", err)
		}
	}
}

// TestManyWritersBothWays: messages of several goroutines arrive whole, each
// once, while a stream goes the other way. Run with -race.
func TestManyWritersBothWays(t *testing.T) {
	a, b := newLink(t, Ring)
	const writers, each = 8, 50
	stream := bytes.Repeat([]byte("stream"), 50_000)
	var sent sync.WaitGroup
	for w := range writers {
		sent.Go(func() {
			for n := range each {
				body := bytes.Repeat([]byte{byte(w)}, 1+n*97)
				body[0] = byte(n)
				if err := a.WriteRecord(byte(FirstMessage+w), body); err != nil {
					t.Error(err)
				}
			}
		})
	}
	back := make(chan []byte, 1)
	go func() {
		got, err := io.ReadAll(a)
		if err != nil {
			t.Error(err)
		}
		back <- got
	}()
	sent.Go(func() {
		if _, err := b.Write(stream); err != nil {
			t.Error(err)
		}
		if err := b.CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	var next [writers]int
	for range writers * each {
		typ, body, err := b.ReadRecord()
		if err != nil {
			t.Fatal(err)
		}
		w := int(typ) - FirstMessage
		if len(body) != 1+next[w]*97 || int(body[0]) != next[w] {
			t.Fatalf("writer %d: message %d has %d bytes", w, next[w], len(body))
		}
		next[w]++
	}
	sent.Wait()
	if got := <-back; !bytes.Equal(got, stream) {
		t.Errorf("the stream back: %d bytes, want %d", len(got), len(stream))
	}
}

// TestIdleRingLinkIsSmall: after a large message each way a ring link goes
// back to small buffers; only a transfer link keeps large ones.
func TestIdleRingLinkIsSmall(t *testing.T) {
	for kind, want := range map[Kind]int{Ring: readBuffer + keepWrite, Transfer: 2 * bulkBuffer} {
		a, b := newLink(t, kind)
		for range 2 {
			go a.Write(make([]byte, batch))
			if _, err := io.ReadFull(b, make([]byte, batch)); err != nil {
				t.Fatal(err)
			}
		}
		go a.WriteRecord(FirstMessage, []byte("small"))
		if _, _, err := b.ReadRecord(); err != nil {
			t.Fatal(err)
		}
		a.out.mu.Lock() // the writer is done
		if got := cap(a.out.buf) + len(b.in.buf); got > want || kind == Transfer && got < want {
			t.Errorf("kind %d: %d bytes of buffers, want %d", kind, got, want)
		}
		a.out.mu.Unlock()
	}
}

// TestIdleLinkMemory weighs both ends of many idle links.
func TestIdleLinkMemory(t *testing.T) {
	const links, limit = 100, 16 << 10
	var before, after runtime.MemStats
	conns := make([]*Conn, 0, 2*links)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range links {
		f := shakeHands(t, CapAES, CapAES)
		for _, s := range []*Session{f.dialler, f.answerer} {
			c := newConn(scriptedConn{Writer: io.Discard}, s)
			if err := c.WriteRecord(FirstMessage, make([]byte, 500)); err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := int64(after.HeapAlloc-before.HeapAlloc) / int64(len(conns))
	t.Logf("%d bytes an idle end of a link", each)
	if each > limit {
		t.Errorf("an idle end of a link holds %d bytes, want at most %d", each, limit)
	}
	runtime.KeepAlive(conns)
}

// TestRecordsDoNotAllocate: neither way, once a transfer link has its buffers.
func TestRecordsDoNotAllocate(t *testing.T) {
	f := shakeHands(t, CapAES, CapAES)
	var wire bytes.Buffer
	wire.Grow(2 * bulkBuffer)
	a, b := newConn(scriptedConn{Writer: &wire}, f.dialler), newConn(scriptedConn{Reader: &wire}, f.answerer)
	a.setKind(Transfer)
	b.setKind(Transfer)
	bulk, got := make([]byte, 3*dataBody), make([]byte, 2*dataBody)
	if n := testing.AllocsPerRun(50, func() {
		if _, err := a.Write(bulk); err != nil {
			t.Error(err)
		}
		if err := a.WriteRecord(FirstMessage, bulk[:100]); err != nil {
			t.Error(err)
		}
		if n, err := b.Read(got); n < dataBody || err != nil {
			t.Error(n, err)
		}
		for typ := byte(typeData); typ == typeData; {
			var err error
			if typ, _, err = b.ReadRecord(); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBulkWrite(b *testing.B) {
	from, to := newLink(b, Transfer)
	bulk := make([]byte, 8<<20)
	go func() {
		for {
			if _, _, err := to.ReadRecord(); err != nil {
				return
			}
		}
	}()
	b.SetBytes(int64(len(bulk)))
	for b.Loop() {
		if _, err := from.Write(bulk); err != nil {
			b.Fatal(err)
		}
	}
}
