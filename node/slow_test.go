package node

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"securepeer/crypto"
	"securepeer/internal/store"
	"securepeer/ring"
	"securepeer/wire"
)

// fast and slow are lines, in bytes a second. Those of all have a delay but the
// slow one's: so it answers first, and is asked first.
const (
	fastLine  = 10 << 20
	slowLine  = 100 << 10
	lineDelay = 500 * time.Microsecond
)

// line puts all of a ring behind lines of the same kind.
func (b *bubble) line(rate int64) {
	for i := range b.secrets {
		b.net.shape(b.addr(i), rate, lineDelay)
	}
}

// timed is how long f takes.
func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// outsider is a node that holds no copy of name.
func (b *bubble) outsider(name string) (at *Node) {
	b.t.Helper()
	for _, n := range b.nodes {
		if ms, _, err := n.disk.look(b.roster.Space, name); err == nil && len(ms) == 0 {
			at = n
		}
	}
	if at == nil {
		b.t.Fatal("everybody holds it")
	}
	return at
}

// TestSlowHolderIsReplaced: whichever of three holders is slow, and however
// slow, a get takes at most twice as long as without it, and 3 s; and the next
// one does not begin at it.
func TestSlowHolderIsReplaced(t *testing.T) {
	inBubble(t, 4, 4, "copies=3", func(b *bubble) {
		t := b.t
		data := bytesOf(1, 8<<20)
		b.line(fastLine)
		put(t, b.nodes[0], "f", data)
		at := b.outsider("f")
		read := func() {
			if got, _ := get(t, at, "f"); !bytes.Equal(got, data) {
				t.Errorf("got %d bytes, or others", len(got))
			}
		}
		quiet := timed(read)
		for i, n := range b.nodes {
			if n == at {
				continue
			}
			for _, rate := range eachRate(20<<10, slowLine, 250<<10, 1<<20) {
				b.net.shape(b.addr(i), rate, 0)
				for _, most := range []time.Duration{2*quiet + 3*time.Second, quiet + time.Second} {
					if d := timed(read); d > most {
						t.Errorf("with n%d at %d bytes a second a get takes %v, want at most %v: without it %v", i, rate, d, most, quiet)
					}
				}
				time.Sleep(time.Minute) // what was under way ends
				b.net.shape(b.addr(i), fastLine, lineDelay)
				time.Sleep(10 * time.Minute) // and is forgotten
			}
		}
	})
}

// TestHolderThatBecomesSlowIsReplaced: in the middle, and again whoever goes on,
// so that the last one is one that was slow before.
func TestHolderThatBecomesSlowIsReplaced(t *testing.T) {
	inBubble(t, 4, 4, "copies=3", func(b *bubble) {
		t := b.t
		data := bytesOf(1, 32<<20)
		b.line(fastLine)
		put(t, b.nodes[0], "f", data)
		at := b.outsider("f")
		for i, n := range b.nodes {
			if n == at {
				continue
			}
			for k := range 2 {
				time.AfterFunc(time.Duration(k*12+i*3+1)*time.Second, func() { b.net.shape(b.addr(i), slowLine, 0) })
				time.AfterFunc(time.Duration(k*12+i*3+4)*time.Second, func() { b.net.shape(b.addr(i), fastLine, lineDelay) })
			}
		}
		if d := timed(func() {
			if got, _ := get(t, at, "f"); !bytes.Equal(got, data) {
				t.Errorf("got %d bytes, or others", len(got))
			}
		}); d > 2*3200*time.Millisecond+3*time.Second {
			t.Errorf("a get took %v", d)
		}
	})
}

// TestGetOverASlowLineIsWaitedFor: all holders are as slow as each other, or
// there is only one: no rate is too small above leastRate, and races in vain
// cost a part of the time.
func TestGetOverASlowLineIsWaitedFor(t *testing.T) {
	for _, c := range []struct{ copies, size, rate int }{{3, 8 << 20, 32 << 10}, {1, 2 << 20, 16 << 10}, {1, 256 << 10, 2 << 10}} {
		inBubble(t, 4, 4, fmt.Sprintf("copies=%d", c.copies), func(b *bubble) {
			t := b.t
			data := bytesOf(1, c.size)
			put(t, b.nodes[0], "f", data)
			at := b.outsider("f")
			for i, n := range b.nodes {
				if n == at { // its own line is the slow one
					b.net.shape(b.addr(i), int64(c.rate), lineDelay)
				}
			}
			least := time.Duration(c.size/c.rate) * time.Second
			if d := timed(func() {
				if got, _ := get(t, at, "f"); !bytes.Equal(got, data) {
					t.Errorf("got %d bytes, or others", len(got))
				}
			}); d > least*3/2+10*time.Second {
				t.Errorf("%d copies, %d bytes at %d a second took %v, want about %v", c.copies, c.size, c.rate, d, least)
			}
		})
	}
}

// TestSlowSourceOfACopyIsReplaced: who offers a version and is slow is not
// waited for while others have it.
func TestSlowSourceOfACopyIsReplaced(t *testing.T) {
	inBubble(t, 4, 4, "copies=3", func(b *bubble) {
		t := b.t
		b.line(fastLine)
		put(t, b.nodes[0], "f", bytesOf(1, 16<<20))
		at := b.outsider("f")
		for i, n := range b.nodes {
			ms, _, err := n.disk.look(b.roster.Space, "f")
			if err != nil || len(ms) == 0 {
				continue
			}
			b.net.shape(b.addr(i), slowLine, 0)
			began := time.Now()
			code := at.pull(ring.Pull{From: wire.ID(i), Manifest: ms[0]}, []wire.ID{wire.ID(i)})
			if d := time.Since(began); code != wire.CodeOK || d > 7*time.Second {
				t.Errorf("pull: code %d after %v, want 0 after 2 s, and as much again", code, d)
			}
			time.Sleep(time.Minute)
			return
		}
	})
}

// TestSlowTargetIsReplaced: whichever member is slow, and however slow, a put
// takes at most twice as long as without it, and 3 s. A fourth member takes its
// copy; in a ring of three it is named, and gets its copy afterwards.
func TestSlowTargetIsReplaced(t *testing.T) {
	for _, members := range []int{3, 4} {
		for _, rate := range eachRate(10<<10, slowLine, 250<<10, 1<<20) {
			inBubble(t, members, members, "copies=3", func(b *bubble) {
				t := b.t
				data := bytesOf(1, 8<<20)
				b.line(fastLine)
				quiet := timed(func() { put(t, b.nodes[0], "quiet", data) })
				b.net.shape(b.addr(1), rate, 0)
				for _, name := range []string{"f", "g", "h"} {
					began := time.Now()
					r := put(t, b.nodes[0], name, data)
					if d := time.Since(began); d > 2*quiet+3*time.Second {
						t.Errorf("%d members, n1 at %d bytes a second: a put takes %v, without it %v", members, rate, d, quiet)
					}
					slow := len(r.Slow) > 0
					if slow && !slices.Equal(r.Slow, []string{"n1"}) || members == 3 && !slices.Contains(r.Copies, "n1") && !slices.Contains(r.Missing, "n1") {
						t.Errorf("%d members: copies on %q, missing on %q, slow are %q", members, r.Copies, r.Missing, r.Slow)
					}
					if want := members - 1; len(r.Copies) < want {
						t.Errorf("%d members: copies on %q, want %d", members, r.Copies, want)
					}
				}
				if members > 3 || rate < slowLine {
					return
				}
				time.Sleep(20 * time.Minute)
				for _, name := range []string{"f", "g", "h"} {
					if ms, _, err := b.nodes[1].disk.look(b.roster.Space, name); err != nil || len(ms) != 1 {
						t.Errorf("n1 at %d bytes a second has no copy of %q afterwards: %v", rate, name, err)
					}
				}
			})
		}
	}
}

// TestPutOverASlowLineIsWaitedFor: all targets share a line of 1 Mbit/s and
// less, or have one each; each is as slow as the others, none is given up, and no
// byte crosses a line twice: it takes as long as the bytes do.
func TestPutOverASlowLineIsWaitedFor(t *testing.T) {
	for _, rate := range eachRate(125<<10, 64<<10) {
		for _, shared := range []bool{true, false} {
			inBubble(t, 4, 4, "copies=4", func(b *bubble) {
				t := b.t
				size := int(rate) * 30
				data := bytesOf(1, size)
				for i := range b.nodes {
					if shared == (i == 0) {
						b.net.shape(b.addr(i), rate, lineDelay)
					}
				}
				least := 30 * time.Second
				if shared {
					least *= 3
				}
				began := time.Now()
				r := put(t, b.nodes[0], "f", data)
				if d := time.Since(began); len(r.Copies) != 4 || len(r.Slow) > 0 || d > least*5/4 {
					t.Errorf("%d bytes at %d a second, shared %v: copies on %q, slow are %q, after %v: %q", size, rate, shared, r.Copies, r.Slow, d, b.logged.lines("upload"))
				}
			})
		}
	}
}

// TestCopyIsNotSentTwice: of two targets behind lines of their own one is twice as
// fast, and neither that one nor this peer, who have the file first, give it to the
// other while the put does.
func TestCopyIsNotSentTwice(t *testing.T) {
	inBubble(t, 3, 3, "copies=3", func(b *bubble) {
		t := b.t
		const rate, size = 32 << 10, 2 << 20
		b.net.shape(b.addr(1), 2*rate, lineDelay)
		b.net.shape(b.addr(2), rate, lineDelay)
		began := time.Now()
		r := put(t, b.nodes[0], "f", bytesOf(1, size))
		if d := time.Since(began); len(r.Copies) != 3 || d > size/rate*time.Second*5/4 {
			t.Errorf("copies on %q, slow are %q, after %v", r.Copies, r.Slow, d)
		}
	})
}

// TestClaimOfOneMemberDelaysNoGet: member 2 says that it has a newer version and
// gives nothing, or a byte a second: who wants the file has that of n1 in a
// moment, and the next time at once. A claim that is true wins.
func TestClaimOfOneMemberDelaysNoGet(t *testing.T) {
	for _, gives := range []bool{false, true} {
		inBubble(t, 3, 2, "copies=2", func(b *bubble) {
			t, n := b.t, b.nodes[0]
			stop := make(chan struct{})
			theirs := bytesOf(2, 1000)
			if gives {
				b.blockServer(2, theirs, func(_ int, block []byte) []byte { return block })
			} else {
				b.hung(2, func(*crypto.Conn) { <-stop })
			}
			data := bytesOf(1, wire.BlockSize+5)
			put(t, b.nodes[1], "f", data)
			ms, _, err := b.nodes[1].disk.look(b.roster.Space, "f")
			if err != nil || len(ms) != 1 {
				t.Fatal(ms, err)
			}
			claimed := fileOf(b, 2, "f", theirs)
			claimed.Version = 9
			claimed = claim(b.secrets[2], claimed)
			for _, most := range []time.Duration{lateAfter + 100*time.Millisecond, 100 * time.Millisecond} {
				began := time.Now()
				f, err := n.found(t.Context(), ring.Fetch{Manifest: claimed, Sources: []wire.ID{2}, AlsoBy: []wire.ID{1},
					Others: []ring.Choice{{Manifest: ms[0], Sources: []wire.ID{1}}}}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if d := time.Since(began); d > most || (f.Info.Writer == "n2") != gives {
					t.Errorf("given %v: that of %s after %v, want within %v", gives, f.Info.Writer, d, most)
				}
			}
			close(stop)
		})
	}
}

// TestStandInOverASlowLineIsWaitedFor: a target ends in the middle of a put over
// slow lines, and who stands in for it takes 30 s and more for the bytes.
func TestStandInOverASlowLineIsWaitedFor(t *testing.T) {
	inBubble(t, 4, 4, "copies=3", func(b *bubble) {
		t := b.t
		const rate = 64 << 10
		for i := range b.nodes {
			b.net.shape(b.addr(i), rate, lineDelay)
		}
		where, err := b.nodes[0].Lookup(t.Context(), "f")
		if err != nil {
			t.Fatal(err)
		}
		away := 1
		if !slices.Contains(where.Holders[:3], "n1") {
			away = 2
		}
		name := fmt.Sprint("n", away)
		time.AfterFunc(20*time.Second, func() { b.nodes[away].Close() })
		r := put(t, b.nodes[0], "f", bytesOf(1, 40*rate))
		if len(r.Copies) != 3 || slices.Contains(r.Copies, name) {
			t.Errorf("copies on %q, missing on %q, slow are %q: %q", r.Copies, r.Missing, r.Slow, b.logged.lines("upload"))
		}
	})
}

// lateSyncFS is a disk that takes its time for each sync of a file.
type lateSyncFS struct{ store.FS }

type lateSyncFile struct{ store.File }

func (f lateSyncFS) Create(name string) (store.File, error) {
	file, err := f.FS.Create(name)
	return lateSyncFile{file}, err
}

func (f lateSyncFile) Sync() error {
	time.Sleep(900 * time.Millisecond)
	return f.File.Sync()
}

// TestSmallFilesCallNobodySlow: how long a member takes to sync a small file, or
// to answer at all, says nothing of the rate at which it moves bytes.
func TestSmallFilesCallNobodySlow(t *testing.T) {
	inBubble(t, 3, 2, "copies=3", func(b *bubble) {
		t := b.t
		n2 := b.loner(2, lateSyncFS{b.disks[2].Mount()})
		go n2.Run(t.Context())
		<-n2.Ready()
		defer n2.Close()
		time.Sleep(5 * time.Second)
		b.line(fastLine)
		put(t, b.nodes[0], "large", bytesOf(1, 16<<20))
		for i := range 8 {
			put(t, b.nodes[0], fmt.Sprint("small", i), []byte("abc"))
		}
		put(t, b.nodes[0], "two", bytesOf(2, 2<<20))
		for _, p := range status(t, b.nodes[0]).Peers {
			if p.Slow {
				t.Errorf("%s is called slow: gives %d, takes %d bytes a second", p.Name, p.Gives, p.Takes)
			}
		}
	})
}

// TestClaimOfTheSameWriterDelaysNoGet: member 2 alone says that it has a newer
// version of the writer whose older one n1 has too. What gives nothing, or next
// to nothing, costs half a second, or two, and the next time none, and is said;
// what is on its way is waited for, however slow, and wins.
func TestClaimOfTheSameWriterDelaysNoGet(t *testing.T) {
	for what, c := range map[string]struct {
		first time.Duration // until the first byte; negative: never
		rate  int64         // bytes a second then
		most  time.Duration
		comes bool
	}{
		"nothing":            {-1, 0, lateAfter + 2*lookEach, false},
		"ten bytes a second": {0, 10, claimEarly + 2*lookEach, false},
		"late":               {3 * time.Second, 100 << 20, lateAfter + 2*lookEach, false},
		"at once":            {0, 100 << 20, 2 * lookEach, true},
		"a slow holder":      {0, 100 << 10, 11 * time.Second, true},
		"a slower one":       {0, 20 << 10, claimEarly + 2*lookEach, false},
		"late for a moment":  {300 * time.Millisecond, 100 << 10, 12 * time.Second, true},
	} {
		inBubble(t, 3, 2, "copies=2", func(b *bubble) {
			t, n := b.t, b.nodes[0]
			stop := make(chan struct{})
			theirs := bytesOf(2, wire.BlockSize)
			b.claimant(2, theirs, c.first, c.rate, stop)
			put(t, b.nodes[1], "f", bytesOf(1, wire.BlockSize+5))
			ms, _, err := b.nodes[1].disk.look(b.roster.Space, "f")
			if err != nil || len(ms) != 1 {
				t.Fatal(ms, err)
			}
			claimed := fileOf(b, 1, "f", theirs)
			claimed.Version = 9
			claimed = claim(b.secrets[1], claimed)
			most := c.most
			for range 2 {
				began := time.Now()
				f, err := n.found(t.Context(), ring.Fetch{Manifest: claimed, Sources: []wire.ID{2},
					Others: []ring.Choice{{Manifest: ms[0], Sources: []wire.ID{1}}}}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if d := time.Since(began); d > most || (f.Info.Version == 9) != c.comes || len(f.AlsoBy) > 0 {
					t.Errorf("%s: version %d, also by %q, after %v, want within %v", what, f.Info.Version, f.AlsoBy, d, most)
				}
				said := []Claim{{Version: 9, Writer: "n1", Peers: []string{"n2"}}}
				if c.comes {
					said = []Claim{}
				} else {
					most = 2 * lookEach
				}
				if !reflect.DeepEqual(f.Claimed, said) {
					t.Errorf("%s: claimed are %+v, want %+v", what, f.Claimed, said)
				}
			}
			close(stop)
		})
	}
}

// claimant has member i give the block list of data at once and its bytes at a
// rate, or nothing if first is negative.
func (b *bubble) claimant(i int, data []byte, first time.Duration, rate int64, stop chan struct{}) {
	if first < 0 {
		b.hung(i, func(*crypto.Conn) { <-stop })
		return
	}
	pause := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-stop:
		}
	}
	b.hung(i, func(c *crypto.Conn) {
		requests(c, func(msg wire.Message) bool {
			if _, ok := msg.(wire.Blocks); ok {
				pause(first)
				return tell(c, wire.BlockList{Hashes: []wire.Sum{blake3.Sum256(data)}})
			}
			for part := range slices.Chunk(data, int(max(rate/10, 1))) {
				if _, err := c.Write(part); err != nil {
					return false
				}
				pause(100 * time.Millisecond)
			}
			return true
		})
	})
}
