package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dbSite is a database that runs alone from a file.
type dbSite struct {
	dir  string
	base int
}

func newDBSite(t *testing.T) dbSite {
	s := dbSite{openDir(t), nextPorts()}
	write(t, s.path("db.yaml"), s.config("data", 0), 0o644)
	must(t, s.dir, "secrets", "init", "--config", "db.yaml")
	return s
}

func (s dbSite) path(name string) string { return filepath.Join(s.dir, name) }

func (s dbSite) socket() string { return s.path("run/0.sock") }

func (s dbSite) config(data string, n int) string {
	return fmt.Sprintf(`db:
  bind: ["127.0.0.1:%d"]
  data_dir: %s
  databases: [shop]
tls: {secrets_dir: %s}
admin: {bind: ["127.0.0.1:%d"], socket: %s}
process: {run_dir: %s}
`, s.base+n, s.path(data), s.path("secrets"), s.base+n+50, s.path(fmt.Sprintf("run/%d.sock", n)), s.path("run"))
}

func (s dbSite) start(t *testing.T) *program {
	t.Helper()
	p := start(t, s.dir, "--config", "db.yaml")
	p.awaitOutput(`"msg":"started"`, 60*time.Second)
	return p
}

// sql runs statements with the mariadb client as root.
func (s dbSite) sql(t *testing.T, statements string) (string, error) {
	t.Helper()
	return tool(t, "mariadb", append(s.client(t), "--batch", "--skip-column-names", "--execute", statements)...)
}

// client is how the programs of MariaDB log in as root.
func (s dbSite) client(t *testing.T) []string {
	t.Helper()
	password, err := os.ReadFile(s.path("secrets/db-root"))
	if err != nil {
		t.Fatal(err)
	}
	return []string{"--no-defaults", "--host", "127.0.0.1", "--port", strconv.Itoa(s.base), "--ssl-ca", s.path("secrets/ca.crt"),
		"--user", "root", "--password=" + strings.TrimSpace(string(password)), "--default-character-set=utf8mb4"}
}

func (s dbSite) mustSQL(t *testing.T, statements string) string {
	t.Helper()
	out, err := s.sql(t, statements)
	if err != nil {
		t.Fatalf("%s: %v\n%s", statements, err, out)
	}
	return out
}

// end stops a program and waits for it.
func (p *program) end(t *testing.T) {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(40 * time.Second):
		t.Fatal("did not stop within 40 s of SIGTERM")
	}
}

// TestBadDataDirectory: a directory that is another process's, another user's or a newer
// version's is left as it is.
func TestBadDataDirectory(t *testing.T) {
	s := newDBSite(t)
	p := s.start(t)
	s.mustSQL(t, "CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1)")
	pid := status(t, s.dir, "--socket", s.socket())[0].Roles[0].Pid

	t.Run("in use by another process", func(t *testing.T) {
		write(t, s.path("second.yaml"), s.config("data", 1), 0o644)
		refuse(t, s.dir, attempt{args: []string{"--config", "second.yaml"}}, s.path("data"), fmt.Sprintf("in use by process %d", pid), "set another db.data_dir")
		if out := s.mustSQL(t, "SELECT id FROM shop.t"); out != "1\n" {
			t.Errorf("the owner answers %q", out)
		}
	})
	t.Run("moved by a reload", func(t *testing.T) {
		write(t, s.path("db.yaml"), s.config("elsewhere", 0), 0o644)
		refuse(t, s.dir, attempt{args: []string{"reload", "--socket", s.socket()}}, "db.data_dir", "restart")
		if _, err := os.Stat(s.path("elsewhere")); err == nil {
			t.Error("the refused reload made the directory")
		}
		write(t, s.path("db.yaml"), s.config("data", 0), 0o644)
	})
	p.end(t)

	before := tree(t, s.path("data"))
	unchanged := func(t *testing.T) {
		t.Helper()
		if after := tree(t, s.path("data")); after != before {
			t.Errorf("the data directory changed:\n%s\nwas\n%s", after, before)
		}
	}
	both := func(t *testing.T, a attempt, want ...string) {
		t.Helper()
		for _, args := range [][]string{{"check", "db.yaml"}, {"--config", "db.yaml"}} {
			a.args = args
			refuse(t, s.dir, a, want...)
		}
		unchanged(t)
	}
	t.Run("of a newer version", func(t *testing.T) {
		path := s.path("data/FORMAT")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		newer := regexp.MustCompile(`"format": ?\d+`).ReplaceAllString(string(text), `"format":9999`)
		write(t, path, newer, 0o644)
		was := before
		before = tree(t, s.path("data"))
		both(t, attempt{}, s.path("data"), "written by a newer version", "install that version or restore a backup")
		write(t, path, string(text), 0o644)
		before = was
	})
	t.Run("damaged", func(t *testing.T) {
		path := s.path("data/FORMAT")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, "", 0o644)
		was := before
		before = tree(t, s.path("data"))
		both(t, attempt{}, path, "is damaged; restore it from a backup")
		write(t, path, string(text), 0o644)
		before = was
	})
	t.Run("of another user", func(t *testing.T) {
		needRoot(t)
		if err := os.Chown(s.path("data"), nobody, nobody); err != nil {
			t.Fatal(err)
		}
		both(t, attempt{}, s.path("data"), "belongs to user nobody", "run it as that user or chown")
		if err := os.Chown(s.path("data"), 0, 0); err != nil {
			t.Fatal(err)
		}
		refuse(t, s.dir, attempt{args: []string{"check", "db.yaml"}, uid: nobody}, s.path("data"), "belongs to user root", "chown")
	})
	t.Run("a file", func(t *testing.T) {
		write(t, s.path("file"), "", 0o600)
		write(t, s.path("second.yaml"), s.config("file", 1), 0o644)
		refuse(t, s.dir, attempt{args: []string{"--config", "second.yaml"}}, s.path("file"), "is a file; set another db.data_dir")
	})
	s.start(t)
	if out := s.mustSQL(t, "SELECT id FROM shop.t"); out != "1\n" {
		t.Errorf("after all that the table holds %q", out)
	}
}

// tree lists the files below dir with their sizes; LOCK, which names the last process
// that tried, is left out.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Name() != "LOCK" {
			fmt.Fprintln(&b, path, info.Size(), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// smallDisk mounts a file system of its own on dir.
func smallDisk(t *testing.T, dir, size string) {
	t.Helper()
	needRoot(t)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("mount a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
}

// fill leaves room bytes free on the file system of dir and returns how to undo that.
func fill(t *testing.T, dir string, room uint64) (empty func()) {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail*uint64(st.Bsize)-room)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDatabaseOnAFullDisk: commits are refused with 1021 while reads go on, over a crash
// and an upgrade, and commits go on once there is space.
func TestDatabaseOnAFullDisk(t *testing.T) {
	s := newDBSite(t)
	smallDisk(t, s.path("data"), "1300m")
	s.start(t)
	s.mustSQL(t, "CREATE TABLE shop.t (id INT PRIMARY KEY, v TEXT); INSERT INTO shop.t VALUES (1, 'kept'); CREATE TABLE shop.big LIKE shop.t")
	empty := fill(t, s.path("data"), 64<<20)

	attempt := 0
	refused := func(t *testing.T) {
		t.Helper()
		await(t, "commits are refused", 30*time.Second, func() bool {
			attempt++ // some are accepted before the server has looked at its disk
			out, err := s.sql(t, fmt.Sprintf("INSERT INTO shop.big VALUES (%d, 'too much')", attempt))
			return err != nil && strings.Contains(out, "ERROR 1021")
		})
		for _, statement := range []string{"UPDATE shop.t SET v = 'x' WHERE id = 1", "CREATE TABLE shop.u (id INT)", "DELETE FROM shop.t WHERE id = 1"} {
			if out, err := s.sql(t, statement); err == nil || !strings.Contains(out, "ERROR 1021") || !strings.Contains(out, "until there is space") {
				t.Errorf("%s: %v %s", statement, err, out)
			}
		}
		if out := s.mustSQL(t, "SELECT * FROM shop.t"); out != "1\tkept\n" {
			t.Errorf("the table holds %q", out)
		}
		n := status(t, s.dir, "--socket", s.socket())[0]
		if !n.Ready {
			t.Errorf("not ready on a full disk: %+v", n)
		}
	}
	t.Run("commits are refused, reads go on", refused)
	t.Run("also after a crash", func(t *testing.T) {
		pid := status(t, s.dir, "--socket", s.socket())[0].Roles[0].Pid
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, "the database is back", 30*time.Second, func() bool {
			n := status(t, s.dir, "--socket", s.socket())[0]
			return n.Roles[0].Ready && n.Roles[0].Pid != pid
		})
		refused(t)
	})
	t.Run("also after an upgrade", func(t *testing.T) {
		generation := status(t, s.dir, "--socket", s.socket())[0].Generation
		must(t, s.dir, "upgrade", "--socket", s.socket())
		await(t, "the new generation serves", 30*time.Second, func() bool {
			out, code := run(t, s.dir, "status", "--json", "--socket", s.socket())
			return code == 0 && strings.Contains(out, fmt.Sprintf(`"generation": %d`, generation+1)) && strings.Contains(out, `"ready": true`)
		})
		refused(t)
	})
	t.Run("the metrics say it", func(t *testing.T) {
		_, text, err := get(newPlainClient(), fmt.Sprintf("http://127.0.0.1:%d/metrics", s.base+50))
		if err != nil {
			t.Fatal(err)
		}
		free, reserve := metric(text, "stack_db_disk_free_bytes"), metric(text, "stack_db_disk_reserve_bytes")
		if free <= 0 || reserve <= 0 || free >= reserve {
			t.Errorf("free %.0f, reserve %.0f", free, reserve)
		}
	})
	t.Run("a table can be dropped", func(t *testing.T) {
		s.mustSQL(t, "TRUNCATE TABLE shop.big; DROP TABLE shop.big")
	})
	empty()
	await(t, "commits are accepted again", 30*time.Second, func() bool {
		_, err := s.sql(t, "INSERT INTO shop.t VALUES (3, 'room')")
		return err == nil
	})
	if out := s.mustSQL(t, "SELECT id FROM shop.t ORDER BY id"); out != "1\n3\n" {
		t.Errorf("the table holds %q", out)
	}
}

// TestAccessLogOnAFullDisk: requests are answered while lines are lost and counted, and
// lines are written again once there is space.
func TestAccessLogOnAFullDisk(t *testing.T) {
	s := newBadSite(t)
	smallDisk(t, s.path("log"), "1m")
	log := s.path("log/access.log")
	file := write(t, s.path("site.yaml"), s.config(goodWeb+"\n  access_log: {path: DIR/log/access.log}"), 0o644)
	p := start(t, s.dir, "--config", file)
	p.awaitOutput(`"msg":"started"`, 30*time.Second)
	ask := func(n int) {
		t.Helper()
		for range n {
			if err := once(s.addr(0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask(3)
	lines := func() int {
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(b), "\n")
	}
	await(t, "lines are written", 30*time.Second, func() bool { return lines() == 3 })
	empty := fill(t, s.path("log"), 0)
	ask(500)
	await(t, "lost lines are counted", 30*time.Second, func() bool {
		_, text, err := get(newPlainClient(), "http://"+s.addr(1)+"/metrics")
		return err == nil && metric(text, "stack_web_access_log_lost_total") > 0
	})
	empty()
	before := lines()
	await(t, "lines are written again", 30*time.Second, func() bool { ask(1); return lines() > before })
	if warned := strings.Count(p.out.String(), "access log"); warned == 0 || warned > 4 {
		t.Errorf("%d log records about the access log, want one for the loss and one for its end:\n%s", warned, p.out.tail(3000))
	}
}
