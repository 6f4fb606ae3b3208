// Package powercut proves on real disks what docs/durability.md promises. It
// runs the program as it is shipped, seven peers on seven ext4 file systems, and
// cuts the power of all disks together: FS_IOC_SHUTDOWN without a flush of the
// journal, as xfstests' godown does, SIGKILL, mount, start. It also holds the
// order of system calls, has each call fail, and damages each kind of file.
//
// Everything is inside namespaces of mounts, processes and network that end
// with the test, so that one that is killed leaves nothing. It needs root, loop
// devices, mkfs.ext4 and strace.
package powercut
