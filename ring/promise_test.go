package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// What docs/design.md promises of one peer in a sentence, and what is too
// short-lived, or made up for by too much else, for a whole ring to show.

// has reports whether there is an action of that type among acts.
func has[A Action](acts []Action) bool {
	return slices.ContainsFunc(acts, func(a Action) bool { _, ok := a.(A); return ok })
}

// TestVerdictOnThisPeerIsRefuted: by votes that it is shown, without waiting
// for a ping to say so.
func TestVerdictOnThisPeerIsRefuted(t *testing.T) {
	w := within(t, 20, 30, 40)
	one := wire.Rows{Votes: []wire.Vote{vote(30, 10, 2, wire.Unreachable, 1)}}
	if acts := w.step(Received{20, one}); has[Persist](acts) {
		t.Error("one vote of several observers is answered")
	}
	two := wire.Rows{Votes: []wire.Vote{vote(40, 10, 2, wire.Unreachable, 1)}}
	if p := first[Persist](t, w.step(Received{20, two})); p.Incarnation != 3 {
		t.Errorf("persists %d, want 3", p.Incarnation)
	}
}

// TestOwnRowAtItsIncarnation: another row of this peer at the very incarnation
// that it speaks is answered by one far above; its own, coming back, by nothing.
func TestOwnRowAtItsIncarnation(t *testing.T) {
	w := within(t, 20, 30)
	mine := w.view.member(10).row()
	if acts := w.step(Received{20, wire.Rows{Rows: []wire.Row{mine}}}); has[Persist](acts) {
		t.Error("its own row is contested")
	}
	other := row(10, mine.Incarnation, wire.Stopped)
	if p := first[Persist](t, w.step(Received{20, wire.Rows{Rows: []wire.Row{other}}})); p.Incarnation != mine.Incarnation+1+contestLeap {
		t.Errorf("persists %d, want %d", p.Incarnation, mine.Incarnation+1+contestLeap)
	}
	if got := w.view.member(10).row(); got != mine {
		t.Errorf("speaks %+v before that is on disk, want %+v", got, mine)
	}
}

// TestWhoWasJudgedIsBehindAtOnce: from when it hears of the verdict, not from
// when its answer to that is on disk.
func TestWhoWasJudgedIsBehindAtOnce(t *testing.T) {
	w := within(t, 20, 30)
	look := Received{20, wire.Look{Req: 1, Name: "0015"}}
	if a := first[Answer](t, w.step(look)); a.Code == wire.CodeBehind {
		t.Fatal("behind before any verdict")
	}
	w.step(Received{20, wire.Rows{Votes: []wire.Vote{vote(20, 10, 2, wire.Unreachable, 1), vote(30, 10, 2, wire.Unreachable, 1)}}})
	if a := first[Answer](t, w.step(look)); a.Code != wire.CodeBehind {
		t.Error("may say no though it may have missed something")
	}
}

// TestDigestsOfOtherRostersAreNotCompared: "Digests compare only under equal
// rosters": else two peers with different ones would exchange all they know
// for ever.
func TestDigestsOfOtherRostersAreNotCompared(t *testing.T) {
	for _, c := range []struct {
		name string
		ping wire.Ping
		want bool
	}{
		{"under equal rosters", wire.Ping{}, true},
		{"another serial", wire.Ping{Serial: 1}, false},
		{"another digest", wire.Ping{Roster: wire.Digest{1}}, false},
	} {
		w := within(t, 20, 30)
		c.ping.Mine, c.ping.View = 1, wire.Digest{1}
		_, sums := sends[wire.Buckets](w.step(Pinged{20, c.ping}))
		if got := len(sums) > 0; got != c.want {
			t.Errorf("%s: asks for what differs: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestAcceptedJoinerBelievesItsView: of a ring that has been running it need
// not hear every member itself.
func TestAcceptedJoinerBelievesItsView(t *testing.T) {
	c := config(10, append([]wire.ID{10}, 20, 30, 40, 50, 60)...)
	for _, id := range []wire.ID{20, 30, 40, 50, 60} {
		c.Saved = append(c.Saved, row(id, 1, wire.Active))
	}
	w := &world{Ring: New(c), now: Time(time.Second)}
	w.step(Tick{})
	w.step(Persisted{1})
	_, finds := sends[wire.Find](w.step(LinkUp{60, 1}))
	if len(finds) != 1 {
		t.Fatalf("asks %d times to join, want once", len(finds))
	}
	if got := len(w.Status().Ring); got > 1 {
		t.Errorf("%d in its ring before anybody of a ring has answered", got)
	}
	w.step(Received{60, wire.Here{Req: finds[0].Req}})
	if got := w.Status().Ring; len(got) != 6 {
		t.Errorf("ring %v once accepted, want all six", got)
	}
}

// TestMissingPredecessorIsDialled: a predecessor pings this peer and so dials
// it; if it does not, because it cannot, this peer does.
func TestMissingPredecessorIsDialled(t *testing.T) {
	w := among(t, 20, 30, 40, 50, 60, 70, 80)
	others := []wire.ID{20, 30, 40, 50, 60, 70, 80}
	w.live(3*time.Second, ms, nil, others...)
	w.step(LinkDown{80})
	if acts := w.live(2*time.Second, ms, nil, others...); !slices.Contains(acts, Action(Dial{80})) {
		t.Error("never dialled")
	}
}

// TestContestsFarApartAreRestarts: of a key that runs twice rows come as fast
// as links are made; one now and then, however often, is no reason to end.
func TestContestsFarApartAreRestarts(t *testing.T) {
	w := within(t, 20, 30)
	for n := range 5 * contestLimit {
		i := w.own.spoken + 1
		acts := w.step(Received{20, wire.Rows{Rows: []wire.Row{row(10, i, wire.Active)}}})
		if err := exits(acts); err != nil {
			t.Fatalf("contest %d: %v", n+1, err)
		}
		w.step(Persisted(first[Persist](t, acts)))
		w.now += contestSpan / 4 * w.interval()
	}
}

// TestOneHelperThatHearsIsEnough: whatever the others say before or after it.
func TestOneHelperThatHearsIsEnough(t *testing.T) {
	for _, alive := range []int{0, 1} {
		n := 0
		w := among(t, 20, 30, 40, 50, 60)
		w.live(3*time.Second, ms, nil, 20, 30, 40, 50, 60)
		w.live(1500*ms, ms, func(wire.PingReq) *bool {
			says := n%helpers == alive
			n++
			return &says
		}, 30, 40, 50, 60)
		if n < helpers || w.votesOn(20) == wire.Unreachable {
			t.Errorf("of %d helpers that answer number %d hears it: voted %v", n, alive, w.votesOn(20))
		}
	}
}

// TestAnswersOfOthersCountForNothing: what comes from somebody else than the
// one that was asked, or names another request, neither ends an operation nor
// changes it.
func TestAnswersOfOthersCountForNothing(t *testing.T) {
	answers := func(req uint32, name string) []wire.Message {
		return []wire.Message{
			wire.Ask{Req: req, Next: 40}, wire.Here{Req: req}, wire.Refuse{Req: req, Code: wire.CodeNotOwner},
			wire.Found{Req: req, Home: true, Manifests: []wire.Manifest{{Name: name, Version: 9, Writer: 40}}},
			wire.Confirmed{Req: req}, wire.PingReqAck{Req: req, Alive: true},
		}
	}
	for _, walk := range []bool{false, true} {
		for _, ev := range []Event{Get{Op: 1, Name: "0015"}, Stat{Op: 1, Name: "0015"}, Lookup{Op: 1, Name: "0015"},
			Put{Op: 1, Name: "0015"}, Remove{Op: 1, Name: "0015"}} {
			w := within(t, 20, 30, 40, 50)
			w.route.walk = walk
			asked := w.step(ev)
			for _, a := range asked {
				s, ok := a.(Send)
				if !ok {
					continue
				}
				var req uint32
				switch m := s.Msg.(type) {
				case wire.Look:
					req = m.Req
				case wire.Find:
					req = m.Req
				default:
					continue
				}
				for _, other := range []struct {
					from wire.ID
					req  uint32
				}{{50, req}, {s.To, req + 1000}} {
					for _, m := range answers(other.req, "0015") {
						for _, a := range w.step(Received{other.from, m}) {
							switch a := a.(type) {
							case Done, Fetch, Upload:
								t.Errorf("walk %v, %T: %T from %d for request %d of %d brings %+v", walk, ev, m, other.from, other.req, s.To, a)
							case Send:
								if _, ok := a.Msg.(wire.Rows); !ok {
									t.Errorf("walk %v, %T: %T from %d for request %d of %d brings %+v", walk, ev, m, other.from, other.req, s.To, a)
								}
							}
						}
					}
				}
			}
			if walk {
				continue
			}
			if done := w.answerLooks(asked, nil); len(done) == 0 && ev != (Event(Lookup{Op: 1, Name: "0015"})) {
				t.Errorf("%T does not go on with the answers of those that were asked", ev)
			}
		}
	}
}

// TestRuleBreakersAreCounted: what a member sends against the rules changes
// nothing that the others see, is counted for it alone, and costs nobody else
// an answer.
func TestRuleBreakersAreCounted(t *testing.T) {
	manifest := wire.Manifest{Name: "0015", Version: 1, Writer: 20, Size: 9}
	for name, c := range map[string]struct {
		msg     wire.Message
		refused uint64
	}{
		"a vote on itself":                          {wire.Rows{Votes: []wire.Vote{vote(20, 20, 1, wire.Reachable, 1)}}, 1},
		"two of others on themselves":               {wire.Rows{Votes: []wire.Vote{vote(30, 30, 1, wire.Gone, 1), vote(40, 40, 1, wire.Gone, 1)}}, 2},
		"sums that nobody has asked for":            {wire.Buckets{Reply: true}, 1},
		"a question about nobody":                   {wire.PingReq{Req: 1, Member: 99}, 0},
		"a question about who is asked":             {wire.PingReq{Req: 1, Member: 10}, 1},
		"a question about who asks":                 {wire.PingReq{Req: 1, Member: 20}, 1},
		"an offer of what nobody has":               {wire.Offer{Req: 1, Source: 99, Manifest: manifest}, 0},
		"settled in an incarnation not spoken":      {wire.Settled{Incarnation: 3, From: 10}, 1},
		"settled in that of now":                    {wire.Settled{Incarnation: 2, From: 10}, 0},
		"an offer":                                  {wire.Offer{Req: 1, Source: 30, Manifest: manifest}, 0},
		"a question about another":                  {wire.PingReq{Req: 1, Member: 30}, 0},
		"a row of nobody and a vote of nobody":      {wire.Rows{Rows: []wire.Row{row(99, 1, wire.Active)}, Votes: []wire.Vote{vote(99, 30, 1, wire.Gone, 1)}}, 0},
		"a vote on nobody":                          {wire.Rows{Votes: []wire.Vote{vote(20, 99, 1, wire.Gone, 1)}}, 0},
		"a vote on an incarnation that is not":      {wire.Rows{Votes: []wire.Vote{vote(20, 30, 9, wire.Gone, 1)}}, 0},
		"an answer to a question that is not":       {wire.PingReqAck{Req: 7, Alive: true}, 0},
		"an answer to an offer that is not":         {wire.Confirmed{Req: 7}, 0},
		"the place of a key, when nobody asks":      {wire.Here{Req: 7}, 0},
		"somebody else to ask, when nobody asks":    {wire.Ask{Req: 7, Next: 30}, 0},
		"a list of names, which is not the ring's":  {wire.Listed{Req: 7}, 1},
		"a question for names, which is not either": {wire.List{Req: 7}, 1},
		"a message of a transfer link":              {wire.Get{}, 1},
		"the end of a put":                          {wire.PutEnd{Manifest: manifest}, 1},
	} {
		w := within(t, 20, 30, 40)
		was := w.view.digest().whole
		w.step(Received{20, c.msg})
		if w.view.digest().whole != was {
			t.Errorf("%s: is in the view now", name)
		}
		for _, m := range w.Status().Members {
			want := c.refused
			if m.ID != 20 {
				want = 0
			}
			if m.Refused != want || !m.InRing || m.Unreachable {
				t.Errorf("%s: of %d %d refused, in the ring %v, unreachable %v, want %d", name, m.ID, m.Refused, m.InRing, m.Unreachable, want)
			}
		}
	}
	w := within(t, 20, 30, 40)
	to, answers := sends[wire.Confirmed](w.step(Received{20, wire.Offer{Req: 5, Source: 99, Manifest: manifest}}))
	if len(answers) != 1 || to[0] != 20 || answers[0] != (wire.Confirmed{Req: 5, Code: wire.CodeInvalid}) {
		t.Errorf("an offer of what nobody has is answered %v", answers)
	}
}

// TestStrangersAreNobody: events of ids that no roster has change nothing and
// bring nothing.
func TestStrangersAreNobody(t *testing.T) {
	w := within(t, 20, 30)
	was := w.Status()
	for _, id := range []wire.ID{10, 99} { // nor does this peer speak with itself
		for _, e := range []Event{LinkUp{id, 1}, Pinged{id, wire.Ping{Mine: 1, Echo: 3}}, Pinged{id, wire.Ping{Ack: true, Mine: 1}},
			Received{id, wire.Rows{Rows: []wire.Row{row(20, 9, wire.Left)}}}, Received{id, wire.Find{Req: 1, For: wire.ForGet, Name: "0015"}},
			Received{id, wire.Look{Req: 1, Name: "0015"}}, Received{id, wire.Settled{Incarnation: 2, From: 10}}} {
			if acts := w.step(e); len(acts) > 0 {
				t.Errorf("%+v brings %+v", e, acts)
			}
		}
	}
	if is := w.Status(); is.View != was.View || is.Load != was.Load || len(is.Ring) != len(was.Ring) {
		t.Errorf("status %+v, want %+v", is, was)
	}
}

// TestAckOfAnUpload: an upload is acked when the list of holders is right in
// this peer's view, too; else its sender is told what it may not know, and the
// bytes stay as an extra copy.
func TestAckOfAnUpload(t *testing.T) {
	upload := func(code wire.Code, holders ...wire.ID) PutStored {
		return PutStored{Serve: 3, From: 20, Name: "0005", Version: Version{5, wire.Sum{1}}, Holders: holders, Code: code}
	}
	for _, c := range []struct {
		name     string
		ev       PutStored
		code     wire.Code
		rows     bool
		accepted bool
		kept     bool
	}{
		{"right", upload(wire.CodeOK, 10, 20, 30), wire.CodeOK, false, true, true},
		{"a home holder is not named", upload(wire.CodeOK, 10, 20, 40), wire.CodeNotOwner, true, false, true},
		{"too few are", upload(wire.CodeOK, 10, 20), wire.CodeNotOwner, true, false, true},
		{"nobody is", upload(wire.CodeOK), wire.CodeNotOwner, true, false, true},
		{"the disk is full", upload(wire.CodeFull, 10, 20, 30), wire.CodeFull, false, false, false},
		{"the disk is full, and the list is wrong", upload(wire.CodeFull, 40), wire.CodeFull, false, false, false},
	} {
		w := within(t, 20, 30, 40, 50)
		w.walk(time.Second, nil)
		acts := w.step(c.ev)
		reply := first[PutReply](t, acts)
		if reply.Serve != 3 || reply.Code != c.code || len(reply.Rows) > 0 != c.rows {
			t.Errorf("%s: reply %d with code %d and %d rows, want code %d, rows %v", c.name, reply.Serve, reply.Code, len(reply.Rows), c.code, c.rows)
		}
		accepted := slices.ContainsFunc(acts, func(a Action) bool {
			n, ok := a.(Notify)
			return ok && n.Notice.Kind == StoreAccepted && n.Notice.Peer == 20 && n.Notice.Name == "0005"
		})
		if accepted != c.accepted {
			t.Errorf("%s: said to be accepted %v, want %v", c.name, accepted, c.accepted)
		}
		offered := has[SendOffer](w.keepAlive(2*freshWait*time.Second, 20, 30, 40, 50))
		if offered != c.kept {
			t.Errorf("%s: offered to the others %v, want %v", c.name, offered, c.kept)
		}
	}
}

// TestStandInsAloneAreNotEnough: as many copies as wanted and none on a home
// holder is not what a put promises.
func TestStandInsAloneAreNotEnough(t *testing.T) {
	for _, home := range []bool{false, true} {
		w := within(t, 20, 30, 40, 50, 60, 70)
		full := []wire.ID{20, 30, 40}
		if home {
			full = full[1:]
		}
		for _, id := range full {
			w.step(Received{id, wire.Rows{Rows: []wire.Row{row(id, 9, wire.Full)}}})
		}
		up := first[Upload](t, w.answerLooks(w.step(Put{Op: 1, Name: "0015"}), nil))
		w.step(Sealed{1, wire.Manifest{Name: "0015", Version: 1, Writer: 10}})
		var acts []Action
		for _, id := range up.To {
			acts = w.step(Uploaded{Op: 1, Peer: id})
		}
		d := first[Done](t, acts)
		want, wanted := Degraded, 4
		if home {
			want, wanted = Succeeded, 3
		}
		if len(up.To) != 3 || d.Result.Outcome != want || len(d.Result.Copies) != 3 || d.Result.Wanted != wanted {
			t.Errorf("a home holder among them %v: uploaded to %v, %+v, want outcome %v, %d wanted", home, up.To, d.Result, want, wanted)
		}
	}
}
