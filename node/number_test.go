package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
)

// slowBody gives its bytes, and their end when it is told to.
type slowBody struct {
	io.Reader
	begun chan struct{} // closed when the first byte is asked for
	end   chan error
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.begun != nil {
		close(b.begun)
		b.begun = nil
	}
	if n, err := b.Reader.Read(p); err == nil {
		return n, nil
	}
	return 0, <-b.end
}

// TestPutThatEndsUnderANewerOneSaysSo: two puts of one name through one peer, a
// remove, and one that is interrupted, each begun while the first goes on: the
// number of each is its own, and what is there afterwards is the one begun last.
func TestPutThatEndsUnderANewerOneSaysSo(t *testing.T) {
	inBubble(t, 3, 3, "copies=3", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		begin := func(ctx context.Context, data string) (*slowBody, chan error, *PutResult) {
			body := &slowBody{bytes.NewReader([]byte(data)), make(chan struct{}), make(chan error, 1)}
			begun, done, r := body.begun, make(chan error, 1), new(PutResult)
			go func() { // ends with its put, which is waited for below
				var err error
				*r, err = n.Put(ctx, "ab", body, PutOptions{})
				done <- err
			}()
			select {
			case <-begun:
			case err := <-done:
				t.Fatalf("put of %q: %v", data, err)
			}
			return body, done, r
		}
		first, firstDone, r1 := begin(t.Context(), "the first")
		if r := put(t, n, "ab", []byte("newer")); r.Version != 2 || r.Newer != 0 || len(r.Above) != 0 {
			t.Errorf("beside the first: %+v, want version 2", r)
		}
		first.end <- io.EOF
		if err := <-firstDone; err != nil || r1.Version != 1 || r1.Newer != 2 || r1.NewerRemoved || len(r1.Copies) != 3 {
			t.Errorf("the first: %+v, %v; want version 1 under 2", r1, err)
		}
		if got, f := get(t, b.nodes[1], "ab"); string(got) != "newer" || f.Info.Version != 2 {
			t.Errorf("there is %q, version %d", got, f.Info.Version)
		}

		third, thirdDone, r3 := begin(t.Context(), "the third")
		ctx, interrupt := context.WithCancel(t.Context())
		fourth, fourthDone, _ := begin(ctx, "interrupted")
		interrupt()
		fourth.end <- context.Canceled
		if err := <-fourthDone; !errors.Is(err, context.Canceled) {
			t.Errorf("the interrupted one: %v", err)
		}
		if r, err := n.Remove(t.Context(), "ab", nil); err != nil || r.Version != 5 {
			t.Errorf("rm: %+v, %v; want version 5, as 3 and 4 are given out", r, err)
		}
		third.end <- io.EOF
		if err := <-thirdDone; err != nil || r3.Version != 3 || r3.Newer != 5 || !r3.NewerRemoved {
			t.Errorf("the third: %+v, %v; want version 3, removed by 5", r3, err)
		}
		var missing *NotFoundError
		if _, err := n.Get(t.Context(), "ab", GetOptions{}); !errors.As(err, &missing) {
			t.Errorf("after rm: %v, want not found", err)
		}
	})
}
