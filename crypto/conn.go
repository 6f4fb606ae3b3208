package crypto

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"securepeer/keys"
)

// Implementation constants.
const (
	// batch is how many bytes of data a system call carries: 256 KiB a write
	// is 2.6 times the speed of 16 KiB, and 1 MiB is no faster.
	batch = 256 << 10
	// dataBody is the body of a data record that is full. Larger ones are no
	// faster, and of this size a batch is a whole number of them, as the
	// blocks of a file are.
	dataBody   = 32 << 10
	bulkBuffer = batch / dataBody * (recordOverhead + dataBody)

	// readBuffer is what an idle link holds for reading; messages between
	// ring neighbours fit. It grows for a larger record.
	readBuffer = 4 << 10
	// keepWrite is the largest write buffer that an idle ring link keeps.
	keepWrite = 2 << 10
)

// Kind is what a link is for, said by the dialler in Hello.
type Kind uint8

const (
	// Ring links carry messages and requests, one a pair, kept open. They
	// bring a ping session.
	Ring Kind = 1
	// Transfer links carry one request and its bytes at a time.
	Transfer Kind = 2
)

// ErrMessage is returned by [Conn.Read] when the next record is a message and
// no bytes; [Conn.ReadRecord] returns that record.
var ErrMessage = errors.New("next record is a message, not data")

var (
	errRecordType = errors.New("record has a type that is not allowed here")
	errBodySize   = fmt.Errorf("record body is over %d bytes", MaxBody)
	errEnded      = errors.New("writing after the end")
)

// Conn is a link: an authenticated, encrypted connection between two peers,
// over any net.Conn. Read and Write carry a stream of bytes, ReadRecord and
// WriteRecord single messages between them; both may be used in turn.
//
// One goroutine may read while others write. An error of writing is final, a
// deadline's too, because part of a record may be out: every later write
// returns it. An error of reading is final unless it is a timeout.
type Conn struct {
	raw     net.Conn
	session *Session
	peer    keys.Public
	kind    Kind
	in      receiver
	out     sender
}

// receiver opens what comes. Its lock is held while it waits for bytes, so
// that records are opened in order.
type receiver struct {
	mu sync.Mutex

	raw  io.Reader
	open *opener
	bulk bool // keep a grown buffer
	// buf[r:w] was read and not opened yet.
	buf  []byte
	r, w int
	// body[:] of type typ was opened and not delivered yet; it aliases buf.
	typ     byte
	body    []byte
	pending bool
	// err is the first final error: io.EOF after the authenticated end.
	err error
}

// sender seals what goes. Its lock is held while bytes go out, so that
// records leave in the order of their counters.
type sender struct {
	mu sync.Mutex

	raw  io.Writer
	seal *sealer
	bulk bool // keep a grown buffer
	buf  []byte
	// err is the first error, or errEnded; nothing is written after it.
	err error
}

// newConn puts records on raw after a handshake that gave s.
func newConn(raw net.Conn, s *Session) *Conn {
	return &Conn{
		raw:     raw,
		session: s,
		in:      receiver{raw: raw, open: s.recv, buf: make([]byte, readBuffer)},
		out:     sender{raw: raw, seal: s.send},
	}
}

// setKind notes what the dialler said in Hello.
func (c *Conn) setKind(kind Kind) {
	c.kind = kind
	c.in.bulk = kind == Transfer
	c.out.bulk = kind == Transfer
}

// Peer is the public identity of the other side, from the roster.
func (c *Conn) Peer() keys.Public { return c.peer }

// Kind is what the link is for.
func (c *Conn) Kind() Kind { return c.kind }

// Session is what the handshake left. The caller only reads it.
func (c *Conn) Session() *Session { return c.session }

// ReadRecord returns the next record: a message of type [FirstMessage] or
// higher, or type 1 for data (what is left of it, if Read took some). body is
// valid until the next read. The error is io.EOF only after the peer's
// authenticated end; a connection that was cut gives io.ErrUnexpectedEOF.
func (c *Conn) ReadRecord() (typ byte, body []byte, err error) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if err := c.in.next(); err != nil {
		return 0, nil, err
	}
	c.in.pending = false
	return c.in.typ, c.in.body, nil
}

// Read reads from the data records, as [io.Reader] says. It returns
// [ErrMessage] before a record that is a message, and io.EOF only after the
// peer's authenticated end.
func (c *Conn) Read(p []byte) (int, error) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if err := c.in.next(); err != nil {
			return 0, err
		}
		if c.in.typ != typeData {
			return 0, ErrMessage
		}
		n := copy(p, c.in.body)
		c.in.body = c.in.body[n:]
		c.in.pending = len(c.in.body) > 0
		if n > 0 {
			return c.in.more(p, n), nil
		}
	}
}

// more opens the data records that are here already and fit into p[n:] right
// where they belong, and returns where they end: a tenth of what moving a file
// costs would be copying. A record's type comes before its body, so it takes
// the place of the byte before, p[n-1], for a moment.
func (in *receiver) more(p []byte, n int) int {
	for !in.pending && in.err == nil {
		size := recordSize(in.buf[in.r:in.w])
		if size < recordOverhead || size > in.w-in.r || size-recordOverhead > len(p)-n {
			break
		}
		record := in.buf[in.r : in.r+size]
		in.r += size
		before := p[n-1]
		typ, body, err := in.open.openTo(p[n-1:n-1], record)
		p[n-1] = before
		switch {
		case err != nil:
			in.fail(fmt.Errorf("opening record: %w", err)) // for the next read
		case typ == typeData:
			n += len(body)
		default:
			// It isn't p's, so it goes back. An error is for the next read, too.
			in.judge(typ, append(record[:0], body...))
		}
	}
	return n
}

// next makes a record pending, if none is.
func (in *receiver) next() error {
	if in.pending {
		return nil
	}
	typ, body, err := in.record()
	if err != nil {
		return err
	}
	return in.judge(typ, body)
}

// judge makes a record that was opened pending, if it may come here.
func (in *receiver) judge(typ byte, body []byte) error {
	switch {
	case typ == typeEnd && len(body) == 0:
		return in.fail(io.EOF)
	case typ != typeData && typ < FirstMessage:
		return in.fail(errRecordType)
	}
	in.typ, in.body, in.pending = typ, body, true
	return nil
}

// record reads and opens one record of any type.
func (in *receiver) record() (typ byte, body []byte, err error) {
	for in.err == nil {
		size := recordSize(in.buf[in.r:in.w])
		if size > 0 && in.w-in.r >= size {
			record := in.buf[in.r : in.r+size]
			in.r += size
			if typ, body, err = in.open.open(record); err != nil {
				return 0, nil, in.fail(fmt.Errorf("opening record: %w", err))
			}
			return typ, body, nil
		}
		in.room(max(size, recordOverhead))
		n, err := in.raw.Read(in.buf[in.w:])
		in.w += n
		switch {
		case n > 0 || err == nil:
			// An error that lasts comes again.
		case errors.Is(err, os.ErrDeadlineExceeded):
			return 0, nil, err
		case err == io.EOF:
			return 0, nil, in.fail(io.ErrUnexpectedEOF)
		default:
			return 0, nil, in.fail(err)
		}
	}
	return 0, nil, in.err
}

// room makes place for a record of size bytes that begins at r. A buffer that
// grew for a large message goes back, once empty, to what an idle link holds.
func (in *receiver) room(size int) {
	want, unread := len(in.buf), in.buf[in.r:in.w]
	switch {
	case size > want && in.bulk:
		want = bulkBuffer
	case size > want:
		want = maxRecord
	case len(unread) == 0 && !in.bulk:
		want = readBuffer
	}
	switch {
	case want != len(in.buf):
		in.buf = make([]byte, want)
	case len(unread) > 0 && in.r+size <= want && in.w < want:
		return
	}
	in.r, in.w = 0, copy(in.buf, unread)
}

func (in *receiver) fail(err error) error {
	in.err = err
	in.buf, in.r, in.w = nil, 0, 0
	return err
}

// WriteRecord seals one message in one record and sends it. typ is
// [FirstMessage] or higher; body is at most [MaxBody] bytes and is not kept.
func (c *Conn) WriteRecord(typ byte, body []byte) error {
	if typ < FirstMessage {
		return errRecordType
	}
	return c.out.record(typ, body)
}

// Write sends p as data records, as few and as many at a time as fit. The
// count is of bytes handed to the connection below.
func (c *Conn) Write(p []byte) (written int, err error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	for err = c.out.err; err == nil && written < len(p); {
		part := p[written:min(len(p), written+batch)]
		c.out.reserve(len(part) + (len(part)+dataBody-1)/dataBody*recordOverhead)
		for body := range slices.Chunk(part, dataBody) {
			copy(c.out.body(len(body)), body)
			c.out.append(typeData, len(body))
		}
		if err = c.out.flush(); err == nil {
			written += len(part)
		}
	}
	return written, err
}

// CloseWrite sends the authenticated end, after which the peer reads io.EOF
// and nothing can be written. Close alone sends none: a program that dies in
// the middle must not make a short file look whole.
func (c *Conn) CloseWrite() error {
	if err := c.out.record(typeEnd, nil); err != errEnded {
		return err
	}
	return nil
}

// record seals one record and sends it.
func (out *sender) record(typ byte, body []byte) error {
	if len(body) > MaxBody {
		return errBodySize
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	out.reserve(len(body) + recordOverhead)
	copy(out.body(len(body)), body)
	out.append(typ, len(body))
	err := out.flush()
	if typ == typeEnd && err == nil {
		out.err = errEnded
	}
	return err
}

// reserve makes the buffer empty and able to hold size bytes.
func (out *sender) reserve(size int) {
	if cap(out.buf) < size {
		out.buf = make([]byte, 0, size)
	}
	out.buf = out.buf[:0]
}

// body is where the body of the next record goes, n bytes of it.
func (out *sender) body(n int) []byte {
	at := len(out.buf) + recordHeader + 1
	return out.buf[at : at+n]
}

// append seals the next record, the n bytes of whose body are in place.
func (out *sender) append(typ byte, n int) {
	if out.err != nil {
		return
	}
	at := len(out.buf)
	record := out.buf[at : at+recordOverhead+n]
	record[recordHeader] = typ
	if out.err = out.seal.seal(record); out.err == nil {
		out.buf = out.buf[:at+len(record)]
	}
}

// flush sends what was sealed. Any error is final.
func (out *sender) flush() error {
	if out.err == nil && len(out.buf) > 0 {
		_, out.err = out.raw.Write(out.buf)
	}
	if !out.bulk && cap(out.buf) > keepWrite {
		out.buf = nil
	}
	return out.err
}

// Close closes the connection at once and wakes whoever reads or writes.
func (c *Conn) Close() error { return c.raw.Close() }

// LocalAddr is the local address of the connection below.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr is where the other side really is, not what the roster says.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// SetDeadline sets both deadlines, as [net.Conn] says.
func (c *Conn) SetDeadline(t time.Time) error { return c.raw.SetDeadline(t) }

// SetReadDeadline sets the deadline of reads; one that ran out can be set
// again and reading goes on.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.raw.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of writes; one that ran out ends
// writing.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.raw.SetWriteDeadline(t) }
