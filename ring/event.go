package ring

import "securepeer/wire"

// Time is an instant: nanoseconds since some start of the driver's, on a
// clock that never goes back and is never 0, which stands for no instant. The
// machine never asks what time it is.
type Time int64

// Op names one operation of this peer's user, chosen by the driver.
type Op uint64

// Event is what happened; one of the types below, by value.
type Event interface{ event() }

// Tick: nothing but time has passed. The driver sends it no later than
// [Ring.Next] says; the first one starts the peer.
type Tick struct{}

// Received: Msg came over the ring link of From, which the link proved; what
// it carries that is signed was verified. From may be this peer itself.
type Received struct {
	From wire.ID
	Msg  wire.Message
}

// Pinged: a ping or ack of From came, authenticated.
type Pinged struct {
	From wire.ID
	Ping wire.Ping
}

// LinkUp: the ring link with Peer is confirmed; Incarnation is what the peer
// said in the handshake.
type LinkUp struct {
	Peer        wire.ID
	Incarnation wire.Incarnation
}

// LinkDown: the ring link with Peer ended, or a dial of it failed. What was
// sent and not answered is lost.
type LinkDown struct{ Peer wire.ID }

// NotSent: a ping to Peer, or a dial of it, has not left this machine; its
// silence says nothing of it. A failed dial's LinkDown comes after it.
type NotSent struct{ Peer wire.ID }

// Persisted: what [Persist] asked for is on disk.
type Persisted struct{ Incarnation wire.Incarnation }

// RosterChanged: another roster is law from now.
type RosterChanged struct{ Roster Roster }

// DiskChanged: this peer's own disk is full, stuck, or well again
// ([wire.Active]).
type DiskChanged struct{ State wire.State }

// Stop: leave the ring and keep the data here (SIGTERM).
type Stop struct{}

// Leave: give every version away, then leave for good (Quit).
type Leave struct{ Op Op }

// Probe: ping Peer once and say how long it took.
type Probe struct {
	Op   Op
	Peer wire.ID
}

// Lookup: who answers for Name, and over which peers the question went.
type Lookup struct {
	Op   Op
	Name string
}

// Stat: which versions of Name are there, and on whose disks.
type Stat struct {
	Op   Op
	Name string
}

// Put: find version and holders for a new version of Name.
type Put struct {
	Op   Op
	Name string
}

// Sealed: the bytes of a Put have all been read; Manifest is signed. It comes
// once, after [Upload], before or between its [Uploaded] events.
type Sealed struct {
	Op       Op
	Manifest wire.Manifest
}

// Uploaded: how one target of an [Upload] ended. Kept says that the bytes are
// on its disk even though the code is not CodeOK. Rows that came with it were
// given as Received before.
type Uploaded struct {
	Op   Op
	Peer wire.ID
	Code wire.Code
	Kept bool
}

// Remove: make a tombstone for Name. Made is what the wall clock shows, in Unix
// nanoseconds; Steward says that this peer may remove others' names.
type Remove struct {
	Op      Op
	Name    string
	Made    int64
	Steward bool
}

// Get: find the newest version of Name and who has it; By, if HasBy, picks
// the writer.
type Get struct {
	Op    Op
	Name  string
	By    wire.ID
	HasBy bool
}

// Forget: the operator says that Member will not come back: its copies are to
// be made elsewhere, whatever the grace. Its [Done] is Succeeded if the member
// is gone, NeedsAnother if one more peer's operator must say so, StillThere if
// it is in the ring.
type Forget struct {
	Op     Op
	Member wire.ID
}

// Cancel: the user has gone away; the operation ends without a [Done].
type Cancel struct{ Op Op }

// PutStored: an upload of From to this peer is on disk, synced (CodeOK), or
// failed. Serve is the driver's name for it; Holders and Roster are what its
// Put said.
type PutStored struct {
	Serve   uint64
	From    wire.ID
	Name    string
	Version Version
	Holders []wire.ID
	Roster  wire.Digest
	Code    wire.Code
}

// Pulling: bytes of a [Pull] have come since it began, or since this was last
// said, each few seconds. Who offered the version goes on waiting for it.
type Pulling struct {
	Version Version
}

// Uploading: a [Pull] was not begun, as the version is the one, or may be, that
// an upload of its signer is bringing here.
type Uploading struct {
	Version Version
}

// Pulled: how a [Pull] ended; CodeOK: on disk, verified, synced. New says that
// it was not there before.
type Pulled struct {
	Version Version
	Code    wire.Code
	New     bool
}

// OfferFailed: a [SendOffer] was not sent, as the version is not there
// (Missing), or can't be read.
type OfferFailed struct {
	Peer    wire.ID
	Req     uint32
	Missing bool
}

// Scanned answers a [Scan]: the versions, in order; More if the limit cut it.
// Failed says that the disk could not be read: there may be others.
type Scanned struct {
	Scan     uint64
	Versions []Version
	More     bool
	Failed   bool
}

// Moving: the bytes of a file begin or end to move between this peer and
// Peer; for the notices only.
type Moving struct {
	Peer  wire.ID
	Name  string
	Phase Phase
}

// Phase of a transfer.
type Phase uint8

// The phases.
const (
	Sending Phase = iota
	Sent
	Receiving
	Got
)

// Version names one version on a disk: the key of its name and the hash of
// its manifest.
type Version struct {
	Key wire.Pos
	Sum wire.Sum
}

func (Tick) event()          {}
func (Received) event()      {}
func (Pinged) event()        {}
func (LinkUp) event()        {}
func (LinkDown) event()      {}
func (NotSent) event()       {}
func (Persisted) event()     {}
func (RosterChanged) event() {}
func (DiskChanged) event()   {}
func (Stop) event()          {}
func (Leave) event()         {}
func (Probe) event()         {}
func (Lookup) event()        {}
func (Stat) event()          {}
func (Put) event()           {}
func (Sealed) event()        {}
func (Uploaded) event()      {}
func (Remove) event()        {}
func (Get) event()           {}
func (Forget) event()        {}
func (Cancel) event()        {}
func (PutStored) event()     {}
func (Pulling) event()       {}
func (Uploading) event()     {}
func (Pulled) event()        {}
func (OfferFailed) event()   {}
func (Scanned) event()       {}
func (Moving) event()        {}
