package main

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// TestEveryBugApplies: the list does not rot. Each bug has its place in the
// tree of now, is one line, and what comes of it is Go.
func TestEveryBugApplies(t *testing.T) {
	names := make(map[string]bool)
	in := make(map[string]int)
	for _, b := range bugs {
		if b.name == "" || names[b.name] {
			t.Errorf("%s: name %q is empty or that of another one", b.file, b.name)
		}
		names[b.name] = true
		in[strings.Split(b.file, "/")[0]]++
		if len(b.suites()) == 0 {
			t.Errorf("%s: no suite is for %s", b.name, b.file)
		}
		if b.test != "" && !hasTest(t, path.Dir(b.file), b.test) {
			t.Errorf("%s: %s has no %s", b.name, path.Dir(b.file), b.test)
		}
		before, err := os.ReadFile(filepath.Join(root, b.file))
		if err != nil {
			t.Error(err)
			continue
		}
		after, err := b.apply(root)
		if err != nil {
			t.Errorf("%s: %v", b.name, err)
			continue
		}
		if removed, added := changed(before, after); removed > 1 || added > 1 || removed+added == 0 {
			t.Errorf("%s: stands for %d lines by %d, want one", b.name, removed, added)
		}
		if _, err := parser.ParseFile(token.NewFileSet(), b.file, after, 0); err != nil {
			t.Errorf("%s: %v", b.name, err)
		}
	}
	if len(bugs) < 40 || in["ring"] < 24 || in["node"] < 12 {
		t.Errorf("there are %d bugs, %v", len(bugs), in)
	}
}

// hasTest looks for a test in a folder.
func hasTest(t *testing.T, folder, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(source, []byte("\nfunc "+test+"("))
	})
}

// changed counts the lines of a that are not in b, and those of b that are not
// in a, between what both begin and end with.
func changed(a, b []byte) (removed, added int) {
	x, y := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for len(x) > 0 && len(y) > 0 && bytes.Equal(x[0], y[0]) {
		x, y = x[1:], y[1:]
	}
	for len(x) > 0 && len(y) > 0 && bytes.Equal(x[len(x)-1], y[len(y)-1]) {
		x, y = x[:len(x)-1], y[:len(y)-1]
	}
	return len(x), len(y)
}

// TestSharesAreTheWhole: the shares of N days plant every bug once.
func TestSharesAreTheWhole(t *testing.T) {
	for _, n := range []int{1, 3, 4, len(bugs), len(bugs) + 1} {
		seen := make(map[string]int)
		for k := range n {
			some, err := share(bugs, fmt.Sprintf("%d/%d", k, n))
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range some {
				seen[b.name]++
			}
		}
		for _, b := range bugs {
			if seen[b.name] != 1 {
				t.Errorf("of %d shares %d have %q", n, seen[b.name], b.name)
			}
		}
	}
	for _, bad := range []string{"", "1", "4/4", "-1/4", "0/0", "x/4"} {
		if _, err := share(bugs, bad); err == nil {
			t.Errorf("share %q is taken", bad)
		}
	}
}
