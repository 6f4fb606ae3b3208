package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"securepeer/crypto"
)

// TestScannerFindsEveryNeedle cuts a stream with needles in it into pieces in
// every way that has two or three of them.
func TestScannerFindsEveryNeedle(t *testing.T) {
	const needle = "canary"
	for _, stream := range []string{"canary", "xcanary", "canaryx", "canarycanary", "canarxcanarycanar", "cacanarycanarx", "nothing at all"} {
		want := bytes.Count([]byte(stream), []byte(needle))
		for i := range len(stream) + 1 {
			for j := i; j <= len(stream); j++ {
				s := scanner{needle: []byte(needle)}
				got := s.scan([]byte(stream[:i])) + s.scan([]byte(stream[i:j])) + s.scan([]byte(stream[j:]))
				if got != want {
					t.Errorf("%q | %q | %q: found %d needles, want %d", stream[:i], stream[i:j], stream[j:], got, want)
				}
			}
		}
	}
}

// TestScannerFindsEveryNeedleInSmallPieces does so in pieces of random sizes,
// smaller than a needle mostly.
func TestScannerFindsEveryNeedleInSmallPieces(t *testing.T) {
	needle := []byte("needle")
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 0))
		var stream []byte
		want := 0
		for range 20 {
			for range random.IntN(9) {
				stream = append(stream, "nedlx"[random.IntN(5)])
			}
			if random.IntN(2) == 0 {
				stream = append(stream, needle...)
			}
		}
		want = bytes.Count(stream, needle)
		s, got := scanner{needle: needle}, 0
		for rest := stream; len(rest) > 0; {
			n := min(1+random.IntN(8), len(rest))
			got += s.scan(rest[:n])
			rest = rest[n:]
		}
		if got != want {
			t.Errorf("seed %d: found %d needles in %q, want %d", seed, got, stream, want)
		}
	}
}

// echo answers all that comes to a port, over TCP until its end, with the same
// bytes.
func echo(t *testing.T) (addr string) {
	t.Helper()
	s := reserve(t)
	go func() { // ends when the test closes the listener
		for {
			conn, err := s.tcp.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the other side
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	go func() { // ends when the test closes the socket
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := s.udp.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			s.udp.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	return s.addr()
}

// testPorts are those of all tests that run beside each other.
var testPorts = newPorts()

func reserve(t *testing.T) sockets {
	t.Helper()
	s, err := testPorts.reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.release)
	return s
}

func before(t *testing.T, target, needle string) (*relay, *tally) {
	t.Helper()
	seen := new(tally)
	r := newRelay(reserve(t), target, []byte(needle), seen)
	t.Cleanup(r.close)
	return r, seen
}

func dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// TestRelayPassesStreamsBothWays: the bytes, the order and the end, and all of
// it is counted and searched.
func TestRelayPassesStreamsBothWays(t *testing.T) {
	const needle = "the needle"
	r, seen := before(t, echo(t), needle)
	conn := dial(t, "tcp", r.addr())
	sent := bytes.Repeat([]byte("hay hay hay "), 50_000)
	copy(sent[relayBuffer-3:], needle)
	go func() { // ends with the last byte; an error shows in what comes back
		conn.Write(sent)
		conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("got %d bytes back and %v, want the %d that were sent", len(got), err, len(sent))
	}
	if n := seen.streamBytes.Load(); n != int64(2*len(sent)) {
		t.Errorf("counted %d bytes, want %d", n, 2*len(sent))
	}
	if n := seen.hits.Load(); n != 2 {
		t.Errorf("found the needle %d times, want once in each direction", n)
	}
	if frame, _ := r.recorded(); !bytes.Equal(frame, sent[:crypto.Frame1Size]) {
		t.Errorf("recorded %d bytes, want the first %d of the dialler", len(frame), crypto.Frame1Size)
	}
}

// TestRelayPassesDatagramsBothWays: each source gets the answers to its own.
func TestRelayPassesDatagramsBothWays(t *testing.T) {
	const needle = "the needle"
	r, seen := before(t, echo(t), needle)
	for _, text := range []string{"hay", needle, string(make([]byte, crypto.DatagramSize))} {
		conn := dial(t, "udp", r.addr())
		buf := make([]byte, maxDatagram)
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil || string(buf[:n]) != text {
			t.Errorf("got %q and %v, want %q", buf[:n], err, text)
		}
	}
	if n := seen.datagrams.Load(); n != 6 {
		t.Errorf("counted %d datagrams, want 6", n)
	}
	if n := seen.hits.Load(); n != 2 {
		t.Errorf("found the needle %d times, want once in each direction", n)
	}
	if _, datagram := r.recorded(); len(datagram) != crypto.DatagramSize {
		t.Errorf("recorded a datagram of %d bytes, want %d", len(datagram), crypto.DatagramSize)
	}
}

// TestRelayBeforeNobody: a dialler finds out that no peer is there.
func TestRelayBeforeNobody(t *testing.T) {
	nobody := reserve(t)
	nobody.release()
	r, _ := before(t, nobody.addr(), "x")
	conn, err := net.Dial("tcp", r.addr())
	if err == nil { // else it found out at once
		defer conn.Close()
		if n, err := io.Copy(io.Discard, conn); n != 0 {
			t.Errorf("got %d bytes and %v from nobody", n, err)
		}
	}
	if frame, datagram := r.recorded(); frame != nil || datagram != nil {
		t.Errorf("recorded %d and %d bytes, want nothing", len(frame), len(datagram))
	}
}

// TestRelayEndsWhatPasses: close returns, and nothing that passed goes on.
func TestRelayEndsWhatPasses(t *testing.T) {
	r, _ := before(t, echo(t), "x")
	conn := dial(t, "tcp", r.addr())
	if _, err := io.WriteString(conn, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	r.close()
	if n, err := io.Copy(io.Discard, conn); n != 0 {
		t.Errorf("got %d bytes and %v through a closed relay", n, err)
	}
}

// TestPlainSampleIsFound: the control that shows that the search works.
func TestPlainSampleIsFound(t *testing.T) {
	hits, err := plainSample(context.Background(), testPorts, "CANARY-0123456789")
	if hits != 2 || err != nil {
		t.Errorf("found %d and %v, want one on TCP and one on UDP", hits, err)
	}
}
