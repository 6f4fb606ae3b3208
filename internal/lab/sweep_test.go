//go:build linux

package lab

import (
	"fmt"
	"os"
	"testing"
)

// TestNamesSayWhoseTheyAre: a name gives its owner back, and no name that is
// not exactly ours gives one: a sweep removes nobody else's namespaces.
func TestNamesSayWhoseTheyAre(t *testing.T) {
	want := owner{os.Getpid(), startOf(os.Getpid())}
	name, err := want.name(3, 200)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := ownerOf(name); !ok || got != want {
		t.Errorf("the owner of %s is %v (%v), want %v", name, got, ok, want)
	}
	for _, other := range []string{
		"", "peer1", "securepeer", prefix, prefix + "1-2-3", prefix + "1-2-3-4-5", prefix + "1-2-3-x",
		prefix + "1-2--4", prefix + "-1-2-3-4", "x" + name, name + " ", prefix + "1-2-3-99999999999999999999",
	} {
		if o, ok := ownerOf(other); ok {
			t.Errorf("%q belongs to %v", other, o)
		}
	}
	if name, err := (owner{1, 0}).name(1, 1); err == nil {
		t.Errorf("%s is the name of a process that does not run", name)
	}
}

// TestStartTellsProcessesApart: one that runs has a start, one that has ended
// has none, even while it waits for its parent, and a name full of
// parentheses does not move the fields.
func TestStartTellsProcessesApart(t *testing.T) {
	if startOf(os.Getpid()) == 0 || startOf(1) == 0 || startOf(1<<30) != 0 {
		t.Errorf("starts: own %d, of process 1 %d, of none %d", startOf(os.Getpid()), startOf(1), startOf(1<<30))
	}
	stat := func(name, state string) []byte {
		return fmt.Appendf(nil, "42 (%s) %s 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 777 23 24\n", name, state)
	}
	for _, c := range []struct {
		stat []byte
		want uint64
	}{
		{stat("sh", "S"), 777}, {stat("a) Z 1 (b", "R"), 777}, {stat("sh", "Z"), 0}, {stat("sh", "X"), 0},
		{nil, 0}, {[]byte("42 (sh"), 0}, {[]byte("42 (sh) S 4 5"), 0},
	} {
		if got, ok := parseStart(c.stat); got != c.want || ok != (c.want != 0) {
			t.Errorf("%q began at %d (%v), want %d", c.stat, got, ok, c.want)
		}
	}
}
