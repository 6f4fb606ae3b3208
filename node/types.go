package node

import (
	"time"

	"securepeer/wire"
)

// PutOptions say more of a file that is put. The zero value has mode 0o644,
// no time of change and no progress; its Size means an empty file, so set it,
// or -1 where it is not known.
type PutOptions struct {
	Size     int64     // bytes that body gives; -1: not known; another number is an error
	Mode     uint16    // permission bits, at most 0o777; 0: 0o644
	Mtime    time.Time // zero: now
	Progress func(sent int64)
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
	Same    bool     `json:"same"` // these bytes were the newest version already
}

// GetOptions choose among several files of one name.
type GetOptions struct {
	By string // the writer's name; "": the newest of all
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
	Sum     string    `json:"sum"` // hex SHA-256 of the manifest
	Removed bool      `json:"removed,omitempty"`
	AlsoBy  []string  `json:"also_by,omitempty"` // other writers with a live file of the name
}

// StatResult says who holds which versions of a name.
type StatResult struct {
	Name    string       `json:"name"`
	Key     wire.Pos     `json:"key"`
	Newest  *FileInfo    `json:"newest,omitempty"` // nil: nobody who answered has one
	Holders []HolderStat `json:"holders"`
}

// HolderStat is what one home holder or stand-in of a name answered.
type HolderStat struct {
	Peer     string     `json:"peer"`
	Home     bool       `json:"home"`   // it should hold the name, in its own view
	Behind   bool       `json:"behind"` // its "no" means nothing yet
	Silent   bool       `json:"silent"` // it did not answer
	Versions []FileInfo `json:"versions"`
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
// "gap": the watcher was too slow and missed some.
type Event struct {
	Time  time.Time `json:"time"`
	Kind  string    `json:"kind"`
	Peer  string    `json:"peer,omitempty"`
	Peers []string  `json:"peers,omitempty"`
	Name  string    `json:"name,omitempty"` // of a file
}

// Status is what a peer knows of itself and the others, at one moment.
type Status struct {
	Name         string        `json:"name"`
	ID           wire.ID       `json:"id"`
	Ring         string        `json:"ring"`
	Listen       string        `json:"listen"`
	Ready        bool          `json:"ready"`    // in the ring
	Behind       bool          `json:"behind"`   // may not say "not found" yet
	Stopping     bool          `json:"stopping"` // or leaving
	State        string        `json:"state"`    // starting joining active full stuck stopped leaving left
	Incarnation  uint64        `json:"incarnation"`
	Position     wire.Pos      `json:"position"`
	Space        uint8         `json:"space"`
	Copies       int           `json:"copies"` // wanted of each file
	Interval     time.Duration `json:"interval"`
	View         string        `json:"view"` // hex digest: equal views are equal digests
	RosterSerial uint64        `json:"roster_serial"`
	RosterDigest string        `json:"roster_digest"` // hex
	Successors   []string      `json:"successors"`
	Predecessors []string      `json:"predecessors"`
	Circle       []string      `json:"circle"` // everybody in the ring, by position, this peer too
	Peers        []PeerStatus  `json:"peers"`  // every member of the roster, by id, this peer too
	Store        StoreStatus   `json:"store"`
	Moving       int           `json:"moving"`    // copies that are on their way
	BytesIn      uint64        `json:"bytes_in"`  // of files, over links, since the start
	BytesOut     uint64        `json:"bytes_out"` //
	Refused      []Refusal     `json:"refused,omitempty"`
	Uptime       time.Duration `json:"uptime"`
}

// PeerStatus is what is known of one member.
type PeerStatus struct {
	ID          wire.ID       `json:"id"`
	Name        string        `json:"name"`
	Key         string        `json:"key"` // short form
	Address     string        `json:"address"`
	Position    wire.Pos      `json:"position"`
	State       string        `json:"state"` // as Status.State; "unseen": never heard of
	Incarnation uint64        `json:"incarnation"`
	Self        bool          `json:"self"`
	InRing      bool          `json:"in_ring"`
	Unreachable bool          `json:"unreachable"`
	Suspect     bool          `json:"suspect"`
	Linked      bool          `json:"linked"`
	Steward     bool          `json:"steward"`
	Drain       bool          `json:"drain"`
	Silence     time.Duration `json:"silence"`           // since anything authenticated came; -1: never
	RTT         time.Duration `json:"rtt"`               // 0: not measured
	OtherRoster bool          `json:"other_roster"`      // it works by another roster than this peer
	Problem     string        `json:"problem,omitempty"` // why the last dial failed
}

// StoreStatus is what is on this peer's disk.
type StoreStatus struct {
	ID       string `json:"id"` // hex
	Versions int    `json:"versions"`
	Bytes    uint64 `json:"bytes"`             // of the files
	Free     int64  `json:"free"`              // bytes of the disk
	Total    int64  `json:"total"`             //
	Problem  string `json:"problem,omitempty"` // why it takes no writes
}

// Refusal counts what a member, or a stranger, sent and nobody may send.
type Refusal struct {
	Peer  string `json:"peer,omitempty"` // "": a stranger
	Cause string `json:"cause"`
	Count uint64 `json:"count"`
}
