//go:build unix

package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"syscall"
)

// Dir returns the [FS] of the folder at path. Files are made with mode 0600,
// folders with 0700.
func Dir(path string) FS { return dirFS(path) }

type dirFS string

func (d dirFS) path(name string) string { return filepath.Join(string(d), name) }

// Lock holds a flock on the folder itself, so there is no lock file that a
// crash could leave behind.
func (d dirFS) Lock() (io.Closer, error) {
	if err := mkdirAll(string(d)); err != nil {
		return nil, err
	}
	f, err := os.Open(string(d))
	if err != nil {
		return nil, err
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		f.Close()
		return nil, fmt.Errorf("%s: %w", string(d), ErrInUse)
	case err != nil:
		f.Close()
		return nil, &os.PathError{Op: "flock", Path: string(d), Err: err}
	}
	return f, nil
}

// mkdirAll makes a folder and the missing ones above it, each synced into the
// one above: a data folder that a power cut could take away holds nothing.
func mkdirAll(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err := mkdirAll(filepath.Dir(path)); err != nil {
			return err
		}
		err = os.Mkdir(path, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func (d dirFS) Mkdir(dir string) error { return os.Mkdir(d.path(dir), 0o700) }

func (d dirFS) Create(name string) (File, error) {
	f, err := os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err // not f: a nil *os.File in a File is not nil
	}
	return dirFile{f}, nil
}

func (d dirFS) Open(name string) (File, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	return dirFile{f}, nil
}

func (d dirFS) Edit(name string) (File, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return dirFile{f}, nil
}

func (d dirFS) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d dirFS) Remove(name string) error { return os.Remove(d.path(name)) }

func (d dirFS) SyncDir(dir string) error { return syncDir(d.path(dir)) }

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // nothing was written through it
	return f.Sync()
}

// SyncAll syncs the file system, or else each folder of versions and those
// above it.
func (d dirFS) SyncAll() error {
	if done, err := syncFS(string(d)); done {
		return err
	}
	names, err := d.List("files")
	if err != nil {
		return err
	}
	for _, name := range names {
		if n, ok := parseFolder(name); ok {
			if err := d.SyncDir(folderPath(n)); err != nil {
				return err
			}
		}
	}
	return errors.Join(d.SyncDir("files"), d.SyncDir("."))
}

func (d dirFS) Boot() string { return bootID() }

func (d dirFS) Doubt() string { return doubt(string(d)) }

func (d dirFS) List(dir string) ([]string, error) {
	f, err := os.Open(d.path(dir))
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only
	return f.Readdirnames(-1)
}

func (d dirFS) Space() (free, total int64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(string(d), &st); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: string(d), Err: err}
	}
	return spaceOf(st.Bavail, uint64(st.Bsize)), spaceOf(st.Blocks, uint64(st.Bsize)), nil
}

// NoInodes is false where the file system counts no inodes, as btrfs.
func (d dirFS) NoInodes() bool {
	var st syscall.Statfs_t
	return syscall.Statfs(string(d), &st) == nil && st.Files > 0 && st.Ffree == 0
}

// spaceOf returns the bytes of so many blocks, at most what an int64 holds: a
// file system without a bound says any number. One that has given away what it
// keeps for root says a negative one, which is nothing.
func spaceOf(blocks, size uint64) int64 {
	if int64(blocks) < 0 {
		return 0
	}
	hi, lo := bits.Mul64(blocks, size)
	if hi > 0 || lo > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(lo)
}

type dirFile struct{ *os.File }

func (f dirFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}
