package ring

import (
	"time"

	"securepeer/wire"
)

const (
	// Between paceFloor and paceCeiling a peer's own pace says when its answer
	// is late: below the floor the scheduler's whims are longer than the way,
	// and above the ceiling it costs the user more to wait than to ask another.
	paceFloor   = Time(20 * time.Millisecond)
	paceCeiling = Time(time.Second)

	// paceUnknown is for a peer that has not answered yet: time to open a link
	// first, three and a half round trips of 70 ms.
	paceUnknown = Time(250 * time.Millisecond)
)

// pace is how long a peer takes to answer: the smoothed mean and mean
// deviation of RFC 6298, over every Find and Look that it has answered.
type pace struct{ mean, deviation Time }

// late is the 95th percentile: 1.645 standard deviations over the mean, which
// are 2 mean deviations if answers are normally distributed.
func (p pace) late() Time {
	if p.mean == 0 {
		return paceUnknown
	}
	return min(max(p.mean+2*p.deviation, paceFloor), paceCeiling)
}

// after returns the pace with one more answer, which took that long.
func (p pace) after(took Time) pace {
	if p.mean == 0 { // RFC 6298, section 2.2
		return pace{max(took, 1), took / 2}
	}
	return pace{(7*p.mean + took) / 8, (3*p.deviation + max(p.mean-took, took-p.mean)) / 4} // section 2.3
}

// paces is what this peer knows of the paces of others. Whom it has never
// asked has no entry.
type paces map[wire.ID]pace

// took notes that id answered what was asked of it at sent. An answer to what
// was asked twice says nothing (Karn), and the caller leaves it out.
func (p paces) took(id wire.ID, d Time) { p[id] = p[id].after(d) }
