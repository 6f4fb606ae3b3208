package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"securepeer/node"
)

// Implementation constants.
const (
	// readyWait is how long an operation waits for a peer that is just
	// starting: start and put may be in one script.
	readyWait = 10 * time.Second
	// drainWait is how long the rest of a failed upload is read, so that the
	// client gets to read why before the connection breaks.
	drainWait = 5 * time.Second
	// endWait is how long a client that reads nothing keeps a peer that has
	// ended from being gone.
	endWait = time.Second
	// headerWait bounds how long a client takes to ask.
	headerWait = 10 * time.Second
)

// Server answers for one peer. All fields must be set, but Logger.
type Server struct {
	Node   *node.Node
	Reload func() error // rereads the roster file and gives it to Node
	Stop   func()       // begins to end the peer, and does not wait
	Logger *slog.Logger // nil: discard

	underway underway
}

// Serve answers what comes to listener until ctx ends. Then it takes nothing
// new, and returns when what was asked before is answered: the end of the peer
// ends all of it.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	return serveAt(ctx, listener, s.routes(), s.Logger)
}

func serveAt(ctx context.Context, listener net.Listener, routes http.Handler, logger *slog.Logger) error {
	kept := newSpare(listener)
	defer kept.release()
	server := &http.Server{
		Handler:           routes,
		ReadHeaderTimeout: headerWait,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			widen(conn)
			return context.WithValue(ctx, connKey{}, conn)
		},
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				kept.keep()
			}
		},
	}
	if logger != nil {
		server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	}
	served, ended := make(chan struct{}), make(chan error, 1) // one result, which nobody may want
	go func() {                                               // ends with ctx or with what follows
		select {
		case <-ctx.Done():
		case <-served:
		}
		ended <- server.Shutdown(context.WithoutCancel(ctx))
	}()
	err := server.Serve(kept)
	close(served)
	if shutErr := <-ended; errors.Is(err, http.ErrServerClosed) {
		err = shutErr
	}
	return err
}

// handler answers one request; what it returns is sent as an [Error]. One that
// has begun to answer returns nil.
type handler func(w http.ResponseWriter, r *http.Request) error

// routes is the whole interface. A {name} is one file's name, escaped.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /v1/status":             s.status,
		"GET /v1/ring":               s.ring,
		"GET /v1/peers":              s.peers,
		"GET /v1/events":             s.events, // ?pings=true; one Event a line
		"POST /v1/ping/{member}":     s.whenReady(s.ping),
		"GET /v1/files":              s.whenReady(s.list),   // ?prefix=
		"PUT /v1/files/{name...}":    s.whenReady(s.put),    // ?mode= octal, &mtime= RFC 3339, &size= of a body in chunks, &progress=
		"GET /v1/files/{name...}":    s.whenReady(s.get),    // ?by= writer, &progress=
		"DELETE /v1/files/{name...}": s.whenReady(s.remove), // ?progress=
		"GET /v1/progress/{id}":      s.progress,            // of the transfer that was given this id
		"GET /v1/stat/{name...}":     s.whenReady(s.stat),
		"GET /v1/lookup/{name...}":   s.whenReady(s.lookup),
		"POST /v1/forget/{member}":   s.whenReady(s.forget),
		"POST /v1/roster/reload":     s.reload,
		"POST /v1/leave":             s.leave, // answers when all is given away
		"POST /v1/stop":              s.stop,  // answers when the peer has ended
	} {
		mux.HandleFunc(pattern, s.answering(h))
	}
	mux.HandleFunc("/", s.answering(func(http.ResponseWriter, *http.Request) error {
		return newError(CodeBadRequest, "there is no such path or method here")
	}))
	return mux
}

type connKey struct{}

// answering checks who asks, and sends the error of h.
func (s *Server) answering(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		defer s.whenEnding(func() {
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(endWait)) // fails only if the client has gone
		})()
		err := checkUser(r)
		if err == nil {
			err = h(w, r)
		}
		if err != nil {
			failure := errorOf(err)
			if errors.As(err, new(*node.NotFoundError)) {
				s.mayReturn(r.Context(), failure)
			}
			sendStatus(w, statusOf(failure.Code), failure)
		}
	}
}

// mayReturn adds to the error that a file is not in the ring who is not in it
// either: what only they have comes back with them.
func (s *Server) mayReturn(ctx context.Context, failure *Error) {
	status, err := s.Node.Status(ctx)
	if err != nil {
		return // the file is not there, whoever is
	}
	for _, p := range status.Peers {
		if p.Why == node.WhyGone {
			failure.Peers = append(failure.Peers, p.Name)
		}
	}
	switch n := len(failure.Peers); {
	case n == 1:
		failure.Hint = failure.Peers[0] + " is gone: a file that nobody else had comes back when it does"
	case n > 1 && n <= 8:
		failure.Hint = strings.Join(failure.Peers, ", ") + " are gone: a file that nobody else had comes back when one of them does"
	case n > 8:
		failure.Hint = fmt.Sprintf("%d members are gone: a file that nobody else had comes back when one of them does", n)
	}
}

// checkUser refuses everybody but the user that runs this peer, and root.
func checkUser(r *http.Request) error {
	conn, ok := r.Context().Value(connKey{}).(*net.UnixConn)
	if !ok {
		return newError(CodeRefused, "only local processes are answered")
	}
	uid, err := userOf(conn)
	if err != nil {
		return err
	}
	if !admits(uid, os.Geteuid()) {
		return newError(CodeRefused, "this peer belongs to another user")
	}
	return nil
}

func admits(uid, own int) bool { return uid == own || uid == 0 }

// whenReady lets h wait for a peer that is just starting.
func (s *Server) whenReady(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		late := time.NewTimer(readyWait)
		defer late.Stop()
		select {
		case <-s.Node.Ready():
		case <-s.Node.Done():
			return node.ErrClosed
		case <-r.Context().Done():
			return r.Context().Err()
		case <-late.C:
			return node.ErrNotReady
		}
		return h(w, r)
	}
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	status, err := s.Node.Status(r.Context())
	if err != nil {
		return err
	}
	send(w, newStatus(status))
	return nil
}

func (s *Server) ring(w http.ResponseWriter, r *http.Request) error {
	status, err := s.Node.Status(r.Context())
	if err != nil {
		return err
	}
	send(w, newRing(status))
	return nil
}

func (s *Server) peers(w http.ResponseWriter, r *http.Request) error {
	status, err := s.Node.Status(r.Context())
	if err != nil {
		return err
	}
	peers := newStatus(status)
	send(w, Peers{SchemaPeers, peers.Members, peers.Revoked})
	return nil
}

// events sends what happens, one JSON object a line, until the peer ends or
// the client goes.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	pings := r.URL.Query().Get("pings") == "true"
	events := s.Node.Watch(r.Context())
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w).Flush
	if err := flush(); err != nil { // tells the client that from here nothing is missed
		return nil
	}
	lines := json.NewEncoder(w)
	for e := range events {
		if isPing(e.Kind) && !pings {
			continue
		}
		if lines.Encode(Event{SchemaEvent, e}) != nil || flush() != nil {
			return nil // the client has gone
		}
	}
	return nil
}

func isPing(kind string) bool {
	return kind == "pings-sent" || kind == "ping-received" || kind == "ping-answered"
}

func (s *Server) ping(w http.ResponseWriter, r *http.Request) error {
	member, err := s.member(r.Context(), r.PathValue("member"))
	if err != nil {
		return err
	}
	if member.Self {
		failure := newError(CodeBadRequest, member.Name+" is this peer itself")
		failure.Hint = "securepeer status shows how it is"
		return failure
	}
	rtt, err := s.Node.Ping(r.Context(), member.Name)
	if err != nil {
		return err
	}
	send(w, Ping{SchemaPing, member.Name, rtt.Seconds()})
	return nil
}

func (s *Server) forget(w http.ResponseWriter, r *http.Request) error {
	member, err := s.member(r.Context(), r.PathValue("member"))
	if err != nil {
		return err
	}
	result, err := s.Node.Forget(r.Context(), member.Name)
	if err != nil {
		return err
	}
	result.Said = list(result.Said)
	send(w, Forget{SchemaForget, result})
	return nil
}

// member finds a member by its name, its id or the short form of its key. No
// name can be taken for another member's id: one of digits is the member's own.
func (s *Server) member(ctx context.Context, who string) (node.PeerStatus, error) {
	status, err := s.Node.Status(ctx)
	if err != nil {
		return node.PeerStatus{}, err
	}
	for _, m := range status.Peers {
		if who == m.Name || who == m.ID.String() || who == m.Key {
			return m, nil
		}
	}
	failure := newError(CodeNoPeer, fmt.Sprintf("%.80q is not in the roster", who))
	failure.Hint = "securepeer peers lists the members"
	return node.PeerStatus{}, failure
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) error {
	prefix := r.URL.Query().Get("prefix")
	if strings.ContainsFunc(prefix, unicode.IsControl) {
		return newError(CodeBadName, fmt.Sprintf("no name begins with %.80q: it has a control character", prefix))
	}
	files, unheard, err := s.Node.List(r.Context(), prefix)
	if err != nil {
		return err
	}
	reply := List{Schema: SchemaList, Files: list(files), Silent: []string{}, Failed: []node.Unheard{}}
	for _, u := range unheard {
		if u.Reason == node.Silent {
			reply.Silent = append(reply.Silent, u.Peer)
		} else {
			reply.Failed = append(reply.Failed, u)
		}
	}
	send(w, reply)
	return nil
}

func (s *Server) put(w http.ResponseWriter, r *http.Request) error {
	// Without this, net/http would read the whole body before an early answer.
	duplex := http.NewResponseController(w)
	if err := duplex.EnableFullDuplex(); err != nil {
		return err
	}
	options, err := putOptions(r)
	if err != nil {
		return err
	}
	body := &upload{body: r.Body}
	defer s.whenEnding(func() { duplex.SetReadDeadline(time.Now()) })() // fails only if the client has gone
	progress, end, err := s.underway.begin(r)
	if err != nil {
		return err
	}
	defer end()
	options.Progress = progress
	result, err := s.Node.Put(r.Context(), r.PathValue("name"), body, options)
	if err != nil {
		failure := errorOf(s.ended(err))
		sendStatus(w, statusOf(failure.Code), failure)
		if body.begun {
			duplex.Flush()                                    // what fails here fails below, too
			duplex.SetReadDeadline(time.Now().Add(drainWait)) // likewise
			io.Copy(io.Discard, r.Body)                       // ends when the client has its answer and goes
		}
		return nil
	}
	send(w, newPutResult(SchemaPut, result))
	return nil
}

func newPutResult(schema string, r node.PutResult) PutResult {
	r.Copies, r.Missing, r.Slow = list(r.Copies), list(r.Missing), list(r.Slow)
	return PutResult{Schema: schema, PutResult: r}
}

// whenEnding calls f when the peer ends, unless stop is called before.
func (s *Server) whenEnding(f func()) (stop func()) {
	stopped := make(chan struct{})
	go func() { // ends with the peer, or with stop
		select {
		case <-s.Node.Done():
			f()
		case <-stopped:
		}
	}()
	return func() { close(stopped) }
}

// ended is err, or that the peer has ended: then err is only what follows.
func (s *Server) ended(err error) error {
	select {
	case <-s.Node.Done():
		return node.ErrClosed
	default:
		return err
	}
}

// upload is a request's body. It knows whether anything was read: only then
// has the client begun to send, and reading on makes sense.
type upload struct {
	body  io.Reader
	begun bool
}

var errCut = errors.New("the upload broke off")

// Read ends with io.EOF only where the client has ended the file. net/http
// says io.ErrUnexpectedEOF of one that was killed, which whoever fills a
// buffer from a reader would take for a file's short last piece.
func (u *upload) Read(p []byte) (int, error) {
	u.begun = true
	n, err := u.body.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errCut
	}
	return n, err
}

func putOptions(r *http.Request) (node.PutOptions, error) {
	options := node.PutOptions{Size: max(r.ContentLength, 0)} // -1: in chunks
	query := r.URL.Query()
	if text := query.Get("size"); text != "" && r.ContentLength < 0 {
		size, err := strconv.ParseInt(text, 10, 64)
		if err != nil || size < 0 {
			return options, newError(CodeBadRequest, "size is not a number of bytes")
		}
		options.Size = size
	}
	if text := query.Get("mode"); text != "" {
		mode, err := strconv.ParseUint(text, 8, 16)
		if err != nil || mode > 0o777 {
			return options, newError(CodeBadRequest, "mode is not an octal number up to 777")
		}
		options.Mode = uint16(mode)
	}
	if text := query.Get("mtime"); text != "" {
		mtime, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return options, newError(CodeBadRequest, "mtime is not a time as in RFC 3339")
		}
		options.Mtime = mtime
	}
	return options, nil
}

// get sends what the file is in a header field, its bytes, and in a trailer
// field whether they were all of it: by then the status line has long said OK.
func (s *Server) get(w http.ResponseWriter, r *http.Request) error {
	name, by := r.PathValue("name"), r.URL.Query().Get("by")
	if by != "" {
		writer, err := s.member(r.Context(), by)
		if err != nil {
			return err
		}
		by = writer.Name
	}
	progress, end, err := s.underway.begin(r)
	if err != nil {
		return err
	}
	defer end()
	file, err := s.Node.Get(r.Context(), name, node.GetOptions{By: by, Progress: progress})
	if err != nil {
		return s.othersHave(r.Context(), name, by, err)
	}
	defer file.Close()
	info, err := json.Marshal(file.Info)
	if err != nil {
		return err
	}
	w.Header().Set(fileField, string(info))
	w.Header().Set("Trailer", resultField)
	w.Header().Set("Content-Type", "application/octet-stream")
	var result any
	if _, err := file.WriteTo(w); err != nil {
		result = errorOf(err)
	} else {
		result = GetResult{SchemaGet, file.From(), file.OneAnswer, list(file.AlsoBy), file.Claimed}
	}
	text, err := json.Marshal(result)
	if err != nil {
		return nil // without the trailer the client knows that it is not whole
	}
	w.Header().Set(resultField, string(text))
	return nil
}

// othersHave is the error of a get, or, if only the writer called by has no
// such file, one that says who has.
func (s *Server) othersHave(ctx context.Context, name, by string, err error) error {
	var none *node.NotFoundError
	if by == "" || !errors.As(err, &none) {
		return err
	}
	stat, statErr := s.Node.Stat(ctx, name)
	if statErr != nil {
		return err // what was asked for is not there, and that is all we know
	}
	var writers []string
	for _, holder := range stat.Holders {
		for _, version := range holder.Versions {
			if !version.Removed && !slices.Contains(writers, version.Writer) {
				writers = append(writers, version.Writer)
			}
		}
	}
	if len(writers) == 0 {
		return err
	}
	slices.Sort(writers)
	failure := newError(CodeNotFound, fmt.Sprintf("%s has no version of %.80q: it is a file of %s", by, name, strings.Join(writers, ", ")))
	failure.File, failure.Hint = name, "leave out --by, or name another member"
	return failure
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request) error {
	progress, end, err := s.underway.begin(r)
	if err != nil {
		return err
	}
	defer end()
	result, err := s.Node.Remove(r.Context(), r.PathValue("name"), progress)
	if err != nil {
		return err
	}
	send(w, newPutResult(SchemaRemove, result))
	return nil
}

func (s *Server) stat(w http.ResponseWriter, r *http.Request) error {
	stat, err := s.Node.Stat(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	for i := range stat.Holders {
		stat.Holders[i].Versions = list(stat.Holders[i].Versions)
	}
	send(w, Stat{SchemaStat, stat.Name, uint64(stat.Key), stat.Newest, list(stat.Holders), stat.OnlyBy})
	return nil
}

func (s *Server) lookup(w http.ResponseWriter, r *http.Request) error {
	l, err := s.Node.Lookup(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	send(w, Lookup{SchemaLookup, l.Name, uint64(l.Key), l.Owner, list(l.Holders), list(l.Path)})
	return nil
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) error {
	if err := s.Reload(); err != nil {
		failure := newError(CodeBadRoster, err.Error())
		failure.Hint = "the old roster stays in force; correct the file and reload again"
		return failure
	}
	return s.status(w, r)
}

func (s *Server) leave(w http.ResponseWriter, r *http.Request) error {
	if err := s.Node.Leave(r.Context()); err != nil {
		return err
	}
	return s.whenDone(w, r, SchemaLeave)
}

func (s *Server) stop(w http.ResponseWriter, r *http.Request) error {
	s.Stop()
	return s.whenDone(w, r, SchemaStop)
}

// whenDone answers when the peer has ended: its folder is free then.
func (s *Server) whenDone(w http.ResponseWriter, r *http.Request, schema string) error {
	select {
	case <-s.Node.Done():
		send(w, Ended{schema})
		return nil
	case <-r.Context().Done():
		return r.Context().Err()
	}
}

func send(w http.ResponseWriter, v any) { sendStatus(w, http.StatusOK, v) }

func sendStatus(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // fails only if the client has gone
}
