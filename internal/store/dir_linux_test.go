package store

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestFileSystemsThatAreDoubted: those of docs/durability.md keep what they
// have synced, and every other one is named.
func TestFileSystemsThatAreDoubted(t *testing.T) {
	for _, c := range []struct {
		magic uint32
		want  string
	}{
		{unix.EXT4_SUPER_MAGIC, ""},
		{unix.XFS_SUPER_MAGIC, ""},
		{unix.BTRFS_SUPER_MAGIC, ""},
		{unix.TMPFS_MAGIC, "tmpfs"},
		{unix.RAMFS_MAGIC, "ramfs"},
		{unix.OVERLAYFS_SUPER_MAGIC, "overlay"},
		{unix.NFS_SUPER_MAGIC, "NFS"},
		{unix.CIFS_SUPER_MAGIC, "CIFS"},
		{unix.SMB2_SUPER_MAGIC, "CIFS"},
		{unix.SMB_SUPER_MAGIC, "CIFS"},
		{unix.V9FS_MAGIC, "9p"},
		{unix.FUSE_SUPER_MAGIC, "FUSE"},
		{unix.MSDOS_SUPER_MAGIC, "FAT"},
		{unix.EXFAT_SUPER_MAGIC, "FAT"},
		{0x1234abcd, "a file system of number 0x1234abcd"},
	} {
		if got := doubtOf(c.magic); got != c.want {
			t.Errorf("%#x is %q, want %q", c.magic, got, c.want)
		}
	}
	if got := doubt(t.TempDir() + "/none"); got == "" {
		t.Error("a folder that is not there is on a disk that keeps it")
	}
	if got := doubt("/proc"); got == "" {
		t.Error("/proc keeps what it has synced")
	}
}
