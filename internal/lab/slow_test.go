//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"securepeer/internal/control"
)

// What one slow member may cost those that have quick ones beside it: twice
// the time without it, and these.
const (
	slowRate  = 100 << 10 // bytes a second: not a block in the time that a silence may last
	sluggish  = 250 << 10 // a block each few seconds, and so for minutes
	slowGrace = 3 * time.Second
	far       = 20 * time.Millisecond // to a quick one
)

// bulk is the size of the files: what a whole run has, and what a share of it
// has time for.
func bulk() int {
	if *shareFlag != "0/1" {
		return 16 << 20
	}
	return 64 << 20
}

// slow makes the line of a machine slow, both ways. It is near: its short
// answers come before those of the others.
func (w *world) slow(p *peer, rate int64) {
	for _, other := range w.peers {
		if other != p {
			w.lab.Both(p.id, other.id, Rule{Rate: rate})
		}
	}
}

// quick makes all lines fast, and long.
func (w *world) quick() { w.lab.Set(0, 0, Rule{Delay: far}) }

// holders are who is to hold a name: its home holders.
func (w *world) holders(name string) (all []*peer) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	l, err := w.peers[0].client.Lookup(ctx, name)
	w.must(err)
	for _, h := range l.Holders {
		all = append(all, w.peers[w.index(h)])
	}
	return all
}

// nameHeldBy returns a new name that one of two peers holds, and the other does not.
func (w *world) nameHeldBy(yes, no *peer) string {
	w.Helper()
	for i := range 1000 {
		name := fmt.Sprint("bulk-", i)
		if h := w.holders(name); slices.Contains(h, yes) && !slices.Contains(h, no) && !slices.Contains(w.acked(), name) {
			return name
		}
	}
	w.Fatalf("no name is held by %s and not by %s", yes.name, no.name)
	return ""
}

// slowHolder: of the three that have a file one has a slow line, each in turn.
// Who has no copy gets it in little more than the time without that one.
func slowHolder(w *world) {
	w.begin(w.peers...)
	w.quick()
	asker := w.peers[0]
	name := w.nameHeldBy(w.peers[2], asker)
	if acked, err := asker.put(name, bulk(), time.Minute); err != nil || !acked {
		w.Fatalf("put: acked %v, %v", acked, err)
	}
	get := func() time.Duration {
		at := time.Now()
		if err := asker.get(name, 2*time.Minute); err != nil {
			w.Errorf("get: %v", err)
		}
		return time.Since(at)
	}
	quiet := get()
	w.figure("quiet", quiet)
	for i, p := range w.holders(name) {
		w.slow(p, []int64{slowRate, sluggish, 1 << 20}[i])
		w.within(fmt.Sprint("get", i), get(), 2*quiet+slowGrace)
		w.within(fmt.Sprint("again", i), get(), 2*quiet+slowGrace)
		w.quick()
	}
}

// slowTarget: of the three that are to hold a new file one has a slow line, and
// there are others: one of these takes the copy, and the put waits little
// longer than without the slow one.
func slowTarget(w *world) {
	w.begin(w.peers...)
	w.quick()
	writer, slow := w.peers[0], w.peers[2]
	put := func(name string) time.Duration {
		at := time.Now()
		if acked, err := writer.put(name, bulk(), 2*time.Minute); err != nil || !acked {
			w.Errorf("put of %s: acked %v, %v", name, acked, err)
		}
		return time.Since(at)
	}
	quiet := put(w.nameHeldBy(w.peers[1], writer))
	w.figure("quiet", quiet)
	w.slow(slow, slowRate)
	for i := range 2 {
		w.within(fmt.Sprint("put", i), put(w.nameHeldBy(slow, writer)), 2*quiet+slowGrace)
	}
	w.quick()
	w.figure("copied", w.await(20*time.Second, "each file is where it belongs", func() bool {
		return !slices.ContainsFunc(w.acked(), func(name string) bool {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			stat, err := writer.client.Stat(ctx, name)
			return err != nil || countHolders(stat) < 3
		})
	}))
}

// slowOfThree: in a ring of three nobody can take the copy of the one with the
// slow line. A put ends in little more time than without that one, exits 3,
// names it, and its copy is made when its line is quick again.
func slowOfThree(w *world) {
	w.begin(w.peers...)
	w.quick()
	writer, slow := w.peers[0], w.peers[2]
	put := func(name string) (time.Duration, int, string) {
		file := filepath.Join(w.dir, name)
		w.must(os.WriteFile(file, w.content(name, bulk()), 0o600))
		defer os.Remove(file)
		cmd := exec.Command(w.program, "--dir", writer.dir, "put", file, "--name", name)
		var words bytes.Buffer
		cmd.Stdout, cmd.Stderr = &words, &words
		at := time.Now()
		err := cmd.Run()
		var ended *exec.ExitError
		if err != nil && !errors.As(err, &ended) {
			w.Fatal(err)
		}
		w.keep(name, bulk())
		return time.Since(at), cmd.ProcessState.ExitCode(), words.String()
	}
	quiet, code, words := put("early")
	w.figure("quiet", quiet)
	if code != 0 {
		w.Errorf("put exits %d, and says %q", code, words)
	}
	w.slow(slow, slowRate)
	took, code, words := put("late")
	w.within("put", took, 2*quiet+slowGrace)
	if code != 3 || !strings.Contains(words, slow.name) || !strings.Contains(words, "slow") {
		w.Errorf("put exits %d and says %q; want 3, and that %s is slow", code, words, slow.name)
	}
	w.quick()
	w.figure("copied", w.await(20*time.Second, "the slow one has its copy", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		stat, err := writer.client.Stat(ctx, "late")
		return err == nil && countHolders(stat) == 3
	}))
}

// countHolders is how many have a version of what was asked for.
func countHolders(s control.Stat) (n int) {
	for _, h := range s.Holders {
		if len(h.Versions) > 0 {
			n++
		}
	}
	return n
}

// slowLines: who puts has 1 Mbit/s for three copies, a third for each. That is nobody's fault: a put takes as
// long as it takes, and succeeds.
func slowLines(w *world) {
	const size, rate = 2 << 20, 125_000 / 3
	w.roster.Interval = time.Second // a frame takes 36 ms
	w.publish(w.peers...)
	w.begin(w.peers...)
	w.lab.Set(0, 0, Rule{Rate: rate})
	at := time.Now()
	if acked, err := w.peers[0].put("all slow", size, 4*time.Minute); err != nil || !acked {
		w.Errorf("put over slow lines: acked %v, %v", acked, err)
	}
	w.figure("put", time.Since(at))
	w.lab.Set(0, 0, Rule{})
}
