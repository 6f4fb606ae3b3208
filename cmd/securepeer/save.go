package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"securepeer/node"
)

// overwrite says whether a file that is there already may be replaced.
type overwrite bool

// save puts what fill writes under path, whole or not at all: it goes to a
// temporary file in the same folder first. It does not wait for the disk: the
// ring still has the file. A path that is a device or a pipe just gets the
// bytes; a symbolic link stays one.
func (c *console) save(path string, info node.FileInfo, over overwrite, fill func(io.Writer) error) (err error) {
	if isDevice(path) {
		return pour(path, fill)
	}
	if err := checkTarget(path, over); err != nil {
		return err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	var temp *os.File
	forget, err := c.interrupts.leaves(func() (func(), error) {
		var err error
		if temp, err = createTemp(path, fs.FileMode(info.Mode)); err != nil {
			return nil, err
		}
		return func() { os.Remove(temp.Name()) }, nil
	})
	if err != nil {
		return writing(path, err)
	}
	defer func() {
		err = writing(path, err)
		if err != nil {
			os.Remove(temp.Name()) // the first error is the one to tell
		}
		forget()
	}()
	err = fill(temp)
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if !info.Mtime.IsZero() {
		// The time belongs to the file as its writer had it. A file system
		// that cannot keep it is no reason to refuse the bytes.
		os.Chtimes(temp.Name(), time.Time{}, info.Mtime)
	}
	return publish(temp.Name(), path, over)
}

// writing is err with the name of the user's file for that of the temporary
// one, which means nothing to anybody.
func writing(path string, err error) error {
	var file *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &file) && isTemp(file.Path):
		return fmt.Errorf("writing %s: %w", name(path), file.Err)
	case errors.As(err, &link) && isTemp(link.Old):
		return fmt.Errorf("writing %s: %w", name(path), link.Err)
	}
	return err
}

// isDevice reports whether path is there and is neither file nor folder: what
// must not be replaced by a file.
func isDevice(path string) bool {
	stat, err := os.Stat(path)
	return err == nil && !stat.Mode().IsRegular() && !stat.IsDir()
}

// pour writes to a device or pipe.
func pour(path string, fill func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = fill(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// checkTarget refuses early what publish would refuse after the transfer.
func checkTarget(path string, over overwrite) error {
	stat, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case stat.IsDir():
		return &fault{exitExists, "choose another: -o FILE", fmt.Errorf("%s is a folder", name(path))}
	case !bool(over) && !isDevice(path):
		return errExists(path)
	}
	return nil
}

func errExists(path string) error {
	return &fault{exitExists, "--force overwrites it, -o FILE chooses another", fmt.Errorf("%s exists already", name(path))}
}

// createTemp makes a file beside path, with the mode that path is to have: its
// writer's, less what the umask takes away, and always ours to read and write.
func createTemp(path string, mode fs.FileMode) (*os.File, error) {
	for n := 0; ; n++ {
		temp := filepath.Join(filepath.Dir(path), fmt.Sprintf(tempForm, os.Getpid(), n))
		f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode.Perm()|0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// tempForm is the name of a temporary file: the process, and a number.
const tempForm = ".securepeer-%d-%d.part"

func isTemp(path string) bool {
	var pid, n int
	_, err := fmt.Sscanf(filepath.Base(path), tempForm, &pid, &n)
	return err == nil
}

// publish gives temp its name. Without leave to overwrite it takes a hard
// link, which fails if the name was taken meanwhile; where there are no hard
// links, a look before the rename has to do.
func publish(temp, path string, over overwrite) error {
	if !over {
		err := os.Link(temp, path)
		switch {
		case err == nil:
			return os.Remove(temp)
		case errors.Is(err, fs.ErrExist):
			return errExists(path)
		case !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOTSUP) && !errors.Is(err, syscall.ENOSYS):
			return err
		}
		if err := checkTarget(path, over); err != nil {
			return err
		}
	}
	return os.Rename(temp, path)
}
