package ring

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// stub signs by a hash: what is signed is verified elsewhere.
func stub(msg []byte) (s wire.Sig) {
	sum := sha256.Sum256(msg)
	copy(s[:], sum[:])
	return s
}

// config is a ring of members at the positions that are their ids.
func config(self wire.ID, ids ...wire.ID) Config {
	c := Config{Self: self, Disk: wire.Active, Sign: stub, Roster: Roster{Ring: "test",
		Space: wire.Space8, Copies: 3, Observers: 3, Interval: time.Second}}
	for _, id := range ids {
		c.Roster.Members = append(c.Roster.Members, Member{ID: id, Pos: wire.Pos(id)})
	}
	return c
}

func row(id wire.ID, i wire.Incarnation, s wire.State) wire.Row {
	r := wire.Row{ID: id, Incarnation: i, State: s}
	r.Sig = stub(r.SignedBytes("test", nil))
	return r
}

func vote(by, on wire.ID, i wire.Incarnation, said wire.Verdict, seq uint64) wire.Vote {
	v := wire.Vote{Observer: by, Member: on, Incarnation: i, Verdict: said, Sequence: seq}
	v.Sig = stub(v.SignedBytes("test", nil))
	return v
}

// news is rows and votes that came together.
type news struct {
	rows  []wire.Row
	votes []wire.Vote
}

func (n news) merge(v *view) {
	for _, r := range n.rows {
		v.mergeRow(r)
	}
	for _, t := range n.votes {
		v.mergeVote(t)
	}
	v.settle()
}

// full is the whole state of a view as news.
func full(v *view) news {
	rows, votes := v.all()
	return news{rows, votes}
}

// facts is what a view says, without what only its owner believes.
func facts(v *view) string {
	rows, votes := v.all()
	var ring []wire.ID
	for _, i := range v.ring {
		ring = append(ring, v.members[i].id)
	}
	return fmt.Sprint(rows, votes, ring, v.digest().whole)
}

var five = []wire.ID{10, 20, 30, 40, 50}

// randomNews draws rows and votes that may well contradict each other.
func randomNews(g *rand.Rand) news {
	var n news
	for range g.IntN(6) {
		n.rows = append(n.rows, row(five[g.IntN(5)], wire.Incarnation(1+g.IntN(3)), wire.State(1+g.IntN(7))))
	}
	for range g.IntN(6) {
		n.votes = append(n.votes, vote(five[g.IntN(5)], five[g.IntN(5)],
			wire.Incarnation(1+g.IntN(3)), wire.Verdict(1+g.IntN(3)), uint64(g.IntN(3))))
	}
	return n
}

// TestMergeIsASemilattice: states of views merge in any order, grouping and
// number with the same result, so peers that know the same agree.
func TestMergeIsASemilattice(t *testing.T) {
	for seed := range uint64(3000) {
		g := rand.New(rand.NewPCG(seed, 0))
		states := make([]news, 3)
		for i := range states {
			v := newView(config(99, append(slices.Clone(five), 99)...))
			randomNews(g).merge(v)
			states[i] = full(v)
		}
		join := func(order ...int) string {
			v := newView(config(99, append(slices.Clone(five), 99)...))
			for _, i := range order {
				states[i].merge(v)
			}
			return facts(v)
		}
		want := join(0, 1, 2)
		for _, order := range [][]int{{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}, {0, 1, 1, 2, 0}, {2, 2, 1, 0, 1, 2}} {
			if got := join(order...); got != want {
				t.Fatalf("seed %d: merged in order %v:\n%s\nwant\n%s", seed, order, got, want)
			}
		}
		// Grouping: (0 with 1) with 2 is 0 with (1 with 2).
		v := newView(config(99, append(slices.Clone(five), 99)...))
		states[1].merge(v)
		states[2].merge(v)
		states = append(states, full(v))
		if got := join(0, 3); got != want {
			t.Fatalf("seed %d: grouped:\n%s\nwant\n%s", seed, got, want)
		}
	}
}

// TestDigestIsOfRowsAndVotesOnly: it is the same however the view came about,
// and differs when a row or vote does.
func TestDigestIsOfRowsAndVotesOnly(t *testing.T) {
	a := newView(config(10, five...))
	b := newView(config(20, five...))
	for _, v := range []*view{a, b} {
		news{rows: []wire.Row{row(10, 1, wire.Active), row(20, 4, wire.Joining), row(30, 2, wire.Left)},
			votes: []wire.Vote{vote(10, 20, 4, wire.Unreachable, 9)}}.merge(v)
	}
	if a.digest().whole != b.digest().whole {
		t.Error("two peers with the same rows and votes have two digests")
	}
	a.silence(30, false)
	if a.digest().whole != b.digest().whole {
		t.Error("a belief of one peer is in its digest")
	}
	was := a.digest().whole
	a.mergeVote(vote(10, 20, 4, wire.Reachable, 10))
	if a.digest().whole == was {
		t.Error("a vote is not in the digest")
	}
	a.mergeRow(row(20, 5, wire.Joining))
	b.mergeRow(row(20, 5, wire.Joining))
	if a.digest().whole != b.digest().whole {
		t.Error("votes on an earlier incarnation still count for the digest")
	}
}

// naiveHolders is design.md, section 8, in the plainest words: home holders
// are the first copies members at or after the key that were seen and are not
// leaving or left; each that takes no writes has the next one that does.
func naiveHolders(v *view, k wire.Pos) (home, standIn []wire.ID) {
	order := slices.Clone(v.members)
	from := func(m member) int { return int((v.pos(v.place(m.id)) - k) & 255) }
	slices.SortFunc(order, func(a, b member) int { return from(a) - from(b) })
	lacking := 0
	for _, m := range order {
		switch {
		case len(home) < v.copies:
			if m.seen() && m.state < wire.Leaving && !m.gone() {
				home = append(home, m.id)
				if !m.inRing || m.state == wire.Full || m.state == wire.Stuck {
					lacking++
				}
			}
		case lacking > 0 && m.inRing && m.state != wire.Full && m.state != wire.Stuck:
			standIn = append(standIn, m.id)
			lacking--
		}
	}
	return home, standIn
}

// TestHolders compares holders with the naive rule over random views and all
// keys.
func TestHolders(t *testing.T) {
	standIns := 0
	for seed := range uint64(300) {
		g := rand.New(rand.NewPCG(seed, 1))
		c := config(10, five...)
		c.Roster.Copies = 1 + g.IntN(4)
		v := newView(c)
		for _, id := range five {
			if g.IntN(5) > 0 {
				v.mergeRow(row(id, 1, wire.State(1+g.IntN(7))))
			}
		}
		randomNews(g).merge(v)
		for k := range wire.Pos(256) {
			var home, standIn []wire.ID
			for _, h := range v.holders(k, nil) {
				if h.home {
					home = append(home, h.id)
				} else {
					standIn = append(standIn, h.id)
				}
			}
			wantHome, wantStandIn := naiveHolders(v, k)
			standIns += len(wantStandIn)
			if !slices.Equal(home, wantHome) || !slices.Equal(standIn, wantStandIn) {
				t.Fatalf("seed %d: holders(%d) = %v and %v, want %v and %v", seed, k, home, standIn, wantHome, wantStandIn)
			}
		}
	}
	if standIns < 1000 {
		t.Errorf("only %d stand-ins were seen", standIns)
	}
}

// TestOwnerIsTheFirstLivePeerAtOrAfter is the seed's rule, over all keys.
func TestOwnerIsTheFirstLivePeerAtOrAfter(t *testing.T) {
	v := newView(config(10, 2, 4, 5, 8, 9, 10, 14, 19))
	for _, id := range []wire.ID{2, 4, 5, 8, 9, 14, 19} {
		v.mergeRow(row(id, 1, wire.Active))
	}
	v.settle()
	for k := range wire.Pos(256) {
		want := wire.ID(2)
		for _, id := range []wire.ID{19, 14, 9, 8, 5, 4, 2} {
			if k <= wire.Pos(id) {
				want = id
			}
		}
		if got, ok := v.owner(k); !ok || got != want {
			t.Errorf("owner(%d) = %v, %v, want %v", k, got, ok, want)
		}
	}
}

// TestVerdicts is the table of the rule: two observers agree, or the only one
// there is.
func TestVerdicts(t *testing.T) {
	all := func(ids ...wire.ID) (rows []wire.Row) {
		for _, id := range ids {
			rows = append(rows, row(id, 1, wire.Active))
		}
		return rows
	}
	un := func(by, on wire.ID) wire.Vote { return vote(by, on, 1, wire.Unreachable, 1) }
	for _, c := range []struct {
		name  string
		rows  []wire.Row
		votes []wire.Vote
		ring  []wire.ID
	}{
		{"one of three says so", all(10, 20, 30, 40, 50), []wire.Vote{un(10, 20)}, five},
		{"two of three", all(10, 20, 30, 40, 50), []wire.Vote{un(10, 20), un(50, 20)}, []wire.ID{10, 30, 40, 50}},
		{"two, of whom one does not watch it", all(10, 20, 30, 40, 50), []wire.Vote{un(10, 20), un(30, 20)}, five},
		{"on an earlier incarnation", append(all(10, 30, 40, 50), row(20, 2, wire.Active)),
			[]wire.Vote{un(10, 20), un(50, 20)}, five},
		{"one withdrew", all(10, 20, 30, 40, 50),
			[]wire.Vote{un(10, 20), un(50, 20), vote(50, 20, 1, wire.Reachable, 2)}, five},
		{"an old withdrawal", all(10, 20, 30, 40, 50),
			[]wire.Vote{un(10, 20), vote(50, 20, 1, wire.Unreachable, 3), vote(50, 20, 1, wire.Reachable, 2)}, []wire.ID{10, 30, 40, 50}},
		{"two dead neighbours", all(10, 20, 30, 40, 50),
			[]wire.Vote{un(10, 20), un(50, 20), un(10, 30), un(50, 30)}, []wire.ID{10, 40, 50}},
		{"a dead observer's vote does not count", all(10, 20, 30, 40, 50),
			[]wire.Vote{un(10, 20), un(50, 20), un(20, 40), un(10, 40)}, []wire.ID{10, 30, 40, 50}},
		{"the only one there is", all(10, 20), []wire.Vote{un(10, 20)}, []wire.ID{10}},
		{"one of two", all(10, 20, 30), []wire.Vote{un(10, 20)}, []wire.ID{10, 20, 30}},
		{"both of two", all(10, 20, 30), []wire.Vote{un(10, 20), un(30, 20)}, []wire.ID{10, 30}},
		{"its own vote is nothing", all(10, 20), []wire.Vote{un(20, 20)}, []wire.ID{10, 20}},
		{"a verdict on this peer does not take it from its own ring", all(10, 20, 30),
			[]wire.Vote{un(20, 10), un(30, 10)}, []wire.ID{10, 20, 30}},
	} {
		v := newView(config(10, five...))
		news{c.rows, c.votes}.merge(v)
		var ring []wire.ID
		for _, i := range v.ring {
			ring = append(ring, v.members[i].id)
		}
		if !slices.Equal(ring, c.ring) {
			t.Errorf("%s: the ring is %v, want %v", c.name, ring, c.ring)
		}
	}
}

// TestGone is the table of that rule: any two members say so, or the only one
// in the ring. Who watched it need not be there any more.
func TestGone(t *testing.T) {
	gone := func(by, on wire.ID) wire.Vote { return vote(by, on, 1, wire.Gone, 1) }
	un := func(by, on wire.ID) wire.Vote { return vote(by, on, 1, wire.Unreachable, 1) }
	var all []wire.Row
	for _, id := range five {
		all = append(all, row(id, 1, wire.Active))
	}
	for _, c := range []struct {
		name  string
		rows  []wire.Row
		votes []wire.Vote
		gone  bool
		home  bool
		ring  bool
	}{
		{"nobody says so", all, nil, false, true, true},
		{"one says so", all, []wire.Vote{gone(10, 20)}, false, true, true},
		{"two observers", all, []wire.Vote{gone(10, 20), gone(50, 20)}, true, false, false},
		{"two, of whom neither watches it", all, []wire.Vote{gone(30, 20), gone(40, 20)}, true, false, false},
		{"one of two says only unreachable", all, []wire.Vote{gone(10, 20), un(50, 20)}, false, true, false},
		{"one who said so has left", append(slices.Clone(all), row(50, 2, wire.Left)), []wire.Vote{gone(10, 20), gone(50, 20)}, true, false, false},
		{"one withdrew", all, []wire.Vote{gone(10, 20), gone(50, 20), vote(50, 20, 1, wire.Reachable, 2)}, false, true, true},
		{"it came back", append(slices.Clone(all), row(20, 2, wire.Active)), []wire.Vote{gone(10, 20), gone(50, 20)}, false, true, true},
		{"it said that it stops", append(slices.Clone(all[:1:1]), append(slices.Clone(all[2:]), row(20, 1, wire.Stopped))...),
			[]wire.Vote{gone(10, 20), gone(50, 20)}, true, false, false},
		{"one, alone in the ring", []wire.Row{row(10, 1, wire.Active), row(20, 1, wire.Active)}, []wire.Vote{gone(10, 20)}, true, false, false},
		{"one, alone but for the other dead", []wire.Row{row(10, 1, wire.Active), row(20, 1, wire.Active), row(30, 1, wire.Active)},
			[]wire.Vote{gone(10, 20), gone(10, 30)}, false, true, true},
		{"the last one, by one who has stopped", []wire.Row{row(20, 1, wire.Active), row(30, 1, wire.Stopped)},
			[]wire.Vote{gone(30, 20)}, false, true, true},
		{"one who is not in the ring itself", []wire.Row{row(10, 1, wire.Active), row(20, 1, wire.Active), row(30, 1, wire.Left)},
			[]wire.Vote{gone(30, 20)}, false, true, true},
	} {
		v := newView(config(10, five...))
		news{c.rows, c.votes}.merge(v)
		if m := v.member(20); m.gone() != c.gone || m.home() != c.home || m.inRing != c.ring {
			t.Errorf("%s: gone %v, home %v, in the ring %v, want %v, %v, %v", c.name, m.gone(), m.home(), m.inRing, c.gone, c.home, c.ring)
		}
	}
}

// TestCut: with more than copies less one, and more than a quarter, of those
// silent who could be home holders, nobody is called gone by time.
func TestCut(t *testing.T) {
	for n := 1; n <= 20; n++ {
		for silent := 0; silent < n; silent++ {
			for copies := 1; copies <= 5; copies++ {
				c := config(0, 0)
				for id := wire.ID(1); int(id) <= n+2; id++ {
					c.Roster.Members = append(c.Roster.Members, Member{ID: id, Pos: wire.Pos(id)})
				}
				c.Roster.Copies = copies
				v := newView(c)
				for id := range wire.ID(n) {
					v.mergeRow(row(id, 1, wire.Active))
				}
				v.mergeRow(row(wire.ID(n+1), 1, wire.Left)) // counts for nothing, as does who was never seen
				v.settle()
				for id := range silent {
					v.silence(wire.ID(id+1), false)
				}
				if want := silent > copies-1 && 4*silent > n-n%4; v.cut != want {
					t.Errorf("%d of %d silent, %d copies: cut %v, want %v", silent, n, copies, v.cut, want)
				}
			}
		}
	}
}

// TestSuccessorsAndPredecessors: they are each other's inverse, and leave out
// whom they should.
func TestSuccessorsAndPredecessors(t *testing.T) {
	v := newView(config(30, five...))
	for _, id := range []wire.ID{10, 20, 30, 50} {
		v.mergeRow(row(id, 1, wire.Active))
	}
	v.settle()
	for _, c := range []struct {
		got, want []wire.ID
	}{
		{v.succ(2), []wire.ID{50, 10}},
		{v.succ(9), []wire.ID{50, 10, 20}},
		{v.pred(2), []wire.ID{20, 10}},
		{v.pred(9), []wire.ID{20, 10, 50}},
		{v.successors(40, 2, nobody, nil), []wire.ID{50, 10}},
		{v.successors(50, 1, nobody, nil), []wire.ID{10}},
		{v.successors(255, 1, 10, nil), []wire.ID{20}},
		{v.predecessors(10, 1, nobody, nil), []wire.ID{50}},
		{v.predecessors(0, 2, 50, nil), []wire.ID{30, 20}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
}

// TestRosterChangeForgetsWhoIsGone: rows and votes of members outside the
// roster leave the view, and the digest is that of a view that never had them.
func TestRosterChangeForgetsWhoIsGone(t *testing.T) {
	v := newView(config(10, five...))
	n := news{votes: []wire.Vote{vote(50, 20, 1, wire.Unreachable, 1), vote(30, 50, 1, wire.Unreachable, 1)}}
	for _, id := range five {
		n.rows = append(n.rows, row(id, 1, wire.Active))
	}
	n.merge(v)
	v.setRoster(config(10, 10, 20, 30, 40).Roster)
	want := newView(config(10, 10, 20, 30, 40))
	n.merge(want)
	if facts(v) != facts(want) {
		t.Errorf("after the change:\n%s\nwant\n%s", facts(v), facts(want))
	}
	if v.has(50) || v.mergeRow(row(50, 9, wire.Active)) {
		t.Error("a member outside the roster is in the view")
	}
}

// TestRosterChangeRestartsNoClock: how long a member has been out of the ring,
// and so the grace, does not begin anew because a roster was read again.
func TestRosterChangeRestartsNoClock(t *testing.T) {
	w := within(t, 20, 30, 40)
	w.judge(wire.Unreachable, 1, 30)
	since := w.view.since(w.view.place(30))
	for _, id := range []wire.ID{0, 25} { // the same roster; one more, so that places move
		w.now += Time(3 * time.Second)
		to := w.roster
		if id != 0 {
			to.Members = append(slices.Clone(to.Members), Member{ID: id, Pos: wire.Pos(id)})
		}
		w.step(RosterChanged{to})
		if got := w.view.since(w.view.place(30)); got != since || since == 0 {
			t.Errorf("out since %d, want %d as before", got, since)
		}
	}
	if got := w.view.since(w.view.place(25)); got != w.now {
		t.Errorf("the new member is out since %d, want %d", got, w.now)
	}
	if got := w.view.since(w.view.place(40)); got != 0 {
		t.Errorf("who is in the ring is out since %d", got)
	}
}

// TestReusedIDIsAnotherMember: an id that the roster has given to another key
// brings no row of the earlier one with it, which nobody could verify.
func TestReusedIDIsAnotherMember(t *testing.T) {
	w := within(t, 20, 30)
	to := w.roster
	to.Members = append([]Member(nil), to.Members...)
	for i := range to.Members {
		if to.Members[i].ID == 30 {
			to.Members[i].Key = wire.Digest{9}
		}
	}
	w.step(RosterChanged{to})
	if m := w.view.member(30); m.seen() || m.inRing || w.links.up(30) {
		t.Errorf("30 is seen %v, in the ring %v, linked %v under its new key", m.seen(), m.inRing, w.links.up(30))
	}
	w.step(Received{20, wire.Rows{Rows: []wire.Row{row(30, 1, wire.Joining)}}})
	if m := w.view.member(30); !m.inRing {
		t.Error("the new 30 is not in the ring")
	}
	if !w.view.member(20).seen() {
		t.Error("20, which did not change, is forgotten")
	}
}

// TestSavedRowsAreAbsent: at start every member of the saved view is
// unreachable and still a home holder, and one that was never seen is neither.
func TestSavedRowsAreAbsent(t *testing.T) {
	c := config(10, five...)
	c.Saved = []wire.Row{row(20, 3, wire.Active), row(30, 2, wire.Left), row(10, 7, wire.Active), row(99, 1, wire.Active)}
	v := newView(c)
	if len(v.ring) != 0 || v.members[v.me].seen() {
		t.Errorf("ring %v, own row seen %v, want none", v.ring, v.members[v.me].seen())
	}
	m := v.member(20)
	if !m.home() || m.inRing || !m.unreachable() || v.member(40).home() || v.member(30).home() {
		t.Error("want 20 home and unreachable, 30 and 40 not home")
	}
	v.mergeRow(row(20, 4, wire.Joining))
	v.settle()
	if !v.member(20).inRing {
		t.Error("a newer row does not bring 20 back")
	}
}

// TestStepIsPure: the same state and events give the same actions.
func TestStepIsPure(t *testing.T) {
	run := func() [][]Action {
		r := New(config(10, five...))
		var all [][]Action
		for i, e := range []Event{Tick{}, Persisted{1}, LinkUp{20, 3}, Received{20, wire.Rows{Rows: []wire.Row{row(20, 3, wire.Active)}}},
			Tick{}, Received{20, wire.Here{Req: 1}}, Tick{}, Pinged{20, wire.Ping{Echo: 4, Yours: 1}}, Get{Op: 1, Name: "a"},
			Put{Op: 2, Name: "b"}, LinkDown{20}, Tick{}, Tick{}, Stop{}, Persisted{2}, Tick{}} {
			all = append(all, r.Step(Time(i)*Time(300*time.Millisecond), e, nil))
		}
		return all
	}
	if a, b := run(), run(); !reflect.DeepEqual(a, b) {
		t.Errorf("two runs:\n%v\n%v", a, b)
	}
}

// TestPingSaysWhatItsLayoutSays: every field that design.md gives a ping is
// filled in.
func TestPingSaysWhatItsLayoutSays(t *testing.T) {
	c := config(10, five...)
	c.Roster.Serial, c.Roster.Digest = 7, wire.Digest{1, 2, 3}
	r := New(c)
	r.Step(0, Tick{}, nil)
	r.Step(1, Persisted{1}, nil)
	r.Step(2, LinkUp{20, 3}, nil)
	r.Step(3, Received{20, wire.Rows{Rows: []wire.Row{row(20, 3, wire.Active)}}}, nil)
	r.Step(4, Received{20, wire.Here{Req: 1}}, nil)
	for _, a := range r.Step(5, Pinged{20, wire.Ping{Echo: 4}}, nil) {
		if p, ok := a.(SendPing); ok {
			want := wire.Ping{Ack: true, Echo: 4, Mine: 1, Yours: 3, Serial: 7, Roster: c.Roster.Digest, View: r.Status().View}
			if p.Ping != want {
				t.Errorf("the ack is %+v, want %+v", p.Ping, want)
			}
			return
		}
	}
	t.Error("a ping was not acked")
}
