package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/format"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing the packages: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// rooms says what each package may import of this module: arrows point down
// only. A new room has to be entered here, with its arrows.
var rooms = map[string][]string{
	"wire":              {},
	"internal/store":    {},
	"keys":              {"wire"},
	"ring":              {"wire"},
	"crypto":            {"keys"}, // crypto and wire don't know each other
	"node":              {"wire", "internal/store", "keys", "ring", "crypto"},
	"internal/control":  {"node", "keys", "wire"},
	"internal/sim":      {"ring", "wire"},
	"internal/lab":      {},
	"internal/plant":    {},
	"internal/powercut": {},
	"internal/house":    {},
}

// banned says what a package must never import, and why.
var banned = []struct{ from, imports, why string }{
	{"ring", "net", "the ring is a pure machine: packets are events and actions"},
	{"ring", "os", "the ring is a pure machine: the disk answers by event"},
	{"ring", "crypto", "signing is an argument, verifying is the driver's"},
	{"ring", "math/rand", "the same state and event give the same actions"},
	{"ring", "log", "what a user may see is a Notice"},
	{"ring", "sync", "one goroutine owns a Ring"},
	{"ring", "context", "nothing in the ring waits"},
	{"wire", "net", "wire is what bytes mean, not how they travel"},
	{"wire", "os", "wire is what bytes mean, not how they travel"},
	{"wire", "reflect", "encoders append by hand"},
	{"wire", "encoding/gob", "encoders append by hand"},
	{"internal/sim", "time/tzdata", "the simulated clock is the only one"},
	{"internal/sim", "net", "the simulated network is the only one"},
	{"internal/sim", "os", "the simulated disk is the only one"},
}

func room(path string) string { return strings.TrimPrefix(path, "securepeer/") }

// TestArrowsPointDown holds the table of rooms against the imports.
func TestArrowsPointDown(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		name := room(p.ImportPath)
		allowed, known := rooms[name]
		inside := strings.HasPrefix(name, "internal/store/") // its own rooms
		if !known && !inside && !strings.HasPrefix(name, "cmd/") && name != "bench" {
			t.Errorf("package %s is not in the table of rooms", name)
		}
		seen++
		for _, imp := range p.Imports {
			if room(imp) == "internal/lab" {
				t.Errorf("%s imports %s: it is for tests alone", name, imp)
			}
			if strings.HasPrefix(imp, "securepeer/") && known && !slices.Contains(allowed, room(imp)) {
				t.Errorf("%s imports %s: its table entry allows %q", name, room(imp), allowed)
			}
			for _, b := range banned {
				if b.from == name && (imp == b.imports || strings.HasPrefix(imp, b.imports+"/")) {
					t.Errorf("%s imports %s: %s", name, imp, b.why)
				}
			}
		}
	}
	if seen < len(rooms) {
		t.Errorf("saw %d packages, the table has %d: it names one that is gone", seen, len(rooms))
	}
}

// goFiles calls f with each Go file of the repository.
func goFiles(t *testing.T, f func(path string, src []byte)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		src, err := os.ReadFile(path)
		n++
		f(path, src)
		return err
	})
	if err != nil || n == 0 {
		t.Fatalf("walked %d files: %v", n, err)
	}
}

// TestRingAndWireArePure: what imports do not show. Time and chance are
// arguments, and nobody waits.
func TestRingAndWireArePure(t *testing.T) {
	impure := regexp.MustCompile(`\btime\.(?:Now|Since|Until|After|AfterFunc|Sleep|Tick|NewTimer|NewTicker)\b|\bgo (?:func\b|[\w.]+\()|\bchan\b|\bselect \{`)
	comment := regexp.MustCompile(`//.*`)
	for _, p := range packages(t) {
		if name := room(p.ImportPath); name != "ring" && name != "wire" {
			continue
		}
		for _, file := range p.GoFiles {
			src, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if found := impure.FindString(comment.ReplaceAllString(string(src), "")); found != "" {
				t.Errorf("%s of %s has %q", file, p.ImportPath, found)
			}
		}
	}
}

// TestNoiseHasOneFile: a HandshakeState is easy to misuse, so one file names
// it, and the library it is from.
func TestNoiseHasOneFile(t *testing.T) {
	var files []string
	goFiles(t, func(path string, src []byte) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		if bytes.Contains(src, []byte("flynn/noise\"")) || bytes.Contains(src, []byte("HandshakeState")) {
			files = append(files, filepath.ToSlash(path))
		}
	})
	if want := []string{root + "/crypto/noise.go"}; !slices.Equal(files, want) {
		t.Errorf("HandshakeState or flynn/noise is named in %q, want %q", files, want)
	}
}

// TestDiskIsTouchedInStoreAndKeys: crypto gets keys as arguments, and node has
// a store; of the packages for files they use what touches none.
func TestDiskIsTouchedInStoreAndKeys(t *testing.T) {
	use := regexp.MustCompile(`\b(?:os|filepath|ioutil)\.[A-Z]\w*`)
	harmless := []string{"os.ErrDeadlineExceeded", "filepath.Join"}
	for _, p := range packages(t) {
		if name := room(p.ImportPath); name != "crypto" && name != "node" {
			continue
		}
		for _, file := range p.GoFiles {
			src, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range use.FindAllString(string(src), -1) {
				if !slices.Contains(harmless, name) {
					t.Errorf("%s of %s uses %s", file, p.ImportPath, name)
				}
			}
		}
	}
}

// TestNoSleepInTests: a test that sleeps on the wall clock is slow when it
// passes and wrong when the machine is busy. In a bubble of synctest, or of a
// helper that makes one, no time passes. In the lab real time is what is
// tested: how long a process is stopped, or a link cut.
func TestNoSleepInTests(t *testing.T) {
	sleep, bubble := []byte("time."+"Sleep("), regexp.MustCompile(`"testing/synctest"|\binBubble\(`)
	goFiles(t, func(path string, src []byte) {
		if strings.HasPrefix(filepath.ToSlash(path), root+"/internal/lab/") {
			return
		}
		if strings.HasSuffix(path, "_test.go") && bytes.Contains(src, sleep) && !bubble.Match(src) {
			t.Errorf("%s sleeps", path)
		}
	})
}

// TestGofmt: every file is formatted.
func TestGofmt(t *testing.T) {
	goFiles(t, func(path string, src []byte) {
		if out, err := format.Source(src); err != nil || !bytes.Equal(out, src) {
			t.Errorf("%s is not as gofmt has it (%v)", path, err)
		}
	})
}

// TestFuzzTargetsAreRun: what is fuzzed nightly is what exists; a target that
// the run does not name is a target that rots.
func TestFuzzTargetsAreRun(t *testing.T) {
	script, err := os.ReadFile(root + "/.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(script, []byte("func Fuzz")) {
		t.Error(".ci/run does not look for fuzz targets by their definition")
	}
	seed := []byte("f.Add(")
	goFiles(t, func(path string, src []byte) {
		if !bytes.Contains(src, []byte("\nfunc Fuzz")) || path == "house_test.go" {
			return
		}
		if !bytes.Contains(src, seed) {
			t.Errorf("%s has a fuzz target and no f.Add", path)
		}
	})
}
