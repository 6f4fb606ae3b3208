package wire

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRejects: testdata/reject holds what must be refused, a file each, named
// for its message and the reason. The first line is part of the error, the
// others are hex: for a message the record's plaintext, that is type and
// body; in files ping_* a datagram's body, in manifest_* a manifest. They are
// not made by this package, and any other implementation may use them.
func TestRejects(t *testing.T) {
	files, err := filepath.Glob("testdata/reject/*")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d vectors, want 60 or more (%v)", len(files), err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		kind, _, _ := strings.Cut(name, "_")
		seen[kind] = true
		first, rest, _ := strings.Cut(string(text), "\n")
		want, ok := strings.CutPrefix(first, "error: ")
		if !ok || want == "" {
			t.Errorf("%s: does not begin with an error", name)
			continue
		}
		body := unhex(t, strings.ReplaceAll(rest, "\n", ""))
		p := map[string]parser{"ping": pingParser, "manifest": manifestParser}[kind]
		if p.parse == nil {
			p, body = messageParser(Type(body[0])), body[1:]
		}
		if checkBody(t, p, body) {
			t.Errorf("%s: taken", name)
			continue
		}
		if _, _, err := p.parse(body); !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %q, want ... %s ...", name, err, want)
		}
	}
	for _, row := range messages {
		if kind := strings.ToLower(row.typ.String()); !seen[kind] {
			t.Errorf("no vector of %s", kind)
		}
	}
}
