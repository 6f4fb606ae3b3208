package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
	"securepeer/keys"
	"securepeer/ring"
	"securepeer/wire"
)

// diskOf opens the disk of a peer that does not run.
func diskOf(t *testing.T, sim *simdisk.Disk) *disk {
	t.Helper()
	return diskOn(t, sim.Mount())
}

func diskOn(t testing.TB, fsys store.FS) *disk {
	t.Helper()
	s, err := store.Open(fsys, strings.NewReader(strings.Repeat("x", 16)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	d, err := openDisk(s, slog.New(slog.DiscardHandler), anybody)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// keep commits an empty version, which is all that a look reads.
func (d *disk) keep(t testing.TB, m wire.Manifest) {
	t.Helper()
	w, err := d.Create(0)
	if err != nil {
		t.Fatal(err)
	}
	if code := d.commit(w, wire.Space8, m); code != wire.CodeOK {
		t.Fatalf("commit of %+v: code %d", m, code)
	}
}

// TestLookTellsNamesOfOneKeyApart: of the asked name alone, the newest version
// of each writer, the newest first.
func TestLookTellsNamesOfOneKeyApart(t *testing.T) {
	d := diskOf(t, simdisk.New(1))
	name, other := "0015", "0271"
	if wire.KeyOf(wire.Space8, name) != wire.KeyOf(wire.Space8, other) {
		t.Fatalf("keys %d and %d", wire.KeyOf(wire.Space8, name), wire.KeyOf(wire.Space8, other))
	}
	for _, m := range []wire.Manifest{
		{Name: name, Version: 2, Writer: 1}, {Name: name, Version: 1, Writer: 1}, {Name: name, Version: 3, Writer: 1},
		{Name: name, Version: 5, Writer: 2}, {Name: other, Version: 9, Writer: 1}, {Name: other, Version: 9, Writer: 3},
	} {
		m.Signer, m.Flags = m.Writer, wire.Tombstone
		d.keep(t, m)
	}
	for asked, want := range map[string]string{name: "5 by 2, 3 by 1, ", other: "9 by 1, 9 by 3, ", "0527": ""} {
		ms, _, err := d.look(wire.Space8, asked)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for _, m := range ms {
			if m.Name != asked {
				t.Errorf("asked for %q, got %+v", asked, m)
			}
			got += fmt.Sprintf("%d by %d, ", m.Version, m.Writer)
		}
		if asked == other && got == "9 by 3, 9 by 1, " {
			got = want // of one number: by their sums
		}
		if got != want {
			t.Errorf("versions of %q: %s want %s", asked, got, want)
		}
	}
}

// TestDamagedStateDoesNotStopAStart: the others know what this peer has spoken,
// and show it.
func TestDamagedStateDoesNotStopAStart(t *testing.T) {
	sim := simdisk.New(1)
	d := diskOf(t, sim)
	if err := d.persist(100); err != nil {
		t.Fatal(err)
	}
	d.saveView([]wire.Row{{ID: 1, Incarnation: 1, State: wire.Active}})
	d.Close()
	for _, name := range []string{stateIncarnation, stateView} {
		if err := sim.Damage("state/"+name, func(b []byte) []byte { b[0] ^= 1; return b }); err != nil {
			t.Fatal(err)
		}
	}
	again := diskOf(t, sim)
	if again.last != 0 || again.persisted() != 1 {
		t.Errorf("the last incarnation is %d and the next %d, want 0 and 1", again.last, again.persisted())
	}
	w := newWorld(t, 2, "")
	b, err := newBook(w.roster, w.secrets[0].Public())
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := again.savedView(b, newVerifier()); len(rows) > 0 || err != nil {
		t.Errorf("the damaged view is %v, %v", rows, err)
	}
}

// TestSavedViewIsVerified: what the disk says is worth what its signatures are,
// and rows under an older key are left out without the others.
func TestSavedViewIsVerified(t *testing.T) {
	w := newWorld(t, 3, "")
	b, err := newBook(w.roster, w.secrets[0].Public())
	if err != nil {
		t.Fatal(err)
	}
	row := func(id wire.ID, secret *keys.Secret) wire.Row {
		r := wire.Row{ID: id, Incarnation: 5, State: wire.Active}
		r.Sig = secret.Sign(r.SignedBytes("test", nil))
		return r
	}
	d := diskOf(t, simdisk.New(1))
	good := row(1, w.secrets[1])
	d.saveView([]wire.Row{good})
	if rows, err := d.savedView(b, newVerifier()); err != nil || len(rows) != 1 || rows[0] != good {
		t.Errorf("saved %v, %v; want what was written", rows, err)
	}
	d.saveView([]wire.Row{row(1, w.secrets[2])})
	if rows, err := d.savedView(b, newVerifier()); err != nil || len(rows) > 0 {
		t.Errorf("saved %v, %v; want none: another has signed it", rows, err)
	}
	d.saveView([]wire.Row{row(2, w.secrets[1]), good})
	if rows, err := d.savedView(b, newVerifier()); err != nil || len(rows) != 1 || rows[0] != good {
		t.Errorf("saved %v, %v; want the one that is right", rows, err)
	}
}

// TestCodesOfErrors is what the other side is told of each.
func TestCodesOfErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		code   wire.Code
		health wire.State
	}{
		{nil, wire.CodeOK, wire.Active},
		{fmt.Errorf("writing: %w", store.ErrFull), wire.CodeFull, wire.Full},
		{fmt.Errorf("writing: %w", store.ErrStuck), wire.CodeStuck, wire.Stuck},
		{store.ErrNotFound, wire.CodeNotFound, wire.Active},
		{store.ErrDamaged, wire.CodeNotFound, wire.Active},
		{errors.New("anything"), wire.CodeBusy, wire.Active},
	} {
		d := diskOf(t, simdisk.New(1))
		if got := d.code(c.err); got != c.code || d.health() != c.health {
			t.Errorf("%v: code %d, the disk is %v; want %d and %v", c.err, got, d.health(), c.code, c.health)
		}
		d.become(wire.Active)
		if want := c.health; d.health() != want { // not after one good word
			t.Errorf("%v: the disk is %v a moment later, want %v", c.err, d.health(), want)
		}
	}
	if got := diskOf(t, simdisk.New(1)).room(store.MaxSize + 1); got != wire.CodeInvalid {
		t.Errorf("room for more than there can be: code %d", got)
	}
}

// TestCodesOfPulls is what the ring is told of a pull that failed.
func TestCodesOfPulls(t *testing.T) {
	n := &Node{disk: diskOf(t, simdisk.New(1)), log: slog.New(slog.DiscardHandler)}
	refused := &fetch{holders: []*holder{{peer: 1, err: errors.New("silent")}, {peer: 2, err: &refusalError{wire.CodeNotFound}}}}
	silent := &fetch{holders: []*holder{{peer: 1, err: errors.New("silent")}}}
	for _, c := range []struct {
		fetch *fetch
		err   error
		want  wire.Code
	}{
		{refused, &IntegrityError{Name: "f"}, wire.CodeInvalid},
		{refused, &UnavailableError{Name: "f"}, wire.CodeNotFound},
		{silent, &UnavailableError{Name: "f"}, wire.CodeBusy},
		{refused, fmt.Errorf("writing: %w", store.ErrFull), wire.CodeFull},
		{silent, fmt.Errorf("writing: %w", store.ErrStuck), wire.CodeStuck},
	} {
		if got := n.pullCode(c.fetch, c.err); got != c.want {
			t.Errorf("%v: code %d, want %d", c.err, got, c.want)
		}
	}
}

// TestPersistedIsOnDisk: the ring hears that it may speak an incarnation when
// no run after a loss of power can speak it again.
func TestPersistedIsOnDisk(t *testing.T) {
	sim := simdisk.New(1)
	ctx, cancel := context.WithCancel(t.Context())
	n := &Node{disk: diskOf(t, sim), log: slog.New(slog.DiscardHandler), ctx: ctx, cancel: cancel, inputs: make(chan input)}
	n.state = &state{wake: make(chan struct{}, 1)}
	n.work.Go(n.writeState)
	for _, i := range []wire.Incarnation{2, 1000, 2000} {
		n.state.add(func(s *state) { s.persist = append(s.persist, i) })
		if got := (<-n.inputs).(happened).event; got != (ring.Event(ring.Persisted{Incarnation: i})) {
			t.Fatalf("%+v, want %d persisted", got, i)
		}
	}
	cancel()
	n.work.Wait()
	n.disk.Close()
	sim.PowerCut()
	if again := diskOf(t, sim); again.last < 2000 {
		t.Errorf("after a power cut the last incarnation is %d, but 2000 may have been spoken", again.last)
	}
}

// TestCommitThatFailedIsNoCopy: whatever keeps a version from the disk, nobody
// is told that it is there.
func TestCommitThatFailedIsNoCopy(t *testing.T) {
	d := diskOf(t, simdisk.New(1))
	m := wire.Manifest{Name: "f", Version: 1, Writer: 1, Signer: 1, Size: 5, Blocks: wire.Sum{1}}
	w, err := d.Create(5)
	if err != nil {
		t.Fatal(err)
	}
	if code := d.commit(w, wire.Space8, m); code == wire.CodeOK { // no byte was written
		t.Error("a commit of nothing is said to be one")
	}
	if _, _, err := d.Has(versionOf(wire.Space8, m)); err != nil {
		t.Fatal(err)
	}
	if names, _ := d.index.after("", "", 10); len(names) > 0 {
		t.Errorf("it is listed: %v", names)
	}
}

// TestPullOfWhatAnEarlierRunLeft: a version of an earlier run counts as soon as
// the disk is settled, and its bytes are neither read nor written for that: its
// own file, of a manifest, says where they are.
func TestPullOfWhatAnEarlierRunLeft(t *testing.T) {
	synctest.Test(t, pullOfWhatAnEarlierRunLeft)
}

func pullOfWhatAnEarlierRunLeft(t *testing.T) {
	w := newWorld(t, 2, "")
	b, err := newBook(w.roster, w.secrets[0].Public())
	if err != nil {
		t.Fatal(err)
	}
	sim := simdisk.New(1)
	d := diskOf(t, sim)
	data := bytesOf(1, 3*wire.BlockSize/2)
	writer, err := d.Create(int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write(data); err != nil {
		t.Fatal(err)
	}
	_, root, size := writer.Blocks()
	m := claim(w.secrets[1], wire.Manifest{Name: "f", Version: 1, Writer: 1, Signer: 1, Size: uint64(size), Blocks: root})
	if code := d.commit(writer, b.Space, m); code != wire.CodeOK {
		t.Fatalf("commit: code %d", code)
	}
	d.Close()
	sim.Kill()
	n := &Node{disk: diskOf(t, sim), members: newMembers(b, nil), log: slog.New(slog.DiscardHandler), ctx: t.Context()}
	v := versionOf(b.Space, m)
	if present, synced, err := n.disk.Has(v); !present || synced || err != nil {
		t.Fatalf("after a restart: present %v, synced %v, %v", present, synced, err)
	}
	own, err := n.disk.Find(v)
	if err != nil {
		t.Fatal(err)
	}
	wrote := false
	sim.Fail = func(c simdisk.Call) error {
		wrote = wrote || c.Op == "Create" || c.Op == "WriteAt" || c.Op == "ReadAt" && !strings.HasSuffix(c.Name, own.String())
		return nil
	}
	pulled := make(chan wire.Code, 1)
	go func() { pulled <- n.pull(ring.Pull{From: 1, Manifest: m}, []wire.ID{1}) }() // ends with the settle
	if synctest.Wait(); len(pulled) > 0 {
		t.Errorf("pull: code %d before the disk is settled", <-pulled)
	}
	if err := n.disk.Settle(); err != nil {
		t.Fatal(err)
	}
	if code := <-pulled; code != wire.CodeOK || wrote {
		t.Errorf("pull: code %d, read or written: %v", code, wrote)
	}
	if _, synced, err := n.disk.Has(v); !synced || err != nil {
		t.Errorf("confirmed, and synced %v, %v", synced, err)
	}
}

// TestPullOfBytesThatAreHereFetchesNothing: a version whose bytes another version of
// the name has, as after an undelete, is made of its manifest alone; and of other
// bytes nothing is made without a source.
func TestPullOfBytesThatAreHereFetchesNothing(t *testing.T) {
	w := newWorld(t, 2, "")
	b, err := newBook(w.roster, w.secrets[0].Public())
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{disk: diskOf(t, simdisk.New(1)), members: newMembers(b, nil), log: slog.New(slog.DiscardHandler)}
	n.rates = newRates()
	n.ctx = t.Context()
	data := bytesOf(1, 3*wire.BlockSize/2)
	writer, err := n.disk.Create(-1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write(data); err != nil {
		t.Fatal(err)
	}
	_, root, size := writer.Blocks()
	m := wire.Manifest{Name: "f", Version: 1, Writer: 1, Signer: 1, Size: uint64(size), Blocks: root}
	m = claim(w.secrets[1], m)
	if code := n.disk.commit(writer, b.Space, m); code != wire.CodeOK {
		t.Fatalf("commit: code %d", code)
	}
	m.Version = 5
	m = claim(w.secrets[1], m)
	if code := n.pull(ring.Pull{From: 1, Manifest: m}, nil); code != wire.CodeOK {
		t.Errorf("of the same bytes: code %d", code)
	}
	if present, synced, err := n.disk.Has(versionOf(b.Space, m)); !present || !synced || err != nil {
		t.Errorf("confirmed, and present %v, synced %v, %v", present, synced, err)
	}
	ms, _, err := n.disk.look(b.Space, "f")
	if err != nil || len(ms) != 1 || ms[0] != m {
		t.Errorf("look: %+v, %v", ms, err)
	}
	m.Blocks[31] ^= 1
	m = claim(w.secrets[1], m)
	if code := n.pull(ring.Pull{From: 1, Manifest: m}, nil); code == wire.CodeOK {
		t.Error("of other bytes: confirmed")
	}
}

// anybody may sign.
func anybody(wire.Manifest) bool { return true }

// opensFS counts the files that are opened.
type opensFS struct {
	store.FS
	opened atomic.Int64
}

func (f *opensFS) Open(name string) (store.File, error) {
	f.opened.Add(1)
	return f.FS.Open(name)
}

// TestLookOpensTheNewestOnly: a name with 10,000 versions by two writers costs as
// many opened files as one with a version of each.
func TestLookOpensTheNewestOnly(t *testing.T) {
	for _, count := range []uint64{1, 10_000} {
		fsys := &opensFS{FS: simdisk.New(1).Mount()}
		d := diskOn(t, fsys)
		for i := range count {
			number := i*7919%count + 1 // in another order than they are numbered
			for writer := range wire.ID(2) {
				d.keep(t, wire.Manifest{Name: "f", Version: number, Writer: writer, Signer: writer, Flags: wire.Tombstone})
			}
		}
		before := fsys.opened.Load()
		ms, read, err := d.look(wire.Space8, "f")
		if err != nil || read != 2 || len(ms) != 2 || ms[0].Version != count || ms[1].Version != count {
			t.Errorf("of %d versions: %+v, %v", count, ms, err)
		}
		if got := fsys.opened.Load() - before; got != 2 {
			t.Errorf("of %d versions %d files were opened, want 2", count, got)
		}
	}
}

// TestLookGoesBelowWhatIsNotThere: below a version that is damaged, gone, or whose
// manifest is not what the name of its file says; each once. What cannot be read
// is an error, and what else was found is returned.
func TestLookGoesBelowWhatIsNotThere(t *testing.T) {
	sim := simdisk.New(1)
	fsys := &opensFS{FS: sim.Mount()}
	d := diskOn(t, fsys)
	m := func(version uint64) wire.Manifest {
		return wire.Manifest{Name: "f", Version: version, Writer: 1, Signer: 1, Flags: wire.Tombstone}
	}
	file := func(m wire.Manifest) string {
		e, err := d.Find(versionOf(wire.Space8, m))
		if err != nil {
			t.Fatal(err)
		}
		return "files/000/" + e.String()
	}
	for version := range uint64(4) {
		d.keep(t, m(version+1))
	}
	w, err := d.Create(0)
	if err != nil {
		t.Fatal(err)
	}
	lies := labelsOf(m(9))
	if _, err := w.Commit(uint64(wire.KeyOf(wire.Space8, "f")), lies, m(1).Append(nil)); err != nil {
		t.Fatal(err)
	}
	if err := sim.Damage(file(m(4)), func(b []byte) []byte { return b[1:] }); err != nil {
		t.Fatal(err)
	}
	if err := sim.Mount().Remove(file(m(3))); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		before := fsys.opened.Load()
		ms, _, err := d.look(wire.Space8, "f")
		if err != nil || len(ms) != 1 || ms[0].Version != 2 {
			t.Errorf("look %d: %+v, %v; want version 2", i, ms, err)
		}
		if got := fsys.opened.Load() - before; i > 0 && got != 1 {
			t.Errorf("%d files were opened for what is known to be missing", got-1)
		}
	}
	sim.Fail = func(c simdisk.Call) error {
		if c.Op == "Open" {
			return syscall.EIO
		}
		return nil
	}
	if ms, _, err := d.look(wire.Space8, "f"); err == nil || len(ms) > 0 {
		t.Errorf("a disk that cannot be read says %+v, %v", ms, err)
	}
}

// TestNamesOfFilesSayWhatManifestsSay: of any two the names say which is the
// newer as the manifests do, and who may have signed it.
func TestNamesOfFilesSayWhatManifestsSay(t *testing.T) {
	var ms []wire.Manifest
	for _, version := range []uint64{1, 2, wire.MaxVersion} {
		for _, flags := range []wire.Flags{0, wire.Tombstone} {
			for _, expires := range []int64{0, 1, -1} {
				for _, signer := range []wire.ID{1, 2} {
					ms = append(ms, wire.Manifest{Name: "f", Version: version, Writer: 1, Signer: signer, Flags: flags, Expires: expires})
				}
			}
		}
	}
	entry := func(m wire.Manifest) store.Entry {
		return store.Entry{Version: versionOf(wire.Space64, m), Labels: labelsOf(m)}
	}
	for _, a := range ms {
		e := entry(a)
		if got := signed(e); got != (wire.Manifest{Writer: a.Writer, Signer: a.Signer, Flags: a.Flags}) {
			t.Errorf("%+v: signed is %+v", a, got)
		}
		if expires := e.Flags&flagExpires != 0; expires != (a.Expires != 0) {
			t.Errorf("%+v: flags are %x", a, e.Flags)
		}
		if hash := wire.NameHash(a.Name); e.Key != binary.BigEndian.Uint64(e.Name[:]) || e.Name != [16]byte(hash[:]) {
			t.Errorf("%+v: key %x, name %x", a, e.Key, e.Name)
		}
		for _, b := range ms {
			if got, want := newerEntry(e, entry(b)), a.Newer(b); got != want {
				t.Errorf("%+v is newer than %+v: %v by the names, %v by the manifests", a, b, got, want)
			}
		}
	}
}

// BenchmarkLook looks up a name with so many versions.
func BenchmarkLook(b *testing.B) {
	for _, count := range []uint64{1, 1000, 10_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			d := diskOn(b, simdisk.New(1).Mount())
			for i := range count {
				d.keep(b, wire.Manifest{Name: "f", Version: i + 1, Writer: 1, Signer: 1, Flags: wire.Tombstone})
			}
			for b.Loop() {
				if ms, _, err := d.look(wire.Space8, "f"); err != nil || len(ms) != 1 {
					b.Fatal(ms, err)
				}
			}
		})
	}
}
