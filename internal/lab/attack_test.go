//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"securepeer/internal/control"
	"securepeer/node"
	"securepeer/wire"
)

// What one member may cost the others, whatever it does.
const (
	tolerable   = 500 * time.Millisecond // or three times what it was: the median of an operation
	linesSecond = 2                      // of a peer's log
	bestOf      = 3                      // runs
	measureTime = 20 * time.Second       // for all of them
	namedTime   = 2 * time.Minute        // until it is named, while it goes on
)

// attack is a puppet's process.
type attack struct {
	w     *world
	cmd   *exec.Cmd
	stdin interface{ Close() error }
	out   *bufio.Scanner
}

// attacks has a puppet take the place of a peer and do that harm. It returns
// when the puppet has prepared it, and has begun. Its machine is another one, as
// far as that goes: the process gets what others leave of the processors.
func (w *world) attacks(p *peer, harm string) *attack {
	w.Helper()
	cmd := exec.Command("/proc/self/exe", p.dir, harm)
	cmd.Env = append(os.Environ(), roleVariable+"="+rolePuppet)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stdin, err := cmd.StdinPipe()
	w.must(err)
	stdout, err := cmd.StdoutPipe()
	w.must(err)
	w.must(w.lab.Start(p.id, cmd))
	w.Cleanup(func() { stdin.Close(); cmd.Process.Kill(); cmd.Wait() }) // it has ended unless the scenario failed
	w.must(syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, 10))
	a := &attack{w, cmd, stdin, bufio.NewScanner(stdout)}
	if !a.out.Scan() || a.out.Text() != "ready" {
		stdin.Close()
		cmd.Wait()
		w.Fatalf("the puppet does not come so far as to harm: %s", errs.String())
	}
	return a
}

// end ends the attack, and tells how often the puppet did it.
func (a *attack) end() {
	a.w.Helper()
	a.stdin.Close()
	for a.out.Scan() {
		a.w.figure("harms", a.out.Text())
	}
	if err := a.cmd.Wait(); err != nil {
		a.w.Errorf("the puppet ends with %v", err)
	}
}

// medians are those of the operations that users wait for.
type medians struct{ get, put, stat time.Duration }

// measure does each operation at each of these peers some times, in turn, and
// returns the medians. None may fail.
func (w *world) measure(peers []*peer) medians {
	w.Helper()
	var took [3][]time.Duration
	timed := func(kind int, p *peer, name string, do func() error) {
		at := time.Now()
		if err := do(); err != nil {
			w.Errorf("%s of %s at %s: %v after %v", [...]string{"get", "put", "stat"}[kind], name, p.name, err, time.Since(at))
		}
		took[kind] = append(took[kind], time.Since(at))
	}
	late := time.Now().Add(measureTime)
	for range 4 {
		for _, p := range peers {
			if time.Now().After(late) {
				w.Fatalf("%v are not enough for %d of %d operations: get %v, put %v, stat %v", measureTime, 4*3*len(peers)-3*len(took[0]), 4*3*len(peers), took[0], took[1], took[2])
			}
			all := w.acked()
			name, fresh := all[w.rng.IntN(len(all))], fmt.Sprintf("file-%d", w.round())
			timed(0, p, name, func() error { return p.get(name, 10*time.Second) })
			timed(1, p, fresh, func() error {
				acked, err := p.put(fresh, 20<<10, 10*time.Second)
				if err == nil && !acked {
					err = fmt.Errorf("fewer copies than wanted")
				}
				return err
			})
			timed(2, p, name, func() error {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				_, err := p.client.Stat(ctx, name)
				return err
			})
		}
	}
	for _, t := range took {
		slices.Sort(t)
	}
	middle := func(t []time.Duration) time.Duration { return t[len(t)/2] }
	return medians{middle(took[0]), middle(took[1]), middle(took[2])}
}

// tolerated reports whether these are what others may be made to wait, given
// what they wait when it is quiet.
func (m medians) tolerated(quiet medians) bool {
	ok := func(is, was time.Duration) bool { return is <= max(tolerable, 3*was) }
	return ok(m.get, quiet.get) && ok(m.put, quiet.put) && ok(m.stat, quiet.stat)
}

func (m medians) String() string {
	r := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("%v/%v/%v", r(m.get), r(m.put), r(m.stat))
}

// harmed forms a ring of five, measures it, has the fifth member's key do harm,
// and measures again: the others wait little longer, nothing that they do
// fails, their logs stay short, and their status names that member and no
// other.
func harmed(harm string) func(w *world) {
	return func(w *world) {
		w.terse = true
		w.begin(w.peers...)
		w.suffers(harm, w.peers[:4], w.peers[4])
	}
}

// suffers is harmed, for a ring that has been formed.
func (w *world) suffers(harm string, honest []*peer, culprit *peer) {
	w.Helper()
	w.store(8, 20<<10, w.peers...)
	w.stop(culprit)
	w.whole(rejoined, honest...)
	w.figure("quiet", w.measure(honest))
	quiet := w.measure(honest) // the first one warms up
	before, at := w.incarnations(honest...), time.Now()
	a := w.attacks(culprit, harm)
	w.logsLittle(honest)
	w.tolerates(quiet, honest)
	if !harms[harm].lawful {
		w.await(namedTime, "somebody's status names "+culprit.name, func() bool { return slices.ContainsFunc(honest, w.names(culprit)) })
	}
	w.blames(honest, culprit)
	w.unjudged(before)
	w.undoubted(at, honest...)
	a.end()
	w.await(40*time.Second, "what the member has kept open is closed", func() bool {
		return !slices.ContainsFunc(honest, func(p *peer) bool { return p.descriptors() > p.open+4*len(honest) })
	})
}

// logsLittle fails if a peer says more than some lines, while nobody uses the
// ring and somebody attacks it.
func (w *world) logsLittle(peers []*peer) {
	w.Helper()
	const window = 5 * time.Second
	time.Sleep(time.Second) // who comes may be told
	lines := w.logLines(peers)
	time.Sleep(window)
	most := 0
	for i, n := range w.logLines(peers) {
		if n -= lines[i]; n > linesSecond*int(window/time.Second) {
			w.Errorf("%s logs %d lines in %v: %q", peers[i].name, n, window, peers[i].lastWords())
		}
		most = max(most, n)
	}
	w.figure("lines", most)
}

// tolerates measures what honest peers wait during an attack, up to three
// times, and is content with the best.
func (w *world) tolerates(quiet medians, honest []*peer) {
	w.Helper()
	for i := range bestOf {
		m := w.measure(honest)
		w.figure(fmt.Sprint("harmed", i), m)
		if m.tolerated(quiet) {
			return
		}
	}
	w.Errorf("get, put and stat take more than %v, and more than three times as long as when it is quiet", tolerable)
}

// names returns whether a peer's status names the culprit.
func (w *world) names(culprit *peer) func(p *peer) bool {
	return func(p *peer) bool {
		s, _ := p.status()
		return slices.ContainsFunc(s.Refused, func(r node.Refusal) bool { return r.Peer == culprit.name }) ||
			slices.ContainsFunc(s.Store.Unfinished, func(u node.Unfinished) bool { return u.Peer == culprit.name })
	}
}

// blames fails if any status names an honest peer.
func (w *world) blames(honest []*peer, culprit *peer) {
	w.Helper()
	said := make(map[string]bool)
	for _, p := range honest {
		s, ok := p.status()
		if !ok {
			w.Errorf("%s does not say how it is", p.name)
		}
		for _, r := range s.Refused {
			if r.Peer == "" || r.Peer == culprit.name {
				said[r.Peer+": "+r.Cause] = true
				continue
			}
			w.Errorf("%s says of %s, which is honest: %d times %s", p.name, r.Peer, r.Count, r.Cause)
		}
		for _, u := range s.Store.Unfinished {
			if u.Peer != culprit.name && u.Bytes > 20<<10 {
				w.Errorf("%s says that %s, which is honest, holds %d bytes in unfinished uploads", p.name, u.Peer, u.Bytes)
			}
			said[fmt.Sprintf("%s: unfinished uploads", u.Peer)] = true
		}
		for _, m := range s.Members {
			if m.Name != culprit.name && (m.Why != "" || m.Problem != "" || m.Suspect || m.Unreachable) {
				w.Errorf("%s says of %s, which is honest: why %q, problem %q, suspect %v, unreachable %v", p.name, m.Name, m.Why, m.Problem, m.Suspect, m.Unreachable)
			}
		}
	}
	var all []string
	for s := range said {
		all = append(all, s)
	}
	slices.Sort(all)
	w.figure("named", fmt.Sprintf("%q", all))
}

// logLines counts those of each peer's log, both streams.
func (w *world) logLines(peers []*peer) (all []int) {
	for _, p := range peers {
		b, err := os.ReadFile(p.logPath())
		if err != nil {
			w.Error(err)
		}
		all = append(all, bytes.Count(b, []byte("\n")))
	}
	return all
}

// doorsHeld: 34 connections from a member's machine that say nothing are at
// each other's door, and come back when they are closed. The member restarts,
// and is in the ring as soon as ever.
func doorsHeld(w *world) {
	w.begin(w.peers...)
	w.store(5, 20<<10, w.peers...)
	member, others := w.peers[4], w.peers[:4]
	before, at := w.incarnations(others...), time.Now()
	a := w.attacks(member, "idle")
	time.Sleep(5 * T)
	for i := range 3 {
		member.kill()
		w.within(fmt.Sprint("back", i), w.restart(member), rejoined)
		w.heard()
	}
	w.everybodyStores()
	w.unjudged(before)
	w.undoubted(at, others...)
	a.end()
}

// removedRuns: the roster of four revokes a fifth, which goes on by the old one.
// The others name it and say so ever more rarely.
func removedRuns(w *world) {
	w.terse = true
	w.begin(w.peers...)
	removed, others := w.peers[4], w.peers[:4]
	w.must(w.roster.Revoke(wire.ID(removed.id)))
	w.publish(others...)
	for _, p := range others {
		p.reload()
	}
	w.whole(rejoined, others...)
	time.Sleep(10 * time.Second)
	w.logsLittleOf(removed, others)
	for _, p := range others {
		s, _ := p.status()
		if !slices.ContainsFunc(s.Refused, func(r node.Refusal) bool { return strings.Contains(r.Peer+r.Cause, removed.name) }) {
			w.Errorf("%s does not name %s, which was removed and still runs: %+v", p.name, removed.name, s.Refused)
		}
	}
	w.stop(removed)
}

// logsLittleOf is for what goes on for ever: at most three lines in 10 s, and
// some line names the one.
func (w *world) logsLittleOf(culprit *peer, peers []*peer) {
	w.Helper()
	const window, most = 10 * time.Second, 3
	lines := w.logLines(peers)
	time.Sleep(window)
	for i, n := range w.logLines(peers) {
		if n -= lines[i]; n > most {
			w.Errorf("%s logs %d lines in %v: %q", peers[i].name, n, window, peers[i].lastWords())
		}
		b, err := os.ReadFile(peers[i].logPath())
		w.must(err)
		warnings := slices.DeleteFunc(strings.Split(string(b), "\n"), func(l string) bool { return !strings.Contains(l, "level=WARN") })
		if !strings.Contains(strings.Join(warnings, "\n"), culprit.name) {
			w.Errorf("%s does not name %s: %q", peers[i].name, culprit.name, warnings)
		}
	}
}

// smallDisk puts a peer's store, which is not there yet, on a disk of so many
// bytes.
func (w *world) smallDisk(p *peer, size int) {
	w.Helper()
	store := filepath.Join(p.dir, "store")
	w.must(os.Mkdir(store, 0o700))
	w.must(unix.Mount("tmpfs", store, "tmpfs", 0, fmt.Sprint("mode=700,size=", size)))
	w.disks = append(w.disks, store)
}

// disksHeld: uploads that nobody ends are all that small disks have room for.
// The others' files have room all the same, and it is said whose the room was.
func disksHeld(w *world) {
	w.terse = true
	for _, p := range w.peers[:4] {
		w.smallDisk(p, 96<<20)
	}
	w.begin(w.peers...)
	w.suffers("waiting", w.peers[:4], w.peers[4])
}

// allFull: no disk has room, and a put says that, not that nobody answers.
func allFull(w *world) {
	for _, p := range w.peers {
		w.smallDisk(p, 64<<20)
	}
	w.begin(w.peers...)
	w.store(3, 20<<10, w.peers...)
	for _, p := range w.peers {
		w.must(os.WriteFile(filepath.Join(p.dir, "store", "filler"), make([]byte, 56<<20), 0o600))
	}
	w.await(20*time.Second, "all say that they are full", func() bool {
		return !slices.ContainsFunc(w.peers, func(p *peer) bool { s, _ := p.status(); return s.State != "full" })
	})
	for _, p := range w.peers {
		_, err := p.put("no-room-"+p.name, 20<<10, 10*time.Second)
		var said *control.Error
		if !errors.As(err, &said) || said.Code != control.CodeNoSpace {
			w.Errorf("put at %s, with all disks full: %v; want %s", p.name, err, control.CodeNoSpace)
		}
	}
	for _, p := range w.peers {
		w.must(os.Remove(filepath.Join(p.dir, "store", "filler")))
	}
	w.await(40*time.Second, "all have room again", func() bool {
		return !slices.ContainsFunc(w.peers, func(p *peer) bool { s, _ := p.status(); return s.State != "active" })
	})
	w.heard()
	w.everybodyStores()
}
