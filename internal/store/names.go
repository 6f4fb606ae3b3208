package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"sync"
)

// namesFile is a cache of the names of files, of which the names of versions have
// only hashes: records one after the other, in any order.
//
//	length 2 | name
//
// It is appended to and never synced. A record has no checksum: a name whose hash
// no version here has is dead, whatever made it so, and a name that is missing is
// in the version's manifest.
const namesFile = "state/names"

// MaxFileName is the length of the longest name in the cache, in bytes.
const MaxFileName = 1024

// namesCache is the open file.
type namesCache struct {
	mu   sync.Mutex
	file File // nil: there is none, or none that can be written
	end  int64
}

// ReadNames calls f for each record of the cache of names, and reports whether it
// ended with one: what a crash or a fault of the disk has cut off is read from
// the manifests. Nothing in the cache is to be believed unless a version here has
// its hash. Records are added where the reading ended.
func (s *Store) ReadNames(f func(name string)) (whole bool, err error) {
	c := &s.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked()
	file, err := s.fs.Open(namesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading names: %w", err)
	}
	defer file.Close() // read only
	size, err := file.Size()
	if err != nil {
		return false, fmt.Errorf("reading names: %w", err)
	}
	r := bufio.NewReaderSize(io.NewSectionReader(file, 0, size), 1<<16)
	for record := make([]byte, 2+MaxFileName); ; {
		if _, err := io.ReadFull(r, record[:2]); err != nil {
			return err == io.EOF, nil
		}
		n := int(binary.BigEndian.Uint16(record))
		if n == 0 || n > MaxFileName {
			return false, nil
		}
		if _, err := io.ReadFull(r, record[2:2+n]); err != nil {
			return false, nil
		}
		c.end += int64(2 + n)
		f(string(record[2 : 2+n]))
	}
}

// AddNames appends names to the cache. What a disk does not take is read from the
// manifests by the next run.
func (s *Store) AddNames(names iter.Seq[string]) {
	c := &s.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.Stuck() != nil {
		return
	}
	if c.file == nil {
		file, err := s.fs.Edit(namesFile)
		if err != nil {
			return
		}
		c.file = file
	}
	end, err := writeNames(c.file, c.end, names)
	if c.end = end; err != nil {
		c.closeLocked() // the next one tries again, at the same place
		c.end = end
	}
}

// ReplaceNames writes the cache anew, with these names alone. If that fails the
// old one stays, which is as good.
func (s *Store) ReplaceNames(names iter.Seq[string]) {
	c := &s.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	file, temp, err := s.newTemp()
	if err != nil {
		return
	}
	end, err := writeNames(file, 0, names)
	if err = errors.Join(err, file.Close()); err == nil {
		err = s.fs.Rename(temp, namesFile)
	}
	if err != nil {
		s.fs.Remove(temp) // see prepare
		return
	}
	c.closeLocked()
	c.end = end
}

// closeLocked lets the file go, of which nothing is known then.
func (c *namesCache) closeLocked() {
	if c.file != nil {
		c.file.Close() // a cache: what is not written is read from the manifests
	}
	c.file, c.end = nil, 0
}

// writeNames writes records from end on, and returns where those end that were
// written whole.
func writeNames(file File, end int64, names iter.Seq[string]) (int64, error) {
	var b []byte
	flush := func() error {
		if _, err := file.WriteAt(b, end); err != nil {
			return err
		}
		end, b = end+int64(len(b)), b[:0]
		return nil
	}
	for name := range names {
		if name == "" || len(name) > MaxFileName {
			continue
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
		if b = append(b, name...); len(b) >= 1<<16 {
			if err := flush(); err != nil {
				return end, err
			}
		}
	}
	return end, flush()
}
