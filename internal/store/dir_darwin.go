package store

import "golang.org/x/sys/unix"

// syncFS is not done: sync(2) tells no error.
func syncFS(string) (done bool, err error) { return false, nil }

// doubt names the file system: of none on this system a power cut was tried.
func doubt(path string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "a file system that cannot be told"
	}
	return unix.ByteSliceToString(st.Fstypename[:])
}

// bootID is a random UUID that the kernel draws when it starts.
func bootID() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
