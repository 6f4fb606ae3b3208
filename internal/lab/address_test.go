//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"securepeer/node"
)

// round numbers the files that peers store one after the other.
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

// firstDead has each name lead to an address that is nobody's, and then to the
// right one; lastDead the other way round.
func firstDead(id int) (has, answers []netip.Addr) {
	return []netip.Addr{Addr(id)}, []netip.Addr{Alias(id, 1), Addr(id)}
}

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

// nameServerDies: the name server fails, is silent and is gone, in turn, and
// through each of these one peer stops and one dies, and both return. Links and
// addresses are as before, so nothing else may happen, and no operation fails.
// In the end the server is there again and all die and return.
func nameServerDies(w *world) {
	s := w.named(both)
	w.begin(w.peers...)
	w.heard()
	w.everybodyStores()
	for i, mood := range []Mood{Fails, Silent, Closed} {
		w.must(s.Be(mood))
		before, at := w.incarnations(w.peers[3], w.peers[4]), time.Now()
		w.stop(w.peers[i])
		w.within(fmt.Sprint("stopped-back", i), w.restart(w.peers[i]), rejoined)
		w.peers[(i+1)%3].kill()
		w.within(fmt.Sprint("killed-back", i), w.restart(w.peers[(i+1)%3]), rejoined)
		w.heard()
		w.everybodyStores()
		w.unjudged(before)
		w.undoubted(at, w.peers[3], w.peers[4])
	}
	w.must(s.Be(Answers))
	for _, p := range w.peers {
		p.kill()
	}
	w.within("all-back", w.restart(w.peers...), rejoined)
	w.everybodyStores()
}

// startBeforeNames: three machines start while there is no name server, as after
// a power cut. They wait, and are a ring when it comes.
func startBeforeNames(w *world) {
	s := w.named(onlyIPv4)
	w.must(s.Be(Closed))
	for _, p := range w.peers {
		p.start()
	}
	time.Sleep(10 * T)
	for _, p := range w.peers {
		if !p.running() {
			w.Fatalf("%s has ended: %v", p.name, p.lastWords())
		}
	}
	at := time.Now()
	w.must(s.Be(Answers))
	w.whole(2*nameAgain, w.peers...)
	w.within("in-ring", time.Since(at), nameAgain)
	w.heard()
	w.everybodyStores()
}

// nameAgain is how soon the answer of a name server that is there again, or
// has another one, is in use.
const nameAgain = 5 * time.Second

// leftConn is how much longer a put may take that began over a connection that
// was open to an address that is nobody's any more.
const leftConn = 3 * time.Second

// addressChanges: while a machine's peer runs, it gets another address in place
// of its own, and the name server says so. The others find it there; then it
// gets one of the other family, which the name server says only later, and its
// first one again.
func addressChanges(w *world) {
	s := w.named(func(id int) (has, answers []netip.Addr) {
		has, answers = both(id)
		if id == 2 {
			return has[1:], answers[1:]
		}
		return has, answers
	})
	w.begin(w.peers...)
	w.heard()
	w.everybodyStores()
	moved := w.peers[1]
	for i, to := range []netip.Addr{Alias(2, 1), Addr6(2), Addr(2)} {
		at := time.Now()
		w.moves(moved, to)
		if i == 1 {
			time.Sleep(2 * T)
		}
		s.Name(moved.called(), to)
		var running sync.WaitGroup
		for _, p := range w.peers {
			running.Go(func() { // ends with the put
				name := fmt.Sprintf("moved-%d-%s", i, p.name)
				if acked, err := p.put(name, 10<<10, time.Minute); err != nil || !acked {
					w.Errorf("put of %s: acked %v, %v", name, acked, err)
				}
			})
		}
		w.heard()
		w.within(fmt.Sprint("heard", i), time.Since(at)-known, nameAgain)
		running.Wait()
		w.within(fmt.Sprint("put", i), time.Since(at), nameAgain+leftConn)
		w.everybodyStores()
	}
	for _, p := range w.without(moved) {
		if m := p.member(moved); m.Why == string(node.WhyOneWay) {
			w.Errorf("%s says that %s, which has moved, is one-way", p.name, moved.name)
		}
	}
}

// addressComesLate: a machine starts its peer before it has the address that
// the roster names, as where DHCP is slow. It waits, and is in the ring then.
func addressComesLate(w *world) {
	late := w.peers[2]
	w.must(w.lab.DropAddr(late.id, Addr(late.id)))
	for _, p := range w.peers {
		p.start()
	}
	time.Sleep(10 * T)
	if !late.running() {
		w.Fatalf("%s has ended: %v", late.name, late.lastWords())
	}
	at := time.Now()
	w.must(w.lab.AddAddr(late.id, Addr(late.id)))
	w.whole(2*nameAgain, w.peers...)
	w.within("in-ring", time.Since(at), nameAgain)
	w.heard()
	w.everybodyStores()
}

// ownErrors: the kernel of one machine refuses to send to another, by each
// error that it has for that, and then to all. That machine says so, as its own
// trouble; nobody is judged for it; and its user gets every file.
func ownErrors(w *world) {
	w.begin(w.peers...)
	w.store(5, 20<<10, w.peers...)
	here, there := w.peers[0], w.peers[1]
	before, at := w.incarnations(w.peers...), time.Now()
	for _, kind := range []RouteKind{Prohibited, Unreachable, NoRoute} {
		to := netip.PrefixFrom(Addr(there.id), 32)
		w.must(w.lab.AddRoute(here.id, to, kind))
		w.figure("said", w.await(2*known, "the one that can't send says so", func() bool {
			m := here.member(there)
			return m.Why == string(node.WhyUnsent) && m.Problem != ""
		}))
		w.fetch(5*time.Second, here)
		w.must(w.lab.DropRoute(here.id, to, kind))
		w.heard()
	}
	w.unjudged(before)
	w.undoubted(at, w.peers...)
	others := w.without(here)
	before = w.incarnations(others...)
	w.must(w.lab.DropRoute(here.id, Wire(Addr(here.id)), OnWire))
	w.figure("said-of-all", w.await(2*known, "the one without a route says so", func() bool {
		s, _ := here.status()
		for _, p := range others {
			if m := here.member(p); m.Why != string(node.WhyUnsent) || m.Problem == "" {
				return false
			}
		}
		return len(s.Warnings) > 0
	}))
	w.whole(2*known, others...)
	w.must(w.lab.AddRoute(here.id, Wire(Addr(here.id)), OnWire))
	w.within("back", w.whole(2*rejoined, w.peers...), rejoined)
	w.heard()
	w.unjudged(before)
}
