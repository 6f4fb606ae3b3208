package ring

import (
	"time"

	"securepeer/wire"
)

// Action is what the driver has to do; one of the types below, by value. The
// slices in it are the driver's.
type Action interface{ action() }

// Send: give Msg to the ring link of To, in order. Without a link the driver
// dials one and keeps what is to be sent meanwhile; if that fails it reports
// LinkDown. To is never this peer itself.
type Send struct {
	To  wire.ID
	Msg wire.Message
}

// SendPing: seal and send a ping or ack to To, if there is a ping session.
type SendPing struct {
	To   wire.ID
	Ping wire.Ping
}

// Dial: open a ring link to Peer, unless one is there or on its way.
type Dial struct{ Peer wire.ID }

// Hangup: end the ring link with Peer, when its requests are done.
type Hangup struct{ Peer wire.ID }

// Persist: write Incarnation to disk, then report [Persisted].
type Persist struct{ Incarnation wire.Incarnation }

// SaveView: write these rows to disk, some time soon; no answer.
type SaveView struct{ Rows []wire.Row }

// Answer: look Name up in this peer's store and send [wire.Found] with this
// code, or CodeUnreadable if that fails, and these other fields to To; if To is
// this peer, report it as Received.
type Answer struct {
	To   wire.ID
	Req  uint32
	Name string
	Code wire.Code // CodeOK or CodeBehind
	Home bool
}

// Upload: stream the bytes of a Put to all of To at once, over transfer
// links, naming Holders; sign a manifest with this Version, Writer and Prior
// when they have been read ([Sealed]); report each end as [Uploaded]. A target
// that is this peer itself gets its bytes too. If the bytes are those of
// Same, the newest version of the name, the manifest is Same.
type Upload struct {
	Op      Op
	To      []wire.ID
	Holders []wire.ID
	Version uint64
	Prior   wire.Sum       // of the version by this writer that it replaces; zero: none
	Same    *wire.Manifest // or nil
}

// Fetch: bring the bytes of Manifest to the user, verified, from Sources:
// the first that answers, the next one when it dies or lies. OneAnswer says
// that a single holder was asked successfully; AlsoBy names other writers
// with a live version of the name. If none of the sources has the bytes, as
// when a liar names a version that nobody stores, the others are tried in
// their order; where one is delivered, the newer ones that were shown are said.
// The operation is the driver's from here.
type Fetch struct {
	Op        Op
	Manifest  wire.Manifest
	Sources   []wire.ID
	OneAnswer bool
	AlsoBy    []wire.ID
	Others    []Choice
}

// Choice is a version of another writer, or an older one than a version that
// one member alone shows; and who says that it has it.
type Choice struct {
	Manifest wire.Manifest
	Sources  []wire.ID
}

// SendOffer: read the manifest of Version from this peer's store and send
// [wire.Offer] to To, this peer as its source. If it can't be read, report
// [OfferFailed].
type SendOffer struct {
	To      wire.ID
	Req     uint32
	Version Version
}

// Pull: have this version on disk, verified and synced, then report
// [Pulled]. It is fetched from From unless this run has synced it already; a
// tombstone is just written. At most [MaxPulls] are under way. With Leave, one that
// an upload is bringing here is left to that: report [Uploading], and begin nothing.
type Pull struct {
	From     wire.ID
	Manifest wire.Manifest
	Leave    bool
}

// Scan: report the versions in the store after After (of all, if First), in
// order, at most Limit, as [Scanned] with the same number.
type Scan struct {
	Scan  uint64
	First bool
	After Version
	Limit int
}

// PutReply: answer the upload that the driver called Serve. Rows and votes go
// into the PutAck.
type PutReply struct {
	Serve uint64
	Code  wire.Code
	Rows  []wire.Row
	Votes []wire.Vote
}

// Notify: tell whoever listens.
type Notify struct{ Notice Notice }

// Done: the operation ended.
type Done struct {
	Op     Op
	Result Result
}

// Exit: this peer may end now; with Err, it must.
type Exit struct{ Err error }

// Outcome says how an operation ended.
type Outcome uint8

// The outcomes.
const (
	Succeeded    Outcome = iota
	Degraded             // a put or remove: stored, but on fewer peers than wanted
	NotFound             // every home holder said no
	Unavailable          // not known: Silent said neither yes nor no
	Taken                // By has a live version of the name
	Unreached            // a probe: no ack
	NotReady             // this peer is not in the ring
	OutOfHops            // the question went round too long
	StillHolding         // a leave: Silent do not confirm yet; the peer goes on trying
	NeedsAnother         // a forget: Copies have said so, one more has to
	StillThere           // a forget: the member is in the ring
	NoRoom               // a put: every peer that should hold it and can be reached is full
)

// Result of an operation; what does not apply is zero.
type Result struct {
	Outcome  Outcome
	Manifest wire.Manifest // put, remove
	Newer    wire.Manifest // put, remove: a later version of this peer that was confirmed before this one; none: zero
	Blind    []wire.ID     // put, remove: the number is above what these may have, who did not answer
	Copies   []wire.ID     // put, remove: who confirmed; forget: who has said so
	Wanted   int           // put, remove: how many should
	Silent   []wire.ID     // who said neither yes nor no
	Declined []Declined    // those of them that have answered, and how
	By       wire.ID       // Taken
	At       wire.ID       // lookup: who said Here; this peer, if it needed to ask nobody
	Path     []wire.ID     // lookup: over whom the question went to At, as a line; if it failed, whoever was asked
	Owner    wire.ID       // lookup, stat
	Holders  []wire.ID     // lookup, stat: home holders and stand-ins
	RTT      time.Duration // probe
	Found    []Found       // stat
}

// Declined is a member whose answer is neither a yes nor a no, and why: CodeBehind,
// CodeUnreadable, CodeNotOwner (it is no home holder in its own view), or the code
// of its Refuse.
type Declined struct {
	Peer wire.ID
	Code wire.Code
}

// Found is what one holder answered to a Stat.
type Found struct {
	Peer      wire.ID
	Home      bool
	Code      wire.Code // as Declined; CodeOK: what it does not show it does not have
	Silent    bool      // it has not answered
	Manifests []wire.Manifest
}

func (Send) action()      {}
func (SendPing) action()  {}
func (Dial) action()      {}
func (Hangup) action()    {}
func (Persist) action()   {}
func (SaveView) action()  {}
func (Answer) action()    {}
func (Upload) action()    {}
func (Fetch) action()     {}
func (SendOffer) action() {}
func (Pull) action()      {}
func (Scan) action()      {}
func (PutReply) action()  {}
func (Notify) action()    {}
func (Done) action()      {}
func (Exit) action()      {}
