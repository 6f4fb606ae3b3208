package ring

import (
	"slices"

	"securepeer/wire"
)

// get finds the newest version of a name and who has it.
type get struct {
	op    Op
	name  string
	by    wire.ID
	hasBy bool
	stat  bool      // only say who has what
	find  *find     // walking; nil: straight to the holders
	owner []wire.ID // where the walk ended: who said Here; else empty
	look  look
	asked bool // look has begun
	over  bool
}

// begin walks first where the ring is walked; the copies are asked for once
// the owner has said Here.
func (g *get) begin(now Time, v *view, rt route, o *outbox) {
	next, ok := rt.next(wire.KeyOf(v.space, g.name), v)
	if ok && next != v.self && !g.stat {
		o.notify(RequestSent, next, g.name)
		if rt.walk {
			g.find = &find{purpose: wire.ForGet, name: g.name, limit: rt.limit(v)}
			g.find.ask(now, next, lookWait, o)
			return
		}
	}
	g.arrived(now, v, o)
}

// arrived asks the holders.
func (g *get) arrived(now Time, v *view, o *outbox) {
	g.find, g.asked = nil, true
	g.look.begin(now, g.name, v, o)
	g.step(now, v, o)
}

// step ends the operation when the answers allow it: the highest of the first
// two that may say no, one of them from a home holder if any is reachable; a
// second one is waited for, but not for ever. So is the owner that a walk has
// led to, as the bytes come from it.
func (g *get) step(now Time, v *view, o *outbox) {
	if g.over || !g.asked {
		return
	}
	complete := g.look.complete(now)
	if g.stat {
		if complete {
			g.finish(statResult(&g.look, v), o)
		}
		return
	}
	n, home := g.look.good()
	live := g.live()
	switch {
	case len(live) > 0 && (complete || n >= 2 && home && !g.look.awaits(g.owner) || n > 0 && now >= g.look.deadline()):
		g.fetch(live, n, v, o)
	case complete && len(g.look.silent()) == 0:
		g.finish(Result{Outcome: NotFound}, o)
	case complete && g.look.widen(now, v, o):
	case complete:
		g.finish(Result{Outcome: Unavailable, Silent: g.look.silent()}, o)
	}
}

// live returns the newest manifests that are not tombstones, by the writer
// asked for.
func (g *get) live() []wire.Manifest {
	return slices.DeleteFunc(g.look.newest(), func(m wire.Manifest) bool {
		return m.Flags&wire.Tombstone != 0 || g.hasBy && m.Writer != g.by
	})
}

func (g *get) fetch(live []wire.Manifest, answers int, v *view, o *outbox) {
	f := Fetch{Op: g.op, Manifest: live[0], Sources: g.look.sources(live[0], v, g.owner), OneAnswer: answers < 2}
	for _, m := range live[1:] {
		f.AlsoBy = append(f.AlsoBy, m.Writer)
	}
	g.over = true
	o.do(f)
}

func (g *get) finish(r Result, o *outbox) {
	g.over = true
	o.done(g.op, r)
}

func (g *get) next() Time {
	switch {
	case g.find != nil:
		return g.find.until
	case !g.stat && len(g.live()) > 0:
		return g.look.deadline()
	}
	return g.look.began + lookWait
}

func statResult(k *look, v *view) Result {
	var r Result
	for _, l := range k.asked {
		r.Holders = append(r.Holders, l.peer)
		r.Found = append(r.Found, Found{Peer: l.peer, Home: l.home, Behind: l.behind,
			Silent: l.state != answered, Manifests: l.manifests})
	}
	r.Silent = k.silent()
	r.Owner, _ = v.owner(k.key)
	return r
}

// lookup follows a question and says where it went.
type lookup struct {
	op   Op
	name string
	find *find
	over bool
}

func (l *lookup) begin(now Time, v *view, rt route, o *outbox) {
	next, ok := rt.next(wire.KeyOf(v.space, l.name), v)
	if !ok || next == v.self {
		l.arrived(v.self, v, o)
		return
	}
	l.find = &find{purpose: wire.ForLookup, name: l.name, limit: rt.limit(v)}
	l.find.ask(now, next, lookWait, o)
}

// arrived ends the lookup: owner said Here.
func (l *lookup) arrived(owner wire.ID, v *view, o *outbox) {
	r := Result{Owner: owner}
	for _, h := range v.holders(wire.KeyOf(v.space, l.name), nil) {
		r.Holders = append(r.Holders, h.id)
	}
	l.finish(r, o)
}

func (l *lookup) finish(r Result, o *outbox) {
	if l.find != nil {
		r.Path = l.find.path
	}
	l.over = true
	o.done(l.op, r)
}

// probe is one ping for the user.
type probe struct {
	op    Op
	peer  wire.ID
	echo  uint64
	began Time
	sent  Time
	over  bool
}

// probeWait is how long the user waits for an ack, the time to open a link
// with the peer included.
const probeWait = Time(3_000_000_000)

// step sends the ping again while nothing comes: the first may have opened
// the link only.
func (p *probe) step(now Time, d *detector, v *view, o *outbox) {
	switch {
	case p.over:
	case now >= p.began+probeWait:
		p.over = true
		o.done(p.op, Result{Outcome: Unreached, Silent: []wire.ID{p.peer}})
	case p.sent == 0 || now >= p.sent+probeWait/12:
		d.echo++
		p.echo, p.sent = d.echo, now
		o.do(SendPing{p.peer, d.ping(p.peer, p.echo, false, v)})
	}
}
