package wire

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// An independent acceptor, from the text of the protocol document and without
// a line or a constant of the package: what loses nothing, such as an unknown
// flag let through, no round trip finds.
//
// A layout is fields in order: N is N bytes, A-B one byte in a range, N*rule
// a list, <=N eight bytes, and a word a rule; | parts alternatives.
var rules = map[string]string{
	"row":      "2 8 1-7 16 64",
	"vote":     "2 2 8 1-3 8 64",
	"manifest": "name version 2 2 0-0 mode 8 8 8 <=1099511627776 nonzero 32 64 | name version 2 2 1-1 mode 8 8 8 <=0 zero 32 64",
	"size":     "<=1099511627776 | unknown",

	"16": "256*row 256*vote",
	"17": "4 1-1 none | 4 2-4 name",
	"18": "4 2",
	"19": "4",
	"20": "4 refusal",
	"21": "4 name",
	"22": "4 0-0 0-12 0-1 16*manifest",
	"23": "4 2 manifest",
	"24": "4 0-0 0-1 | 4 refusal",
	"25": "8 8",
	"26": "4 begin begin",
	"27": "4 0-0 0-12 0-1 2 48*manifest",
	"28": "8 <=1099511627776 size 16 name 64*2",
	"29": "",
	"30": "manifest",
	"31": "0-0 0-12 256*row 256*vote",
	"32": "8 32 4 0-0 0-0 few",
	"33": "2000*32",
	"34": "8 32 <=1099511627776 <=67108864",
	"35": "refusal",
	"36": "0-1 1024",
	"37": "4 2",
	"38": "4 0-1",
	"39": "<=1099511627776",

	"ping": "1-2 0-2 0-0 0-0 8 8 8 8 16 16",
}

func accepts(rule string, b []byte) bool {
	layout, ok := rules[rule]
	return ok && len(b) <= 65518 && match(layout, b) == len(b)
}

// match returns how many bytes layout takes off the front of b, or -1.
func match(layout string, b []byte) int {
alternatives:
	for alternative := range strings.SplitSeq(layout, "|") {
		at := 0
		for field := range strings.FieldsSeq(alternative) {
			n := matchField(field, b[at:])
			if n < 0 || at+n > len(b) {
				continue alternatives
			}
			at += n
		}
		return at
	}
	return -1
}

func matchField(field string, b []byte) int {
	number := func(n int) (v uint64) { // the first n bytes of b
		for _, c := range b[:min(n, len(b))] {
			v = v<<8 | uint64(c)
		}
		return v
	}
	is := func(n int, ok bool) int {
		if n <= len(b) && ok {
			return n
		}
		return -1
	}
	if n, err := strconv.Atoi(field); err == nil {
		return is(n, true)
	}
	if most, ok := strings.CutPrefix(field, "<="); ok {
		n, _ := strconv.ParseUint(most, 10, 64)
		return is(8, number(8) <= n)
	}
	if most, item, ok := strings.Cut(field, "*"); ok {
		n, _ := strconv.ParseUint(most, 10, 64)
		if number(2) > n {
			return -1
		}
		return match("2 "+strings.Repeat(item+" ", int(number(2))), b)
	}
	if low, high, ok := strings.Cut(field, "-"); ok {
		l, _ := strconv.ParseUint(low, 10, 64)
		h, _ := strconv.ParseUint(high, 10, 64)
		return is(1, l <= number(1) && number(1) <= h)
	}
	switch field {
	case "none":
		return is(2, number(2) == 0)
	case "mode":
		return is(2, number(2) <= 0o777)
	case "refusal":
		return is(2, 2 <= number(2) && number(2) <= 12)
	case "few":
		return is(2, number(2) <= 2000)
	case "version":
		return is(8, 1 <= number(8) && number(8) <= 1<<62)
	case "unknown":
		return is(8, number(8) == 0xffffffffffffffff)
	case "zero":
		return is(32, bytes.HasPrefix(b, make([]byte, 32)))
	case "nonzero":
		return is(32, !bytes.HasPrefix(b, make([]byte, 32)))
	case "name", "begin":
		n := int(number(2))
		if len(b) < 2+n {
			return -1
		}
		s := string(b[2 : 2+n])
		return is(2+n, nameBegins(s) && (field == "begin" || nameIsWhole(s)))
	}
	return match(rules[field], b)
}

func nameBegins(s string) bool {
	for i, r := range s {
		_, width := utf8.DecodeRuneInString(s[i:])
		if r == 0xfffd && width == 1 || r < 0x20 || 0x7f <= r && r < 0xa0 {
			return false
		}
	}
	return len(s) <= 1024
}

func nameIsWhole(s string) bool {
	padded := "/" + s + "/"
	for _, bad := range []string{"//", "/./", "/../"} {
		if strings.Contains(padded, bad) {
			return false
		}
	}
	run := 0
	for i := range len(s) {
		run++
		if s[i] == '/' {
			run = 0
		}
		if run > 255 {
			return false
		}
	}
	return true
}

// TestAcceptorTakesTheTable: an acceptor that refuses everything would agree
// with a parser that does.
func TestAcceptorTakesTheTable(t *testing.T) {
	for _, row := range messages {
		if !accepts(strconv.Itoa(int(row.typ)), unhex(t, row.hex)) {
			t.Errorf("%s is refused", row.name)
		}
	}
	for _, row := range others {
		rule := map[string]string{"Ping": "ping", "Ack": "ping", "Manifest": "manifest", "ManifestTombstone": "manifest"}[row.name]
		if rule != "" && !accepts(rule, unhex(t, row.hex)) {
			t.Errorf("%s is refused", row.name)
		}
	}
}
