package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// name returns a name that somebody else chose as it may be printed: as it is
// if every character can be seen, none could be taken for a quoted one, and no
// other spelling of it looks the same, else quoted as in Go. So what begins with
// a quote is always quoted.
func name(s string) string {
	odd := func(r rune) bool { return !visible(r) || r == '"' || r == '\\' }
	if s == "" || s[0] == ' ' || s[len(s)-1] == ' ' || !utf8.ValidString(s) || strings.ContainsFunc(s, odd) || !norm.NFC.IsNormalString(s) {
		return clean(quote(s))
	}
	return s
}

// quote quotes as in Go, and escapes what is not in Unicode's normal form C
// (UAX 15), as an e with an accent that is a mark of its own.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	var pieces norm.Iter
	pieces.InitString(norm.NFC, s)
	for at := 0; !pieces.Done(); at = pieces.Pos() {
		normal := string(pieces.Next())
		piece := s[at:pieces.Pos()]
		quoted := strconv.Quote(piece)
		if piece != normal {
			quoted = strconv.QuoteToASCII(piece)
		}
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	b.WriteByte('"')
	return b.String()
}

func names(list []string) string {
	shown := make([]string, len(list))
	for i, s := range list {
		shown[i] = name(s)
	}
	return strings.Join(shown, " ")
}

// visible reports whether r shows as itself and does nothing else: no control
// character, no escape, no mark that turns or joins what stands beside it, and
// nothing that is blank or that Unicode lets a terminal leave out: two names
// that look the same would be two files.
func visible(r rune) bool {
	return strconv.IsPrint(r) && !unicode.In(r, unicode.Bidi_Control, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) &&
		r != brailleBlank && r != nullNotehead
}

// Symbols, so printable, and blank in every font.
const (
	brailleBlank = '\u2800'
	nullNotehead = '\U0001d159'
)

// clean returns a line of text with everything escaped that is not visible.
// It is the last thing done to a message: a name from elsewhere may be in it.
func clean(line string) string {
	if utf8.ValidString(line) && !strings.ContainsFunc(line, func(r rune) bool { return !visible(r) }) {
		return line
	}
	var b strings.Builder
	for i, r := range line {
		_, width := utf8.DecodeRuneInString(line[i:])
		if visible(r) && !(r == utf8.RuneError && width == 1) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteToASCII(line[i : i+width])
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// longWord is more than any key, and most paths, have; what is longer in a
// message is somebody's mistake, and hides the rest of it.
const longWord = 256

// brief returns a line of text with what is in the middle of very long words
// left out.
func brief(line string) string {
	if len(line) <= longWord {
		return line
	}
	words := strings.Split(line, " ")
	for i, word := range words {
		if r := []rune(word); len(r) > longWord {
			words[i] = string(r[:longWord/4]) + "..." + string(r[len(r)-longWord/4:])
		}
	}
	return strings.Join(words, " ")
}

// asciiJSON escapes what a terminal could act on inside of JSON: the encoder
// escapes control characters below space only. In valid JSON such characters
// stand in strings alone.
func asciiJSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, width := utf8.DecodeRune(b)
		if r == '\n' || visible(r) {
			out = append(out, b[:width]...)
		} else if hi, lo := utf16Pair(r); lo != 0 {
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		} else {
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		b = b[width:]
	}
	return out
}

func utf16Pair(r rune) (hi, lo rune) {
	if r < 0x10000 {
		return r, 0
	}
	r -= 0x10000
	return 0xd800 + r>>10, 0xdc00 + r&0x3ff
}

// size returns bytes as people read them: 2.9 GiB.
func size(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	unit, value := 0, float64(n)
	for value >= 1023.95 && unit < len("KMGTPE") {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTPE"[unit-1])
}

// span returns a duration as people read it: 1.9ms, 4m12s, 3d4h.
func span(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return round3(d).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// round3 keeps about three digits.
func round3(d time.Duration) time.Duration {
	for unit := time.Nanosecond; ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
}

// seconds returns s seconds, or the nearest time that a duration holds.
func seconds(s float64) time.Duration {
	const most = float64(math.MaxInt64 / int64(time.Second))
	return time.Duration(max(-most, min(s, most)) * float64(time.Second))
}

func copies(n int) string {
	if n == 1 {
		return "1 copy"
	}
	return strconv.Itoa(n) + " copies"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
