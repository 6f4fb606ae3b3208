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

var testTime = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestKeyFileReadsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	s := testSecret(t, "alice")
	if err := WriteKeyFile(path, s); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("mode %v, want -rw-------", info.Mode())
	}
	got, err := ReadKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Text() != s.Text() {
		t.Error("another secret came back")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "# securepeer key, created 20") || lines[1] != "# public key: "+s.Public().String() || lines[2] != s.Text() || lines[3] != "" {
		t.Errorf("the key file has other lines than expected, public ones: %q", lines[:2])
	}
}

func TestKeyFileIsNeverOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := WriteKeyFile(path, testSecret(t, "alice")); err != nil {
		t.Fatal(err)
	}
	err := WriteKeyFile(path, testSecret(t, "bob"))
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("the second WriteKeyFile = %v, want fs.ErrExist with the path", err)
	}
	s, err := ReadKeyFile(path)
	if err != nil || s.Text() != testSecret(t, "alice").Text() {
		t.Errorf("the first key is gone: %v", err)
	}
	if err := WriteKeyFile(filepath.Join(path, "below"), testSecret(t, "bob")); err == nil {
		t.Error("wrote below a file")
	}
}

// No umask makes a key file readable by others, or unreadable by its owner.
func TestKeyFileModeWhateverTheUmask(t *testing.T) {
	folder := t.TempDir()
	for _, mask := range []int{0, 0o277, 0o777} {
		path := filepath.Join(folder, "key"+fs.FileMode(mask).String())
		old := syscall.Umask(mask)
		err := WriteKeyFile(path, testSecret(t, "alice"))
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKeyFile(path); err != nil {
			t.Errorf("umask %04o: %v", mask, err)
		}
	}
}

func TestReadKeyFileRefuses(t *testing.T) {
	folder := t.TempDir()
	secret := testSecret(t, "alice").Text()
	write := func(name, text string, mode fs.FileMode) string {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good", secret+"\n", 0o600)
	if _, err := ReadKeyFile(good); err != nil {
		t.Fatalf("the smallest key file: %v", err)
	}
	if _, err := ReadKeyFile(write("strict", secret+"\n", 0o400)); err != nil {
		t.Errorf("a key file of mode 0400: %v", err)
	}
	link, pipe := filepath.Join(folder, "link"), filepath.Join(folder, "pipe")
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	open := write("open/key", secret+"\n", 0o600)
	if err := os.Chmod(filepath.Dir(open), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, path, want string }{
		{"missing", filepath.Join(folder, "none"), "keygen"},
		{"in a missing folder", filepath.Join(folder, "none", "key"), "keygen"},
		{"a folder", folder, "not a regular file but a folder"},
		{"a pipe", pipe, "not a regular file but a pipe"},
		{"a device", os.DevNull, "not a regular file but a device"},
		{"a symbolic link", link, "symbolic link"},
		{"group may read", write("g", secret+"\n", 0o640), "mode 0640): run chmod 600 " + folder},
		{"others may read", write("o", secret+"\n", 0o604), "mode 0604): run chmod 600 " + folder},
		{"group may write", write("w", secret+"\n", 0o620), "chmod 600"},
		{"group may execute", write("x", secret+"\n", 0o610), "chmod 600"},
		{"in an open folder", open, "mode 0777), and so put another file into it: run chmod go-w " + filepath.Dir(open)},
		{"empty", write("empty", "", 0o600), "no key in it"},
		{"comments only", write("comments", "# "+secret+"\n", 0o600), "no key in it"},
		{"two keys", write("two", secret+"\n"+testSecret(t, "bob").Text()+"\n", 0o600), "line 2: a second line"},
		{"the same key twice", write("twice", secret+"\n"+secret+"\n", 0o600), "line 2: a second line"},
		{"a public key", write("public", testPublic(t, "alice").String()+"\n", 0o600), "this is a public key"},
		{"lower case", write("lower", strings.ToLower(secret)+"\n", 0o600), "written in upper case"},
		{"garbage", write("garbage", "\x7fELF\x02\x01\n", 0o600), "line 1: the line"},
		{"no newline", write("cut", secret, 0o600), "cut short"},
		{"long", write("long", strings.Repeat("#\n", maxKeyFileSize/2)+secret+"\n", 0o600), "longer than 65536 bytes"},
		{"carriage returns", write("crlf", secret+"\r\n", 0o600), "CR LF"},
		{"another's comment", write("another", publicComment+testPublic(t, "bob").String()+"\n"+secret+"\n", 0o600), "names another key"},
		{"another's comment below", write("below", secret+"\n"+publicComment+testPublic(t, "bob").String()+"\n", 0o600), "names another key"},
	} {
		s, err := ReadKeyFile(c.path)
		if err == nil || s != nil {
			t.Errorf("%s: read", c.name)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: %v, want the path and %q", c.name, err, c.want)
		}
		if strings.Contains(strings.ToUpper(err.Error()), secret[:24]) {
			t.Errorf("%s: the error shows the secret", c.name)
		}
	}
	if _, err := ReadKeyFile(filepath.Join(folder, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v, want fs.ErrNotExist", err)
	}
}

func TestKeyFileOfAnotherOwner(t *testing.T) {
	if err := checkKeyAccess("key", 0o600, 1000, 1001); err == nil || !strings.Contains(err.Error(), "belongs to user 1000, this is user 1001") {
		t.Errorf("checkKeyAccess = %v, want the two users", err)
	}
	if err := checkKeyAccess("key", 0o600, 1000, 1000); err != nil {
		t.Errorf("checkKeyAccess = %v, want none", err)
	}
}

// A key file cut short anywhere is refused.
func TestEveryPrefixOfAKeyFileIsRefused(t *testing.T) {
	b := appendKeyFile(nil, testSecret(t, "alice"), testTime)
	for n := range len(b) {
		if _, err := parseKeyFile(b[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were read", n, len(b))
		}
	}
	if _, err := parseKeyFile(b); err != nil {
		t.Error(err)
	}
}

// Any bit changed in a key file without other comments than the one that is
// checked: refused. In text that is for people alone a changed bit may read,
// but never as another key.
func TestEveryChangedBitOfAKeyFile(t *testing.T) {
	s := testSecret(t, "alice")
	bare := []byte(s.Text() + "\n")
	eachBit(bare, func(i int, b []byte) {
		if _, err := parseKeyFile(b); err == nil {
			t.Errorf("bit %d of byte %d changed: read", i%8, i/8)
		}
	})
	whole := appendKeyFile(nil, s, testTime)
	public := strings.Index(string(whole), "sp1")
	secret := strings.Index(string(whole), s.Text())
	read := 0
	eachBit(whole, func(i int, b []byte) {
		got, err := parseKeyFile(b)
		if err != nil {
			return
		}
		read++
		if got.Text() != s.Text() {
			t.Errorf("bit %d of byte %d changed: another key", i%8, i/8)
		}
		if at := i / 8; at >= secret || at >= public && at < secret-1 {
			t.Errorf("bit %d of byte %d, %q, changed: read", i%8, at, whole[at])
		}
	})
	if read == 0 {
		t.Error("no comment may be changed")
	}
}

func eachBit(b []byte, f func(i int, changed []byte)) {
	changed := append([]byte(nil), b...)
	for i := range len(b) * 8 {
		changed[i/8] ^= 1 << (i % 8)
		f(i, changed)
		changed[i/8] = b[i/8]
	}
}
