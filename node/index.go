package node

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"

	"securepeer/internal/store"
)

// index knows the name of each version on this peer's disk, for listings. It
// is a cache of what the files say: built at the first listing, rebuilt at
// the next start, and never asked who holds what.
type index struct {
	building sync.Mutex // held by who walks the store; taken before mu

	mu      sync.Mutex // held across no call of the disk: a commit takes it
	built   bool
	walking bool
	fresh   []indexed // committed while a walk went on
	entries []indexed // by name, then version hash
}

type indexed struct {
	name    string
	version store.Version
}

func compareIndexed(a, b indexed) int {
	return cmp.Or(cmp.Compare(a.name, b.name), slices.Compare(a.version.Sum[:], b.version.Sum[:]))
}

// add notes a version that was committed. Before the index is built there is
// nothing to note: the walk will find the file.
func (x *index) add(e indexed) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.built:
		x.insertLocked(e)
	case x.walking:
		x.fresh = append(x.fresh, e)
	}
}

func (x *index) insertLocked(e indexed) {
	if i, ok := slices.BinarySearchFunc(x.entries, e, compareIndexed); !ok {
		x.entries = slices.Insert(x.entries, i, e)
	}
}

// build walks the store once. No commit waits for it: what comes meanwhile is
// noted when the walk has ended (R4). An index that lacks what could not be read
// is not kept.
func (x *index) build(s *store.Store) error {
	x.building.Lock()
	defer x.building.Unlock()
	if x.begin() {
		return nil
	}
	entries, err := walk(s)
	x.mu.Lock()
	defer x.mu.Unlock()
	if err == nil {
		x.entries, x.built = entries, true
		for _, e := range x.fresh {
			x.insertLocked(e)
		}
	}
	x.fresh, x.walking = nil, false
	return err
}

// begin reports true if there is nothing to build.
func (x *index) begin() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.walking = !x.built
	return x.built
}

// walk reads the name of every version.
func walk(s *store.Store) ([]indexed, error) {
	var found []store.Entry
	err := s.List(0, 0, func(e store.Entry) bool {
		found = append(found, e)
		return true
	})
	if err != nil {
		return nil, err
	}
	entries := make([]indexed, 0, len(found))
	for _, e := range found {
		m, err := readManifest(s, e)
		switch {
		case errors.Is(err, store.ErrNotFound):
			continue // quarantined, or gone meanwhile
		case err != nil:
			return nil, err
		}
		entries = append(entries, indexed{m.Name, e.Version})
	}
	slices.SortFunc(entries, compareIndexed)
	return entries, nil
}

// named is the versions of one name.
type named struct {
	name     string
	versions []store.Version
}

// after returns up to limit names after the given one that begin with prefix,
// in order; more says that there are others.
func (x *index) after(prefix, after string, limit int) (names []named, more bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	first, _ := slices.BinarySearchFunc(x.entries, max(prefix, after), func(e indexed, name string) int {
		return cmp.Compare(e.name, name)
	})
	for _, e := range x.entries[first:] {
		last := len(names) - 1
		switch {
		case !strings.HasPrefix(e.name, prefix):
			return names, false
		case e.name == after:
		case last >= 0 && e.name == names[last].name:
			names[last].versions = append(names[last].versions, e.version)
		case len(names) == limit:
			return names, true
		default:
			names = append(names, named{e.name, []store.Version{e.version}})
		}
	}
	return names, false
}
