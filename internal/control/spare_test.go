package control

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// full is a listener in a process that has no descriptor but the one that spare
// keeps back.
type full struct {
	net.Listener
	spare *spare
}

func (l *full) Accept() (net.Conn, error) {
	l.spare.mu.Lock()
	taken := l.spare.kept != nil
	l.spare.mu.Unlock()
	if taken {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// TestPeerWithoutDescriptorsAnswers: its user is told what it lacks, and the next
// one too. Once status said that the peer is stopped, or the machine overloaded,
// and ls waited for ever.
func TestPeerWithoutDescriptorsAnswers(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	inner := &queued{conns: make(chan net.Conn, 1)}
	l := &spare{}
	l.Listener = &full{inner, l}
	if _, err := l.Accept(); !errors.Is(err, syscall.EMFILE) || l.kept == nil {
		t.Errorf("nobody called: %v, want EMFILE and the descriptor kept", err)
	}
	for range 2 {
		inner.conns <- server
		if conn, err := l.Accept(); err != nil || conn != server {
			t.Errorf("a caller is not answered: %v", err)
		}
		if l.kept != nil {
			t.Error("the descriptor is kept beside the caller's")
		}
		l.keep() // as when the caller has gone
	}
	l.kept.Close()
}

// queued hands out what is in conns, and else ends as at a deadline.
type queued struct {
	net.Listener
	conns chan net.Conn
}

func (l *queued) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	default:
		return nil, errors.New("nobody called in time")
	}
}
