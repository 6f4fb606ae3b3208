package wire

// Sizes of encodings in bytes.
const (
	rowSize  = 91
	voteSize = 85
)

// State is what a member says of itself. Later states win over earlier ones
// of the same incarnation.
type State uint8

// The states of a row, in their order.
const (
	Joining State = 1 + iota // in the ring and a home holder, but may not yet say no
	Active                   // its ranges agree with those of the other home holders
	Full                     // in the ring, but a stand-in takes its writes
	Stuck                    // as Full: its disk failed
	Stopped                  // out of the ring, its data stays
	Leaving                  // out of the ring, gives its data away
	Left                     // out of the ring, nothing of it is needed any more
)

// Row is what a member says of itself, signed by it: 91 bytes.
//
//	id 2 | incarnation 8 | state 1 | store id 16 | signature 64
type Row struct {
	ID          ID
	Incarnation Incarnation
	State       State
	Store       StoreID
	Sig         Sig
}

// Append appends the encoding of r to b.
func (r Row) Append(b []byte) []byte {
	return append(r.appendUnsigned(b), r.Sig[:]...)
}

func (r Row) appendUnsigned(b []byte) []byte {
	b = be.AppendUint16(b, uint16(r.ID))
	b = be.AppendUint64(b, uint64(r.Incarnation))
	b = append(b, byte(r.State))
	return append(b, r.Store[:]...)
}

// SignedBytes appends to b what Sig signs in the ring of that name:
//
//	"securepeer/1 row" 16 | zero 1 | ring 1+n | all fields before the signature
func (r Row) SignedBytes(ring string, b []byte) []byte {
	return r.appendUnsigned(appendLabel(b, "securepeer/1 row\x00", ring))
}

func (d *decoder) row() Row {
	r := Row{
		ID:          ID(d.u16()),
		Incarnation: Incarnation(d.u64()),
		State:       State(d.oneOf("state", uint8(Joining), uint8(Left))),
	}
	d.fill(r.Store[:])
	d.fill(r.Sig[:])
	return r
}

// Verdict is what an observer says of a member.
type Verdict uint8

// The verdicts.
const (
	Reachable   Verdict = 1 + iota // withdraws an earlier verdict
	Unreachable                    // fast, reversible, only reroutes
	Gone                           // for the whole grace, or by an operator's word: its copies are made elsewhere
)

// Vote is what an observer says of a member, signed by the observer: 85
// bytes. It counts only while the member's incarnation is the one it names.
//
//	observer 2 | member 2 | incarnation 8 | verdict 1 | sequence 8 | signature 64
type Vote struct {
	Observer    ID
	Member      ID
	Incarnation Incarnation
	Verdict     Verdict
	Sequence    uint64
	Sig         Sig
}

// Append appends the encoding of v to b.
func (v Vote) Append(b []byte) []byte {
	return append(v.appendUnsigned(b), v.Sig[:]...)
}

func (v Vote) appendUnsigned(b []byte) []byte {
	b = be.AppendUint16(b, uint16(v.Observer))
	b = be.AppendUint16(b, uint16(v.Member))
	b = be.AppendUint64(b, uint64(v.Incarnation))
	b = append(b, byte(v.Verdict))
	return be.AppendUint64(b, v.Sequence)
}

// SignedBytes appends to b what Sig signs in the ring of that name:
//
//	"securepeer/1 vote" 17 | zero 1 | ring 1+n | all fields before the signature
func (v Vote) SignedBytes(ring string, b []byte) []byte {
	return v.appendUnsigned(appendLabel(b, "securepeer/1 vote\x00", ring))
}

func (d *decoder) vote() Vote {
	v := Vote{
		Observer:    ID(d.u16()),
		Member:      ID(d.u16()),
		Incarnation: Incarnation(d.u64()),
		Verdict:     Verdict(d.oneOf("verdict", uint8(Reachable), uint8(Gone))),
		Sequence:    d.u64(),
	}
	d.fill(v.Sig[:])
	return v
}

// Rows carries rows and votes, the sender's or others'; each stands on its
// own signature. At most [MaxRows] rows and [MaxVotes] votes.
//
//	count 2 | rows 91 each | count 2 | votes 85 each
type Rows struct {
	Rows  []Row
	Votes []Vote
}

// Type is TypeRows.
func (Rows) Type() Type { return TypeRows }

// Append appends the body to b.
func (m Rows) Append(b []byte) []byte {
	return appendVotes(appendRows(b, m.Rows), m.Votes)
}

func appendRows(b []byte, rows []Row) []byte {
	b = appendCount(b, len(rows), MaxRows)
	for _, r := range rows {
		b = r.Append(b)
	}
	return b
}

func appendVotes(b []byte, votes []Vote) []byte {
	b = appendCount(b, len(votes), MaxVotes)
	for _, v := range votes {
		b = v.Append(b)
	}
	return b
}

func (d *decoder) rows() []Row {
	n := d.count(MaxRows, rowSize)
	if n == 0 {
		return nil
	}
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = d.row()
	}
	return rows
}

func (d *decoder) votes() []Vote {
	n := d.count(MaxVotes, voteSize)
	if n == 0 {
		return nil
	}
	votes := make([]Vote, n)
	for i := range votes {
		votes[i] = d.vote()
	}
	return votes
}

// appendLabel appends what every signed byte string begins with, so that no
// signature holds for another kind of thing or in another ring. A ring's name
// is at most 255 bytes.
func appendLabel(b []byte, label, ring string) []byte {
	if len(ring) > 255 {
		panic("wire: internal error: name of the ring has more than 255 bytes")
	}
	b = append(b, label...)
	b = append(b, byte(len(ring)))
	return append(b, ring...)
}
