package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestProgressLine(t *testing.T) {
	start := time.Unix(0, 0)
	p := &progress{name: "thesis.tar", total: 4 << 20, began: start, bytes: 1 << 20}
	if got, want := p.line(start.Add(2*time.Second)), "thesis.tar  25%  1.0 MiB / 4.0 MiB  512.0 KiB/s  6s left"; got != want {
		t.Errorf("line = %q, want %q", got, want)
	}
	p.total = -1
	if got, want := p.line(start.Add(2*time.Second)), "thesis.tar  1.0 MiB  512.0 KiB/s"; got != want {
		t.Errorf("line = %q, want %q", got, want)
	}
}

func TestProgressDrawsFiveTimesASecondAndCleansUp(t *testing.T) {
	now := time.Unix(0, 0)
	var out bytes.Buffer
	p := &progress{to: &out, now: func() time.Time { return now }, name: "\x1b[2J", total: 1000, began: now}
	for range 100 { // one second
		now = now.Add(10 * time.Millisecond)
		p.add(10)
	}
	p.done()
	if n := strings.Count(out.String(), "%"); n != 5 {
		t.Errorf("drawn %d times in a second, want 5", n)
	}
	if strings.Contains(out.String(), "\x1b[2J") {
		t.Error("the name's escape sequence reached the terminal")
	}
	if !strings.HasSuffix(out.String(), "\r\x1b[K") {
		t.Error("the line is still there at the end")
	}
}

func TestProgressDrawsNothingWithoutTerminal(t *testing.T) {
	now := time.Unix(0, 0)
	p := &progress{now: func() time.Time { return now }, total: 10, began: now}
	now = now.Add(time.Hour)
	p.add(10) // would panic if it drew
	p.done()
}
