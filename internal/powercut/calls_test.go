//go:build linux

package powercut

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// planted is a sync that is taken out of the program.
type planted struct{ file, old, new string }

// syncs are all that the store and the keys have: one that is not here fails
// TestEachSyncIsPlanted.
var syncs = []planted{
	{"internal/store/writer.go", `err := w.file.Sync()`, `err := error(nil)`},
	{"internal/store/state.go", `err := f.Sync()`, `err := error(nil)`},
	{"internal/store/state.go", `return s.syncDirLocked(dir)`, `return nil`},
	{"internal/store/store.go", `err := s.syncDirLocked(folderPath(n))`, `err := error(nil)`},
	{"internal/store/store.go", `err := s.syncDirLocked(parent)`, `err := error(nil)`},
	{"internal/store/store.go", `err := s.fs.SyncDir(dir)`, `err := error(nil)`},
	{"internal/store/dir.go", `return syncDir(filepath.Dir(path))`, `return nil`},
	{"internal/store/dir.go", `error { return syncDir(d.path(dir)) }`, `error { return nil }`},
	{"internal/store/dir.go", `return f.Sync()`, `return nil`},
	{"internal/store/settle.go", `err = s.fs.SyncAll()`, `err = nil`},
	{"internal/store/dir.go", `done, err := syncFS(string(d))`, `done, err := true, error(nil)`},
	{"internal/store/dir_linux.go", `err := unix.Syncfs(int(f.Fd()))`, `err := error(nil)`},
	{"keys/file.go", `err = f.Sync()`, `err = nil`},
	{"keys/file.go", `err := syncFolder(folder)`, `err := error(nil)`},
	{"keys/file.go", `errors.Join(f.Sync(), f.Close())`, `errors.Join(nil, f.Close())`},
	{"keys/keyfile.go", `err = syncFolder(filepath.Dir(path))`, `err = error(nil); _ = filepath.Dir`},
}

// passedOn are the lines with a sync that no system that is tested here runs.
var passedOn = []string{
	`if err := d.SyncDir(folderPath(n)); err != nil {`,
	`return errors.Join(d.SyncDir("files"), d.SyncDir("."))`,
}

// TestCalls holds the order of system calls under strace: bytes are synced
// before they have their name, names before they are confirmed, and a start
// settles what is there. Then each sync is taken out of the program, and is
// missed:
//
//	go test ./internal/powercut -run TestCalls -v -calls
func TestCalls(t *testing.T) {
	if !*callsFlag {
		return
	}
	if !t.Run("whole", func(t *testing.T) {
		for _, wrong := range watch(t, *programFlag, "whole") {
			t.Error(wrong)
		}
	}) {
		return // the program with less would not be better
	}
	for i, p := range syncs {
		t.Run("without "+p.old, func(t *testing.T) {
			dir := t.TempDir()
			program, err := build(dir, p.overlay(t, dir))
			if err != nil {
				t.Fatal(err)
			}
			wrong := watch(t, program, fmt.Sprint("without", i))
			if len(wrong) == 0 {
				t.Errorf("%s without %q: nothing is missed", p.file, p.old)
				return
			}
			t.Logf("missed: %s", wrong[0])
		})
	}
}

// overlay has the file without its sync stand for it.
func (p planted) overlay(t *testing.T, dir string) (list string) {
	t.Helper()
	path, err := filepath.Abs("../../" + p.file)
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, filepath.Base(p.file))
	if err := os.WriteFile(other, bytes.Replace(src, []byte(p.old), []byte(p.new), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{path: other}})
	if err != nil {
		t.Fatal(err)
	}
	list = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return list
}

// watch has a program make a key, a roster, copies and states, and returns what
// its system calls have not forced to disk when they should have.
func watch(t *testing.T, program, name string) (wrong []string) {
	t.Helper()
	r := newRing(t, program, 2)
	p, other := r.peers[0], r.peers[1]
	made := filepath.Join(p.disk.path, "made")
	for i, args := range [][]string{{"keygen"}, {"roster", "init", "attic"}} {
		log := filepath.Join(work, fmt.Sprint(name, i))
		cmd := append(append(tracer(log), program, "--dir", made), args...)
		run(t, cmd...)
		wrong = append(wrong, missingFrom(t, log, p.disk.path, made)...)
	}
	log := filepath.Join(work, name)
	p.tracer = tracer(log)
	for _, p := range r.peers {
		p.start()
	}
	r.whole()
	files := filepath.Join(p.dir, "store", "files")
	for i, size := range []int{100, 2 << 20, 100} {
		// p is a home holder of all: an ack means that it has confirmed.
		name := fmt.Sprint("file", i)
		if got, err := other.put(name, content(name, 1, size)); err != nil || len(got.Copies) != 2 {
			t.Fatalf("put: %v, %v", got.Copies, err)
		}
		wrong = append(wrong, missingFrom(t, log, p.disk.path, files)...)
	}
	if err := other.remove("file0"); err != nil {
		t.Fatal(err)
	}
	wrong = append(wrong, missingFrom(t, log, p.disk.path, files)...)
	if err := syscall.Kill(p.pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	wrong = append(wrong, missingFrom(t, log, p.disk.path, p.dir)...)
	got, err := readTrace(log, p.disk.path)
	if err != nil {
		t.Fatal(err)
	}
	if !got.settled {
		wrong = append(wrong, "what an earlier run left was settled by no sync")
	}
	return wrong
}

// missingFrom reads the trace of what has been confirmed by now.
func missingFrom(t *testing.T, log, root, below string) []string {
	t.Helper()
	got, err := readTrace(log, root)
	if err != nil {
		t.Fatal(err)
	}
	return got.missing(below)
}

// TestEachSyncIsPlanted: the table above names each sync of the sources once,
// so that a new one is not trusted for being there.
func TestEachSyncIsPlanted(t *testing.T) {
	call := regexp.MustCompile(`\.(Sync|SyncAll|SyncDir|Syncfs)\(|\b(syncDir|syncDirLocked|syncFolder|syncFS)\(`)
	sources, err := filepath.Glob("../../internal/store/*.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../keys/*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[planted]int)
	for _, path := range append(sources, more...) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(src)) {
			for _, p := range syncs {
				if strings.HasSuffix(path, p.file) && strings.Contains(line, p.old) {
					found[p]++
				}
			}
			code, _, _ := strings.Cut(line, "//")
			if call.MatchString(strings.TrimPrefix(code, "func ")) && !planned(path, code) {
				t.Errorf("%s: no planted bug takes this out: %s", path, strings.TrimSpace(line))
			}
		}
	}
	for _, p := range syncs {
		if found[p] != 1 {
			t.Errorf("%s has %q %d times", p.file, p.old, found[p])
		}
	}
}

// planned tells whether a line with a sync is taken out, defines it, or is not
// run here.
func planned(path, line string) bool {
	for _, p := range syncs {
		if strings.HasSuffix(path, p.file) && strings.Contains(line, p.old) {
			return true
		}
	}
	for _, l := range passedOn {
		if strings.TrimSpace(line) == l {
			return true
		}
	}
	return regexp.MustCompile(`^func |^\t[A-Z]\w+\(.*\) error$`).MatchString(strings.TrimRight(line, " \n"))
}
