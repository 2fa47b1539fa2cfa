package db

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"stack/roles/internal/freeport"
)

// moreCollectors are those of mysqld_exporter that are off by default and often turned on.
var moreCollectors = []string{
	"info_schema.processlist", "info_schema.tables", "info_schema.innodb_metrics", "info_schema.schemastats", "info_schema.tablestats", "auto_increment.columns",
	"perf_schema.eventsstatements", "perf_schema.tablelocks", "perf_schema.indexiowaits", "perf_schema.tableiowaits",
	"binlog_size", "engine_innodb_status", "mysql.user",
}

// defaultCollectors is how many are on by default: status, variables, replica status, innodb_cmp,
// innodb_cmpmem, query_response_time.
const defaultCollectors = 6

// Prometheus's exporter gets an answer to everything that it asks, and what it then
// shows is what happened.
func TestPrometheusExporter(t *testing.T) {
	tool, err := exec.LookPath("prometheus-mysqld-exporter")
	if err != nil {
		t.Skip("needs prometheus-mysqld-exporter: make tools")
	}
	r := start(t, testNode(t))
	db := r.rootDB("wordpress")
	mustExec(t, db.Exec, "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)", "INSERT INTO t (v) VALUES (1), (2), (3)",
		"CREATE USER exporter IDENTIFIED BY 'watching'", "GRANT PROCESS, REPLICATION CLIENT, SELECT ON *.* TO exporter")
	for range 7 {
		mustExec(t, db.Exec, "UPDATE t SET v = v + 1 WHERE id = 1")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "my.cnf")
	if err := os.WriteFile(file, fmt.Appendf(nil, "[client]\nuser=exporter\npassword=watching\nhost=127.0.0.1\nport=%d\n", r.addr.Port()), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprint("127.0.0.1:", freeport.TCP(t))
	args := []string{"--config.my-cnf", file, "--web.listen-address", addr}
	for _, c := range moreCollectors {
		args = append(args, "--collect."+c)
	}
	var said bytes.Buffer
	cmd := exec.Command(tool, args...)
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	stop := func() { cmd.Process.Kill(); <-ended }
	defer stop()
	text := scrape(t, "http://"+addr+"/metrics", ended, &said)

	for _, want := range []string{
		"mysql_up 1", "mysql_exporter_last_scrape_error 0", "mysql_global_status_commands_total{command=\"update\"} 7",
		"mysql_global_status_innodb_row_ops_total{operation=\"updated\"} 7", "mysql_global_status_handlers_total{handler=\"update\"} 7",
		"mysql_info_schema_auto_increment_column{column=\"id\",schema=\"wordpress\",table=\"t\"} 4",
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("%q is missing", want)
		}
	}
	if !regexp.MustCompile(`(?m)^mysql_perf_schema_events_statements_total\{digest="\w{64}",digest_text="UPDATE t SET v = v \+ \? WHERE id = \?",schema="wordpress"\} 7$`).MatchString(text) {
		t.Error("the update is not among the statements by digest")
	}
	collectors := regexp.MustCompile(`(?m)^mysql_exporter_collector_duration_seconds\{collector="collect\..*"\} `).FindAllString(text, -1)
	if n := len(moreCollectors) + defaultCollectors; len(collectors) != n {
		t.Errorf("%d collectors have run, want %d", len(collectors), n)
	}
	if bad := regexp.MustCompile(`(?m)^mysql_exporter_(scrape_errors_total\{.*\} [1-9]|collector_success\{.*\} 0).*$`).FindString(text); bad != "" {
		t.Error(bad)
	}
	stop()
	if strings.Contains(said.String(), "level=error") {
		t.Error("the exporter met errors")
	}
	if t.Failed() {
		t.Logf("the exporter said:\n%s", said.String())
	}
}

// scrape asks until the exporter answers.
func scrape(t *testing.T, url string, ended <-chan struct{}, said *bytes.Buffer) string {
	t.Helper()
	for {
		resp, err := http.Get(url)
		if err == nil {
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: %v\n%s", resp.Status, err, text)
			}
			return string(text)
		}
		select {
		case <-ended:
			t.Fatalf("the exporter has ended:\n%s", said.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
