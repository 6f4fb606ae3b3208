package main

import "testing"

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
