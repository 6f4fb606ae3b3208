package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// spaced returns n ids, a few apart.
func spaced(n int) (ids []wire.ID) {
	for i := range n {
		ids = append(ids, wire.ID(i*256/n+1))
	}
	return ids
}

// nearest returns the first n peers at or after the key of a name that are in
// their own ring. The reachable home holders and the stand-ins are among them.
func (w *World) nearest(name string, n int) (ids []wire.ID) {
	in := slices.DeleteFunc(w.running(), func(h *Host) bool { return !h.process.ring.InRing() })
	key := wire.KeyOf(w.Config.Space, name)
	start := slices.IndexFunc(in, func(h *Host) bool { return wire.Pos(h.ID) >= key })
	for i := range min(n, len(in)) {
		ids = append(ids, in[(max(start, 0)+i)%len(in)].ID)
	}
	return ids
}

// A quiet ring: each lookup ends at the owner, whom the asker asks first and
// alone, and the owner itself asks nobody.
func TestQuietLookupsTakeOneHop(t *testing.T) {
	w := world(t, plain(1, spaced(40)...))
	g := rand.New(rand.NewPCG(1, 0))
	for range 200 {
		name := fmt.Sprintf("%04d", g.IntN(256))
		host := w.hosts[g.IntN(len(w.hosts))].ID
		op := w.Lookup(host, name)
		await(t, w, ring.Succeeded, op)
		r, want := op.Result, w.nearest(name, 3)
		if r.Owner != want[0] || !slices.Equal(r.Holders, want) {
			t.Errorf("%v: owner %v, holders %v, want %v", name, r.Owner, r.Holders, want)
		}
		hops := 1
		if host == want[0] {
			hops = 0
		}
		if len(r.Path) != hops || r.At != want[0] || len(r.Silent) > 0 {
			t.Errorf("%v at %v: by %v at %v, silent %v, want %v hops", name, host, r.Path, r.At, r.Silent, hops)
		}
	}
}

// The owner has died a moment ago, with a word of its kernel or without, and
// nobody has judged it: the next holder answers, before any verdict.
func TestLookupWhileTheOwnerIsDying(t *testing.T) {
	for seed := range uint64(20) {
		w := world(t, plain(seed, spaced(20)...))
		name := "0100"
		near := w.nearest(name, 4)
		if seed%2 == 0 {
			w.Kill(near[0])
		} else {
			w.Crash(near[0])
		}
		w.Run(time.Duration(seed) * time.Millisecond)
		for _, h := range w.running() {
			op := w.Lookup(h.ID, name)
			await(t, w, ring.Succeeded, op)
			if r := op.Result; !slices.Contains(near[1:3], r.At) || len(r.Path) > 1 {
				t.Errorf("seed %v: by %v at %v, want one hop to one of %v", seed, r.Path, r.At, near[1:3])
			}
			if took := span(op.At - op.Begun); took > 300*time.Millisecond {
				t.Errorf("seed %v: took %v", seed, took)
			}
		}
	}
}

// Half of all peers die at once: from the first moment on a lookup ends within
// its budget, at a live holder or with an explicit error, and at a live holder
// whenever one of the three home holders is left.
func TestLookupsWhileHalfIsDead(t *testing.T) {
	right := 0
	for seed := range uint64(3) {
		w := world(t, plain(seed, spaced(40)...))
		g := rand.New(rand.NewPCG(seed, 1))
		homes := make(map[string][]wire.ID)
		for range 40 {
			name := fmt.Sprintf("%04d", g.IntN(256))
			homes[name] = w.nearest(name, 3)
		}
		for _, i := range g.Perm(40)[:20] {
			if i%2 == 0 {
				w.Kill(w.hosts[i].ID)
			} else {
				w.Crash(w.hosts[i].ID)
			}
		}
		for round := range 6 {
			var ops []*Op
			for _, name := range sortedNames(homes) {
				running := w.running()
				ops = append(ops, w.Lookup(running[g.IntN(len(running))].ID, name))
			}
			w.Await(ring.Succeeded, ops...)
			for _, op := range ops {
				r := op.Result
				lives := slices.ContainsFunc(homes[op.Name], func(id wire.ID) bool { return w.Host(id).Runs() })
				switch {
				case !op.Ended || span(op.At-op.Begun) > 6*time.Second:
					t.Errorf("seed %v: %v of %v ended %v after %v", seed, op.Name, op.Host, op.Ended, span(op.At-op.Begun))
				case r.Outcome == ring.Succeeded:
					right++
					if !slices.Contains(w.nearest(op.Name, 3), r.At) || len(r.Path) > 8 {
						t.Errorf("seed %v: %v at %v by %v, want one of %v", seed, op.Name, r.At, r.Path, w.nearest(op.Name, 3))
					}
				case lives || round == 5:
					t.Errorf("seed %v, round %v: %v of %v: outcome %v, silent %v, though one of %v is left",
						seed, round, op.Name, op.Host, r.Outcome, r.Silent, homes[op.Name])
				case r.Outcome != ring.Unavailable || len(r.Silent) == 0:
					t.Errorf("seed %v: %v of %v: outcome %v, silent %v", seed, op.Name, op.Host, r.Outcome, r.Silent)
				}
			}
			w.Run(2 * time.Second)
		}
	}
	if right < 3*6*30 {
		t.Errorf("only %v lookups were right", right)
	}
}

func sortedNames[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// While peers come and go a lookup is never wrong, and hardly ever takes more
// than one hop.
func TestLookupsWhilePeersComeAndGo(t *testing.T) {
	ids := spaced(60)
	w := world(t, plain(4, ids...), ids[:40]...)
	g := rand.New(rand.NewPCG(4, 1))
	lookups, asked, hops := 0, 0, 0
	for round := range 40 {
		if round%2 == 0 {
			w.Start(ids[40+round/2])
		} else {
			w.Leave(ids[round])
		}
		for range 40 {
			running := w.members()
			h := running[g.IntN(len(running))]
			name := fmt.Sprintf("%04d", g.IntN(256))
			if !h.process.ring.InRing() {
				continue
			}
			before := w.nearest(name, 3)
			op := w.Lookup(h.ID, name)
			await(t, w, ring.Succeeded, op)
			after := w.nearest(name, 3)
			if !slices.Contains(before, op.Result.At) && !slices.Contains(after, op.Result.At) {
				t.Errorf("%v at %v by %v, want one of %v or %v", name, op.Result.At, op.Result.Path, before, after)
			}
			lookups++
			if len(op.Result.Path) > 0 {
				asked++
				hops += len(op.Result.Path)
			}
			w.Run(10 * time.Millisecond)
		}
	}
	mean := float64(hops) / float64(asked)
	t.Logf("%v lookups, %v of them by asking, %.4f hops each", lookups, asked, mean)
	if lookups < 1000 || mean > 1.05 {
		t.Errorf("%v lookups of %.4f hops, want 1000 of at most 1.05", lookups, mean)
	}
}

// A peer that was cut off while three joined before a key asks before it has
// heard of them: it is led to them, and does not take the word of those that
// were the holders before.
func TestStaleAskerIsLedOn(t *testing.T) {
	found := 0
	for seed := range uint64(10) {
		w := world(t, plain(seed, 2, 4, 5, 8, 9, 14, 19, 30, 40, 50, 10, 11, 12), 2, 4, 5, 8, 9, 14, 19, 30, 40, 50)
		alone := func(cut bool) {
			for _, h := range w.Hosts() {
				if h.ID != 5 {
					w.Cut(h.ID, 5, cut)
					w.Cut(5, h.ID, cut)
				}
			}
		}
		alone(true)
		for _, id := range []wire.ID{12, 11, 10} {
			w.Start(id, 4)
		}
		w.Run(300 * time.Millisecond)
		put := w.Put(4, "0010", 1, 1000)
		await(t, w, ring.Succeeded, put)
		alone(false)
		look, get := w.Lookup(5, "0010"), w.Get(5, "0010")
		await(t, w, ring.Succeeded, look, get)
		if r := look.Result; r.Owner != 10 || !slices.Contains([]wire.ID{10, 11, 12}, r.At) {
			t.Errorf("seed %v: owner %v, at %v by %v", seed, r.Owner, r.At, r.Path)
		}
		if len(look.Result.Path) > 1 {
			found++
		}
		if get.Manifest != put.Manifest {
			t.Errorf("seed %v: got %+v", seed, get.Manifest)
		}
	}
	if found == 0 {
		t.Error("nobody was stale")
	}
}

// One liar that sends whoever asks to itself, to another or round in circles:
// the others' lookups end at true holders all the same.
func TestLiarSendsNobodyAstray(t *testing.T) {
	for _, next := range []wire.ID{9, 14, 2} {
		w := world(t, plain(uint64(next)))
		w.SetLies(9, Lies{Detours: true, Next: next})
		for key := range 20 {
			name := fmt.Sprintf("%04d", key)
			for _, h := range w.members() {
				op := w.Lookup(h.ID, name)
				await(t, w, ring.Succeeded, op)
				if r := op.Result; !slices.Contains(w.nearest(name, 3), r.At) || r.At == 9 && h.ID != 9 {
					t.Errorf("%v asks for %v: at %v by %v", h.ID, name, r.At, r.Path)
				}
			}
		}
	}
}

// A holder that has fallen silent costs a get nothing while two others answer,
// and half a second when one other does.
func TestSilentHolderCostsAGetNoTime(t *testing.T) {
	for _, copies := range []int{3, 2} {
		c := plain(uint64(copies), spaced(20)...)
		c.Copies = copies
		w := world(t, c)
		put := w.Put(1, "0100", 1, 1000)
		await(t, w, ring.Succeeded, put)
		w.Crash(put.Result.Copies[0])
		for _, h := range w.running() {
			if slices.Contains(put.Result.Copies, h.ID) {
				continue
			}
			get := w.Get(h.ID, "0100")
			await(t, w, ring.Succeeded, get)
			limit := 100 * time.Millisecond
			if copies == 2 {
				limit += 500 * time.Millisecond
			}
			if took := span(get.At - get.Begun); took > limit {
				t.Errorf("%v copies: %v took %v, want at most %v", copies, h.ID, took, limit)
			}
		}
	}
}

// Walking, a lookup goes from successor to successor and ends at the owner.
func TestWalkedLookup(t *testing.T) {
	w := classicRing(t, 1)
	look := w.Lookup(2, "2067") // key 19
	await(t, w, ring.Succeeded, look)
	if r := look.Result; !slices.Equal(r.Path, []wire.ID{4, 5, 8, 9, 14, 19}) || r.Owner != 19 || r.At != 19 {
		t.Errorf("%+v, want the way round to 19", r)
	}
}
