//go:build linux

package powercut

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	diskSize = 64 << 20

	// The ioctl of Linux that ends a file system, and its flag that leaves
	// the journal unflushed: fs/ext4/ext4.h, fs/xfs/libxfs/xfs_fs.h.
	ioctlShutdown   = 0x8004587d // _IOR('X', 125, __u32)
	shutdownNoFlush = 2
)

// disk is a file system in a file.
type disk struct {
	image, path string
}

// newDisk makes an ext4 with more arguments for mkfs.ext4, and mounts it. Loop
// devices end with the mount.
func newDisk(t *testing.T, name string, size int64, args ...string) *disk {
	t.Helper()
	d := &disk{image: work + "/" + name + ".img", path: work + "/" + name}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(d.image)
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, append(append([]string{"mkfs.ext4", "-q", "-F"}, args...), d.image)...)
	d.mount(t)
	return d
}

func (d *disk) mount(t *testing.T) {
	t.Helper()
	run(t, "mount", "-o", "loop", d.image, d.path)
}

func (d *disk) unmount(t *testing.T) {
	t.Helper()
	run(t, "umount", d.path)
}

// remove unmounts the disk and forgets what was on it.
func (d *disk) remove(t *testing.T) {
	t.Helper()
	d.unmount(t)
	for _, name := range []string{d.path, d.image} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// cut ends the disk as the end of power does: what is not on it by now, and in
// its journal, never will be. What is mounted answers with EIO from here on.
func (d *disk) cut() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close() // nothing was written through it
	return unix.IoctlSetPointerInt(int(f.Fd()), ioctlShutdown, shutdownNoFlush)
}
