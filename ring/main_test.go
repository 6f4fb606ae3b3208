package ring

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets the heap grow, which is small: most of what the tests make is
// garbage, and clearing it away at Go's own pace was a fifth of their CPU.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
