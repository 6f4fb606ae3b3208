package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"

	"securepeer/internal/control"
)

// spellings are the other normal forms of a name (UAX 15): a keyboard gives
// form C, and a file that comes from a Mac may be called by form D. They look
// the same.
func spellings(file string) (others []string) {
	for _, form := range []norm.Form{norm.NFC, norm.NFD} {
		if other := form.String(file); other != file && !slices.Contains(others, other) {
			others = append(others, other)
		}
	}
	return others
}

// spelled returns err, or, if it says that a file is not in the ring and one
// is there by another spelling of its name, err with that as its hint.
func (a *app) spelled(ctx context.Context, client *control.Client, file string, err error) error {
	if exitOf(err) != exitNotFound {
		return err
	}
	for _, other := range spellings(file) {
		stat, statErr := client.Stat(ctx, other)
		if statErr == nil && stat.Newest != nil && !stat.Newest.Removed {
			return &fault{exitNotFound, looksTheSame(other), err}
		}
	}
	return err
}

// otherPrefix tells of a prefix that looks the same, if names begin with it.
func (a *app) otherPrefix(ctx context.Context, client *control.Client, prefix string) error {
	for _, other := range spellings(prefix) {
		files, err := client.List(ctx, other)
		if err != nil {
			return err
		}
		if len(files.Files) > 0 {
			a.hintf("names begin with one that looks the same, %s: write it as \"$(printf %s)\"", strconv.QuoteToASCII(other), octal(other))
			return nil
		}
	}
	return nil
}

// looksTheSame tells of a name in words that show how it is spelled, and how
// any shell takes it.
func looksTheSame(other string) string {
	return fmt.Sprintf(`the ring has one that looks the same, %s: write it as "$(printf %s)"`, strconv.QuoteToASCII(other), octal(other))
}

// octal is an argument of printf in a POSIX shell that gives s.
func octal(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '%':
			b.WriteString("%%")
		case c < ' ' || c > '~' || c == '\'' || c == '\\' || c == '-' && i == 0:
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
