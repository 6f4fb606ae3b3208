package control

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestPutIsCommittedByItsEnd: whoever reads a file knows only behind its last
// byte whether it was whole.
func TestPutIsCommittedByItsEnd(t *testing.T) {
	s := serve(t)
	s.put(t, "f", []byte("good"))
	torn := errors.New("torn")
	for _, n := range []int{1, 4, bufferSize, 3*bufferSize + 1} {
		for _, size := range []int64{0, int64(n)} {
			body := io.MultiReader(bytes.NewReader(randomBytes(n)), iotest(func([]byte) (int, error) { return 0, torn }))
			if _, err := s.Put(t.Context(), "f", PutInfo{Size: size}, body); err != torn {
				t.Errorf("put of %d bytes, announced as %d, and an error: %v", n, size, err)
			}
		}
	}
	if got := s.get(t, "f"); string(got) != "good" {
		t.Errorf("%d bytes of a put that ended with an error are stored", len(got))
	}
}

// TestSizeThatIsNotKnown: the zero PutInfo promises nothing of the size.
func TestSizeThatIsNotKnown(t *testing.T) {
	s := serve(t)
	for _, body := range []string{"", "1", strings.Repeat("x", bufferSize)} {
		if r, err := s.Put(t.Context(), "f", PutInfo{}, strings.NewReader(body)); err != nil || r.Size != int64(len(body)) {
			t.Errorf("put of %d bytes = %+v, %v", len(body), r, err)
		}
	}
}

// TestRefusedPutReadsNothing: a body began to be read when its put was sent,
// not when the peer wanted it. A command ran whose output could not be stored,
// and standard input lost what was in it.
func TestRefusedPutReadsNothing(t *testing.T) {
	var reads atomic.Int64
	counted := iotest(func(b []byte) (int, error) { reads.Add(1); return copy(b, "x"), io.EOF })
	s := serve(t)
	for range 20 {
		if _, err := s.Put(t.Context(), "../f", PutInfo{}, counted); codeOf(err) != CodeBadName {
			t.Fatalf("put under a name that is none: %v", err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		body := newAbandonable(t.Context(), counted)
		synctest.Wait()
		body.Close()
	})
	if n := reads.Load(); n != 0 {
		t.Errorf("read %d times, but nothing was to be stored", n)
	}
}
