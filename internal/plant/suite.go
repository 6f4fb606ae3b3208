package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// suite is some tests of one package.
type suite struct {
	name string
	path string
	args []string
}

// suites are all there are, cheapest first.
var suites = []suite{
	{"ring", "./ring", []string{"-short", "-skip=^TestModel"}},
	{"wire", "./wire", []string{"-short"}},
	{"crypto", "./crypto", []string{"-short"}},
	{"store", "./internal/store", []string{"-short"}},
	{"seeds", "./internal/sim", []string{"-run=^TestSeeds$"}},
	{"sim", "./internal/sim", []string{"-skip=^Test(Seeds$|Scale)"}},
	{"node", "./node", nil},
}

func suiteNamed(name string) suite {
	return suites[slices.IndexFunc(suites, func(s suite) bool { return s.name == name })]
}

// rooms says which suites may catch a bug in a folder, the likeliest first.
var rooms = map[string][]string{
	"ring":           {"ring", "seeds", "sim", "node"},
	"wire":           {"wire", "ring"},
	"crypto":         {"crypto", "node"},
	"internal/store": {"store", "node"},
	"node":           {"node"},
}

// timeLimit ends a test that a bug makes wait for ever.
const timeLimit = "90s"

// result of one run of a suite.
type result struct {
	failed string // the first test that did; empty: none
	passed int
	err    error // it did not come to running tests
}

// run runs a suite, of it only one test if that is named, with the files of an
// overlay if there is one.
func (s suite) run(root, overlay, test string) result {
	args := []string{"test", "-json", "-count=1", "-failfast", "-vet=off", "-timeout=" + timeLimit}
	if overlay != "" {
		args = append(args, "-overlay="+overlay)
	}
	args = append(append(args, s.path), s.args...)
	if test != "" { // after those of the suite: the last one counts
		args = append(args, "-run=^"+test+"$", "-skip=^$")
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	r := read(out)
	var exit *exec.ExitError
	switch {
	case err == nil && r.failed != "":
		r.err = fmt.Errorf("%s fails and the command does not", r.failed)
	case err != nil && !errors.As(err, &exit):
		r.err = err
	case err != nil && r.failed == "" && r.err == nil:
		r.err = fmt.Errorf("running go test: %s", bytes.TrimSpace(stderr.Bytes()))
	}
	return r
}

// read makes a result of what go test -json prints (go doc test2json).
func read(out []byte) (r result) {
	var said strings.Builder
	for line := range bytes.Lines(out) {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal(line, &e) != nil {
			continue // of go itself
		}
		switch e.Action {
		case "build-output":
			said.WriteString(e.Output)
		case "build-fail":
			r.err = fmt.Errorf("does not compile: %s", strings.TrimSpace(said.String()))
			return r
		case "pass":
			if e.Test != "" {
				r.passed++
			}
		case "fail":
			if r.failed == "" {
				r.failed = strings.TrimPrefix(e.Package, "securepeer/") + "." + e.Test
			}
		}
	}
	return r
}

// overlay is a list of files that stand for others (go help build).
type overlay struct {
	list   string // path of the list
	folder string
}

// newOverlay has source stand for one file of the module.
func newOverlay(root, file string, source []byte) (overlay, error) {
	folder, err := os.MkdirTemp("", "plant")
	if err != nil {
		return overlay{}, fmt.Errorf("making a scratch folder: %w", err)
	}
	o := overlay{folder: folder, list: filepath.Join(folder, "overlay.json")}
	other := filepath.Join(folder, filepath.Base(file))
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, file): other}})
	if err == nil {
		err = os.WriteFile(other, source, 0o600)
	}
	if err == nil {
		err = os.WriteFile(o.list, list, 0o600)
	}
	if err != nil {
		o.remove()
		return overlay{}, fmt.Errorf("writing a scratch file: %w", err)
	}
	return o, nil
}

func (o overlay) remove() { os.RemoveAll(o.folder) } // what stays is in the temporary folder
