package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links a path may lead through.
const maxLinks = 40

// CheckFolder refuses a folder of a peer in which, or on the way to which,
// somebody else than this user and root could put a file of his own: a key, a
// roster, a store. One that is not there yet is refused only for its way.
func CheckFolder(path string) error {
	err := checkTrail(path, os.Geteuid())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if mode := info.Mode(); mode&fs.ModeSticky != 0 && mode.Perm()&0o022 != 0 { // which is no more than a place on the way
		return fmt.Errorf("others can put files into %s (mode %04o): choose a folder of your own, or run chmod go-w %s", path, mode.Perm(), path)
	}
	return nil
}

// checkTrail follows path from the root, also through symbolic links, and
// refuses what sshd's StrictModes refuses: a folder that belongs to somebody
// else than user and root, or in which others can put another file in the
// place of what path leads to. The first that is refused is told, with the
// command that mends it; nobody else can change what it passed before. The end
// of the path, if it is no folder, is for its opener to check.
func checkTrail(path string, user int) error {
	if !filepath.IsAbs(path) {
		here, err := os.Getwd()
		if err != nil {
			return err
		}
		path = here + "/" + path // not cleaned: .. behind a link is not what it looks like
	}
	at, rest := "/", strings.Split(path, "/")
	for links := 0; ; {
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		if err := checkOwner(at, info, user); err != nil {
			return err
		}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if links++; links > maxLinks {
				return &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
			}
			target, err := os.Readlink(at)
			if err != nil {
				return err
			}
			at, rest = filepath.Dir(at), append(strings.Split(target, "/"), rest...)
			if filepath.IsAbs(target) {
				at = "/"
			}
		case info.IsDir():
			if err := checkFolderMode(at, info, primaryGroup); err != nil {
				return err
			}
		}
		for len(rest) > 0 && (rest[0] == "" || rest[0] == ".") {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return nil
		}
		at, rest = filepath.Join(at, rest[0]), rest[1:] // at has no links, so .. is its parent
	}
}

// checkOwner refuses what belongs to somebody else than user and root.
func checkOwner(path string, info fs.FileInfo, user int) error {
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	if owner == user || owner == 0 {
		return nil
	}
	return fmt.Errorf("%s belongs to user %d, who can change it; this is user %d: run as its owner, or run chown -h %d %s", path, owner, user, user, path)
}

// checkFolderMode refuses a folder in which others than its owner can put
// another file in the place of one: not one with the sticky bit, as /tmp has
// it, and not one that its owner's own group can write to.
func checkFolderMode(path string, info fs.FileInfo, primary func(uid uint32) (gid uint32, ok bool)) error {
	mode := info.Mode()
	who := writers(info, primary)
	if mode&fs.ModeSticky != 0 || who == "" {
		return nil
	}
	return fmt.Errorf("%s can write to the folder %s (mode %04o), and so put another file into it: run chmod go-w %s", who, path, mode.Perm(), path)
}

// writers names those that can write to a file or folder beside its owner; ""
// if it is nobody, or the owner's own group.
func writers(info fs.FileInfo, primary func(uid uint32) (gid uint32, ok bool)) string {
	stat := info.Sys().(*syscall.Stat_t)
	switch perm := info.Mode().Perm(); {
	case perm&0o002 != 0:
		return "everybody"
	case perm&0o020 == 0:
		return ""
	}
	if gid, ok := primary(stat.Uid); ok && gid == stat.Gid {
		return ""
	}
	return "its group"
}

// primaryGroup is the group that a user has in the system's list. A user that
// is not there has the group that this process has, if it is the user's.
func primaryGroup(uid uint32) (gid uint32, ok bool) {
	if u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		n, err := strconv.ParseUint(u.Gid, 10, 32)
		return uint32(n), err == nil
	}
	return uint32(os.Getegid()), int(uid) == os.Geteuid()
}
