package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestClone: a node is filled with a copy of another one's database while that is written
// to, over a connection that is cut, by a process that is killed. The copy is sound, and
// holds exactly what its GTID set says.
func TestClone(t *testing.T) {
	s := newDBSite(t)
	write(t, s.path("copy.yaml"), s.config("copy", 1), 0o644)
	donor := s.start(t)
	fillForClone(t, s, 48)
	s.mustSQL(t, "CREATE USER seeder IDENTIFIED BY 'secret'; GRANT REPLICATION SLAVE, CLONE_ADMIN ON *.* TO seeder")
	write(t, s.path("password"), "secret\n", 0o600)

	// A writer: row n is in transaction n of this table.
	var stop atomic.Bool
	var writer sync.WaitGroup
	s.mustSQL(t, "CREATE TABLE shop.tick (n INT PRIMARY KEY)")
	base := transactions(t, s.mustSQL(t, "SELECT @@gtid_executed"))
	writer.Go(func() {
		for n := 1; !stop.Load(); n++ {
			if out, err := s.sql(t, fmt.Sprintf("INSERT INTO shop.tick VALUES (%d)", n)); err != nil {
				t.Errorf("write %d: %v %s", n, err, out)
				return
			}
		}
	})
	defer func() { stop.Store(true); writer.Wait() }()

	proxy := newCuttingProxy(t, s.base)
	clone := func(rate string) []string {
		return []string{"db", "clone", "--from", proxy.address, "--user", "seeder", "--password-file", "password", "--config", "copy.yaml", "--rate", rate}
	}
	first := start(t, s.dir, clone("16MiB")...)
	whole := func() int64 {
		n, err := directorySize(s.path("copy/seeding/store"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return n
	}
	await(t, "the first large file", 60*time.Second, func() bool { return whole() > 1<<20 })
	if out := must(t, s.dir, "db", "status", "--config", "db.yaml"); !strings.Contains(out, "seed ") || !strings.Contains(out, "as seeder@%") {
		t.Errorf("the donor's status: %s", out)
	}
	if out := must(t, s.dir, "db", "status", "--config", "copy.yaml"); !strings.Contains(out, "is not finished") || !strings.Contains(out, proxy.address) {
		t.Errorf("the recipient's status: %s", out)
	}
	proxy.cut()
	first.awaitOutput("The connection broke", 30*time.Second)
	was := whole()
	await(t, "another file after the cut", 60*time.Second, func() bool { return whole() > was })
	first.cmd.Process.Signal(syscall.SIGKILL)
	<-first.done
	if out, code := run(t, s.dir, "db", "check", "--config", "copy.yaml"); code == 0 || !strings.Contains(out, "run stack db clone again") {
		t.Errorf("half a clone is opened: %d %s", code, out)
	}
	was = whole()
	before := proxy.passed.Load()
	var half struct {
		Clone struct{ Bytes int64 } `json:"clone"`
	}
	if err := json.Unmarshal([]byte(must(t, s.dir, "db", "status", "--json", "--config", "copy.yaml")), &half); err != nil {
		t.Fatal(err)
	}
	total := half.Clone.Bytes
	out := must(t, s.dir, clone("1GiB")...)
	if again := proxy.passed.Load() - before; again > total-was+1<<20 {
		t.Errorf("%d bytes were fetched after the kill, of %d that had %d: not all was kept", again, total, was)
	}
	if !strings.Contains(out, "Cloned into "+s.path("copy")) {
		t.Errorf("the clone says %s", out)
	}
	if out := must(t, s.dir, "db", "check", "--config", "copy.yaml"); !strings.Contains(out, "Nothing is wrong") {
		t.Errorf("check: %s", out)
	}
	stop.Store(true)
	writer.Wait()

	c := dbSite{s.dir, s.base + 1}
	copied := start(t, s.dir, "--config", "copy.yaml")
	copied.awaitOutput(`"msg":"started"`, 60*time.Second)
	executed := c.mustSQL(t, "SELECT @@gtid_executed")
	ticks := c.mustSQL(t, "SELECT COUNT(*), COALESCE(MAX(n), 0) FROM shop.tick")
	n := transactions(t, executed) - base
	if want := fmt.Sprintf("%d\t%d\n", n, n); ticks != want {
		t.Errorf("the copy says it has %d transactions of the writer, and has %q", n, ticks)
	}
	const sums = "CHECKSUM TABLE shop.big; SELECT COUNT(*), MIN(id), MAX(id) FROM shop.big"
	if got, want := c.mustSQL(t, sums), s.mustSQL(t, sums); got != want {
		t.Errorf("the copy has %q, the donor %q", got, want)
	}
	if a, b := c.mustSQL(t, "SELECT @@server_uuid"), s.mustSQL(t, "SELECT @@server_uuid"); a == b {
		t.Errorf("both are server %s", a)
	}
	if names, err := filepath.Glob(s.path("data/seeds/*")); err != nil || len(names) != 0 {
		t.Errorf("the donor still holds %v, %v", names, err)
	}

	// A directory with data is refused, and put aside when that is asked for.
	copied.end(t)
	if out, code := run(t, s.dir, clone("1GiB")...); code == 0 || !strings.Contains(out, "is not empty") || !strings.Contains(out, "--replace") {
		t.Errorf("a clone over data: %d %s", code, out)
	}
	// It could not go on by itself: the donor has purged what comes next.
	s.mustSQL(t, "INSERT INTO shop.tick VALUES (-1); FLUSH LOGS")
	logs := strings.Split(strings.TrimSpace(s.mustSQL(t, "SHOW BINARY LOGS")), "\n")
	newest, _, _ := strings.Cut(logs[len(logs)-1], "\t")
	s.mustSQL(t, "PURGE BINARY LOGS TO '"+newest+"'")
	out = must(t, s.dir, append(clone("1GiB"), "--replace")...)
	aside, err := filepath.Glob(s.path("copy/replaced-*/store"))
	if err != nil || len(aside) != 1 || !strings.Contains(out, filepath.Dir(aside[0])) {
		t.Errorf("put aside: %v, %v; it says %s", aside, err, out)
	}
	copied = start(t, s.dir, "--config", "copy.yaml")
	copied.awaitOutput(`"msg":"started"`, 60*time.Second)
	if got, want := c.mustSQL(t, "CHECKSUM TABLE shop.big, shop.tick"), s.mustSQL(t, "CHECKSUM TABLE shop.big, shop.tick"); got != want {
		t.Errorf("the second copy has %q, the donor %q", got, want)
	}

	// The copy follows the donor from where it is.
	c.mustSQL(t, fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = %d, SOURCE_USER = 'seeder', SOURCE_PASSWORD = 'secret', SOURCE_SSL = 1, SOURCE_SSL_CA = '%s', SOURCE_AUTO_POSITION = 1; START REPLICA",
		s.base, s.path("secrets/ca.crt")))
	s.mustSQL(t, "INSERT INTO shop.tick VALUES (-2); UPDATE shop.big SET a = 'followed' WHERE id = 7")
	position := s.mustSQL(t, "SELECT @@gtid_executed")
	await(t, "the copy follows", 60*time.Second, func() bool { return c.mustSQL(t, "SELECT @@gtid_executed") == position })
	if got, want := c.mustSQL(t, "CHECKSUM TABLE shop.big, shop.tick"), s.mustSQL(t, "CHECKSUM TABLE shop.big, shop.tick"); got != want {
		t.Errorf("the copy that follows has %q, the donor %q", got, want)
	}

	// A donor that is killed keeps no checkpoint.
	if err := os.MkdirAll(s.path("data/seeds/left"), 0o700); err != nil {
		t.Fatal(err)
	}
	donor.cmd.Process.Kill()
	<-donor.done
	s.start(t)
	if _, err := os.Stat(s.path("data/seeds")); !os.IsNotExist(err) {
		t.Errorf("checkpoints of a process that died are still there: %v", err)
	}
}

// TestCloneIsRefused: by whom the donor gives nothing to, and what it says.
func TestCloneIsRefused(t *testing.T) {
	s := newDBSite(t)
	write(t, s.path("copy.yaml"), s.config("copy", 1), 0o644)
	s.start(t)
	s.mustSQL(t, "CREATE USER half IDENTIFIED BY 'secret'; GRANT REPLICATION SLAVE ON *.* TO half")
	write(t, s.path("password"), "secret\n", 0o600)
	write(t, s.path("wrong"), "other\n", 0o600)
	here := "127.0.0.1:" + strconv.Itoa(s.base)
	for name, c := range map[string]struct {
		from, user, password, want string
		more                       []string
	}{
		"a privilege is missing":   {here, "half", "password", "CLONE_ADMIN", nil},
		"a wrong password":         {here, "half", "wrong", "Access denied", nil},
		"nobody listens":           {"127.0.0.1:1", "half", "password", "refused", nil},
		"no port":                  {"127.0.0.1", "half", "password", "HOST:PORT", nil},
		"a certificate of another": {here, "half", "password", "certificate", []string{"--ca", s.path("other.crt")}},
	} {
		if c.more != nil {
			otherCA(t, s.path("other.crt"))
		}
		out, code := run(t, s.dir, append([]string{"db", "clone", "--from", c.from, "--user", c.user, "--password-file", c.password, "--config", "copy.yaml"}, c.more...)...)
		if code == 0 || !strings.Contains(out, c.want) {
			t.Errorf("%s: %d %s", name, code, out)
		}
	}
	var plain []string
	for _, arg := range s.client(t) {
		if !strings.HasPrefix(arg, "--ssl-ca") && !strings.HasSuffix(arg, "ca.crt") {
			plain = append(plain, arg)
		}
	}
	if out, err := exec.Command("mariadb", append(plain, "--skip-ssl", "--execute", "SEED BEGIN")...).CombinedOutput(); err == nil || !strings.Contains(string(out), "3159") {
		t.Errorf("without TLS: %v %s", err, out)
	}
}

var (
	cloneFlag     = flag.Int("clone", 1000, "MB that TestCloneSpeed clones")
	cloneRestFlag = flag.Bool("clone-at-rest", false, "TestCloneSpeed waits for the compactions of what it wrote")
)

// TestCloneSpeed prints how fast a clone is, beside the disk: the least of writing and
// syncing as much in one file, and reading it. -short leaves it out.
func TestCloneSpeed(t *testing.T) {
	if testing.Short() {
		t.Skip("a gigabyte: make test-full")
	}
	s := newDBSite(t)
	write(t, s.path("copy.yaml"), s.config("copy", 1), 0o644)
	s.start(t)
	fillForClone(t, s, 16)
	for n := 16; n < *cloneFlag; {
		more := min(n, *cloneFlag-n, 500)
		s.mustSQL(t, fmt.Sprintf("INSERT INTO shop.big (a, b) SELECT SHA2(RAND(), 256), RANDOM_BYTES(1000) FROM shop.big LIMIT %d", more*1000))
		n += more
	}
	password, err := os.ReadFile(s.path("secrets/db-root"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.path("password"), string(password), 0o600)
	if *cloneRestFlag {
		s.awaitRest(t)
	}
	disk := diskSpeed(t, s.path("probe"), 1<<30)
	begin := time.Now()
	out := must(t, s.dir, "db", "clone", "--from", "127.0.0.1:"+strconv.Itoa(s.base), "--user", "root", "--password-file", "password", "--config", "copy.yaml")
	took := time.Since(begin)
	m := regexp.MustCompile(`Fetched ([0-9.]+) MB in ([0-9.]+) s, ([0-9.]+) MB/s; checked in ([0-9.]+) s`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("the clone says %s", out)
	}
	rate, err := strconv.ParseFloat(m[3], 64)
	if err != nil {
		t.Fatal(err)
	}
	again := diskSpeed(t, s.path("probe"), 1<<30)
	t.Logf("cloned %s MB at %.0f MB/s, %.0f %% of the disk's %.0f MB/s (%.0f before, %.0f after); checked in %s s, all in %.1f s",
		m[1], rate, 100*rate/min(disk, again), min(disk, again), disk, again, m[4], took.Seconds())
}

// awaitRest waits until the store has compacted what was written.
func (s dbSite) awaitRest(t *testing.T) {
	t.Helper()
	quiet := 0
	await(t, "twenty looks without a compaction", 10*time.Minute, func() bool {
		running := regexp.MustCompile(`compactions \d+, running (\d+)`).FindStringSubmatch(s.mustSQL(t, "SHOW ENGINE INNODB STATUS"))
		if running == nil {
			t.Fatal("the status of the engine does not name the compactions that run")
		}
		if quiet++; running[1] != "0" {
			quiet = 0
		}
		return quiet == 20
	})
}

// diskSpeed writes and syncs a file of n bytes, and returns MB/s.
func diskSpeed(t *testing.T, path string, n int) float64 {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	defer f.Close()
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * 7)
	}
	begin := time.Now()
	for range n / len(block) {
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	return float64(n) / 1e6 / time.Since(begin).Seconds()
}

// fillForClone makes a table of about mb megabytes that do not compress.
func fillForClone(t *testing.T, s dbSite, mb int) {
	t.Helper()
	s.mustSQL(t, `CREATE TABLE shop.big (id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(64), b VARBINARY(1100), KEY (a))`)
	for range mb {
		var rows strings.Builder
		for i := range 1000 {
			if i > 0 {
				rows.WriteByte(',')
			}
			rows.WriteString("(SHA2(RAND(), 256), RANDOM_BYTES(1000))")
		}
		s.mustSQL(t, "INSERT INTO shop.big (a, b) VALUES "+rows.String())
	}
}

// transactions counts a GTID set of one server.
func transactions(t *testing.T, set string) int {
	t.Helper()
	set = strings.TrimSpace(strings.Split(strings.ReplaceAll(set, `\n`, ""), ",")[0])
	_, last, _ := strings.Cut(set, ":")
	if _, to, ok := strings.Cut(last, "-"); ok {
		last = to
	}
	n, err := strconv.Atoi(last)
	if err != nil {
		t.Fatalf("GTID set %q: %v", set, err)
	}
	return n
}

func directorySize(dir string) (total int64, err error) {
	err = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}

// cuttingProxy passes connections on, until they are cut.
type cuttingProxy struct {
	address string
	passed  atomic.Int64 // bytes to the clients

	mu    sync.Mutex
	conns []net.Conn
}

func newCuttingProxy(t *testing.T, port int) *cuttingProxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cuttingProxy{address: l.Addr().String()}
	t.Cleanup(func() { l.Close(); p.cut() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
			if err != nil {
				in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			go func() { io.Copy(out, in); out.Close() }()
			go func() { io.Copy(countingWriter{in, &p.passed}, out); in.Close() }()
		}
	}()
	return p
}

func (p *cuttingProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

type countingWriter struct {
	io.Writer
	n *atomic.Int64
}

func (w countingWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.n.Add(int64(n))
	return n, err
}

// otherCA writes a certificate that has signed nothing here.
func otherCA(t *testing.T, path string) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x.yaml"), fmt.Sprintf("db: {data_dir: %s/data}\ntls: {secrets_dir: %s/secrets}\n", dir, dir), 0o644)
	must(t, dir, "secrets", "init", "--config", "x.yaml")
	text, err := os.ReadFile(filepath.Join(dir, "secrets", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(text), 0o644)
}
