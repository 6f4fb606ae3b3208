package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"securepeer/keys"
)

func TestNearestCommand(t *testing.T) {
	for _, c := range []struct {
		typed string
		from  []string
		want  string
	}{
		{"statu", []string{"start", "stat", "status"}, "status"},
		{"stats", []string{"start", "stat", "status"}, "stat"},
		{"strat", []string{"stat", "start"}, "stat"},
		{"sta", []string{"stop", "start"}, "start"},
		{"pux", []string{"put"}, "put"},
		{"x", nil, ""},
	} {
		if got := nearest(c.typed, c.from); got != c.want {
			t.Errorf("nearest(%q, %q) = %q, want %q", c.typed, c.from, got, c.want)
		}
	}
}

func TestDistanceOf(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"statu", "status", 1}, {"ab", "ba", 2},
	} {
		if got := distanceOf(c.a, c.b); got != c.want {
			t.Errorf("distanceOf(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestBrief: a message keeps its words, and the ends of one that is too long.
func TestBrief(t *testing.T) {
	long := strings.Repeat("ä", 2000)
	for line, want := range map[string]string{
		"":                                      "",
		strings.Repeat("word ", 100):            strings.Repeat("word ", 100),
		"no " + strings.Repeat("k", 256):        "no " + strings.Repeat("k", 256),
		"adding a" + long + "z: it is too long": "adding a" + strings.Repeat("ä", 63) + "..." + strings.Repeat("ä", 62) + "z: it is too long",
	} {
		if got := brief(line); got != want {
			t.Errorf("brief(%.20q...) = %q, want %q", line, got, want)
		}
	}
}

func TestFaultsOfARosterAsJSON(t *testing.T) {
	_, err := keys.ParseRoster([]byte("ring attic\npear 1\nplum 2\n"))
	list := rosterFaults(fmt.Errorf("reading: %w", err))
	if len(list) != 2 || list[0].Line != 2 || list[1].Line != 3 {
		t.Errorf("faults %+v, want those of lines 2 and 3", list)
	}
	if list := rosterFaults(errors.New("another")); list != nil {
		t.Errorf("an error of another kind has the faults %+v", list)
	}
}
