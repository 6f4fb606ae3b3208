package ring

import (
	"fmt"
	"testing"
	"time"

	"securepeer/wire"
)

// TestOffersUnderWayAreBounded: of a thousand versions that come at once each home
// holder is offered all, never more than its share at a time; one that answers
// nothing holds up nobody else. Once all were offered at once, which filled the
// links of honest peers, and they cut them.
func TestOffersUnderWayAreBounded(t *testing.T) {
	const versions = 1000
	for _, silent := range []bool{false, true} {
		w := within(t, 20, 30, 40, 50, 60)
		w.walk(time.Second, nil)
		for i := range versions {
			w.copies.stored(w.now, Version{Key: 5, Sum: wire.Sum{byte(i), byte(i >> 8)}})
		}
		open, got := map[wire.ID]int{}, map[wire.ID]map[Version]bool{20: {}, 30: {}}
		var answers []SendOffer
		began := w.now
		take := func(acts []Action) {
			for _, a := range acts {
				if o, ok := a.(SendOffer); ok {
					if open[o.To]++; open[o.To] > maxOffers {
						t.Fatalf("%d offers to %d are under way", open[o.To], o.To)
					}
					got[o.To][o.Version] = true
					if !silent || o.To != 30 {
						answers = append(answers, o)
					}
				}
			}
		}
		for (len(got[20]) < versions || !silent && len(got[30]) < versions) && w.now < began+Time(5*time.Second) {
			if len(answers) > 0 {
				o := answers[0]
				answers = answers[1:]
				open[o.To]--
				take(w.step(Received{o.To, wire.Confirmed{Req: o.Req}}))
			}
			if next := w.copies.fresh.next(); len(answers) == 0 || next <= w.now {
				w.now = max(w.now, next)
				take(w.step(Tick{}))
			}
		}
		if len(got[20]) != versions || !silent && len(got[30]) != versions {
			t.Errorf("silent %v: after %v, %d and %d of %d were offered", silent, time.Duration(w.now-began), len(got[20]), len(got[30]), versions)
		}
	}
}

// TestOffersOfPutsAreBounded: a hundred puts of this peer's user that miss the
// same holder make up for it without filling a link, and all of them end.
func TestOffersOfPutsAreBounded(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60)
	w.walk(time.Second, nil)
	var reqs []Send
	open := 0
	take := func(acts []Action) (done int) {
		for _, a := range acts {
			switch a := a.(type) {
			case Send:
				if _, ok := a.Msg.(wire.Offer); ok {
					if open++; open > putWindow {
						t.Fatalf("%d offers of puts to one peer are under way", open)
					}
					reqs = append(reqs, a)
				}
			case Done:
				done++
			}
		}
		return done
	}
	const puts = 100
	done := 0
	for i := range Op(puts) {
		p := &put{query: query{op: i + 1, name: fmt.Sprint(i), asked: true}, key: 5, uploading: true, waiting: []wire.ID{30},
			ok: []wire.ID{10, 20}}
		p.numbered = w.ops.numbers.begin(p.name)
		w.ops.list = append(w.ops.list, p)
		done += take(w.step(Sealed{Op: i + 1, Manifest: wire.Manifest{Name: p.name, Version: 1, Writer: 10}}))
		done += take(w.step(Uploaded{Op: i + 1, Peer: 30, Code: wire.CodeFull}))
	}
	for len(reqs) > 0 {
		a := reqs[0]
		reqs = reqs[1:]
		open--
		done += take(w.step(Received{a.To, wire.Confirmed{Req: a.Msg.(wire.Offer).Req}}))
	}
	if done != puts {
		t.Errorf("%d of %d puts ended", done, puts)
	}
}
