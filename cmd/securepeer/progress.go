package main

import (
	"fmt"
	"io"
	"time"
)

// drawEvery is how often progress is drawn anew: more cannot be read.
const drawEvery = 200 * time.Millisecond

// progress draws one line about a file that moves, over and over on itself.
// It draws when bytes move, so that nothing waits for it.
type progress struct {
	to    io.Writer // nil: draw nothing
	now   func() time.Time
	name  string
	total int64 // 0: not known
	began time.Time
	drawn time.Time // zero: not yet
	bytes int64
}

// progress returns one for a file, which draws only for people.
func (a *app) progress(name string, total int64) *progress {
	p := &progress{now: time.Now, name: name, total: total, began: time.Now()}
	if a.terminal && !a.json {
		p.to = a.err
	}
	return p
}

func (p *progress) add(n int) {
	p.bytes += int64(n)
	if p.to == nil {
		return
	}
	if now := p.now(); now.Sub(p.began) >= drawEvery && now.Sub(p.drawn) >= drawEvery {
		p.drawn = now
		fmt.Fprintf(p.to, "\r%s\x1b[K", p.line(now))
	}
}

// line is: thesis.tar  41%  1.2 GiB / 2.9 GiB  214.0 MiB/s  8s left
func (p *progress) line(now time.Time) string {
	rate := float64(p.bytes) / now.Sub(p.began).Seconds()
	if p.total == 0 {
		return fmt.Sprintf("%s  %s  %s/s", name(p.name), size(p.bytes), size(int64(rate)))
	}
	percent, left := p.bytes*100/p.total, time.Duration(0)
	if rate > 0 {
		left = seconds(float64(p.total-p.bytes) / rate)
	}
	return fmt.Sprintf("%s  %d%%  %s / %s  %s/s  %s left", name(p.name), percent, size(p.bytes), size(p.total), size(int64(rate)), span(left.Round(time.Second)))
}

// done takes the line away.
func (p *progress) done() {
	if !p.drawn.IsZero() {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

// counted tells a progress what passes through.
type countedReader struct {
	io.Reader
	*progress
}

func (c countedReader) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.add(n)
	return n, err
}

type countedWriter struct {
	io.Writer
	*progress
}

func (c countedWriter) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.add(n)
	return n, err
}
