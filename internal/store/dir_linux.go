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

// doubt is of [FS]. The numbers are those of statfs(2); with one of them an
// ext4 without a journal cannot be told from one with it.
func doubt(path string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "a file system that cannot be told"
	}
	return doubtOf(uint32(st.Type))
}

// doubtOf is doubt for the number of a file system (R5).
func doubtOf(magic uint32) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
		return ""
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.RAMFS_MAGIC:
		return "ramfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	case unix.NFS_SUPER_MAGIC:
		return "NFS"
	case unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.SMB_SUPER_MAGIC:
		return "CIFS"
	case unix.V9FS_MAGIC:
		return "9p"
	case unix.FUSE_SUPER_MAGIC:
		return "FUSE"
	case unix.MSDOS_SUPER_MAGIC, unix.EXFAT_SUPER_MAGIC:
		return "FAT"
	}
	return fmt.Sprintf("a file system of number %#x", magic)
}

// bootID is a random UUID that the kernel draws when it starts.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
