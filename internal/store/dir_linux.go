package store

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// syncFS syncs the file system that the folder is in. It is not done where the
// kernel does not say whether that failed: before Linux 5.8, see syncfs(2).
func syncFS(path string) (done bool, err error) {
	if !syncfsTells() {
		return false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return true, err
	}
	defer f.Close() // nothing was written through it
	for {
		switch err := unix.Syncfs(int(f.Fd())); {
		case errors.Is(err, syscall.EINTR): // nothing has been done
		case errors.Is(err, syscall.ENOSYS):
			return false, nil
		case err != nil:
			return true, &os.PathError{Op: "syncfs", Path: path, Err: err}
		default:
			return true, nil
		}
	}
}

func syncfsTells() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return n == 2 && (major > 5 || major == 5 && minor >= 8)
}

// bootID is a random UUID that the kernel draws when it starts.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
