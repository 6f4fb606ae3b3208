package node

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"securepeer/crypto"
	"securepeer/keys"
	"securepeer/wire"
)

// speaker is member i, who runs nothing and says what it likes to node 0 over
// links and pings of its own.
type speaker struct {
	*bubble
	id      wire.ID
	secret  *keys.Secret
	config  *crypto.Config
	packets *memPackets
}

func (b *bubble) speaker(i int) *speaker {
	l, p := b.net.listen(b.addr(i))
	b.t.Cleanup(func() { l.Close() })
	return &speaker{bubble: b, id: wire.ID(i), secret: b.secrets[i], packets: p.(*memPackets), config: &crypto.Config{
		Secret: b.secrets[i], Ring: "test", Pings: crypto.NewPingTable(),
		Info:    func() crypto.Info { return crypto.Info{Incarnation: 1} },
		Publish: func(*crypto.Conn) error { return nil },
	}}
}

func (s *speaker) dial(kind crypto.Kind) *crypto.Conn {
	s.t.Helper()
	c := s.dialSilently(kind)
	go func() { // ends with the link; what node 0 says is of no interest
		for err := error(nil); err == nil; {
			_, _, err = c.ReadRecord()
		}
	}()
	return c
}

// dialSilently leaves it to the caller to read.
func (s *speaker) dialSilently(kind crypto.Kind) *crypto.Conn {
	s.t.Helper()
	raw, err := s.net.dialFrom(s.addr(int(s.id)))(s.t.Context(), "tcp", s.addr(0))
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := crypto.Dial(s.t.Context(), raw, s.config, s.secrets[0].Public(), kind)
	if err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait() // node 0 has confirmed it, and with it the ping session
	return c
}

// ping sends a sealed body, whatever is in it.
func (s *speaker) ping(body [crypto.PingBodySize]byte) {
	s.t.Helper()
	datagram, err := s.config.Pings.Seal(nil, s.secrets[0].Public().Noise, &body, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	to, ok := s.net.packets[s.addr(0)]
	if !ok {
		s.t.Fatal("node 0 has no socket")
	}
	s.packets.WriteTo(datagram, to.LocalAddr()) // memory takes it
}

func (s *speaker) vote(v wire.Vote) wire.Vote {
	v.Sig = s.secret.Sign(v.SignedBytes("test", nil))
	return v
}

// wrong is a record or, if it is no message, a datagram.
type wrong struct {
	what string
	kind crypto.Kind
	typ  byte
	body []byte
}

func record(what string, m wire.Message) wrong {
	return wrong{what, crypto.Ring, byte(m.Type()), m.Append(nil)}
}

// wrongs is one of each thing that a member may not send.
func (s *speaker) wrongs() []wrong {
	find := wire.Find{Req: 1, For: wire.ForLookup, Name: "f"}.Append(nil)
	foreignRow := wire.Row{ID: 1, Incarnation: 1 << 40, State: wire.Left, Sig: wire.Sig{1}}
	foreignVote := s.vote(wire.Vote{Observer: 0, Member: 1, Incarnation: 1, Verdict: wire.Gone, Sequence: 1})
	manifest := wire.Manifest{Name: "f", Version: 1, Writer: 1, Signer: 1, Size: 1, Blocks: wire.Sum{1}, Sig: wire.Sig{1}}
	tooMany := append([]byte{1, 1}, make([]byte, 300*100)...) // 257 rows
	return []wrong{
		{"an unknown type", crypto.Ring, 200, nil},
		{"a message cut short", crypto.Ring, byte(wire.TypeFind), find[:len(find)-1]},
		{"a message with leftovers", crypto.Ring, byte(wire.TypeFind), append(slices.Clone(find), 0)},
		{"a list over its limit", crypto.Ring, byte(wire.TypeRows), tooMany},
		{"buckets cut short", crypto.Ring, byte(wire.TypeBuckets), make([]byte, 100)},
		{"a verdict that is none", crypto.Ring, byte(wire.TypePingReqAck), []byte{0, 0, 0, 1, 2}},
		{"a transfer message on a ring link", crypto.Ring, byte(wire.TypeGet), wire.Get{}.Append(nil)},
		record("another's row", wire.Rows{Rows: []wire.Row{foreignRow}}),
		record("another's vote", wire.Rows{Votes: []wire.Vote{foreignVote}}),
		record("another's manifest offered", wire.Offer{Req: 1, Source: s.id, Manifest: manifest}),
		record("another's manifest found", wire.Found{Req: 1, Manifests: []wire.Manifest{manifest}}),
		record("another's manifest listed", wire.Listed{Req: 1, Manifests: []wire.Manifest{manifest}}),
		record("a vote on oneself", wire.Rows{Votes: []wire.Vote{s.vote(wire.Vote{Observer: s.id, Member: s.id, Incarnation: 1, Verdict: wire.Reachable, Sequence: 1})}}),
		record("a reply to no buckets", wire.Buckets{Reply: true}),
		record("a request to ping its own sender", wire.PingReq{Req: 1, Member: s.id}),
		{"an unknown type of transfer", crypto.Transfer, 99, []byte{1}},
		{"a put cut short", crypto.Transfer, byte(wire.TypePut), []byte{1}},
		{"a ring message on a transfer link", crypto.Transfer, byte(wire.TypeRows), wire.Rows{}.Append(nil)},
		{"a ping of no type", crypto.Ring, 0, []byte{9}},
		{"a ping with what must be zero", crypto.Ring, 0, []byte{1, 0, 1}},
	}
}

// TestWhatIsWrongIsCountedAndChangesNothing sends one of each over real links
// and pings.
func TestWhatIsWrongIsCountedAndChangesNothing(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		s := b.speaker(2)
		before := status(t, n)
		if before.Peers[2].Refused != 0 {
			t.Fatalf("%d were refused before", before.Peers[2].Refused)
		}
		for i, w := range s.wrongs() {
			c := s.dial(w.kind)
			if w.typ == 0 {
				var body [crypto.PingBodySize]byte
				copy(body[:], w.body)
				s.ping(body)
			} else if err := c.WriteRecord(w.typ, w.body); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			now := status(t, n)
			if got := now.Peers[2].Refused; got != uint64(i+1) {
				t.Errorf("%s: %d were refused, want %d: %+v", w.what, got, i+1, now.Refused)
			}
			if now.View != before.View || !slices.Equal(now.Circle, before.Circle) || now.Peers[1].Why != WhyNone || !now.Ready {
				t.Errorf("%s: the ring is %+v, was %+v", w.what, now, before)
			}
			c.Close()
			synctest.Wait()
		}
		if got := b.nodes[1]; status(t, got).Peers[2].Refused != 0 {
			t.Error("node 1 has counted what node 0 was sent")
		}
		if lines := b.logged.lines("msg=refused"); len(lines) != 1 {
			t.Errorf("it is logged %d times within a minute, want once: %q", len(lines), lines)
		}
		put(t, n, "f", []byte("x"))
	})
}

// TestBadlySignedRowsCostTheirSender: a flood of them is verified at a bounded
// rate, whatever the speed of the link, and the ring goes on meanwhile.
func TestBadlySignedRowsCostTheirSender(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		s := b.speaker(2)
		const flood = 200
		n.verify.mu.Lock() // the burst is spent: 4,096 true signatures would take a second of this machine
		n.verify.spent[2] = spent{signatures: allowance{time.Now().Add(checkLeast * checkEach)}}
		n.verify.mu.Unlock()
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			c := s.dial(crypto.Ring)
			for i := range flood {
				row := wire.Row{ID: 1, Incarnation: wire.Incarnation(i) + 1<<40, State: wire.Left}
				m := wire.Rows{Rows: []wire.Row{row}}
				if c.WriteRecord(byte(m.Type()), m.Append(nil)) != nil {
					return
				}
			}
		}()
		<-done
		put(t, n, "f", []byte("x"))
		if d := time.Since(began); d > time.Second {
			t.Errorf("a put beside the flood took %v", d)
		}
		counted := func() uint64 { return status(t, n).Peers[2].Refused }
		if got := counted(); got >= flood {
			t.Errorf("%d were refused at once", got)
		}
		time.Sleep(checkLeast*checkEach + flood*checkEach + time.Second)
		// Each has a bad signature, and each had to wait.
		if got := counted(); got != 2*flood {
			t.Errorf("%d were refused, want %d: %+v", got, 2*flood, status(t, n).Refused)
		}
		if s := status(t, n); !s.Peers[1].InRing || s.Peers[1].State != "active" {
			t.Errorf("n1 is %+v", s.Peers[1])
		}
	})
}
