package node

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"

	"securepeer/internal/store/simdisk"
	"securepeer/keys"
	"securepeer/wire"
)

// TestListPages puts more names than one answer holds.
func TestListPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "copies=1")
	w.startAll()
	var want []string
	for i := range wire.MaxListed + 10 {
		name := fmt.Sprintf("dir/%03d", i)
		put(t, w.nodes[i%2], name, []byte(name))
		want = append(want, name)
	}
	put(t, w.nodes[0], "other", nil)
	for i, n := range w.nodes {
		infos, silent, err := n.List(t.Context(), "dir/")
		if err != nil || len(silent) > 0 {
			t.Fatal(err, silent)
		}
		var got []string
		for _, info := range infos {
			got = append(got, info.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("node %d lists %d names, want %d: %q", i, len(got), len(want), got)
		}
	}
	for _, prefix := range []string{"a\x00b", strings.Repeat("x", wire.MaxName+1), "\xff"} {
		if _, _, err := w.nodes[0].List(t.Context(), prefix); err == nil {
			t.Errorf("List(%.10q) has no error", prefix)
		}
	}
}

func TestListingMerges(t *testing.T) {
	secret, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	other, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	roster, err := keys.ParseRoster(fmt.Appendf(nil, "ring r\npeer 1 a %s addr=h:1\npeer 2 b %s addr=h:2\n", secret.Public(), other.Public()))
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBook(roster, secret.Public())
	if err != nil {
		t.Fatal(err)
	}
	of := func(name string, version uint64, writer wire.ID, flags wire.Flags) wire.Manifest {
		return wire.Manifest{Name: name, Version: version, Writer: writer, Signer: writer, Flags: flags}
	}
	l := &listing{names: make(map[string][]wire.Manifest)}
	l.add([]wire.Manifest{of("two", 1, 1, 0), of("gone", 1, 1, 0), of("back", 2, 1, wire.Tombstone), of("half", 4, 2, wire.Tombstone)})
	l.add([]wire.Manifest{of("two", 2, 2, 0), of("gone", 2, 1, wire.Tombstone), of("back", 3, 1, 0), of("half", 3, 1, 0)})
	l.add([]wire.Manifest{of("two", 1, 1, 0), of("gone", 1, 1, 0)})
	infos := l.files(b)
	var got []string
	for _, i := range infos {
		got = append(got, fmt.Sprint(i.Name, i.Version, i.Writer, i.AlsoBy))
	}
	if s := strings.Join(got, " "); s != "back3a[] half3a[] two2b[a]" {
		t.Errorf("files = %q", s)
	}
}

// TestWatchTellsOfATransfer: both ends of a get tell of it, in order, and
// nobody of the copies that put and the ring make.
func TestWatchTellsOfATransfer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "copies=1")
	w.startAll()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	files := func(events <-chan Event) (kinds []string) {
		for e := range events {
			if e.Name == "f" && (strings.HasSuffix(e.Kind, "-file") || strings.HasPrefix(e.Kind, "file-")) {
				if kinds = append(kinds, e.Kind+" "+e.Peer); strings.HasPrefix(e.Kind, "file-") {
					return kinds
				}
			}
		}
		return append(kinds, "closed")
	}
	put(t, w.nodes[0], "f", []byte("x"))
	n, holders := outsider(t, w, "f")
	asker, holder := status(t, n).Name, holders[0]
	here, there := n.Watch(ctx), w.nodes[w.index(holder)].Watch(ctx)
	get(t, n, "f")
	if got, want := strings.Join(files(here), ", "), fmt.Sprintf("had-file %s, receiving-file %s, file-received %s", holder, holder, holder); got != want {
		t.Errorf("the asker tells of %q, want %q", got, want)
	}
	if got, want := strings.Join(files(there), ", "), fmt.Sprintf("sending-file %s, file-sent %s", asker, asker); got != want {
		t.Errorf("the holder tells of %q, want %q", got, want)
	}
}

// TestStuckDiskSaysSo: a sync fails; the peer says that it is stuck, though
// its disk takes nothing any more, and goes on serving what it has.
func TestStuckDiskSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "copies=2")
	fail := make(chan struct{})
	w.disks[1].Fail = func(c simdisk.Call) error {
		select {
		case <-fail:
			if c.Op == "Sync" {
				return syscall.EIO
			}
		default:
		}
		return nil
	}
	w.startAll()
	for i := range 8 {
		put(t, w.nodes[0], fmt.Sprint("before", i), []byte("x"))
	}
	close(fail)
	for i := range 8 { // some of them meet n1
		put(t, w.nodes[0], fmt.Sprint("during", i), []byte("x"))
	}
	until(t, "n1 to say that it is stuck", func() bool {
		return status(t, w.nodes[0]).Peers[1].State == "stuck" && status(t, w.nodes[2]).Peers[1].State == "stuck"
	})
	for i := range 8 {
		r := put(t, w.nodes[0], fmt.Sprint("after", i), []byte("x"))
		if len(r.Copies) != 2 || slices.Contains(r.Copies, "n1") {
			t.Errorf("Put = %+v, want copies at n0 and n2", r)
		}
	}
	for i := range 8 {
		if got, _ := get(t, w.nodes[1], fmt.Sprint("before", i)); string(got) != "x" {
			t.Errorf("n1 reads %q", got)
		}
	}
	if s := status(t, w.nodes[1]); s.Store.Problem == "" {
		t.Errorf("status of n1 names no problem: %+v", s.Store)
	}
}

func TestStewardRemovesAnothersName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "copies=2")
	w.roster.Members[1].Steward = true
	w.startAll()
	put(t, w.nodes[0], "f", []byte("x"))
	if _, err := w.nodes[1].Remove(t.Context(), "f", nil); err != nil {
		t.Fatal(err)
	}
	s, err := w.nodes[0].Stat(t.Context(), "f")
	if err != nil || s.Newest == nil || !s.Newest.Removed || s.Newest.Writer != "n0" || s.Newest.Signer != "n1" {
		t.Errorf("Stat = %+v, %v", s.Newest, err)
	}
}

func TestLookupAndStatNameTheHolders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "copies=2")
	w.startAll()
	put(t, w.nodes[0], "f", []byte("x"))
	for _, n := range w.nodes {
		l, err := n.Lookup(t.Context(), "f")
		if err != nil || len(l.Holders) != 2 || l.Holders[0] != l.Owner || l.Key != wire.KeyOf(w.roster.Space, "f") {
			t.Errorf("Lookup = %+v, %v", l, err)
		}
		s, err := n.Stat(t.Context(), "f")
		if err != nil || len(s.Holders) != 2 || s.Newest == nil || s.Newest.Size != 1 {
			t.Errorf("Stat = %+v, %v", s, err)
		}
	}
	if d, err := w.nodes[0].Ping(t.Context(), "n2"); err != nil || d <= 0 {
		t.Errorf("Ping = %v, %v", d, err)
	}
	if _, err := w.nodes[0].Ping(t.Context(), "nobody"); err == nil {
		t.Error("a ping of nobody was answered")
	}
	f, err := w.nodes[0].Get(t.Context(), "f", GetOptions{By: "n0"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteTo(io.Discard); err != nil {
		t.Error(err)
	}
	if _, err := f.WriteTo(io.Discard); err != errUsed {
		t.Errorf("WriteTo again: %v", err)
	}
	if _, err := w.nodes[0].Get(t.Context(), "f", GetOptions{By: "n1"}); err == nil {
		t.Error("Get by another writer found the file")
	}
}

// TestOwnerTellsOfItsOwnPut: a peer that puts a name whose key it owns accepts
// it as it would another's.
func TestOwnerTellsOfItsOwnPut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "copies=1")
	w.startAll()
	l, err := w.nodes[0].Lookup(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range w.nodes {
		if l.Owner != fmt.Sprint("n", i) {
			continue
		}
		events := n.Watch(t.Context())
		put(t, n, "f", []byte("x"))
		for e := range events {
			if e.Kind == "store-accepted" && e.Name == "f" && e.Peer == l.Owner {
				return
			}
		}
	}
	t.Errorf("%s owns f and did not tell of it", l.Owner)
}
