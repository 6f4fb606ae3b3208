//go:build linux

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
)

// Implementation constants.
const (
	// maxNamespaces is more than one switch can serve in time; a hundred take
	// 0.2 s to make.
	maxNamespaces = 1000
	// maxAliases is how many more addresses a namespace can have: the second
	// byte of an IPv4 address counts them.
	maxAliases = 255 - network
	// network is the second byte of Addr.
	network = 7
)

// labs numbers the labs of this process.
var labs atomic.Uint64

// Lab is a set of namespaces with the ids 1 to n, and the switch between them.
// Its methods may be called at any time, but rules are changed by one
// goroutine at a time.
type Lab struct {
	ports   []*port  // by id; none has 0
	links   [][]link // by sender and receiver
	sniffer atomic.Pointer[Sniffer]
	running sync.WaitGroup // two goroutines a port
}

// Sniffer sees a frame, Ethernet header first, before the rules decide what
// becomes of it. The frame is valid until the call returns. Calls for frames
// of one sender are in order; those of several senders are concurrent.
type Sniffer func(from, to int, frame []byte)

// New makes n namespaces and starts the switch; every link is perfect. With
// the same seed and rules the k-th frame of a link has the same fate. First it
// removes the namespaces of labs whose process has ended without Close, and
// kills what still runs in them. Namespaces are in /run/netns, so that
// "ip netns exec" reaches them too. The caller closes the Lab.
func New(n int, seed uint64) (*Lab, error) {
	if n < 1 || n > maxNamespaces {
		return nil, fmt.Errorf("making a lab of %d namespaces: there can be 1 to %d", n, maxNamespaces)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("making a lab: network namespaces need root: run it as root")
	}
	if err := shareFolder(); err != nil {
		return nil, fmt.Errorf("preparing %s: %w", folder, err)
	}
	if err := sweep(); err != nil {
		return nil, fmt.Errorf("removing what ended labs have left: %w", err)
	}
	l := &Lab{ports: make([]*port, 1, n+1), links: makeLinks(n, seed)}
	series := labs.Add(1)
	for id := 1; id <= n; id++ {
		p, err := newPort(id, series)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("making namespace %d: %w", id, err), l.Close())
		}
		l.ports = append(l.ports, p)
		l.running.Add(2)
		go l.read(p)  // ends when Close closes the tap
		go l.write(p) // ends when Close closes p.done
	}
	return l, nil
}

// Close kills what still runs in the namespaces and removes all that New has
// made. The Lab is of no use afterwards.
func (l *Lab) Close() error {
	var errs []error
	for _, p := range l.ports[1:] {
		errs = append(errs, killInside(p.path))
	}
	for _, p := range l.ports[1:] {
		close(p.done)
		errs = append(errs, p.tap.Close())
	}
	l.running.Wait()
	for _, p := range l.ports[1:] {
		errs = append(errs, p.ns.Close(), remove(p.path))
	}
	return errors.Join(errs...)
}

// Addr is the IPv4 address of a namespace, which it has from the beginning.
func Addr(id int) netip.Addr { return Alias(id, 0) }

// Alias is another IPv4 address of a namespace, number k from 1 to 248, once
// [Lab.AddAddr] has given it that. Before, packets to it are lost.
func Alias(id, k int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(network + k), byte(id >> 8), byte(id)})
}

// Addr6 is the IPv6 address of a namespace, once AddAddr has given it that.
func Addr6(id int) netip.Addr { return Alias6(id, 0) }

// Alias6 is Alias for IPv6.
func Alias6(id, k int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 11: byte(network + k), 14: byte(id >> 8), 15: byte(id)})
}

// AddAliases gives a namespace n more addresses, and returns them: who talks
// from many looks like many.
func (l *Lab) AddAliases(id, n int) ([]netip.Addr, error) {
	if n > maxAliases {
		return nil, fmt.Errorf("adding %d addresses to namespace %d: there can be %d", n, id, maxAliases)
	}
	var addrs []netip.Addr
	for k := 1; k <= n; k++ {
		if err := l.AddAddr(id, Alias(id, k)); err != nil {
			return nil, err
		}
		addrs = append(addrs, Alias(id, k))
	}
	return addrs, nil
}

// Do runs f on a thread that is in a namespace: sockets that f opens belong
// there for good. Goroutines that f starts run elsewhere, and f must not end
// its goroutine, as testing.T.Fatal does.
func (l *Lab) Do(id int, f func() error) error { return inside(l.port(id).ns, f) }

// Start starts cmd in a namespace, where it sees the files of [Lab.WriteEtc].
func (l *Lab) Start(id int, cmd *exec.Cmd) error {
	etc := l.port(id).etc()
	return l.Do(id, func() error {
		if err := mountEtc(etc); err != nil {
			return err
		}
		return cmd.Start()
	})
}

// Sniff has every frame shown to s from now on; nil ends that.
func (l *Lab) Sniff(s Sniffer) {
	if s == nil {
		l.sniffer.Store(nil)
		return
	}
	l.sniffer.Store(&s)
}

// Set changes what happens to frames from one namespace to another; 0 stands
// for all.
func (l *Lab) Set(from, to int, r Rule) {
	l.change(func(i, j int, old Rule) Rule {
		if (from == 0 || from == i) && (to == 0 || to == j) {
			return r
		}
		return old
	}, from, to)
}

// Both changes both directions between two namespaces.
func (l *Lab) Both(a, b int, r Rule) {
	l.Set(a, b, r)
	l.Set(b, a, r)
}

// Split cuts what goes between the groups, both ways, and leaves all other
// rules as they are. Those in no group are one more group.
func (l *Lab) Split(groups ...[]int) {
	side := make(map[int]int)
	for g, ids := range groups {
		for _, id := range ids {
			l.port(id)
			side[id] = g + 1
		}
	}
	l.change(func(i, j int, r Rule) Rule {
		r.Cut = r.Cut || side[i] != side[j]
		return r
	})
}

// Heal ends all cuts and leaves all other rules as they are.
func (l *Lab) Heal() {
	l.change(func(_, _ int, r Rule) Rule {
		r.Cut = false
		return r
	})
}

// change gives every link the rule that f makes of its present one. The ids
// are those that the caller was given, 0 or a namespace's.
func (l *Lab) change(f func(from, to int, old Rule) Rule, ids ...int) {
	for _, id := range ids {
		if id != 0 {
			l.port(id)
		}
	}
	for i := 1; i < len(l.ports); i++ {
		for j := 1; j < len(l.ports); j++ {
			if i != j {
				r := f(i, j, *l.links[i][j].rule.Load())
				l.links[i][j].rule.Store(&r)
			}
		}
	}
}

// Stats returns what has become of the frames from one namespace to another.
func (l *Lab) Stats(from, to int) Stats {
	l.port(from)
	l.port(to)
	return l.links[from][to].stats()
}

// port returns the namespace with that id. A test that names another is wrong.
func (l *Lab) port(id int) *port {
	if id < 1 || id >= len(l.ports) {
		panic(fmt.Sprintf("lab: no namespace %d: this lab has 1 to %d", id, len(l.ports)-1))
	}
	return l.ports[id]
}
