package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// maxKeyFileSize leaves room for comments; what is bigger is no key file.
const maxKeyFileSize = 64 << 10

// publicComment begins the comment that tells the public key. It is for
// people, but it is held to: a comment that names another key than the one in
// the file would send the wrong line into a roster.
const publicComment = "# public key: "

// WriteKeyFile writes s to a new file with permissions 0600, whatever the
// umask, and makes it durable. It never replaces a file: if path exists the
// error is [fs.ErrExist]. On another error the file it began is removed.
func WriteKeyFile(path string, s *Secret) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing key file: %w: a key is never overwritten; move it away or choose another path", err)
	}
	if err != nil {
		return fmt.Errorf("writing key file: %w", err)
	}
	err = writeAndClose(f, appendKeyFile(nil, s, time.Now()), 0o600)
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		os.Remove(path) // ours: O_EXCL made it; the first error is the one to tell
		return fmt.Errorf("writing key file %s: %w", path, err)
	}
	return nil
}

// ReadKeyFile reads the Secret of a key file. It refuses a file that is
// missing ([fs.ErrNotExist]), a symbolic link, not regular, open to or owned
// by anybody else, in a folder, or on a way, where somebody else can replace it, or longer than
// 64 KiB; and one that holds anything but one whole key and comments. Each
// error names the file and what to do.
func ReadKeyFile(path string) (*Secret, error) {
	s, err := readKeyFile(path)
	switch {
	case err == nil:
		return s, nil
	case errors.Is(err, syscall.ELOOP):
		return nil, fmt.Errorf("reading key file %s: it is a symbolic link: give the path of the file itself", path)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading key file %s: %w: make one with securepeer keygen", path, fs.ErrNotExist)
	}
	return nil, fmt.Errorf("reading key file %s: %w", path, err)
}

func readKeyFile(path string) (*Secret, error) {
	if err := checkTrail(filepath.Dir(path), os.Geteuid()); err != nil {
		return nil, err
	}
	b, err := readRegular(path, syscall.O_NOFOLLOW, maxKeyFileSize, func(info fs.FileInfo) error {
		owner := info.Sys().(*syscall.Stat_t).Uid
		return checkKeyAccess(path, info.Mode(), int(owner), os.Geteuid())
	})
	if err != nil {
		return nil, err
	}
	return parseKeyFile(b)
}

func checkKeyAccess(path string, mode fs.FileMode, owner, user int) error {
	if mode.Perm()&0o077 != 0 {
		return fmt.Errorf("others have access to it (mode %04o): run chmod 600 %s", mode.Perm(), path)
	}
	if owner != user {
		return fmt.Errorf("it belongs to user %d, this is user %d: run as its owner, or chown it", owner, user)
	}
	return nil
}

// appendKeyFile appends the text of a key file: two comments, and the secret.
func appendKeyFile(b []byte, s *Secret, created time.Time) []byte {
	b = append(b, "# securepeer key, created "...)
	b = created.UTC().AppendFormat(b, time.RFC3339)
	b = append(b, '\n')
	b = append(b, publicComment...)
	b = append(b, s.Public().String()...)
	b = append(b, '\n')
	b = append(b, s.Text()...)
	return append(b, '\n')
}

// parseKeyFile reads the text of a key file: one secret on a line of its own,
// comments and blank lines above and below it.
func parseKeyFile(b []byte) (*Secret, error) {
	var told faults
	var s *Secret
	keyLine := 0
	notes := ""
	notes += textLines(b, &told, func(l textLine) {
		notes += l.note
		if l.bad {
			return
		}
		if keyLine > 0 {
			told.add(l.number, "a second line that is no comment, after line %d: a key file holds one key", keyLine)
			return
		}
		keyLine = l.number
		var err error
		if s, err = ParseSecret(l.text); err != nil {
			told.add(l.number, "%v", err)
		}
	})
	if keyLine == 0 {
		told.add(0, "there is no key in it: it is empty or cut short")
	}
	if err := told.err(); err != nil {
		return nil, err
	}
	for note := range strings.Lines(notes) {
		text, ok := strings.CutPrefix(note, publicComment)
		if ok && strings.TrimSpace(text) != s.Public().String() {
			return nil, fmt.Errorf("the comment %q names another key than the file holds, %s: correct or remove it", strings.TrimSpace(publicComment), s.Public())
		}
	}
	return s, nil
}
