package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// content stands in for the bytes of a file: two with the same number and
// size are the same bytes.
type content struct {
	number uint64
	size   int64
}

// blocks stands in for the hash of the block list.
func (c content) blocks() wire.Sum {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], c.number)
	binary.BigEndian.PutUint64(b[8:], uint64(c.size))
	return sha256.Sum256(b[:])
}

// Implementation constants of transfers.
const (
	slice        = 100 * time.Millisecond // how often a transfer looks about
	stallTimeout = 15 * time.Second       // no byte has moved
)

// stream moves size bytes from one process to another over a transfer link
// and then says whether they have all arrived. It ends early when either
// process dies, and when no byte moves for too long.
func (w *World) stream(from, to *process, size int64, done func(ok bool)) {
	left := 3*w.flight() + time.Duration(float64(size)/float64(w.Config.Net.Rate)*float64(time.Second))
	if w.Config.Net.Loss > 0 {
		left = time.Duration(float64(left)*(1+4*w.Config.Net.Loss)) + w.segment()
	}
	stalled := time.Duration(0)
	end := func(ok bool) {
		if ok {
			w.Count.Streams++
		} else {
			w.Count.Torn++
		}
		done(ok)
	}
	var look func()
	look = func() {
		silent := w.blocked(from.id, to.id) || from.paused || to.paused ||
			from.dead && from.host.dark || to.dead && to.host.dark
		switch {
		case silent && stalled >= stallTimeout:
			end(false)
		case silent:
			stalled += slice
			w.after(slice, look)
		case from.dead || to.dead:
			end(false)
		case left <= 0:
			end(true)
		default:
			stalled = 0
			d := min(left, slice)
			left -= d
			w.after(d, look)
		}
	}
	w.after(0, look)
}

// reach returns the process of a member that answers a dial of p, or calls
// fail when the dial has failed.
func (p *process) reach(id wire.ID, fail func()) *process {
	h := p.world.byID[id]
	wait := 2 * p.world.flight()
	switch {
	case h == nil || h.dark || p.world.blocked(p.id, id):
		wait = dialTimeout
	case h.process != nil && h.knows(p.id) && p.host.knows(id):
		return h.process
	}
	p.world.at(p.world.now+ring.Time(wait), p, fail)
	return nil
}

// upload sends the bytes of a put to all targets at once.
func (p *process) upload(u ring.Upload) {
	op := p.ops[u.Op]
	m := p.seal(op, u)
	w := p.world
	reading := time.Duration(float64(op.content.size) / float64(w.Config.Net.Rate) * float64(time.Second))
	w.at(w.now+ring.Time(reading), p, func() {
		op.Manifest = m
		p.step(ring.Sealed{Op: u.Op, Manifest: m}, nil)
		for _, to := range u.To {
			p.uploadTo(op, to, u.Holders, m)
		}
	})
}

// seal makes the manifest that describes the bytes of a put; the same bytes
// again are the same version.
func (p *process) seal(op *Op, u ring.Upload) wire.Manifest {
	blocks := op.content.blocks()
	if same := u.Same; same != nil && same.Blocks == blocks && same.Flags&wire.Tombstone == 0 {
		return *same
	}
	m := wire.Manifest{
		Name:    op.Name,
		Version: u.Version,
		Writer:  p.id,
		Signer:  p.id,
		Mode:    0o644,
		Mtime:   p.host.wall(),
		Made:    p.host.wall(),
		Size:    uint64(op.content.size),
		Blocks:  blocks,
		Prior:   u.Prior,
	}
	m.Sig = sign(p.id, p.host.key(), m.SignedBytes(ringName, nil))
	return m
}

// wall is what the wall clock of a host shows, in Unix nanoseconds: anything, at
// any time. Nothing that a ring decides may depend on it.
func (h *Host) wall() int64 {
	return int64(rand.NewPCG(h.world.Config.Seed^uint64(h.ID), uint64(h.world.now)).Uint64())
}

// uploadTo brings the bytes to one target and reports how that ended.
func (p *process) uploadTo(op *Op, to wire.ID, holders []wire.ID, m wire.Manifest) {
	w := p.world
	ended := false
	report := func(ack wire.PutAck) {
		if ended {
			return
		}
		ended = true
		if rows := p.verified(wire.Rows{Rows: ack.Rows, Votes: ack.Votes}); len(rows.Rows)+len(rows.Votes) > 0 {
			p.step(ring.Received{From: to, Msg: rows}, nil)
		}
		kept := ack.Code == wire.CodeNotOwner
		p.step(ring.Uploaded{Op: op.ID, Peer: to, Code: ack.Code, Kept: kept}, nil)
	}
	lost := func() { report(wire.PutAck{Code: wire.CodeBusy}) }
	if to == p.id {
		p.commit(p, holders, m, report)
		return
	}
	q := p.reach(to, lost)
	if q == nil {
		return
	}
	w.stream(p, q, op.content.size, func(ok bool) {
		if !ok {
			w.at(w.now, p, lost)
			return
		}
		w.at(w.now, q, func() {
			q.commit(p, holders, m, func(ack wire.PutAck) { q.sendAck(p, ack, report) })
		})
		w.await(p, q, &ended, lost)
	})
}

// await calls lost once if q dies, or is silent for too long, before it has
// answered.
func (w *World) await(p, q *process, answered *bool, lost func()) {
	deadline := w.now + ring.Time(2*stallTimeout)
	var look func()
	look = func() {
		switch {
		case *answered:
		case q.dead && !q.host.dark || w.now >= deadline:
			lost()
		default:
			w.at(w.now+ring.Time(slice), p, look)
		}
	}
	w.at(w.now, p, look)
}

// commit puts an upload of from on the disk and asks the ring what to answer.
func (p *process) commit(from *process, holders []wire.ID, m wire.Manifest, ack func(wire.PutAck)) {
	p.store(m, m.Blocks, func(code wire.Code) {
		p.world.serves++
		serve := p.world.serves
		p.serves[serve] = ack
		p.step(ring.PutStored{
			Serve:   serve,
			From:    from.id,
			Name:    m.Name,
			Version: p.world.version(m),
			Holders: slices.Clone(holders),
			Roster:  from.host.roster.Digest,
			Code:    code,
		}, nil)
	})
}

// reply answers an upload as the ring decided.
func (p *process) reply(a ring.PutReply) {
	ack, ok := p.serves[a.Serve]
	if !ok {
		panic("sim: the ring answers an upload that nobody made")
	}
	delete(p.serves, a.Serve)
	p.world.at(p.world.now, p, func() { ack(wire.PutAck{Code: a.Code, Rows: a.Rows, Votes: a.Votes}) })
}

// sendAck carries the end of an upload back over the transfer link.
func (p *process) sendAck(to *process, ack wire.PutAck, report func(wire.PutAck)) {
	w := p.world
	m, err := wire.Parse(wire.TypePutAck, ack.Append(nil))
	if err != nil {
		panic("sim: the ring sends what does not parse: " + err.Error())
	}
	if w.blocked(p.id, to.id) {
		return
	}
	w.at(w.now+ring.Time(w.segment()), to, func() { report(m.(wire.PutAck)) })
}

// pull has a version on this disk, from another peer's if need be.
func (p *process) pull(a ring.Pull) {
	v := p.world.version(a.Manifest)
	_, have := p.host.disk.files[v]
	report := func(code wire.Code) { p.step(ring.Pulled{Version: v, Code: code, New: !have}, nil) }
	switch {
	case have && (p.synced[v] || p.counts):
		p.world.at(p.world.now, p, func() { report(wire.CodeOK) })
	case have && !p.settled:
		p.unsettled = append(p.unsettled, a)
	case a.Manifest.Flags&wire.Tombstone != 0:
		p.store(a.Manifest, a.Manifest.Blocks, report)
	default:
		p.read(a.From, a.Manifest, func(from *process, got wire.Sum, code wire.Code) {
			if code != wire.CodeOK {
				report(code)
				return
			}
			p.store(a.Manifest, got, report)
		})
	}
}

// read brings the bytes of a version from another peer's disk; done gets
// their hash, which the caller compares.
func (p *process) read(id wire.ID, m wire.Manifest, done func(from *process, got wire.Sum, code wire.Code)) {
	w := p.world
	v := w.version(m)
	q := p.reach(id, func() { done(nil, wire.Sum{}, wire.CodeBusy) })
	if q == nil {
		return
	}
	asked := false
	w.await(p, q, &asked, func() {
		asked = true
		done(q, wire.Sum{}, wire.CodeBusy)
	})
	w.at(w.now+ring.Time(w.segment()), q, func() {
		if asked {
			return
		}
		asked = true
		f, ok := q.host.disk.files[v]
		if code := q.unreadCode(wire.CodeNotFound); !ok || q.host.lies.Denies || code != wire.CodeNotFound {
			w.at(w.now+ring.Time(w.flight()), p, func() { done(q, wire.Sum{}, code) })
			return
		}
		if q.host.lies.Corrupts {
			f.blocks = wire.Sum{1}
		}
		q.step(ring.Moving{Peer: p.id, Name: m.Name, Phase: ring.Sending}, nil)
		streams := true
		var say func()
		say = func() {
			if streams {
				p.step(ring.Pulling{Version: v}, nil)
				w.at(w.now+ring.Time(5*time.Second), p, say)
			}
		}
		w.at(w.now+ring.Time(5*time.Second), p, say)
		w.stream(q, p, int64(m.Size), func(ok bool) {
			streams = false
			if !ok {
				w.at(w.now, p, func() { done(q, wire.Sum{}, wire.CodeBusy) })
				return
			}
			w.at(w.now, q, func() { q.step(ring.Moving{Peer: p.id, Name: m.Name, Phase: ring.Sent}, nil) })
			w.at(w.now+ring.Time(w.flight()), p, func() { done(q, f.blocks, wire.CodeOK) })
		})
	})
}

// fetch brings a version to the user: the first choice that somebody has, from
// the first source that has the right bytes.
func (p *process) fetch(op *Op, a ring.Fetch) {
	op.OneAnswer, op.AlsoBy = a.OneAnswer, a.AlsoBy
	choices := append([]ring.Choice{{Manifest: a.Manifest, Sources: a.Sources}}, a.Others...)
	p.world.at(p.world.now, p, func() { p.fetchFrom(op, choices) })
}

// widen asks who else has a version that none of those who first answered
// gives.
func (p *process) widen(op *Op) {
	op.widened = true
	stat := p.world.Stat(p.id, op.Name)
	stat.then = func() {
		c := ring.Choice{Manifest: op.Manifest}
		for _, f := range stat.Result.Found {
			if slices.ContainsFunc(f.Manifests, func(m wire.Manifest) bool { return m.Sum() == op.Manifest.Sum() }) {
				c.Sources = append(c.Sources, f.Peer)
			}
		}
		p.world.at(p.world.now, p, func() { p.fetchFrom(op, []ring.Choice{c}) })
	}
}

func (p *process) fetchFrom(op *Op, choices []ring.Choice) {
	c := choices[0]
	op.Manifest = c.Manifest
	if len(c.Sources) == 0 {
		switch {
		case len(choices) > 1:
			p.fetchFrom(op, choices[1:])
		case op.widened:
			p.finish(op, ring.Unavailable)
		default:
			p.widen(op)
		}
		return
	}
	id, name := c.Sources[0], c.Manifest.Name
	rest := append([]ring.Choice{{Manifest: c.Manifest, Sources: c.Sources[1:]}}, choices[1:]...)
	if id == p.id {
		if p.host.Holds(p.world.version(c.Manifest)) && !p.unreadable() {
			op.Source = p.id
			p.finish(op, ring.Succeeded)
			return
		}
		p.fetchFrom(op, rest)
		return
	}
	p.step(ring.Moving{Peer: id, Name: name, Phase: ring.Receiving}, nil)
	p.read(id, c.Manifest, func(_ *process, got wire.Sum, code wire.Code) {
		if code != wire.CodeOK || got != c.Manifest.Blocks {
			p.fetchFrom(op, rest)
			return
		}
		p.step(ring.Moving{Peer: id, Name: name, Phase: ring.Got}, nil)
		op.Source = id
		p.finish(op, ring.Succeeded)
	})
}
