package ring

import (
	"errors"
	"time"

	"securepeer/wire"
)

// contestLimit is how often within contestSpan intervals another row of this
// peer may turn up at its own incarnation or above before the key must run
// twice. One such row is a restart that lost its state; a second process
// answers each of ours with another, as fast as links are made.
const (
	contestLimit = 8
	contestSpan  = 60

	// contestLeap is how far above such a row the next one is, so that nobody
	// who kept old rows of this peer can contest each of its answers.
	contestLeap = 1 << 16
)

var errRunsTwice = errors.New("another process speaks with this peer's key: stop one of the two, or give it a key of its own")

// own is this peer's row: what it says of itself. Every change of it raises
// the incarnation, and is on disk before anybody hears it.
type own struct {
	ring  string
	id    wire.ID
	store wire.StoreID
	sign  func([]byte) wire.Sig

	state     wire.State       // wanted; 0 while starting
	spoken    wire.Incarnation // of the published row
	asked     wire.Incarnation // of the last Persist
	durable   wire.Incarnation // of the last Persisted
	since     wire.Incarnation // in which others have begun to give this peer all
	missed    bool             // it may lack something: since is the next incarnation
	contests  int
	contested Time // when the count began
}

// raise asks for an incarnation above floor, and above any before.
func (w *own) raise(floor wire.Incarnation, o *outbox) {
	w.asked = max(w.asked, floor) + 1
	o.do(Persist{w.asked})
}

// become changes the own state; the row follows when it is durable.
func (w *own) become(s wire.State, o *outbox) {
	if w.state == s {
		return
	}
	w.state = s
	w.speak(o)
}

// speak publishes the state under a new incarnation. One that is on its way
// to the disk already will carry it.
func (w *own) speak(o *outbox) {
	if w.asked == w.durable {
		w.raise(w.spoken, o)
	}
}

// persisted returns the row to publish, if there is one: none while this peer
// is starting, and none that an earlier Persist, overtaken since, stands for.
func (w *own) persisted(e Persisted, v *view) {
	if e.Incarnation <= w.durable {
		return
	}
	w.durable = e.Incarnation
	if w.durable < w.asked || w.state == 0 {
		return
	}
	w.publish(v)
}

// publish puts the own row into the view, from where it spreads. The
// incarnation must be durable and not spoken before.
func (w *own) publish(v *view) {
	was := v.member(w.id).row()
	if w.missed || !goesOn(was.Incarnation, was.State, w.durable, w.state) {
		w.since, w.missed = w.durable, false
	}
	row := wire.Row{ID: w.id, Incarnation: w.durable, State: w.state, Store: w.store}
	row.Sig = w.sign(row.SignedBytes(w.ring, nil))
	w.spoken = w.durable
	v.mergeRow(row)
	v.settle()
}

// begin is become for the first state of this run: the incarnation that was
// persisted at the start has not been spoken yet and serves.
func (w *own) begin(s wire.State, v *view) {
	w.state = s
	if w.durable == w.asked && w.durable > w.spoken {
		w.publish(v)
	}
}

// contest handles a row of this peer that it did not speak, or that speaks
// over it: it goes one above. A peer shown a row of itself at or above its
// own incarnation does so too; contested again and again, the key runs twice.
func (w *own) contest(now Time, row wire.Row, interval time.Duration, o *outbox) {
	if row.Incarnation < max(w.spoken, w.asked) {
		return
	}
	if now-w.contested > Time(contestSpan*interval) {
		w.contested, w.contests = now, 0
	}
	w.contests++
	if w.contests > contestLimit {
		o.notify(KeyRunsTwice, w.id, "")
		o.do(Exit{errRunsTwice})
		return
	}
	w.missed = true
	w.raise(row.Incarnation+contestLeap, o)
}

// refute answers a verdict on this peer: one above what was spoken.
func (w *own) refute(o *outbox) {
	if w.missed {
		return
	}
	w.missed = true
	if w.asked == w.spoken { // else a higher one is on its way already
		w.raise(w.spoken, o)
	}
}
