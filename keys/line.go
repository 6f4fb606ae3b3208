package keys

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Implementation constants.
const (
	// maxLineSize is ten times the longest line that can be valid.
	maxLineSize = 4096
	// maxFaults is how many faults of one file are told: more do not help.
	maxFaults = 100
	// maxQuoted is how many bytes of somebody's text an error repeats.
	maxQuoted = 40
)

// RosterError is one fault of a roster.
type RosterError struct {
	File string // as given to [LoadRoster]; else empty
	Line int    // from 1; 0 where the fault is in no single line
	Text string
}

// Error is "FILE:LINE: TEXT", or "line LINE: TEXT" where no file is known.
func (e *RosterError) Error() string {
	switch {
	case e.File != "" && e.Line > 0:
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
	case e.File != "":
		return e.File + ": " + e.Text
	case e.Line > 0:
		return fmt.Sprintf("line %d: %s", e.Line, e.Text)
	}
	return e.Text
}

// faults collects what is wrong with one file.
type faults struct {
	file string
	list []*RosterError
	more int
}

func (f *faults) add(line int, format string, args ...any) {
	if len(f.list) == maxFaults {
		f.more++
		return
	}
	f.list = append(f.list, &RosterError{f.file, line, fmt.Sprintf(format, args...)})
}

// count is how many faults there are, also of those not kept.
func (f *faults) count() int { return len(f.list) + f.more }

// err returns all faults, in the order of their lines, as one error.
func (f *faults) err() error {
	slices.SortStableFunc(f.list, func(a, b *RosterError) int { return cmp.Compare(a.Line, b.Line) })
	errs := make([]error, 0, len(f.list)+1)
	for _, e := range f.list {
		errs = append(errs, e)
	}
	if f.more > 0 {
		errs = append(errs, &RosterError{f.file, 0, fmt.Sprintf("and %d more faults", f.more)})
	}
	return errors.Join(errs...)
}

// textLine is one line of a key file or roster: not blank, not a comment.
type textLine struct {
	number int    // from 1
	note   string // the blank and comment lines above it, with their newlines
	text   string
	bad    bool // a fault of this line is already told
}

// textLines calls f for each line of b that says something, and tells what a
// text file of ours must not have. It returns the note below the last line.
func textLines(b []byte, told *faults, f func(textLine)) (note string) {
	if bytes.HasPrefix(b, []byte("\uFEFF")) {
		told.add(1, "the file begins with a byte order mark: save it as UTF-8 without one")
		b = b[len("\uFEFF"):]
	}
	noteStart, carriage := 0, false
	for number, start := 1, 0; start < len(b); number++ {
		end := bytes.IndexByte(b[start:], '\n')
		next := start + end + 1
		if end < 0 {
			told.add(number, "the last line has no newline at its end: the file may be cut short")
			end, next = len(b)-start, len(b)
		}
		line := b[start : start+end]
		if cut, ok := bytes.CutSuffix(line, []byte("\r")); ok {
			if line = cut; !carriage {
				told.add(number, "the line ends in CR LF: save the file with Unix line ends (LF)")
			}
			carriage = true
		}
		why := lineFault(line)
		if why != "" {
			told.add(number, "%s", why)
		}
		if text := strings.Trim(string(line), " \t"); text != "" && text[0] != '#' {
			f(textLine{number, string(b[noteStart:start]), text, why != ""})
			noteStart = next
		}
		start = next
	}
	return string(b[noteStart:])
}

// lineFault returns what is wrong with a line as text, or "".
func lineFault(line []byte) string {
	if len(line) > maxLineSize {
		return fmt.Sprintf("the line is longer than %d bytes", maxLineSize)
	}
	if !utf8.Valid(line) {
		return "the line is not UTF-8 text"
	}
	for _, r := range string(line) {
		if r != '\t' && isUnseen(r) {
			return fmt.Sprintf("the line has the character %U, which controls how text is shown", r)
		}
	}
	return ""
}

// isUnseen reports whether r could make a terminal or an editor show a file
// other than it is read: control characters, marks that turn the direction of
// text, line and paragraph separators, a byte order mark.
func isUnseen(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) || r == '\uFEFF'
}

// words cuts a line at its blanks and tabs, and nowhere else.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' })
}

// quote returns text for an error: its beginning, escaped; never a secret key
// that somebody pasted into the wrong file.
func quote(text string) string {
	if strings.Contains(strings.ToLower(text), secretForm.prefix) {
		return redacted
	}
	if len(text) > maxQuoted {
		return fmt.Sprintf("%q...", text[:maxQuoted])
	}
	return fmt.Sprintf("%q", text)
}
