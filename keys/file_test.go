package keys

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// onlyFile checks that folder holds that one file and nothing temporary.
func onlyFile(t *testing.T, folder, name string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("the folder holds %v, want %s alone", entries, name)
	}
}

func TestWriteFileAtomicReplacesWithItsMode(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "state")
	for i, perm := range []fs.FileMode{0o600, 0o644, 0o666, 0o400} {
		want := strings.Repeat(fmt.Sprint(i), 5000*(4-i))
		if err := WriteFileAtomic(path, []byte(want), perm); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Fatalf("%d bytes came back, %v, want %d", len(got), err, len(want))
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != perm {
			t.Errorf("mode %v, %v, want %v", info.Mode(), err, perm)
		}
	}
	onlyFile(t, folder, "state")
}

func TestWriteFileAtomicInTheWorkingFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := WriteFileAtomic("state", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, ".", "state")
}

func TestWriteFileAtomicLeavesNothingOnAnError(t *testing.T) {
	folder := t.TempDir()
	target := filepath.Join(folder, "state")
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFileAtomic(target, []byte("x"), 0o600); err == nil || !strings.Contains(err.Error(), target) {
		t.Errorf("over a folder: %v, want an error with the path", err)
	}
	onlyFile(t, folder, "state")
	if err := WriteFileAtomic(filepath.Join(folder, "none", "state"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a missing folder: %v, want fs.ErrNotExist", err)
	}
}

func TestWriteRosterKeepsModeAndLink(t *testing.T) {
	folder := t.TempDir()
	path, link := filepath.Join(folder, "roster"), filepath.Join(t.TempDir(), "link")
	r := mustParse(t, fullRoster(t))
	if err := WriteRoster(path, r); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("a new roster has mode %v, %v, want 0644", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(14); err != nil {
		t.Fatal(err)
	}
	if err := WriteRoster(link, r); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link became %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, %v, want 0640 as before", info.Mode(), err)
	}
	onlyFile(t, folder, "roster")
	got, err := LoadRoster(link)
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest() != r.Digest() || string(got.Append(nil)) != string(r.Append(nil)) {
		t.Error("another roster came back")
	}
}

func TestLoadRosterNamesFileAndLine(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "roster")
	if _, err := LoadRoster(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("missing: %v, want fs.ErrNotExist with the path", err)
	}
	if _, err := LoadRoster(folder); err == nil || !strings.Contains(err.Error(), "not a regular file but a folder") {
		t.Errorf("a folder: %v", err)
	}
	if err := os.WriteFile(path, []byte("ring attic\nwhat\npeer\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := LoadRoster(path)
	var fault *RosterError
	if !errors.As(err, &fault) || fault.File != path || fault.Line != 2 {
		t.Errorf("LoadRoster = %v, want a RosterError of line 2", err)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], path+":2: unknown kind") || !strings.HasPrefix(lines[1], path+":3: ") {
		t.Errorf("LoadRoster = %v, want %s:2: and :3:", err, path)
	}
	if err := os.WriteFile(path, []byte("# empty\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadRoster(path); err == nil || !strings.HasPrefix(err.Error(), path+": there is no ring line") {
		t.Errorf("no ring line: %v", err)
	}
	for mode, who := range map[fs.FileMode]string{0o646: "everybody", 0o666: "everybody", 0o664: "its group", 0o620: "its group"} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if who == "its group" && os.Geteuid() != 0 {
			continue // only root has a file of any other group
		}
		if who == "its group" {
			if err := os.Chown(path, -1, 54321); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := LoadRoster(path); err == nil || !strings.Contains(err.Error(), who+" can write to it") || !strings.Contains(err.Error(), "run chmod go-w "+path) {
			t.Errorf("a roster with mode %04o: %v", mode, err)
		}
	}
}

// rosterToWrite makes this test binary a writer of rosters, for
// TestKilledWriterLeavesAWholeRoster to kill.
const rosterToWrite = "KEYS_TEST_ROSTER_TO_WRITE"

func TestMain(m *testing.M) {
	if path := os.Getenv(rosterToWrite); path != "" {
		if err := writeForEver(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeForEver writes the roster at path with and without the drain mark, and
// says so after the first time.
func writeForEver(path string) error {
	for first := true; ; first = false {
		r, err := LoadRoster(path)
		if err != nil {
			return err
		}
		r.Members[0].Drain = !r.Members[0].Drain
		if err := WriteRoster(path, r); err != nil {
			return err
		}
		if first {
			fmt.Println("writing")
		}
	}
}

// Goal: a roster (or key) is whole whenever its writer dies. Method: a process
// that rewrites one is killed again and again; each time the file must be one
// of the two versions.
func TestKilledWriterLeavesAWholeRoster(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roster")
	r := mustParse(t, fullRoster(t))
	var versions []string
	for range 2 {
		r.Members[0].Drain = !r.Members[0].Drain
		versions = append(versions, string(r.Append(nil)))
	}
	if err := WriteRoster(path, r); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		writer := exec.Command(os.Args[0])
		writer.Env = append(os.Environ(), rosterToWrite+"="+path)
		out, err := writer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		said, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || said != "writing\n" {
			t.Fatalf("the writer said %q, %v", said, err)
		}
		if err := writer.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := writer.Wait(); !errors.As(err, &exit) {
			t.Fatalf("the writer ended with %v, want it killed", err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != versions[0] && string(got) != versions[1] {
			t.Fatalf("the killed writer left\n%s", got)
		}
	}
}
