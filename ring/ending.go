package ring

import (
	"slices"

	"securepeer/wire"
)

// How this peer leaves the ring, and how its operator says that another has.

// stop leaves the ring and keeps the data here.
func (r *Ring) stop(now Time) {
	if r.exit != 0 {
		return
	}
	r.saveView(now)
	r.exit = now + r.interval()/4 // what is said last needs a moment to be heard
	if r.own.state == 0 {
		r.exit = now
		return
	}
	r.own.become(wire.Stopped, &r.out)
}

// leave gives every version away, then leaves for good.
func (r *Ring) leave(now Time, op Op) {
	if r.own.state == 0 {
		r.out.done(op, Result{Outcome: NotReady})
		return
	}
	r.leaving = append(r.leaving, op)
	r.leaveAt = now + stillHolding*r.interval()
	if r.own.state < wire.Stopped {
		r.own.become(wire.Leaving, &r.out)
		r.copies.reset(now)
	}
}

// left goes on with a leave: once every home holder that can be reached has
// every version, this peer has left.
func (r *Ring) left(now Time) {
	me := r.view.members[r.view.me]
	switch {
	case r.own.state == wire.Leaving && me.state == wire.Leaving:
		if r.copies.done(r.view) {
			r.own.become(wire.Left, &r.out)
		}
	case me.state == wire.Left && r.exit == 0:
		r.exit = now + r.interval()/4
		r.endLeave(Result{})
	}
	if len(r.leaving) > 0 && now >= max(r.leaveAt, r.copies.progress+stillHolding*r.interval()) {
		silent := r.view.away()
		for _, id := range r.copies.refusing() {
			if !slices.Contains(silent, id) {
				silent = append(silent, id)
			}
		}
		r.endLeave(Result{Outcome: StillHolding, Silent: silent})
	}
}

// stillHolding is how many intervals a leave may take before its user is told
// whom it waits for. It goes on all the same.
const stillHolding = 10

func (r *Ring) endLeave(result Result) {
	for _, op := range r.leaving {
		r.out.done(op, result)
	}
	r.leaving = nil
}

// forget votes on a member by the word of the operator.
func (r *Ring) forget(e Forget) {
	m := r.view.member(e.Member)
	switch {
	case m == nil || !m.seen():
		r.out.done(e.Op, Result{Outcome: NotFound})
		return
	case !r.view.inRing():
		r.out.done(e.Op, Result{Outcome: NotReady})
		return
	case m.inRing || m.id == r.view.self:
		r.out.done(e.Op, Result{Outcome: StillThere})
		return
	case m.home():
		r.cast(e.Member, wire.Gone)
	}
	result := Result{Outcome: NeedsAnother}
	if !m.home() {
		result.Outcome = Succeeded
	}
	for _, t := range r.view.votes[m.id] {
		if t.Verdict == wire.Gone {
			result.Copies = append(result.Copies, t.Observer)
		}
	}
	r.out.done(e.Op, result)
}
