package control

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"securepeer/node"
)

// A client sends nothing to a socket that another user put into the folder.
func TestClientAsksWhoseSocketItIs(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, socketName)
	listener, server := listenAsAnother(t, path)
	defer listener.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := checkServer(conn.(*net.UnixConn), dir, server); err != nil {
		t.Errorf("a server of our own: %v", err)
	}
	var refused *Error
	err = checkServer(conn.(*net.UnixConn), dir, server+1)
	if !errors.As(err, &refused) || refused.Code != CodeRefused || !strings.Contains(refused.Message, "belongs to user") || refused.Hint == "" {
		t.Errorf("a server of user %d, asked by %d: %v, want %s", server, server+1, err, CodeRefused)
	}
	if os.Geteuid() == server {
		return // only root can be somebody else
	}
	if _, err := New(dir).Status(context.Background()); !errors.As(err, &refused) || refused.Code != CodeRefused {
		t.Errorf("root, in a folder of root: %v, want %s", err, CodeRefused)
	}
	if err := os.Chown(dir, server, server); err != nil {
		t.Fatal(err)
	}
	if err := checkServer(conn.(*net.UnixConn), dir, 0); err != nil {
		t.Errorf("root, in the folder of the server's user: %v", err)
	}
}

// listenAsAnother listens as another user if we are root, whom everybody
// trusts, and as ourselves otherwise; it returns as whom.
func listenAsAnother(t *testing.T, path string) (listener net.Listener, uid int) {
	t.Helper()
	uid = os.Geteuid()
	if uid == 0 {
		uid = 65534
		dir := filepath.Dir(path)
		if err := errors.Join(os.Chmod(dir, 0o777), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with its user
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			err = errno
			return
		}
		listener, err = net.Listen("unix", path)
	}()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	return listener, uid
}

// TestSocketErrorIsWhatItIs: a folder for short names that is not there, or a
// socket that this user may not reach, is no missing peer.
func TestSocketErrorIsWhatItIs(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	fake(t, deep, func(w http.ResponseWriter, r *http.Request) { send(w, Status{Name: "deep"}) })
	if s, err := New(deep).Status(t.Context()); err != nil || s.Name != "deep" {
		t.Errorf("with a TMPDIR that is not there: %+v, %v", s, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(file).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "that is no folder") {
		t.Errorf("a file for a folder: %v", err)
	}
	loop := filepath.Join(t.TempDir(), "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	if _, err := New(loop).Status(t.Context()); err == nil || strings.Contains(err.Error(), "no peer is running") {
		t.Errorf("a link to itself for a folder: %v", err)
	}
}

// TestStewardIsToldWhatItMay: remove, and not replace.
func TestStewardIsToldWhatItMay(t *testing.T) {
	taken := node.TakenError{Name: "f", By: "bob"}
	if hint := errorOf(&taken).Hint; !strings.Contains(hint, "only bob may replace it, and only bob, or a steward, remove it") {
		t.Errorf("a member is told: %s", hint)
	}
	taken.Steward = true
	if hint := errorOf(&taken).Hint; !strings.Contains(hint, "only bob may replace it; a steward, as this peer is, may remove it") {
		t.Errorf("a steward is told: %s", hint)
	}
}
