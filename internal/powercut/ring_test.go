//go:build linux

package powercut

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"securepeer/internal/control"
	"securepeer/keys"
	"securepeer/wire"
)

const (
	interval  = 200 * time.Millisecond
	firstPort = 7460

	// patience is how long a ring may take for what is not measured here: far
	// more than it needs on a busy machine.
	patience  = 120 * time.Second
	lookEvery = 20 * time.Millisecond
	logTail   = 20
)

// ring is a set of peers, each a process with a disk of its own.
type ring struct {
	*testing.T
	program string
	roster  *keys.Roster
	peers   []*peer
}

// peer is one member, running or not.
type peer struct {
	ring   *ring
	name   string
	disk   *disk
	dir    string // on its disk
	log    string // not on its disk
	client *control.Client
	tracer []string // runs the program; nil: nothing does
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has been waited for
}

// newRing makes n peers that do not run yet. What is left of them ends with the
// test.
func newRing(t *testing.T, program string, n int) *ring {
	t.Helper()
	r := &ring{T: t, program: program}
	var err error
	if r.roster, err = keys.NewRoster("cuts"); err != nil {
		t.Fatal(err)
	}
	r.roster.Interval = interval
	t.Cleanup(r.end)
	for id := 1; id <= n; id++ {
		r.add(id, uint64(id)*(math.MaxUint64/uint64(n)), newDisk(t, fmt.Sprint("p", id), diskSize))
	}
	for _, p := range r.peers {
		if err := keys.WriteRoster(filepath.Join(p.dir, "roster"), r.roster); err != nil {
			t.Fatal(err)
		}
		unixSync(t, p.disk)
	}
	return r
}

// add makes a member with a key on its disk.
func (r *ring) add(id int, pos uint64, d *disk) {
	r.Helper()
	p := &peer{ring: r, name: fmt.Sprint("p", id), disk: d, dir: filepath.Join(d.path, "d")}
	p.log = filepath.Join(work, p.name+".log")
	p.client = control.New(p.dir)
	r.peers = append(r.peers, p)
	secret, err := keys.Generate()
	if err == nil {
		err = os.Mkdir(p.dir, 0o700)
	}
	if err == nil {
		err = keys.WriteKeyFile(filepath.Join(p.dir, "key"), secret)
	}
	if err == nil {
		err = r.roster.Add(keys.Member{ID: wire.ID(id), Name: p.name, Key: secret.Public(),
			Addr: fmt.Sprintf("127.0.0.1:%d", firstPort+id), Pos: wire.Pos(pos), HasPos: true})
	}
	if err != nil {
		r.Fatal(err)
	}
}

// end kills what runs, shows what failed, and removes the disks.
func (r *ring) end() {
	for _, p := range r.peers {
		p.kill()
		if r.Failed() {
			log, _ := os.ReadFile(p.log) // one that never ran has none
			lines := strings.Split(strings.TrimSpace(string(log)), "\n")
			r.Logf("last words of %s:\n%s", p.name, strings.Join(lines[max(0, len(lines)-logTail):], "\n"))
		}
	}
	for _, p := range r.peers {
		p.disk.remove(r.T)
	}
}

// start runs the peer's process.
func (p *peer) start() {
	p.ring.Helper()
	log, err := os.Create(p.log)
	if err != nil {
		p.ring.Fatal(err)
	}
	defer log.Close() // the process has its own
	args := append(slices.Clone(p.tracer), p.ring.program, "--dir", p.dir, "start")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = work, log, log
	if len(p.tracer) > 0 {
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	}
	if err := cmd.Start(); err != nil {
		p.ring.Fatal(err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() { // ends with the process, which the ring's end kills
		cmd.Wait() // how it ended is in its ProcessState
		close(ended)
	}()
}

// kill ends the process, if it runs, and waits for its end.
func (p *peer) kill() {
	if p.cmd == nil {
		return
	}
	if p.running() {
		syscall.Kill(p.pid(), syscall.SIGKILL) // an error says that it has ended already
	}
	<-p.ended
}

// pid is that of the program: below strace, if that runs it and not it itself.
func (p *peer) pid() int {
	pid := p.cmd.Process.Pid
	if len(p.tracer) > 0 {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) // none: it has ended
		fmt.Sscan(string(children), &pid)
	}
	return pid
}

func (p *peer) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *peer) status() (control.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return p.client.Status(ctx)
}

// await waits until something is so; not in time, it ends the test.
func (r *ring) await(what string, so func() bool) {
	r.Helper()
	if !soWithin(patience, so) {
		r.Fatalf("not so after %v: %s", patience, what)
	}
}

func soWithin(limit time.Duration, so func() bool) bool {
	late := time.After(limit)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for !so() {
		select {
		case <-look.C:
		case <-late:
			return false
		}
	}
	return true
}

// whole waits until all peers are one ring, and each may say what is not there.
func (r *ring) whole() {
	r.Helper()
	var last string
	if soWithin(patience, func() bool {
		for _, p := range r.peers {
			s, err := p.status()
			if err != nil || s.State != "active" || s.Behind || len(s.Circle) != len(r.peers) {
				last = fmt.Sprintf("%s is %q (behind: %v, problem %q) and sees %v: %v", p.name, s.State, s.Behind, s.Store.Problem, s.Circle, err)
				return false
			}
		}
		return true
	}) {
		return
	}
	r.Fatalf("after %v there is no ring: %s", patience, last)
}

// cut cuts the power of all peers together, and mounts their disks again.
func (r *ring) cut() {
	r.Helper()
	failed := make(chan error)
	for _, p := range r.peers {
		go func() { failed <- p.disk.cut() }() // ends when it is taken below
	}
	for range r.peers {
		if err := <-failed; err != nil {
			r.Errorf("cutting the power: %v", err)
		}
	}
	for _, p := range r.peers {
		p.cmd.Process.Kill() // an error says that it has ended already
	}
	for _, p := range r.peers {
		<-p.ended
	}
}

// remount mounts the disks again, after a cut.
func (r *ring) remount() {
	r.Helper()
	for _, p := range r.peers {
		p.disk.unmount(r.T)
		p.disk.mount(r.T)
	}
}

func (p *peer) put(name string, data []byte) (control.PutResult, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return p.client.Put(ctx, name, control.PutInfo{Size: int64(len(data)), Mode: 0o644}, bytes.NewReader(data))
}

func (p *peer) remove(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := p.client.Remove(ctx, name, "")
	return err
}

// get returns what a peer gives of a file.
func (p *peer) get(name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience/4)
	defer cancel()
	d, err := p.client.Get(ctx, name, control.GetOptions{})
	if err != nil {
		return nil, err
	}
	defer d.Close() // all that was wanted was read
	var got bytes.Buffer
	_, err = d.CopyTo(&got)
	return got.Bytes(), err
}

// notFound reports whether an error is a peer's word that a file is not there.
func notFound(err error) bool { return code(err) == control.CodeNotFound }

func code(err error) control.Code {
	var remote *control.Error
	if errors.As(err, &remote) {
		return remote.Code
	}
	return ""
}

// content is what is in the file of that name the k-th time.
func content(name string, k, size int) []byte {
	var seed [32]byte
	copy(seed[:], fmt.Sprint(*seedFlag, " ", name, " ", k))
	b := make([]byte, size)
	rand.NewChaCha8(seed).Read(b) // never fails
	return b
}

// unixSync forces a disk to its image.
func unixSync(t *testing.T, d *disk) {
	t.Helper()
	run(t, "sync", "-f", d.path)
}
