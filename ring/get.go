package ring

import (
	"slices"

	"securepeer/wire"
)

// get finds the newest version of a name and who has it.
type get struct {
	query
	by    wire.ID
	hasBy bool
	stat  bool      // only say who has what
	owner []wire.ID // where the walk ended: who said Here; else empty
}

// begin walks first where the ring is walked; the copies are asked for once
// the owner has said Here.
func (g *get) begin(now Time, s scene) {
	next, ok := s.route.next(wire.KeyOf(s.view.space, g.name), s.view)
	if ok && next != s.view.self && !g.stat {
		s.out.notify(RequestSent, next, g.name)
		if s.route.walk {
			g.ask(now, next, wire.ForGet, s)
			return
		}
	}
	g.inquire(now, s)
}

// led asks the holders. A question that ended early is no reason not to: the
// walk is for who wants to see it.
func (g *get) led(now Time, at wire.ID, how Outcome, s scene) {
	if how == Succeeded {
		g.owner = []wire.ID{at}
	}
	g.inquire(now, s)
}

func (g *get) inquire(now Time, s scene) {
	g.find, g.asked = nil, true
	g.look.begin(now, g.name, s.paces, s.view, s.out)
	g.step(now, s)
}

// step ends the operation when the answers allow it: the highest of the first
// two that may say no, one of them from a home holder if any is reachable; a
// second one is waited for, but not for ever. So is the owner that a walk has
// led to, as the bytes come from it, and whoever may vouch for a version that
// one member alone has shown.
func (g *get) step(now Time, s scene) {
	if g.over || !g.asked {
		return
	}
	complete := g.look.complete(now)
	if g.stat {
		if complete {
			g.finish(statResult(&g.look, s.view), s)
		}
		return
	}
	n, home := g.look.good()
	live := g.live(s.view)
	switch {
	case len(live) > 0 && (complete || n >= 2 && home && !g.look.awaits(g.owner) && !contested(live) || n > 0 && now >= g.look.deadline()):
		g.fetch(live, n, s)
	case complete && len(g.look.silent()) == 0:
		g.finish(Result{Outcome: NotFound}, s)
	case complete && g.look.widen(now, s.view, s.out):
	case complete:
		g.finish(g.look.unavailable(), s)
	}
}

// live returns what can be delivered, the newest first: the newest manifest of
// each writer that is not a tombstone, by the writer asked for. If one member
// alone shows it, what others show of that writer may be delivered in its place,
// but not where one copy is all that there is to be.
func (g *get) live(v *view) []wire.Manifest {
	var live []wire.Manifest
	for _, m := range g.look.newest() {
		if g.hasBy && m.Writer != g.by {
			continue
		}
		for m.Flags&wire.Tombstone == 0 {
			live = append(live, m)
			older, ok := g.look.below(m)
			if !ok || v.copies < 2 {
				break
			}
			m = older
		}
	}
	slices.SortFunc(live, newestFirst)
	return live
}

// contested reports whether a writer is among live more than once: one member
// alone shows its newest version.
func contested(live []wire.Manifest) bool {
	for i, m := range live {
		if slices.ContainsFunc(live[:i], func(o wire.Manifest) bool { return o.Writer == m.Writer }) {
			return true
		}
	}
	return false
}

func (g *get) fetch(live []wire.Manifest, answers int, s scene) {
	f := Fetch{Op: g.op, Manifest: live[0], Sources: g.look.sources(live[0], s.view, g.owner), OneAnswer: answers < 2}
	for _, m := range live[1:] {
		if m.Writer != f.Manifest.Writer && !slices.Contains(f.AlsoBy, m.Writer) {
			f.AlsoBy = append(f.AlsoBy, m.Writer)
		}
		f.Others = append(f.Others, Choice{m, g.look.sources(m, s.view, g.owner)})
	}
	g.over = true
	s.out.do(f)
}

func (g *get) next() Time {
	if !g.stat && g.any() {
		return g.look.deadline()
	}
	return min(g.look.began+lookWait, g.look.enough())
}

// any reports whether there is something to deliver.
func (g *get) any() bool {
	return slices.ContainsFunc(g.look.newest(), func(m wire.Manifest) bool {
		return m.Flags&wire.Tombstone == 0 && (!g.hasBy || m.Writer == g.by)
	})
}

func statResult(k *look, v *view) Result {
	var r Result
	for _, l := range k.asked {
		r.Holders = append(r.Holders, l.peer)
		r.Found = append(r.Found, Found{Peer: l.peer, Home: l.home, Code: l.said(),
			Silent: l.state != answered && l.said() == wire.CodeOK, Manifests: l.manifests})
	}
	r.Silent, r.Declined = k.silent(), k.declined()
	r.Owner, _ = v.owner(k.key)
	return r
}
