package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"securepeer/crypto"
	"securepeer/keys"
	"securepeer/wire"
)

// Implementation constants.
const (
	// refusalTime is how long a peer may take to close on a stranger: it
	// gives up on a handshake after 5 s.
	refusalTime = 8 * time.Second
	// silenceTime is how long a stranger waits for an answer to a datagram: an
	// honest one comes within a millisecond here.
	silenceTime = 300 * time.Millisecond
	// junkSize is more than any frame has.
	junkSize = 64 << 10
)

// stranger is one thing that somebody who is not in the roster sends.
type stranger struct {
	what  string
	bytes []byte
}

// strangers on TCP: frames by a key outside the roster and from the wire, and
// what scanners send.
func strangers(ring string, peer keys.Public, recorded []byte) ([]stranger, error) {
	junk := make([]byte, junkSize)
	rand.Read(junk) // never fails
	secret, err := keys.Generate()
	if err != nil {
		return nil, err
	}
	_, frame, err := crypto.NewInitiator(secret, peer, ring, crypto.Info{Incarnation: 1}, rand.Reader)
	if err != nil {
		return nil, err
	}
	hello, err := clientHello()
	if err != nil {
		return nil, err
	}
	return []stranger{
		{"random bytes", junk},
		{"a TLS hello", hello},
		{"an HTTP request", []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")},
		{"a handshake with a key outside the roster", frame},
		{"a recorded handshake", recorded},
	}, nil
}

// clientHello returns the first bytes of a TLS client.
func clientHello() ([]byte, error) {
	client, server := net.Pipe()
	defer server.Close()
	// Ends when both sides of the pipe are closed; that it finds no server is
	// what was meant.
	go func() {
		defer client.Close()
		tls.Client(client, &tls.Config{ServerName: "localhost"}).Handshake()
	}()
	buf := make([]byte, 4<<10)
	n, err := server.Read(buf)
	if err != nil {
		return nil, fmt.Errorf("making a TLS hello: %w", err)
	}
	return buf[:n], nil
}

// knock sends bytes to a peer over TCP and returns how many come back before
// it closes.
func knock(ctx context.Context, addr string, b []byte) (back int64, err error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(refusalTime))
	// A peer that has refused the first bytes does not take the rest.
	if _, err := conn.Write(b); err == nil {
		conn.(*net.TCPConn).CloseWrite()
	}
	back, err = io.Copy(io.Discard, conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return back, fmt.Errorf("%s still holds the connection after %v", addr, refusalTime)
	}
	return back, nil // an end or a reset: it has closed
}

// knockAll lets all strangers knock at once and returns the bytes that came
// back to each.
func knockAll(ctx context.Context, addr string, all []stranger) (back []int64, err error) {
	var wait sync.WaitGroup
	back, errs := make([]int64, len(all)), make([]error, len(all))
	for i, s := range all {
		wait.Go(func() { back[i], errs[i] = knock(ctx, addr, s.bytes) }) // ends within refusalTime
	}
	wait.Wait()
	return back, errors.Join(errs...)
}

// shout sends datagrams to a peer, of all sizes at random, and a recorded one,
// and returns how many were sent and how many bytes came back.
func shout(addr string, recorded []byte) (sent int, back int64, err error) {
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	junk := make([]byte, 1400)
	rand.Read(junk) // never fails
	var all [][]byte
	for size := 0; size <= len(junk); size += 7 {
		all = append(all, junk[:size])
	}
	for range 20 {
		ping := make([]byte, crypto.DatagramSize)
		rand.Read(ping)
		all = append(all, ping, recorded)
	}
	for _, datagram := range all {
		if _, err := conn.Write(datagram); err != nil {
			return sent, back, err
		}
		sent++
	}
	conn.SetReadDeadline(time.Now().Add(silenceTime))
	buf := make([]byte, maxDatagram)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			break // the deadline: nothing came
		}
		back += int64(n)
	}
	return sent, back, nil
}

// forger is a member with a key of its own that speaks in others' names.
type forger struct {
	self   *actor
	roster *keys.Roster
}

func (f *forger) config() *crypto.Config {
	return &crypto.Config{
		Secret: f.self.secret,
		Ring:   f.roster.Ring,
		Info:   func() crypto.Info { return crypto.Info{Incarnation: 1, RosterDigest: f.roster.Digest()} },
		Lookup: func(noise [32]byte) (keys.Public, bool) {
			m, ok := f.roster.ByKey(noise)
			return m.Key, ok
		},
		Pings:   crypto.NewPingTable(),
		Publish: func(*crypto.Conn) error { return nil }, // it keeps no table
	}
}

// dial opens a link to a peer. That succeeds: the forger is a member.
func (f *forger) dial(ctx context.Context, peer keys.Member, kind crypto.Kind) (*crypto.Conn, error) {
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", peer.Addr)
	if err != nil {
		return nil, err
	}
	return crypto.Dial(ctx, raw, f.config(), peer.Key, kind)
}

func (f *forger) sign(b []byte) wire.Sig { return f.self.secret.Sign(b) }

// row is a row of another member that says state, signed by the forger.
func (f *forger) row(member wire.ID, state wire.State) wire.Row {
	r := wire.Row{ID: member, Incarnation: 1 << 40, State: state, Store: wire.StoreID{1}}
	r.Sig = f.sign(r.SignedBytes(f.roster.Ring, nil))
	return r
}

// vote is another member's vote that one is unreachable.
func (f *forger) vote(observer, member wire.ID, incarnation uint64) wire.Vote {
	v := wire.Vote{Observer: observer, Member: member, Incarnation: wire.Incarnation(incarnation), Verdict: wire.Unreachable, Sequence: 1 << 40}
	v.Sig = f.sign(v.SignedBytes(f.roster.Ring, nil))
	return v
}

// manifest is another member's next version of a file, of no bytes.
func (f *forger) manifest(writer wire.ID, file string, version uint64) wire.Manifest {
	m := wire.Manifest{Name: file, Version: version, Writer: writer, Signer: writer, Mode: 0o644, Blocks: emptyBlocks}
	m.Sig = f.sign(m.SignedBytes(f.roster.Ring, nil))
	return m
}

// emptyBlocks is the hash of the block list of an empty file.
var emptyBlocks = wire.Sum(blake3.Sum256(nil))

// say sends messages over a ring link of its own and ends it. That they were
// sent says nothing: whether they were refused shows at the peer.
func (f *forger) say(ctx context.Context, peer keys.Member, messages ...wire.Message) error {
	conn, err := f.dial(ctx, peer, crypto.Ring)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(refusalTime))
	for _, m := range messages {
		if err := conn.WriteRecord(byte(m.Type()), m.Append(nil)); err != nil {
			return err
		}
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	for err == nil { // until the peer has read all and ends it too
		_, _, err = conn.ReadRecord()
	}
	return nil
}

// put uploads an empty file in another's name and returns the answer's code.
func (f *forger) put(ctx context.Context, peer keys.Member, m wire.Manifest) (wire.Code, error) {
	conn, err := f.dial(ctx, peer, crypto.Transfer)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(refusalTime))
	put := wire.Put{Upload: 1, Roster: f.roster.Digest(), Name: m.Name, Holders: []wire.ID{peer.ID}}
	for _, msg := range []wire.Message{put, wire.PutEnd{Manifest: m}} {
		if err := conn.WriteRecord(byte(msg.Type()), msg.Append(nil)); err != nil {
			return 0, err
		}
	}
	typ, body, err := conn.ReadRecord()
	if err != nil {
		return 0, err
	}
	answer, err := wire.Parse(wire.Type(typ), bytes.Clone(body))
	if err != nil {
		return 0, err
	}
	ack, ok := answer.(wire.PutAck)
	if !ok {
		return 0, fmt.Errorf("%s answered a Put with %v", peer.Name, answer.Type())
	}
	return ack.Code, nil
}
