package keys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// entry is what Lstat says of something.
type entry struct {
	mode     fs.FileMode
	uid, gid uint32
}

func (e entry) Name() string       { return "x" }
func (e entry) Size() int64        { return 0 }
func (e entry) Mode() fs.FileMode  { return e.mode }
func (e entry) ModTime() time.Time { return time.Time{} }
func (e entry) IsDir() bool        { return e.mode.IsDir() }
func (e entry) Sys() any           { return &syscall.Stat_t{Uid: e.uid, Gid: e.gid} }

// TestStrictModes has sshd's rule for a folder on the way.
func TestStrictModes(t *testing.T) {
	const me, mine, theirs = 1000, 100, 200
	primary := func(uid uint32) (uint32, bool) { return mine, uid == me }
	for _, c := range []struct {
		mode fs.FileMode
		uid  uint32
		gid  uint32
		want string // "": passes
	}{
		{0o755, me, mine, ""}, {0o700, 0, 0, ""}, {0o555, 0, theirs, ""},
		{0o775, me, mine, ""}, // a group of its own
		{0o777 | fs.ModeSticky, 0, 0, ""},
		{0o777 | fs.ModeSticky, me, mine, ""},
		{0o770 | fs.ModeSticky, 0, theirs, ""},
		{0o775, me, theirs, "its group can write to the folder DIR (mode 0775), and so put another file into it: run chmod go-w DIR"},
		{0o775, 0, mine, "its group can write"}, // root's own group is another one
		{0o777, me, mine, "everybody can write"},
		{0o702, me, mine, "everybody can write"},
		{0o755, 1001, mine, "DIR belongs to user 1001, who can change it; this is user 1000"},
		{0o777 | fs.ModeSticky, 1001, mine, "DIR belongs to user 1001"},
	} {
		e := entry{fs.ModeDir | c.mode, c.uid, c.gid}
		err := checkOwner("DIR", e, me)
		if err == nil {
			err = checkFolderMode("DIR", e, primary)
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v of %d:%d: %v, want %q", c.mode, c.uid, c.gid, err, c.want)
		}
	}
}

// TestRosterAndItsFolderHaveOneRule for the group of their owner.
func TestRosterAndItsFolderHaveOneRule(t *testing.T) {
	primary := func(uid uint32) (uint32, bool) { return 100, uid == 1000 }
	for _, uid := range []uint32{0, 1000} {
		for _, gid := range []uint32{100, 200} {
			for mode := range fs.FileMode(0o1000) {
				file := checkRosterMode("r", entry{mode, uid, gid}, primary)
				folder := checkFolderMode("d", entry{fs.ModeDir | mode, uid, gid}, primary)
				want := mode&0o002 != 0 || mode&0o020 != 0 && (uid != 1000 || gid != 100)
				if (file != nil) != want || (folder != nil) != want {
					t.Errorf("mode %o of %d:%d: %v, %v", mode, uid, gid, file, folder)
				}
			}
		}
	}
}

// TestRosterWhoseWayIsOpen: whoever can change what a roster's path leads to
// can let itself in, whatever the mode of the file; so with a key, and with
// the folder of a peer. Each step of the way is opened in turn.
func TestRosterWhoseWayIsOpen(t *testing.T) {
	r, err := NewRoster("attic")
	if err != nil {
		t.Fatal(err)
	}
	top := t.TempDir()
	at := func(path string) string { return filepath.Join(top, path) }
	err = errors.Join(os.MkdirAll(at("a/b/c"), 0o700), os.MkdirAll(at("l/m"), 0o700),
		os.WriteFile(at("a/b/c/roster"), r.Append(nil), 0o644), WriteKeyFile(at("a/b/c/key"), testSecret(t, "alice")),
		os.Symlink("../../a/b", at("l/m/folder")), os.Symlink("m/folder/c/roster", at("l/roster")), os.Symlink(at("l/m"), at("a/absolute")))
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string][]string{ // what each leads through
		"a/b/c/roster":                    {"a", "a/b", "a/b/c"},
		"l/roster":                        {"l", "l/m", "a", "a/b", "a/b/c"},
		"a/absolute/folder/../b/c/roster": {"a", "l", "l/m", "a/b", "a/b/c"},
	}
	for path, through := range paths {
		read := func() error {
			_, err := LoadRoster(top + "/" + path)
			return err
		}
		if err := read(); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, folder := range []string{"a", "a/b", "a/b/c", "l", "l/m"} {
			for _, mode := range []fs.FileMode{0o777, 0o702, 0o777 | fs.ModeSticky} {
				if err := os.Chmod(at(folder), mode); err != nil {
					t.Fatal(err)
				}
				err := read()
				if want := contains(through, folder) && mode&fs.ModeSticky == 0; (err != nil) != want {
					t.Errorf("%s with %s of mode %v: %v", path, folder, mode, err)
				} else if want && (!strings.Contains(err.Error(), "chmod go-w "+at(folder)) || !strings.HasPrefix(err.Error(), "reading roster ")) {
					t.Errorf("%s with %s of mode %v: %v, want the command for it", path, folder, mode, err)
				}
				if err := os.Chmod(at(folder), 0o700); err != nil {
					t.Fatal(err)
				}
			}
		}
		if os.Geteuid() != 0 { // only root can give something away
			continue
		}
		for _, thing := range append(through, path) {
			if info, err := os.Lstat(at(thing)); err != nil || info.Mode()&fs.ModeSymlink != 0 && thing != "l/roster" {
				continue
			}
			if err := os.Lchown(at(thing), 54321, 0); err != nil {
				t.Fatal(err)
			}
			if err := read(); err == nil || !strings.Contains(err.Error(), "belongs to user 54321") {
				t.Errorf("%s with %s of another user: %v", path, thing, err)
			}
			if err := os.Lchown(at(thing), 0, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, mode := range []fs.FileMode{0o777, 0o702} {
		if err := os.Chmod(at("a/b"), mode); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"a key": func() error { _, err := ReadKeyFile(at("a/b/c/key")); return err }(), "a peer's folder": CheckFolder(at("a/b/c")),
			"a new folder": CheckFolder(at("a/b/new")), "a new roster": WriteRoster(at("a/b/new"), r), "an old roster": WriteRoster(at("a/b/c/roster"), r),
		} {
			if err == nil || !strings.Contains(err.Error(), "chmod go-w "+at("a/b")) {
				t.Errorf("%s below a folder of mode %v: %v", what, mode, err)
			}
		}
	}
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// TestPeersFolderIsNotShared: /tmp is a place on the way, and no peer's folder.
func TestPeersFolderIsNotShared(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if err := CheckFolder(dir); err == nil || !strings.Contains(err.Error(), "chmod go-w "+dir) {
		t.Errorf("CheckFolder = %v", err)
	}
	for _, path := range []string{filepath.Join(dir, "new"), filepath.Join(dir, "new", "newer")} {
		if err := CheckFolder(path); err != nil {
			t.Errorf("CheckFolder(%s) = %v", path, err)
		}
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	if err := CheckFolder(loop); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("CheckFolder of a link to itself = %v", err)
	}
}
