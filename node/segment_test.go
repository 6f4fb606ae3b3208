package node

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeebo/blake3"

	"securepeer/crypto"
	"securepeer/wire"
)

// TestSegmentThatDoesNotGoOn: the next part of an upload begins where the last
// ended, is of the same file, and no longer than a segment.
func TestSegmentThatDoesNotGoOn(t *testing.T) {
	inBubble(t, 2, 1, "copies=2", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		for what, put := range map[string]wire.Put{
			"before its place": {Upload: 7, Offset: 2, Size: wire.SizeUnknown, Name: "f"},
			"after its place":  {Upload: 7, Offset: 4, Size: wire.SizeUnknown, Name: "f"},
			"of another file":  {Upload: 7, Offset: 3, Size: wire.SizeUnknown, Name: "g"},
			"of another put":   {Upload: 8, Offset: 3, Size: wire.SizeUnknown, Name: "f"},
		} {
			in, c := b.insider(1)
			in.send(c, wire.Put{Upload: 7, Size: wire.SizeUnknown, Name: "f"})
			if _, err := c.Write([]byte("abc")); err != nil {
				t.Fatal(err)
			}
			in.send(c, wire.PutMore{})
			if msg, err := readMessage(c); err != nil || msg.(wire.PutAck).Code != wire.CodeMore {
				t.Fatalf("%s: %+v, %v", what, msg, err)
			}
			in.send(c, put)
			if msg, err := readMessage(c); err != nil || msg.(wire.PutAck).Code != wire.CodeInvalid {
				t.Errorf("a segment %s: %+v, %v; want CodeInvalid", what, msg, err)
			}
			c.Close()
		}
		if ms, _, err := n.disk.look(b.roster.Space, "f"); err != nil || len(ms) > 0 {
			t.Errorf("stored %v, %v", ms, err)
		}
	})
}

// TestTooManyUploads: one member opens as many as it may. For the next one its
// oldest that waits makes room, and if none waits it is told to come again.
func TestTooManyUploads(t *testing.T) {
	inBubble(t, 2, 1, "copies=2", func(b *bubble) {
		in, c := b.insider(1)
		begin := func(c *crypto.Conn, upload, offset uint64, want wire.Code) {
			b.t.Helper()
			in.send(c, wire.Put{Upload: upload, Offset: offset, Size: wire.SizeUnknown, Name: "f"})
			in.send(c, wire.PutMore{})
			if msg, err := readMessage(c); err != nil || msg.(wire.PutAck).Code != want {
				b.t.Fatalf("upload %d from %d: %+v, %v; want code %d", upload, offset, msg, err, want)
			}
		}
		for i := range uint64(maxUploads + 1) {
			begin(c, i, 0, wire.CodeMore)
			time.Sleep(time.Millisecond) // of the bubble
		}
		for i := range uint64(maxUploads) {
			_, c := b.insider(1)
			in.send(c, wire.Put{Upload: 100 + i, Size: wire.SizeUnknown, Name: "f"}) // and nothing more
		}
		synctest.Wait()
		if got := b.nodes[0].uploads.unfinished()[1].Uploads; got != maxUploads {
			b.t.Errorf("%d uploads are under way, want %d", got, maxUploads)
		}
	})
}

// TestAckBeforeTheEndIsNone: a target that says it has a file whose bytes are
// still coming has not stored it, whatever it says.
func TestAckBeforeTheEndIsNone(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeOK, wire.CodeMore} {
		inBubble(t, 3, 2, "copies=2", func(b *bubble) {
			t := b.t
			b.hung(2, func(c *crypto.Conn) {
				requests(c, func(msg wire.Message) bool {
					if _, ok := msg.(wire.Put); !ok || !tell(c, wire.PutAck{Code: code}) {
						return false
					}
					_, err := io.Copy(io.Discard, c)
					return err == nil
				})
			})
			n := b.nodes[0]
			a := uploadTo(2)
			u := n.newUpload(t.Context(), a, "f", -1)
			hash, err := u.stream(t.Context(), bytes.NewReader(bytesOf(1, 8<<20)))
			if err != nil && !errors.Is(err, errNoTarget) {
				t.Fatal(err)
			}
			if err == nil {
				m, _ := n.sealed(a, "f", hash, PutOptions{})
				u.finish(&m)
			} else {
				u.finish(nil)
			}
			u.mu.Lock()
			defer u.mu.Unlock()
			if len(u.failed) != 1 || u.failed[0] == wire.CodeOK {
				t.Errorf("an early ack with code %d: the upload ended with %v", code, u.failed)
			}
		})
	}
	for _, code := range []wire.Code{wire.CodeOK, wire.CodeMore} {
		if ack, err := (ackOrError{ack: wire.PutAck{Code: code}}).refusal(); err == nil || ack.Code != 0 {
			t.Errorf("code %d is a refusal: %+v, %v", code, ack, err)
		}
	}
	if ack, err := (ackOrError{ack: wire.PutAck{Code: wire.CodeFull}}).refusal(); err != nil || ack.Code != wire.CodeFull {
		t.Errorf("a refusal is none: %+v, %v", ack, err)
	}
}

// TestUploadOfAnothersManifest: who uploads is who signs. A manifest of another
// is offered, with who has its bytes, and never uploaded, however good its
// signature and the bytes are.
func TestUploadOfAnothersManifest(t *testing.T) {
	inBubble(t, 3, 1, "copies=2", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		sum := blake3.Sum256([]byte("abc"))
		m := wire.Manifest{Name: "f", Version: 1, Writer: 2, Signer: 2, Mode: 0o644, Size: 3, Blocks: blake3.Sum256(sum[:])}
		for _, by := range []int{1, 2} {
			want := map[int]wire.Code{1: wire.CodeForbidden, 2: wire.CodeOK}[by]
			in, c := b.insider(by)
			in.send(c, wire.Put{Upload: 7, Size: 3, Name: "f", Holders: []wire.ID{0}})
			if _, err := c.Write([]byte("abc")); err != nil {
				t.Fatal(err)
			}
			in.send(c, wire.PutEnd{Manifest: claim(b.secrets[2], m)})
			msg, err := readMessage(c)
			if ack, ok := msg.(wire.PutAck); err != nil || !ok || ack.Code != want {
				t.Errorf("uploaded by %d: %+v, %v; want code %d", by, msg, err, want)
			}
			if ms, _, err := n.disk.look(b.roster.Space, "f"); err != nil || len(ms) != by-1 {
				t.Errorf("uploaded by %d: stored %v, %v", by, ms, err)
			}
		}
	})
}
