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
	port, admin int
	command     *exec.Cmd
}

// startDatabase starts a server on a free port in a folder of its own under dir, with the
// account that sysbench uses. It has both cores, as has its client.
func startDatabase(ctx context.Context, name, dir string, s settings) (d *databaseServer, err error) {
	d = &databaseServer{name: name, dir: filepath.Join(dir, name)}
	defer func() {
		if err != nil {
			log, _ := os.ReadFile(filepath.Join(d.dir, "log"))
			d.stop()
			err = fmt.Errorf("%w\n%s", err, log)
		}
	}()
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
	log, err := os.Create(filepath.Join(d.dir, "log"))
	if err != nil {
		return d, err
	}
	defer log.Close()
	d.command = exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	d.command.Stdout, d.command.Stderr = log, log
	if err := d.command.Start(); err != nil {
		return d, fmt.Errorf("start %s: %w: run `make tools` first", arguments[0], err)
	}
	if err := waitPort(ctx, d.port); err != nil {
		return d, err
	}
	return d, d.makeAccount(ctx)
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
		Dir, Password string
		Port, Admin   int
	}{d.dir, benchPassword, d.port, d.admin}
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
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if _, err = d.client(ctx, statements); err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond) // the socket comes after the port
	}
	return err
}

// run runs a program of sysbench's with the options that say where the server is.
func (d *databaseServer) run(ctx context.Context, program string, arguments ...string) (string, error) {
	c := exec.CommandContext(ctx, program, append([]string{arguments[0],
		"--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-port=" + strconv.Itoa(d.port), "--mysql-user=bench",
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

var metricLine = regexp.MustCompile(`(?m)^(stack_db_commits_total|stack_db_commit_groups_total)(?:\{[^}]*\})? (\S+)$`)

// syncs reads how often the server has synced its logs for commits, and how many commits
// there were. stack syncs once a group; MariaDB counts the groups of the binlog, and
// InnoDB's own syncs.
func (d *databaseServer) syncs(ctx context.Context) (syncs, commits float64, err error) {
	values := map[string]float64{}
	if d.name == stack {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(d.admin)+"/metrics", nil)
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
