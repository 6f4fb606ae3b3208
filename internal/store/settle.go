package store

import "errors"

// Settle forces to disk, with one sync, what earlier runs left. Before it has
// returned nil nothing of theirs counts as a copy, after it everything with a
// final name does: such a name follows a sync of the bytes, in whatever run, so
// that it can be missing itself and nothing else can (R1, R2). Call it once,
// beside everything else, and again only if the error is not ErrStuck: then no
// sync has begun.
func (s *Store) Settle() error {
	err := s.Stuck()
	if err == nil {
		err = s.fs.SyncAll() // R2
		if err != nil {
			err = s.syncFailed(err)
		}
	}
	if err != nil && !errors.Is(err, ErrStuck) {
		return err
	}
	// A sync of a folder that fails meanwhile may have had the names of an
	// earlier run count as clean before SyncAll came: it ends, and is known to
	// have failed, before anything counts.
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err = s.stuck; err == nil {
		s.counts, s.written = true, nil
	}
	close(s.settled)
	return err
}

// Settled is closed when Settle has ended, well or stuck.
func (s *Store) Settled() <-chan struct{} { return s.settled }

// naming notes that the name of v, in d whose lock is held, is about to be given.
// Until the folder is synced nobody may count on it.
func (s *Store) naming(d *folder, v Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.naming = append(d.naming, v)
}

// named notes that all names in d, whose lock is held, are synced.
func (s *Store) named(d *folder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.counts {
		for _, v := range d.naming {
			s.written[v] = struct{}{}
		}
	}
	d.naming = nil
}
