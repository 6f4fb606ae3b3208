package ring

import (
	"math/rand/v2"
	"testing"
	"time"

	"securepeer/wire"
)

// showing is a look in which every home holder shows these.
func showing(ms ...wire.Manifest) map[wire.ID][]wire.Manifest {
	return map[wire.ID][]wire.Manifest{20: ms, 30: ms, 40: ms}
}

// stored puts the next version and ends it well.
func (w *world) stored(t *testing.T, op Op, have map[wire.ID][]wire.Manifest) wire.Manifest {
	t.Helper()
	up := w.placed(t, op, have)
	m := w.sealAs(up)
	if r := first[Done](t, w.end(up, wire.CodeOK)).Result; r.Outcome != Succeeded {
		t.Fatalf("put %d: %+v", op, r)
	}
	return m
}

// TestPriorIsWhatTheSignerKnew: the newest version by the same writer that a
// holder shows, or has confirmed in this run; not what was begun and never
// confirmed.
func TestPriorIsWhatTheSignerKnew(t *testing.T) {
	of := func(writer wire.ID, version uint64, flags wire.Flags) wire.Manifest {
		return wire.Manifest{Name: "0015", Version: version, Writer: writer, Signer: writer, Flags: flags}
	}
	mine, gone := of(10, 3, 0), of(10, 3, wire.Tombstone)
	for _, c := range []struct {
		name   string
		before func(t *testing.T, w *world) (prior wire.Manifest) // no name: the one shown
		shown  []wire.Manifest
		prior  wire.Manifest
	}{
		{"nothing there", nil, nil, wire.Manifest{}},
		{"mine", nil, []wire.Manifest{mine}, mine},
		{"mine, removed", nil, []wire.Manifest{gone}, gone},
		{"mine, one holder older than the other", nil, []wire.Manifest{of(10, 2, 0), mine}, mine},
		{"another's, removed", nil, []wire.Manifest{of(30, 5, wire.Tombstone)}, wire.Manifest{}},
		{"mine, and a newer one of another", nil, []wire.Manifest{mine, of(30, 5, 0)}, mine},
		{"one beside it, not confirmed", func(t *testing.T, w *world) wire.Manifest {
			w.sealAs(w.placed(t, 1, showing(mine)))
			return wire.Manifest{}
		}, []wire.Manifest{mine}, mine},
		{"one beside it, confirmed since the holders were asked", func(t *testing.T, w *world) wire.Manifest {
			w.placed(t, 2, showing(mine)) // keeps the name open
			return w.stored(t, 1, showing(mine))
		}, []wire.Manifest{mine}, wire.Manifest{}},
		{"an interrupted one", func(t *testing.T, w *world) wire.Manifest {
			w.sealAs(w.placed(t, 1, showing(mine)))
			w.step(Cancel{Op: 1})
			return wire.Manifest{}
		}, []wire.Manifest{mine}, mine},
		{"an interrupted one that is on a disk", func(t *testing.T, w *world) wire.Manifest {
			w.sealAs(w.placed(t, 1, showing(mine)))
			w.step(Cancel{Op: 1})
			return wire.Manifest{}
		}, []wire.Manifest{mine, of(10, 4, 0)}, of(10, 4, 0)},
		{"one that a stand-in alone has confirmed, and does not show", func(t *testing.T, w *world) wire.Manifest {
			up := w.placed(t, 1, showing(mine))
			m := w.sealAs(up)
			acts := w.step(Uploaded{Op: 1, Peer: 20, Kept: true, Code: wire.CodeNotOwner})
			acts = append(acts, w.end(Upload{Op: 1, To: []wire.ID{30, 40}}, wire.CodeBusy)...)
			for to, o := range offersOf(acts) {
				code := wire.CodeFull
				if to == 50 {
					code = wire.CodeOK
				}
				w.step(Received{to, wire.Confirmed{Req: o.Req, Code: code}})
			}
			w.pass(30 * time.Second)
			w.keepAlive(0, 20, 30, 40, 50)
			return m
		}, []wire.Manifest{mine}, wire.Manifest{}},
	} {
		w := within(t, 20, 30, 40, 50)
		want := c.prior
		if c.before != nil {
			if m := c.before(t, w); m.Name != "" {
				want = m
			}
		}
		sum := wire.Sum{}
		if want.Name != "" {
			sum = want.Sum()
		}
		if up := w.placed(t, 9, showing(c.shown...)); up.Prior != sum {
			t.Errorf("%s: version %d replaces %x, want %x", c.name, up.Version, up.Prior, sum)
		}
	}
}

// TestPriorOfATombstone: what it removes, of this peer or, by a steward, of
// another.
func TestPriorOfATombstone(t *testing.T) {
	for _, writer := range []wire.ID{10, 30} {
		w := within(t, 20, 30, 40)
		removed := wire.Manifest{Name: "0015", Version: 3, Writer: writer, Signer: writer, Size: 1}
		beside := wire.Manifest{Name: "0015", Version: 2, Writer: 40 - writer, Signer: 40 - writer, Flags: wire.Tombstone}
		acts := w.answerLooks(w.step(Remove{Op: 1, Name: "0015", Made: -5, Steward: true}), showing(beside, removed))
		_, o := firstOffer(t, acts)
		if m := o.Manifest; m.Prior != removed.Sum() || m.Made != -5 || m.Writer != writer {
			t.Errorf("of %d: %+v, want it to replace %x", writer, m, removed.Sum())
		}
	}
	// The confirmed version of this peer is none of another writer.
	w := within(t, 20, 30, 40)
	theirs := wire.Manifest{Name: "0015", Version: 1, Writer: 30, Signer: 30, Size: 1}
	w.placed(t, 1, nil) // keeps the name open
	w.stored(t, 2, nil)
	_, o := firstOffer(t, w.answerLooks(w.step(Remove{Op: 3, Name: "0015", Steward: true}), showing(theirs)))
	if o.Manifest.Writer != 30 || o.Manifest.Prior != theirs.Sum() {
		t.Errorf("%+v, want it to replace %x", o.Manifest, theirs.Sum())
	}
}

// TestPriorsAreAChain: puts and removes begin, end and are interrupted in any
// order. Each replaces nothing, or a version of a lower number that was signed.
func TestPriorsAreAChain(t *testing.T) {
	chained := 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		w := within(t, 20, 30, 40)
		signed := map[wire.Sum]uint64{}
		var shown []wire.Manifest
		follows := func(op Op, version uint64, prior wire.Sum) {
			switch was, ok := signed[prior]; {
			case prior == wire.Sum{} && len(shown) == 0:
			case !ok || was >= version:
				t.Fatalf("seed %d: version %d of %d replaces %x, version %d, %v", seed, version, op, prior, was, ok)
			default:
				chained++
			}
		}
		open := []Upload{}
		for op := Op(1); op < 40; op++ {
			if r.IntN(4) == 0 {
				acts := w.answerLooks(w.step(Remove{Op: op, Name: "0015"}), showing(shown...))
				if offers := offersOf(acts); len(offers) > 0 {
					_, o := firstOffer(t, acts)
					follows(op, o.Manifest.Version, o.Manifest.Prior)
					signed[o.Manifest.Sum()] = o.Manifest.Version
					if r.IntN(2) == 0 {
						shown = append(shown, o.Manifest)
					}
					w.step(Cancel{Op: op})
				}
				continue
			}
			up := w.placed(t, op, showing(shown...))
			follows(op, up.Version, up.Prior)
			open = append(open, up)
			for len(open) > 0 && r.IntN(3) > 0 {
				i := r.IntN(len(open))
				up := open[i]
				open = append(open[:i], open[i+1:]...)
				m := w.sealAs(up)
				signed[m.Sum()] = m.Version
				if r.IntN(3) == 0 {
					w.step(Cancel{Op: up.Op})
				} else {
					w.end(up, wire.CodeOK)
					shown = append(shown, m)
				}
			}
		}
	}
	if chained < 1000 {
		t.Errorf("%d versions replace one", chained)
	}
}
