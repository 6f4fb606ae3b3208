package wire

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		if s.typ != 0 {
			f.Add(uint8(s.typ), s.body)
		}
	}
	f.Fuzz(func(t *testing.T, typ uint8, body []byte) {
		checkBody(t, messageParser(Type(typ)), body)
	})
}

func FuzzPing(f *testing.F) {
	for _, s := range seeds(f) {
		if s.parser.rule == pingParser.rule {
			f.Add(s.body)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) { checkBody(t, pingParser, body) })
}

func FuzzManifest(f *testing.F) {
	for _, s := range seeds(f) {
		if s.parser.rule == manifestParser.rule {
			f.Add(s.body)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) { checkBody(t, manifestParser, body) })
}

// TestFuzzTargetsHaveSeeds: a target without seeds runs and passes, and
// proves nothing.
func TestFuzzTargetsHaveSeeds(t *testing.T) {
	counts, rules := map[Type]int{}, map[string]int{}
	for _, s := range seeds(t) {
		counts[s.typ]++
		rules[s.parser.rule]++
	}
	for _, typ := range types() {
		if counts[typ] == 0 {
			t.Errorf("FuzzParse has no seed of type %v", typ)
		}
	}
	if rules[pingParser.rule] < 2 || rules[manifestParser.rule] < 2 {
		t.Errorf("FuzzPing has %d seeds, FuzzManifest %d", rules[pingParser.rule], rules[manifestParser.rule])
	}

	source, err := os.ReadFile("fuzz_test.go")
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`).FindAllSubmatch(source, -1)
	if len(targets) != 3 {
		t.Errorf("%d fuzz targets, want 3: this test must know the seeds of each", len(targets))
	}
	for _, target := range targets {
		corpus, err := filepath.Glob(filepath.Join("testdata", "fuzz", string(target[1]), "*"))
		if err != nil || len(corpus) == 0 || len(corpus) > 200 {
			t.Errorf("%s: %d files of corpus, want 1 to 200 (%v)", target[1], len(corpus), err)
		}
	}
}
