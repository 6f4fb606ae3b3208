package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// operation is one call of a user, while the ring works on it. The loop never
// waits for whoever made it: each channel has a place for all that can come.
type operation struct {
	op     ring.Op
	done   chan ring.Result // one place
	upload chan ring.Upload // one place
	fetch  chan ring.Fetch  // one place
}

// operations are the calls that are under way.
type operations struct {
	mu   sync.Mutex
	last ring.Op
	open map[ring.Op]*operation
}

func (o *operations) begin() *operation {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last++
	p := &operation{op: o.last, done: make(chan ring.Result, 1),
		upload: make(chan ring.Upload, 1), fetch: make(chan ring.Fetch, 1)}
	o.open[p.op] = p
	return p
}

func (o *operations) end(op ring.Op) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.open, op)
}

// deliver is for the loop: it hands an action to the operation that it is
// for. It reports false if its user has gone.
func (o *operations) deliver(op ring.Op, act func(*operation)) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.open[op]
	if p == nil {
		return false
	}
	act(p)
	return true
}

// offer puts v in c if there is a place.
func offer[T any](c chan T, v T) bool {
	select {
	case c <- v:
		return true
	default: // the ring says one thing once; the first one counts
		return false
	}
}

// call begins an operation with the event that start makes of its number and
// waits for its result.
func (n *Node) call(ctx context.Context, start func(ring.Op) ring.Event) (ring.Result, error) {
	p := n.ops.begin()
	defer n.ops.end(p.op)
	if !n.post(happened{event: start(p.op)}) {
		return ring.Result{}, ErrClosed
	}
	return n.result(ctx, p)
}

// result waits for the end of an operation. If ctx ends first, the ring
// forgets it.
func (n *Node) result(ctx context.Context, p *operation) (ring.Result, error) {
	select {
	case r := <-p.done:
		return r, nil
	case <-ctx.Done():
		n.post(happened{event: ring.Cancel{Op: p.op}})
		return ring.Result{}, ctx.Err()
	case <-n.ctx.Done():
		select {
		case r := <-p.done: // as of a leave, which ends the node
			return r, nil
		default:
			return ring.Result{}, ErrClosed
		}
	}
}

// failure is the error of an outcome that is one.
func (n *Node) failure(name string, r ring.Result) error {
	b := n.members.book()
	switch r.Outcome {
	case ring.Succeeded, ring.Degraded:
		return nil
	case ring.NotFound:
		return &NotFoundError{Name: name}
	case ring.Taken:
		return &TakenError{Name: name, By: b.name(r.By), Steward: b.self.Steward}
	case ring.NotReady:
		return ErrNotReady
	case ring.OutOfHops:
		return ErrOutOfHops
	case ring.NoRoom:
		return fmt.Errorf("%q: %w", name, ErrNoSpace)
	case ring.Unreached:
		return errors.New("no answer")
	}
	return n.uncertain(name, r)
}

// uncertain says why nothing certain is known of name: silence, an answer that is
// neither yes nor no, and this machine's own failure are three things.
func (n *Node) uncertain(name string, r ring.Result) error {
	e := &UnavailableError{Name: name}
	unsent := n.unsent()
	for _, id := range r.Silent {
		why := unsent[id]
		if i := slices.IndexFunc(r.Declined, func(d ring.Declined) bool { return d.Peer == id }); i >= 0 {
			why = n.declined(id, r.Declined[i].Code)
		}
		n.lacks(e, id, why)
	}
	return e
}

// declined is the error of a member's answer, or row, that is neither yes nor no.
// Of this peer's own disk it is what the disk said.
func (n *Node) declined(id wire.ID, code wire.Code) error {
	var own error
	switch {
	case id != n.self:
	case code == wire.CodeUnreadable:
		own = n.ownDisk()
	default:
		own = cmp.Or(n.short.now(), n.disk.reason())
	}
	return cmp.Or(own, error(&refusalError{code}))
}

// refusals are the members that did not take what a put or remove stored on fewer
// disks than wanted, and why, but for those that the upload knows more of.
func (n *Node) refusals(r ring.Result, but map[wire.ID]error) *UnavailableError {
	e := &UnavailableError{}
	for _, d := range r.Declined {
		if _, known := but[d.Peer]; !known {
			n.lacks(e, d.Peer, n.declined(d.Peer, d.Code))
		}
	}
	return e
}

// ownDisk returns why this peer could not read its own disk when it last looked
// a name up; nil: it could.
func (n *Node) ownDisk() error {
	if err := n.unread.Load(); err != nil {
		return *err
	}
	return nil
}

func checkName(name string) error {
	if err := wire.CheckName(name); err != nil {
		return &NameError{Name: name, Err: err}
	}
	return nil
}

// Put stores what body gives, up to its io.EOF, as the next version of name,
// on as many peers as the roster wants. It reads body in the caller's
// goroutine, once, and holds a few MiB of it, whatever its size. A put that
// returns an error may still have stored the file somewhere; the bytes never
// appear in part.
func (n *Node) Put(ctx context.Context, name string, body io.Reader, opt PutOptions) (PutResult, error) {
	if err := checkName(name); err != nil {
		return PutResult{}, err
	}
	switch {
	case opt.Size > wire.MaxSize:
		return PutResult{}, errTooLarge
	case opt.Size < 0 || opt.Mode > wire.MaxMode:
		return PutResult{}, fmt.Errorf("putting %q: size or mode is out of range", name)
	}
	p := n.ops.begin()
	defer n.ops.end(p.op)
	opt.Progress.begins(n, p.op)
	if !n.post(happened{event: ring.Put{Op: p.op, Name: name}}) {
		return PutResult{}, ErrClosed
	}
	select {
	case a := <-p.upload:
		same, u, err := n.upload(ctx, a, name, body, opt)
		if err != nil {
			n.post(happened{event: ring.Cancel{Op: p.op}})
			return PutResult{}, err
		}
		r, err := n.result(ctx, p)
		result, err := n.putResult(name, r, same, err)
		result.Slow = n.members.book().names(u.slow)
		if len(result.Copies) < result.Wanted {
			e := u.because(n.refusals(r, u.why))
			result.Lacks, result.Own = e.Lacks, e.ours()
		}
		return result, u.explain(err)
	case r := <-p.done:
		return n.putResult(name, r, false, nil)
	case <-ctx.Done():
		n.post(happened{event: ring.Cancel{Op: p.op}})
		return PutResult{}, ctx.Err()
	case <-n.ctx.Done():
		return PutResult{}, ErrClosed
	}
}

// upload moves the bytes of a put. It returns when every target has ended, and
// how that was.
func (n *Node) upload(ctx context.Context, a ring.Upload, name string, body io.Reader, opt PutOptions) (same bool, _ *upload, err error) {
	user := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	u := n.newUpload(ctx, a, name, opt.Size)
	opt.Progress.puts(u)
	hash, err := u.stream(ctx, body)
	if err != nil {
		cancel()
		u.finish(nil)
		switch {
		case user.Err() != nil: // all targets end with it, which is not why
			return false, nil, user.Err()
		case err != errNoTarget:
			return false, nil, err
		case u.noSpace():
			return false, nil, fmt.Errorf("%q: %w", name, ErrNoSpace)
		}
		return false, nil, u.because(&UnavailableError{Name: name})
	}
	m, same := n.sealed(a, name, hash, opt)
	n.post(happened{event: ring.Sealed{Op: a.Op, Manifest: m}})
	u.finish(&m)
	return same, u, nil
}

func (n *Node) putResult(name string, r ring.Result, same bool, err error) (PutResult, error) {
	if err == nil {
		err = n.failure(name, r)
	}
	if err != nil {
		return PutResult{}, err
	}
	sum, b := r.Manifest.Sum(), n.members.book()
	put := PutResult{Name: name, Version: r.Manifest.Version, Size: int64(r.Manifest.Size), Sum: fmt.Sprintf("%x", sum),
		Copies: b.names(r.Copies), Wanted: r.Wanted, Same: same,
		Newer: r.Newer.Version, NewerRemoved: r.Newer.Flags&wire.Tombstone != 0}
	if len(r.Copies) < r.Wanted {
		put.Missing = b.names(r.Silent)
	}
	if len(r.Blind) > 0 && !same {
		put.Above = b.names(r.Blind)
	}
	return put, nil
}

// Remove makes a tombstone for name: the next version, which says removed.
// progress may be nil.
func (n *Node) Remove(ctx context.Context, name string, progress *Progress) (PutResult, error) {
	if err := checkName(name); err != nil {
		return PutResult{}, err
	}
	steward := n.members.book().self.Steward
	r, err := n.call(ctx, func(op ring.Op) ring.Event {
		progress.begins(n, op)
		return ring.Remove{Op: op, Name: name, Made: nanos(time.Now()), Steward: steward}
	})
	result, err := n.putResult(name, r, false, err)
	if len(result.Copies) < result.Wanted {
		e := n.refusals(r, nil)
		result.Lacks, result.Own = e.Lacks, e.ours()
	}
	return result, err
}

// File is a file that was found and whose bytes can be had.
type File struct {
	Info      FileInfo
	OneAnswer bool     // a single holder said that this is the newest version
	AlsoBy    []string // other writers with a live file of the name
	Claimed   []Claim  // newer versions that were shown, and can't be had now

	node *Node
	ctx  context.Context
	get  ring.Choice
	used bool
	from wire.ID

	progress *Progress // or nil
}

// Get finds the newest version of name whose bytes somebody has. They come with
// [File.WriteTo].
func (n *Node) Get(ctx context.Context, name string, opt GetOptions) (*File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	ev := ring.Get{Name: name}
	if opt.By != "" {
		m, ok := n.members.book().ByName(opt.By)
		if !ok {
			return nil, &PeerError{Peer: opt.By, Err: ErrNoSuchMember}
		}
		ev.By, ev.HasBy = m.ID, true
	}
	p := n.ops.begin()
	defer n.ops.end(p.op)
	ev.Op = p.op
	opt.Progress.begins(n, p.op)
	if !n.post(happened{event: ev}) {
		return nil, ErrClosed
	}
	select {
	case a := <-p.fetch:
		return n.found(ctx, a, opt.Progress)
	case r := <-p.done:
		if err := n.failure(name, r); err != nil {
			return nil, err
		}
		return nil, n.uncertain(name, r)
	case <-ctx.Done():
		n.post(happened{event: ring.Cancel{Op: p.op}})
		return nil, ctx.Err()
	case <-n.ctx.Done():
		return nil, ErrClosed
	}
}

// found makes a File of the first choice whose bytes somebody has: the newest
// version may be one that its writer only claims to have stored.
func (n *Node) found(ctx context.Context, a ring.Fetch, p *Progress) (*File, error) {
	choices := n.credible(append([]ring.Choice{{Manifest: a.Manifest, Sources: a.Sources}}, a.Others...))
	i := n.first(ctx, choices, p)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b := n.members.book()
	m := choices[i].Manifest
	f := &File{Info: b.info(m), OneAnswer: a.OneAnswer, AlsoBy: []string{}, Claimed: b.claimed(choices, m),
		node: n, ctx: ctx, get: choices[i], from: n.self, progress: p}
	for _, c := range choices {
		if by := b.name(c.Manifest.Writer); c.Manifest.Writer != m.Writer && !slices.Contains(f.AlsoBy, by) {
			f.AlsoBy = append(f.AlsoBy, by)
		}
	}
	f.Info.AlsoBy = f.AlsoBy
	if len(f.get.Sources) > 0 {
		f.from = f.get.Sources[0]
	}
	return f, nil
}

var errUsed = errors.New("the bytes of this file were fetched already")

// WriteTo writes the bytes to w, each block of 1 MiB after it was checked. If
// a holder dies or lies another one goes on; w sees nothing of it. It works
// once, in the caller's goroutine, until the context of Get ends. After an
// error w has the beginning of the file and no wrong byte.
func (f *File) WriteTo(w io.Writer) (int64, error) {
	if f.used {
		return 0, errUsed
	}
	f.used = true
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	defer context.AfterFunc(f.node.ctx, cancel)()
	sink := &userSink{w: w}
	fetch := f.node.newFetch(f.get.Manifest, f.get.Sources, sink)
	fetch.begun = func(from wire.ID) { f.moving(from, ring.Receiving) }
	fetch.more = f.holders
	f.progress.gets(fetch)
	err := fetch.run(ctx)
	f.from = fetch.from
	switch {
	case err == nil:
		f.moving(fetch.from, ring.Got)
	case f.node.ctx.Err() != nil:
		err = ErrClosed
	}
	if fetch.healed() {
		f.node.heal(f.get.Manifest, f.get.Sources)
	}
	var none *UnavailableError
	var wrong *IntegrityError
	if errors.As(err, &none) || errors.As(err, &wrong) {
		f.node.lost([]ring.Choice{f.get}) // the next get asks for it last
	}
	return sink.n, err
}

// holders asks again who has this version: not everybody had answered when it
// was found.
func (f *File) holders(ctx context.Context) []wire.ID {
	return f.node.holdersOf(ctx, f.progress, f.Info.Name, f.get.Manifest.Sum())
}

// holdersOf asks who has a version, all that may. p is of the get that wants to
// know, or nil.
func (n *Node) holdersOf(ctx context.Context, p *Progress, name string, sum wire.Sum) (ids []wire.ID) {
	r, err := n.call(ctx, func(op ring.Op) ring.Event {
		p.begins(n, op)
		return ring.Stat{Op: op, Name: name}
	})
	if err != nil {
		return nil // ctx ends, or the node: the fetch says so
	}
	for _, found := range r.Found {
		if slices.ContainsFunc(found.Manifests, func(m wire.Manifest) bool { return m.Sum() == sum }) {
			ids = append(ids, found.Peer)
		}
	}
	return ids
}

func (f *File) moving(from wire.ID, phase ring.Phase) {
	f.node.post(happened{event: ring.Moving{Peer: from, Name: f.Info.Name, Phase: phase}})
}

// From is the member who gave the last bytes; before WriteTo, who is asked
// first.
func (f *File) From() string { return f.node.members.book().name(f.from) }

// Close forgets the file. It may be called at any time, or not at all.
func (f *File) Close() error {
	f.used = true
	return nil
}

// info describes a manifest.
func (b *book) info(m wire.Manifest) FileInfo {
	f := FileInfo{Name: m.Name, Size: int64(m.Size), Version: m.Version, Writer: b.name(m.Writer), Signer: b.name(m.Signer),
		Mode: m.Mode, Mtime: time.Unix(0, m.Mtime), Made: time.Unix(0, m.Made), Sum: fmt.Sprintf("%x", m.Sum()), Removed: m.Flags&wire.Tombstone != 0}
	if m.Prior != (wire.Sum{}) {
		f.Prior = fmt.Sprintf("%x", m.Prior)
	}
	return f
}

// Stat says which versions of name there are, and on whose disks.
func (n *Node) Stat(ctx context.Context, name string) (StatResult, error) {
	if err := checkName(name); err != nil {
		return StatResult{}, err
	}
	r, err := n.call(ctx, func(op ring.Op) ring.Event { return ring.Stat{Op: op, Name: name} })
	if err == nil {
		err = n.failure(name, r)
	}
	if err != nil {
		return StatResult{}, err
	}
	b, unsent := n.members.book(), map[wire.ID]error(nil)
	if len(r.Silent) > 0 {
		unsent = n.unsent()
	}
	s := StatResult{Name: name, Key: wire.KeyOf(b.Space, name), Holders: []HolderStat{}}
	var all []wire.Manifest
	for _, f := range r.Found {
		h := HolderStat{Peer: b.name(f.Peer), Home: f.Home, Versions: []FileInfo{}}
		switch why := unsent[f.Peer]; {
		case f.Peer == n.self && f.Code == wire.CodeUnreadable && n.ownDisk() != nil:
			h.Reason, h.Own = Unreadable, fmt.Sprintf("this peer cannot read its own disk: %v", inShort(n.ownDisk()))
		case f.Silent && why != nil:
			h.Reason, h.Own = Unsent, fmt.Sprintf("%s: %v", Unsent.Says("it"), why)
		case f.Silent:
			h.Reason = Silent
		case f.Code != wire.CodeOK:
			h.Reason = reasonOf(f.Code)
		}
		h.Silent, h.Behind = f.Silent, h.Reason == CatchingUp
		for _, m := range f.Manifests {
			h.Versions = append(h.Versions, b.info(m))
		}
		all = append(all, f.Manifests...)
		s.Holders = append(s.Holders, h)
	}
	s.Newest = newestInfo(b, all)
	s.OnlyBy = onlyBy(s)
	return s, nil
}

// onlyBy is who alone shows the newest version, if a home holder could say no to
// it, or "".
func onlyBy(s StatResult) (peer string) {
	if s.Newest == nil {
		return ""
	}
	denied := false
	for _, h := range s.Holders {
		switch shows := slices.ContainsFunc(h.Versions, func(f FileInfo) bool { return f.Sum == s.Newest.Sum }); {
		case shows && peer != "":
			return ""
		case shows:
			peer = h.Peer
		case h.Home && h.Reason == "":
			denied = true
		}
	}
	if !denied {
		return ""
	}
	return peer
}

// newestInfo is the newest live version of one name, with the other writers
// of it, or the tombstone if nothing else is left, or nil.
func newestInfo(b *book, ms []wire.Manifest) *FileInfo {
	byWriter := make(map[wire.ID]wire.Manifest)
	for _, m := range ms {
		if o, ok := byWriter[m.Writer]; !ok || m.Newer(o) {
			byWriter[m.Writer] = m
		}
	}
	var live, dead []wire.Manifest
	for _, m := range byWriter {
		if m.Flags&wire.Tombstone == 0 {
			live = append(live, m)
		} else {
			dead = append(dead, m)
		}
	}
	slices.SortFunc(live, newestFirst)
	slices.SortFunc(dead, newestFirst)
	all := append(live, dead...)
	if len(all) == 0 {
		return nil
	}
	info := b.info(all[0])
	for _, m := range live[min(1, len(live)):] {
		info.AlsoBy = append(info.AlsoBy, b.name(m.Writer))
	}
	return &info
}

// Ping pings a member once and says how long its ack took.
func (n *Node) Ping(ctx context.Context, member string) (time.Duration, error) {
	m, ok := n.members.book().ByName(member)
	if !ok {
		return 0, &PeerError{Peer: member, Err: ErrNoSuchMember}
	}
	if m.ID == n.self {
		return 0, nil
	}
	r, err := n.call(ctx, func(op ring.Op) ring.Event { return ring.Probe{Op: op, Peer: m.ID} })
	if err == nil {
		err = n.failure("", r)
	}
	if r.Outcome == ring.Unreached {
		if why := n.unsent()[m.ID]; why != nil {
			err = fmt.Errorf("this peer could not ask it: %w", why)
		}
	}
	if err != nil {
		return 0, &PeerError{Peer: member, Err: err}
	}
	return r.RTT, nil
}

// Lookup says who answers for name, and over whom the question went.
func (n *Node) Lookup(ctx context.Context, name string) (LookupResult, error) {
	if err := checkName(name); err != nil {
		return LookupResult{}, err
	}
	r, err := n.call(ctx, func(op ring.Op) ring.Event { return ring.Lookup{Op: op, Name: name} })
	if err == nil {
		err = n.failure(name, r)
	}
	if err != nil {
		return LookupResult{}, err
	}
	b := n.members.book()
	return LookupResult{Name: name, Key: wire.KeyOf(b.Space, name), Owner: b.name(r.Owner),
		Holders: b.names(r.Holders), Path: b.names(r.Path)}, nil
}

// Leave gives every version to those who should have it, and ends Run when
// they have confirmed. The error is *LeaveError if some do not yet; the peer
// then goes on trying.
func (n *Node) Leave(ctx context.Context) error {
	r, err := n.call(ctx, func(op ring.Op) ring.Event { return ring.Leave{Op: op} })
	if err != nil {
		return err
	}
	if r.Outcome == ring.StillHolding {
		return n.stillHolding(ctx, r.Silent)
	}
	return n.failure("", r)
}

// stillHolding says why members keep this peer from leaving.
func (n *Node) stillHolding(ctx context.Context, waits []wire.ID) error {
	status, err := n.Status(ctx)
	if err != nil {
		return err
	}
	e, unsent := &LeaveError{}, n.unsent()
	for _, p := range status.Peers {
		if !slices.Contains(waits, p.ID) {
			continue
		}
		reason := ReasonOf(p.State, p.Why)
		if reason == Unsent {
			e.Why.Unsent = unsent[p.ID]
		}
		e.Why.Lacks = append(e.Why.Lacks, Lack{p.Name, reason})
	}
	return e
}

// forgetters is how many peers must say that a member will not come back, if
// there are two in the ring.
const forgetters = 2

// Forget says, with the operator's word, that a member will not come back. When
// enough peers have said so it is gone, whatever the grace and in a cut, too: the
// others make the copies that it had, each when it has itself not reached it for
// the grace. It undoes nothing for good: the member may come back. The
// error is a *PeerError with ErrNoSuchMember, ErrNeverSeen or ErrStillThere if
// nothing was said.
func (n *Node) Forget(ctx context.Context, member string) (ForgetResult, error) {
	b := n.members.book()
	m, ok := b.ByName(member)
	if !ok {
		return ForgetResult{}, &PeerError{Peer: member, Err: ErrNoSuchMember}
	}
	r, err := n.call(ctx, func(op ring.Op) ring.Event { return ring.Forget{Op: op, Member: m.ID} })
	if err != nil {
		return ForgetResult{}, err
	}
	result := ForgetResult{Peer: m.Name, Said: b.names(r.Copies), Needed: forgetters}
	switch r.Outcome {
	case ring.Succeeded:
		result.Gone, result.Needed = true, min(forgetters, len(r.Copies))
	case ring.NeedsAnother:
	case ring.StillThere:
		return ForgetResult{}, &PeerError{Peer: member, Err: ErrStillThere}
	case ring.NotFound:
		return ForgetResult{}, &PeerError{Peer: member, Err: ErrNeverSeen}
	default:
		return ForgetResult{}, n.failure(member, r)
	}
	return result, nil
}
