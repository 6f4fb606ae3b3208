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
	mu      sync.Mutex
	built   bool
	entries []indexed // by name, then version hash
	size    uint64    // sum of theirs
}

type indexed struct {
	name    string
	version store.Version
	size    uint64
}

func compareIndexed(a, b indexed) int {
	return cmp.Or(cmp.Compare(a.name, b.name), slices.Compare(a.version.Sum[:], b.version.Sum[:]))
}

// add notes a version that was committed. Before the index is built there is
// nothing to note: the walk will find the file.
func (x *index) add(e indexed) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.built {
		return
	}
	if i, ok := slices.BinarySearchFunc(x.entries, e, compareIndexed); !ok {
		x.entries = slices.Insert(x.entries, i, e)
		x.size += e.size
	}
}

// usage is how many versions there are, and their bytes.
func (x *index) usage() (versions int, size uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.entries), x.size
}

// build walks the store once, and holds the lock meanwhile: a commit that
// comes then waits for the walk and is noted after it. An index that lacks what
// could not be read is not kept.
func (x *index) build(s *store.Store) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.built {
		return nil
	}
	var found []store.Version
	err := s.List(0, 0, func(e store.Entry) bool {
		found = append(found, e.Version)
		return true
	})
	if err != nil {
		return err
	}
	entries, size := make([]indexed, 0, len(found)), uint64(0)
	for _, v := range found {
		m, err := readManifest(s, v)
		switch {
		case errors.Is(err, store.ErrNotFound):
			continue // quarantined, or gone meanwhile
		case err != nil:
			return err
		}
		entries = append(entries, indexed{m.Name, v, m.Size})
		size += m.Size
	}
	slices.SortFunc(entries, compareIndexed)
	x.entries, x.size, x.built = entries, size, true
	return nil
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
