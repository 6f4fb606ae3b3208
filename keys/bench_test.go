package keys

import (
	"fmt"
	"testing"
)

func BenchmarkParsePublic(b *testing.B) {
	text := testPublic(b, "alice").String()
	for b.Loop() {
		if _, err := ParsePublic(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseRoster1000(b *testing.B) {
	text := []byte(ringLine)
	for id := range 1000 {
		text = append(text, peerLine(b, id, fmt.Sprint("n", id), "")...)
	}
	for b.Loop() {
		if _, err := ParseRoster(text); err != nil {
			b.Fatal(err)
		}
	}
}
