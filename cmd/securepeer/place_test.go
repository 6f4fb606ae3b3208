package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"securepeer/node"
)

// other is a user that the tests are not.
const other = 54321

// TestWhatIsPlanted: others could have put a link or a pipe there, by owner
// and by mode of its folder.
func TestWhatIsPlanted(t *testing.T) {
	const me = 1000
	for _, c := range []struct {
		owner, folderOwner uint32
		mode               uint32
		want               bool
	}{
		{other, 0, 0o1777, true},  // as in /tmp
		{other, me, 0o1777, true}, // in a folder of mine that all may use
		{other, 0, 0o0777, true},  // all may do everything there
		{other, 0, 0o1770, true},  // a group's
		{other, 0, 0o2775, true},  // a group's without the sticky bit, which leaves more open
		{other, me, 0o0770, true}, // likewise in mine
		{other, 0, 0o0702, true},
		{other, other, 0o2775, false}, // in a folder of its own
		{me, 0, 0o1777, false},        // my own
		{0, me, 0o1777, false},        // root's
		{other, other, 0o1777, false}, // in a folder of its own
		{other, 0, 0o0755, false},     // root had it there
		{other, me, 0o0700, false},
	} {
		p := &spot{}
		p.stat.Uid, p.inDir.Uid = c.owner, c.folderOwner
		p.inDir.Mode |= c.mode
		if got := p.planted(me); got != c.want {
			t.Errorf("of user %d in a folder of user %d, mode %o: planted is %t", c.owner, c.folderOwner, c.mode, got)
		}
		p.theirs = true
		if got, want := p.planted(me), c.owner == other; got != want {
			t.Errorf("of user %d below a planted folder, mode %o: planted is %t", c.owner, c.mode, got)
		}
	}
}

// sticky makes a folder that all may use, as /tmp.
func sticky(t *testing.T) string { return shared(t, 0o777|fs.ModeSticky) }

// shared makes a folder of that mode.
func shared(t *testing.T, mode fs.FileMode) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sticky")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestGetWritesThroughNothingOfAnotherUser: with leave or without, and without
// waiting for the reader of a pipe. Only root can make what others own; for
// other users TestWhatIsPlanted has the rule.
func TestGetWritesThroughNothingOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	for _, c := range []struct {
		what string
		make func(dir string) (path string, err error)
	}{
		{"a link", func(dir string) (string, error) {
			return filepath.Join(dir, "l"), os.Symlink("../victim", filepath.Join(dir, "l"))
		}},
		{"a link to nothing", func(dir string) (string, error) {
			return filepath.Join(dir, "l"), os.Symlink("../nothing", filepath.Join(dir, "l"))
		}},
		{"a link to a folder", func(dir string) (string, error) {
			return filepath.Join(dir, "l", "victim"), os.Symlink("..", filepath.Join(dir, "l"))
		}},
		{"a link with a blank ending", func(dir string) (string, error) {
			return filepath.Join(dir, "l") + "/./victim", os.Symlink("..", filepath.Join(dir, "l"))
		}},
		{"a folder with a link in it", func(dir string) (string, error) {
			l := filepath.Join(dir, "l")
			return filepath.Join(l, "up", "victim"), errors.Join(os.Mkdir(l, 0o755), os.Symlink("../..", filepath.Join(l, "up")), os.Lchown(filepath.Join(l, "up"), other, other))
		}},
		{"a pipe", func(dir string) (string, error) {
			return filepath.Join(dir, "l"), syscall.Mkfifo(filepath.Join(dir, "l"), 0o666)
		}},
	} {
		for _, over := range []overwrite{false, true} {
			for _, mode := range []fs.FileMode{0o777 | fs.ModeSticky, 0o777, 0o775 | fs.ModeSetgid, 0o770} {
				dir := shared(t, mode)
				victim := filepath.Join(filepath.Dir(dir), "victim")
				path, err := c.make(dir)
				err = errors.Join(err, os.WriteFile(victim, []byte("mine"), 0o600), os.Lchown(filepath.Join(dir, "l"), other, other))
				if err != nil {
					t.Fatal(err)
				}
				for _, err := range []error{checkTarget(path, over), new(console).save(path, node.FileInfo{}, over, hello)} {
					if code := exitOf(err); code != exitRefused && (code != exitExists || bool(over)) {
						t.Errorf("%s, with leave %t: %v, want it refused", c.what, over, err)
					}
				}
				if b, err := os.ReadFile(victim); err != nil || string(b) != "mine" {
					t.Errorf("%s, with leave %t: the victim has %q, %v", c.what, over, b, err)
				}
				if _, err := os.Lstat(filepath.Join(filepath.Dir(dir), "nothing")); err == nil {
					t.Errorf("%s, with leave %t: a file was made where it leads", c.what, over)
				}
			}
		}
	}
}

// TestGetFollowsItsOwnUsersLinks: also in a folder that all may use.
func TestGetFollowsItsOwnUsersLinks(t *testing.T) {
	dir := sticky(t)
	top := filepath.Dir(dir)
	if err := errors.Join(os.Symlink("../target", filepath.Join(dir, "file")), os.Symlink("..", filepath.Join(dir, "folder")),
		os.Symlink("file", filepath.Join(dir, "twice")), os.Symlink("loop", filepath.Join(dir, "loop"))); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"file", "twice", "folder/target", "folder//./target", "../sticky/file"} {
		os.Remove(filepath.Join(top, "target")) // the first time it is not there: a link to nothing
		for range 2 {
			if err := new(console).save(dir+"/"+path, node.FileInfo{}, true, hello); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if b, err := os.ReadFile(filepath.Join(top, "target")); err != nil || string(b) != "hello" {
				t.Errorf("%s: the target holds %q, %v", path, b, err)
			}
		}
	}
	for _, link := range []string{"file", "folder", "twice"} {
		if _, err := os.Readlink(filepath.Join(dir, link)); err != nil {
			t.Errorf("%s is no link any more: %v", link, err)
		}
	}
	if err := new(console).save(filepath.Join(dir, "loop"), node.FileInfo{}, true, hello); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a link to itself: %v, want %v", err, syscall.ELOOP)
	}
	if got := entries(t, dir); len(got) != 4 {
		t.Errorf("the folder has %q, want the links alone", got)
	}
}

// TestGetWritesIntoAPipeOnlyWithLeave: and does not wait for its reader before
// it refuses.
func TestGetWritesIntoAPipeOnlyWithLeave(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	err := new(console).save(pipe, node.FileInfo{}, false, hello)
	if exitOf(err) != exitExists || !strings.Contains(hintOf(err), "--force") {
		t.Errorf("without leave: %v, hint %q", err, hintOf(err))
	}
	read := make(chan string)
	go func() { // ends with the writer
		b, err := os.ReadFile(pipe)
		read <- fmt.Sprint(string(b), err)
	}()
	if err := new(console).save(pipe, node.FileInfo{}, true, hello); err != nil {
		t.Error(err)
	}
	if got := <-read; got != "hello<nil>" {
		t.Errorf("the reader got %q", got)
	}
}

// TestGetOfJSONKeepsItFromTheBytes: whatever standard output is called.
func TestGetOfJSONKeepsItFromTheBytes(t *testing.T) {
	link, twice := filepath.Join(t.TempDir(), "l"), filepath.Join(t.TempDir(), "l")
	if err := errors.Join(os.Symlink("/dev/stdout", link), os.Symlink(link, twice)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"-", "/dev/stdout", "//dev//stdout", "/dev/./stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/fd/3", link, twice} {
		var out, told bytes.Buffer
		cmd := program("get", "f", "--json", "--dir", t.TempDir(), "-o", path)
		cmd.Stderr = &told
		r, w := pipe(t)
		cmd.Stdout, cmd.ExtraFiles = w, []*os.File{w}
		cmd.Run() // the exit code is looked at
		w.Close()
		if _, err := out.ReadFrom(r); err != nil || out.Len() > 0 || cmd.ProcessState.ExitCode() != int(exitUsage) {
			t.Errorf("-o %s ended with %v, %v, and wrote %q: %s", path, cmd.ProcessState, err, &out, &told)
		}
	}
}

// TestLinkToNowhereNamesIt: the folder that is missing, which the user's path
// does not show.
func TestLinkToNowhereNamesIt(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Symlink("sub/../gone/f", filepath.Join(dir, "l")), os.Mkdir(filepath.Join(dir, "sub"), 0o700)); err != nil {
		t.Fatal(err)
	}
	err := checkTarget(filepath.Join(dir, "l"), true)
	if err == nil || !strings.Contains(err.Error(), "which leads to "+filepath.Join(dir, "gone")+": no such file") {
		t.Errorf("checkTarget = %v, want the folder that is missing", err)
	}
}

// TestGetKeepsItsFolder: a user that puts another folder in the place of the one
// that get began in gets no file there.
func TestGetKeepsItsFolder(t *testing.T) {
	top := t.TempDir()
	dir, away, evil := filepath.Join(top, "dir"), filepath.Join(top, "away"), filepath.Join(top, "evil")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(evil, 0o700)); err != nil {
		t.Fatal(err)
	}
	err := new(console).save(filepath.Join(dir, "f"), node.FileInfo{}, true, func(w io.Writer) error {
		return errors.Join(hello(w), os.Rename(dir, away), os.Symlink(evil, dir))
	})
	if err != nil {
		t.Error(err)
	}
	if got := entries(t, evil); len(got) > 0 {
		t.Errorf("%q in another folder", got)
	}
	if got := entries(t, away); len(got) != 1 || got[0] != "f" {
		t.Errorf("%q in its folder, want f", got)
	}
}

// TestSavedModesObeyTheUmask: and nothing that was closed is opened.
func TestSavedModesObeyTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027))
	for _, c := range []struct {
		stored uint16
		was    fs.FileMode // 0: not there
		want   fs.FileMode
	}{
		{0o777, 0, 0o750}, {0o666, 0, 0o640}, {0o7777, 0, 0o750}, {0o4755, 0, 0o750}, {0, 0, 0o600}, {0o444, 0, 0o640},
		{0o777, 0o600, 0o700}, {0o640, 0o644, 0o640}, {0o666, 0o640, 0o640},
	} {
		path := filepath.Join(t.TempDir(), "f")
		if c.was != 0 {
			if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, c.was)); err != nil {
				t.Fatal(err)
			}
		}
		if err := new(console).save(path, node.FileInfo{Mode: c.stored}, true, hello); err != nil {
			t.Fatal(err)
		}
		if stat, err := os.Stat(path); err != nil || stat.Mode() != c.want {
			t.Errorf("stored with %o, over %o: mode %o, want %o", c.stored, c.was, stat.Mode(), c.want)
		}
	}
}

// TestGetIntoWhatTheShellOpened: needs no leave, goes on where the stream is,
// and reaches none of the program's own.
func TestGetIntoWhatTheShellOpened(t *testing.T) {
	dir := fakePeer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Securepeer-File", `{"name":"f","size":5}`)
		w.Header().Set("Trailer", "Securepeer-Result")
		io.WriteString(w, "hello")
		w.Header().Set("Securepeer-Result", `{"schema":"securepeer/get/1"}`)
	})
	link := filepath.Join(t.TempDir(), "l")
	if err := os.Symlink("/dev/stdout", link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		link: "before hello", "//dev//stdout": "before hello",
		"/dev/stdout": "before hello", "/dev/stderr": "before hello", "/dev/fd/3": "before hello", "/proc/self/fd/3": "before hello",
		"/dev/null": "before ", "/dev/fd/4": "", "/dev/fd/5": "", "/dev/fd/x": "", "/dev/fd/-1": "", "/dev/fd/77": "",
	} {
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("before ")
		cmd := program("get", "f", "--dir", dir, "-o", path)
		var told bytes.Buffer
		cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, &told, []*os.File{out}
		if path == "/dev/stderr" {
			cmd.Stdout, cmd.Stderr = &told, out
		}
		cmd.Run() // the exit code is looked at
		b, err := os.ReadFile(out.Name())
		out.Close()
		switch code := cmd.ProcessState.ExitCode(); {
		case err != nil:
			t.Fatal(err)
		case want == "" && (code == 0 || !strings.Contains(told.String(), "bad file descriptor")):
			t.Errorf("%s ended with %d: %s", path, code, told.String())
		case want != "" && (code != 0 || string(b) != want):
			t.Errorf("%s ended with %d: the stream has %q, want %q: %s", path, code, b, want, told.String())
		}
	}
}
