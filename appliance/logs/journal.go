package logs

import (
	"io"
	"log/slog"
	"strconv"
	"strings"

	sd "github.com/coreos/go-systemd/v22/journal"
)

type sendFunc func(message string, p sd.Priority, fields map[string]string) error

func newJournal(level slog.Leveler, fallback io.Writer) *journal {
	return &journal{
		level:    level,
		fallback: slog.NewJSONHandler(fallback, &slog.HandlerOptions{Level: level}),
		send:     sd.Send,
	}
}

func priority(l slog.Level) sd.Priority {
	switch {
	case l >= slog.LevelError:
		return sd.PriErr
	case l >= slog.LevelWarn:
		return sd.PriWarning
	case l >= slog.LevelInfo:
		return sd.PriInfo
	}
	return sd.PriDebug
}

func prefixed(prefix string, attrs []slog.Attr) []slog.Attr {
	if prefix == "" {
		return attrs
	}
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = slog.Attr{Key: prefix + a.Key, Value: a.Value}
	}
	return out
}

// addField adds an attribute as a field, and to the text that journalctl shows.
func addField(fields map[string]string, text *strings.Builder, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, g := range v.Group() {
			addField(fields, text, prefix, g)
		}
		return
	}
	if a.Key == "" {
		return
	}
	s := v.String()
	fields[fieldName(prefix+a.Key)] = s
	text.WriteString(" " + prefix + a.Key + "=")
	if s == "" || strings.ContainsAny(s, " \"=\n\t") {
		s = strconv.Quote(s)
	}
	text.WriteString(s)
}

// fieldName makes a journal field name: upper case letters, digits and underscores, a
// letter first, at most 64 bytes (systemd.journal-fields(7)). The prefix keeps clear of
// the fields that have a meaning there.
func fieldName(key string) string {
	var b strings.Builder
	b.WriteString("STACK_")
	for _, r := range strings.ToUpper(key) {
		if (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			r = '_'
		}
		b.WriteRune(r)
	}
	s := b.String()
	return s[:min(len(s), 64)]
}
