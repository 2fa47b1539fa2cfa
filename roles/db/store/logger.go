package store

import (
	"fmt"
	"log/slog"
)

// logger is Pebble's logger. Pebble calls Fatalf where it cannot go on without
// risking acknowledged data, above all when a sync of the write-ahead log or the
// manifest fails: the kernel may have dropped the dirty pages, so that a second try
// would answer "done" for data that is not on disk.
type logger struct {
	log   *slog.Logger
	fatal func(reason string)
}

func (l logger) Infof(format string, args ...any) {
	l.log.Debug("store: " + fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error("store: " + fmt.Sprintf(format, args...))
}

func (l logger) Fatalf(format string, args ...any) {
	reason := "the store cannot make data durable and ends the process: " + fmt.Sprintf(format, args...)
	l.log.Error(reason)
	l.fatal(reason)
	// A Fatal that returns would let Pebble go on as if the write had been durable.
	select {}
}
