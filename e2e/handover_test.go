package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// siteFile writes a balancer before a web server, both in one supervisor.
func siteFile(t *testing.T, dir string, base int) (file string, lb, web string) {
	t.Helper()
	root := filepath.Join(dir, "www")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "index.html"), []byte(strings.Repeat("x", 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	lb, web = fmt.Sprintf("127.0.0.1:%d", base), fmt.Sprintf("127.0.0.1:%d", base+1)
	file = filepath.Join(dir, "site.yaml")
	writeSite(t, file, dir, base, "1s")
	return file, lb, web
}

func writeSite(t *testing.T, file, dir string, base int, interval string) {
	t.Helper()
	text := fmt.Sprintf(`lb:
  access_log: {enabled: false}
  frontends:
    - {name: front, bind: ["127.0.0.1:%d"], backend: web}
  backends:
    - name: web
      servers: [{name: web, address: "127.0.0.1:%d"}]
      check: {type: http, path: /.stack/healthz, interval: %s}
web:
  access_log: {enabled: false}
  bind: ["127.0.0.1:%d"]
  sites: [{root: %s}]
admin: {bind: ["127.0.0.1:%d"], socket: %s}
process: {run_dir: %s}
`, base, base+1, interval, base+1, filepath.Join(dir, "www"), base+2, filepath.Join(dir, "s.sock"), dir)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestReloadAndUpgradeUnderLoad: 20 reloads and 5 upgrades while 5,000 requests per
// second arrive over new and kept connections. None may fail, and counters never fall.
func TestReloadAndUpgradeUnderLoad(t *testing.T) {
	dir := t.TempDir()
	base := nextPorts()
	file, lb, web := siteFile(t, dir, base)
	socket := filepath.Join(dir, "s.sock")
	start(t, dir, "--config", file)
	ready := func() bool {
		out, code := run(t, dir, "status", "--json", "--socket", socket)
		return code == 0 && !strings.Contains(out, `"ready": false`)
	}
	await(t, "the site is ready", 30*time.Second, ready)

	client := newPlainClient()
	metrics := fmt.Sprintf("http://127.0.0.1:%d/metrics", base+2)
	highest := 0.0
	counted := func() float64 {
		t.Helper()
		_, text, err := get(client, metrics)
		if err != nil {
			t.Fatal(err)
		}
		now := metric(text, "stack_lb_frontend_requests_total")
		if now < highest {
			t.Errorf("stack_lb_frontend_requests_total fell from %.0f to %.0f", highest, now)
		}
		highest = now
		return now
	}

	throughLB, direct, overHTTP2 := startLoad(lb, "/", 3500), startLoad(web, "/", 1000), startHTTP2Load(lb, "/", 500)
	for i := range 20 {
		writeSite(t, file, dir, base, []string{"1s", "2s"}[i%2])
		must(t, dir, "reload", "--socket", socket)
		counted()
		time.Sleep(200 * time.Millisecond) // load between two reloads
	}
	before := status(t, dir, "--socket", socket)[0]
	for range 5 {
		must(t, dir, "upgrade", "--socket", socket)
		counted()
		time.Sleep(500 * time.Millisecond) // load between two upgrades
	}
	after := status(t, dir, "--socket", socket)[0]
	if after.Pid != before.Pid || after.Generation != before.Generation+5 {
		t.Errorf("pid %d generation %d before, pid %d generation %d after five upgrades", before.Pid, before.Generation, after.Pid, after.Generation)
	}
	for name, l := range map[string]*load{"lb": throughLB, "web": direct, "lb over HTTP/2": overHTTP2} {
		answered, failed, failures := l.end()
		t.Logf("%s: %d answered, %d failed", name, answered, failed)
		if failed > 0 {
			t.Errorf("%s: %d requests failed: %s", name, failed, strings.Join(failures, "; "))
		}
		if answered == 0 {
			t.Errorf("%s answered nothing", name)
		}
	}
	// A generation that is slow to answer is missing from one reading, not from the next.
	seen := float64(throughLB.answered.Load() + overHTTP2.answered.Load())
	total := counted()
	for end := time.Now().Add(15 * time.Second); total < seen && time.Now().Before(end); total = counted() {
		time.Sleep(100 * time.Millisecond)
	}
	if total < seen {
		t.Errorf("counted %.0f requests, clients saw %.0f answers", total, seen)
	}
}

// TestRefusedReloadKeepsServing: a broken file is reported by place, and nothing changes.
func TestRefusedReloadKeepsServing(t *testing.T) {
	dir := t.TempDir()
	base := nextPorts()
	file, lb, _ := siteFile(t, dir, base)
	socket := filepath.Join(dir, "s.sock")
	start(t, dir, "--config", file)
	await(t, "the site is ready", 30*time.Second, func() bool {
		_, code := run(t, dir, "status", "--socket", socket)
		return code == 0
	})
	if err := os.WriteFile(file, []byte("lb:\n  frontend: []\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, code := run(t, dir, "reload", "--socket", socket)
	if code == 0 || !strings.Contains(out, "site.yaml:2:3") || !strings.Contains(out, "frontends") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, _, err := get(newPlainClient(), "http://"+lb+"/"); err != nil || code != 200 {
		t.Errorf("after a refused reload: %d %v", code, err)
	}
	if st := status(t, dir, "--socket", socket)[0]; st.ReloadError == "" {
		t.Error("the status does not show the refused reload")
	}
	// A missing document root is found when it is built, not when it is asked for.
	writeSite(t, file, dir, base, "1s")
	text, _ := os.ReadFile(file)
	os.WriteFile(file, []byte(strings.Replace(string(text), "/www", "/gone", 1)), 0o644)
	if out, code := run(t, dir, "reload", "--socket", socket); code == 0 || !strings.Contains(out, "gone") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, _, err := get(newPlainClient(), "http://"+lb+"/"); err != nil || code != 200 {
		t.Errorf("after a refused reload: %d %v", code, err)
	}
}

// TestDatabaseHandover: upgrades while a client writes. Every commit that was answered
// OK is there, and writing goes on within 2 s.
func TestDatabaseHandover(t *testing.T) {
	s := startDev(t)
	if out, err := s.sql("root", "CREATE TABLE demo.w (id BIGINT PRIMARY KEY)"); err != nil {
		t.Fatal(err, out)
	}
	password, err := os.ReadFile(filepath.Join(s.secrets, "db-root"))
	if err != nil {
		t.Fatal(err)
	}
	config := mysql.NewConfig()
	config.User, config.Passwd = "root", strings.TrimSpace(string(password))
	config.Net, config.Addr, config.DBName = "tcp", net.JoinHostPort(front, strconv.Itoa(s.mysql)), "demo"
	config.TLSConfig, config.Timeout, config.ReadTimeout = "skip-verify", 5*time.Second, 5*time.Second
	config.Logger = &mysql.NopLogger{}
	db, err := sql.Open("mysql", config.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	var committed atomic.Int64
	acked := make(map[int64]bool)
	var longest time.Duration
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		last := time.Now()
		for id := int64(1); ; id++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := db.ExecContext(context.Background(), "INSERT INTO w VALUES (?)", id); err != nil {
				continue
			}
			acked[id] = true
			committed.Store(id)
			longest = max(longest, time.Since(last))
			last = time.Now()
		}
	}()
	for i := range 3 {
		seen := committed.Load()
		await(t, "commits before the upgrade", 30*time.Second, func() bool { return committed.Load() > seen+20 })
		if i == 2 { // and once without warning
			if err := syscall.Kill(pidOf(t, s.dir, "db1", "db"), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		} else {
			must(t, s.dir, "upgrade")
		}
	}
	seen := committed.Load()
	await(t, "commits after the upgrades", 30*time.Second, func() bool { return committed.Load() > seen+20 })
	close(stop)
	<-stopped
	t.Logf("%d commits; the longest pause was %v", len(acked), longest)
	if longest > 2*time.Second {
		t.Errorf("no commit for %v, want at most 2 s", longest)
	}
	rows, err := db.Query("SELECT id FROM w")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		delete(acked, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if len(acked) > 0 {
		t.Errorf("%d commits that were answered OK are lost", len(acked))
	}
}
