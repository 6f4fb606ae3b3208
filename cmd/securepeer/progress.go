package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
	"golang.org/x/text/width"

	"securepeer/internal/control"
)

const (
	// drawEvery is how often progress is drawn anew: more cannot be read.
	drawEvery = 200 * time.Millisecond
	// rateOver is how far back the rate looks.
	rateOver = 4 * time.Second
	// stillAfter is how long nothing may move until that is said.
	stillAfter = 2 * time.Second
	// plainWidth is a terminal's that does not say how wide it is.
	plainWidth = 80
)

// progress draws one line about a file that moves, over and over on itself,
// also while nothing moves.
type progress struct {
	to    io.Writer // nil: draw nothing
	now   func() time.Time
	width func() int // columns
	name  string
	last  string   // what is waited for when all has been sent; "": nothing
	ends  []func() // each ends a goroutine, and waits for it; those of start and follow

	mu      sync.Mutex
	total   int64    // 0: not known
	bytes   int64    // that have arrived where they go
	waiting []string // members that it waits for; nil: not known, or for none
	own     string   // what of this machine it waits for; "": nothing
	moved   time.Time
	seen    []sample // of the last rateOver, and one before
	drawn   bool
}

// sample is how many bytes had moved at a time.
type sample struct {
	at    time.Time
	bytes int64
}

// progress returns one for a file. It draws from start to done.
func (a *app) progress(name string, total int64) *progress {
	p := &progress{now: time.Now, width: a.width, name: name, total: total}
	p.moved = p.now()
	p.seen = []sample{{p.moved, 0}}
	if a.terminal && !a.json && os.Getenv("TERM") != "dumb" {
		p.to = a.err
	}
	return p
}

// start begins to draw, if that is for people.
func (p *progress) start() {
	if p.to == nil {
		return
	}
	p.again(context.Background(), func(context.Context) { p.draw() })
}

// follow has the peer asked how far a transfer is, and take told, if that is for
// people. It returns the id that the transfer is to have, or "".
func (p *progress) follow(ctx context.Context, client *control.Client, take func(control.Progress)) (id string) {
	if p.to == nil {
		return ""
	}
	id = control.NewProgressID()
	p.again(ctx, func(ctx context.Context) {
		s, err := client.Progress(ctx, id)
		if err != nil || !s.Known { // no member is waited for before the transfer, or behind it
			p.waits(control.Progress{})
			return
		}
		take(s)
	})
	return id
}

// again calls f each drawEvery, with a context that ends with done.
func (p *progress) again(ctx context.Context, f func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { // ends with done, which waits for it, or with ctx
		defer close(ended)
		tick := time.NewTicker(drawEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				f(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
	p.ends = append(p.ends, func() {
		cancel()
		<-ended
	})
}

// width is the terminal's, as far as it is known.
func (c *console) width() int {
	if f, ok := c.err.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	if columns, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && columns > 0 {
		return columns
	}
	return plainWidth
}

// begin says how long the file is.
func (p *progress) begin(total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = total
}

// add says that more bytes have arrived.
func (p *progress) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(p.bytes + int64(n))
}

// at says how far a put is, and for which members it waits.
func (p *progress) at(s control.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(s.Taken)
	p.waiting = s.Waiting
}

// waits says for which members a get or a removal waits.
func (p *progress) waits(s control.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = s.Waiting
}

// busy says what of this machine is waited for until it is called with "".
func (p *progress) busy(own string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.own = own
}

func (p *progress) set(bytes int64) {
	if bytes != p.bytes {
		p.moved = p.now()
	}
	p.bytes = bytes
}

func (p *progress) draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.seen = append(p.seen, sample{now, p.bytes})
	for len(p.seen) > 2 && now.Sub(p.seen[1].at) >= rateOver {
		p.seen = p.seen[1:]
	}
	fmt.Fprintf(p.to, "\r%s\x1b[K", p.line(now, p.width()-1)) // the last column would begin a new line
	p.drawn = true
}

// line is: thesis.tar  41%  1.2 GiB / 2.9 GiB  214.0 MiB/s  8s left
//
// While nothing moves, and when all has been sent, the time that is left is not
// known: it names the peers that it waits for, or what of this machine, and how
// long nothing has moved.
func (p *progress) line(now time.Time, room int) string {
	percent, amount, speed, rest := "", "", "", ""
	if p.bytes > 0 {
		amount = size(p.bytes)
	}
	whole := p.total > 0 && p.bytes >= p.total
	if p.total > 0 {
		percent = fmt.Sprintf("%d%%", int(min(1, float64(p.bytes)/float64(p.total))*100))
		amount = size(p.bytes) + " / " + size(p.total)
	}
	still := now.Sub(p.moved)
	switch rate := p.rate(now); {
	case (whole || still >= stillAfter) && len(p.waiting) > 0:
		rest = "waiting for " + names(p.waiting)
	case still >= stillAfter && p.own != "":
		rest = "waiting for " + p.own
	case whole && p.last != "":
		rest = p.last
	case still >= stillAfter:
		rest = "nothing"
	case p.total > 0 && rate > 0:
		speed, rest = size(int64(rate))+"/s", span(seconds(float64(p.total-p.bytes)/rate).Round(time.Second))+" left"
	case p.bytes > 0:
		speed = size(int64(rate)) + "/s"
	}
	if still >= stillAfter {
		rest += " for " + span(still.Truncate(time.Second))
	}
	return fit(room, name(p.name), percent, amount, speed, rest)
}

// rate is in bytes a second, over about the last rateOver.
func (p *progress) rate(now time.Time) float64 {
	first := p.seen[0]
	return max(0, float64(p.bytes-first.bytes)) / max(now.Sub(first.at), drawEvery).Seconds()
}

// leastName is how many columns of a name say which it is.
const leastName = 16

// fit joins what there is of a line about name so that it has at most room
// columns: it leaves out the middle of the name, then the amount, the speed and
// the rest.
func fit(room int, name string, fields ...string) string {
	for _, drop := range []int{len(fields), 1, 2, 3, 0} {
		if drop < len(fields) {
			fields[drop] = ""
		}
		tail := ""
		for _, f := range fields {
			if f != "" {
				tail += "  " + f
			}
		}
		if left := room - columns(tail); left >= min(columns(name), leastName) {
			return elide(name, left) + tail
		}
	}
	return elide(name, room)
}

// elide leaves out the middle of what has more columns than there is room for.
func elide(s string, room int) string {
	const gap = "..."
	all := columns(s)
	if all <= room {
		return s
	}
	if room <= len(gap) {
		return gap[:max(0, room)]
	}
	head, tail := 0, 0 // bytes at which the head ends, and the tail begins
	used, left := 0, all
	for i, r := range s {
		c := columnsOf(r)
		if end := i + utf8.RuneLen(r); head == i && used+c <= (room-len(gap))/2 {
			head, used = end, used+c
		}
		if left > room-len(gap)-used || c == 0 && tail == i { // a mark belongs to what is before it
			tail, left = i+utf8.RuneLen(r), left-c
		}
	}
	return s[:head] + gap + s[tail:]
}

// columns is how many a terminal takes for s.
func columns(s string) (n int) {
	for _, r := range s {
		n += columnsOf(r)
	}
	return n
}

// columnsOf is two for a wide rune, none for a mark on the one before (UAX 11).
func columnsOf(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// done takes the line away.
func (p *progress) done() {
	for _, end := range p.ends {
		end()
	}
	p.ends = nil
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		p.drawn = false
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

// countedWriter tells a progress what passes through, and when it waits for what
// takes it.
type countedWriter struct {
	io.Writer
	*progress
	name string // of what takes it, in words
}

func (c countedWriter) Write(b []byte) (int, error) {
	c.busy(c.name)
	n, err := c.Writer.Write(b)
	c.busy("")
	c.add(n)
	return n, err
}
