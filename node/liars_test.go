package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zeebo/blake3"

	"securepeer/crypto"
	"securepeer/keys"
	"securepeer/ring"
	"securepeer/wire"
)

// claim is a manifest that the member with that secret signs.
func claim(secret *keys.Secret, m wire.Manifest) wire.Manifest {
	m.Sig = secret.Sign(m.SignedBytes("test", nil))
	return m
}

// requests hands those on a transfer link to answer until it returns false. To
// a ring link nothing is said.
func requests(c *crypto.Conn, answer func(wire.Message) bool) {
	for {
		msg, err := readMessage(c)
		if err != nil || c.Kind() == crypto.Transfer && !answer(msg) {
			return
		}
	}
}

func tell(c *crypto.Conn, m wire.Message) bool {
	return c.WriteRecord(byte(m.Type()), m.Append(nil)) == nil
}

// TestOfferThatDoesNotFitIsNotAskedFor: a file that has no room costs neither
// memory nor a question, and makes nobody full.
func TestOfferThatDoesNotFitIsNotAskedFor(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		var asked atomic.Int64
		b.hung(2, func(c *crypto.Conn) { requests(c, func(wire.Message) bool { asked.Add(1); return false }) })
		b.room[0].Store(1 << 30)
		m := claim(b.secrets[2], wire.Manifest{Name: "big", Version: 1, Writer: 2, Signer: 2, Size: 1<<30 + 1, Blocks: wire.Sum{1}})
		if code := n.pull(ring.Pull{From: 2, Manifest: m}, []wire.ID{2}); code != wire.CodeFull {
			t.Errorf("pull: code %d, want CodeFull", code)
		}
		if asked.Load() != 0 || n.disk.health() != wire.Active {
			t.Errorf("%d questions, and the disk is %v", asked.Load(), n.disk.health())
		}
	})
}

// TestManifestWithoutPossibleBytesIsRefused: no bytes have another root than
// that of nothing, and that of nothing has no bytes.
func TestManifestWithoutPossibleBytesIsRefused(t *testing.T) {
	w := newWorld(t, 2, "")
	b, err := newBook(w.roster, w.secrets[0].Public())
	if err != nil {
		t.Fatal(err)
	}
	v := newVerifier()
	for _, c := range []struct {
		size   uint64
		blocks wire.Sum
		want   error
	}{{0, noBlocks, nil}, {1, wire.Sum{1}, nil}, {0, wire.Sum{1}, errBlocks}, {1, noBlocks, errBlocks}} {
		m := claim(w.secrets[1], wire.Manifest{Name: "f", Version: 1, Writer: 1, Signer: 1, Size: c.size, Blocks: c.blocks})
		if err := v.manifest(b, m, nil); err != c.want {
			t.Errorf("size %d, blocks %x: %v, want %v", c.size, c.blocks[:2], err, c.want)
		}
	}
}

// TestBlockListThatTricklesIsLeft: its parts come, at less than the least rate.
func TestBlockListThatTricklesIsLeft(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		t := b.t
		b.hung(2, func(c *crypto.Conn) {
			requests(c, func(msg wire.Message) bool {
				time.Sleep(64 * time.Second) // for 64,000 bytes
				return tell(c, wire.BlockList{Hashes: make([]wire.Sum, msg.(wire.Blocks).Count)})
			})
		})
		m := claim(b.secrets[2], wire.Manifest{Name: "big", Version: 1, Writer: 2, Signer: 2, Size: 128 << 30, Blocks: wire.Sum{1}})
		began := time.Now()
		err := b.nodes[0].newFetch(m, []wire.ID{2, 1}, &userSink{w: io.Discard}).run(t.Context())
		var un *UnavailableError
		if !errors.As(err, &un) {
			t.Errorf("run: %v, want *UnavailableError", err)
		}
		// Two tries, each with a first part that comes too late.
		if d := time.Since(began); d > 2*2*leastTime+time.Second {
			t.Errorf("the list was waited for %v", d)
		}
		time.Sleep(64 * time.Second) // the slow one finds its link closed
	})
}

// trickler serves data at a byte a second.
func (b *bubble) trickler(i int, data []byte) {
	sum := blake3.Sum256(data)
	b.hung(i, func(c *crypto.Conn) {
		requests(c, func(msg wire.Message) bool {
			if _, ok := msg.(wire.Blocks); ok {
				return tell(c, wire.BlockList{Hashes: []wire.Sum{sum}})
			}
			for at := range data {
				if _, err := c.Write(data[at : at+1]); err != nil {
					return false
				}
				time.Sleep(time.Second)
			}
			return true
		})
	})
}

// TestTricklingHolderIsLeftForAnother: a byte now and then does not keep a get
// while somebody else has the file, and not for ever if nobody has.
func TestTricklingHolderIsLeftForAnother(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		t := b.t
		data := bytesOf(1, wire.BlockSize)
		b.trickler(2, data)
		put(t, b.nodes[1], "f", data)
		ms, _, err := b.nodes[1].disk.look(b.roster.Space, "f")
		if err != nil || len(ms) != 1 {
			t.Fatal(ms, err)
		}
		var got bytes.Buffer
		began := time.Now()
		err = b.nodes[0].newFetch(ms[0], []wire.ID{2, 1}, &userSink{w: &got}).run(t.Context())
		if d := time.Since(began); err != nil || !bytes.Equal(got.Bytes(), data) || d > lateAfter+raceTime+time.Second {
			t.Errorf("run: %d bytes, %v after %v; want all after %v", got.Len(), err, d, lateAfter+raceTime)
		}
		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err = b.nodes[0].newFetch(ms[0], []wire.ID{2}, &userSink{w: io.Discard}).run(ctx)
		var un *UnavailableError
		if d := time.Since(began); !errors.As(err, &un) || !slices.Equal(un.Of(Slow), []string{"n2"}) || d > 2*leastTime+time.Second {
			t.Errorf("run with the slow one alone: %v after %v", err, d)
		}
		time.Sleep(2 * time.Second) // the slow one finds its link closed
	})
}

// TestUnreadableFileIsNeverAbsent: a holder that cannot open its files says
// neither no nor that there are none, and all of them when it can again.
func TestUnreadableFileIsNeverAbsent(t *testing.T) {
	for _, cause := range []error{syscall.EMFILE, syscall.EIO} {
		inBubble(t, 2, 2, "copies=2", func(b *bubble) {
			t, n := b.t, b.nodes[0]
			put(t, n, "acked", []byte("x"))
			b.broken.Store(&cause)
			_, err := n.Get(t.Context(), "acked", GetOptions{})
			var un *UnavailableError
			if !errors.As(err, &un) {
				t.Errorf("%v: Get: %v, want *UnavailableError", cause, err)
			}
			files, silent, err := n.List(t.Context(), "")
			if err != nil || len(files) != 0 || len(silent) != 2 || silent[0].Peer != "n0" || silent[1].Peer != "n1" {
				t.Errorf("%v: List: %v, silent %+v, %v; want both silent", cause, files, silent, err)
			}
			b.broken.Store(nil)
			files, silent, err = n.List(t.Context(), "")
			if err != nil || len(files) != 1 || len(silent) != 0 {
				t.Errorf("after %v: List: %v, silent %+v, %v; want the file", cause, files, silent, err)
			}
		})
	}
}

// TestVersionThatNobodyHasHidesNoOther: member 2 claims a newer version than
// that of n1 and has no bytes; who wants the file gets that of n1, as such.
func TestVersionThatNobodyHasHidesNoOther(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		b.hung(2, func(c *crypto.Conn) {
			requests(c, func(wire.Message) bool { return tell(c, wire.Fail{Code: wire.CodeNotFound}) })
		})
		data := bytesOf(1, wire.BlockSize+5)
		put(t, b.nodes[1], "f", data)
		ms, _, err := b.nodes[1].disk.look(b.roster.Space, "f")
		if err != nil || len(ms) != 1 {
			t.Fatal(ms, err)
		}
		phantom := claim(b.secrets[2], wire.Manifest{Name: "f", Version: 9, Writer: 2, Signer: 2, Size: 5, Blocks: wire.Sum{1}})
		f, err := n.found(t.Context(), ring.Fetch{Manifest: phantom, Sources: []wire.ID{2}, AlsoBy: []wire.ID{1},
			Others: []ring.Choice{{Manifest: ms[0], Sources: []wire.ID{1}}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := f.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), data) {
			t.Errorf("WriteTo: %d bytes, %v", got.Len(), err)
		}
		if f.Info.Writer != "n1" || f.Info.Version != 1 || len(f.AlsoBy) != 1 || f.AlsoBy[0] != "n2" {
			t.Errorf("it is %+v, also by %q; want that of n1, also by n2", f.Info, f.AlsoBy)
		}
	})
}

// TestListingThatDoesNotEndIsLeft: a member that lists what was not asked for,
// or goes on and on, ends its own part of a listing and counts as silent.
func TestListingThatDoesNotEndIsLeft(t *testing.T) {
	for what, c := range map[string]struct {
		name string // of page i, with %d
		each int    // names a page
		most time.Duration
	}{
		"another prefix":    {"zz%09d", 1, time.Second},
		"the same name":     {"aa/x", 1, time.Second},
		"names without end": {"aa/%09d", 1, maxListTime * 5 / 4}, // 1 KiB a second comes
		"names without end, as fast as a slow line": {"aa/%0600d", 6, allListTime + time.Second},
	} {
		inBubble(t, 3, 2, "copies=2", func(b *bubble) {
			t, n := b.t, b.nodes[0]
			pages := 0
			b.hung(2, func(c2 *crypto.Conn) {
				for {
					msg, err := readMessage(c2)
					if err != nil {
						return
					}
					if ask, ok := msg.(wire.List); ok {
						pages++
						time.Sleep(200 * time.Millisecond)
						var ms []wire.Manifest
						for i := range c.each {
							name := c.name
							if strings.Contains(name, "%") {
								name = fmt.Sprintf(name, pages*c.each+i)
							}
							ms = append(ms, claim(b.secrets[2], wire.Manifest{Name: name, Version: 1, Writer: 2, Signer: 2, Size: 1, Blocks: wire.Sum{1}}))
						}
						tell(c2, wire.Listed{Req: ask.Req, More: true, Manifests: ms})
					}
				}
			})
			l := &listing{names: make(map[string][]wire.Manifest)}
			began := time.Now()
			n.listFrom(t.Context(), 2, "aa", l)
			if d := time.Since(began); len(l.silent) != 1 || d > c.most {
				t.Errorf("%s: silent %v after %v, want member 2 within %v", what, l.silent, d, c.most)
			}
			if strings.HasPrefix(c.name, "zz") && len(l.names) > 0 {
				t.Errorf("%s: %d names were taken", what, len(l.names))
			}
		})
	}
}

// TestUploadBegunAgainEndsTheFirst: one number is one upload, one open file
// and one place, however often it begins.
func TestUploadBegunAgainEndsTheFirst(t *testing.T) {
	inBubble(t, 2, 1, "copies=2", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		in, c := b.insider(1)
		for i := range 3 * maxUploads {
			in.send(c, wire.Put{Upload: 7, Size: wire.SizeUnknown, Name: "f"})
			in.send(c, wire.PutMore{})
			if msg, err := readMessage(c); err != nil || msg.(wire.PutAck).Code != wire.CodeMore {
				t.Fatalf("upload %d: %+v, %v", i, msg, err)
			}
		}
		// Two at once of one number, as over two links.
		k := uploadKey{1, 7}
		late, code := n.beginSegment(k, c, keys.Member{}, wire.Put{Upload: 7, Size: 1, Name: "f"})
		other, _ := n.beginSegment(k, c, keys.Member{}, wire.Put{Upload: 7, Size: 1, Name: "f"})
		if code != wire.CodeOK || other == nil {
			t.Fatalf("code %d", code)
		}
		n.uploads.wait(other)
		n.uploads.wait(late)
		if names, err := b.disks[0].Mount().List("tmp"); err != nil || len(names) != 1 {
			t.Errorf("open files: %q, %v; want one", names, err)
		}
		if got := n.uploads.unfinished()[1].Uploads; got != 1 || len(n.uploads.open) != 1 {
			t.Errorf("%d uploads of the member are counted, %d of all; want one", got, len(n.uploads.open))
		}
	})
}

func TestUploadsAreBoundedInAll(t *testing.T) {
	u := newUploads()
	begin := func(from int) *incoming { return u.begin(uploadKey{wire.ID(from), 1}, new(crypto.Conn), wire.Put{}) }
	first := begin(0)
	for i := range 2 * maxAllUploads {
		if got, want := begin(i+1) != nil, i < maxAllUploads-1; got != want {
			t.Fatalf("upload %d of as many members: %v, want %v", i, got, want)
		}
	}
	u.wait(first)
	if begin(1) == nil || begin(2) != nil || len(u.open) != maxAllUploads {
		t.Errorf("one that waits made room for one: %d are under way", len(u.open))
	}
}

// TestQuestionsOfOneMemberDoNotCrowdOutOthers: one who asks without end is
// refused, and others have their turn between.
func TestQuestionsOfOneMemberDoNotCrowdOutOthers(t *testing.T) {
	q := newJobs(0, func(wire.ID) {})
	ask := func(from wire.ID) bool { return q.add(job{action: ring.Answer{To: from}}) }
	for i := range 2 * maxAsked {
		if got, want := ask(1), i < maxAsked; got != want {
			t.Fatalf("question %d: taken %v, want %v", i, got, want)
		}
	}
	if j, ok := q.next(); !ok || j.asker(0) != 1 {
		t.Fatal("the first who asks is not the first who is answered")
	} else {
		q.done(j, 0, 1)
	}
	if !ask(2) || !ask(0) || !q.add(job{list: &wire.List{}, from: 3}) {
		t.Error("others are refused")
	}
	var order []wire.ID
	for j, ok := q.next(); ok; j, ok = q.next() {
		order = append(order, j.asker(0))
		q.done(j, 0, 1)
	}
	first := slices.Sorted(slices.Values(order[:3]))
	if len(order) != maxAsked+2 || !slices.Equal(first, []wire.ID{0, 2, 3}) {
		t.Errorf("%d answers, the first to %v", len(order), order[:4])
	}
	if len(q.queues)+q.others != 0 {
		t.Error("something is left")
	}
}

// TestCostlyQuestionsCostTheirAsker: one whose questions take seconds each has
// one worker of four, others are answered at once, this peer's own even if all
// other members ask so; and time had counts, not questions. What its asker no
// longer waits for, or whose link fell, is not looked up. Once looks at a name
// with 30,000 versions had all workers, and those of other names took seconds or
// failed.
func TestCostlyQuestionsCostTheirAsker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newJobs(0, func(wire.ID) {})
		ask := func(from wire.ID, n int) {
			for range n {
				q.add(job{action: ring.Answer{To: from}})
			}
		}
		next := func(want ...wire.ID) (list []job) {
			t.Helper()
			var got []wire.ID
			for range want {
				if j, ok := q.next(); ok {
					list, got = append(list, j), append(got, j.asker(0))
				}
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("workers are busy for %v, want %v", got, want)
			}
			if j, ok := q.next(); ok {
				t.Errorf("one more is, for %d", j.asker(0))
			}
			return list
		}
		ask(1, 50)
		costly := next(1) // and no second worker
		ask(2, 3)
		for range 3 {
			q.done(next(2)[0], time.Millisecond, 1)
		}
		q.done(costly[0], 2*time.Second, 30_000)
		ask(2, 300)
		ask(3, 300)
		for range 500 { // what took 2 s comes after all that took little
			j, ok := q.next()
			if !ok || j.asker(0) == 1 {
				t.Fatalf("%d is served, who has had 2 s", j.asker(0))
			}
			q.done(j, time.Millisecond, 1)
		}
		next(1, 2, 3)
		ask(4, 1)
		next() // all that others may have are busy
		ask(0, 1)
		own := next(0)
		q.done(own[0], time.Second, 1)
		for _, id := range []wire.ID{1, 2, 3} {
			q.done(job{action: ring.Answer{To: id}}, time.Millisecond, 1)
		}
		time.Sleep(askedFor + time.Second) // of the bubble
		ask(5, 2)
		q.lost(5)
		next()
	})
}

// TestUploadThatHasNoRoomIsRefusedQuietly: anybody may name a size; it is
// answered, makes nobody full, fills no log, and blames nobody for a full disk.
func TestUploadThatHasNoRoomIsRefusedQuietly(t *testing.T) {
	inBubble(t, 2, 1, "copies=2", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		b.room[0].Store(1 << 30)
		for range 3 {
			in, c := b.insider(1)
			in.send(c, wire.Put{Upload: 7, Size: 1<<30 + 1, Name: "f", Holders: []wire.ID{0}})
			if msg, err := readMessage(c); err != nil || msg.(wire.PutAck).Code != wire.CodeFull {
				t.Errorf("Put without room: %+v, %v; want CodeFull", msg, err)
			}
			c.Close()
		}
		errs := b.logged.lines("level=ERROR")
		if n.disk.health() != wire.Active || len(errs) > 0 || refusedOf(t, n, "n1") != 0 {
			t.Errorf("disk is %v, log %q, refused %d", n.disk.health(), errs, refusedOf(t, n, "n1"))
		}
	})
}

// TestSlowTargetDoesNotSetTheSpeed: member 2 takes a chunk now and then; n1
// does not wait for it much longer than lagTime.
func TestSlowTargetDoesNotSetTheSpeed(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		b.hung(2, func(c *crypto.Conn) {
			if c.Kind() != crypto.Transfer {
				requests(c, nil)
				return
			}
			buf := make([]byte, chunkSize)
			for err := error(nil); err == nil || errors.Is(err, crypto.ErrMessage); {
				if _, err = c.Read(buf); errors.Is(err, crypto.ErrMessage) {
					_, err = readMessage(c)
				}
				time.Sleep(2 * time.Second)
			}
		})
		a := uploadTo(1, 2)
		u := n.newUpload(t.Context(), a, "f", -1)
		began := time.Now()
		hash, err := u.stream(t.Context(), bytes.NewReader(bytesOf(1, 40<<20)))
		if err != nil {
			t.Fatal(err)
		}
		m, _ := n.sealed(a, "f", hash, PutOptions{})
		u.finish(&m)
		if d := time.Since(began); d < lagTime || d > 2*lagTime+time.Second {
			t.Errorf("the put took %v with a slow target, want about %v", d, lagTime)
		}
		if got, _, err := b.nodes[1].disk.look(b.roster.Space, "f"); err != nil || len(got) != 1 {
			t.Errorf("n1 has %v, %v; want the file", got, err)
		}
		time.Sleep(time.Minute) // the slow one finds its link closed
	})
}

// TestTargetThatNeverAcksASmallFile keeps a put for ackTime and no longer.
func TestTargetThatNeverAcksASmallFile(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		b.hung(2, func(c *crypto.Conn) {
			for err := error(nil); err == nil; {
				_, _, err = c.ReadRecord()
			}
		})
		a := uploadTo(1, 2)
		u := n.newUpload(t.Context(), a, "f", 3)
		began := time.Now()
		hash, err := u.stream(t.Context(), strings.NewReader("abc"))
		if err != nil {
			t.Fatal(err)
		}
		m, _ := n.sealed(a, "f", hash, PutOptions{})
		u.finish(&m)
		if d := time.Since(began); d < ackTime || d > ackTime+time.Second {
			t.Errorf("the put took %v, want %v", d, ackTime)
		}
	})
}

// TestRefusalNamesAMemberOrASource and never nobody.
func TestRefusalNamesAMemberOrASource(t *testing.T) {
	var lines bytes.Buffer
	r := newRefusals(slog.New(slog.NewTextHandler(&lines, nil)))
	r.add("n1", "a")
	r.stranger(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5}, "b")
	text := lines.String()
	if !strings.Contains(text, "peer=n1 cause=a") || !strings.Contains(text, "source=192.0.2.1:5 cause=b") || strings.Contains(text, `peer=""`) {
		t.Errorf("log: %s", text)
	}
}

// TestPutThatItsUserEndsIsNoWarning: nothing is wrong with any peer.
func TestPutThatItsUserEndsIsNoWarning(t *testing.T) {
	inBubble(t, 2, 2, "copies=2", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		go func() {
			w.Write(bytesOf(1, 2*chunkSize))
			cancel()
			w.CloseWithError(context.Canceled)
		}()
		if _, err := n.Put(ctx, "f", r, PutOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Put: %v, want context.Canceled", err)
		}
		if lines := b.logged.lines("msg=upload"); len(lines) > 0 {
			t.Errorf("log: %q", lines)
		}
	})
}
