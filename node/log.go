package node

import (
	"context"
	"log/slog"
)

// logQueue is how many lines wait for the logger; beyond that they are lost.
const logQueue = 256

// queued is a slog.Handler that never waits: neither the loop nor a link may
// stand still because a terminal is stopped or a log's disk is slow. It lets
// warnings and errors, which an operator should know, and lines about a member
// pass at a pace of its own.
type queued struct {
	next  slog.Handler
	lines chan logLine // logQueue places
	pace  *linePace
}

// logLine is a record on its way to the handler that it was given to.
type logLine struct {
	handler slog.Handler
	record  slog.Record
}

func newQueued(next slog.Handler) queued {
	return queued{next, make(chan logLine, logQueue), newLinePace()}
}

func (q queued) Enabled(ctx context.Context, level slog.Level) bool {
	return q.next.Enabled(ctx, level)
}

func (q queued) Handle(_ context.Context, r slog.Record) error {
	r = r.Clone()
	if k := keyOf(r); r.Level >= slog.LevelWarn || k.peer != "" {
		held, ok := q.pace.take(k, r.Time)
		if !ok {
			return nil
		}
		if held > 0 {
			r.AddAttrs(slog.Uint64("more", held))
		}
	}
	offer(q.lines, logLine{q.next, r})
	return nil
}

// keyOf is what a line is paced by.
func keyOf(r slog.Record) paceKey {
	k := paceKey{message: r.Message}
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "peer":
			k.peer = a.Value.String()
		case "cause":
			k.cause = a.Value.String()
		}
		return true
	})
	if k.peer != "" {
		k.cause = ""
	}
	return k
}

func (q queued) WithAttrs(attrs []slog.Attr) slog.Handler {
	return queued{q.next.WithAttrs(attrs), q.lines, q.pace}
}

func (q queued) WithGroup(name string) slog.Handler {
	return queued{q.next.WithGroup(name), q.lines, q.pace}
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
