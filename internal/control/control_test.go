package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"securepeer/keys"
	"securepeer/node"
)

// served is a ring of one that is served in a folder.
type served struct {
	*Client
	node *node.Node
	stop context.CancelFunc
	wait func() // until node and server have ended
}

func serve(t *testing.T) *served {
	t.Helper()
	return serveEvery(t, 20*time.Millisecond)
}

// serveEvery takes the interval between pings, from which the ring takes its
// other times.
func serveEvery(t *testing.T, interval time.Duration) *served {
	t.Helper()
	secret, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	roster, err := keys.NewRoster("attic")
	if err != nil {
		t.Fatal(err)
	}
	roster.Interval = interval
	if err := roster.Add(keys.Member{ID: 0, Name: "solo", Key: secret.Public(), Addr: "127.0.0.1:7460"}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n, err := node.New(node.Config{Secret: secret, Roster: roster, Dir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s := &Server{Node: n, Stop: stop, Reload: func() error { return n.Reload(roster) }}
	ended := make(chan error, 2) // both may end unheard if the test fails
	go func() { ended <- n.Run(ctx) }()
	go func() { ended <- s.Serve(ctx, listener) }()
	wait := sync.OnceFunc(func() {
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(func() {
		stop()
		wait()
	})
	return &served{New(dir), n, stop, wait}
}

func codeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func (s *served) put(t *testing.T, name string, body []byte) PutResult {
	t.Helper()
	r, err := s.Put(t.Context(), name, PutInfo{Size: int64(len(body)), Mode: 0o640}, bytes.NewReader(body))
	if err != nil {
		t.Fatalf("putting %q: %v", name, err)
	}
	return r
}

func (s *served) get(t *testing.T, name string) []byte {
	t.Helper()
	d, err := s.Get(t.Context(), name, GetOptions{})
	if err != nil {
		t.Fatalf("getting %q: %v", name, err)
	}
	defer d.Close()
	var b bytes.Buffer
	if _, err := d.CopyTo(&b); err != nil {
		t.Fatalf("getting %q: %v", name, err)
	}
	return b.Bytes()
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

func TestFilesOfAllSizesCrossTheSocket(t *testing.T) {
	s := serve(t)
	for _, n := range []int{0, 1, bufferSize - 1, bufferSize, bufferSize + 1, 3<<20 + 17} {
		body := randomBytes(n)
		if r := s.put(t, "f", body); r.Schema != SchemaPut || r.Size != int64(n) || len(r.Copies) != 1 {
			t.Errorf("put of %d bytes = %+v", n, r)
		}
		if got := s.get(t, "f"); !bytes.Equal(got, body) {
			t.Errorf("get of %d bytes gave %d others", n, len(got))
		}
	}
}

func TestPutOfUnknownSize(t *testing.T) {
	s := serve(t)
	body := randomBytes(1<<20 + 1)
	r, err := s.Put(t.Context(), "f", PutInfo{}, io.MultiReader(bytes.NewReader(body[:5]), bytes.NewReader(body[5:])))
	if err != nil || r.Size != int64(len(body)) {
		t.Fatalf("put = %+v, %v", r, err)
	}
	if got := s.get(t, "f"); !bytes.Equal(got, body) {
		t.Error("other bytes came back")
	}
}

func TestModeAndTimeCrossTheSocket(t *testing.T) {
	s := serve(t)
	at := time.Unix(1700000000, 123456789)
	if _, err := s.Put(t.Context(), "f", PutInfo{Size: 1, Mode: 0o751, Mtime: at}, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	d, err := s.Get(t.Context(), "f", GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if d.File.Mode != 0o751 || !d.File.Mtime.Equal(at) || d.File.Writer != "solo" {
		t.Errorf("file is %+v", d.File)
	}
}

// follow asks how far a transfer is until ok, or the test ends.
func (s *served) follow(t *testing.T, id string, ok func(Progress) bool) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		p, err := s.Progress(t.Context(), id)
		if err != nil {
			t.Error(err)
			return
		}
		if ok(p) {
			return
		}
		<-again.C
	}
}

// TestPutSaysHowFarItIs: what is read is not what has arrived, and a put whose
// user gives nothing waits for no member. (Before: it named all that had taken all
// there was.)
func TestPutSaysHowFarItIs(t *testing.T) {
	s := serve(t)
	some := bytes.NewReader(randomBytes(1 << 20))
	body := io.MultiReader(some, iotest(func([]byte) (int, error) {
		s.follow(t, "1", func(p Progress) bool {
			if p.Taken > 1<<20 {
				t.Errorf("after 1 MiB the put is at %+v", p)
			}
			return p.Known && p.Taken == 1<<20 && len(p.Waiting) == 0
		})
		return 0, io.EOF
	}))
	r, err := s.Put(t.Context(), "f", PutInfo{Progress: "1"}, body)
	if err != nil || r.Size != 1<<20 {
		t.Fatalf("put = %+v, %v", r, err)
	}
	if p, err := s.Progress(t.Context(), "1"); err != nil || p.Known {
		t.Errorf("after its end the put is at %+v, %v", p, err)
	}
}

// TestGetSaysItsProgress: a get whose user reads nothing waits for no member.
func TestGetSaysItsProgress(t *testing.T) {
	s := serve(t)
	s.put(t, "f", randomBytes(8<<20))
	d, err := s.Get(t.Context(), "f", GetOptions{Progress: "1"})
	if err != nil {
		t.Fatal(err)
	}
	idle := 0
	s.follow(t, "1", func(p Progress) bool {
		if idle++; !p.Known || len(p.Waiting) > 0 {
			idle = 0
		}
		return idle == 10
	})
	if _, err := s.Get(t.Context(), "f", GetOptions{Progress: "1"}); codeOf(err) != CodeBadRequest {
		t.Errorf("two transfers have one id: %v", err)
	}
	if _, err := s.Get(t.Context(), "f", GetOptions{Progress: strings.Repeat("1", maxProgressID+1)}); codeOf(err) != CodeBadRequest {
		t.Errorf("an id is too long: %v", err)
	}
	d.Close()
	s.follow(t, "1", func(p Progress) bool { return !p.Known })
}

// TestTimesThatAManifestCannotHave: years of files reach from before Christ to
// the 2,900th century.
func TestTimesThatAManifestCannotHave(t *testing.T) {
	s := serve(t)
	first, last := time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)
	for _, c := range []struct{ mtime, want time.Time }{
		{time.Unix(math.MinInt64, 0), first},
		{time.Unix(-1<<40, 0), first},
		{time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), first},
		{time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), first},
		{time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), first},
		{time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC), first},
		{first.Add(-1), first},
		{first, first},
		{first.Add(1), first.Add(1)},
		{time.Unix(-1, 5), time.Unix(-1, 5)},
		{time.Unix(0, 0), time.Unix(0, 0)},
		{last.Add(-1), last.Add(-1)},
		{last, last},
		{last.Add(1), last},
		{time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC), last},
		{time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), last},
		{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), last},
		{time.Unix(1<<40, 0), last},
		{time.Unix(1<<56, 0), last},
		{time.Unix(math.MaxInt64, 0), last},
	} {
		if _, err := s.Put(t.Context(), "f", PutInfo{Mode: 0o640, Mtime: c.mtime}, strings.NewReader(c.mtime.GoString())); err != nil {
			t.Errorf("put of a file of %v: %v", c.mtime, err)
			continue
		}
		list, err := s.List(t.Context(), "f")
		if err != nil || len(list.Files) != 1 || !list.Files[0].Mtime.Equal(c.want) {
			t.Errorf("a file of %v is listed as %+v, %v, want %v", c.mtime, list.Files, err, c.want)
		}
	}
}

// Names go through a path of HTTP and come out as they were.
func TestNamesCrossTheSocket(t *testing.T) {
	s := serve(t)
	for _, name := range []string{
		"a", "a/b", "a/b/c.d", "...", ".hidden", "a.", "%2e%2e", "%", "a b", "a+b", "a?b=c&d", "a#b", "Ü/名前", "{name}", `back\slash`,
		strings.Repeat("n", 255), strings.Repeat("n/", 511) + "nn",
	} {
		s.put(t, name, []byte(name))
		if got := s.get(t, name); string(got) != name {
			t.Errorf("%q gave %q", name, got)
		}
		if stat, err := s.Stat(t.Context(), name); err != nil || stat.Name != name || stat.Newest == nil {
			t.Errorf("stat of %q = %+v, %v", name, stat, err)
		}
		if l, err := s.Lookup(t.Context(), name); err != nil || l.Name != name || l.Owner != "solo" {
			t.Errorf("lookup of %q = %+v, %v", name, l, err)
		}
		if list, err := s.List(t.Context(), name); err != nil || len(list.Files) == 0 || list.Files[0].Name != name {
			t.Errorf("list of %q = %+v, %v", name, list, err)
		}
		if r, err := s.Remove(t.Context(), name, ""); err != nil || r.Name != name || r.Schema != SchemaRemove {
			t.Errorf("removing %q: %+v, %v", name, r, err)
		}
	}
}

func TestNamesThatAreNone(t *testing.T) {
	s := serve(t)
	for _, name := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/./b", "a\x00b", "a\nb", "\x1b[2J", "\xff", "a\x7f",
		strings.Repeat("n", 256), strings.Repeat("n", 2000),
	} {
		never := iotest(func([]byte) (int, error) {
			t.Errorf("bytes of %q were asked for", name)
			return 0, io.EOF
		})
		if _, err := s.Put(t.Context(), name, PutInfo{Size: 5}, never); codeOf(err) != CodeBadName {
			t.Errorf("putting %q: %v", name, err)
		}
		if _, err := s.Get(t.Context(), name, GetOptions{}); codeOf(err) != CodeBadName {
			t.Errorf("getting %q: %v", name, err)
		}
		if _, err := s.Remove(t.Context(), name, ""); codeOf(err) != CodeBadName {
			t.Errorf("removing %q: %v", name, err)
		}
		if _, err := s.Stat(t.Context(), name); codeOf(err) != CodeBadName {
			t.Errorf("stat of %q: %v", name, err)
		}
		if _, err := s.Lookup(t.Context(), name); codeOf(err) != CodeBadName {
			t.Errorf("lookup of %q: %v", name, err)
		}
	}
}

// iotest is a reader made of its Read.
type iotest func([]byte) (int, error)

func (f iotest) Read(b []byte) (int, error) { return f(b) }

func TestErrorsOfAPeerKeepTheirCode(t *testing.T) {
	s := serve(t)
	if _, err := s.Get(t.Context(), "nothing", GetOptions{}); codeOf(err) != CodeNotFound {
		t.Errorf("getting nothing: %v", err)
	}
	if _, err := s.Get(t.Context(), "nothing", GetOptions{By: "nobody"}); codeOf(err) != CodeNoPeer {
		t.Errorf("getting by nobody: %v", err)
	}
	if _, err := s.Ping(t.Context(), "no/body?"); codeOf(err) != CodeNoPeer {
		t.Errorf("pinging nobody: %v", err)
	}
	for _, self := range []string{"solo", "0"} {
		if _, err := s.Ping(t.Context(), self); codeOf(err) != CodeBadRequest || err.Error() != "solo is this peer itself" {
			t.Errorf("pinging itself as %s: %v", self, err)
		}
	}
	if _, err := s.Ping(t.Context(), strings.Repeat("n", 1000)); codeOf(err) != CodeNoPeer || len(err.Error()) > 200 {
		t.Errorf("pinging a long name: %v", err)
	}
	if _, err := s.List(t.Context(), "a\x1b"); codeOf(err) != CodeBadName || err.Error() != `no name begins with "a\x1b": it has a control character` {
		t.Errorf("listing with a control character: %v", err)
	}
}

// TestWriterByNameOrID: an id stands for the member that has it.
func TestWriterByNameOrID(t *testing.T) {
	s := serve(t)
	s.put(t, "file", []byte("bytes"))
	for _, by := range []string{"solo", "0"} {
		d, err := s.Get(t.Context(), "file", GetOptions{By: by})
		if err != nil {
			t.Fatalf("getting by %s: %v", by, err)
		}
		d.Close()
	}
	if _, err := s.Get(t.Context(), "file", GetOptions{By: "1"}); codeOf(err) != CodeNoPeer {
		t.Errorf("getting by an id that nobody has: %v", err)
	}
}

// TestOwnStateBeforeTheRing: a peer that is not in the ring yet starts, rather
// than never having met itself.
func TestOwnStateBeforeTheRing(t *testing.T) {
	s := newStatus(node.Status{State: "starting", Peers: []node.PeerStatus{{Self: true, State: "unseen"}, {State: "unseen"}}})
	if s.Members[0].State != "starting" || s.Members[1].State != "unseen" {
		t.Errorf("states %q and %q, want starting and unseen", s.Members[0].State, s.Members[1].State)
	}
}

func TestBodyThatFails(t *testing.T) {
	s := serve(t)
	broken := errors.New("disk on fire")
	body := io.MultiReader(bytes.NewReader(randomBytes(1<<20)), iotest(func([]byte) (int, error) { return 0, broken }))
	for _, size := range []int64{0, 2 << 20} {
		if _, err := s.Put(t.Context(), "f", PutInfo{Size: size}, body); !errors.Is(err, broken) {
			t.Errorf("put = %v, want %v", err, broken)
		}
		if _, err := s.Get(t.Context(), "f", GetOptions{}); codeOf(err) != CodeNotFound {
			t.Errorf("after a put that failed, get = %v", err)
		}
	}
}

// Neither is taken for the file: its reader had to say how long that is.
func TestBodyOfAnotherSize(t *testing.T) {
	s := serve(t)
	for _, size := range []int64{5, 100} {
		_, err := s.Put(t.Context(), "f", PutInfo{Size: size}, strings.NewReader("hello, world"))
		if err == nil || !strings.Contains(err.Error(), "bytes that were announced") {
			t.Errorf("put = %v", err)
		}
		if _, err := s.Get(t.Context(), "f", GetOptions{}); codeOf(err) != CodeNotFound {
			t.Errorf("after a put that failed, get = %v", err)
		}
	}
}

// The command was killed: what came is not a file.
func TestUploadThatBreaksOff(t *testing.T) {
	s := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	sent := 0
	body := iotest(func(b []byte) (int, error) {
		if sent >= 4<<20 {
			cancel()
			<-t.Context().Done() // as a pipe that stays open
		}
		sent += len(b)
		return len(b), nil
	})
	if _, err := s.Put(ctx, "f", PutInfo{}, body); !errors.Is(err, context.Canceled) {
		t.Errorf("put = %v, want %v", err, context.Canceled)
	}
	s.put(t, "behind it", nil) // by now the peer knows
	if _, err := s.Get(t.Context(), "f", GetOptions{}); codeOf(err) != CodeNotFound {
		t.Errorf("after a put that broke off, get = %v", err)
	}
}

func TestUploadReaderNeverLooksLikeAShortFile(t *testing.T) {
	u := &upload{body: io.MultiReader(strings.NewReader("some"), iotest(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }))}
	if b, err := io.ReadAll(u); string(b) != "some" || !errors.Is(err, errCut) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("reading = %q, %v, want %v", b, err, errCut)
	}
}

func TestStatusHasNoNull(t *testing.T) {
	s := serve(t)
	s.put(t, "f", []byte("12345"))
	for _, path := range []string{"/v1/status", "/v1/ring", "/v1/peers", "/v1/files", "/v1/stat/f", "/v1/lookup/f"} {
		req, err := newRequest(t.Context(), http.MethodGet, path)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.do(req)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.HasPrefix(b, []byte(`{"schema":"securepeer/`)) || bytes.Contains(b, []byte("null")) {
			t.Errorf("%s = %s, %v", path, b, err)
		}
	}
	status, err := s.Status(t.Context())
	if err != nil || status.Name != "solo" || !status.Ready || status.Store.Versions != 1 || len(status.Members) != 1 || !status.Members[0].Self {
		t.Errorf("status = %+v, %v", status, err)
	}
}

func TestPathsAndMethodsThatAreNone(t *testing.T) {
	s := serve(t)
	for _, line := range []string{"GET /", "GET /v2/status", "POST /v1/status", "GET /v1/stop", "DELETE /v1/roster/reload"} {
		method, path, _ := strings.Cut(line, " ")
		req, err := newRequest(t.Context(), method, path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.do(req); codeOf(err) != CodeBadRequest {
			t.Errorf("%s: %v", line, err)
		}
	}
	for _, query := range []string{"mode=999", "mode=7777", "mode=x", "mtime=yesterday"} {
		req, err := newRequest(t.Context(), http.MethodPut, "/v1/files/f?"+query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.do(req); codeOf(err) != CodeBadRequest {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func TestReload(t *testing.T) {
	s := serve(t)
	if status, err := s.Reload(t.Context()); err != nil || status.Ring != "attic" {
		t.Errorf("reload = %+v, %v", status, err)
	}
}

func TestWatchEndsWithThePeer(t *testing.T) {
	s := serve(t)
	<-s.node.Ready()
	events, err := s.Watch(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, err := range events {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWatchGivesEventsAsTheyCome(t *testing.T) {
	dir := t.TempDir()
	fake(t, dir, func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(Event{SchemaEvent, node.Event{Kind: "join-received", Peer: "15"}})
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := New(dir).Watch(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for e, err := range events {
		if err != nil {
			if !errors.Is(err, context.Canceled) || seen != 1 {
				t.Errorf("after %d events: %v", seen, err)
			}
			continue
		}
		seen++
		if e.Kind != "join-received" || e.Peer != "15" {
			t.Errorf("event %+v", e)
		}
		cancel()
	}
}

func TestPingsAreTold(t *testing.T) {
	for kind, want := range map[string]bool{"pings-sent": true, "ping-received": true, "ping-answered": true, "join-received": false} {
		if got := isPing(kind); got != want {
			t.Errorf("isPing(%s) = %t", kind, got)
		}
	}
}

func TestStopAnswersWhenThePeerHasEnded(t *testing.T) {
	s := serve(t)
	if _, err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.node.Done():
	default:
		t.Error("the peer had not ended")
	}
}

func TestLeaveAnswersWhenThePeerHasEnded(t *testing.T) {
	s := serveEvery(t, 200*time.Millisecond) // a slow disk takes longer than a leave may at 20 ms
	<-s.node.Ready()
	if ended, err := s.Leave(t.Context()); err != nil || ended.Schema != SchemaLeave {
		t.Fatal(ended, err)
	}
	select {
	case <-s.node.Done():
	default:
		t.Error("the peer had not ended")
	}
}

// A command that was stopped with Ctrl-Z does not keep the peer from ending.
func TestPeerEndsThoughAClientReadsNothing(t *testing.T) {
	s := serve(t)
	s.put(t, "f", randomBytes(8<<20))
	d, err := s.Get(t.Context(), "f", GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s.stop()
	<-s.node.Done()
	s.wait()
	if _, err := d.CopyTo(io.Discard); codeOf(err) != CodeInterrupted {
		t.Errorf("get = %v, want %s", err, CodeInterrupted)
	}
}

func TestListenReplacesWhatAnEndedPeerLeft(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		listener, err := Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		stat, err := os.Lstat(SocketPath(dir))
		if err != nil || stat.Mode() != os.ModeSocket|0o600 {
			t.Fatalf("socket has mode %v, %v", stat.Mode(), err)
		}
		listener.Close()
		if _, err := New(dir).Status(t.Context()); codeOf(err) != CodeNotRunning {
			t.Errorf("status of an ended peer: %v", err)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dir, filepath.Join(dir, "none"), file, filepath.Join(dir, strings.Repeat("d", 200))} {
		if _, err := New(dir).Status(t.Context()); codeOf(err) != CodeNotRunning {
			t.Errorf("status in %s: %v", dir, err)
		}
	}
}

func TestSocketInADeepFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	fake(t, dir, func(w http.ResponseWriter, r *http.Request) { send(w, Status{Name: "deep"}) })
	if s, err := New(dir).Status(t.Context()); err != nil || s.Name != "deep" {
		t.Errorf("status = %+v, %v", s, err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("%v are left in the temporary folder", left)
	}
}

func TestSocketInAFolderTooDeepForAnything(t *testing.T) {
	temp := filepath.Join(t.TempDir(), strings.Repeat("t", 120))
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", temp)
	if _, err := Listen(temp); err == nil || !strings.Contains(err.Error(), "choose a shorter folder") {
		t.Errorf("listening: %v", err)
	}
}

// fake serves another peer's answers in dir.
func fake(t *testing.T, dir string, answer http.HandlerFunc) {
	t.Helper()
	listener, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: answer}}
	server.Start()
	t.Cleanup(server.Close)
}

// A get is whole only if the peer says so behind the last byte.
func TestGetThatIsNotWhole(t *testing.T) {
	const info = `{"name":"f","size":5}`
	for _, test := range []struct {
		name    string
		body    string
		trailer string // "": none
		abort   bool
		want    Code
	}{
		{"whole", "hello", `{"schema":"securepeer/get/1"}`, false, ""},
		{"cut", "hello", `{"schema":"securepeer/get/1"}`, true, CodeInterrupted},
		{"unsaid", "hello", "", false, CodeInterrupted},
		{"short", "hell", `{"schema":"securepeer/get/1"}`, false, CodeInterrupted},
		{"long", "hello!", `{"schema":"securepeer/get/1"}`, false, CodeInterrupted},
		{"nonsense", "hello", `what`, false, CodeInterrupted},
		{"of another schema", "hello", `{}`, false, CodeInterrupted},
		{"wrong bytes", "hel", `{"code":"integrity","message":"no"}`, false, CodeIntegrity},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			fake(t, dir, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set(fileField, info)
				w.Header().Set("Trailer", resultField)
				io.WriteString(w, test.body)
				if test.abort {
					http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}
				if test.trailer != "" {
					w.Header().Set(resultField, test.trailer)
				}
			})
			d, err := New(dir).Get(t.Context(), "f", GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if _, err := d.CopyTo(io.Discard); codeOf(err) != test.want || (err == nil) != (test.want == "") {
				t.Errorf("get = %v, want %q", err, test.want)
			}
		})
	}
}

func TestCancelReachesThePeer(t *testing.T) {
	dir := t.TempDir()
	reached, told := make(chan struct{}), make(chan struct{})
	fake(t, dir, func(w http.ResponseWriter, r *http.Request) {
		close(reached)
		<-r.Context().Done()
		close(told)
	})
	gone := errors.New("the user went away")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { // ends with the handler's first line
		<-reached
		cancel(gone)
	}()
	if _, err := New(dir).Status(ctx); !errors.Is(err, gone) {
		t.Errorf("status = %v, want %v", err, gone)
	}
	<-told
}

func TestPeerThatAnswersNonsense(t *testing.T) {
	dir := t.TempDir()
	fake(t, dir, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/status" {
			io.WriteString(w, "<html>")
			return
		}
		w.WriteHeader(http.StatusTeapot)
	})
	if _, err := New(dir).Status(t.Context()); err == nil {
		t.Error("nonsense was taken for a status")
	}
	if _, err := New(dir).Ring(t.Context()); codeOf(err) != CodeInternal {
		t.Errorf("a status code of nobody's: %v", err)
	}
}

func TestOnlyItsUserAndRootAreLetIn(t *testing.T) {
	for _, test := range []struct {
		uid, own int
		want     bool
	}{{1000, 1000, true}, {0, 1000, true}, {0, 0, true}, {1001, 1000, false}, {1000, 0, false}, {-1, 1000, false}} {
		if got := admits(test.uid, test.own); got != test.want {
			t.Errorf("admits(%d, %d) = %t", test.uid, test.own, got)
		}
	}
}

// What does not come over the socket is refused, whatever serves it.
func TestOthersAreRefused(t *testing.T) {
	s := serve(t)
	server := &Server{Node: s.node}
	answer := httptest.NewRecorder()
	server.routes().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/v1/status", nil))
	if answer.Code != http.StatusForbidden || !strings.Contains(answer.Body.String(), string(CodeRefused)) {
		t.Errorf("answer is %d %s", answer.Code, answer.Body)
	}
}
