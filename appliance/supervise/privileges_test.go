package supervise

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestChildrenHoldOnlyTheirCapabilities reads /proc of every thread.
func TestChildrenHoldOnlyTheirCapabilities(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: without it there is nothing to drop")
	}
	if raceBuild {
		t.Skip("a race build has cgo, which cannot change all threads")
	}
	s := newSite(t)
	n := s.nodes[0]
	n.VIP = append(n.VIP, vipOf("192.0.2.1"))
	s.bind(n, "net", 1)
	s.write()
	s.launch()
	none := "0000000000000000"
	for role, want := range map[string]string{"db": none, "web": none, "lb": none, "net": "0000000000003000"} {
		checkThreads(t, s.pid(role), role, map[string]string{
			"CapPrm": want, "CapEff": want, "CapBnd": want, "CapInh": none, "CapAmb": none, "NoNewPrivs": "1",
		})
	}
}

// checkThreads compares fields of /proc/PID/task/*/status (proc_pid_status(5)).
func checkThreads(t *testing.T, pid int, role string, want map[string]string) {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil || len(tasks) < 2 {
		t.Fatalf("threads of %s: %d, %v", role, len(tasks), err)
	}
	for _, task := range tasks {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pid, task.Name()))
		if err != nil {
			continue // that thread has just ended
		}
		got := map[string]string{}
		for _, line := range strings.Split(string(b), "\n") {
			k, v, _ := strings.Cut(line, ":")
			got[k] = strings.TrimSpace(v)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s, thread %s: %s is %s, want %s", role, task.Name(), k, got[k], v)
			}
		}
	}
}

// TestChildrenOfTheUnit runs as the packaged unit does: an ordinary user with ambient
// capabilities, which every child would inherit.
func TestChildrenOfTheUnit(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user with capabilities")
	}
	if raceBuild {
		t.Skip("a race build has cgo, which cannot change all threads")
	}
	s := newSite(t)
	n := s.nodes[0]
	n.VIP = append(n.VIP, vipOf("192.0.2.1"))
	s.bind(n, "net", 1)
	s.write()
	const nobody = 65534
	for _, dir := range []string{filepath.Dir(s.dir), s.dir} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{s.dir, filepath.Join(s.dir, "config.json")} {
		if err := os.Chown(f, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	s.sys = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
		AmbientCaps: []uintptr{unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW},
	}
	s.launch()
	none := "0000000000000000"
	for range 2 { // the generation of the start, and one after an upgrade
		checkThreads(t, s.cmd.Process.Pid, "supervisor", map[string]string{"CapPrm": "0000000000003400", "CapAmb": "0000000000003400"})
		for role, want := range map[string]string{"db": none, "web": none, "lb": none, "net": "0000000000003000"} {
			checkThreads(t, s.pid(role), role, map[string]string{"CapPrm": want, "CapEff": want, "CapInh": none, "CapAmb": none, "NoNewPrivs": "1"})
		}
		if s.logged("upgrade:") {
			break
		}
		s.signal(syscall.SIGUSR2)
		s.waitLogs(`"msg":"started"`, 2)
	}
}

func TestOOMOrder(t *testing.T) {
	s := newSite(t).launch()
	score := func(role string) int {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", s.pid(role)))
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if db, lb, web := score("db"), score("lb"), score("web"); db >= lb || lb >= web {
		t.Errorf("db %d, lb %d, web %d: the database must go last", db, lb, web)
	}
}

func TestUnknownCapability(t *testing.T) {
	if _, err := capabilityMask([]string{"CAP_EVERYTHING"}); err == nil || !strings.Contains(err.Error(), `unknown capability "CAP_EVERYTHING"`) {
		t.Error(err)
	}
}

func TestChildRunByHand(t *testing.T) {
	if err := RunChild("mail", testSpecs()); err == nil || err.Error() != `child: no role "mail" in this binary` {
		t.Error(err)
	}
}

func addrOf(s string) netip.Addr { return netip.MustParseAddr(s) }
