//go:build linux

package lab

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
)

// labFlag runs what needs root and minutes.
var labFlag = flag.Bool("lab", false, "run the tests with network namespaces and real processes: needs root, takes minutes")

// programFlag has the scenarios run a program that was built before, as of an
// earlier commit.
var programFlag = flag.String("program", "", "run this `FILE` in the scenarios, not what the sources say")

// shareFlag takes a part of the scenarios, so that a run that is made each day
// sees all of them in n days.
var shareFlag = flag.String("share", "0/1", "run the scenarios number K, K+N, K+2N ... only: `K/N`")

// parseShare reads K/N: N from 1, K from 0 to N-1.
func parseShare(text string) (k, n int, err error) {
	first, second, _ := strings.Cut(text, "/")
	k, err = strconv.Atoi(first)
	if err == nil {
		n, err = strconv.Atoi(second)
	}
	if err != nil || n < 1 || k < 0 || k >= n {
		return 0, 0, fmt.Errorf("-share %q is not K/N with 0 <= K < N", text)
	}
	return k, n, nil
}

// A process of this test may have a role in it.
const (
	roleVariable = "SECUREPEER_LAB_ROLE"
	roleHold     = "hold"   // make a lab and wait to be killed
	roleWait     = "wait"   // wait until standard input ends
	roleLookUp   = "lookup" // resolve the arguments
	rolePuppet   = "puppet" // be a member with the key of a folder, and do that harm
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case roleHold:
		err = holdLab()
	case roleWait:
		_, err = io.Copy(io.Discard, os.Stdin)
	case roleLookUp:
		err = lookUp(os.Args[1:])
	case rolePuppet:
		err = runPuppet(os.Args[1], os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// testCase is a test with a seed: all that is random in it comes from there.
type testCase struct {
	name string
	seed uint64
	run  func(t *testing.T, seed uint64)
}

// minScenarios is how many there are at the least.
const minScenarios = 14

// TestLab runs the tests of the lab's own network and then the scenarios, one
// world at a time:
//
//	go test ./internal/lab -lab -v
//
// With -share=K/N only a part of the scenarios, and what it leaves out is said.
// Without -lab it only sees that all of them are there.
func TestLab(t *testing.T) {
	if *labFlag && os.Geteuid() != 0 {
		t.Fatal("-lab makes network namespaces: run it as root")
	}
	k, n, err := parseShare(*shareFlag)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	add := func(name string, seed uint64, there bool) {
		if names[name] || seed == 0 || !there {
			t.Errorf("%q is not a test of its own, with a seed", name)
		}
		names[name] = true
	}
	for _, c := range networkCases {
		add(c.name, c.seed, c.run != nil)
		if *labFlag {
			t.Run(c.name, func(t *testing.T) { c.run(t, c.seed) })
		}
	}
	if len(scenarios) < minScenarios {
		t.Errorf("%d scenarios, want %d", len(scenarios), minScenarios)
	}
	all := playable()
	program := *programFlag
	if *labFlag && program == "" {
		program = build(t)
	}
	var left []string
	for i, s := range all {
		add(s.name, s.seed, s.run != nil)
		switch {
		case i%n != k:
			left = append(left, s.name)
		case *labFlag:
			t.Run(s.name, func(t *testing.T) { s.run(t, program, s.seed) })
		}
	}
	if len(left) > 0 {
		t.Logf("share %d of %d leaves out: %s", k, n, strings.Join(left, ", "))
	}
}

// TestSharesAreAllTogether: each scenario is in one share of any number of
// them, and what is no share is refused.
func TestSharesAreAllTogether(t *testing.T) {
	for n := 1; n <= 2*len(playable()); n++ {
		seen := 0
		for i := range n {
			k, of, err := parseShare(fmt.Sprintf("%d/%d", i, n))
			if err != nil || k != i || of != n {
				t.Fatalf("%d/%d is %d of %d (%v)", i, n, k, of, err)
			}
			for j := range playable() {
				if j%of == k {
					seen++
				}
			}
		}
		if seen != len(playable()) {
			t.Errorf("%d shares have %d scenarios, want %d", n, seen, len(playable()))
		}
	}
	for _, wrong := range []string{"", "1", "/", "1/1", "0/0", "-1/2", "2/2", "0/2/3", "a/b", "0/-1"} {
		if k, n, err := parseShare(wrong); err == nil {
			t.Errorf("%q is %d of %d", wrong, k, n)
		}
	}
}
