package main

import (
	"debug/buildinfo"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// TestReadmeBuildsAStaticProgram runs README's build line. What it makes runs
// on machines older than the builder's, so it needs no library of theirs.
func TestReadmeBuildsAStaticProgram(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^.*\bgo build .*-o securepeer \./cmd/securepeer$`).FindString(string(readme))
	if !strings.HasPrefix(line, "CGO_ENABLED=0 go build -trimpath -ldflags ") {
		t.Fatalf("README builds with %q", line)
	}
	program := filepath.Join(t.TempDir(), "securepeer")
	line = strings.Replace(line, "-o securepeer", "-o "+program, 1)
	// A tree without history, as of a tarball, has no description, and builds.
	line = regexp.MustCompile(`\$\(git [^)]*\)`).ReplaceAllString(line, "v1.2.3-test")
	build := exec.Command("sh", "-c", line)
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	if out, err := exec.Command(program, "version").Output(); err != nil || !strings.HasPrefix(string(out), "securepeer v1.2.3-test ") {
		t.Errorf("version = %q, %v, want what the build said", out, err)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range info.Settings {
		if s.Key == "CGO_ENABLED" && s.Value != "0" || s.Key == "-trimpath" && s.Value != "true" {
			t.Errorf("built with %s=%s", s.Key, s.Value)
		}
	}
	if runtime.GOOS == "linux" {
		checkStatic(t, program)
	}
}

// checkStatic refuses a program with a dynamic loader, libraries or symbols.
func checkStatic(t *testing.T, program string) {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program needs a dynamic loader")
		}
	}
	if libs, _ := f.ImportedLibraries(); len(libs) > 0 { // an error: it has no such section
		t.Errorf("the program needs %q", libs)
	}
	if f.Section(".symtab") != nil || f.Section(".debug_info") != nil || f.Section(".zdebug_info") != nil {
		t.Error("the program is not stripped")
	}
}

// TestReadmeNamesTheGoOfGoMod: the version that README asks for builds it.
func TestReadmeNamesTheGoOfGoMod(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	asked := regexp.MustCompile(`\bGo (\d+\.\d+) or newer`).FindSubmatch(readme)
	if asked == nil {
		t.Fatal("README asks for no Go")
	}
	for _, file := range []string{"../../go.mod", "../../.ci/tools/go.mod"} {
		mod, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		needed := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(mod)
		if needed == nil || strings.TrimSuffix(string(needed[1]), ".0") != string(asked[1]) {
			t.Errorf("README asks for Go %s, %s for %s", asked[1], file, needed[1])
		}
	}
}
