package sim

import (
	"slices"

	"securepeer/ring"
	"securepeer/wire"
)

// Sometimes counts what should happen now and then in a drawn world: a run in
// which it never did has not tested it.
type Sometimes struct {
	Overtaken   int // datagrams that came before earlier ones
	Unsynced    int // changes of a disk that a crash caught on their way
	Jammed      int // failed syncs
	Lied        int // things that a liar said of its own accord
	Replayed    int // of which old
	Mismatched  int // pings of peers with another roster
	Behind      int // answers of peers that may not say no
	Degraded    int // puts and removes with fewer copies than wanted
	Interrupted int // handovers that a crash or cut tore
	Refuted     int // incarnations raised over a verdict
	Merged      int // times that two rings of two or more became one
	Verdicts    int // members held unreachable by votes, as each peer sees it
	Gone        int // members held gone, as each peer sees it
}

// strict is what Plan.Run watches beyond what tests of one scenario do. A nil
// one watches nothing.
type strict struct {
	world *World
	peers map[wire.ID]*watched
	rings map[uint64]uint64 // what follows from what was known, of all peers at all times
	buf   []byte
	heres map[here]bool // answers to questions that were right when they were given
	apart bool          // there have been two rings of two or more since all had one
	calm  bool          // faults have ended
}

// here is that a peer answered another's question for a name.
type here struct {
	by, to wire.ID
	name   string
}

// watched is what strict keeps of one peer.
type watched struct {
	well  ring.Time // since when nothing has been wrong with it
	began ring.Time // of the interval that is counted
	sent  traffic   // since then
	most  traffic   // in any interval
	run   int       // number of its process
	start ring.Time // of that
	judge map[wire.ID]bool
	gone  map[wire.ID]bool
	heard map[wire.ID]ring.Time // when anything last came from a member
	cast  map[wire.ID]uint64    // the sequence of its newest vote on a member
	spoke map[wire.ID]bool      // its operator has said so
	load  int                   // the most that its ring has remembered
	out   map[wire.ID]ring.Time // since when a member that is well is not in its ring
}

// traffic is what a peer sent.
type traffic struct{ messages, bytes int }

// What a message and a datagram cost on the wire beside their bodies.
const (
	recordSize   = 2 + 1 + 16
	datagramSize = 96
	rowSize      = 91
	voteSize     = 85
)

// watch begins to watch a world.
func (w *World) watch() {
	w.strict = &strict{world: w, peers: make(map[wire.ID]*watched), rings: make(map[uint64]uint64),
		heres: make(map[here]bool)}
	for _, h := range w.hosts {
		w.strict.peers[h.ID] = &watched{
			judge: make(map[wire.ID]bool), gone: make(map[wire.ID]bool), out: make(map[wire.ID]ring.Time),
			heard: make(map[wire.ID]ring.Time), cast: make(map[wire.ID]uint64), spoke: make(map[wire.ID]bool),
		}
	}
}

// disturbed notes that something is or was wrong with these machines, or with
// the whole network.
func (w *World) disturbed(ids ...wire.ID) {
	if w.strict == nil {
		return
	}
	for id, k := range w.strict.peers {
		if len(ids) == 0 || slices.Contains(ids, id) {
			k.well = w.now
		}
	}
}

// message counts one of a link.
func (s *strict) message(p *process, to wire.ID, m wire.Message) {
	if s != nil {
		s.buf = m.Append(s.buf[:0])
		s.sent(p, to, recordSize+len(s.buf))
	}
}

// sent counts what a peer sends. What a liar sends, or asks for, is its own
// harm.
func (s *strict) sent(p *process, to wire.ID, size int) {
	if s == nil || p.host.liar || s.world.byID[to] != nil && s.world.byID[to].liar {
		return
	}
	k := s.peers[p.id]
	if w := s.world; w.now-k.began >= ring.Time(w.Config.Interval) {
		w.checkRate(p, k.sent)
		k.began, k.sent = w.now, traffic{}
	}
	k.sent.messages++
	k.sent.bytes += size
	k.most.messages = max(k.most.messages, k.sent.messages)
	k.most.bytes = max(k.most.bytes, k.sent.bytes)
}

// stepped looks at a peer after each of its steps.
func (s *strict) stepped(p *process, ev ring.Event) {
	if p.host.liar {
		return
	}
	w, k := s.world, s.peers[p.id]
	if k.run != p.number {
		k.run, k.start = p.number, w.now
		clear(k.heard)
	}
	accused := false
	switch e := ev.(type) {
	case ring.Pinged:
		if e.Ping.Roster != p.host.roster.Digest {
			w.Count.Mismatched++
		}
		accused = e.Ping.Said == wire.SaidUnreachable
		k.heard[e.From] = w.now
	case ring.LinkUp:
		k.heard[e.Peer] = w.now
	case ring.Received:
		k.heard[e.From] = w.now
		switch m := e.Msg.(type) {
		case wire.Rows:
			accused = slices.ContainsFunc(m.Votes, func(v wire.Vote) bool {
				return v.Member == p.id && v.Verdict != wire.Reachable
			})
		case wire.Find:
			s.answered(p, e.From, m)
		}
	case ring.Forget:
		k.spoke[e.Member] = true
	case ring.Pulled:
		if e.Code == wire.CodeBusy {
			w.Count.Interrupted++
		}
	case ring.RosterChanged:
		w.disturbed(p.id)
	}
	for _, a := range w.actions {
		if _, ok := a.(ring.Persist); ok && accused {
			w.Count.Refuted++
		}
	}
	if len(w.hosts) > manyHosts {
		return
	}
	st := p.ring.Status()
	for _, m := range st.Members {
		if m.Verdict && !k.judge[m.ID] {
			w.Count.Verdicts++
		}
		if m.Gone && !k.gone[m.ID] {
			w.Count.Gone++
		}
		k.judge[m.ID], k.gone[m.ID] = m.Verdict, m.Gone
	}
	w.checkPeer(p, st)
}

// answered looks at how a question was answered.
func (s *strict) answered(p *process, from wire.ID, f wire.Find) {
	if f.For == wire.ForJoin {
		return
	}
	for _, a := range p.world.actions {
		m, ok := a.(ring.Send)
		if !ok || m.To != from || m.Msg != (wire.Here{Req: f.Req}) {
			continue
		}
		s.heres[here{p.id, from, f.Name}] = true
		if !slices.Contains(s.world.holders(p.ring.Status(), f.Name), p.id) {
			s.world.violate("who says here is a holder or the owner in its own view: %v to %v of %q", p.id, from, f.Name)
		}
	}
}

// manyHosts is how large a world may be in which every peer is looked at after
// each of its steps.
const manyHosts = 12

// islands counts the rings of two or more that agree on who they are, and
// notes when there are fewer of them than before.
func (s *strict) islands() {
	sizes := make(map[uint64]int)
	for _, h := range s.world.members() {
		sizes[hashIDs(h.Status().Ring)]++
	}
	parts := 0
	for _, n := range sizes {
		if n >= 2 {
			parts++
		}
	}
	switch {
	case parts >= 2:
		s.apart = true
	case s.apart && len(sizes) == 1:
		s.apart = false
		s.world.Count.Merged++
	}
}

// hashIDs is a hash of a list.
func hashIDs(ids []wire.ID) uint64 {
	h := uint64(14695981039346656037)
	for _, id := range ids {
		h = (h ^ uint64(id)) * 1099511628211
	}
	return h
}

// each calls f with everything that was counted.
func (s Sometimes) each(f func(name string, n int)) {
	f("unsynced", s.Unsynced)
	f("jammed", s.Jammed)
	f("lied", s.Lied)
	f("replayed", s.Replayed)
	f("mismatch", s.Mismatched)
	f("behind", s.Behind)
	f("degraded", s.Degraded)
	f("interrupted", s.Interrupted)
	f("refuted", s.Refuted)
	f("merged", s.Merged)
	f("verdict", s.Verdicts)
	f("gone", s.Gone)
}

// add adds what another world has counted.
func (c *Counters) add(o Counters) {
	c.Events += o.Events
	c.Lost += o.Lost
	c.Doubled += o.Doubled
	c.Forged += o.Forged
	c.Acked += o.Acked
	c.Fetched += o.Fetched
	s := &c.Sometimes
	s.Overtaken += o.Overtaken
	s.Unsynced += o.Unsynced
	s.Jammed += o.Jammed
	s.Lied += o.Lied
	s.Replayed += o.Replayed
	s.Mismatched += o.Mismatched
	s.Behind += o.Behind
	s.Degraded += o.Degraded
	s.Interrupted += o.Interrupted
	s.Refuted += o.Refuted
	s.Merged += o.Merged
	s.Verdicts += o.Verdicts
	s.Gone += o.Gone
}
