package ring

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// What one member can do to the others by silence, or by what it says.

// keepAlive lets time go by while all of ids answer their pings.
func (w *world) keepAlive(d time.Duration, ids ...wire.ID) []Action {
	var all []Action
	for range d / (500 * time.Millisecond) {
		for _, id := range ids {
			all = append(all, w.step(Pinged{id, wire.Ping{Ack: true, Mine: 1}})...)
		}
		all = append(all, w.pass(500*time.Millisecond)...)
	}
	return all
}

// TestPredecessorThatRefusesKeepsNobodyOut: everybody sends a joiner to its
// predecessor, which does not accept it; the word of the others is enough.
func TestPredecessorThatRefusesKeepsNobodyOut(t *testing.T) {
	for _, silent := range []bool{false, true} {
		w := &world{Ring: New(config(10, 10, 20, 50)), now: Time(time.Second)}
		w.step(Tick{})
		w.step(Persisted{1})
		for end := w.now + Time(20*time.Second); w.now < end && !w.Status().InRing; {
			for _, id := range []wire.ID{20, 50} {
				w.step(LinkUp{id, 1})
				w.step(Received{id, wire.Rows{Rows: []wire.Row{row(20, 1, wire.Active), row(50, 1, wire.Active)}}})
			}
			all := w.pass(100 * time.Millisecond)
			for len(all) > 0 {
				a := all[0]
				all = all[1:]
				s, ok := a.(Send)
				if !ok {
					continue
				}
				f, ok := s.Msg.(wire.Find)
				switch {
				case !ok:
				case s.To == 20:
					all = append(all, w.step(Received{20, wire.Ask{Req: f.Req, Next: 50}})...)
				case !silent:
					all = append(all, w.step(Received{50, wire.Refuse{Req: f.Req, Code: wire.CodeNotInRing}})...)
				}
			}
		}
		if !w.Status().InRing {
			t.Errorf("silent %v: still not in the ring after 20 intervals", silent)
		}
	}
}

// TestHearsayIsNeverRefuted: a ping's word that this peer is unreachable makes
// it ask for the votes, seldomer and seldomer while there are none, and nothing
// else: no new incarnation, nothing to go through again.
func TestHearsayIsNeverRefuted(t *testing.T) {
	w := within(t, 20, 30)
	asked := 0
	for range 1000 {
		w.now += Time(40 * time.Millisecond)
		acts := w.step(Pinged{20, wire.Ping{Ack: true, Mine: 1, Said: wire.SaidUnreachable, Yours: w.own.spoken, View: w.view.digest().whole}})
		_, b := sends[wire.Buckets](acts)
		asked += len(b)
		if slices.ContainsFunc(acts, func(a Action) bool { _, ok := a.(Persist); return ok }) {
			t.Fatal("a new incarnation for a word")
		}
	}
	if asked < 4 || asked > 10 {
		t.Errorf("asked %d times in 40 intervals", asked)
	}
}

// TestWhoSettlesNobodyIsNotWaitedForForEver: with another holder's word that
// it has everything, a peer catches up without the one that keeps silent.
func TestWhoSettlesNobodyIsNotWaitedForForEver(t *testing.T) {
	w := &world{Ring: New(config(10, 10, 20, 30)), now: Time(time.Second)}
	w.step(Tick{})
	w.step(Persisted{1})
	w.step(LinkUp{20, 1})
	w.step(LinkUp{30, 1})
	w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 1, wire.Active), row(30, 1, wire.Active)}}})
	w.step(Received{20, wire.Here{Req: 1}})
	answer := func(acts []Action) {
		for _, a := range acts {
			switch a := a.(type) {
			case Scan:
				w.step(Scanned{Scan: a.Scan})
			case Persist:
				w.step(Persisted(a))
			}
		}
	}
	for range 2 * stuckBehind {
		answer(w.keepAlive(time.Second, 20, 30))
	}
	if s := w.Status(); !s.Behind || s.State != wire.Joining {
		t.Fatalf("state %v, behind %v, though nobody has settled it", s.State, s.Behind)
	}
	w.step(Received{20, wire.Settled{Incarnation: w.own.spoken, From: 10}})
	for range 2 * stuckBehind {
		answer(w.keepAlive(time.Second, 20, 30))
	}
	if s := w.Status(); s.Behind || s.State != wire.Active {
		t.Errorf("state %v, behind %v, want active: 20 has settled it", s.State, s.Behind)
	}
}

// TestOneMembersOffersLeaveRoom: however many versions one member offers,
// another's are pulled.
func TestOneMembersOffersLeaveRoom(t *testing.T) {
	w := within(t, 20, 30)
	pulls, busy := 0, 0
	count := func(acts []Action) {
		for _, a := range acts {
			switch a := a.(type) {
			case Pull:
				pulls++
			case Send:
				if c, ok := a.Msg.(wire.Confirmed); ok && c.Code == wire.CodeBusy {
					busy++
				}
			}
		}
	}
	offer := func(from wire.ID, i int) {
		m := wire.Manifest{Name: fmt.Sprintf("%04d", i), Version: 1, Writer: from, Size: 9}
		count(w.step(Received{from, wire.Offer{Req: uint32(i), Source: from, Manifest: m}}))
	}
	for i := range 1000 {
		offer(20, i)
	}
	if pulls != MaxPulls/share || busy < 900 {
		t.Errorf("%d pulls and %d told to come again, want %d and most", pulls, busy, MaxPulls/share)
	}
	pulls = 0
	if offer(30, 2000); pulls != 1 {
		t.Errorf("%d pulls for another member, want 1", pulls)
	}
}

// TestOffersInVainArePaced: a member that offers what another does not have has
// that one asked twice an interval at most, however fast it offers; nobody
// else's offers wait for it.
func TestOffersInVainArePaced(t *testing.T) {
	w := within(t, 20, 30, 40)
	pulls := map[wire.ID]int{}
	todo := func(acts []Action) (under []Pull) {
		for _, a := range acts {
			if p, ok := a.(Pull); ok {
				pulls[p.From]++
				under = append(under, p)
			}
		}
		return under
	}
	for i := range 5000 {
		m := wire.Manifest{Name: fmt.Sprintf("%04d", i), Version: 1, Writer: 20, Size: 9}
		under := todo(w.step(Received{20, wire.Offer{Req: uint32(i), Source: 40, Manifest: m}}))
		under = append(under, todo(w.pass(ms))...)
		for len(under) > 0 {
			v := Version{wire.KeyOf(w.view.space, under[0].Manifest.Name), under[0].Manifest.Sum()}
			under = append(under[1:], todo(w.step(Pulled{Version: v, Code: wire.CodeNotFound}))...)
		}
	}
	if n := pulls[40]; n < 5 || n > 2*6 {
		t.Errorf("40 was asked %d times in 5 intervals, want twice an interval at most", n)
	}
	m := wire.Manifest{Name: "0015", Version: 1, Writer: 30, Size: 9}
	if p := first[Pull](t, w.step(Received{30, wire.Offer{Req: 1, Source: 30, Manifest: m}})); p.From != 30 {
		t.Errorf("pulls %+v", p)
	}
	w.pass(2 * time.Second)
	if len(w.copies.pulls.vain) > 0 {
		t.Error("who once offered in vain is remembered for ever")
	}
}

// TestOffererWhoseLinkFell: what it offers again is pulled within an interval,
// and not refused. A full disk here is no fault of who offers.
func TestOffererWhoseLinkFell(t *testing.T) {
	w := within(t, 20, 30)
	m := wire.Manifest{Name: "0015", Version: 1, Writer: 20, Size: 9}
	v := Version{15, m.Sum()}
	first[Pull](t, w.step(Received{20, wire.Offer{Req: 1, Source: 20, Manifest: m}}))
	w.step(LinkDown{20})
	w.step(Pulled{Version: v, Code: wire.CodeBusy})
	w.step(LinkUp{20, 1})
	acts := w.step(Received{20, wire.Offer{Req: 2, Source: 20, Manifest: m}})
	acts = append(acts, w.pass(time.Second)...)
	if p := first[Pull](t, acts); p.Manifest != m {
		t.Errorf("pulls %+v, want what was offered", p)
	}
	if _, said := sends[wire.Confirmed](acts); len(said) > 0 {
		t.Errorf("answered %v before it was pulled", said)
	}
	w.step(Pulled{Version: v, Code: wire.CodeFull})
	first[Pull](t, w.step(Received{20, wire.Offer{Req: 3, Source: 20, Manifest: m}}))
}

// TestSameOfferAgainAndAgain: of many offers of one version by one member the
// last few are answered; of two, both.
func TestSameOfferAgainAndAgain(t *testing.T) {
	w := within(t, 20, 30)
	m := wire.Manifest{Name: "0015", Version: 1, Writer: 20, Size: 9}
	for i := range 1000 {
		w.step(Received{20, wire.Offer{Req: uint32(i + 1), Source: 20, Manifest: m}})
	}
	var answers []uint32
	for _, a := range w.step(Pulled{Version: Version{15, m.Sum()}, Code: wire.CodeOK}) {
		if s, ok := a.(Send); ok {
			if c, ok := s.Msg.(wire.Confirmed); ok {
				answers = append(answers, c.Req)
			}
		}
	}
	if len(answers) != maxWaiters || answers[maxWaiters-1] != 1000 {
		t.Errorf("answered %v, want the last %d", answers, maxWaiters)
	}
	two := wire.Manifest{Name: "0015", Version: 2, Writer: 20, Size: 9}
	w.step(Received{20, wire.Offer{Req: 2001, Source: 20, Manifest: two}})
	w.step(Received{20, wire.Offer{Req: 2002, Source: 20, Manifest: two}})
	answered := 0
	for _, a := range w.step(Pulled{Version: Version{15, two.Sum()}, Code: wire.CodeOK}) {
		if s, ok := a.(Send); ok {
			if _, ok := s.Msg.(wire.Confirmed); ok {
				answered++
			}
		}
	}
	if answered != 2 {
		t.Errorf("%d of two offers of one version were answered", answered)
	}
}

// TestWhoDoesNotAnswerOffersRests: after one wait for it, later passes leave a
// silent peer alone for longer and longer, and others get theirs at once.
func TestWhoDoesNotAnswerOffersRests(t *testing.T) {
	w := within(t, 20, 30)
	offers := map[wire.ID]int{}
	for range 240 {
		for _, a := range w.keepAlive(time.Second, 20, 30) {
			switch a := a.(type) {
			case Scan:
				for _, a := range w.step(Scanned{Scan: a.Scan, Versions: []Version{{Key: 15, Sum: wire.Sum{1}}}}) {
					if o, ok := a.(SendOffer); ok {
						if offers[o.To]++; o.To == 30 {
							w.step(Received{30, wire.Confirmed{Req: o.Req}})
						}
					}
				}
			case Persist:
				w.step(Persisted(a))
			}
		}
	}
	if offers[20] == 0 || offers[20] > 6 {
		t.Errorf("offered %d times to who never answers in 240 intervals, want at most 6", offers[20])
	}
	if offers[30] == 0 {
		t.Error("nothing was offered to who answers")
	}
}

// TestUnreadableDiskSettlesNobody: a walk that the disk broke off is no word
// that others have everything.
func TestUnreadableDiskSettlesNobody(t *testing.T) {
	w := within(t, 20, 30)
	for range 30 {
		for _, a := range w.keepAlive(time.Second, 20, 30) {
			if s, ok := a.(Scan); ok {
				if got := settledOf(w.step(Scanned{Scan: s.Scan, Failed: true})); len(got) > 0 {
					t.Fatalf("settled %v", got)
				}
			}
		}
	}
	all := w.keepAlive(70*time.Second, 20, 30)
	for i := range all {
		if s, ok := all[i].(Scan); ok {
			if got := settledOf(w.step(Scanned{Scan: s.Scan})); !got[20] || !got[30] {
				t.Errorf("settled %v once the disk could be read, want both", got)
			}
			return
		}
	}
	t.Error("never walked again")
}

// TestMisledJoinerStartsARing: whoever a member sends a joiner to, itself or in
// circles, it is in a ring in the end.
func TestMisledJoinerStartsARing(t *testing.T) {
	for name, next := range map[string]func(n int) wire.ID{
		"to itself":   func(int) wire.ID { return 10 },
		"to nobody":   func(int) wire.ID { return 99 },
		"in circles":  func(n int) wire.ID { return []wire.ID{20, 30}[n%2] },
		"to the same": func(int) wire.ID { return 20 },
	} {
		w := &world{Ring: New(config(10, 10, 20, 30)), now: Time(time.Second)}
		w.step(Tick{})
		w.step(Persisted{1})
		for _, id := range []wire.ID{20, 30} {
			w.step(LinkUp{id, 1})
		}
		n := 0
		for end := w.now + Time(22*time.Second); w.now < end; {
			acts := w.pass(50 * ms)
			for len(acts) > 0 && !w.Status().InRing {
				a := acts[0]
				acts = acts[1:]
				if s, ok := a.(Send); ok {
					if f, ok := s.Msg.(wire.Find); ok {
						n++
						acts = append(acts, w.step(Received{s.To, wire.Ask{Req: f.Req, Next: next(n)}})...)
					}
				}
			}
		}
		if !w.Status().InRing || n == 0 {
			t.Errorf("sent %s %d times: in the ring %v", name, n, w.Status().InRing)
		}
	}
}

// TestBusyForEverDelaysNobody: one member that always says busy is left alone
// for longer and longer; another that said so once is offered the version
// again two intervals later.
func TestBusyForEverDelaysNobody(t *testing.T) {
	w := within(t, 20, 30)
	offers := map[wire.ID]int{}
	again := Time(0) // when 30 was busy
	for range 400 {
		for _, a := range w.keepAlive(500*time.Millisecond, 20, 30) {
			s, ok := a.(Scan)
			if !ok {
				continue
			}
			for _, a := range w.step(Scanned{Scan: s.Scan, Versions: []Version{{Key: 15, Sum: wire.Sum{1}}}}) {
				o, ok := a.(SendOffer)
				if !ok {
					continue
				}
				offers[o.To]++
				code := wire.CodeBusy
				if o.To == 30 {
					switch {
					case again == 0 && offers[20] > 4:
						again = w.now
					case again != 0 && offers[30] > 0 && w.now-again > Time(4*time.Second):
						t.Errorf("30 waits for %v", time.Duration(w.now-again))
						fallthrough
					default:
						code = wire.CodeOK
					}
				}
				w.step(Received{o.To, wire.Confirmed{Req: o.Req, Code: code}})
			}
		}
		if again == 0 && offers[20] > 4 { // 30 comes back and is given everything anew
			w.step(Received{30, wire.Rows{Rows: []wire.Row{row(30, 7, wire.Active)}}})
		}
	}
	if again == 0 || offers[20] > 10 {
		t.Errorf("20 was offered %v versions in 200 intervals; 30 busy at %v", offers[20], time.Duration(again))
	}
}

// TestOfferOfNobodysBytes: a source outside the roster is refused, and not
// counted: it may be in that of who offers.
func TestOfferOfNobodysBytes(t *testing.T) {
	w := within(t, 20, 30)
	m := wire.Manifest{Name: "0015", Version: 1, Writer: 20, Size: 9}
	acts := w.step(Received{20, wire.Offer{Req: 3, Source: 77, Manifest: m}})
	if got := first[Send](t, acts); got.Msg != (wire.Confirmed{Req: 3, Code: wire.CodeInvalid}) || w.links.line(20).refused != 0 {
		t.Errorf("answered %+v, %v refused", got, w.links.line(20).refused)
	}
}

// TestCopierRemembersLittle: 10^5 offers, of keys near and far, answers to
// what was never asked, and words of what nobody spoke leave no more behind
// than the bounds say.
func TestCopierRemembersLittle(t *testing.T) {
	w := within(t, 20, 30, 40, 50)
	for i := range 100_000 {
		m := wire.Manifest{Name: fmt.Sprintf("%06d", i), Version: 1, Writer: 20, Size: 9}
		w.step(Received{20, wire.Offer{Req: uint32(i), Source: 20, Manifest: m}})
		w.step(Received{20, wire.Confirmed{Req: uint32(i)}})
		w.step(Received{20, wire.Settled{Incarnation: wire.Incarnation(i), From: wire.Pos(i)}})
	}
	members := len(w.view.members)
	// Each member: three stamps, four entries of maps; a share of the queue and
	// of the pulls, each with who waits.
	if n, most := w.copies.load(), 9*members+2*(maxQueued+MaxPulls)/share; n > most {
		t.Errorf("it remembers %v things, want at most %v", n, most)
	}
}

// TestOneMembersNewsIsBounded: votes of one member on everybody, with rising
// sequences, are passed on a few at a time, and all in the end.
func TestOneMembersNewsIsBounded(t *testing.T) {
	var others []wire.ID
	for id := wire.ID(11); id < 211; id++ {
		others = append(others, id)
	}
	w := among(t, others...)
	w.live(3*time.Second, ms, nil, others...)
	passed := 0
	for seq := range uint64(40) {
		var m wire.Rows
		for _, on := range others[1:] {
			m.Votes = append(m.Votes, vote(11, on, 1, wire.Unreachable, seq+1))
		}
		acts := append(w.step(Received{11, m}), w.live(50*ms, ms, nil, others...)...)
		to, said := sends[wire.Rows](acts)
		for i, id := range to {
			if id == 12 {
				passed += len(said[i].Votes)
			}
		}
	}
	if most := (2*authored + 2) * authoredAtOnce; passed == 0 || passed > most {
		t.Errorf("%d votes of one member in 2 intervals, want at most %d", passed, most)
	}
	acts := w.live(2*time.Second, ms, nil, others...)
	seen := map[wire.ID]bool{}
	to, said := sends[wire.Rows](acts)
	for i, id := range to {
		for _, v := range said[i].Votes {
			if id == 12 && v.Sequence == 40 {
				seen[v.Member] = true
			}
		}
	}
	if len(seen) < len(others)-1-authoredAtOnce {
		t.Errorf("the last votes on %d of %d are passed on", len(seen), len(others)-1)
	}
}

// TestFickleMemberIsTakenTimeOver: one that becomes another twenty times in an
// interval, for ever, has the others walk what they hold now and then only; a
// few changes in a row have it done at once.
func TestFickleMemberIsTakenTimeOver(t *testing.T) {
	w := among(t, 20, 30)
	walks := 0
	answer := func(acts []Action) {
		for len(acts) > 0 {
			s, ok := acts[0].(Scan)
			acts = acts[1:]
			if ok {
				walks++
				acts = append(acts, w.step(Scanned{Scan: s.Scan})...)
			}
		}
	}
	answer(w.live(3*time.Second, ms, nil, 20, 30))
	began := walks
	for i := range 20 * 60 {
		answer(w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, wire.Incarnation(2+i), wire.Active)}}}))
		answer(w.live(50*ms, ms, nil, 20, 30))
	}
	if walks -= began; walks < 5 || walks > 20 || began == 0 {
		t.Errorf("%d walks in 60 intervals", walks)
	}
}
