package node

import (
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

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
			if want := []Unheard{{holder, Unreadable, holder + " cannot read its disk"}}; err != nil || len(files) != 0 || !slices.Equal(missing, want) {
				t.Errorf("%v: listed %v without %+v, %v, want %+v", cause, files, missing, err, want)
			}
			if r := status(t, asks).Refused; len(r) > 0 {
				t.Errorf("%v: it is blamed: %+v", cause, r)
			}
			b.ill[at].Store(nil)
		})
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
