package node

import (
	"cmp"
	"sync"
	"time"

	"securepeer/internal/store"
	"securepeer/ring"
	"securepeer/wire"
)

// Implementation constants.
const (
	// jobWorkers read the disk for the ring and for others' questions; puts,
	// gets and pulls have goroutines of their own. One is for this peer's own
	// alone, and no other member has more than one.
	jobWorkers = 4
	// maxAsked bounds the questions of each other member that wait: twice what its
	// ring asks at once for its users. The ring bounds its own questions.
	maxAsked = 2048
	// askedFor is how long who asks waits for an answer, at the most: a later
	// one is nobody's.
	askedFor = listTime
	// A member asks too much if maxDropped of its questions in a dropWindow get no
	// answer though, while they waited, this peer read fairRead versions a second
	// for that member, a question counting as one. At that rate all that a member's
	// ring asks at once is answered within askedFor, if names have 20 versions; a
	// disk that is slow, or a peer that is busy for others, does not come up to it.
	fairRead   = 4096
	maxDropped = 128
	dropWindow = time.Minute
)

// tooMuchAsked is the cause for which such a member is named.
const tooMuchAsked = "more questions than are answered for one member"

// job is one thing to do with the disk: an action of the ring, or a List of
// another member.
type job struct {
	action ring.Action
	list   *wire.List
	from   wire.ID
	at     time.Time // when it was asked for
	read   uint64    // versions read for its asker until then
}

// jobs are the queues between the loop, which never waits, and the workers. Each
// member has its own, and pays for what it asks with time: whoever has had the
// least is next. So one that asks for much, or for what takes long, waits alone.
type jobs struct {
	self  wire.ID
	blame func(wire.ID) // is told each question too much of a member; never waits

	mu     sync.Mutex
	queues map[wire.ID]*asked // with jobs, or with more time had than the others
	others int                // workers that are busy for other members
	had    time.Duration      // the time had of who was served last
	served uint64
	wake   chan struct{} // jobWorkers places: one for each that may sleep
}

// asked is what one member waits for.
type asked struct {
	jobs    []job
	running int
	had     time.Duration // what its jobs took; that of the others when it came
	last    uint64        // in what order it was last served
	read    uint64        // versions read for its jobs, and a job counts as one
	dropped int           // its questions that got no answer, since then, by no fault of this peer
	since   time.Time
}

func newJobs(self wire.ID, blame func(wire.ID)) *jobs {
	return &jobs{self: self, blame: blame, queues: make(map[wire.ID]*asked), wake: make(chan struct{}, jobWorkers)}
}

// asker is the member that caused the job: self if nobody else did.
func (j job) asker(self wire.ID) wire.ID {
	if j.list != nil {
		return j.from
	}
	if a, ok := j.action.(ring.Answer); ok {
		return a.To
	}
	return self
}

// add reports false, and does nothing, if too many questions of the asker wait.
func (q *jobs) add(j job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	asker := j.asker(q.self)
	a := q.queues[asker]
	if a == nil {
		a = &asked{had: q.had}
		q.queues[asker] = a
	}
	if asker != q.self && len(a.jobs) >= maxAsked {
		q.dropLocked(asker, a, a.jobs[0])
		return false
	}
	j.at, j.read = time.Now(), a.read
	a.jobs = append(a.jobs, j)
	select {
	case q.wake <- struct{}{}:
	default: // every worker is awake, or about to look
	}
	return true
}

// next is the next job of who has had the least, and may have a worker now.
// The caller reports its end with done.
func (q *jobs) next() (job, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var first *asked
	from := q.self
	for id, a := range q.queues {
		for id != q.self && len(a.jobs) > 0 && time.Since(a.jobs[0].at) > askedFor {
			q.dropLocked(id, a, a.jobs[0]) // nobody waits for it any more
			a.jobs[0] = job{}
			a.jobs = a.jobs[1:]
		}
		switch {
		case len(a.jobs) == 0 || id != q.self && (a.running > 0 || q.others == jobWorkers-1):
		case first == nil || cmp.Or(cmp.Compare(a.had, first.had), cmp.Compare(a.last, first.last)) < 0:
			first, from = a, id
		}
	}
	if first == nil {
		return job{}, false
	}
	j := first.jobs[0]
	first.jobs[0] = job{}
	first.jobs = first.jobs[1:]
	q.served++
	first.last, q.had = q.served, max(q.had, first.had)
	first.running++
	if from != q.self {
		q.others++
	}
	return j, true
}

// dropLocked notes that a question of a member gets no answer because oldest, or
// those before, are not done yet. That is its own doing if meanwhile enough was done
// for it.
func (q *jobs) dropLocked(id wire.ID, a *asked, oldest job) {
	now := time.Now()
	if float64(a.read-oldest.read) < fairRead*now.Sub(oldest.at).Seconds() {
		return
	}
	if now.Sub(a.since) > dropWindow {
		a.dropped, a.since = 0, now
	}
	if a.dropped++; a.dropped > maxDropped {
		q.blame(id)
	}
}

// done notes that a job has ended, how long it took, and how many versions it has
// read.
func (q *jobs) done(j job, took time.Duration, read int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	asker := j.asker(q.self)
	a := q.queues[asker]
	a.running--
	a.had += took
	a.read += 1 + uint64(read)
	if asker != q.self {
		q.others--
	}
	for id, a := range q.queues {
		if len(a.jobs) == 0 && a.running == 0 && a.had <= q.had {
			delete(q.queues, id)
		}
	}
}

// lost forgets what a member asked whose link has fallen: nobody hears the
// answers.
func (q *jobs) lost(peer wire.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if a := q.queues[peer]; a != nil && peer != q.self {
		a.jobs = nil
	}
}

// workJobs is one worker. It ends when the node does.
func (n *Node) workJobs() {
	for {
		select {
		case <-n.jobs.wake:
		case <-n.ctx.Done():
			return
		}
		for j, ok := n.jobs.next(); ok && n.ctx.Err() == nil; j, ok = n.jobs.next() {
			began := time.Now()
			read := n.do(j)
			n.jobs.done(j, time.Since(began), read)
		}
	}
}

// do does one job, and says how many versions it has read for a question.
func (n *Node) do(j job) (read int) {
	if j.list != nil {
		return n.answerList(j.from, *j.list)
	}
	switch a := j.action.(type) {
	case ring.Answer:
		return n.answer(a)
	case ring.SendOffer:
		n.sendOffer(a)
	case ring.Scan:
		result, err := n.disk.scan(a)
		if err != nil {
			n.disk.failed(err)
			n.log.Error("listing versions", "error", err)
			result.Failed = true
		}
		n.post(happened{event: result})
	}
	return 0
}

// answer looks a name up. A disk that cannot be read never says no.
func (n *Node) answer(a ring.Answer) (read int) {
	found := wire.Found{Req: a.Req, Code: a.Code, Home: a.Home}
	ms, read, err := n.disk.look(n.members.book().Space, a.Name)
	if err != nil {
		n.disk.failed(err)
		n.log.Error("looking a name up", "error", err)
		found.Code = wire.CodeUnreadable
	}
	found.Manifests = ms
	if a.To == n.self {
		n.unread.Store(&err)
		n.post(happened{event: ring.Received{From: n.self, Msg: found}})
	} else {
		n.post(sending{a.To, found})
	}
	return read
}

func (n *Node) sendOffer(a ring.SendOffer) {
	e, err := n.disk.Find(store.Version{Key: uint64(a.Version.Key), Sum: a.Version.Sum})
	var m wire.Manifest
	if err == nil {
		m, err = n.disk.manifest(e)
	}
	if err != nil || !n.disk.may(m) {
		missing := err == nil || n.disk.code(err) == wire.CodeNotFound
		n.post(happened{event: ring.OfferFailed{Peer: a.To, Req: a.Req, Missing: missing}})
		return
	}
	n.offered.add(a.To, a.Version.Sum)
	n.post(sending{a.To, wire.Offer{Req: a.Req, Source: n.self, Manifest: m}})
}

func (n *Node) answerList(from wire.ID, m wire.List) (read int) {
	listed, read, err := n.disk.listed(m.Prefix, m.After)
	if err != nil {
		n.disk.failed(err)
		n.log.Error("listing names", "error", err)
		listed = wire.Listed{Code: wire.CodeUnreadable}
	}
	listed.Req = m.Req
	n.post(sending{from, listed})
	return read
}

// maxOffered bounds what offers remembers.
const maxOffered = 4096

// offers remembers which versions were offered to whom: a holder that streams
// one of those moves a copy, and tells no user of it.
type offers struct {
	mu    sync.Mutex
	known map[offerKey]struct{}
}

type offerKey struct {
	to  wire.ID
	sum wire.Sum
}

func (o *offers) add(to wire.ID, sum wire.Sum) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.known) >= maxOffered {
		clear(o.known) // a notice too many is all that comes of it
	}
	o.known[offerKey{to, sum}] = struct{}{}
}

func (o *offers) has(to wire.ID, sum wire.Sum) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.known[offerKey{to, sum}]
	return ok
}

// state is what waits to be written to disk.
type state struct {
	mu sync.Mutex
	toWrite
	wake chan struct{} // one place
}

// toWrite is that: the next one of each kind replaces the one before.
type toWrite struct {
	persist   []wire.Incarnation // each is reported
	view      []wire.Row
	hasView   bool
	addresses []byte
	hasBook   bool // addresses are to be written
}

func (s *state) add(act func(*state)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	act(s)
	offer(s.wake, struct{}{})
}

// take returns what waits, and empties it.
func (s *state) take() toWrite {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.toWrite
	s.toWrite = toWrite{}
	return taken
}

// writeState writes incarnations, views and addresses. It ends when the node
// does.
func (n *Node) writeState() {
	for {
		select {
		case <-n.state.wake:
		case <-n.ctx.Done():
			return
		}
		s := n.state.take()
		for _, i := range s.persist {
			for err := n.disk.persist(i); err != nil; err = n.disk.persist(i) {
				n.log.Error("incarnation is not on disk, trying again", "error", err)
				if !n.wait(persistAgain) {
					return
				}
			}
			n.post(happened{event: ring.Persisted{Incarnation: i}})
		}
		if s.hasView {
			n.disk.saveView(s.view)
		}
		if s.hasBook {
			n.disk.saveAddresses(s.addresses)
		}
	}
}

// pulls are the versions that are to be fetched to this disk; each has a
// goroutine, and the ring bounds their number.
func (n *Node) startPull(a ring.Pull) {
	// Ends when the pull does, at the latest when the node ends, which waits.
	n.work.Go(func() {
		v := versionOf(n.members.book().Space, a.Manifest)
		x := ring.Version{Key: wire.Pos(v.Key), Sum: v.Sum}
		had, _, _ := n.disk.Has(v) // with an error, nothing is pulled either
		if a.Leave && !had && n.uploads.bring(a.Manifest, time.Now()) {
			n.post(happened{event: ring.Uploading{Version: x}})
			return
		}
		code := n.pull(a, []wire.ID{a.From})
		n.post(happened{event: ring.Pulled{Version: x, Code: code, New: !had}})
	})
}

// heal fetches anew what was found damaged on this disk; the ring believes
// that it is here.
func (n *Node) heal(m wire.Manifest, sources []wire.ID) {
	others := make([]wire.ID, 0, len(sources))
	for _, id := range sources {
		if id != n.self {
			others = append(others, id)
		}
	}
	if len(others) == 0 || !n.enter() {
		return
	}
	// Ends when the pull does, at the latest when the node ends, which waits.
	go func() {
		defer n.work.Done()
		if code := n.pull(ring.Pull{Manifest: m}, others); code != wire.CodeOK {
			n.log.Error("damaged copy is not healed", "file", m.Name, "code", code)
		}
	}()
}
