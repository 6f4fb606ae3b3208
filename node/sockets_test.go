package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"securepeer/keys"
)

// loneRoster is a roster of one member, at addr.
func loneRoster(t *testing.T, addr string) (*keys.Secret, *keys.Roster) {
	t.Helper()
	secret, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	roster, err := keys.ParseRoster(fmt.Appendf(nil, "ring r\npeer 1 a %s addr=%s\n", secret.Public(), addr))
	if err != nil {
		t.Fatal(err)
	}
	return secret, roster
}

// free is a port that nobody had a moment ago.
func free(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func connects(t *testing.T, host string, port int) bool {
	t.Helper()
	c, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
	if err == nil {
		c.Close()
	}
	return err == nil
}

func hasIPv6(t *testing.T) bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		l.Close()
	}
	return err == nil
}

// TestNameIsListenedAtOnAllAddresses: where this machine's own name leads says
// nothing about where the others dial. A literal address is the one; Listen is
// the very address, also of a name.
func TestNameIsListenedAtOnAllAddresses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("of 127.0.0.0/8, other systems have 127.0.0.1 alone")
	}
	for _, c := range []struct {
		roster, listen string // "": the roster's
		other, six     bool   // 127.0.0.2 and ::1 take connections
	}{
		{"localhost", "", true, true},
		{"unknown.invalid", "", true, true},
		{"127.0.0.1", "", false, false},
		{"localhost", "127.0.0.1", false, false},
		{"localhost", "localhost", false, false},
		{"127.0.0.1", "0.0.0.0", true, true}, // as net.Listen has it
		{"127.0.0.1", "::", true, true},
	} {
		var n *Node
		var port int
		err := error(syscall.EADDRINUSE)
		for try := 0; errors.Is(err, syscall.EADDRINUSE) && try < freePortTries; try++ {
			port = free(t)
			secret, roster := loneRoster(t, fmt.Sprintf("%s:%d", c.roster, port))
			listen := ""
			if c.listen != "" {
				listen = net.JoinHostPort(c.listen, fmt.Sprint(port))
			}
			n, err = New(Config{Secret: secret, Roster: roster, Dir: t.TempDir(), Listen: listen})
		}
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if !connects(t, "127.0.0.1", port) || connects(t, "127.0.0.2", port) != c.other {
			t.Errorf("%+v: listens at %v", c, n.Addr())
		}
		if hasIPv6(t) && connects(t, "::1", port) != c.six {
			t.Errorf("%+v: of IPv6 the opposite, at %v", c, n.Addr())
		}
		for _, s := range n.datagrams.list() {
			at := s.LocalAddr().(*net.UDPAddr)
			if at.Port != port || at.IP.IsUnspecified() != c.other {
				t.Errorf("%+v: UDP at %v", c, at)
			}
		}
		n.Close()
	}
}

// TestAckLeavesFromTheAddressThatWasAsked: else a firewall, or the router
// before a member, would not take it for an answer.
func TestAckLeavesFromTheAddressThatWasAsked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("of 127.0.0.0/8, other systems have 127.0.0.1 alone")
	}
	tcp, udp, err := listenAll(":0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	for _, s := range udp {
		defer s.Close()
	}
	for _, host := range []string{"127.0.0.1", "127.0.0.9", "::1"} {
		ip := netip.MustParseAddr(host)
		if ip.Is6() && !hasIPv6(t) {
			continue
		}
		var s *udpSocket
		for _, u := range udp {
			if u.family == familyOf(ip) {
				s = u
			}
		}
		if s == nil {
			t.Fatalf("no socket for %s", host)
		}
		port := s.LocalAddr().(*net.UDPAddr).Port
		// Connected: it takes what comes from there alone.
		c, err := net.Dial("udp", net.JoinHostPort(host, fmt.Sprint(port)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte("ask"))
		b := make([]byte, 16)
		n, from, err := s.read(b)
		if err != nil || string(b[:n]) != "ask" || from.local.Unmap() != ip {
			t.Fatalf("%s: read %q to %v, %v", host, b[:n], from.local, err)
		}
		if err := s.write([]byte("answer"), from); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := c.Read(b); err != nil || string(b[:n]) != "answer" {
			t.Errorf("%s: %q, %v", host, b[:n], err)
		}
		// From an address that the machine has not, the system chooses.
		from.local = netip.MustParseAddr("192.0.2.1")
		if err := s.write([]byte("answer"), from); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// TestOtherFamilyIsReached: a peer at a literal IPv4 address pings members that
// have IPv6 alone, and reads what they answer.
func TestOtherFamilyIsReached(t *testing.T) {
	if !hasIPv6(t) {
		t.Skip("this machine has no IPv6")
	}
	secret, roster := loneRoster(t, "127.0.0.1:7460")
	n, err := New(Config{Secret: secret, Roster: roster, Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	other, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if len(n.datagrams.list()) != 1 {
		t.Error("a socket that nobody needs")
	}
	to := other.LocalAddr().(*net.UDPAddr).AddrPort()
	for range 2 {
		if err := n.sendDatagram([]byte("ping"), path{remote: to}); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 16)
	other.SetReadDeadline(time.Now().Add(20 * time.Second))
	if size, _, err := other.ReadFrom(b); err != nil || string(b[:size]) != "ping" {
		t.Errorf("%q, %v", b[:size], err)
	}
	if len(n.datagrams.list()) != 2 {
		t.Errorf("%d sockets", len(n.datagrams.list()))
	}
}

// TestListeningWaitsForItsAddress: while a machine boots. What waiting does not
// mend is an error at once.
func TestListeningWaitsForItsAddress(t *testing.T) {
	s := &nameServer{answers: map[string][]string{}, fails: errors.New("unused")}
	s.fail(&net.DNSError{Err: "no such host", IsNotFound: true})
	secret, roster := loneRoster(t, "127.0.0.1:7460")
	var waited []error
	n, err := New(Config{Secret: secret, Roster: roster, Dir: t.TempDir(), Listen: "later.test:0", Resolve: s.resolve,
		NotYet: func(err error) bool {
			if waited = append(waited, err); len(waited) == 2 {
				s.fail(nil)
				s.set("later.test", "192.0.2.77") // not this machine's
			}
			if len(waited) == 4 {
				s.set("later.test", "::ffff:127.0.0.1", "127.0.0.1")
			}
			return true
		}})
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
	if len(waited) != 4 || !errors.Is(waited[3], syscall.EADDRNOTAVAIL) {
		t.Errorf("waited %q", waited)
	}
	_, err = New(Config{Secret: secret, Roster: roster, Dir: t.TempDir(), Listen: "192.0.2.77:0", NotYet: func(error) bool { return false }})
	if !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("given up: %v", err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = New(Config{Secret: secret, Roster: roster, Dir: t.TempDir(), Listen: taken.Addr().String(),
		NotYet: func(err error) bool { t.Errorf("waits: %v", err); return false }})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port that is taken: %v", err)
	}
}
