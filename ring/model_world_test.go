package ring

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"securepeer/wire"
)

// The world of the model: a few real Rings, and the smallest driver that does
// what node does. Nothing in it is random. A message takes no time; it arrives
// when the model lets it, and waits where the way is cut or the machine dark.

const (
	interval    = time.Second
	linkTimeout = Time(4 * interval) // nobody acknowledges what was sent
	dialTimeout = Time(2 * interval) // nobody answers a dial
	theName     = "0000"             // the one file: its key is 0, so 0 is its owner

	// firstBits: the incarnations of member i are counted from i << firstBits,
	// so that of each it is known whose it is.
	firstBits = 20
)

// globe is a whole world at one moment. Hosts that it does not own are shared
// with the world it was forked from, and not changed.
type globe struct {
	roster  Roster
	now     Time
	hosts   []*host
	ways    [most * most * int(kinds)][]parcel
	cut     [most][most]bool // from, to
	given   number           // the last link or transfer
	open    []request        // operations
	witness witness
	got     Result   // of the last get
	broken  []string // invariants, as they were broken
}

// host is the machine of one member: its disk, and its process if one runs.
type host struct {
	owner *globe
	id    wire.ID
	dark  bool // without power: not even its kernel answers
	dozes bool // its process does not go on, its kernel does

	// On disk: synced, and there after a crash.
	store       wire.StoreID
	incarnation wire.Incarnation
	rows        []wire.Row
	files       map[Version]wire.Manifest
	state       wire.State // Active, or Full: takes no more bytes

	// Of the process.
	ring      *Ring // nil: none runs
	run       int   // how many there have been
	links     []link
	sessions  []int // run of the other side at the handshake; 0: none
	transfers []transfer
	synced    map[Version]bool

	hashed hashed // of ring
}

// link is one side of a ring link.
type link struct {
	number  number // 0: none, not even a dial
	up      bool
	since   Time // of the dial
	waiting []wire.Message
}

// transfer is an upload or pull that this peer waits for.
type transfer struct {
	number  number
	peer    wire.ID
	run     int
	since   Time
	op      Op      // of an upload; 0: a pull
	version Version // of a pull
}

// request is an operation that has not ended.
type request struct {
	host  wire.ID
	op    Op
	kind  string
	begun Time
	acked int // how many were acked then
}

// parcel is something on its way.
type parcel struct {
	since Time
	body  any // one of the types below
}

// What goes over links, and the handshakes before.
type (
	frame struct { // dial and answer
		link   number
		answer bool
		run    int
	}
	hello struct { // the first record: now the responder acts
		link number
		run  int
	}
	record struct {
		link number
		msg  wire.Message
	}
	fin struct{ link number }
)

// A datagram.
type datagram struct {
	from, to int // runs
	ping     wire.Ping
}

// What goes over transfer links.
type (
	upload struct {
		number   number
		holders  []wire.ID
		manifest wire.Manifest
	}
	uploaded struct {
		number number
		ack    wire.PutAck
	}
	want struct {
		number   number
		manifest wire.Manifest
	}
	content struct {
		number   number
		manifest wire.Manifest
		code     wire.Code
	}
)

// What a disk is asked for: the ring's own action, or an upload's bytes.
type toDisk struct {
	action Action // Persist, SaveView, Answer, SendOffer, Scan or Upload
	upload upload // if there is no action
	from   wire.ID
}

// kind of a way from one peer to another. The disk of a peer is the way to
// itself.
type kind int

const (
	linked kind = iota
	pinging
	moving
	kinds
)

const most = 4 // members

func way(from, to wire.ID, k kind) int {
	return (int(from)*most+int(to))*int(kinds) + int(k)
}

func ends(way int) (from, to wire.ID, k kind) {
	pair := way / int(kinds)
	return wire.ID(pair / most), wire.ID(pair % most), kind(way % int(kinds))
}

// newGlobe returns a world of n members, nobody running, every disk empty.
func newGlobe(n int, r Roster) *globe {
	g := &globe{now: Time(100 * interval)}
	r.Ring, r.Space, r.Interval, r.Serial = "model", wire.Space8, interval, 1
	for i := range n {
		r.Members = append(r.Members, Member{ID: wire.ID(i), Pos: wire.Pos(50*i + 10)})
	}
	r.Circle = NewCircle(r.Members)
	g.roster = r
	for i := range n {
		h := &host{owner: g, id: wire.ID(i)}
		h.wipe()
		g.hosts = append(g.hosts, h)
	}
	g.witness.spoken, g.witness.ever = make([]wire.Row, n), make([]wire.Incarnation, n)
	return g
}

// wipe gives a host an empty disk. Of its earlier incarnations it knows
// nothing.
func (h *host) wipe() {
	h.store[0], h.store[1] = byte(h.id), h.store[1]+1
	h.incarnation = wire.Incarnation(h.id) << firstBits
	h.rows, h.files, h.state = nil, map[Version]wire.Manifest{}, wire.Active
}

// fork returns a world that goes its own way from here.
func (g *globe) fork() *globe {
	f := *g
	f.hosts = slices.Clone(g.hosts)
	for i := range f.ways {
		f.ways[i] = slices.Clip(f.ways[i])
	}
	f.open = slices.Clone(g.open)
	f.witness = g.witness.clone()
	f.broken = slices.Clone(g.broken)
	return &f
}

// host returns the host of a member, to be changed.
func (g *globe) host(id wire.ID) *host {
	if h := g.hosts[id]; h.owner != g {
		g.hosts[id] = h.clone(g)
	}
	return g.hosts[id]
}

func (h *host) clone(owner *globe) *host {
	c := *h
	c.owner = owner
	c.files, c.synced = cloneMap(h.files), cloneMap(h.synced)
	c.links = slices.Clone(h.links)
	for i := range c.links {
		c.links[i].waiting = slices.Clip(c.links[i].waiting)
	}
	c.sessions, c.transfers = slices.Clone(h.sessions), slices.Clone(h.transfers)
	if h.ring != nil {
		c.ring = clone(h.ring)
	}
	return &c
}

func cloneMap[V any](m map[Version]V) map[Version]V {
	c := make(map[Version]V, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// step gives a ring one event and does what it asks for. All answers come as
// parcels.
func (g *globe) step(id wire.ID, ev Event) {
	h := g.host(id)
	if h.ring == nil {
		return
	}
	h.hashed = hashed{}
	actions := h.ring.Step(g.now, ev, nil)
	g.checkAnswer(h, ev, actions)
	for _, a := range actions {
		g.act(h, a)
		if h.ring == nil {
			return
		}
	}
}

func (g *globe) act(h *host, a Action) {
	switch a := a.(type) {
	case Send:
		g.checkSpoken(h, a.Msg)
		g.send(h, a.To, a.Msg)
	case SendPing:
		if h.sessions[a.To] != 0 {
			g.put(h.id, a.To, pinging, datagram{h.run, h.sessions[a.To], a.Ping})
		}
	case Dial:
		g.dial(h, a.Peer)
	case Hangup:
		if l := &h.links[a.Peer]; l.up {
			g.put(h.id, a.Peer, linked, fin{l.number})
			g.put(h.id, h.id, linked, fin{l.number})
		}
	case Persist, SaveView, Answer, SendOffer, Scan, Upload:
		g.put(h.id, h.id, linked, toDisk{action: a})
	case Pull:
		g.pull(h, a)
	case PutReply:
		g.reply(h, a)
	case Fetch:
		g.fetched(h, a)
	case Done:
		g.done(h, a.Op, a.Result)
	case Notify:
	case Exit:
		if a.Err != nil {
			g.violate("no key runs twice: %v exits: %v", h.id, a.Err)
		}
		g.kill(h.id)
	default:
		panic(fmt.Sprintf("the model has no case for %T", a))
	}
}

func (g *globe) put(from, to wire.ID, k kind, body any) {
	w := way(from, to, k)
	g.ways[w] = append(g.ways[w], parcel{g.now, body})
}

func (g *globe) number() number {
	g.given++
	return g.given
}

// send gives a message to the link of a member, dialling it if need be.
func (g *globe) send(h *host, to wire.ID, m wire.Message) {
	g.dial(h, to)
	if l := &h.links[to]; l.up {
		g.put(h.id, to, linked, record{l.number, m})
	} else {
		l.waiting = append(l.waiting, m)
	}
}

func (g *globe) dial(h *host, to wire.ID) {
	if l := &h.links[to]; l.number == 0 {
		*l = link{number: g.number(), since: g.now}
		g.put(h.id, to, linked, frame{link: l.number, run: h.run})
	}
}

// up tells the ring of a link and sends what waited for it.
func (g *globe) up(h *host, peer wire.ID, run int) {
	l := &h.links[peer]
	l.up = true
	h.sessions[peer] = run
	for _, m := range l.waiting {
		g.put(h.id, peer, linked, record{l.number, m})
	}
	l.waiting = nil
	g.step(h.id, LinkUp{Peer: peer, Incarnation: g.hosts[peer].incarnation})
}

// drop forgets a link and tells the ring.
func (g *globe) drop(h *host, peer wire.ID) {
	h.links[peer] = link{}
	g.step(h.id, LinkDown{Peer: peer})
}

// framed takes a dial or its answer. Of two dials of a pair that cross, that
// of the lower id goes on.
func (g *globe) framed(h *host, from wire.ID, f frame) {
	l := &h.links[from]
	switch {
	case f.answer && l.number == f.link && !l.up:
		g.put(h.id, from, linked, hello{f.link, h.run})
		g.up(h, from, f.run)
	case f.answer:
	case l.number != 0 && !l.up && h.id < from:
	case l.number != 0 && !l.up: // what waits goes over the other link
		l.number, l.since = f.link, g.now
		fallthrough
	default:
		g.put(h.id, from, linked, frame{link: f.link, answer: true, run: h.run})
	}
}

// confirmed takes Hello. A link that was there is replaced.
func (g *globe) confirmed(h *host, from wire.ID, m hello) {
	l := &h.links[from]
	if l.up {
		g.drop(h, from)
		l = &g.host(h.id).links[from]
	}
	waiting := l.waiting
	*l = link{number: m.link, since: g.now, waiting: waiting}
	g.up(h, from, m.run)
}

// start runs a peer.
func (g *globe) start(id wire.ID) {
	h := g.host(id)
	n := len(g.hosts)
	h.dark = false
	h.run++
	h.links, h.sessions = make([]link, n), make([]int, n)
	h.transfers, h.synced = nil, map[Version]bool{}
	h.ring = New(Config{Self: id, Roster: g.roster, Store: h.store, Incarnation: h.incarnation,
		Saved: slices.Clone(h.rows), Disk: h.state,
		Sign: func([]byte) wire.Sig { return wire.Sig{byte(id)} }})
	g.step(id, Tick{})
}

// kill ends a process; its kernel sends what was written and closes its links.
func (g *globe) kill(id wire.ID) {
	h := g.host(id)
	for peer := range h.links {
		if l := h.links[peer]; l.up {
			g.put(id, wire.ID(peer), linked, fin{l.number})
		}
	}
	g.end(h)
}

// crash takes the power away: what was on its way from there is lost, and
// nobody is told anything.
func (g *globe) crash(id wire.ID) {
	h := g.host(id)
	h.dark = true
	for to := range g.hosts {
		for k := range kinds {
			g.ways[way(id, wire.ID(to), k)] = nil
		}
	}
	g.end(h)
}

func (g *globe) end(h *host) {
	h.ring, h.links, h.sessions, h.transfers, h.synced, h.dozes = nil, nil, nil, nil, nil, false
	h.hashed = hashed{}
	g.ways[way(h.id, h.id, linked)] = nil
	for from := range g.hosts {
		g.ways[way(wire.ID(from), h.id, moving)] = nil
	}
	g.open = slices.DeleteFunc(g.open, func(o request) bool { return o.host == h.id })
}

// used reports whether the disk of a host holds anything.
func (h *host) used() bool { return h.incarnation&(1<<firstBits-1) > 0 }

// leaves reports whether a peer is on its way out.
func (h *host) leaves() bool { return h.ring.own.state >= wire.Stopped }

// wipe gives a host an empty disk.
func (g *globe) wipe(id wire.ID) {
	g.host(id).wipe()
	w := &g.witness
	w.spoken[id] = wire.Row{}
	for i := range w.acked {
		w.acked[i].copies = slices.DeleteFunc(slices.Clone(w.acked[i].copies), func(c wire.ID) bool { return c == id })
	}
}

func (g *globe) setDisk(id wire.ID, s wire.State) {
	g.host(id).state = s
	g.step(id, DiskChanged{State: s})
}

// blocked says that what is sent from one to another stays where it is.
func (g *globe) blocked(from, to wire.ID) bool {
	return g.cut[from][to] || g.cut[to][from] || g.hosts[to].dark
}

// deliverable reports whether the oldest parcel of a way can arrive.
func (g *globe) deliverable(way int) bool {
	from, to, k := ends(way)
	return len(g.ways[way]) > 0 && !g.hosts[to].dozes && (k == pinging || !g.blocked(from, to))
}

// deliver lets the oldest parcel of a way arrive.
func (g *globe) deliver(way int) {
	from, to, _ := ends(way)
	p := g.ways[way][0]
	g.ways[way] = g.ways[way][1:]
	h := g.host(to)
	if h.ring == nil {
		g.nobody(h, from, p.body)
		return
	}
	switch m := p.body.(type) {
	case toDisk:
		g.disk(h, m)
	case datagram:
		if !g.cut[from][to] && m.to == h.run && h.sessions[from] == m.from {
			g.step(to, Pinged{From: from, Ping: m.ping})
		}
	case frame:
		g.framed(h, from, m)
	case hello:
		g.confirmed(h, from, m)
	case record:
		if l := h.links[from]; l.up && l.number == m.link {
			g.step(to, Received{From: from, Msg: m.msg})
		} else {
			g.put(to, from, linked, fin{m.link})
		}
	case fin:
		for peer := range h.links {
			if h.links[peer].number == m.link {
				g.drop(h, wire.ID(peer))
				break
			}
		}
	default:
		g.move(h, from, m)
	}
}

// nobody is what a kernel answers when no process is there.
func (g *globe) nobody(h *host, from wire.ID, body any) {
	if h.dark || from == h.id {
		return
	}
	switch m := body.(type) {
	case frame:
		if !m.answer {
			g.put(h.id, from, linked, fin{m.link})
		}
	case record:
		g.put(h.id, from, linked, fin{m.link})
	case hello:
		g.put(h.id, from, linked, fin{m.link})
	}
}

// disk does what the disk of a peer was asked for.
func (g *globe) disk(h *host, m toDisk) {
	switch a := m.action.(type) {
	case nil:
		code := g.write(h, m.upload.manifest)
		g.step(h.id, PutStored{Serve: uint64(m.upload.number)<<16 | uint64(m.from), From: m.from, Name: theName,
			Version: versionOf(m.upload.manifest), Holders: slices.Clone(m.upload.holders), Code: code})
	case Persist:
		h.incarnation = max(h.incarnation, a.Incarnation)
		g.step(h.id, Persisted(a))
	case SaveView:
		h.rows = a.Rows
	case Answer:
		found := wire.Found{Req: a.Req, Code: a.Code, Home: a.Home, Manifests: h.newest()}
		if a.To == h.id {
			g.step(h.id, Received{From: h.id, Msg: found})
		} else {
			g.send(h, a.To, found)
		}
	case SendOffer:
		if f, ok := h.files[a.Version]; ok {
			g.send(h, a.To, wire.Offer{Req: a.Req, Source: h.id, Manifest: f})
		} else {
			g.step(h.id, OfferFailed{Peer: a.To, Req: a.Req, Missing: true})
		}
	case Scan:
		g.step(h.id, h.scan(a))
	case Upload:
		g.upload(h, a)
	}
}

// write has a version on the disk, synced.
func (g *globe) write(h *host, m wire.Manifest) wire.Code {
	if h.state == wire.Full {
		return wire.CodeFull
	}
	h.files[versionOf(m)] = m
	h.synced[versionOf(m)] = true
	return wire.CodeOK
}

func versionOf(m wire.Manifest) Version { return Version{wire.KeyOf(wire.Space8, m.Name), m.Sum()} }

// newest returns the newest version of each writer on a disk, by writer.
func (h *host) newest() []wire.Manifest {
	var found []wire.Manifest
	for _, m := range h.files {
		i := slices.IndexFunc(found, func(f wire.Manifest) bool { return f.Writer == m.Writer })
		if i < 0 {
			found = append(found, m)
		} else if m.Newer(found[i]) {
			found[i] = m
		}
	}
	slices.SortFunc(found, func(a, b wire.Manifest) int { return cmp.Compare(a.Writer, b.Writer) })
	return found
}

func (h *host) scan(s Scan) Scanned {
	versions := make([]Version, 0, len(h.files))
	for v := range h.files {
		if s.First || compareVersions(v, s.After) > 0 {
			versions = append(versions, v)
		}
	}
	slices.SortFunc(versions, compareVersions)
	return Scanned{Scan: s.Scan, Versions: versions}
}

func compareVersions(a, b Version) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), bytes.Compare(a.Sum[:], b.Sum[:]))
}

// upload sends the bytes of a put to all targets at once. Each put has other
// bytes than the one before.
func (g *globe) upload(h *host, u Upload) {
	m := wire.Manifest{Name: theName, Version: u.Version, Writer: h.id, Signer: h.id, Size: 1}
	g.witness.puts++
	m.Blocks[0] = byte(g.witness.puts)
	g.step(h.id, Sealed{Op: u.Op, Manifest: m})
	for _, to := range u.To {
		n := g.transfer(h, transfer{peer: to, op: u.Op})
		body := upload{n, u.Holders, m}
		if to == h.id {
			g.put(h.id, h.id, linked, toDisk{upload: body, from: h.id})
		} else {
			g.put(h.id, to, moving, body)
		}
	}
}

func (g *globe) transfer(h *host, t transfer) number {
	t.number, t.since, t.run = g.number(), g.now, g.hosts[t.peer].run
	h.transfers = append(h.transfers, t)
	return t.number
}

// reply answers an upload as the ring decided.
func (g *globe) reply(h *host, r PutReply) {
	to, k := wire.ID(r.Serve&0xffff), moving
	if to == h.id {
		k = linked
	}
	g.put(h.id, to, k, uploaded{number(r.Serve >> 16), wire.PutAck{Code: r.Code, Rows: r.Rows, Votes: r.Votes}})
}

// pull has a version on this disk, from another peer's if need be.
func (g *globe) pull(h *host, a Pull) {
	n := g.transfer(h, transfer{peer: a.From, version: versionOf(a.Manifest)})
	_, have := h.files[versionOf(a.Manifest)]
	if have || a.Manifest.Flags&wire.Tombstone != 0 || a.From == h.id {
		g.put(h.id, h.id, linked, content{number: n, manifest: a.Manifest})
	} else {
		g.put(h.id, a.From, moving, want{n, a.Manifest})
	}
}

// move takes what comes over a transfer link.
func (g *globe) move(h *host, from wire.ID, body any) {
	switch m := body.(type) {
	case upload:
		g.put(h.id, h.id, linked, toDisk{upload: m, from: from})
	case want:
		_, ok := h.files[versionOf(m.manifest)]
		reply := content{number: m.number, manifest: m.manifest}
		if !ok {
			reply.code = wire.CodeNotFound
		}
		g.put(h.id, from, moving, reply)
	case uploaded:
		if t, ok := h.ended(m.number); ok {
			if len(m.ack.Rows)+len(m.ack.Votes) > 0 {
				g.step(h.id, Received{From: from, Msg: wire.Rows{Rows: m.ack.Rows, Votes: m.ack.Votes}})
			}
			g.step(h.id, Uploaded{Op: t.op, Peer: t.peer, Code: m.ack.Code, Kept: m.ack.Code == wire.CodeNotOwner})
		}
	case content:
		if t, ok := h.ended(m.number); ok {
			_, have := h.files[t.version]
			if m.code == wire.CodeOK {
				m.code = g.write(h, m.manifest)
			}
			g.step(h.id, Pulled{Version: t.version, Code: m.code, New: !have})
		}
	}
}

// ended takes a transfer off the list of those that this peer waits for.
func (h *host) ended(n number) (transfer, bool) {
	i := slices.IndexFunc(h.transfers, func(t transfer) bool { return t.number == n })
	if i < 0 {
		return transfer{}, false
	}
	t := h.transfers[i]
	h.transfers = slices.Delete(h.transfers, i, i+1)
	return t, true
}

// expire ends what has waited for too long: dials, links with something
// unacknowledged, and transfers. It reports whether there was anything.
func (g *globe) expire() bool {
	for w := range g.ways {
		from, to, k := ends(w)
		if k != linked || len(g.ways[w]) == 0 || g.hosts[to].dozes || g.now-g.ways[w][0].since < linkTimeout {
			continue
		}
		g.ways[w] = nil
		if h := g.host(from); h.ring != nil && h.links[to].up {
			g.drop(h, to)
			return true
		}
	}
	for _, h := range g.hosts {
		if h.dozes {
			continue
		}
		for peer := range h.links {
			if l := h.links[peer]; l.number != 0 && !l.up && g.now-l.since >= dialTimeout {
				g.drop(g.host(h.id), wire.ID(peer))
				return true
			}
		}
		for _, t := range h.transfers {
			if g.failed(h.id, t) {
				g.host(h.id).ended(t.number)
				if t.op != 0 {
					g.step(h.id, Uploaded{Op: t.op, Peer: t.peer, Code: wire.CodeBusy})
				} else {
					g.step(h.id, Pulled{Version: t.version, Code: wire.CodeBusy})
				}
				return true
			}
		}
	}
	return false
}

// failed reports whether a transfer of id can't end well any more.
func (g *globe) failed(id wire.ID, t transfer) bool {
	p := g.hosts[t.peer]
	if p.dark || p.dozes || g.blocked(id, t.peer) || g.blocked(t.peer, id) {
		return g.now-t.since >= linkTimeout
	}
	return p.ring == nil || p.run != t.run
}

// storm is how many parcels may arrive at one instant: more means that they
// make each other for ever.
const storm = 2000

// arrive lets everything arrive that can, and what that makes, in turn.
func (g *globe) arrive() {
	for n := 0; ; {
		before := n
		for w := range g.ways {
			if g.deliverable(w) {
				g.deliver(w)
				n++
			}
		}
		if n == before && !g.expire() {
			return
		}
		if n > storm {
			g.violate("messages come to an end: %d at one instant", n)
			return
		}
	}
}

// next is the instant of the next tick, at most until.
func (g *globe) next(until Time) Time {
	for _, h := range g.hosts {
		if h.ring != nil && !h.dozes {
			until = min(until, max(g.now, h.ring.Next()))
		}
	}
	return until
}

// tick lets everything arrive, then time pass to the next tick of anybody, at
// most until. What that makes is on its way.
func (g *globe) tick(until Time) {
	g.arrive()
	g.now = g.next(until)
	for _, h := range g.hosts {
		if h.ring != nil && !h.dozes && h.ring.Next() <= g.now {
			g.step(h.id, Tick{})
		}
	}
}

// pass lets d pass.
func (g *globe) pass(d time.Duration) {
	until := g.now + Time(d)
	for spins, last := 0, Time(0); ; spins++ {
		g.tick(until)
		if g.now != last {
			spins, last = 0, g.now
		}
		if spins > 100 {
			g.violate("a tick makes the next one later: it is due at once for ever")
			g.now = until
		}
		if g.now >= until {
			g.arrive()
		}
		if g.now >= until && g.next(never) > until {
			return
		}
	}
}
