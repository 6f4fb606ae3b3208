package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"securepeer/wire"
)

// nameServer answers for a test: what it has no answer for does not exist.
type nameServer struct {
	mu      sync.Mutex
	answers map[string][]string // by host
	fails   error               // nil: it answers
	asked   int
}

func (s *nameServer) resolve(_ context.Context, host string) (found []netip.Addr, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.fails != nil {
		return nil, s.fails
	}
	for _, ip := range s.answers[host] {
		found = append(found, netip.MustParseAddr(ip))
	}
	if found == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return found, nil
}

func (s *nameServer) set(host string, ips ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[host] = ips
}

func (s *nameServer) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = err
}

func (s *nameServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// inNames is a bubble whose members n0.test, n1.test ... are each at the last of
// their addresses; those before it are dead.
func inNames(t *testing.T, s *nameServer, f func(*bubble), addrs ...[]string) {
	s.answers = make(map[string][]string)
	var roster []string
	for i, list := range addrs {
		host := fmt.Sprintf("n%d.test", i)
		s.answers[host] = list
		roster = append(roster, host+":7460")
	}
	set := func(b *bubble) {
		b.at = func(i int) string { return net.JoinHostPort(addrs[i][len(addrs[i])-1], "7460") }
		b.change = func(_ int, c *Config) { c.Resolve = s.resolve }
		b.net.cut(func(_, to netip.AddrPort) bool { // what is dead refuses nothing
			return slices.ContainsFunc(addrs, func(list []string) bool {
				return slices.Contains(list[:len(list)-1], to.Addr().String())
			})
		})
	}
	inBubbleOf(t, len(addrs), len(addrs), "interval=1s", roster, set, f)
}

// wholeAndHeard: everybody sees everybody, both ways, and a put makes all
// copies.
func (b *bubble) wholeAndHeard(name string) {
	b.t.Helper()
	for _, n := range b.nodes {
		s := status(b.t, n)
		for _, p := range s.Peers {
			if s.State != "active" || !p.InRing || p.Why != WhyNone || p.Suspect || p.Unreachable || p.Silence > 3*time.Second {
				b.t.Errorf("%s: %s, and there %+v", s.Name, s.State, p)
			}
		}
	}
	if r := put(b.t, b.nodes[0], name, bytesOf(1, 1000)); len(r.Copies) != min(3, len(b.nodes)) {
		b.t.Errorf("copies at %v", r.Copies)
	}
}

// TestPingsGoWhereTheLinkStands: members that have IPv6 alone, IPv4 alone,
// both, and names of which the first address is dead, are all active, both
// ways. Pings went to the first IPv4 address, whatever TCP had found.
func TestPingsGoWhereTheLinkStands(t *testing.T) {
	for name, addrs := range map[string][][]string{
		"IPv6 alone":      {{"fd00::1"}, {"fd00::2"}, {"fd00::3"}},
		"IPv4 alone":      {{"10.0.0.1"}, {"10.0.0.2"}, {"10.0.0.3"}},
		"mixed":           {{"fd00::1"}, {"10.0.0.2"}, {"10.9.9.9", "fd00::3"}},
		"first one dead":  {{"10.9.9.1", "10.0.0.1"}, {"10.9.9.2", "10.0.0.2"}, {"10.9.9.3", "10.9.9.4", "10.0.0.3"}},
		"all kinds":       {{"10.9.9.1", "fd00:9::1", "10.0.0.1"}, {"fd00::2"}, {"fd00:9::3", "10.9.9.3", "fd00::3"}, {"10.0.0.4"}},
		"most of it dead": {{"10.0.0.1"}, {"10.0.0.2"}, {"10.9.9.1", "10.9.9.2", "10.9.9.3", "fd00:9::1", "fd00:9::2", "10.9.9.6", "10.9.9.7", "10.0.0.3"}},
	} {
		t.Run(name, func(t *testing.T) {
			inNames(t, new(nameServer), func(b *bubble) {
				time.Sleep(10 * time.Second)
				b.wholeAndHeard("a")
				time.Sleep(5 * time.Minute) // all links and sessions are new
				b.wholeAndHeard("b")
			}, addrs...)
		})
	}
}

// TestNameServerDiesForAnHour: with all links up and all addresses unchanged,
// and while peers start again, no operation fails and nobody is judged. Each
// dial asked the resolver, so after the first links ended by age everybody was
// one-way.
func TestNameServerDiesForAnHour(t *testing.T) {
	for i, c := range []struct {
		name  string
		fails error
	}{
		{"no answer", context.DeadlineExceeded},
		{"server failed", &net.DNSError{Err: "server misbehaving", IsTemporary: true}},
		{"no such name", &net.DNSError{Err: "no such host", IsNotFound: true}},
	} {
		if i > 0 && !eachFailure() {
			break
		}
		t.Run(c.name, func(t *testing.T) {
			s := new(nameServer)
			inNames(t, s, func(b *bubble) {
				s.fail(c.fails)
				for minute := range 60 {
					time.Sleep(time.Minute)
					if minute%15 == 7 {
						i := minute / 15 % len(b.nodes)
						b.restart(i)
						time.Sleep(10 * time.Second)
					}
					file := fmt.Sprint("f", minute)
					b.wholeAndHeard(file)
					if got, _ := get(b.t, b.nodes[minute%len(b.nodes)], file); !bytes.Equal(got, bytesOf(1, 1000)) {
						b.t.Errorf("minute %d: other bytes", minute)
					}
				}
			}, []string{"10.0.0.1"}, []string{"10.9.9.2", "10.0.0.2"}, []string{"fd00::3"}, []string{"10.0.0.4"})
		})
	}
}

// restart ends node i and starts it on its disk.
func (b *bubble) restart(i int) {
	b.t.Helper()
	if err := b.nodes[i].Close(); err != nil {
		b.t.Fatal(err)
	}
	nodes, open := b.nodes, b.open
	b.start(i)
	nodes[i], open[i] = b.nodes[len(nodes)], b.open[len(open)]
	b.nodes, b.open = nodes, open
	<-b.nodes[i].Ready()
}

// TestAddressBook: what is tried, in which order, after each thing that can be
// learned.
func TestAddressBook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var work sync.WaitGroup
		s := &nameServer{answers: map[string][]string{"a.test": {"10.0.0.1", "10.0.0.2", "fd00::1", "::ffff:10.0.0.2", "fd00::2", "10.0.0.3"}}}
		a := newAddresses(t.Context(), &work, s.resolve)
		ip := netip.MustParseAddr
		tried := func(what string, want ...string) {
			t.Helper()
			a.find(t.Context(), "a.test:1") // which may have the name looked up
			synctest.Wait()
			list, err := a.find(t.Context(), "a.test:1")
			var got []string
			for _, at := range list {
				got = append(got, at.Addr().String())
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %v, %v, want %v", what, got, err, want)
			}
		}
		a.learn(bookOf("a.test:1"))
		tried("families in turn, none twice", "10.0.0.1", "fd00::1", "10.0.0.2", "fd00::2", "10.0.0.3")
		a.reached("a.test:1", ip("fd00::2"))
		tried("what worked first", "fd00::2", "10.0.0.1", "fd00::1", "10.0.0.2", "10.0.0.3")
		a.missed("a.test:1", ip("fd00::2"))
		a.missed("a.test:1", ip("10.0.0.1"))
		tried("what failed last, the last of it at the end", "fd00::1", "10.0.0.2", "10.0.0.3", "fd00::2", "10.0.0.1")
		s.fail(errors.New("server misbehaving"))
		time.Sleep(2 * lookupAgain)
		tried("no good answer changes nothing", "fd00::1", "10.0.0.2", "10.0.0.3", "fd00::2", "10.0.0.1")
		s.fail(nil)
		s.set("a.test", "0.0.0.0", "224.0.0.1", "fe80::1")
		time.Sleep(2 * lookupAgain)
		tried("nor does one that nobody can dial", "fd00::1", "10.0.0.2", "10.0.0.3", "fd00::2", "10.0.0.1")
		s.set("a.test", "10.0.0.9")
		time.Sleep(2 * lookupAgain)
		tried("the newest, and what worked", "fd00::2", "10.0.0.9")
		a.linked("a.test:1", ip("10.0.0.77"), false)
		tried("where the member dialled from comes last", "fd00::2", "10.0.0.9", "10.0.0.77")
		if a.has(ip("10.0.0.77")) || a.has(ip("fd00::2")) || !a.has(ip("10.0.0.9")) {
			t.Error("the door knows others than the newest answer")
		}
		var many []string
		for i := range 100 {
			many = append(many, fmt.Sprintf("10.1.0.%d", i))
		}
		s.set("a.test", many...)
		time.Sleep(2 * lookupAgain)
		a.ping("a.test:1")
		synctest.Wait()
		if list, _ := a.find(t.Context(), "a.test:1"); len(list) != maxAddresses {
			t.Errorf("%d addresses of one name", len(list))
		}
	})
}

// TestPingsTryTheOtherAddresses: where pings are not acked the next address is
// tried, and where one is acked they stay.
func TestPingsTryTheOtherAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var work sync.WaitGroup
		s := &nameServer{answers: map[string][]string{"a.test": {"10.0.0.1", "10.0.0.2", "10.0.0.3"}}}
		a := newAddresses(t.Context(), &work, s.resolve)
		a.learn(bookOf("a.test:1"))
		synctest.Wait()
		acks := netip.MustParseAddr("10.0.0.3")
		var went []string
		for echo := range uint64(12) {
			at := a.ping("a.test:1")[0].Addr()
			went = append(went, strings.TrimPrefix(at.String(), "10.0.0."))
			a.sent("a.test:1", echo, at)
			if at == acks {
				a.acked("a.test:1", echo)
			}
			if echo == 8 {
				acks = netip.MustParseAddr("10.0.0.1")
			}
		}
		if got := strings.Join(went, " "); got != "1 1 2 3 3 3 3 3 3 3 3 1" {
			t.Errorf("pings went to %s", got)
		}
		// A link that the member dialled through a router does not move what is acked.
		a.linked("a.test:1", netip.MustParseAddr("192.0.2.1"), false)
		if at := a.ping("a.test:1")[0].Addr(); at != acks {
			t.Errorf("pings go to %v", at)
		}
		a.linked("a.test:1", netip.MustParseAddr("10.0.0.2"), true)
		if at := a.ping("a.test:1")[0].Addr().String(); at != "10.0.0.2" {
			t.Errorf("the link stands at 10.0.0.2, pings go to %v", at)
		}
	})
}

// TestNameIsLookedUpWhenItFails: at once when a dial fails, and not without
// end.
func TestNameIsLookedUpWhenItFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var work sync.WaitGroup
		s := &nameServer{answers: map[string][]string{"a.test": {"10.0.0.1"}}}
		a := newAddresses(t.Context(), &work, s.resolve)
		a.learn(bookOf("a.test:1"))
		synctest.Wait()
		time.Sleep(lookupSoon)
		s.set("a.test", "10.0.0.2")
		a.missed("a.test:1", netip.MustParseAddr("10.0.0.1"))
		synctest.Wait()
		if list, _ := a.find(t.Context(), "a.test:1"); len(list) != 1 || list[0].Addr().String() != "10.0.0.2" {
			t.Errorf("after a failed dial: %v", list)
		}
		before := s.count()
		for range 1000 {
			a.missed("a.test:1", netip.MustParseAddr("10.0.0.2"))
			time.Sleep(10 * time.Millisecond)
		}
		if n := s.count() - before; n > int(10*time.Second/lookupSoon)+1 {
			t.Errorf("%d lookups in 10 s", n)
		}
		if _, err := a.find(t.Context(), "b.test:1"); err == nil || !strings.Contains(err.Error(), "b.test leads nowhere on this machine") {
			t.Errorf("a name that does not exist: %v", err)
		}
	})
}

// TestSavedAddressesAreBounded: what an earlier run has saved is as good as an
// answer, if it parses and the roster still has the name.
func TestSavedAddressesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var work sync.WaitGroup
		s := &nameServer{fails: errors.New("away")}
		a := newAddresses(t.Context(), &work, s.resolve)
		b := bookOf("a.test:1", "b.test:1", "192.0.2.1:1", "many.test:1")
		a.load([]byte("a.test:1 10.0.0.2 fd00::1 0.0.0.0 nonsense\nother.test:1 10.0.0.9\nb.test:1\n192.0.2.1:1 10.0.0.8\n"+
			"many.test:1"+strings.Repeat(" 10.0.0.1 10.0.0.2", 100)+"\n\x00\xff"), b)
		a.learn(b)
		synctest.Wait()
		for hostport, want := range map[string]string{
			"a.test:1": "[10.0.0.2:1 [fd00::1]:1]", "b.test:1": "[]", "192.0.2.1:1": "[192.0.2.1:1]", "many.test:1": "[10.0.0.1:1 10.0.0.2:1]",
		} {
			if list, _ := a.find(t.Context(), hostport); fmt.Sprint(list) != want {
				t.Errorf("%s: %v, want %s", hostport, list, want)
			}
		}
		if len(a.known) != 4 || a.has(netip.MustParseAddr("10.0.0.9")) {
			t.Errorf("%d names are known", len(a.known))
		}
		if _, news := a.save(); news {
			t.Error("what was loaded is written again")
		}
		a.reached("a.test:1", netip.MustParseAddr("fd00::1"))
		text, news := a.save()
		if want := "a.test:1 fd00::1 10.0.0.2\nmany.test:1 10.0.0.1 10.0.0.2\n"; !news || string(text) != want {
			t.Errorf("saved: %v, %q, want %q", news, text, want)
		}
	})
}

// brokenConn is a socket that can't send to some.
type brokenConn struct {
	net.PacketConn
	mu  sync.Mutex
	err map[string]error // by host
}

func (c *brokenConn) WriteTo(b []byte, to net.Addr) (int, error) {
	c.mu.Lock()
	err := c.err[to.(*net.UDPAddr).IP.String()]
	c.mu.Unlock()
	if err != nil {
		return 0, &net.OpError{Op: "write", Net: "udp", Addr: to, Err: err}
	}
	return c.PacketConn.WriteTo(b, to)
}

func (c *brokenConn) set(err error, hosts ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = make(map[string]error)
	for _, host := range hosts {
		c.err[host] = err
	}
}

// TestOwnFailureIsShownAsOwn: a peer that cannot send says so of itself, and
// accuses nobody; it was told as the other side's silence.
func TestOwnFailureIsShownAsOwn(t *testing.T) {
	for _, c := range []struct {
		err  syscall.Errno
		want string
	}{
		{syscall.ENETUNREACH, "no route"}, {syscall.EHOSTUNREACH, "no route"}, {syscall.EPERM, "firewall"}, {syscall.EACCES, "forbids"},
		{syscall.ENOBUFS, "buffer"}, {syscall.EINVAL, "no route"}, {syscall.EMSGSIZE, "size"}, {syscall.ENETDOWN, "down"},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			broken := &brokenConn{}
			set := func(b *bubble) {
				b.change = func(i int, c *Config) {
					if i == 0 {
						broken.PacketConn, c.PacketConn = c.PacketConn, broken
					}
				}
			}
			inBubbleOf(t, 4, 4, "interval=1s", nil, set, func(b *bubble) {
				t := b.t
				broken.set(c.err, "10.0.0.2")
				time.Sleep(20 * time.Second)
				s := status(t, b.nodes[0])
				if p := s.Peers[1]; p.Why != WhyUnsent || !strings.Contains(p.Problem, c.want) || p.Suspect {
					t.Errorf("n1 is shown as %q: %q", p.Why, p.Problem)
				}
				if _, err := b.nodes[0].Ping(t.Context(), "n1"); err == nil || !strings.Contains(err.Error(), "this peer could not ask it: ") || !strings.Contains(err.Error(), c.want) {
					t.Errorf("a ping of n1 says %v", err)
				}
				if p := s.Peers[2]; p.Why != WhyNone || len(s.Warnings) > 0 {
					t.Errorf("n2 is shown as %+v, with %q", p, s.Warnings)
				}
				for _, n := range b.nodes[1:] {
					if p := status(t, n).Peers[1]; p.Unreachable || !p.InRing {
						t.Errorf("%s takes n1 for %+v", status(t, n).Name, p)
					}
				}
				broken.set(c.err, "10.0.0.2", "10.0.0.3", "10.0.0.4")
				time.Sleep(20 * time.Second)
				if s := status(t, b.nodes[0]); len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], c.want) {
					t.Errorf("with nobody to send to: %q", s.Warnings)
				}
				broken.set(nil)
				time.Sleep(30 * time.Second)
				b.wholeAndHeard("a")
				if s := status(t, b.nodes[0]); len(s.Warnings) > 0 || s.Peers[1].Problem != "" {
					t.Errorf("when it is over: %q, %q", s.Warnings, s.Peers[1].Problem)
				}
			})
		})
	}
}

// TestAckThatDoesNotLeaveIsNoEvidence: a member whose pings come from an address to
// which nothing can be sent, which it may choose, is not shown as one that this
// machine cannot reach; one to which no ping can be sent is. (By such pings
// a member kept itself from being judged.)
func TestAckThatDoesNotLeaveIsNoEvidence(t *testing.T) {
	broken := &brokenConn{}
	set := func(b *bubble) {
		b.change = func(i int, c *Config) {
			if i == 0 {
				broken.PacketConn, c.PacketConn = c.PacketConn, broken
			}
		}
	}
	inBubbleOf(t, 3, 3, "interval=1s", nil, set, func(b *bubble) {
		t, n := b.t, b.nodes[0]
		broken.set(syscall.ENETUNREACH, "10.9.9.9")
		to := []path{{remote: netip.MustParseAddrPort("10.9.9.9:7")}}
		for _, ack := range []bool{true, false} {
			offer(n.outgoing, ping{member: b.roster.Members[1], to: to, body: wire.Ping{Ack: ack}})
			synctest.Wait()
			if s := status(t, n).Peers[1]; (s.Problem == "") != ack {
				t.Errorf("ack %v: n1 is shown as %q: %q", ack, s.Why, s.Problem)
			}
		}
	})
}

// TestSilenceIsNotOwn: a dead member with an address that this machine cannot
// send to and one that it can is silent, and judged.
func TestSilenceIsNotOwn(t *testing.T) {
	s := new(nameServer)
	inNames(t, s, func(b *bubble) {
		t := b.t
		b.net.off(b.addr(3))
		time.Sleep(20 * time.Second)
		for _, n := range b.nodes[:3] {
			if p := status(t, n).Peers[3]; !p.Unreachable || p.InRing || p.Why != WhySilent {
				t.Errorf("%s takes n3 for %+v", status(t, n).Name, p)
			}
		}
	}, []string{"10.0.0.1"}, []string{"10.0.0.2"}, []string{"10.0.0.3"}, []string{"10.0.0.4"})
}

// TestRoutersWordIsNotOwn: a router that has no route to a member has the system
// say of a dial what it says if this machine has none; a datagram shows which. The
// member is silent, and is gone after the grace.
func TestRoutersWordIsNotOwn(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENETUNREACH, syscall.EACCES} {
		var off atomic.Bool
		set := func(b *bubble) {
			b.change = func(_ int, c *Config) {
				dial := c.Dial
				c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					switch {
					case !off.Load() || addr != b.addr(3):
						return dial(ctx, network, addr)
					case network == "udp":
						datagrams, _ := net.Pipe()
						return datagrams, nil
					}
					return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", errno)}
				}
			}
		}
		inBubbleOf(t, 4, 4, "interval=1s grace=10m", nil, set, func(b *bubble) {
			b.net.off(b.addr(3))
			off.Store(true)
			for _, c := range []struct {
				after time.Duration
				why   Why
			}{{20 * time.Second, WhySilent}, {10*time.Minute + 5*time.Second, WhyGone}} {
				time.Sleep(c.after)
				for _, n := range b.nodes[:3] {
					if p := status(b.t, n).Peers[3]; !p.Unreachable || p.Why != c.why {
						b.t.Errorf("%v: %s takes n3 for %+v, want %s", errno, status(b.t, n).Name, p, c.why)
					}
				}
			}
		})
	}
}

// TestOwnNameThatLeadsToLoopbackIsTold: while others are elsewhere, and until
// another machine has dialled this one.
func TestOwnNameThatLeadsToLoopbackIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			self, other string
			want        string
		}{
			{"me.test:1", "you.test:1", "on this machine me.test is 127.0.1.1"},
			{"127.0.0.1:1", "you.test:1", "the roster has this peer at 127.0.0.1:1"},
			{"[::1]:1", "192.0.2.1:1", "the roster has this peer at [::1]:1"},
			{"me.test:1", "127.0.0.1:2", ""},
			{"127.0.0.1:1", "127.0.0.1:2", ""},
			{"you.test:2", "me.test:1", ""},
			{"unknown.test:1", "you.test:1", ""},
		} {
			var work sync.WaitGroup
			s := &nameServer{answers: map[string][]string{"me.test": {"127.0.1.1"}, "you.test": {"192.0.2.7"}}}
			a := newAddresses(t.Context(), &work, s.resolve)
			a.learn(bookOf(c.self, c.other))
			synctest.Wait()
			if got := a.loopback(c.self); c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
				t.Errorf("%s with %s: %q, want %q", c.self, c.other, got, c.want)
			}
			a.linked(c.other, netip.MustParseAddr("192.0.2.7"), false)
			if got := a.loopback(c.self); got != "" {
				t.Errorf("%s, dialled by %s: %q", c.self, c.other, got)
			}
		}
	})
}
