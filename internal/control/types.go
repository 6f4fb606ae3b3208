// Package control is how the commands of one machine talk to the peer that
// runs on it: HTTP and JSON over a Unix socket in the peer's folder. [Listen]
// and [Server.Serve] are the peer's half, [New] is the commands'.
//
// Only the user that runs the peer, and root, are let in. File bytes travel
// in bodies; nothing here takes a path on the peer's disk. The paths are the
// table in server.go.
//
// In JSON, durations are seconds and keys and positions are strings: 64 bits
// are more than a JSON number keeps. Lists are never null.
package control

import (
	"time"

	"securepeer/node"
)

// Schemas of what is sent, the first field of each object. Within one number
// no key changes its name or meaning, and none goes away; new ones may come.
const (
	SchemaStatus = "securepeer/status/1"
	SchemaRing   = "securepeer/ring/1"
	SchemaPeers  = "securepeer/peers/1"
	SchemaPut    = "securepeer/put/1"
	SchemaRemove = "securepeer/rm/1"
	SchemaGet    = "securepeer/get/1"
	SchemaList   = "securepeer/ls/1"
	SchemaStat   = "securepeer/stat/1"
	SchemaLookup = "securepeer/lookup/1"
	SchemaPing   = "securepeer/ping/1"
	SchemaForget = "securepeer/forget/1"
	SchemaStop   = "securepeer/stop/1"
	SchemaLeave  = "securepeer/leave/1"
	SchemaEvent  = "securepeer/event/1"

	SchemaProgress = "securepeer/progress/1"

	SchemaError = "securepeer/error/1"
)

// Status is what a peer says of itself and of what it knows.
type Status struct {
	Schema       string         `json:"schema"`
	Ring         string         `json:"ring"`
	ID           uint16         `json:"id"`
	Name         string         `json:"name"`
	Position     uint64         `json:"position,string"`
	Listen       string         `json:"listen"` // host:port
	State        string         `json:"state"`  // starting joining active full stuck stopped leaving left
	Ready        bool           `json:"ready"`  // in the ring
	Behind       bool           `json:"behind"` // may not say yet that a file is not there
	Stopping     bool           `json:"stopping"`
	Uptime       float64        `json:"uptime"`
	Incarnation  uint64         `json:"incarnation"`
	View         string         `json:"view"` // digest: equal views have equal ones
	Roster       Roster         `json:"roster"`
	Successors   []string       `json:"successors"`
	Predecessors []string       `json:"predecessors"`
	Circle       []string       `json:"circle"`   // everybody in the ring, by position
	Cut          bool           `json:"cut"`      // too many are silent at once to call anybody gone by time
	Warnings     []string       `json:"warnings"` // what is wrong with this machine's own network or address
	Store        Store          `json:"store"`
	Moving       int            `json:"moving"`    // copies on their way
	BytesIn      uint64         `json:"bytes_in"`  // of files, since the start
	BytesOut     uint64         `json:"bytes_out"` //
	Refused      []node.Refusal `json:"refused"`
	Members      []Member       `json:"members"`
	Revoked      []Revoked      `json:"revoked"` // whom the roster has put out
}

// Roster is the one that a peer works by.
type Roster struct {
	Serial   uint64  `json:"serial"`
	Digest   string  `json:"digest"`
	Space    uint8   `json:"space"` // bits
	Copies   int     `json:"copies"`
	Interval float64 `json:"interval"`
	Grace    float64 `json:"grace"` // how long a member may be away until its copies are made elsewhere
}

// Store is what a peer's disk holds.
type Store struct {
	ID       string `json:"id"`
	Versions int    `json:"versions"`
	Counting bool   `json:"counting"`          // versions and bytes are not all yet
	Bytes    uint64 `json:"bytes"`             // of the files
	Free     int64  `json:"free"`              // bytes of the disk
	Total    int64  `json:"total"`             //
	Problem  string `json:"problem,omitempty"` // why it takes no writes

	Durable    Durable `json:"durable"`               // whether what it confirms outlives the end of power
	FileSystem string  `json:"file_system,omitempty"` // if that is not known

	Unfinished []node.Unfinished `json:"unfinished"` // whose uploads have not ended, who holds most first
}

// Durable says whether copies outlive the end of power.
type Durable string

const (
	DurableYes     Durable = "yes"
	DurableUnknown Durable = "unknown" // of this file system it is not known
)

// Member is a line of the roster, and what this peer knows of that member.
type Member struct {
	ID          uint16   `json:"id"`
	Name        string   `json:"name"`
	Key         string   `json:"key"` // its short form
	Address     string   `json:"address"`
	Position    uint64   `json:"position,string"`
	State       string   `json:"state"` // as in Status, or unseen
	Incarnation uint64   `json:"incarnation"`
	Self        bool     `json:"self"`
	InRing      bool     `json:"in_ring"`
	Unreachable bool     `json:"unreachable"`
	Suspect     bool     `json:"suspect"`
	Linked      bool     `json:"linked"`
	Steward     bool     `json:"steward"`
	Drain       bool     `json:"drain"`
	Why         string   `json:"why"`          // it is not in the ring, or not well in it: "" or unseen starting silent unsent one-way cut stopped leaving left gone
	Gone        bool     `json:"gone"`         // its copies are made elsewhere
	GoneBy      []string `json:"gone_by"`      // who says so, or has forgotten it: two make it so
	Since       float64  `json:"since_s"`      // for how long it has been out of the ring; 0: it is in it
	Silence     float64  `json:"silence"`      // since anything came; -1: nothing ever did
	RTT         float64  `json:"rtt"`          // 0: not measured
	OtherRoster bool     `json:"other_roster"` // it works by another roster
	Gives       int64    `json:"gives"`        // bytes a second of files that came from it lately; 0: not known
	Takes       int64    `json:"takes"`        // the same of those that went to it
	Slow        bool     `json:"slow"`         // others gave, or took, several times faster
	Refused     uint64   `json:"refused"`      // messages of it that nobody may send
	Problem     string   `json:"problem,omitempty"`
}

// Revoked is a member that the roster has put out: no link opens for its key.
type Revoked struct {
	ID   uint16 `json:"id"`
	Name string `json:"name"`
	Key  string `json:"key"` // its short form
}

// Peers is the members alone.
type Peers struct {
	Schema  string    `json:"schema"`
	Members []Member  `json:"members"`
	Revoked []Revoked `json:"revoked"`
}

// Ring is the ring that a peer computes from what it knows.
type Ring struct {
	Schema      string   `json:"schema"`
	Ring        string   `json:"ring"`
	Self        string   `json:"self"`
	Circle      []string `json:"circle"`      // by position
	Unmonitored []string `json:"unmonitored"` // members that are not in it
	Cut         bool     `json:"cut"`         // as in Status
	Absent      []Absent `json:"absent"`      // the unmonitored, and why they are
}

// Absent says why a member is not in the ring.
type Absent struct {
	Name  string  `json:"name"`
	Why   string  `json:"why"` // as in Member
	Gone  bool    `json:"gone"`
	Since float64 `json:"since_s"`
}

// PutInfo is what is known of a file before its first byte is read.
type PutInfo struct {
	Size  int64 // bytes that will come; 0: not known
	Mode  uint16
	Mtime time.Time // zero: now

	Progress string // the id of this put; "": nobody asks how far it is
}

// Progress says how far a put, a get or a removal is.
type Progress struct {
	Schema string `json:"schema"`
	Known  bool   `json:"known"` // it is under way
	node.ProgressState
}

// PutResult says where the copies of a file, or of its removal, are.
type PutResult struct {
	Schema string `json:"schema"`
	node.PutResult
	// Grown is how many bytes longer the file was when all that is stored had
	// been read. No peer knows that: who reads the file fills it in.
	Grown int64 `json:"grown,omitempty"`
}

// GetResult is how a get ended: known when all bytes have come.
type GetResult struct {
	Schema    string   `json:"schema"`
	From      string   `json:"from"`       // who had it
	OneAnswer bool     `json:"one_answer"` // only one holder was heard
	AlsoBy    []string `json:"also_by"`    // other writers with a live file of the name
	// Claimed are newer versions that members say they have and that can't be had.
	Claimed []node.Claim `json:"claimed,omitempty"`
}

// List is the files whose names begin with a prefix.
type List struct {
	Schema string          `json:"schema"`
	Files  []node.FileInfo `json:"files"`
	Silent []string        `json:"silent"` // members that did not answer: what only they have is missing
	Failed []node.Unheard  `json:"failed"` // the same, of those that answered so, that this machine itself could not ask, or that cannot read some of their files
}

// Stat says which versions of a name are there, and on whose disks.
type Stat struct {
	Schema  string            `json:"schema"`
	Name    string            `json:"name"`
	Key     uint64            `json:"key,string"`
	Newest  *node.FileInfo    `json:"newest"` // null: nobody who answered has one
	Holders []node.HolderStat `json:"holders"`
	OnlyBy  string            `json:"only_by,omitempty"` // who alone says that it has the newest
}

// Lookup says who answers for a name.
type Lookup struct {
	Schema  string   `json:"schema"`
	Name    string   `json:"name"`
	Key     uint64   `json:"key,string"`
	Owner   string   `json:"owner"`
	Holders []string `json:"holders"`
	Path    []string `json:"path"` // who was asked, in order
}

// Ping is one answered ping.
type Ping struct {
	Schema string  `json:"schema"`
	Peer   string  `json:"peer"`
	RTT    float64 `json:"rtt"`
}

// Forget says how far a forget is.
type Forget struct {
	Schema string `json:"schema"`
	node.ForgetResult
}

// Ended says that a peer has stopped, or left.
type Ended struct {
	Schema string `json:"schema"`
}

// Event is something that happened at a peer.
type Event struct {
	Schema string `json:"schema"`
	node.Event
}
