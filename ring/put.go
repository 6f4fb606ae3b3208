package ring

import (
	"slices"
	"time"

	"securepeer/wire"
)

// put makes a new version of a name and sees it onto enough disks: it asks
// for the newest version, has the bytes streamed to the home holders and
// stand-ins, and lets other holders be given what a lost one should have got.
// A remove is a put of a tombstone, which has no bytes to stream.
type put struct {
	query
	key     wire.Pos
	remove  bool
	made    int64
	steward bool

	numbered *numbered // what was given out of the name, while this put is open
	before   uint64    // the last number before that of this put
	claimed  uint64    // the number of this put; 0: none yet
	blind    []wire.ID // who may have a version that nobody could ask for

	uploading bool
	placed    Time      // when the upload began
	took      Time      // until its last end; 0: it goes on
	waiting   []wire.ID // uploads that have not ended
	sealed    bool
	manifest  wire.Manifest
	ok        []wire.ID  // confirmed: on disk, synced
	kept      []wire.ID  // have the bytes, but did not take the place
	offers    []offered  // to make up for those that were lost
	queued    []wire.ID  // wait for a place among the offers to them
	tried     []wire.ID  // were offered it
	cannot    []wire.ID  // did not take it: full, stuck, or lost on the way
	declined  []Declined // those of them that have answered, and how
}

// slowTimes is how many times as long as the upload a peer may take that makes up
// for another, and leastRate the bytes a second that are the least anybody has.
const (
	slowTimes = 4
	leastRate = 1 << 10
)

// putWindow is how many of maxOffers are of puts and removes.
const putWindow = maxOffers / 4

// offered is an Offer that is not answered yet.
type offered struct {
	peer    wire.ID
	req     uint32
	made    Time
	at      Time    // when it was made, or its bytes were last on their way
	version Version // for the copier
}

// prolong notes that the bytes of an offered version are on their way, which
// counts until most after the offer was made: a liar may say so for ever. It reports
// whether it does.
func prolong(now Time, offers []offered, peer wire.ID, req uint32, most Time) bool {
	for i := range offers {
		if f := &offers[i]; f.peer == peer && f.req == req && now < f.made+most {
			f.at = now
			return true
		}
	}
	return false
}

// overdue is when the first of offers has gone for offerWait without a word, and
// whose that is.
func overdue(offers []offered) (at Time, peer wire.ID) {
	at = never
	for _, f := range offers {
		if f.at+offerWait < at {
			at, peer = f.at+offerWait, f.peer
		}
	}
	return at, peer
}

func (p *put) begin(now Time, s scene) {
	p.key, p.numbered = wire.KeyOf(s.view.space, p.name), s.numbers.begin(p.name)
	next, ok := s.route.next(p.key, s.view)
	if ok && next != s.view.self && !p.remove {
		s.out.notify(StoreForwarded, s.view.self, p.name)
		if s.route.walk {
			p.ask(now, next, wire.ForPut, s)
			return
		}
	}
	p.led(now, next, Succeeded, s)
}

// finish ends the put. One that ends under a newer version of this peer says so:
// it is stored, and is not what a get brings.
func (p *put) finish(r Result, s scene) {
	if (r.Outcome == Succeeded || r.Outcome == Degraded) && r.Manifest.Writer == s.view.self {
		homes, mine := 0, false
		for _, h := range s.view.holders(p.key, nil) {
			if h.home && slices.Contains(r.Copies, h.id) {
				homes, mine = homes+1, mine || h.id == s.view.self
			}
		}
		r.Newer = p.numbered.confirmed(r.Manifest, mine || homes > 1)
	}
	p.release(s.numbers)
	p.query.finish(r, s)
}

// release closes the numbers of the name for this put, which has ended, or whose
// user has gone.
func (p *put) release(n *numbers) { n.end(p.numbered) }

// led asks the holders which versions there are, wherever the question ended:
// the walk is for who wants to see it.
func (p *put) led(now Time, _ wire.ID, _ Outcome, s scene) {
	p.find, p.asked = nil, true
	p.look.begin(now, p.name, s.paces, s.view, s.out)
	p.step(now, s)
}

// step goes on when the answers, or the ends of uploads and offers, allow it.
func (p *put) step(now Time, s scene) {
	if at, peer := overdue(p.offers); now >= at {
		p.lost(peer)
	}
	switch {
	case p.over:
	case p.asked && !p.uploading && !p.sealed:
		if p.look.complete(now) || p.known() && now >= p.look.deadline() {
			p.place(now, s)
		}
	case p.sealed && len(p.waiting) == 0 && len(p.offers) == 0:
		p.complete(now, s)
	}
}

// known reports whether those who have answered can say which version is the
// newest: a home holder, if any can be had. What a stand-in knows may be less,
// and a put under the number of an older version would be lost.
func (p *put) known() bool {
	n, home := p.look.good()
	return n > 0 && home
}

// place decides version and holders.
func (p *put) place(now Time, s scene) {
	newest := p.look.newest()
	var mine *wire.Manifest
	var others []wire.Manifest
	for i, m := range newest {
		if m.Flags&wire.Tombstone != 0 {
			continue
		}
		if m.Writer == s.view.self {
			mine = &newest[i]
		} else if p.look.vouched(m) {
			others = append(others, m)
		}
	}
	switch {
	case p.remove:
		p.bury(now, mine, others, newest, s)
	case mine == nil && len(others) > 0:
		p.finish(Result{Outcome: Taken, By: others[0].Writer}, s)
	default:
		to := s.view.targets(p.key)
		if len(to) == 0 {
			r := p.look.unavailable()
			r.declines(s.view.ill(p.key))
			if slices.ContainsFunc(r.Declined, Declined.full) {
				r.Outcome = NoRoom
			}
			p.finish(r, s)
			return
		}
		if mine != nil && mine.Version+1 != p.numbered.next(p.number(newest, s.view.self)) {
			mine = nil // not the newest of the name: the same bytes are a new version
		}
		p.uploading, p.waiting, p.placed = true, to, now
		prior := p.replaced(newest, s.view.self, s.view.self)
		s.out.do(Upload{Op: p.op, To: slices.Clone(to), Holders: slices.Clone(to), Version: p.claim(newest, s.view.self, s), Prior: prior, Same: mine})
	}
}

// claim gives out the number of the next version by writer. One of this peer's
// own is reserved by it. A steward that removes what another wrote reserves
// nothing: two tombstones of one number say the same.
func (p *put) claim(newest []wire.Manifest, writer wire.ID, s scene) uint64 {
	version := p.above(p.number(newest, writer), s)
	if writer != s.view.self {
		return version
	}
	g := p.numbered
	p.before, p.claimed = g.last, g.next(version)
	g.last = p.claimed
	return p.claimed
}

// replaced returns the sum of the version by writer that the next one replaces:
// the newest that a holder has shown, or has confirmed to this peer, self. Zero:
// none. What was put and not confirmed may be nowhere, and replaces nothing.
func (p *put) replaced(newest []wire.Manifest, writer, self wire.ID) wire.Sum {
	var prior wire.Manifest
	if writer == self {
		prior = p.numbered.acked
	}
	for _, m := range newest {
		if m.Writer == writer && m.Newer(prior) {
			prior = m
		}
	}
	if prior.Version == 0 {
		return wire.Sum{}
	}
	return prior.Sum()
}

// number returns that of the next version by writer: above its own and above
// others', unless one of those has leapt so far ahead that it can only mean to
// use the numbers up.
func (p *put) number(newest []wire.Manifest, writer wire.ID) uint64 {
	own := uint64(0)
	for _, m := range newest {
		if m.Writer == writer {
			own = m.Version
		}
	}
	next := own + 1
	for _, m := range newest {
		if m.Version < own+leap {
			next = max(next, m.Version+1)
		}
	}
	return min(next, wire.MaxVersion)
}

// above returns a number above any that somebody may have who has not answered: a
// home holder that is out of reach or slow, or a member that is gone and may come
// back. Its version must not win over the one that is made now; and what this
// peer has put in an earlier run, and was as blind, must not have the same number:
// each run has a higher incarnation.
func (p *put) above(version uint64, s scene) uint64 {
	p.blind = p.look.unasked()
	for _, x := range s.view.out {
		if m := &s.view.members[x.index]; m.gone() && !slices.Contains(p.blind, m.id) {
			p.blind = append(p.blind, m.id)
		}
	}
	if len(p.blind) == 0 {
		return version
	}
	return min(version+blindLeap+uint64(s.own.spoken), wire.MaxVersion)
}

// blindLeap is how many versions of one name are more than anybody makes while
// its holders are away.
const blindLeap = 1 << 16

// leap is how far ahead of a writer's own version another's still counts.
const leap = 1 << 32

// bury makes the tombstone: over this peer's own manifest or, if it is a
// steward, over another's. A missing answer may hide a version, so no is said
// only by every home holder.
func (p *put) bury(now Time, mine *wire.Manifest, others, newest []wire.Manifest, s scene) {
	target := mine
	if target == nil && p.steward && len(others) > 0 {
		target = &others[0]
	}
	switch {
	case target == nil && len(others) > 0:
		p.finish(Result{Outcome: Taken, By: others[0].Writer}, s)
	case target == nil && len(p.look.silent()) > 0:
		p.finish(p.look.unavailable(), s)
	case target == nil:
		p.finish(Result{Outcome: NotFound}, s)
	default:
		m := wire.Manifest{Name: p.name, Version: p.claim(newest, target.Writer, s), Writer: target.Writer, Signer: s.view.self,
			Flags: wire.Tombstone, Mtime: p.made, Made: p.made, Prior: p.replaced(newest, target.Writer, s.view.self)}
		m.Sig = s.own.sign(m.SignedBytes(s.own.ring, nil))
		p.manifest, p.sealed = m, true
		p.complete(now, s)
	}
}

// seal takes the manifest, once all bytes have been read. If they are those of
// the version before, no manifest has the number that was given out.
func (p *put) seal(e Sealed) {
	if p.op != e.Op {
		return
	}
	p.sealed, p.manifest = true, e.Manifest
	if g := p.numbered; e.Manifest.Version != p.claimed && g.last == p.claimed {
		g.last = p.before
	}
}

// uploaded takes the end of one upload.
func (p *put) uploaded(e Uploaded) {
	i := slices.Index(p.waiting, e.Peer)
	if p.op != e.Op || i < 0 {
		return
	}
	p.waiting = slices.Delete(p.waiting, i, i+1)
	switch {
	case e.Code == wire.CodeOK:
		p.ok = append(p.ok, e.Peer)
	case e.Kept:
		p.kept = append(p.kept, e.Peer)
	default:
		p.refused(e.Peer, e.Code)
	}
}

// refused notes that a peer did not take the version, and why.
func (p *put) refused(peer wire.ID, code wire.Code) {
	p.cannot = append(p.cannot, peer)
	p.declined = append(p.declined, Declined{peer, code})
}

// full reports whether want of room is why.
func (d Declined) full() bool { return d.Code == wire.CodeFull }

// declines adds members that declined to a result, each as one that is missing.
func (r *Result) declines(all []Declined) {
	for _, d := range all {
		if !slices.Contains(r.Silent, d.Peer) {
			r.Silent = append(r.Silent, d.Peer)
		}
		if !slices.ContainsFunc(r.Declined, func(o Declined) bool { return o.Peer == d.Peer }) {
			r.Declined = append(r.Declined, d)
		}
	}
}

// confirmed takes the answer to an offer, if it is one of this put.
func (p *put) confirmed(now Time, from wire.ID, c wire.Confirmed) {
	if c.Code == wire.CodeMore {
		prolong(now, p.offers, from, c.Req, p.patience())
		return
	}
	i := slices.IndexFunc(p.offers, func(f offered) bool { return f.req == c.Req && f.peer == from })
	if i < 0 {
		return
	}
	p.offers = slices.Delete(p.offers, i, i+1)
	switch {
	case c.Code != wire.CodeOK:
		p.refused(from, c.Code)
	case !slices.Contains(p.ok, from):
		p.ok = append(p.ok, from)
	}
}

// patience is how long whoever makes up for another may take: some times as long
// as the upload has, and no longer than the least rate allows for.
func (p *put) patience() Time {
	size := min(p.manifest.Size, wire.MaxSize)
	return min(slowTimes*p.took, Time(size/leastRate)*Time(time.Second)) + offerWait
}

// goesOn notes that bytes come of a version that this peer itself pulls.
func (p *put) goesOn(now Time, x Version, v *view) {
	if !p.sealed || p.manifest.Sum() != x.Sum {
		return
	}
	for _, f := range p.offers {
		if f.peer == v.self {
			prolong(now, p.offers, v.self, f.req, p.patience())
		}
	}
}

// lost notes that the link with peer fell: an offer on it is not answered.
func (p *put) lost(peer wire.ID) {
	n := len(p.offers)
	p.offers = slices.DeleteFunc(p.offers, func(f offered) bool { return f.peer == peer })
	if len(p.offers) < n {
		p.cannot = append(p.cannot, peer)
	}
}

// complete makes up for lost holders, or ends the put: whoever should have
// the version in the view of now and has not is offered it, by those that
// have it; who did not take it is stood in for, whatever the view still says
// of it. The bytes are never asked of the user twice.
func (p *put) complete(now Time, s scene) {
	v := s.view
	if p.uploading && p.took == 0 {
		p.took = max(now-p.placed, 1)
	}
	sources := slices.Concat(p.ok, p.kept)
	want := v.targets(p.key, p.cannot...)
	take := want
	if p.remove && !slices.Contains(want, v.self) {
		take = append(slices.Clone(want), v.self) // it sees to those that can't be reached now
	}
	p.queued = nil
	if len(sources) > 0 || p.remove {
		for _, id := range take {
			if slices.Contains(p.ok, id) || slices.Contains(p.tried, id) || len(p.tried) == tries {
				continue
			}
			if id != v.self && s.ops.offering(id) >= putWindow {
				p.queued = append(p.queued, id)
				continue
			}
			p.tried = append(p.tried, id)
			p.offer(now, id, sources, s)
			if id != v.self {
				s.ops.offers[id]++
			}
		}
	}
	if len(p.queued)+len(p.offers) > 0 {
		return
	}
	p.finish(p.result(want, v), s)
}

// result says where the version is. Stand-ins alone are not enough: there must
// be a home holder among the copies, or one more is wanted. So whoever asks
// all home holders finds what was put, even on the other side of a cut and
// before anybody there has judged anybody.
func (p *put) result(want []wire.ID, v *view) Result {
	r := Result{Manifest: p.manifest, Wanted: min(v.copies, len(v.members)), Blind: p.blind}
	home := false
	for _, h := range v.holders(p.key, nil) {
		switch {
		case !h.home:
		case slices.Contains(p.ok, h.id):
			home = true
		default:
			r.Silent = append(r.Silent, h.id)
		}
	}
	r.Declined = slices.DeleteFunc(slices.Clone(p.declined), func(d Declined) bool { return !slices.Contains(r.Silent, d.Peer) })
	r.declines(slices.DeleteFunc(v.ill(p.key), func(d Declined) bool { return !slices.Contains(r.Silent, d.Peer) }))
	for _, id := range p.ok {
		if slices.Contains(want, id) {
			r.Copies = append(r.Copies, id)
		}
	}
	if !home {
		r.Wanted = max(r.Wanted, len(r.Copies)+1)
	}
	switch {
	case len(r.Copies) >= r.Wanted:
	case len(p.ok) > 0 || len(p.kept) > 0:
		r.Outcome = Degraded
	case len(p.cannot) > 0 && len(p.cannot) == len(p.declined) && !slices.ContainsFunc(p.declined, func(d Declined) bool { return !d.full() }):
		r.Outcome = NoRoom
	default:
		r.Outcome = Unavailable
	}
	return r
}

// offer has id fetch the version from one that has it. This peer itself takes
// it without a message.
func (p *put) offer(now Time, id wire.ID, sources []wire.ID, s scene) {
	m := wire.Offer{Req: s.out.number(), Manifest: p.manifest, Source: s.view.self}
	if len(sources) > 0 {
		m.Source = sources[0]
	}
	p.offers = append(p.offers, offered{peer: id, req: m.Req, made: now, at: now})
	if id == s.view.self {
		s.out.do(Pull{From: m.Source, Manifest: m.Manifest})
		return
	}
	s.out.send(id, m)
}

// pulled takes the end of a pull of this peer itself and reports whether this
// put has brought its version here by it.
func (p *put) pulled(e Pulled, v *view) bool {
	if !p.sealed || p.manifest.Sum() != e.Version.Sum {
		return false
	}
	for _, f := range p.offers {
		if f.peer == v.self {
			p.confirmed(0, v.self, wire.Confirmed{Req: f.req, Code: e.Code})
			return e.Code == wire.CodeOK
		}
	}
	return false
}

func (p *put) next() Time {
	switch {
	case p.asked && !p.uploading && !p.sealed && p.known():
		return min(p.look.deadline(), p.look.enough())
	case p.asked && !p.uploading && !p.sealed:
		return min(p.look.began+lookWait, p.look.enough())
	case len(p.offers) > 0:
		at, _ := overdue(p.offers)
		return at
	}
	return never
}
