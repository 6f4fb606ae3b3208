package node

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeebo/blake3"

	"securepeer/crypto"
	"securepeer/wire"
)

// warnings are the lines that an operator sees without asking for more.
func (b *bubble) warnings() []string {
	return append(b.logged.lines("level=WARN"), b.logged.lines("level=ERROR")...)
}

// rootOf is the hash of the block list of a file of one block.
func rootOf(bytes string) wire.Sum {
	sum := blake3.Sum256([]byte(bytes))
	return blake3.Sum256(sum[:])
}

// counted counts the events at n from now on, but those of pings.
func (b *bubble) counted(n *Node) *atomic.Int64 {
	count := new(atomic.Int64)
	events := n.Watch(b.t.Context())
	go func() { // ends with the node
		for e := range events {
			if !strings.HasPrefix(e.Kind, "ping") {
				count.Add(1)
			}
		}
	}()
	return count
}

// TestOneMemberFillsNoLog: whatever a member sends, and however fast, another's
// log and its console say little of it; status names that member and no other.
// Once it wrote 473 ERROR lines and 10,500 lines of the console a second.
func TestOneMemberFillsNoLog(t *testing.T) {
	for what, say := range map[string]func(s *speaker, ring *crypto.Conn, i int){
		"uploads of more than announced": func(s *speaker, _ *crypto.Conn, i int) {
			c := s.dial(crypto.Transfer)
			writeMessage(c, wire.Put{Upload: uint64(i), Size: 1, Name: "f"})
			c.Write([]byte("abc"))
			synctest.Wait()
			c.Close()
		},
		"uploads of less than announced": func(s *speaker, _ *crypto.Conn, i int) {
			c := s.dial(crypto.Transfer)
			writeMessage(c, wire.Put{Upload: uint64(i), Size: 9, Name: "f"})
			c.Write([]byte("abc"))
			writeMessage(c, wire.PutEnd{Manifest: claim(s.secret, wire.Manifest{Name: "f", Version: 1, Writer: s.id, Signer: s.id, Size: 3, Blocks: rootOf("abc")})})
			synctest.Wait()
			c.Close()
		},
		"good uploads": func(s *speaker, _ *crypto.Conn, i int) {
			c := s.dial(crypto.Transfer)
			name := fmt.Sprint("f", i)
			writeMessage(c, wire.Put{Upload: uint64(i), Size: 3, Name: name, Holders: []wire.ID{0, 1, 2}})
			c.Write([]byte("abc"))
			writeMessage(c, wire.PutEnd{Manifest: claim(s.secret, wire.Manifest{Name: name, Version: 1, Writer: s.id, Signer: s.id, Size: 3, Blocks: rootOf("abc")})})
			synctest.Wait()
			c.Close()
		},
		"questions to join": func(_ *speaker, ring *crypto.Conn, i int) {
			writeMessage(ring, wire.Find{Req: uint32(i), For: wire.ForJoin})
		},
		"requests for a file": func(_ *speaker, ring *crypto.Conn, i int) {
			writeMessage(ring, wire.Find{Req: uint32(i), For: wire.ForGet, Name: "f"})
		},
		"rows that come and go": func(s *speaker, ring *crypto.Conn, i int) {
			row := wire.Row{ID: s.id, Incarnation: wire.Incarnation(1000 + i/2), State: []wire.State{wire.Active, wire.Stopped}[i%2]}
			row.Sig = s.secret.Sign(row.SignedBytes("test", nil))
			writeMessage(ring, wire.Rows{Rows: []wire.Row{row}})
		},
		"rows badly signed": func(_ *speaker, ring *crypto.Conn, i int) {
			writeMessage(ring, wire.Rows{Rows: []wire.Row{{ID: 1, Incarnation: wire.Incarnation(i), State: wire.Active}}})
		},
	} {
		inBubble(t, 3, 2, "copies=2 route=walk", func(b *bubble) {
			t, s := b.t, b.speaker(2)
			ring := s.dial(crypto.Ring)
			events := b.counted(b.nodes[0])
			const times, pause = 400, 20 * time.Millisecond
			for i := range times {
				say(s, ring, i)
				time.Sleep(pause) // of the bubble
			}
			synctest.Wait()
			seconds := int(times * pause / time.Second)
			if lines := b.warnings(); len(lines) > 2*seconds {
				t.Errorf("%s: %d warnings in %d s, as %s", what, len(lines), seconds, lines[len(lines)-1])
			}
			if n := int(events.Load()); n > 2*(noticesAtOnce+2*seconds) {
				t.Errorf("%s: %d events in %d s", what, n, seconds)
			}
			for i, n := range b.nodes {
				for _, r := range status(t, n).Refused {
					if r.Peer != "n2" && !strings.Contains(r.Cause, "datagrams") { // of sessions that have just ended
						t.Errorf("%s: node %d names %+v", what, i, r)
					}
				}
			}
		})
	}
}

// TestRemovedMemberThatRunsIsNamed: a member that the roster has revoked and
// that still runs is no stranger: log and status name it, and the log less and
// less often. Once every peer warned of strangers each second, for ever.
func TestRemovedMemberThatRunsIsNamed(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		t, s := b.t, b.speaker(2)
		next := *b.roster
		next.Members = slices.Clone(next.Members)
		if err := next.Revoke(2); err != nil {
			t.Fatal(err)
		}
		for _, n := range b.nodes {
			if err := n.Reload(&next); err != nil {
				t.Fatal(err)
			}
		}
		const hours = 3
		for range hours * 3600 / 10 {
			raw, err := s.net.dialFrom(s.addr(2))(t.Context(), "tcp", s.addr(0))
			if err != nil {
				t.Fatal(err)
			}
			if c, err := crypto.Dial(t.Context(), raw, s.config, s.secrets[0].Public(), crypto.Ring); err == nil {
				c.Close()
				t.Fatal("a link opened for a revoked key")
			}
			time.Sleep(10 * time.Second) // of the bubble
		}
		lines := slices.DeleteFunc(b.warnings(), func(l string) bool { return strings.Contains(l, "datagrams") })
		if len(lines) < 5 || len(lines) > 20 {
			t.Errorf("%d lines in %d hours, the last %s", len(lines), hours, lines[len(lines)-1])
		}
		for _, line := range lines {
			if !strings.Contains(line, "peer=n2") || !strings.Contains(line, "revoked") || strings.Contains(line, "stranger") {
				t.Errorf("the log says %s", line)
			}
		}
		r := status(t, b.nodes[0]).Refused
		r = slices.DeleteFunc(r, func(r Refusal) bool { return strings.Contains(r.Cause, "datagrams") })
		if len(r) != 1 || r[0].Peer != "n2" || r[0].Count != hours*360 {
			t.Errorf("status says %+v", r)
		}
	})
}

// TestOffersOfNothingFillNoLog: a member that offers thousands of versions which
// it does not give causes few lines.
func TestOffersOfNothingFillNoLog(t *testing.T) {
	inBubble(t, 2, 1, "copies=2", func(b *bubble) {
		s := b.speaker(1)
		b.hung(1, func(c *crypto.Conn) {
			requests(c, func(wire.Message) bool { return writeMessage(c, wire.Fail{Code: wire.CodeNotFound}) == nil })
		})
		c := s.dial(crypto.Ring)
		before := len(b.logged.lines("level="))
		for i := range 2000 {
			writeMessage(c, wire.Offer{Req: uint32(i + 1), Source: 1, Manifest: fileOf(b, 1, fmt.Sprint("f", i), []byte("abc"))})
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		lines := b.logged.lines("level=")[before:]
		if len(lines) > 20 {
			b.t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
		}
		c.Close()
	})
}
