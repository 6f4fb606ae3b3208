//go:build linux

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Mood is how a name server is.
type Mood int32

// The moods. A server that is Silent takes questions and says nothing, as
// behind a firewall; one that is Closed has gone, and the kernel says so.
const (
	Answers Mood = iota
	Fails        // SERVFAIL to all
	Silent
	Closed
)

// questionTime is how long a question over TCP may take to come.
const questionTime = time.Second

// NameServer answers for the names that a test gives it, over UDP and TCP at
// port 53 of a namespace; of others it says that they do not exist.
type NameServer struct {
	lab     *Lab
	id      int
	mood    atomic.Int32
	asked   atomic.Int64
	running sync.WaitGroup // the goroutines of the sockets

	mu      sync.Mutex
	names   map[string][]netip.Addr // lower case, without the last dot
	sockets []io.Closer             // none while it is Closed
}

// NewNameServer starts one in a namespace; [Lab.UseNameServer] has others ask
// it. The caller closes it.
func (l *Lab) NewNameServer(id int) (*NameServer, error) {
	s := &NameServer{lab: l, id: id, names: make(map[string][]netip.Addr)}
	return s, s.open()
}

// UseNameServer has processes that are started in a namespace from now on ask
// the name server in another, at its IPv4 or its IPv6 address, and wait one
// second for each answer.
func (l *Lab) UseNameServer(id int, at netip.Addr) error {
	return l.WriteEtc(id, "resolv.conf", fmt.Sprintf("nameserver %s\noptions timeout:1 attempts:1\n", at))
}

// Name has a name lead to these addresses, in that order, or to none.
func (s *NameServer) Name(name string, addrs ...netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[strings.ToLower(name)] = addrs
}

// Asked counts the questions that have come.
func (s *NameServer) Asked() int64 { return s.asked.Load() }

// Be changes the server's mood. When it returns, the server has it.
func (s *NameServer) Be(m Mood) error {
	was := Mood(s.mood.Swap(int32(m)))
	switch {
	case m == Closed && was != Closed:
		return s.close()
	case m != Closed && was == Closed:
		return s.open()
	}
	return nil
}

// Close ends the server.
func (s *NameServer) Close() error { return s.Be(Closed) }

func (s *NameServer) close() error {
	s.mu.Lock()
	var errs []error
	for _, c := range s.sockets {
		errs = append(errs, c.Close())
	}
	s.sockets = nil
	s.mu.Unlock()
	s.running.Wait()
	return errors.Join(errs...)
}

func (s *NameServer) open() error {
	var packets net.PacketConn
	var listener net.Listener
	err := s.lab.Do(s.id, func() (err error) {
		if packets, err = net.ListenPacket("udp", ":53"); err != nil {
			return err
		}
		if listener, err = net.Listen("tcp", ":53"); err != nil {
			packets.Close() // nobody has asked yet
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("opening a name server in namespace %d: %w", s.id, err)
	}
	s.mu.Lock()
	s.sockets = []io.Closer{packets, listener}
	s.mu.Unlock()
	s.running.Go(func() { s.serveUDP(packets) })  // ends when close closes the socket
	s.running.Go(func() { s.serveTCP(listener) }) // the same
	return nil
}

func (s *NameServer) serveUDP(c net.PacketConn) {
	buf := make([]byte, 512) // RFC 1035, 4.2.1: a question is not longer
	for {
		n, from, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if answer := s.answer(buf[:n]); err == nil && answer != nil {
			c.WriteTo(answer, from) // an error is a lost answer
		}
	}
}

// serveTCP answers one question a connection: RFC 1035, 4.2.2.
func (s *NameServer) serveTCP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		var size [2]byte
		question := make([]byte, 512)
		c.SetDeadline(time.Now().Add(questionTime))
		if _, err := io.ReadFull(c, size[:]); err == nil {
			n, _ := io.ReadFull(c, question[:min(int(binary.BigEndian.Uint16(size[:])), len(question))])
			if answer := s.answer(question[:n]); answer != nil {
				c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
			}
		}
		c.Close()
	}
}

// answer returns that to a question, or nil if there is none.
func (s *NameServer) answer(question []byte) []byte {
	s.asked.Add(1)
	var p dnsmessage.Parser
	h, err := p.Start(question)
	if err != nil || h.Response || Mood(s.mood.Load()) == Silent {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	s.mu.Lock()
	addrs, known := s.names[strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))]
	s.mu.Unlock()
	m := dnsmessage.Message{Questions: []dnsmessage.Question{q},
		Header: dnsmessage.Header{ID: h.ID, Response: true, Authoritative: true, RecursionDesired: h.RecursionDesired}}
	switch {
	case Mood(s.mood.Load()) == Fails:
		m.RCode = dnsmessage.RCodeServerFailure
	case !known:
		m.RCode = dnsmessage.RCodeNameError
	default:
		m.Answers = records(q, addrs)
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// records are the addresses of the family that a question is for.
func records(q dnsmessage.Question, addrs []netip.Addr) (all []dnsmessage.Resource) {
	for _, a := range addrs {
		r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}}
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			r.Body = &dnsmessage.AResource{A: a.As4()}
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			r.Body = &dnsmessage.AAAAResource{AAAA: a.As16()}
		default:
			continue
		}
		all = append(all, r)
	}
	return all
}
