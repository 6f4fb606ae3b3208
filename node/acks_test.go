package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"securepeer/crypto"
	"securepeer/ring"
	"securepeer/wire"
)

// fileOf is a version by member i that one block holds.
func fileOf(b *bubble, i int, name string, data []byte) wire.Manifest {
	sum := blake3.Sum256(data)
	return claim(b.secrets[i], wire.Manifest{Name: name, Version: 1, Writer: wire.ID(i), Signer: wire.ID(i),
		Mode: 0o644, Size: uint64(len(data)), Blocks: blake3.Sum256(sum[:])})
}

// TestWhatComesWithAnAck: rows and votes reach the ring before the ack does if
// those who they are of have signed them; and the bytes count as kept for a
// stand-in alone.
func TestWhatComesWithAnAck(t *testing.T) {
	for what, c := range map[string]struct {
		code  wire.Code
		votes bool
		by    int // who signs
	}{
		"a row":                  {wire.CodeOK, false, 2},
		"a vote of a stand-in":   {wire.CodeNotOwner, true, 2},
		"a row of a full disk":   {wire.CodeFull, false, 2},
		"a forged row":           {wire.CodeOK, false, 0},
		"a forged vote":          {wire.CodeNotOwner, true, 0},
		"a forged row of a full": {wire.CodeFull, false, 0},
	} {
		inBubble(t, 3, 1, "copies=2", func(b *bubble) {
			t := b.t
			n := b.loner(1, b.disks[1].Mount())
			defer n.Close()
			ack := wire.PutAck{Code: c.code}
			if c.votes {
				v := wire.Vote{Observer: 2, Member: 0, Incarnation: 1, Verdict: wire.Unreachable, Sequence: 1}
				v.Sig = b.secrets[c.by].Sign(v.SignedBytes("test", nil))
				ack.Votes = []wire.Vote{v}
			} else {
				r := wire.Row{ID: 2, Incarnation: 3, State: wire.Active}
				r.Sig = b.secrets[c.by].Sign(r.SignedBytes("test", nil))
				ack.Rows = []wire.Row{r}
			}
			b.hung(2, func(conn *crypto.Conn) {
				requests(conn, func(msg wire.Message) bool {
					if _, ok := msg.(wire.PutEnd); ok {
						return tell(conn, ack)
					}
					_, err := io.Copy(io.Discard, conn)
					return errors.Is(err, crypto.ErrMessage)
				})
			})
			a := uploadTo(2)
			u := n.newUpload(t.Context(), a, "f", 3)
			hash, err := u.stream(t.Context(), bytes.NewReader([]byte("abc")))
			if err != nil {
				t.Fatal(err)
			}
			m, _ := n.sealed(a, "f", hash, PutOptions{})
			u.finish(&m)
			want := []input{happened{event: ring.Uploaded{Op: a.Op, Peer: 2, Code: c.code, Kept: c.code == wire.CodeNotOwner}}}
			if c.by == 2 {
				said := ring.Received{From: 2, Msg: wire.Rows{Rows: ack.Rows, Votes: ack.Votes}}
				want = append([]input{happened{event: said}}, want...)
			}
			if got := posted(n); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("%s: the ring hears %+v, want %+v", what, got, want)
			}
			if count := len(n.refused.list()); (count > 0) != (c.by != 2) {
				t.Errorf("%s: %d refusals are counted", what, count)
			}
		})
	}
}

// TestUploadIsWhatItsManifestSays: bytes under another name, or a tombstone that
// came as a file, are no version, however good the signature.
func TestUploadIsWhatItsManifestSays(t *testing.T) {
	inBubble(t, 2, 1, "copies=2", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		good := fileOf(b, 1, "f", []byte("abc"))
		for what, change := range map[string]func(*wire.Manifest){
			"another name": func(m *wire.Manifest) { m.Name = "g" },
			"a tombstone":  func(m *wire.Manifest) { m.Flags, m.Size, m.Blocks, m.Mode = wire.Tombstone, 0, wire.Sum{}, 0 },
			"another size": func(m *wire.Manifest) { m.Size++ },
			"other blocks": func(m *wire.Manifest) { m.Blocks[0]++ },
		} {
			m := good
			change(&m)
			in, c := b.insider(1)
			in.send(c, wire.Put{Upload: 7, Size: 3, Name: "f", Holders: []wire.ID{0}})
			if _, err := c.Write([]byte("abc")); err != nil {
				t.Fatal(err)
			}
			in.send(c, wire.PutEnd{Manifest: claim(b.secrets[1], m)})
			if msg, err := readMessage(c); err != nil || msg.(wire.PutAck).Code != wire.CodeInvalid {
				t.Errorf("%s: %+v, %v; want CodeInvalid", what, msg, err)
			}
			if ms, _, err := n.disk.look(b.roster.Space, m.Name); err != nil || len(ms) > 0 {
				t.Errorf("%s: stored %+v, %v", what, ms, err)
			}
			c.Close()
		}
	})
}

// TestVerdictOnAnUpload: the ring is asked about the member that sent it; what
// it says besides is cut to what a message holds; and if it says nothing, there
// is no ack.
func TestVerdictOnAnUpload(t *testing.T) {
	inBubble(t, 3, 0, "copies=2", func(b *bubble) {
		t := b.t
		n := b.loner(0, b.disks[0].Mount())
		defer n.Close()
		accepted := make(chan *crypto.Conn, 1)
		go func() {
			conn, _ := n.listener.Accept()
			accepted <- conn
		}()
		c, _ := b.dial(2, crypto.Transfer, 1)
		conn := <-accepted
		put := wire.Put{Name: "f", Holders: []wire.ID{0, 2}}
		done := make(chan error, 1)
		ask := func() ring.PutStored {
			go func() { done <- n.reply(conn, b.roster.Members[2], put, ring.Version{Key: 7}, wire.CodeOK) }()
			heard := posted(n)
			if len(heard) != 1 {
				t.Fatalf("the ring hears %+v", heard)
			}
			return heard[0].(happened).event.(ring.PutStored)
		}
		row := wire.Row{ID: 1, Incarnation: 1, State: wire.Active}
		vote := wire.Vote{Observer: 1, Member: 2, Incarnation: 1, Verdict: wire.Unreachable, Sequence: 1}
		asked := ask()
		if asked.From != 2 || asked.Name != "f" || asked.Version.Key != 7 || len(asked.Holders) != 2 {
			t.Errorf("the ring is asked about %+v", asked)
		}
		n.replies.deliver(ring.PutReply{Serve: asked.Serve, Code: wire.CodeNotOwner,
			Rows: slices.Repeat([]wire.Row{row}, wire.MaxRows+1), Votes: slices.Repeat([]wire.Vote{vote}, wire.MaxVotes+1)})
		msg, err := readMessage(c)
		if ack, ok := msg.(wire.PutAck); err != nil || !ok || ack.Code != wire.CodeNotOwner || len(ack.Rows) != wire.MaxRows || len(ack.Votes) != wire.MaxVotes {
			t.Errorf("the ack is %v, %v", msg, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		ask()
		time.Sleep(replyTime) // of the bubble
		if err := <-done; err == nil {
			t.Error("a verdict that never came is an answer")
		}
		conn.Close()
		if msg, err := readMessage(c); err == nil {
			t.Errorf("without a verdict the sender is told %+v", msg)
		}
	})
}

// blockServer is a holder of a version of data: it gives the right block list,
// and of the bytes what part makes of each block; nil: it ends the link.
func (b *bubble) blockServer(i int, data []byte, part func(index int, block []byte) []byte) {
	var list []wire.Sum
	for block := range slices.Chunk(data, wire.BlockSize) {
		list = append(list, blake3.Sum256(block))
	}
	b.hung(i, func(c *crypto.Conn) {
		requests(c, func(msg wire.Message) bool {
			if _, ok := msg.(wire.Blocks); ok {
				return tell(c, wire.BlockList{Hashes: list})
			}
			index := int(msg.(wire.Get).Offset / wire.BlockSize)
			for block := range slices.Chunk(data[index*wire.BlockSize:], wire.BlockSize) {
				sent := part(index, block)
				if sent == nil {
					return false
				}
				if _, err := c.Write(sent); err != nil {
					return false
				}
				index++
			}
			return true
		})
	})
}

// TestPullBelievesNoHolder: bytes that are not the manifest's become no copy,
// and neither they nor those of a holder that ended are left behind.
func TestPullBelievesNoHolder(t *testing.T) {
	data := bytesOf(1, 2*wire.BlockSize)
	var list []byte
	for block := range slices.Chunk(data, wire.BlockSize) {
		sum := blake3.Sum256(block)
		list = append(list, sum[:]...)
	}
	for what, c := range map[string]struct {
		part func(int, []byte) []byte
		want wire.Code
	}{
		"honest": {func(_ int, block []byte) []byte { return block }, wire.CodeOK},
		"lying": {func(index int, block []byte) []byte {
			if index == 1 {
				return bytesOf(2, len(block))
			}
			return block
		}, wire.CodeInvalid},
		"ended": {func(index int, block []byte) []byte {
			if index == 1 {
				return nil
			}
			return block
		}, wire.CodeBusy},
	} {
		inBubble(t, 3, 1, "copies=1", func(b *bubble) {
			t := b.t
			n := b.loner(1, b.disks[1].Mount())
			defer n.Close()
			b.blockServer(2, data, c.part)
			m := claim(b.secrets[2], wire.Manifest{Name: "f", Version: 1, Writer: 2, Signer: 2, Size: uint64(len(data)), Blocks: blake3.Sum256(list)})
			if code := n.pull(ring.Pull{Manifest: m, From: 2}, []wire.ID{2}); code != c.want {
				t.Errorf("%s holder: code %d, want %d", what, code, c.want)
			}
			if here, _, err := n.disk.Has(versionOf(b.roster.Space, m)); err != nil || here != (c.want == wire.CodeOK) {
				t.Errorf("%s holder: the version is here: %v, %v", what, here, err)
			}
			if names, err := b.disks[1].Mount().List("tmp"); err != nil || len(names) > 0 {
				t.Errorf("%s holder: left behind is %q, %v", what, names, err)
			}
		})
	}
}

// TestHealAsksTheOthers: who has the bad copy is not asked for a good one, and
// if there is nobody else nothing is tried, nor said to have failed.
func TestHealAsksTheOthers(t *testing.T) {
	data := bytesOf(1, 1000)
	for _, from := range [][]wire.ID{{1, 2}, {1}, nil} {
		inBubble(t, 3, 1, "copies=1", func(b *bubble) {
			t := b.t
			var log logged
			n := b.loner(1, b.disks[1].Mount(), func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			defer n.Close()
			b.blockServer(2, data, func(_ int, block []byte) []byte { return block })
			m := fileOf(b, 2, "f", data)
			n.heal(m, from)
			n.work.Wait()
			here, _, err := n.disk.Has(versionOf(b.roster.Space, m))
			if want := len(from) == 2; err != nil || here != want {
				t.Errorf("healed from %v: %v, %v; want %v", from, here, err, want)
			}
			n.Close() // writes what was logged
			if lines := log.lines("level="); len(lines) > 0 {
				t.Errorf("healed from %v: %q", from, lines)
			}
		})
	}
}
