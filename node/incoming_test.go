package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"securepeer/crypto"
	"securepeer/internal/store"
	"securepeer/wire"
)

// smallFS is a disk of so many bytes, of which its files take theirs.
type smallFS struct {
	store.FS
	size *atomic.Int64
	used *atomic.Int64
}

type smallFile struct {
	store.File
	fs   smallFS
	mine *int64
}

func (f smallFS) Create(name string) (store.File, error) {
	file, err := f.FS.Create(name)
	return smallFile{file, f, new(int64)}, err
}

func (f smallFile) WriteAt(p []byte, at int64) (int, error) {
	grow := max(0, at+int64(len(p))-*f.mine)
	*f.mine += grow
	f.fs.used.Add(grow)
	return f.File.WriteAt(p, at)
}

// Close of a file that is not stored gives its bytes back: here all are.
func (f smallFile) Close() error {
	f.fs.used.Add(-*f.mine)
	*f.mine = 0
	return f.File.Close()
}

func (f smallFS) Space() (free, total int64, err error) {
	return f.size.Load() - f.used.Load(), f.size.Load(), nil
}

// TestUnfinishedUploadsMakeRoom: what a member has sent and not ended is shown by
// its name, and goes when another needs the room or this peer would be full: the
// oldest first, of the member that holds most. Once it held a full disk for ten
// minutes, and nothing showed whose it was.
func TestUnfinishedUploadsMakeRoom(t *testing.T) {
	inBubble(t, 3, 0, "copies=1", func(b *bubble) {
		t := b.t
		size, used := new(atomic.Int64), new(atomic.Int64)
		size.Store(100 << 20)
		n := b.loner(0, smallFS{b.disks[0].Mount(), size, used})
		go n.Run(t.Context())
		<-n.Ready()
		send := func(s *speaker, upload uint64, announced uint64, bytes int) (*crypto.Conn, wire.Code) {
			t.Helper()
			c := s.dialSilently(crypto.Transfer)
			writeMessage(c, wire.Put{Upload: upload, Size: announced, Name: "f"})
			go func() { // a refusal ends it
				c.Write(make([]byte, bytes))
				writeMessage(c, wire.PutMore{})
			}()
			msg, err := readMessage(c)
			if err != nil {
				t.Fatal(err)
			}
			return c, msg.(wire.PutAck).Code
		}
		liar, honest := b.speaker(1), b.speaker(2)
		for i := range uint64(3) {
			if _, code := send(liar, i, wire.SizeUnknown, 20<<20); code != wire.CodeMore {
				t.Fatalf("upload %d: code %d", i, code)
			}
			time.Sleep(time.Second)
		}
		keeps, code := send(honest, 1, wire.SizeUnknown, 10<<20)
		if code != wire.CodeMore {
			t.Fatal(code)
		}
		want := []Unfinished{{"n1", 3, 60 << 20}, {"n2", 1, 10 << 20}}
		if got := status(t, n).Store.Unfinished; !slices.Equal(got, want) {
			t.Errorf("unfinished: %+v, want %+v", got, want)
		}
		// 30 MiB are free.
		if _, code := send(honest, 2, 45<<20, 1<<20); code != wire.CodeMore {
			t.Errorf("what has room when the oldest goes is refused with %d", code)
		}
		want = []Unfinished{{"n1", 2, 40 << 20}, {"n2", 2, 11 << 20}}
		if got := status(t, n).Store.Unfinished; !slices.Equal(got, want) {
			t.Errorf("unfinished: %+v, want %+v", got, want)
		}
		size.Store(55 << 20) // somebody else fills the disk
		time.Sleep(3 * measureEach)
		if s := status(t, n); s.State != "active" || len(s.Store.Unfinished) != 2 || s.Store.Unfinished[0].Bytes > 20<<20 {
			t.Errorf("with an almost full disk: %s, %+v", s.State, s.Store.Unfinished)
		}
		writeMessage(keeps, wire.Put{Upload: 1, Offset: 10 << 20, Size: wire.SizeUnknown, Name: "f"})
		writeMessage(keeps, wire.PutMore{})
		if msg, err := readMessage(keeps); err != nil || msg.(wire.PutAck).Code != wire.CodeMore {
			t.Errorf("the other's upload does not go on: %v, %v", msg, err)
		}
		if r := status(t, n).Refused; len(r) > 0 {
			t.Errorf("somebody is blamed for a full disk: %+v", r)
		}
		n.Close()
		synctest.Wait()
	})
}

// TestAnnouncedSizeEndsNoUpload: a member that names a size has no other's upload
// ended that waits for its next segment, neither for one that never fits nor for
// one that just does not.
func TestAnnouncedSizeEndsNoUpload(t *testing.T) {
	inBubble(t, 3, 0, "copies=1", func(b *bubble) {
		t := b.t
		size, used := new(atomic.Int64), new(atomic.Int64)
		size.Store(100 << 20)
		n := b.loner(0, smallFS{b.disks[0].Mount(), size, used})
		go n.Run(t.Context())
		<-n.Ready()
		c := b.speaker(2).dialSilently(crypto.Transfer)
		writeMessage(c, wire.Put{Upload: 1, Size: wire.SizeUnknown, Name: "f"})
		c.Write(make([]byte, 10<<20))
		writeMessage(c, wire.PutMore{})
		if msg, err := readMessage(c); err != nil || msg.(wire.PutAck).Code != wire.CodeMore {
			t.Fatal(msg, err)
		}
		for i, announced := range []uint64{wire.MaxSize, 95 << 20} {
			liar := b.speaker(1).dialSilently(crypto.Transfer)
			writeMessage(liar, wire.Put{Upload: uint64(i), Size: announced, Name: "g"})
			if msg, err := readMessage(liar); err != nil || msg.(wire.PutAck).Code != wire.CodeFull {
				t.Errorf("announced %d bytes: %v, %v", announced, msg, err)
			}
			if got, want := status(t, n).Store.Unfinished, []Unfinished{{"n2", 1, 10 << 20}}; !slices.Equal(got, want) {
				t.Errorf("after an announcement of %d bytes: %+v, want %+v", announced, got, want)
			}
			liar.Close()
		}
		c.Close()
		n.Close()
		synctest.Wait()
	})
}

// removeFS says when a file is about to be removed.
type removeFS struct {
	store.FS
	removing func()
}

func (f removeFS) Remove(name string) error {
	f.removing()
	return f.FS.Remove(name)
}

// TestNoUploadWaitsForTheDiskOfAnother: an upload that ends has the table for no
// longer than that takes in memory: status and all uploads would stand still with
// a disk that does.
func TestNoUploadWaitsForTheDiskOfAnother(t *testing.T) {
	inBubble(t, 2, 0, "copies=1", func(b *bubble) {
		var n *Node
		removed := 0
		n = b.loner(0, removeFS{b.disks[0].Mount(), func() {
			if n == nil {
				return // it opens its disk
			}
			removed++
			if !n.uploads.mu.TryLock() {
				b.t.Error("the table is locked while a file is removed")
				return
			}
			n.uploads.mu.Unlock()
		}})
		begin := func(upload uint64) *incoming {
			in := n.uploads.begin(uploadKey{1, upload}, new(crypto.Conn), wire.Put{})
			w, err := n.disk.Create(-1)
			if err != nil {
				b.t.Fatal(err)
			}
			in.writer, in.held = w, 1
			n.uploads.wait(in)
			return in
		}
		n.uploads.end(begin(1))
		begin(2)
		begin(2) // ends the one before
		if !n.uploads.makeRoom(time.Now()) {
			b.t.Error("no room is made")
		}
		n.uploads.expire(begin(3))
		begin(4)
		n.uploads.close()
		if removed < 5 {
			b.t.Errorf("%d files were removed, want 5", removed)
		}
		n.Close()
	})
}

// TestStalledUploadMakesRoom: one whose link is open and brings next to nothing
// counts as one that waits; one whose bytes have all come does not.
func TestStalledUploadMakesRoom(t *testing.T) {
	inTable(t, func(t *testing.T, x *table) {
		u, c := newUploads(), x.accept(crypto.Transfer)
		in := u.begin(uploadKey{1, 7}, c, wire.Put{})
		in.offset = 5
		now := time.Now()
		u.wrote(in, now)
		if u.makeRoom(now.Add(uploadStall)) || closed(c) {
			t.Fatal("one that has just brought bytes makes room")
		}
		u.whole(in)
		if u.makeRoom(now.Add(time.Hour)) || closed(c) {
			t.Fatal("one that is being committed makes room")
		}
		u.wrote(in, now)
		if u.makeRoom(now.Add(uploadStall+1)) || !closed(c) {
			t.Error("one that brings nothing goes on, or its room is said to be free already")
		}
		u.wait(in) // its reader had the last bytes already
		if len(u.open) > 0 {
			t.Error("it waits for more")
		}
	})
}

// TestEmptySegmentsMoveNothing: an upload of which segments come without a byte
// ends as one of which nothing comes. A pipe that gives a byte now and then is
// waited for. (Each segment counted as movement, so that what a member held of a
// disk stayed for ever.)
func TestEmptySegmentsMoveNothing(t *testing.T) {
	for what, size := range map[string]int{"empty": 0, "a byte": 1} {
		inBubble(t, 2, 1, "copies=2", func(b *bubble) {
			in, c := b.insider(1)
			at, err := uint64(0), error(nil)
			began, size := time.Now(), size
			for first := 100; err == nil && time.Since(began) < 2*uploadIdle; first = size {
				in.send(c, wire.Put{Upload: 7, Offset: at, Size: wire.SizeUnknown, Name: "f"})
				if _, err := c.Write(make([]byte, first)); err != nil {
					b.t.Fatal(err)
				}
				in.send(c, wire.PutMore{})
				at += uint64(first)
				msg, end := readMessage(c)
				if ack, ok := msg.(wire.PutAck); end != nil || !ok || ack.Code != wire.CodeMore {
					err = fmt.Errorf("%+v, %w", msg, end)
				}
				time.Sleep(20 * time.Second) // of the bubble
			}
			if d := time.Since(began); (err != nil) != (size == 0) || err != nil && d > uploadIdle+time.Minute {
				b.t.Errorf("%s each 20 s: %v after %v", what, err, d)
			}
		})
	}
}

// TestTricklingUploadMakesRoom: bytes that come slower than leastRate, in
// segments as small as a member likes, hold no room that is needed; those of a slow
// line do.
func TestTricklingUploadMakesRoom(t *testing.T) {
	for _, rate := range []uint64{1, leastRate / 2, leastRate, 2 * leastRate} {
		inTable(t, func(t *testing.T, x *table) {
			u, c := newUploads(), x.accept(crypto.Transfer)
			in := u.begin(uploadKey{1, 7}, c, wire.Put{})
			now, each := time.Now(), uploadStall-time.Second
			in.offset = 1 << 30
			u.wrote(in, now)
			for range 4 {
				now = now.Add(each)
				in.offset += rate * uint64(each/time.Second)
				u.wrote(in, now)
			}
			u.makeRoom(now)
			if stands := rate < leastRate; closed(c) != stands {
				t.Errorf("%d bytes a second: makes room %v, want %v", rate, closed(c), stands)
			}
		})
	}
}

// TestPutWithAllFullSaysSo: whether the peers are known to be full before, or
// say so in the middle.
func TestPutWithAllFullSaysSo(t *testing.T) {
	for _, known := range []bool{true, false} {
		inBubble(t, 3, 3, "copies=2", func(b *bubble) {
			t := b.t
			for i := range b.nodes {
				b.room[i].Store(0)
			}
			if known {
				time.Sleep(3 * measureEach)
			}
			for i, n := range b.nodes {
				_, err := n.Put(t.Context(), fmt.Sprint("f", i), strings.NewReader("abc"), PutOptions{Size: 3})
				if !errors.Is(err, ErrNoSpace) {
					t.Errorf("known %v: a put says %v, want %v", known, err, ErrNoSpace)
				}
			}
		})
	}
}

// TestUploadsThatBringAVersion: which version is left to an upload that goes on
// here, and when it is not any longer.
func TestUploadsThatBringAVersion(t *testing.T) {
	now := time.Now()
	m := wire.Manifest{Name: "f", Version: 2, Writer: 1, Signer: 1, Size: 1000}
	older := m
	older.Version = 1
	for what, c := range map[string]struct {
		m      wire.Manifest
		change func(*incoming)
		want   bool
	}{
		"that one":           {m, func(*incoming) {}, true},
		"size not known":     {m, func(in *incoming) { in.put.Size = wire.SizeUnknown }, true},
		"larger already":     {m, func(in *incoming) { in.put.Size, in.held = wire.SizeUnknown, 1001 }, false},
		"another size":       {m, func(in *incoming) { in.put.Size = 999 }, false},
		"another name":       {m, func(in *incoming) { in.put.Name = "g" }, false},
		"of another":         {m, func(in *incoming) { in.key.from = 2 }, false},
		"stands still":       {m, func(in *incoming) { in.moved = now.Add(-uploadStall - 1) }, false},
		"goes onto the disk": {m, func(in *incoming) { in.moved, in.ends = now.Add(-time.Hour), true }, true},
		"a second version":   {older, func(*incoming) {}, false},
	} {
		u := newUploads()
		in := u.begin(uploadKey{1, 7}, nil, wire.Put{Name: "f", Size: 1000})
		in.moved = now
		if what == "a second version" && !u.bring(m, now) {
			t.Error("the first one is not left to it")
		}
		c.change(in)
		for range 2 {
			if got := u.bring(c.m, now); got != c.want {
				t.Errorf("%s: left to it: %v", what, got)
			}
		}
	}
}

// TestUploadOverASlowLineMakesNoRoom: what has come is what moves an upload, not what
// is on the disk: over 20 KiB/s that is written each 13 s. (Before: it counted as one
// that brings nothing.)
func TestUploadOverASlowLineMakesNoRoom(t *testing.T) {
	inTable(t, func(t *testing.T, x *table) {
		const rate = 20 << 10
		u, c := newUploads(), x.accept(crypto.Transfer)
		in := u.begin(uploadKey{1, 7}, c, wire.Put{Name: "f", Size: 1 << 30})
		in.offset = copyBuffer
		u.wrote(in, time.Now())
		for s := range uint64(copyBuffer/rate + 1) {
			u.came(in, in.offset+s*rate, time.Now())
			if u.makeRoom(time.Now()) || closed(c) {
				t.Fatalf("%d s after the last write it makes room", s)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(uploadStall)
		if u.makeRoom(time.Now()); !closed(c) {
			t.Error("one that brings nothing any more goes on")
		}
	})
}
