package node

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"

	"securepeer/internal/store"
	"securepeer/wire"
)

// index knows the name of each file on this peer's disk, for listings. It is a
// cache of what the files say: built once a run, from the store's cache of names
// and the manifests of what is not in it (R50), and never asked who holds what.
type index struct {
	building sync.Mutex // held by who walks the store; taken before mu

	mu      sync.Mutex // held across no call of the disk: a commit takes it
	built   bool
	walking bool
	fresh   []indexed     // committed while a walk went on
	entries []indexed     // by name
	unread  []store.Entry // of names that are not known: none of their versions can be read
}

// indexed is a name, and the position that the versions of it here lie at.
type indexed struct {
	name string
	key  uint64
}

func compareIndexed(a, b indexed) int { return cmp.Compare(a.name, b.name) }

// add notes that a version of a name was committed, and reports whether the name
// is new. Before the index is built there is nothing to note: the walk will find
// the file.
func (x *index) add(e indexed) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.built:
		return x.insertLocked(e)
	case x.walking:
		x.fresh = append(x.fresh, e)
	}
	return false
}

func (x *index) insertLocked(e indexed) bool {
	x.knownLocked(e)
	i, found := slices.BinarySearchFunc(x.entries, e, compareIndexed)
	if !found {
		x.entries = slices.Insert(x.entries, i, e)
	}
	return !found
}

// knownLocked notes that the name of e is known.
func (x *index) knownLocked(e indexed) {
	if len(x.unread) == 0 {
		return
	}
	hash := wire.NameHash(e.name)
	x.unread = slices.DeleteFunc(x.unread, func(u store.Entry) bool {
		return u.Key == e.key && u.Name == [16]byte(hash[:])
	})
}

// build walks the store once. No commit waits for it: what comes meanwhile is
// noted when the walk has ended (R4). An index without all that the disk failed
// to read is not kept.
func (x *index) build(d *disk) error {
	x.building.Lock()
	defer x.building.Unlock()
	if x.begin() {
		return nil
	}
	w := walk{disk: d, entries: []indexed{}, cached: make(map[[16]byte]string), known: make(map[[16]byte]bool)}
	err := w.run()
	if err != nil {
		x.end(nil, nil)
		return err
	}
	// Before the names are in the index none is added to the cache by others.
	w.save()
	d.AddNames(slices.Values(x.end(w.entries, w.unread)))
	return nil
}

// end takes over what a walk has found, nil if it has failed, and returns the
// names that were committed meanwhile.
func (x *index) end(entries []indexed, unread []store.Entry) (added []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if entries != nil {
		x.entries, x.unread, x.built = entries, unread, true
		for _, e := range entries {
			x.knownLocked(e)
		}
		for _, e := range x.fresh {
			if x.insertLocked(e) {
				added = append(added, e.name)
			}
		}
	}
	x.fresh, x.walking = nil, false
	return added
}

// begin reports true if there is nothing to build.
func (x *index) begin() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.walking = !x.built
	return x.built
}

// retry reads the names that are not known yet, and says how many remain so, of
// those whose signers may.
func (x *index) retry(d *disk) int {
	x.mu.Lock()
	unread := slices.Clone(x.unread)
	x.mu.Unlock()
	for _, e := range unread {
		m, err := d.manifest(e)
		if err == nil {
			d.named(m.Name, e.Key)
			continue
		}
		x.mu.Lock()
		if errors.Is(err, store.ErrNotFound) {
			x.unread = slices.DeleteFunc(x.unread, func(u store.Entry) bool { return u == e })
		}
		x.mu.Unlock()
	}
	type name struct {
		key  uint64
		hash [16]byte
	}
	names := make(map[name]bool)
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.unread {
		if d.may(signed(e)) {
			names[name{e.Key, e.Name}] = true
		}
	}
	return len(names)
}

// walk finds the name of each file on the disk.
type walk struct {
	disk    *disk
	cached  map[[16]byte]string // names of the store's cache, by their hashes
	records int                 // in the cache
	whole   bool                // the cache was

	key     uint64            // that the walk is at
	known   map[[16]byte]bool // names of it
	entries []indexed
	opened  []string // names that were not in the cache
	unread  []store.Entry
	last    error // of an unread version
}

// run finds the name of every file: in the cache, or in a version. Those of which
// none can be read are unread, unless they are all there are, or more than
// maxUnread: then the disk fails.
func (w *walk) run() error {
	var err error
	w.whole, err = w.disk.ReadNames(func(name string) {
		w.records++
		hash := wire.NameHash(name)
		w.cached[[16]byte(hash[:])] = name
	})
	if err != nil { // it is a cache: what cannot be read of it is as what was never there
		w.disk.log.Warn("names are read from the versions", "error", err)
	}
	var failed error
	err = w.disk.List(0, 0, func(e store.Entry) bool {
		failed = w.version(e)
		return failed == nil
	})
	switch {
	case err != nil:
		return err
	case failed != nil:
		return failed
	case len(w.entries) == 0 && w.last != nil:
		return w.last
	}
	w.entries = slices.Clip(w.entries)
	slices.SortFunc(w.entries, compareIndexed)
	return nil
}

// version finds the name of e, if no version before it had that.
func (w *walk) version(e store.Entry) error {
	if e.Key != w.key {
		w.key = e.Key
		clear(w.known)
	}
	if w.known[e.Name] {
		return nil
	}
	name, cached := w.cached[e.Name]
	if !cached {
		m, err := w.disk.manifest(e)
		switch {
		case errors.Is(err, store.ErrNotFound): // quarantined, or gone meanwhile
			return nil
		case err != nil && (Remedy(err) != "" || len(w.unread) == maxUnread):
			return err
		case err != nil:
			w.disk.failed(err)
			w.unread, w.last = append(w.unread, e), err
			return nil
		}
		name = m.Name
		w.opened = append(w.opened, name)
	}
	w.known[e.Name] = true
	w.entries = append(w.entries, indexed{name, e.Key})
	return nil
}

// save has the cache know what this walk had to read. A cache that is cut off, or
// of which more than half is dead, is written anew.
func (w *walk) save() {
	if used := len(w.entries) - len(w.opened); w.whole && w.records-used <= w.records/2 {
		w.disk.AddNames(slices.Values(w.opened))
		return
	}
	w.disk.ReplaceNames(func(yield func(string) bool) {
		for _, e := range w.entries {
			if !yield(e.name) {
				return
			}
		}
	})
}

// after returns up to limit names after the given one that begin with prefix,
// in order; more says that there are others.
func (x *index) after(prefix, after string, limit int) (names []indexed, more bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	first, _ := slices.BinarySearchFunc(x.entries, max(prefix, after), func(e indexed, name string) int {
		return cmp.Compare(e.name, name)
	})
	for _, e := range x.entries[first:] {
		switch {
		case !strings.HasPrefix(e.name, prefix):
			return names, false
		case e.name == after:
		case len(names) == limit:
			return names, true
		default:
			names = append(names, e)
		}
	}
	return names, false
}
