package store

import "io"

// FS is the disk under a [Store], seen from the data folder: every name is
// relative to it, with slashes; "." is the folder itself. [Dir] is the one of
// the operating system; package simdisk has one that fails and forgets.
//
// All methods may be called from several goroutines at once.
type FS interface {
	// Lock takes the data folder for this process, making the folder first
	// if it is missing. The error is ErrInUse if another process has it.
	Lock() (io.Closer, error)

	// Mkdir makes a folder; the error is fs.ErrExist if there is one.
	Mkdir(dir string) error

	// Create makes a file that is not there yet, for writing.
	Create(name string) (File, error)

	// Open opens a file for reading.
	Open(name string) (File, error)

	// Rename gives a file another name, replacing what has that name.
	Rename(from, to string) error

	// Remove removes a file, or a folder with nothing in it.
	Remove(name string) error

	// Edit opens a file for reading and writing, and makes it if it is
	// missing.
	Edit(name string) (File, error)

	// SyncDir forces the names in a folder to disk. What the names stand for
	// is not synced by it.
	SyncDir(dir string) error

	// SyncAll forces to disk all that lay in the data folder when it was
	// called: names, and where the system has a sync of a whole file system
	// that tells its errors, bytes too.
	SyncAll() error

	// List returns the names in a folder, in any order.
	List(dir string) ([]string, error)

	// Space returns the bytes free for this process and the size of the disk.
	Space() (free, total int64, err error)

	// NoInodes reports whether no file can be made, however many bytes are
	// free.
	NoInodes() bool

	// Doubt names the file system if it is none of those that are known to
	// keep what they have synced: "" if it is one.
	Doubt() string

	// Boot names the time since this machine was last started, in at most 48
	// characters; "" where the system has no name for it. What the kernel
	// holds of a disk it holds for that long.
	Boot() string
}

// File is an open file of an [FS]. There is no preallocation: Create asks
// Space instead, which refuses a file that is too large as early, works on
// every file system, and leaves nothing to take back.
type File interface {
	io.ReaderAt // of one from Open or Edit
	io.WriterAt // of one from Create or Edit

	// Size returns the length of the file in bytes.
	Size() (int64, error)

	// Sync forces the bytes of the file to disk, not its name.
	Sync() error

	Close() error
}
