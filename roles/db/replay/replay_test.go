package replay

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/backup"
	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/incarnation"
	"stack/roles/db/sql"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// server is a running database.
type server struct {
	t      testing.TB
	st     *store.Store
	db     *txn.Engine
	engine *sql.Engine
}

func start(t testing.TB, dir string) *server {
	t.Helper()
	st, err := store.Open(store.Options{Dir: dir, Reserve: 1})
	must(t, err)
	db, err := txn.Open(st, txn.Options{Binlog: binlog.Options{SealSize: 4 << 10}})
	must(t, err)
	engine, err := sql.New(st, db, sql.Options{NoEvents: true})
	must(t, err)
	return &server{t, st, db, engine}
}

func (s *server) stop() {
	s.t.Helper()
	must(s.t, s.engine.Close())
	must(s.t, s.db.Close())
	must(s.t, s.st.Close())
}

func (s *server) do(statements ...string) {
	s.t.Helper()
	must(s.t, s.engine.Do(context.Background(), statements...))
}

// rows counts the rows of a table; -1 where there is no such table.
func (s *server) rows(name string) int {
	s.t.Helper()
	tx := s.db.Begin(txn.RepeatableRead)
	defer tx.Rollback()
	table := tx.Catalog().Table("site", name)
	if table == nil {
		return -1
	}
	rows, err := tx.Scan(context.Background(), table, txn.Scan{})
	must(s.t, err)
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
	}
	must(s.t, rows.Err())
	return n
}

// accident is a server that was backed up, worked on, and lost a table.
type accident struct {
	dir, backup, log string // log: a copy of the files, with all that was committed
	drop             event.ID
	at               time.Time // between the last good work and the accident
	executed         string
	server           string
	backedUp         uint64 // number of the last transaction in the backup
}

func newAccident(t testing.TB) *accident {
	t.Helper()
	a := &accident{dir: filepath.Join(t.TempDir(), "db"), backup: filepath.Join(t.TempDir(), "backup"), log: t.TempDir()}
	s := start(t, a.dir)
	s.do("CREATE DATABASE site", "CREATE TABLE site.posts (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200))", "INSERT INTO site.posts (v) VALUES ('before')")
	a.server, a.backedUp = s.st.Server, s.db.Executed().Seq
	must(t, incarnation.Begin(s.st, 0))
	_, err := backup.Take(context.Background(), s.st, nil, a.backup, "8")
	must(t, err)
	for i := range 40 {
		s.do(fmt.Sprintf("INSERT INTO site.posts (v) VALUES (REPEAT('x', %d))", 100+i))
		if i%10 == 9 {
			must(t, s.db.RotateLog(context.Background()))
		}
	}
	s.do("CREATE TABLE site.other (a INT)", "INSERT INTO site.other VALUES (1), (2)", "UPDATE site.other SET a = a + 1")
	time.Sleep(2 * time.Millisecond)
	a.at, a.executed = time.Now(), s.db.ExecutedSet()
	time.Sleep(2 * time.Millisecond)
	s.do("DROP TABLE site.posts")
	a.drop, err = event.ParseID(fmt.Sprintf("%s:%d", s.db.Executed().Server, s.db.Executed().Seq))
	must(t, err)
	s.do("INSERT INTO site.other VALUES (9)")
	must(t, s.db.RotateLog(context.Background()))
	for _, f := range s.db.Binlog().Files() {
		name := binlog.FileName(f.Number)
		b, err := os.ReadFile(filepath.Join(a.dir, "binlog", name))
		if os.IsNotExist(err) {
			continue // the one that is being written
		}
		must(t, err)
		must(t, os.WriteFile(filepath.Join(a.log, name), b, 0o600))
	}
	s.do("INSERT INTO site.other VALUES (10)") // in the tail alone
	s.stop()
	return a
}

// restore restores the backup with this log.
func (a *accident) restore(t testing.TB, log string, stop Stop) (dir string, found Found, err error) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "new")
	l, err := Open(nil, log)
	if err != nil {
		return dir, Found{}, err
	}
	defer func() { must(t, l.Close()) }()
	r := &Replay{Log: l, Stop: stop, WriteSetLimit: 1 << 20}
	_, _, err = backup.Restore(context.Background(), nil, a.backup, dir, store.Options{Version: "8", Reserve: 1}, r)
	return dir, r.Found, err
}

// Everything up to just before the accident is there, whichever way it is named and
// wherever the log is.
func TestRestoreToAPoint(t *testing.T) {
	a := newAccident(t)
	for _, step := range []struct {
		name         string
		log          string
		stop         Stop
		posts, other int
	}{
		{"before the transaction", a.log, Stop{GTID: a.drop}, 41, 2},
		{"before the time", a.log, Stop{Time: a.at}, 41, 2},
		{"all files", a.log, Stop{}, -1, 3},
		{"data directory", a.dir, Stop{}, -1, 4},
		{"files of a data directory", filepath.Join(a.dir, "binlog"), Stop{}, -1, 4},
		{"its name as a shell completes it", filepath.Join(a.dir, "binlog") + "/", Stop{}, -1, 4},
		{"data directory, before the transaction", a.dir, Stop{GTID: a.drop}, 41, 2},
	} {
		dir, found, err := a.restore(t, step.log, step.stop)
		if err != nil {
			t.Errorf("%s: %v", step.name, err)
			continue
		}
		s := start(t, dir)
		if starts, err := incarnation.Read(s.st); err != nil || len(starts[a.server]) != 2 || starts[a.server][1] != (incarnation.Start{From: a.backedUp + 1}) {
			t.Errorf("%s: incarnations %v, %v: of more than the backup has", step.name, starts, err)
		}
		if posts, other := s.rows("posts"), s.rows("other"); posts != step.posts || other != step.other {
			t.Errorf("%s: %d posts and %d others, want %d and %d", step.name, posts, other, step.posts, step.other)
		}
		if step.posts > 0 && (s.db.ExecutedSet() != a.executed || found.Next != a.drop) {
			t.Errorf("%s: executed %s, want %s; stopped before %s", step.name, s.db.ExecutedSet(), a.executed, found.Next)
		}
		s.do("CREATE TABLE site.after (a INT)")
		s.stop()
		report, err := backup.Directory(context.Background(), store.Options{Dir: dir})
		if err != nil || !report.OK() {
			t.Errorf("%s: check: %v, %v", step.name, report, err)
		}
	}
}

// A log that is damaged or has a gap is refused by name, before anything is written.
func TestRefusedLogs(t *testing.T) {
	a := newAccident(t)
	names, err := filepath.Glob(filepath.Join(a.log, "binlog.*"))
	must(t, err)
	if len(names) < 5 {
		t.Fatalf("only %d files", len(names))
	}
	third := filepath.Base(names[2])
	change := func(do func(path string, b []byte) []byte) func(dir string) {
		return func(dir string) {
			path := filepath.Join(dir, third)
			b, err := os.ReadFile(path)
			must(t, err)
			if b = do(path, b); b != nil {
				must(t, os.WriteFile(path, b, 0o600))
			}
		}
	}
	for what, step := range map[string]struct {
		spoil func(dir string)
		stop  Stop
		want  string
	}{
		"a byte":    {change(func(_ string, b []byte) []byte { b[len(b)/2] ^= 1; return b }), Stop{}, third},
		"cut":       {change(func(_ string, b []byte) []byte { return b[:len(b)-10] }), Stop{}, third},
		"empty":     {change(func(_ string, b []byte) []byte { return b[:0:0] }), Stop{}, "no binary log"},
		"missing":   {change(func(p string, b []byte) []byte { must(t, os.Remove(p)); return nil }), Stop{}, third + " is missing"},
		"no file":   {change(func(p string, b []byte) []byte { must(t, os.Remove(p)); must(t, os.Mkdir(p, 0o700)); return nil }), Stop{}, third + " is no plain file"},
		"swapped":   {change(func(p string, b []byte) []byte { b, _ = os.ReadFile(names[1]); return b }), Stop{}, "does not go on where the file before it ends"},
		"too late":  {func(dir string) { must(t, os.Remove(filepath.Join(dir, filepath.Base(names[0])))) }, Stop{}, "which the backup does not hold"},
		"no log":    {func(dir string) { must(t, os.RemoveAll(dir)); must(t, os.Mkdir(dir, 0o700)) }, Stop{}, "holds no file of a binary log"},
		"unknown":   {func(string) {}, Stop{GTID: event.ID{UUID: a.drop.UUID, Number: 9999}}, "is not in the binary log, which ends with"},
		"in backup": {func(string) {}, Stop{GTID: event.ID{UUID: a.drop.UUID, Number: 1}}, "holds transaction"},
		"before":    {func(string) {}, Stop{Time: time.Unix(1, 0)}, "after the moment to restore to"},
	} {
		dir := t.TempDir()
		must(t, os.CopyFS(filepath.Join(dir, "log"), os.DirFS(a.log)))
		step.spoil(filepath.Join(dir, "log"))
		to, _, err := a.restore(t, filepath.Join(dir, "log"), step.stop)
		if err == nil || !strings.Contains(err.Error(), step.want) {
			t.Errorf("%s: %v, want %s", what, err, step.want)
		}
		if _, err := os.Stat(to); !os.IsNotExist(err) {
			t.Errorf("%s: something was written: %v", what, err)
		}
	}
}

// Another directory in a data directory is a log of its own, or none: that of the data directory is not read in its place.
func TestOtherDirectoriesInside(t *testing.T) {
	a := newAccident(t)
	errant := filepath.Join(a.dir, store.ErrantDir)
	must(t, os.MkdirAll(errant, 0o700))
	if _, _, err := a.restore(t, errant, Stop{}); err == nil || !strings.Contains(err.Error(), errant+" holds no file of a binary log") {
		t.Errorf("a directory without a log: %v", err)
	}
	archive := filepath.Join(a.dir, "archive")
	must(t, os.CopyFS(archive, os.DirFS(a.log)))
	dir, _, err := a.restore(t, archive, Stop{})
	must(t, err)
	s := start(t, dir)
	defer s.stop()
	if n := s.rows("other"); n != 3 {
		t.Errorf("%d rows from an archive that has 3, beside a log with 4", n)
	}
}

// A transaction that the backup holds, committed at the moment or later by the clock of its server, does not end the
// replay as one that is left out would: the backup is no state of before the moment.
func TestBackupHoldsLaterTransactions(t *testing.T) {
	a := newAccident(t)
	m, err := backup.Read(vfs.Default, a.backup)
	must(t, err)
	l, err := Open(nil, a.log)
	must(t, err)
	moment := time.Unix(1e9, 0)
	r := &Replay{Log: l, Stop: Stop{Time: moment}}
	if err := r.Check(t.Context(), m.Executed, moment.Add(-time.Second)); err == nil || !strings.Contains(err.Error(), "the backup holds transaction "+a.server+":1 already") {
		t.Errorf("%v; found %s", err, r.Found)
	}
}

// A log whose data does not follow from the backup stops the restore, and nothing opens
// what it has left; another restore can begin there.
func TestReplayThatFails(t *testing.T) {
	a := newAccident(t)
	dir := filepath.Join(t.TempDir(), "new")
	l, err := Open(nil, a.log)
	must(t, err)
	r := &Replay{Log: l}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := stopAtRun{r, cancel}
	if _, _, err := backup.Restore(ctx, nil, a.backup, dir, store.Options{Version: "8", Reserve: 1}, stopped); err == nil {
		t.Fatal("a replay that was stopped succeeded")
	}
	if _, err := store.Open(store.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "was not finished") {
		t.Errorf("what is left opens: %v", err)
	}
	if _, _, err := backup.Restore(context.Background(), nil, a.backup, dir, store.Options{Version: "8", Reserve: 1}, r); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	defer s.stop()
	if n := s.rows("other"); n != 3 {
		t.Errorf("%d rows after the second restore", n)
	}
}

// stopAtRun ends its context when the replay begins.
type stopAtRun struct {
	*Replay
	cancel func()
}

func (s stopAtRun) Run(ctx context.Context, st *store.Store) error {
	s.cancel()
	return s.Replay.Run(ctx, st)
}
