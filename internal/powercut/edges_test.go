//go:build linux

package powercut

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestEdges runs out of each thing that a disk has, and holds what a user is
// told: which peer, why, and that what was acknowledged stays:
//
//	go test ./internal/powercut -run TestEdges -v -edges
func TestEdges(t *testing.T) {
	if !*edgesFlag {
		return
	}
	t.Run("tmpfs", edgeTmpfs)
	t.Run("leftovers", edgeLeftovers)
	t.Run("descriptors", edgeDescriptors)
	t.Run("read only", edgeReadOnly)
	t.Run("inodes", edgeInodes)
	t.Run("modes", edgeModes)
}

// edge makes a ring of n, with a file that is acknowledged.
func edge(t *testing.T, n int) (r *ring, hold func()) {
	t.Helper()
	r = newRing(t, *programFlag, n)
	for _, p := range r.peers {
		p.start()
	}
	r.whole()
	data := content("kept", 1, smallSize)
	if got, err := r.peers[0].put("kept", data); err != nil || len(got.Copies) != n {
		t.Fatalf("put: %v, %v", got.Copies, err)
	}
	return r, func() {
		t.Helper()
		for _, p := range r.peers {
			if got, err := p.get("kept"); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s gives %d bytes of what was acknowledged: %v", p.name, len(got), err)
			}
		}
	}
}

// says runs a command of the program at a peer, and holds its words.
func (p *peer) says(want []string, args ...string) (text string) {
	p.ring.Helper()
	out, err := exec.Command(p.ring.program, append([]string{"--dir", p.dir}, args...)...).CombinedOutput()
	for _, w := range want {
		if !strings.Contains(string(out), w) {
			p.ring.Errorf("%s at %s does not say %q (%v):\n%s", args[0], p.name, w, err, out)
		}
	}
	return string(out)
}

// eventually waits until a status holds.
func (p *peer) eventually(what string, so func(problem, state string) bool) {
	p.ring.Helper()
	p.ring.await(what, func() bool {
		s, err := p.status()
		return err == nil && so(s.Store.Problem, s.State)
	})
}

// edgeTmpfs: a copy in memory is one, and everybody is told that it may not
// last.
func edgeTmpfs(t *testing.T) {
	r := newRing(t, *programFlag, 1)
	p := r.peers[0]
	folder := filepath.Join(p.dir, "store")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", folder)
	t.Cleanup(func() { run(t, "umount", folder) }) // before the ring's end, which removes the disk
	t.Cleanup(p.kill)
	p.start()
	r.whole()
	p.says([]string{"store  durable: unknown: it lies on tmpfs"}, "status")
	p.says([]string{`"durable":"unknown"`, `"file_system":"tmpfs"`}, "status", "--json")
	r.await("start warns", func() bool {
		log, _ := os.ReadFile(p.log) // it was started
		return strings.Contains(string(log), "warning: durability of the store is unknown: it lies on tmpfs")
	})
	p.kill()
	run(t, "umount", folder)
	p.start()
	r.whole()
	if text := p.says(nil, "status"); strings.Contains(text, "durable") {
		t.Errorf("status on ext4 says\n%s", text)
	}
	run(t, "mount", "-t", "tmpfs", "tmpfs", folder) // for the cleanup
}

// edgeLeftovers: what killed runs left in tmp/ gives its space back at the
// start, and what cannot be removed is in nobody's way.
func edgeLeftovers(t *testing.T) {
	r, hold := edge(t, 1)
	p := r.peers[0]
	p.kill()
	temp := filepath.Join(p.dir, "store", "tmp")
	for i := range 100 {
		if err := os.WriteFile(filepath.Join(temp, fmt.Sprint(i+3)), make([]byte, 100<<10), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"1/x", "2/x"} {
		if err := os.MkdirAll(filepath.Join(temp, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p.start()
	r.whole()
	hold()
	if _, err := p.put("next", []byte("next")); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) != 2 {
		t.Errorf("%d are left in tmp/, want the two that can't be removed: %v", len(left), err)
	}
}

// edgeDescriptors: a peer without descriptors says so, and harms nothing.
func edgeDescriptors(t *testing.T) {
	r, hold := edge(t, 2)
	p := r.peers[0]
	var was unix.Rlimit
	few := unix.Rlimit{Cur: 3, Max: 1 << 16} // all are in use: none can be opened
	if err := unix.Prlimit(p.pid(), unix.RLIMIT_NOFILE, nil, &was); err != nil {
		t.Fatal(err)
	}
	few.Max = was.Max
	if err := unix.Prlimit(p.pid(), unix.RLIMIT_NOFILE, &few, nil); err != nil {
		t.Fatal(err)
	}
	text := r.peers[1].says([]string{"stored", "1 of 2 peers", "p1"}, "put", "--name", "few", r.aFile())
	t.Logf("put without descriptors at p1:\n%s", text)
	if err := unix.Prlimit(p.pid(), unix.RLIMIT_NOFILE, &was, nil); err != nil {
		t.Fatal(err)
	}
	r.whole()
	hold()
	r.await("puts have all copies again", func() bool {
		got, err := r.peers[1].put("after", []byte("after"))
		return err == nil && len(got.Copies) == 2
	})
	p.says([]string{"active"}, "status")
}

// aFile is the path of a file to put.
func (r *ring) aFile() string { return filepath.Join(r.peers[0].dir, "roster") }

// edgeReadOnly: ext4 turns read only when its journal fails.
func edgeReadOnly(t *testing.T) {
	r, hold := edge(t, 2)
	p := r.peers[0]
	run(t, "mount", "-o", "remount,abort", p.disk.path)
	text := r.peers[1].says([]string{"p1"}, "put", "--name", "read-only", r.aFile())
	t.Logf("put:\n%s", text)
	p.eventually("the peer knows", func(problem, _ string) bool { return problem != "" })
	t.Logf("status:\n%s", p.says([]string{"takes no writes", "read-only file system"}, "status"))
	hold()
	p.kill()
	p.disk.unmount(t)
	p.disk.mount(t)
	p.start()
	p.eventually("the peer is active", func(_, state string) bool { return state == "active" })
	hold()
}

// edgeInodes: a disk without inodes is full, though bytes are free.
func edgeInodes(t *testing.T) {
	r, hold := edge(t, 1)
	p := r.peers[0]
	aside := filepath.Join(p.disk.path, "aside")
	if err := os.Mkdir(aside, 0o700); err != nil {
		t.Fatal(err)
	}
	made := 0
	for ; ; made++ {
		f, err := os.Create(filepath.Join(aside, fmt.Sprint(made)))
		if err != nil {
			break
		}
		f.Close() // it is empty
	}
	text := p.says([]string{"no space"}, "put", "--name", "none", r.aFile())
	t.Logf("put with %d files beside it:\n%s\n%s", made, text, p.says([]string{"takes no writes: disk is full: no inode is left on it: df -i "}, "status"))
	hold()
	p.kill()
	p.start()
	p.eventually("it starts without inodes", func(_, state string) bool { return state == "active" || state == "full" })
	hold()
	if err := os.RemoveAll(aside); err != nil {
		t.Fatal(err)
	}
	r.await("it stores again", func() bool {
		_, err := p.put("again", []byte("again"))
		return err == nil
	})
}

// edgeModes: a peer that may not use its folder says which.
func edgeModes(t *testing.T) {
	r, hold := edge(t, 1)
	p := r.peers[0]
	p.kill()
	const nobody = 65534
	owned := []string{p.dir, filepath.Join(p.dir, "key"), filepath.Join(p.dir, "roster")}
	for _, path := range owned {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "chmod", "755", work, p.disk.path)
	program := filepath.Join(work, "program")
	copyFile(t, r.program, program)
	run(t, "chmod", "755", program)
	cmd := exec.Command(program, "--dir", p.dir, "start")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "permission denied") || !strings.Contains(string(out), p.dir) {
		t.Errorf("start with a folder that is another user's: %v\n%s", err, out)
	}
	for _, path := range owned {
		if err := os.Chown(path, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	p.start()
	r.whole()
	hold()
}
