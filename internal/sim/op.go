package sim

import (
	"securepeer/ring"
	"securepeer/wire"
)

// Op is one operation of a peer's user, and how it ended.
type Op struct {
	ID    ring.Op
	Host  wire.ID
	Kind  Kind
	Name  string
	Begun ring.Time

	Ended     bool      // with a Result
	Lost      bool      // its peer died first
	At        ring.Time // of its end
	Result    ring.Result
	Manifest  wire.Manifest // get, put
	Source    wire.ID       // get: who sent the bytes
	OneAnswer bool          // get
	AlsoBy    []wire.ID     // get

	content content
	process *process
	widened bool   // get: everybody was asked
	then    func() // is called at its end
}

// Kind of an operation.
type Kind string

// The kinds.
const (
	PutOp    Kind = "put"
	GetOp    Kind = "get"
	RemoveOp Kind = "rm"
	StatOp   Kind = "stat"
	LookupOp Kind = "lookup"
	ProbeOp  Kind = "ping"
	LeaveOp  Kind = "leave"
	ForgetOp Kind = "forget"
)

// begin gives an operation to a peer; if none runs there, it is lost.
func (w *World) begin(id wire.ID, kind Kind, name string, event func(*Op) ring.Event) *Op {
	op := &Op{Host: id, Kind: kind, Name: name, Begun: w.now}
	w.ops = append(w.ops, op)
	w.open = append(w.open, op)
	p := w.byID[id].process
	if p == nil {
		op.Lost = true
		return op
	}
	p.lastOp++
	op.ID, op.process = p.lastOp, p
	p.ops[op.ID] = op
	w.at(w.now, p, func() { p.step(event(op), nil) })
	return op
}

// Put stores size bytes under a name; number says which bytes.
func (w *World) Put(id wire.ID, name string, number uint64, size int64) *Op {
	op := w.begin(id, PutOp, name, func(op *Op) ring.Event { return ring.Put{Op: op.ID, Name: name} })
	op.content = content{number, size}
	return op
}

// Get fetches a name.
func (w *World) Get(id wire.ID, name string) *Op {
	return w.begin(id, GetOp, name, func(op *Op) ring.Event { return ring.Get{Op: op.ID, Name: name} })
}

// GetBy fetches what one writer stored under a name.
func (w *World) GetBy(id wire.ID, name string, by wire.ID) *Op {
	return w.begin(id, GetOp, name, func(op *Op) ring.Event {
		return ring.Get{Op: op.ID, Name: name, By: by, HasBy: true}
	})
}

// Remove removes a name.
func (w *World) Remove(id wire.ID, name string) *Op {
	return w.begin(id, RemoveOp, name, func(op *Op) ring.Event {
		return ring.Remove{Op: op.ID, Name: name, Made: w.byID[id].wall()}
	})
}

// Stat asks who holds which version of a name.
func (w *World) Stat(id wire.ID, name string) *Op {
	return w.begin(id, StatOp, name, func(op *Op) ring.Event { return ring.Stat{Op: op.ID, Name: name} })
}

// Lookup asks who answers for a name.
func (w *World) Lookup(id wire.ID, name string) *Op {
	return w.begin(id, LookupOp, name, func(op *Op) ring.Event { return ring.Lookup{Op: op.ID, Name: name} })
}

// Probe pings a member once.
func (w *World) Probe(id, peer wire.ID) *Op {
	return w.begin(id, ProbeOp, "", func(op *Op) ring.Event { return ring.Probe{Op: op.ID, Peer: peer} })
}

// Forget says, as the operator of a peer, that a member will not come back.
func (w *World) Forget(id, member wire.ID) *Op {
	return w.begin(id, ForgetOp, "", func(op *Op) ring.Event { return ring.Forget{Op: op.ID, Member: member} })
}

// Leave asks a peer to give everything away and leave for good.
func (w *World) Leave(id wire.ID) *Op {
	if p := w.byID[id].process; p != nil {
		p.leaving = true
	}
	return w.begin(id, LeaveOp, "", func(op *Op) ring.Event { return ring.Leave{Op: op.ID} })
}

// Ops returns all operations so far, in the order in which they began.
func (w *World) Ops() []*Op { return w.ops }

// Await lets time pass until the operations have ended or are lost, at most a
// minute, and says whether they have all ended with this outcome.
func (w *World) Await(outcome ring.Outcome, ops ...*Op) bool {
	w.RunUntil(opLimit, func() bool {
		for _, op := range ops {
			if !op.Ended && !op.Lost {
				return false
			}
		}
		return true
	})
	for _, op := range ops {
		if !op.Ended || op.Result.Outcome != outcome {
			return false
		}
	}
	return true
}

// done takes the result of an operation.
func (p *process) done(op *Op, r ring.Result) {
	if op == nil {
		panic("sim: the ring ends an operation that nobody began")
	}
	if op.Ended {
		p.world.violate("operation %v of peer %v ended twice", op.ID, p.id)
	}
	op.Result = r
	p.finish(op, r.Outcome)
}

// finish ends an operation.
func (p *process) finish(op *Op, outcome ring.Outcome) {
	w := p.world
	op.Ended, op.At = true, w.now
	op.Result.Outcome = outcome
	if op.Kind == LeaveOp && outcome == ring.NotReady {
		p.leaving, p.host.retired = false, false
	}
	if op.Kind == PutOp || op.Kind == RemoveOp {
		op.Manifest = op.Result.Manifest
	}
	w.logf("[%v] %v %q ended: outcome %v, copies %v, silent %v", p.id, op.Kind, op.Name, outcome, op.Result.Copies, op.Result.Silent)
	w.checkEnd(op)
	if op.then != nil {
		op.then()
	}
}
