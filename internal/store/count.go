package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Stored returns how many versions are here and the bytes of their files. Not
// known is that before [Store.Count] has ended, and after a file has been taken
// away by somebody else until it has again.
func (s *Store) Stored() (versions int, bytes int64, known bool) {
	known = true
	for i := range s.folders {
		d := &s.folders[i]
		d.names.Lock()
		versions, bytes, known = versions+len(d.entries), bytes+d.bytes, known && d.sized
		d.names.Unlock()
	}
	return versions, bytes, known
}

// Count has Stored know, from the names and the lengths of the files: it reads
// none. A folder's lock is held while its names are read, and never while files
// are measured, so that no commit waits for it (R4). Once all is known it
// costs no call of the disk. It ends with ctx.
func (s *Store) Count(ctx context.Context) error {
	if _, _, known := s.Stored(); known {
		return nil
	}
	names, err := s.fs.List("files")
	if err != nil {
		return fmt.Errorf("counting versions: %w", err)
	}
	there := make(map[int]bool)
	for _, name := range names {
		if n, ok := parseFolder(name); ok {
			there[n] = true
		}
	}
	for n := range s.folders {
		if !there[n] && s.countAbsent(n) {
			continue
		}
		if err := s.countFolder(ctx, n); err != nil {
			return fmt.Errorf("counting versions: %w", err)
		}
	}
	return nil
}

// countAbsent notes that nothing is in a folder that was not there. It reports
// false if this run may have made it since.
func (s *Store) countAbsent(n int) bool {
	d := &s.folders[n]
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made {
		return false
	}
	d.names.Lock()
	defer d.names.Unlock()
	d.read = true
	d.sized = len(d.entries) == 0
	return d.sized
}

// countFolder measures the files of a folder. What was named or went meanwhile
// has it look again; they are few.
func (s *Store) countFolder(ctx context.Context, n int) error {
	d := &s.folders[n]
	lengths := make(map[Version]int64)
	for {
		d.names.Lock()
		sized := d.sized
		d.names.Unlock()
		if sized || ctx.Err() != nil {
			return ctx.Err()
		}
		entries, err := s.namesOf(n, 0)
		if err != nil {
			return err
		}
		d.names.Lock()
		apart := slices.Clone(d.apart)
		d.names.Unlock()
		total, err := s.bytesApart(n)
		if err != nil {
			return err
		}
		for _, e := range entries {
			length, known := lengths[e.Version]
			if !known {
				if length, err = s.length(e); errors.Is(err, fs.ErrNotExist) {
					r, err := s.reopen(e, asOpened) // forgets it, if it is gone
					if err == nil {
						r.Close() // read only
					}
					continue
				}
				if err != nil {
					return err
				}
				lengths[e.Version] = length
			}
			total += length
		}
		d.names.Lock()
		if d.sized = slices.Equal(entries, d.entries) && slices.Equal(apart, d.apart); d.sized {
			d.bytes = total
		}
		d.names.Unlock()
	}
}

// bytesApart returns the length of all bytes in a folder that lie apart. Memory
// does not have their whole names.
func (s *Store) bytesApart(n int) (total int64, err error) {
	names, err := s.fs.List(folderPath(n))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	for _, name := range names {
		b, ok := parseBytesFile(name)
		if !ok || folderOf(b.key) != n {
			continue
		}
		length, err := s.lengthOf(b.path())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		total += length
	}
	return total, nil
}
