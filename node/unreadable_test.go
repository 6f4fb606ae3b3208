package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
	"securepeer/ring"
	"securepeer/wire"
)

// TestUnreadableDiskOfAnotherIsToldAsSuch: that a holder cannot read its disk is
// told as that to whoever asks for a file that it alone has, in each answer, at
// once, and counts as no fault of it. (It was told as catching up, and in a
// listing as silent.)
func TestUnreadableDiskOfAnotherIsToldAsSuch(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.EMFILE} {
		inBubble(t, 3, 3, "copies=1", func(b *bubble) {
			t, by := b.t, b.nodes[0]
			put(t, by, "f", []byte("x"))
			at := b.holder("f")
			holder := b.roster.Members[at].Name
			asks := b.nodes[(at+1)%3]
			ms, _, err := b.nodes[at].disk.look(b.roster.Space, "f")
			if err != nil || len(ms) != 1 {
				t.Fatal(ms, err)
			}
			b.ill[at].Store(&cause)

			want := []Lack{{holder, Unreadable}}
			told := func(what string, err error) {
				t.Helper()
				var e *UnavailableError
				if !errors.As(err, &e) || !slices.Equal(e.Lacks, want) || e.Own != nil || e.Unsent != nil ||
					e.Error() != `"f" is not available: `+holder+" cannot read its disk" {
					t.Errorf("%v: %s: %v, want that %s cannot read its disk", cause, what, err, holder)
				}
			}
			began := time.Now()
			_, err = asks.Get(t.Context(), "f", GetOptions{})
			told("get", err)
			if d := time.Since(began); d > time.Second {
				t.Errorf("%v: get took %v: an answer is waited for as if there were none", cause, d)
			}
			_, err = asks.Remove(t.Context(), "f", nil)
			told("rm", err)
			told("fetch", asks.newFetch(ms[0], []wire.ID{wire.ID(at)}, &userSink{w: io.Discard}).run(t.Context()))

			s, err := asks.Stat(t.Context(), "f")
			i := slices.IndexFunc(s.Holders, func(h HolderStat) bool { return h.Peer == holder })
			if wantStat := (HolderStat{Peer: holder, Home: true, Reason: Unreadable, Versions: []FileInfo{}}); err != nil || i < 0 || !reflect.DeepEqual(s.Holders[i], wantStat) {
				t.Errorf("%v: stat: %+v, %v, want %+v", cause, s.Holders, err, wantStat)
			}
			files, missing, err := asks.List(t.Context(), "")
			if want := []Unheard{{Peer: holder, Reason: Unreadable, Why: holder + " cannot read its disk"}}; err != nil || len(files) != 0 || !slices.Equal(missing, want) {
				t.Errorf("%v: listed %v without %+v, %v, want %+v", cause, files, missing, err, want)
			}
			if r := status(t, asks).Refused; len(r) > 0 {
				t.Errorf("%v: it is blamed: %+v", cause, r)
			}
			b.ill[at].Store(nil)
		})
	}
}

// TestUnreadableFileIsLeftOutOfAListing: the rest is listed, as of the machine whose
// disk it is as of another; the count of what is missing stands beside it, and
// status there names the file until it can be read or is gone. (One such file made
// all of that member's listing unreadable.)
func TestUnreadableFileIsLeftOutOfAListing(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.ELOOP} {
		inBubble(t, 2, 2, "copies=1", func(b *bubble) {
			t := b.t
			for i := range 60 {
				put(t, b.nodes[0], fmt.Sprintf("f%02d", i), []byte("x"))
			}
			at := b.holder("f30")
			d := b.nodes[at].disk
			bad, err := d.newest(uint64(wire.KeyOf(b.roster.Space, "f30")), "f30", nil)
			if err != nil || len(bad) != 1 {
				t.Fatal(bad, err)
			}
			fails := error(&os.PathError{Op: "open", Path: bad[0].String(), Err: cause})
			listed := func(when string, from int, files int, want ...Unheard) {
				t.Helper()
				got, missing, err := b.nodes[from].List(t.Context(), "f")
				if err != nil || len(got) != files || !slices.Equal(missing, want) {
					t.Errorf("%v: %s, at n%d: %d files without %+v, %v; want %d without %+v", cause, when, from, len(got), missing, err, files, want)
				}
			}
			holder := b.roster.Members[at].Name
			there := Unheard{holder, Unreadable, holder + " cannot read 1 of its files", 1}
			here := Unheard{holder, Unreadable, "this peer cannot read 1 of its files", 1}
			warned := func(want bool) {
				t.Helper()
				s := status(t, b.nodes[at])
				if got := slices.ContainsFunc(s.Warnings, func(w string) bool {
					return strings.Contains(w, "1 version on this disk cannot be read") && strings.Contains(w, bad[0].String())
				}); got != want {
					t.Errorf("%v: warned %v, want %v: %q", cause, got, want, s.Warnings)
				}
			}
			for _, when := range []string{"before its name is known", "when its name is known"} {
				b.ill[at].Store(&fails)
				listed(when, 1-at, 59, there)
				listed(when, at, 59, here)
				warned(true)
				b.ill[at].Store(nil)
				listed("read again", 1-at, 60)
				warned(false)
			}
			b.ill[at].Store(&fails)
			listed("once more", at, 59, here)
			b.ill[at].Store(nil)
			time.Sleep(2 * measureEach) // of the bubble
			warned(false)
		})
	}
}

// badFS is a disk on which some files, by the ends of their paths, cannot be opened.
type badFS struct {
	store.FS
	bad   map[string]bool
	cause error
}

func (f *badFS) Open(name string) (store.File, error) {
	if f.bad[filepath.Base(name)] {
		return nil, &os.PathError{Op: "open", Path: name, Err: f.cause}
	}
	return f.FS.Open(name)
}

// TestListingOfADiskThatFails: a file here and there is counted, each name once, in
// the first part if none of its versions can be read; what fails as a whole, or for
// want of descriptors, is no listing.
func TestListingOfADiskThatFails(t *testing.T) {
	const whole = -1
	for _, c := range []struct {
		names, versions int
		cause           error
		bad             int // so many of the names, from the last
		unread          int
	}{
		{3, 2, syscall.EIO, 0, 0},
		{3, 2, syscall.EIO, 1, 1},
		{3, 2, syscall.EIO, 3, whole},
		{maxUnread + 10, 1, syscall.EIO, maxUnread, maxUnread},
		{maxUnread + 10, 1, syscall.EIO, maxUnread + 1, whole},
		{3, 1, syscall.EMFILE, 1, whole},
	} {
		for _, built := range []bool{true, false} {
			fsys := &badFS{FS: simdisk.New(1).Mount(), bad: make(map[string]bool), cause: c.cause}
			d := diskOn(t, fsys)
			if built {
				d.listed("", "")
			}
			for i := range c.names {
				for v := range c.versions {
					m := wire.Manifest{Name: fmt.Sprintf("f%02d", i), Version: uint64(v) + 1, Writer: 1, Signer: 1, Flags: wire.Tombstone}
					d.keep(t, m)
					e, err := d.Find(versionOf(wire.Space8, m))
					if err != nil {
						t.Fatal(err)
					}
					fsys.bad[e.String()] = i >= c.names-c.bad
				}
			}
			names, unread, after := 0, 0, ""
			for more := true; more; {
				m, _, err := d.listed("f", after)
				if err != nil {
					unread = whole
					break
				}
				names, unread, more = names+len(m.Manifests), unread+int(m.Unread), m.More
				if more {
					after = m.Manifests[len(m.Manifests)-1].Name
				}
			}
			if unread != c.unread || unread != whole && names != c.names-c.bad {
				t.Errorf("%+v, index built before %v: %d names and %d unread", c, built, names, unread)
			}
			if text := d.unread.warning(); (text != "") != (c.bad > 0 && c.cause == syscall.EIO) {
				t.Errorf("%+v, index built before %v: %q", c, built, text)
			}
		}
	}
}

// holder returns which node alone has a name on its disk.
func (b *bubble) holder(name string) int {
	b.t.Helper()
	for i, n := range b.nodes {
		if ms, _, err := n.disk.look(b.roster.Space, name); err == nil && len(ms) > 0 {
			return i
		}
	}
	b.t.Fatal("nobody holds it")
	return 0
}

// TestRefusalsOfPutsAreToldApart: a disk that is full, or cannot be written, is told
// as such of whoever could not store the file, and not as a refusal.
func TestRefusalsOfPutsAreToldApart(t *testing.T) {
	inBubble(t, 3, 1, "copies=1", func(b *bubble) {
		u := &upload{node: b.nodes[0], why: map[wire.ID]error{1: &refusalError{wire.CodeFull}, 2: &refusalError{wire.CodeStuck}}}
		e := u.because(&UnavailableError{Name: "f"})
		if got, want := strings.Join(Lacking(e.Lacks), "; "), "n2 cannot write to its disk; no room on the disk of n1"; got != want {
			b.t.Errorf("%s, want %s", got, want)
		}
	})
}

// TestEveryCodeHasAReason, and every reason has words that name the peer.
func TestEveryCodeHasAReason(t *testing.T) {
	for c := range wire.CodeUnreadable + 1 {
		if text := reasonOf(c).Says("ann", "bob"); !strings.Contains(text, "ann, bob") || strings.Contains(text, "%!") {
			t.Errorf("code %d is told as %q", c, text)
		}
	}
	for _, r := range reasons {
		if text := r.Says("ann"); !strings.Contains(text, "ann") || strings.Contains(text, "%!") || r.Says("ann") == r.Says("bob") {
			t.Errorf("%s is told as %q", r.Reason, text)
		}
	}
}

// TestTooManyQuestionsAreAnswered: that a limit is reached, and are not left in
// silence.
func TestTooManyQuestionsAreAnswered(t *testing.T) {
	inBubble(t, 3, 1, "copies=1", func(b *bubble) {
		n := b.loner(1, b.disks[1].Mount())
		defer n.Close()
		for range maxAsked {
			n.jobs.add(job{action: ring.Answer{To: 2, Name: "f"}})
		}
		m, _ := b.roster.ByID(2)
		n.receive(m, wire.List{Req: 9})
		if got := posted(n); !reflect.DeepEqual(got, []input{sending{2, wire.Listed{Req: 9, Code: wire.CodeBusy}}}) {
			b.t.Errorf("one question too many: %+v", got)
		}
	})
}

// TestPutThatNobodyTakesSaysWhy: of members whose rows said before that their disks
// take nothing, as of those that are asked and refuse, in a ring of one as of several;
// and what this peer's own disk says is its own. (A second put on a failing disk was
// "not available", with no reason.)
func TestPutThatNobodyTakesSaysWhy(t *testing.T) {
	for _, members := range []int{1, 3} {
		inBubble(t, members, members, "copies=3", func(b *bubble) {
			t, by := b.t, b.nodes[0]
			put(t, by, "f", []byte("x"))
			var want []Lack
			for i, n := range b.nodes {
				n.disk.failed(fmt.Errorf("creating version: %w", syscall.EROFS))
				if i > 0 {
					want = append(want, Lack{b.roster.Members[i].Name, Unwritable})
				}
			}
			time.Sleep(3 * time.Second) // of the bubble: everybody knows
			told := func(what string, err error) {
				t.Helper()
				var e *UnavailableError
				if !errors.As(err, &e) || !slices.Equal(e.Lacks, want) || e.Own == nil || !strings.Contains(e.Own.Error(), syscall.EROFS.Error()) {
					t.Errorf("%d members: %s: %v, want lacks %v and the own disk's reason", members, what, err, want)
				}
			}
			for range 2 {
				_, err := by.Put(t.Context(), "g", strings.NewReader("y"), PutOptions{Size: 1})
				told("put", err)
			}
		})
	}
}
