package node

import (
	"errors"
	"slices"
	"time"
)

// Implementation constants.
const (
	// lagTime is how long a target of a put may keep others waiting that have
	// taken all they were given, several times faster, before somebody stands in
	// for it; unless what it lacks comes within lagRest, at its pace of now.
	lagTime = 2 * time.Second
	lagRest = time.Second
	// lagBack is the part of the time in which it keeps up that counts against
	// its lag.
	lagBack = 4
	// ackTime is how long a target that has all bytes, or lacks no more than a
	// chunk, may say nothing; how long it may take over that chunk while others are
	// done; and how long these wait for one that says that it syncs, besides slowBy
	// times as long as they took.
	ackTime = 10 * time.Second
	// syncTime is what a disk may take to sync a file while no other target is
	// done, besides the time at syncRate, in bytes a second.
	syncTime = 30 * time.Second
	syncRate = 1 << 20
)

// Why a target is given up.
var (
	errLags  = errors.New("takes the bytes too slowly while others wait")
	errSyncs = errors.New("does not get the file onto its disk in time")
)

// isSlow reports whether that is why a target was given up.
func isSlow(err error) bool {
	return slices.Contains([]error{errLags, errSyncs, errSlow, errSilent}, err)
}

// lags is what watch knows of a target.
type lags struct {
	seen  int64 // taken, when last looked at
	owes  int64 // what it had not taken then
	heard uint64
	pace  pace
	asked time.Duration // for how long it was waited for
	lag   time.Duration // for how long others were kept waiting by it
	quiet time.Duration // since it last said anything
	acks  time.Duration // for how long it has had all, or could have
}

// watch looks after the targets. It ends when finish has seen them all end.
func (u *upload) watch() {
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-tick.C:
			now := time.Now()
			u.judge(now.Sub(last))
			last = now
		case <-u.over:
			for _, t := range u.targets {
				if t.peer != u.node.self {
					u.node.rates.took(t.peer, t.taken.Load(), u.given.Load(), t.lags.asked)
				}
			}
			return
		}
	}
}

// judge gives up the targets that others, or nobody, should wait for any
// longer. That this peer's own disk is faster than a network says nothing.
func (u *upload) judge(passed time.Duration) {
	given := u.given.Load()
	for _, t := range u.targets {
		t.look(given, u.sealed.Load(), passed)
	}
	for _, t := range u.targets {
		if t.peer == u.node.self || t.ended.Load() {
			continue
		}
		if err := u.late(t, given, passed); err != nil {
			t.cancel(err)
		}
	}
}

// look notes how far a target is.
func (t *target) look(given int64, sealed bool, passed time.Duration) {
	l, taken, heard := &t.lags, t.taken.Load(), t.heard.Load()
	if l.owes > 0 && t.begun.Load() {
		l.asked += passed
	}
	if l.owes > chunkSize { // with less it may have been idle for a part of the time
		l.pace.add(taken-l.seen, passed)
	}
	l.quiet += passed
	if taken > l.seen || heard > l.heard || !sealed {
		l.quiet = 0
	}
	l.seen, l.owes, l.heard = taken, given-taken, heard
	if t.ended.Load() {
		l.owes = 0
	}
	if sealed && taken == given && !t.ended.Load() {
		l.acks += passed
	}
}

// late says why a target is waited for no longer, if it is not.
func (u *upload) late(t *target, given int64, passed time.Duration) error {
	l, owes := &t.lags, t.lags.owes
	switch {
	case l.seen == 0 && owes > 0 && l.asked >= quietTime:
		return errSilent
	case l.pace.stands(l.seen, owes, l.asked):
		return errSlow
	case owes <= chunkSize && !t.begun.Load(): // the dial ends by itself
	case owes <= chunkSize:
		return u.lateAck(t, given, passed)
	case (u.held.Load() || u.sealed.Load()) && u.outrun(t):
		l.lag += passed
	default:
		l.lag = max(0, l.lag-passed/lagBack)
	}
	rest := float64(owes) / float64(l.rate())
	if l.lag > 2*lagTime || l.lag > lagTime && rest > lagRest.Seconds() {
		return errLags
	}
	return nil
}

// outrun reports whether another target has taken all that it was given, and
// so several times faster that no line which they share can be why.
func (u *upload) outrun(t *target) bool {
	return slices.ContainsFunc(u.targets, func(o *target) bool {
		return o != t && o.peer != u.node.self && (o.stored.Load() || o.lags.owes <= chunkSize && !o.ended.Load()) &&
			o.lags.rate() >= slowBy*t.lags.rate()
	})
}

// rate is that of now, or, of one that never had much to take, at least the
// mean.
func (l *lags) rate() int64 {
	if r := l.pace.rate(); r >= 0 {
		return max(1, r)
	}
	return max(1, int64(float64(l.seen)/max(l.asked, lookEach).Seconds()))
}

// lateAck is late for a target that has all bytes, or could have in a moment.
func (u *upload) lateAck(t *target, given int64, passed time.Duration) error {
	most, longest, done := syncTime+time.Duration(given/syncRate)*time.Second, time.Duration(0), false
	for _, o := range u.targets {
		if o != t && o.peer != u.node.self && o.stored.Load() {
			longest, done = max(longest, o.lags.acks), true
		}
	}
	if done {
		most = ackTime + slowBy*longest
	}
	if t.lags.owes > 0 && done && u.outrun(t) {
		t.lags.lag += passed
	}
	switch {
	case t.lags.quiet > ackTime:
		return errSilent
	case t.lags.owes > 0 && t.lags.lag > ackTime:
		return errLags
	case t.lags.acks > most:
		return errSyncs
	}
	return nil
}
