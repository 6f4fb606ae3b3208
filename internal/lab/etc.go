//go:build linux

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// etcFolder is where ip netns keeps what processes in a namespace read in /etc.
const etcFolder = "/etc/netns"

// etc is the folder of a namespace's own files.
func (p *port) etc() string { return filepath.Join(etcFolder, filepath.Base(p.path)) }

// WriteEtc writes a file that processes started in the namespace from now on
// read as /etc/NAME, which must be a file of this machine. Those that run with
// an earlier one of the same name see the new bytes, as after an editor's save
// in place.
func (l *Lab) WriteEtc(id int, name, content string) error {
	dir := l.port(id).etc()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644)
}

// mountEtc gives the calling thread, and what it starts, the files of that
// folder in /etc, if there are any.
func mountEtc(dir string) error {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("making a mount namespace: %w", err)
	}
	// What is mounted here is not to be seen outside.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("parting from other mount namespaces: %w", err)
	}
	for _, f := range files {
		if err := unix.Mount(filepath.Join(dir, f.Name()), filepath.Join("/etc", f.Name()), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting a file on /etc/%s: %w", f.Name(), err)
		}
	}
	return nil
}
