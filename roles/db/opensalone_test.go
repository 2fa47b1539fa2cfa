package db

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A primary that was started anew and that nobody answers opens at once where nothing is answered without the
// others; else only after a while, and says so.
func TestPrimaryThatNobodyAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		need   int
		strict bool
		waited time.Duration
		open   bool
		alarm  bool
	}{
		{"strict", 1, true, 0, true, false},
		{"degrade, at first", 1, false, openAlone - time.Millisecond, false, false},
		{"degrade, later", 1, false, openAlone, true, true},
		{"nobody is waited for, at first", 0, true, openAlone - time.Millisecond, false, false},
		{"nobody is waited for, later", 0, true, openAlone, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, _ := demotedMember(t)
			ctx := t.Context()
			if _, err := m.Accept(ctx, 193, ""); err != nil {
				t.Fatal(err)
			}
			if err := m.Open(ctx, 193); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			m.log = slog.New(slog.NewTextHandler(&log, nil))
			m.policy.Need, m.policy.Strict = c.need, c.strict
			n := restarted(t, m)
			if err := n.openWhereAllowed(ctx, 0, c.waited); err != nil {
				t.Fatal(err)
			}
			if n.open != c.open || strings.Contains(log.String(), "level=ERROR") != c.alarm {
				t.Errorf("open: %v, log %q", n.open, log.String())
			}
		})
	}
}
