package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sys/unix"
)

const mariadb = "mariadb"

// benchPassword is for servers on loopback that live as long as the benchmark.
const benchPassword = "bench"

// databaseServer is a server that sysbench is run against.
type databaseServer struct {
	name        string
	dir         string
	id          int    // in a pair whose servers are made each for itself; else 0
	host        string // its address
	port, admin int
	command     *exec.Cmd
}

// startDatabase starts a server on a free port in a folder of its own under dir, with the
// account that sysbench uses. It has both cores, as has its client.
func startDatabase(ctx context.Context, name, dir string, s settings) (*databaseServer, error) {
	d, err := launchDatabase(ctx, &databaseServer{name: name, dir: filepath.Join(dir, name)}, s)
	if err != nil {
		return d, err
	}
	return d, d.makeAccount(ctx)
}

// launchDatabase starts a server that has no account but root's.
func launchDatabase(ctx context.Context, d *databaseServer, s settings) (_ *databaseServer, err error) {
	d.host = "127.0.0.1"
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		return d, err
	}
	if d.port, err = freePort(); err != nil {
		return d, err
	}
	if d.admin, err = freePort(); err != nil {
		return d, err
	}
	arguments, err := d.prepare(ctx, s)
	if err != nil {
		return d, err
	}
	return d, d.begin(ctx, arguments...)
}

// begin starts the server's program and waits until it listens.
func (d *databaseServer) begin(ctx context.Context, arguments ...string) error {
	log, err := os.Create(filepath.Join(d.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	d.command = exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	d.command.Stdout, d.command.Stderr = log, log
	if err := d.command.Start(); err != nil {
		return fmt.Errorf("start %s: %w: run `make tools` first", arguments[0], err)
	}
	if err := waitPort(ctx, d.host, d.port); err != nil {
		d.stop()
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

// startDatabases starts those of the servers that take part; stop ends what was started,
// after an error too.
func startDatabases(ctx context.Context, dir string, s settings) (servers []*databaseServer, stop func(), err error) {
	stop = func() {
		for _, d := range servers {
			d.stop()
		}
	}
	for _, name := range []string{stack, mariadb} {
		if !s.runs(name) {
			continue
		}
		d, err := startDatabase(ctx, name, dir, s)
		if err != nil {
			return servers, stop, fmt.Errorf("%s: %w", name, err)
		}
		servers = append(servers, d)
	}
	return servers, stop, nil
}

// prepare writes the configuration and, for MariaDB, the first files; it returns the
// command.
func (d *databaseServer) prepare(ctx context.Context, s settings) ([]string, error) {
	file := map[string]string{stack: "stack-db.yaml", mariadb: "mariadb.cnf"}[d.name]
	config := filepath.Join(d.dir, file)
	t, err := template.ParseFS(peers, "peers/"+file)
	if err != nil {
		return nil, err
	}
	out, err := os.Create(config)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	values := struct {
		Dir, Password   string
		Port, Admin, ID int
	}{d.dir, benchPassword, d.port, d.admin, d.id}
	if err := t.Execute(out, values); err != nil {
		return nil, err
	}
	if d.name == stack {
		binary, err := filepath.Abs(s.binary)
		if err != nil {
			return nil, err
		}
		secrets := exec.CommandContext(ctx, binary, "secrets", "init", "--config", config)
		if text, err := secrets.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("secrets init: %w: %s", err, text)
		}
		return []string{binary, "--config", config}, nil
	}
	install := exec.CommandContext(ctx, "mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+filepath.Join(d.dir, "data"),
		"--skip-test-db", "--auth-root-authentication-method=normal")
	if text, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mariadb-install-db: %w: %s", err, text)
	}
	return []string{"mariadbd", "--defaults-file=" + config}, nil
}

// client runs SQL as root over the Unix socket.
func (d *databaseServer) client(ctx context.Context, statements string) (string, error) {
	c := exec.CommandContext(ctx, "mariadb", "--no-defaults", "-uroot", "-N", "-S", filepath.Join(d.dir, "sql.sock"), "-e", statements)
	if d.name == stack {
		c.Env = append(os.Environ(), "MYSQL_PWD="+benchPassword)
	}
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("mariadb client: %w: %s", err, out)
	}
	return string(out), nil
}

func (d *databaseServer) makeAccount(ctx context.Context) error {
	// sysbench's client library knows the old plugin on every version.
	statements := "CREATE USER bench@'%' IDENTIFIED WITH mysql_native_password BY '" + benchPassword + "';"
	if d.name == mariadb {
		statements = "CREATE DATABASE sbtest; CREATE USER bench@'%' IDENTIFIED BY '" + benchPassword + "';"
	}
	statements += " GRANT ALL ON sbtest.* TO bench@'%';"
	if d.id == primaryID {
		statements += " GRANT REPLICATION SLAVE ON *.* TO bench@'%';"
	}
	return d.whenUp(ctx, statements)
}

// whenUp runs SQL as root as soon as the server takes it.
func (d *databaseServer) whenUp(ctx context.Context, statements string) (err error) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if _, err = d.client(ctx, statements); err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond) // the socket comes after the port
	}
	text, _ := os.ReadFile(filepath.Join(d.dir, "log"))
	return fmt.Errorf("%w\n%s", err, text)
}

// run runs a program of sysbench's with the options that say where the server is.
func (d *databaseServer) run(ctx context.Context, program string, arguments ...string) (string, error) {
	c := exec.CommandContext(ctx, program, append([]string{arguments[0],
		"--db-driver=mysql", "--mysql-host=" + d.host, "--mysql-port=" + strconv.Itoa(d.port), "--mysql-user=bench",
		"--mysql-password=" + benchPassword, "--mysql-db=sbtest"}, arguments[1:]...)...)
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return string(out), nil
}

// fill makes the table of rows rows.
func (d *databaseServer) fill(ctx context.Context, rows int) error {
	_, err := d.run(ctx, "sysbench", "oltp_read_write", "--table-size="+strconv.Itoa(rows), "prepare")
	return err
}

// twoMemtables is how many updates of c write two memtables of stack's, 64 MiB, with what
// they have in the log.
const twoMemtables = 75_000

// ready gives the table its rows and writes for a while, so that what is measured next is
// not the first on fresh files and empty memory.
func (d *databaseServer) ready(ctx context.Context, rows int) error {
	if err := d.restore(ctx, rows); err != nil {
		return err
	}
	_, err := d.run(ctx, "sysbench", "oltp_update_non_index", "--threads=64", "--events="+strconv.Itoa(twoMemtables), "--time=30",
		"--table-size="+strconv.Itoa(rows), "--mysql-ignore-errors=1213,1205,1020", "--rand-type=uniform", "run")
	return err
}

// restore makes the table anew where it has lost or won more than a quarter of its rows:
// most deletes and updates would find nothing, or reads a larger table with one server
// than with the other.
func (d *databaseServer) restore(ctx context.Context, rows int) error {
	text, err := d.client(ctx, "SELECT COUNT(*) FROM sbtest.sbtest1")
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return fmt.Errorf("count the rows of %s: %w", d.name, err)
	}
	if n >= rows-rows/4 && n <= rows+rows/4 {
		return nil
	}
	if _, err := d.run(ctx, "sysbench", "oltp_read_write", "cleanup"); err != nil {
		return err
	}
	return d.fill(ctx, rows)
}

var metricLine = regexp.MustCompile(`(?m)^(stack_db_commits_total|stack_db_commit_groups_total)(?:\{[^}]*\})? (\S+)$`)

// syncs reads how often the server has synced its logs for commits, and how many commits
// there were. stack syncs once a group; MariaDB counts the groups of the binlog, and
// InnoDB's own syncs.
func (d *databaseServer) syncs(ctx context.Context) (syncs, commits float64, err error) {
	values := map[string]float64{}
	if d.name == stack {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.host+":"+strconv.Itoa(d.admin)+"/metrics", nil)
		if err != nil {
			return 0, 0, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, 0, err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			return 0, 0, err
		}
		for _, m := range metricLine.FindAllStringSubmatch(string(text), -1) {
			values[m[1]], _ = strconv.ParseFloat(m[2], 64)
		}
		if len(values) == 0 {
			return 0, 0, errors.New("/metrics has no commits of the database")
		}
		return values["stack_db_commit_groups_total"], values["stack_db_commits_total"], nil
	}
	text, err := d.client(ctx, "SHOW GLOBAL STATUS WHERE Variable_name IN ('Binlog_commits', 'Binlog_group_commits', 'Innodb_os_log_fsyncs', 'Innodb_data_fsyncs')")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			values[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	own, ok := values["Innodb_os_log_fsyncs"]
	if !ok {
		own = values["Innodb_data_fsyncs"]
	}
	return values["Binlog_group_commits"] + own, values["Binlog_commits"], nil
}

// stop ends the server, by pid.
func (d *databaseServer) stop() {
	if d == nil || d.command == nil || d.command.Process == nil {
		return
	}
	d.command.Process.Signal(unix.SIGTERM)
	done := make(chan struct{})
	go func() { d.command.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		d.command.Process.Kill()
		<-done
	}
	d.command = nil
}

func fdatasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
