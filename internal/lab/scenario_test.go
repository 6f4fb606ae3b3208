//go:build linux

package lab

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"securepeer/node"
)

// T is the interval, in which bounds are given.
const T = interval

// scenario is something that happens to a ring of real processes. Besides what
// run asserts, end asserts what must be so after each of them.
type scenario struct {
	name  string
	seed  uint64
	peers int
	spare int           // namespaces without a peer
	heal  time.Duration // from the end of run until there is one ring
	run   func(w *world)
}

// play runs a scenario in a new world, and prints what it measured in one line.
func (s scenario) play(t *testing.T, program string) {
	start := time.Now()
	w := newWorld(t, program, s.seed, s.peers, s.spare)
	s.run(w)
	w.end(s.heal)
	t.Logf("%s: seed=%d T=%v %s took=%v", s.name, s.seed, T, strings.Join(w.figures, " "), time.Since(start).Round(100*time.Millisecond))
}

// play is a test with real processes, in one world of its own or several.
type play struct {
	name string
	seed uint64
	run  func(t *testing.T, program string, seed uint64)
}

// playable is every scenario, and what makes its world by itself.
func playable() []play {
	all := []play{
		{"README's machines", 201, asREADMESays},
	}
	for _, s := range scenarios {
		all = append(all, play{s.name, s.seed, func(t *testing.T, program string, _ uint64) { s.play(t, program) }})
	}
	return all
}

var scenarios = []scenario{
	{"quiet wire", 124, 7, 0, 5 * T, quietWire},
	{"secret wire", 125, 7, 0, 5 * T, secretWire},
	{"kill one", 101, 7, 0, 5 * T, killOne},
	{"kill two adjacent", 102, 7, 0, 5 * T, killTwo},
	{"kill three of seven", 103, 7, 0, 5 * T, killThree},
	{"kill down to one", 104, 3, 0, 5 * T, killDownToOne},
	{"kill all", 105, 7, 0, 5 * T, killAll},
	{"stop one", 106, 5, 0, 5 * T, stopOne},
	{"gone", 122, 5, 0, 5 * T, gone},
	{"forget", 123, 5, 0, 5 * T, forget},
	{"split and heal", 107, 7, 0, 15 * T, splitTheRing},
	{"one-way cuts", 108, 5, 0, 5 * T, oneWayCuts},
	{"majorities ring", 109, 5, 0, 15 * T, majoritiesRing},
	{"loss 10%", 110, 5, 0, 15 * T, loss(.1)},
	{"loss 20%", 111, 5, 0, 15 * T, loss(.2)},
	{"loss 30%", 112, 5, 0, 15 * T, loss(.3)},
	{"delay 200 ms", 113, 5, 0, 15 * T, delay},
	{"duplicates", 114, 5, 0, 5 * T, duplicates},
	{"pause", 115, 5, 0, 5 * T, pause},
	{"restart storm", 116, 5, 0, 15 * T, restartStorm},
	{"slow link", 117, 5, 0, 5 * T, slowLink},
	{"idle strangers", 118, 5, 1, 5 * T, idleStrangers},
	{"join storm", 119, 16, 0, 5 * T, joinStorm},
	{"roster skew", 120, 5, 1, 5 * T, rosterSkew},
	{"kill during join", 121, 7, 0, 5 * T, killDuringJoin},
	{"name server dies", 126, 5, 1, 5 * T, nameServerDies},
	{"no name server", 127, 3, 1, 5 * T, startBeforeNames},
	{"address comes late", 151, 3, 1, 5 * T, addressComesLate},
	{"own errors", 152, 5, 0, 5 * T, ownErrors},
	{"address changes", 128, 5, 1, 5 * T, addressChanges},
	{"IPv4 only", 129, 4, 1, 5 * T, addressed(onlyIPv4)},
	{"IPv6 only", 130, 4, 1, 5 * T, addressed(onlyIPv6)},
	{"IPv6 literals", 131, 4, 1, 5 * T, literalIPv6},
	{"IPv6 and both", 133, 4, 1, 5 * T, addressed(withBoth(onlyIPv6))},
	{"first address dead", 134, 4, 1, 5 * T, addressed(firstDead)},
	{"IPv4 and both", 132, 4, 1, 5 * T, addressed(withBoth(onlyIPv4))},
	{"last address dead", 135, 4, 1, 5 * T, addressed(lastDead)},
	{"IPv6 broken", 136, 4, 1, 5 * T, addressed(brokenIPv6)},
	{"slow holder", 137, 5, 0, 15 * T, slowHolder},
	{"slow target", 138, 5, 0, 15 * T, slowTarget},
	{"slow of three", 139, 3, 0, 15 * T, slowOfThree},
	{"slow lines", 150, 4, 0, 15 * T, slowLines},
	{"harm: looks", 140, 5, 0, 15 * T, harmed("looks")},
	{"harm: phantoms", 141, 5, 0, 15 * T, harmed("phantoms")},
	{"harm: small puts", 142, 5, 0, 15 * T, harmed("small puts")},
	{"harm: bad uploads", 143, 5, 0, 15 * T, harmed("bad uploads")},
	{"harm: bad messages", 144, 5, 0, 15 * T, harmed("bad messages")},
	{"harm: ping requests", 145, 5, 0, 15 * T, harmed("ping requests")},
	{"harm: disks held", 146, 5, 0, 15 * T, disksHeld},
	{"harm: doors held", 147, 5, 0, 15 * T, doorsHeld},
	{"harm: removed runs", 148, 5, 0, 15 * T, removedRuns},
	{"all full", 149, 3, 0, 15 * T, allFull},
}

// Bounds, in T. A death is known to its observers in three intervals (ping,
// burst, helpers, votes) and to all in five; who comes back is in everybody's
// ring in ten, a start of the process included.
const (
	detected = 3 * T
	known    = 5 * T
	rejoined = 10 * T
)

// restart starts peers that ended, and returns how long it took until all that
// run were one ring, from before the processes were started.
func (w *world) restart(these ...*peer) time.Duration {
	w.Helper()
	at := time.Now()
	for _, p := range these {
		p.start()
	}
	for _, p := range these {
		p.listen()
	}
	w.whole(2*rejoined, w.live()...)
	return time.Since(at)
}

// all reports whether each of by says that reason of on.
func all(by []*peer, on *peer, why node.Why) bool {
	return !slices.ContainsFunc(by, func(p *peer) bool { return p.member(on).Why != string(why) })
}

// because waits until each of by says that reason of each of on.
func (w *world) because(why node.Why, by, on []*peer) {
	w.Helper()
	for _, m := range on {
		w.await(known, fmt.Sprintf("%v say that %s is %s; one says %q", names(by), m.name, why, by[0].member(m).Why),
			func() bool { return all(by, m, why) })
	}
}
