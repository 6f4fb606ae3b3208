package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// What waits for a peer whose link falls, or that the roster drops.

// TestOfferOfAPutDoesNotOutliveItsLink: the next one is offered the version at
// once, not when the offer would have been too old.
func TestOfferOfAPutDoesNotOutliveItsLink(t *testing.T) {
	w := uploading(t)
	to, _ := firstOffer(t, w.step(Uploaded{Op: 1, Peer: 40, Code: wire.CodeBusy}))
	acts := w.step(LinkDown{to})
	if pull := first[Pull](t, acts); to != 50 || pull.From != 20 {
		t.Errorf("offered to %v, then pulled from %v, want 50, and this peer from 20", to, pull.From)
	}
}

// TestOfferOfAPutThatIsNotAnswered: nor does it wait for ever.
func TestOfferOfAPutThatIsNotAnswered(t *testing.T) {
	w := uploading(t)
	w.step(Uploaded{Op: 1, Peer: 40, Code: wire.CodeBusy})
	began := w.now
	for w.now < began+2*offerWait {
		if has[Pull](w.keepAlive(500*ms, 20, 30, 40, 50)) {
			if w.now < began+offerWait {
				t.Errorf("given up after %v, want %v", time.Duration(w.now-began), time.Duration(offerWait))
			}
			return
		}
	}
	t.Error("waits for ever")
}

// TestOfferWhoseBytesComeIsWaitedFor: an offer of a put for some times as long as
// its upload took, one of a pass for the grace; who says for longer that bytes
// come is waited for no more.
func TestOfferWhoseBytesComeIsWaitedFor(t *testing.T) {
	p, s := sealedPut(10, []wire.ID{15}, nil, nil)
	p.manifest.Size, p.uploading = 1<<20, true
	now := Time(100 * time.Second) // that took the upload
	p.step(now, s)
	n := len(p.offers)
	if n == 0 || p.next() != now+offerWait {
		t.Fatalf("%d offers, next at %v", n, p.next())
	}
	for made := now; len(p.offers) == n; now += Time(5 * time.Second) {
		for _, f := range p.offers {
			p.confirmed(now, f.peer, wire.Confirmed{Req: f.req, Code: wire.CodeMore})
		}
		p.step(now, s)
		if most := made + slowTimes*Time(100*time.Second) + 2*offerWait; now > most {
			t.Fatalf("still waited for after %v", time.Duration(now-made))
		} else if least := made + slowTimes*Time(100*time.Second); len(p.offers) < n && now < least {
			t.Errorf("given up after %v", time.Duration(now-made))
		}
	}
	w := within(t, 20, 30)
	by := w.offers(t)
	grace := w.copies.doubts.grace
	w.step(Received{30, wire.Confirmed{Req: by[30].Req}})
	for made := w.now; w.copies.resting[20].times == 0; {
		w.step(Received{20, wire.Confirmed{Req: by[20].Req, Code: wire.CodeMore}})
		w.keepAlive(5*time.Second, 20, 30)
		if d := time.Duration(w.now - made); d > grace+2*time.Duration(offerWait) {
			t.Fatalf("still waited for after %v, the grace is %v", d, grace)
		} else if w.copies.resting[20].times > 0 && d < grace {
			t.Errorf("given up after %v, the grace is %v", d, grace)
		}
	}
}

// TestPullSaysThatItsBytesCome: to those who wait for it, and to those who wait
// behind it; to nobody else.
func TestPullSaysThatItsBytesCome(t *testing.T) {
	w := within(t, 20, 30)
	version := func(i uint64) wire.Manifest {
		return wire.Manifest{Name: "0015", Version: i, Writer: 20, Size: 9}
	}
	for i := range uint32(MaxPulls/share + 1) {
		w.step(Received{20, wire.Offer{Req: i, Source: 20, Manifest: version(uint64(i) + 1)}})
	}
	w.step(Received{30, wire.Offer{Req: 7, Source: 30, Manifest: version(1)}})
	w.step(Received{30, wire.Offer{Req: 8, Source: 30, Manifest: version(9)}})
	to, said := sends[wire.Confirmed](w.step(Pulling{Version: Version{15, version(1).Sum()}}))
	want := []wire.Confirmed{{Req: 0, Code: wire.CodeMore}, {Req: 7, Code: wire.CodeMore}, {Req: MaxPulls / share, Code: wire.CodeMore}}
	if !slices.Equal(said, want) || !slices.Equal(to, []wire.ID{20, 30, 20}) {
		t.Errorf("%v are told %v, want %v", to, said, want)
	}
	if _, said := sends[wire.Confirmed](w.step(Pulling{})); len(said) > 0 {
		t.Errorf("of what is not pulled: %v", said)
	}
}

// pulled are the versions of the pulls among acts, and whether each may be left to
// an upload.
func pulled(acts []Action) (versions []uint64, leave []bool) {
	for _, a := range acts {
		if p, ok := a.(Pull); ok {
			versions, leave = append(versions, p.Manifest.Version), append(leave, p.Leave)
		}
	}
	return versions, leave
}

// TestVersionIsLeftToItsUpload: one that its put brings here is not pulled as well;
// whoever offers it hears that it comes, the pulls of others go on, and it is looked
// at again, for ten minutes. (Before: it came twice over the line of the putter, and
// a put took twice its time.)
func TestVersionIsLeftToItsUpload(t *testing.T) {
	w := within(t, 20, 30)
	version := func(i uint64) wire.Manifest {
		return wire.Manifest{Name: "0015", Version: i, Writer: 20, Size: 9}
	}
	const most = MaxPulls / share
	for i := range uint32(most + 1) {
		w.step(Received{20, wire.Offer{Req: i, Source: 20, Manifest: version(uint64(i) + 1)}})
	}
	w.step(Received{30, wire.Offer{Req: 7, Source: 30, Manifest: version(1)}})
	left := Uploading{Version{15, version(1).Sum()}}
	acts := w.step(left)
	if got, _ := pulled(acts); !slices.Equal(got, []uint64{most + 1}) {
		t.Errorf("then %v are pulled", got)
	}
	if to, said := sends[wire.Confirmed](acts); len(said) != 3 || said[0].Code != wire.CodeMore || !slices.Contains(to, 30) {
		t.Errorf("%v are told %v", to, said)
	}
	w.step(Pulled{Version: Version{15, version(2).Sum()}})
	for i := range maxUploadWaits {
		got, leave := pulled(w.keepAlive(time.Duration(uploadWait), 20, 30))
		if !slices.Equal(got, []uint64{1}) || leave[0] != (i < maxUploadWaits-1) {
			t.Fatalf("%d times left to its upload, then pulled are %v, and left again %v", i+1, got, leave)
		}
		w.step(left)
	}
}

// TestJoinAndLeaveHangOnNoUpload: what is offered to one that joins, or by one that
// leaves, is pulled at once.
func TestJoinAndLeaveHangOnNoUpload(t *testing.T) {
	for _, c := range []struct{ joins, leaves bool }{{false, false}, {true, false}, {false, true}} {
		w := within(t, 20, 30)
		if c.joins {
			w.view.members[w.view.me].state = wire.Joining
		}
		if c.leaves {
			w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 1, wire.Leaving)}}})
		}
		m := wire.Manifest{Name: "0015", Version: 1, Writer: 20, Size: 9}
		if got, leave := pulled(w.step(Received{20, wire.Offer{Req: 1, Source: 20, Manifest: m}})); len(got) != 1 || leave[0] == (c.joins || c.leaves) {
			t.Errorf("%+v: pulls %v, left to an upload %v", c, got, leave)
		}
	}
}

// TestOffersOfAPassDoNotOutliveTheirLink: who lost its link did not get all;
// the others are told that they did without waiting for it.
func TestOffersOfAPassDoNotOutliveTheirLink(t *testing.T) {
	w := within(t, 20, 30, 40)
	by := w.offers(t)
	w.step(Received{30, wire.Confirmed{Req: by[30].Req}})
	w.step(Received{40, wire.Confirmed{Req: by[40].Req}})
	if got := settledOf(w.step(LinkDown{20})); !got[30] || !got[40] || got[20] {
		t.Errorf("settled %v, want 30 and 40 and not 20", got)
	}
	// It is offered everything again, if not at once.
	w.step(LinkUp{20, 1})
	again := false
	for range 20 {
		for _, a := range w.keepAlive(500*ms, 20, 30, 40) {
			if s, ok := a.(Scan); ok {
				for _, a := range w.step(Scanned{Scan: s.Scan, Versions: []Version{{Key: 15, Sum: wire.Sum{1}}}}) {
					if o, ok := a.(SendOffer); ok {
						again = again || o.To == 20
					}
				}
			}
		}
	}
	if !again {
		t.Error("20 is never offered what it lost")
	}
}

// TestAskedTwiceSaysNothingOfThePace (Karn): the answer may be to either.
func TestAskedTwiceSaysNothingOfThePace(t *testing.T) {
	for _, falls := range []bool{false, true} {
		w := within(t, 20, 30, 40)
		acts := w.step(Get{Op: 1, Name: "0015"})
		if falls {
			acts = w.step(LinkDown{20})
			w.step(LinkUp{20, 1})
		}
		w.now += Time(70 * ms)
		for _, a := range acts {
			if s, ok := a.(Send); ok && s.To == 20 {
				if m, ok := s.Msg.(wire.Look); ok {
					w.step(Received{20, wire.Found{Req: m.Req, Home: true}})
				}
			}
		}
		want := pace{Time(70 * ms), Time(35 * ms)}
		if falls {
			want = pace{}
		}
		if got := w.ops.paces[20]; got != want {
			t.Errorf("asked twice %v: pace %v, want %v", falls, got, want)
		}
	}
}

// TestDroppedMemberLeavesNothing: what was known of an id is no business of the
// member that has it next.
func TestDroppedMemberLeavesNothing(t *testing.T) {
	w := among(t, 20, 30, 40)
	w.live(3*time.Second, ms, nil, 20, 30, 40)
	w.step(Received{30, wire.Settled{Incarnation: 99, From: 10}}) // against the rules
	w.step(Received{30, wire.Buckets{}})
	w.step(Received{20, wire.PingReq{Req: 1, Member: 30}})
	w.step(Received{30, wire.PingReq{Req: 1, Member: 20}})
	w.step(Received{30, wire.Offer{Req: 1, Source: 30, Manifest: wire.Manifest{Name: "0015", Version: 1, Writer: 30}}})
	to := w.roster
	to.Circle = nil
	to.Members = slices.Clone(to.Members)
	for i := range to.Members {
		if to.Members[i].ID == 30 {
			to.Members[i].Key = wire.Digest{9}
		}
	}
	w.step(RosterChanged{to})
	for _, m := range w.Status().Members {
		if m.ID == 30 && (m.Seen || m.Linked || m.Refused != 0 || m.Heard != 0 || m.RTT != 0 || m.Suspect || len(m.Votes) > 0) {
			t.Errorf("of the new 30: %+v", m)
		}
	}
	if n := len(w.detect.helps); n > 0 {
		t.Errorf("%d pings for or about the old 30 go on", n)
	}
	for _, a := range w.step(Pulled{Version: Version{15, wire.Manifest{Name: "0015", Version: 1, Writer: 30}.Sum()}}) {
		if s, ok := a.(Send); ok && s.To == 30 {
			t.Errorf("the new 30 is sent %+v", s.Msg)
		}
	}
	if settled := w.copies.accord.settled[30]; settled != (wire.Settled{}) {
		t.Errorf("the new 30 has settled %+v", settled)
	}
}

// TestVerdictIsSaidBeforeSuspicion: a member that is held unreachable is told
// so by every ping, and not that it is only suspected.
func TestVerdictIsSaidBeforeSuspicion(t *testing.T) {
	w := among(t, 20, 30, 40, 50, 60)
	others := []wire.ID{20, 30, 40, 50, 60}
	w.live(3*time.Second, ms, nil, others...)
	said := func(acts []Action) (all []wire.Said) {
		for _, p := range pings(acts)[20] {
			all = append(all, p.Said)
		}
		return all
	}
	acts := w.live(1500*ms, ms, says(false), others[1:]...)
	if all := said(acts); all[0] != wire.SaidNothing || !slices.Contains(all, wire.SaidSuspect) || slices.Contains(all, wire.SaidUnreachable) {
		t.Errorf("it is told %v before there is a verdict", all)
	}
	w.step(Received{60, wire.Rows{Votes: []wire.Vote{vote(60, 20, 1, wire.Unreachable, 1)}}})
	if m := w.view.member(20); m.inRing {
		t.Fatal("two observers have voted, and it is in the ring")
	}
	all := said(w.live(20*time.Second, ms, says(false), others[1:]...))
	if len(all) == 0 || slices.ContainsFunc(all, func(s wire.Said) bool { return s != wire.SaidUnreachable }) {
		t.Errorf("it is told %v after, want unreachable alone", all)
	}
}

// TestAnotherStandInIsAsGood: whoever puts may know of another stand-in; the
// home holders that take writes must be named, and enough of them all.
func TestAnotherStandInIsAsGood(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60)
	w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 9, wire.Full)}}})
	for _, c := range []struct {
		holders []wire.ID
		want    bool
	}{
		{[]wire.ID{30, 40, 50}, true}, {[]wire.ID{30, 40, 60}, true}, {[]wire.ID{30, 50, 60}, false}, {[]wire.ID{30, 40}, false},
	} {
		if got := w.covers(15, c.holders); got != c.want {
			t.Errorf("covers(15, %v) = %v, want %v", c.holders, got, c.want)
		}
	}
}

// TestSettledIsSaidOverANewLink: what was said over the old one may not have
// come.
func TestSettledIsSaidOverANewLink(t *testing.T) {
	w := within(t, 20, 30, 40)
	w.walk(time.Second, nil)
	if got := settledOf(w.step(LinkUp{20, 1})); len(got) > 0 {
		t.Fatalf("settled %v over a link beside the first, want nobody", got)
	}
	w.step(LinkDown{20})
	if got := settledOf(w.step(LinkUp{20, 1})); !got[20] || len(got) != 1 {
		t.Errorf("settled %v over a new link, want 20", got)
	}
}

// TestCopiesThatWereOnlyKept: all targets know better, and none of the right
// holders takes it: it is stored, if not where it should be.
func TestCopiesThatWereOnlyKept(t *testing.T) {
	w := within(t, 20, 30, 40)
	up := first[Upload](t, w.answerLooks(w.step(Put{Op: 1, Name: "0015"}), nil))
	w.step(Sealed{1, wire.Manifest{Name: "0015", Version: 1, Writer: 10}})
	todo := []Action{}
	for _, id := range up.To {
		todo = append(todo, w.step(Uploaded{Op: 1, Peer: id, Code: wire.CodeNotOwner, Kept: true})...)
	}
	var done []Done
	for len(todo) > 0 {
		a := todo[0]
		todo = todo[1:]
		switch a := a.(type) {
		case Send:
			if o, ok := a.Msg.(wire.Offer); ok {
				if !slices.Contains(up.To, o.Source) {
					t.Errorf("from %d, want one that has kept it", o.Source)
				}
				todo = append(todo, w.step(Received{a.To, wire.Confirmed{Req: o.Req, Code: wire.CodeBusy}})...)
			}
		case Pull:
			todo = append(todo, w.step(Pulled{Version: Version{15, a.Manifest.Sum()}, Code: wire.CodeBusy})...)
		case Done:
			done = append(done, a)
		}
	}
	if len(done) != 1 || done[0].Result.Outcome != Degraded || len(done[0].Result.Copies) > 0 {
		t.Errorf("%+v, want one end, degraded and without copies in their places", done)
	}
}

// TestNextRoundAsksAnew: a helper that heard a member in one round does not
// stand for it in all later ones.
func TestNextRoundAsksAnew(t *testing.T) {
	w := among(t, 20, 30, 40, 50, 60)
	w.live(3*time.Second, ms, nil, 20, 30, 40, 50, 60)
	w.live(1500*ms, ms, says(true), 30, 40, 50, 60)
	if w.votesOn(20) == wire.Unreachable {
		t.Fatal("voted though a helper has heard it")
	}
	w.live(2500*ms, ms, says(false), 30, 40, 50, 60)
	if w.votesOn(20) != wire.Unreachable {
		t.Error("does not vote when the helpers hear it no more")
	}
}

// TestDoubtCountsOnlyTimeAwake: what others said while this peer was paused, or
// in no ring, it cannot have heard.
func TestDoubtCountsOnlyTimeAwake(t *testing.T) {
	w := within(t, 20, 30)
	d := &doubts{interval: time.Second, grace: time.Minute, of: map[wire.ID]doubt{}}
	at := func(s int) Time { return Time(s) * Time(time.Second) }
	for s := 100; s < 110; s++ {
		d.tick(at(s), w.view)
	}
	if d.since != at(100) {
		t.Errorf("awake since %v, want 100 s", time.Duration(d.since))
	}
	d.tick(at(109+doubtWait), w.view)
	if d.since != at(100) {
		t.Errorf("a tick that comes late is taken for a pause")
	}
	d.tick(at(140), w.view)
	if d.since != at(140) {
		t.Errorf("awake since %v after a pause, want 140 s", time.Duration(d.since))
	}
	d.tick(at(141), w.view)
	w.step(Stop{})
	w.step(Persisted{3})
	if d.tick(at(142), w.view); d.since != 0 || d.due != never {
		t.Errorf("awake since %v, due at %v in no ring", time.Duration(d.since), d.due)
	}
}

// TestPassWalksAllVersions: batch by batch, each from where the last one ended;
// nobody has everything before the last.
func TestPassWalksAllVersions(t *testing.T) {
	w := within(t, 20, 30, 40)
	version := func(n int) Version { return Version{Key: 15, Sum: wire.Sum{byte(n)}} }
	todo := w.pass(time.Second)
	scans, offered := 0, map[wire.Sum]int{}
	for len(todo) > 0 {
		a := todo[0]
		todo = todo[1:]
		switch a := a.(type) {
		case Scan:
			if want := version(2 * scans); a.First != (scans == 0) || scans > 0 && a.After != want || a.Limit < 2 {
				t.Errorf("scan %d: %+v, want after %v", scans, a, want)
			}
			scans++
			if scans > 3 {
				t.Fatal("asks for more than there is")
			}
			todo = append(todo, w.step(Scanned{Scan: a.Scan, Versions: []Version{version(2*scans - 1), version(2 * scans)}, More: scans < 3})...)
		case SendOffer:
			offered[a.Version.Sum]++
			todo = append(todo, w.step(Received{a.To, wire.Confirmed{Req: a.Req}})...)
		case Send:
			if _, ok := a.Msg.(wire.Settled); ok && (scans < 3 || len(offered) < 6) {
				t.Errorf("%d is settled after %d scans and %d versions", a.To, scans, len(offered))
			}
		}
	}
	if scans != 3 || len(offered) != 6 {
		t.Errorf("%d scans, %d versions offered, want 3 and 6", scans, len(offered))
	}
	for sum, n := range offered {
		if n != 3 {
			t.Errorf("version %x was offered %d times, want once to each home holder", sum[:1], n)
		}
	}
}

// TestOfferIsConfirmedWhenTheVersionIsHere: not when it is on its way, and with
// the code that its pull ended with.
func TestOfferIsConfirmedWhenTheVersionIsHere(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeOK, wire.CodeFull, wire.CodeNotFound} {
		w := within(t, 20, 30)
		m := wire.Manifest{Name: "0015", Version: 1, Writer: 20, Size: 9}
		acts := w.step(Received{20, wire.Offer{Req: 7, Source: 30, Manifest: m}})
		if p := first[Pull](t, acts); p.From != 30 || p.Manifest != m {
			t.Errorf("pulls %+v, want what was offered from 30", p)
		}
		acts = append(acts, w.keepAlive(time.Second, 20, 30)...)
		if to, early := sends[wire.Confirmed](acts); len(early) > 0 {
			t.Errorf("confirmed %v to %v before it is here", early, to)
		}
		to, answers := sends[wire.Confirmed](w.step(Pulled{Version: Version{15, m.Sum()}, Code: code}))
		if len(answers) != 1 || to[0] != 20 || answers[0] != (wire.Confirmed{Req: 7, Code: code}) {
			t.Errorf("answered %v to %v, want code %d to 20", answers, to, code)
		}
	}
}

// TestFallenLinkIsReasonToAsk: a member whose link falls is pinged at once, and
// not with the next interval; one that is not watched is not.
func TestFallenLinkIsReasonToAsk(t *testing.T) {
	w := among(t, 20, 30, 40, 50, 60, 70, 80)
	others := []wire.ID{20, 30, 40, 50, 60, 70, 80}
	w.live(3*time.Second, ms, nil, others...)
	w.live(100*ms, ms, nil, others...)
	if got := pings(w.step(LinkDown{20})); len(got[20]) != 1 {
		t.Errorf("pings %v, want one to 20", got)
	}
	if got := pings(w.step(LinkDown{20})); len(got[20]) != 0 {
		t.Errorf("pings %v again, and the first is on its way", got)
	}
	if got := pings(w.step(LinkDown{60})); len(got) != 0 {
		t.Errorf("pings %v, though others watch 60", got)
	}
}

// TestSinceIsOfEachMember: since when a member is out of the ring, from which
// its grace runs, does not change with who else leaves the ring or comes back.
func TestSinceIsOfEachMember(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60)
	since := map[wire.ID]Time{}
	check := func() {
		for _, m := range w.Status().Members {
			if m.Since != since[m.ID] {
				t.Errorf("at %v: %d is out since %v, want %v", time.Duration(w.now), m.ID, time.Duration(m.Since), time.Duration(since[m.ID]))
			}
		}
	}
	for n, x := range []struct {
		id wire.ID
		is wire.State
	}{
		{40, wire.Stopped}, {20, wire.Stopped}, {60, wire.Stopped}, {40, wire.Active}, {30, wire.Stopped},
		{60, wire.Active}, {50, wire.Stopped}, {20, wire.Active}, {40, wire.Stopped}, {30, wire.Active},
	} {
		w.now += Time(70 * ms)
		delete(since, x.id)
		if x.is == wire.Stopped {
			since[x.id] = w.now
		}
		w.step(Received{x.id, wire.Rows{Rows: []wire.Row{row(x.id, wire.Incarnation(n+2), x.is)}}})
		check()
	}
}

// TestHelpersOfARoundAreTwo: not one that is asked twice; nor is the suspect.
func TestHelpersOfARoundAreTwo(t *testing.T) {
	w := among(t, 20, 30, 40, 50, 60)
	w.live(3*time.Second, ms, nil, 20, 30, 40, 50, 60)
	var rounds [][]wire.ID
	for range 20 {
		to, asked := sends[wire.PingReq](w.live(100*ms, ms, says(true), 30, 40, 50, 60))
		for _, m := range asked {
			if m.Member != 20 {
				t.Errorf("asks about %d", m.Member)
			}
		}
		if len(to) > 0 {
			rounds = append(rounds, to)
		}
	}
	for _, to := range rounds {
		if len(to) != helpers || to[0] == to[1] || slices.Contains(to, 20) || slices.Contains(to, 10) {
			t.Errorf("asks %v in a round, want two others", to)
		}
	}
	if len(rounds) < 2 || slices.Equal(rounds[0], rounds[1]) {
		t.Errorf("asks %v, want others in each round", rounds)
	}
}

// TestReturnIsNoticed: who was held unreachable returns; who was never there, or
// had stopped, is seen.
func TestReturnIsNoticed(t *testing.T) {
	w := within(t, 20, 30, 40, 50)
	kinds := func(acts []Action) (kinds []Kind) {
		for _, a := range acts {
			if n, ok := a.(Notify); ok && n.Notice.Peer == 40 && (n.Notice.Kind == Returned || n.Notice.Kind == MemberSeen || n.Notice.Kind == MemberGone) {
				kinds = append(kinds, n.Notice.Kind)
			}
		}
		return kinds
	}
	says := func(r wire.Row) []Kind { return kinds(w.step(Received{20, wire.Rows{Rows: []wire.Row{r}}})) }
	w.judge(wire.Unreachable, 1, 40)
	if got := kinds(w.acts); !slices.Equal(got, []Kind{MemberGone}) {
		t.Errorf("by a verdict: %v, want gone", got)
	}
	if got := says(row(40, 2, wire.Active)); !slices.Equal(got, []Kind{Returned}) {
		t.Errorf("back after it: %v, want returned", got)
	}
	if got := says(row(40, 3, wire.Stopped)); !slices.Equal(got, []Kind{MemberGone}) {
		t.Errorf("stopped: %v, want gone", got)
	}
	if got := says(row(40, 4, wire.Active)); !slices.Equal(got, []Kind{MemberSeen}) {
		t.Errorf("started again: %v, want seen", got)
	}
}

// TestMoreFreshVersionsThanAreRemembered: then a whole pass looks after them,
// and gives everything to everybody; but once in a hundred intervals, as all
// that this peer holds is offered for it.
func TestMoreFreshVersionsThanAreRemembered(t *testing.T) {
	w := within(t, 20, 30, 40)
	w.walk(time.Second, nil, onTen)
	stored := 0
	flood := func() {
		for range maxFresh + 1 {
			stored++
			w.step(PutStored{Serve: 1, From: 20, Name: "0005", Holders: []wire.ID{10, 20, 30},
				Version: Version{5, wire.Sum{9, byte(stored), byte(stored >> 8)}}})
		}
	}
	again := func(d time.Duration) (to []wire.ID) {
		for end := w.now + Time(d); w.now < end; {
			to = append(to, w.walk(time.Second, nil, onTen)[onTen]...)
			for _, id := range []wire.ID{20, 30, 40} {
				w.step(Pinged{id, wire.Ping{Ack: true, Mine: 1}})
			}
		}
		return to
	}
	flood()
	if got := again(2 * time.Second); !slices.Equal(got, []wire.ID{20, 30}) {
		t.Errorf("what was there before is offered to %v, want 20 and 30 again", got)
	}
	again(10 * time.Second) // all are given to all
	flood()
	if got := again(85 * time.Second); len(got) > 0 {
		t.Errorf("it is offered to %v soon after, want nobody", got)
	}
	if got := again(6 * time.Second); !slices.Equal(got, []wire.ID{20, 30}) {
		t.Errorf("it is offered to %v a hundred intervals after, want 20 and 30", got)
	}
	flood()
	w.step(Leave{1})
	w.step(Persisted{3})
	if got := again(2 * time.Second); len(got) == 0 || w.copies.flood != 0 {
		t.Error("who leaves gives away what it remembers, and not what it had no room for")
	}
}

// TestPauseIsNotOfTheGrace: what this peer slept through it has not waited for.
func TestPauseIsNotOfTheGrace(t *testing.T) {
	w, others := graced(t)
	w.die(10*time.Second, others, 20)
	w.now += Time(time.Hour)
	w.step(Tick{})
	w.die(17*time.Second, others, 20)
	if v := w.votesOn(20); v == wire.Gone {
		t.Error("gone when this peer has been awake for less than the grace")
	}
	w.die(6*time.Second, others, 20)
	if v := w.votesOn(20); v != wire.Gone {
		t.Errorf("vote %v after the whole grace awake", v)
	}
}
