//go:build linux

package lab

import (
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
)

// labFlag runs what needs root and minutes.
var labFlag = flag.Bool("lab", false, "run the tests with network namespaces and real processes: needs root, takes minutes")

// A process of this test may have a role in it.
const (
	roleVariable = "SECUREPEER_LAB_ROLE"
	roleHold     = "hold" // make a lab and wait to be killed
	roleWait     = "wait" // wait until standard input ends
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
// Without the flag it only sees that all of them are there.
func TestLab(t *testing.T) {
	if *labFlag && os.Geteuid() != 0 {
		t.Fatal("-lab makes network namespaces: run it as root")
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
	var program string
	if *labFlag {
		program = build(t)
	}
	for _, s := range scenarios {
		add(s.name, s.seed, s.run != nil && s.peers > 0 && s.heal > 0)
		if *labFlag {
			t.Run(s.name, func(t *testing.T) { s.play(t, program) })
		}
	}
}
