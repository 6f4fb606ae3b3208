package sim

import (
	"bytes"
	"cmp"
	"slices"

	"securepeer/ring"
	"securepeer/wire"
)

// disk is what a peer's folder holds and what a crash leaves: everything here
// is synced. What was not synced when the process died was never put here.
type disk struct {
	store       wire.StoreID
	incarnation wire.Incarnation
	rows        []wire.Row
	files       map[ring.Version]file
	state       wire.State // Active; Full or Stuck: takes no more bytes
}

// file is one version: its manifest, and the hash that its bytes have.
type file struct {
	manifest wire.Manifest
	blocks   wire.Sum // other than the manifest's: rotten
}

func (d *disk) wipe(id wire.StoreID) {
	*d = disk{store: id, files: make(map[ring.Version]file), state: wire.Active}
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
	versions := make([]ring.Version, 0, len(d.files))
	for v := range d.files {
		if s.First || compareVersions(v, s.After) > 0 {
			versions = append(versions, v)
		}
	}
	slices.SortFunc(versions, compareVersions)
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
