package sim

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// What a liar itself suffers is excepted from all of this: its own operations,
// its own view, what only it holds, and what it sends.

// opLimit is how long an operation of a live peer may take: a lookup of eight
// silent peers, and the transfer of a small file that stalls once.
const opLimit = 2 * time.Minute

// backWithin is how many intervals a live peer may be missing in the ring of
// another to which links lead.
const backWithin = 5

// foundWithin is the same for one whom only that other peer holds silent, and
// has no link with: they have to find each other first, by slow dials.
const foundWithin = 15

// invariant is a sentence that must hold, and how to find out.
type invariant struct {
	sentence string
	check    func(*World) error
}

// always holds at every moment, whatever the faults; asked each second.
var always = []invariant{
	{"a live peer falsely judged is back everywhere within five intervals", (*World).checkBack},
	{"every operation ends", (*World).checkOps},
}

// eachStep holds after every step of the peer that took it; in large worlds it
// is asked each second.
var eachStep = []struct {
	sentence string
	check    func(*World, *process, ring.Status) error
}{
	{"nobody outside the roster is in any view", (*World).checkRoster},
	{"the ring follows from the view: seen, not stopped or further, not unreachable, by position", (*World).checkRing},
	{"equal views give equal rings, at all times and everywhere", (*World).checkEqual},
	{"no verdict by fewer votes than the rule's: two, or the only other one's in the ring", (*World).checkVerdicts},
	{"nobody votes gone before it has heard nothing for the whole grace, or its operator has spoken", (*World).checkGone},
	{"what a peer remembers is O(members)", (*World).checkLoad},
}

// whenQuiet holds when faults have ended and some time has passed.
var whenQuiet = []invariant{
	{"all views are equal, and one ring is over all who run", (*World).Whole},
	{"a leave ends, or names who is away", (*World).checkLeaves},
	{"equal views give equal holders, and a lookup ends at one", (*World).checkHolders},
	{"every version is on all its home holders that run", (*World).checkPlaced},
	{"an acked file is readable, as are all others that are there", (*World).checkReadable},
}

// Check tries what must always hold and records what does not.
func (w *World) Check() {
	for _, i := range always {
		if err := i.check(w); err != nil {
			w.violate("%s: %w", i.sentence, err)
		}
	}
	for _, h := range w.running() {
		if !h.liar {
			w.checkPeer(h.process, h.Status())
		}
	}
	if w.strict != nil {
		w.strict.islands()
	}
}

// checkPeer tries what must hold after every step.
func (w *World) checkPeer(p *process, s ring.Status) {
	for _, i := range eachStep {
		if err := i.check(w, p, s); err != nil {
			w.violate("%s: %v: %w", i.sentence, p.id, err)
		}
	}
}

// CheckQuiet tries what must hold when it is quiet and records what does not.
// It lets time pass.
func (w *World) CheckQuiet() {
	for _, i := range whenQuiet {
		if err := i.check(w); err != nil {
			w.violate("%s: %w", i.sentence, err)
		}
	}
}

// running returns the hosts whose process runs.
func (w *World) running() []*Host {
	return slices.DeleteFunc(slices.Clone(w.hosts), func(h *Host) bool { return h.process == nil })
}

// members returns the running hosts that are not on their way out, and do not
// lie.
func (w *World) members() []*Host {
	return slices.DeleteFunc(w.running(), func(h *Host) bool { return h.process.leaving || h.liar })
}

func (w *World) checkRoster(p *process, s ring.Status) error {
	for _, m := range s.Members {
		if _, ok := p.host.roster.has[m.ID]; !ok {
			return fmt.Errorf("%v is in the view", m.ID)
		}
	}
	for _, id := range s.Ring {
		if _, ok := p.host.roster.has[id]; !ok {
			return fmt.Errorf("%v is in the ring", id)
		}
	}
	return nil
}

func (w *World) checkRing(p *process, s ring.Status) error {
	pos := make(map[wire.ID]wire.Pos, len(s.Members))
	in := 0
	for _, m := range s.Members {
		pos[m.ID] = m.Pos
		if m.InRing != (m.Seen && m.State < wire.Stopped && (m.ID == p.id || !m.Unreachable)) {
			return fmt.Errorf("%v is in the ring: %v; %+v", m.ID, m.InRing, m)
		}
		if m.InRing {
			in++
		}
	}
	if len(s.Ring) != in || !slices.IsSortedFunc(s.Ring, func(a, b wire.ID) int { return cmp.Compare(pos[a], pos[b]) }) {
		return fmt.Errorf("ring %v of %v members", s.Ring, in)
	}
	return nil
}

// checkEqual compares the ring of a peer with those of all others that ever
// knew the same and believed the same. A peer is in its own ring even if the
// others have judged it.
func (w *World) checkEqual(p *process, s ring.Status) error {
	if w.strict == nil {
		return nil
	}
	known := binary.BigEndian.Uint64(s.View[:])
	mix := func(x uint64) { known = (known ^ x) * 1099511628211 }
	mix(binary.BigEndian.Uint64(p.host.roster.Digest[:]))
	for i, m := range s.Members {
		if m.Believed {
			mix(uint64(i) + 1)
		}
		if m.ID == p.id && m.Unreachable {
			mix(uint64(i) + 1<<32)
		}
	}
	follows := hashIDs(s.Ring)
	if was, ok := w.strict.rings[known]; ok && was != follows {
		return fmt.Errorf("ring %v; the same view gave another", s.Ring)
	}
	w.strict.rings[known] = follows
	return nil
}

// checkVerdicts counts the votes itself.
func (w *World) checkVerdicts(p *process, s ring.Status) error {
	for _, m := range s.Members {
		var against, gone []wire.ID
		for _, v := range m.Votes {
			_, ok := p.host.roster.has[v.Observer]
			if !ok || v.Member != m.ID || v.Incarnation != m.Incarnation || v.Observer == m.ID {
				return fmt.Errorf("vote %+v on %v does not count", v, m.ID)
			}
			if v.Verdict >= wire.Unreachable {
				against = append(against, v.Observer)
			}
			if v.Verdict == wire.Gone {
				gone = append(gone, v.Observer)
			}
		}
		enough := func(by []wire.ID) bool {
			return len(by) >= 2 || len(by) == 1 && !slices.ContainsFunc(s.Ring, func(id wire.ID) bool {
				return id != m.ID && id != p.id && id != by[0]
			})
		}
		if m.Verdict && !enough(against) || m.Gone && !enough(gone) {
			return fmt.Errorf("verdict %v, gone %v on %v by %v and %v in ring %v", m.Verdict, m.Gone, m.ID, against, gone, s.Ring)
		}
	}
	return nil
}

func (w *World) checkGone(p *process, s ring.Status) error {
	if w.strict == nil {
		return nil
	}
	k := w.strict.peers[p.id]
	for _, m := range s.Members {
		i := slices.IndexFunc(m.Votes, func(v wire.Vote) bool { return v.Observer == p.id })
		if i < 0 || m.Votes[i].Sequence <= k.cast[m.ID] {
			continue
		}
		k.cast[m.ID] = m.Votes[i].Sequence
		since := max(k.heard[m.ID], k.start)
		if m.Votes[i].Verdict == wire.Gone && !k.spoke[m.ID] && span(w.now-since) < w.Config.Grace {
			return fmt.Errorf("%v: heard %v ago, started %v ago, grace %v", m.ID,
				span(w.now-k.heard[m.ID]), span(w.now-k.start), w.Config.Grace)
		}
	}
	return nil
}

// loadCap is how many things a peer may remember beside its members: of each
// what is known of it as a neighbour (a line, a watch, what it was told, asked
// and passed on), and the votes on it; and what has limits of its own, which
// are those of copies.
func (w *World) loadCap() int {
	return len(w.hosts)*(loadPerMember+w.votesEach()) + loadOfCopies
}

const (
	loadPerMember = 14
	loadOfCopies  = 400 // 256 offers taken, 32 made, 64 versions scanned, 8 pulls, and their waiters
)

// votesEach is how many votes on one member there may be: of its K observers,
// and while others come and go of those that were before, in its incarnation.
func (w *World) votesEach() int { return 4 * w.Config.Observers }

func (w *World) checkLoad(p *process, s ring.Status) error {
	if w.strict != nil {
		w.strict.peers[p.id].load = max(w.strict.peers[p.id].load, s.Load)
	}
	if s.Load > w.loadCap() {
		return fmt.Errorf("%v things, of %v members", s.Load, len(s.Members))
	}
	return nil
}

// What a peer sends in an interval, at most, whatever happens: when half of
// the ring dies, two rings merge, or a liar does what it can.
const (
	newsEach     = 20                    // batches of news to a peer with a link: one in T/20
	compareEach  = 4                     // with a peer whose view differs: sums and what differs, asked and answered
	probesEach   = 10                    // pings to one that is silent: one an RTO, which is T/10 at least
	copiesEach   = 128                   // offers and their answers (32 open ones), and what users ask
	manifestSize = 400                   // of an offer, with a name as these worlds have them
	sumsSize     = recordSize + 1 + 64*8 // of the sums of a view
)

// rateCap is the most that a peer may send in an interval. It may have links
// with all others; pings go to K successors, K past the silent, and helpers,
// and as many acks to who pings it; each link may carry all rows and votes
// once, and what has changed since in its batches.
func (w *World) rateCap() traffic {
	n, k := len(w.hosts), w.Config.Observers
	pings := (4*k + 4) * probesEach
	c := traffic{messages: (n-1)*(newsEach+compareEach) + pings + copiesEach}
	all := n * (rowSize + w.votesEach()*voteSize)
	c.bytes = (n-1)*(2*all+compareEach*sumsSize+newsEach*recordSize) + pings*datagramSize + copiesEach*manifestSize
	return c
}

// checkRate looks at what a peer sent in an interval. Who resumes from a pause
// answers at once what came meanwhile.
func (w *World) checkRate(p *process, sent traffic) {
	if p.resumed != 0 && w.now-p.resumed < ring.Time(4*w.Config.Interval) {
		return
	}
	if c := w.rateCap(); sent.messages > c.messages || sent.bytes > c.bytes {
		w.violate("no peer sends more in an interval than it may: %v sent %+v, at most %+v", p.id, sent, c)
	}
}

// checkBack finds live peers that others do not have in their rings though
// links lead to them and nothing has been wrong with either for a while.
func (w *World) checkBack() error {
	if w.strict == nil {
		return nil
	}
	var errs []error
	slack := time.Second + 4*(w.Config.Net.Delay+w.Config.Net.Jitter)
	if w.Config.Net.Loss > 0 {
		slack += linkTimeout // a segment that is lost again and again
	}
	for _, h := range w.hosts {
		if !w.well(h) {
			w.strict.peers[h.ID].well = w.now
		}
	}
	for _, o := range w.members() {
		k := w.strict.peers[o.ID]
		if k.well == w.now {
			clear(k.out)
			continue
		}
		s := o.Status()
		near := w.linked(o)
		for _, h := range w.members() {
			well := max(k.well, w.strict.peers[h.ID].well)
			if slices.Contains(s.Ring, h.ID) || well == w.now || !near[h.ID] {
				delete(k.out, h.ID)
				continue
			}
			if k.out[h.ID] == 0 {
				k.out[h.ID] = w.now
			}
			limit := backWithin * w.Config.Interval
			if i := slices.IndexFunc(s.Members, func(m ring.MemberStatus) bool { return m.ID == h.ID }); !s.Members[i].Verdict && !s.Members[i].Linked {
				limit = foundWithin * w.Config.Interval
			}
			if span(w.now-max(k.out[h.ID], well)) > limit+slack { // who came back is not out from before
				errs = append(errs, fmt.Errorf("%v is not in the ring of %v since %v", h.ID, o.ID, span(k.out[h.ID])))
				delete(k.out, h.ID)
			}
		}
	}
	return errors.Join(errs...)
}

// well says whether a machine runs in its ring, under the newest roster, and
// reaches all that run.
func (w *World) well(h *Host) bool {
	p := h.process
	if p == nil || p.paused || p.leaving || h.late > 0 || h.roster.Serial != w.law.serial {
		return false
	}
	if s := h.Status(); !s.InRing || s.Stopping {
		return false
	}
	for c := range w.cuts {
		if (c[0] == h.ID || c[1] == h.ID) && w.byID[c[0]].process != nil && w.byID[c[1]].process != nil {
			return false
		}
	}
	return true
}

// linked returns those to whom ring links lead from a host, over others that
// are well.
func (w *World) linked(from *Host) map[wire.ID]bool {
	seen := map[wire.ID]bool{from.ID: true}
	for todo := []*Host{from}; len(todo) > 0; todo = todo[1:] {
		p := todo[0].process
		for id, r := range p.pairs {
			if h := w.byID[id]; !seen[id] && r.end != nil && r.end.up && r.end.remote == h.process && !h.liar && w.strict.peers[id].well < w.now {
				seen[id] = true
				todo = append(todo, h)
			}
		}
	}
	return seen
}

func (w *World) checkOps() error {
	var errs []error
	w.open = slices.DeleteFunc(w.open, func(op *Op) bool {
		if op.Ended || op.Lost {
			return true
		}
		if op.process.paused || op.process.host.liar || op.Kind == LeaveOp || span(w.now-max(op.Begun, op.process.resumed)) < opLimit {
			return false
		}
		errs = append(errs, fmt.Errorf("%v of %q by %v began at %v", op.Kind, op.Name, op.Host, span(op.Begun)))
		return true
	})
	return errors.Join(errs...)
}

// checkEnd looks at how one operation ended.
func (w *World) checkEnd(op *Op) {
	if w.byID[op.Host].liar {
		return
	}
	switch r := op.Result; op.Kind {
	case PutOp, RemoveOp:
		w.checkNumber(op)
		switch r.Outcome {
		case ring.Succeeded:
			w.Count.Acked++
			w.checkAck(op)
		case ring.Degraded:
			w.Count.Degraded++
		case ring.Taken:
			if !slices.ContainsFunc(w.ops, func(o *Op) bool {
				return o.Kind == PutOp && o.Name == op.Name && o.Host == r.By && o.Host != op.Host
			}) && !w.byID[r.By].liar {
				w.violate("taken is said only of a name that another has: %v of %q, by %v", op.Host, op.Name, r.By)
			}
		}
	case GetOp:
		w.checkGet(op)
	case LookupOp:
		w.checkLookup(op)
	}
}

// checkNumber compares the version of a put or remove that was confirmed with
// those of the same run before it: of two that have one number, one could not be
// had any more. Of an earlier run all copies may be lost, or on the other side of a
// cut.
func (w *World) checkNumber(op *Op) {
	m := op.Result.Manifest
	stored := func(o *Op) bool {
		return o.Ended && (o.Kind == PutOp || o.Kind == RemoveOp) && (o.Result.Outcome == ring.Succeeded || o.Result.Outcome == ring.Degraded)
	}
	for _, o := range w.ops {
		if was := o.Result.Manifest; o.process == op.process && stored(op) && stored(o) && was.Name == m.Name && was.Writer == m.Writer && was.Version == m.Version && was != m {
			w.violate("no two versions of one run have one number: %v of %q by %v at %v and %v of %v at %v, version %v",
				op.Kind, op.Name, op.Host, span(op.Begun), o.Kind, o.Host, span(o.Begun), m.Version)
		}
	}
}

// checkGet looks at how a get ended.
func (w *World) checkGet(op *Op) {
	acked := w.ackedBefore(op)
	switch op.Result.Outcome {
	case ring.Succeeded:
		w.Count.Fetched++
		if op.Manifest.Flags&wire.Tombstone != 0 || op.Manifest.Name != op.Name {
			w.violate("a get brings a version of the name: %v got %+v", op.Host, op.Manifest)
		}
		if o := w.newestAcked(op); o != nil && o.Result.Manifest.Newer(op.Manifest) {
			if id, ok := w.reader(op, o); ok {
				w.violate("a get brings nothing older than its writer was acked before it began: %v got version %v of %q, version %v is on %v",
					op.Host, op.Manifest.Version, op.Name, o.Result.Manifest.Version, id)
			}
		}
	case ring.NotFound:
		// With one copy there is no other home holder to ask: one that died
		// before it was given what is its own may come back and say no.
		if acked != nil && w.Config.Copies > 1 && op.process.reaches(acked) {
			w.violate("not found is never said of an acked file: %v of %q, acked by %v at %v",
				op.Host, op.Name, acked.Host, span(acked.At))
		}
		fallthrough
	case ring.Unavailable:
		if id, ok := w.reader(op, acked); ok {
			w.violate("an acked file is readable whenever one of its holders is live and connected: %v of %q, acked by %v at %v, on %v",
				op.Host, op.Name, acked.Host, span(acked.At), id)
		}
	}
}

// reader returns a holder of an acked version that, like who asks, has been
// well since before a get began. In a network that loses much, an answer may
// come too late. A liar that is home alone can withhold a version.
func (w *World) reader(op, acked *Op) (wire.ID, bool) {
	if acked == nil || w.strict == nil || w.Config.Net.Loss > 0.1 || w.liesAlone(op.Name) {
		return 0, false
	}
	before := op.Begun - ring.Time(backWithin*w.Config.Interval)
	well := func(id wire.ID) bool {
		h := w.byID[id]
		return w.strict.peers[id].well < before && w.well(h) && h.disk.unread == 0
	}
	if !well(op.Host) {
		return 0, false
	}
	in := op.process.ring.Status().Ring
	for _, id := range acked.Result.Copies {
		if h := w.byID[id]; slices.Contains(in, id) && !h.liar && well(id) && h.keeps(w.version(acked.Result.Manifest)) {
			return id, true
		}
	}
	return 0, false
}

// checkLookup holds a lookup to its budget, and to a peer that has said, when
// it was asked, that it is a holder. In a walk a liar on the way is believed
// when it says so.
func (w *World) checkLookup(op *Op) {
	r := op.Result
	tries := 8
	if w.Config.Walk {
		tries = len(w.hosts) + 1
	}
	if len(r.Path) > tries {
		w.violate("a lookup ends within its budget: %v of %q went over %v", op.Host, op.Name, r.Path)
	}
	if r.Outcome != ring.Succeeded || w.strict == nil {
		return
	}
	switch h := w.byID[r.At]; {
	case h == nil:
		w.violate("a lookup ends at a holder: %v of %q at %v", op.Host, op.Name, r.At)
	case h.liar && w.Config.Walk:
	case h.liar || r.At == op.Host:
		if !slices.Contains(w.holders(op.process.ring.Status(), op.Name), r.At) {
			w.violate("a lookup ends at a holder: %v of %q at %v", op.Host, op.Name, r.At)
		}
	case !w.strict.heres[here{r.At, op.Host, op.Name}]:
		w.violate("a lookup ends at a holder: %v of %q at %v", op.Host, op.Name, r.At)
	}
}

// checkAck holds a put or remove to what success means: as many copies as
// wanted, each on a disk. A disk that was lost meanwhile is excused.
func (w *World) checkAck(op *Op) {
	r := op.Result
	host := w.byID[op.Host]
	if want := min(w.Config.Copies, len(host.roster.Members)); r.Wanted != want || len(r.Copies) < want {
		w.violate("success means all wanted copies: %v of %q by %v has %v, wanted %v, not %v",
			op.Kind, op.Name, op.Host, r.Copies, want, r.Wanted)
	}
	v := w.version(r.Manifest)
	for i, id := range r.Copies {
		h := w.byID[id]
		if slices.Contains(r.Copies[:i], id) || !h.keeps(v) && h.wiped < op.Begun && !h.liar {
			w.violate("success means that every copy is on a disk: %v of %q by %v on %v", op.Kind, op.Name, op.Host, id)
		}
	}
}

// reaches says whether a peer has in its ring, or takes for a home holder of
// the name, one of those who acked a put and have not lost their disks since.
// While all of them are away, and others have become home holders, nobody can
// know of the file; nor can a ring of peers that never saw any of them.
func (p *process) reaches(acked *Op) bool {
	s := p.ring.Status()
	homes, _ := p.world.places(s, acked.Name)
	return slices.ContainsFunc(append(homes, s.Ring...), func(id wire.ID) bool {
		h := p.world.byID[id]
		return slices.Contains(acked.Result.Copies, id) && !h.liar && h.wiped < acked.Begun
	})
}

// newestAcked returns the put of the newest version, by the writer whose file a
// get has brought, that had succeeded when it began.
func (w *World) newestAcked(op *Op) (newest *Op) {
	for _, o := range w.ops {
		if o.Kind == PutOp && o.Name == op.Name && o.Host == op.Manifest.Writer && o.Ended && o.At <= op.Begun &&
			o.Result.Outcome == ring.Succeeded && !w.byID[o.Host].liar &&
			(newest == nil || o.Result.Manifest.Newer(newest.Result.Manifest)) {
			newest = o
		}
	}
	return newest
}

// ackedBefore returns a put that had succeeded when op began, of a name that
// nobody has begun to remove before op ended.
func (w *World) ackedBefore(op *Op) *Op {
	var acked *Op
	for _, o := range w.ops {
		switch {
		case o.Name != op.Name:
		case o.Kind == RemoveOp && o.Begun <= op.At:
			return nil
		case o.Kind == PutOp && o.Ended && o.Result.Outcome == ring.Succeeded && o.At <= op.Begun && !w.byID[o.Host].liar:
			acked = o
		}
	}
	return acked
}

// Whole reports whether all that run are in one ring, in which they are
// active and all views are equal, and if not, why. A liar is in it or not.
func (w *World) Whole() error {
	var ids []wire.ID
	running := w.members()
	for _, h := range running {
		ids = append(ids, h.ID)
	}
	var view wire.Digest
	for i, h := range running {
		s := h.Status()
		in := slices.DeleteFunc(slices.Sorted(slices.Values(s.Ring)), func(id wire.ID) bool { return w.byID[id].liar })
		if i == 0 {
			view = s.View
		}
		switch {
		case !slices.Equal(in, ids):
			return fmt.Errorf("%v has the ring %v, not %v", h.ID, in, ids)
		case s.View != view:
			return fmt.Errorf("%v and %v have different views", h.ID, running[0].ID)
		case len(running) == 1 && w.lied() && s.InRing: // with nobody but a liar to say what it lacks
		case s.State != h.disk.state || s.Behind:
			return fmt.Errorf("%v is in state %v, behind %v", h.ID, s.State, s.Behind)
		}
	}
	return nil
}

// Settled reports whether the ring is whole, nothing moves, and nobody is
// about to be gone by time, which would move something.
func (w *World) Settled() error {
	if err := w.Whole(); err != nil {
		return err
	}
	for _, h := range w.members() {
		s := h.Status()
		if s.Moving > 0 {
			return fmt.Errorf("%v moves %v versions", h.ID, s.Moving)
		}
		for _, m := range s.Members {
			if w.Config.Grace > 0 && !s.Cut && m.Seen && m.State <= wire.Stopped && !m.Gone && w.byID[m.ID].process == nil {
				return fmt.Errorf("%v has yet to call %v gone", h.ID, m.ID)
			}
		}
	}
	return w.checkPlaced()
}

// checkLeaves lets a leaver stay only while home holders of what it holds are
// away, and only if it has said so.
func (w *World) checkLeaves() error {
	for _, op := range w.ops {
		if op.Kind != LeaveOp || op.Lost || !op.process.leaving || op.process.host.liar {
			continue
		}
		if op.Ended && op.Result.Outcome == ring.Succeeded {
			continue // it is saying so to the others, and ends
		}
		if op.Result.Outcome != ring.StillHolding || len(op.Result.Silent) == 0 {
			return fmt.Errorf("%v still runs: ended %v, outcome %v, silent %v",
				op.Host, op.Ended, op.Result.Outcome, op.Result.Silent)
		}
	}
	return nil
}

// checkHolders has everybody say who holds some names. Who has gone by time
// meanwhile makes another view. A liar may lead a lookup to an explicit error.
func (w *World) checkHolders() error {
	for _, name := range append(w.names(), "0000", "0100", "elsewhere") {
		// Who believes what of a liar, which comes and goes as it likes, is its own.
		type sight struct {
			view wire.Digest
			ring string
		}
		first := make(map[sight]*Op)
		for _, h := range w.members() {
			op := w.Lookup(h.ID, name)
			if !w.Await(ring.Succeeded, op) {
				if op.Ended && w.lied() {
					continue
				}
				return fmt.Errorf("a lookup of %q by %v: ended %v, outcome %v", name, h.ID, op.Ended, op.Result.Outcome)
			}
			s := h.Status()
			view := sight{s.View, fmt.Sprint(s.Ring)}
			if first[view] == nil {
				first[view] = op
			}
			a, b := op.Result, first[view].Result
			if a.Owner != b.Owner && !w.lied() || !slices.Equal(a.Holders, b.Holders) {
				return fmt.Errorf("of %q: %v says %v of %v, %v says %v of %v", name,
					op.Host, a.Owner, a.Holders, first[view].Host, b.Owner, b.Holders)
			}
		}
	}
	return nil
}

// lied says whether there is a liar.
func (w *World) lied() bool {
	return slices.ContainsFunc(w.hosts, func(h *Host) bool { return h.liar })
}

// names returns every name that was ever put, in order.
func (w *World) names() []string {
	var names []string
	for _, op := range w.ops {
		if op.Kind == PutOp && !slices.Contains(names, op.Name) {
			names = append(names, op.Name)
		}
	}
	slices.Sort(names)
	return names
}

// homes returns the home holders of a name in the view of one peer that runs.
func (w *World) homes(name string) []wire.ID {
	running := w.members()
	if len(running) == 0 {
		return nil
	}
	homes, _ := w.places(running[0].Status(), name)
	return homes
}

// holders returns the home holders of a name and the stand-ins, in the ring
// or not, and where the ring is walked its owner, whatever its disk is like:
// a walk ends there.
func (w *World) holders(s ring.Status, name string) []wire.ID {
	homes, standIns := w.places(s, name)
	holders := append(homes, standIns...)
	if w.Config.Walk {
		key := wire.KeyOf(w.Config.Space, name)
		var owner *ring.MemberStatus
		for i := range s.Members {
			if m := &s.Members[i]; m.InRing && (owner == nil || m.Pos-key < owner.Pos-key) { // from the key on
				owner = m
			}
		}
		if owner != nil {
			holders = append(holders, owner.ID)
		}
	}
	return holders
}

// places returns the holders of a name, by the definition: home holders are
// the first Copies members at or after its key that were seen and are not
// leaving, left or gone; for each that is not in the ring, or whose disk takes
// nothing, the next one after them that is and does stands in.
func (w *World) places(s ring.Status, name string) (homes, standIns []wire.ID) {
	members := slices.Clone(s.Members)
	slices.SortFunc(members, func(a, b ring.MemberStatus) int { return cmp.Compare(a.Pos, b.Pos) })
	key := wire.KeyOf(w.Config.Space, name)
	start, _ := slices.BinarySearchFunc(members, key, func(m ring.MemberStatus, k wire.Pos) int {
		return cmp.Compare(m.Pos, k)
	})
	lacking := 0
	for i := range members {
		m := members[(start+i)%len(members)]
		takes := m.InRing && m.State != wire.Full && m.State != wire.Stuck
		switch {
		case len(homes) < w.Config.Copies:
			if m.Seen && m.State < wire.Leaving && !m.Gone {
				homes = append(homes, m.ID)
				if !takes {
					lacking++
				}
			}
		case lacking > 0 && takes:
			standIns = append(standIns, m.ID)
			lacking--
		}
	}
	return homes, standIns
}

// live returns the newest version of each writer of a name on the disks of
// those that run, by writer.
func (w *World) live(name string) map[wire.ID]wire.Manifest {
	newest := make(map[wire.ID]wire.Manifest)
	for _, h := range w.running() {
		if h.liar {
			continue
		}
		for _, m := range h.disk.newest(name) {
			if o, ok := newest[m.Writer]; !ok || m.Newer(o) {
				newest[m.Writer] = m
			}
		}
	}
	return newest
}

func (w *World) checkPlaced() error {
	for _, name := range w.names() {
		newest := w.live(name)
		for _, id := range w.homes(name) {
			h := w.byID[id]
			if h.process == nil || h.disk.state != wire.Active || h.liar {
				continue
			}
			for _, writer := range sortedKeys(newest) {
				if m := newest[writer]; !h.Holds(w.version(m)) {
					return fmt.Errorf("%v lacks version %v of %q by %v", id, m.Version, name, writer)
				}
			}
		}
	}
	return nil
}

// checkReadable has everybody get every name. What comes is the newest of the
// live versions on the disks of those that run; while a home holder is away a
// version may be with a stand-in of earlier that nobody asks, but none comes
// that is older than what was acked; unless a liar is the only home holder
// there, which can withhold it.
func (w *World) checkReadable() error {
	for _, name := range w.names() {
		newest := w.live(name)
		if err := w.checkKept(name, newest); err != nil {
			return err
		}
		want := highest(slices.Collect(maps.Values(newest)))
		maps.DeleteFunc(newest, func(by wire.ID, _ wire.Manifest) bool { return w.byID[by].liar })
		least := highest(slices.Collect(maps.Values(newest)))
		if slices.ContainsFunc(w.homes(name), func(id wire.ID) bool { return w.byID[id].process == nil || w.byID[id].liar }) {
			if w.Config.Copies == 1 || w.liesAlone(name) {
				continue // the only holder may be away
			}
			least = highest(w.acked(name, newest))
		}
		for _, h := range w.members() {
			op := w.Get(h.ID, name)
			w.Await(ring.Succeeded, op)
			got := op.Manifest
			switch {
			case op.Result.Outcome != ring.Succeeded && op.Ended && least.Name == "":
			case op.Result.Outcome == ring.Succeeded && want.Name != "" && (got == least || least.Name == "" || got.Newer(least)):
			default:
				return fmt.Errorf("%v asks for %q: ended %v, outcome %v, version %v of %v, want at least version %v of %v",
					h.ID, name, op.Ended, op.Result.Outcome, got.Version, got.Writer, least.Version, least.Writer)
			}
		}
	}
	return nil
}

// liesAlone says whether a liar is home to a name, and nobody else who is runs.
func (w *World) liesAlone(name string) bool {
	lies, others := false, false
	for _, id := range w.homes(name) {
		h := w.byID[id]
		lies = lies || h.liar
		others = others || h.process != nil && !h.liar
	}
	return lies && !others
}

// highest returns the highest of some manifests that is no tombstone, if any.
func highest(ms []wire.Manifest) (high wire.Manifest) {
	for _, m := range ms {
		if m.Flags&wire.Tombstone == 0 && (high.Name == "" || m.Newer(high)) {
			high = m
		}
	}
	return high
}

// acked returns the versions of a name that were acked, are on a disk that
// runs, and are not followed by one of the same writer.
func (w *World) acked(name string, newest map[wire.ID]wire.Manifest) (ms []wire.Manifest) {
	for _, op := range w.ops {
		if op.Name == name && op.Kind == PutOp && op.Ended && op.Result.Outcome == ring.Succeeded && !w.byID[op.Host].liar &&
			newest[op.Result.Manifest.Writer] == op.Result.Manifest {
			ms = append(ms, op.Result.Manifest)
		}
	}
	return ms
}

// checkKept compares what is on the disks with what was acked, unless all
// whose copies were acked are away.
func (w *World) checkKept(name string, newest map[wire.ID]wire.Manifest) error {
	for _, op := range w.ops {
		if op.Name != name || op.Kind != PutOp && op.Kind != RemoveOp || op.Result.Outcome != ring.Succeeded || !op.Ended || w.byID[op.Host].liar {
			continue
		}
		m := op.Result.Manifest
		kept, ok := newest[m.Writer]
		if ok && (kept.Sum() == m.Sum() || kept.Newer(m)) {
			continue
		}
		if slices.ContainsFunc(op.Result.Copies, func(id wire.ID) bool {
			h := w.byID[id]
			return h.process != nil && h.wiped <= op.Begun && !h.liar
		}) {
			return fmt.Errorf("version %v of %q by %v, acked by %v, is on no disk", m.Version, name, m.Writer, op.Result.Copies)
		}
	}
	return nil
}
