package wire

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for name, want := range map[string]string{
		"a":                        "",
		"4103":                     "",
		"notes/plan.txt":           "",
		"été/日本語/.hidden":          "",
		"...":                      "",
		strings.Repeat("p", 255):   "",
		"":                         "empty",
		"/a":                       "empty part",
		"a/":                       "empty part",
		"a//b":                     "empty part",
		".":                        "as a part",
		"a/../b":                   "as a part",
		strings.Repeat("p", 256):   "a part of 256 bytes",
		strings.Repeat("p/", 600):  "1200 bytes",
		"a\nb":                     "control character",
		"a\u0085":                  "control character",
		"\xff":                     "not UTF-8",
		"\xed\xa0\x80 (surrogate)": "not UTF-8",
	} {
		err := CheckName(name)
		if want == "" && err != nil {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("CheckName(%q) = %v, want ... %s ...", name, err, want)
		}
	}
}
