package wire

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// protocol returns the protocol document.
func protocol(t *testing.T) string {
	t.Helper()
	return readAll(t, []string{"../docs/protocol.md"})
}

func readAll(t *testing.T, files []string) string {
	t.Helper()
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// TestProtocolDocumentShowsTheTable: each row of the table is a hex block of
// that name, byte for byte, and no other block is there; each message has a
// section with its number.
func TestProtocolDocumentShowsTheTable(t *testing.T) {
	doc := protocol(t)
	comment := regexp.MustCompile(`#.*|\s+`)
	blocks := map[string]string{}
	for _, m := range regexp.MustCompile("(?ms)^```hex wire/(\\S+)\n(.*?)^```$").FindAllStringSubmatch(doc, -1) {
		if _, twice := blocks[m[1]]; twice {
			t.Errorf("two hex blocks are named %s", m[1])
		}
		blocks[m[1]] = comment.ReplaceAllString(m[2], "")
	}
	check := func(name, want string) {
		t.Helper()
		if got, ok := blocks[name]; !ok || got != want {
			t.Errorf("hex block %s = %q, %v, want %s", name, got, ok, want)
		}
		delete(blocks, name)
	}
	for _, row := range messages {
		check(row.name, row.hex)
		if section := fmt.Sprintf("\n### %d %v\n", row.typ, row.typ); !strings.Contains(doc, section) {
			t.Errorf("no section %q", section)
		}
	}
	for _, row := range others {
		check(row.name, row.hex)
	}
	for name := range blocks {
		t.Errorf("hex block wire/%s is not in the table", name)
	}
}

// TestProtocolDocumentHasTheLayouts: what a struct's comment says of its
// bytes is in the document, word for word.
func TestProtocolDocumentHasTheLayouts(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = deleteTests(files)
	spaces := regexp.MustCompile(`\s+`)
	doc := spaces.ReplaceAllString(protocol(t), " ")
	layouts := regexp.MustCompile(`(?m)(^//\t.*\n)+`).FindAllString(readAll(t, files), -1)
	const want = 24 + 4 + 3 + 1 // messages; row, vote, manifest, ping; what is signed; a part of a view
	if len(layouts) != want {
		t.Errorf("%d layouts, want %d", len(layouts), want)
	}
	for _, layout := range layouts {
		layout = spaces.ReplaceAllString(strings.ReplaceAll(layout, "//\t", ""), " ")
		if !strings.Contains(doc, " "+layout+"```") {
			t.Errorf("layout %q is not in the document", layout)
		}
	}
}

func deleteTests(files []string) []string {
	var kept []string
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			kept = append(kept, file)
		}
	}
	return kept
}

func TestProtocolDocumentHasLimitsAndCodes(t *testing.T) {
	doc := protocol(t)
	limits := map[string]int{
		"MaxBody": MaxBody, "MaxName": MaxName, "MaxPart": MaxPart, "MaxRows": MaxRows, "MaxVotes": MaxVotes,
		"MaxHolders": MaxHolders, "MaxManifests": MaxManifests, "MaxListed": MaxListed, "MaxHashes": MaxHashes,
		"MaxSegment": MaxSegment, "BlockSize": BlockSize, "MaxSize": MaxSize, "MaxMode": MaxMode,
	}
	for name, value := range limits {
		if line := fmt.Sprintf("\n| %s | %d |", name, value); !strings.Contains(doc, line) {
			t.Errorf("no line %q", line)
		}
	}
	codes := regexp.MustCompile(`(?m)^\t(Code\w+)`).FindAllStringSubmatch(readAll(t, []string{"find.go"}), -1)
	if len(codes) != int(CodeUnreadable)+1 {
		t.Errorf("%d codes in find.go, want %d", len(codes), CodeUnreadable+1)
	}
	for value, code := range codes {
		if line := fmt.Sprintf("\n| %d | %s |", value, code[1]); !strings.Contains(doc, line) {
			t.Errorf("no line %q", line)
		}
	}
}
