//go:build linux

package lab

import (
	"container/heap"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Implementation constants.
const (
	// defaultHold is how long a reordered frame is held back: some frames of
	// a transfer, no retransmission.
	defaultHold = 5 * time.Millisecond
	// defaultQueue is what a home router holds at its full rate.
	defaultQueue = 100 * time.Millisecond
	// maxHeld is how many frames wait for one receiver: 100 MB of full ones.
	maxHeld = 1 << 16
)

// Rule says what happens to frames in one direction of one link. The zero
// value is a perfect link. Probabilities are 0 to 1, each drawn for itself.
type Rule struct {
	Cut     bool          // lose everything
	Loss    float64       // probability that a frame is lost
	Dup     float64       // probability that it arrives twice
	Reorder float64       // probability that it is held back by Hold, and others overtake it
	Flip    float64       // probability that one bit behind its IP header is flipped
	Delay   time.Duration // how long each frame takes
	Jitter  time.Duration // up to so much longer, but in order
	Hold    time.Duration // 0: 5 ms
	Rate    int64         // bytes a second, Ethernet headers too; 0: no limit
	Queue   time.Duration // longest wait for Rate, beyond which frames are dropped; 0: 100 ms
}

// Stats counts what has become of frames in one direction of one link. Each
// frame is in one of the first three; the others say what else happened to
// those that were let through.
type Stats struct {
	Passed     uint64 // let through
	Lost       uint64 // by Cut or Loss
	Dropped    uint64 // by Rate, or because the receiver was too slow
	Duplicated uint64
	Reordered  uint64
	Flipped    uint64
}

// link is one direction between two namespaces. All but its rule and counters
// belongs to the goroutine that reads the sender's frames.
type link struct {
	rule  atomic.Pointer[Rule]
	rng   *rand.Rand
	free  time.Time // when Rate lets the next frame begin
	last  time.Time // when the last frame that was in order is due; zero: none had to wait yet
	count struct{ passed, lost, dropped, duplicated, reordered, flipped atomic.Uint64 }
}

// makeLinks returns links[from][to] for ids 1 to n.
func makeLinks(n int, seed uint64) [][]link {
	links := make([][]link, n+1)
	for i := range links {
		links[i] = make([]link, n+1)
		for j := range links[i] {
			links[i][j].init(seed, i, j)
		}
	}
	return links
}

func (k *link) init(seed uint64, from, to int) {
	k.rng = rand.New(rand.NewPCG(seed, uint64(from)<<32|uint64(to)))
	k.rule.Store(&Rule{})
}

func (k *link) stats() Stats {
	c := &k.count
	return Stats{Passed: c.passed.Load(), Lost: c.lost.Load(), Dropped: c.dropped.Load(),
		Duplicated: c.duplicated.Load(), Reordered: c.reordered.Load(), Flipped: c.flipped.Load()}
}

// fate is what becomes of one frame.
type fate struct {
	copies int       // that arrive; 0: it is lost
	due    time.Time // when; zero: at once
	flip   float64   // which bit to flip, as a fraction of all; negative: none
}

// decide draws the fate of the next frame. It draws the same numbers whatever
// the rule, so that another probability of loss leaves it to the same frames
// to be reordered.
func (k *link) decide(now time.Time, size int) fate {
	r := k.rule.Load()
	lost, dup := k.rng.Float64() < r.Loss, k.rng.Float64() < r.Dup
	late, flip := k.rng.Float64() < r.Reorder, k.rng.Float64() < r.Flip
	bit, jitter := k.rng.Float64(), k.rng.Float64()
	if r.Cut || lost {
		k.count.lost.Add(1)
		return fate{}
	}
	start, ok := k.send(now, size, r)
	if !ok {
		k.count.dropped.Add(1)
		return fate{}
	}
	k.count.passed.Add(1)
	f := fate{copies: 1, flip: -1}
	if dup {
		k.count.duplicated.Add(1)
		f.copies = 2
	}
	if flip {
		k.count.flipped.Add(1)
		f.flip = bit
	}
	due := start.Add(r.Delay + time.Duration(jitter*float64(r.Jitter)))
	if late {
		k.count.reordered.Add(1)
		f.due = due.Add(orDefault(r.Hold, defaultHold))
		return f
	}
	if due.Before(k.last) {
		due = k.last // jitter alone, or a shorter delay than before, keeps the order
	}
	if due.After(now) || !k.last.IsZero() { // what waits is not overtaken by what needs not
		k.last, f.due = due, due
	}
	return f
}

// send returns when the last bit of a frame leaves, or false if too many wait
// before it.
func (k *link) send(now time.Time, size int, r *Rule) (time.Time, bool) {
	if r.Rate <= 0 {
		return now, true
	}
	if k.free.Before(now) {
		k.free = now
	}
	if k.free.Sub(now) > orDefault(r.Queue, defaultQueue) {
		return now, false
	}
	k.free = k.free.Add(time.Duration(int64(size) * int64(time.Second) / r.Rate))
	return k.free, true
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// read takes the frames that a namespace sends, until its tap is closed.
func (l *Lab) read(p *port) {
	defer l.running.Done()
	buf := make([]byte, 1<<16)
	for {
		n, err := p.tap.Read(buf)
		if err != nil {
			return
		}
		l.forward(p, buf[:n])
	}
}

// forward does with a frame what the rule of its link says.
func (l *Lab) forward(p *port, frame []byte) {
	reply := arpReply(frame, p.id, len(l.ports)-1)
	if reply == nil {
		reply = ndpReply(frame, p.id, len(l.ports)-1)
	}
	if reply != nil {
		p.deliver(reply)
		return
	}
	to, ok := receiver(frame, len(l.ports)-1)
	if !ok || to == p.id {
		return // ARP for nobody, broadcast, multicast
	}
	if s := l.sniffer.Load(); s != nil {
		(*s)(p.id, to, frame)
	}
	k := &l.links[p.id][to]
	f := k.decide(time.Now(), len(frame))
	if f.copies > 0 && f.flip >= 0 {
		flip(frame, f.flip)
	}
	out := l.ports[to]
	for range f.copies {
		if f.due.IsZero() {
			out.deliver(frame)
		} else if !out.hold(f.due, frame) {
			k.count.dropped.Add(1)
		}
	}
}

// flip flips the bit at that fraction of what is behind the IP header.
func flip(frame []byte, at float64) {
	if body := frame[min(etherHeader+ipHeader, len(frame)):]; len(body) > 0 {
		bit := int(at * float64(8*len(body)))
		body[bit/8] ^= 1 << (bit % 8)
	}
}

// deliver gives a frame to the namespace at once. An error says that the
// interface is down or that the lab is being closed: the frame is lost, as on
// any network.
func (p *port) deliver(frame []byte) { p.tap.Write(frame) }

// hold keeps a copy of a frame until it is due; it reports false if too many
// are kept already.
func (p *port) hold(due time.Time, frame []byte) bool {
	p.mu.Lock()
	if len(p.held) >= maxHeld {
		p.mu.Unlock()
		return false
	}
	p.serial++
	heap.Push(&p.held, heldFrame{due, p.serial, append([]byte(nil), frame...)})
	first := p.held[0].serial == p.serial
	p.mu.Unlock()
	if first {
		select {
		case p.wake <- struct{}{}:
		default: // it will wake anyway
		}
	}
	return true
}

// due returns the next frame whose time has come, or how long it takes until
// one is due; an hour stands for none.
func (p *port) due(now time.Time) (frame []byte, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.held) == 0 {
		return nil, time.Hour
	}
	if wait := p.held[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&p.held).(heldFrame).frame, 0
}

// write delivers held frames when they are due, until the lab is closed.
func (l *Lab) write(p *port) {
	defer l.running.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		frame, wait := p.due(time.Now())
		if frame != nil {
			p.deliver(frame)
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-p.wake:
		case <-p.done:
			return
		}
	}
}

// heldFrame is a frame on its way.
type heldFrame struct {
	due    time.Time
	serial uint64 // among those due at once, who came first goes first
	frame  []byte
}

// heldFrames is a heap, the next one due first.
type heldFrames []heldFrame

func (h heldFrames) Len() int { return len(h) }
func (h heldFrames) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].serial < h[j].serial
	}
	return h[i].due.Before(h[j].due)
}
func (h heldFrames) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heldFrames) Push(x any)   { *h = append(*h, x.(heldFrame)) }
func (h *heldFrames) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = heldFrame{} // let go of the frame
	*h = (*h)[:last]
	return x
}
