package rewind

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-mysql-org/go-mysql/replication"

	"stack/roles/db/apply"
	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/sql"
	"stack/roles/db/store"
	"stack/roles/db/store/crashfs"
	"stack/roles/db/txn"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the randomised tests; 0 takes the time")

func seeded(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -args -seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 8))
}

var ctx = context.Background()

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

func options(fs vfs.FS) store.Options {
	return store.Options{Dir: "db", FS: fs, Reserve: 1, CacheBytes: 1 << 20, MemtableSize: 1 << 20}
}

func start(t testing.TB, fs vfs.FS) *server {
	t.Helper()
	st, err := store.Open(options(fs))
	must(t, err)
	db, err := txn.Open(st, txn.Options{Binlog: binlog.Options{SealSize: 4 << 10}})
	must(t, err)
	engine, err := sql.New(st, db, sql.Options{NoEvents: true})
	must(t, err)
	return &server{t, st, db, engine}
}

func (s *server) stop() {
	s.t.Helper()
	must(s.t, errors.Join(s.engine.Close(), s.db.Close(), s.st.Close()))
}

func (s *server) do(statements ...string) {
	s.t.Helper()
	must(s.t, s.engine.Do(ctx, statements...))
}

// data is every row of every table, and nothing is wrong with the store.
func (s *server) data() string {
	s.t.Helper()
	var lines []string
	tx := s.db.Begin(txn.RepeatableRead)
	defer tx.Rollback()
	for _, table := range tx.Catalog().Tables("site") {
		rows, err := tx.Scan(ctx, table, txn.Scan{})
		must(s.t, err)
		for rows.Next() {
			row := slices.Clone(rows.Row())
			for i, v := range row {
				if j, ok := v.(interface {
					ToInterface(context.Context) (any, error)
				}); ok {
					plain, err := j.ToInterface(ctx)
					must(s.t, err)
					row[i] = plain
				}
			}
			lines = append(lines, fmt.Sprintf("%s %v", table.Desc.Name, row))
		}
		must(s.t, rows.Err())
		rows.Close()
	}
	slices.Sort(lines)
	report, err := s.db.Check(ctx, nil)
	must(s.t, err)
	if !report.OK() {
		s.t.Fatalf("the check says %v", report.Problems)
	}
	return strings.Join(lines, "\n")
}

// logged are the GTIDs in the log, in order.
func (s *server) logged() (ids []string) {
	s.t.Helper()
	r, err := s.db.Binlog().OpenGTID(nil)
	must(s.t, err)
	defer r.Close()
	for {
		ev, err := r.TryNext()
		must(s.t, err)
		if ev == nil {
			return ids
		}
		must(s.t, event.Verify(ev.Bytes))
		if event.Type(ev.Bytes[4]) == event.TypeGTID {
			g, err := event.ParseGTID(ev.Bytes)
			must(s.t, err)
			ids = append(ids, g.String())
		}
	}
}

var tables = []string{
	"CREATE DATABASE site",
	"CREATE TABLE site.users (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40) NOT NULL, mail VARCHAR(40), age INT, UNIQUE KEY (name), UNIQUE KEY (mail, age), KEY (age))",
	"CREATE TABLE site.keyless (a INT, b VARCHAR(20), d DECIMAL(8,3), KEY (b))",
	"CREATE TABLE site.bare (a INT, b TEXT)",
	"CREATE TABLE site.notes (a INT, b TEXT, FULLTEXT KEY (b))",
	"CREATE TABLE site.posts (id INT PRIMARY KEY AUTO_INCREMENT, author INT, body TEXT, FULLTEXT KEY (body), FOREIGN KEY (author) REFERENCES site.users (id) ON DELETE CASCADE ON UPDATE CASCADE)",
	"CREATE TABLE site.docs (id INT, part INT, j JSON, twice INT AS (part * 2) STORED, half INT AS (part + 1) VIRTUAL, big LONGBLOB, PRIMARY KEY (id, part), KEY (twice))",
	"CREATE TABLE site.kinds (id INT PRIMARY KEY, e ENUM('a','b'), s SET('x','y'), t TIMESTAMP(3) NULL, f FLOAT, b BIT(9), y YEAR, bi BINARY(4))",
	"CREATE TRIGGER site.counted AFTER INSERT ON site.users FOR EACH ROW INSERT INTO site.bare VALUES (1, NEW.name)",
}

// change is a random statement; it may fail.
func change(r *rand.Rand) string {
	id, other := r.IntN(30), r.IntN(30)
	switch r.IntN(23) {
	case 0, 1:
		return fmt.Sprintf("INSERT INTO site.users (name, mail, age) VALUES ('n%d', 'm%d', %d)", other, id, other)
	case 2:
		return fmt.Sprintf("UPDATE site.users SET age = age + 1, mail = NULL WHERE age < %d", id)
	case 3:
		return fmt.Sprintf("UPDATE site.users SET id = id + %d WHERE id = %d", 100+other, id)
	case 4:
		return fmt.Sprintf("DELETE FROM site.users WHERE id %% 7 = %d LIMIT 2", id%7)
	case 5:
		return fmt.Sprintf("REPLACE INTO site.users (name, mail, age) VALUES ('n%d', 'm%d', %d)", id, other, id)
	case 6:
		return fmt.Sprintf("INSERT INTO site.keyless VALUES (%d, 'x', 1.5), (%[1]d, 'x', 1.5), (%[1]d, NULL, NULL)", id)
	case 7:
		return fmt.Sprintf("UPDATE site.keyless SET b = '%d' WHERE a = %d", other, id)
	case 8:
		return fmt.Sprintf("DELETE FROM site.keyless WHERE a = %d LIMIT 1", id)
	case 9:
		return fmt.Sprintf("INSERT INTO site.bare VALUES (%d, REPEAT('t', %d)), (NULL, NULL)", id, r.IntN(3)*5000)
	case 10:
		return fmt.Sprintf("UPDATE site.bare SET a = a + 1 WHERE a > %d LIMIT 3", id)
	case 11:
		return fmt.Sprintf("DELETE FROM site.bare WHERE a = %d", id)
	case 12, 13:
		return fmt.Sprintf("INSERT INTO site.posts (author, body) SELECT id, 'the quick fox %d jumps over %d' FROM site.users WHERE id %% 5 = %d", id, other, id%5)
	case 14:
		return fmt.Sprintf("UPDATE site.posts SET body = CONCAT(body, ' again%d') WHERE id %% 4 = %d", id, id%4)
	case 15:
		return fmt.Sprintf(`REPLACE INTO site.docs (id, part, j, big) VALUES (%d, %d, '{"a": [%d, 2.5, null], "b": {"c": "%d"}}', REPEAT('b', %d))`, id, other%3, id, other, r.IntN(3)*9000)
	case 16:
		return fmt.Sprintf("UPDATE site.docs SET j = JSON_SET(j, '$.n', %d), part = part + 3 WHERE id = %d", other, id)
	case 17:
		return fmt.Sprintf("DELETE FROM site.docs WHERE twice = %d", 2*(other%5))
	case 18:
		return fmt.Sprintf("REPLACE INTO site.kinds VALUES (%d, 'a', 'x,y', '2026-11-29 01:02:03.004', 0.1, %d, 2026, 'ab')", id, r.IntN(512))
	case 19:
		return fmt.Sprintf("INSERT INTO site.notes VALUES (%d, 'a lazy dog %d'), (%[1]d, NULL), (NULL, '')", id, other)
	case 20:
		return fmt.Sprintf("UPDATE site.notes SET a = a + 1 WHERE a > %d LIMIT 3", id)
	case 21:
		return fmt.Sprintf("DELETE FROM site.notes WHERE a = %d", id)
	}
	return fmt.Sprintf("UPDATE site.kinds SET e = NULL, s = '', t = NULL, f = -f, b = b'1' WHERE id > %d", id)
}

// load runs random transactions.
func (s *server) load(r *rand.Rand, n int) {
	s.t.Helper()
	for range n {
		statements := []string{"BEGIN"}
		for range 1 + r.IntN(4) {
			statements = append(statements, change(r))
		}
		// A statement that fails ends it.
		_ = s.engine.Do(ctx, append(statements, "COMMIT")...)
		if r.IntN(8) == 0 {
			must(s.t, s.db.RotateLog(ctx))
		}
	}
}

// errantTo is Options.Errant against a primary that has executed a set.
func errantTo(primary string) func(string) (string, error) {
	return func(executed string) (string, error) {
		here, err := event.ParseGTIDs(executed)
		if err != nil {
			return "", err
		}
		there, err := event.ParseGTIDs(primary)
		return event.Without(here, there).String(), err
	}
}

// rewind takes back what the primary lacks.
func rewind(fs vfs.FS, primary string, limit int64) (r Result, err error) {
	st, err := store.Open(options(fs))
	if err != nil {
		return r, err
	}
	r, err = Run(ctx, st, Options{Errant: errantTo(primary), Limit: limit})
	return r, errors.Join(err, st.Close())
}

// fileSource gives the events of a file, as another program would find them.
type fileSource struct{ rest []byte }

func (f *fileSource) Next(context.Context) ([]byte, error) {
	if len(f.rest) == 0 {
		return nil, io.EOF
	}
	h, err := event.ParseHeader(f.rest)
	if err != nil {
		return nil, err
	}
	ev := f.rest[:h.Size]
	f.rest = f.rest[h.Size:]
	return ev[:len(ev)-event.ChecksumSize], event.Verify(ev)
}

func contentOf(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	must(t, err)
	return b
}

// Random transactions of rows are taken back: the data, the executed set and the log are what they were, and
// the file brings all of it again. The server goes on under another UUID.
func TestRewind(t *testing.T) {
	r := seeded(t)
	rounds := 4
	if !testing.Short() {
		rounds = 60
	}
	for round := range rounds {
		fs := vfs.NewMem()
		s := start(t, fs)
		s.do(tables...)
		s.load(r, 30)
		if round%2 == 0 {
			s.stop()
			s = start(t, fs)
		}
		if round%4 == 3 {
			must(t, s.db.RotateLog(ctx)) // the errant ones are then all that their file has
		}
		primary, was, log := s.db.ExecutedSet(), s.data(), s.logged()
		s.load(r, 1+r.IntN(40))
		s.do("INSERT INTO site.kinds (id) VALUES (-1)")
		executed, after, whole := s.db.ExecutedSet(), s.data(), s.logged()
		server := s.st.Server
		s.stop()

		res, err := rewind(fs, primary, 0)
		must(t, err)
		if res.Transactions != len(whole)-len(log) || res.Server == "" || res.Server == server {
			t.Errorf("round %d: %+v, want %d transactions", round, res, len(whole)-len(log))
		}
		s = start(t, fs)
		if s.st.Server != res.Server || s.db.ExecutedSet() != primary {
			t.Errorf("round %d: server %s has executed %s, want %s", round, s.st.Server, s.db.ExecutedSet(), primary)
		}
		if got := s.data(); got != was {
			t.Fatalf("round %d: the data is\n%s\nwant\n%s", round, got, was)
		}
		if got := s.logged(); !slices.Equal(got, log) {
			t.Errorf("round %d: the log has %v, want %v", round, got, log)
		}
		content := contentOf(t, fs, res.File)
		p := replication.NewBinlogParser()
		p.SetVerifyChecksum(true)
		n := 0
		must(t, p.ParseReader(strings.NewReader(string(content[len(event.Magic):])), func(ev *replication.BinlogEvent) error {
			if ev.Header.EventType == replication.GTID_EVENT {
				n++
			}
			return nil
		}))
		if n != res.Transactions {
			t.Errorf("round %d: another reader finds %d transactions in the file, not %d", round, n, res.Transactions)
		}
		// It goes on: what was taken back comes again, as from a source, and then something of its own.
		a := apply.New(s.db, s.engine)
		src := &fileSource{content[len(event.Magic):]}
		for range n {
			g, id, err := a.Next(ctx, src)
			must(t, err)
			must(t, a.Apply(ctx, src, g, id))
		}
		must(t, a.Flush(ctx))
		a.Close()
		if got := s.data(); got != after || s.db.ExecutedSet() != executed {
			t.Fatalf("round %d: with the file the data is\n%s\nwant\n%s\nexecuted %s, want %s", round, got, after, s.db.ExecutedSet(), executed)
		}
		s.do("INSERT INTO site.kinds (id) VALUES (-2)")
		if own := s.db.Executed(); own.Server != res.Server || own.Seq != 1 {
			t.Errorf("round %d: its own transactions are %v", round, own)
		}
		s.stop()
		s = start(t, fs)
		if got := s.logged(); len(got) != len(whole)+1 {
			t.Errorf("round %d: at the end the log has %d transactions, want %d", round, len(got), len(whole)+1)
		}
		s.stop()
	}
}

// What cannot be taken back by rows stays as it is, and is copied into a file where it can be found.
func TestRewindRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		errant  []string
		limit   int64
		prepare func(*testing.T, *server, vfs.FS)
		want    string
		noFile  bool
	}{
		"a definition": {errant: []string{"INSERT INTO site.kinds (id) VALUES (1)", "CREATE TABLE site.more (a INT)"}, want: "CREATE TABLE"},
		"an account":   {errant: []string{"CREATE USER x IDENTIFIED BY 'pw'"}, want: "CREATE USER"},
		"too large":    {errant: []string{"INSERT INTO site.bare VALUES (1, REPEAT('x', 10000))"}, limit: 5000, want: "larger than one batch"},
		"rows that are others": {errant: []string{"INSERT INTO site.kinds (id) VALUES (1)"}, want: "there is no such row", prepare: func(t *testing.T, s *server, _ vfs.FS) {
			tx := s.db.Begin(txn.ReadCommitted)
			tx.Unlogged()
			table := tx.Catalog().Table("site", "kinds")
			must(t, errors.Join(tx.DeleteRow(ctx, table, slices.Insert(make([]any, 7), 0, any(int32(1)))), tx.Commit(ctx)))
		}},
		"a file that is gone": {errant: []string{"INSERT INTO site.kinds (id) VALUES (1)"}, want: "no longer holds the transactions", noFile: true, prepare: func(t *testing.T, s *server, _ vfs.FS) {
			must(t, s.db.RotateLog(ctx))
			s.do("INSERT INTO site.kinds (id) VALUES (2)")
			must(t, s.db.RotateLog(ctx))
			files := s.db.Binlog().Files()
			_, err := s.db.Binlog().PurgeTo(ctx, files[len(files)-2].Number)
			must(t, err)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := start(t, fs)
			s.do(tables...)
			primary := s.db.ExecutedSet()
			s.do(c.errant...)
			if c.prepare != nil {
				c.prepare(t, s, fs)
			}
			was, executed := s.data(), s.db.ExecutedSet()
			s.stop()
			res, err := rewind(fs, primary, c.limit)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("want %q: %v", c.want, err)
			}
			if (res.File == "") != c.noFile {
				t.Errorf("the file is %q", res.File)
			}
			s = start(t, fs)
			defer s.stop()
			if got := s.data(); got != was || s.db.ExecutedSet() != executed {
				t.Errorf("the data has changed: %s, was %s", got, was)
			}
			s.do("INSERT INTO site.kinds (id) VALUES (77)")
		})
	}
}

// Transactions that others follow in the log are not taken back from under these.
func TestRewindOnlyAtTheEnd(t *testing.T) {
	fs := vfs.NewMem()
	s := start(t, fs)
	s.do(tables...)
	s.do("INSERT INTO site.kinds (id) VALUES (1)", "INSERT INTO site.kinds (id) VALUES (2)")
	last := s.db.Executed()
	s.stop()
	primary := fmt.Sprintf("%s:1-%d:%d", last.Server, last.Seq-2, last.Seq)
	if _, err := rewind(fs, primary, 0); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "comes behind others that do not stay") {
		t.Error(err)
	}
}

// The power fails in the middle of every operation of the disk: the server is as before or as after, and can be
// taken back again.
func TestRewindSurvivesEveryStep(t *testing.T) {
	r := seeded(t)
	fs := crashfs.New()
	s := start(t, fs)
	s.do(tables...)
	s.load(r, 10)
	primary, was := s.db.ExecutedSet(), s.data()
	s.load(r, 10)
	s.do("INSERT INTO site.kinds (id) VALUES (-1)")
	executed, before := s.db.ExecutedSet(), s.data()
	s.stop()
	base := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	back, forth := 0, 0
	steps := 1
	for step := 1; ; step += steps {
		work := crashfs.Of(base.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}))
		clone, total := crashAt(t, work, int64(step), primary, vfs.CrashCloneCfg{
			UnsyncedDataPercent: []int{0, 50, 100}[step%3], RNG: rand.New(rand.NewPCG(r.Uint64(), 3)),
		})
		if steps = 1; testing.Short() {
			steps = max(int(total)/25, 1)
		}
		if clone == nil {
			t.Logf("%d operations: %d crashes before, %d after", total, back, forth)
			if back == 0 || forth == 0 {
				t.Error("the crashes are all on one side")
			}
			return
		}
		s := start(t, clone)
		switch got := s.db.ExecutedSet(); got {
		case executed:
			back++
			if d := s.data(); d != before {
				t.Fatalf("step %d: not taken back, and the data is %s", step, d)
			}
			s.stop()
			if _, err := rewind(clone, primary, 0); err != nil {
				t.Fatalf("step %d: again: %v", step, err)
			}
			s = start(t, clone)
			if s.db.ExecutedSet() != primary {
				t.Fatalf("step %d: again: executed %s, want %s", step, s.db.ExecutedSet(), primary)
			}
		case primary:
			forth++
		default:
			t.Fatalf("step %d: executed %s, want %s or %s", step, got, executed, primary)
		}
		if d := s.data(); d != was {
			t.Fatalf("step %d: the data is\n%s\nwant\n%s", step, d, was)
		}
		s.do("INSERT INTO site.kinds (id) VALUES (-5)")
		s.stop()
	}
}

// Files are kept up to a number. The one that was just written is kept also where a clock that was set back makes it the
// oldest.
func TestRewindKeepsFewFiles(t *testing.T) {
	fs := vfs.NewMem()
	s := start(t, fs)
	s.do(tables...)
	s.stop()
	st, err := store.Open(options(fs))
	must(t, err)
	defer func() { must(t, st.Close()) }()
	dir, err := st.MakeDir(store.ErrantDir)
	must(t, err)
	for i := range 12 {
		f, err := fs.Create(filepath.Join(dir, fmt.Sprintf("%d%s", 20-i, fileSuffix)), vfs.WriteCategoryUnspecified)
		must(t, err)
		_, err = f.Write([]byte("x"))
		must(t, errors.Join(err, f.Close()))
		time.Sleep(2 * time.Millisecond) // they are told apart by their time
	}
	written := filepath.Join(dir, "20"+fileSuffix)
	must(t, prune(st, dir, written))
	files, err := Files(st)
	must(t, err)
	if len(files) != filesKept || files[0] != written || filepath.Base(files[1]) != "15"+fileSuffix || filepath.Base(files[len(files)-1]) != "9"+fileSuffix {
		t.Errorf("kept are %v", files)
	}
	must(t, st.DB.LogData(nil, pebble.Sync))
}
