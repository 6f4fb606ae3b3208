package ring

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// world drives one Ring by hand.
type world struct {
	*Ring
	now  Time
	acts []Action // of the last event
}

// within returns peer 10, active in a ring with others.
func within(t *testing.T, others ...wire.ID) *world {
	t.Helper()
	w := &world{Ring: New(config(10, append([]wire.ID{10}, others...)...)), now: Time(time.Second)}
	w.step(Tick{})
	w.step(Persisted{1})
	n := wire.Rows{}
	for _, id := range others {
		n.Rows = append(n.Rows, row(id, 1, wire.Active))
	}
	w.step(LinkUp{others[0], 1})
	w.step(Received{others[0], n})
	w.step(Received{others[0], wire.Here{Req: 1}})
	for _, id := range others {
		w.step(LinkUp{id, 1})
		w.step(Received{id, wire.Settled{Incarnation: 1, From: 10}})
	}
	w.step(Persisted{2})
	if s := w.Status(); !s.InRing || s.Behind || s.State != wire.Active {
		t.Fatalf("not active: %+v", s)
	}
	return w
}

func (w *world) step(e Event) []Action {
	w.acts = w.Step(w.now, e, nil)
	return w.acts
}

// pass lets time go by, tick by tick, and returns all actions.
func (w *world) pass(d time.Duration) []Action {
	var all []Action
	for end := w.now + Time(d); ; {
		if next := w.Next(); next > end {
			w.now = end
			return all
		} else if next > w.now {
			w.now = next
		}
		all = append(all, w.step(Tick{})...)
	}
}

// TestWhoFallsSilentIsNotWaitedFor: an offer to a peer that is held
// unreachable since keeps the others waiting no longer.
func TestWhoFallsSilentIsNotWaitedFor(t *testing.T) {
	w := within(t, 20, 30, 40)
	by := w.offers(t)
	w.step(Received{30, wire.Confirmed{Req: by[30].Req}})
	w.step(Received{40, wire.Confirmed{Req: by[40].Req}})
	votes := wire.Rows{Votes: []wire.Vote{vote(30, 20, 1, wire.Unreachable, 1), vote(40, 20, 1, wire.Unreachable, 1)}}
	if got := settledOf(w.step(Received{30, votes})); !got[30] || !got[40] || got[20] {
		t.Errorf("settled %v, want 30 and 40 and not 20", got)
	}
}

// settledOf returns who is told that it has everything.
func settledOf(acts []Action) map[wire.ID]bool {
	ids := map[wire.ID]bool{}
	for _, a := range acts {
		if s, ok := a.(Send); ok {
			if _, ok := s.Msg.(wire.Settled); ok {
				ids[s.To] = true
			}
		}
	}
	return ids
}

// offers begins a pass over one version of key 15 and returns the offers by
// peer: one to each other home holder.
func (w *world) offers(t *testing.T) map[wire.ID]SendOffer {
	t.Helper()
	all := w.pass(time.Second)
	for _, a := range all {
		if s, ok := a.(Scan); ok {
			all = w.step(Scanned{Scan: s.Scan, Versions: []Version{{Key: 15, Sum: wire.Sum{1}}}})
		}
	}
	by := map[wire.ID]SendOffer{}
	for _, a := range all {
		if o, ok := a.(SendOffer); ok {
			by[o.To] = o
		}
	}
	if want := min(len(w.view.members)-1, w.view.copies); len(by) != want {
		t.Fatalf("offered to %v, want %d", by, want)
	}
	return by
}

// TestOfferWithoutAnswerHoldsUpNobodyElse: a peer that never answers an offer
// is not settled, and the others are.
func TestOfferWithoutAnswerHoldsUpNobodyElse(t *testing.T) {
	w := within(t, 20, 30)
	by := w.offers(t)
	w.step(Received{30, wire.Confirmed{Req: by[30].Req}})
	if got := settledOf(w.keepAlive(time.Duration(offerWait)/2, 20, 30)); len(got) != 0 {
		t.Fatalf("settled %v while an offer is open", got)
	}
	all := w.keepAlive(90*time.Second, 20, 30)
	if got := settledOf(all); !got[30] || got[20] {
		t.Errorf("settled %v, want 30 alone", got)
	}
}

// TestOfferIsAnsweredOverANewLink: who offered may have replaced its end of a
// link that fell here, and waits.
func TestOfferIsAnsweredOverANewLink(t *testing.T) {
	w := within(t, 20, 30)
	m := wire.Manifest{Name: "0015", Version: 1, Writer: 20, Size: 9}
	w.step(Received{20, wire.Offer{Req: 7, Source: 20, Manifest: m}})
	w.step(LinkDown{20})
	w.step(LinkUp{20, 1})
	for _, a := range w.step(Pulled{Version: Version{15, m.Sum()}, Code: wire.CodeOK}) {
		if s, ok := a.(Send); ok && s.To == 20 {
			if c, ok := s.Msg.(wire.Confirmed); ok && c == (wire.Confirmed{Req: 7}) {
				return
			}
		}
	}
	t.Error("the offer was not answered")
}

// TestForbiddenOfferIsFinal: a version whose writer the other's roster does
// not have is not offered again and again, and does not keep it from being
// settled.
func TestForbiddenOfferIsFinal(t *testing.T) {
	w := within(t, 20, 30)
	by := w.offers(t)
	w.step(Received{30, wire.Confirmed{Req: by[30].Req}})
	if got := settledOf(w.step(Received{20, wire.Confirmed{Req: by[20].Req, Code: wire.CodeForbidden}})); !got[20] || !got[30] {
		t.Errorf("settled %v, want 20 and 30", got)
	}
}

// TestCovers: an upload is acked only if its list of holders is right in the
// view of who acks.
func TestCovers(t *testing.T) {
	w := within(t, 20, 30, 40) // home holders of key 15: 20, 30, 40
	for _, c := range []struct {
		holders []wire.ID
		full    wire.ID // a home holder whose disk is full
		want    bool
	}{
		{holders: []wire.ID{20, 30, 40}, want: true},
		{holders: []wire.ID{20, 30, 10}, want: false},
		{holders: []wire.ID{20, 30}, want: false},
		{holders: []wire.ID{40, 30, 20, 10}, want: true},
		{holders: nil, want: false},
		{holders: []wire.ID{20, 30, 10}, full: 40, want: true},
		{holders: []wire.ID{20, 30}, full: 40, want: false}, // there is a stand-in
		{holders: []wire.ID{20, 10, 40}, full: 40, want: false},
	} {
		w := within(t, 20, 30, 40)
		if c.full != 0 {
			w.step(Received{c.full, wire.Rows{Rows: []wire.Row{row(c.full, 9, wire.Full)}}})
		}
		if got := w.covers(15, c.holders); got != c.want {
			t.Errorf("covers(15, %v) with %v full = %v, want %v", c.holders, c.full, got, c.want)
		}
	}
	w.step(Stop{})
	w.step(Persisted{3})
	if w.covers(15, []wire.ID{20, 30, 40}) {
		t.Error("a peer that has stopped acks an upload")
	}
}

// walk lets a pass over these versions happen within d, and returns to whom
// each was offered; everybody answers with the code that codes has for it.
func (w *world) walk(d time.Duration, codes map[wire.ID]wire.Code, versions ...Version) map[Version][]wire.ID {
	to := map[Version][]wire.ID{}
	todo := w.pass(d)
	for len(todo) > 0 {
		a := todo[0]
		todo = todo[1:]
		switch a := a.(type) {
		case Scan:
			todo = append(todo, w.step(Scanned{Scan: a.Scan, Versions: versions})...)
		case SendOffer:
			to[a.Version] = append(to[a.Version], a.To)
			todo = append(todo, w.step(Received{a.To, wire.Confirmed{Req: a.Req, Code: codes[a.To]}})...)
		case Persist:
			todo = append(todo, w.step(Persisted(a))...)
		}
	}
	for _, ids := range to {
		slices.Sort(ids)
	}
	return to
}

// judge has two of the others say of each of ids what verdict says.
func (w *world) judge(verdict wire.Verdict, seq uint64, ids ...wire.ID) {
	var n wire.Rows
	for _, id := range ids {
		said := 0
		for i := range w.view.members {
			if by := w.view.members[i].id; by != id && by != 10 && !slices.Contains(ids, by) && said < 4 {
				said++
				n.Votes = append(n.Votes, vote(by, id, w.view.member(id).incarnation, verdict, seq))
			}
		}
	}
	w.step(Received{n.Votes[0].Observer, n})
}

var onTen = Version{Key: 5, Sum: wire.Sum{5}} // home to 10, 20 and 30

// TestPlaces is to whom a peer gives a version of key 5: of the ring 10, 20,
// ... 60 with the home holders 10, 20 and 30, seen from 10; or seen from 50.
func TestPlaces(t *testing.T) {
	is := func(ids ...wire.ID) []wire.ID { return ids }
	for _, c := range []struct {
		name    string
		self    wire.ID
		copies  int
		away    []wire.ID
		awaited []wire.ID
		full    []wire.ID
		leaving bool
		want    []wire.ID
	}{
		{name: "all there", want: is(20, 30)},
		{name: "one away: no reason to copy", away: is(20), want: is(30)},
		{name: "the last one: stand-ins at once", away: is(20, 30), want: is(40, 50)},
		{name: "a stand-in is away, too", away: is(20, 30, 40), want: is(50, 60)},
		{name: "only one stand-in is left", away: is(20, 30, 40, 50), want: is(60)},
		{name: "nobody is left", away: is(20, 30, 40, 50, 60)},
		{name: "a full one counts as there", away: is(20), full: is(30)},
		{name: "a full one is no stand-in", away: is(20, 30), full: is(40), want: is(50, 60)},
		{name: "who is awaited counts as there", away: is(20, 30), awaited: is(30)},
		{name: "with two copies one death is enough", copies: 2, away: is(20), want: is(30)},
		{name: "one copy is all that is wanted", copies: 1},
		{name: "a leaver gives to who is home now", leaving: true, want: is(20, 30, 40)},
		{name: "a leaver does not wait for who is silent", leaving: true, away: is(20, 30, 40), want: is(50, 60)},
		{name: "a leaver counts no full one", leaving: true, away: is(20, 30), full: is(40), want: is(50, 60)},
		{name: "a leaver gives away even the only copy wanted", leaving: true, copies: 1, away: is(20), want: is(30)},
		{name: "a stand-in hands back", self: 50, want: is(10, 20, 30)},
		{name: "a stand-in beside one home holder", self: 50, away: is(10, 30), want: is(20)},
		{name: "a stand-in alone is the last one", self: 40, away: is(10, 20, 30), want: is(50, 60)},
		{name: "of one copy a stand-in is as good", self: 50, copies: 1, away: is(10)},
	} {
		w := within(t, 20, 30, 40, 50, 60)
		v := w.view
		if c.copies > 0 {
			v.copies = c.copies
		}
		if c.self != 0 {
			v.self, v.me = c.self, v.place(c.self)
		}
		stamps := make([]stamp, len(v.members))
		for i, m := range v.members {
			up := !slices.Contains(c.away, m.id)
			stamps[i] = stamp{home: true, up: up, state: wire.Active, awaited: slices.Contains(c.awaited, m.id)}
			if slices.Contains(c.full, m.id) {
				stamps[i].state = wire.Full
			}
		}
		if c.leaving {
			v.members[v.me].state = wire.Leaving
			stamps[v.me] = stamp{state: wire.Leaving}
		}
		var got []wire.ID
		for _, i := range places(v, stamps, 5) {
			got = append(got, v.members[i].id)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestLastCopyAndHandBack: with the other home holders unreachable, not gone,
// stand-ins are offered what this peer has; when they are back they
// are offered what they may have missed, and nobody else is.
func TestLastCopyAndHandBack(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60)
	w.walk(time.Second, nil, onTen)
	w.judge(wire.Unreachable, 1, 20, 30)
	if got := w.walk(time.Second, nil, onTen)[onTen]; !slices.Equal(got, []wire.ID{40, 50}) {
		t.Fatalf("the last copy is offered to %v, want 40 and 50", got)
	}
	// With 20 to watch it, 30 is not held unreachable by enough any more.
	w.step(Received{40, wire.Rows{Rows: []wire.Row{row(20, 3, wire.Active)}}})
	if got := w.walk(time.Second, nil, onTen)[onTen]; !slices.Equal(got, []wire.ID{20, 30}) {
		t.Errorf("after the return of both it is offered to %v, want 20 and 30", got)
	}
}

// TestWhoTookNothingIsStillHome: a member that did not take what it was
// offered was home all the same. When it has left, the next one is home in its
// place, and has been given nothing.
func TestWhoTookNothingIsStillHome(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60)
	busy := map[wire.ID]wire.Code{20: wire.CodeBusy}
	if got := w.walk(500*time.Millisecond, busy, onTen)[onTen]; !slices.Equal(got, []wire.ID{20, 30}) {
		t.Fatalf("offered to %v, want 20 and 30", got)
	}
	w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 9, wire.Left)}}})
	if got := w.walk(time.Second, busy, onTen)[onTen]; !slices.Equal(got, []wire.ID{40}) {
		t.Errorf("offered to %v after 20 has left, want 40", got)
	}
}

// TestFallOfAGiver: what came from a peer that is unreachable since may have
// come to nobody else; the other home holders are offered it, although they
// had all that this peer had before.
func TestFallOfAGiver(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		w := within(t, 20, 30, 40, 50, 60)
		w.walk(2*time.Second, nil)
		m := wire.Manifest{Name: "0005", Version: 1, Writer: 20, Size: 9}
		x := Version{5, m.Sum()}
		w.step(Received{20, wire.Offer{Req: 7, Source: 20, Manifest: m}})
		w.step(Pulled{Version: x, Code: wire.CodeOK, New: fresh})
		w.walk(time.Second, nil, x)
		w.judge(wire.Unreachable, 1, 20)
		got := w.walk(time.Second, nil, x)[x]
		if offered := slices.Equal(got, []wire.ID{30}); offered != fresh {
			t.Errorf("new %v: offered to %v", fresh, got)
		}
	}
}

// TestHearsayOfGoneMovesNothing: a member that two others call gone, and this
// peer has heard within the grace, is a silent home holder to it: it dials
// when the grace is over, and copies when that was in vain. A packet begins it
// all again.
func TestHearsayOfGoneMovesNothing(t *testing.T) {
	const grace = 30 * time.Second
	for _, heard := range []bool{false, true} {
		w := within(t, 20, 30, 40, 50, 60)
		w.Ring.roster.Grace = grace
		w.tune()
		w.walk(time.Second, nil, onTen)
		w.step(LinkDown{20})
		w.judge(wire.Gone, 1, 20)
		if !w.view.member(20).gone() {
			t.Fatal("20 is not gone")
		}
		var dials, offers []Time
		last := w.now // of a packet
		for end := w.now + Time(3*grace); w.now < end && len(offers) == 0; {
			if heard && w.now >= last+Time(grace/2) {
				heard, last = false, w.now
				w.step(Pinged{20, wire.Ping{Ack: true, Mine: 1}})
				w.judge(wire.Gone, 2, 20)
			}
			for _, a := range w.keepAlive(500*time.Millisecond, 30, 40, 50, 60) {
				switch a := a.(type) {
				case Dial:
					if a.Peer == 20 && w.now >= last+Time(grace) {
						dials = append(dials, w.now)
					}
				case Scan:
					for _, a := range w.step(Scanned{Scan: a.Scan, Versions: []Version{onTen}}) {
						if o, ok := a.(SendOffer); ok && o.To == 40 {
							offers = append(offers, w.now)
						}
					}
				case Persist:
					w.step(Persisted(a))
				}
			}
		}
		switch {
		case len(offers) == 0:
			t.Errorf("nothing was ever copied for 20")
		case len(dials) == 0 || dials[0] >= offers[0]:
			t.Errorf("copied %v after the last packet, without a dial", time.Duration(offers[0]-last))
		case offers[0] < last+Time(grace) || offers[0] > last+Time(grace+10*time.Second):
			t.Errorf("copied %v after the last packet, want soon after %v", time.Duration(offers[0]-last), grace)
		}
	}
}

// TestOfferThatFails: a version that is not here any more keeps nobody from
// being settled; one that can't be read does.
func TestOfferThatFails(t *testing.T) {
	for _, missing := range []bool{false, true} {
		w := within(t, 20, 30)
		by := w.offers(t)
		w.step(Received{30, wire.Confirmed{Req: by[30].Req}})
		got := settledOf(w.step(OfferFailed{Peer: 20, Req: by[20].Req, Missing: missing}))
		if got[20] != missing || !got[30] {
			t.Errorf("missing %v: settled %v", missing, got)
		}
	}
}

// TestQuietStepIsFree: in a view of a thousand that stays as it is, what the
// copier and the accord do in a step allocates nothing.
func TestQuietStepIsFree(t *testing.T) {
	c := config(0)
	var rows wire.Rows
	for id := range wire.ID(1000) {
		c.Roster.Members = append(c.Roster.Members, Member{ID: id, Pos: wire.Pos(id) << 50})
		if id > 0 {
			rows.Rows = append(rows.Rows, row(id, 1, wire.Active))
		}
	}
	c.Roster.Space = wire.Space64
	w := &world{Ring: New(c), now: Time(time.Second)}
	w.step(Tick{})
	w.step(Persisted{1})
	w.step(LinkUp{1, 1})
	w.step(Received{1, rows})
	w.step(Received{1, wire.Here{Req: 1}})
	for _, a := range w.step(Persisted{2}) {
		if s, ok := a.(Scan); ok {
			w.step(Scanned{Scan: s.Scan})
		}
	}
	w.walk(500*time.Millisecond, nil)
	if !w.InRing() || len(w.copies.is) != 1000 {
		t.Fatalf("in the ring: %v, stamps of %v members", w.InRing(), len(w.copies.is))
	}
	if n := testing.AllocsPerRun(100, func() {
		w.behind()
		w.copies.step(w.now, w.view, &w.links, &w.out)
		w.copies.next(w.view)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestNewRunIsNotLeftAlone: who lost offers again and again rests longer and
// longer, but not when it has started anew.
func TestNewRunIsNotLeftAlone(t *testing.T) {
	w := within(t, 20, 30)
	x := Version{Key: 15, Sum: wire.Sum{1}}
	w.walk(time.Second, nil)
	for range 5 {
		w.copies.rest(w.now, 20, w.view)
		w.now = w.copies.resting[20].until
	}
	w.copies.rest(w.now, 20, w.view)
	w.keepAlive(time.Second, 20, 30)
	w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 5, wire.Joining)}}})
	if got := w.walk(time.Second, nil, x)[x]; !slices.Contains(got, 20) {
		t.Errorf("offered to %v in the interval after 20 came back", got)
	}
}

// TestSlowTakerStallsNobody: one that answers an offer now and then only, as an
// honest slow disk does, gets what it lacks by and by; another is given
// everything at once.
func TestSlowTakerStallsNobody(t *testing.T) {
	w := among(t, 20, 30)
	const versions = 500
	var all []Version
	for i := range versions {
		all = append(all, Version{Key: 15, Sum: wire.Sum{byte(i), byte(i >> 8), 1}})
	}
	scan := func(s Scan) Scanned {
		rest := all
		for len(rest) > 0 && !s.First && compareSums(rest[0], s.After) <= 0 {
			rest = rest[1:]
		}
		n := min(len(rest), s.Limit)
		return Scanned{Scan: s.Scan, Versions: rest[:n], More: n < len(rest)}
	}
	slices.SortFunc(all, compareSums)
	took := map[wire.Sum]bool{}
	var late []SendOffer
	var handle func(acts []Action)
	handle = func(acts []Action) {
		for _, a := range acts {
			switch a := a.(type) {
			case Scan:
				handle(w.step(scan(a)))
			case SendOffer:
				if a.To == 20 {
					late = append(late, a)
					continue
				}
				took[a.Version.Sum] = true
				handle(w.step(Received{30, wire.Confirmed{Req: a.Req}}))
			}
		}
	}
	for range 40 {
		handle(w.live(600*ms, ms, nil, 20, 30))
		if len(late) > 0 {
			a := late[0]
			late = late[1:]
			handle(w.step(Received{20, wire.Confirmed{Req: a.Req}}))
		}
	}
	if len(took) != versions {
		t.Errorf("the prompt one has %d of %d versions after 24 s beside a slow one", len(took), versions)
	}
}

func compareSums(a, b Version) int { return bytes.Compare(a.Sum[:], b.Sum[:]) }
