//go:build race

package node

// eachRate returns the rates that a test of slow lines goes through: one under
// the race detector, which makes sealed bytes some twenty times as slow.
func eachRate(rates ...int64) []int64 { return rates[1:2] }

// eachFailure reports whether a test goes through more than the first of the ways
// in which something can fail: it does, they cost little.
func eachFailure() bool { return true }
