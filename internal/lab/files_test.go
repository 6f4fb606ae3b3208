//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"securepeer/internal/control"
)

// content is what is in a file of that name.
func (w *world) content(name string, size int) []byte {
	var seed [32]byte
	copy(seed[:], fmt.Sprint(w.seed, " ", name))
	b := make([]byte, size)
	rand.NewChaCha8(seed).Read(b) // never fails
	return b
}

// put stores a file through a peer and reports whether it is acked: from then
// on it may never be lost.
func (p *peer) put(name string, size int, limit time.Duration) (acked bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	r, err := p.client.Put(ctx, name, control.PutInfo{Size: int64(size), Mode: 0o644},
		bytes.NewReader(p.world.content(name, size)))
	if err != nil || len(r.Copies) < r.Wanted {
		return false, err
	}
	p.world.keep(name, size)
	return true, nil
}

// keep has a file count as acked.
func (w *world) keep(name string, size int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[name] = size
}

// errWrong says that a peer gave something that no fault excuses.
var errWrong = errors.New("wrong")

// get fetches an acked file. The error wraps errWrong if the peer said that
// there is no such file, or gave other bytes.
func (p *peer) get(name string, limit time.Duration) error {
	w := p.world
	w.mu.Lock()
	size := w.files[name]
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var got bytes.Buffer
	d, err := p.client.Get(ctx, name, control.GetOptions{})
	if err == nil {
		_, err = d.CopyTo(&got)
		d.Close()
	}
	var remote *control.Error
	switch {
	case errors.As(err, &remote) && (remote.Code == control.CodeNotFound || remote.Code == control.CodeIntegrity || remote.Code == control.CodeInternal):
		return fmt.Errorf("%w: %s of acked %s says %w", errWrong, p.name, name, err)
	case err != nil:
		return err
	case !bytes.Equal(got.Bytes(), w.content(name, size)):
		return fmt.Errorf("%w: %s gives other bytes of %s", errWrong, p.name, name)
	}
	return nil
}

// acked returns the names of the acked files.
func (w *world) acked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for name := range w.files {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// store puts n files through peers by turns; all must be acked.
func (w *world) store(n int, size int, peers ...*peer) {
	w.Helper()
	for i := range n {
		name := fmt.Sprintf("file-%d-%d", len(w.acked()), size)
		if acked, err := peers[i%len(peers)].put(name, size, 20*time.Second); err != nil || !acked {
			w.Fatalf("put of %s at %s: acked %v, %v", name, peers[i%len(peers)].name, acked, err)
		}
	}
}

// fetch gets every acked file from one of peers each, drawn by the seed, and
// returns how long the slowest took.
func (w *world) fetch(limit time.Duration, peers ...*peer) (slowest time.Duration) {
	w.Helper()
	for _, name := range w.acked() {
		start := time.Now()
		if err := peers[w.rng.IntN(len(peers))].get(name, limit); err != nil {
			w.Errorf("get of acked %s: %v", name, err)
		}
		slowest = max(slowest, time.Since(start))
	}
	return slowest
}

// traffic counts what was done under faults.
type traffic struct{ puts, refused, gets int }

// load puts and gets files of that size, one after the other and each at a
// peer drawn by the seed, until stop is called: that returns when all has
// ended. Under faults errors are no failure, but what is wrong is.
func (w *world) load(size int) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	rng := rand.New(rand.NewPCG(w.seed, 1))
	var t traffic
	go func() { // ends when stop is called
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-time.After(interval / 8):
			}
			if err := w.putAndGet(fmt.Sprint("load-", i), size, rng, &t); errors.Is(err, errWrong) {
				w.Error(err)
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		close(done)
		<-ended
		w.figure("acked", t.puts)
		w.figure("not-acked", t.refused)
		w.figure("gets", t.gets)
	})
	w.Cleanup(stop) // of a scenario that fails before it calls that
	return stop
}

// putAndGet puts one file and gets another that is acked.
func (w *world) putAndGet(name string, size int, rng *rand.Rand, t *traffic) error {
	any := func() *peer { return w.peers[rng.IntN(len(w.peers))] }
	acked, err := any().put(name, size, 5*time.Second)
	if !acked {
		t.refused++
		return err
	}
	t.puts++
	all := w.acked()
	if err := any().get(all[rng.IntN(len(all))], 5*time.Second); err != nil {
		return err
	}
	t.gets++
	return nil
}
