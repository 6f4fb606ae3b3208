//go:build race

package sim

// slowed is how much longer everything may take under the race detector.
const slowed = 12
