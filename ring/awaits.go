package ring

import (
	"slices"

	"securepeer/wire"
)

// Awaits returns the peers for which an operation of this peer's user waits now:
// for their answer to a question, for the end of an upload, or for their word that
// they have what they were offered. There are none if the operation is over, or
// the driver's.
func (r *Ring) Awaits(op Op) []wire.ID {
	for _, x := range r.ops.list {
		if q := x.base(); q.op == op && !q.over {
			return x.awaits()
		}
	}
	return nil
}

// awaits returns the peers that have not answered a question.
func (q *query) awaits() []wire.ID {
	switch {
	case q.find != nil:
		return []wire.ID{q.find.at}
	case q.asked:
		return q.look.pending()
	}
	return nil
}

// awaits returns, once the bytes go, the peers that take them, or are to have
// them from others.
func (p *put) awaits() []wire.ID {
	if !p.uploading && !p.sealed {
		return p.query.awaits()
	}
	ids := slices.Concat(p.waiting, p.queued)
	for _, f := range p.offers {
		ids = append(ids, f.peer)
	}
	return ids
}

// awaits returns the peers that were asked and have not answered.
func (l *lookup) awaits() []wire.ID {
	if l.find != nil {
		return l.query.awaits()
	}
	var ids []wire.ID
	for _, h := range l.hops {
		if h.state == waiting {
			ids = append(ids, h.peer)
		}
	}
	return ids
}

// pending returns the peers that may still answer.
func (k *look) pending() (ids []wire.ID) {
	for i := range k.asked {
		if k.asked[i].state == waiting {
			ids = append(ids, k.asked[i].peer)
		}
	}
	return ids
}
