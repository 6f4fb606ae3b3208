package node

import (
	"math/rand/v2"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// Implementation constants.
const (
	// minTick keeps a loop whose ring is always due from taking a whole core.
	minTick = 100 * time.Microsecond
	// stopTime is how long the ring may take to say goodbye, flushTime how
	// long what it said may take to leave.
	stopTime  = 3 * time.Second
	flushTime = time.Second
	// saveAddressesEach is the least time between two writes of the address
	// book while the peer runs.
	saveAddressesEach = 10 * time.Second
)

// input is what the loop takes; one of the types below, by value.
type input interface{ input() }

// happened is an event for the ring. source is where a ping came from, ours
// what of a ring.NotSent was this machine's fault.
type happened struct {
	event  ring.Event
	source path
	ours   error
}

// linkUp says that a ring link is confirmed, linkDown that it is over; ended: by the
// other side's end, and not by a cut.
type linkUp struct{ link *link }

type linkDown struct {
	link  *link
	ended bool
}

// dialFailed says that a dial of a ring link came to nothing.
type dialFailed struct {
	peer wire.ID
	err  error
}

// sending is a message of the node itself, or an answer that a worker made.
type sending struct {
	to  wire.ID
	msg wire.Message
}

// asking wants a snapshot. It has one place: the loop never waits.
type asking struct{ answer chan snapshot }

// awaiting wants to know which members an operation waits for. It has one place:
// the loop never waits.
type awaiting struct {
	op     ring.Op
	answer chan []wire.ID
}

func (happened) input()   {}
func (linkUp) input()     {}
func (linkDown) input()   {}
func (dialFailed) input() {}
func (sending) input()    {}
func (asking) input()     {}
func (awaiting) input()   {}

// loop owns the ring and the table of links: only the goroutine of Run touches
// them. It never waits for a disk, a dial or a link.
type loop struct {
	node    *Node
	ring    *ring.Ring
	links   *links
	notices map[wire.ID]*notices // by whom they are about
	pending []ring.Event         // that came of an action; taken before the next input
	actions []ring.Action
	timer   *time.Timer
	renewed time.Time // when links were last looked at for their age
	saved   time.Time // when addresses last were
	ready   bool
	over    bool
	err     error
}

func (n *Node) newLoop() (*loop, error) {
	b := n.members.book()
	saved, err := n.disk.savedView(b, n.verify)
	if err != nil {
		return nil, err
	}
	c := ring.Config{
		Requests:    rand.Uint32(),
		Self:        n.self,
		Roster:      b.ringRoster(&n.config),
		Store:       n.disk.ID(),
		Incarnation: n.disk.last,
		Saved:       saved,
		Disk:        n.disk.health(),
		Sign:        func(msg []byte) wire.Sig { return n.config.Secret.Sign(msg) },
	}
	if m, ok := b.ByName(n.config.Contact); ok {
		c.Contact, c.HasContact = m.ID, true
	}
	return &loop{node: n, ring: ring.New(c), links: &links{node: n, pairs: make(map[wire.ID]*pair)},
		notices: make(map[wire.ID]*notices)}, nil
}

// post gives the loop an input, and waits while it is busy. It reports false
// if the node ends.
func (n *Node) post(in input) bool {
	select {
	case n.inputs <- in:
		return true
	case <-n.ctx.Done():
		return false
	}
}

// run drives the ring until it exits. The error is the ring's: why it must.
func (l *loop) run() error {
	l.timer = time.NewTimer(0)
	defer l.timer.Stop()
	stop := l.node.life.stop
	var late <-chan time.Time
	for !l.over {
		select {
		case in := <-l.node.inputs:
			l.take(in)
		case in := <-l.node.pinged:
			l.take(in)
		case <-l.timer.C:
			l.step(ring.Tick{}, path{})
		case <-stop:
			stop = nil
			late = time.After(stopTime)
			l.step(ring.Stop{}, path{})
		case <-late:
			l.over = true
		}
		l.settle()
	}
	l.flush()
	return l.err
}

// settle takes the events that came of actions, tells whoever waits for Ready,
// and sets the clock for the next tick.
func (l *loop) settle() {
	for len(l.pending) > 0 {
		ev := l.pending[0]
		l.pending = l.pending[1:]
		l.step(ev, path{})
	}
	if !l.ready && l.ring.InRing() {
		l.ready = true
		close(l.node.ready)
		l.node.log.Info("in the ring", "ring", l.node.members.book().Ring)
	}
	if time.Since(l.renewed) > time.Second {
		l.renewed = time.Now()
		l.links.renew()
		l.saveAddresses()
	}
	l.timer.Reset(max(time.Duration(l.ring.Next()-l.now()), minTick))
}

// saveAddresses has the address book written if there is news, not too often.
func (l *loop) saveAddresses() {
	if !l.saved.IsZero() && time.Since(l.saved) < saveAddressesEach {
		return
	}
	if text, news := l.node.addresses.save(); news {
		l.saved = time.Now()
		l.node.state.add(func(s *state) { s.addresses, s.hasBook = text, true })
	}
}

// now is the ring's clock. It never goes back and is never 0.
func (l *loop) now() ring.Time { return ring.Time(time.Since(l.node.began)) + 1 }

func (l *loop) take(in input) {
	switch in := in.(type) {
	case happened:
		l.note(in)
		l.step(in.event, in.source)
	case linkUp:
		l.pending = append(l.pending, l.links.up(in.link)...)
	case linkDown:
		l.unread(in.link)
		l.pending = append(l.pending, l.links.down(in.link, in.ended)...)
	case dialFailed:
		l.node.log.Debug("dial failed", "peer", l.node.members.book().name(in.peer), "error", in.err)
		l.pending = append(l.pending, l.links.failed(in.peer, in.err)...)
	case sending:
		l.links.send(in.to, in.msg)
	case asking:
		in.answer <- l.snapshot()
	case awaiting:
		in.answer <- l.ring.Awaits(in.op)
	}
}

// unread counts it against a member that its link was cut because it read
// nothing of it, if it was heard meanwhile: else the network is as likely.
func (l *loop) unread(k *link) {
	if k.unread.Load() && l.now()-l.ring.Heard(k.peer.ID) < ring.Time(2*l.node.interval()) {
		l.node.refused.add(k.peer.Name, "does not read its link")
	}
}

// note takes from an event what the ring has no use for.
func (l *loop) note(in happened) {
	switch ev := in.event.(type) {
	case ring.Pinged:
		p := l.links.pair(ev.From)
		p.digest, p.heard = ev.Ping.Roster, true
		if m, ok := l.node.members.book().ByID(ev.From); ok && ev.Ping.Ack {
			l.node.addresses.acked(m.Addr, ev.Ping.Echo)
			p.unsent = nil
		}
	case ring.NotSent:
		p := l.links.pair(ev.Peer)
		p.unsent, p.failed = in.ours, time.Now()
	case ring.RosterChanged:
		l.node.addresses.learn(l.node.members.book())
	}
}

// step is one step of the ring and what it wants done.
func (l *loop) step(ev ring.Event, source path) {
	if down, ok := ev.(ring.LinkDown); ok {
		l.node.lists.lost(down.Peer)
		l.node.jobs.lost(down.Peer)
		l.node.pool.left(down.Peer)
	}
	l.actions = l.ring.Step(l.now(), ev, l.actions[:0])
	for _, a := range l.actions {
		l.do(a, source)
	}
	clear(l.actions)
}

// do carries an action out or hands it to who does.
func (l *loop) do(a ring.Action, source path) {
	n := l.node
	switch a := a.(type) {
	case ring.Send:
		l.links.send(a.To, a.Msg)
	case ring.SendPing:
		if ours := n.sendPing(a, source); ours != nil && !a.Ping.Ack {
			l.note(happened{event: ring.NotSent{Peer: a.To}, ours: ours})
			l.pending = append(l.pending, ring.NotSent{Peer: a.To})
		}
	case ring.Dial:
		l.pending = append(l.pending, l.links.order(a.Peer)...)
	case ring.Hangup:
		l.pending = append(l.pending, l.links.hangup(a.Peer)...)
	case ring.Persist:
		n.state.add(func(s *state) { s.persist = append(s.persist, a.Incarnation) })
	case ring.SaveView:
		n.state.add(func(s *state) { s.view, s.hasView = a.Rows, true })
	case ring.Answer, ring.SendOffer, ring.Scan:
		if look, ok := a.(ring.Answer); !n.jobs.add(job{action: a}) && ok {
			l.links.send(look.To, wire.Refuse{Req: look.Req, Code: wire.CodeBusy})
		}
	case ring.Pull:
		n.startPull(a)
	case ring.PutReply:
		n.replies.deliver(a)
	case ring.Upload:
		n.ops.deliver(a.Op, func(p *operation) { offer(p.upload, a) })
	case ring.Fetch:
		n.ops.deliver(a.Op, func(p *operation) { offer(p.fetch, a) })
	case ring.Done:
		n.ops.deliver(a.Op, func(p *operation) { offer(p.done, a.Result) })
	case ring.Notify:
		if a.Notice.Kind == ring.MemberGone {
			n.targets.left(a.Notice.Peer, max(awayTime*n.interval(), awayLeast))
		}
		l.tell(a.Notice)
	case ring.Exit:
		l.over, l.err = true, a.Err
	}
}

// flush ends all links and waits a moment for what was said last to leave.
func (l *loop) flush() {
	late := time.NewTimer(flushTime)
	defer late.Stop()
	for _, k := range l.links.finishAll() {
		select {
		case <-k.sent:
		case <-late.C:
			return
		}
	}
}
