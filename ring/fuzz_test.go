package ring

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"securepeer/wire"
)

// chaos draws events without sense or order, from members and from nobody.
// Some answer what the peer has asked, or nothing would ever succeed.
type chaos struct {
	*rand.Rand
	persists []wire.Incarnation
	asked    []Send
}

func newChaos(seed uint64) *chaos { return &chaos{Rand: rand.New(rand.NewPCG(seed, 2))} }

// saw takes an action that may be answered.
func (g *chaos) saw(a Action) {
	switch a := a.(type) {
	case Persist:
		g.persists = append(g.persists, a.Incarnation)
	case Send:
		g.asked = append(g.asked, a)
	case Answer:
		g.asked = append(g.asked, Send{10, wire.Look{Req: a.Req, Name: a.Name}})
	}
}

// answer answers something that the peer asked, right or wrong.
func (g *chaos) answer() Event {
	if len(g.asked) == 0 {
		return Tick{}
	}
	a := g.asked[g.IntN(len(g.asked))]
	switch m := a.Msg.(type) {
	case wire.Find:
		return Received{a.To, []wire.Message{wire.Here{Req: m.Req}, wire.Ask{Req: m.Req, Next: g.id()}}[g.IntN(2)]}
	case wire.Look:
		f := wire.Found{Req: m.Req, Code: g.found()}
		if g.IntN(2) == 0 {
			f.Manifests = []wire.Manifest{{Name: m.Name, Version: uint64(g.IntN(4)), Writer: g.id(), Flags: wire.Flags(g.IntN(2))}}
		}
		return Received{a.To, f}
	case wire.Offer:
		return Received{a.To, wire.Confirmed{Req: m.Req, Code: wire.Code(g.IntN(2)) * wire.CodeBusy}}
	}
	return Tick{}
}

func (g *chaos) found() wire.Code {
	return []wire.Code{wire.CodeOK, wire.CodeOK, wire.CodeBehind, wire.CodeUnreadable, wire.CodeInvalid}[g.IntN(5)]
}

func (g *chaos) id() wire.ID { return append(five, 0, 99)[g.IntN(7)] }

func (g *chaos) name() string { return []string{"a", "b", "0010", "0250"}[g.IntN(4)] }

func (g *chaos) manifest() wire.Manifest {
	return wire.Manifest{Name: g.name(), Version: uint64(g.IntN(4)), Writer: g.id(), Signer: g.id(),
		Flags: wire.Flags(g.IntN(2)), Size: uint64(g.IntN(9))}
}

func (g *chaos) message() wire.Message {
	req := uint32(g.IntN(40))
	switch g.IntN(12) {
	case 0, 1:
		n := randomNews(g.Rand)
		return wire.Rows{Rows: n.rows, Votes: n.votes}
	case 2:
		return wire.Find{Req: req, For: wire.Purpose(1 + g.IntN(4)), Name: g.name()}
	case 3:
		return wire.Ask{Req: req, Next: g.id()}
	case 4:
		return wire.Here{Req: req}
	case 5:
		return wire.Refuse{Req: req, Code: wire.CodeNotInRing}
	case 6:
		return wire.Look{Req: req, Name: g.name()}
	case 7:
		return wire.Found{Req: req, Code: g.found(), Home: g.IntN(2) == 0, Manifests: []wire.Manifest{g.manifest()}}
	case 8:
		return wire.Offer{Req: req, Source: g.id(), Manifest: g.manifest()}
	case 9:
		return wire.Confirmed{Req: req, Code: wire.Code(g.IntN(12))}
	case 10:
		return wire.Settled{Incarnation: wire.Incarnation(g.IntN(5)), From: 10}
	}
	return wire.Listed{Req: req} // not the ring's: nothing may come of it
}

func (g *chaos) event() Event {
	op, version := Op(g.IntN(30)), Version{wire.Pos(g.IntN(256)), g.manifest().Sum()}
	switch g.IntN(30) {
	case 0:
		return LinkUp{g.id(), wire.Incarnation(g.IntN(4))}
	case 1:
		return LinkDown{g.id()}
	case 2, 3:
		return Pinged{g.id(), wire.Ping{Ack: g.IntN(2) == 0, Said: wire.Said(g.IntN(3)), Echo: uint64(g.IntN(20)),
			Yours: wire.Incarnation(g.IntN(5))}}
	case 4, 5:
		if len(g.persists) > 0 {
			return Persisted{g.persists[g.IntN(len(g.persists))]}
		}
	case 6:
		return Get{Op: op, Name: g.name()}
	case 7:
		return Put{Op: op, Name: g.name()}
	case 8:
		return Remove{Op: op, Name: g.name(), Steward: g.IntN(2) == 0}
	case 9:
		return Sealed{op, g.manifest()}
	case 10:
		return Uploaded{op, g.id(), wire.Code(g.IntN(12)), g.IntN(2) == 0}
	case 11:
		return Stat{op, g.name()}
	case 12:
		return Lookup{op, g.name()}
	case 13:
		return Probe{op, g.id()}
	case 14:
		return PutStored{Serve: 1, From: g.id(), Name: g.name(), Version: version, Holders: five[:g.IntN(6)]}
	case 15:
		if g.IntN(4) == 0 {
			return Pulling{Version: version}
		}
		if g.IntN(4) == 0 {
			return Uploading{Version: version}
		}
		return Pulled{Version: version, Code: wire.Code(g.IntN(12)), New: version.Sum[0]%2 == 0}
	case 16:
		return Scanned{Scan: uint64(g.IntN(40)), Versions: []Version{version}, More: g.IntN(2) == 0}
	case 17:
		return Moving{g.id(), g.name(), Phase(g.IntN(4))}
	case 18:
		return DiskChanged{wire.State(2 + g.IntN(3))}
	case 19:
		return Cancel{op}
	case 20:
		if g.IntN(20) == 0 {
			return []Event{Stop{}, Leave{op}}[g.IntN(2)]
		}
	case 21:
		if g.IntN(10) == 0 {
			return RosterChanged{config(10, five[:2+g.IntN(4)]...).Roster}
		}
	case 22, 23, 24:
		return Tick{}
	case 25, 26, 27:
		return g.answer()
	}
	return Received{g.id(), g.message()}
}

// FuzzStep: no order of events, however senseless, panics the machine, makes
// it talk to itself or to nobody in the roster, or leaves it always due.
func FuzzStep(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint16(400))
	}
	f.Fuzz(func(t *testing.T, seed uint64, events uint16) {
		g := newChaos(seed)
		c := config(10, five...)
		c.Roster.Walk, c.HasContact, c.Contact = g.IntN(2) == 0, g.IntN(2) == 0, g.id()
		r := New(c)
		now, due := Time(1), 0
		for range events % 2000 {
			var e Event
			if next := r.Next(); next <= now && due < 20 {
				e = Tick{}
				due++
			} else {
				e, due = g.event(), 0
				now += Time(g.Int64N(int64(300 * time.Millisecond)))
			}
			for _, a := range r.Step(now, e, nil) {
				g.saw(a)
				switch a := a.(type) {
				case Send:
					if a.To == 10 || !r.view.has(a.To) {
						t.Fatalf("%T sent to %v", a.Msg, a.To)
					}
					a.Msg.Append(nil) // panics if a limit is broken
				case Exit:
					return
				}
			}
			if due == 20 {
				t.Fatalf("still due after 20 ticks at %v: next is %v", now, r.Next())
			}
			r.Status()
		}
	})
}

// TestFuzzStepReachesStates: the events above bring a peer into the states
// that they should try.
func TestFuzzStepReachesStates(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(60) {
		g := newChaos(seed)
		r := New(config(10, five...))
		now := Time(0)
		for range 600 {
			now += Time(g.Int64N(int64(300 * time.Millisecond)))
			for _, a := range r.Step(now, g.event(), nil) {
				seen[fmt.Sprintf("%T", a)] = true
				g.saw(a)
			}
			seen[fmt.Sprint(r.own.state)] = true
		}
	}
	for _, want := range []string{"ring.Send", "ring.SendPing", "ring.Dial", "ring.Persist", "ring.SaveView",
		"ring.Answer", "ring.Upload", "ring.Fetch", "ring.SendOffer", "ring.Pull", "ring.Scan", "ring.PutReply",
		"ring.Notify", "ring.Done", "ring.Exit", "0", "1", "2", "5", "6"} {
		if !seen[want] {
			t.Errorf("never reached %s", want)
		}
	}
}
