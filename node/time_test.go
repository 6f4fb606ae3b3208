package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"securepeer/crypto"
	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
	"securepeer/keys"
	"securepeer/ring"
	"securepeer/wire"
)

// bubble is a ring in memory, in which time passes only when everybody waits:
// for what takes seconds or minutes.
type bubble struct {
	t       *testing.T
	net     *memnet
	secrets []*keys.Secret
	roster  *keys.Roster
	disks   []*simdisk.Disk
	room    []*atomic.Int64       // bytes free on each
	broken  atomic.Pointer[error] // what opening a version fails with, on all
	nodes   []*Node
	open    []*atomic.Int64    // files and locks of each of nodes
	logged  logged             // by all
	at      func(i int) string // where i listens; nil: as the roster of inBubble has it
	change  func(i int, c *Config)
	ill     []*atomic.Pointer[error] // why a node alone cannot open its versions, as they were started
}

// logged keeps what is logged, to be read when nothing more comes.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// lines returns those that contain what.
func (l *logged) lines(what string) (found []string) {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, what) {
			found = append(found, line)
		}
	}
	return found
}

// roomFS is a disk whose free space the test decides, and whether it can open
// versions: a process without descriptors, or a bad cable, cannot.
type roomFS struct {
	store.FS
	free   *atomic.Int64
	broken *atomic.Pointer[error]
}

func (f roomFS) Open(name string) (store.File, error) {
	if err := f.broken.Load(); err != nil && strings.HasPrefix(name, "files/") {
		if one, ok := (*err).(*os.PathError); !ok || strings.HasSuffix(name, one.Path) { // else all files
			return nil, *err
		}
	}
	return f.FS.Open(name)
}

func (f roomFS) Space() (free, total int64, err error) { return f.free.Load(), 1 << 40, nil }

// inBubble runs f with a roster of n members, the first run of whom run.
func inBubble(t *testing.T, n, run int, settings string, f func(*bubble)) {
	inBubbleOf(t, n, run, settings, nil, func(*bubble) {}, f)
}

// inBubbleOf is that with a roster that has other addresses; set may set at and
// change, and changes the network, before anybody runs.
func inBubbleOf(t *testing.T, n, run int, settings string, roster []string, set, f func(*bubble)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, net: newMemnet()}
		set(b)
		text := "ring test " + settings + "\n"
		for i := range n {
			secret, err := keys.Generate()
			if err != nil {
				t.Fatal(err)
			}
			b.secrets = append(b.secrets, secret)
			addr := b.addr(i)
			if roster != nil {
				addr = roster[i]
			}
			text += fmt.Sprintf("peer %d n%d %s addr=%s\n", i, i, secret.Public(), addr)
			b.disks = append(b.disks, simdisk.New(uint64(i)+1))
			b.room = append(b.room, new(atomic.Int64))
			b.room[i].Store(1 << 40)
		}
		var err error
		if b.roster, err = keys.ParseRoster([]byte(text)); err != nil {
			t.Fatal(err)
		}
		for i := range run {
			b.start(i)
		}
		for _, n := range b.nodes {
			<-n.Ready()
		}
		time.Sleep(5 * time.Second) // of the bubble: everybody is active
		f(b)
		for _, n := range b.nodes {
			n.Close()
		}
		synctest.Wait()
		b.nothingIsLeft()
	})
}

func (b *bubble) addr(i int) string {
	if b.at != nil {
		return b.at(i)
	}
	return fmt.Sprintf("10.0.0.%d:7460", i+1)
}

func (b *bubble) start(i int) {
	b.t.Helper()
	l, p := b.net.listen(b.addr(i))
	b.open = append(b.open, new(atomic.Int64))
	b.ill = append(b.ill, new(atomic.Pointer[error]))
	disk := countedFS{roomFS{roomFS{b.disks[i].Mount(), b.room[i], b.ill[len(b.ill)-1]}, b.room[i], &b.broken}, b.open[len(b.open)-1]}
	c := Config{Secret: b.secrets[i], Roster: b.roster, Listener: l, PacketConn: p,
		Dial: b.net.dialFrom(b.addr(i)), Logger: slog.New(slog.NewTextHandler(&b.logged, nil))}
	if b.change != nil {
		b.change(i, &c)
	}
	n, err := open(c, disk)
	if err != nil {
		b.t.Fatal(err)
	}
	b.nodes = append(b.nodes, n)
	go n.Run(context.Background())
}

func TestIntervalIsHonouredExactly(t *testing.T) {
	inBubble(t, 3, 3, "interval=3s", func(b *bubble) {
		t := b.t
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last time.Time
		n := 0
		for e := range b.nodes[0].Watch(ctx) {
			if e.Kind != "pings-sent" {
				continue
			}
			if d := e.Time.Sub(last); n > 0 && (d < 2990*time.Millisecond || d > 3010*time.Millisecond) {
				t.Errorf("%v between two pings, want 3 s", d)
			}
			if last = e.Time; n == 5 {
				return
			}
			n++
		}
	})
}

// hung is a member whose machine hangs: it accepts transfer links and answers
// nothing, and serves the rest as told.
func (b *bubble) hung(i int, serve func(*crypto.Conn)) {
	l, _ := b.net.listen(b.addr(i))
	listener := crypto.Listen(l, &crypto.Config{
		Secret: b.secrets[i], Ring: "test", Pings: crypto.NewPingTable(),
		Info: func() crypto.Info { return crypto.Info{Incarnation: 1} },
		Lookup: func(noise [32]byte) (keys.Public, bool) {
			m, ok := b.roster.ByKey(noise)
			return m.Key, ok
		},
		Publish: func(*crypto.Conn) error { return nil },
	})
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	b.t.Cleanup(func() { listener.Close() })
}

func TestStalledTargetDoesNotStallTheOthers(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		t := b.t
		stop := make(chan struct{})
		b.hung(2, func(*crypto.Conn) { <-stop })
		n := b.nodes[0]
		a := uploadTo(0, 1, 2)
		u := n.newUpload(t.Context(), a, "f", -1)
		began := time.Now()
		hash, err := u.stream(t.Context(), bytes.NewReader(bytesOf(1, 20<<20)))
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < lagTime || d > 2*lagTime {
			t.Errorf("the stalled target held the put up for %v, want about %v", d, lagTime)
		}
		m, _ := n.sealed(a, "f", hash, PutOptions{})
		u.finish(&m)
		for _, i := range []int{0, 1} {
			if got, _, err := b.nodes[i].disk.look(b.roster.Space, "f"); err != nil || len(got) != 1 {
				t.Errorf("node %d has %v, %v; want the file", i, got, err)
			}
		}
		close(stop)
	})
}

func TestSilentHolderIsOvertaken(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		t := b.t
		stop := make(chan struct{})
		b.hung(2, func(*crypto.Conn) { <-stop })
		data := bytesOf(2, 3<<20)
		put(t, b.nodes[1], "f", data)
		ms, _, err := b.nodes[1].disk.look(b.roster.Space, "f")
		if err != nil || len(ms) != 1 {
			t.Fatal(ms, err)
		}
		var got bytes.Buffer
		began := time.Now()
		f := b.nodes[0].newFetch(ms[0], []wire.ID{2, 1}, &userSink{w: &got})
		if err := f.run(t.Context()); err != nil || !bytes.Equal(got.Bytes(), data) {
			t.Errorf("run: %d bytes, %v", got.Len(), err)
		}
		if d := time.Since(began); d < lateAfter || d > lateAfter+time.Second {
			t.Errorf("took %v, want %v", d, lateAfter)
		}
		close(stop)
	})
}

func TestSlowBodyIsSentInSeveralSegments(t *testing.T) {
	inBubble(t, 2, 2, "copies=2", func(b *bubble) {
		t := b.t
		r, w := io.Pipe()
		data := bytesOf(3, 3*chunkSize+5)
		go func() {
			for part := data; len(part) > 0; part = part[min(len(part), chunkSize):] {
				w.Write(part[:min(len(part), chunkSize)])
				time.Sleep(3 * pauseTime)
			}
			w.Close()
		}()
		result, err := b.nodes[0].Put(t.Context(), "slow", r, PutOptions{})
		if err != nil || len(result.Copies) != 2 {
			t.Errorf("Put = %+v, %v; want 2 copies", result, err)
		}
		if got, _ := get(t, b.nodes[1], "slow"); !bytes.Equal(got, data) {
			t.Errorf("got %d bytes, or others", len(got))
		}
	})
}

func TestIdleTransferLinksEnd(t *testing.T) {
	inBubble(t, 2, 2, "copies=2", func(b *bubble) {
		t := b.t
		transfers := func() (count int) {
			for _, n := range b.nodes {
				n.members.mu.Lock()
				for c := range n.members.links {
					if c.Kind() == crypto.Transfer {
						count++
					}
				}
				n.members.mu.Unlock()
			}
			return count
		}
		for i := range 6 {
			put(t, b.nodes[0], fmt.Sprint(i), []byte("x"))
		}
		if n := transfers(); n == 0 || n > 2*maxTransfers {
			t.Errorf("%d ends of transfer links are open after puts, want 2 to %d", n, 2*maxTransfers)
		}
		time.Sleep(transferIdle + time.Second)
		if n := transfers(); n != 0 {
			t.Errorf("%d ends of transfer links are open after %v", n, transferIdle)
		}
		put(t, b.nodes[0], "again", []byte("x"))
	})
}

// insider is member i, who does not run, on a transfer link to node 0.
func (b *bubble) insider(i int) (*insider, *crypto.Conn) {
	b.t.Helper()
	c, _ := b.dial(i, crypto.Transfer, 1)
	return &insider{t: b.t, secret: b.secrets[i]}, c
}

// dial opens a link of member i, who does not run, to node 0, and returns it
// and node 0's end of the connection.
func (b *bubble) dial(i int, kind crypto.Kind, incarnation uint64) (*crypto.Conn, *memConn) {
	b.t.Helper()
	raw, err := b.net.dialFrom(b.addr(i))(b.t.Context(), "tcp", b.addr(0))
	if err != nil {
		b.t.Fatal(err)
	}
	b.net.mu.Lock()
	far := b.net.conns[len(b.net.conns)-1]
	b.net.mu.Unlock()
	c, err := crypto.Dial(b.t.Context(), raw, &crypto.Config{
		Secret: b.secrets[i], Ring: "test", Pings: crypto.NewPingTable(),
		Info:    func() crypto.Info { return crypto.Info{Incarnation: incarnation} },
		Publish: func(*crypto.Conn) error { return nil },
	}, b.secrets[0].Public(), kind)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c, far
}

func TestAbandonedUploadIsForgotten(t *testing.T) {
	inBubble(t, 2, 1, "copies=2", func(b *bubble) {
		t := b.t
		in, c := b.insider(1)
		for id := range uint64(maxUploads) {
			in.send(c, wire.Put{Upload: id, Size: wire.SizeUnknown, Name: "f"})
			in.send(c, wire.PutMore{})
			if msg, err := readMessage(c); err != nil || msg.(wire.PutAck).Code != wire.CodeMore {
				t.Fatalf("upload %d: %+v, %v", id, msg, err)
			}
		}
		n := b.nodes[0]
		time.Sleep(uploadIdle + time.Second)
		synctest.Wait()
		names, err := b.disks[0].Mount().List("tmp")
		if err != nil || len(names) != 0 || len(n.uploads.open) > 0 {
			t.Errorf("after %v: %v, %v", uploadIdle, names, err)
		}
	})
}

func uploadTo(ids ...wire.ID) ring.Upload {
	return ring.Upload{Op: 1 << 40, To: ids, Holders: ids, Version: 1}
}

func TestIdleRingLinksAreHungUp(t *testing.T) {
	inBubble(t, 8, 8, "copies=1 observers=1", func(b *bubble) {
		t := b.t
		ringLinks := func() (count int) {
			for _, n := range b.nodes {
				n.members.mu.Lock()
				for c := range n.members.links {
					if c.Kind() == crypto.Ring {
						count++
					}
				}
				n.members.mu.Unlock()
			}
			return count
		}
		for _, n := range b.nodes {
			if _, silent, err := n.List(t.Context(), ""); err != nil || len(silent) > 0 {
				t.Fatal(silent, err)
			}
		}
		if n := ringLinks(); n != 8*7 {
			t.Errorf("%d ends of ring links after everybody asked everybody, want %d", n, 8*7)
		}
		time.Sleep(time.Minute)
		if n := ringLinks(); n < 8*2 || n > 8*4 {
			t.Errorf("%d ends of ring links after a minute, want those with neighbours", n)
		}
		put(t, b.nodes[0], "f", []byte("x"))
		for _, n := range b.nodes {
			if got, _ := get(t, n, "f"); string(got) != "x" {
				t.Errorf("got %q", got)
			}
		}
	})
}

func TestFullDiskIsNoticedAndItsEndToo(t *testing.T) {
	inBubble(t, 2, 2, "copies=2", func(b *bubble) {
		t := b.t
		for _, c := range []struct {
			free int64
			want string
		}{{fullBelow - 1, "full"}, {wellAbove, "full"}, {wellAbove + 1, "active"}, {fullBelow, "active"}} {
			b.room[1].Store(c.free)
			time.Sleep(2 * measureEach)
			if s := status(t, b.nodes[0]).Peers[1].State; s != c.want {
				t.Errorf("with room for %d bytes n1 is %s, want %s", c.free, s, c.want)
			}
		}
	})
}

// TestWriteWithoutRoomIsBelieved: a write that finds no room counts for a
// while, though there seems to be space.
func TestWriteWithoutRoomIsBelieved(t *testing.T) {
	inBubble(t, 2, 2, "copies=2", func(b *bubble) {
		t := b.t
		b.nodes[1].disk.failed(store.ErrFull)
		for _, c := range []struct {
			wait time.Duration
			want string
		}{{fullHold - time.Second, "full"}, {measureEach + 3*time.Second, "active"}} {
			time.Sleep(c.wait)
			if s := status(t, b.nodes[0]).Peers[1].State; s != c.want {
				t.Errorf("n1 is %s, want %s", s, c.want)
			}
		}
	})
}

// TestLinkThatIsNotReadDelaysNobody: while a member takes nothing, nobody else
// waits.
func TestLinkThatIsNotReadDelaysNobody(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		t := b.t
		stop := make(chan struct{})
		b.hung(2, func(*crypto.Conn) { <-stop })
		n := b.nodes[0]
		began := time.Now()
		for range 4 * linkLarge {
			n.post(sending{2, wire.Rows{Rows: make([]wire.Row, wire.MaxRows)}})
		}
		put(t, n, "f", []byte("x"))
		if d := time.Since(began); d > time.Second {
			t.Errorf("a put waited %v for a member that reads nothing", d)
		}
		close(stop)
	})
}

// TestRingOutlivesItsLinks: a ping session ends 240 s after its handshake, so
// links are replaced before, and nobody notices: no verdict, no change of the
// ring, no ping unanswered, for a quarter of an hour.
func TestRingOutlivesItsLinks(t *testing.T) {
	inBubble(t, 3, 3, "copies=3", func(b *bubble) {
		t := b.t
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
		defer cancel()
		answered, last := 0, time.Now()
		for e := range b.nodes[0].Watch(ctx) {
			switch e.Kind {
			case "ping-answered":
				answered++
				if d := e.Time.Sub(last); d > 2*time.Second {
					t.Errorf("no ping was answered for %v", d)
				}
				last = e.Time
			case "pings-sent", "ping-received":
			default:
				t.Errorf("%s %s %s", e.Time.Format("04:05"), e.Kind, e.Peer)
			}
		}
		if answered < 1700 {
			t.Errorf("%d pings were answered, want 1800", answered)
		}
		for _, n := range b.nodes {
			n.members.mu.Lock()
			if links := len(n.members.links); links > 4 {
				t.Errorf("%d links after all, want one with each of the two others, and those about to end", links)
			}
			n.members.mu.Unlock()
		}
	})
}

// TestDialIsTriedAnew: a first packet that a cut swallows is not waited for as
// long as the system would, and an address where nobody listens is not asked
// twice.
func TestDialIsTriedAnew(t *testing.T) {
	inBubble(t, 1, 1, "copies=1 interval=200ms", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		healed := time.Now().Add(2 * time.Second)
		tries := 0
		n.config.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			tries++
			if time.Now().Before(healed) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, syscall.ECONNREFUSED
		}
		ctx, cancel := context.WithTimeout(t.Context(), dialTime)
		defer cancel()
		_, err := n.connect(ctx, "h:1")
		if late := time.Since(healed); err != syscall.ECONNREFUSED || late < 0 || late > dialTry*200*time.Millisecond {
			t.Errorf("connect: %v, %v after the cut, want refused within %v", err, late, dialTry*200*time.Millisecond)
		}
		if tries != 4 {
			t.Errorf("%d tries, want 4: at 0, 0.8, 1.6 and 2.4 s", tries)
		}
		healed = time.Now().Add(time.Hour)
		began := time.Now()
		ctx, cancel = context.WithTimeout(t.Context(), dialTime)
		defer cancel()
		if _, err := n.connect(ctx, "h:1"); err == nil || time.Since(began) != dialTime {
			t.Errorf("connect: %v after %v, want an error after %v", err, time.Since(began), dialTime)
		}
	})
}

// TestTargetThatLeftTheRingIsGivenUp: a put does not wait for the answer of a
// member that died meanwhile longer than the ring needs to notice.
func TestTargetThatLeftTheRingIsGivenUp(t *testing.T) {
	inBubble(t, 4, 4, "copies=3 interval=200ms", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		var to []wire.ID
		for id := range wire.ID(4) {
			if id != 0 {
				to = append(to, id)
			}
		}
		a := uploadTo(to...)
		u := n.newUpload(t.Context(), a, "f", 3)
		hash, err := u.stream(t.Context(), strings.NewReader("abc"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.net.off(b.addr(3))
		began := time.Now()
		m, _ := n.sealed(a, "f", hash, PutOptions{})
		u.finish(&m)
		if d := time.Since(began); d > 5*200*time.Millisecond+awayLeast {
			t.Errorf("the put waited %v for a dead target", d)
		}
		if lines := b.logged.lines(errAway.Error()); len(lines) != 1 {
			t.Errorf("log: %q", lines)
		}
	})
}
