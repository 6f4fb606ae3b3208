package ring

import (
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"securepeer/wire"
)

// replay performs a path, as a failure of the model prints it, and holds every
// world on it, and the way to quiet from it, to what must hold.
func replay(t *testing.T, peers int, r Roster, path string) {
	t.Helper()
	s := newSearch(scope{peers: peers, roster: r})
	g := newGlobe(peers, r)
	s.steps = []step{{}}
	p := spot{g, 0}
	for words := range strings.SplitSeq(path, ", ") {
		q, ok := s.follow(p, words, map[uint64]bool{})
		if !ok {
			t.Fatal(strings.Join(s.failed, "\n"))
		}
		p = q
	}
}

// TestModelFindings are the paths on which the model has found faults.
func TestModelFindings(t *testing.T) {
	for _, f := range []struct {
		name, path string
		peers      int
		roster     Roster
	}{
		{"a dead peer's vote buries who is left", "start 0, start 1, start 2, wait 12, put 0, wait 6, cut 0 1, wait 12, crash 0, crash 2, wait 12", 3, two},
	} {
		t.Run(f.name, func(t *testing.T) { replay(t, f.peers, f.roster, f.path) })
	}
}

// TestChordCounterexample is the shortest one of the published Chord: a ring
// of one that two join, one of which crashes and is back at once, and then the
// first crashes too. There the two that are left are rings of one for ever.
// Here it is tried at all moments.
func TestChordCounterexample(t *testing.T) {
	moments := []string{"", "arrive, ", "tick, ", "tick, tick, ", "wait 1, "}
	paths := 0
	for _, joined := range moments {
		for _, crashed := range moments {
			for _, back := range moments {
				replay(t, 3, two, "start 0, wait 4, start 2, wait 4, start 1, "+joined+
					"crash 2, "+crashed+"start 2, "+back+"crash 0, wait 1")
				paths++
			}
		}
	}
	t.Logf("%d paths", paths)
}

// TestClonesAreIndependent: what happens to a clone happens to it alone, and
// it begins as the same.
func TestClonesAreIndependent(t *testing.T) {
	for _, begin := range [][]string{three, append(three, "put 1"), append(three, "cut 0 1", "wait 3", "get 2"), {"start 0", "tick", "tick"}} {
		g := newGlobe(3, two)
		for _, words := range begin {
			g.perform(words)
		}
		sum := g.hash()
		f := g.fork()
		for i, h := range f.hosts {
			f.hosts[i] = h.clone(f)
		}
		if got := f.hash(); got != sum {
			t.Errorf("after %v the hash of a clone is %x, want %x", begin, got, sum)
		}
		for _, words := range []string{"arrive", "wait 2", "put 0", "crash 0", "wait 12", "start 0", "wait 3"} {
			f.perform(words)
		}
		for _, h := range g.hosts {
			h.hashed = hashed{}
		}
		if got := g.hash(); got != sum {
			t.Errorf("after %v the hash is %x when a clone has lived on, want %x", begin, got, sum)
		}
	}
}

// TestRulesNameFields: a rule for a field that is not there hides nothing, and
// means nothing.
func TestRulesNameFields(t *testing.T) {
	for _, t := range []reflect.Type{reflect.TypeFor[Ring](), reflect.TypeFor[host](), reflect.TypeFor[parcel](),
		reflect.TypeFor[datagram](), reflect.TypeFor[put](), reflect.TypeFor[probe]()} {
		shapeOf(t)
	}
	for where := range rules {
		if !fieldsMet[where] {
			t.Errorf("there is no field %s: delete its rule, or name it anew", where)
		}
	}
	for where := range shared {
		if !fieldsMet[where] {
			t.Errorf("there is no field %s: delete its rule, or name it anew", where)
		}
	}
}

// TestUnknownKindsAreRefused: a field that can't be cloned must not be.
func TestUnknownKindsAreRefused(t *testing.T) {
	for _, refused := range []func(){
		func() { clone(&struct{ c chan int }{}) },
		func() { clone(&struct{ p unsafe.Pointer }{}) },
		func() { clone(&struct{ f func() }{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			refused()
		}()
	}
	type both struct{ a, b *wire.ID }
	x := both{a: new(wire.ID)}
	x.b = x.a
	if y := clone(&x); y.a == x.a || y.a != y.b {
		t.Error("a clone of two pointers to one thing is not that")
	}
}
