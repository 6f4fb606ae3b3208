package node

import (
	"errors"
	"io"

	"securepeer/internal/store"
)

// sink takes checked blocks, or checks them itself: its error is then a
// *store.BlockError. Any other error is its own, and ends the fetch.
type sink interface {
	begin(list *store.Verifier) error
	block(index int64, data []byte) error
}

// sinkError is an error of the sink itself: no holder is to blame.
type sinkError struct{ error }

func (e *sinkError) Unwrap() error { return e.error }

// userSink checks blocks and gives them to the user's writer.
type userSink struct {
	w    io.Writer
	list *store.Verifier
	n    int64
}

func (s *userSink) begin(list *store.Verifier) error {
	s.list = list
	return nil
}

func (s *userSink) block(index int64, data []byte) error {
	if err := s.list.Check(index, data); err != nil {
		return err
	}
	n, err := s.w.Write(data)
	s.n += int64(n)
	return err
}

// errBegins ends a fetch that only asks whether there are bytes.
var errBegins = errors.New("the first block is right")

// firstSink checks the first block and ends there.
type firstSink struct{ list *store.Verifier }

func (s *firstSink) begin(list *store.Verifier) error {
	s.list = list
	return nil
}

func (s *firstSink) block(index int64, data []byte) error {
	if err := s.list.Check(index, data); err != nil {
		return err
	}
	return errBegins
}

// storeSink writes to this peer's own disk; the store's writer checks.
type storeSink struct {
	disk   *disk
	writer *store.Writer
}

func (s *storeSink) begin(list *store.Verifier) (err error) {
	s.writer, err = s.disk.CreateFrom(list)
	return err
}

func (s *storeSink) block(_ int64, data []byte) error {
	_, err := s.writer.Write(data)
	return err
}
