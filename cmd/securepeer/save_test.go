package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"securepeer/node"
)

func hello(w io.Writer) error {
	_, err := io.WriteString(w, "hello")
	return err
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range list {
		found = append(found, e.Name())
	}
	return found
}

func TestSaveKeepsModeAndTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	at := time.Unix(1700000000, 0)
	if err := new(console).save(path, node.FileInfo{Mode: 0o500, Mtime: at}, false, hello); err != nil {
		t.Fatal(err)
	}
	stat, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if stat.Mode().Perm() != 0o700 || !stat.ModTime().Equal(at) {
		t.Errorf("mode %o, time %v, want 0700 (0500, and ours to write), %v", stat.Mode().Perm(), stat.ModTime(), at)
	}
}

func TestSaveLeavesNothingAfterAnError(t *testing.T) {
	dir := t.TempDir()
	cut := errors.New("cut")
	err := new(console).save(filepath.Join(dir, "f"), node.FileInfo{}, false, func(w io.Writer) error {
		hello(w)
		return cut
	})
	if !errors.Is(err, cut) {
		t.Errorf("save = %v, want %v", err, cut)
	}
	if left := entries(t, dir); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

func TestSaveOverwritesOnlyWithLeave(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := new(console).save(path, node.FileInfo{}, false, func(io.Writer) error {
		t.Error("bytes were asked for though the file exists")
		return nil
	})
	if exitOf(err) != exitExists {
		t.Errorf("save = %v, want exit %d", err, exitExists)
	}
	if b, _ := os.ReadFile(path); string(b) != "mine" {
		t.Errorf("the file holds %q, want it untouched", b)
	}
	if err := new(console).save(path, node.FileInfo{}, true, hello); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "hello" {
		t.Errorf("the file holds %q, want the new bytes", b)
	}
}

// Somebody makes the file while its bytes are on their way.
func TestSaveLosesTheRaceForAName(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	err := new(console).save(path, node.FileInfo{}, false, func(w io.Writer) error {
		return os.WriteFile(path, []byte("first"), 0o600)
	})
	if exitOf(err) != exitExists {
		t.Errorf("save = %v, want exit %d", err, exitExists)
	}
	if b, _ := os.ReadFile(path); string(b) != "first" || len(entries(t, dir)) != 1 {
		t.Errorf("the file holds %q, and the folder %q", b, entries(t, dir))
	}
}

func TestSaveRefusesAFolder(t *testing.T) {
	if err := new(console).save(t.TempDir(), node.FileInfo{}, true, hello); exitOf(err) != exitExists {
		t.Errorf("save = %v, want exit %d", err, exitExists)
	}
}

// As root, a rename over /dev/null would be the end of it.
func TestSaveWritesToADeviceAndLeavesItThere(t *testing.T) {
	for _, over := range []overwrite{false, true} {
		if err := new(console).save(os.DevNull, node.FileInfo{}, over, hello); err != nil {
			t.Fatal(err)
		}
		if stat, err := os.Stat(os.DevNull); err != nil || stat.Mode()&os.ModeDevice == 0 {
			t.Fatalf("%s is now %v, %v", os.DevNull, stat.Mode(), err)
		}
	}
	if err := new(console).save("/dev/full", node.FileInfo{}, false, hello); exitOf(err) != exitNoSpace {
		t.Errorf("saving to a full disk: %v, want exit %d", err, exitNoSpace)
	}
}

func TestSaveFollowsASymbolicLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(target, []byte("mine"), 0o600), os.Symlink("target", link)); err != nil {
		t.Fatal(err)
	}
	if err := new(console).save(link, node.FileInfo{}, false, hello); exitOf(err) != exitExists {
		t.Errorf("save = %v, want exit %d", err, exitExists)
	}
	if err := new(console).save(link, node.FileInfo{}, true, hello); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(target); string(b) != "hello" {
		t.Errorf("the target holds %q, want the new bytes", b)
	}
	if to, err := os.Readlink(link); err != nil || to != "target" {
		t.Errorf("the link points to %q, %v", to, err)
	}
}

// TestErrorsNameTheUsersFile: nobody knows a temporary file's name.
func TestErrorsNameTheUsersFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	full := func(w io.Writer) error {
		return &os.PathError{Op: "write", Path: w.(*os.File).Name(), Err: syscall.ENOSPC}
	}
	err := new(console).save(path, node.FileInfo{}, false, full)
	if want := "writing " + path + ": no space left on device"; err == nil || err.Error() != want || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("save = %v, want %s", err, want)
	}
	err = new(console).save(filepath.Join(path, "below"), node.FileInfo{}, false, hello)
	if err == nil || strings.Contains(err.Error(), ".part") {
		t.Errorf("save below a folder that is not there = %v", err)
	}
}
