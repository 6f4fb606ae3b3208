package sim

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets the heap grow, which is small: most of what a run makes is
// garbage, and clearing it away at Go's own pace is a seventh of its CPU.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
