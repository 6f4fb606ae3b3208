package node

import (
	"context"
	"log/slog"
)

// logQueue is how many lines wait for the logger; beyond that they are lost.
const logQueue = 256

// queued is a slog.Handler that never waits: neither the loop nor a link may
// stand still because a terminal is stopped or a log's disk is slow.
type queued struct {
	next  slog.Handler
	lines chan logLine // logQueue places
}

// logLine is a record on its way to the handler that it was given to.
type logLine struct {
	handler slog.Handler
	record  slog.Record
}

func newQueued(next slog.Handler) queued {
	return queued{next, make(chan logLine, logQueue)}
}

func (q queued) Enabled(ctx context.Context, level slog.Level) bool {
	return q.next.Enabled(ctx, level)
}

func (q queued) Handle(_ context.Context, r slog.Record) error {
	offer(q.lines, logLine{q.next, r.Clone()})
	return nil
}

func (q queued) WithAttrs(attrs []slog.Attr) slog.Handler {
	return queued{q.next.WithAttrs(attrs), q.lines}
}

func (q queued) WithGroup(name string) slog.Handler {
	return queued{q.next.WithGroup(name), q.lines}
}

// write hands on what waits, until ctx ends, and then what still does.
func (q queued) write(ctx context.Context) {
	for {
		select {
		case l := <-q.lines:
			l.write()
		case <-ctx.Done():
			for {
				select {
				case l := <-q.lines:
					l.write()
				default:
					return
				}
			}
		}
	}
}

func (l logLine) write() {
	// A logger that fails has nobody to tell.
	l.handler.Handle(context.Background(), l.record)
}
