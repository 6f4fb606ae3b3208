// Package store keeps versions of files on the disk of one peer: a version is
// either whole, verified and synced, or absent. [Open] a data folder,
// [Store.Create] a [Writer] and Commit it, and read it back with
// [Store.Reader].
//
// A version is one file: its bytes, the BLAKE3 hash of each block of 1 MiB,
// its manifest, and a footer that holds them together. So there is one sync,
// one rename and one folder sync to a version, and no moment at which a
// manifest is there without its bytes. The name of the file says the rest, so
// a start opens nothing and there is no index to lose. The layout is in
// docs/protocol.md.
//
// The store does not know what a manifest says or who may write it, which
// peers hold what, or when a version may go.
package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

// The conditions a caller can act on; test with errors.Is.
var (
	// ErrNotFound says that the version or state is not on this disk.
	ErrNotFound = errors.New("not stored here")

	// ErrDamaged says that what is on the disk is not what was written. It
	// is also ErrNotFound: a damaged version is missing, never changed.
	ErrDamaged = fmt.Errorf("damaged on disk: %w", ErrNotFound)

	// ErrInUse says that another process has the data folder.
	ErrInUse = errors.New("data folder is in use by another process")

	// ErrFormat says that another version of this program wrote the data
	// folder; nothing in it was changed (R23).
	ErrFormat = errors.New("data folder is of another version of this program")

	// ErrFull says that there is no space left. The store goes on.
	ErrFull = errors.New("disk is full")

	// ErrSize says that a writer was given more or fewer bytes than announced:
	// a fault of who sends them, and not of the disk.
	ErrSize = errors.New("not as many bytes as announced")

	// ErrStuck says that a sync has failed. What the disk holds is then
	// unknown and a second sync would lie (Linux marks the pages clean), so
	// nothing is written or confirmed until this machine has been started
	// again, or the store is opened with OpenAnew.
	ErrStuck = errors.New("disk has failed a sync, writing has stopped")
)

// Store is an open data folder. Its methods may be called from several
// goroutines at once.
type Store struct {
	cache   namesCache
	fs      FS
	lock    io.Closer
	id      [16]byte
	temps   atomic.Uint64 // number of the next temporary file
	folders [folderCount]folder

	// dirs is held while folders are made and states are written: see
	// syncDirLocked. Locks are taken in the order folder, dirs, mu; the names
	// of a folder are locked last of all.
	dirs sync.Mutex

	// syncing is held for reading across each sync of a folder: see Settle.
	syncing sync.RWMutex
	settled chan struct{} // closed by Settle

	mu      sync.Mutex
	run     run
	stuck   error                // the first failed sync
	counts  bool                 // what earlier runs left is synced
	written map[Version]struct{} // synced by this run, while counts is false; under 100 bytes each
}

// Open takes the data folder of fsys, clears what an earlier run left
// unfinished, and reads its id, or draws one from random (16 bytes) if the
// folder is new. It opens and lists no version, so it takes the same time
// however much is stored; what earlier runs left counts after [Store.Settle].
// If a sync failed in an earlier run since this machine was started, the store
// is stuck from the beginning. The error is ErrInUse if another process has
// the folder.
func Open(fsys FS, random io.Reader) (*Store, error) { return open(fsys, random, false) }

// OpenAnew is Open for who knows that the file system was mounted anew since a
// sync failed, so that nothing is held of it that is not on the disk.
func OpenAnew(fsys FS, random io.Reader) (*Store, error) { return open(fsys, random, true) }

func open(fsys FS, random io.Reader, anew bool) (*Store, error) {
	lock, err := fsys.Lock()
	if err != nil {
		return nil, fmt.Errorf("locking data folder: %w", err)
	}
	s := &Store{fs: fsys, lock: lock, settled: make(chan struct{}), written: make(map[Version]struct{}), run: run{boot: fsys.Boot()}}
	if err := s.prepare(random, anew); err != nil {
		s.Close() // err is why it ends; the kernel lets go in any case
		return nil, fmt.Errorf("opening data folder: %w", err)
	}
	return s, nil
}

func (s *Store) prepare(random io.Reader, anew bool) error {
	known, err := s.readID()
	if err != nil {
		return err
	}
	if err := s.failedBefore(); outOfDescriptors(err) {
		return err
	} else if err != nil && !anew {
		s.stuck = fmt.Errorf("%w: %w", ErrStuck, err)
	}
	if err := s.makeDirs(".", "files", "tmp", "trash", "bad", "state"); err != nil {
		return err
	}
	if s.stuck == nil {
		s.writeRun(runRuns)
	}
	names, err := s.fs.List("tmp")
	if err != nil {
		return err
	}
	for _, name := range names {
		// One that stays costs space and no more: newTemp steps over it, and
		// one bad file must never stop a start.
		s.fs.Remove("tmp/" + name)
	}
	if known {
		return nil
	}
	if _, err := io.ReadFull(random, s.id[:]); err != nil {
		return fmt.Errorf("drawing store id: %w", err)
	}
	if s.stuck != nil {
		return nil // the next run draws another
	}
	return s.writeChecked(idFile, ".", append([]byte{format}, s.id[:]...))
}

// readID reads the store id and the format of the data folder, before anything
// is changed there; known is false if they are to be written. An id that is
// damaged is replaced: a new one makes the others offer everything again, which
// is always safe.
func (s *Store) readID() (known bool, err error) {
	b, err := s.readChecked(idFile)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && len(b) == 0:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading store id: %w", err)
	case len(b) == len(s.id): // format 1 had no number
		return false, fmt.Errorf("%w: its format is 1, not %d", ErrFormat, format)
	case b[0] != format:
		return false, fmt.Errorf("%w: its format is %d, not %d", ErrFormat, b[0], format)
	}
	copy(s.id[:], b[1:])
	return true, nil
}

// Close lets the data folder go. All writers and readers must have ended.
func (s *Store) Close() error {
	if f := s.run.file; f != nil {
		f.Close() // its word is the kernel's to keep
	}
	s.cache.mu.Lock()
	s.cache.closeLocked()
	s.cache.mu.Unlock()
	return s.lock.Close()
}

// ID is random and as old as the data folder: another id means that what was
// stored is gone.
func (s *Store) ID() [16]byte { return s.id }

// Doubt names the file system under the data folder if what it has synced may
// not outlive the end of power: it is none of those of which that is known.
func (s *Store) Doubt() string { return s.fs.Doubt() }

// Stuck returns nil, or why nothing more is written: an error that is
// ErrStuck.
func (s *Store) Stuck() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stuck
}

// syncFailed is called with the error of every failed sync. A sync that never
// began, for want of a descriptor, has harmed nothing.
func (s *Store) syncFailed(err error) error {
	if outOfDescriptors(err) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck == nil {
		s.stuck = fmt.Errorf("%w: %w", ErrStuck, err)
		s.writeRun(runFailed) // R3
	}
	return s.stuck
}

func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// syncDirLocked syncs a folder whose lock the caller holds. The lock is held
// across the sync, and that order matters:
//
//  1. A and B rename into one folder.
//  2. A's sync of the folder fails. Both names are now in memory only, and
//     count as clean.
//  3. B's sync of the folder has nothing to do and succeeds: B would confirm
//     a version that a power cut takes away.
//
// With the lock B comes after A has said that the store is stuck.
func (s *Store) syncDirLocked(dir string) error {
	s.syncing.RLock()
	defer s.syncing.RUnlock()
	if err := s.Stuck(); err != nil {
		return err
	}
	if err := s.fs.SyncDir(dir); err != nil {
		return s.syncFailed(err)
	}
	return nil
}

// makeDirs makes the folders that are missing and syncs them into parent.
func (s *Store) makeDirs(parent string, dirs ...string) error {
	s.dirs.Lock()
	defer s.dirs.Unlock()
	var made []string
	for _, dir := range dirs {
		switch err := s.fs.Mkdir(dir); {
		case err == nil:
			made = append(made, dir)
		case !errors.Is(err, fs.ErrExist):
			return diskError(err)
		}
	}
	if s.Stuck() != nil {
		return nil // of a store that was stuck when it was opened: nothing will be confirmed
	}
	err := s.syncDirLocked(parent)
	if err != nil {
		// The next run would find these folders, sync a parent that counts
		// as clean, and store into folders that are not on the disk. (Where
		// this fails too the disk is to be reset first, as after any error
		// of a journal.)
		for _, dir := range made {
			s.fs.Remove(dir)
		}
	}
	return err
}

// rename is to give a synced temporary file of that length its name.
type rename struct {
	temp, name string
	length     int64
}

// publish does the renames of e, its bytes first if they lie apart: steps 6 to 8
// of a durable write. Only after it may e be confirmed. The temporary files are
// gone in any case. The error is ErrNotFound if e is to have bytes that are not
// here.
func (s *Store) publish(e Entry, renames ...rename) error {
	defer func() {
		for _, r := range renames { // that are not done; see prepare
			s.fs.Remove(r.temp)
		}
	}()
	n := folderOf(e.Key)
	d := &s.folders[n]
	d.mu.Lock()
	defer d.mu.Unlock()
	err := s.Stuck()
	if err == nil && !e.apart() && s.isSynced(e.Version) && s.exists(e) {
		d.add(e, renames[0].length) // it may have been forgotten while its file was away
		return nil                  // another writer of the same version was first
	}
	if err == nil && e.apart() && len(renames) == 1 && !d.has(e.bytes()) {
		err = ErrNotFound // a moment ago they were
	}
	if err == nil && !d.made {
		err = s.makeDirs("files", folderPath(n))
		d.made = err == nil
	}
	if err == nil {
		s.naming(d, e.Version)
	}
	for err == nil && len(renames) > 0 {
		// A file may be there already, of an earlier run: a rename makes it new.
		r := renames[0]
		if err = diskError(s.fs.Rename(r.temp, r.name)); err != nil {
			break
		}
		if renames = renames[1:]; len(renames) > 0 {
			d.addBytes(e.bytes(), r.length)
		} else {
			d.add(e, r.length)
		}
	}
	if err != nil {
		return err
	}
	if err := s.syncDirLocked(folderPath(n)); err != nil {
		return err
	}
	s.named(d)
	d.back(e.bytes()) // of a version whose bytes do not lie apart they were never lost
	return nil
}

// countsAll reports whether what earlier runs left is settled: before, what is
// synced is what this run wrote.
func (s *Store) countsAll() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// exists reports whether a file has the name of e.
func (s *Store) exists(e Entry) bool {
	_, err := s.length(e)
	return err == nil
}

// length returns the length of the file of e, in bytes.
func (s *Store) length(e Entry) (int64, error) { return s.lengthOf(e.path()) }

func (s *Store) lengthOf(name string) (int64, error) {
	f, err := s.fs.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close() // nothing was read
	return f.Size()
}

func (s *Store) isSynced(v Version) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.folders[folderOf(v.Key)].naming, v) {
		return false
	}
	_, ok := s.written[v]
	return ok || s.counts
}

// newTemp creates a file in tmp/.
func (s *Store) newTemp() (File, string, error) {
	if err := s.Stuck(); err != nil {
		return nil, "", err
	}
	for {
		name := fmt.Sprintf("tmp/%d", s.temps.Add(1))
		f, err := s.fs.Create(name)
		if errors.Is(err, fs.ErrExist) {
			continue // left by an earlier run, and it could not be removed
		}
		if err != nil {
			return nil, "", diskError(err)
		}
		return f, name, nil
	}
}

// Quarantine is for a block of v that somebody found to be bad: it reads the
// block, list, manifest and footer again, and moves the file to bad/ only if
// they are bad indeed; the error is then ErrDamaged. It is nil if the block
// is good. So neither a liar nor a reader of a file that has been replaced
// meanwhile can take a good copy away.
func (s *Store) Quarantine(v Version, block int64) error {
	e, err := s.Find(v)
	if err != nil {
		return err
	}
	r, err := s.reopen(e, func(r *Reader) error { return r.checkBlock(block) })
	if err != nil {
		return err
	}
	return r.Close()
}

// Reject moves a version to bad/ whose manifest is not what the name of its
// file says: its caller alone can tell.
func (s *Store) Reject(e Entry) error {
	d := &s.folders[folderOf(e.Key)]
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := s.moveLocked(e, "bad"); err != nil {
		return fmt.Errorf("quarantining: %w", err)
	}
	return nil
}

// reopen opens e again while no name in its folder can change. It moves it to
// bad/ if it, or what check finds, is damaged still, and forgets it if it is
// gone.
func (s *Store) reopen(e Entry, check func(*Reader) error) (*Reader, error) {
	d := &s.folders[folderOf(e.Key)]
	d.mu.Lock()
	defer d.mu.Unlock()
	r, err := s.open(e)
	if err == nil && e.apart() {
		return s.reopenBytesLocked(r, check)
	}
	if err == nil {
		if err = check(r); err != nil {
			r.Close()
		}
	}
	if errors.Is(err, ErrDamaged) {
		// Nothing is promised by the move, so it needs no sync: if it is
		// lost, the file is found bad again.
		if moved := s.moveLocked(e, "bad"); moved != nil {
			return nil, fmt.Errorf("quarantining: %w: %w", moved, err)
		}
	} else if errors.Is(err, ErrNotFound) {
		s.unsync(e.Version)
		d.drop(e, -1)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// reopenBytesLocked is the rest of reopen for a version whose bytes lie apart, r
// being its own file: they go to bad/ or are forgotten, and with them all
// versions that have them.
func (s *Store) reopenBytesLocked(r *Reader, check func(*Reader) error) (*Reader, error) {
	err := r.openBytes()
	if err == nil {
		if err = check(r); err != nil {
			r.Close()
		}
	}
	if err == nil {
		return r, nil
	}
	if errors.Is(err, ErrNotFound) {
		s.folders[folderOf(r.entry.Key)].dropBytes(r.entry.bytes()) // before the file goes: nobody may count on them from here
	}
	if errors.Is(err, ErrDamaged) {
		b := r.bytesFile()
		if moved := s.fs.Rename(b.path(), "bad/"+b.String()); moved != nil && !errors.Is(moved, fs.ErrNotExist) {
			return nil, fmt.Errorf("quarantining: %w: %w", diskError(moved), err)
		}
	}
	return nil, err
}

// Remove moves v to trash/. The error is ErrNotFound if it is not here.
func (s *Store) Remove(v Version) error {
	e, err := s.Find(v)
	if err != nil {
		return fmt.Errorf("removing version: %w", err)
	}
	d := &s.folders[folderOf(e.Key)]
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := s.moveLocked(e, "trash"); err != nil {
		return fmt.Errorf("removing version: %w", err)
	}
	return nil
}

// moveLocked moves e to another folder; the lock of its own is held.
func (s *Store) moveLocked(e Entry, dir string) error {
	s.unsync(e.Version) // before the file goes: nobody may count on it from here
	length, err := s.length(e)
	if err != nil {
		length = -1
	}
	err = s.fs.Rename(e.path(), dir+"/"+e.String())
	if gone := errors.Is(err, fs.ErrNotExist); err == nil || gone {
		s.folders[folderOf(e.Key)].drop(e, length)
		if gone {
			return ErrNotFound
		}
	}
	return diskError(err)
}

func (s *Store) unsync(v Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.written, v)
}

// Usage is how much room the disk under the data folder has, in bytes.
type Usage struct {
	Free  int64 // that this process may still use
	Total int64
}

// Usage asks the disk.
func (s *Store) Usage() (Usage, error) {
	free, total, err := s.fs.Space()
	if err != nil {
		return Usage{}, fmt.Errorf("asking for free space: %w", err)
	}
	return Usage{Free: free, Total: total}, nil
}

// NoInodes reports whether the disk is full because it can hold no more files.
func (s *Store) NoInodes() bool { return s.fs.NoInodes() }

// diskError makes the errors of a disk without space ErrFull.
func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
