//go:build linux

package powercut

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"securepeer/keys"
)

// healing is how long a running peer may take to make anew what it has found.
const healing = 10 * time.Second

// part is a range of a file that means one thing; a negative end counts from
// the end of the file.
type part struct {
	kind       string
	apart      bool // of a file of more than a block
	bytes      bool // of its bytes, and not of the version's own file
	begin, end int
}

const (
	smallSize  = 10_000
	largeSize  = 1<<20 + 1000
	footerSize = 92 // docs/protocol.md, "A version on disk"
)

var parts = []part{
	{kind: "data", begin: 0, end: smallSize},
	{kind: "block list", begin: smallSize, end: smallSize + 32},
	{kind: "manifest", begin: smallSize + 32, end: -footerSize},
	{kind: "footer", begin: -footerSize, end: 0},
	{kind: "length", begin: -footerSize + 16, end: -footerSize + 24},
	{kind: "data apart", apart: true, bytes: true, begin: 0, end: largeSize},
	{kind: "block list apart", apart: true, bytes: true, begin: largeSize, end: 0},
	{kind: "manifest apart", apart: true, begin: 0, end: -footerSize},
	{kind: "footer apart", apart: true, begin: -footerSize, end: 0},
}

// damage is what becomes of a range of a file; other is a file of the same kind.
type damage struct {
	name string
	do   func(path, other string, begin, end int) error
}

var damages = []damage{
	{"one bit", func(path, _ string, begin, end int) error {
		return edit(path, func(b []byte) []byte { b[begin+(end-begin)/2] ^= 0x10; return b })
	}},
	{"truncation", func(path, _ string, begin, _ int) error {
		return edit(path, func(b []byte) []byte { return b[:begin] })
	}},
	{"zeroing", func(path, _ string, begin, end int) error {
		return edit(path, func(b []byte) []byte { clear(b[begin:end]); return b })
	}},
	{"swap", func(path, other string, _, _ int) error {
		aside := other + ".aside"
		for _, r := range [][2]string{{path, aside}, {other, path}, {aside, other}} {
			if err := os.Rename(r[0], r[1]); err != nil {
				return err
			}
		}
		return nil
	}},
	{"deletion", func(path, _ string, _, _ int) error { return os.Remove(path) }},
}

// edit changes a file in place: it stays the one that a peer has open.
func edit(path string, change func([]byte) []byte) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	if _, err := f.Write(change(b)); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// hurt is a version of which files on one disk are damaged.
type hurt struct {
	part   part
	damage damage
	name   string
	files  map[string][]byte // by name: what a peer is to give
	was    map[string][]byte // all files that the damage changes, as they were
}

// TestFlips damages each kind of file there is, in each way, on one of three
// peers, and prints a line for each:
//
//	go test ./internal/powercut -run TestFlips -v -flips
//
// No peer ever gives wrong bytes, or says that a file is not there.
func TestFlips(t *testing.T) {
	if !*flipsFlag {
		return
	}
	t.Run("versions", flipVersions)
	t.Run("states", flipStates)
}

// flipVersions damages versions under a running peer.
func flipVersions(t *testing.T) {
	r := newRing(t, *programFlag, 3)
	for _, p := range r.peers {
		p.start()
	}
	r.whole()
	p := r.peers[0]
	var all []*hurt
	for _, part := range parts {
		for _, d := range damages {
			all = append(all, p.hurt(part, d))
		}
	}
	r.readAll(all, "damaged and running")
	running := make(map[*hurt]string)
	began := time.Now()
	soWithin(healing, func() bool {
		for _, h := range all {
			if running[h] == "" && h.healed() {
				running[h] = fmt.Sprintf("healed in %.1f s", time.Since(began).Seconds())
			}
		}
		return len(running) == len(all)
	})
	p.kill()
	p.start()
	r.whole()
	r.readAll(all, "restarted")
	soWithin(healing, func() bool { return notHealed(all) == 0 })
	for _, h := range all {
		seen, after := running[h], "not healed"
		if seen == "" {
			seen = "not healed"
		}
		if h.healed() {
			after = "healed"
		}
		fmt.Printf("%-16s  %-10s  promised: right bytes from all peers; wanted: healed in %v  seen: right; %s; after a restart %s\n",
			h.part.kind, h.damage.name, healing, seen, after)
	}
	fmt.Printf("versions=%d wrong=0 not-healed=%d not-healed-by-restart=%d\n", len(all), len(all)-len(running), notHealed(all))
}

func notHealed(all []*hurt) (n int) {
	for _, h := range all {
		if !h.healed() {
			n++
		}
	}
	return n
}

// hurt stores a file, and another one of its kind, and damages it on p.
func (p *peer) hurt(part part, d damage) *hurt {
	r := p.ring
	r.Helper()
	h := &hurt{part: part, damage: d, files: make(map[string][]byte), was: make(map[string][]byte), name: part.kind + " " + d.name}
	size := smallSize
	if part.apart {
		size = largeSize
	}
	store := func(name string) (path string) {
		before := p.versions()
		h.files[name] = content(name, 1, size)
		if got, err := r.peers[1].put(name, h.files[name]); err != nil || len(got.Copies) != 3 {
			r.Fatalf("put of %s: %v, %v", name, got.Copies, err)
		}
		for path, isBytes := range p.versions() {
			if _, old := before[path]; !old && isBytes == part.bytes {
				return path
			}
		}
		r.Fatalf("%s is nowhere on %s", name, p.name)
		return ""
	}
	path, other := store(h.name), ""
	if d.name == "swap" {
		other = store(h.name + " other")
	}
	for _, path := range []string{path, other} {
		if path == "" {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			r.Fatal(err)
		}
		h.was[path] = b
	}
	length := len(h.was[path])
	begin, end := part.begin, part.end
	if begin < 0 {
		begin += length
	}
	if end <= 0 {
		end += length
	}
	if err := d.do(path, other, begin, end); err != nil {
		r.Fatal(err)
	}
	if h.healed() {
		r.Fatalf("%s: nothing is damaged", h.name)
	}
	return h
}

// versions returns the files of versions on a peer's disk, and whether each is
// bytes that lie apart.
func (p *peer) versions() map[string]bool {
	all := make(map[string]bool)
	err := filepath.WalkDir(filepath.Join(p.dir, "store", "files"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all[path] = strings.Count(e.Name(), "-") == 1
		}
		return err
	})
	if err != nil {
		p.ring.Fatal(err)
	}
	return all
}

// healed tells whether all that was damaged is as it was.
func (h *hurt) healed() bool {
	for path, was := range h.was {
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, was) {
			return false
		}
	}
	return true
}

// readAll gets each file at each peer.
func (r *ring) readAll(all []*hurt, when string) {
	r.Helper()
	for _, h := range all {
		for name, want := range h.files {
			for _, p := range r.peers {
				if data, err := p.get(name); err != nil || !bytes.Equal(data, want) {
					r.Errorf("%s: %s at %s gives %d bytes, %v", when, name, p.name, len(data), err)
				}
			}
		}
	}
}

// state is a file of the peer's own.
type state struct {
	kind    string
	path    string // below its folder
	begin   int    // of what a bit is flipped in, and zeroed
	end     int    // 0: its end
	refuses bool   // start refuses, and names the file; else it makes the file anew
}

var states = []state{
	{kind: "view", path: "store/state/view"},
	{kind: "incarnation", path: "store/state/incarnation"},
	{kind: "store id", path: "store/store-id"},
	{kind: "run block, boot", path: "store/state/run", end: 36},
	{kind: "names cache", path: "store/state/names"},
	{kind: "roster", path: "roster", refuses: true},
	{kind: "key", path: "key", refuses: true},
}

// flipStates damages a file of a peer that does not run, and starts it.
func flipStates(t *testing.T) {
	r := newRing(t, *programFlag, 3)
	for _, p := range r.peers {
		p.start()
	}
	r.whole()
	var all []*hurt
	for i := range 3 {
		name := fmt.Sprint("kept", i)
		data := content(name, 1, smallSize)
		if _, err := r.peers[i].put(name, data); err != nil {
			t.Fatal(err)
		}
		all = append(all, &hurt{files: map[string][]byte{name: data}})
	}
	strange := t.TempDir()
	if err := writeStrange(strange); err != nil {
		t.Fatal(err)
	}
	p := r.peers[0]
	for _, s := range states {
		for _, d := range damages {
			p.kill()
			path := filepath.Join(p.dir, s.path)
			other := filepath.Join(r.peers[1].dir, s.path) // whole, and not its own
			if s.refuses {
				other = filepath.Join(strange, s.path)
			}
			was := damageState(t, s, d, path, other)
			seen := p.startDamaged(s, path)
			if s.refuses {
				copyBack(t, path, was)
				p.start()
			}
			r.whole()
			r.readAll(all, s.kind+" "+d.name)
			wanted := "made anew at the next start"
			if s.refuses {
				wanted = "start refuses and names the file"
			}
			fmt.Printf("%-16s  %-10s  promised: %s  seen: %s\n", s.kind, d.name, wanted, seen)
		}
	}
}

// damageState damages a file and returns what was in it. A swap is with a copy
// of another one, on another disk.
func damageState(t *testing.T, s state, d damage, path, other string) (was []byte) {
	t.Helper()
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d.name == "swap" {
		copyFile(t, other, path)
		return was
	}
	end := s.end
	if end == 0 {
		end = len(was)
	}
	if err := d.do(path, other, s.begin, end); err != nil {
		t.Fatal(err)
	}
	return was
}

// startDamaged starts a peer with a damaged file and says what it did.
func (p *peer) startDamaged(s state, path string) (seen string) {
	r := p.ring
	r.Helper()
	p.start()
	var active bool
	soWithin(patience, func() bool {
		st, err := p.status()
		active = err == nil && st.State == "active"
		return active || !p.running()
	})
	log, _ := os.ReadFile(p.log) // it was started
	said := strings.TrimSpace(string(log))
	switch {
	case s.refuses && active:
		st, _ := p.status()
		p.kill()
		r.Errorf("%s: it starts: %+v: %s", path, st.Roster, said)
		return "it starts"
	case s.refuses && !strings.Contains(said, path):
		r.Errorf("%s is not named: %s", path, said)
	case !s.refuses && !active:
		r.Fatalf("%s: it does not start: %s", path, said)
	case !s.refuses:
		return "active"
	}
	first, _, _ := strings.Cut(said, "\n")
	return first
}

// writeStrange makes a key and a roster of nobody in the ring.
func writeStrange(dir string) error {
	secret, err := keys.Generate()
	if err != nil {
		return err
	}
	roster, err := keys.NewRoster("strange")
	if err == nil {
		err = roster.Add(keys.Member{ID: 1, Name: "nobody", Key: secret.Public(), Addr: fmt.Sprintf("127.0.0.1:%d", firstPort)})
	}
	if err == nil {
		err = keys.WriteKeyFile(filepath.Join(dir, "key"), secret)
	}
	if err == nil {
		err = keys.WriteRoster(filepath.Join(dir, "roster"), roster)
	}
	return err
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	copyBack(t, to, b)
}

func copyBack(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
