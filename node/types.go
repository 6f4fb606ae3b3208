package node

import (
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// PutOptions say more of a file that is put. The zero value is of a file whose
// size is not known before its end, with mode 0o644, changed now.
type PutOptions struct {
	Size  int64     // bytes that body gives, another number is an error; 0: not known
	Mode  uint16    // permission bits, at most 0o777; 0: 0o644
	Mtime time.Time // zero: now; the nearest that a manifest can have is stored

	Progress *Progress // or nil; of this put alone
}

// PutResult says where a version is. Fewer Copies than Wanted is no error:
// the ring makes the missing ones by itself.
type PutResult struct {
	Name    string   `json:"name"`
	Version uint64   `json:"version"`
	Size    int64    `json:"size"`
	Sum     string   `json:"sum"`    // hex SHA-256 of the manifest
	Copies  []string `json:"copies"` // names of the members that have it on disk
	Wanted  int      `json:"wanted"`
	Missing []string `json:"missing"` // if there are fewer: the members that the file belongs to and that lack it
	Slow    []string `json:"slow"`    // took the bytes far slower than the others, and were not waited for
	Same    bool     `json:"same"`    // these bytes were the newest version already

	// Newer is a later version by this peer, which was stored before this put or
	// remove had ended, and is what others get; 0: none. Removed: it is a removal.
	Newer        uint64 `json:"newer,omitempty"`
	NewerRemoved bool   `json:"newer_removed,omitempty"`
	// Above are members that did not answer: the version is numbered above any
	// that they may have.
	Above []string `json:"above,omitempty"`
	// Lacks says, if there are fewer copies, why members did not store the file, and
	// Own what this machine itself could not do.
	Lacks []Lack `json:"lacks,omitempty"`
	Own   string `json:"own,omitempty"`
}

// GetOptions choose among several files of one name.
type GetOptions struct {
	By string // the writer's name; "": the newest of all

	Progress *Progress // or nil; of this get alone
}

// FileInfo describes one version of a file.
type FileInfo struct {
	Name    string    `json:"name"`
	Size    int64     `json:"size"`
	Version uint64    `json:"version"`
	Writer  string    `json:"writer"`
	Signer  string    `json:"signer"`
	Mode    uint16    `json:"mode"`
	Mtime   time.Time `json:"mtime"`
	Made    time.Time `json:"made"`            // when it was put or removed, by the clock of the signer: its word
	Sum     string    `json:"sum"`             // hex SHA-256 of the manifest
	Prior   string    `json:"prior,omitempty"` // sum of the version by the same writer that it replaces; "": none that the signer knew
	Removed bool      `json:"removed,omitempty"`
	AlsoBy  []string  `json:"also_by,omitempty"` // other writers with a live file of the name
}

// Claim is a version that Peers say they have.
type Claim struct {
	Version uint64   `json:"version"`
	Writer  string   `json:"writer"`
	Peers   []string `json:"peers"`
}

// StatResult says who holds which versions of a name.
type StatResult struct {
	Name    string       `json:"name"`
	Key     wire.Pos     `json:"key"`
	Newest  *FileInfo    `json:"newest,omitempty"`  // nil: nobody who answered has one
	OnlyBy  string       `json:"only_by,omitempty"` // who alone shows it, while a home holder says no
	Holders []HolderStat `json:"holders"`
}

// Unheard is a member of which there is no whole answer.
type Unheard struct {
	Peer   string `json:"peer"`
	Reason Reason `json:"reason"`
	Why    string `json:"why"` // the reason, in words
	// Files is how many of its files alone it cannot read; 0: more is missing.
	Files int `json:"files,omitempty"`
}

// HolderStat is what one home holder or stand-in of a name answered.
type HolderStat struct {
	Peer     string     `json:"peer"`
	Home     bool       `json:"home"`             // it should hold the name, in its own view
	Reason   Reason     `json:"reason,omitempty"` // that it shows no version means nothing, and why; "": it has none
	Behind   bool       `json:"behind"`           // it is catching up
	Silent   bool       `json:"silent"`           // it did not answer
	Versions []FileInfo `json:"versions"`
	Own      string     `json:"own,omitempty"` // why this machine could not ask it, or read its own disk
}

// LookupResult says who answers for a name.
type LookupResult struct {
	Name    string   `json:"name"`
	Key     wire.Pos `json:"key"`
	Owner   string   `json:"owner"`
	Holders []string `json:"holders"` // home holders and stand-ins, the owner first
	Path    []string `json:"path"`    // who was asked, in order
}

// Event is something that happened and that a user may want to see. Kind is
// the name of a ring notice, in words joined by '-' ("ping-received"), or
// "gap": the watcher was too slow and missed some; or "flood": Peer caused more
// than are told.
type Event struct {
	Time  time.Time `json:"time"`
	Kind  string    `json:"kind"`
	Peer  string    `json:"peer,omitempty"`
	Peers []string  `json:"peers,omitempty"`
	Name  string    `json:"name,omitempty"` // of a file
}

// Status is what a peer knows of itself and the others, at one moment.
type Status struct {
	Name         string
	ID           wire.ID
	Ring         string
	Listen       string
	Ready        bool   // in the ring
	Behind       bool   // may not say "not found" yet
	Stopping     bool   // or leaving
	State        string // starting joining active full stuck stopped leaving left
	Incarnation  uint64
	Position     wire.Pos
	Space        uint8
	Copies       int // wanted of each file
	Interval     time.Duration
	Grace        time.Duration // how long a member may be away until its copies are made elsewhere
	View         string        // hex digest: equal views are equal digests
	RosterSerial uint64
	RosterDigest string // hex
	Successors   []string
	Predecessors []string
	Circle       []string        // everybody in the ring, by position, this peer too
	Cut          bool            // too many are silent at once to call anybody gone by time
	Warnings     []string        // what is wrong with this machine's own network or address
	Peers        []PeerStatus    // every member of the roster, by id, this peer too
	Revoked      []RevokedStatus // whom the roster has put out, by id
	Store        StoreStatus
	Moving       int    // copies that are on their way
	BytesIn      uint64 // of files, over links, since the start
	BytesOut     uint64
	Refused      []Refusal // by peer, then cause
	Uptime       time.Duration
}

// PeerStatus is what is known of one member.
type PeerStatus struct {
	ID          wire.ID
	Name        string
	Key         string // short form
	Address     string
	Position    wire.Pos
	State       string // as Status.State; "unseen": never heard of
	Incarnation uint64
	Self        bool
	InRing      bool
	Unreachable bool
	Suspect     bool
	Linked      bool
	Steward     bool
	Drain       bool
	Why         Why           // it is not in the ring, or not well in it
	Gone        bool          // its copies are made elsewhere
	GoneBy      []string      // who says that it is gone, or forgets it: two make it so
	Out         time.Duration // how long it has been out of this peer's ring; 0: it is in it
	Silence     time.Duration // since anything authenticated came; -1: never
	RTT         time.Duration // 0: not measured
	OtherRoster bool          // it works by another roster than this peer
	Gives       int64         // bytes a second of files that came from it lately; 0: not known
	Takes       int64         // the same of those that went to it
	Slow        bool          // others gave, or took, several times faster
	Refused     uint64        // what it sent and may not send, the sum of its causes
	Problem     string        // why the last dial failed; why this machine can't send to it
}

// Why is a reason in a word.
type Why string

// Why a member is not in the ring, or not well in it.
const (
	WhyNone     Why = ""         // it is
	WhyUnseen   Why = "unseen"   // nobody has ever heard of it
	WhyStarting Why = "starting" // it runs, and has not joined yet
	WhySilent   Why = "silent"   // nothing comes from it
	WhyUnsent   Why = "unsent"   // this machine can't send to it, or can't find it
	WhyOneWay   Why = "one-way"  // it is heard, and does not hear this peer; or others hear it
	WhyCut      Why = "cut"      // silent, and so are too many
	WhyStopped  Why = "stopped"  // it said so; its files stay there
	WhyLeaving  Why = "leaving"  // it gives its files away
	WhyLeft     Why = "left"     // and has
	WhyGone     Why = "gone"     // away for the whole grace, or forgotten
)

// whys are the ring's reasons in words.
var whys = map[ring.Why]Why{
	ring.WhyNone: WhyNone, ring.WhyUnseen: WhyUnseen, ring.WhyStarting: WhyStarting, ring.WhySilent: WhySilent,
	ring.WhyOneWay: WhyOneWay, ring.WhyCut: WhyCut, ring.WhyStopped: WhyStopped, ring.WhyLeaving: WhyLeaving,
	ring.WhyLeft: WhyLeft, ring.WhyGone: WhyGone,
}

// RevokedStatus is a revoke line of the roster: no link opens for its key.
type RevokedStatus struct {
	ID   wire.ID
	Name string
	Key  string // short form
}

// StoreStatus is what is on this peer's disk.
type StoreStatus struct {
	ID       string // hex
	Versions int
	Bytes    uint64 // of their files on the disk
	Counting bool   // Versions and Bytes are not all yet
	Free     int64  // bytes of the disk
	Total    int64
	Problem  string // why it takes no writes
	Doubt    string // the file system, if what it has synced may not outlive the end of power

	Unfinished []Unfinished // whose uploads to this peer have not ended, who holds most first
}

// Unfinished is what uploads of one member hold of this peer's disk, which are
// nobody's files yet.
type Unfinished struct {
	Peer    string `json:"peer"`
	Uploads int    `json:"uploads"`
	Bytes   uint64 `json:"bytes"`
}

// ForgetResult says how far a Forget is: when as many peers as Needed have
// Said that the member will not come back, it is gone.
type ForgetResult struct {
	Peer   string   `json:"peer"`
	Gone   bool     `json:"gone"`
	Said   []string `json:"said"`
	Needed int      `json:"needed"`
}

// Refusal counts what a member, or a stranger, sent and nobody may send.
type Refusal struct {
	Peer  string `json:"peer,omitempty"` // "": a stranger
	Cause string `json:"cause"`
	Count uint64 `json:"count"`
}
