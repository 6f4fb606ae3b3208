//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
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
