package house

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages returns every page of the repository by its path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".md") {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path) // of two paths that begin alike
		all[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil || len(all) < 6 {
		t.Fatalf("found %d pages: %v", len(all), err)
	}
	return all
}

// page returns one of them.
func page(t *testing.T, name string) string {
	t.Helper()
	text, ok := pages(t)[name]
	if !ok {
		t.Fatalf("no page %s", name)
	}
	return text
}

// executors says which test computes the blocks of the pages again whose names
// begin so. Each of those tests refuses a block that it does not know.
var executors = map[string]string{
	"keys/":  "keys/protocol_test.go",
	"link/":  "crypto/answers_test.go",
	"wire/":  "wire/protocol_test.go",
	"store/": "internal/store/layout_test.go",
}

// TestProtocolBlocksAreExecuted: each hex block of the protocol has a name,
// and the name says which test executes it.
func TestProtocolBlocksAreExecuted(t *testing.T) {
	blocks := make(map[string]int)
	for _, m := range regexp.MustCompile("(?m)^```(hex|text)(?: (.*))?\n").FindAllStringSubmatch(page(t, "docs/protocol.md"), -1) {
		kind, name := m[1], m[2]
		if kind == "text" && name == "" {
			continue // a layout
		}
		room, _, _ := strings.Cut(name, "/")
		blocks[room+"/"]++
		if _, ok := executors[room+"/"]; !ok {
			t.Errorf("nobody executes block %q", name)
		}
	}
	for room, test := range executors {
		src, err := os.ReadFile(filepath.Join(root, test))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(src, []byte("docs/protocol.md")) || !bytes.Contains(src, []byte(" "+room+"(")) && !bytes.Contains(src, []byte(") "+room)) {
			t.Errorf("%s does not look for blocks %s of docs/protocol.md", test, room)
		}
		if blocks[room] == 0 {
			t.Errorf("docs/protocol.md has no block of %s", room)
		}
	}
}

var (
	fence   = regexp.MustCompile("(?ms)^```.*?^```$")
	code    = regexp.MustCompile("`[^`\n]*`")
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// anchors returns what a page's headings are linked by.
func anchors(text string) map[string]bool {
	all := make(map[string]bool)
	other := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		all[strings.ReplaceAll(other.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return all
}

// TestLinksResolve: each relative link of each page leads to a file, and to a
// heading if it names one.
func TestLinksResolve(t *testing.T) {
	all := pages(t)
	seen := 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		text := code.ReplaceAllString(fence.ReplaceAllString(all[name], ""), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			seen++
			path, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if path != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(name), path))
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: link %s leads nowhere", name, m[1])
			} else if anchor != "" && !anchors(all[target])[anchor] {
				t.Errorf("%s: link %s: no such heading", name, m[1])
			}
		}
	}
	if seen < 10 {
		t.Errorf("saw %d links", seen)
	}
}

// TestNamedFilesExist: a path between backquotes, whole from the root, is
// there. What a user's folder or a disk has is named otherwise.
func TestNamedFilesExist(t *testing.T) {
	path := regexp.MustCompile("`((?:wire|keys|crypto|ring|node|internal|cmd|bench|docs|\\.ci)/[^`\\s]*)`")
	for name, least := range map[string]int{
		"docs/design.md": 40, "docs/threat-model.md": 1, "docs/decisions.md": 2, "docs/protocol.md": 2, "CONTRIBUTING.md": 5,
	} {
		named := path.FindAllStringSubmatch(page(t, name), -1)
		if len(named) < least {
			t.Errorf("%s names %d files, want %d", name, len(named), least)
		}
		for _, m := range named {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s, which is not there", name, m[1])
			}
		}
	}
}

// TestNamedTestsExist: a promise names the test that holds it, so that test
// must be there.
func TestNamedTestsExist(t *testing.T) {
	there := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	goFiles(t, func(path string, src []byte) {
		if strings.HasSuffix(path, "_test.go") {
			for _, m := range function.FindAllSubmatch(src, -1) {
				there[string(m[1])] = true
			}
		}
	})
	scripts, err := filepath.Glob(filepath.Join(root, "cmd/securepeer/testdata/script/*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range scripts {
		there["TestScripts/"+strings.TrimSuffix(filepath.Base(path), ".txtar")] = true
	}
	name := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*|TestScripts/\\w+)`")
	promises := name.FindAllStringSubmatch(page(t, "docs/threat-model.md"), -1)
	if len(promises) < 30 {
		t.Errorf("docs/threat-model.md names %d tests", len(promises))
	}
	for page, text := range pages(t) {
		for _, m := range name.FindAllStringSubmatch(text, -1) {
			if !there[m[1]] {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
}

// TestTablesAreWhole: each row of a table has as many cells as its head; one
// that has fewer lacks what the reader looks for, or has it under another head.
func TestTablesAreWhole(t *testing.T) {
	cells := func(row string) int {
		return strings.Count(strings.ReplaceAll(row, `\|`, ""), "|") - 1
	}
	rows := 0
	for page, text := range pages(t) {
		head := ""
		for i, line := range strings.Split(text, "\n") {
			switch {
			case !strings.HasPrefix(line, "|"):
				head = ""
			case head == "":
				head = line
			case cells(line) != cells(head):
				t.Errorf("%s:%d has %d cells, under %s", page, i+1, cells(line), head)
			default:
				rows++
			}
		}
	}
	if rows < 200 {
		t.Errorf("found %d rows", rows)
	}
}

// TestModulesHaveReasons: every module that our code imports is in
// docs/decisions.md.
func TestModulesHaveReasons(t *testing.T) {
	text := page(t, "docs/decisions.md")
	goMod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+\.\S+) v`).FindAllSubmatch(goMod, -1) {
		modules = append(modules, string(m[1]))
	}
	used := make(map[string]bool)
	quoted := regexp.MustCompile(`(?m)^(?:import)?\s+(?:\w+ )?"([^"]+\.[^"]+/[^"]+)"$`)
	goFiles(t, func(_ string, src []byte) {
		for _, m := range quoted.FindAllSubmatch(src, -1) {
			for _, module := range modules {
				if path := string(m[1]); path == module || strings.HasPrefix(path, module+"/") {
					used[module] = true
				}
			}
		}
	})
	if len(used) < 5 {
		t.Errorf("saw %d modules in use", len(used))
	}
	for _, module := range slices.Sorted(maps.Keys(used)) {
		if !strings.Contains(text, "| "+module+" |") {
			t.Errorf("docs/decisions.md has no reason for %s", module)
		}
	}
}

// TestUnitNeverGivesUp: systemd's own limit ends a unit that fails five times
// within ten seconds, for good.
func TestUnitNeverGivesUp(t *testing.T) {
	_, unit, _ := strings.Cut(page(t, "docs/operations.md"), "```ini\n")
	unit, _, _ = strings.Cut(unit, "```")
	general, service, ok := strings.Cut(unit, "[Service]\n")
	if !ok || !strings.Contains(general, "\nStartLimitIntervalSec=0\n") ||
		!strings.Contains(service, "\nRestart=on-failure\n") || !regexp.MustCompile(`\nRestartSec=[1-9]\d*\n`).MatchString(service) {
		t.Errorf("the unit in docs/operations.md:\n%s", unit)
	}
}
