//go:build !race

package node

import "flag"

// linesFlag has the tests of slow lines, and of name servers that die, go through
// all of their cases, as .ci/run does.
var linesFlag = flag.Bool("lines", false, "go through all rates of lines and all failures of name servers")

// eachRate returns the rates that a test of slow lines goes through.
func eachRate(rates ...int64) []int64 {
	if *linesFlag {
		return rates
	}
	return rates[1:2]
}

// eachFailure reports whether a test goes through more than the first of the ways
// in which something can fail.
func eachFailure() bool { return *linesFlag }
