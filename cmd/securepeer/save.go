package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"securepeer/node"
)

// overwrite says whether a file that is there already may be replaced.
type overwrite bool

// save puts what fill writes under path, whole or not at all: it goes to a
// temporary file in the same folder first. It does not wait for the disk: the
// ring still has the file. A stream that the shell has opened, as /dev/stdout,
// a terminal and /dev/null just get the bytes, other devices and pipes with
// leave; with leave a symbolic link stays one, and the file it points to is
// replaced. Nothing that another user may have planted is written to.
func (c *console) save(path string, info node.FileInfo, over overwrite, fill func(io.Writer) error) error {
	if f, err := stream(path); err != nil {
		return err
	} else if f != nil {
		return pour(f, fill)
	}
	p, err := locate(path, over)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.check(over); err != nil {
		return err
	}
	if p.special() {
		f, err := p.open()
		if err != nil {
			return err
		}
		return pour(f, fill)
	}
	return writing(path, c.replace(p, info, over, fill))
}

// replace makes the file at p.
func (c *console) replace(p *spot, info node.FileInfo, over overwrite, fill func(io.Writer) error) (err error) {
	var temp *os.File
	forget, err := c.interrupts.leaves(func() (func(), error) {
		var err error
		if temp, err = p.create(fs.FileMode(info.Mode)); err != nil {
			return nil, err
		}
		return func() { p.remove(temp) }, nil
	})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			p.remove(temp) // the first error is the one to tell
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
	p.date(temp, info.Mtime)
	return p.publish(temp, over)
}

// writing is err with the name of the user's file for that of the temporary
// one, which means nothing to anybody.
func writing(path string, err error) error {
	var file *fs.PathError
	var plain unix.Errno
	switch {
	case errors.As(err, &file) && isTemp(file.Path):
		return fmt.Errorf("writing %s: %w", name(path), file.Err)
	case !errors.As(err, &file) && errors.As(err, &plain):
		return fmt.Errorf("writing %s: %w", name(path), plain)
	}
	return err
}

// takesBytes reports whether path is neither file nor folder, so that what
// else is said could end up behind the bytes.
func takesBytes(path string) bool {
	if f, _ := stream(path); f != nil {
		f.Close() // nothing was written
		return true
	}
	stat, err := os.Stat(path)
	return err == nil && !stat.Mode().IsRegular() && !stat.IsDir()
}

// checkTarget refuses early what save would refuse after the transfer.
func checkTarget(path string, over overwrite) error {
	f, err := stream(path)
	if f != nil {
		f.Close() // nothing was written
	}
	if f != nil || err != nil {
		return err
	}
	p, err := locate(path, over)
	if err != nil {
		return err
	}
	defer p.close()
	return p.check(over)
}

func errExists(path string) error {
	return &fault{exitExists, "--force overwrites it, -o FILE chooses another", fmt.Errorf("%s exists already", name(path))}
}

// tempForm is the name of a temporary file: the process, and a number.
const tempForm = ".securepeer-%d-%d.part"

func isTemp(path string) bool {
	var pid, n int
	_, err := fmt.Sscanf(filepath.Base(path), tempForm, &pid, &n)
	return err == nil
}
