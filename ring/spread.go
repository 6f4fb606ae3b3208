package ring

import (
	"time"

	"securepeer/wire"
)

// spread tells news to everybody with a link, at once, and everything to a
// peer whose digest differs.
type spread struct {
	interval time.Duration
	told     map[wire.ID]Time // when a peer was last told everything
}

// differs answers a digest that is not this peer's with all rows and votes,
// once an interval: the other does the same, so both end with the join of
// what they know.
func (s *spread) differs(now Time, id wire.ID, v *view, o *outbox) {
	if now-s.told[id] >= Time(s.interval) {
		s.everything(now, id, v, o)
	}
}

// everything goes over a link that has just come up.
func (s *spread) everything(now Time, id wire.ID, v *view, o *outbox) {
	s.told[id] = now
	rows, votes := v.all()
	tell(id, rows, votes, o)
}

// news tells everybody but its source, from, what has changed.
func (s *spread) news(from int, peers []wire.ID, v *view, o *outbox) {
	rows, votes := v.take()
	for _, id := range peers {
		if int(id) != from {
			tell(id, rows, votes, o)
		}
	}
}

// tell sends rows and votes, as many messages as they need: rows first, as a
// vote on a row that is not known says nothing.
func tell(to wire.ID, rows []wire.Row, votes []wire.Vote, o *outbox) {
	for len(rows)+len(votes) > 0 {
		r, t := min(len(rows), wire.MaxRows), 0
		if r == len(rows) {
			t = min(len(votes), wire.MaxVotes)
		}
		o.send(to, wire.Rows{Rows: rows[:r:r], Votes: votes[:t:t]})
		rows, votes = rows[r:], votes[t:]
	}
}
