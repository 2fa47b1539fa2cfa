package supervise

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
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
	for role, want := range map[string]string{"db": "0000000000000000", "web": "0000000000000000", "lb": "0000000000000000", "net": "0000000000003000"} {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.pid(role)))
		if err != nil || len(tasks) < 2 {
			t.Fatalf("threads of %s: %d, %v", role, len(tasks), err)
		}
		for _, task := range tasks {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", s.pid(role), task.Name()))
			if err != nil {
				continue // that thread has just ended
			}
			got := map[string]string{}
			for _, line := range strings.Split(string(b), "\n") {
				k, v, _ := strings.Cut(line, ":")
				got[k] = strings.TrimSpace(v)
			}
			for k, v := range map[string]string{"CapPrm": want, "CapEff": want, "CapBnd": want, "CapInh": "0000000000000000", "CapAmb": "0000000000000000", "NoNewPrivs": "1"} {
				if got[k] != v {
					t.Errorf("%s, thread %s: %s is %s, want %s", role, task.Name(), k, got[k], v)
				}
			}
		}
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
