package sim

import (
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// Lies are what a malicious member does beside following the rules. It has
// its own key and no other: whatever it says in another's name is forged.
type Lies struct {
	// In its answers.
	Denies   bool // says that it holds nothing
	Corrupts bool // serves other bytes
	Forgets  bool // acknowledges what it does not store
	Detours  bool // sends whoever asks the way to Next
	Claims   bool // says that every key is its own, and names versions that nobody has
	Next     wire.ID

	// Of its own accord.
	Accuses bool // votes that everybody is gone, and says so in its pings
	Usurps  bool // speaks rows and votes in the names of others, above their incarnations
	Replays bool // repeats rows and votes of others that were true once
	Floods  bool // sends 100,000 rows
	Garbles bool // sends what answers no question, and sums of no view
}

// Constants of liars.
const (
	floodRows   = 100_000
	remembered  = 64 // rows and votes that a liar keeps to replay
	liesEach    = 4  // lies of its own accord in an interval
	liarVersion = wire.MaxVersion
)

// loud says whether it speaks of its own accord.
func (l Lies) loud() bool { return l.Accuses || l.Usurps || l.Replays || l.Floods || l.Garbles }

// SetLies makes a member malicious.
func (w *World) SetLies(id wire.ID, lies Lies) {
	h := w.byID[id]
	h.lies, h.liar = lies, true
	if lies.loud() {
		h.flood = floodRows
		w.after(w.upTo(w.Config.Interval/liesEach), func() { w.lie(h) })
	}
}

// hush ends what liars do of their own accord.
func (w *World) hush() {
	for _, h := range w.hosts {
		l := &h.lies
		l.Accuses, l.Usurps, l.Replays, l.Floods, l.Garbles = false, false, false, false, false
	}
}

// about returns what a liar says instead of m.
func (l Lies) about(m wire.Message) wire.Message {
	switch a := m.(type) {
	case wire.Here:
		if l.Detours {
			return wire.Ask{Req: a.Req, Next: l.Next}
		}
	case wire.Ask:
		switch {
		case l.Detours:
			return wire.Ask{Req: a.Req, Next: l.Next}
		case l.Claims:
			return wire.Here{Req: a.Req}
		}
	case wire.Refuse:
		if l.Claims {
			return wire.Here{Req: a.Req}
		}
	case wire.Confirmed:
		if l.Forgets {
			a.Code = wire.CodeOK
			return a
		}
	}
	return m
}

// ping returns what a liar's ping says instead.
func (l Lies) ping(w *World, p wire.Ping) wire.Ping {
	if l.Accuses {
		p.Said = wire.SaidUnreachable
	}
	if l.Usurps {
		p.Yours += wire.Incarnation(w.rand.Uint64N(1 << 40))
	}
	if l.Garbles {
		p.View[0]++
	}
	return p
}

// invents returns what a liar answers to a Look.
func (p *process) invents(name string, found wire.Found) wire.Found {
	l := p.host.lies
	if l.Denies {
		found.Manifests = nil
	}
	if l.Claims {
		found.Home, found.Code = true, wire.CodeOK
		m := wire.Manifest{Name: name, Version: liarVersion, Writer: p.id, Signer: p.id, Mode: 0o644,
			Mtime: p.host.wall(), Size: 1 << 10, Blocks: content{p.world.rand.Uint64(), 1 << 10}.blocks()}
		m.Sig = sign(p.id, p.host.key(), m.SignedBytes(ringName, nil))
		found.Manifests = append(found.Manifests, m)
	}
	return found
}

// overhears keeps what others have signed, for a liar to replay.
func (h *Host) overhears(m wire.Rows) {
	if !h.lies.Replays {
		return
	}
	keep := func(r wire.Rows) {
		if len(h.heard) < remembered {
			h.heard = append(h.heard, r)
		} else if h.world.chance(0.1) {
			h.heard[h.world.rand.IntN(remembered)] = r
		}
	}
	for _, r := range m.Rows {
		keep(wire.Rows{Rows: []wire.Row{r}})
	}
	for _, v := range m.Votes {
		keep(wire.Rows{Votes: []wire.Vote{v}})
	}
}

// lie has a liar say one thing of its own accord, and again a while later.
func (w *World) lie(h *Host) {
	if !h.lies.loud() {
		return
	}
	w.after(w.Config.Interval/liesEach, func() { w.lie(h) })
	p := h.process
	if p == nil || p.paused {
		return
	}
	to := w.hosts[w.rand.IntN(len(w.hosts))].ID
	if to == h.ID || !h.knows(to) {
		return
	}
	var can []func(wire.ID)
	add := func(is bool, do func(wire.ID)) {
		if is {
			can = append(can, do)
		}
	}
	add(h.lies.Accuses, p.accuse)
	add(h.lies.Usurps, p.usurp)
	add(h.lies.Replays && len(h.heard) > 0, p.replay)
	add(h.lies.Floods && h.flood > 0, p.flood)
	add(h.lies.Garbles, p.garble)
	if len(can) > 0 {
		w.Count.Lied++
		do := can[w.rand.IntN(len(can))]
		w.at(w.now, p, func() { do(to) })
	}
}

// accuse votes that everybody is unreachable, or gone, rightly signed.
func (p *process) accuse(to wire.ID) {
	var m wire.Rows
	for _, is := range p.ring.Status().Members {
		if is.ID == p.id || len(m.Votes) == wire.MaxVotes {
			continue
		}
		v := wire.Vote{Observer: p.id, Member: is.ID, Incarnation: is.Incarnation,
			Verdict: wire.Unreachable, Sequence: 1<<60 + uint64(p.world.now)}
		if p.world.chance(0.5) {
			v.Verdict = wire.Gone
		}
		v.Sig = sign(p.id, p.host.key(), v.SignedBytes(ringName, nil))
		m.Votes = append(m.Votes, v)
	}
	p.send(to, m)
}

// usurp speaks for others with its own key.
func (p *process) usurp(to wire.ID) {
	var m wire.Rows
	for _, is := range p.ring.Status().Members {
		if is.ID == p.id || len(m.Rows) == wire.MaxRows {
			continue
		}
		r := wire.Row{ID: is.ID, Incarnation: is.Incarnation + 1 + wire.Incarnation(p.world.rand.Uint64N(1<<40)),
			State: wire.Left}
		r.Sig = sign(p.id, p.host.key(), r.SignedBytes(ringName, nil))
		m.Rows = append(m.Rows, r)
		for _, by := range p.host.roster.Members[:min(4, len(p.host.roster.Members))] {
			if len(m.Votes) == wire.MaxVotes || by.ID == p.id {
				break
			}
			v := wire.Vote{Observer: by.ID, Member: is.ID, Incarnation: is.Incarnation,
				Verdict: wire.Gone, Sequence: 1 << 60}
			v.Sig = sign(p.id, p.host.key(), v.SignedBytes(ringName, nil))
			m.Votes = append(m.Votes, v)
		}
	}
	p.send(to, m)
}

// replay repeats something old.
func (p *process) replay(to wire.ID) {
	p.world.Count.Replayed++
	p.send(to, p.host.heard[p.world.rand.IntN(len(p.host.heard))])
}

// flood sends rows by the hundred: of members that nobody knows, of others,
// and of itself under ever higher incarnations, which are genuine.
func (p *process) flood(to wire.ID) {
	w, h := p.world, p.host
	own := p.ring.Status().Incarnation
	for range 16 {
		var m wire.Rows
		for range wire.MaxRows {
			r := wire.Row{ID: wire.ID(w.rand.Uint32()), Incarnation: wire.Incarnation(w.rand.Uint64()), State: wire.Active}
			switch w.rand.IntN(3) {
			case 0:
				h.raised++
				r.ID, r.Incarnation = p.id, own+h.raised
			case 1:
				r.ID = to
			}
			r.Sig = sign(p.id, h.key(), r.SignedBytes(ringName, nil))
			m.Rows = append(m.Rows, r)
		}
		h.flood -= len(m.Rows)
		p.send(to, m)
	}
}

// garble says what no rule has it say.
func (p *process) garble(to wire.ID) {
	w := p.world
	req := w.rand.Uint32N(64) // of some question, maybe
	somebody := wire.ID(w.rand.Uint32N(300))
	all := []wire.Message{
		wire.Ask{Req: req, Next: somebody},
		wire.Here{Req: req},
		wire.Refuse{Req: req, Code: wire.CodeNotInRing},
		wire.Found{Req: req, Home: true},
		wire.Confirmed{Req: req, Code: wire.CodeOK},
		wire.Settled{Incarnation: wire.Incarnation(w.rand.Uint64())},
		wire.Find{Req: req, For: wire.ForJoin},
		wire.Look{Req: req, Name: "0000"},
		wire.Buckets{Reply: w.chance(0.5), Sums: [wire.NumBuckets]wire.Digest{0: {byte(req)}}},
		wire.PingReq{Req: req, Member: somebody},
		wire.PingReqAck{Req: req, Alive: w.chance(0.5)},
	}
	for range 8 {
		p.send(to, all[w.rand.IntN(len(all))])
	}
}

// jump moves a machine's clock forward, as a suspend does. It never goes back.
func (w *World) jump(h *Host, by time.Duration) {
	h.ahead += ring.Time(by)
	if p := h.process; p != nil {
		p.wake = never
		p.arm()
	}
}
