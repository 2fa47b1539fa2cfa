// Package logs builds the process's own log (not the access log) on log/slog: text on
// a terminal, native fields under systemd's journal, JSON lines elsewhere. It never
// decides what is worth logging and keeps no global logger.
package logs

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Options choose the form and the place of the log.
type Options struct {
	Format  string   // auto | text | json | journal
	Level   string   // debug | info | warn | error; empty is info
	Output  *os.File // usually os.Stderr
	Environ []string // for JOURNAL_STREAM
}

// Log is a logger whose level can change while it is used.
type Log struct {
	*slog.Logger
	level  *slog.LevelVar
	format string
}

// New builds a log. An unknown format or level is an error.
func New(o Options) (*Log, error) {
	level := new(slog.LevelVar)
	l, err := ParseLevel(o.Level)
	if err != nil {
		return nil, err
	}
	level.Set(l)
	format := o.Format
	if format == "" || format == "auto" {
		format = detect(o.Output, o.Environ)
	}
	var h slog.Handler
	switch format {
	case "text":
		h = slog.NewTextHandler(o.Output, &slog.HandlerOptions{Level: level})
	case "json":
		h = slog.NewJSONHandler(o.Output, &slog.HandlerOptions{Level: level})
	case "journal":
		h = newJournal(level, o.Output)
	default:
		return nil, fmt.Errorf("log.format %q: allowed are auto, text, json, journal", o.Format)
	}
	return &Log{Logger: slog.New(h), level: level, format: format}, nil
}

// Format returns the form in use: text, json or journal.
func (l *Log) Format() string { return l.format }

// SetLevel changes the level for this log and all loggers made from it.
func (l *Log) SetLevel(name string) error {
	v, err := ParseLevel(name)
	if err != nil {
		return err
	}
	l.level.Set(v)
	return nil
}

// ParseLevel reads debug, info, warn or error; empty is info.
func ParseLevel(name string) (slog.Level, error) {
	switch name {
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log.level %q: allowed are debug, info, warn, error", name)
}

// detect chooses the form of "auto".
func detect(out *os.File, environ []string) string {
	fd := int(out.Fd())
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		return "text"
	}
	for _, e := range environ {
		if v, ok := strings.CutPrefix(e, "JOURNAL_STREAM="); ok && isStream(fd, v) {
			return "journal"
		}
	}
	return "json"
}

// isStream says whether fd is the journal's stream: systemd.exec(5) gives its device
// and inode as "dev:inode", and a redirected stderr must not be taken for it.
func isStream(fd int, devIno string) bool {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino) == devIno
}

var _ slog.Handler = (*journal)(nil)

// journal writes records with their fields to systemd's journal (sd_journal_send(3)).
// When the journal cannot be reached, lines go to the fallback instead of nowhere.
type journal struct {
	level    slog.Leveler
	fallback slog.Handler
	prefix   string
	attrs    []slog.Attr
	send     sendFunc
}

// Enabled implements slog.Handler.
func (j *journal) Enabled(_ context.Context, l slog.Level) bool { return l >= j.level.Level() }

// WithGroup implements slog.Handler; a group becomes a prefix of the field names.
func (j *journal) WithGroup(name string) slog.Handler {
	if name == "" {
		return j
	}
	c := *j
	c.prefix += name + "."
	c.fallback = j.fallback.WithGroup(name)
	return &c
}

// WithAttrs implements slog.Handler.
func (j *journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *j
	c.attrs = append(append([]slog.Attr(nil), j.attrs...), prefixed(j.prefix, attrs)...)
	c.fallback = j.fallback.WithAttrs(attrs)
	return &c
}

// Handle implements slog.Handler.
func (j *journal) Handle(ctx context.Context, r slog.Record) error {
	fields := map[string]string{"SYSLOG_IDENTIFIER": "stack"}
	var text strings.Builder
	text.WriteString(r.Message)
	add := func(a slog.Attr) { addField(fields, &text, "", a) }
	for _, a := range j.attrs {
		add(a)
	}
	r.Attrs(func(a slog.Attr) bool {
		addField(fields, &text, j.prefix, a)
		return true
	})
	if err := j.send(text.String(), priority(r.Level), fields); err != nil {
		return j.fallback.Handle(ctx, r)
	}
	return nil
}
