package control

import (
	"errors"
	"strings"
	"sync"
	"testing"
)

// TestPeerThatWaitsAnswers: a start that waits for its address had status say
// that no peer is running, and could not be stopped by stop.
func TestPeerThatWaitsAnswers(t *testing.T) {
	dir := t.TempDir()
	stopped := make(chan struct{})
	w, err := Wait(dir, errors.New("no address"), func() { close(stopped) })
	if err != nil {
		t.Fatal(err)
	}
	c := New(dir)
	for _, why := range []string{"no address", "no name"} {
		w.Because(errors.New(why))
		_, status := c.Status(t.Context())
		_, put := c.Put(t.Context(), "f", PutInfo{}, strings.NewReader("bytes"))
		_, leave := c.Leave(t.Context())
		for _, err := range []error{status, put, leave} {
			if codeOf(err) != CodeNotReady || !strings.HasSuffix(err.Error(), why) {
				t.Errorf("waiting for %s: %v", why, err)
			}
		}
	}
	var asked sync.WaitGroup
	asked.Go(func() {
		if _, err := c.Stop(t.Context()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	<-stopped
	w.End()
	asked.Wait()
	if _, err := c.Status(t.Context()); codeOf(err) != CodeNotRunning {
		t.Errorf("after the end: %v", err)
	}
	again, err := Listen(dir) // as the peer does that has its address
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
