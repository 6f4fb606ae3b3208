package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"time"

	"securepeer/internal/store"
	"securepeer/ring"
	"securepeer/wire"
)

// Implementation constants.
const (
	// incarnationStep is how many incarnations one write to disk reserves, so
	// that a peer whose disk is stuck can still say so, and most changes of
	// its row cost no sync.
	incarnationStep = 64
	// fullBelow and wellAbove are the free bytes between which the disk stays
	// what it was: full or not.
	fullBelow = 16 << 20
	wellAbove = 32 << 20
	// measureEach is how often the free space is asked for.
	measureEach = 5 * time.Second
	// fullHold is how long a disk counts as full after a write that found no
	// room, whatever space there seems to be: a quota, or inodes, may have run
	// out.
	fullHold = 30 * time.Second
	// illHold is how long a disk counts as failing after an error that lasts;
	// then a write and a reading of its folders say whether it still does.
	illHold = 30 * time.Second
	// persistAgain is how long after a failed write of the state the next try
	// is.
	persistAgain = time.Second

	stateIncarnation = "incarnation"
	stateView        = "view"
	stateProbe       = "probe" // empty: that it could be written is all

	savedRow = 91 // bytes of a row, as wire encodes it
)

// disk is the store, and what this peer knows of its health.
type disk struct {
	*store.Store
	index  index
	log    *slog.Logger
	short  *shortage
	unread unread
	may    func(wire.Manifest) bool // whether others believe its signer, by writer, signer and flags; asked of what is on the disk from any earlier roster

	mu       sync.Mutex
	state    wire.State       // Active, Full or Stuck
	last     wire.Incarnation // no earlier run spoke a later one
	reserved wire.Incarnation // on disk: this run speaks none above it
	spoken   wire.Incarnation // the last that persist let pass
	refused  time.Time        // when a write last found no room
	ill      error            // why the disk fails, if it does though no sync has failed
	since    time.Time        // when that was last seen
	changed  chan struct{}    // one place: there is news of state
}

// openDisk opens the data folder and reads what an earlier run left.
func openDisk(s *store.Store, log *slog.Logger, may func(wire.Manifest) bool) (*disk, error) {
	d := &disk{Store: s, log: log, may: may, state: wire.Active, changed: make(chan struct{}, 1)}
	b, err := s.ReadState(stateIncarnation)
	switch {
	case err == nil && len(b) == 8:
		d.last = wire.Incarnation(binary.BigEndian.Uint64(b))
	case err == nil || errors.Is(err, store.ErrDamaged):
		// The others still know a higher one, and this peer goes above it as
		// soon as it is shown its own row.
		log.Warn("incarnation on disk is damaged, starting below it")
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	d.reserved = d.last
	// Now, and not when the ring asks: the first handshake says an incarnation
	// of this run.
	if err := d.persist(d.last + 1); err != nil {
		return nil, err
	}
	d.measure()
	return d, nil
}

// persist makes sure that incarnation i is on disk. A disk that is full or
// stuck must not keep the peer from saying so: then it goes on without. After
// a restart it is shown its own row and goes above it.
func (d *disk) persist(i wire.Incarnation) error {
	if d.pass(i, 0) {
		return nil
	}
	next := i + incarnationStep
	err := d.WriteState(stateIncarnation, binary.BigEndian.AppendUint64(nil, uint64(next)))
	if d.failed(err); errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrStuck) || lasting(err) {
		d.log.Error("incarnation is not on disk, going on without", "error", err)
		err = nil
	}
	if err == nil {
		d.pass(i, next)
	}
	return err
}

// pass lets incarnation i be spoken if it is reserved, now up to reserve.
func (d *disk) pass(i, reserve wire.Incarnation) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reserved = max(d.reserved, reserve)
	if i <= d.reserved {
		d.spoken = max(d.spoken, i)
	}
	return i <= d.reserved
}

// persisted is the incarnation that may be spoken.
func (d *disk) persisted() wire.Incarnation {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.spoken
}

// saveView writes the rows; a start without them only knows less.
func (d *disk) saveView(rows []wire.Row) {
	b := make([]byte, 0, len(rows)*savedRow)
	for _, r := range rows {
		b = r.Append(b)
	}
	if err := d.WriteState(stateView, b); err != nil {
		d.failed(err)
		d.log.Warn("view is not saved", "error", err)
	}
}

// savedView reads them back; each is verified as if it had come over a link.
func (d *disk) savedView(b *book, v *verifier) ([]wire.Row, error) {
	data, err := d.ReadState(stateView)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) { // or damaged: the others know
			return nil, nil
		}
		return nil, err
	}
	var rows []wire.Row
	for chunk := range slices.Chunk(data, savedRow) {
		// As a message, so that there is one parser; each alone, so that one that
		// no longer holds takes none of the others with it.
		body := binary.BigEndian.AppendUint16(nil, 1)
		body = append(append(body, chunk...), 0, 0)
		msg, err := wire.Parse(wire.TypeRows, body)
		if err != nil {
			return nil, fmt.Errorf("parsing saved view: %w", err)
		}
		if msg, err = v.message(b, msg, nil); err != nil {
			continue // of a member whose key is another one now
		}
		rows = append(rows, msg.(wire.Rows).Rows...)
	}
	return rows, nil
}

// saveAddresses writes the address book; a start without it asks the name
// server.
func (d *disk) saveAddresses(text []byte) {
	if err := d.WriteState(stateAddresses, text); err != nil {
		d.failed(err)
		d.log.Warn("addresses are not saved", "error", err)
	}
}

// savedAddresses reads it back: nothing, if it is not there or damaged.
func (d *disk) savedAddresses() []byte {
	text, err := d.ReadState(stateAddresses)
	if err != nil {
		return nil
	}
	return text
}

// failed looks at an error of the store for news of the disk's health.
func (d *disk) failed(err error) {
	d.short.note(err)
	switch {
	case errors.Is(err, store.ErrStuck):
		d.become(wire.Stuck)
	case errors.Is(err, store.ErrFull):
		d.mu.Lock()
		d.refused = time.Now()
		d.mu.Unlock()
		d.become(wire.Full)
	case lasting(err):
		d.mu.Lock()
		d.ill, d.since = err, time.Now()
		d.mu.Unlock()
		d.become(wire.Stuck)
	}
}

// lasting reports whether err is one of a disk that the next try meets again,
// in reading as in writing: it was mounted read-only, fails, or has gone. To have
// no descriptors or memory left is this process's own fault, and none of it.
func lasting(err error) bool {
	return slices.ContainsFunc([]error{syscall.EROFS, syscall.EIO, syscall.ENODEV, syscall.ENXIO, syscall.ESTALE,
		syscall.ENOTCONN, syscall.EACCES, syscall.EPERM}, func(e error) bool { return errors.Is(err, e) })
}

// works reports whether a disk that failed does no longer. Nothing was written
// to it that a later sync could wrongly confirm: that is what ErrStuck is for.
func (d *disk) works() bool {
	d.mu.Lock()
	ill, since := d.ill, d.since
	d.mu.Unlock()
	if ill == nil {
		return true
	}
	if time.Since(since) < illHold {
		return false
	}
	err := d.WriteState(stateProbe, nil)
	if err == nil {
		err = d.List(0, 0, func(store.Entry) bool { return true })
	}
	if err != nil {
		d.failed(err)
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ill, d.state = nil, wire.Full // until the free space is known
	offer(d.changed, struct{}{})
	d.log.Warn("the disk works again", "after", ill)
	return true
}

// reason is why the disk takes no writes; nil: it does.
func (d *disk) reason() error {
	if err := d.Stuck(); err != nil {
		return fmt.Errorf("%w: start this machine again; or stop the peer, mount its file system anew, and give start --disk-mounted-anew", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.ill != nil:
		return fmt.Errorf("the disk fails: %w", d.ill)
	case d.state == wire.Full && d.NoInodes():
		return errors.New("disk is full: no inode is left on it: df -i shows how many files it can hold")
	case d.state == wire.Full:
		return errors.New("disk is full")
	}
	return nil
}

// measure asks for the free space.
func (d *disk) measure() {
	if d.Stuck() != nil {
		d.become(wire.Stuck)
		return
	}
	if !d.works() {
		return
	}
	usage, err := d.Usage()
	switch {
	case err != nil:
		d.failed(err)
		d.log.Warn("free space is not known", "error", err)
	case usage.Free < fullBelow:
		d.become(wire.Full)
	case usage.Free > wellAbove:
		d.become(wire.Active)
	}
}

// become notes a state; a stuck disk stays so until this machine is started
// again, or until it works.
func (d *disk) become(s wire.State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state == s || d.state == wire.Stuck || s == wire.Active && time.Since(d.refused) < fullHold {
		return
	}
	d.state = s
	select {
	case d.changed <- struct{}{}:
	default: // there is news already; whoever takes it asks for the state
	}
}

func (d *disk) health() wire.State {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

// code is what the other side is told of an error of the store.
func (d *disk) code(err error) wire.Code {
	d.failed(err)
	switch {
	case err == nil:
		return wire.CodeOK
	case errors.Is(err, store.ErrFull):
		return wire.CodeFull
	case errors.Is(err, store.ErrStuck), lasting(err):
		return wire.CodeStuck
	case errors.Is(err, store.ErrNotFound):
		return wire.CodeNotFound
	case errors.Is(err, store.ErrSize):
		return wire.CodeInvalid
	}
	d.log.Error("disk", "error", err)
	return wire.CodeBusy
}

// readCode is what the other side is told of a read that failed. Stuck is said
// of writes alone, Busy of limits that are not the disk's.
func (d *disk) readCode(err error) wire.Code {
	if code := d.code(err); code != wire.CodeStuck && code != wire.CodeBusy {
		return code
	}
	return wire.CodeUnreadable
}

// retry tries again one of the versions that could not be read, so that what was
// mended, or deleted, is no longer said to be so.
func (d *disk) retry() {
	e, ok := d.unread.any()
	if !ok {
		return
	}
	if here, err := d.Find(e.Version); errors.Is(err, store.ErrNotFound) || err == nil && here != e {
		d.unread.note(e, nil)
		return
	}
	d.manifest(e) // notes how it went
}

// room says whether size bytes would fit. That they do not is no news of the
// disk's health: anybody may name a size, and it must not make a peer full.
func (d *disk) room(size int64) wire.Code {
	usage, err := d.Usage()
	switch {
	case err != nil:
		return d.code(err)
	case size > store.MaxSize:
		return wire.CodeInvalid
	case size > usage.Free:
		return wire.CodeFull
	}
	return wire.CodeOK
}

// look returns the newest version of name by each writer, at most
// wire.MaxManifests, the newest first, and how many versions were read for it.
// With an error it returns what it could read, and what is missing means nothing.
func (d *disk) look(space wire.Space, name string) (ms []wire.Manifest, read int, err error) {
	return d.lookAt(uint64(wire.KeyOf(space, name)), name)
}

// lookAt is look for a name with that key. It opens what it returns and no other
// version, however many there are (R22). One that turns out to be damaged is not
// there: then the names without it say which one is the newest.
func (d *disk) lookAt(key uint64, name string) (newest []wire.Manifest, read int, unread error) {
	missing := make(map[store.Entry]bool)
	for whole := false; !whole; {
		entries, err := d.newest(key, name, missing)
		if err != nil {
			return nil, read, err
		}
		newest, unread, whole = make([]wire.Manifest, 0, len(entries)), nil, true
		for _, e := range entries {
			read++
			m, err := d.manifest(e)
			switch {
			case errors.Is(err, store.ErrNotFound):
				missing[e], whole = true, false
			case err != nil:
				unread = err
			default:
				newest = append(newest, m)
			}
		}
	}
	return newest, read, unread
}

// newest returns what the names of files say of the newest version of each
// writer of that name, the newest first, at most wire.MaxManifests. Those that
// are missing do not count, nor those whose signers others do not believe: the
// newest that they do may be one below.
func (d *disk) newest(key uint64, name string, missing map[store.Entry]bool) ([]store.Entry, error) {
	var newest []store.Entry
	writers := make(map[uint16]int) // where each is in newest
	hash := wire.NameHash(name)
	err := d.Each(key, func(e store.Entry) {
		if e.Name != [16]byte(hash[:]) { // of the same key
			return
		}
		i, known := writers[e.Writer]
		switch {
		case known && !newerEntry(e, newest[i]):
		case !d.may(signed(e)) || missing[e]:
		case known:
			newest[i] = e
		default:
			writers[e.Writer] = len(newest)
			newest = append(newest, e)
		}
	})
	slices.SortFunc(newest, func(a, b store.Entry) int {
		switch {
		case newerEntry(a, b):
			return -1
		case newerEntry(b, a):
			return 1
		}
		return 0
	})
	return newest[:min(len(newest), wire.MaxManifests)], err
}

// newerEntry is wire.Manifest.Newer, of the names of two files.
func newerEntry(a, b store.Entry) bool {
	removedA, removedB := a.Flags&uint8(wire.Tombstone), b.Flags&uint8(wire.Tombstone)
	switch {
	case a.Number != b.Number:
		return a.Number > b.Number
	case removedA != removedB:
		return removedA > removedB
	}
	return bytes.Compare(a.Sum[:], b.Sum[:]) > 0
}

func newestFirst(a, b wire.Manifest) int {
	switch {
	case a.Newer(b):
		return -1
	case b.Newer(a):
		return 1
	}
	return 0
}

// listed answers a List: the newest manifest of each writer of each name, as
// many whole names as fit, and how many versions were read for it. A name whose
// newest version cannot be read is left out and counted (R27); if that is all
// there is, or more than maxUnread, or there are no descriptors left, it is the
// disk, or this process, that fails.
func (d *disk) listed(prefix, after string) (m wire.Listed, read int, err error) {
	if err := d.index.build(d); err != nil {
		return m, 0, err
	}
	first, unknown := after == "", 0
	if first {
		unknown = d.index.retry(d)
	}
	failed, before, last := 0, 0, error(nil)
	for m.More = true; m.More && len(m.Manifests) == 0; { // again, if all of them were damaged
		var names []indexed
		names, m.More = d.index.after(prefix, after, wire.MaxListed)
		for _, n := range names {
			found, k, err := d.lookAt(n.key, n.name)
			read += k
			if len(m.Manifests)+len(found) > wire.MaxListed {
				m.More = true
				break
			}
			if err != nil {
				d.failed(err)
				failed, last = failed+1, err
			}
			if err != nil && (Remedy(err) != "" || failed > maxUnread) {
				return wire.Listed{}, read, err
			}
			m.Manifests, after = append(m.Manifests, found...), n.name
			if len(found) > 0 {
				before = failed
			}
		}
	}
	switch {
	case first && len(m.Manifests) == 0 && last != nil:
		return wire.Listed{}, read, last
	case m.More:
		failed = before // the next part begins behind the last of these
	}
	m.Unread = uint16(unknown + failed)
	return m, read, nil
}

// scan answers a ring.Scan.
func (d *disk) scan(a ring.Scan) (ring.Scanned, error) {
	result := ring.Scanned{Scan: a.Scan}
	after := store.Version{Key: uint64(a.After.Key), Sum: a.After.Sum}
	from := uint64(1<<64 - 1) // an arc from the last position to itself is the whole ring, from 0
	if !a.First && after.Key > 0 {
		from = after.Key - 1
	}
	err := d.List(from, 1<<64-1, func(v store.Entry) bool {
		if !a.First && v.Key == after.Key && slices.Compare(v.Sum[:], after.Sum[:]) <= 0 {
			return true
		}
		if len(result.Versions) == a.Limit {
			result.More = true
			return false
		}
		result.Versions = append(result.Versions, ring.Version{Key: wire.Pos(v.Key), Sum: v.Sum})
		return true
	})
	return result, err
}

// flagExpires is in the flags of a file's name, beside those of the manifest and
// store.FlagApart, of a version that expires.
const flagExpires = 0x80

// labelsOf is what the name of a version's file says, for readManifest to hold
// the file to.
func labelsOf(m wire.Manifest) store.Labels {
	hash := wire.NameHash(m.Name)
	l := store.Labels{Name: [16]byte(hash[:]), Number: m.Version, Writer: uint16(m.Writer), Signer: uint16(m.Signer), Flags: uint8(m.Flags)}
	if m.Expires != 0 {
		l.Flags |= flagExpires
	}
	if m.Size > store.BlockSize {
		l.Flags |= store.FlagApart
	}
	return l
}

// signed is the part of a manifest that says who may have signed it.
func signed(e store.Entry) wire.Manifest {
	return wire.Manifest{Writer: wire.ID(e.Writer), Signer: wire.ID(e.Signer), Flags: wire.Flags(e.Flags) & wire.Tombstone}
}

// manifest is readManifest of a version on this disk, and notes what cannot be read.
func (d *disk) manifest(e store.Entry) (wire.Manifest, error) {
	m, err := readManifest(d.Store, e)
	d.unread.note(e, err)
	return m, err
}

// readManifest opens a version for its manifest alone. The error is
// store.ErrNotFound only if there is no such version: none, or a damaged one,
// which is no longer under its name then.
func readManifest(s *store.Store, e store.Entry) (wire.Manifest, error) {
	manifest, err := s.Manifest(e)
	if err != nil {
		return wire.Manifest{}, err
	}
	m, err := wire.ParseManifest(manifest)
	if err == nil && labelsOf(m) == e.Labels {
		return m, nil
	}
	if err := s.Reject(e); err != nil && !errors.Is(err, store.ErrNotFound) {
		return m, err
	}
	return m, fmt.Errorf("manifest is not what its file's name says: %w", store.ErrDamaged)
}

// versionOf is where the store keeps a manifest's bytes.
func versionOf(space wire.Space, m wire.Manifest) store.Version {
	return store.Version{Key: uint64(wire.KeyOf(space, m.Name)), Sum: m.Sum()}
}

// adopt makes a version of bytes that are here under the same key and lie apart,
// and reports whether there are any: nothing is fetched for them.
func (d *disk) adopt(space wire.Space, m wire.Manifest) (wire.Code, bool) {
	key := uint64(wire.KeyOf(space, m.Name))
	_, err := d.Adopt(key, labelsOf(m), m.Blocks, int64(m.Size), m.Append(nil))
	if errors.Is(err, store.ErrNotFound) {
		return wire.CodeOK, false
	}
	if err == nil {
		d.named(m.Name, key)
	}
	return d.code(err), true
}

// commit makes what w took a version, and says how that went as a code.
func (d *disk) commit(w *store.Writer, space wire.Space, m wire.Manifest) wire.Code {
	key := uint64(wire.KeyOf(space, m.Name))
	_, err := w.Commit(key, labelsOf(m), m.Append(nil))
	if err == nil {
		d.named(m.Name, key)
	}
	return d.code(err)
}

// named notes that there is a version of that name, in the index and in the cache
// of the next run.
func (d *disk) named(name string, key uint64) {
	if d.index.add(indexed{name, key}) {
		d.AddNames(slices.Values([]string{name}))
	}
}
