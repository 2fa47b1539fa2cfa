package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDevSite looks at everything that a person tries first.
func TestDevSite(t *testing.T) {
	s := startDev(t)

	t.Run("the page comes through all tiers over HTTPS", func(t *testing.T) {
		out, err := tool(t, "curl", "-sS", "--cacert", s.ca, "-w", "\n%{http_code} %{http_version}", s.page)
		if err != nil || !strings.HasSuffix(out, "\n200 2") {
			t.Fatalf("curl: %v\n%s", err, out)
		}
		for _, name := range []string{`lb[12]`, `web[12]`} {
			if !regexp.MustCompile(name).MatchString(out) {
				t.Errorf("the page does not name %s:\n%s", name, out)
			}
		}
	})
	t.Run("visits are kept in the database", func(t *testing.T) {
		before, err := s.sql("demo", "SELECT COUNT(*) FROM demo.visits")
		if err != nil {
			t.Fatal(err, before)
		}
		if code, body, err := get(s.client, s.page); err != nil || code != 200 {
			t.Fatal(code, err, body)
		}
		after, err := s.sql("demo", "SELECT COUNT(*) FROM demo.visits")
		if err != nil {
			t.Fatal(err, after)
		}
		b, _ := strconv.Atoi(strings.TrimSpace(before))
		a, _ := strconv.Atoi(strings.TrimSpace(after))
		if a != b+1 {
			t.Errorf("%d visits before a request, %d after it", b, a)
		}
	})
	t.Run("the page writes to the primary and reads from the replica", func(t *testing.T) {
		awaitPage(t, s, `id="database">db1<`, `primary of epoch \d+`, `id="reader">db2<`, `replica of db1, epoch \d+, lag`)
	})
	t.Run("plain HTTP redirects", func(t *testing.T) {
		response, err := s.client.Get(s.plain + "some/path?q=1")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got, want := response.Header.Get("Location"), s.page+"some/path?q=1"; response.StatusCode != 308 || got != want {
			t.Errorf("%d to %s, want 308 to %s", response.StatusCode, got, want)
		}
	})
	t.Run("status", func(t *testing.T) {
		nodes := status(t, s.dir)
		if len(nodes) != 6 {
			t.Fatalf("%d nodes, want 6", len(nodes))
		}
		for _, n := range nodes {
			if !n.Ready || n.Fingerprint == "" || n.Fingerprint != nodes[0].Fingerprint {
				t.Errorf("%+v", n)
			}
		}
		table := must(t, s.dir, "status")
		for _, want := range []string{"node lb1", "node db1", "node db2", "replica, ", "primary, ", "ROLE", "POOL", "web2"} {
			if !strings.Contains(table, want) {
				t.Errorf("the table lacks %q:\n%s", want, table)
			}
		}
		await(t, "lb1 sees the other nodes ready with the same config", 30*time.Second, func() bool {
			seen := 0
			for _, m := range status(t, s.dir, "--node", "lb1")[0].Members {
				if m.SameConfig && (m.State == "ready" || m.State == "self") {
					seen++
				}
			}
			return seen == 6
		})
	})
	t.Run("metrics and health", func(t *testing.T) {
		for _, m := range regexp.MustCompile(`(\w+) +metrics and health (http://\S+)/metrics`).FindAllStringSubmatch(s.out.String(), -1) {
			node, base := m[1], m[2]
			for _, path := range []string{"/livez", "/readyz"} {
				if code, body, err := get(s.client, base+path); err != nil || code != 200 {
					t.Errorf("%s%s: %d %v %s", node, path, code, err, body)
				}
			}
			code, text, err := get(s.client, base+"/metrics")
			if err != nil || code != 200 {
				t.Fatal(node, code, err)
			}
			role := strings.TrimRight(node, "0123456789")
			for _, name := range []string{"process_cpu_seconds_total", "go_goroutines", "stack_host_cpu_seconds_total", "stack_role_ready", "stack_node_info", "stack_" + role + "_"} {
				if !strings.Contains(text, name) {
					t.Errorf("%s: no metric %s", node, name)
				}
			}
			out, err := tool(t, "curl", "-sS", "-H", "Accept: application/openmetrics-text; version=1.0.0", base+"/metrics")
			if err != nil || !strings.HasSuffix(out, "# EOF\n") {
				t.Errorf("%s: no OpenMetrics answer: %v", node, err)
			}
			code, _, err = get(s.client, base+"/primary")
			if want := map[bool]int{true: 200, false: 503}[node == "db1"]; err != nil || code != want {
				t.Errorf("%s/primary: %d, want %d (%v)", node, code, want, err)
			}
			if code, _, _ := get(s.client, base+"/v1/status"); code != 404 {
				t.Errorf("%s: the TCP listener answers /v1/status with %d", node, code)
			}
		}
	})
	t.Run("mariadb client through the primary endpoint", func(t *testing.T) {
		out, err := s.sql("root", "SELECT VERSION(); CREATE TABLE demo.t (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(20), KEY (v)); INSERT INTO demo.t (v) VALUES ('a'),('b'); SELECT id FROM demo.t WHERE v='b'; SHOW STATUS LIKE 'Ssl_cipher'")
		if err != nil || !strings.Contains(out, "stack") || !strings.Contains(out, "\n2\n") {
			t.Fatalf("%v\n%s", err, out)
		}
		out, err = s.sql("demo", "SELECT * FROM mysql.user")
		if err == nil {
			t.Errorf("the demo account reads mysql.user:\n%s", out)
		}
	})
	t.Run("a switchover moves the page's writes", func(t *testing.T) {
		for _, to := range []string{"db2", "db1"} {
			from := map[string]string{"db1": "db2", "db2": "db1"}[to]
			var out string
			await(t, "the roles are switched", time.Minute, func() bool { // once the replica follows
				var code int
				out, code = run(t, s.dir, "db", "switchover")
				return code == 0
			})
			if !strings.HasPrefix(out, to+" is the primary now") {
				t.Fatalf("the switchover says %s", out)
			}
			awaitPage(t, s, `id="database">`+to+`<`, `primary of epoch \d+`, `id="reader">`+from+`<`)
			if out := must(t, s.dir, "db", "status"); !regexp.MustCompile(`node ` + to + `\nrole +primary\n`).MatchString(out) {
				t.Errorf("stack db status says\n%s", out)
			}
		}
	})
}

// awaitPage asks for the page until all of it matches the patterns.
func awaitPage(t *testing.T, s *devSite, patterns ...string) {
	t.Helper()
	var body string
	defer func() {
		if t.Failed() {
			t.Logf("the last page:\n%s", body)
		}
	}()
	await(t, fmt.Sprintf("the page holds %q", patterns), time.Minute, func() bool {
		code, text, err := get(s.client, s.page)
		body = text
		for _, p := range patterns {
			if err != nil || code != 200 || !regexp.MustCompile(p).MatchString(text) {
				return false
			}
		}
		return true
	})
}

// TestKilledChildrenComeBack kills each process in turn while the page is asked for. A visit that
// the page does not complain of is in the database.
func TestKilledChildrenComeBack(t *testing.T) {
	s := startDev(t)
	if out, err := s.sql("root", "CREATE TABLE demo.kept (id INT PRIMARY KEY); INSERT INTO demo.kept VALUES (7)"); err != nil {
		t.Fatal(err, out)
	}
	confirmed := 0
	for _, victim := range []struct{ node, role string }{{"web1", "web"}, {"web2", "web"}, {"lb1", "lb"}, {"lb2", "lb"}, {"db1", "db"}, {"db2", "db"}} {
		t.Run(victim.node, func(t *testing.T) {
			pid := pidOf(t, s.dir, victim.node, victim.role)
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			failed, asked := 0, 0
			var last string
			for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
				asked++
				code, body, err := get(s.client, s.page)
				switch { // without its primary the page says so
				case err != nil || code != 200:
					failed++
					last = fmt.Sprint(code, err, body)
				case !strings.Contains(body, `role="alert"`):
					confirmed++
				}
			}
			// A killed balancer may cut the connections that it had accepted.
			if allowed := map[string]int{"lb": 1}[victim.role]; failed > allowed {
				t.Errorf("%d of %d requests failed, the last with %s", failed, asked, last)
			}
			await(t, victim.node+" is ready again", 30*time.Second, func() bool {
				for _, n := range status(t, s.dir, "--node", victim.node) {
					for _, r := range n.Roles {
						if r.Role == victim.role {
							return r.Ready && r.Pid != pid && r.Restarts == 1
						}
					}
				}
				return false
			})
		})
	}
	awaitPage(t, s, `id="database">db1<`, `id="reader">db2<`)
	if out, err := s.sql("root", "SELECT COUNT(*) FROM demo.visits"); err != nil {
		t.Error(err, out)
	} else if n, _ := strconv.Atoi(strings.TrimSpace(out)); n < confirmed {
		t.Errorf("%d visits are in the database, %d were confirmed", n, confirmed)
	}
	if out, err := s.sql("root", "SELECT id FROM demo.kept"); err != nil || strings.TrimSpace(out) != "7" {
		t.Errorf("after kill -9 of the database: %v %s", err, out)
	}
}

// TestKilledSupervisorLeavesNothing kills the parent and looks for its children.
func TestKilledSupervisorLeavesNothing(t *testing.T) {
	s := startDev(t)
	var pids []int
	for _, n := range status(t, s.dir) {
		for _, r := range n.Roles {
			pids = append(pids, r.Pid)
		}
	}
	if len(pids) != 6 {
		t.Fatalf("%d children, want 6", len(pids))
	}
	s.cmd.Process.Kill()
	await(t, "every child has ended", 30*time.Second, func() bool {
		for _, pid := range pids {
			if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(state), ") Z ") {
				return false
			}
		}
		return true
	})
	// What the killed one left must not be in the way of the next start.
	again := start(t, s.dir, s.cmd.Args[1:]...)
	again.awaitOutput("The site is up", 60*time.Second)
}
