package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sync"
)

// folder is one of the folders under files/, and the names in it. They are
// read when they are first asked for, and kept up to date from then on, so what
// somebody else puts into the folder is seen by the next run (R21).
type folder struct {
	mu     sync.Mutex // held while a name in the folder changes
	made   bool       // by this run, or found and synced by it
	naming []Version  // named by this run and not synced; changed with Store.mu held too

	names   sync.Mutex // taken after mu, and held across no call of the disk but that which reads the names
	read    bool
	entries []Entry     // in their order, with room for an eighth more at most
	apart   []bytesKey  // bytes that lie apart, in their order; no version is in entries without its own
	orphans []bytesFile // that no version here had when the names were read: see sweep
	lost    []bytesKey  // that versions here had, and that are gone: see back
	sized   bool
	bytes   int64 // of all these files, if sized
}

// loadLocked reads the names, if nobody has.
func (d *folder) loadLocked(fsys FS, n int) error {
	if d.read {
		return nil
	}
	names, err := fsys.List(folderPath(n))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listing versions: %w", err)
	}
	entries := make([]Entry, 0, len(names))
	var files []bytesFile
	for _, name := range names {
		if e, ok := parseEntry(name); ok && folderOf(e.Key) == n {
			entries = append(entries, e)
		} else if b, ok := parseBytesFile(name); ok && folderOf(b.key) == n {
			files = append(files, b)
			d.apart = append(d.apart, b.inMemory())
		}
	}
	slices.SortFunc(d.apart, bytesKey.compare)
	slices.SortFunc(entries, Entry.compare)
	entries = slices.DeleteFunc(entries, func(e Entry) bool {
		_, found := slices.BinarySearchFunc(d.apart, e.bytes(), bytesKey.compare)
		if e.apart() && !found {
			d.lost = append(d.lost, e.bytes())
		}
		return e.apart() && !found
	})
	d.entries, d.read = entries, true
	d.orphans = slices.DeleteFunc(files, func(b bytesFile) bool { return d.usedLocked(b.inMemory()) })
	return nil
}

// usedLocked tells whether a version here has these bytes.
func (d *folder) usedLocked(b bytesKey) bool {
	return slices.ContainsFunc(d.entries[d.from(Version{Key: b.key}):], func(e Entry) bool { return e.apart() && e.bytes() == b })
}

// has tells whether these bytes are here, as far as the names have been read.
func (d *folder) has(b bytesKey) bool {
	d.names.Lock()
	defer d.names.Unlock()
	_, found := slices.BinarySearchFunc(d.apart, b, bytesKey.compare)
	return found
}

// addBytes notes that bytes are there now, and the length of their file, as add
// does.
func (d *folder) addBytes(b bytesKey, length int64) {
	d.names.Lock()
	defer d.names.Unlock()
	if i, found := slices.BinarySearchFunc(d.apart, b, bytesKey.compare); d.read && !found {
		d.apart = slices.Insert(d.apart, i, b)
		d.bytes += length
	}
}

// dropBytes notes that bytes are gone, and with them the versions that have them.
// The folder is counted again.
func (d *folder) dropBytes(b bytesKey) {
	d.names.Lock()
	defer d.names.Unlock()
	if i, found := slices.BinarySearchFunc(d.apart, b, bytesKey.compare); found {
		d.apart = slices.Delete(d.apart, i, i+1)
		d.lost = append(d.lost, b)
		d.entries = slices.DeleteFunc(d.entries, func(e Entry) bool { return e.apart() && e.bytes() == b })
		d.sized = false
	}
}

// back has the names read again if these bytes, on the disk now, were lost: other
// versions here have them too.
func (d *folder) back(b bytesKey) {
	d.names.Lock()
	defer d.names.Unlock()
	if slices.Contains(d.lost, b) {
		d.read, d.entries, d.apart, d.orphans, d.lost = false, nil, nil, nil, nil
		d.sized, d.bytes = false, 0
	}
}

// add notes a name that is there now, and the length of its file. Before the
// names are read there is nothing to note: the reading will find it.
func (d *folder) add(e Entry, length int64) {
	d.names.Lock()
	defer d.names.Unlock()
	i, found := slices.BinarySearchFunc(d.entries, e, Entry.compare)
	if !d.read || found {
		return
	}
	if n := len(d.entries); n == cap(d.entries) {
		d.entries = append(make([]Entry, 0, n+n/8+1), d.entries...)
	}
	d.entries = slices.Insert(d.entries, i, e)
	d.bytes += length
}

// drop notes that a name is gone, and the length that its file had; -1: nobody
// knows, and the folder is counted again.
func (d *folder) drop(e Entry, length int64) {
	d.names.Lock()
	defer d.names.Unlock()
	if i, found := slices.BinarySearchFunc(d.entries, e, Entry.compare); found {
		d.entries = slices.Delete(d.entries, i, i+1)
		d.bytes -= length
		d.sized = d.sized && length >= 0
	}
}

// from returns the place of the first entry that is not below v.
func (d *folder) from(v Version) int {
	i, _ := slices.BinarySearchFunc(d.entries, v, func(e Entry, v Version) int { return e.Version.compare(v) })
	return i
}

// Find returns what the name of v's file says. The error is ErrNotFound if
// there is none; any other means that nothing is known.
func (s *Store) Find(v Version) (Entry, error) {
	d := &s.folders[folderOf(v.Key)]
	d.names.Lock()
	defer d.names.Unlock()
	if err := d.loadLocked(s.fs, folderOf(v.Key)); err != nil {
		return Entry{}, err
	}
	if i := d.from(v); i < len(d.entries) && d.entries[i].Version == v {
		return d.entries[i], nil
	}
	return Entry{}, ErrNotFound
}

// Each calls f for every version of every file with that key, by their sums.
// It opens nothing. f must not call the store.
func (s *Store) Each(key uint64, f func(Entry)) error {
	d := &s.folders[folderOf(key)]
	d.names.Lock()
	defer d.names.Unlock()
	if err := d.loadLocked(s.fs, folderOf(key)); err != nil {
		return err
	}
	for _, e := range d.entries[d.from(Version{Key: key}):] {
		if e.Key != key {
			return nil
		}
		f(e)
	}
	return nil
}

// Has tells whether v is here, and whether it is known to be on the disk. Only
// a version that is both counts as a copy: one that this run wrote, and after
// [Store.Settle] all. An error means that nothing is known: it is never a no.
func (s *Store) Has(v Version) (present, synced bool, err error) {
	e, err := s.Find(v)
	if errors.Is(err, ErrNotFound) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("looking for version: %w", err)
	}
	if e.apart() {
		return s.hasApart(e)
	}
	f, err := s.fs.Open(e.path())
	if errors.Is(err, fs.ErrNotExist) { // somebody else took it away
		var r *Reader
		if r, err = s.reopen(e, asOpened); err == nil {
			f = r.file
		}
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return false, false, nil
	case err != nil:
		return false, false, fmt.Errorf("looking for version: %w", err)
	}
	f.Close() // nothing was read
	return true, s.isSynced(v), nil
}

// hasApart is the rest of Has for a version whose bytes lie apart: only its own
// file says how theirs is called.
func (s *Store) hasApart(e Entry) (present, synced bool, err error) {
	r, err := s.Reader(e.Version)
	switch {
	case errors.Is(err, ErrNotFound):
		return false, false, nil
	case err != nil:
		return false, false, err
	}
	r.Close() // nothing was read
	return true, s.isSynced(e.Version), nil
}

// List calls f for every version with a key on the arc from (not included) to
// to (included), in the order in which the keys lie on it, then of their sums,
// until f returns false. If from == to the arc is the whole ring. It opens no
// version; what changes meanwhile may or may not be seen.
func (s *Store) List(from, to uint64, f func(Entry) bool) error {
	names, err := s.fs.List("files")
	if err != nil {
		return fmt.Errorf("listing versions: %w", err)
	}
	var folders []int
	for _, name := range names {
		if n, ok := parseFolder(name); ok {
			folders = append(folders, n)
		}
	}
	slices.Sort(folders)
	if from < to {
		_, err := s.listRange(folders, from+1, to, f)
		return err
	}
	if from < math.MaxUint64 {
		if more, err := s.listRange(folders, from+1, math.MaxUint64, f); err != nil || !more {
			return err
		}
	}
	_, err = s.listRange(folders, 0, to, f)
	return err
}

// listRange lists the keys first to last of the given folders; more is false
// if f wants no more.
func (s *Store) listRange(folders []int, first, last uint64, f func(Entry) bool) (more bool, err error) {
	for _, n := range folders {
		if n < folderOf(first) || n > folderOf(last) {
			continue
		}
		if err := s.sweep(n); err != nil {
			return false, err
		}
		entries, err := s.namesOf(n, first)
		if err != nil {
			return false, err
		}
		for _, e := range entries {
			if e.Key <= last && !f(e) {
				return false, nil
			}
		}
	}
	return true, nil
}

// namesOf copies the entries of a folder from a key on: f of List may call the
// store, and names change meanwhile.
func (s *Store) namesOf(n int, first uint64) ([]Entry, error) {
	d := &s.folders[n]
	d.names.Lock()
	defer d.names.Unlock()
	if err := d.loadLocked(s.fs, n); err != nil {
		return nil, err
	}
	return slices.Clone(d.entries[d.from(Version{Key: first}):]), nil
}

// sweep removes the bytes in a folder that no version has, in trash/ neither: those
// of a put that a crash ended between the two names, or of a version whose own
// file was damaged and came back from nobody (R26).
func (s *Store) sweep(n int) error {
	d := &s.folders[n]
	d.names.Lock()
	err := d.loadLocked(s.fs, n)
	orphans := d.orphans
	d.names.Unlock()
	if err != nil || len(orphans) == 0 {
		return err
	}
	trash, err := s.fs.List("trash")
	if err != nil {
		return fmt.Errorf("listing trash: %w", err)
	}
	used := make(map[bytesKey]bool)
	for _, name := range trash {
		if e, ok := parseEntry(name); ok && e.apart() {
			used[e.bytes()] = true
		}
	}
	d.mu.Lock() // nobody is between two names
	defer d.mu.Unlock()
	d.names.Lock()
	d.orphans = nil
	orphans = slices.DeleteFunc(orphans, func(b bytesFile) bool { return used[b.inMemory()] || d.usedLocked(b.inMemory()) })
	d.names.Unlock()
	for _, b := range orphans {
		d.dropBytes(b.inMemory())
		s.fs.Remove(b.path()) // one that stays costs space and no more, until the next run
	}
	return nil
}
