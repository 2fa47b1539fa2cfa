package supervise

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"stack/appliance/config"
)

func lbLoops(n int) *config.LB { return &config.LB{Loops: n} }

func netAddr(t *testing.T, s string) netip.AddrPort {
	t.Helper()
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func listening(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// hammer keeps clients of new and kept connections at a role until stop; each failed
// request is counted and the first is told.
type hammer struct {
	wg       sync.WaitGroup
	end      chan struct{}
	done     atomic.Int64
	failures atomic.Int64
	first    atomic.Value
}

func (s *site) hammer(role string, kept, fresh int) *hammer {
	h := &hammer{end: make(chan struct{})}
	addr := s.addr(role)
	fail := func(err error) {
		h.failures.Add(1)
		h.first.CompareAndSwap(nil, err.Error())
	}
	for i := range kept + fresh {
		h.wg.Go(func() {
			var c *client
			for {
				select {
				case <-h.end:
					if c != nil {
						c.c.Close()
					}
					return
				default:
				}
				var err error
				if c == nil {
					if c, err = dial(addr); err != nil {
						fail(err)
						continue
					}
				}
				if _, err = c.ask("who"); err != nil {
					fail(err)
				} else {
					h.done.Add(1)
				}
				if err != nil || i >= kept {
					c.c.Close()
					c = nil
				}
				if i%2 == 0 {
					time.Sleep(time.Millisecond) // idle at times, so that it can be passed on
				}
			}
		})
	}
	return h
}

func (h *hammer) stop(t *testing.T) {
	t.Helper()
	close(h.end)
	h.wg.Wait()
	t.Logf("%d requests, %d failures", h.done.Load(), h.failures.Load())
	if n := h.failures.Load(); n != 0 {
		t.Errorf("%d requests failed, the first: %v", n, h.first.Load())
	}
	if h.done.Load() < 100 {
		t.Errorf("only %d requests: the test proves nothing", h.done.Load())
	}
}

func TestUpgradesLoseNothing(t *testing.T) {
	s := newSite(t)
	s.nodes[0].Binds[2].Group = 3
	s.write()
	s.launch()
	// What web is told of lb, but that it does not answer in time, which other tests may make it.
	toldOfLB := func() (n int) {
		all, _ := s.log.snapshot()
		for line := range strings.Lines(all) {
			if strings.Contains(line, `"msg":"told","node":"n1","role":"web","of":"lb"`) && !strings.Contains(line, ReasonSilent) {
				n++
			}
		}
		return n
	}
	toldAtStart := toldOfLB()
	supervisor := s.cmd.Process.Pid
	lb, web := s.hammer("lb", 6, 3), s.hammer("web", 2, 1)
	watchEnd := make(chan struct{})
	var watch sync.WaitGroup
	// Counters of both roles never fall, whenever they are read.
	watch.Go(func() {
		last := map[string]float64{}
		for {
			select {
			case <-watchEnd:
				return
			default:
			}
			code, b, err := s.admin("GET", "/metrics")
			if err != nil || code != 200 {
				continue // the admin listener pauses while the binary is replaced
			}
			families, err := decodeFamilies(b)
			if err != nil {
				t.Error(err)
				return
			}
			for _, f := range families {
				if f.GetName() != "stack_test_requests_total" {
					continue
				}
				for _, m := range f.Metric {
					role := labelKey(m.Label)
					if v := m.Counter.GetValue(); v < last[role] {
						t.Errorf("the counter of %s fell from %v to %v", role, last[role], v)
					} else {
						last[role] = v
					}
				}
			}
		}
	})
	self, _ := os.Executable()
	for i := range 3 {
		before := s.pid("lb")
		s.install(self)
		if i == 1 {
			s.mustAdmin("POST", "/v1/upgrade")
		} else {
			s.signal(syscall.SIGUSR2)
		}
		s.waitLogs(`"msg":"started"`, i+2)
		s.eventually("a new lb answers", func() bool { return s.pid("lb") != before })
		s.eventually("db was handed over", func() bool { return strings.HasSuffix(s.ask("db", "who"), fmt.Sprint(" ", i+2, " one")) })
		if s.ask("lb", "succeeds") != "true" || s.ask("db", "succeeds") != "false" {
			t.Error("lb must know that it succeeds another process, db that it does not")
		}
		s.mustAdmin("POST", "/v1/reload")
	}
	s.eventually("old generations have drained", func() bool {
		for _, r := range s.status().Roles {
			if len(r.Draining) > 0 {
				return false
			}
		}
		return true
	})
	if st := s.status(); st.Pid != supervisor || st.Generation != 4 || st.UpgradeError != "" {
		t.Errorf("status %+v", st)
	}
	if toldOfLB() != toldAtStart || s.logged(ReasonNotReady) {
		t.Error("a role was told that another is not ready, although one generation or the other served")
	}
	close(watchEnd)
	watch.Wait()
	lb.stop(t)
	web.stop(t)
	// What was asked and what was counted differ by nothing.
	if got, want := s.count("web"), float64(web.done.Load()); got != want {
		t.Errorf("web counted %v requests of %v", got, want)
	}
	// The children that began before the exec are reaped.
	s.signal(syscall.SIGTERM)
	if err := s.wait(time.Minute); err != nil {
		t.Fatal(err)
	}
}

func TestUpgradeToABrokenBinary(t *testing.T) {
	s := newSite(t).launch()
	pid := s.pid("lb")
	refused := func(script, want string) {
		t.Helper()
		if err := os.WriteFile(s.binary+".new", []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(s.binary+".new", s.binary); err != nil {
			t.Fatal(err)
		}
		code, b, err := s.admin("POST", "/v1/upgrade")
		if err != nil || code != 409 || !strings.Contains(string(b), want) {
			t.Errorf("upgrade answered %d %s %v, want %s", code, b, err, want)
		}
		if !strings.Contains(s.status().UpgradeError, want) || s.pid("lb") != pid {
			t.Errorf("%s: not in the status, or the old did not keep serving", want)
		}
	}
	refused("#!/bin/sh\necho 'stack: no such luck' >&2\nexit 1\n", "cannot take over: no such luck")
	refused("not a program", "does not run: ")
	// It proves itself and then cannot be executed.
	if err := os.WriteFile(s.binary+".new", []byte("#!/bin/sh\nrm -f \"$0\"\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	os.Rename(s.binary+".new", s.binary)
	s.mustAdmin("POST", "/v1/upgrade")
	s.waitLog("execute " + s.binary + ": no such file or directory")
	s.eventually("the control socket answers again", func() bool { code, _, err := s.admin("GET", "/v1/status"); return err == nil && code == 200 })
	if s.pid("lb") != pid {
		t.Error("lb was replaced")
	}
	s.mustAdmin("POST", "/v1/reload")
	// The real one works afterwards, and SIGHUP and SIGUSR2 are handled again.
	self, _ := os.Executable()
	s.install(self)
	s.signal(syscall.SIGUSR2)
	s.waitLogs(`"msg":"started"`, 2)
	if st := s.status(); st.Generation != 2 || st.UpgradeError != "" {
		t.Errorf("status %+v", st)
	}
}

func TestUpgradeIsProbed(t *testing.T) {
	s := newSite(t).launch()
	s.nodes[0].Fingerprint = "refuse-probe"
	s.write()
	if code, b, _ := s.admin("POST", "/v1/upgrade"); code != 409 || !strings.Contains(string(b), "role db of n1: the probe was told to refuse") {
		t.Errorf("%d %s", code, b)
	}
}

func TestUpgradeWhoseGenerationFails(t *testing.T) {
	s := newSite(t).launch()
	pid := s.pid("lb")
	kept, err := dial(s.addr("lb"))
	if err != nil {
		t.Fatal(err)
	}
	s.nodes[0].Fingerprint = "refuse-lb" // the probe does not see it
	s.write()
	s.signal(syscall.SIGUSR2)
	s.waitLogs(`"msg":"started"`, 2)
	if got, err := kept.ask("who"); err != nil || !strings.HasPrefix(got, fmt.Sprint(pid, " 1 one")) {
		t.Errorf("lb answers %q, %v", got, err)
	}
	s.eventually("all are seen to be ready", func() bool { return s.status().Ready })
	if st := s.status(); !strings.Contains(st.UpgradeError, "told to be bad") {
		t.Errorf("status %+v", st)
	}
	// What the new supervisor adopted it also restarts.
	syscall.Kill(s.pid("web"), syscall.SIGKILL)
	if got := s.ask("web", "who"); !strings.HasSuffix(got, " one") {
		t.Errorf("web answers %q", got)
	}
	s.nodes[0].Fingerprint = "two"
	s.write()
	s.mustAdmin("POST", "/v1/reload")
	if got, err := kept.ask("who"); err != nil || !strings.HasSuffix(got, " two") {
		t.Errorf("lb answers %q, %v", got, err)
	}
}

func TestThreeOldGenerationsAtMost(t *testing.T) {
	s := newSite(t)
	s.nodes[0].Fingerprint = "stubborn"
	s.nodes[0].Roles = []string{"web", "lb"}
	s.nodes[0].Process.StopTimeout = 500 * time.Millisecond
	s.write()
	s.launch()
	for i := range 5 {
		s.signal(syscall.SIGUSR2)
		s.waitLogs(`"msg":"started"`, i+2)
	}
	s.eventually("three drain", func() bool {
		for _, r := range s.status().Roles {
			if len(r.Draining) != 3 || r.Generation != 6 {
				return false
			}
		}
		return true
	})
	if !s.logged("too many old generations") {
		t.Error("not said")
	}
	var old []int
	for _, r := range s.status().Roles {
		old = append(old, r.Draining...)
	}
	s.signal(syscall.SIGTERM)
	if err := s.wait(time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, p := range old {
		if alive(p) {
			t.Errorf("old generation %d outlived the stop", p)
		}
	}
}

func TestCountersSurviveACrash(t *testing.T) {
	s := newSite(t).launch()
	for range 50 {
		s.ask("web", "who")
	}
	if n := s.count("web"); n != 50 {
		t.Fatalf("%v of 50 counted", n)
	}
	pid := s.pid("web")
	n := s.count("web")
	syscall.Kill(pid, syscall.SIGKILL)
	s.waitLog(`"msg":"role restarted"`)
	if got := s.count("web"); got != n {
		t.Errorf("%v before the crash, %v after", n, got)
	}
	s.ask("web", "who")
	if got := s.count("web"); got != n+1 {
		t.Errorf("%v, want %v", got, n+1)
	}
	f := s.families()
	for _, m := range f["stack_test_generation"].Metric {
		if hasLabel(m, "role", "web") && m.Gauge.GetValue() != 2 {
			t.Errorf("gauge %v", m)
		}
	}
	for _, m := range f["stack_test_seconds"].Metric {
		if hasLabel(m, "role", "web") && m.Histogram.GetSampleCount() != uint64(n)+1 {
			t.Errorf("histogram %v", m)
		}
	}
	for _, name := range []string{"process_cpu_seconds_total", "go_goroutines", "stack_role_up", "stack_role_draining"} {
		if f[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}
