package control

import (
	"context"
	"net/http"
	"sync"
)

// Waiting answers for a peer that does not run yet, as it waits for something:
// with the reason, or by ending the wait.
type Waiting struct {
	stop   func()
	end    context.CancelFunc
	over   chan struct{} // closed when the wait is over
	served sync.WaitGroup

	mu  sync.Mutex
	why error
}

// Wait answers at the socket in dir, until End. The caller holds the lock of the
// folder's store; stop begins to end its wait, and does not wait itself.
func Wait(dir string, why error, stop func()) (*Waiting, error) {
	listener, err := Listen(dir)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(context.Background())
	w := &Waiting{stop: stop, end: end, over: make(chan struct{}), why: why}
	w.served.Go(func() { serveAt(ctx, listener, w, nil) }) // ends with End; a failure leaves nobody who answers, as before
	return w, nil
}

// Because changes the reason.
func (w *Waiting) Because(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.why = why
}

// End returns when everybody that has asked is answered. The socket is free then.
func (w *Waiting) End() {
	close(w.over)
	w.end()
	w.served.Wait()
}

func (w *Waiting) ServeHTTP(to http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	failure := newError(CodeNotReady, "the peer waits, and does not run yet: "+w.why.Error())
	w.mu.Unlock()
	failure.Hint = "it begins by itself when that is there; securepeer stop ends it"
	switch err := checkUser(r); {
	case err != nil:
		failure = errorOf(err)
	case r.Method == http.MethodPost && r.URL.Path == "/v1/stop":
		w.stop()
		select {
		case <-w.over:
			send(to, Ended{SchemaStop})
			return
		case <-r.Context().Done():
			failure = errorOf(r.Context().Err())
		}
	}
	sendStatus(to, statusOf(failure.Code), failure)
}
