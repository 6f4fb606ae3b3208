package wire

// NumBuckets is how many parts a view is compared in.
const NumBuckets = 64

// Buckets says what the sender's view is, in [NumBuckets] parts: Sums[i] is the
// [PartDigest] of the members whose id is i modulo NumBuckets. The receiver
// sends the rows and votes of the parts that differ, and its own Buckets as a
// Reply, so that the other can do the same.
//
//	reply 1 | sums 1024
type Buckets struct {
	Reply bool
	Sums  [NumBuckets]Digest
}

// Bucket returns the part of a view that a member's row, and votes on it,
// belong to.
func Bucket(id ID) int { return int(id) % NumBuckets }

// PingReq asks the receiver to ping Member for the sender, which has had no
// ack from it (SWIM, section 3.1).
//
//	req 4 | member 2
type PingReq struct {
	Req    uint32
	Member ID
}

// PingReqAck answers a PingReq: the receiver had an authenticated packet from
// the member since it was asked, or had none in its own time for acks, as the
// nack of Lifeguard, section IV.A.
//
//	req 4 | alive 1
type PingReqAck struct {
	Req   uint32
	Alive bool
}

// Type is TypeBuckets.
func (Buckets) Type() Type { return TypeBuckets }

// Append appends the body to b.
func (m Buckets) Append(b []byte) []byte {
	b = appendBool(b, m.Reply)
	for i := range m.Sums {
		b = append(b, m.Sums[i][:]...)
	}
	return b
}

func (d *decoder) buckets() Buckets {
	m := Buckets{Reply: d.boolean()}
	for i := range m.Sums {
		d.fill(m.Sums[i][:])
	}
	return m
}

// Type is TypePingReq.
func (PingReq) Type() Type { return TypePingReq }

// Append appends the body to b.
func (m PingReq) Append(b []byte) []byte {
	return be.AppendUint16(be.AppendUint32(b, m.Req), uint16(m.Member))
}

// Type is TypePingReqAck.
func (PingReqAck) Type() Type { return TypePingReqAck }

// Append appends the body to b.
func (m PingReqAck) Append(b []byte) []byte {
	return appendBool(be.AppendUint32(b, m.Req), m.Alive)
}
