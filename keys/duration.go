package keys

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	day      = 24 * time.Hour
	mostDays = uint64(math.MaxInt64 / day)
)

// ParseDuration reads what [time.ParseDuration] reads, and days in front of
// it, as in 7d or 3d12h. A day is 24 hours. A duration that does not
// fit a [time.Duration] is refused.
func ParseDuration(text string) (time.Duration, error) {
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 32)
	var part time.Duration
	if err == nil && (rest != "" || !ok) {
		part, err = time.ParseDuration(rest)
	}
	signed := ok && strings.ContainsAny(rest, "+-")
	if err != nil || signed || n > mostDays || part > math.MaxInt64-time.Duration(n)*day {
		return 0, fmt.Errorf("%s must be a duration as in 500ms, 10s, 1h30m or 3d12h", quote(text))
	}
	return time.Duration(n)*day + part, nil
}
