package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Implementation constants.
const (
	socketName = "control.sock"

	// maxSocketPath is what the shortest sockaddr_un takes, that of macOS,
	// with the zero at its end: 104 bytes. Linux has 108.
	maxSocketPath = 103

	// bufferSize is how many bytes move through the socket at once: with the
	// 32 KiB of io.Copy the system calls are what a big file costs.
	bufferSize = 256 << 10
)

// SocketPath is where the peer of folder dir listens.
func SocketPath(dir string) string { return filepath.Join(dir, socketName) }

// Listen makes the socket in dir, with permissions 0600. The caller holds the
// lock of the folder's store, so a socket that is there already is what an
// ended peer left, or what one that is just ending still has open, and is
// replaced. Nobody removes it at the end: between the lock's release and the
// removal, another peer could have made its own.
func Listen(dir string) (net.Listener, error) {
	path := SocketPath(dir)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("replacing control socket: %w", err)
	}
	var listener *net.UnixListener
	err := withShortPath(path, func(short string) (err error) {
		listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making control socket %s: %w", path, err)
	}
	listener.SetUnlinkOnClose(false)
	// Until here the umask decides; the check of the caller's user id stands
	// behind it.
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return nil, fmt.Errorf("protecting control socket: %w", err)
	}
	return listener, nil
}

// dial opens a connection to the peer of folder dir.
func dial(ctx context.Context, dir string) (conn net.Conn, err error) {
	path := SocketPath(dir)
	var dialer net.Dialer
	err = withShortPath(path, func(short string) error {
		conn, err = dialer.DialContext(ctx, "unix", short)
		return err
	})
	switch {
	case err == nil:
		if err := checkServer(conn.(*net.UnixConn), dir, os.Geteuid()); err != nil {
			conn.Close()
			return nil, err
		}
		widen(conn)
		return streamConn{conn}, nil
	case errors.Is(err, syscall.ENOTDIR):
		e := newError(CodeNotRunning, fmt.Sprintf("no peer is running in %q: that is no folder", dir))
		e.Hint = "name the peer's folder with --dir"
		return nil, e
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		e := newError(CodeNotRunning, fmt.Sprintf("no peer is running in %q", dir))
		e.Hint = "start one with: securepeer start (or name its folder with --dir)"
		return nil, e
	case errors.Is(err, fs.ErrPermission):
		e := newError(CodeRefused, fmt.Sprintf("this user may not reach %q: %v", path, syscall.EACCES))
		e.Hint = "run as the user that started the peer"
		return nil, e
	}
	return nil, fmt.Errorf("reaching the peer in %q: %w", dir, err)
}

// checkServer refuses a peer that is neither ours nor root's: where others may
// write to the folder they can put a socket of their own there, and would get
// what is to be stored. Root asks for the folder's owner.
func checkServer(conn *net.UnixConn, dir string, own int) error {
	uid, err := userOf(conn)
	if err != nil {
		return fmt.Errorf("asking whose peer runs in %q: %w", dir, err)
	}
	whose := "to you"
	if own == 0 {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("asking whose folder %q is: %w", dir, err)
		}
		own, whose = int(info.Sys().(*syscall.Stat_t).Uid), "to the folder's owner"
	}
	if admits(uid, own) {
		return nil
	}
	e := newError(CodeRefused, fmt.Sprintf("the socket in %q belongs to user %d, not %s: nothing was sent to it", dir, uid, whose))
	e.Hint = "name a folder of your own with --dir; if this one is yours, let nobody else write to it: chmod 700"
	return e
}

// withShortPath calls f with a name of path that fits the address of a Unix
// socket. A longer one is reached through a symbolic link in a temporary
// folder of our own, which is gone when f returns: the socket itself is
// always at path.
func withShortPath(path string, f func(short string) error) error {
	if len(path) <= maxSocketPath {
		return f(path)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "sp")
	if err != nil { // TMPDIR may name a folder that is not there
		temp, err = os.MkdirTemp("/tmp", "sp")
	}
	if err != nil { // %v: it is no error of path
		return fmt.Errorf("a socket's path has at most %d bytes, this one %d, and a short way to it cannot be made: %v: choose a shorter folder, or set TMPDIR", maxSocketPath, len(path), err)
	}
	defer os.RemoveAll(temp) // at worst an empty folder stays
	link := filepath.Join(temp, "d")
	if err := os.Symlink(dir, link); err != nil {
		return err
	}
	short := filepath.Join(link, filepath.Base(path))
	if len(short) > maxSocketPath {
		return fmt.Errorf("a socket's path has at most %d bytes, this one %d, and so has one in %s: choose a shorter folder, or set TMPDIR", maxSocketPath, len(path), temp)
	}
	return f(short)
}

// widen gives a socket place for what is written to it at once, as far as the
// system lets it: else each write stops in its middle until the other side has
// read. That is a fifth of the processor time of a get.
func widen(conn net.Conn) {
	if c, ok := conn.(*net.UnixConn); ok {
		c.SetWriteBuffer(2 * bufferSize) // an error leaves it slower, no more
	}
}

// streamConn moves what net/http copies into it with large buffers.
type streamConn struct{ net.Conn }

// ReadFrom is called by net/http for the body of a request.
func (c streamConn) ReadFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{c.Conn}, struct{ io.Reader }{r}, make([]byte, bufferSize))
}
