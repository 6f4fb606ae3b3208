package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// looked answers every Look and Answer among acts with the given manifests,
// and returns what came of the last one.
func (w *world) answerLooks(acts []Action, manifests map[wire.ID][]wire.Manifest) (out []Action) {
	for _, a := range acts {
		switch a := a.(type) {
		case Send:
			if m, ok := a.Msg.(wire.Look); ok {
				out = append(out, w.step(Received{a.To, wire.Found{Req: m.Req, Home: true, Manifests: manifests[a.To]}})...)
			}
		case Answer:
			out = append(out, w.step(Received{10, wire.Found{Req: a.Req, Home: a.Home, Code: a.Code, Manifests: manifests[10]}})...)
		}
	}
	return out
}

// first returns the first action of a type, or fails.
func first[A Action](t *testing.T, acts []Action) A {
	t.Helper()
	for _, a := range acts {
		if a, ok := a.(A); ok {
			return a
		}
	}
	var none A
	t.Fatalf("no %T among %v", none, acts)
	return none
}

// offer returns the first Offer sent among acts, and to whom.
func firstOffer(t *testing.T, acts []Action) (wire.ID, wire.Offer) {
	t.Helper()
	for _, a := range acts {
		if s, ok := a.(Send); ok {
			if o, ok := s.Msg.(wire.Offer); ok {
				return s.To, o
			}
		}
	}
	t.Fatalf("nothing offered among %v", acts)
	return 0, wire.Offer{}
}

// uploading brings a put of key 15 to where its bytes have been streamed to
// 20, 30 and 40.
func uploading(t *testing.T) *world {
	t.Helper()
	w := within(t, 20, 30, 40, 50)
	up := first[Upload](t, w.answerLooks(w.step(Put{Op: 1, Name: "0015"}), nil))
	if want := []wire.ID{20, 30, 40}; !slices.Equal(up.To, want) || !slices.Equal(up.Holders, want) || up.Version != 1 {
		t.Fatalf("upload %+v, want version 1 to %v", up, want)
	}
	w.step(Sealed{1, wire.Manifest{Name: "0015", Version: 1, Writer: 10}})
	w.step(Uploaded{Op: 1, Peer: 20})
	w.step(Uploaded{Op: 1, Peer: 30})
	return w
}

// TestLostHolderIsStoodInFor: whatever keeps a target from taking the bytes,
// the next peer is given them by one that has them, although nobody has judged
// the target yet, and the put has all its copies.
func TestLostHolderIsStoodInFor(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeBusy, wire.CodeFull, wire.CodeStuck, wire.CodeNotInRing} {
		w := uploading(t)
		to, o := firstOffer(t, w.step(Uploaded{Op: 1, Peer: 40, Code: code}))
		if to != 50 || o.Source != 20 {
			t.Errorf("code %v: offered to %v from %v, want to 50 from 20", code, to, o.Source)
		}
		done := first[Done](t, w.step(Received{50, wire.Confirmed{Req: o.Req}})).Result
		if want := []wire.ID{20, 30, 50}; done.Outcome != Succeeded || !slices.Equal(done.Copies, want) {
			t.Errorf("code %v: %+v, want copies %v", code, done, want)
		}
	}
}

// TestNobodyLeftToStandIn: fewer copies than wanted is stored, and said.
func TestNobodyLeftToStandIn(t *testing.T) {
	w := uploading(t)
	_, o := firstOffer(t, w.step(Uploaded{Op: 1, Peer: 40, Code: wire.CodeBusy}))
	pull := first[Pull](t, w.step(Received{50, wire.Confirmed{Req: o.Req, Code: wire.CodeFull}}))
	if pull.From != 20 { // this peer itself is the last that could
		t.Errorf("pulled from %v, want 20", pull.From)
	}
	x := Version{Key: 15, Sum: pull.Manifest.Sum()}
	done := first[Done](t, w.step(Pulled{Version: x, Code: wire.CodeFull})).Result
	if want := []wire.ID{20, 30}; done.Outcome != Degraded || !slices.Equal(done.Copies, want) || done.Wanted != 3 ||
		!slices.Equal(done.Silent, []wire.ID{40}) {
		t.Errorf("%+v, want copies %v of 3, and 40 silent", done, want)
	}
}

// TestNotOwnerIsGivenToTheRightOnes: a target that knows better keeps the
// bytes and says so; with its rows the right holders are found.
func TestNotOwnerIsGivenToTheRightOnes(t *testing.T) {
	w := uploading(t)
	w.step(Received{40, wire.Rows{Rows: []wire.Row{row(30, 5, wire.Left)}}})
	to, o := firstOffer(t, w.step(Uploaded{Op: 1, Peer: 40, Code: wire.CodeNotOwner, Kept: true}))
	if to != 40 { // 20, 40, 50 are home now
		t.Errorf("offered to %v first, want 40", to)
	}
	w.step(Received{40, wire.Confirmed{Req: o.Req}})
	done := first[Done](t, w.step(Received{50, wire.Confirmed{Req: o.Req + 1}})).Result
	if want := []wire.ID{20, 40, 50}; done.Outcome != Succeeded || !slices.Equal(done.Copies, want) {
		t.Errorf("%+v, want copies %v", done, want)
	}
}

// TestPutOfAnothersName is the table of design.md, section 8, for names that
// exist.
func TestPutOfAnothersName(t *testing.T) {
	alive := func(writer wire.ID, version uint64) wire.Manifest {
		return wire.Manifest{Name: "0015", Version: version, Writer: writer, Signer: writer}
	}
	buried := func(writer wire.ID, version uint64) wire.Manifest {
		m := alive(writer, version)
		m.Flags = wire.Tombstone
		return m
	}
	for _, c := range []struct {
		name    string
		found   []wire.Manifest
		outcome Outcome
		version uint64 // of the upload; 0: refused
		prior   bool
	}{
		{"nothing there", nil, 0, 1, false},
		{"mine", []wire.Manifest{alive(10, 3)}, 0, 4, true},
		{"another's", []wire.Manifest{alive(30, 3)}, Taken, 0, false},
		{"another's, removed", []wire.Manifest{buried(30, 3)}, 0, 4, false},
		{"another's old one, removed since", []wire.Manifest{alive(30, 3), buried(30, 4)}, 0, 5, false},
		{"mine and, from a cut, another's", []wire.Manifest{alive(10, 2), alive(30, 3)}, 0, 4, false},
		{"mine, removed", []wire.Manifest{buried(10, 3)}, 0, 4, false},
		{"another's last version, removed", []wire.Manifest{buried(30, wire.MaxVersion)}, 0, 1, false},
		{"mine, and another's at the last version", []wire.Manifest{alive(10, 2), alive(30, wire.MaxVersion)}, 0, 3, true},
		{"mine, and another's as far ahead as counts", []wire.Manifest{alive(10, 2), alive(30, leap+1)}, 0, leap + 2, false},
		{"mine, and another's farther ahead", []wire.Manifest{alive(10, 2), alive(30, leap+2)}, 0, 3, true},
		{"mine, the last version", []wire.Manifest{alive(10, wire.MaxVersion)}, 0, wire.MaxVersion, false},
	} {
		w := within(t, 20, 30, 40)
		acts := w.answerLooks(w.step(Put{Op: 1, Name: "0015"}), map[wire.ID][]wire.Manifest{20: c.found})
		if c.version == 0 {
			if got := first[Done](t, acts).Result; got.Outcome != c.outcome || got.By != 30 {
				t.Errorf("%s: %+v, want %v by 30", c.name, got, c.outcome)
			}
			continue
		}
		up := first[Upload](t, acts)
		if up.Version != c.version || (up.Same != nil) != c.prior {
			t.Errorf("%s: version %d, prior %v, want %d, %v", c.name, up.Version, up.Same, c.version, c.prior)
		}
	}
}

// TestRemove: one's own name; a steward any; else it is refused.
func TestRemove(t *testing.T) {
	theirs := wire.Manifest{Name: "0015", Version: 3, Writer: 30, Signer: 30, Size: 1}
	for _, steward := range []bool{false, true} {
		w := within(t, 20, 30, 40)
		acts := w.answerLooks(w.step(Remove{Op: 1, Name: "0015", Made: 5, Steward: steward}), map[wire.ID][]wire.Manifest{20: {theirs}})
		if !steward {
			if got := first[Done](t, acts).Result; got.Outcome != Taken || got.By != 30 {
				t.Errorf("%+v, want taken by 30", got)
			}
			continue
		}
		_, o := firstOffer(t, acts)
		m := o.Manifest
		if m.Writer != 30 || m.Signer != 10 || m.Version != 4 || m.Flags != wire.Tombstone || m.Mtime != 5 ||
			m.Sig != stub(m.SignedBytes("test", nil)) {
			t.Errorf("tombstone %+v", m)
		}
	}
	w := within(t, 20, 30, 40)
	if got := first[Done](t, w.answerLooks(w.step(Remove{Op: 1, Name: "0015"}), nil)).Result; got.Outcome != NotFound {
		t.Errorf("%+v, want not found", got)
	}
}

// TestVersionIsThatOfAHomeHolder: a stand-in that answers first may lack the
// newest version; the number is decided when a home holder has answered.
func TestVersionIsThatOfAHomeHolder(t *testing.T) {
	w := within(t, 20, 30, 40, 50)
	w.step(Received{20, wire.Rows{Rows: []wire.Row{row(20, 9, wire.Full)}}}) // 50 stands in
	looks := map[wire.ID]uint32{}
	for _, a := range w.step(Put{Op: 1, Name: "0015"}) {
		if s, ok := a.(Send); ok {
			if m, ok := s.Msg.(wire.Look); ok {
				looks[s.To] = m.Req
			}
		}
	}
	w.step(Received{50, wire.Found{Req: looks[50]}})
	for _, a := range w.keepAlive(time.Second, 20, 30, 40, 50) {
		if _, ok := a.(Upload); ok {
			t.Fatal("the version is decided by what a stand-in knows")
		}
	}
	mine := wire.Manifest{Name: "0015", Version: 5, Writer: 10, Signer: 10}
	up := first[Upload](t, w.step(Received{30, wire.Found{Req: looks[30], Home: true, Manifests: []wire.Manifest{mine}}}))
	if want := 6 + blindLeap + uint64(w.own.spoken); up.Version != want { // 20 and 40 have not answered
		t.Errorf("version %v, want %v", up.Version, want)
	}
}

// TestBlindPutIsAbove: a put that can't ask all who may have an earlier version,
// as they are silent or gone, takes a number above theirs: when they come back
// the newer bytes stay the newer ones.
func TestBlindPutIsAbove(t *testing.T) {
	for name, lose := range map[string]func(w *world){
		"silent":  func(w *world) { w.view.silence(30, false) },
		"stopped": func(w *world) { w.step(Received{20, wire.Rows{Rows: []wire.Row{row(30, 2, wire.Stopped)}}}) },
		"gone": func(w *world) {
			w.step(Received{20, wire.Rows{Votes: []wire.Vote{vote(20, 30, 1, wire.Gone, 1), vote(40, 30, 1, wire.Gone, 1)}}})
		},
		"nobody": func(*world) {},
	} {
		w := within(t, 20, 30, 40)
		lose(w)
		up := first[Upload](t, w.answerLooks(w.step(Put{Op: 1, Name: "0015"}), nil))
		if want := map[string]uint64{"nobody": 1}[name]; want != 0 && up.Version != want || want == 0 && up.Version <= blindLeap {
			t.Errorf("%s: version %d", name, up.Version)
		}
	}
}

// TestNameIsTakenByMoreThanAWord: a member that says of every name that it has
// a version of its own takes none, if a holder says that there is nothing.
func TestNameIsTakenByMoreThanAWord(t *testing.T) {
	claim := wire.Manifest{Name: "0015", Version: 7, Writer: 30, Signer: 30, Size: 1, Blocks: wire.Sum{1}}
	for name, c := range map[string]struct {
		found map[wire.ID][]wire.Manifest
		taken bool
	}{
		"its word alone":         {map[wire.ID][]wire.Manifest{30: {claim}}, false},
		"another has it as well": {map[wire.ID][]wire.Manifest{30: {claim}, 40: {claim}}, true},
		"another, and it denies": {map[wire.ID][]wire.Manifest{20: {claim}}, true},
	} {
		w := within(t, 20, 30, 40)
		acts := w.answerLooks(w.step(Put{Op: 1, Name: "0015"}), c.found)
		if got := has[Done](acts); got != c.taken {
			t.Errorf("%s: refused %v, want %v", name, got, c.taken)
		}
	}
	w := within(t, 30) // with nobody else to ask, its word must do
	if acts := w.answerLooks(w.step(Put{Op: 1, Name: "0015"}), map[wire.ID][]wire.Manifest{30: {claim}}); has[Upload](acts) != true {
		t.Error("this peer, a home holder that has nothing, does not count")
	}
}
