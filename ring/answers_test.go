package ring

import (
	"reflect"
	"slices"
	"testing"

	"securepeer/wire"
)

// Whom a look asks, what an answer is worth, and what goes before a word.

// TestWhoIsLookedAt: the holders, home or not as the view has it, and who is
// leaving; not who has left.
func TestWhoIsLookedAt(t *testing.T) {
	w := within(t, 20, 30, 40, 50, 60)
	w.says(20, 2, wire.Left)
	w.says(60, 2, wire.Leaving)
	w.judge(wire.Unreachable, 1, 30)
	var k look
	var o outbox
	k.begin(1, "0015", w.ops.paces, w.view, &o)
	got := map[wire.ID]looked{}
	for _, l := range k.asked {
		got[l.peer] = looked{home: l.home, leaves: l.leaves, state: l.state}
	}
	for id, want := range map[wire.ID]looked{
		30: {home: true, state: skipped}, 40: {home: true}, 50: {home: true}, 10: {}, 60: {leaves: true},
	} {
		if !reflect.DeepEqual(got[id], want) {
			t.Errorf("%d: %+v, want %+v", id, got[id], want)
		}
	}
	if _, asked := got[20]; asked {
		t.Error("asks who has left")
	}
	if ids := around(40, w.view); len(ids) == 0 || ids[0] != 40 {
		t.Errorf("around its key are %v, want 40 first", ids)
	}
}

// TestOneMoreIsAsked: in the place of one that is behind, or does not answer;
// then everybody near, once, who has the whole time to answer.
func TestOneMoreIsAsked(t *testing.T) {
	for name, ends := range map[string]func(k *look, v *view, o *outbox){
		"is behind": func(k *look, v *view, o *outbox) {
			k.answer(2, k.asked[0].peer, wire.Found{Req: k.asked[0].req, Code: wire.CodeBehind}, false, v, o)
		},
		"cannot read its disk": func(k *look, v *view, o *outbox) {
			k.answer(2, k.asked[0].peer, wire.Found{Req: k.asked[0].req, Code: wire.CodeUnreadable}, false, v, o)
		},
		"refuses": func(k *look, v *view, o *outbox) {
			k.refused(2, k.asked[0].peer, wire.Refuse{Req: k.asked[0].req, Code: wire.CodeBusy}, v, o)
		},
		"falls twice": func(k *look, v *view, o *outbox) {
			k.cut(2, k.asked[0].peer, v, o)
			k.cut(2, k.asked[0].peer, v, o)
		},
	} {
		v := ringOf(20)
		var k look
		var o outbox
		k.begin(1, "0015", paces{}, v, &o)
		n := len(k.asked)
		if ends(&k, v, &o); len(k.asked) != n+1 {
			t.Errorf("one %s: asks %d more, want 1", name, len(k.asked)-n)
		}
		if !k.widen(9, v, &o) || k.began != 9 || len(k.asked) != v.copies+extraLooks {
			t.Errorf("one %s: then asks %d in all, since %v", name, len(k.asked), k.began)
		}
		if k.widen(10, v, &o) || k.began != 9 {
			t.Errorf("one %s: asks everybody twice", name)
		}
	}
}

// TestWhatAnswersAreWorth: a home holder's no needs both to agree that it is
// one; without a home holder in reach that of others is enough; and a look
// is blind while one of them, or a member that leaves, has not answered.
func TestWhatAnswersAreWorth(t *testing.T) {
	home := looked{peer: 11, state: answered, home: true, agrees: true}
	other := looked{peer: 12, state: answered, agrees: true}
	for _, c := range []struct {
		name  string
		asked []looked
		n     int
		home  bool
		blind bool
	}{
		{"a home holder", []looked{home, other}, 2, true, false},
		{"one is waited for", []looked{{peer: 11, home: true}, other}, 1, false, true},
		{"one is out of reach", []looked{{peer: 11, home: true, state: skipped}, other}, 1, true, true},
		{"one has failed", []looked{{peer: 11, home: true, state: failed}, other}, 1, true, true},
		{"one that is none in its own view", []looked{{peer: 11, home: true, state: answered}, other}, 2, true, false},
		{"one that is behind", []looked{{peer: 11, home: true, agrees: true, code: wire.CodeBehind, state: answered}, other}, 1, true, false},
		{"one that cannot read its disk", []looked{{peer: 11, home: true, agrees: true, code: wire.CodeUnreadable, state: answered}, other}, 1, true, true},
		{"one that is full", []looked{{peer: 11, home: true, agrees: true, passed: true, state: answered}, other}, 2, true, false},
		{"one is full, another waited for", []looked{{peer: 11, home: true, agrees: true, passed: true, state: answered}, {peer: 13, home: true}, other}, 2, false, true},
		{"another has failed", []looked{home, {peer: 12, state: failed}}, 1, true, false},
		{"one that leaves is silent", []looked{home, {peer: 12, leaves: true}}, 1, true, true},
		{"one that leaves has answered", []looked{home, {peer: 12, leaves: true, state: answered}}, 2, true, false},
	} {
		k := look{asked: c.asked}
		if n, home := k.good(); n != c.n || home != c.home || (len(k.unasked()) > 0) != c.blind {
			t.Errorf("%s: %d good, home %v, blind %v", c.name, n, home, k.unasked())
		}
	}
	if other.asHome() {
		t.Error("one that is not home in this peer's view answers as one")
	}
}

// TestEachOfAWayIsAskedTwiceAtMost: the next one, too.
func TestEachOfAWayIsAskedTwiceAtMost(t *testing.T) {
	var f find
	var o outbox
	for id := range wire.ID(3) {
		if f.ask(1, id, 5, &o); !f.repeat(2, 5, &o) || f.repeat(3, 5, &o) {
			t.Errorf("%d is not asked twice", id)
		}
	}
}

// TestShortcutNeverPassesTheKey: the second successor is asked if the key is
// not before the first.
func TestShortcutNeverPassesTheKey(t *testing.T) {
	v := ringOf(5)
	for _, c := range []struct {
		key       wire.Pos
		shortcuts bool
		want      wire.ID
	}{{11, true, 11}, {12, true, 12}, {14, true, 12}, {14, false, 11}, {10, true, 10}, {5, true, 10}} {
		if got, ok := (route{true, c.shortcuts}).next(c.key, v); !ok || got != c.want {
			t.Errorf("key %d, shortcuts %v: %d, want %d", c.key, c.shortcuts, got, c.want)
		}
	}
}

// TestOwnRowGoesBeforeTheWord: it may say that what this peer said earlier
// counts for nothing.
func TestOwnRowGoesBeforeTheWord(t *testing.T) {
	w := within(t, 20, 30)
	w.walk(200*ms, nil)
	w.step(LinkDown{20})
	acts := w.step(LinkUp{20, 1})
	own := w.view.members[w.view.me].row()
	at := slices.IndexFunc(acts, func(a Action) bool {
		s, ok := a.(Send)
		_, settled := s.Msg.(wire.Settled)
		return ok && settled
	})
	if at < 1 {
		t.Fatalf("no word in %v", acts)
	}
	rows, ok := acts[at-1].(Send).Msg.(wire.Rows)
	if !ok || acts[at-1].(Send).To != 20 || !slices.Equal(rows.Rows, []wire.Row{own}) {
		t.Errorf("before the word goes %v, want the own row", acts[at-1])
	}
}

// TestWordIsOfWhatWasSpoken: of an incarnation that only waits for the disk
// nobody can know.
func TestWordIsOfWhatWasSpoken(t *testing.T) {
	w := within(t, 20, 30)
	w.step(DiskChanged{wire.Full})
	if w.own.asked == w.own.spoken {
		t.Fatal("nothing waits for the disk")
	}
	before := w.copies.accord.settled[20]
	if w.step(Received{20, wire.Settled{Incarnation: w.own.asked, From: 10}}); w.copies.accord.settled[20] != before {
		t.Error("a word of the next incarnation counts")
	}
}
