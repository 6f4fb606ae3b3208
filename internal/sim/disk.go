package sim

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// disk is what a peer's folder holds, as its kernel shows it. Every change
// goes the way of the store: a new file is written and synced, renamed to its
// name, and the folder synced; only then anybody is told. A crash finds each
// change somewhere on that way, and leaves what [disk.crash] says. So what is
// read after a start is whole or absent, as the store would give it.
type disk struct {
	store       wire.StoreID
	incarnation wire.Incarnation
	rows        []wire.Row
	files       map[ring.Version]file
	state       wire.State // Active; Full or Stuck: takes no more bytes
	fails       bool       // every sync fails
	unread      float64    // the chance that a read fails
	failed      bool       // a sync has, since the machine was started
	writes      []*write   // on their way, oldest first
}

// file is one version: its manifest, and the hash that its bytes have.
type file struct {
	manifest wire.Manifest
	blocks   wire.Sum // other than the manifest's: rotten
	durable  bool     // its name is synced: a power cut leaves it
}

// write is one change on its way.
type write struct {
	renamed ring.Time          // when it shows under its name; before, a start removes it
	change  func(durable bool) // what the name then shows
}

func (d *disk) wipe(id wire.StoreID) {
	*d = disk{store: id, files: make(map[ring.Version]file), state: wire.Active}
}

// boot is what a start of the process makes of the disk: a failed sync is
// forgotten with the machine that saw it, and not with the run (R3).
func (d *disk) boot() {
	switch {
	case d.failed:
		d.state = wire.Stuck
	case d.state == wire.Stuck:
		d.state = wire.Active
	}
}

// crash is the end of a process, and with it of the power if dark. What has no
// name yet is gone. What has one stays with the kernel; but without power any
// subset of the names that were not synced is gone too. It returns how many
// changes it caught.
func (d *disk) crash(w *World, dark bool) int {
	caught := len(d.writes)
	for _, x := range d.writes {
		if w.now >= x.renamed && (!dark || w.chance(0.5)) {
			x.change(dark)
		}
	}
	d.writes = nil
	if !dark {
		return caught
	}
	d.failed = false
	for _, v := range d.versions() {
		f := d.files[v]
		switch {
		case f.durable:
			continue
		case w.chance(0.5):
			f.durable = true
			d.files[v] = f
		default:
			delete(d.files, v)
		}
		caught++
	}
	return caught
}

// versions returns those on the disk, in order.
func (d *disk) versions() []ring.Version {
	versions := make([]ring.Version, 0, len(d.files))
	for v := range d.files {
		versions = append(versions, v)
	}
	slices.SortFunc(versions, compareVersions)
	return versions
}

// newest returns the newest version of each writer of a name, by writer.
func (d *disk) newest(name string) []wire.Manifest {
	byWriter := make(map[wire.ID]wire.Manifest)
	for _, f := range d.files {
		if f.manifest.Name != name {
			continue
		}
		if m, ok := byWriter[f.manifest.Writer]; !ok || f.manifest.Newer(m) {
			byWriter[f.manifest.Writer] = f.manifest
		}
	}
	found := make([]wire.Manifest, 0, len(byWriter))
	for _, m := range byWriter {
		found = append(found, m)
	}
	slices.SortFunc(found, func(a, b wire.Manifest) int { return cmp.Compare(a.Writer, b.Writer) })
	return found[:min(len(found), wire.MaxManifests)]
}

// scan answers a ring.Scan.
func (d *disk) scan(s ring.Scan) ring.Scanned {
	versions := d.versions()
	if !s.First {
		versions = slices.DeleteFunc(versions, func(v ring.Version) bool { return compareVersions(v, s.After) <= 0 })
	}
	more := len(versions) > s.Limit
	return ring.Scanned{Scan: s.Scan, Versions: versions[:min(len(versions), s.Limit)], More: more}
}

func compareVersions(a, b ring.Version) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), bytes.Compare(a.Sum[:], b.Sum[:]))
}

// version names the version that a manifest describes.
func (w *World) version(m wire.Manifest) ring.Version {
	return ring.Version{Key: wire.KeyOf(w.Config.Space, m.Name), Sum: m.Sum()}
}

// diskTime is how long a disk may take to look something up, and for each half
// of a write: to write and sync a file, and to rename it and sync the folder.
const diskTime = 5 * time.Millisecond

// written calls do when the disk has looked something up, unless the process
// dies first.
func (p *process) written(do func()) {
	p.world.at(p.world.now+ring.Time(p.world.upTo(diskTime)), p, do)
}

// write has a change made and calls done when it is synced, or why it is not.
func (p *process) write(change func(durable bool), done func(wire.Code)) {
	w, d := p.world, &p.host.disk
	x := &write{renamed: w.now + ring.Time(w.upTo(w.Config.Disk)), change: change}
	d.writes = append(d.writes, x)
	w.at(x.renamed+ring.Time(w.upTo(w.Config.Disk)), p, func() {
		d.writes = slices.DeleteFunc(d.writes, func(o *write) bool { return o == x })
		if !d.fails {
			change(true)
			done(wire.CodeOK)
			return
		}
		if w.chance(0.5) { // it was the folder that failed
			change(false)
		}
		p.jam()
		done(wire.CodeStuck)
	})
}

// settle has the disk synced as a whole, beside everything else. Before it has
// ended nothing of an earlier run counts as a copy, after it everything does
// (R1, R2).
func (p *process) settle() {
	w, d := p.world, &p.host.disk
	w.at(w.now+ring.Time(w.upTo(w.Config.Disk)), p, func() {
		switch {
		case d.state == wire.Stuck:
		case d.fails:
			p.jam()
		default:
			p.counts = true
			for v, f := range d.files {
				f.durable = true
				d.files[v] = f
			}
		}
		for _, pull := range p.unsettled {
			p.pull(pull)
		}
		p.unsettled, p.settled = nil, true
	})
}

// jam is a failed sync: it is never tried again, and the disk is stuck until
// the machine is started again.
func (p *process) jam() {
	p.world.Count.Jammed++
	p.host.disk.failed = true
	if d := &p.host.disk; d.state != wire.Stuck {
		d.state = wire.Stuck
		p.world.at(p.world.now, p, func() { p.step(ring.DiskChanged{State: wire.Stuck}, nil) })
	}
}

// persist writes an incarnation. A disk that takes nothing must not keep the
// peer from saying so: it goes on without, and after a restart is shown its
// own row.
func (p *process) persist(a ring.Persist) {
	d := &p.host.disk
	done := func(wire.Code) { p.step(ring.Persisted(a), nil) }
	if d.state != wire.Active {
		p.written(func() { done(wire.CodeOK) })
		return
	}
	p.write(func(bool) { d.incarnation = max(d.incarnation, a.Incarnation) }, done)
}

// store has a version on the disk, synced, or says why not.
func (p *process) store(m wire.Manifest, blocks wire.Sum, done func(wire.Code)) {
	d := &p.host.disk
	v := p.world.version(m)
	no := func(code wire.Code) { p.written(func() { done(code) }) }
	switch {
	case d.state == wire.Full:
		no(wire.CodeFull)
	case d.state == wire.Stuck:
		no(wire.CodeStuck)
	case blocks != m.Blocks:
		no(wire.CodeInvalid)
	case p.host.lies.Forgets:
		no(wire.CodeOK)
	default:
		p.write(func(durable bool) {
			d.files[v] = file{m, blocks, durable || d.files[v].durable}
		}, func(code wire.Code) {
			if code == wire.CodeOK {
				p.synced[v] = true
			}
			done(code)
		})
	}
}

// SetDisk makes the disk of a member full, or well again (Active).
func (w *World) SetDisk(id wire.ID, state wire.State) {
	h := w.byID[id]
	h.disk.state = state
	if p := h.process; p != nil {
		w.at(w.now, p, func() { p.step(ring.DiskChanged{State: state}, nil) })
	}
}

// Wipe empties the disk of a member that does not run.
func (w *World) Wipe(id wire.ID) {
	w.logf("[%v] loses its disk", id)
	h := w.byID[id]
	h.wiped = w.now
	h.disk.wipe(w.storeID())
}

// Holds says whether the host's disk has this version, with the right bytes.
func (h *Host) Holds(v ring.Version) bool {
	f, ok := h.disk.files[v]
	return ok && f.blocks == f.manifest.Blocks
}

// keeps says whether that is so after a power cut as well.
func (h *Host) keeps(v ring.Version) bool { return h.Holds(v) && h.disk.files[v].durable }
