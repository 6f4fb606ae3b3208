package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
	"securepeer/keys"
	"securepeer/wire"
)

// TestMain checks that no goroutine outlives the nodes: Close says so. It lets
// the heap grow, which is small: clearing it away at Go's own pace is a fifth of
// the CPU.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	code := m.Run()
	if code == 0 && leaks() {
		code = 1
	}
	os.Exit(code)
}

// leaks waits a moment for goroutines of this module to end.
func leaks() bool {
	var stacks bytes.Buffer
	for late := time.Now().Add(2 * time.Second); time.Now().Before(late); {
		stacks.Reset()
		pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		if !ours(stacks.String()) {
			return false
		}
		<-time.After(10 * time.Millisecond)
	}
	os.Stderr.WriteString("goroutines are left:\n" + stacks.String())
	return true
}

// ours reports whether stacks has a function of this module, besides those that
// look for it. The names of files may begin like those of functions.
func ours(stacks string) bool {
	for line := range strings.Lines(stacks) {
		if f := strings.Fields(line); len(f) > 2 && strings.HasPrefix(f[2], "securepeer/") &&
			!strings.Contains(f[2], "node.TestMain") && !strings.Contains(f[2], "node.leaks") {
			return true
		}
	}
	return false
}

func TestThreePeersKeepAFileWhenOneDies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "copies=2")
	w.startAll()
	files := map[string][]byte{"empty": {}, "small": []byte("hello"), "dir/odd": bytesOf(1, 3<<20+17)}
	for name, data := range files {
		if r := put(t, w.nodes[0], name, data); len(r.Copies) != 2 || r.Size != int64(len(data)) {
			t.Errorf("Put(%q) = %+v, want 2 copies", name, r)
		}
	}
	for name, data := range files {
		for i, n := range w.nodes {
			if got, _ := get(t, n, name); !bytes.Equal(got, data) {
				t.Errorf("node %d: %q has %d bytes, or others, want %d", i, name, len(got), len(data))
			}
		}
	}
	w.plugs[2].pull()
	for name, data := range files {
		if got, _ := get(t, w.nodes[1], name); !bytes.Equal(got, data) {
			t.Errorf("%q differs after a death", name)
		}
	}
	infos, _, err := w.nodes[0].List(t.Context(), "")
	if err != nil || len(infos) != 3 || infos[0].Name != "dir/odd" {
		t.Errorf("List = %+v, %v", infos, err)
	}
	// A file that is put now has two copies as well.
	until(t, "a ring of two", func() bool { return len(status(t, w.nodes[0]).Circle) == 2 })
	if r := put(t, w.nodes[0], "later", []byte("x")); len(r.Copies) != 2 {
		t.Errorf("Put = %+v, want 2 copies", r)
	}
	// It comes back with nothing lost.
	w.plugs[2].restore()
	w.whole(w.nodes...)
	if got, _ := get(t, w.nodes[2], "later"); string(got) != "x" {
		t.Errorf("got %q after the return", got)
	}
}

func TestOnePeerAloneStoresDegraded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "copies=2")
	n := w.start(0)
	<-n.Ready()
	until(t, "active", func() bool { return status(t, n).State == "active" })
	r := put(t, n, "alone", []byte("a"))
	if len(r.Copies) != 1 || r.Wanted != 2 {
		t.Errorf("Put = %+v, want 1 copy of 2", r)
	}
	// The second copy comes by itself.
	w.start(1)
	w.whole(w.nodes...)
	until(t, "the second copy", func() bool { return status(t, w.nodes[1]).Store.Versions == 1 })
}

func TestAddAFourthByReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, "copies=3")
	fourth := w.roster.Members[3]
	three := *w.roster
	three.Members = three.Members[:3:3]
	for i := range 3 {
		w.start(i, func(c *Config) { c.Roster = &three })
	}
	w.whole(w.nodes[:3]...)
	put(t, w.nodes[0], "file", bytesOf(2, 100_000))
	for _, n := range w.nodes[:3] {
		if err := n.Reload(w.roster); err != nil {
			t.Fatal(err)
		}
	}
	n := w.start(3)
	w.whole(w.nodes...)
	if got, _ := get(t, n, "file"); !bytes.Equal(got, bytesOf(2, 100_000)) {
		t.Error("the fourth reads another file")
	}
	if _, err := n.Ping(t.Context(), "n0"); err != nil {
		t.Errorf("Ping: %v", err)
	}
	if s := status(t, w.nodes[0]); s.Peers[3].Name != fourth.Name || s.Peers[3].OtherRoster {
		t.Errorf("status of the fourth: %+v", s.Peers[3])
	}

	// Without its line it is cut off at once.
	for _, n := range w.nodes[:3] {
		if err := n.Reload(&three); err != nil {
			t.Fatal(err)
		}
	}
	w.whole(w.nodes[:3]...)
	until(t, "links of the fourth to end", func() bool {
		for _, p := range status(t, n).Peers {
			if p.Linked {
				return false
			}
		}
		return true
	})
	until(t, "a dial of the fourth to be refused with a reason", func() bool {
		return strings.Contains(status(t, n).Peers[0].Problem, "does not list this key")
	})
}

func TestReloadRefusesWhatIsNotThisRing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "")
	n := w.start(0)
	<-n.Ready()
	other := newWorld(t, 1, "")
	if err := n.Reload(other.roster); err == nil {
		t.Error("a roster without this peer's key was taken")
	}
	renamed := *w.roster
	renamed.Ring = "another"
	if err := n.Reload(&renamed); err == nil {
		t.Error("a roster of another ring was taken")
	}
	moved := *w.roster
	moved.Members = append([]keys.Member(nil), moved.Members...)
	moved.Members[0].Pos++
	if err := n.Reload(&moved); err == nil {
		t.Error("a roster with another position was taken")
	}
}

// writerFunc is a user's writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// outsider is a node that holds no copy of name.
func outsider(t *testing.T, w *world, name string) (*Node, []string) {
	t.Helper()
	s, err := w.nodes[0].Stat(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	holders := map[string]bool{}
	var names []string
	for _, h := range s.Holders {
		if len(h.Versions) > 0 {
			holders[h.Peer] = true
			names = append(names, h.Peer)
		}
	}
	for i, n := range w.nodes {
		if !holders[w.roster.Members[i].Name] {
			return n, names
		}
	}
	t.Fatalf("everybody holds %q", name)
	return nil, nil
}

func (w *world) index(name string) int {
	m, ok := w.roster.ByName(name)
	if !ok {
		w.t.Fatalf("no member %q", name)
	}
	return int(m.ID)
}

func TestSourceDiesInMidFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, "copies=2")
	w.startAll()
	data := bytesOf(3, 20<<20+5)
	put(t, w.nodes[0], "large", data)
	n, _ := outsider(t, w, "large")
	f, err := n.Get(t.Context(), "large", GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first := f.From()
	var got bytes.Buffer
	_, err = f.WriteTo(writerFunc(func(p []byte) (int, error) {
		if got.Len() == 0 {
			w.plugs[w.index(first)].pull()
		}
		return got.Write(p)
	}))
	if err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("WriteTo: %d bytes, %v; want the %d of the file", got.Len(), err, len(data))
	}
	if f.From() == first {
		t.Errorf("the last bytes came from %s, which is dead", first)
	}
}

// bytesOf is where the bytes of a version lie on the disk of node i, if apart.
func (w *world) bytesOf(i int, e store.Entry) string {
	w.t.Helper()
	folder := fmt.Sprintf("files/%03x/", e.Key>>52)
	names, err := w.disks[i].Mount().List(strings.TrimSuffix(folder, "/"))
	if err != nil {
		w.t.Fatal(err)
	}
	begins := fmt.Sprintf("%016x-%x", e.Key, e.Root)
	at := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, begins) })
	if at < 0 {
		w.t.Fatalf("node %d has no bytes of %s", i, e)
	}
	return folder + names[at]
}

// damage flips a byte of a version on the disk of node i.
func (w *world) damage(i int, name string, at int) {
	w.t.Helper()
	damaged := false
	key := uint64(wire.KeyOf(w.roster.Space, name))
	var versions []store.Entry
	err := w.nodes[i].disk.Each(key, func(e store.Entry) { versions = append(versions, e) })
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range versions {
		path := fmt.Sprintf("files/%03x/%s", v.Key>>52, v)
		if v.Flags&store.FlagApart != 0 {
			path = w.bytesOf(i, v)
		}
		err := w.disks[i].Damage(path, func(b []byte) []byte {
			b[at] ^= 1
			damaged = true
			return b
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if !damaged {
		w.t.Fatalf("node %d has no %q to damage", i, name)
	}
}

func TestLyingHolderIsCaughtAndLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4, "copies=2")
	w.startAll()
	data := bytesOf(4, 6<<20)
	put(t, w.nodes[0], "file", data)
	n, holders := outsider(t, w, "file")
	f, err := n.Get(t.Context(), "file", GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	liar := f.From()
	w.damage(w.index(liar), "file", 3<<20)
	var got bytes.Buffer
	if _, err := f.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("WriteTo: %d bytes, %v", got.Len(), err)
	}
	if f.From() == liar {
		t.Errorf("the last bytes came from %s, which lied", liar)
	}
	if r := status(t, n).Refused; !slices.Contains(r, Refusal{Peer: liar, Cause: "block with a wrong hash", Count: 1}) {
		t.Errorf("refused = %+v, want a block of %s", r, liar)
	}

	// Both lie: an error, and no wrong byte.
	for _, h := range holders {
		if h != liar {
			w.damage(w.index(h), "file", 5<<20)
		}
	}
	if f, err = n.Get(t.Context(), "file", GetOptions{}); err != nil {
		t.Fatal(err)
	}
	f.get.Sources = f.get.Sources[:1] // the other one is found when this one has lied
	got.Reset()
	_, err = f.WriteTo(&got)
	var wrong *IntegrityError
	if !errors.As(err, &wrong) || len(wrong.Peers) != 2 {
		t.Errorf("WriteTo = %v, want an IntegrityError of two", err)
	}
	if !bytes.HasPrefix(data, got.Bytes()) {
		t.Error("a wrong byte was given away")
	}
}

func TestOwnDamagedCopyIsHealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "copies=2")
	w.startAll()
	data := bytesOf(5, 2<<20)
	put(t, w.nodes[0], "file", data)
	w.damage(0, "file", 1<<20)
	if got, f := get(t, w.nodes[0], "file"); !bytes.Equal(got, data) || f.From() != "n1" {
		t.Errorf("got %d bytes from %s", len(got), f.From())
	}
	until(t, "the copy to be healed", func() bool {
		f, err := w.nodes[0].Get(t.Context(), "file", GetOptions{})
		if err != nil {
			return false
		}
		f.get.Sources = []wire.ID{0}
		n, err := f.WriteTo(io.Discard)
		return err == nil && n == int64(len(data))
	})
}

func TestFullDiskIsStoodInFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "copies=2")
	full := make(chan struct{})
	w.disks[1].Fail = func(c simdisk.Call) error {
		select {
		case <-full:
			if c.Op == "WriteAt" || c.Op == "Create" {
				return syscall.ENOSPC
			}
		default:
		}
		return nil
	}
	w.startAll()
	close(full)
	// Until the others know, n1 is still asked, and refuses; another one makes
	// up for it.
	for i := range 8 {
		if r := put(t, w.nodes[0], fmt.Sprint("during", i), []byte("x")); len(r.Copies) != 2 || slices.Contains(r.Copies, "n1") {
			t.Errorf("Put = %+v, want copies at n0 and n2", r)
		}
	}
	until(t, "n1 to say that it is full", func() bool { return status(t, w.nodes[0]).Peers[1].State == "full" })
	for i := range 8 {
		if r := put(t, w.nodes[0], fmt.Sprint("after", i), []byte("x")); len(r.Copies) != 2 || slices.Contains(r.Copies, "n1") {
			t.Errorf("Put = %+v, want copies at n0 and n2", r)
		}
	}
	if got, _ := get(t, w.nodes[1], "after0"); string(got) != "x" {
		t.Errorf("n1 reads %q", got)
	}
}

func TestStopAndStartAgainKeepsFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "copies=3")
	w.startAll()
	put(t, w.nodes[0], "kept", []byte("kept"))
	for i := range w.nodes {
		w.stop(i)
	}
	w.startAll()
	for i, n := range w.nodes {
		if got, _ := get(t, n, "kept"); string(got) != "kept" {
			t.Errorf("node %d has %q after the restart", i, got)
		}
	}
}

func TestLeaveGivesEverythingAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "copies=1")
	w.startAll()
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		put(t, w.nodes[0], name, []byte(name))
	}
	if err := w.nodes[1].Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-w.nodes[1].Done()
	if err := <-w.ended[1]; err != nil {
		t.Fatal(err)
	}
	w.nodes[1] = nil
	w.whole(w.nodes[0], w.nodes[2])
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		if got, _ := get(t, w.nodes[2], name); string(got) != name {
			t.Errorf("%q is %q after the leave", name, got)
		}
	}
}

func TestSameBytesAreTheSameVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "copies=2")
	w.startAll()
	first := put(t, w.nodes[0], "x", []byte("1"))
	again := put(t, w.nodes[0], "x", []byte("1"))
	if first.Same || !again.Same || again.Sum != first.Sum {
		t.Errorf("put twice: %+v, then %+v", first, again)
	}
	if next := put(t, w.nodes[0], "x", []byte("2")); next.Same || next.Version != first.Version+1 {
		t.Errorf("other bytes: %+v after %+v", next, first)
	}
	var taken *TakenError
	_, err := w.nodes[1].Put(t.Context(), "x", strings.NewReader("3"), PutOptions{})
	if !errors.As(err, &taken) || taken.By != "n0" {
		t.Errorf("Put by another = %v, want TakenError by n0", err)
	}
	if _, err := w.nodes[1].Remove(t.Context(), "x", nil); !errors.As(err, &taken) {
		t.Errorf("Remove by another = %v, want TakenError", err)
	}
	if r, err := w.nodes[0].Remove(t.Context(), "x", nil); err != nil || len(r.Copies) != 2 {
		t.Errorf("Remove = %+v, %v", r, err)
	}
	var missing *NotFoundError
	if _, err := w.nodes[1].Get(t.Context(), "x", GetOptions{}); !errors.As(err, &missing) {
		t.Errorf("Get after Remove = %v, want NotFoundError", err)
	}
	if infos, silent, err := w.nodes[1].List(t.Context(), ""); err != nil || len(infos)+len(silent) != 0 {
		t.Errorf("List after Remove = %v, %v, %v", infos, silent, err)
	}
}

func TestPutFailsCleanly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "copies=2")
	w.startAll()
	boom := errors.New("boom")
	for _, c := range []struct {
		what string
		name string
		body io.Reader
		opt  PutOptions
	}{
		{"a body that fails", "x", io.MultiReader(bytes.NewReader(bytesOf(6, 1<<20)), errReader{boom}), PutOptions{}},
		{"a body that is cut off", "x", io.MultiReader(strings.NewReader("12"), errReader{io.ErrUnexpectedEOF}), PutOptions{}},
		{"a body cut off after whole chunks", "x", io.MultiReader(bytes.NewReader(bytesOf(6, 2*chunkSize)), errReader{io.ErrUnexpectedEOF}), PutOptions{}},
		{"a body that gives nothing", "x", errReader{nil}, PutOptions{}},
		{"fewer bytes than announced", "x", strings.NewReader("123"), PutOptions{Size: 4}},
		{"more bytes than announced", "x", strings.NewReader("12345"), PutOptions{Size: 4}},
		{"a bad name", "../x", strings.NewReader("1"), PutOptions{}},
		{"no name", "", strings.NewReader("1"), PutOptions{}},
		{"an impossible mode", "x", strings.NewReader("1"), PutOptions{Mode: 0o4755}},
	} {
		if r, err := w.nodes[0].Put(t.Context(), c.name, c.body, c.opt); err == nil {
			t.Errorf("%s: Put = %+v, want an error", c.what, r)
		}
	}
	var missing *NotFoundError
	if _, err := w.nodes[1].Get(t.Context(), "x", GetOptions{}); !errors.As(err, &missing) {
		t.Errorf("Get = %v, want NotFoundError", err)
	}
	for i, n := range w.nodes {
		until(t, "uploads to be given up", func() bool {
			names, err := w.disks[i].Mount().List("tmp")
			return err == nil && len(names) == 0
		})
		if s := status(t, n); s.Store.Versions != 0 {
			t.Errorf("node %d has %d versions", i, s.Store.Versions)
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// TestCloseInTheMiddle closes a node whose user reads and writes: Close waits
// for nobody's pipe, and both users get an error.
func TestCloseInTheMiddle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "copies=2")
	w.startAll()
	put(t, w.nodes[0], "f", bytesOf(1, 4<<20))
	r, feed := io.Pipe()
	errs := make(chan error, 2)
	go func() {
		_, err := w.nodes[0].Put(t.Context(), "g", r, PutOptions{})
		errs <- err
	}()
	if _, err := feed.Write(bytesOf(2, 2<<20)); err != nil {
		t.Fatal(err)
	}
	out, drain := io.Pipe()
	f, err := w.nodes[0].Get(t.Context(), "f", GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := f.WriteTo(drain)
		errs <- err
	}()
	if _, err := io.ReadFull(out, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	w.stop(0)
	feed.Close()
	out.Close()
	for range 2 {
		if err := <-errs; err == nil {
			t.Error("an operation ended without an error")
		}
	}
	names, err := w.disks[0].Mount().List("tmp")
	if err != nil || len(names) != 0 {
		t.Errorf("left in tmp: %v, %v", names, err)
	}
}

func TestLoggerThatStandsStillStopsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "copies=2")
	block := make(chan struct{})
	stuck := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		<-block
		return len(p), nil
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	for i := range w.nodes {
		w.start(i, func(c *Config) { c.Logger = stuck })
	}
	w.whole(w.nodes...)
	put(t, w.nodes[0], "f", []byte("x"))
	close(block)
}
