package node

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"securepeer/crypto"
	"securepeer/keys"
	"securepeer/wire"
)

// TestStrangersGetNoByte sends what scanners and impostors send: nothing comes
// back, and the ring stands as before.
func TestStrangersGetNoByte(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "copies=2")
	w.startAll()
	before := status(t, w.nodes[0])
	addr := w.plugs[0].Addr().String()
	random := make([]byte, crypto.Frame1Size)
	rand.Read(random) // never fails
	stranger, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	_, frame, err := crypto.NewInitiator(stranger, w.secrets[0].Public(), "test", crypto.Info{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{
		"random bytes":                  random,
		"an HTTP request":               append([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), random...),
		"a TLS hello":                   append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, random...),
		"a first frame of a stranger":   frame,
		"a first frame for another key": append([]byte{1}, random[1:]...),
	} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write(b) // the other side may have closed already
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if got, err := io.ReadAll(conn); len(got) > 0 || errors.Is(err, errTimeout(err)) {
			t.Errorf("%s: %d bytes came back, %v; want none and a close", what, len(got), err)
		}
		conn.Close()
	}
	silentUDP(t, addr, random)
	after := status(t, w.nodes[0])
	if after.View != before.View || len(after.Circle) != 2 {
		t.Errorf("the ring changed: %+v", after)
	}
	if len(after.Refused) == 0 {
		t.Error("nothing was counted")
	}
}

// errTimeout is err if it is a timeout: the other side did not close.
func errTimeout(err error) error {
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		return err
	}
	return errors.New("no timeout")
}

// silentUDP sends datagrams of every interesting size and then one that an
// echo of this test answers: whatever came before it would have come first.
func silentUDP(t *testing.T, addr string, random []byte) {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, size := range []int{0, 1, 12, 95, 96, 97, 1200} {
		if _, err := conn.WriteTo(random[:size], to); err != nil {
			t.Fatal(err)
		}
	}
	conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if n, _, err := conn.ReadFrom(make([]byte, 2000)); err == nil {
		t.Errorf("a datagram of %d bytes came back", n)
	}
}

// insider has the key of a member who does not run, and says what it likes to
// node 0.
type insider struct {
	t      *testing.T
	w      *world
	secret *keys.Secret
	config *crypto.Config
	conns  []*crypto.Conn
}

func newInsider(t *testing.T, w *world, i int) *insider {
	in := &insider{t: t, w: w, secret: w.secrets[i]}
	in.config = &crypto.Config{
		Secret: in.secret, Ring: "test", Pings: crypto.NewPingTable(),
		Info:    func() crypto.Info { return crypto.Info{Incarnation: 1} },
		Lookup:  func([32]byte) (keys.Public, bool) { return keys.Public{}, false },
		Publish: func(*crypto.Conn) error { return nil },
	}
	t.Cleanup(func() {
		for _, c := range in.conns {
			c.Close()
		}
	})
	return in
}

func (in *insider) dial(kind crypto.Kind) *crypto.Conn {
	in.t.Helper()
	raw, err := net.Dial("tcp", in.w.plugs[0].Addr().String())
	if err != nil {
		in.t.Fatal(err)
	}
	c, err := crypto.Dial(in.t.Context(), raw, in.config, in.w.secrets[0].Public(), kind)
	if err != nil {
		in.t.Fatal(err)
	}
	in.conns = append(in.conns, c)
	return c
}

func (in *insider) send(c *crypto.Conn, m wire.Message) {
	in.t.Helper()
	if err := c.WriteRecord(byte(m.Type()), m.Append(nil)); err != nil {
		in.t.Fatal(err)
	}
}

// TestMemberCannotSpeakForAnother: member 2 says of itself, of 1 and of names
// what only others may say. Nothing changes, and each is counted.
func TestMemberCannotSpeakForAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "copies=2")
	w.start(0)
	w.start(1)
	w.whole(w.nodes[:2]...)
	put(t, w.nodes[1], "mine", []byte("of n1"))
	in := newInsider(t, w, 2)
	sign := func(b []byte) wire.Sig { return in.secret.Sign(b) }

	row := wire.Row{ID: 1, Incarnation: 1 << 40, State: wire.Left}
	row.Sig = sign(row.SignedBytes("test", nil))
	vote := wire.Vote{Observer: 0, Member: 1, Incarnation: 1, Verdict: wire.Unreachable, Sequence: 1 << 60}
	vote.Sig = sign(vote.SignedBytes("test", nil))
	manifest := wire.Manifest{Name: "mine", Version: 9, Writer: 1, Signer: 1, Flags: wire.Tombstone}
	manifest.Sig = sign(manifest.SignedBytes("test", nil))
	noSteward := manifest
	noSteward.Signer = 2
	noSteward.Sig = sign(noSteward.SignedBytes("test", nil))

	c := in.dial(crypto.Ring)
	in.send(c, wire.Rows{Rows: []wire.Row{row}})
	in.send(c, wire.Rows{Votes: []wire.Vote{vote}})
	in.send(c, wire.Offer{Req: 1, Source: 2, Manifest: manifest})
	in.send(c, wire.Offer{Req: 2, Source: 2, Manifest: noSteward})
	in.send(c, wire.Found{Req: 1, Home: true, Manifests: []wire.Manifest{manifest}})
	in.send(c, wire.Listed{Req: 1, Manifests: []wire.Manifest{noSteward}})
	until(t, "six refusals", func() bool { return refusedOf(t, w.nodes[0], "n2") == 6 })

	if code := in.upload(manifest); code != wire.CodeForbidden {
		t.Errorf("PutEnd in another's name: code %d, want CodeForbidden", code)
	}
	if code := in.upload(noSteward); code != wire.CodeForbidden {
		t.Errorf("PutEnd for another: code %d, want CodeForbidden", code)
	}
	liar := wire.Manifest{Name: "own", Version: 1, Writer: 2, Signer: 2, Size: 3, Blocks: wire.Sum{1}}
	liar.Sig = sign(liar.SignedBytes("test", nil))
	if code := in.upload(liar); code != wire.CodeInvalid {
		t.Errorf("PutEnd with another hash: code %d, want CodeInvalid", code)
	}
	if got, _ := get(t, w.nodes[0], "mine"); string(got) != "of n1" {
		t.Errorf("the file is %q", got)
	}
	if s := status(t, w.nodes[0]); !s.Peers[1].InRing || s.Peers[1].State != "active" {
		t.Errorf("n1 is %+v", s.Peers[1])
	}
}

// refusedOf counts what was refused of a member.
func refusedOf(t *testing.T, n *Node, peer string) (count uint64) {
	for _, r := range status(t, n).Refused {
		if r.Peer == peer {
			count += r.Count
		}
	}
	return count
}

// upload sends three bytes that m is to describe and returns the answer.
func (in *insider) upload(m wire.Manifest) wire.Code {
	in.t.Helper()
	c := in.dial(crypto.Transfer)
	in.send(c, wire.Put{Upload: 7, Size: wire.SizeUnknown, Name: m.Name, Holders: []wire.ID{0}})
	if _, err := c.Write([]byte("abc")); err != nil {
		in.t.Fatal(err)
	}
	in.send(c, wire.PutEnd{Manifest: m})
	msg, err := readMessage(c)
	if err != nil {
		in.t.Fatal(err)
	}
	return msg.(wire.PutAck).Code
}

// TestWrongMessagesEndALink: what does not belong on a link, or is no message.
func TestWrongMessagesEndALink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "")
	<-w.start(0).Ready()
	in := newInsider(t, w, 1)
	for _, c := range []struct {
		kind crypto.Kind
		typ  byte
		body []byte
	}{
		{crypto.Ring, byte(wire.TypeGet), wire.Get{}.Append(nil)},
		{crypto.Ring, byte(wire.TypeFind), []byte("short")},
		{crypto.Ring, 200, nil},
		{crypto.Transfer, byte(wire.TypeRows), wire.Rows{}.Append(nil)},
		{crypto.Transfer, byte(wire.TypePutMore), nil},
		{crypto.Transfer, 99, []byte{1}},
	} {
		conn := in.dial(c.kind)
		if err := conn.WriteRecord(c.typ, c.body); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		err := error(nil)
		for err == nil {
			_, _, err = conn.ReadRecord()
		}
		if errTimeout(err) == err {
			t.Errorf("type %d on a link of kind %d: the link stays open", c.typ, c.kind)
		}
	}
	if s := status(t, w.nodes[0]); !s.Ready {
		t.Error("the node left the ring")
	}
}

// TestRequestsOutOfRange: what a member asks for that is not there gets a Fail
// and the link goes on.
func TestRequestsOutOfRange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "copies=1")
	n := w.start(0)
	<-n.Ready()
	until(t, "active", func() bool { return status(t, n).State == "active" })
	put(t, n, "f", bytesOf(1, 100))
	f, err := n.Get(t.Context(), "f", GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v := versionOf(w.roster.Space, f.get.Manifest)
	c := newInsider(t, w, 1).dial(crypto.Transfer)
	in := &insider{t: t}
	for _, c2 := range []struct {
		ask  wire.Message
		want wire.Code
	}{
		{wire.Get{Key: wire.Pos(v.Key), Sum: v.Sum, Offset: 90, Length: 11}, wire.CodeInvalid},
		{wire.Get{Key: wire.Pos(v.Key), Sum: v.Sum, Offset: 101}, wire.CodeInvalid},
		{wire.Get{Key: wire.Pos(v.Key), Sum: wire.Sum{1}, Length: 1}, wire.CodeNotFound},
		{wire.Blocks{Key: wire.Pos(v.Key), Sum: v.Sum, From: 1, Count: 1}, wire.CodeInvalid},
		{wire.Blocks{Key: wire.Pos(v.Key), Sum: v.Sum, From: 1<<32 - 1, Count: 2000}, wire.CodeInvalid},
		{wire.Blocks{Key: 1, Sum: v.Sum, Count: 1}, wire.CodeNotFound},
	} {
		in.send(c, c2.ask)
		msg, err := readMessage(c)
		if fail, ok := msg.(wire.Fail); err != nil || !ok || fail.Code != c2.want {
			t.Errorf("%+v: %+v, %v; want Fail with code %d", c2.ask, msg, err, c2.want)
		}
	}
	in.send(c, wire.Get{Key: wire.Pos(v.Key), Sum: v.Sum, Offset: 90, Length: 10})
	got := make([]byte, 10)
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, bytesOf(1, 100)[90:]) {
		t.Errorf("a range: %x, %v", got, err)
	}
	// An upload that begins in the middle is nobody's.
	in.send(c, wire.Put{Upload: 1, Offset: 5, Size: 10, Name: "g"})
	msg, err := readMessage(c)
	if ack, ok := msg.(wire.PutAck); err != nil || !ok || ack.Code != wire.CodeInvalid {
		t.Errorf("Put from the middle: %+v, %v", msg, err)
	}
}

// TestMemberCannotOpenLinksWithoutEnd: the dialler finds its oldest links closed.
func TestMemberCannotOpenLinksWithoutEnd(t *testing.T) {
	t.Parallel()
	for kind, most := range map[crypto.Kind]int{crypto.Ring: maxAcceptedRing, crypto.Transfer: maxAcceptedTransfer} {
		w := newWorld(t, 2, "")
		n := w.start(0)
		<-n.Ready()
		in := newInsider(t, w, 1)
		for range most + 4 {
			in.dial(kind)
		}
		until(t, "the surplus to be refused", func() bool {
			n.members.mu.Lock()
			defer n.members.mu.Unlock()
			return len(n.members.accepted[accepted{in.secret.Public().Noise, kind}]) <= most && len(n.members.links) <= most
		})
		var closed atomic.Int32
		var reading sync.WaitGroup
		for _, c := range in.conns {
			c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			reading.Go(func() {
				var err error
				for err == nil {
					_, _, err = c.ReadRecord()
				}
				if errTimeout(err) != err {
					closed.Add(1)
				}
			})
		}
		reading.Wait()
		if n := closed.Load(); n < 4 {
			t.Errorf("%d of %d links of kind %d were closed, want 4 or more", n, most+4, kind)
		}
	}
}

// readMessage is what a member that is no node reads.
func readMessage(c *crypto.Conn) (wire.Message, error) {
	typ, body, err := c.ReadRecord()
	if err != nil {
		return nil, err
	}
	return wire.Parse(wire.Type(typ), body)
}
