package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"securepeer/crypto"
	"securepeer/wire"
)

// TestEachReasonIsToldApart: no reason for which a member is missing is told as
// another one's. Once a failure of this peer was "no answer from" somebody.
func TestEachReasonIsToldApart(t *testing.T) {
	inBubble(t, 3, 1, "copies=1", func(b *bubble) {
		n := b.nodes[0]
		dialling := fmt.Errorf("dialling n1: %w", &ownError{"this process has no file descriptor left", syscall.EMFILE})
		for _, c := range []struct {
			id   wire.ID
			why  error
			want string
		}{
			{1, nil, `no answer from n1`},
			{1, errSilent, `no answer from n1`},
			{1, errors.New("connection reset"), `no answer from n1`},
			{1, context.DeadlineExceeded, `no answer from n1`},
			{1, crypto.ErrSilent, `no answer from n1`},
			{1, errSlow, `less than 1024 bytes a second from n1`},
			{1, &refusalError{wire.CodeBusy}, `at a limit of its own: n1`},
			{1, &refusalError{wire.CodeUnreadable}, `n1 cannot read its disk`},
			{1, &refusalError{wire.CodeStuck}, `n1 cannot write to its disk`},
			{1, &refusalError{wire.CodeFull}, `no room on the disk of n1`},
			{1, &refusalError{wire.CodeBehind}, `still catching up: n1`},
			{1, &refusalError{wire.CodeNotInRing}, `not in the ring: n1`},
			{1, &refusalError{wire.CodeNotFound}, `not at n1`},
			{1, &refusalError{wire.CodeForbidden}, `refused by n1`},
			{1, errNotWhole, `no whole listing from n1`},
			{1, dialling, `this peer could not ask n1: this process has no file descriptor left: too many open files`},
			{1, syscall.ENFILE, `this peer could not ask n1: this machine has no file descriptor left: too many open files in system`},
			{0, &refusalError{wire.CodeNotOwner}, `no holder of it by its own view: n0`},
			{0, &refusalError{wire.CodeStuck}, `this peer cannot use its own disk: answered unwritable`},
			{0, errLags, `less than 1024 bytes a second from n0`},
			{0, nil, `this peer cannot use its own disk: it takes too long`},
			{0, syscall.EMFILE, `this peer cannot use its own disk: this process has no file descriptor left: too many open files`},
		} {
			e := &UnavailableError{Name: "f"}
			n.lacks(e, c.id, c.why)
			if got, want := e.Error(), `"f" is not available: `+c.want; got != want {
				b.t.Errorf("%d, %v: %s, want %s", c.id, c.why, got, want)
			}
		}
	})
}

// failing is a listener that has no descriptor for what it should accept.
type failing struct{ net.Listener }

func (failing) Accept() (net.Conn, error) {
	return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
}

// TestShortageOfThisMachineBlamesNobody: a peer without descriptors says so in
// its status, its listing, and what it could not get, put or find, and of nobody
// that it gave no answer.
func TestShortageOfThisMachineBlamesNobody(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		n := b.nodes[0]
		warned := func() bool {
			s, err := n.Status(b.t.Context())
			return err == nil && slices.ContainsFunc(s.Warnings, func(w string) bool {
				return strings.Contains(w, "no file descriptor left") && strings.Contains(w, "ulimit -n")
			})
		}
		if warned() {
			b.t.Error("a warning of nothing")
		}
		if _, err := (noting{failing{}, n.short}).Accept(); !errors.Is(err, syscall.EMFILE) || !warned() {
			b.t.Errorf("%v when nothing can be accepted, and no warning", err)
		}
		time.Sleep(shortHolds + time.Second) // virtual
		if warned() {
			b.t.Error("a warning of what is over")
		}

		put(b.t, n, "f", []byte("abc"))
		cause := error(syscall.EMFILE)
		b.broken.Store(&cause)
		_, missing, err := n.List(b.t.Context(), "")
		if i := slices.IndexFunc(missing, func(u Unheard) bool { return u.Peer == "n0" }); err != nil || i < 0 ||
			missing[i].Why != "this peer cannot read its own disk: this process has no file descriptor left: too many open files" {
			b.t.Errorf("listed without %+v, %v", missing, err)
		}
		if !warned() {
			b.t.Error("no warning of a disk that can't be read")
		}
		b.broken.Store(nil)
	})
}

// TestNoDescriptorsForLinksBlamesNobody: that this process has no descriptors for
// links that bring bytes is no silence of those who have them, or would take them.
func TestNoDescriptorsForLinksBlamesNobody(t *testing.T) {
	var dry [4]atomic.Bool
	set := func(b *bubble) {
		b.change = func(i int, c *Config) {
			dial := c.Dial
			c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dry[i].Load() {
					return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.EMFILE}
				}
				return dial(ctx, network, addr)
			}
		}
	}
	inBubbleOf(t, 4, 4, "copies=2", nil, set, func(b *bubble) {
		put(b.t, b.nodes[0], "f", []byte("abc"))
		out := b.outsider("f")
		dry[out.self].Store(true)
		file, err := out.Get(b.t.Context(), "f", GetOptions{})
		if err == nil {
			_, err = file.WriteTo(new(strings.Builder))
		}
		var e *UnavailableError
		if !errors.As(err, &e) || len(e.Of(Silent)) > 0 || len(e.Of(Unsent)) != 2 || !errors.Is(e.Unsent, syscall.EMFILE) {
			b.t.Errorf("get: %v", err)
		}
		r, err := out.Put(b.t.Context(), "f", strings.NewReader("abc"), PutOptions{})
		var taken *TakenError
		if !errors.As(err, &taken) {
			b.t.Errorf("put of another's name: %+v, %v", r, err)
		}
		for i := range 8 {
			r, err := out.Put(b.t.Context(), fmt.Sprint("own", i), strings.NewReader("abc"), PutOptions{})
			switch {
			case err == nil && len(r.Copies) < r.Wanted:
				if !strings.Contains(r.Own, "could not ask") || !strings.Contains(r.Own, "no file descriptor left") {
					b.t.Errorf("put with %d of %d copies: %q", len(r.Copies), r.Wanted, r.Own)
				}
			case err == nil:
			case !errors.As(err, &e) || len(e.Of(Silent)) > 0 || len(e.Of(Unsent)) == 0:
				b.t.Errorf("put: %v", err)
			}
		}
	})
}
