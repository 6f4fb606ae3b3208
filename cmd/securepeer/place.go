package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links a path may lead through, as the kernel
// has it.
const maxLinks = 40

// spot is where a file is, or is to be: a name in a folder that stays open,
// so that nobody can put another folder in its place meanwhile.
type spot struct {
	dir   int // a descriptor, which close closes
	inDir unix.Stat_t
	name  string
	path  string // as the user has it, for errors
	at    string // the folder, as path and links lead to it, for errors
	links int    // that were followed

	theirs bool // the folder, or one on the way to it, was planted

	there bool // something has that name, and stat is of it
	stat  unix.Stat_t
}

func (p *spot) close() { unix.Close(p.dir) } // nothing was written by it

// kind is the type of what is there.
func (p *spot) kind() uint32 { return uint32(p.stat.Mode) & unix.S_IFMT }

// locate follows path to its place, through symbolic links, but not through
// those that somebody may have planted. At the end of the path it follows one
// only if over: then the place is that of the file it points to, which need
// not be there.
func locate(path string, over overwrite) (*spot, error) {
	p := &spot{dir: -1, path: path}
	err := p.walk(strings.Split(path, "/"), over)
	if err == nil && strings.HasSuffix(path, "/") && !p.there {
		err = unix.ENOENT // of a folder
	}
	if err == nil {
		return p, nil
	}
	if p.dir >= 0 {
		p.close()
	}
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return nil, err
	}
	led := ""
	if p.links > 0 {
		led = ", which leads to " + name(filepath.Join(p.at, p.name))
	}
	return nil, fmt.Errorf("writing %s%s: %w", name(path), led, errno)
}

// walk goes on with the parts of a path, of which the first is "" if it begins
// at the root.
func (p *spot) walk(parts []string, over overwrite) error {
	if err := p.enter(unix.AT_FDCWD, start(parts)); err != nil {
		return err
	}
	for {
		parts = significant(parts)
		if len(parts) == 0 {
			parts = []string{"."}
		}
		p.name, parts = parts[0], parts[1:]
		last := len(significant(parts)) == 0
		err := unix.Fstatat(p.dir, p.name, &p.stat, unix.AT_SYMLINK_NOFOLLOW)
		if p.there = err == nil; last && errors.Is(err, unix.ENOENT) {
			return nil
		} else if err != nil {
			return err
		}
		switch link := p.kind() == unix.S_IFLNK; {
		case last && !(link && bool(over)):
			return nil
		case !link:
			err = p.enter(p.dir, p.name)
		case p.links == maxLinks:
			err = unix.ELOOP
		default:
			p.links++
			parts, err = p.follow(parts)
		}
		if err != nil {
			return err
		}
	}
}

// start is the folder at which the parts of a path begin.
func start(parts []string) string {
	if parts[0] == "" && len(parts) > 1 {
		return "/"
	}
	return "."
}

// significant leaves out what changes nothing at the beginning of a path.
func significant(parts []string) []string {
	for len(parts) > 0 && (parts[0] == "" || parts[0] == ".") {
		parts = parts[1:]
	}
	return parts
}

// enter makes the folder of that name, in the one that is open as at, the
// place's.
func (p *spot) enter(at int, name string) error {
	dir, err := unix.Openat(at, name, searchFolder|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if at == unix.AT_FDCWD {
		p.at, p.theirs = name, false
	} else {
		p.at, p.theirs = filepath.Join(p.at, name), p.planted(os.Geteuid())
	}
	if p.dir >= 0 {
		p.close()
	}
	p.dir = dir
	return unix.Fstat(dir, &p.inDir)
}

// follow returns the parts of the way on through the link that is there.
func (p *spot) follow(rest []string) ([]string, error) {
	if p.planted(os.Geteuid()) {
		return nil, p.refuse("link")
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(p.dir, p.name, target)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(string(target[:n]), "/")
	if start(parts) == "/" {
		err = p.enter(unix.AT_FDCWD, "/")
	}
	return append(parts, rest...), err
}

// planted reports whether what is there belongs to another user, which need not
// own its folder to have put it there: Linux's rule for protected_symlinks and
// protected_fifos, which not every system obeys, but for every folder that
// group or others can write to. The sticky bit keeps them from what is not
// theirs, not from making it. In a folder that was planted all is its owner's.
func (p *spot) planted(user int) bool {
	owner := p.stat.Uid
	if owner == uint32(user) || owner == 0 {
		return false
	}
	return p.theirs || p.inDir.Mode&0o022 != 0 && owner != p.inDir.Uid
}

func (p *spot) refuse(what string) error {
	return &fault{exitRefused, "choose another: -o FILE",
		fmt.Errorf("%s is, or leads through, a %s of user %d in a folder where others can write: nothing was written", name(p.path), what, p.stat.Uid)}
}

// check refuses what must not be written to, or not without leave.
func (p *spot) check(over overwrite) error {
	if !p.there {
		return nil
	}
	ours := p.stat.Uid == uint32(os.Geteuid()) || p.stat.Uid == 0
	switch p.kind() {
	case unix.S_IFDIR:
		return &fault{exitExists, "choose another: -o FILE", fmt.Errorf("%s is a folder", name(p.path))}
	case unix.S_IFREG, unix.S_IFLNK:
		if !over {
			return errExists(p.path)
		}
		return nil
	case unix.S_IFCHR:
		if ours {
			return nil // a terminal, or /dev/null
		}
	}
	switch {
	case p.planted(os.Geteuid()):
		return p.refuse("pipe or device")
	case !bool(over):
		return &fault{exitExists, "--force writes into it, -o FILE chooses another", fmt.Errorf("%s is a pipe or device", name(p.path))}
	}
	return nil
}

// special reports whether what is there takes bytes, and must not be replaced
// by a file.
func (p *spot) special() bool {
	return p.there && p.kind() != unix.S_IFREG && p.kind() != unix.S_IFLNK
}

// open opens the pipe or device that check has seen, and none that was put in
// its place since.
func (p *spot) open() (*os.File, error) {
	fd, err := unix.Openat(p.dir, p.name, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	for err == unix.EINTR {
		fd, err = unix.Openat(p.dir, p.name, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p.path, Err: err}
	}
	f := os.NewFile(uintptr(fd), p.path)
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil || now.Ino != p.stat.Ino || now.Dev != p.stat.Dev {
		f.Close() // nothing was written
		return nil, errors.Join(err, fmt.Errorf("%s was replaced meanwhile: nothing was written", name(p.path)))
	}
	return f, nil
}

// create makes a temporary file in the place's folder. Its mode is the
// writer's, with leave for us to read and write, less what the umask takes
// away, be it all; nobody else gets a leave that what is replaced did not give.
func (p *spot) create(mode fs.FileMode) (*os.File, error) {
	perm := uint32(mode.Perm()) | 0o600
	if p.there {
		perm &= uint32(p.stat.Mode) | 0o700
	}
	for n := 0; ; n++ {
		temp := fmt.Sprintf(tempForm, os.Getpid(), n)
		fd, err := unix.Openat(p.dir, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, perm)
		if err == nil {
			return os.NewFile(uintptr(fd), filepath.Join(filepath.Dir(p.path), temp)), nil
		} else if err != unix.EEXIST {
			return nil, &fs.PathError{Op: "open", Path: temp, Err: err}
		}
	}
}

// remove removes a temporary file. It is what is done after an error, which is
// the one to tell.
func (p *spot) remove(temp *os.File) { unix.Unlinkat(p.dir, filepath.Base(temp.Name()), 0) }

// publish gives temp the place's name. Without leave to overwrite it takes a
// hard link, which fails if the name was taken meanwhile; where there are no
// hard links, a look before the rename has to do.
func (p *spot) publish(temp *os.File, over overwrite) error {
	from := filepath.Base(temp.Name())
	if !over {
		err := unix.Linkat(p.dir, from, p.dir, p.name, 0)
		switch {
		case err == nil:
			return unix.Unlinkat(p.dir, from, 0)
		case errors.Is(err, fs.ErrExist):
			return errExists(p.path)
		case !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOSYS):
			return err
		}
		if err := unix.Fstatat(p.dir, p.name, &p.stat, unix.AT_SYMLINK_NOFOLLOW); err == nil {
			return errExists(p.path)
		}
	}
	return unix.Renameat(p.dir, from, p.dir, p.name)
}

// opened returns the number of what the shell has opened for the program, if
// path names that, itself or by links of this user and root.
func opened(path string) (number string, ok bool) {
	for range maxLinks {
		if !strings.Contains(path, "..") { // behind a link it is not what it looks like
			path = filepath.Clean(path)
		}
		switch path {
		case "/dev/stdout":
			return "1", true
		case "/dev/stderr":
			return "2", true
		}
		for _, folder := range []string{"/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/"} {
			if rest, found := strings.CutPrefix(path, folder); found && !strings.Contains(rest, "/") {
				return rest, true
			}
		}
		var stat unix.Stat_t
		target, err := os.Readlink(path)
		if err != nil || unix.Lstat(path, &stat) != nil || stat.Uid != 0 && stat.Uid != uint32(os.Geteuid()) {
			return "", false
		}
		if !filepath.IsAbs(target) {
			target = filepath.Dir(path) + "/" + target
		}
		path = target
	}
	return "", false
}

// isStdout reports whether what is written to path ends up among the results.
func (c *console) isStdout(path string) bool {
	f, _ := stream(path) // an error comes again when it is written to
	if f == nil {
		return false
	}
	defer f.Close() // nothing was written
	number, _ := opened(path)
	out, ok := c.stdout.(*os.File)
	if !ok {
		return number == "1"
	}
	here, err := f.Stat()
	there, thereErr := out.Stat()
	return number == "1" || err == nil && thereErr == nil && os.SameFile(here, there)
}

// stream opens what the shell has opened for the program, if path names that:
// writing goes on where it is. nil: it names something else.
func stream(path string) (*os.File, error) {
	number, ok := opened(path)
	if !ok {
		return nil, nil
	}
	fd, err := strconv.ParseUint(number, 10, 31)
	if err == nil {
		var flags int
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC != 0 { // one of the program's own
			err = unix.EBADF
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: unix.EBADF}
	}
	copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(copied), path), nil
}

// pour writes to a pipe, a device or a stream, and closes it.
func pour(f *os.File, fill func(io.Writer) error) error {
	return errors.Join(fill(f), f.Close())
}

// date gives temp the time that its file had where it was put. A file system
// that cannot keep it is no reason to refuse the bytes, and so is a time that
// it cannot have.
func (p *spot) date(temp *os.File, at time.Time) {
	mtime, err := unix.TimeToTimespec(at)
	if at.IsZero() || err != nil {
		return
	}
	now, err := unix.TimeToTimespec(time.Now())
	if err == nil {
		unix.UtimesNanoAt(p.dir, filepath.Base(temp.Name()), []unix.Timespec{now, mtime}, unix.AT_SYMLINK_NOFOLLOW)
	}
}
