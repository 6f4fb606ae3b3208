package sim

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// Host is the machine of one member: its disk, and its process if one runs.
type Host struct {
	ID      wire.ID
	Notices []Noticed // of all its processes, oldest first
	Failed  error     // why the last process that ended by itself did

	world   *World
	roster  roster
	disk    disk
	process *process  // nil: none runs
	started int       // processes so far
	retired bool      // down for good, by a plan
	wiped   ring.Time // when its disk was lost last
	dark    bool      // without power: not even its kernel answers
	lies    Lies
	liar    bool             // has lied
	flood   int              // rows that a liar has yet to send
	raised  wire.Incarnation // by how much it has raised its own
	heard   []wire.Rows      // for a liar to replay
	member  ring.Member      // its line of the roster
	keys    []wire.Digest    // it has had; the last is its key
	skewed  bool             // some have another line for it than others
	next    *roster          // on its disk, its process does not have it yet
	ahead   ring.Time        // of its clock before the world's
	late    time.Duration    // how late its ticks may come
}

// Noticed is a notice and when it came.
type Noticed struct {
	At ring.Time
	ring.Notice
}

// process is one run of a peer.
type process struct {
	id      wire.ID
	number  int // of the host's processes
	world   *World
	host    *Host
	ring    *ring.Ring
	wake    ring.Time // when the next tick is due; never: none is
	ticked  ring.Time // the newest tick
	spins   int       // ticks in a row at that instant
	busy    bool
	dead    bool
	leaving bool // for good
	paused  bool
	resumed ring.Time // from the last pause
	inbox   []event   // what came while it was paused

	pairs map[wire.ID]*pair // links and sessions with others

	synced    map[ring.Version]bool // by this run
	counts    bool                  // what earlier runs left is synced
	settled   bool                  // or never will be in this run
	unsettled []ring.Pull           // wait for that
	serves    map[uint64]func(wire.PutAck)
	ops       map[ring.Op]*Op
	lastOp    ring.Op
}

const (
	never   = ring.Time(-1)        // no tick is due
	forever = ring.Time(1<<63 - 1) // the ring needs none
)

// Start runs a peer; contact, if given, is whom it asks first.
func (w *World) Start(id wire.ID, contact ...wire.ID) {
	w.logf("[%v] starts", id)
	p := w.process(w.byID[id], contact...)
	w.at(w.now, p, func() { p.step(ring.Tick{}, nil) })
}

// process makes the next process of a host. It has not started.
func (w *World) process(h *Host, contact ...wire.ID) *process {
	if h.process != nil {
		panic(fmt.Sprintf("sim: peer %v runs already", h.ID))
	}
	h.dark = false
	h.started++
	h.disk.boot()
	h.accept()
	p := &process{
		id: h.ID, number: h.started, world: w, host: h, wake: never,
		pairs:  make(map[wire.ID]*pair),
		synced: make(map[ring.Version]bool),
		serves: make(map[uint64]func(wire.PutAck)),
		ops:    make(map[ring.Op]*Op),
	}
	c := ring.Config{
		Self:        h.ID,
		Roster:      h.roster.Roster,
		Store:       h.disk.store,
		Incarnation: h.disk.incarnation,
		Saved:       p.verified(wire.Rows{Rows: slices.Clone(h.disk.rows)}).Rows,
		Disk:        h.disk.state,
		Requests:    uint32(p.number) * 0x9e3779b1,
		Sign:        func(msg []byte) wire.Sig { return sign(p.id, h.key(), msg) },
	}
	if len(contact) > 0 {
		c.Contact, c.HasContact = contact[0], true
	}
	p.ring = ring.New(c)
	h.process = p
	p.settle()
	return p
}

// StartAll runs every member of ids, or everybody.
func (w *World) StartAll(ids ...wire.ID) {
	if len(ids) == 0 {
		for _, h := range w.hosts {
			ids = append(ids, h.ID)
		}
	}
	for _, id := range ids {
		w.Start(id)
	}
}

// Kill ends a process at once; its kernel closes its links.
func (w *World) Kill(id wire.ID) {
	w.logf("[%v] killed", id)
	w.end(w.byID[id])
}

// Crash takes the power away: nobody is told anything.
func (w *World) Crash(id wire.ID) {
	w.logf("[%v] loses power", id)
	w.byID[id].dark = true
	w.end(w.byID[id])
}

func (w *World) end(h *Host) {
	p := h.process
	if p == nil {
		return
	}
	p.dead = true
	h.process = nil
	w.Count.Unsynced += h.disk.crash(w, h.dark)
	for _, op := range p.ops {
		op.Lost = true
	}
	if h.dark {
		return
	}
	for _, id := range sortedKeys(p.pairs) {
		if e := p.pairs[id].end; e != nil && e.up {
			w.at(e.last, nil, func() { w.fin(p, e.remote, w.links) })
		}
	}
}

// Pause stops a process, as SIGSTOP does; Resume lets it go on with what has
// come meanwhile.
func (w *World) Pause(id wire.ID) {
	if p := w.byID[id].process; p != nil {
		w.logf("[%v] paused", id)
		p.paused = true
	}
}

// Resume ends a Pause.
func (w *World) Resume(id wire.ID) {
	p := w.byID[id].process
	if p == nil || !p.paused {
		return
	}
	w.logf("[%v] resumed", id)
	p.paused, p.resumed = false, w.now
	for _, e := range p.inbox {
		*w.queue.add(w.now, p) = e
	}
	p.inbox = nil
}

// SetRoster gives a host, running or not, another roster.
func (w *World) SetRoster(id wire.ID, serial uint64, members []ring.Member) {
	h := w.byID[id]
	r := w.roster(members, serial)
	h.next = &r
	if p := h.process; p != nil {
		w.at(w.now, p, p.reload)
	} else {
		h.accept()
	}
}

// Stop asks a process to end, as SIGTERM does.
func (w *World) Stop(id wire.ID) {
	if p := w.byID[id].process; p != nil {
		w.at(w.now, p, func() { p.step(ring.Stop{}, nil) })
	}
}

// Inject has one member say something to another over their link, whatever
// its own ring thinks of it: what a liar does. It dials if it must.
func (w *World) Inject(from, to wire.ID, m wire.Message) {
	p := w.byID[from].process
	w.at(w.now, p, func() { p.send(to, m) })
}

// Runs says whether the member's process runs, paused or not.
func (h *Host) Runs() bool { return h.process != nil }

// Status is that of the ring of a host that runs.
func (h *Host) Status() ring.Status { return h.process.ring.Status() }

// knows says whether a member is in the host's roster, with the key it has.
func (h *Host) knows(id wire.ID) bool {
	key, ok := h.roster.has[id]
	return ok && key == h.world.byID[id].key()
}

func (h *Host) key() wire.Digest { return h.keys[len(h.keys)-1] }

// step gives the ring one event and does what it asks for. body, if any, is
// what the event came as.
func (p *process) step(ev ring.Event, body []byte) {
	if p.dead {
		return
	}
	if p.busy {
		panic("sim: internal error: a step within a step")
	}
	w := p.world
	w.Count.Steps++
	w.mixAt(p.id)
	roster, skewed := ev.(ring.RosterChanged)
	switch _, tick := ev.(ring.Tick); {
	case tick:
	case skewed:
		w.mixBytes(roster.Roster.Digest[:])
	case body != nil:
		w.mixBytes(body)
	default:
		w.mixBytes(fmt.Appendf(w.buf[:0], "%T%v", ev, ev))
	}
	if w.Config.Log != nil {
		w.logf("[%v] <- %s", p.id, brief(ev))
	}
	p.busy = true
	w.actions = p.ring.Step(w.now+p.host.ahead, ev, w.actions[:0])
	for _, a := range w.actions {
		if w.Config.Log != nil {
			w.logf("[%v]    -> %s", p.id, brief(a))
		}
		p.act(a)
	}
	p.busy = false
	p.arm()
	if w.strict != nil {
		w.strict.stepped(p, ev)
	}
	clear(w.actions) // what they point to is let go
}

// brief is an event or action for the log, without hashes and signatures.
func brief(v any) string {
	return long.ReplaceAllString(fmt.Sprintf("%T%+v", v, v), "[..]")
}

var long = regexp.MustCompile(`\[[0-9]+( [0-9]+){7,}\]`)

// arm sees to it that the ring gets its next tick.
func (p *process) arm() {
	next := p.ring.Next()
	if next == p.wake {
		return
	}
	p.wake = next
	if next == forever {
		return
	}
	at := max(next-p.host.ahead, p.world.now)
	if p.host.late > 0 {
		at += ring.Time(p.world.upTo(p.host.late))
	}
	e := p.world.queue.add(at, p)
	e.kind, e.due = wake, next
}

// tick is a wake-up: it counts if it is what the ring asked for last.
func (p *process) tick(due ring.Time) {
	if p.wake != due {
		return
	}
	p.wake = never
	if p.spins++; p.ticked != p.world.now {
		p.ticked, p.spins = p.world.now, 0
	}
	if p.spins > 1000 {
		panic(fmt.Sprintf("sim: the ring of %v is always due: at %v it is %v", p.id, span(p.world.now), span(due)))
	}
	p.step(ring.Tick{}, nil)
}

// act does one action, as a node would. Nothing in it calls step: all answers
// come by the heap.
func (p *process) act(a ring.Action) {
	w := p.world
	switch a := a.(type) {
	case ring.Send:
		p.send(a.To, p.host.lies.about(a.Msg))
	case ring.SendPing:
		p.sendPing(a.To, a.Ping)
	case ring.Dial:
		p.dial(a.Peer)
	case ring.Hangup:
		p.hangup(a.Peer)
	case ring.Persist:
		p.persist(a)
	case ring.SaveView:
		if w.Config.Unsaved {
			return
		}
		d := &p.host.disk
		p.write(func(bool) { d.rows = a.Rows }, func(wire.Code) {})
	case ring.Answer:
		p.written(func() { p.lookUp(a) })
	case ring.SendOffer:
		p.written(func() { p.offer(a) })
	case ring.Scan:
		p.written(func() { p.step(p.scan(a), nil) })
	case ring.Upload:
		p.upload(a)
	case ring.Fetch:
		p.fetch(p.ops[a.Op], a)
	case ring.Pull:
		p.pull(a)
	case ring.PutReply:
		p.reply(a)
	case ring.Notify:
		p.notice(a.Notice)
	case ring.Done:
		w.mixAt(p.id)
		w.mix(uint64(a.Op))
		w.mix(uint64(a.Result.Outcome))
		p.done(p.ops[a.Op], a.Result)
	case ring.Exit:
		w.logf("[%v] exits: %v", p.id, a.Err)
		w.at(w.now, p, func() { p.host.Failed = a.Err; w.end(p.host) })
	default:
		panic(fmt.Sprintf("sim: internal error: no case for %T", a))
	}
}

// notice tells whoever listens.
func (p *process) notice(n ring.Notice) {
	w := p.world
	w.mixAt(p.id)
	w.mix(uint64(n.Kind))
	w.mix(uint64(n.Peer))
	for _, id := range n.Peers {
		w.mix(uint64(id))
	}
	for i := range len(n.Name) {
		w.mix(uint64(n.Name[i]))
	}
	if w.Config.Notice != nil {
		w.Config.Notice(p.host, n)
		return
	}
	p.host.Notices = append(p.host.Notices, Noticed{w.now, n})
}

// lookUp answers a Look, or this peer's own question.
func (p *process) lookUp(a ring.Answer) {
	found := wire.Found{Req: a.Req, Code: a.Code, Home: a.Home}
	if a.Code == wire.CodeBehind {
		p.world.Count.Behind++
	}
	p.looked(a.Name, &found)
	if a.To == p.id {
		p.step(ring.Received{From: p.id, Msg: found}, nil)
		return
	}
	p.send(a.To, p.invents(a.Name, found))
}

// offer sends the manifest of a version that the ring wants elsewhere.
func (p *process) offer(a ring.SendOffer) {
	f, ok := p.host.disk.files[a.Version]
	if unread := p.unreadable(); !ok || unread {
		p.step(ring.OfferFailed{Peer: a.To, Req: a.Req, Missing: !unread}, nil)
		return
	}
	p.send(a.To, wire.Offer{Req: a.Req, Source: p.id, Manifest: f.manifest})
}

// deliver verifies what is signed in a message and gives the rest to the ring.
func (p *process) deliver(from wire.ID, m wire.Message, body []byte) {
	switch msg := m.(type) {
	case wire.Rows:
		msg = p.verified(msg)
		p.host.overhears(msg)
		m = msg
	case wire.Found:
		msg.Manifests = slices.DeleteFunc(msg.Manifests, func(f wire.Manifest) bool { return !p.genuine(f) })
		m = msg
	case wire.Offer:
		if !p.genuine(msg.Manifest) {
			p.send(from, wire.Confirmed{Req: msg.Req, Code: wire.CodeInvalid})
			return
		}
	}
	p.step(ring.Received{From: from, Msg: m}, body)
}

// verified returns the rows and votes whose signatures are right and whose
// signers are in the roster, in the slices of m.
func (p *process) verified(m wire.Rows) wire.Rows {
	p.world.Count.Rows += len(m.Rows)
	m.Rows = slices.DeleteFunc(m.Rows, func(r wire.Row) bool {
		return !p.signedBy(r.ID, r.SignedBytes(ringName, p.world.buf[:0]), r.Sig)
	})
	m.Votes = slices.DeleteFunc(m.Votes, func(v wire.Vote) bool {
		return !p.signedBy(v.Observer, v.SignedBytes(ringName, p.world.buf[:0]), v.Sig)
	})
	return m
}

// genuine says whether a manifest is what its writer signed, with any key it
// has had: what was stored stays valid.
func (p *process) genuine(m wire.Manifest) bool {
	w := p.world
	w.buf = m.SignedBytes(ringName, w.buf[:0])
	if h := w.byID[m.Signer]; h != nil && m.Signer == m.Writer && slices.ContainsFunc(h.keys, func(key wire.Digest) bool {
		return sign(m.Signer, key, w.buf) == m.Sig
	}) {
		return true
	}
	w.Count.Forged++
	return false
}

func (p *process) signedBy(id wire.ID, msg []byte, sig wire.Sig) bool {
	p.world.buf = msg
	if key, ok := p.host.roster.has[id]; ok && sign(id, key, msg) == sig {
		return true
	}
	p.world.Count.Forged++
	return false
}

// sign stands in for Ed25519: a keyed hash whose key is the member's.
func sign(id wire.ID, key wire.Digest, msg []byte) (sig wire.Sig) {
	h := (uint64(id) + 0x6b65792061206d65 ^ binary.BigEndian.Uint64(key[:])) * 0x9e3779b97f4a7c15
	mix := func(x uint64) {
		h = (h ^ x) * 0xff51afd7ed558ccd
		h ^= h >> 32
	}
	mix(uint64(len(msg)))
	for ; len(msg) >= 8; msg = msg[8:] {
		mix(binary.BigEndian.Uint64(msg))
	}
	for _, c := range msg {
		mix(uint64(c))
	}
	for i := 0; i < len(sig); i += 8 {
		mix(uint64(i))
		binary.BigEndian.PutUint64(sig[i:], h)
	}
	return sig
}

// Sign signs as the member of that id: for tests of liars, whose own
// signatures are right.
func Sign(id wire.ID, r wire.Row) wire.Row {
	r.Sig = sign(id, wire.Digest{}, r.SignedBytes(ringName, nil))
	return r
}

// SignVote is Sign for a vote.
func SignVote(id wire.ID, v wire.Vote) wire.Vote {
	v.Sig = sign(id, wire.Digest{}, v.SignedBytes(ringName, nil))
	return v
}

func sortedKeys[V any](m map[wire.ID]V) []wire.ID {
	keys := make([]wire.ID, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
