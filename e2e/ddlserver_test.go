package e2e

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// ddlServer is a database server that is killed and started again and again.
type ddlServer struct {
	t    *testing.T
	site dbSite
	n    int     // which of the site's
	out  *output // of all its lives
	cmd  *exec.Cmd
	role int // process that has the store
	done chan struct{}
	db   *sql.DB // of the test's own questions
}

func newDDLServer(t *testing.T, site dbSite, n int) *ddlServer {
	k := &ddlServer{t: t, site: site, n: n, out: &output{}}
	config := strings.Replace(site.config(k.name(), n), "db:\n", "db:\n  memory: 64MiB\n", 1)
	write(t, site.path(k.file()), config, 0o644)
	t.Cleanup(func() {
		k.kill()
		if t.Failed() {
			t.Logf("output of %s:\n%s", k.name(), k.out.tail(20000))
		}
	})
	return k
}

// name is that of its data directory.
func (k *ddlServer) name() string   { return fmt.Sprint("data", k.n) }
func (k *ddlServer) file() string   { return k.name() + ".yaml" }
func (k *ddlServer) socket() string { return k.site.path(fmt.Sprintf("run/%d.sock", k.n)) }

var roleStarted = regexp.MustCompile(`"msg":"role started".*"pid":(\d+)`)

func (k *ddlServer) start() {
	k.t.Helper()
	before := len(k.out.String())
	k.cmd, k.done = exec.Command(binary, "--config", k.file()), make(chan struct{})
	k.cmd.Dir, k.cmd.Stdout, k.cmd.Stderr = k.site.dir, k.out, k.out
	if err := k.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	go func(c *exec.Cmd, done chan struct{}) { c.Wait(); close(done) }(k.cmd, k.done)
	await(k.t, k.name()+" starts", time.Minute, func() bool {
		select {
		case <-k.done:
			k.t.Fatalf("%s does not start:\n%s", k.name(), k.out.String()[before:])
		default:
		}
		said := k.out.String()[before:]
		if m := roleStarted.FindStringSubmatch(said); m != nil {
			k.role, _ = strconv.Atoi(m[1])
		}
		return strings.Contains(said, `"msg":"started"`)
	})
	k.db = k.open()
}

// open is a pool of connections of root.
func (k *ddlServer) open() *sql.DB {
	k.t.Helper()
	password, err := os.ReadFile(k.site.path("secrets/db-root"))
	if err != nil {
		k.t.Fatal(err)
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName, cfg.InterpolateParams = "root", strings.TrimSpace(string(password)), "shop", true
	cfg.Net, cfg.Addr, cfg.Logger = "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(k.site.base+k.n)), &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		k.t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	k.t.Cleanup(func() { db.Close() })
	return db
}

// kill is kill -9 of the process that has the store, and of its supervisor, which would start it anew.
func (k *ddlServer) kill() {
	if k.cmd == nil {
		return
	}
	syscall.Kill(k.role, syscall.SIGKILL)
	k.cmd.Process.Kill()
	<-k.done
	if k.db != nil {
		k.db.Close()
	}
	k.cmd = nil
}

// stop ends it in order.
func (k *ddlServer) stop() {
	k.t.Helper()
	k.db.Close()
	k.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-k.done:
		k.cmd = nil
	case <-time.After(40 * time.Second):
		k.t.Fatal("did not stop within 40 s of SIGTERM")
	}
}

func (k *ddlServer) exec(statements ...string) {
	k.t.Helper()
	for _, text := range statements {
		if _, err := k.db.Exec(text); err != nil {
			k.t.Fatalf("%s: %s: %v", k.name(), text, err)
		}
	}
}

// rows are the rows that a statement answers, as text.
func (k *ddlServer) rows(text string) (list [][]string) {
	k.t.Helper()
	fail := func(err error) {
		if err != nil {
			k.t.Helper()
			k.t.Fatalf("%s: %s: %v", k.name(), text, err)
		}
	}
	rows, err := k.db.Query(text)
	fail(err)
	defer rows.Close()
	columns, err := rows.Columns()
	fail(err)
	for rows.Next() {
		values, at := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			at[i] = &values[i]
		}
		fail(rows.Scan(at...))
		row := make([]string, len(columns))
		for i, v := range values {
			row[i] = v.String
		}
		list = append(list, row)
	}
	fail(rows.Err())
	return list
}

// tables are all tables but the server's own, and with views all of those too, with their databases.
func (k *ddlServer) tables(views bool) (names []string) {
	k.t.Helper()
	for _, row := range k.rows("SELECT table_schema, table_name, table_type FROM information_schema.tables " +
		"WHERE table_schema NOT IN ('mysql', 'information_schema', 'performance_schema') ORDER BY 1, 2") {
		if views || row[2] != "VIEW" {
			names = append(names, "`"+row[0]+"`.`"+row[1]+"`")
		}
	}
	return names
}

var nextNumber = regexp.MustCompile(` AUTO_INCREMENT=\d+`)

// schema is everything that DDL makes: databases, tables, views, triggers, procedures; and the sums of the tables
// that hold the same on every server at any time.
func (k *ddlServer) schema() string {
	k.t.Helper()
	var b strings.Builder
	for _, row := range k.rows("SELECT schema_name, default_collation_name FROM information_schema.schemata ORDER BY 1") {
		fmt.Fprintln(&b, "database", strings.Join(row, " "))
	}
	for _, name := range k.tables(true) {
		fmt.Fprintln(&b, name, nextNumber.ReplaceAllString(k.rows("SHOW CREATE TABLE " + name)[0][1], ""))
	}
	for _, row := range k.rows("SELECT trigger_schema, trigger_name, event_object_table, action_timing, event_manipulation, action_statement FROM information_schema.triggers ORDER BY 1, 2") {
		fmt.Fprintln(&b, "trigger", strings.Join(row, " "))
	}
	for _, row := range k.rows("SELECT routine_schema, routine_name, routine_type, routine_definition FROM information_schema.routines WHERE routine_schema <> 'sys' ORDER BY 1, 2") {
		fmt.Fprintln(&b, "routine", strings.Join(row, " "))
	}
	var quiet []string
	for _, name := range k.tables(false) {
		if !strings.Contains(name, "acct") && !strings.Contains(name, "ledger") {
			quiet = append(quiet, name)
		}
	}
	b.WriteString(k.sums(quiet))
	return b.String()
}

// sums are the checksums of tables.
func (k *ddlServer) sums(tables []string) (text string) {
	k.t.Helper()
	for _, row := range k.rows("CHECKSUM TABLE " + strings.Join(tables, ", ")) {
		text += row[0] + " has the sum " + row[1] + "\n"
	}
	return text
}

// check has the server check its tables, and everything that it stores.
func (k *ddlServer) check() {
	k.t.Helper()
	for _, row := range k.rows("CHECK TABLE " + strings.Join(k.tables(false), ", ")) {
		if row[3] != "OK" {
			k.t.Errorf("%s: CHECK TABLE says %q", k.name(), row)
		}
	}
	k.checkStore()
}

// checkStore is `stack db check`, of a server that runs or does not.
func (k *ddlServer) checkStore() {
	k.t.Helper()
	if out, code := run(k.t, k.site.dir, "db", "check", "--config", k.file()); code != 0 || !strings.Contains(out, "Nothing is wrong") {
		k.t.Errorf("%s: stack db check: exit %d:\n%s", k.name(), code, out)
	}
}

// scratch are the files that it keeps outside its store while it works.
func (k *ddlServer) scratch() []string {
	k.t.Helper()
	list, err := filepath.Glob(k.site.path(filepath.Join(k.name(), "tmp/*")))
	if err != nil {
		k.t.Fatal(err)
	}
	return list
}

// position is the end of its binary log.
func (k *ddlServer) position() (file, offset string) {
	k.t.Helper()
	row := k.rows("SHOW MASTER STATUS")[0]
	return row[0], row[1]
}

// logged counts the statements with a text in the binary log behind a position.
func (k *ddlServer) logged(text, file, offset string) (n int) {
	k.t.Helper()
	for _, row := range k.rows("SHOW BINARY LOGS") {
		from := "4"
		switch {
		case row[0] < file:
			continue
		case row[0] == file:
			from = offset
		}
		for _, event := range k.rows("SHOW BINLOG EVENTS IN '" + row[0] + "' FROM " + from) {
			if event[2] == "Query" && strings.Contains(event[5], text) {
				n++
			}
		}
	}
	return n
}
