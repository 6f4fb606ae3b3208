package sim

import (
	"encoding/binary"
	"slices"

	"securepeer/ring"
	"securepeer/wire"
)

// law is the newest roster. Not everybody has it.
type law struct {
	serial  uint64
	members []ring.Member
}

// Change is what a new roster changes.
type Change string

// The changes.
const (
	Removes Change = "removes"
	Adds    Change = "adds"
	Rekeys  Change = "rekeys" // the same member, with another key
)

// reload has a process take the roster that is on its disk. Links and sessions
// with those who are not in it, or have another key there, end.
func (p *process) reload() {
	h := p.host
	if h.next == nil {
		return // a later one came first
	}
	h.accept()
	p.step(ring.RosterChanged{Roster: h.roster.Roster}, nil)
	for _, id := range sortedKeys(p.pairs) {
		r := p.pairs[id]
		if h.knows(id) {
			continue
		}
		r.remote = nil
		if r.end != nil && r.end.up {
			p.reset(r.end)
		}
	}
}

// accept makes the roster on the host's disk its law.
func (h *Host) accept() {
	if h.next != nil {
		h.roster, h.next = *h.next, nil
	}
}

// enact gives the newest roster to a host, unless it has no line for it with
// the key that it has: no peer takes such a roster.
func (w *World) enact(h *Host) {
	if h.roster.Serial == w.law.serial || h.next != nil && h.next.Serial == w.law.serial {
		return
	}
	if slices.ContainsFunc(w.law.members, func(m ring.Member) bool { return m.ID == h.ID && m.Key == h.key() }) {
		w.SetRoster(h.ID, w.law.serial, w.law.members)
	}
}

// amend makes a new law that has a member as m, or without it if it is nil.
func (w *World) amend(id wire.ID, m *ring.Member) {
	members := slices.DeleteFunc(slices.Clone(w.law.members), func(m ring.Member) bool { return m.ID == id })
	if m != nil {
		members = append(members, *m)
	}
	w.law = law{w.law.serial + 1, members}
}

// skew has some get a new roster, and after a while everybody.
func (w *World) skew(f Fault) bool {
	h := w.byID[f.Who]
	i := slices.IndexFunc(w.law.members, func(m ring.Member) bool { return m.ID == f.Who })
	var then func()
	switch {
	case f.Change == Adds:
		if i >= 0 || h.started > 0 {
			return false
		}
		w.amend(f.Who, &h.member)
		w.enact(h)
		w.Start(f.Who, f.Whom)
		then = func() {}
	case i < 0 || len(w.law.members) < 3 || h.liar || h.skewed || h.retired || !w.spare(h):
		return false
	case f.Change == Removes:
		w.amend(f.Who, nil)
		then = func() { w.expel(h) }
	default:
		m := w.law.members[i]
		binary.BigEndian.PutUint64(m.Key[:], w.rand.Uint64())
		w.amend(f.Who, &m)
		then = func() { w.rekey(h, m.Key) }
	}
	h.skewed = true
	for _, id := range f.Side {
		w.enact(w.byID[id])
	}
	w.disturbed()
	ended := false
	end := func() {
		if !ended {
			ended, h.skewed = true, false
			then()
			for _, o := range w.hosts {
				w.enact(o)
			}
			w.disturbed()
		}
	}
	w.ends = append(w.ends, end)
	w.after(f.Lasts, end)
	return true
}

// expel ends a peer that is in no roster any more; or, if nobody else has what
// it holds, the operator takes it back in.
func (w *World) expel(h *Host) {
	if !w.spare(h) {
		w.amend(h.ID, &h.member)
		return
	}
	if h.process != nil {
		w.Kill(h.ID)
	}
	h.retired = true
}

// rekey gives a member the key that the roster has for it. Its data stays.
func (w *World) rekey(h *Host, key wire.Digest) {
	runs := h.process != nil
	if runs {
		w.Kill(h.ID)
	}
	h.keys = append(h.keys, key)
	h.member.Key = key
	w.enact(h)
	if runs {
		w.Start(h.ID)
	}
}
