//go:build linux

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// folder is where ip netns looks for namespaces.
	folder = "/run/netns"
	// prefix begins the name of each of ours.
	prefix = "securepeer-lab-"
)

// owner is the process that a namespace belongs to. A process id alone is used
// again, so the time of its start goes with it.
type owner struct {
	pid   int
	start uint64 // in clock ticks since boot; 0: it does not run
}

// name returns the name of a namespace of the owner's: PREFIX, its process id
// and start, the number of the lab and of the namespace.
func (o owner) name(series uint64, id int) (string, error) {
	if o.start == 0 {
		return "", fmt.Errorf("reading when process %d began: /proc does not say", o.pid)
	}
	return fmt.Sprintf("%s%d-%d-%d-%d", prefix, o.pid, o.start, series, id), nil
}

// ownerOf returns whom a name says that the namespace belongs to. It reports
// false if it is none of ours.
func ownerOf(name string) (o owner, ok bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	fields := strings.Split(rest, "-")
	if !ok || len(fields) != 4 {
		return owner{}, false
	}
	var numbers [4]uint64
	for i, f := range fields {
		n, err := strconv.ParseUint(f, 10, 63)
		if err != nil {
			return owner{}, false
		}
		numbers[i] = n
	}
	return owner{int(numbers[0]), numbers[1]}, true
}

// startOf returns when a process began, or 0 if it has ended.
func startOf(pid int) uint64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	start, _ := parseStart(stat)
	return start
}

// parseStart reads the start, field 22, from a /proc/PID/stat. It reports
// false for a process that has ended and waits for its parent.
func parseStart(stat []byte) (uint64, bool) {
	// Field 2, in parentheses, is the program's name, with any bytes in it.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // from field 3
	if len(fields) < 20 || bytes.ContainsAny(fields[0], "ZX") {
		return 0, false
	}
	start, err := strconv.ParseUint(string(fields[19]), 10, 64)
	return start, err == nil
}

// shareFolder makes the folder of namespaces a mount of its own, as the first
// "ip netns add" does. Were that made later, it would hide what is mounted here
// before, and nobody could remove that.
func shareFolder() error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", folder, "none", unix.MS_SHARED|unix.MS_REC, "")
	if !errors.Is(err, unix.EINVAL) { // it is one already, or something else is wrong
		return err
	}
	return errors.Join(
		unix.Mount(folder, folder, "none", unix.MS_BIND|unix.MS_REC, ""),
		unix.Mount("", folder, "none", unix.MS_SHARED|unix.MS_REC, ""))
}

// sweep removes the namespaces whose owner has ended, and kills what still
// runs in them: the peers of a test that was killed.
func sweep() error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		o, ours := ownerOf(e.Name())
		if !ours || startOf(o.pid) == o.start {
			continue
		}
		path := filepath.Join(folder, e.Name())
		errs = append(errs, killInside(path), remove(path))
	}
	return errors.Join(errs...)
}

// remove removes a namespace and its files. The kernel frees it when the last process and
// socket in it has ended. Another process that sweeps may have been faster.
func remove(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // EINVAL: nothing is mounted there
		return fmt.Errorf("unmounting %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(filepath.Join(etcFolder, filepath.Base(path)))
}

// killInside kills the processes that are in a namespace. One that ends
// meanwhile is no error.
func killInside(path string) error {
	wanted, err := identify(path)
	if err != nil {
		return nil // nothing can be in what is not there
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range processes {
		if is, err := identify(dir + "/ns/net"); err != nil || is != wanted {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if err := kill(pid, dir, wanted); err != nil {
			errs = append(errs, fmt.Errorf("killing process %d, which is in %s: %w", pid, path, err))
		}
	}
	return errors.Join(errs...)
}

// kill kills a process if it is in the wanted namespace. Between finding it
// and killing it, the number could have become another process's: so it is
// held first, and looked at again.
func kill(pid int, dir string, wanted file) error {
	held, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(held)
	if is, err := identify(dir + "/ns/net"); err != nil || is != wanted {
		return nil
	}
	if err := unix.PidfdSendSignal(held, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// file is what makes a file, and so a namespace, itself.
type file struct{ device, inode uint64 }

func identify(path string) (file, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return file{}, err
	}
	return file{uint64(st.Dev), st.Ino}, nil
}
