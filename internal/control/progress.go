package control

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"

	"securepeer/node"
)

// maxProgressID is the longest id of a transfer, in bytes.
const maxProgressID = 64

// NewProgressID returns an id for a transfer that no other has.
func NewProgressID() string { return rand.Text() }

// underway are the transfers of which a client asks how far they are, by the id
// that it has given them: as many at most as there are requests. The zero value
// is ready.
type underway struct {
	mu   sync.Mutex
	open map[string]*node.Progress
}

// begin notes the transfer that r asks for, until end. Its progress is nil if r
// gives it no id.
func (u *underway) begin(r *http.Request) (p *node.Progress, end func(), err error) {
	id := r.URL.Query().Get("progress")
	if id == "" {
		return nil, func() {}, nil
	}
	if len(id) > maxProgressID {
		return nil, nil, newError(CodeBadRequest, fmt.Sprintf("the id of a transfer has at most %d bytes", maxProgressID))
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.open[id] != nil {
		return nil, nil, newError(CodeBadRequest, "another transfer that is under way has this id")
	}
	if u.open == nil {
		u.open = make(map[string]*node.Progress)
	}
	p = new(node.Progress)
	u.open[id] = p
	return p, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.open, id)
	}, nil
}

// of returns the progress of a transfer, or nil if none of this id is under way.
func (u *underway) of(id string) *node.Progress {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.open[id]
}

func (s *Server) progress(w http.ResponseWriter, r *http.Request) error {
	reply := Progress{Schema: SchemaProgress}
	if p := s.underway.of(r.PathValue("id")); p != nil {
		if state, ok := p.Now(r.Context()); ok {
			reply.Known, reply.ProgressState = true, state
		}
	}
	reply.Waiting = list(reply.Waiting)
	send(w, reply)
	return nil
}
