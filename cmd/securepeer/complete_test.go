package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// What others call their files is offered as names, and never speaks to the
// user in the program's voice.
func TestOnlyNamesAreCompleted(t *testing.T) {
	help := cobra.AppendActiveHelp(nil, "run this")[0]
	if !strings.HasPrefix(help, helpMarker) {
		t.Fatalf("cobra marks help otherwise: %q", help)
	}
	for file, want := range map[string]bool{
		"thesis.tar":       true,
		"an_activeHelp_":   true,
		help:               false,
		"_activeHelp_":     false,
		"file\tdescribed":  false,
		"two\nlines":       false,
		"\x1b[2J":          false,
		"blank\u3164":      false,
		"_activeHelp_none": false,
	} {
		if got := completable(file); got != want {
			t.Errorf("completable(%q) = %t", file, got)
		}
	}
}

// TestOnlyPlainWordsAreCompleted has each thing that some shell reads as more
// than a word. The shells that are free are asked themselves, by -shells; the
// rows of PowerShell are from its about_Parsing, about_Quoting_Rules,
// about_Splatting and about_Special_Characters.
func TestOnlyPlainWordsAreCompleted(t *testing.T) {
	for _, word := range []string{
		"a", "A9", "thesis.tar", "backup/notes.tar", "v1.2+3", "a:b", "k=v", "me@home", "50%", "a-b_c", ".hidden", "/abs", "_x", "1kb", "1..3",
	} {
		if !completable(word) {
			t.Errorf("%q is not offered", word)
		}
	}
	for shells, words := range map[string][]string{
		"all":                {"", "a b", "a\tb", "a\nb", "a;b", "a&b", "a|b", "a>b", "a<b", "$(x)", "a$b", "a`b", "a'b", `a"b`, `a\b`, "(a)", "a(b", "a#b", "{a", "a}", "a*", "a?", "a!b", "a\x00b", "a\x7fb"},
		"cobra":              {"-x", "--help", "-", "+x"},
		"bash, zsh, fish":    {"~", "~root", "a~", "[a]", "a[b", "!!", "^a^b", "a{b,c}"},
		"zsh":                {"=ls", "a^b"},
		"fish":               {"%self", "%1"},
		"PowerShell":         {"@args", "@(x)", "a,b", "a\u2019b", "a\u201cb", "a\u2013b", "\u2014x", "a\u00a0b", "a\u2028b", "a\u0085b"},
		"other locales":      {"\u00e0", "f\u00fcr", "a\xa0b", "a\xffb", "\u65e5\u672c"},
		"terminals":          {"a\u202eb", "a\u200bb", "\x9b2J"},
		"the start of names": {":a", "=a", "%a", "@a"},
	} {
		for _, word := range words {
			if completable(word) {
				t.Errorf("%q is offered, which is more than a word in %s", word, shells)
			}
		}
	}
}
