package control

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// spareWait is how long a caller is looked for with the descriptor that was kept.
const spareWait = 5 * time.Millisecond

// spare is a listener that keeps a descriptor back for one caller more: a peer
// that has run out of them can still say so.
type spare struct {
	net.Listener

	mu   sync.Mutex
	kept *os.File // nil: it is given away, or there was none
}

func newSpare(inner net.Listener) *spare {
	l := &spare{Listener: inner}
	l.keep()
	return l
}

// keep takes a descriptor back, if there is one.
func (l *spare) keep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil {
		l.kept, _ = os.Open(os.DevNull) // nil: none is left, and the next call asks again
	}
}

// release reports whether there was one to give away.
func (l *spare) release() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil {
		return false
	}
	l.kept.Close() // read only
	l.kept = nil
	return true
}

// Accept is that of the listener below. The system says that no descriptor is
// left before it looks for a caller: if none waits, that error is returned, which
// net/http takes for one that passes.
func (l *spare) Accept() (net.Conn, error) {
	l.keep()
	conn, err := l.Listener.Accept()
	if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) || !l.release() {
		return conn, err
	}
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		d.SetDeadline(time.Now().Add(spareWait)) // fails only on a closed listener, as Accept does
		defer d.SetDeadline(time.Time{})
	}
	conn, late := l.Listener.Accept()
	if late == nil {
		return conn, nil
	}
	l.keep()
	return nil, err
}

// Close lets the descriptor go, too.
func (l *spare) Close() error {
	l.release()
	return l.Listener.Close()
}
