package main

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// wholeFile reads a regular file as long as it was when it was opened. In place
// of io.EOF it gives an error if what it gave may be a mixture of what was in
// the file at different times. It asks the descriptor, not the path: a file that
// another one takes the place of is stored as it was opened.
//
// A file that is longer at the end counts as whole if its beginning, read once
// more, is what was given: that is a log. No reader can see a writer that sets
// back the times, or one through a shared memory map, which sets them later, or
// one that leaves the file in the middle of a change that takes longer than its
// reading.
type wholeFile struct {
	f      *os.File
	start  int64  // where reading began: standard input may be past its beginning
	before moment // at the open
	young  bool   // before does not tell what is written after it
	at     int64  // the next byte
	hash   maphash.Hash
	grown  int64 // bytes that were added meanwhile
}

// moment is what tells whether a file has been changed since.
type moment struct {
	size         int64
	mtime, ctime time.Time
	links        uint64
}

func momentOf(f *os.File) (m moment, err error) {
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		return m, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return moment{s.Size, time.Unix(s.Mtim.Unix()), time.Unix(s.Ctim.Unix()), uint64(s.Nlink)}, nil
}

// touched reports whether the file may have been written to between two
// moments at which it had the same size. Its ctime is also that of its links:
// a rename over its name says nothing about its bytes.
func (m moment) touched(later moment) bool {
	return !m.mtime.Equal(later.mtime) || !m.ctime.Equal(later.ctime) && m.links == later.links
}

// A file's times tell of a later write if it was left alone for quietTime: two
// writes may have the same time, for up to 10 ms by a slow kernel clock, and a
// write has the time of its beginning, behind which its bytes come when its
// process gets to run. File systems that keep whole seconds may keep every
// second one (FAT).
const (
	quietTime  = 100 * time.Millisecond
	coarseTime = 2 * time.Second
)

// settles returns how long it takes until the file has been left alone for so
// long: until then it is what git calls racily clean.
func (m moment) settles(now time.Time) (wait time.Duration) {
	quiet := quietTime
	if m.mtime.Nanosecond() == 0 && m.ctime.Nanosecond() == 0 {
		quiet = coarseTime
	}
	for _, t := range []time.Time{m.mtime, m.ctime} {
		if age := now.Sub(t); age >= 0 && age < quiet {
			wait = max(wait, quiet-age)
		}
	}
	return wait
}

func newWholeFile(f *os.File, start int64) (*wholeFile, error) {
	w := &wholeFile{f: f, start: start, at: start}
	var err error
	if w.before, err = momentOf(f); err != nil {
		return nil, err
	}
	if wait := w.before.settles(time.Now()); wait > 0 && w.before.size > start {
		time.Sleep(wait)
		if w.before, err = momentOf(f); err != nil {
			return nil, err
		}
		w.young = w.before.settles(time.Now()) > 0
	}
	return w, nil
}

func (w *wholeFile) Read(p []byte) (int, error) {
	left := w.before.size - w.at
	if left == 0 {
		return 0, w.verdict()
	}
	n, err := w.f.ReadAt(p[:min(int64(len(p)), left)], w.at)
	w.hash.Write(p[:n])
	w.at += int64(n)
	if err == nil || n > 0 {
		return n, nil // an error comes again
	}
	if err == io.EOF || errors.Is(err, unix.ESPIPE) {
		err = w.verdict()
	}
	return 0, err
}

// verdict is io.EOF if what was given is whole.
func (w *wholeFile) verdict() error {
	_, err := w.f.ReadAt(make([]byte, 1), w.before.size)
	more := err == nil
	if w.young {
		time.Sleep(w.before.settles(time.Now()))
	}
	after, err := momentOf(w.f)
	switch {
	case err != nil:
		return err
	case after.size < w.before.size, after.size == w.before.size && w.before.touched(after):
		return errChanged
	case w.at < w.before.size, more && after.size == w.before.size:
		return errMisstated
	case after.size == w.before.size && !w.young:
		return io.EOF
	case !w.same():
		return errChanged
	}
	w.grown = after.size - w.before.size
	return io.EOF
}

// same reads the file once more and reports whether it gives the same bytes.
func (w *wholeFile) same() bool {
	var again maphash.Hash
	again.SetSeed(w.hash.Seed())
	size := w.at - w.start
	n, err := io.CopyBuffer(struct{ io.Writer }{&again}, io.NewSectionReader(w.f, w.start, size), make([]byte, 256<<10))
	return err == nil && n == size && again.Sum64() == w.hash.Sum64()
}

// Close closes the file.
func (w *wholeFile) Close() error { return w.f.Close() }

// errChanged says that a file was written to while it was read, errMisstated
// that it has another size than it says.
var (
	errChanged   = errors.New("changed while it was read")
	errMisstated = errors.New("has another size than it says")
)

// unstated reads a file that says that it has no bytes to its end. If it then
// says another size it is a file that somebody is just writing.
type unstated struct{ *wholeFile }

func (u *unstated) Read(p []byte) (int, error) {
	n, err := u.f.Read(p)
	if err != io.EOF {
		return n, err
	}
	after, statErr := momentOf(u.f)
	if statErr != nil {
		return n, statErr
	}
	if after.size != u.before.size {
		u.f.Seek(u.start, io.SeekStart) // standard input is read again from there
		return n, errChanged
	}
	return n, io.EOF
}

// read has put store what file gives, once more if it was changed while it was
// read, or has another size than it says.
func (a *app) read(file string, opt putOptions, put func(*source) error) error {
	for again := true; ; again = false {
		src, err := a.open(file, opt)
		if err != nil {
			return err
		}
		err = put(src)
		src.Close() // read only: closing loses nothing
		switch {
		case !again:
		case errors.Is(err, errMisstated):
			opt.asIs = true
			continue
		case errors.Is(err, errChanged):
			a.notef("%s was changed while it was read: it is read again", inputName(file))
			continue
		}
		if errors.Is(err, errChanged) {
			return &fault{exitOther, "put it when nothing writes to it, or a snapshot of it; --as-is stores what was read",
				fmt.Errorf("%s was changed while it was read, twice: nothing is stored", inputName(file))}
		}
		return err
	}
}

// inputName is what a FILE of put is called in words.
func inputName(file string) string {
	if file == "-" {
		return stdinName
	}
	return name(file)
}

const stdinName = "standard input"
