package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// check is a line of a demo's table.
type check struct {
	what     string
	expected string
	seen     string
	ok       bool
}

// checks are a demo's table.
type checks []check

// add notes what was seen; it is right if it is what was expected.
func (c *checks) add(what, expected, seen string) {
	c.judge(what, expected, seen, expected == seen)
}

// judge notes what was seen and whether that is right.
func (c *checks) judge(what, expected, seen string, ok bool) {
	*c = append(*c, check{what, expected, seen, ok})
}

// failed returns what was not right.
func (c checks) failed() []string {
	var what []string
	for _, check := range c {
		if !check.ok {
			what = append(what, check.what)
		}
	}
	return what
}

// write draws the table.
func (c checks) write(w io.Writer) {
	rows := [][4]string{{"CHECK", "EXPECTED", "SEEN", "OK"}}
	for _, check := range c {
		verdict := "ok"
		if !check.ok {
			verdict = "FAILED"
		}
		rows = append(rows, [4]string{check.what, check.expected, check.seen, verdict})
	}
	var widths [4]int
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&line, "%-*s  ", widths[i], cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}
