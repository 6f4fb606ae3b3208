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
		"my diary.txt":     true,
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
