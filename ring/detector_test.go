package ring

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// pings returns what was sent to each peer as pings, not acks.
func pings(acts []Action) map[wire.ID][]wire.Ping {
	by := map[wire.ID][]wire.Ping{}
	for _, a := range acts {
		if p, ok := a.(SendPing); ok && !p.Ping.Ack {
			by[p.To] = append(by[p.To], p.Ping)
		}
	}
	return by
}

// sends returns the messages of one type, and to whom.
func sends[M wire.Message](acts []Action) (to []wire.ID, messages []M) {
	for _, a := range acts {
		if s, ok := a.(Send); ok {
			if m, ok := s.Msg.(M); ok {
				to, messages = append(to, s.To), append(messages, m)
			}
		}
	}
	return to, messages
}

// town is a peer whose neighbours answer.
type town struct {
	*world
	coming []coming
}

// coming is an answer on its way.
type coming struct {
	at Time
	ev Event
}

func among(t *testing.T, others ...wire.ID) *town {
	t.Helper()
	return &town{world: within(t, others...)}
}

// live lets time go by while those in ids answer every ping after rtt; the
// others are silent. PingReqs are answered by help, if given.
func (w *town) live(d, rtt time.Duration, help func(wire.PingReq) *bool, ids ...wire.ID) []Action {
	var all []Action
	take := func(acts []Action) {
		all = append(all, acts...)
		for _, a := range acts {
			switch a := a.(type) {
			case SendPing:
				if !a.Ping.Ack && slices.Contains(ids, a.To) {
					w.coming = append(w.coming, coming{w.now + Time(rtt), Pinged{a.To, wire.Ping{Ack: true, Echo: a.Ping.Echo, Mine: 1, View: w.view.digest().whole}}})
				}
			case Send:
				if m, ok := a.Msg.(wire.PingReq); ok && help != nil && slices.Contains(ids, a.To) {
					if alive := help(m); alive != nil {
						w.coming = append(w.coming, coming{w.now + Time(rtt), Received{a.To, wire.PingReqAck{Req: m.Req, Alive: *alive}}})
					}
				}
			}
		}
	}
	for end := w.now + Time(d); ; {
		next := min(w.Next(), end)
		for _, c := range w.coming {
			next = min(next, c.at)
		}
		w.now = max(w.now, next)
		if i := slices.IndexFunc(w.coming, func(c coming) bool { return c.at <= w.now }); i >= 0 {
			ev := w.coming[i].ev
			w.coming = slices.Delete(w.coming, i, i+1)
			take(w.step(ev))
			continue
		}
		if w.now == end {
			return all
		}
		take(w.step(Tick{}))
	}
}

func says(alive bool) func(wire.PingReq) *bool {
	return func(wire.PingReq) *bool { return &alive }
}

// votesOn returns the verdicts that this peer has cast on a member.
func (w *world) votesOn(id wire.ID) wire.Verdict { return w.view.vote(id) }

const ms = time.Millisecond

// TestSilenceBecomesAVote: direct pings and helpers have all failed, then this
// peer votes, within an interval and a half; not before helpers have answered.
func TestSilenceBecomesAVote(t *testing.T) {
	for _, c := range []struct {
		name string
		help func(wire.PingReq) *bool
		vote bool
	}{
		{"the helpers have not heard it", says(false), true},
		{"the helpers do not answer", nil, true},
		{"a helper has heard it", says(true), false},
	} {
		w := among(t, 20, 30, 40, 50, 60)
		w.live(3*time.Second, ms, nil, 20, 30, 40, 50, 60)
		began := w.now
		acts := w.live(1500*ms, ms, c.help, 30, 40, 50, 60)
		if got := w.votesOn(20) == wire.Unreachable; got != c.vote {
			t.Errorf("%s: voted %v, want %v", c.name, got, c.vote)
		}
		to, asked := sends[wire.PingReq](acts)
		if len(asked) < helpers || to[0] == to[1] || asked[0].Member != 20 {
			t.Errorf("%s: asked %v of %v, want %d others a round", c.name, asked, to, helpers)
		}
		if n := len(pings(acts)[20]); n < probes {
			t.Errorf("%s: %d pings in %v, want %d", c.name, n, time.Duration(w.now-began), probes)
		}
	}
}

// TestOwnFailureIsNoEvidence: what has not left this machine says nothing of
// the other side: no vote, while it lasts; but this peer routes around it. A
// silence that follows is one.
func TestOwnFailureIsNoEvidence(t *testing.T) {
	w := among(t, 20, 30, 40, 50, 60)
	w.live(3*time.Second, ms, nil, 20, 30, 40, 50, 60)
	for range 100 {
		w.step(NotSent{20})
		w.live(500*ms, ms, says(false), 30, 40, 50, 60)
		if w.votesOn(20) != 0 {
			t.Fatal("voted against a member that was not asked")
		}
	}
	if w.view.member(20).inRing {
		t.Error("what this peer can't reach is routed to")
	}
	w.live(500*ms, ms, nil, 20, 30, 40, 50, 60)
	for range 10 {
		w.live(500*ms, ms, nil, 20, 30, 40, 50, 60)
	}
	if w.votesOn(20) != 0 {
		t.Error("voted against a member that answers")
	}
	w.live(6*time.Second, ms, says(false), 30, 40, 50, 60)
	if w.votesOn(20) != wire.Unreachable {
		t.Error("no vote against a silent member")
	}
	w.step(NotSent{99}) // nobody
}

// TestOneLostPingIsNothing: a ping now and then is lost, nobody is asked and
// nobody judged.
func TestOneLostPingIsNothing(t *testing.T) {
	w := among(t, 20, 30, 40)
	w.live(2*time.Second, ms, nil, 20, 30, 40)
	for range 50 {
		acts := w.live(150*ms, ms, nil, 30, 40)
		acts = append(acts, w.live(850*ms, ms, nil, 20, 30, 40)...)
		if _, asked := sends[wire.PingReq](acts); len(asked) != 0 || w.votesOn(20) != 0 {
			t.Fatalf("asked %v, voted %v after one lost ping", asked, w.votesOn(20))
		}
	}
}

// TestTimeoutFollowsTheLink: on a link of two intervals' round trip nobody is
// suspected, whatever the interval; when it goes silent it is judged later.
func TestTimeoutFollowsTheLink(t *testing.T) {
	for _, rtt := range []time.Duration{ms, 300 * ms, 900 * ms, 2500 * ms} {
		w := among(t, 20, 30, 40)
		w.live(30*time.Second, rtt, nil, 20, 30, 40)
		acts := w.live(60*time.Second, rtt, nil, 20, 30, 40)
		if _, asked := sends[wire.PingReq](acts); len(asked) != 0 || w.votesOn(20) != 0 {
			t.Errorf("rtt %v: asked %d times, voted %v on a live peer", rtt, len(asked), w.votesOn(20))
		}
		limit := 2500*ms + 6*rtt
		if w.live(limit, rtt, nil, 30, 40); w.votesOn(20) != wire.Unreachable {
			t.Errorf("rtt %v: not judged after %v", rtt, limit)
		}
	}
}

// TestRTOIsRFC6298s: the estimator's first two samples by the RFC's own words.
func TestRTOIsRFC6298s(t *testing.T) {
	d := detector{interval: time.Second, watches: []watch{{peer: 20}}}
	w := &d.watches[0]
	sample := func(echo uint64, rtt time.Duration) {
		w.sent[echo%uint64(len(w.sent))] = sent{echo, 1}
		d.acked(1+Time(rtt), 20, wire.Ping{Echo: echo})
	}
	sample(1, 100*ms)
	if w.srtt != 100*ms || w.rttvar != 50*ms || d.rto(w) != Time(300*ms) {
		t.Errorf("srtt %v, rttvar %v, rto %v after 100 ms, want 100, 50 and 300 ms", w.srtt, w.rttvar, time.Duration(d.rto(w)))
	}
	sample(2, 200*ms)
	if w.srtt != 112500*time.Microsecond || w.rttvar != 62500*time.Microsecond {
		t.Errorf("srtt %v, rttvar %v after 200 ms more, want 112.5 and 62.5 ms", w.srtt, w.rttvar)
	}
	d.acked(1+Time(time.Hour), 20, wire.Ping{Echo: 2})
	if w.srtt != 112500*time.Microsecond {
		t.Errorf("an ack twice changes the estimate to %v", w.srtt)
	}
}

// TestWhoWasPausedJudgesNobody: a peer that was stopped finds everybody silent
// when it wakes, and asks again before it believes so.
func TestWhoWasPausedJudgesNobody(t *testing.T) {
	for _, pause := range []time.Duration{300 * ms, time.Second, 10 * time.Second, time.Hour} {
		w := among(t, 20, 30, 40)
		w.Ring.roster.Grace = 30 * time.Second
		w.tune()
		w.live(3*time.Second, ms, nil, 20, 30, 40)
		w.now += Time(pause)
		w.step(Tick{})
		w.live(5*time.Second, ms, nil, 20, 30, 40)
		for _, id := range []wire.ID{20, 30, 40} {
			if v := w.votesOn(id); v != 0 || !w.view.member(id).inRing {
				t.Errorf("pause %v: vote %v on %d, in the ring %v", pause, v, id, w.view.member(id).inRing)
			}
		}
	}
}

// TestWhoHearsNobodyDoesNotVote: all fall silent at once: more likely this
// peer is deaf. It still routes by its own belief.
func TestWhoHearsNobodyDoesNotVote(t *testing.T) {
	w := among(t, 20, 30, 40, 50)
	w.live(3*time.Second, ms, nil, 20, 30, 40, 50)
	w.live(2500*ms, ms, nil)
	for _, id := range []wire.ID{20, 30, 40} {
		if w.votesOn(id) != 0 {
			t.Errorf("voted on %d", id)
		}
	}
	w.live(2*time.Second, ms, nil)
	for _, id := range []wire.ID{20, 30, 40} {
		if w.view.member(id).inRing {
			t.Errorf("still routes to %d", id)
		}
	}
}

// TestAnySignOfLifeEndsSuspicion: a vote is withdrawn when anything comes, a
// ping as well as a message.
func TestAnySignOfLifeEndsSuspicion(t *testing.T) {
	for _, e := range []Event{Pinged{20, wire.Ping{Mine: 1}}, Received{20, wire.Settled{}}, LinkUp{20, 1}} {
		w := among(t, 20, 30, 40)
		w.live(3*time.Second, ms, nil, 20, 30, 40)
		w.live(2*time.Second, ms, says(false), 30, 40)
		if w.votesOn(20) != wire.Unreachable {
			t.Fatal("no vote after 2 T of silence")
		}
		w.step(e)
		if w.votesOn(20) != wire.Reachable {
			t.Errorf("vote %v after %T", w.votesOn(20), e)
		}
	}
}

// TestAnothersVoteBeginsARound: who watches the same member asks at once, and
// a lie costs it a few pings a time and never its own vote.
func TestAnothersVoteBeginsARound(t *testing.T) {
	w := among(t, 20, 30, 40, 50)
	w.live(3500*ms, ms, nil, 20, 30, 40, 50)
	n := 0
	for seq := range uint64(200) {
		acts := w.step(Received{50, wire.Rows{Votes: []wire.Vote{vote(50, 20, 1, wire.Unreachable, seq+1)}}})
		n += len(pings(acts)[20])
		n += len(pings(w.live(10*ms, ms, nil, 20, 30, 40, 50))[20])
	}
	if n < 2 || n > 210 || w.votesOn(20) == wire.Unreachable {
		t.Errorf("%d pings for 200 votes of a liar, own vote %v", n, w.votesOn(20))
	}
}

// TestHelperPingsForAnother: it pings a few times, says alive at the first
// sign of life, no after its own time for acks, and takes only so much work.
func TestHelperPingsForAnother(t *testing.T) {
	for _, alive := range []bool{true, false} {
		w := among(t, 20, 30, 40, 50)
		w.live(3500*ms, ms, nil, 20, 30, 40, 50)
		acts := w.step(Received{40, wire.PingReq{Req: 9, Member: 20}})
		up := []wire.ID{30, 40, 50}
		if alive {
			up = append(up, 20)
			w.step(Received{30, wire.PingReq{Req: 3, Member: 20}})
		}
		acts = append(acts, w.live(900*ms, ms, nil, up...)...)
		to, said := sends[wire.PingReqAck](acts)
		if alive {
			if len(said) != 2 || !slices.Contains(said, wire.PingReqAck{Req: 9, Alive: true}) || !slices.Contains(to, 30) {
				t.Errorf("said %v to %v, want alive to both", said, to)
			}
			continue
		}
		if len(said) != 1 || said[0] != (wire.PingReqAck{Req: 9}) || to[0] != 40 {
			t.Errorf("said %v to %v, want no to 40", said, to)
		}
		if n := len(pings(acts)[20]); n < helpTries {
			t.Errorf("%d pings, want %d", n, helpTries)
		}
	}
	w := among(t, 20, 30, 40, 50)
	for i := range uint32(100) {
		w.step(Received{40, wire.PingReq{Req: i, Member: 20}})
	}
	w.step(Received{50, wire.PingReq{Req: 1, Member: 10}})
	w.step(Received{50, wire.PingReq{Req: 1, Member: 99}}) // who may be in its roster
	if n := len(w.detect.helps); n != maxHelpsEach {
		t.Errorf("%d pings for others under way, want %d", n, maxHelpsEach)
	}
	for _, m := range w.Status().Members {
		if want := map[wire.ID]uint64{40: 100 - maxHelpsEach, 50: 1}[m.ID]; m.Refused != want {
			t.Errorf("refused %d of %d, want %d", m.Refused, m.ID, want)
		}
	}
}

// TestQuietPeerSendsKPingsAndOne: K successors and one finger in turn, each
// finger in its turn, whatever the size of the ring.
func TestQuietPeerSendsKPingsAndOne(t *testing.T) {
	for _, n := range []int{8, 40, 200} {
		var others []wire.ID
		for id := range wire.ID(n) {
			if id != 10 {
				others = append(others, id)
			}
		}
		w := among(t, others...)
		w.live(3*time.Second, ms, nil, others...)
		acts := w.live(60*time.Second, ms, nil, others...)
		total, fingers := 0, 0
		for id, p := range pings(acts) {
			total += len(p)
			if !slices.Contains(w.view.succ(3), id) {
				fingers++
			}
		}
		want := 0
		for d := firstFinger; d <= len(others)-3; d *= 2 {
			want++
		}
		if total != 60*4 || fingers != want {
			t.Errorf("n = %d: %d pings to %d fingers in 60 intervals, want %d to %d", n, total, fingers, 60*4, want)
		}
	}
}

// graced is a peer in a ring of eight with a grace.
func graced(t *testing.T) (*town, []wire.ID) {
	t.Helper()
	others := []wire.ID{20, 30, 40, 50, 60, 70, 80}
	w := among(t, others...)
	w.Ring.roster.Grace = 20 * time.Second
	w.tune()
	w.live(3*time.Second, ms, nil, others...)
	return w, others
}

// die lets some fall silent for d: their links end, and the others agree.
func (w *town) die(d time.Duration, others []wire.ID, dead ...wire.ID) {
	up := slices.DeleteFunc(slices.Clone(others), func(id wire.ID) bool { return slices.Contains(dead, id) })
	for _, id := range dead {
		w.step(LinkDown{id})
		for i, by := range up {
			w.step(Received{by, wire.Rows{Votes: []wire.Vote{vote(by, id, 1, wire.Unreachable, uint64(i+1))}}})
		}
	}
	for end := w.now + Time(d); w.now < end; {
		for _, a := range w.live(500*ms, ms, says(false), up...) {
			if d, ok := a.(Dial); ok && slices.Contains(dead, d.Peer) {
				w.step(LinkDown(d))
			}
		}
	}
}

// TestGoneAfterTheGrace: an observer that has tried for the whole grace says
// gone; with a second it is, and no longer a home holder.
func TestGoneAfterTheGrace(t *testing.T) {
	w, others := graced(t)
	w.die(19*time.Second, others, 20)
	if v := w.votesOn(20); v == wire.Gone || !w.view.member(20).home() {
		t.Fatalf("voted %v before the grace was over", v)
	}
	w.die(4*time.Second, others, 20)
	if w.votesOn(20) != wire.Gone || w.view.member(20).gone() {
		t.Fatalf("vote %v, gone %v after the grace, by one", w.votesOn(20), w.view.member(20).gone())
	}
	w.step(Received{80, wire.Rows{Votes: []wire.Vote{vote(80, 20, 1, wire.Gone, 50)}}})
	if m := w.view.member(20); !m.gone() || m.home() || m.inRing {
		t.Errorf("two say gone: gone %v, home %v, in the ring %v", m.gone(), m.home(), m.inRing)
	}
	w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 2, wire.Active)}}})
	if m := w.view.member(20); m.gone() || !m.home() || !m.inRing {
		t.Errorf("it comes back: gone %v, home %v, in the ring %v", m.gone(), m.home(), m.inRing)
	}
}

// TestNobodyIsGoneInACut: with too many silent nobody is gone by time, and the
// time begins anew when the cut is over.
func TestNobodyIsGoneInACut(t *testing.T) {
	w, others := graced(t)
	w.die(60*time.Second, others, 20, 30, 40)
	if s := w.Status(); !s.Cut || w.votesOn(20) == wire.Gone {
		t.Fatalf("cut %v, vote %v with three of eight silent", s.Cut, w.votesOn(20))
	}
	w.step(LinkUp{30, 2})
	w.step(Received{30, wire.Rows{Rows: []wire.Row{row(30, 2, wire.Active)}}})
	w.die(15*time.Second, others, 20, 40)
	if s := w.Status(); s.Cut || w.votesOn(20) == wire.Gone {
		t.Fatalf("cut %v, vote %v soon after the cut", s.Cut, w.votesOn(20))
	}
	w.die(10*time.Second, others, 20, 40)
	if w.votesOn(20) != wire.Gone {
		t.Errorf("vote %v a grace after the cut", w.votesOn(20))
	}
}

// TestForget: the operator's word is a vote, whatever the grace and the cut,
// and one more peer's must say the same.
func TestForget(t *testing.T) {
	outcome := func(w *town, id wire.ID) Result {
		return first[Done](t, w.step(Forget{7, id})).Result
	}
	w, others := graced(t)
	if r := outcome(w, 20); r.Outcome != StillThere {
		t.Errorf("forget of who is there: %+v", r)
	}
	if r := outcome(w, 99); r.Outcome != NotFound {
		t.Errorf("forget of nobody: %+v", r)
	}
	if r := outcome(w, 10); r.Outcome != StillThere {
		t.Errorf("forget of itself: %+v", r)
	}
	w.die(4*time.Second, others, 20, 30, 40)
	if r := outcome(w, 20); r.Outcome != NeedsAnother || !slices.Equal(r.Copies, []wire.ID{10}) {
		t.Errorf("forget by one: %+v", r)
	}
	w.step(Received{50, wire.Rows{Votes: []wire.Vote{vote(50, 20, 1, wire.Gone, 9)}}})
	if r := outcome(w, 20); r.Outcome != Succeeded || w.view.member(20).home() {
		t.Errorf("forget by two: %+v", r)
	}
	alone := among(t, 20)
	alone.die(6*time.Second, []wire.ID{20}, 20)
	if r := outcome(alone, 20); r.Outcome != Succeeded {
		t.Errorf("forget in a ring of one: %+v, %+v", r, alone.Status().Members)
	}
}

// TestWhy: status says why a member is not in the ring.
func TestWhy(t *testing.T) {
	why := func(w *town, id wire.ID) Why {
		for _, m := range w.Status().Members {
			if m.ID == id {
				return m.Why
			}
		}
		t.Fatalf("no member %d", id)
		return 0
	}
	w, others := graced(t)
	for state, want := range map[wire.State]Why{wire.Active: WhyNone, wire.Stopped: WhyStopped, wire.Leaving: WhyLeaving, wire.Left: WhyLeft} {
		w, _ := graced(t)
		w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 2, state)}}})
		if got := why(w, 20); got != want {
			t.Errorf("state %v: why %v, want %v", state, got, want)
		}
	}
	w.die(4*time.Second, others, 20)
	if got := why(w, 20); got != WhySilent {
		t.Errorf("silent: why %v", got)
	}
	w.die(30*time.Second, others, 20)
	w.step(Received{80, wire.Rows{Votes: []wire.Vote{vote(80, 20, 1, wire.Gone, 50)}}})
	if got := why(w, 20); got != WhyGone {
		t.Errorf("gone: why %v", got)
	}
	w, others = graced(t)
	w.die(4*time.Second, others, 50, 60, 70)
	if got := why(w, 50); got != WhyCut {
		t.Errorf("cut: why %v", got)
	}
	w, others = graced(t)
	w.live(2*time.Second, ms, says(true), others[1:]...)
	if got := why(w, 20); got != WhyOneWay {
		t.Errorf("a helper hears it: why %v", got)
	}
	w, others = graced(t)
	for range 10 { // it pings us and does not answer
		w.step(Pinged{20, wire.Ping{Mine: 1}})
		w.live(500*ms, ms, nil, others[1:]...)
	}
	if got := why(w, 20); got != WhyOneWay {
		t.Errorf("its pings come, its acks do not: why %v", got)
	}
}

// TestRumorsAreBatchedAndBounded: news goes to every link but its source's,
// soon; what one member says without end goes in a few messages, the newest
// alone.
func TestRumorsAreBatchedAndBounded(t *testing.T) {
	others := []wire.ID{20, 30, 40, 50}
	w := among(t, others...)
	w.live(3*time.Second, ms, nil, others...)
	acts := w.step(Received{20, wire.Rows{Rows: []wire.Row{row(30, 2, wire.Active)}}})
	acts = append(acts, w.live(100*ms, ms, nil, others...)...)
	if to, _ := sends[wire.Rows](acts); !slices.Equal(slices.Compact(slices.Sorted(slices.Values(to))), []wire.ID{30, 40, 50}) {
		t.Errorf("news of 20 went to %v", to)
	}
	const flood = 10_000
	acts = nil
	for i := range flood {
		acts = append(acts, w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, wire.Incarnation(10+i), wire.Active)}}})...)
		if i%100 == 0 {
			acts = append(acts, w.live(20*ms, ms, nil, others...)...)
		}
	}
	acts = append(acts, w.live(time.Second, ms, nil, others...)...)
	to, said := sends[wire.Rows](acts)
	toOne, newest := 0, wire.Incarnation(0)
	for i, id := range to {
		if id == 50 {
			toOne++
			for _, r := range said[i].Rows {
				newest = max(newest, r.Incarnation)
			}
		}
	}
	if most := 3*authored + 10; toOne > most || newest != 10+flood-1 {
		t.Errorf("%d messages to 50 in 3 intervals, at most %d; the newest is %d", toOne, most, newest)
	}
}

// TestBucketsBringViewsTogether: two views of any state are equal after one
// exchange, whoever asks, and only what differs moves.
func TestBucketsBringViewsTogether(t *testing.T) {
	var ids []wire.ID
	for i := range wire.ID(100) {
		ids = append(ids, i)
	}
	moved, total := 0, 0
	for seed := range uint64(200) {
		g := rand.New(rand.NewPCG(seed, 3))
		w := [2]*world{{Ring: New(config(100, append(ids, 100, 101)...)), now: 1}, {Ring: New(config(101, append(ids, 100, 101)...)), now: 1}}
		for _, id := range ids {
			r := row(id, 1, wire.Active)
			for i := range w {
				if g.IntN(50) == 0 {
					continue
				}
				w[i].view.mergeRow(r)
				if g.IntN(40) == 0 {
					w[i].view.mergeRow(row(id, wire.Incarnation(2+g.IntN(2)), wire.State(1+g.IntN(7))))
				}
				if g.IntN(20) == 0 {
					w[i].view.mergeVote(vote(ids[g.IntN(100)], id, 1, wire.Verdict(1+g.IntN(3)), g.Uint64N(3)))
				}
			}
			total++
		}
		for i := range w {
			w[i].view.settle()
			w[i].spread.pending, w[i].view.fresh = nil, nil
		}
		self := [2]wire.ID{100, 101}
		type letter struct {
			to int
			m  wire.Message
		}
		box := []letter{{1, wire.Buckets{Sums: w[0].view.digest().parts}}}
		w[0].spread.compare(1, 101, w[0].view, &outbox{})
		for len(box) > 0 {
			l := box[0]
			box = box[1:]
			for _, a := range w[l.to].step(Received{self[1-l.to], l.m}) {
				if s, ok := a.(Send); ok && s.To == self[1-l.to] {
					box = append(box, letter{1 - l.to, s.Msg})
					if m, ok := s.Msg.(wire.Rows); ok {
						moved += len(m.Rows)
					}
				}
			}
		}
		if *w[0].view.digest() != *w[1].view.digest() {
			t.Fatalf("seed %d: the views differ after an exchange", seed)
		}
		if !slices.Equal(w[0].Status().Ring, w[1].Status().Ring) {
			t.Fatalf("seed %d: equal views, other rings", seed)
		}
	}
	if moved == 0 || moved > total {
		t.Errorf("%d rows moved for %d members", moved, total)
	}
}

// TestFloodOfBucketsIsRefused: one question in a while is answered, a reply
// only to a question.
func TestFloodOfBucketsIsRefused(t *testing.T) {
	w := among(t, 20, 30)
	w.live(3*time.Second, ms, nil, 20, 30)
	w.step(Received{20, wire.Buckets{Reply: true}})
	answers := 0
	for range 1000 {
		_, b := sends[wire.Buckets](w.step(Received{20, wire.Buckets{}}))
		answers += len(b)
	}
	for _, m := range w.Status().Members {
		if m.ID == 20 && (answers != 1 || m.Refused != 1000) {
			t.Errorf("%d answers, %d refused, want 1 and 1000", answers, m.Refused)
		}
	}
}

// TestSlowDialsSpread: members out of the ring are dialled for ever, each some
// ten intervals apart, and not all at once.
func TestSlowDialsSpread(t *testing.T) {
	others := []wire.ID{20, 30, 40}
	w := among(t, others...)
	w.live(3*time.Second, ms, nil, others...)
	w.die(20*time.Second, others, 20)
	dials := map[int64]int{}
	n := 0
	for range 400 {
		for _, a := range w.live(500*ms, ms, nil, 30, 40) {
			if d, ok := a.(Dial); ok && d.Peer == 20 {
				n++
				dials[int64(w.now)/int64(10*time.Second)]++
				w.step(LinkDown{20})
			}
		}
	}
	if n < 15 || n > 28 {
		t.Errorf("%d dials in 200 intervals, want one in about ten", n)
	}
	a, b := links{interval: time.Second, self: 1}, links{interval: time.Second, self: 2}
	same := 0
	for tries := range 100 {
		if wait := a.wait(9, tries); wait < Time(7500*ms) || wait > Time(12500*ms) {
			t.Fatalf("wait %v", time.Duration(wait))
		} else if wait == b.wait(9, tries) {
			same++
		}
	}
	if same > 5 {
		t.Errorf("two peers wait the same %d times of 100", same)
	}
}

// TestDeafNeighbourIsRoutedAround: a member whose pings come and whose acks
// don't is alive, so nobody votes; this peer goes round it until an ack or a
// new link shows that it is heard again.
func TestDeafNeighbourIsRoutedAround(t *testing.T) {
	others := []wire.ID{20, 30, 40, 50}
	for _, back := range []Event{Pinged{20, wire.Ping{Ack: true, Mine: 1}}, LinkUp{20, 1}} {
		w := among(t, others...)
		w.live(3*time.Second, ms, nil, others...)
		for range 10 {
			w.step(Pinged{20, wire.Ping{Mine: 1}})
			w.live(500*ms, ms, nil, 30, 40, 50)
		}
		if w.votesOn(20) != 0 || w.view.member(20).inRing {
			t.Fatalf("vote %v, in the ring %v", w.votesOn(20), w.view.member(20).inRing)
		}
		if w.step(back); !w.view.member(20).inRing {
			t.Errorf("still routed around after %T", back)
		}
	}
}

// TestSilentLinkIsHungUp: the link of a member that went silent is ended, and
// the member pinged on; the first sign of life has it dialled at once.
func TestSilentLinkIsHungUp(t *testing.T) {
	others := []wire.ID{20, 30, 40, 50}
	w := among(t, others...)
	w.live(3*time.Second, ms, nil, others...)
	acts := w.live(6*time.Second, ms, nil, others[1:]...)
	if n := slices.Index(acts, Action(Hangup{20})); n < 0 || slices.Contains(acts, Action(Hangup{30})) {
		t.Fatalf("hangup of 20 at %d, or of 30", n)
	}
	w.step(LinkDown{20})
	acts = w.live(10*time.Second, ms, nil, others[1:]...)
	if n := len(pings(acts)[20]); n < 10 || n > 30 {
		t.Errorf("%d pings in ten intervals of a member out of the ring", n)
	}
	if acts := w.step(Pinged{20, wire.Ping{Mine: 1}}); !slices.Contains(acts, Action(Dial{20})) {
		t.Error("not dialled when it is heard again")
	}
}

// TestWhoTheRosterTakesOutIsNotWatched: a round under way ends with the
// membership of its member.
func TestWhoTheRosterTakesOutIsNotWatched(t *testing.T) {
	w := among(t, 20, 30, 40, 50)
	w.live(3*time.Second, ms, nil, 20, 30, 40, 50)
	w.live(250*ms, ms, nil, 30, 40, 50)
	w.step(RosterChanged{config(10, 10, 30, 40, 50).Roster})
	w.live(5*time.Second, ms, nil, 30, 40, 50)
	if w.detect.find(20) != nil || w.Status().Load > 100 {
		t.Errorf("20 is watched: %v, load %d", w.detect.find(20), w.Status().Load)
	}
}

// TestDialThatFailsIsNoPause: that a link could not be had makes a silence
// count that did not before, which is not this peer's own lateness: no round
// begins anew.
func TestDialThatFailsIsNoPause(t *testing.T) {
	w := among(t, 20, 30, 40, 50)
	w.live(3*time.Second, ms, nil, 20, 30, 40, 50)
	w.step(LinkDown{20})
	w.links.line(20).fell = 0 // as if it had never been tried
	w.live(1400*ms, ms, says(false), 30, 40, 50)
	since := w.detect.find(20).since
	w.step(LinkDown{20})
	w.live(20*ms, ms, nil, 30, 40, 50)
	if got := w.detect.find(20); got == nil || got.since != since || w.votesOn(20) != wire.Unreachable {
		t.Errorf("watch %+v, vote %v", got, w.votesOn(20))
	}
}

// TestStrainedPredecessorIsWatched: a predecessor that this peer does not ping
// is watched when its pings cease, or say that it gets no acks: through a cut
// of one way nobody else can find out.
func TestStrainedPredecessorIsWatched(t *testing.T) {
	var others []wire.ID
	for id := wire.ID(20); id <= 90; id += 10 {
		others = append(others, id)
	}
	for _, said := range []bool{true, false} {
		w := among(t, others...)
		w.live(3*time.Second, ms, nil, others...)
		w.step(Pinged{90, wire.Ping{Mine: 1}})
		for range 16 {
			if said {
				w.step(Pinged{90, wire.Ping{Mine: 1, Said: wire.SaidSuspect}})
			}
			w.live(500*ms, ms, nil, others[:len(others)-1]...)
		}
		if w.view.member(90).inRing || w.votesOn(90) != 0 {
			t.Errorf("it says so: %v: in the ring %v, vote %v", said, w.view.member(90).inRing, w.votesOn(90))
		}
	}
}

// TestAnswerOfAHelperIsNoPause: that the last helper has answered may make a
// verdict due that would have been before, which is not this peer's own
// lateness: no round begins anew, and the dead are found out.
func TestAnswerOfAHelperIsNoPause(t *testing.T) {
	w := among(t, 20, 30, 40, 50)
	w.live(3*time.Second, ms, nil, 20, 30, 40, 50)
	var asked []Action
	for w.detect.find(20).full == 0 {
		asked = append(asked, w.live(50*ms, ms, nil, 30, 40, 50)...)
	}
	w.live(550*ms, ms, nil, 30, 40, 50)
	since := w.detect.find(20).since
	to, reqs := sends[wire.PingReq](asked)
	for i, m := range reqs {
		w.step(Received{to[i], wire.PingReqAck{Req: m.Req}})
	}
	w.live(20*ms, ms, nil, 30, 40, 50)
	if got := w.detect.find(20); len(reqs) != helpers || got == nil || got.since != since || w.votesOn(20) != wire.Unreachable {
		t.Errorf("%d helpers asked; watch %+v, vote %v", len(reqs), got, w.votesOn(20))
	}
}

// TestLateRowOfTheSilentPutsItBackForAMoment: the newest row of a member that
// has died meanwhile ends what was believed of the one before; it is as silent
// as ever, and routed around again.
func TestLateRowOfTheSilentPutsItBackForAMoment(t *testing.T) {
	w := among(t, 20, 30)
	w.live(3*time.Second, ms, nil, 20, 30)
	w.live(3100*ms, ms, says(false), 30)
	w.step(Received{30, wire.Rows{Rows: []wire.Row{row(20, 2, wire.Active)}}})
	if !w.view.member(20).inRing {
		t.Fatal("its newer row does not put it back")
	}
	if w.live(2*time.Second, ms, says(false), 30); w.view.member(20).inRing {
		t.Error("still in the ring")
	}
}

// TestLastWordsDelayAVoteAndNoMore: a packet of the dead that comes after this
// peer's first ping without an answer is no sign that it lives on.
func TestLastWordsDelayAVoteAndNoMore(t *testing.T) {
	w := among(t, 20, 30, 40, 50)
	w.live(3*time.Second, ms, nil, 20, 30, 40, 50)
	for w.detect.find(20).since == 0 {
		w.live(10*ms, ms, nil, 30, 40, 50)
	}
	w.step(Pinged{20, wire.Ping{Mine: 1}})
	if w.live(2*time.Second, ms, says(false), 30, 40, 50); w.votesOn(20) != wire.Unreachable {
		t.Errorf("no vote after 2 T: %+v", w.detect.find(20))
	}
}
