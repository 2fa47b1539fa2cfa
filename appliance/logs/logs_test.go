package logs

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sd "github.com/coreos/go-systemd/v22/journal"
	"golang.org/x/sys/unix"
)

func file(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFormatIsChosen(t *testing.T) {
	f := file(t)
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	stream := fmt.Sprintf("JOURNAL_STREAM=%d:%d", st.Dev, st.Ino)
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminal to open: ", err)
	}
	defer pty.Close()
	for _, c := range []struct {
		format string
		out    *os.File
		env    []string
		want   string
	}{
		{"auto", pty, nil, "text"}, {"", f, nil, "json"}, {"auto", f, []string{stream}, "journal"},
		{"auto", f, []string{"JOURNAL_STREAM=1:1"}, "json"}, {"text", f, []string{stream}, "text"}, {"json", pty, nil, "json"},
	} {
		l, err := New(Options{Format: c.format, Output: c.out, Environ: c.env})
		if err != nil || l.Format() != c.want {
			t.Errorf("%s on %s with %v: %s, %v", c.format, c.out.Name(), c.env, l.Format(), err)
		}
	}
	if _, err := New(Options{Format: "xml", Output: f}); err == nil || err.Error() != `log.format "xml": allowed are auto, text, json, journal` {
		t.Error(err)
	}
	if _, err := New(Options{Level: "loud", Output: f}); err == nil || err.Error() != `log.level "loud": allowed are debug, info, warn, error` {
		t.Error(err)
	}
}

func TestLevelChangesWhileInUse(t *testing.T) {
	f := file(t)
	l, err := New(Options{Format: "json", Level: "warn", Output: f})
	if err != nil {
		t.Fatal(err)
	}
	child := l.With("role", "lb")
	child.Info("one")
	if err := l.SetLevel("debug"); err != nil {
		t.Fatal(err)
	}
	child.Debug("two")
	if l.SetLevel("loud") == nil {
		t.Error("an unknown level was taken")
	}
	b, _ := os.ReadFile(f.Name())
	var line map[string]any
	if err := json.Unmarshal(b, &line); err != nil || line["msg"] != "two" || line["role"] != "lb" {
		t.Errorf("%s, %v", b, err)
	}
}

func TestJournalFields(t *testing.T) {
	var message string
	var fields map[string]string
	var prio sd.Priority
	var fail error
	f := file(t)
	j := newJournal(slog.LevelInfo, f)
	j.send = func(m string, p sd.Priority, v map[string]string) error {
		message, prio, fields = m, p, v
		return fail
	}
	log := slog.New(j).With("role", "lb").WithGroup("tls").With("sni", "a b")
	log.Error("no certificate", "error", errors.New("gone"), slog.Group("peer", "addr", "192.0.2.1"))
	if message != `no certificate role=lb tls.sni="a b" tls.error=gone tls.peer.addr=192.0.2.1` || prio != sd.PriErr {
		t.Errorf("%s (%d)", message, prio)
	}
	for k, v := range map[string]string{"STACK_ROLE": "lb", "STACK_TLS_SNI": "a b", "STACK_TLS_ERROR": "gone", "STACK_TLS_PEER_ADDR": "192.0.2.1", "SYSLOG_IDENTIFIER": "stack"} {
		if fields[k] != v {
			t.Errorf("%s is %q, want %q", k, fields[k], v)
		}
	}
	message = ""
	log.Debug("hidden")
	if message != "" {
		t.Error("a record under the level was sent")
	}
	for level, want := range map[slog.Level]sd.Priority{slog.LevelDebug: sd.PriDebug, slog.LevelInfo: sd.PriInfo, slog.LevelWarn: sd.PriWarning} {
		if priority(level) != want {
			t.Errorf("%s: %d", level, priority(level))
		}
	}
	// When the journal cannot be reached the line is not lost.
	fail = errors.New("no socket")
	log.Info("still here")
	if b, _ := os.ReadFile(f.Name()); !strings.Contains(string(b), `"msg":"still here","role":"lb"`) {
		t.Errorf("fallback: %s", b)
	}
	if name := fieldName("_" + strings.Repeat("é-", 60)); len(name) > 64 || strings.ContainsAny(name, "é-") {
		t.Errorf("field name %q", name)
	}
}
