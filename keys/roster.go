package keys

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"securepeer/wire"
)

// Defaults of the ring line.
const (
	DefaultSpace     = wire.Space64
	DefaultCopies    = 3
	DefaultObservers = 3
	DefaultInterval  = time.Second
	DefaultGrace     = 5 * time.Minute
)

// Limits of a roster: what the wire can carry, and what keeps a typing error
// from becoming a ring. It has at most 65,536 members, because each has an id
// of its own.
const (
	maxRosterSize  = 16 << 20
	maxNameSize    = 64
	maxCopies      = wire.MaxHolders / 2 // with a stand-in for each, a put still names all of them
	maxObservers   = 32
	minInterval    = time.Millisecond
	maxInterval    = time.Hour
	maxGrace       = 366 * 24 * time.Hour
	maxClassicID   = 255
	minisignPublic = 42 // "Ed" | key id 8 | Ed25519 public key 32
)

// Route says how a lookup travels: straight to the holders, or successor by
// successor as in the classic ring.
type Route uint8

// The two routes.
const (
	Hop Route = iota
	Walk
)

// String is the word of the ring line.
func (r Route) String() string {
	switch r {
	case Hop:
		return "hop"
	case Walk:
		return "walk"
	}
	return "Route(" + strconv.Itoa(int(r)) + ")"
}

// Member is a peer line: one that may speak, running or not.
type Member struct {
	ID      wire.ID
	Name    string
	Key     Public
	Addr    string   // HOST:PORT, TCP and UDP; an IPv6 address in brackets
	Pos     wire.Pos // from pos=, else [wire.PosOf] the id
	HasPos  bool     // the line has pos=
	Steward bool     // may remove other members' names
	Drain   bool     // serves and gives its ranges away, takes none
	Next    *Public  // the key this member is about to change to, or nil; not modified

	note string // blank and comment lines above the line
}

// Revoked is a revoke line. It keeps the whole key: what its holder stored
// stays valid, but no link opens for it.
type Revoked struct {
	ID   wire.ID
	Name string
	Key  Public

	note string
}

// Roster is who may speak in one ring. A Roster from [ParseRoster],
// [LoadRoster] or [NewRoster] holds what [Roster.Validate] checks. It has no
// lock: readers may share one that nobody changes.
type Roster struct {
	Ring      string // its name
	Space     wire.Space
	Copies    int
	Observers int
	Interval  time.Duration
	Grace     time.Duration
	Route     Route

	Admins  []string  // minisign public keys, sorted
	Members []Member  // sorted by ID
	Revoked []Revoked // sorted by ID

	// Serial counts signed rosters. It is not in the text: an unsigned one has 0.
	Serial uint64

	ringNote   string
	adminNotes map[string]string
	lastNote   string // below the last line
}

// NewRoster returns a roster without members and with the default settings. It
// fails if the name is not 1 to 64 letters, digits, - _ . , that begin with a
// letter or digit.
func NewRoster(ring string) (*Roster, error) {
	r := defaultRoster()
	r.Ring = ring
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return r, nil
}

func defaultRoster() *Roster {
	return &Roster{
		Space: DefaultSpace, Copies: DefaultCopies, Observers: DefaultObservers,
		Interval: DefaultInterval, Grace: DefaultGrace,
	}
}

// ByID returns the member with that id.
func (r *Roster) ByID(id wire.ID) (Member, bool) {
	i, ok := slices.BinarySearchFunc(r.Members, id, memberToID)
	if !ok {
		return Member{}, false
	}
	return r.Members[i], true
}

func memberToID(m Member, id wire.ID) int { return cmp.Compare(m.ID, id) }

// ByName returns the member with that name.
func (r *Roster) ByName(name string) (Member, bool) {
	return r.find(func(m *Member) bool { return m.Name == name })
}

// ByKey returns the member whose X25519 key is noise. Next keys and revoked
// ones are nobody's.
func (r *Roster) ByKey(noise [32]byte) (Member, bool) {
	return r.find(func(m *Member) bool { return m.Key.Noise == noise })
}

func (r *Roster) find(is func(*Member) bool) (Member, bool) {
	for i := range r.Members {
		if is(&r.Members[i]) {
			return r.Members[i], true
		}
	}
	return Member{}, false
}

// NextID returns the lowest id that no line of the roster has, and whose
// position no member has by pos=; ids of revoked members are not free. Not ok if
// there is none.
func (r *Roster) NextID() (id wire.ID, ok bool) {
	used := make(map[wire.ID]bool, len(r.Members)+len(r.Revoked))
	places := make(map[wire.Pos]bool, len(r.Members))
	for i := range r.Members {
		used[r.Members[i].ID] = true
		places[r.Members[i].Pos] = true
	}
	for i := range r.Revoked {
		used[r.Revoked[i].ID] = true
	}
	last := wire.ID(math.MaxUint16)
	if r.Space == wire.Space8 {
		last = maxClassicID
	}
	for id := wire.ID(0); ; id++ {
		if !used[id] && !places[wire.PosOf(r.Space, id)] {
			return id, true
		}
		if id == last {
			return 0, false
		}
	}
}

// Add puts m into the roster; m.Pos is computed unless m.HasPos. It refuses
// what a roster with that line would be refused for, and then changes nothing.
func (r *Roster) Add(m Member) error {
	var told faults
	c := newChecker(&told)
	c.claimAll(r)
	from := source{what: m.describe()}
	c.checkMember(from, &m)
	if !m.HasPos {
		m.Pos = wire.PosOf(r.Space, m.ID)
	}
	c.checkPlace(from, r.Space, &m)
	if err := told.err(); err != nil {
		return fmt.Errorf("adding %w", err) // each fault says what it is of
	}
	i, _ := slices.BinarySearchFunc(r.Members, m.ID, memberToID)
	r.Members = slices.Insert(r.Members, i, m)
	return nil
}

// Remove takes the member with that id, and the comments above its line, out
// of the roster.
func (r *Roster) Remove(id wire.ID) error {
	i, ok := slices.BinarySearchFunc(r.Members, id, memberToID)
	if !ok {
		return fmt.Errorf("removing peer %d: the roster has no such member", id)
	}
	r.Members = slices.Delete(r.Members, i, i+1)
	return nil
}

// Revoke takes the member with that id out of the ring and keeps its key, so
// that what it wrote stays valid, and its id, so that nobody else gets it.
func (r *Roster) Revoke(id wire.ID) error {
	m, ok := r.ByID(id)
	if !ok {
		return fmt.Errorf("revoking peer %d: the roster has no such member", id)
	}
	if err := r.Remove(id); err != nil {
		return err
	}
	v := Revoked{ID: m.ID, Name: m.Name, Key: m.Key}
	i, _ := slices.BinarySearchFunc(r.Revoked, v, byRevokedID)
	r.Revoked = slices.Insert(r.Revoked, i, v)
	return nil
}

// Validate returns everything for which the roster would be refused as a file,
// and what only a program can do wrong: lists out of order, positions that are
// not the computed ones.
func (r *Roster) Validate() error {
	var told faults
	c := newChecker(&told)
	c.checkRing(source{what: "ring " + r.Ring}, r)
	for i := range r.Members {
		m := &r.Members[i]
		from := source{what: m.describe()}
		c.checkMember(from, m)
		c.checkPlace(from, r.Space, m)
	}
	for _, admin := range r.Admins {
		c.checkAdmin(source{what: "admin " + quote(admin)}, admin)
	}
	for i := range r.Revoked {
		c.checkRevoked(source{what: r.Revoked[i].describe()}, &r.Revoked[i])
	}
	if !slices.IsSorted(r.Admins) || !slices.IsSortedFunc(r.Members, byMemberID) || !slices.IsSortedFunc(r.Revoked, byRevokedID) {
		told.add(0, "its lines are not sorted")
	}
	return told.err()
}

func byMemberID(a, b Member) int   { return cmp.Compare(a.ID, b.ID) }
func byRevokedID(a, b Revoked) int { return cmp.Compare(a.ID, b.ID) }

func (m *Member) describe() string  { return fmt.Sprintf("peer %d %s", m.ID, m.Name) }
func (v *Revoked) describe() string { return fmt.Sprintf("revoke %d %s", v.ID, v.Name) }

// Append appends the roster as text: ring, admins, members, revoked, each kind
// sorted, one line a thing, fields in one order, comments and blank lines as
// they were, each above the line it was above. Parsing it gives an equal
// roster, appending that the same bytes.
func (r *Roster) Append(b []byte) []byte {
	r.eachLine(func(note string, line []byte) {
		b = append(b, note...)
		b = append(b, line...)
	})
	return append(b, r.lastNote...)
}

// Digest is the digest of the roster's text without comments and blank lines.
// Two rosters that differ in these, or in how they are spaced, ordered and
// abbreviated, have one digest.
func (r *Roster) Digest() wire.Digest {
	var text []byte
	r.eachLine(func(_ string, line []byte) { text = append(text, line...) })
	return wire.DigestOf(text)
}

// eachLine calls f with each line, which ends in a newline and is valid until
// f returns, and the note above it.
func (r *Roster) eachLine(f func(note string, line []byte)) {
	line := r.appendRing(nil)
	f(r.ringNote, line)
	for _, admin := range r.Admins {
		line = fmt.Appendf(line[:0], "admin %s\n", admin)
		f(r.adminNotes[admin], line)
	}
	for i := range r.Members {
		line = r.Members[i].append(line[:0])
		f(r.Members[i].note, line)
	}
	for i := range r.Revoked {
		v := &r.Revoked[i]
		line = fmt.Appendf(line[:0], "revoke %d %s %s\n", v.ID, v.Name, v.Key)
		f(v.note, line)
	}
}

func (r *Roster) appendRing(b []byte) []byte {
	return fmt.Appendf(b, "ring %s space=%d copies=%d observers=%d interval=%s grace=%s route=%s\n",
		r.Ring, r.Space, r.Copies, r.Observers, FormatDuration(r.Interval), FormatDuration(r.Grace), r.Route)
}

func (m *Member) append(b []byte) []byte {
	b = fmt.Appendf(b, "peer %d %s %s addr=%s", m.ID, m.Name, m.Key, m.Addr)
	if m.HasPos {
		b = fmt.Appendf(b, " pos=%d", m.Pos)
	}
	if m.Steward {
		b = append(b, " role=steward"...)
	}
	if m.Next != nil {
		b = fmt.Appendf(b, " next=%s", *m.Next)
	}
	if m.Drain {
		b = append(b, " drain"...)
	}
	return append(b, '\n')
}

// FormatDuration returns d as the ring line has it: 5m, not 5m0s.
func FormatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// LoadRoster reads the roster in the file at path, at most 16 MiB. It refuses
// a file that others than its owner can write to, one of another user, and one
// whose path others can lead elsewhere. Its error joins every fault, each a
// [*RosterError] that begins with FILE:LINE.
func LoadRoster(path string) (*Roster, error) {
	err := checkTrail(path, os.Geteuid())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // what opens it says so better
	}
	var b []byte
	if err == nil {
		b, err = readRegular(path, 0, maxRosterSize, func(info fs.FileInfo) error {
			if err := checkOwner(path, info, os.Geteuid()); err != nil {
				return err
			}
			return checkRosterMode(path, info, primaryGroup)
		})
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading roster: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading roster %s: %w", path, err)
	}
	return parseRoster(b, path)
}

// checkRosterMode refuses a roster to which others can add themselves: not one
// that its owner's own group can write to.
func checkRosterMode(path string, info fs.FileInfo, primary func(uid uint32) (gid uint32, ok bool)) error {
	who := writers(info, primary)
	if who == "" {
		return nil
	}
	return fmt.Errorf("%s can write to it (mode %04o), and so let themselves in: run chmod go-w %s", who, info.Mode().Perm(), path)
}

// WriteRoster puts the text of r under path as [WriteFileAtomic] does, and
// refuses a roster that could not be read back. The file keeps its
// permissions, a new one has 0644; a symbolic link stays one, and the file it
// points to is replaced.
func WriteRoster(path string, r *Roster) error {
	if err := r.Validate(); err != nil {
		return fmt.Errorf("writing roster %s: %w", path, err)
	}
	if err := checkTrail(path, os.Geteuid()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing roster %s: %w", path, err)
	}
	b := r.Append(nil)
	if len(b) > maxRosterSize {
		return fmt.Errorf("writing roster %s: it would be longer than %d bytes", path, maxRosterSize)
	}
	perm := fs.FileMode(0o644)
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil {
		perm = info.Mode().Perm()
	}
	return WriteFileAtomic(path, b, perm)
}
