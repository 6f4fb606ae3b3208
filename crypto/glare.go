package crypto

// Ends is one ring link of a pair as one side of it sees it.
type Ends struct {
	// Dialler is the ring id of the side that dialled.
	Dialler uint16
	// Mine and Theirs are the incarnations that the two sides gave in the
	// handshake.
	Mine, Theirs uint64
}

// Fate is what becomes of a ring link when a pair has two.
type Fate uint8

const (
	// Carry: new requests go over this link.
	Carry Fate = iota + 1
	// Finish: we dialled it; read on, send nothing new over it, and end it
	// when its requests are done.
	Finish
	// Read: the other side dialled it; read on until it ends it.
	Read
	// Shut: the link belongs to an earlier incarnation; close it now.
	Shut
)

// Settle says what becomes of two ring links between self and peer, the first
// of which was confirmed before the second. If both were dialled at once, the
// two sides may have confirmed them in either order, and still agree: the link
// that the lower id dialled carries. If one side dialled both, the later one
// replaces the earlier. If an incarnation differs, whoever had the earlier one
// is gone, and the link confirmed last wins.
func Settle(self, peer uint16, first, second Ends) (firstFate, secondFate Fate) {
	if first.Mine != second.Mine || first.Theirs != second.Theirs {
		return Shut, Carry
	}
	if first.Dialler != second.Dialler && first.Dialler == min(self, peer) {
		return Carry, retire(self, second)
	}
	return retire(self, first), Carry
}

// retire is the fate of a link that another one has replaced.
func retire(self uint16, link Ends) Fate {
	if link.Dialler == self {
		return Finish
	}
	return Read
}
