package node

import (
	"sync"
	"time"
)

// Implementation constants.
const (
	// paceFirst is how long after a line the next one of its kind may come,
	// paceMost how long at most: the pause doubles while they go on.
	paceFirst = time.Second
	paceMost  = time.Hour
	// maxPaced bounds the kinds that are told apart. Messages are constants of
	// this program and members are bounded, so only a very large roster that
	// misbehaves as a whole reaches it; what comes then has one pace by message.
	maxPaced = 4096
)

// paceKey is what lines are counted by: whatever is wrong with one member has
// one pace, and so has each cause that nobody is named for.
type paceKey struct{ message, peer, cause string }

// linePace lets few of many lines pass: the first at once, the next ones after
// pauses that double. So nobody fills a log or a terminal, however often it
// causes a line and for however long, and each line says how many there were.
type linePace struct {
	mu   sync.Mutex
	keys map[paceKey]*pacedLine
}

type pacedLine struct {
	last  time.Time     // when one last came
	next  time.Time     // from when the next may pass
	pause time.Duration // after the last that passed
	held  uint64        // since then
}

func newLinePace() *linePace { return &linePace{keys: make(map[paceKey]*pacedLine)} }

// take counts one more, reports whether it may pass, and how many were held
// back since the last that did.
func (p *linePace) take(k paceKey, now time.Time) (held uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.keys[k]
	if l == nil && len(p.keys) >= maxPaced {
		k = paceKey{message: k.message}
		l = p.keys[k]
	}
	if l == nil {
		l = &pacedLine{}
		p.keys[k] = l
	}
	quiet := now.Sub(l.last)
	l.last = now
	if now.Before(l.next) {
		l.held++
		return 0, false
	}
	held, l.held = l.held, 0
	if l.pause == 0 || quiet > max(l.pause, time.Minute) {
		l.pause = paceFirst
	} else {
		l.pause = min(2*l.pause, paceMost)
	}
	l.next = now.Add(l.pause)
	return held, true
}
