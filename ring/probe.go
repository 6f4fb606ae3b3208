package ring

import (
	"time"

	"securepeer/wire"
)

// probe is one ping for the user.
type probe struct {
	op    Op
	peer  wire.ID
	echo  uint64
	began Time
	sent  Time
	over  bool
}

// probeWait is how long the user waits for an ack, the time to open a link
// with the peer included; probeAgain is how long until the ping is repeated.
const (
	probeWait  = Time(3 * time.Second)
	probeAgain = probeWait / 12
)

// step sends the ping again while nothing comes: the first may have opened
// the link only.
func (p *probe) step(now Time, d *detector, v *view, o *outbox) {
	switch {
	case p.over:
	case now >= p.began+probeWait:
		p.over = true
		o.done(p.op, Result{Outcome: Unreached, Silent: []wire.ID{p.peer}})
	case p.sent == 0 || now >= p.sent+probeAgain:
		d.echo++
		p.echo, p.sent = d.echo, now
		o.do(SendPing{p.peer, d.ping(p.peer, p.echo, false, v)})
	}
}

func (p *probe) next() Time { return min(p.sent+probeAgain, p.began+probeWait) }
