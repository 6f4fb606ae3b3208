package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// runFile says which boot of this machine the last run was in, and whether a
// sync failed in it. It is a block of runSize bytes that is changed in place and
// never synced: what it says matters for as long as the kernel holds it.
const (
	runFile = "state/run"
	runSize = 4096
)

// The words of a run, after the boot.
const (
	runRuns   = "running"
	runFailed = "failed"
)

// run is the block of this run.
type run struct {
	boot string
	file File // nil: could not be opened, or not yet
}

// block is what the file says, as text: the boot, the word, and spaces.
func (r *run) block(word string) []byte {
	return fmt.Appendf(nil, "%-*s\n", runSize-1, r.boot+"\n"+word)
}

// failedBefore says why an earlier run of this boot makes this one stuck, or
// nil: a sync failed then, and what the disk has not written may count as clean
// in the page cache ever since (R3). That cannot be known is as bad. The block
// of another boot says nothing, nor does one that is no block.
func (s *Store) failedBefore() error {
	f, err := s.fs.Open(runFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	b := make([]byte, runSize)
	if err == nil {
		defer f.Close() // read only
		err = readFull(f, b, 0)
	}
	switch {
	case errors.Is(err, ErrDamaged):
		return nil // too short: the power went when it was new
	case err != nil:
		return fmt.Errorf("perhaps, in an earlier run: %w", err)
	}
	boot, word, _ := strings.Cut(string(b), "\n")
	if boot != s.run.boot || strings.TrimSpace(word) == runRuns {
		return nil
	}
	return errors.New("in an earlier run, since this machine was started")
}

// writeRun writes the block of this run. A disk that takes none is no reason not
// to start: then the block is written when there is more to say.
func (s *Store) writeRun(word string) {
	if s.run.file == nil {
		f, err := s.fs.Edit(runFile)
		if err != nil {
			return
		}
		s.run.file = f
	}
	s.run.file.WriteAt(s.run.block(word), 0) // if it fails, nothing else would do better
}
