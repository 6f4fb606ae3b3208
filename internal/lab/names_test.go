//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lookUp is what a process with roleLookUp does: it resolves each argument and
// prints what it found, or what the error is.
func lookUp(names []string) error {
	for _, name := range names {
		addrs, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip", name)
		var dns *net.DNSError
		switch {
		case errors.As(err, &dns) && dns.IsNotFound:
			fmt.Println("not found")
		case errors.As(err, &dns) && dns.IsTimeout:
			fmt.Println("timeout")
		case err != nil:
			fmt.Println("failed")
		default:
			for i := range addrs {
				addrs[i] = addrs[i].Unmap()
			}
			fmt.Println(addrs)
		}
	}
	return nil
}

// resolve is what a process in a namespace finds out about a name.
func resolve(t *testing.T, l *Lab, id int, name string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", name)
	cmd.Env = append(os.Environ(), roleVariable+"="+roleLookUp, "GODEBUG=netdns=go")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := l.Start(id, cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

// namesLeadWhereTheTestSays: a process in a namespace reads the hosts file and
// asks the name server that the test gave it, in each of that one's moods,
// over both families; and no other process reads them.
func namesLeadWhereTheTestSays(t *testing.T, seed uint64) {
	l := newLab(t, 3, seed)
	s := newNameServer(t, l, 3)
	for _, err := range []error{
		l.AddAddr(2, Addr6(2)), l.AddAddr(3, Addr6(3)),
		l.UseNameServer(1, Addr(3)), l.UseNameServer(2, Addr6(3)),
		l.WriteEtc(1, "hosts", "127.0.0.1 localhost\n127.0.1.1 own.example own\n"),
		l.WriteEtc(2, "hosts", "127.0.0.1 localhost\n"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Name("own.example", Addr(1))
	s.Name("both.Example", Alias(2, 1), Addr(2), Addr6(2))
	for _, c := range []struct {
		id         int
		mood       Mood
		name, want string
	}{
		{1, Answers, "own.example", "[127.0.1.1]"},
		{2, Answers, "own.example", "[10.7.0.1]"},
		{1, Answers, "both.example", "[10.8.0.2 10.7.0.2 2001:db8::7:0:2]"}, // no IPv6 here: that comes last
		{2, Answers, "both.example", "[2001:db8::7:0:2 10.8.0.2 10.7.0.2]"},
		{1, Answers, "none.example", "not found"},
		{1, Fails, "both.example", "failed"},
		{1, Silent, "both.example", "timeout"},
		{2, Closed, "both.example", "failed"},
		{1, Closed, "own.example", "[127.0.1.1]"},
		{2, Answers, "both.example", "[2001:db8::7:0:2 10.8.0.2 10.7.0.2]"}, // it has come back
	} {
		if err := s.Be(c.mood); err != nil {
			t.Fatal(err)
		}
		if got := resolve(t, l, c.id, c.name); got != c.want {
			t.Errorf("namespace %d, server %d: %s leads to %s, want %s", c.id, c.mood, c.name, got, c.want)
		}
	}
	if b, err := os.ReadFile("/etc/hosts"); err != nil || strings.Contains(string(b), "own.example") {
		t.Errorf("this process reads a namespace's hosts file (%v)", err)
	}
	if s.Asked() == 0 {
		t.Error("nobody has asked the server")
	}
}

// newNameServer starts one that ends with the test.
func newNameServer(t *testing.T, l *Lab, id int) *NameServer {
	t.Helper()
	s, err := l.NewNameServer(id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// sendFrom sends a datagram from a namespace to an address, and reports what
// its kernel says.
func sendFrom(l *Lab, id int, to netip.Addr) error {
	return l.Do(id, func() error {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, echoPort)))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("x"))
		return err
	})
}

// addressesComeAndGo: a namespace is reached at the addresses that it has, of
// both families, and at no other; its kernel refuses to send where a route
// says so, with the error of the route's kind.
func addressesComeAndGo(t *testing.T, seed uint64) {
	l := newLab(t, 2, seed)
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	reached := func(to netip.Addr, want bool) {
		t.Helper()
		wait := 5 * time.Second
		if !want {
			wait = 300 * time.Millisecond
		}
		if got := hears(t, l, 1, 2, to, wait); got != want {
			t.Errorf("%s is reached: %v, want %v", to, got, want)
		}
	}
	reached(Addr(2), true)
	reached(Alias(2, 1), false) // on the wire, and nobody's
	if err := sendFrom(l, 1, Addr6(2)); !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("without IPv6, sending over it: %v", err)
	}
	check("first IPv6 address", l.AddAddr(1, Addr6(1)))
	check("second IPv6 address", l.AddAddr(2, Addr6(2)))
	check("alias", l.AddAddr(2, Alias(2, 1)))
	reached(Addr6(2), true)
	reached(Alias6(2, 1), false)
	reached(Alias(2, 1), true)
	check("dropping the first", l.DropAddr(2, Addr(2)))
	reached(Addr(2), false)
	reached(Alias(2, 1), true) // it outlives that
	check("dropping IPv4", l.DropAddr(1, Addr(1)))
	reached(Addr6(2), true)
	if err := sendFrom(l, 1, Alias(2, 1)); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("sending over IPv4 without an address of it: %v", err)
	}
	for kind, want := range map[RouteKind]error{Unreachable: unix.EHOSTUNREACH, Prohibited: unix.EACCES, NoRoute: unix.ENETUNREACH} {
		to := netip.PrefixFrom(Addr6(2), 128)
		check("adding a route", l.AddRoute(1, to, kind))
		if err := sendFrom(l, 1, Addr6(2)); !errors.Is(err, want) {
			t.Errorf("sending along a route of kind %d: %v, want %v", kind, err, want)
		}
		check("dropping a route", l.DropRoute(1, to, kind))
	}
	whole := Wire(Addr6(1))
	check("dropping the wire's route", l.DropRoute(1, whole, OnWire))
	if err := sendFrom(l, 1, Addr6(2)); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("sending without a route: %v", err)
	}
	check("adding it again", l.AddRoute(1, whole, OnWire))
	reached(Addr6(2), true)
	if err := l.AddAddr(1, Addr(2)); err == nil {
		t.Error("a namespace can have another's address")
	}
}

// hears reports whether a datagram from one namespace to an address comes to a
// socket on all addresses of another in time.
func hears(t *testing.T, l *Lab, from, at int, to netip.Addr, limit time.Duration) bool {
	t.Helper()
	var in *net.UDPConn
	if err := l.Do(at, func() (err error) {
		in, err = net.ListenUDP("udp", &net.UDPAddr{Port: echoPort})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := sendFrom(l, from, to); err != nil {
		t.Fatal(err)
	}
	in.SetReadDeadline(time.Now().Add(limit))
	_, err := in.Read(make([]byte, 1))
	return err == nil
}

// TestServerSaysOnlyWhatItWasAsked: whatever comes, an answer has the number
// and the question of what it answers; to what is no question there is none.
func TestServerSaysOnlyWhatItWasAsked(t *testing.T) {
	s := &NameServer{names: map[string][]netip.Addr{"a.example": {Addr(1), Addr6(1), Addr(2)}}}
	question := func(kind byte) []byte {
		return slices.Concat([]byte{0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, []byte("\x01A\x07exAmple\x00"), []byte{0, kind, 0, 1})
	}
	for kind, want := range map[byte][]netip.Addr{1: {Addr(1), Addr(2)}, 28: {Addr6(1)}, 15: nil} {
		q := question(kind)
		got := s.answer(q)
		if len(got) < len(q) || got[0] != 0xab || got[1] != 0xcd || got[2]&0x80 == 0 || string(got[12:len(q)]) != string(q[12:]) {
			t.Fatalf("the answer to %x is %x", q, got)
		}
		if int(got[7]) != len(want) {
			t.Errorf("%d records of type %d, want %d", got[7], kind, len(want))
		}
		for _, a := range want {
			if !strings.Contains(string(got), string(a.AsSlice())) {
				t.Errorf("the answer of type %d lacks %s", kind, a)
			}
		}
		if s.answer(got) != nil {
			t.Error("an answer is answered")
		}
		for n := range len(q) {
			if s.answer(q[:n]) != nil {
				t.Errorf("the first %d bytes of a question are answered", n)
			}
		}
	}
}
