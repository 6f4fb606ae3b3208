package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/zeebo/blake3"
)

// MaxState is the largest state, in bytes: room for a saved view of the
// largest roster.
const MaxState = 32 << 20

// maxStateName is in characters.
const maxStateName = 64

// idFile holds the format of the data folder and its id, in the form of a state.
const (
	idFile = "store-id"
	format = 2
)

// WriteState replaces the small file name of the peer's own, whole and synced
// when it returns nil; a crash leaves the old one or the new one. A name is 1
// to 64 small letters, digits and hyphens. The error is ErrFull without space
// and ErrStuck if a sync failed, now or before.
func (s *Store) WriteState(name string, data []byte) error {
	if err := checkStateName(name); err != nil {
		return err
	}
	if len(data) > MaxState {
		return fmt.Errorf("writing state %s: %d bytes, at most %d", name, len(data), MaxState)
	}
	if err := s.writeChecked("state/"+name, "state", data); err != nil {
		return fmt.Errorf("writing state %s: %w", name, err)
	}
	return nil
}

// ReadState returns what WriteState wrote. The error is ErrNotFound if there
// is no such state, and ErrDamaged as well if it is not what was written.
func (s *Store) ReadState(name string) ([]byte, error) {
	if err := checkStateName(name); err != nil {
		return nil, err
	}
	data, err := s.readChecked("state/" + name)
	if err != nil {
		return nil, fmt.Errorf("reading state %s: %w", name, err)
	}
	return data, nil
}

func checkStateName(name string) error {
	ok := len(name) >= 1 && len(name) <= maxStateName
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if !ok {
		return fmt.Errorf("%q is no name for a state", name)
	}
	return nil
}

// stateCheck is the end of a state's file. The name is in it, so that one
// state never passes for another.
func stateCheck(name string, data []byte) [HashSize]byte {
	h := blake3.New()
	h.WriteString(name)
	h.Write([]byte{0})
	h.Write(data)
	var sum [HashSize]byte
	h.Sum(sum[:0])
	return sum
}

// writeChecked writes data and its checksum to a file in dir.
func (s *Store) writeChecked(name, dir string, data []byte) error {
	sum := stateCheck(path.Base(name), data)
	temp, err := s.writeTemp(append(append(make([]byte, 0, len(data)+len(sum)), data...), sum[:]...))
	if err != nil {
		return err
	}
	s.dirs.Lock()
	defer s.dirs.Unlock()
	if err = s.Stuck(); err == nil {
		err = diskError(s.fs.Rename(temp, name))
	}
	if err != nil {
		s.fs.Remove(temp) // see prepare
		return err
	}
	return s.syncDirLocked(dir)
}

// writeTemp writes, syncs and closes a file in tmp/.
func (s *Store) writeTemp(b []byte) (temp string, err error) {
	f, temp, err := s.newTemp()
	if err != nil {
		return "", err
	}
	if err := s.fill(f, b); err != nil {
		s.fs.Remove(temp) // see prepare
		return "", err
	}
	return temp, nil
}

// fill writes, syncs and closes f. After an error f is to be removed, so how
// its Close ends says nothing more.
func (s *Store) fill(f File, b []byte) error {
	if _, err := f.WriteAt(b, 0); err != nil {
		f.Close()
		return diskError(err)
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return s.syncFailed(err)
	}
	return diskError(f.Close())
}

// readChecked reads what writeChecked wrote.
func (s *Store) readChecked(name string) ([]byte, error) {
	f, err := s.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only
	length, err := f.Size()
	if err != nil {
		return nil, err
	}
	if length < HashSize || length > MaxState+HashSize {
		return nil, fmt.Errorf("file of %d bytes: %w", length, ErrDamaged)
	}
	b := make([]byte, length)
	if err := readFull(f, b, 0); err != nil {
		return nil, err
	}
	data, sum := b[:length-HashSize], b[length-HashSize:]
	if want := stateCheck(path.Base(name), data); string(sum) != string(want[:]) {
		return nil, fmt.Errorf("checksum: %w", ErrDamaged)
	}
	return data, nil
}
