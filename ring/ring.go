// Package ring decides who is next, who answers for a key, and where its
// copies belong: one pure state machine. A driver calls [Ring.Step] with an
// event and the time, and does what the returned actions say; [Ring.Next]
// says when the next Tick is due. There is no clock, socket, disk, goroutine
// or chance inside: the same state and event give the same actions in the
// same order.
//
// It does not move bytes of files, verify signatures of others, or know
// names of members: the driver does.
//
// The data flows one way: an event goes to the part it concerns; that part
// may merge rows and votes into the view; what follows from a changed view
// (notices, news for others, copies to move) follows once, at the end of the
// step. docs/design.md, section 7, has the rules.
package ring

import (
	"slices"
	"time"

	"securepeer/wire"
)

// Member is a line of the roster, as far as the ring cares. Key stands for its
// public keys: the same id with others is another member.
type Member struct {
	ID  wire.ID
	Pos wire.Pos
	Key wire.Digest
}

// Roster is what the ring needs of the roster.
type Roster struct {
	Ring      string // its name, part of everything that is signed
	Space     wire.Space
	Members   []Member // this peer among them; any order
	Circle    *Circle  // of Members, for many Rings to share; nil: this one makes its own
	Copies    int
	Observers int // K: how many watch a member, and how many it watches
	Interval  time.Duration
	Grace     time.Duration // how long a member is away until it is gone; 0: for ever
	Serial    uint64
	Digest    wire.Digest
	Walk      bool // ask successor by successor
	Shortcuts bool // when walking, skip to the second successor if it isn't past the key
}

// Config is what a Ring is made from. All fields must be set, but for those
// whose zero value is named.
type Config struct {
	Self        wire.ID
	Roster      Roster
	Store       wire.StoreID
	Incarnation wire.Incarnation // the last one persisted; 0: never
	Saved       []wire.Row       // what SaveView wrote in an earlier run, verified
	Contact     wire.ID          // whom to ask first when joining
	HasContact  bool             // false: any member
	Disk        wire.State       // Active, Full or Stuck
	Requests    uint32           // the requests of this run have the numbers after that; drawn at random (R28)
	// Sign signs what begins with a label and the ring's name, with this
	// peer's signing key. It is a pure function.
	Sign func(msg []byte) wire.Sig
}

// Ring is one peer's part of the ring. It is not safe for concurrent use.
type Ring struct {
	roster Roster
	route  route
	view   *view
	own    own
	disk   wire.State // what Active means: Active, Full or Stuck

	join    join
	detect  detector
	links   links
	spread  spread
	copies  copier
	console console
	ops     operations

	begun   bool
	leaving []Op
	leaveAt Time // when a leave that is not through is reported
	exit    Time // when to end; 0: not
	refuted Time // when a verdict on this peer was last answered
	saved   Time // when the view was last saved
	save    Time // when it is to be
	agreed  Time // when this peer last was not behind
	out     outbox
}

// New returns a peer that has not started: the first Tick does that.
func New(c Config) *Ring {
	r := &Ring{roster: c.Roster, view: newView(c), disk: c.Disk, save: never}
	r.own = own{ring: c.Roster.Ring, id: c.Self, store: c.Store, sign: c.Sign,
		asked: c.Incarnation, durable: c.Incarnation}
	r.join = join{contact: c.Contact, only: c.HasContact && c.Contact != c.Self,
		refused: map[wire.ID]Time{}}
	r.links.self, r.links.lines = c.Self, map[wire.ID]*line{}
	r.spread.index = map[item]int{}
	r.spread.asked, r.spread.answered, r.spread.passed = map[wire.ID]question{}, map[wire.ID]Time{}, map[wire.ID]Time{}
	r.ops.paces, r.ops.numbers.names = paces{}, map[wire.Pos]*numbered{}
	r.copies = newCopier()
	r.out.req = c.Requests
	r.tune()
	return r
}

// tune gives the parts what they need of the roster.
func (r *Ring) tune() {
	t := r.roster.Interval
	r.detect.interval, r.links.interval, r.spread.interval = t, t, t
	r.copies.tune(t, r.roster.Grace)
	r.detect.grace = r.roster.Grace
	r.detect.serial, r.detect.roster = r.roster.Serial, r.roster.Digest
	r.route = route{walk: r.roster.Walk, shortcuts: r.roster.Shortcuts}
}

func (r *Ring) interval() Time { return Time(r.roster.Interval) }

// Step takes one event and appends what is to be done to out.
func (r *Ring) Step(now Time, ev Event, out []Action) []Action {
	r.out.acts = out
	r.view.now = now
	r.detect.woke(now, &r.links)
	from := nobody
	switch e := ev.(type) {
	case Tick:
		r.tick(now)
	case Received:
		from = int(e.From)
		r.received(now, e)
	case Pinged:
		r.pinged(now, e)
	case LinkUp:
		r.linkUp(now, e)
	case LinkDown:
		r.linkDown(now, e.Peer)
	case NotSent:
		if r.view.has(e.Peer) {
			r.links.line(e.Peer).unsent = max(now, 1)
		}
	case Persisted:
		r.persisted(now, e)
	case RosterChanged:
		r.rosterChanged(now, e.Roster)
	case DiskChanged:
		r.disk = e.State
		r.settleState()
	case Stop:
		r.stop(now)
	case Leave:
		r.leave(now, e.Op)
	case PutStored:
		r.putStored(now, e)
	case Pulling:
		r.copies.pulls.goesOn(e.Version, &r.out)
		r.ops.puts(now, r.scene(), func(p *put) { p.goesOn(now, e.Version, r.view) })
	case Uploading:
		r.copies.pulls.left(now, e.Version, &r.out)
	case Pulled:
		r.copies.pulled(now, e, r.view, &r.out)
		r.ops.puts(now, r.scene(), func(p *put) {
			if p.pulled(e, r.view) {
				r.copies.stored(now, e.Version)
			}
		})
	case OfferFailed:
		r.copies.offerFailed(now, e, r.view, &r.out)
	case Scanned:
		r.copies.scanned(now, e, r.view, &r.out)
	case Moving:
		r.moving(e)
	default:
		r.operation(now, ev)
	}
	r.follow(now, from)
	for _, a := range r.out.acts[len(out):] {
		if m, ok := a.(Send); ok {
			r.links.line(m.To).used = now
		}
	}
	out, r.out.acts = r.out.acts, nil
	return out
}

// scene is what an operation sees.
func (r *Ring) scene() scene {
	return scene{r.view, &r.own, r.route, &r.out, &r.detect, r.ops.paces, &r.ops.numbers, &r.ops}
}

// operation takes the events that begin, feed or end the user's operations.
func (r *Ring) operation(now Time, ev Event) {
	s := r.scene()
	switch e := ev.(type) {
	case Put:
		r.ops.add(now, &put{query: query{op: e.Op, name: e.Name}}, s)
	case Remove:
		r.ops.add(now, &put{query: query{op: e.Op, name: e.Name}, remove: true, made: e.Made, steward: e.Steward}, s)
	case Get:
		r.ops.add(now, &get{query: query{op: e.Op, name: e.Name}, by: e.By, hasBy: e.HasBy}, s)
	case Stat:
		r.ops.add(now, &get{query: query{op: e.Op, name: e.Name}, stat: true}, s)
	case Lookup:
		r.ops.add(now, &lookup{query: query{op: e.Op, name: e.Name}}, s)
	case Probe:
		r.links.dial(now, e.Peer, &r.out)
		r.ops.probe(now, e, s)
	case Sealed:
		r.ops.puts(now, s, func(p *put) { p.seal(e) })
	case Uploaded:
		r.ops.puts(now, s, func(p *put) { p.uploaded(e) })
	case Forget:
		r.forget(e)
	case Cancel:
		r.ops.cancel(e.Op)
		r.leaving = slices.DeleteFunc(r.leaving, func(o Op) bool { return o == e.Op })
	default:
		panic("ring: internal error: an event that Step does not know")
	}
}

// behind reports whether this peer may not say no: some reachable home holder
// of its ranges has not yet given it what it lacks.
func (r *Ring) behind() bool {
	return !r.view.inRing() || r.own.missed || !r.copies.accord.agreed(r.view, r.own.since)
}

// received takes a message of a ring link.
func (r *Ring) received(now Time, e Received) {
	if !r.view.has(e.From) {
		return
	}
	if e.From == r.view.self {
		switch e.Msg.(type) {
		case wire.Found: // the driver's answer to Answer
		default:
			return
		}
	} else {
		r.links.line(e.From).used = now
		r.heard(now, e.From)
	}
	switch m := e.Msg.(type) {
	case wire.Rows:
		r.rows(now, e.From, m)
	case wire.Buckets:
		if !r.spread.compared(now, e.From, m, r.view, &r.out) {
			r.links.refuse(e.From)
		}
	case wire.PingReq:
		if !r.detect.helpWith(now, e.From, m, r.view, &r.links, &r.out) {
			r.links.refuse(e.From)
		}
	case wire.PingReqAck:
		r.helped(now, e.From, m)
	case wire.Find:
		if m.For == wire.ForJoin && r.links.line(e.From).said > r.view.member(e.From).incarnation {
			r.view.joins(e.From)
		}
		r.route.asked(e.From, m, r.view, &r.join, &r.out)
	case wire.Ask:
		r.onward(now, e.From, m)
	case wire.Here:
		r.here(now, e.From, m)
	case wire.Refuse:
		r.refused(now, e.From, m)
	case wire.Look:
		r.look(e.From, m)
	case wire.Found:
		r.ops.found(now, e.From, m, r.behind(), r.scene())
	case wire.Offer:
		r.copies.pulls.offered(now, e.From, m, r.view, &r.out)
	case wire.Confirmed:
		r.copies.confirmed(now, e.From, m, r.view, &r.out)
		r.ops.puts(now, r.scene(), func(p *put) { p.confirmed(now, e.From, m) })
	case wire.Settled:
		if !r.copies.accord.take(e.From, m, r.own.spoken) {
			r.links.refuse(e.From)
		}
	default: // no business of a ring
		r.links.refuse(e.From)
	}
}

// rows merges what a member passes on. A row of this peer itself that it did
// not speak is answered by one above it.
func (r *Ring) rows(now Time, from wire.ID, m wire.Rows) {
	mine, learned := r.view.members[r.view.me].row(), false
	said := mine
	for _, row := range m.Rows {
		if row.ID == from {
			r.view.joined(from)
		}
		if row.ID == r.view.self {
			if row != mine && row.Incarnation >= said.Incarnation {
				said = row
			}
			continue
		}
		was := r.view.member(row.ID)
		if was == nil {
			continue
		}
		anew := row.State == wire.Active &&
			(!was.seen() || was.state == wire.Active && row.Incarnation > was.incarnation)
		met, home := was.seen(), was.home()
		merged := r.view.mergeRow(row)
		learned = learned || merged
		if merged && !home && was.home() {
			r.keep(now, row.ID, met)
		}
		if merged && anew {
			// It was cut off, or never met before: until it has given us what
			// it holds, our no means nothing.
			r.copies.accord.unsettle(row.ID)
		}
	}
	for _, t := range m.Votes {
		if t.Observer == t.Member {
			r.links.refuse(from)
		} else if r.view.mergeVote(t) {
			learned = true
			if against(t) {
				r.detect.alarm(now, t.Member, r.view, &r.out)
			}
		}
	}
	if said != mine { // the newest of all: old ones in a row are one contest
		r.own.contest(now, said, r.roster.Interval, &r.out)
	}
	if learned {
		r.spread.learned(from)
	}
}

// saveWait is how many intervals after the last time a changed view is saved
// again. A start from an old one learns the rest from the others.
const saveWait = 30

// keep has the view saved at once, as a member can be a home holder now: alone
// after its next start, this peer would else take itself for the only one, and
// say no of what that member has. No member has a say in that more often than
// other changes are saved: each is a write and a sync for all. Whoever is met
// for the first time is so once, and needs no entry.
func (r *Ring) keep(now Time, id wire.ID, met bool) {
	if !met {
		r.save = now
	} else if l := r.links.line(id); l.kept == 0 || now-l.kept >= saveWait*r.interval() {
		l.kept, r.save = now, now
	}
}

// saveView has what has changed written down.
func (r *Ring) saveView(now Time) {
	if r.save == never {
		return
	}
	r.saved, r.save = now, never
	rows, _ := r.view.all()
	r.out.do(SaveView{Rows: slices.DeleteFunc(rows, func(w wire.Row) bool { return w.ID == r.view.self })})
}

// helped takes what a helper says of a member that does not answer.
func (r *Ring) helped(now Time, from wire.ID, m wire.PingReqAck) {
	id, ok := r.detect.helped(from, m)
	if ok && m.Alive {
		r.links.line(id).oneWay = now
	}
}

// refute answers a verdict on this peer.
func (r *Ring) refute() {
	if r.view.inRing() {
		r.own.refute(&r.out)
	}
}

// persisted publishes a row that waited for the disk. If it answers a verdict,
// those who believed that may have missed what this peer holds, and wait for
// it from the moment they see the row: everything is offered anew.
func (r *Ring) persisted(now Time, e Persisted) {
	since := r.own.since
	r.own.persisted(e, r.view)
	if r.own.since != since {
		r.copies.reset(now)
	}
}

// heard ends what was held against from: something authenticated came.
func (r *Ring) heard(now Time, from wire.ID) {
	line, m := r.links.line(from), r.view.member(from)
	if !m.inRing && line.heard != 0 { // it is back: the slow dials have done their part
		r.links.dial(now, from, &r.out)
	}
	line.heard = now
	r.detect.heard(now, from, &r.out)
	r.view.heard(from)
	if r.view.vote(from) >= wire.Unreachable {
		r.cast(from, wire.Reachable)
	}
}

// cast publishes this peer's vote on a member. Its sequence is above that of
// any vote of an earlier incarnation.
func (r *Ring) cast(on wire.ID, verdict wire.Verdict) {
	m := r.view.member(on)
	if m == nil || !m.seen() || !r.view.inRing() {
		return
	}
	r.detect.sequence = max(r.detect.sequence+1, uint64(r.own.spoken)<<20)
	t := wire.Vote{Observer: r.view.self, Member: on, Incarnation: m.incarnation,
		Verdict: verdict, Sequence: r.detect.sequence}
	t.Sig = r.own.sign(t.SignedBytes(r.own.ring, nil))
	r.view.mergeVote(t)
	r.view.settle()
}

// pinged answers a ping and takes an ack.
func (r *Ring) pinged(now Time, e Pinged) {
	if !r.view.has(e.From) || e.From == r.view.self {
		return
	}
	r.heard(now, e.From)
	p := e.Ping
	if r.links.starting(now, e.From, p.Mine) {
		r.view.joins(e.From)
	} else if p.Mine != 0 {
		r.view.joined(e.From)
	}
	if p.Ack {
		r.view.heeded(e.From)
		if r.detect.acked(now, e.From, p) {
			r.out.notify(PingAnswered, e.From, "")
		}
		r.ops.acked(now, e, &r.out)
	} else {
		r.out.do(SendPing{e.From, r.detect.ping(e.From, p.Echo, true, r.view)})
		if r.links.pinged(now, e.From) && r.view.inRing() && slices.Contains(r.links.near(r.view).pred, e.From) {
			r.out.notify(PingReceived, e.From, "")
		}
	}
	if p.Said != wire.SaidNothing {
		r.links.line(e.From).doubted = now
	}
	// What a ping says of this peer is hearsay: whoever holds it unreachable is
	// asked for the votes.
	differs := p.View != r.view.digest().whole && p.Serial == r.roster.Serial && p.Roster == r.roster.Digest
	if (differs || p.Said == wire.SaidUnreachable) && r.links.up(e.From) {
		r.spread.differs(now, e.From, r.view, &r.out)
	}
}

func (r *Ring) linkUp(now Time, e LinkUp) {
	if !r.view.has(e.Peer) || e.Peer == r.view.self {
		return
	}
	r.links.opened(now, e.Peer, e.Incarnation)
	r.view.heeded(e.Peer)
	r.heard(now, e.Peer)
	r.view.settle()
	r.spread.meet(now, e.Peer, r.view, &r.out)
	r.copies.linked(e.Peer, r.view, &r.out)
	r.join.met(e.Peer)
	if r.begun && r.own.state == 0 {
		r.tryJoin(now)
	}
}

func (r *Ring) linkDown(now Time, id wire.ID) {
	if r.view.has(id) {
		r.lost(now, id)
	}
}

// lost ends what waits for id.
func (r *Ring) lost(now Time, id wire.ID) {
	r.links.closed(now, id)
	r.detect.alarm(now, id, r.view, &r.out)
	r.join.failed(now, id)
	r.copies.lost(now, id, r.view, &r.out)
	r.ops.lost(now, id, r.scene())
}

// onward goes where a peer on the way says.
func (r *Ring) onward(now Time, from wire.ID, m wire.Ask) {
	if f := r.join.find; f != nil && f.req == m.Req && f.at == from {
		switch {
		case r.join.avoids(now, m.Next, r.interval()):
			// Who should accept this peer does not: the word of who sent us there
			// is enough, as both speak of the same ring.
			r.accepted(from)
		case f.onward(now, m.Next, r.view, r.interval(), &r.out):
			r.join.answered = now
		default:
			r.join.failed(now, from)
		}
	}
	r.ops.onward(now, from, m, r.scene())
}

// here ends a question: from answers for the key, or accepts this peer.
func (r *Ring) here(now Time, from wire.ID, m wire.Here) {
	if f := r.join.find; f != nil && f.req == m.Req && f.at == from {
		r.join.answered = now
		r.accepted(from)
	}
	r.ops.here(now, from, m, r.scene())
}

// accepted brings this peer into the ring that by is in.
func (r *Ring) accepted(by wire.ID) {
	r.join.find = nil
	r.out.notify(JoinAccepted, by, "")
	r.console.joined = true
	r.view.trust()
	r.own.begin(wire.Joining, r.view)
}

// refused takes a no to any request.
func (r *Ring) refused(now Time, from wire.ID, m wire.Refuse) {
	if f := r.join.find; f != nil && f.req == m.Req {
		r.join.failed(now, from)
	}
	r.ops.refused(now, from, m, r.scene())
}

// putStored answers an upload to this peer. It acks only if the list of
// holders covers every home holder of its own view, itself or by a stand-in;
// else it keeps the bytes as an extra copy and says what it knows better.
func (r *Ring) putStored(now Time, e PutStored) {
	reply := PutReply{Serve: e.Serve, Code: e.Code}
	if e.Code == wire.CodeOK {
		r.copies.stored(now, e.Version)
		if !r.covers(e.Version.Key, e.Holders) {
			reply.Code = wire.CodeNotOwner
			reply.Rows, reply.Votes = nearby(e.Version.Key, r.view)
		} else if owner, ok := r.view.owner(e.Version.Key); ok && owner == r.view.self {
			r.out.notify(StoreAccepted, e.From, e.Name)
		}
	}
	r.out.do(reply)
}

// covers reports whether a list of holders is right in this peer's view:
// every home holder that takes writes is on it, and as many as there can be.
func (r *Ring) covers(k wire.Pos, holders []wire.ID) bool {
	if !r.view.inRing() {
		return false
	}
	places := 0
	for _, h := range r.view.holders(k, nil) {
		if h.home && h.use && !slices.Contains(holders, h.id) {
			return false
		}
		if h.use {
			places++
		}
	}
	return len(holders) >= places
}

// moving turns the ends of transfers into notices.
func (r *Ring) moving(e Moving) {
	if e.Peer == r.view.self {
		return
	}
	switch e.Phase {
	case Sending:
		r.out.notify(SendingFile, e.Peer, e.Name)
	case Sent:
		r.out.notify(FileSent, e.Peer, e.Name)
	case Receiving:
		r.out.notify(HadFile, e.Peer, e.Name)
		r.out.notify(ReceivingFile, e.Peer, e.Name)
	case Got:
		r.out.notify(FileReceived, e.Peer, e.Name)
	}
}

func (r *Ring) rosterChanged(now Time, to Roster) {
	was := r.view.circle
	r.roster = to
	r.tune()
	r.copies.reset(now) // before the members it counts are others
	r.view.setRoster(to)
	for _, m := range was.members {
		if !r.view.has(m.ID) || r.view.circle.get(m.ID) != m {
			r.lost(now, m.ID)
			r.erase(m.ID)
		}
	}
}

// erase drops what was known of a member that another roster has taken out,
// or whose id it has given to another key.
func (r *Ring) erase(id wire.ID) {
	delete(r.links.lines, id)
	r.spread.forget(id)
	r.detect.drop(id)
	delete(r.join.refused, id)
	r.copies.forget(id)
	r.ops.forget(id)
}

// tick does what time alone brings.
func (r *Ring) tick(now Time) {
	if !r.begun {
		r.begun = true
		r.join.started = now
		r.own.raise(0, &r.out)
	}
	if r.exit != 0 && now >= r.exit && r.own.durable == r.own.asked {
		r.exit = never
		r.out.do(Exit{})
		return
	}
	if r.own.state == 0 && r.exit == 0 {
		if now >= r.join.due {
			r.tryJoin(now)
		}
	}
	for _, id := range r.detect.step(now, r.view, &r.links, &r.out) {
		r.cast(id, wire.Unreachable)
	}
	for _, id := range r.links.step(now, r.view, &r.out) {
		r.detect.ask(id, r.view, &r.out)
	}
	for _, j := range r.detect.missing(now, r.view, &r.links) {
		r.cast(j.member, j.verdict)
	}
	r.copies.step(now, r.view, &r.links, &r.out)
	r.ops.step(now, r.scene())
	if now >= r.save {
		r.saveView(now)
	}
}

// tryJoin goes on with coming into the ring. Nothing is asked before the
// incarnation of this run is on disk.
func (r *Ring) tryJoin(now Time) {
	r.join.due = now + r.interval()/8
	if r.own.durable != r.own.asked {
		return
	}
	if r.join.step(now, r.view, &r.links, r.route, &r.out) {
		r.join.find = nil
		r.own.begin(wire.Joining, r.view)
	}
}

// follow does what follows from the event, once: the ring as it is now, the
// notices, the news for others, the own state.
func (r *Ring) follow(now Time, from int) {
	r.view.settle()
	if r.view.changed {
		r.view.changed = false
		r.save = min(r.save, r.saved+saveWait*r.interval())
		r.console.step(r.view, &r.join, &r.out)
		r.copies.changed(now, r.view, &r.links, &r.out)
		if r.view.inRing() && r.detect.due == 0 {
			r.detect.start(now)
		}
		if !r.view.inRing() {
			r.detect.stop()
		}
	}
	if r.view.charged() && (r.refuted == 0 || now-r.refuted >= r.interval()) {
		r.refuted = now
		r.refute()
	}
	if r.view.cut {
		r.detect.steady = now
	}
	r.settleState()
	r.left(now)
	r.heal(now)
	r.spread.add(now, from, r.view)
	r.spread.step(now, r.links.peers, r.view, &r.out)
	r.ops.sweep()
}

// settleState makes this peer active when its ranges agree with those of every
// reachable home holder of them, and says what its disk is like.
func (r *Ring) settleState() {
	if s := r.own.state; s == 0 || s >= wire.Stopped || !r.view.inRing() {
		return
	}
	if r.own.state != wire.Joining || !r.behind() {
		r.own.become(r.disk, &r.out)
	}
}

// stuckBehind is how many intervals after the last version came here a peer
// waits for those that should settle it. Then the word of another is enough;
// if there is none, and nothing is on its way, it asks again by a new
// incarnation.
const stuckBehind = 20

// heal asks again when nobody seems to know that this peer is behind.
func (r *Ring) heal(now Time) {
	behind, since := r.view.inRing() && r.behind(), r.agreed
	if !r.copies.accord.given { // else one that gives a little now and then could keep it waiting
		since = max(since, r.copies.gained)
	}
	switch {
	case !behind:
		r.agreed = now
	case now-since <= stuckBehind*r.interval():
	case r.copies.accord.excuse(r.view, r.own.since):
		r.agreed = now
	case r.copies.pending() == 0:
		r.agreed = now
		r.refute()
	}
}

// Next returns when the next Tick is due, at the latest.
func (r *Ring) Next() Time {
	if !r.begun {
		return 0
	}
	t := min(r.detect.next(&r.links), r.copies.next(r.view), r.ops.next(), r.spread.next(), r.links.next(r.view))
	if r.own.state == 0 && r.exit == 0 {
		t = min(t, r.join.due)
	}
	if r.exit != 0 && r.own.durable == r.own.asked {
		t = min(t, r.exit)
	}
	if len(r.leaving) > 0 {
		t = min(t, max(r.leaveAt, r.copies.progress+stillHolding*r.interval()))
	}
	return t
}
