package keys

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestDurationsHaveDays(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0d": 0, "7d": 168 * time.Hour, "3d12h": 84 * time.Hour, "1d0h0m1ms": 24*time.Hour + time.Millisecond,
		"0d5m": 5 * time.Minute, "500ms": time.Millisecond * 500, "1h30m": 90 * time.Minute, "-5m": -5 * time.Minute,
		"106751d23h47m16s854ms775us807ns": math.MaxInt64,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "d", "1", "1x", "-1d", "+1d", "1.5d", "1d-5m", "1d+5m", "1d5", "1dd", "1d2d", "5m1d", " 1d", "1 d",
		"106751d23h47m16s854ms775us808ns", "106752d", "213504d", "4294967296d", "99999999999999999999d",
	} {
		if got, err := ParseDuration(text); err == nil || !strings.Contains(err.Error(), "3d12h") {
			t.Errorf("ParseDuration(%q) = %v, %v, want it refused with an example", text, got, err)
		}
	}
}

// A roster may say days, and is written, and so compared, in hours.
func TestRosterReadsDays(t *testing.T) {
	days, err := ParseRoster([]byte("ring attic grace=3d12h\n"))
	if err != nil {
		t.Fatal(err)
	}
	hours, err := ParseRoster([]byte("ring attic grace=84h\n"))
	if err != nil {
		t.Fatal(err)
	}
	if days.Digest() != hours.Digest() || !strings.Contains(string(days.Append(nil)), "grace=84h ") {
		t.Errorf("3d12h is written as %q, want 84h", days.Append(nil))
	}
}
