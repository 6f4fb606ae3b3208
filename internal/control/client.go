package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"securepeer/node"
)

// Header fields of file transfers. The result of a get is a trailer: it is
// known only behind the last byte.
const (
	fileField   = "Securepeer-File"   // node.FileInfo
	resultField = "Securepeer-Result" // GetResult, or Error
)

// chunkFrame is at least what HTTP puts around a chunk of bufferSize, so that
// one goes in one system call.
const chunkFrame = 64

// maxReply is how much of an error's reply is read.
const maxReply = 1 << 20

// Client talks to the peer of one folder. Every failure that the peer names
// is an [*Error]; so is a peer that isn't there. A context that ends cancels
// the operation in the peer too.
type Client struct{ http http.Client }

// New returns a client of the peer whose folder is dir. It connects at the
// first call.
func New(dir string) *Client {
	return &Client{http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial(ctx, dir)
		},
		DisableCompression: true,
		ReadBufferSize:     bufferSize,
		WriteBufferSize:    bufferSize + chunkFrame,
		// A put that is refused is told so before it has sent its bytes. The
		// limit only guards against a server that ignores the question.
		ExpectContinueTimeout: time.Minute,
	}}}
}

// Status asks the peer for all it knows.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.snapshot(ctx, "/v1/status", &s)
}

// Ring asks for the computed ring.
func (c *Client) Ring(ctx context.Context) (r Ring, err error) {
	return r, c.snapshot(ctx, "/v1/ring", &r)
}

// Peers asks for the members.
func (c *Client) Peers(ctx context.Context) (p Peers, err error) {
	return p, c.snapshot(ctx, "/v1/peers", &p)
}

// List asks for the files whose names begin with prefix.
func (c *Client) List(ctx context.Context, prefix string) (l List, err error) {
	return l, c.ask(ctx, http.MethodGet, "/v1/files?prefix="+url.QueryEscape(prefix), &l)
}

// Stat asks who holds which versions of name.
func (c *Client) Stat(ctx context.Context, name string) (s Stat, err error) {
	return s, c.ask(ctx, http.MethodGet, "/v1/stat/"+escape(name), &s)
}

// Lookup asks who answers for name.
func (c *Client) Lookup(ctx context.Context, name string) (l Lookup, err error) {
	return l, c.ask(ctx, http.MethodGet, "/v1/lookup/"+escape(name), &l)
}

// Ping has the peer ping a member, once.
func (c *Client) Ping(ctx context.Context, member string) (p Ping, err error) {
	return p, c.ask(ctx, http.MethodPost, "/v1/ping/"+escape(member), &p)
}

// Remove removes name from the ring. progress is the id of the removal, or "".
func (c *Client) Remove(ctx context.Context, name, progress string) (r PutResult, err error) {
	path := "/v1/files/" + escape(name)
	if progress != "" {
		path += "?progress=" + url.QueryEscape(progress)
	}
	return r, c.ask(ctx, http.MethodDelete, path, &r)
}

// Progress asks how far the put, get or removal is that was given this id.
func (c *Client) Progress(ctx context.Context, id string) (p Progress, err error) {
	return p, c.snapshot(ctx, "/v1/progress/"+escape(id), &p)
}

// Forget says at the peer that a member will not come back.
func (c *Client) Forget(ctx context.Context, member string) (f Forget, err error) {
	return f, c.ask(ctx, http.MethodPost, "/v1/forget/"+escape(member), &f)
}

// Reload has the peer reread its roster, and returns its status under it.
func (c *Client) Reload(ctx context.Context) (s Status, err error) {
	return s, c.ask(ctx, http.MethodPost, "/v1/roster/reload", &s)
}

// Stop ends the peer and returns when it has ended; its data stays.
func (c *Client) Stop(ctx context.Context) (e Ended, err error) {
	return e, c.ask(ctx, http.MethodPost, "/v1/stop", &e)
}

// Leave has the peer give its files away and end; it returns when that is
// done. The peer goes on with it if ctx ends first.
func (c *Client) Leave(ctx context.Context) (e Ended, err error) {
	return e, c.ask(ctx, http.MethodPost, "/v1/leave", &e)
}

// Put stores what body gives, up to its io.EOF, under name. After any other
// error of body, also one in place of its io.EOF, nothing is stored, and the
// error is returned; likewise if info.Size is another number of bytes.
func (c *Client) Put(ctx context.Context, name string, info PutInfo, body io.Reader) (r PutResult, err error) {
	query := url.Values{"mode": {strconv.FormatUint(uint64(info.Mode), 8)}}
	if !info.Mtime.IsZero() {
		query.Set("mtime", speakable(info.Mtime).Format(time.RFC3339Nano))
	}
	if info.Size > 0 {
		query.Set("size", strconv.FormatInt(info.Size, 10))
	}
	if info.Progress != "" {
		query.Set("progress", info.Progress)
	}
	req, err := newRequest(ctx, http.MethodPut, "/v1/files/"+escape(name)+"?"+query.Encode())
	if err != nil {
		return r, err
	}
	source := &source{Reader: body, failed: make(chan error, 1)}
	// No Close for body: net/http may still be reading when it has its answer.
	req.Body = io.NopCloser(source)
	if info.Size <= 0 {
		req.Body = newAbandonable(ctx, source)
	}
	// The size goes in chunks, whose end is what commits the put: with a
	// Content-Length the last byte would, before body has said io.EOF.
	req.ContentLength = -1
	req.Header.Set("Expect", "100-continue")
	resp, err := c.do(req)
	if err != nil {
		select {
		case readErr := <-source.failed:
			if ctx.Err() == nil {
				err = readErr
			}
		default:
		}
		return r, err
	}
	defer resp.Body.Close()
	return r, decode(ctx, resp.Body, &r)
}

// speakable returns t, or the nearest time that RFC 3339 has words for. The
// peer stores no more than 1677 to 2262. Year is wrong for a t that has wrapped
// inside, Unix is not.
func speakable(t time.Time) time.Time {
	first, last := time.Date(0, time.January, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)
	switch s := t.Unix(); {
	case s < first.Unix():
		return first
	case s > last.Unix():
		return last
	}
	return t.UTC()
}

// source remembers why reading a body failed: net/http's error would hide it.
type source struct {
	io.Reader
	failed chan error // one place
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && err != io.EOF {
		select {
		case s.failed <- err:
		default: // the first one counts
		}
	}
	return n, err
}

// WriteTo has net/http send pieces of bufferSize: its own are smaller.
func (s *source) WriteTo(w io.Writer) (int64, error) {
	return io.CopyBuffer(w, struct{ io.Reader }{s}, make([]byte, bufferSize))
}

// abandonable is a body that ends with its context even while its reader, a
// terminal or a pipe, gives nothing: net/http waits for the end of a Read. The
// goroutine that reads begins with the first Read, since a put that is refused
// takes nothing of standard input and runs no command; it ends with the
// reader's next bytes, or with the process.
type abandonable struct {
	*io.PipeReader
	begin func() // once
}

func newAbandonable(ctx context.Context, r io.Reader) *abandonable {
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { out.CloseWithError(context.Cause(ctx)) })
	return &abandonable{out, sync.OnceFunc(func() {
		go func() {
			_, err := io.CopyBuffer(struct{ io.Writer }{in}, r, make([]byte, bufferSize))
			in.CloseWithError(err) // nil: io.EOF
		}()
	})}
}

func (a *abandonable) Read(b []byte) (int, error) {
	a.begin()
	return a.PipeReader.Read(b)
}

// Download is a file on its way.
type Download struct {
	File node.FileInfo

	ctx  context.Context
	resp *http.Response
}

// GetOptions choose among several files of one name.
type GetOptions struct {
	By       string // the writer; "": the newest of all
	Progress string // the id of this get; "": nobody asks how far it is
}

// Get begins to fetch the newest version of name. The caller closes the
// Download.
func (c *Client) Get(ctx context.Context, name string, opt GetOptions) (*Download, error) {
	query := url.Values{}
	if opt.By != "" {
		query.Set("by", opt.By)
	}
	if opt.Progress != "" {
		query.Set("progress", opt.Progress)
	}
	req, err := newRequest(ctx, http.MethodGet, "/v1/files/"+escape(name)+"?"+query.Encode())
	if err != nil {
		return nil, err
	}
	resp, err := c.do(req)
	if err != nil {
		return nil, err
	}
	d := &Download{ctx: ctx, resp: resp}
	if err := json.Unmarshal([]byte(resp.Header.Get(fileField)), &d.File); err != nil {
		resp.Body.Close()
		return nil, fmt.Errorf("reading what the file is: %w", err)
	}
	return d, nil
}

// CopyTo writes all bytes to w. Only without an error are they the whole
// file, and verified; then Result says where they came from.
func (d *Download) CopyTo(w io.Writer) (result GetResult, err error) {
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{d.resp.Body}, make([]byte, bufferSize))
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = newError(CodeInterrupted, "the peer ended in the middle of the file")
		}
		return result, cause(d.ctx, err)
	}
	text := d.resp.Trailer.Get(resultField)
	var failure Error
	if err := json.Unmarshal([]byte(text), &failure); err != nil {
		return result, newError(CodeInterrupted, "the peer ended the file without saying that it is whole")
	}
	if failure.Code != "" {
		return result, &failure
	}
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		return result, fmt.Errorf("reading how the get ended: %w", err)
	}
	if n != d.File.Size || result.Schema != SchemaGet {
		return result, newError(CodeInterrupted, fmt.Sprintf("%d of %d bytes came", n, d.File.Size))
	}
	return result, nil
}

// Close ends the transfer, also in the middle.
func (d *Download) Close() { d.resp.Body.Close() }

// Pings says whether a Watch wants an event for each ping.
type Pings bool

// Watch follows what happens at the peer. When it returns, nothing that
// happens from then on is missed, unless an event says so. The sequence ends
// with the peer, or with the error that broke it; the caller ranges over it
// once.
func (c *Client) Watch(ctx context.Context, pings Pings) (iter.Seq2[Event, error], error) {
	path := "/v1/events"
	if pings {
		path += "?pings=true"
	}
	req, err := newRequest(ctx, http.MethodGet, path)
	if err != nil {
		return nil, err
	}
	resp, err := c.do(req)
	if err != nil {
		return nil, err
	}
	return func(yield func(Event, error) bool) {
		defer resp.Body.Close()
		events := json.NewDecoder(resp.Body)
		for {
			var e Event
			err := events.Decode(&e)
			if err == io.EOF {
				return
			}
			if !yield(e, cause(ctx, err)) || err != nil {
				return
			}
		}
	}, nil
}

// answerWithin is how long a peer may take to say what it knows itself.
const answerWithin = 10 * time.Second

// snapshot asks for what the peer knows itself: one that does not say it soon
// hangs.
func (c *Client) snapshot(ctx context.Context, path string, answer any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin,
		newError(CodeTimeout, "the peer runs and does not answer: it is stopped by a signal, or the machine is overloaded"))
	defer cancel()
	return c.ask(ctx, http.MethodGet, path, answer)
}

// ask does one call whose answer is one object; a nil answer is not read.
func (c *Client) ask(ctx context.Context, method, path string, answer any) error {
	req, err := newRequest(ctx, method, path)
	if err != nil {
		return err
	}
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if answer == nil {
		return nil
	}
	return decode(ctx, resp.Body, answer)
}

func newRequest(ctx context.Context, method, path string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, method, "http://securepeer"+path, nil)
}

// do sends a request and returns its answer, or the error that the peer
// answered.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, cause(req.Context(), err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return nil, cause(req.Context(), err)
	}
	var failure Error
	if err := json.Unmarshal(bytes.TrimSpace(body), &failure); err != nil || failure.Code == "" {
		return nil, newError(CodeInternal, fmt.Sprintf("the peer answered %d to %s", resp.StatusCode, req.Method))
	}
	return nil, &failure
}

func decode(ctx context.Context, body io.Reader, answer any) error {
	if err := json.NewDecoder(body).Decode(answer); err != nil {
		return cause(ctx, fmt.Errorf("reading the peer's answer: %w", err))
	}
	return nil
}

// cause returns why a call really failed: the end of its context, an error of
// ours inside net/http's, or a peer that went away.
func cause(ctx context.Context, err error) error {
	var ours *Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &ours):
		return ours
	}
	var broken *net.OpError
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &broken) {
		return newError(CodeInterrupted, "the peer ended before it had answered")
	}
	return err
}

// escape returns name as one segment of a path that nobody cleans: not even
// "." and ".." keep their dots.
func escape(name string) string {
	return strings.ReplaceAll(url.PathEscape(name), ".", "%2E")
}
