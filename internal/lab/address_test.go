//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"os"
	"time"
)

// rounds numbers the files of everybodyStores.
func (w *world) round() int { return len(w.acked()) }

// called is the member's name in the name server.
func (p *peer) called() string { return p.name + ".ring.example" }

// addressing says how the name of a member is answered, which addresses its
// machine has, and at which one it asks the name server.
type addressing func(id int) (has, answers []netip.Addr)

// named gives every member a name in place of its address, and every machine
// the name server that it returns, in the last namespace. Each also has its
// own addresses, and no others.
func (w *world) named(how addressing) *NameServer {
	w.Helper()
	last := w.most
	w.must(w.lab.AddAddr(last, Addr6(last)))
	s := newNameServer(w.T, w.lab, last)
	for i, p := range w.peers {
		has, answers := how(p.id)
		w.moves(p, has...)
		s.Name(p.called(), answers...)
		at := Addr(last)
		if has[0].Is6() {
			at = Addr6(last)
		}
		w.must(w.lab.UseNameServer(p.id, at))
		w.debian(p, "127.0.0.1 localhost\n")
		w.roster.Members[i].Addr = fmt.Sprintf("%s:%d", p.called(), peerPort)
	}
	w.publish(w.peers...)
	return s
}

// debian gives a machine a hosts file, and has it asked before the name server.
func (w *world) debian(p *peer, hosts string) {
	w.Helper()
	w.must(w.lab.WriteEtc(p.id, "hosts", hosts))
	if _, err := os.Stat("/etc/nsswitch.conf"); err == nil { // without one, that is what is done
		w.must(w.lab.WriteEtc(p.id, "nsswitch.conf", "hosts: files dns\n"))
	}
}

// moves gives a machine these addresses in place of those that it may have had.
func (w *world) moves(p *peer, to ...netip.Addr) {
	w.Helper()
	had := p.addrs
	if had == nil {
		had = []netip.Addr{Addr(p.id)}
	}
	for _, a := range had {
		w.must(w.lab.DropAddr(p.id, a))
	}
	for _, a := range to {
		w.must(w.lab.AddAddr(p.id, a))
	}
	p.addrs = to
}

// must ends the scenario if the lab cannot do what it is to do.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func onlyIPv4(id int) (has, answers []netip.Addr) {
	a := []netip.Addr{Addr(id)}
	return a, a
}

func onlyIPv6(id int) (has, answers []netip.Addr) {
	a := []netip.Addr{Addr6(id)}
	return a, a
}

func both(id int) (has, answers []netip.Addr) {
	a := []netip.Addr{Addr6(id), Addr(id)}
	return a, a
}

// withBoth has the first two members speak one family and all others both:
// each pair has one in common.
func withBoth(one addressing) addressing {
	return func(id int) (has, answers []netip.Addr) {
		if id <= 2 {
			return one(id)
		}
		return both(id)
	}
}

// lastDead has each name lead to its address, and then to one that is nobody's.
func lastDead(id int) (has, answers []netip.Addr) {
	return []netip.Addr{Addr(id)}, []netip.Addr{Addr(id), Alias(id, 1)}
}

// brokenIPv6 has each machine speak IPv6, which goes before IPv4, but the
// address of it that the names lead to is nobody's.
func brokenIPv6(id int) (has, answers []netip.Addr) {
	return []netip.Addr{Addr(id), Addr6(id)}, []netip.Addr{Alias6(id, 1), Addr(id)}
}

// addressed forms a ring of members that have names, sees that all hear each
// other, and that one that dies and returns is one of them again.
func addressed(how addressing) func(w *world) {
	return func(w *world) {
		w.named(how)
		w.begin(w.peers...)
		w.heard()
		w.everybodyStores()
		w.peers[1].kill()
		w.within("back", w.restart(w.peers[1]), rejoined)
		w.heard()
		w.everybodyStores()
	}
}

// literalIPv6: the roster has addresses of IPv6, and no names.
func literalIPv6(w *world) {
	for i, p := range w.peers {
		w.moves(p, Addr6(p.id))
		w.roster.Members[i].Addr = netip.AddrPortFrom(Addr6(p.id), peerPort).String()
	}
	w.publish(w.peers...)
	w.begin(w.peers...)
	w.heard()
	w.everybodyStores()
}

// heard waits until every peer that runs is active and says so of every other,
// with nothing to be said against it, and until that stays so for as long as a
// silence takes to be noticed.
func (w *world) heard() {
	w.Helper()
	began := time.Now()
	wrong := func() string {
		for _, p := range w.live() {
			s, ok := p.status()
			if !ok || s.State != "active" {
				return fmt.Sprintf("%s is %q", p.name, s.State)
			}
			for _, m := range s.Members {
				if i := w.index(m.Name); w.peers[i].running() && (m.State != "active" || m.Why != "" || m.Unreachable || m.Suspect) {
					return fmt.Sprintf("%s says that %s is %s, why %q, unreachable %v, suspect %v", p.name, m.Name, m.State, m.Why, m.Unreachable, m.Suspect)
				}
			}
		}
		return ""
	}
	calm := time.Now()
	for time.Since(calm) < known {
		if what := wrong(); what != "" {
			if time.Since(began) > 4*known {
				w.Fatalf("after %v %s", 4*known, what)
			}
			calm = time.Now()
		}
		time.Sleep(lookEvery)
	}
}

// index is that of the member of that name in peers.
func (w *world) index(name string) int {
	for i, p := range w.peers {
		if p.name == name {
			return i
		}
	}
	w.Fatalf("nobody is called %q", name)
	return 0
}

// everybodyStores has every peer that runs put a file, on as many disks as
// there can be, and get each that is acked. No operation may fail.
func (w *world) everybodyStores() {
	w.Helper()
	for _, p := range w.live() {
		name := fmt.Sprintf("by-%s-%d", p.name, w.round())
		if acked, err := p.put(name, 10<<10, 5*time.Second); err != nil || !acked {
			w.Errorf("put of %s: acked %v, %v", name, acked, err)
		}
	}
	for _, p := range w.live() {
		for _, name := range w.acked() {
			if err := p.get(name, 5*time.Second); err != nil {
				w.Errorf("get of %s at %s: %v", name, p.name, err)
			}
		}
	}
}
