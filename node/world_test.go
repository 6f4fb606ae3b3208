package node

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"securepeer/internal/store/simdisk"
	"securepeer/keys"
)

// world is a ring of real nodes on loopback, with simulated disks.
type world struct {
	t       *testing.T
	secrets []*keys.Secret
	roster  *keys.Roster
	disks   []*simdisk.Disk
	plugs   []*plug
	nodes   []*Node // nil: does not run
	ended   []chan error
}

const testInterval = 150 * time.Millisecond

// newWorld makes a roster of n members, called n0, n1 ..., none of whom runs.
func newWorld(t *testing.T, n int, settings string) *world {
	t.Helper()
	w := &world{t: t, nodes: make([]*Node, n), ended: make([]chan error, n)}
	text := "ring test " + settings + "\n"
	for i := range n {
		secret, err := keys.Generate()
		if err != nil {
			t.Fatal(err)
		}
		w.secrets = append(w.secrets, secret)
		w.disks = append(w.disks, simdisk.New(uint64(i)+1))
		w.plugs = append(w.plugs, w.bind("127.0.0.1:0"))
		text += fmt.Sprintf("peer %d n%d %s addr=%s\n", i, i, secret.Public(), w.plugs[i].Addr())
	}
	var err error
	if w.roster, err = keys.ParseRoster([]byte(text)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// bind takes a port for TCP and UDP.
func (w *world) bind(addr string) *plug {
	w.t.Helper()
	tcp, udp, err := listenAll(addr)
	if err != nil {
		w.t.Fatal(err)
	}
	return newPlug(tcp, udp[0].PacketConn)
}

func (w *world) close() {
	var closing sync.WaitGroup
	for i, n := range w.nodes {
		if n == nil && !w.plugs[i].used {
			w.plugs[i].Close()
			w.plugs[i].packets.Close()
			continue
		}
		closing.Go(func() { w.stop(i) })
	}
	closing.Wait()
}

// start runs node i. A second time it binds its address again.
func (w *world) start(i int, change ...func(*Config)) *Node {
	w.t.Helper()
	if w.plugs[i].used {
		w.plugs[i] = w.bind(w.roster.Members[i].Addr)
	}
	p := w.plugs[i]
	p.used = true
	c := Config{Secret: w.secrets[i], Roster: w.roster, Interval: testInterval,
		Listener: p, PacketConn: pluggedPackets{p.packets, p}, Dial: p.dial, Logger: testLogger(i)}
	for _, f := range change {
		f(&c)
	}
	n, err := open(c, w.disks[i].Mount())
	if err != nil {
		w.t.Fatal(err)
	}
	w.nodes[i], w.ended[i] = n, make(chan error, 1)
	go func() { w.ended[i] <- n.Run(context.Background()) }()
	return n
}

// testLogger shows what the nodes log if NODE_TEST_LOG is set.
func testLogger(i int) *slog.Logger {
	if os.Getenv("NODE_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("node", i)
}

// stop closes node i.
func (w *world) stop(i int) {
	w.t.Helper()
	if w.nodes[i] == nil {
		return
	}
	if err := w.nodes[i].Close(); err != nil {
		w.t.Errorf("Close of node %d: %v", i, err)
	}
	if err := <-w.ended[i]; err != nil {
		w.t.Errorf("Run of node %d: %v", i, err)
	}
	w.nodes[i] = nil
}

// until waits for a condition, with a deadline.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func status(t *testing.T, n *Node) Status {
	t.Helper()
	s, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// whole waits until the nodes see one ring of exactly them, and may all say
// no.
func (w *world) whole(nodes ...*Node) {
	w.t.Helper()
	seen := make([]Status, len(nodes))
	defer func() {
		if w.t.Failed() {
			for _, s := range seen {
				w.t.Logf("%s: %s behind=%v ring %v view %s moving %d, peers %+v", s.Name, s.State, s.Behind, s.Circle, s.View, s.Moving, s.Peers)
			}
		}
	}()
	until(w.t, "a whole ring", func() bool {
		for i, n := range nodes {
			seen[i] = status(w.t, n)
		}
		view := ""
		for _, s := range seen {
			if len(s.Circle) != len(nodes) || s.Behind || s.State != "active" || view != "" && s.View != view {
				return false
			}
			view = s.View
		}
		return true
	})
}

func (w *world) startAll() {
	w.t.Helper()
	for i := range w.nodes {
		w.start(i)
	}
	w.whole(w.nodes...)
}

// bytesOf returns size bytes that no other seed gives.
func bytesOf(seed byte, size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

func put(t *testing.T, n *Node, name string, data []byte) PutResult {
	t.Helper()
	r, err := n.Put(t.Context(), name, bytes.NewReader(data), PutOptions{Size: int64(len(data))})
	if err != nil {
		t.Fatalf("Put(%q): %v", name, err)
	}
	return r
}

func get(t *testing.T, n *Node, name string) ([]byte, *File) {
	t.Helper()
	f, err := n.Get(t.Context(), name, GetOptions{})
	if err != nil {
		t.Fatalf("Get(%q): %v", name, err)
	}
	var b bytes.Buffer
	if _, err := f.WriteTo(&b); err != nil {
		t.Fatalf("WriteTo of %q: %v", name, err)
	}
	return b.Bytes(), f
}
