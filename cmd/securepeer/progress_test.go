package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"securepeer/internal/control"
	"securepeer/node"
)

// shown is a terminal that remembers what stands in its line.
type shown struct {
	mu   sync.Mutex
	line string
	all  []string
}

func (s *shown) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = strings.TrimSuffix(strings.TrimPrefix(string(b), "\r"), "\x1b[K")
	s.all = append(s.all, s.line)
	return len(b), nil
}

func (s *shown) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.line
}

func (s *shown) written() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// drawn starts a progress that draws to a terminal of so many columns, and
// runs story in virtual time.
func drawn(t *testing.T, columns int, name string, total int64, story func(*progress, *shown)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var to shown
		a := &app{console: &console{err: &to, terminal: true}}
		p := a.progress(name, total)
		p.width = func() int { return columns }
		p.start()
		defer p.done()
		time.Sleep(drawEvery / 2) // virtual: the ticks fall between what the story does
		story(p, &to)
	})
}

// TestProgressShowsTheRateOfNow: a line that slows down is not shown with the
// mean since the start.
func TestProgressShowsTheRateOfNow(t *testing.T) {
	drawn(t, 80, "thesis.tar", 400<<20, func(p *progress, to *shown) {
		for range 20 { // 10 MiB/s
			p.add(5 << 20)
			time.Sleep(500 * time.Millisecond)
		}
		if want := "thesis.tar  25%  100.0 MiB / 400.0 MiB  10.0 MiB/s  30s left"; to.text() != want {
			t.Errorf("line = %q, want %q", to.text(), want)
		}
		for range 20 { // 1 MiB/s
			p.add(1 << 19)
			time.Sleep(500 * time.Millisecond)
		}
		if want := "thesis.tar  27%  110.0 MiB / 400.0 MiB  1.0 MiB/s  4m50s left"; to.text() != want {
			t.Errorf("line = %q, want %q", to.text(), want)
		}
	})
}

// putAt is what the peer says of a put.
func putAt(s node.ProgressState) control.Progress {
	return control.Progress{Known: true, ProgressState: s}
}

// TestProgressIsAliveWhileNothingMoves: it names the peers it waits for, and since
// when, and not that 0 s are left.
func TestProgressIsAliveWhileNothingMoves(t *testing.T) {
	drawn(t, 80, "thesis.tar", 4<<20, func(p *progress, to *shown) {
		time.Sleep(3 * time.Second)
		if want := "thesis.tar  0%  0 B / 4.0 MiB  nothing for 3s"; to.text() != want {
			t.Errorf("before the first byte: %q, want %q", to.text(), want)
		}
		p.at(putAt(node.ProgressState{Taken: 1 << 20, Waiting: []string{"carol"}}))
		time.Sleep(time.Second)
		if want := "thesis.tar  25%  1.0 MiB / 4.0 MiB  1.0 MiB/s  3s left"; !strings.HasPrefix(to.text(), want[:36]) || !strings.HasSuffix(to.text(), " left") {
			t.Errorf("while it moves: %q, want about %q", to.text(), want)
		}
		time.Sleep(10 * time.Second)
		if want := "thesis.tar  25%  1.0 MiB / 4.0 MiB  waiting for carol for 10s"; to.text() != want {
			t.Errorf("while it stands: %q, want %q", to.text(), want)
		}
		p.at(putAt(node.ProgressState{Taken: 4 << 20, Waiting: []string{"bob", "carol"}}))
		time.Sleep(time.Second)
		if want := "thesis.tar  100%  4.0 MiB / 4.0 MiB  waiting for bob carol"; to.text() != want {
			t.Errorf("at the end: %q, want %q", to.text(), want)
		}
		time.Sleep(2 * time.Minute)
		if want := "thesis.tar  100%  4.0 MiB / 4.0 MiB  waiting for bob carol for 2m0s"; to.text() != want {
			t.Errorf("two minutes later: %q, want %q", to.text(), want)
		}
		p.mu.Lock()
		p.last = "waiting for the copies"
		p.mu.Unlock()
		p.at(putAt(node.ProgressState{Taken: 4 << 20}))
		time.Sleep(time.Second)
		if want := "thesis.tar  100%  4.0 MiB / 4.0 MiB  waiting for the copies for 2m1s"; to.text() != want {
			t.Errorf("when nobody is known: %q, want %q", to.text(), want)
		}
	})
}

// TestProgressSaysWhatOfThisMachineIsWaitedFor: a pipe that gives nothing, or takes
// nothing, is no member's fault; a member that is waited for as well is named.
func TestProgressSaysWhatOfThisMachineIsWaitedFor(t *testing.T) {
	drawn(t, 80, "db", 0, func(p *progress, to *shown) {
		p.busy("standard input")
		time.Sleep(time.Second)
		if to.text() != "db" {
			t.Errorf("at once: %q", to.text())
		}
		time.Sleep(4 * time.Second)
		if want := "db  waiting for standard input for 5s"; to.text() != want {
			t.Errorf("while it gives nothing: %q, want %q", to.text(), want)
		}
		p.waits(control.Progress{ProgressState: node.ProgressState{Waiting: []string{"n3"}}})
		time.Sleep(time.Second)
		if want := "db  waiting for n3 for 6s"; to.text() != want {
			t.Errorf("with a member: %q, want %q", to.text(), want)
		}
		p.waits(control.Progress{})
		p.busy("")
		time.Sleep(time.Second)
		if want := "db  nothing for 7s"; to.text() != want {
			t.Errorf("with neither: %q, want %q", to.text(), want)
		}
	})
}

// TestTransfersSayWhomTheyWaitFor: before the first byte, and behind the last one,
// and with the bytes on a pipe; and without a
// terminal, or with --json, nobody asks. A get said "nothing for 5s", and not of
// whom.
func TestTransfersSayWhomTheyWaitFor(t *testing.T) {
	for _, c := range []struct {
		args  []string
		drawn bool
	}{
		{[]string{"get", "f"}, true},
		{[]string{"get", "f", "-o", "-"}, true},
		{[]string{"rm", "f"}, true},
		{[]string{"put", "-", "--name", "f", "--allow-empty"}, true},
		{[]string{"get", "f", "--json"}, false},
		{[]string{"rm", "f", "--json"}, false},
		{[]string{"put", "-", "--name", "f", "--allow-empty", "--json"}, false},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			ids, told := make(chan string, 1), make(chan struct{})
			dir := fakePeer(t, func(w http.ResponseWriter, r *http.Request) {
				if id, ok := strings.CutPrefix(r.URL.Path, "/v1/progress/"); ok {
					json.NewEncoder(w).Encode(control.Progress{Known: id == <-ids, ProgressState: node.ProgressState{Waiting: []string{"n3"}}})
					ids <- id
					return
				}
				io.Copy(io.Discard, r.Body)
				ids <- r.URL.Query().Get("progress")
				if c.drawn {
					<-told
				}
				w.WriteHeader(http.StatusNotFound)
				json.NewEncoder(w).Encode(control.Error{Code: control.CodeNotFound, Message: "it ends here"})
			})
			var to shown
			ended := make(chan struct{})
			go func() { // ends with told
				defer close(ended)
				out := bufio.NewWriter(io.Discard)
				execute(t.Context(), append(c.args, "--dir", dir), &console{in: strings.NewReader(""), out: out, stdout: io.Discard, err: &to, terminal: true})
			}()
			if c.drawn {
				eventually(t, "the line", func(context.Context) bool {
					return strings.HasPrefix(to.text(), "f  waiting for n3 for ")
				})
			}
			close(told)
			<-ended
			if id := <-ids; (id != "") != c.drawn {
				t.Errorf("the id is %q", id)
			}
		})
	}
}

// TestProgressForgetsAMemberThatIsWaitedForNoMore: a get whose last bytes stay in
// a pipe is over for the peer.
func TestProgressForgetsAMemberThatIsWaitedForNoMore(t *testing.T) {
	for what, after := range map[string]func(http.ResponseWriter){
		"over":   func(w http.ResponseWriter) { json.NewEncoder(w).Encode(control.Progress{}) },
		"ailing": func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
	} {
		t.Run(what, func(t *testing.T) {
			var asked atomic.Int32
			dir := fakePeer(t, func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) == 1 {
					json.NewEncoder(w).Encode(control.Progress{Known: true, ProgressState: node.ProgressState{Waiting: []string{"n3"}}})
					return
				}
				after(w)
			})
			var to shown
			a := &app{console: &console{err: &to, terminal: true}}
			p := a.progress("f", 0)
			p.follow(t.Context(), control.New(dir), p.waits)
			p.start()
			defer p.done()
			eventually(t, "the end of a wait", func(context.Context) bool {
				return strings.HasPrefix(to.text(), "f  nothing for ")
			})
		})
	}
}

// TestProgressKeepsToTheWidth: a line that is wider begins a new one each time
// that it is drawn.
func TestProgressKeepsToTheWidth(t *testing.T) {
	start := time.Unix(0, 0)
	for _, name := range []string{"f", "thesis.tar", strings.Repeat("long-", 50), strings.Repeat("名前", 40), "cafe" + strings.Repeat("\u0301", 60), "\x1b[2J", ""} {
		for _, total := range []int64{0, 5 << 30, math.MaxInt64} {
			for _, bytes := range []int64{0, 1 << 30, 5 << 30} {
				for _, waiting := range [][]string{nil, {"carol"}, {"bob", strings.Repeat("m", 64), "名前"}} {
					for _, still := range []time.Duration{0, time.Hour} {
						p := &progress{name: name, total: total, bytes: bytes, waiting: waiting, moved: start, seen: []sample{{start, 0}}}
						for room := range 120 {
							line := p.line(start.Add(still), room)
							if n := columns(line); n > room {
								t.Errorf("%d columns of %d: %q", n, room, line)
							}
							if room >= 40 && total == 5<<30 && !strings.Contains(line, "%") {
								t.Errorf("in %d columns: %q", room, line)
							}
						}
					}
				}
			}
		}
	}
}

// TestProgressLeavesOut: what is left out first says least.
func TestProgressLeavesOut(t *testing.T) {
	for room, want := range map[int]string{
		64: "a-long-name.tar.gz  41%  1.2 GiB / 2.9 GiB  214.0 MiB/s  8s left",
		63: "a-long-....tar.gz  41%  1.2 GiB / 2.9 GiB  214.0 MiB/s  8s left",
		61: "a-long-name.tar.gz  41%  214.0 MiB/s  8s left",
		43: "a-long....tar.gz  41%  214.0 MiB/s  8s left",
		42: "a-long-name.tar.gz  41%  8s left",
		30: "a-long....tar.gz  41%  8s left",
		23: "a-long-name.tar.gz  41%",
		10: "a-l...r.gz",
		2:  "..",
		0:  "",
	} {
		if got := fit(room, "a-long-name.tar.gz", "41%", "1.2 GiB / 2.9 GiB", "214.0 MiB/s", "8s left"); got != want {
			t.Errorf("in %d columns: %q, want %q", room, got, want)
		}
	}
}

func TestProgressDrawsFiveTimesASecondAndCleansUp(t *testing.T) {
	drawn(t, 80, "\x1b[2J", 1000, func(p *progress, to *shown) {
		for range 100 { // one second
			p.add(10)
			time.Sleep(10 * time.Millisecond)
		}
		p.done()
		if n := len(to.written()); n != 6 {
			t.Errorf("written %d times in a second, want 5 and the end", n)
		}
		if strings.Contains(strings.Join(to.written(), ""), "\x1b[2J") {
			t.Error("the name's escape sequence reached the terminal")
		}
		if to.text() != "" {
			t.Errorf("the line is still there at the end: %q", to.text())
		}
	})
}

func TestProgressDrawsNothingWithoutTerminal(t *testing.T) {
	var out bytes.Buffer
	for _, c := range []*console{{terminal: false}, {terminal: true, json: true}} {
		c.err = &out
		a := &app{console: c}
		p := a.progress("f", 10)
		p.start() // would panic if it drew
		p.add(10)
		p.done()
	}
	if out.Len() > 0 {
		t.Errorf("drawn %q", out.String())
	}
}
