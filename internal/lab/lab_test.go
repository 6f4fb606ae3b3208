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
	for _, c := range networkCases {
		if names[c.name] || c.seed == 0 || c.run == nil {
			t.Errorf("%q is not a test of its own, with a seed", c.name)
		}
		names[c.name] = true
		if *labFlag {
			t.Run(c.name, func(t *testing.T) { c.run(t, c.seed) })
		}
	}
}
