package main

import (
	"encoding/json"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestNamesAreShownSoThatNothingHappens(t *testing.T) {
	for in, want := range map[string]string{
		"thesis.tar":         "thesis.tar",
		"notes/my diary.txt": "notes/my diary.txt",
		"Ünïcødé 名前":         "Ünïcødé 名前",
		"":                   `""`,
		" lead":              `" lead"`,
		"trail ":             `"trail "`,
		`a"b`:                `"a\"b"`,
		`a\b`:                `"a\\b"`,
		"\x1b[2J":            `"\x1b[2J"`,
		"a\nb":               `"a\nb"`,
		"tab\t":              `"tab\t"`,
		"\u202egnp.exe":      `"\u202egnp.exe"`,
		"zero\u200bwidth":    `"zero\u200bwidth"`,
		"c1\u009bm":          `"c1\u009bm"`,
		"\xff":               `"\xff"`,
		"nul\x00":            `"nul\x00"`,
		"no\u00a0break":      `"no\u00a0break"`,
		"a\u2800":            `"a\u2800"`,
		"\u3164":             `"\u3164"`,
		"a\ufe0f":            `"a\ufe0f"`,
		"a\U000e0101":        `"a\U000e0101"`,
	} {
		if got := name(in); got != want {
			t.Errorf("name(%q) = %s, want %s", in, got, want)
		}
	}
}

// Nothing that Unicode lets a terminal leave out, or shows as nothing, is taken
// for visible: Default_Ignorable_Code_Point of Unicode 15, and two symbols.
func TestIgnorableAndBlankIsNotVisible(t *testing.T) {
	for _, span := range [][2]rune{
		{0xad, 0xad}, {0x34f, 0x34f}, {0x61c, 0x61c}, {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f},
		{0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x206f}, {0x2800, 0x2800}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},
		{0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfff8}, {0x1bca0, 0x1bca3}, {0x1d159, 0x1d159},
		{0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
	} {
		for r := span[0]; r <= span[1]; r++ {
			if visible(r) {
				t.Errorf("%U is visible", r)
			}
		}
	}
	for _, r := range "a~é名👍́\u2801" {
		if !visible(r) {
			t.Errorf("%U is not visible", r)
		}
	}
}

func TestCleanLeavesNothingUnseen(t *testing.T) {
	for in, want := range map[string]string{
		`plain "quoted" \ text`: `plain "quoted" \ text`,
		"a\x1b[31mred":          `a\x1b[31mred`,
		"bidi \u202e \u2066":    `bidi \u202e \u2066`,
		"\xff\xfe":              `\xff\xfe`,
		"really \ufffd":         "really \ufffd",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %s, want %s", in, got, want)
		}
	}
}

// What the terminal gets of any JSON holds no character that it acts on, and
// still means the same.
func TestJSONIsSafeToPrint(t *testing.T) {
	in := []string{"\x1b[2J", "\u202e", "\u009b", "\u007f", "ok 名", "\U000e0001", "\u2028"}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out := asciiJSON(b)
	for _, r := range string(out) {
		if !visible(r) {
			t.Errorf("%q is in the output", r)
		}
	}
	var back []string
	if err := json.Unmarshal(out, &back); err != nil || strings.Join(back, "|") != strings.Join(in, "|") {
		t.Errorf("it reads back as %q, %v, want %q", back, err, in)
	}
}

func FuzzName(f *testing.F) {
	for _, seed := range []string{"", "a", "\x1b[0m", "\u202e", "\xff", `"`, " "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for what, out := range map[string]string{"name": name(s), "clean": clean(s)} {
			if !utf8.ValidString(out) || strings.ContainsFunc(out, func(r rune) bool { return !visible(r) }) {
				t.Errorf("%s(%q) = %q has something unseen", what, s, out)
			}
		}
		if shown := name(s); shown != s && !strings.HasPrefix(shown, `"`) {
			t.Errorf("name(%q) = %s is neither itself nor quoted", s, shown)
		}
	})
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1048575: "1.0 MiB",
		3113851290: "2.9 GiB", 1<<63 - 1: "8.0 EiB",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestSpans(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1873412: "1.87ms", 999 * time.Microsecond: "999µs", 4*time.Minute + 12*time.Second + 3: "4m12s",
		3*time.Hour + 4*time.Minute: "3h4m", 76 * time.Hour: "3d4h",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%d) = %q, want %q", d, got, want)
		}
	}
}

// TestSecondsAreNeverWrapped: what would take longer than a duration holds does
// not become negative.
func TestSecondsAreNeverWrapped(t *testing.T) {
	for _, s := range []float64{1e10, 1e18, 1e300, math.Inf(1)} {
		if d := seconds(s); d < 290*365*24*time.Hour {
			t.Errorf("%v seconds are %v", s, d)
		}
		if d := seconds(-s); d > -290*365*24*time.Hour {
			t.Errorf("%v seconds are %v", -s, d)
		}
	}
	if d := seconds(1.5); d != 1500*time.Millisecond {
		t.Errorf("1.5 seconds are %v", d)
	}
}

// TestNamesThatLookAlikeAreShownDifferently: of the spellings of a name only
// Unicode's normal form C is shown as it is.
func TestNamesThatLookAlikeAreShownDifferently(t *testing.T) {
	for in, want := range map[string]string{
		"caf\u00e9":            "caf\u00e9",
		"cafe\u0301":           `"cafe\u0301"`,
		"cafe\u0301 caf\u00e9": "\"cafe\\u0301 caf\u00e9\"",
		"\u212bngstr\u00f6m":   "\"\\u212bngstr\u00f6m\"", // Angstrom sign
		"\u1112\u1161\u11ab":   `"\u1112\u1161\u11ab"`,    // a syllable of Korean in its letters
		"\ud55c":               "\ud55c",
		"\u0301":               "\u0301",
		"a\xffe\u0301":         `"a\xffe\u0301"`,
		"a\u0323\u0307":        `"a\u0323\u0307"`,
		"\u1ea1\u0307":         "\u1ea1\u0307",
	} {
		got := name(in)
		if got != want {
			t.Errorf("name(%+q) = %s, want %s", in, got, want)
		}
		if got != in {
			if back, err := strconv.Unquote(got); err != nil || back != in {
				t.Errorf("%s stands for %+q, %v, want %+q", got, back, err, in)
			}
		}
	}
}

// TestSpellingsAreWrittenForAnyShell: what the hint says gives the name.
func TestSpellingsAreWrittenForAnyShell(t *testing.T) {
	for _, file := range []string{"cafe\u0301", "-e\u0301", "100%e\u0301", `it's a \e` + "\u0301", "a\tb e\u0301", "$(touch x)`e\u0301`\"", "\u1112\u1161\u11ab"} {
		out, err := exec.Command("sh", "-c", "printf "+octal(file)).Output()
		if err != nil || string(out) != file {
			t.Errorf("printf %s gives %q, %v, want %q", octal(file), out, err, file)
		}
	}
}
