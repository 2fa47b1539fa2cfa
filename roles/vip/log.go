package vip

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// maxRecords wait for a log that is slow; what comes above is dropped and counted.
const maxRecords = 256

// queuedLog takes records without ever waiting for whoever reads the log.
type queuedLog struct {
	slog.Handler
	queue *logQueue
}

type logQueue struct {
	records chan func()
	dropped atomic.Int64
}

// queueLog returns a logger that writes to log in a goroutine of its own, and what ends
// it after the last record.
func queueLog(log *slog.Logger) (queued *slog.Logger, end func()) {
	q := &logQueue{records: make(chan func(), maxRecords)}
	done := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case write := <-q.records:
				write()
				if n := q.dropped.Swap(0); n > 0 {
					log.Warn("the log is slow: records of the virtual addresses were dropped", "dropped", n)
				}
			case <-stop:
				for len(q.records) > 0 {
					(<-q.records)()
				}
				return
			}
		}
	}()
	return slog.New(&queuedLog{log.Handler(), q}), func() { close(stop); <-done }
}

// Handle implements slog.Handler.
func (h *queuedLog) Handle(_ context.Context, r slog.Record) error {
	r = r.Clone()
	select {
	case h.queue.records <- func() { h.Handler.Handle(context.Background(), r) }:
	default:
		h.queue.dropped.Add(1)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h *queuedLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &queuedLog{h.Handler.WithAttrs(attrs), h.queue}
}

// WithGroup implements slog.Handler.
func (h *queuedLog) WithGroup(name string) slog.Handler {
	return &queuedLog{h.Handler.WithGroup(name), h.queue}
}
