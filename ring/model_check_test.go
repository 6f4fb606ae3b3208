package ring

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"securepeer/wire"
)

// opLimit is how long an operation may take: three seconds of answers, a
// transfer that stalls, and two offers, one after the other, that nobody
// answers.
const opLimit = Time(60 * time.Second)

// witness is what somebody who sees everything remembers of what happened.
type witness struct {
	spoken []wire.Row         // of each member, the newest that left it since its disk was new
	ever   []wire.Incarnation // of each member, the highest that left it
	puts   int                // so far
	acked  []ack
	rm     bool // a remove has begun
}

// ack is a put or remove that ended well.
type ack struct {
	manifest wire.Manifest
	copies   []wire.ID // less those whose disk was lost since
}

func (k witness) clone() witness {
	k.spoken, k.ever, k.acked = slices.Clone(k.spoken), slices.Clone(k.ever), slices.Clone(k.acked)
	return k
}

// invariants hold in every reachable state. What could break one of those
// below within a step is held to it at once, in the same words: see violate.
var invariants = []struct {
	sentence string
	check    func(*globe, []Status) error
}{
	{"equal views give equal rings and holders", (*globe).checkRings},
	{"a ring is sorted, has nobody twice, and its owner if that says so", (*globe).checkOrder},
	{"nobody outside the roster is in a view, and no row that its member did not speak", (*globe).checkRows},
	{"a verdict has two votes, or that of the only observer", (*globe).checkVerdicts},
	{"an acked version is on the disks that the ack named", (*globe).checkAcked},
	{"what a view derives follows from its rows, votes and beliefs", (*globe).checkDerived},
	{"every operation ends in a minute", (*globe).checkOps},
}

// check tries all invariants.
func (g *globe) check() {
	var all []Status
	for _, h := range g.running() {
		all = append(all, h.ring.Status())
	}
	for _, i := range invariants {
		if err := i.check(g, all); err != nil {
			g.violate("%s: %v", i.sentence, err)
		}
	}
}

func (g *globe) violate(format string, args ...any) {
	g.broken = append(g.broken, fmt.Sprintf(format, args...))
}

// running returns the hosts whose process runs.
func (g *globe) running() []*host {
	return slices.DeleteFunc(slices.Clone(g.hosts), func(h *host) bool { return h.ring == nil })
}

func (g *globe) checkRings(all []Status) error {
	// What only a peer itself believes is no part of its view, and in its own
	// ring it is whatever the others say.
	differ := func(a, b Status) bool {
		for i, m := range a.Members {
			n := b.Members[i]
			mine := m.ID == a.Self || m.ID == b.Self
			if m.Believed != n.Believed || mine && (m.Verdict || m.Gone || n.Verdict || n.Gone) {
				return true
			}
		}
		return a.View != b.View
	}
	for i, a := range all {
		for _, b := range all[:i] {
			if differ(a, b) {
				continue
			}
			if !slices.Equal(a.Ring, b.Ring) {
				return fmt.Errorf("%v has %v, %v has %v", a.Self, a.Ring, b.Self, b.Ring)
			}
			for _, m := range a.Members {
				v, w := g.hosts[a.Self].ring.view.holders(m.Pos, nil), g.hosts[b.Self].ring.view.holders(m.Pos, nil)
				if !slices.Equal(v, w) {
					return fmt.Errorf("of %v: %v says %v, %v says %v", m.Pos, a.Self, v, b.Self, w)
				}
			}
		}
	}
	return nil
}

func (g *globe) checkOrder(all []Status) error {
	for _, s := range all {
		if !slices.IsSorted(s.Ring) || len(slices.Compact(slices.Clone(s.Ring))) != len(s.Ring) {
			return fmt.Errorf("%v has the ring %v", s.Self, s.Ring)
		}
		if slices.Contains(s.Successors, s.Self) || slices.Contains(s.Predecessors, s.Self) {
			return fmt.Errorf("%v has the successors %v, the predecessors %v", s.Self, s.Successors, s.Predecessors)
		}
		if up := s.State != 0 && s.State < wire.Stopped; up != slices.Contains(s.Ring, s.Self) || up != s.InRing {
			return fmt.Errorf("%v in state %v has the ring %v", s.Self, s.State, s.Ring)
		}
	}
	return nil
}

func (g *globe) checkRows(all []Status) error {
	for _, s := range all {
		if len(s.Members) != len(g.hosts) || len(s.Ring) > len(g.hosts) {
			return fmt.Errorf("%v has %v members, the ring %v", s.Self, len(s.Members), s.Ring)
		}
		for _, m := range s.Members {
			if ever := g.witness.ever[m.ID]; m.Seen && m.ID != s.Self && m.Incarnation > ever {
				return fmt.Errorf("%v has incarnation %x of %v, which has spoken %x", s.Self, m.Incarnation, m.ID, ever)
			}
			for _, t := range m.Votes {
				if t.Observer == m.ID || t.Member != m.ID || t.Incarnation != m.Incarnation {
					return fmt.Errorf("%v has vote %+v on %+v", s.Self, t, m)
				}
			}
		}
	}
	return nil
}

// checkVerdicts counts anew. Verdicts are found one after the other, so who
// voted may have been judged since; but who is in the ring now was in it then.
func (g *globe) checkVerdicts(all []Status) error {
	for _, s := range all {
		for _, m := range s.Members {
			votes, gone, others := 0, 0, 0
			for _, t := range m.Votes {
				if t.Verdict >= wire.Unreachable {
					votes++
				}
				if t.Verdict == wire.Gone {
					gone++
				}
			}
			for _, id := range s.Ring {
				if id != m.ID {
					others++
				}
			}
			if m.Verdict && (votes == 0 || votes == 1 && others > 1) || m.Gone && (gone == 0 || gone == 1 && others > 1) {
				return fmt.Errorf("%v judges %v by %d votes, %d of gone, of %d", s.Self, m.ID, votes, gone, others)
			}
		}
	}
	return nil
}

func (g *globe) checkAcked([]Status) error {
	for _, a := range g.witness.acked {
		for _, id := range a.copies {
			if _, ok := g.hosts[id].files[versionOf(a.manifest)]; !ok {
				return fmt.Errorf("version %v by %v is not at %v", a.manifest.Version, a.manifest.Writer, id)
			}
		}
	}
	return nil
}

func (g *globe) checkDerived([]Status) error {
	for _, h := range g.running() {
		v := clone(h.ring.view)
		v.setRoster(g.roster)
		if *v.digest() != *h.ring.view.digest() {
			return fmt.Errorf("the digest of %v is not that of its rows and votes", h.id)
		}
		if !slices.Equal(v.ring, h.ring.view.ring) || !slices.Equal(v.members, h.ring.view.members) || v.cut != h.ring.view.cut {
			return fmt.Errorf("%v has the ring %v, derived anew it is %v", h.id, h.ring.view.ring, v.ring)
		}
	}
	return nil
}

func (g *globe) checkOps([]Status) error {
	for _, o := range g.open {
		if g.now-o.begun > opLimit {
			return fmt.Errorf("%v of %v began %v ago", o.kind, o.host, time.Duration(g.now-o.begun))
		}
	}
	return nil
}

// checkSpoken looks at what a peer says of itself.
func (g *globe) checkSpoken(h *host, m wire.Message) {
	rows, ok := m.(wire.Rows)
	if !ok {
		return
	}
	for _, r := range rows.Rows {
		was := g.witness.spoken[h.id]
		switch {
		case r.ID != h.id:
		case r.Incarnation > h.incarnation:
			g.violate("an incarnation is durable before it is spoken: %v speaks %x, durable is %x", h.id, r.Incarnation, h.incarnation)
		case r.Incarnation < was.Incarnation || r.Incarnation == was.Incarnation && r != was:
			g.violate("an incarnation only rises, and says one thing: %v speaks %+v after %+v", h.id, r, was)
		default:
			g.witness.spoken[h.id] = r
			g.witness.ever[h.id] = max(g.witness.ever[h.id], r.Incarnation)
		}
	}
}

// checkAnswer looks at what a peer says to a question.
func (g *globe) checkAnswer(h *host, ev Event, actions []Action) {
	r, _ := ev.(Received)
	f, ok := r.Msg.(wire.Find)
	if !ok || f.For == wire.ForJoin {
		return
	}
	for _, a := range actions {
		if s, ok := a.(Send); ok && s.Msg == (wire.Here{Req: f.Req}) && !holds(h.id, wire.KeyOf(wire.Space8, f.Name), h.ring.view) {
			g.violate("a lookup ends at a holder: %v says Here to %v, and is none in its own view", h.id, r.From)
		}
	}
}

// ask notes an operation that a peer is about to get.
func (g *globe) ask(id wire.ID, kind string) Op {
	op := Op(1)
	for slices.ContainsFunc(g.open, func(o request) bool { return o.host == id && o.op == op }) {
		op++
	}
	g.witness.rm = g.witness.rm || kind == "rm"
	g.open = append(g.open, request{host: id, op: op, kind: kind, begun: g.now, acked: len(g.witness.acked)})
	return op
}

// done takes the result of an operation.
func (g *globe) done(h *host, op Op, r Result) {
	i := slices.IndexFunc(g.open, func(o request) bool { return o.host == h.id && o.op == op })
	if i < 0 {
		g.violate("an operation ends once: %v of %v", op, h.id)
		return
	}
	o := g.open[i]
	g.open = slices.Delete(slices.Clone(g.open), i, i+1)
	if o.kind == "get" {
		g.got = r
	}
	switch {
	case r.Outcome == Succeeded && (o.kind == "put" || o.kind == "rm"):
		if want := min(g.roster.Copies, len(g.hosts)); len(r.Copies) < want {
			g.violate("success means all wanted copies: %v of %v has %v, want %v", o.kind, h.id, r.Copies, want)
		}
		g.witness.acked = append(g.witness.acked, ack{r.Manifest, slices.Clone(r.Copies)})
	case r.Outcome == Succeeded && o.kind == "leave":
		g.checkLeft(h)
	case r.Outcome == NotFound && o.kind == "get":
		g.checkNotFound(h, o)
	}
}

// checkLeft looks whether who has left has given all that it holds to the home
// holders in its ring, unless one has lost its disk and has not said so yet.
func (g *globe) checkLeft(h *host) {
	v := h.ring.view
	for _, m := range h.newest() {
		for _, p := range v.holders(wire.KeyOf(wire.Space8, m.Name), nil) {
			_, has := g.hosts[p.id].files[versionOf(m)]
			if p.home && p.use && !has && v.member(p.id).store == g.hosts[p.id].store {
				g.violate("who leaves has given all to the home holders in its ring: %v has left, %v lacks version %v", h.id, p.id, m.Version)
			}
		}
	}
}

// checkNotFound holds a no against what was acked before it was asked, unless
// a remove has begun: no copy may be with a home holder in the asker's view,
// which has not said no then, nor with a peer in its ring and within reach.
func (g *globe) checkNotFound(h *host, o request) {
	if g.witness.rm {
		return
	}
	v := h.ring.view
	for _, a := range g.witness.acked[:o.acked] {
		for _, id := range a.copies {
			reached := v.member(id).inRing && g.hosts[id].ring != nil && !g.blocked(h.id, id) && !g.blocked(id, h.id)
			home := slices.ContainsFunc(v.holders(wire.KeyOf(wire.Space8, theName), nil), func(p holder) bool { return p.home && p.id == id })
			if reached || home {
				g.violate("not found is never said of an acked file: by %v, while %v has version %v", h.id, id, a.manifest.Version)
			}
		}
	}
}

// fetched brings a version to the user: from the first source that has it.
func (g *globe) fetched(h *host, f Fetch) {
	sources := slices.Clone(f.Sources)
	for _, o := range f.Others {
		sources = append(sources, o.Sources...)
	}
	if f.Manifest.Flags&wire.Tombstone != 0 {
		g.violate("a get brings what was not removed: %v gets %+v", h.id, f.Manifest)
	}
	r := Result{Outcome: Unavailable}
	for _, id := range f.Sources {
		p := g.hosts[id]
		_, has := p.files[versionOf(f.Manifest)]
		if has && p.ring != nil && !g.blocked(h.id, id) && !g.blocked(id, h.id) {
			r = Result{Manifest: f.Manifest}
		}
	}
	g.done(h, f.Op, r)
}

// unquiet says why the world is not quiet: all who run in one ring, with equal
// views, active and not behind, nothing moving, and each home holder that runs
// with the newest version that one of them has.
func (g *globe) unquiet() error {
	var live []wire.ID
	running := slices.DeleteFunc(g.running(), (*host).leaves)
	for _, h := range running {
		live = append(live, h.id)
	}
	newest := map[wire.ID]wire.Manifest{}
	for _, h := range g.running() {
		for _, m := range h.files {
			if o, ok := newest[m.Writer]; !ok || m.Newer(o) {
				newest[m.Writer] = m
			}
		}
	}
	if len(g.open) > 0 {
		return fmt.Errorf("%v of %v is under way", g.open[0].kind, g.open[0].host)
	}
	for _, h := range running {
		s := h.ring.Status()
		switch {
		case !slices.Equal(s.Ring, live):
			return fmt.Errorf("%v has the ring %v, not %v", h.id, s.Ring, live)
		case s.View != running[0].ring.view.digest().whole:
			return fmt.Errorf("%v and %v have different views", h.id, running[0].id)
		case h.state == wire.Full: // nobody can give it what it lacks
		case s.State != h.state || s.Behind:
			return fmt.Errorf("%v is in state %v, behind %v", h.id, s.State, s.Behind)
		case s.Moving > 0:
			return fmt.Errorf("%v moves %d", h.id, s.Moving)
		}
		for _, p := range h.ring.view.holders(wire.KeyOf(wire.Space8, theName), nil) {
			if !p.home || p.id != h.id || h.state == wire.Full {
				continue
			}
			for _, writer := range slices.Sorted(maps.Keys(newest)) {
				if _, ok := h.files[versionOf(newest[writer])]; !ok {
					return fmt.Errorf("%v lacks version %v by %v", h.id, newest[writer].Version, writer)
				}
			}
		}
	}
	return nil
}

// readable says why some peer of a quiet world can't get what was acked and
// is still on a disk that runs, or gets something older.
func (g *globe) readable() error {
	var least wire.Manifest
	for _, a := range g.witness.acked {
		m, there := a.manifest, false
		for _, h := range slices.DeleteFunc(g.running(), (*host).leaves) {
			_, has := h.files[versionOf(m)]
			there = there || has && slices.Contains(a.copies, h.id)
			if i := slices.IndexFunc(h.newest(), func(n wire.Manifest) bool { return n.Writer == m.Writer }); i >= 0 && h.newest()[i].Newer(m) {
				there = false
				break
			}
		}
		if there && m.Flags&wire.Tombstone == 0 && (least.Name == "" || m.Newer(least)) {
			least = m
		}
	}
	if least.Name == "" {
		return nil
	}
	f := g.fork()
	for _, h := range f.running() {
		if h.leaves() {
			continue
		}
		f.perform(fmt.Sprintf("get %d", h.id))
		f.arrive()
		for n := 0; n < 8 && len(f.open) > 0; n++ {
			f.pass(interval)
		}
		if got := f.got; got.Outcome != Succeeded || got.Manifest != least && !got.Manifest.Newer(least) {
			return fmt.Errorf("%v gets outcome %v, version %v by %v, want version %v by %v", h.id,
				got.Outcome, got.Manifest.Version, got.Manifest.Writer, least.Version, least.Writer)
		}
	}
	return nil
}
