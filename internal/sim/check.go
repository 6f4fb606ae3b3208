package sim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// opLimit is how long an operation of a live peer may take: a lookup of eight
// silent peers, and the transfer of a small file that stalls once.
const opLimit = 2 * time.Minute

// invariant is a sentence that must hold, and how to find out.
type invariant struct {
	sentence string
	check    func(*World) error
}

// always holds at every moment, whatever the faults.
var always = []invariant{
	{"equal views give equal rings", (*World).checkRings},
	{"nobody outside the roster is in any view", (*World).checkRoster},
	{"every operation ends", (*World).checkOps},
}

// whenQuiet holds when faults have ended and some time has passed.
var whenQuiet = []invariant{
	{"all views are equal, and one ring is over all who run", (*World).Whole},
	{"a leave ends, or names who is away", (*World).checkLeaves},
	{"equal views give equal holders", (*World).checkHolders},
	{"every version is on all its home holders that run", (*World).checkPlaced},
	{"an acked file is readable, as are all others that are there", (*World).checkReadable},
}

// Check tries what must always hold and records what does not.
func (w *World) Check() {
	for _, i := range always {
		if err := i.check(w); err != nil {
			w.violate("%s: %w", i.sentence, err)
		}
	}
}

// CheckQuiet tries what must hold when it is quiet and records what does not.
// It lets time pass.
func (w *World) CheckQuiet() {
	for _, i := range whenQuiet {
		if err := i.check(w); err != nil {
			w.violate("%s: %w", i.sentence, err)
		}
	}
}

// running returns the hosts whose process runs.
func (w *World) running() []*Host {
	return slices.DeleteFunc(slices.Clone(w.hosts), func(h *Host) bool { return h.process == nil })
}

// members returns the running hosts that are not on their way out.
func (w *World) members() []*Host {
	return slices.DeleteFunc(w.running(), func(h *Host) bool { return h.process.leaving })
}

// checkRings compares the rings of peers that know the same and believe the
// same. A peer is in its own ring even if the others have judged it, so those
// are left out.
func (w *World) checkRings() error {
	type knows struct {
		roster   wire.Digest8
		view     wire.Digest
		believes string
	}
	first := make(map[knows]ring.Status)
	for _, h := range w.running() {
		s := h.Status()
		believes := ""
		for _, m := range s.Members {
			if m.Unreachable {
				believes += m.ID.String() + " "
			}
			if m.Unreachable && m.ID == h.ID {
				believes = "self " + h.ID.String()
				break
			}
		}
		k := knows{h.roster.Digest, s.View, believes}
		if o, ok := first[k]; ok && !slices.Equal(o.Ring, s.Ring) {
			return fmt.Errorf("%v has %v, %v has %v", o.Self, o.Ring, s.Self, s.Ring)
		}
		first[k] = s
	}
	return nil
}

func (w *World) checkRoster() error {
	for _, h := range w.running() {
		s := h.Status()
		for _, m := range s.Members {
			if !h.knows(m.ID) {
				return fmt.Errorf("%v in that of %v", m.ID, h.ID)
			}
		}
		for _, id := range s.Ring {
			if !h.knows(id) {
				return fmt.Errorf("%v in the ring of %v", id, h.ID)
			}
		}
	}
	return nil
}

func (w *World) checkOps() error {
	var errs []error
	w.open = slices.DeleteFunc(w.open, func(op *Op) bool {
		if op.Ended || op.Lost {
			return true
		}
		if op.process.paused || op.Kind == LeaveOp || span(w.now-max(op.Begun, op.process.resumed)) < opLimit {
			return false
		}
		errs = append(errs, fmt.Errorf("%v of %q by %v began at %v", op.Kind, op.Name, op.Host, span(op.Begun)))
		return true
	})
	return errors.Join(errs...)
}

// checkEnd looks at how one operation ended.
func (w *World) checkEnd(op *Op) {
	switch {
	case op.Result.Outcome == ring.Succeeded && (op.Kind == PutOp || op.Kind == RemoveOp):
		w.Count.Acked++
		w.checkAck(op)
	case op.Result.Outcome == ring.Succeeded && op.Kind == GetOp:
		w.Count.Fetched++
		if op.Manifest.Flags&wire.Tombstone != 0 || op.Manifest.Name != op.Name {
			w.violate("a get brings a version of the name: %v got %+v", op.Host, op.Manifest)
		}
	case op.Result.Outcome == ring.NotFound && op.Kind == GetOp:
		// With one copy there is no other home holder to ask: one that died
		// before it was given what is its own may come back and say no.
		if acked := w.ackedBefore(op); acked != nil && w.Config.Copies > 1 && op.process.reaches(acked) {
			w.violate("not found is never said of an acked file: %v of %q, acked by %v at %v",
				op.Host, op.Name, acked.Host, span(acked.At))
		}
	case op.Result.Outcome == ring.Taken:
		if !slices.ContainsFunc(w.ops, func(o *Op) bool {
			return o.Kind == PutOp && o.Name == op.Name && o.Host == op.Result.By && o.Host != op.Host
		}) {
			w.violate("taken is said only of a name that another has: %v of %q, by %v", op.Host, op.Name, op.Result.By)
		}
	}
}

// checkAck holds a put or remove to what success means: as many copies as
// wanted, each on a disk. A disk that was lost meanwhile is excused.
func (w *World) checkAck(op *Op) {
	r := op.Result
	host := w.byID[op.Host]
	if want := min(w.Config.Copies, len(host.roster.Members)); r.Wanted != want || len(r.Copies) < want {
		w.violate("success means all wanted copies: %v of %q by %v has %v, wanted %v, not %v",
			op.Kind, op.Name, op.Host, r.Copies, want, r.Wanted)
	}
	v := w.version(r.Manifest)
	for i, id := range r.Copies {
		h := w.byID[id]
		if slices.Contains(r.Copies[:i], id) || !h.Holds(v) && h.wiped < op.Begun && !h.lies.Forgets {
			w.violate("success means that every copy is on a disk: %v of %q by %v on %v", op.Kind, op.Name, op.Host, id)
		}
	}
}

// reaches says whether a peer has in its ring one of those who acked a put:
// itself only if it still has its disk. While all of them are away, and others
// have become home holders, nobody can know of the file.
func (p *process) reaches(acked *Op) bool {
	return slices.ContainsFunc(p.ring.Status().Ring, func(id wire.ID) bool {
		return slices.Contains(acked.Result.Copies, id) && (id != p.id || p.host.wiped < acked.Begun)
	})
}

// ackedBefore returns a put that had succeeded when op began, of a name that
// nobody has begun to remove before op ended.
func (w *World) ackedBefore(op *Op) *Op {
	var acked *Op
	for _, o := range w.ops {
		switch {
		case o.Name != op.Name:
		case o.Kind == RemoveOp && o.Begun <= op.At:
			return nil
		case o.Kind == PutOp && o.Ended && o.Result.Outcome == ring.Succeeded && o.At <= op.Begun:
			acked = o
		}
	}
	return acked
}

// Whole reports whether all that run are in one ring, in which they are
// active and all views are equal, and if not, why.
func (w *World) Whole() error {
	var ids []wire.ID
	running := w.members()
	for _, h := range running {
		ids = append(ids, h.ID)
	}
	for _, h := range running {
		s := h.Status()
		in := slices.Sorted(slices.Values(s.Ring))
		switch {
		case !slices.Equal(in, ids):
			return fmt.Errorf("%v has the ring %v, not %v", h.ID, in, ids)
		case s.View != running[0].Status().View:
			return fmt.Errorf("%v and %v have different views", h.ID, running[0].ID)
		case s.State != h.disk.state || s.Behind:
			return fmt.Errorf("%v is in state %v, behind %v", h.ID, s.State, s.Behind)
		}
	}
	return nil
}

// Settled reports whether the ring is whole and nothing moves.
func (w *World) Settled() error {
	if err := w.Whole(); err != nil {
		return err
	}
	for _, h := range w.running() {
		if n := h.Status().Moving; n > 0 {
			return fmt.Errorf("%v moves %v versions", h.ID, n)
		}
	}
	return w.checkPlaced()
}

// checkLeaves lets a leaver stay only while home holders of what it holds are
// away, and only if it has said so.
func (w *World) checkLeaves() error {
	for _, op := range w.ops {
		if op.Kind != LeaveOp || op.Lost || !op.process.leaving {
			continue
		}
		if op.Ended && op.Result.Outcome == ring.Succeeded {
			continue // it is saying so to the others, and ends
		}
		if op.Result.Outcome != ring.StillHolding || len(op.Result.Silent) == 0 {
			return fmt.Errorf("%v still runs: ended %v, outcome %v, silent %v",
				op.Host, op.Ended, op.Result.Outcome, op.Result.Silent)
		}
	}
	return nil
}

// checkHolders has everybody say who holds some names.
func (w *World) checkHolders() error {
	for _, name := range append(w.names(), "0000", "0100", "elsewhere") {
		var ops []*Op
		for _, h := range w.members() {
			ops = append(ops, w.Lookup(h.ID, name))
		}
		if !w.Await(ring.Succeeded, ops...) {
			return fmt.Errorf("a lookup of %q did not succeed", name)
		}
		for _, op := range ops {
			a, b := op.Result, ops[0].Result
			if a.Owner != b.Owner || !slices.Equal(a.Holders, b.Holders) {
				return fmt.Errorf("of %q: %v says %v of %v, %v says %v of %v", name,
					op.Host, a.Owner, a.Holders, ops[0].Host, b.Owner, b.Holders)
			}
		}
	}
	return nil
}

// names returns every name that was ever put, in order.
func (w *World) names() []string {
	var names []string
	for _, op := range w.ops {
		if op.Kind == PutOp && !slices.Contains(names, op.Name) {
			names = append(names, op.Name)
		}
	}
	slices.Sort(names)
	return names
}

// homes returns the home holders of a name, by the definition: the first
// Copies members at or after its key that were seen and are not leaving, gone or
// left. It believes the view of one peer that runs.
func (w *World) homes(name string) []wire.ID {
	running := w.members()
	if len(running) == 0 {
		return nil
	}
	members := slices.Clone(running[0].Status().Members)
	slices.SortFunc(members, func(a, b ring.MemberStatus) int { return cmp.Compare(a.Pos, b.Pos) })
	key := wire.KeyOf(w.Config.Space, name)
	start, _ := slices.BinarySearchFunc(members, key, func(m ring.MemberStatus, k wire.Pos) int {
		return cmp.Compare(m.Pos, k)
	})
	var homes []wire.ID
	for i := range members {
		m := members[(start+i)%len(members)]
		if m.Seen && m.State < wire.Leaving && !m.Gone && len(homes) < w.Config.Copies {
			homes = append(homes, m.ID)
		}
	}
	return homes
}

// live returns the newest version of each writer of a name on the disks of
// those that run, by writer.
func (w *World) live(name string) map[wire.ID]wire.Manifest {
	newest := make(map[wire.ID]wire.Manifest)
	for _, h := range w.running() {
		for _, m := range h.disk.newest(name) {
			if o, ok := newest[m.Writer]; !ok || m.Newer(o) {
				newest[m.Writer] = m
			}
		}
	}
	return newest
}

func (w *World) checkPlaced() error {
	for _, name := range w.names() {
		newest := w.live(name)
		for _, id := range w.homes(name) {
			h := w.byID[id]
			if h.process == nil || h.disk.state != wire.Active || h.lies != (Lies{}) {
				continue
			}
			for _, writer := range sortedKeys(newest) {
				if m := newest[writer]; !h.Holds(w.version(m)) {
					return fmt.Errorf("%v lacks version %v of %q by %v", id, m.Version, name, writer)
				}
			}
		}
	}
	return nil
}

// checkReadable has everybody get every name. What comes is the newest of the
// live versions on the disks of those that run; while a home holder is away a
// version may be with a stand-in of earlier that nobody asks, but none comes
// that is older than what was acked.
func (w *World) checkReadable() error {
	for _, name := range w.names() {
		newest := w.live(name)
		if err := w.checkKept(name, newest); err != nil {
			return err
		}
		want := highest(slices.Collect(maps.Values(newest)))
		least := want
		if slices.ContainsFunc(w.homes(name), func(id wire.ID) bool { return w.byID[id].process == nil }) {
			if w.Config.Copies == 1 {
				continue // the only holder may be away
			}
			least = highest(w.acked(name, newest))
		}
		for _, h := range w.members() {
			op := w.Get(h.ID, name)
			w.Await(ring.Succeeded, op)
			got := op.Manifest
			switch {
			case op.Result.Outcome != ring.Succeeded && op.Ended && least.Name == "":
			case op.Result.Outcome == ring.Succeeded && want.Name != "" && (got == least || least.Name == "" || got.Newer(least)):
			default:
				return fmt.Errorf("%v asks for %q: ended %v, outcome %v, version %v of %v, want at least version %v of %v",
					h.ID, name, op.Ended, op.Result.Outcome, got.Version, got.Writer, least.Version, least.Writer)
			}
		}
	}
	return nil
}

// highest returns the highest of some manifests that is no tombstone, if any.
func highest(ms []wire.Manifest) (high wire.Manifest) {
	for _, m := range ms {
		if m.Flags&wire.Tombstone == 0 && (high.Name == "" || m.Newer(high)) {
			high = m
		}
	}
	return high
}

// acked returns the versions of a name that were acked, are on a disk that
// runs, and are not followed by one of the same writer.
func (w *World) acked(name string, newest map[wire.ID]wire.Manifest) (ms []wire.Manifest) {
	for _, op := range w.ops {
		if op.Name == name && op.Kind == PutOp && op.Ended && op.Result.Outcome == ring.Succeeded &&
			newest[op.Result.Manifest.Writer] == op.Result.Manifest {
			ms = append(ms, op.Result.Manifest)
		}
	}
	return ms
}

// checkKept compares what is on the disks with what was acked, unless all
// whose copies were acked are away.
func (w *World) checkKept(name string, newest map[wire.ID]wire.Manifest) error {
	for _, op := range w.ops {
		if op.Name != name || op.Kind != PutOp && op.Kind != RemoveOp || op.Result.Outcome != ring.Succeeded || !op.Ended {
			continue
		}
		m := op.Result.Manifest
		kept, ok := newest[m.Writer]
		if ok && (kept.Sum() == m.Sum() || kept.Newer(m)) {
			continue
		}
		if slices.ContainsFunc(op.Result.Copies, func(id wire.ID) bool {
			h := w.byID[id]
			return h.process != nil && h.wiped <= op.Begun
		}) {
			return fmt.Errorf("version %v of %q by %v, acked by %v, is on no disk", m.Version, name, m.Writer, op.Result.Copies)
		}
	}
	return nil
}
