package node

import (
	"crypto/rand"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/blake2s"

	"securepeer/crypto"
)

// TestStatSaysWhenAndInPlaceOfWhat: made is the clock of the peer that signed, not
// the file's time; prior is the sum of the version before, also of a removal and
// of what comes after one.
func TestStatSaysWhenAndInPlaceOfWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "copies=2")
	w.startAll()
	old := time.Date(1999, 12, 31, 0, 0, 0, 1, time.UTC)
	prior, since := "", time.Now()
	check := func(step string, removed bool, mtime time.Time) {
		t.Helper()
		s, err := w.nodes[1].Stat(t.Context(), "f")
		if err != nil || s.Newest == nil {
			t.Fatalf("%s: %+v, %v", step, s, err)
		}
		f := s.Newest
		if f.Removed != removed || f.Prior != prior {
			t.Errorf("%s: %+v, want removed %v, in place of %q", step, f, removed, prior)
		}
		if now := time.Now(); f.Made.Before(since.Round(0)) || f.Made.After(now.Round(0)) {
			t.Errorf("%s: made %v, want %v to %v", step, f.Made, since, now)
		}
		if mtime.IsZero() {
			mtime = f.Made
		}
		if !f.Mtime.Equal(mtime) {
			t.Errorf("%s: mtime %v, want %v", step, f.Mtime, mtime)
		}
		prior, since = f.Sum, time.Now()
	}
	n := w.nodes[0]
	if _, err := n.Put(t.Context(), "f", strings.NewReader("a"), PutOptions{Mtime: old}); err != nil {
		t.Fatal(err)
	}
	check("first", false, old)
	put(t, n, "f", []byte("b"))
	check("second", false, time.Time{})
	if _, err := n.Remove(t.Context(), "f", nil); err != nil {
		t.Fatal(err)
	}
	check("removal", true, time.Time{})
	put(t, n, "f", []byte("c"))
	check("after the removal", false, time.Time{})
}

// TestPeerOfAnotherVersionIsRefusedByName: it gets no byte, and status says why.
func TestPeerOfAnotherVersionIsRefusedByName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "copies=2")
	n := w.start(0)
	_, frame, err := crypto.NewInitiator(w.secrets[1], w.secrets[0].Public(), w.roster.Ring, crypto.Info{PingIndex: 1}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := w.secrets[0].Public().Noise
	key := blake2s.Sum256(append([]byte("securepeer/1 mac1"), own[:]...))
	mac, err := blake2s.New128(key[:])
	if err != nil {
		t.Fatal(err)
	}
	frame[0] = crypto.Version - 1
	mac.Write(frame[:1])
	mac.Write(frame[17:])
	copy(frame[1:17], mac.Sum(nil))
	raw, err := net.Dial("tcp", w.roster.Members[0].Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(time.Minute))
	if _, err := raw.Write(frame); err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(raw); len(b) != 0 {
		t.Errorf("%d bytes came back", len(b))
	}
	until(t, "a refusal for the version", func() bool {
		return slices.ContainsFunc(status(t, n).Refused, func(r Refusal) bool {
			return r.Peer == "" && strings.HasPrefix(r.Cause, "links in another version of the protocol")
		})
	})
}
