package ring

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// Whom a peer keeps links to, and what it passes on over them.

// ringOf returns the view of peer 10 in a ring of n, active all.
func ringOf(n int) *view {
	ids := []wire.ID{10}
	for i := range n - 1 {
		ids = append(ids, wire.ID(11+i))
	}
	v := newView(config(10, ids...))
	for _, id := range ids {
		v.mergeRow(row(id, 1, wire.Active))
	}
	v.settle()
	return v
}

func newLinks() *links {
	return &links{interval: time.Second, self: 10, lines: map[wire.ID]*line{}}
}

// TestNeighboursOfAnyRing: K on either side, and fingers at 4, 8, 16 and so on
// that are neither neighbours nor this peer itself.
func TestNeighboursOfAnyRing(t *testing.T) {
	for n := 1; n <= 40; n++ {
		v := ringOf(n)
		near := newLinks().near(v)
		var fingers []wire.ID
		for d := 4; d < n; d *= 2 {
			if id := wire.ID(10 + d); d > 3 && n-d > 3 {
				fingers = append(fingers, id)
			}
		}
		if !slices.Equal(near.succ, v.succ(3)) || !slices.Equal(near.pred, v.pred(3)) || !slices.Equal(near.fingers, fingers) {
			t.Errorf("of %d: successors %v, predecessors %v, fingers %v, want %v", n, near.succ, near.pred, near.fingers, fingers)
		}
	}
}

// TestLineOfALink: what is noted when it comes up, twice, and falls.
func TestLineOfALink(t *testing.T) {
	l := newLinks()
	l.line(20).tries = 5
	l.opened(7, 20, 3)
	l.opened(9, 20, 4)
	if n := *l.line(20); n != (line{up: true, opened: 9, used: 9, said: 4}) || !slices.Equal(l.peers, []wire.ID{20}) {
		t.Errorf("up: %+v, peers %v", n, l.peers)
	}
	l.wanted.linked = true
	l.closed(11, 20)
	if n := l.line(20); n.up || n.fell != 11 || len(l.peers) != 0 || l.wanted.linked {
		t.Errorf("fallen: %+v, peers %v, all linked %v", n, l.peers, l.wanted.linked)
	}
}

// TestSinceWhenSilenceCounts: from when there was a link, or none could be had;
// else a handshake may be under way.
func TestSinceWhenSilenceCounts(t *testing.T) {
	for _, c := range []struct {
		line     *line
		interval time.Duration
		want     Time
	}{
		{nil, time.Second, 50 + Time(1500*ms)},
		{nil, 2 * time.Second, 50 + Time(2*time.Second)},
		{&line{up: true, opened: 20}, time.Second, 50},
		{&line{up: true, opened: 70}, time.Second, 70},
		{&line{fell: 60}, time.Second, 60},
		{&line{fell: 40}, time.Second, 50 + Time(1500*ms)},
	} {
		l := newLinks()
		l.interval = c.interval
		if c.line != nil {
			l.lines[20] = c.line
		}
		if got := l.reachable(20, 50); got != c.want {
			t.Errorf("%+v: %v, want %v", c.line, got, c.want)
		}
	}
}

// TestPingsOfOthersAreTimed: who starts has had no row for a while; a ping
// within an interval asks again; who no longer pings, or is not heard, is
// strained.
func TestPingsOfOthersAreTimed(t *testing.T) {
	sec := Time(time.Second)
	l := newLinks()
	for _, c := range []struct {
		at   Time
		said wire.Incarnation
		want bool
	}{{sec, 0, false}, {sec + sec/4, 0, false}, {sec + sec/2, 0, true}, {2 * sec, 1, false}, {3 * sec, 0, false}, {4 * sec, 0, true}} {
		if got := l.starting(c.at, 20, c.said); got != c.want {
			t.Errorf("incarnation %d at %v: starting %v, want %v", c.said, time.Duration(c.at), got, c.want)
		}
	}
	if l.strained(sec, 30) || l.strained(sec, 20) {
		t.Error("who has never pinged is strained")
	}
	for _, c := range []struct {
		at   Time
		want bool
	}{{sec, true}, {sec + sec/10, false}, {sec + sec*7/10, false}, {sec + sec*8/10, true}} {
		if got := l.pinged(c.at, 20); got != c.want {
			t.Errorf("ping at %v: this interval's %v, want %v", time.Duration(c.at), got, c.want)
		}
	}
	last := sec + sec*8/10
	if l.strained(last+2*sec, 20) || !l.strained(last+2*sec+1, 20) {
		t.Error("who does not ping is not strained after two intervals")
	}
	l.line(30).doubted = 5
	if !l.strained(5+3*sec-1, 30) || l.strained(5+3*sec, 30) {
		t.Error("who doubts this peer is not strained for three intervals")
	}
}

// TestDialsAreFewEnough: none over a link, and one in a quarter of an interval.
func TestDialsAreFewEnough(t *testing.T) {
	l, o := newLinks(), &outbox{}
	for _, at := range []Time{0, 1, Time(249 * ms), Time(251 * ms)} {
		l.dial(at, 20, o)
	}
	if n := l.line(20); len(o.acts) != 2 || n.tries != 2 {
		t.Errorf("%d dials, %d counted, want 2", len(o.acts), n.tries)
	}
	l.opened(Time(time.Second), 20, 1)
	if l.dial(Time(5*time.Second), 20, o); len(o.acts) != 2 {
		t.Error("dials over a link")
	}
	if l.wait(20, 1) == l.wait(20, 2) || l.wait(20, 1) == l.wait(30, 1) {
		t.Error("waits as long before each dial")
	}
}

// TestMissingLinkIsNotForgotten: whichever it is, it is looked for until it is
// there.
func TestMissingLinkIsNotForgotten(t *testing.T) {
	v := ringOf(40)
	near := *newLinks().near(v)
	all := slices.Concat(near.succ, near.pred, near.fingers)
	for _, down := range append(all, nobodysID) {
		l := newLinks()
		for _, id := range all {
			if id != down {
				l.opened(1, id, 1)
			}
		}
		if l.link(5, &near, &outbox{}); near.linked != (down == nobodysID) {
			t.Errorf("without %d: all linked %v", down, near.linked)
		}
	}
}

const nobodysID = wire.ID(9999)

// TestIdleLinkIsHungUpOnce: that of a peer in the ring whom neither side needs.
func TestIdleLinkIsHungUpOnce(t *testing.T) {
	now := Time(100 * time.Second)
	for _, c := range []struct {
		name string
		id   wire.ID
		line line
		want int
	}{
		{"idle", 25, line{used: now - Time(31*time.Second)}, 1},
		{"used", 25, line{used: now - Time(29*time.Second)}, 0},
		{"pinged", 25, line{used: 1, pinged: now - Time(29*time.Second)}, 0},
		{"pinged long ago", 25, line{used: now - Time(31*time.Second), pinged: 1}, 1},
		{"of a neighbour", 11, line{used: 1}, 0},
		{"out of the ring", 26, line{used: 1}, 0},
	} {
		v := ringOf(40)
		v.mergeRow(row(26, 2, wire.Stopped))
		v.settle()
		l, o := newLinks(), &outbox{}
		l.peers = []wire.ID{c.id}
		c.line.up = true
		l.lines[c.id] = &c.line
		l.tidy(now, v, o)
		l.tidy(now+1, v, o)
		if len(o.acts) != c.want {
			t.Errorf("%s: %v, want %d", c.name, o.acts, c.want)
		}
	}
}

// TestTestsOfTheMissingAreInTurn: a few at a time, all of them after a while,
// none twice within half an interval; a link is ended if it has been silent.
func TestTestsOfTheMissingAreInTurn(t *testing.T) {
	v := ringOf(40)
	for id := wire.ID(15); id < 35; id++ {
		v.silence(id, false)
	}
	l, o := newLinks(), &outbox{}
	l.line(15).up, l.line(15).heard = true, v.since(v.place(15))+1
	l.line(16).up = true
	var asked []wire.ID
	for i := range 3 {
		ids := l.again(Time(time.Second)+Time(i)*Time(100*ms), v, o)
		if len(ids) > retest {
			t.Errorf("tests %d at once, at most %d", len(ids), retest)
		}
		asked = append(asked, ids...)
	}
	slices.Sort(asked)
	if len(asked) != 20 || len(slices.Compact(asked)) != 20 {
		t.Errorf("tests %v in three turns, want all 20 once", asked)
	}
	var hungUp []wire.ID
	for _, a := range o.acts {
		if h, ok := a.(Hangup); ok {
			hungUp = append(hungUp, h.Peer)
		}
	}
	if !slices.Equal(hungUp, []wire.ID{16}) {
		t.Errorf("hangs up on %v, want 16, which is silent, and not 15", hungUp)
	}
	v.silence(36, false)
	v.member(37).absent = true
	v.compute()
	for _, id := range []wire.ID{36, 37} {
		if !slices.Contains(v.missing(), v.place(id)) {
			t.Errorf("%d, whom nothing but this peer's belief keeps out, is not tested", id)
		}
	}
	v.mergeRow(row(10, 2, wire.Stopped))
	if v.settle(); slices.Contains(v.missing(), v.me) {
		t.Error("tests itself")
	}
}

// said returns what each of peers is told by one step of s.
func (s *spread) said(now Time, v *view, peers ...wire.ID) map[wire.ID]string {
	var o outbox
	s.step(now, peers, v, &o)
	told := map[wire.ID]string{}
	to, messages := sends[wire.Rows](o.acts)
	for i, id := range to {
		for _, r := range messages[i].Rows {
			told[id] += fmt.Sprintf("row %d.%d ", r.ID, r.Incarnation)
		}
		for _, x := range messages[i].Votes {
			told[id] += fmt.Sprintf("vote %d-%d ", x.Observer, x.Member)
		}
	}
	return told
}

func newSpread() *spread {
	return &spread{interval: time.Second, index: map[item]int{}, asked: map[wire.ID]question{},
		answered: map[wire.ID]Time{}, passed: map[wire.ID]Time{}}
}

// TestNewsGoesToWhomItIsNews: not to who said it, the last time it was said;
// soon, but not each item by itself; that of one member not without end.
func TestNewsGoesToWhomItIsNews(t *testing.T) {
	v, s := ringOf(6), newSpread()
	v.take()
	hear := func(now Time, from int, rows ...wire.Row) {
		for _, r := range rows {
			v.mergeRow(r)
		}
		s.add(now, from, v)
	}
	t0 := Time(10 * time.Second)
	hear(t0, 11, row(13, 2, wire.Active))
	hear(t0, 12, row(13, 3, wire.Active))
	v.mergeVote(vote(15, 14, 1, wire.Reachable, 1))
	s.add(t0, 11, v)
	got := s.said(t0, v, 11, 12, 14)
	if got[11] != "row 13.3 " || got[12] != "vote 15-14 " || got[14] != "row 13.3 vote 15-14 " {
		t.Errorf("tells %v", got)
	}
	hear(t0+1, 11, row(14, 2, wire.Active), row(13, 4, wire.Active))
	if s.next() != t0+Time(50*ms) {
		t.Errorf("the next news goes at %v, want a batch later", time.Duration(s.next()-t0))
	}
	if got := s.said(t0+Time(50*ms), v, 12); got[12] != "row 14.2 " {
		t.Errorf("tells %v, want of 14 alone: 13 has just had its turn", got)
	}
	hear(t0+Time(60*ms), 12, row(13, 5, wire.Active), row(14, 3, wire.Active))
	if s.said(t0+Time(110*ms), v, 12); len(s.pending) != 2 {
		t.Errorf("%d items are pending, want that of 13 once, and that of 14", len(s.pending))
	}
	if s.next() != t0+Time(125*ms) {
		t.Errorf("goes on at %v, want when the turn of the first has come", time.Duration(s.next()-t0))
	}
	for _, order := range [][]wire.ID{{13, 14}, {14, 13}} {
		x := newSpread()
		x.due, x.last, x.passed[13], x.passed[14] = 1, t0+Time(50*ms), t0, t0+Time(50*ms)
		for _, id := range order {
			x.pending = append(x.pending, rumor{item{id, id}, nobody})
		}
		if x.step(t0+Time(60*ms), nil, v, &outbox{}); x.next() != t0+Time(125*ms) {
			t.Errorf("%v wait until %v, want until the turn of the first", order, time.Duration(x.next()-t0))
		}
	}
	if got := s.said(t0+Time(125*ms), v, 11); got[11] != "row 13.5 " {
		t.Errorf("tells %v, want what is due", got)
	}
	hear(t0+Time(400*ms), nobody, row(10, 2, wire.Active))
	s.said(t0+Time(400*ms), v, 11)
	hear(t0+Time(450*ms), nobody, row(10, 3, wire.Active))
	if got := s.said(t0+Time(450*ms), v, 11); got[11] != "row 10.3 " {
		t.Errorf("holds back this peer's own row: %v", got)
	}
}

// TestComparisonsAreNotWithoutEnd: what brings nothing comes seldomer, to a
// bound; a reply is one and is not replied to; and nothing is kept of a member
// that is none.
func TestComparisonsAreNotWithoutEnd(t *testing.T) {
	v, s := ringOf(6), newSpread()
	at := []int{}
	for sec := range 40 {
		var o outbox
		if s.differs(Time(sec+1)*Time(time.Second), 20, v, &o); len(o.acts) > 0 {
			at = append(at, sec)
		}
	}
	if want := []int{0, 1, 3, 7, 15, 23, 31, 39}; !slices.Equal(at, want) {
		t.Errorf("asks at %v, want %v", at, want)
	}
	s.learned(20)
	if s.asked[20].wait != 1 {
		t.Errorf("waits %d intervals for one that had news", s.asked[20].wait)
	}
	var o outbox
	if !s.compared(1, 20, wire.Buckets{Reply: true}, v, &o) || s.compared(1, 20, wire.Buckets{Reply: true}, v, &o) {
		t.Error("does not take one reply to a question")
	}
	o = outbox{}
	s.compared(1, 20, wire.Buckets{}, v, &o)
	if _, m := sends[wire.Buckets](o.acts); len(m) != 1 || !m[0].Reply {
		t.Errorf("answers sums by %v, want a reply", m)
	}
	s.passed[20] = 1
	if s.forget(20); len(s.asked)+len(s.answered)+len(s.passed) != 0 {
		t.Errorf("keeps %+v", s)
	}
}

// TestMessagesOfRowsFit: rows go before votes, and each message is one that can
// be sent; a large view is compared and not told.
func TestMessagesOfRowsFit(t *testing.T) {
	var o outbox
	rows, votes := make([]wire.Row, 2*wire.MaxRows+1), make([]wire.Vote, 2*wire.MaxVotes+1)
	tell(20, rows, votes, &o)
	_, said := sends[wire.Rows](o.acts)
	r, x := 0, 0
	for _, m := range said {
		if r += len(m.Rows); len(m.Votes) > 0 && r < len(rows) {
			t.Errorf("votes come after %d of %d rows", r, len(rows))
		}
		if x += len(m.Votes); len(m.Rows) > wire.MaxRows || len(m.Votes) > wire.MaxVotes {
			t.Errorf("%d rows and %d votes in a message", len(m.Rows), len(m.Votes))
		}
	}
	if r != len(rows) || x != len(votes) {
		t.Errorf("tells %d rows and %d votes", r, x)
	}
	o = outbox{}
	newSpread().meet(1, 20, ringOf(wire.NumBuckets+1), &o)
	if _, said := sends[wire.Rows](o.acts); len(said) != 0 || len(o.acts) != 1 {
		t.Errorf("meets with a large view by %d messages, want sums alone", len(o.acts))
	}
}
