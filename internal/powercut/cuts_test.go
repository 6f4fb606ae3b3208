//go:build linux

package powercut

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	peers   = 7
	workers = 8
	era     = 20 // cuts, until all disks are new

	spread   = 50 * time.Millisecond // more than a put takes
	starting = 2 * time.Second       // more than a start takes
)

// file is what may become of one name, which one worker alone writes, at one
// peer.
type file struct {
	name   string
	writer *peer
	puts   int
	may    [][]byte // what a get may give: acked last, or begun since; nil: not there
}

// books are what workers have been told.
type books struct {
	files         [workers][]*file // acknowledged once, by worker
	names         [workers]int
	lost, changed int

	mu    sync.Mutex
	acked int
}

// TestCuts cuts the power of a ring under puts, overwrites and removes, again
// and again, and holds after each cut that what was acknowledged is there, byte
// for byte:
//
//	go test ./internal/powercut -run TestCuts -v -cuts=200
//
// A fifth of the cuts come while the peers still start.
func TestCuts(t *testing.T) {
	if *cutsFlag == 0 {
		return
	}
	rng := rand.New(rand.NewPCG(*seedFlag, 0))
	var acked, lost, changed int
	began := time.Now()
	for left := *cutsFlag; left > 0; left -= era {
		t.Run(fmt.Sprint("left", left), func(t *testing.T) {
			b := cutAnEra(t, *programFlag, rng, min(left, era))
			acked, lost, changed = acked+b.acked, lost+b.lost, changed+b.changed
		})
		if t.Failed() {
			break
		}
	}
	fmt.Printf("%.1f s a cut, start and look at all files included\n", time.Since(began).Seconds()/float64(*cutsFlag))
	fmt.Printf("cuts=%d acked=%d lost=%d changed=%d\n", *cutsFlag, acked, lost, changed)
	if acked == 0 {
		t.Error("nothing was acknowledged")
	}
}

// cutAnEra begins with new disks.
func cutAnEra(t *testing.T, program string, rng *rand.Rand, cuts int) *books {
	r := newRing(t, program, peers)
	b := new(books)
	for range cuts {
		for _, p := range r.peers {
			p.start()
		}
		early := rng.IntN(5) == 0
		if !early {
			r.whole()
			b.check(r, rng)
		}
		enough := b.told() + 10 + rng.IntN(20)
		stop := b.load(r, rng.Uint64())
		if !early {
			r.await("files are acknowledged", func() bool { return b.told() >= enough })
		}
		<-time.After(time.Duration(rng.Int64N(int64(spread)))) // a cut at any moment of a put
		if early {
			<-time.After(time.Duration(rng.Int64N(int64(starting))))
		}
		r.cut()
		stop()
		r.remount()
	}
	for _, p := range r.peers {
		p.start()
	}
	r.whole()
	b.check(r, rng)
	return b
}

// told is how many were acknowledged.
func (b *books) told() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acked
}

// load has workers put and remove files until stop is called, which returns
// when all have ended.
func (b *books) load(r *ring, seed uint64) (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	for i := range b.files {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		running.Go(func() { // ends when stop is called
			again := time.NewTicker(lookEvery)
			defer again.Stop()
			for {
				select {
				case <-done:
					return
				default:
				}
				if b.act(r, rng, i) == nil {
					continue
				}
				select { // its peer does not run: nothing is gained by asking at once
				case <-done:
				case <-again.C:
				}
			}
		})
	}
	stop = sync.OnceFunc(func() {
		close(done)
		running.Wait()
	})
	r.Cleanup(stop) // of a test that ends before it calls that
	return stop
}

// act is one put or remove, of a new file or one that this worker has put.
func (b *books) act(r *ring, rng *rand.Rand, worker int) error {
	mine := &b.files[worker] // of no other worker
	fresh := len(*mine) == 0 || rng.IntN(4) > 0
	var f *file
	if fresh {
		b.names[worker]++
		f = &file{name: fmt.Sprintf("file-%d-%d", worker, b.names[worker]), writer: r.peers[rng.IntN(len(r.peers))]}
	} else {
		f = (*mine)[rng.IntN(len(*mine))]
	}
	var data []byte // nil: a remove
	if fresh || rng.IntN(2) == 0 {
		size := 1 + rng.IntN(16<<10)
		if rng.IntN(20) == 0 {
			size += 1 << 20 // its bytes lie apart
		}
		f.puts++
		data = content(f.name, f.puts, size)
	}
	f.may = append(f.may, data)
	var err error
	if data != nil {
		_, err = f.writer.put(f.name, data)
	} else {
		err = f.writer.remove(f.name)
	}
	if err != nil {
		return err
	}
	f.may = f.may[len(f.may)-1:]
	if fresh {
		*mine = append(*mine, f)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acked++
	return nil
}

// check gets every file at a peer each, while no worker runs.
func (b *books) check(r *ring, rng *rand.Rand) {
	r.Helper()
	for _, f := range slices.Concat(b.files[:]...) {
		p := r.peers[rng.IntN(len(r.peers))]
		var data []byte
		var err error
		soWithin(patience, func() bool {
			data, err = p.get(f.name)
			return err == nil || notFound(err)
		})
		switch {
		case notFound(err) && f.mayBe(nil):
		case err != nil:
			b.lost++
			r.Errorf("lost: get of %s at %s: %v", f.name, p.name, err)
		case !f.mayBe(data):
			b.changed++
			r.Errorf("changed: %s at %s, %d bytes", f.name, p.name, len(data))
		}
	}
}

// mayBe tells whether a get may give that; nil is not found.
func (f *file) mayBe(data []byte) bool {
	return slices.ContainsFunc(f.may, func(m []byte) bool {
		return (m == nil) == (data == nil) && bytes.Equal(m, data)
	})
}
