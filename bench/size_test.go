package main

import "testing"

func TestSizesHaveUnits(t *testing.T) {
	for text, want := range map[string]int64{"0B": 0, "1B": 1, "64MiB": 64 << 20, "3KiB": 3 << 10, "1GiB": 1 << 30, "8388607TiB": 8388607 << 40} {
		var s sizeFlag
		if err := s.Set(text); err != nil || int64(s) != want || s.String() != text {
			t.Errorf("Set(%q) = %d, %v, shown as %q, want %d", text, s, err, s.String(), want)
		}
	}
	for _, text := range []string{"", "64", "MiB", "-1MiB", "+1MiB", "1.5GiB", "1 MiB", "1MB", "8388608TiB", "99999999999999999999B"} {
		s := sizeFlag(7)
		if err := s.Set(text); err == nil || s != 7 {
			t.Errorf("Set(%q) = %d, %v, want it refused", text, s, err)
		}
	}
}
