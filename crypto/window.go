package crypto

// windowSize is how far behind the newest datagram an older one may arrive.
const windowSize = 64

// window remembers which counters of one direction were accepted. The zero
// value has accepted none. It is asked before a tag is checked and told after
// it: a forged datagram must not move it.
type window struct {
	// next is one above the highest accepted counter; 0 before the first.
	next uint64
	// bit i is set when counter next-1-i was accepted.
	bits uint64
}

// fresh reports whether counter may still be accepted.
func (w *window) fresh(counter uint64) bool {
	if counter >= w.next {
		return true
	}
	behind := w.next - 1 - counter
	return behind < windowSize && w.bits>>behind&1 == 0
}

// accept notes a fresh counter whose tag was right.
func (w *window) accept(counter uint64) {
	if counter < w.next {
		w.bits |= 1 << (w.next - 1 - counter)
		return
	}
	// A shift by 64 or more leaves nothing, as it should.
	w.bits = w.bits<<(counter-w.next+1) | 1
	w.next = counter + 1
}
