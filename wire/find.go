package wire

import "errors"

// Purpose says what a Find is for.
type Purpose uint8

// The purposes.
const (
	ForJoin Purpose = 1 + iota
	ForPut
	ForGet
	ForLookup // who answers, no more
)

// Find asks who answers for a key: that of Name, or the asker's own position
// when it is for a join (Name is then empty). Who asks is the link's member.
//
//	req 4 | for 1 | name 2+n
type Find struct {
	Req  uint32
	For  Purpose
	Name string
}

// Ask answers a Find: ask Next.
//
//	req 4 | next 2
type Ask struct {
	Req  uint32
	Next ID
}

// Here answers a Find: the sender itself answers for the key; for a join, it
// is the joiner's predecessor and accepts it.
//
//	req 4
type Here struct {
	Req uint32
}

// Refuse answers any request that has a Req and was not granted: its Code is
// neither CodeOK nor CodeMore.
//
//	req 4 | code 2
type Refuse struct {
	Req  uint32
	Code Code
}

// Code says how a request ended. A member gets a code, never a text.
type Code uint16

// The codes.
const (
	CodeOK         Code = iota
	CodeMore            // the segment arrived, go on; of an offer: bytes of it have come
	CodeNotOwner        // not a holder of this key in my view; my rows come with it
	CodeNotInRing       // the receiver is starting, stopping or has left
	CodeBehind          // the receiver may not say no yet
	CodeNotFound        // the receiver does not have it
	CodeFull            // the receiver's disk is full
	CodeStuck           // the receiver's disk failed
	CodeForbidden       // not the sender's to ask: another's name, a forged writer
	CodeInvalid         // what came contradicts itself: a wrong hash, size or signature
	CodeBusy            // a limit of the receiver, later again
	CodeOld             // a newer version of the name is here
	CodeUnreadable      // the receiver cannot read its disk: what is there is not known
)

// Type is TypeFind.
func (Find) Type() Type { return TypeFind }

// Append appends the body to b.
func (m Find) Append(b []byte) []byte {
	b = be.AppendUint32(b, m.Req)
	b = append(b, byte(m.For))
	return appendText(b, m.Name)
}

func (d *decoder) find() Find {
	m := Find{Req: d.u32(), For: Purpose(d.oneOf("purpose", uint8(ForJoin), uint8(ForLookup)))}
	check := CheckName
	if m.For == ForJoin {
		check = checkNone
	}
	m.Name = d.text(check)
	return m
}

func checkNone(name string) error {
	if name != "" {
		return errors.New("join has a name")
	}
	return nil
}

// Type is TypeAsk.
func (Ask) Type() Type { return TypeAsk }

// Append appends the body to b.
func (m Ask) Append(b []byte) []byte {
	return be.AppendUint16(be.AppendUint32(b, m.Req), uint16(m.Next))
}

// Type is TypeHere.
func (Here) Type() Type { return TypeHere }

// Append appends the body to b.
func (m Here) Append(b []byte) []byte { return be.AppendUint32(b, m.Req) }

// Type is TypeRefuse.
func (Refuse) Type() Type { return TypeRefuse }

// Append appends the body to b.
func (m Refuse) Append(b []byte) []byte {
	return be.AppendUint16(be.AppendUint32(b, m.Req), uint16(m.Code))
}
