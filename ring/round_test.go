package ring

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// What an observer counts from, what it asks of whom, and when it judges.

// TestClocksOfAnObserver: all run from when it is in the ring, and anew after a
// pause of its own; what it watched before says nothing.
func TestClocksOfAnObserver(t *testing.T) {
	var d detector
	d.start(7)
	if d.due != 7 || d.anybody != 7 || d.awake != 7 || d.steady != 7 {
		t.Errorf("starts with %+v", d)
	}
	d.watch(20)
	if d.stop(); d.due != 0 || d.find(20) != nil {
		t.Error("goes on to watch out of the ring")
	}
	d.interval = time.Second
	if got := d.rto(&watch{}); got != Time(250*ms) {
		t.Errorf("waits %v for the first ack of all, want a quarter of an interval", time.Duration(got))
	}
	w := among(t, 20, 30, 40)
	w.live(3*time.Second, ms, nil, 20, 30, 40)
	w.live(1200*ms, ms, nil, 30, 40)
	if w.detect.find(20).since == 0 {
		t.Fatal("20 is not suspected")
	}
	w.now = w.Next() + Time(10*time.Second)
	w.detect.woke(w.now, &w.links)
	if x := w.detect; x.awake != w.now || x.steady != w.now || x.anybody != w.now || x.find(20).since != 0 {
		t.Errorf("after a pause at %v: awake %v, steady %v, anybody %v, 20 silent since %v", w.now, x.awake, x.steady, x.anybody, x.find(20).since)
	}
	w.step(Tick{})
	if got := pings(w.step(Tick{})); w.detect.due <= w.now || len(got) != 0 {
		t.Errorf("ticks for all the intervals that it was paused: due %v at %v, pings %v", w.detect.due, w.now, got)
	}
}

// TestAnswerEndsTheWholeRound: nothing of it is left but the times.
func TestAnswerEndsTheWholeRound(t *testing.T) {
	w := watch{peer: 20, tick: 1, last: 2, heard: 3, since: 4, tries: 5, full: 6, judged: true, alone: true,
		sought: 7, asked: []helper{{30, 1}}, alive: true, srtt: 8, rttvar: 9}
	w.answered()
	if want := (watch{peer: 20, tick: 1, last: 2, heard: 3, srtt: 8, rttvar: 9}); !reflect.DeepEqual(w, want) {
		t.Errorf("left %+v, want %+v", w, want)
	}
}

// TestAckIsOfAPing: one of this interval is told once; one of an earlier ping,
// or of none, is not, and measures nothing.
func TestAckIsOfAPing(t *testing.T) {
	w := among(t, 20, 30, 40)
	w.live(3*time.Second, ms, nil, 20, 30, 40)
	w.now = w.detect.due
	old := w.detect.find(20).sent[0].echo // any of before
	first := pings(w.step(Tick{}))[20][0].Echo
	told := func(echo uint64) (n int) {
		for _, a := range w.step(Pinged{20, wire.Ping{Ack: true, Echo: echo, Mine: 1}}) {
			if x, ok := a.(Notify); ok && x.Notice.Kind == PingAnswered {
				n++
			}
		}
		return n
	}
	srtt := w.detect.find(20).srtt
	w.now += Time(90 * ms)
	for _, echo := range []uint64{old, first + 1<<20, first + 8<<20} {
		if told(echo) != 0 || w.detect.find(20).srtt != srtt {
			t.Errorf("ack of %d, which was not asked: told, or measured %v", echo, w.detect.find(20).srtt)
		}
	}
	if told(first) != 1 || told(first) != 0 {
		t.Error("the ack of this interval's ping is not told once")
	}
}

// TestVoteWaitsForTheLastPing: and for helpers, unless one of them has heard
// the member; and for what a neighbour would have sent by itself.
func TestVoteWaitsForTheLastPing(t *testing.T) {
	d := detector{interval: time.Second}
	for _, c := range []struct {
		w    watch
		want Time
	}{
		{watch{}, never},
		{watch{full: 5, judged: true}, never},
		{watch{full: 5, srtt: 200 * ms}, 5 + Time(200*ms)},
		{watch{full: 5, srtt: 200 * ms, sought: 9, asked: []helper{{30, 1}}}, 9 + Time(time.Second)},
		{watch{full: 5, srtt: 200 * ms, sought: 9, asked: []helper{{30, 1}}, alive: true}, 5 + Time(200*ms)},
		{watch{full: 5, srtt: 200 * ms, heard: 7}, 7 + Time(1250*ms)},
	} {
		if got := d.verdict(&c.w); got != c.want {
			t.Errorf("%+v: at %v, want %v", c.w, got, c.want)
		}
	}
}

// TestWhoIsTooFewDoesNotVote: of two, one that hears the other no more only
// routes around it; of three, it votes, once.
func TestWhoIsTooFewDoesNotVote(t *testing.T) {
	w := among(t, 20)
	w.live(3*time.Second, ms, nil, 20)
	if w.live(4*time.Second, ms, nil); w.votesOn(20) != 0 || w.view.member(20).inRing {
		t.Errorf("of two: vote %v, in the ring %v", w.votesOn(20), w.view.member(20).inRing)
	}
	w = among(t, 20, 30)
	w.live(3*time.Second, ms, nil, 20, 30)
	for w.votesOn(20) == 0 && w.now < Time(10*time.Second) {
		w.live(10*ms, ms, nil, 30)
	}
	x := w.view.voteOf(10, 20)
	if x == nil || x.Verdict != wire.Unreachable {
		t.Fatalf("of three: vote %+v", x)
	}
	sequence := x.Sequence
	if w.live(1200*ms, ms, nil, 30); w.view.voteOf(10, 20).Sequence != sequence {
		t.Error("says the same again")
	}
}

// TestHelpersAreAskedAfterFour: not after one ping less; and whoever comes
// behind a suspect is watched in the same step, though others are well.
func TestHelpersAreAskedAfterFour(t *testing.T) {
	others := []wire.ID{20, 30, 40, 50, 60, 70, 80, 90}
	w := among(t, others...)
	w.live(3*time.Second, ms, nil, others...)
	n := 0
	for w.now < Time(10*time.Second) {
		acts := w.live(10*ms, ms, nil, others[1:]...)
		n += len(pings(acts)[20])
		if _, asked := sends[wire.PingReq](acts); len(asked) > 0 {
			break
		}
	}
	if n != helpAfter+1 {
		t.Errorf("asks helpers after %d pings, want %d", n, helpAfter+1)
	}
	if w.detect.find(50) == nil {
		t.Error("does not watch who comes behind the suspect")
	}
}

// TestWatchesAreBounded: in a large ring that has gone silent.
func TestWatchesAreBounded(t *testing.T) {
	var others []wire.ID
	for id := range wire.ID(120) {
		if id != 10 {
			others = append(others, id)
		}
	}
	w := among(t, others...)
	w.live(3*time.Second, ms, nil, others...)
	most := 0
	for range 40 {
		w.live(50*ms, ms, nil)
		most = max(most, len(w.detect.watches))
	}
	if most <= 3 || most > 3*widest {
		t.Errorf("%d watches, want more than 3 and at most %d", most, 3*widest)
	}
}

// TestStrainedSuccessorIsPingedOnce: in a small ring who pings this peer is also
// whom it pings.
func TestStrainedSuccessorIsPingedOnce(t *testing.T) {
	w := among(t, 20, 30)
	w.live(3*time.Second, ms, nil, 20, 30)
	w.step(Pinged{30, wire.Ping{Mine: 1, Said: wire.SaidSuspect}})
	w.now = w.detect.due
	if got := pings(w.step(Tick{}))[30]; len(got) != 1 {
		t.Errorf("%d pings in one tick", len(got))
	}
}

// TestDialIsWaitedFor: while a dial may be under way silence says nothing.
func TestDialIsWaitedFor(t *testing.T) {
	w := among(t, 20, 30, 40)
	w.Ring.roster.Interval = 200 * ms
	w.tune()
	w.live(3*time.Second, ms, nil, 20, 30, 40)
	w.step(LinkDown{20})
	w.links.line(20).fell = 0 // as after a fall that was forgotten: no dial has failed since
	if w.live(1200*ms, ms, nil, 30, 40); !w.view.member(20).inRing || w.votesOn(20) != 0 {
		t.Errorf("judged while the dial is under way: in the ring %v, vote %v", w.view.member(20).inRing, w.votesOn(20))
	}
	if w.live(1200*ms, ms, nil, 30, 40); w.view.member(20).inRing {
		t.Error("never judged")
	}
}

// TestJudgementOfTheMissing: each of what it takes to judge a member that is
// out of the ring.
func TestJudgementOfTheMissing(t *testing.T) {
	const none = wire.Verdict(0)
	var grace = Time(20 * time.Second)
	for _, c := range []struct {
		name  string
		after Time // since it is out
		but   func(w *town, l *line)
		want  wire.Verdict
	}{
		{"for the grace", grace, nil, wire.Gone},
		{"for less", grace - 1, nil, wire.Unreachable},
		{"for 3 T", Time(3 * time.Second), nil, wire.Unreachable},
		{"for less", Time(3*time.Second) - 1, nil, none},
		{"no dial has failed", grace, func(_ *town, l *line) { l.fell = 0 }, none},
		{"a link is there", grace, func(_ *town, l *line) { l.fell, l.up = 0, true }, wire.Gone},
		{"what was to ask it did not leave this machine", grace, func(w *town, l *line) { l.unsent = w.now - unsentWatch*Time(time.Second) }, none},
		{"nor did it long ago", grace, func(w *town, l *line) { l.unsent = w.now - unsentWatch*Time(time.Second) - 1 }, wire.Gone},
		{"it was heard", grace, func(w *town, l *line) { l.heard = w.now - 1 }, none},
		{"there was a cut", grace, func(w *town, _ *line) { w.detect.steady = w.now - 1 }, wire.Unreachable},
		{"there is one", grace, func(w *town, _ *line) { w.view.cut = true }, wire.Unreachable},
		{"this peer was paused", grace, func(w *town, _ *line) { w.detect.steady, w.detect.awake = w.now-1, w.now-1 }, none},
		{"there is no grace", grace, func(w *town, _ *line) { w.detect.grace = 0 }, wire.Unreachable},
		{"it had stopped", grace - 1, func(w *town, _ *line) { w.view.member(20).state = wire.Stopped }, none},
		{"it had stopped", grace, func(w *town, _ *line) { w.view.member(20).state = wire.Stopped }, wire.Gone},
		{"it was leaving", grace, func(w *town, _ *line) { w.view.member(20).state = wire.Leaving }, none},
		{"it was said", grace - 1, func(w *town, _ *line) { w.cast(20, wire.Unreachable) }, none},
		{"less was said", grace, func(w *town, _ *line) { w.cast(20, wire.Unreachable) }, wire.Gone},
		{"it was said", grace, func(w *town, _ *line) { w.cast(20, wire.Gone) }, none},
		{"this peer has just looked", grace, func(w *town, _ *line) { w.detect.looked = w.now - 1 }, none},
	} {
		w, _ := graced(t)
		w.step(Received{80, wire.Rows{Votes: []wire.Vote{vote(80, 20, 1, wire.Unreachable, 1), vote(70, 20, 1, wire.Unreachable, 1)}}})
		since := w.view.since(w.view.place(20))
		l := w.links.line(20)
		l.up, l.fell, l.heard = false, since+1, since
		w.detect.awake, w.detect.steady, w.detect.looked = since, since, since-Time(time.Second)
		w.now = since + c.after
		if c.but != nil {
			c.but(w, l)
		}
		got := none
		for _, j := range w.detect.missing(w.now, w.view, &w.links) {
			if j.member == 20 {
				got = j.verdict
			}
		}
		if got != c.want {
			t.Errorf("%s, %v after: %v, want %v", c.name, time.Duration(c.after), got, c.want)
		}
	}
}

// TestHelpersAreNeighboursWithALink: on both sides of the suspect, never the
// suspect itself, this peer, one twice, or one without a link.
func TestHelpersAreNeighboursWithALink(t *testing.T) {
	for _, c := range []struct {
		others, down []wire.ID
		want         []wire.ID // who may be asked
	}{
		{[]wire.ID{20, 30}, nil, []wire.ID{30}},
		{[]wire.ID{20, 30}, []wire.ID{30}, nil},
		{[]wire.ID{20, 30, 40}, nil, []wire.ID{30, 40}},
		{[]wire.ID{20, 30, 40, 50, 60, 70, 80, 90}, []wire.ID{30, 40, 50}, []wire.ID{80, 90}},
		{[]wire.ID{20, 30, 40, 50, 60, 70, 80, 90}, []wire.ID{80, 90}, []wire.ID{30, 40, 50}},
	} {
		w := among(t, c.others...)
		for _, id := range c.down {
			w.links.closed(w.now, id)
		}
		var asked []wire.ID
		for range 12 {
			x, o := watch{peer: 20}, outbox{}
			w.detect.seek(w.now, &x, w.view, &w.links, &o)
			to, _ := sends[wire.PingReq](o.acts)
			if len(to) != min(len(c.want), helpers) || len(to) == 2 && to[0] == to[1] || x.sought != w.now || len(x.asked) != len(to) {
				t.Errorf("of %v without %v: asks %v, notes %v", c.others, c.down, to, x.asked)
			}
			asked = append(asked, to...)
		}
		slices.Sort(asked)
		if got := slices.Compact(asked); !slices.Equal(got, c.want) {
			t.Errorf("of %v without %v: asks %v, want all of %v in turn", c.others, c.down, got, c.want)
		}
	}
}

// TestAnswersOfHelpersAreTheirOwn: each answers what it was asked, once.
func TestAnswersOfHelpersAreTheirOwn(t *testing.T) {
	d := detector{watches: []watch{{peer: 20, asked: []helper{{30, 1}, {40, 2}}}}}
	for _, c := range []struct {
		from wire.ID
		req  uint32
		ok   bool
	}{{30, 2, false}, {40, 1, false}, {30, 3, false}, {50, 1, false}, {30, 1, true}, {30, 1, false}, {40, 2, true}} {
		if about, ok := d.helped(c.from, wire.PingReqAck{Req: c.req}); ok != c.ok || ok && about != 20 {
			t.Errorf("answer %d of %d: about %d, counts %v, want %v", c.req, c.from, about, ok, c.ok)
		}
	}
	if w := d.watches[0]; len(w.asked) != 0 || w.alive {
		t.Errorf("left %+v", w)
	}
}

// TestHelpIsBounded: by what each asks and by what all do; who is out of the
// ring helps nobody; nobody is asked about this peer or about itself; and only
// neighbours are dialled for others.
func TestHelpIsBounded(t *testing.T) {
	var others []wire.ID
	for id := range wire.ID(60) {
		if id != 10 {
			others = append(others, id)
		}
	}
	w := among(t, others...)
	helps := func(from, about wire.ID, req uint32) (bool, []Action) {
		var o outbox
		return w.detect.helpWith(w.now, from, wire.PingReq{Req: req, Member: about}, w.view, &w.links, &o), o.acts
	}
	w.links.closed(w.now, 11)
	w.links.closed(w.now, 30)
	w.links.line(11).tried, w.links.line(30).tried = 0, 0
	if ok, acts := helps(20, 11, 1); !ok || !has[Dial](acts) || len(pings(acts)[11]) != 1 {
		t.Errorf("for a neighbour: helps %v by %v, want a dial and a ping", ok, acts)
	}
	if ok, acts := helps(20, 30, 2); !ok || has[Dial](acts) || len(pings(acts)[30]) != 1 {
		t.Errorf("for one far away: helps %v by %v, want a ping alone", ok, acts)
	}
	if ok, _ := helps(20, 20, 3); ok {
		t.Error("helps one with itself")
	}
	if ok, _ := helps(20, 10, 4); ok {
		t.Error("helps one with this peer")
	}
	for i, from := range others {
		for j := range maxHelpsEach {
			helps(from, others[(i+1)%len(others)], uint32(j))
		}
	}
	if n := len(w.detect.helps); n != maxHelps {
		t.Errorf("%d pings for others under way, want %d", n, maxHelps)
	}
	w.detect.helps = nil
	w.detect.stop()
	if ok, acts := helps(20, 11, 9); !ok || len(acts)+len(w.detect.helps) > 0 {
		t.Errorf("out of the ring: may ask %v, helps by %v", ok, acts)
	}
}

// TestHelpEnds: after four pings and the time of an ack, with a no to whoever
// asked; at the first sign of life with a yes; and when who asked, or whom it
// was about, is in the roster no more.
func TestHelpEnds(t *testing.T) {
	d := detector{interval: time.Second}
	v := newView(config(10, 10, 20, 30, 40))
	h := help{helper{30, 7}, 20, 0, 0, 1, false}
	d.helps = []help{h}
	var o outbox
	var at []Time
	for len(d.helps) > 0 && len(at) < 10 {
		now := d.helpDue()
		at = append(at, now)
		d.help(now, v, &o)
	}
	want := []Time{Time(100 * ms), Time(200 * ms), Time(300 * ms), Time(550 * ms), Time(time.Second)}
	to, said := sends[wire.PingReqAck](o.acts)
	if !slices.Equal(at, want) || len(pings(o.acts)[20]) != helpTries-1 || !slices.Equal(to, []wire.ID{30}) || said[0] != (wire.PingReqAck{Req: 7}) {
		t.Errorf("at %v, want %v; did %v", at, want, o.acts)
	}
	d.watch(20).srtt = 90 * ms // rttvar 0
	if got := d.helpNext(help{tries: helpTries, member: 20, last: 5}); got != 5+Time(100*ms) {
		t.Errorf("waits until %v for an ack of one that it watches", got)
	}
	others := []help{{helper{40, 1}, 30, 0, 0, 1, false}, {helper{20, 2}, 40, 0, 0, 1, false}}
	o = outbox{}
	d.helps = append([]help{h}, others...)
	d.tell(20, &o)
	to, said = sends[wire.PingReqAck](o.acts)
	told := h
	told.done = true
	if !slices.Equal(d.helps, append([]help{told}, others...)) || !slices.Equal(to, []wire.ID{30}) || said[0] != (wire.PingReqAck{Req: 7, Alive: true}) {
		t.Errorf("a sign of life: left %v, did %v", d.helps, o.acts)
	}
	d.helps = append([]help{h}, others...)
	if d.unhelp(20); !slices.Equal(d.helps, others[:1]) {
		t.Errorf("without 20: left %v", d.helps)
	}
	if d.unhelp(30); len(d.helps) != 0 {
		t.Errorf("without 30: left %v", d.helps)
	}
}
