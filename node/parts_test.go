package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
	"securepeer/keys"
	"securepeer/ring"
	"securepeer/wire"
)

func TestSlowWatcherFindsAGap(t *testing.T) {
	s := &watchers{open: make(map[*watcher]struct{})}
	n := &Node{desk: desk{watchers: s}}
	ctx, cancel := context.WithCancel(t.Context())
	events := n.Watch(ctx)
	for i := range watchQueue + 10 {
		s.tell(Event{Kind: fmt.Sprint(i)})
	}
	for i := range watchQueue {
		if e := <-events; e.Kind != fmt.Sprint(i) {
			t.Fatalf("event %d is %q", i, e.Kind)
		}
	}
	s.tell(Event{Kind: "next"})
	if e := <-events; e.Kind != KindGap {
		t.Errorf("after lost events came %q, want a gap", e.Kind)
	}
	if e := <-events; e.Kind != "next" {
		t.Errorf("after the gap came %q", e.Kind)
	}
	cancel()
	if _, open := <-events; open {
		t.Error("the channel is open after its context")
	}
	s.close()
	if _, open := <-n.Watch(t.Context()); open {
		t.Error("a watcher was let in after the end")
	}
}

func TestEveryNoticeHasAName(t *testing.T) {
	seen := make(map[string]bool)
	for k := ring.PingsSent; k <= ring.KeyRunsTwice; k++ {
		name := kindNames[k]
		if name == "" || seen[name] {
			t.Errorf("notice %d is called %q", k, name)
		}
		seen[name] = true
	}
}

// TestPaceDoubles: a line a second goes on being told after 1 s, 2, 4 and so on
// to an hour, with how many were not, by member whatever the cause; after a
// pause that is longer it is news again; and what is remembered is bounded.
func TestPaceDoubles(t *testing.T) {
	p := newLinePace()
	began := time.Unix(1000, 0)
	var at []int
	sum := uint64(0)
	for i := range 10 * 3600 {
		if held, ok := p.take(paceKey{"m", "a", ""}, began.Add(time.Duration(i)*time.Second)); ok {
			at = append(at, i)
			sum += held + 1
		}
	}
	want := []int{0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 2047, 4095, 7695, 11295, 14895, 18495, 22095, 25695, 29295, 32895}
	if !slices.Equal(at, want) || sum != uint64(at[len(at)-1]+1) {
		t.Errorf("lines at %v that stand for %d, want %v", at, sum, want)
	}
	late := began.Add(20 * time.Hour)
	for i, ok := range []bool{true, false, true} {
		if _, got := p.take(paceKey{"m", "a", ""}, late.Add(time.Duration(i)*paceFirst/2)); got != ok {
			t.Errorf("line %d after hours of quiet passes: %v", i, got)
		}
	}
	passed := 0
	for i := range 3 * maxPaced {
		if _, ok := p.take(paceKey{"m", fmt.Sprint(i), ""}, late); ok {
			passed++
		}
	}
	if len(p.keys) > maxPaced+1 || passed > maxPaced {
		t.Errorf("%d kinds are told apart, %d lines passed", len(p.keys), passed)
	}
}

func TestRefusalsAreCounted(t *testing.T) {
	r := newRefusals(slog.New(slog.DiscardHandler))
	for i := range 3 * maxRefusals {
		r.add(fmt.Sprint(i%(2*maxRefusals)), "y")
	}
	var sum uint64
	for _, x := range r.list() {
		sum += x.Count
	}
	if n := len(r.list()); n > maxRefusals+1 || sum != 3*maxRefusals {
		t.Errorf("%d rows that count %d", n, sum)
	}
}

func TestVerifierBoundsWhatItRemembers(t *testing.T) {
	v := newVerifier()
	for i := range 5 * maxVerified {
		v.remember([32]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		if i%1000 == 0 && !v.knows([32]byte{}) {
			t.Fatalf("what is in use was forgotten after %d others", i)
		}
	}
	if n := len(v.fresh) + len(v.old); n > 2*maxVerified {
		t.Errorf("remembers %d sums, at most %d", n, 2*maxVerified)
	}
}

// TestWhoMaySignAManifest: the writer, also one that was revoked since; and a
// steward of now, of a removal alone.
func TestWhoMaySignAManifest(t *testing.T) {
	secrets := make([]*keys.Secret, 4)
	for i := range secrets {
		var err error
		if secrets[i], err = keys.Generate(); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf("ring r\npeer 1 a %s addr=h:1\npeer 2 b %s addr=h:2 role=steward\nrevoke 3 c %s\n",
		secrets[0].Public(), secrets[1].Public(), secrets[2].Public())
	roster, err := keys.ParseRoster([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBook(roster, secrets[0].Public())
	if err != nil {
		t.Fatal(err)
	}
	v := newVerifier()
	for _, c := range []struct {
		writer, signer wire.ID
		key            int
		live, removal  error
	}{
		{1, 1, 0, nil, nil},
		{2, 2, 1, nil, nil},
		{1, 2, 1, errSigner, nil},
		{2, 1, 0, errSigner, errSigner},
		{3, 3, 2, nil, nil},
		{3, 2, 1, errSigner, nil},
		{1, 3, 2, errSigner, errSigner}, // a steward once, maybe
		{1, 1, 1, errSignature, errSignature},
		{1, 2, 0, errSigner, errSignature},
		{4, 4, 3, errUnknownSigner, errUnknownSigner},
		{1, 4, 3, errUnknownSigner, errUnknownSigner},
	} {
		live := wire.Manifest{Name: "f", Version: 1, Writer: c.writer, Signer: c.signer, Size: 1, Blocks: wire.Sum{1}}
		removal := wire.Manifest{Name: "f", Version: 1, Writer: c.writer, Signer: c.signer, Flags: wire.Tombstone}
		for m, want := range map[wire.Manifest]error{live: c.live, removal: c.removal} {
			m.Sig = secrets[c.key].Sign(m.SignedBytes("r", nil))
			for range 2 { // the second time from memory
				if err := v.manifest(b, m, nil); err != want {
					t.Errorf("writer %d, signer %d, key %d, flags %d: %v, want %v", c.writer, c.signer, c.key, m.Flags, err, want)
				}
			}
		}
	}
	foreign := wire.Manifest{Name: "f", Version: 1, Writer: 1, Signer: 1, Size: 1, Blocks: wire.Sum{1}}
	foreign.Sig = secrets[0].Sign(foreign.SignedBytes("another ring", nil))
	if err := v.manifest(b, foreign, nil); err != errSignature {
		t.Errorf("a signature of another ring: %v", err)
	}
	msg, err := v.message(b, wire.Rows{Rows: []wire.Row{{ID: 9}}, Votes: []wire.Vote{{Observer: 9}}}, nil)
	if rows := msg.(wire.Rows); err != nil || len(rows.Rows)+len(rows.Votes) != 0 {
		t.Errorf("rows of nobody: %+v, %v; want them left out", msg, err)
	}
}

func TestIndexPagesByName(t *testing.T) {
	x := &index{built: true}
	for i, name := range []string{"b", "a/2", "a/1", "a/1", "c", "a/3"} {
		if isNew := x.add(indexed{name, uint64(i)}); isNew != (i != 3) {
			t.Errorf("name %d is new: %v", i, isNew)
		}
	}
	if n := len(x.entries); n != 5 {
		t.Errorf("%d names, want 5", n)
	}
	var got []string
	after := ""
	for more := true; more; {
		var page []indexed
		page, more = x.after("a/", after, 2)
		for _, n := range page {
			got = append(got, n.name)
			after = n.name
		}
	}
	if s := strings.Join(got, " "); s != "a/1 a/2 a/3" {
		t.Errorf("pages are %q", s)
	}
	if page, more := x.after("zz", "", 5); len(page) > 0 || more {
		t.Errorf("a prefix of nothing gives %v, %v", page, more)
	}
}

func TestScanGivesEveryVersionOnce(t *testing.T) {
	s, err := store.Open(simdisk.New(1).Mount(), strings.NewReader(strings.Repeat("x", 16)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d, err := openDisk(s, nil, anybody)
	if err != nil {
		t.Fatal(err)
	}
	keys := []uint64{0, 1, 1, 5, 1 << 60, 1<<64 - 1, 1<<64 - 1}
	for i, key := range keys {
		w, err := s.Create(0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(key, store.Labels{}, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{1, 2, 3, 100} {
		seen := make(map[ring.Version]bool)
		ask := ring.Scan{First: true, Limit: limit}
		for more := true; more; ask.First = false {
			r, err := d.scan(ask)
			if err != nil || len(r.Versions) > limit || r.More && len(r.Versions) == 0 {
				t.Fatalf("scan = %+v, %v", r, err)
			}
			for _, v := range r.Versions {
				if seen[v] || len(seen) > 0 && v.Key < ask.After.Key {
					t.Errorf("limit %d: %x again, or out of order", limit, v.Key)
				}
				seen[v], ask.After = true, v
			}
			more = r.More
		}
		if len(seen) != len(keys) {
			t.Errorf("limit %d: %d versions, want %d", limit, len(seen), len(keys))
		}
	}
}

func TestIncarnationsAreReservedAhead(t *testing.T) {
	sim := simdisk.New(1)
	open := func() *disk {
		s, err := store.Open(sim.Mount(), strings.NewReader(strings.Repeat("x", 16)))
		if err != nil {
			t.Fatal(err)
		}
		d, err := openDisk(s, nil, anybody)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := open()
	for i := wire.Incarnation(1); i < 200; i++ {
		if err := d.persist(i); err != nil || d.persisted() != i {
			t.Fatalf("persist(%d): %v", i, err)
		}
	}
	sim.PowerCut()
	if again := open(); again.last < 199 || again.persisted() != again.last+1 {
		t.Errorf("after a power cut the last incarnation is %d and the next %d, but 199 was spoken", again.last, again.persisted())
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	secret, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	text := fmt.Sprintf("ring r\npeer 1 a %s addr=%s\n", secret.Public(), taken.Addr())
	roster, err := keys.ParseRoster([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Secret: secret, Roster: roster, Dir: t.TempDir()}
	if _, err := New(c); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("New with a port in use: %v", err)
	}
	c.Listen = "127.0.0.1:0"
	n, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(c); !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), c.Dir) {
		t.Errorf("New with a folder in use: %v", err)
	}
	c.Contact = "nobody"
	if _, err := New(c); !errors.Is(err, ErrNoSuchMember) {
		t.Errorf("New with an unknown contact: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("Close before Run: %v", err)
	}
	if err := n.Run(t.Context()); err == nil {
		t.Error("Run after Close began")
	}
	if err := n.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	if _, err := n.Put(t.Context(), "x", strings.NewReader(""), PutOptions{}); err != ErrClosed {
		t.Errorf("Put after Close: %v", err)
	}
	if _, err := n.Status(t.Context()); err != ErrClosed {
		t.Errorf("Status after Close: %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "")
	w.plugs[0].used = true
	p := w.plugs[0]
	n, err := open(Config{Secret: w.secrets[0], Roster: w.roster, Interval: testInterval,
		Listener: p, PacketConn: p.packets}, w.disks[0].Mount())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- n.Run(ctx) }()
	<-n.Ready()
	if err := n.Run(ctx); err != errRunsOnce {
		t.Errorf("Run again: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	<-n.Done()
}

func TestDefaultSocketsShareOnePort(t *testing.T) {
	secret, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	roster, err := keys.ParseRoster(fmt.Appendf(nil, "ring r\npeer 1 a %s addr=h:1\n", secret.Public()))
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(Config{Secret: secret, Roster: roster, Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if tcp, udp := n.Addr().String(), n.datagrams.open[0].LocalAddr().String(); tcp != udp {
		t.Errorf("TCP listens on %s, UDP on %s", tcp, udp)
	}
}

func TestNamesOfHostsAreLookedUpInTheBackground(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	a := newAddresses(ctx, &work, systemResolve)
	until(t, "localhost to be known", func() bool { return len(a.ping("localhost:7460")) > 0 })
	if got := a.ping("localhost:7460")[0]; !got.Addr().IsLoopback() || got.Port() != 7460 {
		t.Errorf("localhost is %v", got)
	}
	if got := a.ping("192.0.2.7:1")[0].String(); got != "192.0.2.7:1" {
		t.Errorf("a literal is %v", got)
	}
	if !a.has(netip.MustParseAddr("192.0.2.7")) || a.has(netip.MustParseAddr("192.0.2.8")) {
		t.Error("known addresses are not those of the roster")
	}
	cancel()
	work.Wait()
	if len(a.ping("example.invalid:1")) > 0 {
		t.Error("an unknown name has an address")
	}
}

// bookOf is a roster of members at these addresses.
func bookOf(addrs ...string) *book {
	b := &book{Roster: &keys.Roster{}}
	for i, addr := range addrs {
		b.Members = append(b.Members, keys.Member{ID: wire.ID(i), Addr: addr})
	}
	return b
}

// TestAddressesOfEarlierAreForgotten: the share of the door that is kept for
// the roster's addresses is for those of now: not for those that a roster or a
// name server has dropped.
func TestAddressesOfEarlierAreForgotten(t *testing.T) {
	var work sync.WaitGroup
	answer := "192.0.2.5"
	a := newAddresses(t.Context(), &work, func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr(answer)}, nil
	})
	has := func(want map[string]bool) {
		t.Helper()
		for ip, want := range want {
			if got := a.has(netip.MustParseAddr(ip)); got != want {
				t.Errorf("%s is known: %v, want %v", ip, got, want)
			}
		}
	}
	a.learn(bookOf("192.0.2.1:1", "192.0.2.1:2", "192.0.2.3:1"))
	has(map[string]bool{"192.0.2.1": true, "192.0.2.3": true})
	a.learn(bookOf("192.0.2.1:2", "192.0.2.4:1"))
	has(map[string]bool{"192.0.2.1": true, "192.0.2.3": false, "192.0.2.4": true})
	a.learn(bookOf("moves.test:7460"))
	work.Wait()
	has(map[string]bool{"192.0.2.1": false, "192.0.2.4": false, "192.0.2.5": true})
	a.reached("moves.test:7460", netip.MustParseAddr("192.0.2.5"))
	answer = "192.0.2.6"
	a.mu.Lock()
	a.refreshLocked(a.known["moves.test:7460"], 0)
	a.mu.Unlock()
	work.Wait()
	has(map[string]bool{"192.0.2.5": false, "192.0.2.6": true})
}

func TestErrorsNameFileAndPeers(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&NotFoundError{"a\x1b"}, `"a\x1b" is not in the ring`},
		{&UnavailableError{Name: "a"}, `"a" is not available`},
		{&UnavailableError{Name: "a", Lacks: []Lack{{"x", Silent}, {"y", Silent}}}, `"a" is not available: no answer from x, y`},
		{&UnavailableError{Name: "a", Lacks: []Lack{{"x", Silent}, {"y", Slow}}},
			`"a" is not available: no answer from x; less than 1024 bytes a second from y`},
		{&TakenError{Name: "a", By: "x"}, `"a" is a file of x`},
		{&IntegrityError{"a", []string{"x"}}, `"a" has wrong bytes at x`},
		{&PeerError{"x", ErrNoSuchMember}, "x: not in the roster"},
		{&LeaveError{UnavailableError{Lacks: []Lack{{"x", Awaited}, {"y", Full}}}},
			"not everything is confirmed elsewhere: no room on the disk of y; not all confirmed yet by x"},
		{&LeaveError{UnavailableError{Lacks: []Lack{{"x", Unsent}}, Unsent: errors.New("no route")}},
			"not everything is confirmed elsewhere: this peer could not ask x: no route"},
		{checkName("a//b"), `"a//b": name has an empty part: it begins or ends with '/', or has two in a row`},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%T says %q, want %q", c.err, got, c.want)
		}
	}
	if !errors.Is(&PeerError{"x", ErrNoSuchMember}, ErrNoSuchMember) {
		t.Error("a PeerError hides its cause")
	}
}
