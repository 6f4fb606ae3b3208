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

// index knows the name of each version on this peer's disk, for listings. It
// is a cache of what the files say: built at the first listing, rebuilt at
// the next start, and never asked who holds what.
type index struct {
	building sync.Mutex // held by who walks the store; taken before mu

	mu      sync.Mutex // held across no call of the disk: a commit takes it
	built   bool
	walking bool
	fresh   []indexed     // committed while a walk went on
	entries []indexed     // by name, then version hash
	unread  []store.Entry // of names that are not known: none of their versions can be read
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
	x.knownLocked(e)
	if i, ok := slices.BinarySearchFunc(x.entries, e, compareIndexed); !ok {
		x.entries = slices.Insert(x.entries, i, e)
	}
}

// knownLocked notes that the name of e is known.
func (x *index) knownLocked(e indexed) {
	if len(x.unread) == 0 {
		return
	}
	hash := wire.NameHash(e.name)
	x.unread = slices.DeleteFunc(x.unread, func(u store.Entry) bool {
		return u.Key == e.version.Key && u.Name == [16]byte(hash[:])
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
	entries, unread, err := walk(d)
	x.mu.Lock()
	defer x.mu.Unlock()
	if err == nil {
		x.entries, x.unread, x.built = entries, unread, true
		for _, e := range entries {
			x.knownLocked(e)
		}
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

// retry reads the names that are not known yet, and says how many remain so, of
// those whose signers may.
func (x *index) retry(d *disk) int {
	x.mu.Lock()
	unread := slices.Clone(x.unread)
	x.mu.Unlock()
	for _, e := range unread {
		m, err := d.manifest(e)
		x.mu.Lock()
		switch {
		case err == nil:
			x.insertLocked(indexed{m.Name, e.Version})
		case errors.Is(err, store.ErrNotFound):
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

// walk reads the name of every version. Those that cannot be read are unread,
// unless they are all there are, or more than maxUnread: then the disk fails.
func walk(d *disk) (entries []indexed, unread []store.Entry, err error) {
	var found []store.Entry
	err = d.List(0, 0, func(e store.Entry) bool {
		found = append(found, e)
		return true
	})
	if err != nil {
		return nil, nil, err
	}
	entries = make([]indexed, 0, len(found))
	var last error
	for _, e := range found {
		m, err := d.manifest(e)
		switch {
		case err == nil:
			entries = append(entries, indexed{m.Name, e.Version})
		case errors.Is(err, store.ErrNotFound): // quarantined, or gone meanwhile
		case Remedy(err) != "" || len(unread) == maxUnread:
			return nil, nil, err
		default:
			d.failed(err)
			unread, last = append(unread, e), err
		}
	}
	if len(entries) == 0 && last != nil {
		return nil, nil, last
	}
	slices.SortFunc(entries, compareIndexed)
	return entries, unread, nil
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
