package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"securepeer/internal/store"
	"securepeer/ring"
	"securepeer/wire"
)

// Implementation constants.
const (
	// maxTries is how often one holder is tried for one file.
	maxTries = 2
	// lookEach is how often a fetch looks how fast its bytes come.
	lookEach = 100 * time.Millisecond
	// lateAfter is how long a holder is left alone before another one races it
	// for the blocks to come, if at its pace the rest takes longer than lateLeft.
	lateAfter = 500 * time.Millisecond
	lateLeft  = 2 * time.Second
	// raceTime is how long a race goes on from the other's first byte, and
	// raceBy how many times as much it has to bring to go on in the first's place.
	// A race costs bytes, on a slow line those of the file: after one in vain there
	// is none for racePause, then twice as long, up to maxRacePause.
	raceTime     = time.Second
	raceBy       = 2
	racePause    = time.Second
	maxRacePause = time.Minute
	// askTime is how long it may take to find other holders.
	askTime = 5 * time.Second
	// sayEach is how often the ring is told that a pull goes on.
	sayEach = 5 * time.Second
	// silentTime is how long the other one may take for its first byte.
	silentTime = 5 * time.Second
)

// fetch brings the bytes of one version to a sink, in order, each block
// checked, from the first holder that has them. While that one is slow another
// is asked for the same blocks, and the first good bytes win: the faster of the
// two goes on. Another one goes on, too, at the block where one died or lied.
type fetch struct {
	node     *Node
	manifest wire.Manifest
	version  store.Version
	holders  []*holder
	sink     sink
	began    time.Time
	begun    func(from wire.ID)              // or nil; called once, when bytes are about to come
	more     func(context.Context) []wire.ID // or nil; called once, when no holder is left, or none but a slow one

	asks  awaited         // for which it waits now
	list  *store.Verifier // nil until one holder has sent a good block list
	next  int64           // the block that the sink wants
	from  wire.ID         // who gave the last one
	whole bool

	streams  sync.WaitGroup
	arrivals chan arrival   // of lead and rival, and of those that were set aside
	found    chan []wire.ID // what more has found; nil: it is not asked
	lead     *stream        // nil: none is left
	rival    *stream        // races it; nil: none does
	came     atomic.Int64   // bytes of all streams
	goesOn   func()         // or nil; called each sayEach in which some come
	said     time.Duration  // when it was, by the clock
	saidOf   int64          // and how many had come
	clock    time.Duration  // how long streams were waited for in all
	raceAt   time.Duration  // by that clock: not before
	pause    time.Duration  // after the next race in vain
}

type holder struct {
	peer  wire.ID
	tries int
	raced int // races that it lost
	slow  bool
	lied  bool
	err   error
}

func (n *Node) newFetch(m wire.Manifest, sources []wire.ID, s sink) *fetch {
	f := &fetch{node: n, manifest: m, version: versionOf(n.members.book().Space, m), sink: s,
		arrivals: make(chan arrival), pause: racePause, began: time.Now()}
	for _, id := range n.rates.fastFirst(sources) {
		f.holders = append(f.holders, &holder{peer: id})
	}
	return f
}

// run fetches the whole file. The error is ctx's, the sink's, or says what is
// wrong with the holders.
func (f *fetch) run(ctx context.Context) error {
	defer f.streams.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := f.fetch(ctx); err != nil {
		return err
	}
	// The one that gave the last byte ends by itself: its link is used again.
	for _, s := range []*stream{f.lead, f.rival} {
		if s != nil {
			f.remember(s)
			if s.holder.peer != f.from {
				s.cancel(nil)
			}
		}
	}
	f.streams.Wait()
	return nil
}

func (f *fetch) fetch(ctx context.Context) error {
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	for !f.whole {
		if f.lead == nil {
			h := f.best()
			switch {
			case h != nil:
				f.lead = f.open(ctx, h)
			case f.more != nil:
				f.ask(ctx)
			case f.found == nil:
				return f.exhausted()
			}
		}
		began := time.Now()
		f.asks.set(f.lead, f.rival)
		var a arrival
		select {
		case a = <-f.arrivals:
		case ids := <-f.found:
			f.found = nil
			f.again(ids)
		case <-tick.C:
		case <-ctx.Done():
			f.asks.set()
			return ctx.Err()
		}
		f.asks.set() // what follows is this machine's, and its user's
		f.passes(time.Since(began))
		if err := f.arrived(a); err != nil {
			return err
		}
		f.judge(ctx)
	}
	return nil
}

// passes notes for how long the streams were waited for. That a user, or this
// peer's own disk, takes its time is no fault of theirs.
func (f *fetch) passes(waited time.Duration) {
	f.clock += waited
	for _, s := range []*stream{f.lead, f.rival} {
		if s != nil {
			got := s.got.Load()
			s.pace.add(got-s.seen, waited)
			f.came.Add(got - s.seen)
			s.seen = got
			if s.age += waited; s.linked.Load() {
				s.asked += waited
			}
		}
	}
	if came := f.came.Load(); f.goesOn != nil && f.clock-f.said >= sayEach && came > f.saidOf {
		f.said, f.saidOf = f.clock, came
		f.goesOn()
	}
}

// arrived takes what a stream has brought. The error is the sink's.
func (f *fetch) arrived(a arrival) error {
	if a.from == nil || a.from != f.lead && a.from != f.rival {
		return nil
	}
	err := a.err
	switch {
	case a.ended:
		f.whole = err == nil // a file without bytes
	case a.has:
		if err = f.start(a.from.holder.peer, a.list); err == nil {
			close(a.from.good)
		}
	case a.index == f.next:
		err = f.take(a.from.holder.peer, a.data)
	}
	if a.data != nil {
		a.from.free <- a.data[:cap(a.data)] // it has a place
	}
	var mine *sinkError
	switch {
	case errors.As(err, &mine):
		return mine.error
	case err != nil:
		f.end(a.from, err)
	}
	return nil
}

// start gives the sink the block list and notes who is about to send.
func (f *fetch) start(id wire.ID, list []byte) error {
	if f.list == nil {
		v, err := store.NewVerifier(list, f.manifest.Blocks, int64(f.manifest.Size))
		if err != nil {
			return fmt.Errorf("%w: %w", errBlockList, err)
		}
		if err := f.sink.begin(v); err != nil {
			return &sinkError{err}
		}
		f.list = v
	}
	if f.begun != nil {
		f.begun(id)
		f.begun = nil
	}
	return nil
}

// take gives the next block to the sink.
func (f *fetch) take(from wire.ID, data []byte) error {
	err := f.sink.block(f.next, data)
	var bad *store.BlockError
	switch {
	case errors.As(err, &bad):
		return err
	case err != nil:
		return &sinkError{err}
	}
	f.next++
	f.from = from
	f.whole = uint64(f.next)*wire.BlockSize >= f.manifest.Size
	return nil
}

var (
	errBlockList = errors.New("block list is not the manifest's")
	errSilent    = errors.New("sends nothing")
	errSlow      = fmt.Errorf("sends less than %d bytes a second", leastRate)
	errOutrun    = errors.New("is slower than another holder")
)

// end sets a stream aside whose holder has failed.
func (f *fetch) end(s *stream, err error) {
	f.setAside(s, err)
	h := s.holder
	h.err = err
	if s.got.Load() > 0 && f.next > s.first && err != errSlow && !errors.Is(err, os.ErrDeadlineExceeded) {
		h.tries = 1 // it gave something: the file ends, so this does too
	}
	f.blame(h)
}

func (f *fetch) setAside(s *stream, why error) {
	s.cancel(why)
	f.remember(s)
	if s == f.lead {
		f.lead = f.rival
	}
	f.rival = nil
}

// remember notes how fast a holder was.
func (f *fetch) remember(s *stream) {
	if s.holder.peer != f.node.self && s.linked.Load() {
		f.node.rates.gave(s.holder.peer, s.got.Load(), s.total, s.asked)
	}
}

// judge ends streams that stand still, and sees to it that a slow one is not
// waited for while another is faster.
func (f *fetch) judge(ctx context.Context) {
	for _, s := range []*stream{f.lead, f.rival} {
		if s != nil && !f.whole {
			if err := s.stands(); err != nil {
				f.end(s, err)
			}
		}
	}
	switch {
	case f.whole || f.lead == nil:
	case f.rival != nil:
		f.decide()
	case f.late():
		f.race(ctx)
	}
}

// left is how many bytes are still to come, without the block list.
func (f *fetch) left() int64 { return int64(f.manifest.Size) - f.next*wire.BlockSize }

// late reports whether the rest takes long at the pace of now.
func (f *fetch) late() bool {
	if f.lead.age < lateAfter || f.clock < f.raceAt {
		return false
	}
	rate := f.lead.pace.rate()
	return rate <= 0 || float64(f.left())/float64(rate) > lateLeft.Seconds()
}

// race has another holder asked as well, or who else there is.
func (f *fetch) race(ctx context.Context) {
	if h := f.other(); h != nil {
		f.rival = f.open(ctx, h)
	} else if f.more != nil {
		f.ask(ctx)
	}
}

// other is the holder to race the lead: the one that did least in vain, if it
// is not known, of this fetch or of just before, for no more than the lead brings now.
func (f *fetch) other() *holder {
	var other *holder
	rate := f.lead.pace.rate()
	for _, h := range f.holders {
		gives := f.node.rates.givenSince(h.peer, f.began)
		if h == f.lead.holder || h.lied || h.tries >= maxTries || gives > 0 && gives < raceBy*rate {
			continue
		}
		if other == nil || h.raced+h.tries < other.raced+other.tries {
			other = h
		}
	}
	return other
}

// decide ends a race when it is decided.
func (f *fetch) decide() {
	lead, rival := f.lead, f.rival
	switch {
	case rival.seen == 0 && rival.age > silentTime:
		f.end(rival, errSilent)
	case rival.seen == 0:
	case rival.racing < 0:
		rival.racing, rival.against, rival.base = f.clock, lead.seen, rival.seen
	case f.clock-rival.racing < raceTime && rival.seen-rival.base < wire.BlockSize:
	case rival.seen-rival.base > raceBy*(lead.seen-rival.against):
		f.node.log.Info("holder is slow, another goes on", "peer", f.node.members.book().name(lead.holder.peer),
			"file", f.manifest.Name, "rate", lead.pace.rate())
		lead.holder.slow, lead.holder.err = true, errOutrun
		lead.holder.raced++
		lead.holder.tries--
		f.setAside(lead, errOutrun)
		f.pause = racePause
	default:
		rival.holder.raced++
		rival.holder.tries--
		f.setAside(rival, errOutrun)
		f.raceAt, f.pause = f.clock+f.pause, min(2*f.pause, maxRacePause)
	}
}

// ask finds other holders, beside what goes on. It ends with ctx, or in askTime;
// run waits for it.
func (f *fetch) ask(ctx context.Context) {
	more, found := f.more, make(chan []wire.ID, 1) // one place
	f.more, f.found = nil, found
	f.streams.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		found <- more(ctx)
	})
}

// again takes holders in that were found later, and gives those that failed
// and did not lie one more try.
func (f *fetch) again(found []wire.ID) {
	for _, id := range found {
		i := slices.IndexFunc(f.holders, func(h *holder) bool { return h.peer == id })
		if i < 0 {
			f.holders = append(f.holders, &holder{peer: id})
		} else {
			f.holders[i].tries = min(f.holders[i].tries, maxTries-1)
		}
	}
}

// best is who to try now: in the order of the sources, the least tried first,
// a slow one when nobody else is left.
func (f *fetch) best() *holder {
	var best *holder
	for _, h := range f.holders {
		if h.lied || h.tries >= maxTries {
			continue
		}
		if best == nil || best.slow && !h.slow || best.slow == h.slow && h.tries < best.tries {
			best = h
		}
	}
	return best
}

// blame notes and logs what a holder did.
func (f *fetch) blame(h *holder) {
	name := f.node.members.book().name(h.peer)
	var bad *store.BlockError
	if !errors.As(h.err, &bad) && !errors.Is(h.err, errBlockList) && !errors.Is(h.err, store.ErrDamaged) {
		f.node.log.Info("holder failed", "peer", name, "file", f.manifest.Name, "error", h.err)
		return
	}
	h.lied = true
	f.node.refused.add(name, "block with a wrong hash")
	if h.peer == f.node.self && bad != nil {
		// This peer's own disk is what lied.
		if err := f.node.disk.Quarantine(f.version, bad.Block); err != nil && !errors.Is(err, store.ErrNotFound) {
			f.node.log.Error("quarantining", "file", f.manifest.Name, "error", err)
		}
	}
}

// exhausted says why no holder is left.
func (f *fetch) exhausted() error {
	var liars []string
	e := &UnavailableError{Name: f.manifest.Name}
	for _, h := range f.holders {
		if h.lied {
			liars = append(liars, f.node.members.book().name(h.peer))
		} else {
			f.node.lacks(e, h.peer, h.err)
		}
	}
	if len(liars) > 0 && len(liars) == len(f.holders) {
		return &IntegrityError{Name: f.manifest.Name, Peers: liars}
	}
	return e
}

// healed reports whether this peer's own copy was found bad on the way.
func (f *fetch) healed() bool {
	return slices.ContainsFunc(f.holders, func(h *holder) bool { return h.lied && h.peer == f.node.self })
}

// pull makes sure that a version is on this disk, checked when it came and
// synced.
func (n *Node) pull(a ring.Pull, sources []wire.ID) wire.Code {
	b := n.members.book()
	v := versionOf(b.Space, a.Manifest)
	present, synced, err := n.disk.Has(v)
	if present && !synced { // of an earlier run, as a rule: it counts as soon as that is settled
		select {
		case <-n.disk.Settled():
		case <-n.ctx.Done():
			return wire.CodeBusy
		}
		_, synced, err = n.disk.Has(v)
	}
	if err != nil {
		return n.disk.code(err)
	}
	if synced {
		return wire.CodeOK
	}
	if a.Manifest.Flags&wire.Tombstone != 0 {
		return n.bury(b.Space, a.Manifest)
	}
	if code, ok := n.disk.adopt(b.Space, a.Manifest); ok {
		return code
	}
	if code := n.disk.room(int64(a.Manifest.Size)); code != wire.CodeOK {
		return code // before 32 bytes for each MiB of it come to memory
	}
	sink := &storeSink{disk: n.disk}
	f := n.newFetch(a.Manifest, sources, sink)
	f.goesOn = func() {
		n.post(happened{event: ring.Pulling{Version: ring.Version{Key: wire.Pos(v.Key), Sum: v.Sum}}})
	}
	f.begun = func(wire.ID) { // not before: who offers what nobody has must not have everybody asked
		f.more = func(ctx context.Context) []wire.ID { return n.holdersOf(ctx, nil, a.Manifest.Name, v.Sum) }
	}
	err = f.run(n.ctx)
	if sink.writer != nil {
		defer sink.writer.Abort() // does nothing after a commit
	}
	if err != nil {
		return n.pullCode(f, err)
	}
	return n.disk.commit(sink.writer, b.Space, a.Manifest)
}

// pullCode is what the ring is told of a fetch that failed.
func (n *Node) pullCode(f *fetch, err error) wire.Code {
	var wrong *IntegrityError
	if errors.As(err, &wrong) {
		return wire.CodeInvalid
	}
	if errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrStuck) || lasting(err) {
		return n.disk.code(err)
	}
	for _, h := range f.holders {
		var r *refusalError
		if errors.As(h.err, &r) && r.code != wire.CodeUnreadable { // which would be said of this disk
			return r.code
		}
	}
	return wire.CodeBusy
}

// bury writes a tombstone, which has no bytes.
func (n *Node) bury(space wire.Space, m wire.Manifest) wire.Code {
	w, err := n.disk.Create(0)
	if err != nil {
		return n.disk.code(err)
	}
	defer w.Abort() // does nothing after a commit
	return n.disk.commit(w, space, m)
}
