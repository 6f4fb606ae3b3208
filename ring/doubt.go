package ring

import (
	"maps"
	"time"

	"securepeer/wire"
)

// doubtWait is how many intervals a dial of a member that is said to be gone
// may take before it has failed.
const doubtWait = 3

// doubts are what keeps this peer from moving bytes for those that are not in
// its ring.
//
// Some are gone by the word of others: "Hearsay only orders whom to try first:
// before it moves a byte for gone, a peer has itself failed to reach the
// member for the whole grace." In doubt, such a member counts as a home holder
// that is silent.
//
// Others are awaited: those that said that they stop, as their disks are whole
// and a restart must not have everything copied; and, for the grace, those that
// have not been heard of since this peer began to run. When all machines start
// again after a loss of power, each in its own time, the first ones must not
// take themselves for the last that are left.
type doubts struct {
	interval time.Duration
	grace    time.Duration
	of       map[wire.ID]doubt // the gone members within reach
	since    Time              // since when it has run in its ring, without a pause; 0: it does not
	ticked   Time
	due      Time // when the next of them may be sure
}

// doubt is what this peer knows of one that is gone.
type doubt struct {
	dialled Time // once the grace was over; 0: not yet
	sure    bool
}

func (d *doubts) sure(id wire.ID) bool { return d.of[id].sure }

// awaits reports whether the copies of a member that is not in the ring still
// count.
func (d *doubts) awaits(now Time, m *member, l *links) bool {
	return m.state == wire.Stopped || l.heard(m.id) < d.since && now < d.since+Time(d.grace)
}

// tick counts the time in which this peer could have heard something.
func (d *doubts) tick(now Time, v *view) {
	if !gives(v) {
		d.since, d.due = 0, never
	} else if d.since == 0 || now-d.ticked > Time(doubtWait*d.interval) {
		d.since = now
	}
	d.ticked = now
}

// review dials, when the grace is over, whom this peer has not heard of in it,
// and is sure when that has failed, too. It is called with every change of
// the view, and when time is up.
func (d *doubts) review(now Time, v *view, l *links, o *outbox) {
	d.due = never
	if over := d.since + Time(d.grace); now < over {
		d.due = over
	}
	maps.DeleteFunc(d.of, func(id wire.ID, _ doubt) bool { m := v.member(id); return m == nil || !m.gone() })
	near := reachOf(v)
	for _, x := range v.out {
		m := &v.members[x.index]
		if !m.gone() || !near.has(int(x.index)) {
			continue
		}
		x := d.of[m.id]
		since := l.heard(m.id)
		if !x.sure {
			since = max(since, d.since)
		}
		over := since + Time(d.grace)
		switch {
		case now < over:
			x = doubt{}
			d.due = min(d.due, over)
		case x.sure:
		case x.dialled == 0:
			x.dialled = now
			l.dial(now, m.id, o)
			fallthrough
		case now < x.dialled+Time(doubtWait*d.interval):
			d.due = min(d.due, x.dialled+Time(doubtWait*d.interval))
		default:
			x.sure = true
		}
		d.of[m.id] = x
	}
}

// reach is the part of the circle that this peer shares keys with: so many
// members back and ahead of it, with crowd times the copies of a key among them
// that can be home holders.
type reach struct{ me, back, ahead, members int }

func reachOf(v *view) reach {
	walk := func(step int) int {
		n := 0
		for i, homes := v.me, crowd*v.copies; homes > 0 && n < len(v.members); n++ {
			if i = (i + step) % len(v.members); v.members[i].home() {
				homes--
			}
		}
		return n
	}
	return reach{v.me, walk(len(v.members) - 1), walk(1), len(v.members)}
}

func (r reach) has(i int) bool {
	ahead := (i - r.me + r.members) % r.members
	return ahead <= r.ahead || r.members-ahead <= r.back
}
