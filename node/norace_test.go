//go:build !race

package node

// eachRate returns the rates that a test of slow lines goes through: all.
func eachRate(rates ...int64) []int64 { return rates }
