package ring

import (
	"slices"

	"securepeer/wire"
)

// maxUnsure is how many names are remembered whose last number may be on a
// disk that the next put of the name does not ask.
const maxUnsure = 4096

// numbers are the version numbers that this run has given to this peer's own
// puts and removes: none is given twice, whatever became of the first, but for
// MaxVersion, behind which there is none. A number
// is reserved from when it is given out; what the disks show of it comes later,
// or never, if the put fails or is interrupted in between.
//
// A name is known while a put of it is open, and afterwards if the look of
// another put may miss the number: then for the whole run, but for what is over
// maxUnsure, of which the highest number stands for all.
type numbers struct {
	names  map[wire.Pos]*numbered // by 64 bits of a hash of the name: two of one hash share, which wastes numbers
	unsure []wire.Pos             // of names that have no put open, oldest first
	floor  uint64                 // the highest number of a name that was forgotten
}

// numbered is what was given out of one name.
type numbered struct {
	hash  wire.Pos
	open  int           // puts and removes under way
	last  uint64        // the highest number given out
	sure  uint64        // the highest that every later look finds, or leaps above
	acked wire.Manifest // the newest that is confirmed
}

// begin opens the numbers of a name for one put.
func (n *numbers) begin(name string) *numbered {
	hash := wire.KeyOf(wire.Space64, name)
	g := n.names[hash]
	if g == nil {
		g = &numbered{hash: hash, last: n.floor}
		n.names[hash] = g
	}
	g.open++
	if i := slices.Index(n.unsure, hash); i >= 0 {
		n.unsure = slices.Delete(n.unsure, i, i+1)
	}
	return g
}

// end closes them for that put.
func (n *numbers) end(g *numbered) {
	if g.open--; g.open > 0 {
		return
	}
	if g.last <= max(g.sure, n.floor) {
		delete(n.names, g.hash)
		return
	}
	n.unsure = append(n.unsure, g.hash)
	if len(n.unsure) > maxUnsure {
		old := n.unsure[0]
		n.unsure = slices.Delete(n.unsure, 0, 1)
		n.floor = max(n.floor, n.names[old].last)
		delete(n.names, old)
	}
}

// next returns the lowest number from least on that was not given out, or
// MaxVersion if there is none.
func (g *numbered) next(least uint64) uint64 { return min(max(least, g.last+1), wire.MaxVersion) }

// confirmed notes that a version is on disks, and returns a newer one of which that
// was noted before. If it is safe, on the disk of this peer as a home holder or on
// those of two others, of which one may lie, then no later look takes its
// number: it finds the version, or is blind and leaps above it; but not if there is
// a leap in it already, as of that the later look may know nothing.
func (g *numbered) confirmed(m wire.Manifest, safe bool) (newer wire.Manifest) {
	if safe && m.Version <= blindLeap {
		g.sure = max(g.sure, m.Version)
	}
	if g.acked.Newer(m) {
		return g.acked
	}
	g.acked = m
	return newer
}
