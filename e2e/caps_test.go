package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// capabilities of capability(7), as bits of the masks in /proc/PID/status.
const (
	netAdmin = 1 << 12
	netRaw   = 1 << 13
	sysNice  = 1 << 23
)

// TestChildrenHoldOnlyTheirCapabilities starts every role as root, with every capability
// that the machine gives, in a network namespace where the virtual address can be set.
func TestChildrenHoldOnlyTheirCapabilities(t *testing.T) {
	needRoot(t)
	dir := openDir(t)
	name := fmt.Sprintf("stackcaps%d", os.Getpid())
	sys := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("needs network namespaces: %s: %v %s", strings.Join(args, " "), err, out)
		}
	}
	sys("ip", "netns", "add", name)
	t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	sys("ip", "-n", name, "link", "set", "lo", "up")
	sys("ip", "-n", name, "link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
	sys("ip", "-n", name, "addr", "add", "10.83.0.11/24", "dev", "veth0")
	for _, link := range []string{"veth0", "veth1"} {
		sys("ip", "-n", name, "link", "set", link, "up")
	}
	write(t, filepath.Join(dir, "www/index.html"), "hello", 0o644)
	write(t, filepath.Join(dir, "site.yaml"), fmt.Sprintf(`site: www.example.com
nodes:
  - {name: all1, roles: [lb, web, db], address: 10.83.0.11}
  - {name: lb2, roles: [lb], address: 10.83.0.12}
vip: [10.83.0.10]
web: {sites: [{root: %[1]s/www}]}
db: {data_dir: %[1]s/data}
tls: {secrets_dir: %[1]s/secrets}
admin: {socket: %[1]s/s.sock}
process: {run_dir: %[1]s}
`, dir), 0o644)
	must(t, dir, "secrets", "init", "--config", "site.yaml")
	p := startCommand(t, dir, exec.Command("ip", "netns", "exec", name, binary, "--config", "site.yaml", "--node", "all1"))
	p.awaitOutput(`"msg":"started"`, 60*time.Second)
	n := status(t, dir, "--socket", filepath.Join(dir, "s.sock"))[0]

	supervisor := masks(t, n.Pid)
	if supervisor["CapPrm"] == 0 {
		t.Fatalf("the supervisor runs without capabilities, so nothing is proven: %v", supervisor)
	}
	want := map[string]uint64{"lb": 0, "web": 0, "db": 0, "net": netAdmin | netRaw | sysNice}
	for _, r := range n.Roles {
		keep, known := want[r.Role]
		if !known {
			t.Errorf("role %s", r.Role)
		}
		delete(want, r.Role)
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", r.Pid))
		if err != nil || len(tasks) == 0 {
			t.Fatalf("%s: no threads (%v)", r.Role, err)
		}
		for _, task := range tasks {
			id, _ := strconv.Atoi(filepath.Base(task))
			got := masks(t, id)
			if len(got) == 0 {
				continue // this thread has ended
			}
			if got["NoNewPrivs"] != 1 {
				t.Errorf("%s, thread %d: NoNewPrivs is %d", r.Role, id, got["NoNewPrivs"])
			}
			for mask, allowed := range map[string]uint64{"CapEff": keep, "CapPrm": keep, "CapBnd": keep, "CapInh": 0, "CapAmb": 0} {
				if got[mask] != allowed {
					t.Errorf("%s, thread %d: %s is %016x, want %016x", r.Role, id, mask, got[mask], allowed)
				}
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("these roles do not run: %v", want)
	}
	await(t, "the virtual address is set by the net child with what it has", 30*time.Second, func() bool {
		out, err := exec.Command("ip", "-n", name, "addr", "show", "veth0").Output()
		return err == nil && strings.Contains(string(out), "10.83.0.10/32")
	})
}

// masks reads the capability masks and NoNewPrivs of a thread; nothing if it has ended.
func masks(t *testing.T, id int) map[string]uint64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", id))
	if err != nil {
		return nil
	}
	out := map[string]uint64{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		base := 16
		if key == "NoNewPrivs" {
			base = 10
		} else if !strings.HasPrefix(key, "Cap") {
			continue
		}
		n, err := strconv.ParseUint(value, base, 64)
		if err != nil {
			t.Fatal(err)
		}
		out[key] = n
	}
	return out
}
