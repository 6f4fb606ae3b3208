package node

import (
	"math"
	"sync"
)

// Progress is how far a put is. Its zero value is ready for one put; any
// goroutine may ask it.
type Progress struct {
	mu  sync.Mutex
	put *upload // nil: it has not begun
}

// PutState is how far a put is at one moment.
type PutState struct {
	Taken   int64    `json:"taken"`   // bytes that each member has which still takes any
	Waiting []string `json:"waiting"` // who is last: members that the put waits for
}

func (p *Progress) begin(u *upload) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.put = u
}

// Now returns how far the put is. Not ok: it has not read any byte.
func (p *Progress) Now() (s PutState, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.put == nil || p.put.read.Load() == 0 {
		return s, false
	}
	least := int64(math.MaxInt64)
	var last []string
	b := p.put.node.members.book()
	for _, t := range p.put.targets {
		taken := t.taken.Load()
		if t.ended.Load() || taken > least {
			continue
		}
		if taken < least {
			least, last = taken, nil
		}
		last = append(last, b.name(t.peer))
	}
	if len(last) == 0 { // all have ended: the ring makes up for those that failed
		least = p.put.read.Load()
	}
	return PutState{Taken: least, Waiting: last}, true
}
