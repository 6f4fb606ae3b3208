package ring

import (
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
