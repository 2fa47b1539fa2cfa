package slowlog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stack/appliance/config"
)

func entry(text string) Entry {
	return Entry{
		Begun: time.Unix(1796047516, 0), Took: 1500 * time.Millisecond, LockWait: 250 * time.Millisecond, Sent: 1, Examined: 1000,
		Connection: 12, User: "root", Account: "root", Host: "localhost", IP: "127.0.0.1", Database: "shop", Text: text,
	}
}

func TestFormat(t *testing.T) {
	e := entry("SELECT 1\n# Time: not one\n;")
	want := `# User@Host: root[root] @ localhost [127.0.0.1]  Id:    12  Begun: 2026-11-30T14:05:16.000000Z
# Query_time: 1.500000  Lock_time: 0.250000 Rows_sent: 1  Rows_examined: 1000
use shop;
SET timestamp=1796047516;
SELECT 1
 # Time: not one;
`
	e.User = "ro\not"
	want = strings.Replace(want, "root[", "ro?ot[", 1)
	if got := string(e.append(nil, "")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := string(e.append(nil, "shop")); strings.Contains(got, "use shop") {
		t.Errorf("the database is named again:\n%s", got)
	}
}

func TestLongTextIsCut(t *testing.T) {
	e := entry(strings.Repeat("ä", maxText))
	e.clip()
	if len(e.Text) > maxText+64 || !strings.HasSuffix(e.Text, "bytes more */") || strings.ContainsRune(e.Text, '\uFFFD') {
		t.Errorf("%d bytes, ends in %q", len(e.Text), e.Text[len(e.Text)-40:])
	}
}

// gate is a file that takes nothing until it is opened.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	text strings.Builder
	err  error
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return 0, g.err
	}
	return g.text.Write(p)
}

func TestSlowDiskLosesEntriesNotTime(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	var said strings.Builder
	l := New(g, slog.New(slog.NewTextHandler(&said, nil)))
	const n = 2000 // of 16 KiB: eight times the queue
	for i := range n {
		l.Add(entry(fmt.Sprint("SELECT ", i, strings.Repeat(" ", maxText))))
	}
	close(g.open)
	l.Close()
	written, dropped := l.Counts()
	if written+dropped != n || dropped == 0 || written < 100 {
		t.Errorf("%d written, %d dropped of %d", written, dropped, n)
	}
	if strings.Count(said.String(), "drops statements") != 1 {
		t.Errorf("the loss was logged so: %s", said.String())
	}
}

func TestFailingFileIsSaidOnce(t *testing.T) {
	g := &gate{open: make(chan struct{}), err: errors.New("no space left on device")}
	close(g.open)
	var said strings.Builder
	l := New(g, slog.New(slog.NewTextHandler(&said, nil)))
	for range 5 {
		l.Add(entry("SELECT 1"))
	}
	l.Close()
	if _, dropped := l.Counts(); dropped != 5 || strings.Count(said.String(), "no space left") != 1 {
		t.Errorf("%d dropped, logged: %s", dropped, said.String())
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "slow.log")
	l := New(io.Discard, slog.New(slog.DiscardHandler))
	use := func() {
		t.Helper()
		c, err := l.Prepare(config.DBSlowLog{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		c.Commit()
	}
	use()
	l.Add(entry("SELECT 'first'"))
	for written, _ := l.Counts(); written == 0; written, _ = l.Counts() {
		time.Sleep(time.Millisecond)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	use()
	l.Add(entry("SELECT 'second'"))
	l.Close()
	for name, want := range map[string]string{path + ".1": "first", path: "second"} {
		text, err := os.ReadFile(name)
		if err != nil || strings.Count(string(text), "SELECT") != 1 || !strings.Contains(string(text), want) || !strings.Contains(string(text), "use shop;") {
			t.Errorf("%s, %v: %s", name, err, text)
		}
	}
	if _, err := New(io.Discard, slog.New(slog.DiscardHandler)).Prepare(config.DBSlowLog{Path: filepath.Join(dir, "no", "slow.log")}); err == nil || !strings.Contains(err.Error(), "db.slow_log.path") {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// The tool that comes with MySQL and MariaDB reads the log.
func TestDumpslow(t *testing.T) {
	tool, err := exec.LookPath("mysqldumpslow")
	if err != nil {
		t.Skip("mysqldumpslow is not installed")
	}
	var b []byte
	for i := range 3 {
		e := entry(fmt.Sprintf("SELECT *\nFROM t WHERE id = %d AND s = 'text %d'", i, i))
		b = e.append(b, map[bool]string{true: "shop"}[i > 0])
	}
	path := filepath.Join(t.TempDir(), "slow.log")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, path).CombinedOutput()
	for _, want := range []string{"Count: 3", "Time=1.25s", "Lock=0.25s", "Rows_sent=1.0 (3)", "Rows_examined=1000.0", "root[root]@localhost", "FROM t WHERE id = N AND s = 'S'"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v, %q is not in:\n%s", err, want, out)
		}
	}
}
