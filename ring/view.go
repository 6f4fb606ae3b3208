package ring

import (
	"bytes"
	"cmp"
	"slices"

	"securepeer/wire"
)

// member is what this peer knows of a line of the roster. There may be 10,000
// in each of as many simulated peers, so it is small and has no pointers.
type member struct {
	// Its row but for the id, if state is not 0: else nobody has seen it yet.
	incarnation wire.Incarnation
	store       wire.StoreID
	sig         wire.Sig
	id          wire.ID
	state       wire.State

	// What only this peer believes; it reroutes, and is in no digest.
	absent bool // not heard of since this peer started
	silent bool // this peer alone has heard nothing for 3 T
	deaf   bool // it has not heard this peer for 3 T, though its packets come
	starts bool // it is about to join: its row is that of an earlier run

	derived
}

// derived is what follows from the rows, votes and beliefs.
type derived struct {
	verdict wire.Verdict // by votes: 0, Unreachable, or Gone: its copies are made elsewhere
	inRing  bool
}

func (m *member) seen() bool { return m.state != 0 }

func (m *member) row() wire.Row {
	return wire.Row{ID: m.id, Incarnation: m.incarnation, State: m.state, Store: m.store, Sig: m.sig}
}

func (m *member) gone() bool { return m.verdict == wire.Gone }

// believed reports whether this peer's own belief keeps m out of its ring.
func (m *member) believed() bool { return m.absent || m.silent || m.deaf || m.starts }

// unreachable reports whether this peer routes around m.
func (m *member) unreachable() bool {
	return m.verdict != 0 || m.believed()
}

// home reports whether m can be a home holder: it was seen and is not leaving,
// left or gone, reachable or not.
func (m *member) home() bool { return m.seen() && m.state < wire.Leaving && !m.gone() }

// usable reports whether writes go to m.
func (m *member) usable() bool {
	return m.inRing && m.state != wire.Full && m.state != wire.Stuck
}

// view is all rows and votes that this peer knows, and the ring that follows
// from them. Only this file changes it, and digest.go its digests. Invariant:
// between two steps the derived fields agree with the rows, votes and beliefs.
type view struct {
	self    wire.ID
	space   wire.Space
	k       int // observers of a member
	copies  int // home holders of a key
	circle  *Circle
	members []member                // as in circle; this peer is one of them
	votes   map[wire.ID][]wire.Vote // on a member's incarnation, by observer; never ranged over unsorted
	digests digests
	ring    []int32    // indices of those in the computed ring, by position
	out     []outsider // all others, by position
	me      int        // index of this peer
	cut     bool       // too many are silent to call anybody gone by time

	now     Time   // of the step
	epoch   uint64 // raised with every change of a row or derived field
	fresh   []item // what was news since take was last called
	changed bool   // a row or derived field did, since somebody last looked

	dirty bool // a row or vote was merged, settle has to derive

	// Scratch of compute.
	was     []derived
	accused []accusation
}

// outsider is a member that is not in the computed ring.
type outsider struct {
	index int32
	since Time
}

// item names a row, or a vote on it, by who wrote it and whom it is about.
type item struct {
	by, on wire.ID // the same in a row: nobody votes on itself
}

func newView(c Config) *view {
	v := &view{self: c.Self}
	v.setRoster(c.Roster)
	for _, row := range c.Saved {
		m := v.member(row.ID)
		if m == nil || row.ID == c.Self {
			continue
		}
		m.write(row)
		m.absent = true
	}
	v.compute()
	return v
}

// setRoster makes another roster law: rows and votes of members that are gone
// from it, or whose id has another key or position now, are forgotten. Of the
// others nothing is: no clock begins anew.
func (v *view) setRoster(r Roster) {
	was, old, votes, out := v.circle, v.members, v.votes, v.out
	v.space, v.k, v.copies = r.Space, r.Observers, r.Copies
	if v.circle = r.Circle; v.circle == nil {
		v.circle = NewCircle(r.Members)
	}
	v.members = make([]member, v.circle.size())
	v.votes = make(map[wire.ID][]wire.Vote)
	v.fresh, v.out = nil, nil
	same := func(id wire.ID) bool { return was.has(id) && v.circle.has(id) && was.get(id) == v.circle.get(id) }
	for i := range v.members {
		m := &v.members[i]
		m.id = v.circle.id(i)
		if !same(m.id) {
			continue
		}
		j, _ := was.find(m.id)
		*m = old[j]
		if since := outSince(out, j); since != 0 {
			v.out = append(v.out, outsider{int32(i), since})
		}
		for _, t := range votes[m.id] {
			if same(t.Observer) {
				v.votes[m.id] = append(v.votes[m.id], t)
			}
		}
	}
	v.me = v.place(v.self)
	v.digests.alterAll()
	v.touch()
	v.compute()
}

// touch notes that a row or derived field has changed.
func (v *view) touch() {
	v.changed = true
	v.epoch++
}

func (v *view) has(id wire.ID) bool { return v.circle.has(id) }

// place returns the index of id, which is a member.
func (v *view) place(id wire.ID) int {
	i, _ := v.circle.find(id)
	return i
}

// pos returns the position of the member at index i.
func (v *view) pos(i int) wire.Pos { return v.circle.members[i].Pos }

// at returns the index of the first member at or after k, going round.
func (v *view) at(k wire.Pos) int { return v.circle.at(k) }

// member returns what is known of id, or nil if it is not in the roster.
func (v *view) member(id wire.ID) *member {
	if i, ok := v.circle.find(id); ok {
		return &v.members[i]
	}
	return nil
}

// mergeRow takes a verified row of another member or of this peer itself and
// reports whether it was news: higher incarnation wins, then the later state,
// then the larger bytes. Votes on an earlier incarnation go. The caller calls
// settle when it has merged all that came together.
func (v *view) mergeRow(row wire.Row) bool {
	m := v.member(row.ID)
	if m == nil || m.seen() && !rowWins(row, m.row()) {
		return false
	}
	if row.Incarnation != m.incarnation {
		delete(v.votes, m.id)
		m.absent, m.silent, m.deaf, m.starts = false, false, false, false
	}
	m.write(row)
	v.digests.alter(m.id)
	v.fresh = append(v.fresh, item{row.ID, row.ID})
	v.dirty = true
	v.touch()
	return true
}

// write puts a row of m into it.
func (m *member) write(row wire.Row) {
	m.incarnation, m.state, m.store, m.sig = row.Incarnation, row.State, row.Store, row.Sig
}

func rowWins(a, b wire.Row) bool {
	if a.Incarnation != b.Incarnation {
		return a.Incarnation > b.Incarnation
	}
	if a.State != b.State {
		return a.State > b.State
	}
	return bytes.Compare(a.Append(nil), b.Append(nil)) > 0
}

// mergeVote takes a verified vote and reports whether it was news. Votes on
// another incarnation than the row's say nothing. The caller calls settle.
func (v *view) mergeVote(t wire.Vote) bool {
	m := v.member(t.Member)
	if m == nil || !m.seen() || t.Incarnation != m.incarnation ||
		!v.has(t.Observer) || t.Observer == t.Member {
		return false
	}
	votes := v.votes[m.id]
	i, found := slices.BinarySearchFunc(votes, t.Observer, func(t wire.Vote, o wire.ID) int {
		return cmp.Compare(t.Observer, o)
	})
	if found {
		if !voteWins(t, votes[i]) {
			return false
		}
		votes[i] = t
	} else {
		v.votes[m.id] = slices.Insert(votes, i, t)
	}
	v.digests.alter(m.id)
	v.fresh = append(v.fresh, item{t.Observer, t.Member})
	v.dirty = true
	return true
}

func voteWins(a, b wire.Vote) bool {
	if a.Sequence != b.Sequence {
		return a.Sequence > b.Sequence
	}
	return bytes.Compare(a.Append(nil), b.Append(nil)) > 0
}

// heard notes that something authenticated came from id.
func (v *view) heard(id wire.ID) {
	if m := v.member(id); m != nil && (m.absent || m.silent) {
		m.absent, m.silent = false, false
		v.compute()
	}
}

// joins notes that id is about to join: whatever its row of an earlier run
// says, it is in no ring, and sending others to it would be in vain.
func (v *view) joins(id wire.ID) {
	if m := v.member(id); m != nil && m.seen() && !m.starts {
		m.starts = true
		v.compute()
	}
}

// joined notes that id itself speaks of its row, so it has joined.
func (v *view) joined(id wire.ID) {
	if m := v.member(id); m != nil && m.starts {
		m.starts = false
		v.compute()
	}
}

// trust takes the view for what it says: this peer was accepted into a ring
// that has been running, and need not have heard everybody itself.
func (v *view) trust() {
	for i := range v.members {
		v.members[i].absent = false
	}
	v.compute()
}

// silence notes that this peer alone holds id silent; or deaf, if its packets
// come and acks of ours don't.
func (v *view) silence(id wire.ID, deaf bool) {
	if m := v.member(id); m != nil && !m.silent && !m.deaf {
		m.silent, m.deaf = !deaf, deaf
		v.epoch++ // even if it was out of the ring before
		v.compute()
	}
}

// heeded notes that id hears this peer.
func (v *view) heeded(id wire.ID) {
	if m := v.member(id); m != nil && m.deaf {
		m.deaf = false
		v.epoch++
		v.compute()
	}
}

// vote returns this peer's own vote on id that stands, if any.
func (v *view) vote(id wire.ID) wire.Verdict {
	if t := v.voteOf(v.self, id); t != nil {
		return t.Verdict
	}
	return 0
}

// voteOf returns what observer says of id, nil if it has said nothing.
func (v *view) voteOf(observer, id wire.ID) *wire.Vote {
	votes := v.votes[id]
	for i := range votes {
		if votes[i].Observer == observer {
			return &votes[i]
		}
	}
	return nil
}

// settle derives the ring again if a row or vote was merged.
func (v *view) settle() {
	if v.dirty {
		v.compute()
	}
}

// compute derives verdicts and the ring. A verdict may put observers out of
// the ring and so call in others, so verdicts are found in rounds; a round
// only adds.
func (v *view) compute() {
	v.dirty = false
	v.was = v.was[:0]
	for i := range v.members {
		m := &v.members[i]
		v.was = append(v.was, m.derived)
		m.derived = derived{}
		m.inRing = v.belongs(m)
	}
	accused := v.accused[:0]
	for id, votes := range v.votes {
		if slices.ContainsFunc(votes, against) {
			accused = append(accused, accusation{v.place(id), votes})
		}
	}
	slices.SortFunc(accused, func(a, b accusation) int { return a.index - b.index })
	for again := true; again; {
		again = false
		for _, a := range accused {
			m := &v.members[a.index]
			verdict := m.verdict
			switch {
			case m.gone():
			case v.buried(a):
				verdict = wire.Gone
			case verdict == 0 && v.convicted(a):
				verdict = wire.Unreachable
			}
			if verdict != m.verdict {
				m.verdict, again = verdict, true
				m.inRing = v.belongs(m)
			}
		}
	}
	v.accused = accused
	v.close()
}

// accusation is the votes on a member, of which some are against it.
type accusation struct {
	index int
	votes []wire.Vote
}

func against(t wire.Vote) bool { return t.Verdict >= wire.Unreachable }

// close puts the ring together, and notes who is out of it, since when, and
// whether that are too many.
func (v *view) close() {
	homes, silent, changed := 0, 0, false
	was := v.out // by position, as what it becomes
	v.ring, v.out = v.ring[:0], nil
	for i := range v.members {
		m := &v.members[i]
		changed = changed || m.derived != v.was[i]
		if m.home() {
			homes++
		}
		for len(was) > 0 && int(was[0].index) < i {
			was = was[1:]
		}
		if m.inRing {
			v.ring = append(v.ring, int32(i))
			continue
		}
		since := max(v.now, 1)
		if len(was) > 0 && int(was[0].index) == i {
			since = was[0].since
		}
		v.out = append(v.out, outsider{int32(i), since})
		if m.home() {
			silent++
		}
	}
	cut := silent > max(v.copies-1, homes/4)
	if changed || cut != v.cut {
		v.cut = cut
		v.touch()
	}
}

// since returns since when the member at index i is out of the computed ring; 0:
// it is in it.
func (v *view) since(i int) Time { return outSince(v.out, i) }

func outSince(out []outsider, i int) Time {
	j, ok := slices.BinarySearchFunc(out, int32(i), func(o outsider, i int32) int { return cmp.Compare(o.index, i) })
	if !ok {
		return 0
	}
	return out[j].since
}

// belongs derives whether a member is in the computed ring. This peer itself
// is whenever its row says so, whatever others vote.
func (v *view) belongs(m *member) bool {
	return m.seen() && m.state < wire.Stopped && (m.id == v.self || !m.unreachable())
}

// convicted reports whether two of the observers of a member say that it is
// unreachable, or the only one there is: its K nearest predecessors that are
// in the ring themselves.
func (v *view) convicted(a accusation) bool {
	observers, agree := 0, 0
	for j, n := v.before(a.index), 0; n < len(v.members)-1 && observers < v.k; j, n = v.before(j), n+1 {
		o := &v.members[j]
		if !o.inRing {
			continue
		}
		observers++
		if slices.ContainsFunc(a.votes, func(t wire.Vote) bool { return t.Observer == o.id && against(t) }) {
			agree++
		}
	}
	return agree >= 2 || observers == 1 && agree == 1
}

// charged reports whether a verdict on this peer stands, or two say so who may
// be its observers in the eyes of others: those that it can't reach itself are
// none in its own.
func (v *view) charged() bool {
	n := 0
	for _, t := range v.votes[v.self] {
		if against(t) {
			n++
		}
	}
	return n >= 2 || v.members[v.me].verdict != 0
}

// buried reports whether two members say that one is gone, or the only
// one in the ring. Any two: who watched it for the whole grace may be gone
// itself when the next one comes.
func (v *view) buried(a accusation) bool {
	agree := 0
	for _, t := range a.votes {
		if t.Verdict != wire.Gone {
			continue
		}
		if agree++; agree == 2 || v.alone(t.Observer, a.index) {
			return true
		}
	}
	return false
}

// alone reports whether id is in the ring, and nobody else but member i.
func (v *view) alone(id wire.ID, i int) bool {
	for j := range v.members {
		if m := &v.members[j]; m.inRing != (m.id == id) && j != i {
			return false
		}
	}
	return true
}

func (v *view) before(i int) int { return (i + len(v.members) - 1) % len(v.members) }

// inRing reports whether this peer is in its own ring.
func (v *view) inRing() bool { return v.members[v.me].inRing }

// nobody is the skip of successors and predecessors that leaves nobody out.
const nobody = -1

// successors appends the first n peers after position p in the computed ring,
// without the member skip.
func (v *view) successors(p wire.Pos, n int, skip int, dst []wire.ID) []wire.ID {
	if len(v.ring) == 0 {
		return dst
	}
	first, _ := slices.BinarySearchFunc(v.ring, p, func(i int32, p wire.Pos) int {
		if v.pos(int(i)) <= p {
			return -1
		}
		return 1
	})
	for j := 0; j < len(v.ring) && n > 0; j++ {
		if m := &v.members[v.ring[(first+j)%len(v.ring)]]; int(m.id) != skip {
			dst = append(dst, m.id)
			n--
		}
	}
	return dst
}

// predecessors is successors the other way round.
func (v *view) predecessors(p wire.Pos, n int, skip int, dst []wire.ID) []wire.ID {
	if len(v.ring) == 0 {
		return dst
	}
	first, _ := slices.BinarySearchFunc(v.ring, p, func(i int32, p wire.Pos) int {
		return cmp.Compare(v.pos(int(i)), p)
	})
	for j := 1; j <= len(v.ring) && n > 0; j++ {
		if m := &v.members[v.ring[(first-j+2*len(v.ring))%len(v.ring)]]; int(m.id) != skip {
			dst = append(dst, m.id)
			n--
		}
	}
	return dst
}

// succ returns this peer's first n successors.
func (v *view) succ(n int) []wire.ID {
	return v.successors(v.pos(v.me), n, int(v.self), nil)
}

// pred returns this peer's first n predecessors.
func (v *view) pred(n int) []wire.ID {
	return v.predecessors(v.pos(v.me), n, int(v.self), nil)
}

// owner returns the first live peer at or after k.
func (v *view) owner(k wire.Pos) (wire.ID, bool) {
	o := v.successors(k-1, 1, nobody, nil)
	if len(o) == 0 {
		return 0, false
	}
	return o[0], true
}

// holder is a place for copies of a key.
type holder struct {
	id   wire.ID
	home bool // a home holder; else a stand-in
	up   bool // in the computed ring
	use  bool // takes writes
}

// holders appends the home holders of k and, for each that takes no writes, a
// stand-in: the next peers after them that do. Who is in cannot takes none,
// whatever its row says.
func (v *view) holders(k wire.Pos, dst []holder, cannot ...wire.ID) []holder {
	homes, lacking := 0, 0
	for j, i := 0, v.at(k); j < len(v.members); j, i = j+1, (i+1)%len(v.members) {
		m := &v.members[i]
		switch {
		case homes < v.copies && m.home():
			homes++
			use := m.usable() && !slices.Contains(cannot, m.id)
			if !use {
				lacking++
			}
			dst = append(dst, holder{m.id, true, m.inRing, use})
		case homes >= v.copies && lacking > 0 && m.usable() && !slices.Contains(cannot, m.id):
			lacking--
			dst = append(dst, holder{m.id, false, true, true})
		case homes >= v.copies && lacking == 0:
			return dst
		}
	}
	return dst
}

// targets returns who gets the writes of k: usable home holders, then
// stand-ins; nobody in cannot.
func (v *view) targets(k wire.Pos, cannot ...wire.ID) []wire.ID {
	var ids []wire.ID
	for _, h := range v.holders(k, nil, cannot...) {
		if h.use {
			ids = append(ids, h.id)
		}
	}
	return ids
}

// ill returns the home holders of k, of those in the ring, whose rows say that
// their disks take no writes, and why.
func (v *view) ill(k wire.Pos) (all []Declined) {
	for _, h := range v.holders(k, nil) {
		switch m := v.member(h.id); {
		case !h.home || !m.inRing:
		case m.state == wire.Full:
			all = append(all, Declined{h.id, wire.CodeFull})
		case m.state == wire.Stuck:
			all = append(all, Declined{h.id, wire.CodeStuck})
		}
	}
	return all
}

// crowd is how many times the copies of a key a walk for givers or takers goes
// on past members that are joining.
const crowd = 4

// givers returns those who may hold what belongs to this peer, and must have
// settled it before it may say no: the other home holders of its ranges and
// the next one, which was home before it came or stood in for it. That is
// copies on either side; to a peer that is joining, others that are joining
// don't count, as they may have nothing themselves.
func (v *view) givers() []wire.ID {
	if v.members[v.me].state == wire.Joining {
		return v.takers()
	}
	return v.near(func(*member) bool { return true })
}

// takers returns those whose giver this peer may be.
func (v *view) takers() []wire.ID {
	return v.near(func(m *member) bool { return m.state != wire.Joining })
}

// near returns the members on either side of this peer, to the one that is
// the copies-th to count.
func (v *view) near(counts func(*member) bool) []wire.ID {
	var ids []wire.ID
	for _, step := range []int{1, len(v.members) - 1} {
		n, most := v.copies, crowd*v.copies
		for j, i := 1, (v.me+step)%len(v.members); j < len(v.members) && n > 0 && most > 0; j, i = j+1, (i+step)%len(v.members) {
			m := &v.members[i]
			if !m.home() {
				continue
			}
			if most--; counts(m) {
				n--
			}
			if !slices.Contains(ids, m.id) {
				ids = append(ids, m.id)
			}
		}
	}
	return ids
}

// away returns the members that can be home holders and take no writes now.
func (v *view) away() []wire.ID {
	var ids []wire.ID
	for i := range v.members {
		if m := &v.members[i]; m.home() && !m.usable() {
			ids = append(ids, m.id)
		}
	}
	return ids
}

// outcasts returns the indices of the members outside of the computed ring that
// have this peer among their K nearest predecessors in it: those before its
// K-th successor.
func (v *view) outcasts() (out []int) {
	passed := 0
	for n, i := 1, v.me+1; n < len(v.members) && passed < v.k && v.inRing(); n, i = n+1, i+1 {
		if i %= len(v.members); v.members[i].inRing {
			passed++
		} else {
			out = append(out, i)
		}
	}
	return out
}

// missing returns the indices of the members outside of the computed ring that
// this peer goes on testing: those that it watches, and those whom only its
// own belief keeps out, as others may have no reason to tell it otherwise.
func (v *view) missing() (out []int) {
	outcasts := v.outcasts()
	for _, o := range v.out {
		i := int(o.index)
		m := &v.members[i]
		if m.id != v.self && !(m.seen() && m.state >= wire.Leaving) && (m.absent || m.silent || m.deaf || slices.Contains(outcasts, i)) {
			out = append(out, i)
		}
	}
	return out
}

// take returns what was news since the last call.
func (v *view) take() []item {
	fresh := v.fresh
	v.fresh = nil
	return fresh
}

// read appends what an item names to rows or votes, if it is still there.
func (v *view) read(x item, rows []wire.Row, votes []wire.Vote) ([]wire.Row, []wire.Vote) {
	switch m := v.member(x.on); {
	case m == nil:
	case x.by == x.on && m.seen():
		rows = append(rows, m.row())
	default:
		if t := v.voteOf(x.by, x.on); t != nil {
			votes = append(votes, *t)
		}
	}
	return rows, votes
}

// all returns every row and vote.
func (v *view) all() ([]wire.Row, []wire.Vote) {
	return v.parts(func(int) bool { return true })
}

// parts returns every row and vote of some of the buckets.
func (v *view) parts(of func(bucket int) bool) (rows []wire.Row, votes []wire.Vote) {
	for i := range v.members {
		if m := &v.members[i]; m.seen() && of(wire.Bucket(m.id)) {
			rows = append(rows, m.row())
			votes = append(votes, v.votes[m.id]...)
		}
	}
	return rows, votes
}
