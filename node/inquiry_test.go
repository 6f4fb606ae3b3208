package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"securepeer/crypto"
	"securepeer/internal/store"
	"securepeer/ring"
	"securepeer/wire"
)

// servedFS is a disk on which a test decides what comes of opening a version: for
// its bytes, or for a look.
type servedFS struct {
	store.FS
	opens *atomic.Pointer[func(bytes bool) error]
}

func (f servedFS) Open(name string) (store.File, error) {
	if opens := f.opens.Load(); opens != nil && strings.HasPrefix(name, "files/") {
		if err := (*opens)(bytes.Contains(debug.Stack(), []byte("node.(*Node).serve"))); err != nil {
			return nil, err
		}
	}
	return f.FS.Open(name)
}

// claimer is a member n2 that alone has a version of a file, and shows it, with
// what its disk makes of it.
type claimer struct {
	*bubble
	at, n2 *Node
	opens  atomic.Pointer[func(bytes bool) error]
	undial atomic.Pointer[error] // why nothing can be dialled from at
	name   string
	claim  wire.Manifest
	stop   chan struct{} // closed at the end
}

// withClaimer runs f with one in a ring of three.
func withClaimer(t *testing.T, f func(c *claimer)) {
	c := &claimer{}
	inBubbleOf(t, 3, 2, "copies=1", nil, func(b *bubble) {
		b.change = func(_ int, config *Config) {
			dial := config.Dial
			config.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if err := c.undial.Load(); err != nil {
					return nil, *err
				}
				return dial(ctx, network, addr)
			}
		}
	}, func(b *bubble) {
		c.bubble, c.at, c.stop = b, b.nodes[0], make(chan struct{})
		c.n2 = b.loner(2, servedFS{b.disks[2].Mount(), &c.opens})
		go c.n2.Run(b.t.Context())
		<-c.n2.Ready()
		defer c.n2.Close()
		defer close(c.stop)
		time.Sleep(5 * time.Second)
		for i := 0; c.name == ""; i++ {
			name := fmt.Sprint("f", i)
			if r, err := c.at.Lookup(b.t.Context(), name); err != nil {
				b.t.Fatal(err)
			} else if r.Owner == "n2" {
				c.name = name
			}
		}
		c.claim = c.has(1)
		f(c)
	})
}

// has gives the claimer one more version.
func (c *claimer) has(version uint64) wire.Manifest {
	return c.onDisk(c.n2, 2, wire.Manifest{Name: c.name, Version: version, Writer: 2, Signer: 2, Mode: 0o644}, fmt.Sprint("version ", version))
}

// loses has gets find the claim too late, again and again.
func (c *claimer) loses(most time.Duration) {
	for began := time.Now(); time.Since(began) < most; time.Sleep(10 * time.Second) {
		c.at.lost([]ring.Choice{{Manifest: c.claim, Sources: []wire.ID{2}}})
	}
}

// silent waits as a hung disk does, or a liar.
func (c *claimer) silent() error {
	<-c.stop
	return syscall.EIO
}

// TestWhoClaimsInVainIsNamed: a member that goes on to show versions that nobody
// else has, and gives nothing of them, is named by its name and the others are not,
// whether it denies them, or says nothing; also if each is another one. (Before: an
// invented newer version was named by nobody.)
func TestWhoClaimsInVainIsNamed(t *testing.T) {
	for what, lie := range map[string]func(c *claimer) error{
		"denies":           func(*claimer) error { return fs.ErrNotExist },
		"says nothing":     (*claimer).silent,
		"invents each day": func(*claimer) error { return fs.ErrNotExist },
	} {
		withClaimer(t, func(c *claimer) {
			c.opens.Store(ptr(func(bytes bool) error {
				if bytes {
					return lie(c)
				}
				return nil
			}))
			// A store forgets what it finds missing, so one that goes on to show it
			// stores it anew. It ends with the claimer.
			go func() {
				for v := uint64(1); ; {
					if what == "invents each day" {
						v++
					}
					select {
					case <-c.stop:
						return
					case <-time.After(7 * time.Second):
						c.has(v)
					}
				}
			}()
			c.loses(3 * time.Minute)
			if got := refusedOf(c.t, c.at, "n2"); got == 0 || got > 3 || refusedOf(c.t, c.at, "n1") > 0 {
				c.t.Errorf("one that %s: named %d times, want once or a few times", what, got)
			}
			if got := refusedOf(c.t, c.n2, "n0") + refusedOf(c.t, c.n2, "n1"); got > 0 {
				c.t.Errorf("one that %s names those who ask, %d times", what, got)
			}
		})
	}
}

// TestWhoHasWhatItClaimsIsNotNamed: it may be slow, its disk may fail or hang for a
// while, its file be removed, replaced or damaged; and this machine may lack what it
// needs.
func TestWhoHasWhatItClaimsIsNotNamed(t *testing.T) {
	served := func(f func(c *claimer, since time.Duration) error) func(c *claimer) {
		return func(c *claimer) {
			began := time.Now()
			c.opens.Store(ptr(func(bytes bool) error {
				if bytes {
					return f(c, time.Since(began))
				}
				return nil
			}))
		}
	}
	within := func(most time.Duration, err error) func(c *claimer, since time.Duration) error {
		return func(_ *claimer, since time.Duration) error {
			if since < most {
				return err
			}
			return nil
		}
	}
	for what, is := range map[string]func(c *claimer){
		"gives at once": func(*claimer) {},
		"has a slow line": func(c *claimer) {
			c.net.shape(c.addr(2), 50, lineDelay)
		},
		"has a slow disk":                    served(func(*claimer, time.Duration) error { time.Sleep(6 * time.Second); return nil }),
		"has a disk that fails":              served(within(time.Hour, syscall.EIO)),
		"has a disk that fails for a moment": served(within(30*time.Second, syscall.EIO)),
		"has no descriptors":                 served(within(time.Hour, syscall.EMFILE)),
		"lacks it for a moment":              served(within(40*time.Second, fs.ErrNotExist)),
		"has a disk that hangs for a moment": served(func(_ *claimer, since time.Duration) error {
			time.Sleep(max(0, 40*time.Second-since))
			return nil
		}),
		"cannot read what it looks for": func(c *claimer) {
			c.opens.Store(ptr(func(bool) error { return syscall.EIO }))
		},
		"removes it": func(c *claimer) {
			served(within(time.Hour, fs.ErrNotExist))(c)
			time.AfterFunc(20*time.Second, func() { c.n2.Remove(c.t.Context(), c.name, nil) })
		},
		"replaces it": func(c *claimer) {
			served(within(20*time.Second, fs.ErrNotExist))(c)
			time.AfterFunc(20*time.Second, func() { c.has(2) })
		},
		"finds it damaged": func(c *claimer) {
			e, err := c.n2.disk.Find(versionOf(c.roster.Space, c.claim))
			if err != nil {
				c.t.Fatal(err)
			}
			err = c.disks[2].Damage(fmt.Sprintf("files/%03x/%s", e.Key>>52, e),
				func(b []byte) []byte { b[len("version 1")+5] ^= 1; return b })
			if err != nil {
				c.t.Fatal(err)
			}
		},
		"dies": func(c *claimer) {
			served((func(c *claimer, _ time.Duration) error { return c.silent() }))(c)
			time.AfterFunc(40*time.Second, func() { c.net.off(c.addr(2)) })
		},
		"asks a peer that has no descriptors": func(c *claimer) {
			served((func(c *claimer, _ time.Duration) error { return c.silent() }))(c)
			c.undial.Store(ptr[error](syscall.EMFILE))
		},
	} {
		withClaimer(t, func(c *claimer) {
			is(c)
			c.loses(3 * time.Minute)
			if got := refusedOf(c.t, c.at, "n2"); got > 0 {
				c.t.Errorf("one that %s is named: %+v", what, status(c.t, c.at).Refused)
			}
			c.net.cut(nil)
		})
	}
}

// TestGivesNothing is what each answer for bytes is taken for.
func TestGivesNothing(t *testing.T) {
	data := []byte("abc")
	hash := wire.BlockList{Hashes: []wire.Sum{blake3.Sum256(data)}}
	for what, c := range map[string]struct {
		list, get func(c *crypto.Conn) bool
		want      bool
	}{
		"silence":            {list: silence, want: true},
		"not found":          {list: says(wire.Fail{Code: wire.CodeNotFound}), want: true},
		"out of range":       {list: says(wire.Fail{Code: wire.CodeInvalid}), want: true},
		"an end":             {list: func(*crypto.Conn) bool { return false }, want: true},
		"nonsense":           {list: says(wire.Progress{Bytes: 3}), want: true},
		"two hashes":         {list: says(wire.BlockList{Hashes: make([]wire.Sum, 2)}), want: true},
		"a busy disk":        {list: says(wire.Fail{Code: wire.CodeBusy})},
		"a stuck disk":       {list: says(wire.Fail{Code: wire.CodeStuck})},
		"a late hash":        {list: func(c *crypto.Conn) bool { time.Sleep(quietTime - time.Second); return says(hash)(c) }, get: gives(data[:1])},
		"a byte":             {list: says(hash), get: gives(data[:1])},
		"a hash, silence":    {list: says(hash), get: silence, want: true},
		"a hash, not found":  {list: says(hash), get: says(wire.Fail{Code: wire.CodeNotFound}), want: true},
		"a hash, busy":       {list: says(hash), get: says(wire.Fail{Code: wire.CodeBusy})},
		"a hash, empty data": {list: says(hash), get: func(c *crypto.Conn) bool { c.Write(nil); return silence(c) }, want: true},
	} {
		inBubble(t, 3, 1, "copies=1", func(b *bubble) {
			b.hung(2, func(conn *crypto.Conn) {
				requests(conn, func(msg wire.Message) bool {
					if _, ok := msg.(wire.Blocks); ok {
						return c.list(conn)
					}
					return c.get(conn)
				})
			})
			if got := b.nodes[0].givesNothing(2, fileOf(b, 2, "f", data)); got != c.want {
				b.t.Errorf("%s: gives nothing %v, want %v", what, got, c.want)
			}
			if b.nodes[0].givesNothing(1, fileOf(b, 2, "f", data)) {
				b.t.Errorf("one that does not run gives nothing")
			}
		})
	}
}

func silence(c *crypto.Conn) bool {
	io.Copy(io.Discard, c)
	return false
}

func says(m wire.Message) func(c *crypto.Conn) bool {
	return func(c *crypto.Conn) bool { return tell(c, m) }
}

func gives(b []byte) func(c *crypto.Conn) bool {
	return func(c *crypto.Conn) bool {
		_, err := c.Write(b)
		return err == nil
	}
}

// TestLateLieIsFound: bytes that come too late for a get are looked at, and named
// if they are wrong.
func TestLateLieIsFound(t *testing.T) {
	inBubble(t, 3, 1, "copies=1", func(b *bubble) {
		data := bytesOf(1, 1000)
		lie := true
		b.blockServer(2, data, func(_ int, block []byte) []byte {
			time.Sleep(2 * time.Second)
			if lie {
				return bytesOf(2, len(block))
			}
			return block
		})
		n, m := b.nodes[0], fileOf(b, 2, "f", data)
		for _, lie = range []bool{false, true} {
			n.claims.add(2, m.Sum())
			if n.givesNothing(2, m) || refusedOf(b.t, n, "n2") > 0 != lie {
				b.t.Errorf("lie %v: refused %d", lie, refusedOf(b.t, n, "n2"))
			}
			m.Version++
			m = claim(b.secrets[2], m)
		}
	})
}

// TestInquiriesAreBounded: one of each member, and not of all at once.
func TestInquiriesAreBounded(t *testing.T) {
	c := newClaims()
	for i := range wire.ID(2 * maxInquiries) {
		if got := c.begin(i); got != (i < maxInquiries) || c.begin(i) {
			t.Errorf("inquiry %d begins %v", i, got)
		}
	}
	if c.end(0); !c.begin(maxInquiries) || c.begin(1) {
		t.Error("a place that was left is not taken, or one twice")
	}
}
