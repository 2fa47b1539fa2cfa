package supervise

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStartInOrderAndStop(t *testing.T) {
	s := newSite(t).launch()
	all, _ := s.log.snapshot()
	last := -1
	for _, role := range []string{"db", "web", "lb"} {
		at := strings.Index(all, fmt.Sprintf(`"msg":"role started","node":"n1","role":%q`, role))
		if at <= last {
			t.Fatalf("%s did not start in its turn", role)
		}
		last = at
	}
	pid := s.pid("lb")
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.HasPrefix(string(cmdline), "stack: lb n1\x00") {
		t.Fatalf("ps shows %q, %v", cmdline, err)
	}
	if got := s.ask("db", "env"); got != fmt.Sprintf("procs=%s memory=%d slack=300000 files=true", strings.TrimPrefix(strings.Fields(got)[0], "procs="), 64<<20) {
		t.Fatalf("db: %s", got)
	}
	st := s.status()
	if !st.Ready || len(st.Roles) != 3 || st.Roles[2].Pid != pid || st.Roles[2].Text != "serving" || string(st.Roles[2].Detail) != `{"generation":1}` {
		t.Fatalf("status %+v", st)
	}
	if b := s.mustAdmin("GET", "/v1/web/hello"); string(b) != "web GET /v1/web/hello" {
		t.Fatalf("control answered %q", b)
	}
	s.signal(syscall.SIGTERM)
	if err := s.wait(time.Minute); err != nil {
		t.Fatalf("stop: %v", err)
	}
	if alive(pid) {
		t.Fatal("a child outlived the stop")
	}
	if _, err := os.Stat(s.nodes[0].Admin.Socket); !os.IsNotExist(err) {
		t.Fatalf("the control socket's file is left: %v", err)
	}
}

func TestStartFailsWithOneSentence(t *testing.T) {
	for _, c := range []struct{ fingerprint, want string }{
		{"refuse-lb", "stack: role lb of n1 did not start: the config was told to be bad\n"},
		{"panic-web", "stack: role web of n1 did not start: the process ended (exit status 2); its last words are in the log above\n"},
	} {
		s := newSite(t)
		s.nodes[0].Fingerprint = c.fingerprint
		s.write()
		s.begin()
		if err := s.wait(time.Minute); err == nil {
			t.Fatal("it must exit with an error")
		}
		if !s.logged(c.want) {
			t.Errorf("%s: not said: %s", c.fingerprint, c.want)
		}
		if _, err := os.Stat(s.nodes[0].Site + ".closed-db"); err != nil {
			t.Errorf("%s: the database that had started was not closed: %v", c.fingerprint, err)
		}
		if c.fingerprint == "panic-web" && !s.logged("told to panic") {
			t.Error("the panic is not in the log")
		}
	}
}

func TestPortInUseNamesTheHolder(t *testing.T) {
	first := newSite(t).launch()
	second := newSite(t)
	second.nodes[0].Binds[2].Addr = first.nodes[0].Binds[2].Addr
	second.write()
	second.begin()
	if second.wait(15*time.Second) == nil {
		t.Fatal("it must exit with an error")
	}
	want := fmt.Sprintf("listen on %s for lb: the port is in use by stack", first.addr("lb"))
	if !second.logged(want) {
		t.Errorf("not said: %s", want)
	}
}

func TestCrashIsRestartedAtOnceThenSlower(t *testing.T) {
	s := newSite(t).launch()
	before := s.pid("lb")
	kept, err := dial(s.addr("web"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if err := syscall.Kill(s.pid("lb"), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		// The listener stays open: a client that comes meanwhile waits in its queue.
		if answer := s.ask("lb", "who"); !strings.HasPrefix(answer, fmt.Sprint(s.pid("lb"))) || strings.HasPrefix(answer, fmt.Sprint(before, " ")) {
			t.Fatalf("answer %d: %s", i, answer)
		}
		s.waitLogs(`"msg":"role restarted"`, i+1)
	}
	if _, err := kept.ask("who"); err != nil {
		t.Fatalf("another role was touched: %v", err)
	}
	if st := s.status(); st.Roles[2].Restarts != 4 || st.Roles[2].Generation != 5 {
		t.Fatalf("status %+v", st.Roles[2])
	}
	if !s.logged("killed by SIGKILL") {
		t.Error("the log does not say why")
	}
}

// A role that asks for it is closed and gets a new process, once; its counters go on.
func TestRoleAsksForANewProcess(t *testing.T) {
	s := newSite(t).launch()
	before := s.pid("db")
	if answer := s.ask("db", "again"); answer == "" {
		t.Fatal("no answer")
	}
	s.waitLogs(`"msg":"role restarted"`, 1)
	if answer := s.ask("db", "who"); !strings.HasPrefix(answer, fmt.Sprint(s.pid("db"))) || s.pid("db") == before {
		t.Fatalf("process %d answers %s", before, answer)
	}
	if st := s.status(); st.Roles[0].Role != "db" || st.Roles[0].Restarts != 1 {
		t.Errorf("status %+v", st.Roles[0])
	}
	for _, want := range []string{"asks to be started anew", "exit status 0"} {
		if !s.logged(want) {
			t.Errorf("not said: %s", want)
		}
	}
}

func TestKilledSupervisorLeavesNothing(t *testing.T) {
	s := newSite(t).launch()
	pids := []int{s.pid("db"), s.pid("web"), s.pid("lb")}
	// A child that is stopped cannot notice anything itself.
	if err := syscall.Kill(pids[1], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGKILL)
	s.wait(time.Minute)
	s.eventually("all children are gone", func() bool {
		for _, p := range pids {
			if alive(p) {
				return false
			}
		}
		return true
	})
}

func TestStopDeadlineAndSecondSignal(t *testing.T) {
	s := newSite(t)
	s.nodes[0].Fingerprint = "stubborn"
	s.nodes[0].Process.StopTimeout = time.Second
	s.write()
	s.launch()
	began := time.Now()
	s.signal(syscall.SIGTERM)
	if err := s.wait(time.Minute); err != nil {
		t.Fatalf("stop: %v", err)
	}
	if took := time.Since(began); took < 900*time.Millisecond || took > 8*time.Second {
		t.Errorf("a drain of 1 s ended after %s", took)
	}

	s = newSite(t)
	s.nodes[0].Fingerprint = "stubborn"
	s.nodes[0].Process.StopTimeout = time.Minute
	s.write()
	s.launch()
	pid := s.pid("lb")
	s.signal(syscall.SIGTERM)
	s.waitLog(`"msg":"stopping"`)
	s.signal(syscall.SIGTERM)
	if err := s.wait(time.Minute); err == nil {
		t.Error("a forced stop must not look orderly")
	}
	if alive(pid) {
		t.Error("a child outlived the forced stop")
	}
	if !s.logged(ErrForced.Error()) {
		t.Error("it does not say what happened")
	}
}

// TestStopOrderWithARoleThatWaitsForAnother: lb does not end before web begins to.
func TestStopOrderWithARoleThatWaitsForAnother(t *testing.T) {
	s := newSite(t)
	s.nodes[0].Process.StopTimeout = 12 * time.Second
	s.nodes[0].Fingerprint = "lb-waits-for-web"
	s.write()
	s.launch()
	began := time.Now()
	s.signal(syscall.SIGTERM)
	if err := s.wait(time.Minute); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 10*time.Second || s.logged("connections were cut") {
		t.Errorf("it took %s, and connections were cut: %v", took, s.logged("connections were cut"))
	}
}

func TestStuckCloseIsKilled(t *testing.T) {
	s := newSite(t)
	s.nodes[0].Roles = []string{"web"}
	s.nodes[0].Fingerprint = "stuck"
	s.write()
	s.launch()
	pid := s.pid("web")
	s.signal(syscall.SIGTERM)
	if err := s.wait(time.Minute); err != nil || alive(pid) {
		t.Fatalf("stop: %v, alive %v", err, alive(pid))
	}
}

func TestWatchdogRestartsAWedgedRole(t *testing.T) {
	s := newSite(t).launch()
	pid := s.pid("web")
	s.ask("web", "wedge")
	s.waitLog(`"msg":"role restarted"`)
	if !s.logged("no progress for 3s: loop 0 does not turn") || !s.logged("goroutine 1 ") {
		t.Error("reason or goroutine dump not logged")
	}
	if s.pid("web") == pid {
		t.Error("still the wedged process")
	}
	// One that is stopped does not even dump.
	pid = s.pid("web")
	syscall.Kill(pid, syscall.SIGSTOP)
	s.waitLogs(`"msg":"role restarted"`, 2)
	if !s.logged("no answer for 3s") || alive(pid) {
		t.Error("the stopped process was not replaced")
	}
}

func TestRolesChangedIsToldAtOnce(t *testing.T) {
	s := newSite(t).launch()
	s.eventually("lb knows the others", func() bool { return s.ask("lb", "others") == "map[db:true web:true]" })
	web := s.pid("web")
	syscall.Kill(web, syscall.SIGSTOP)
	s.waitLog(`"role":"lb","of":"web","reason":"stopped by a signal"`)
	syscall.Kill(web, syscall.SIGCONT)
	s.eventually("lb knows that web goes on", func() bool { return s.ask("lb", "others") == "map[db:true web:true]" })
	if s.pid("web") != web {
		t.Error("a process that was stopped for a moment was replaced")
	}
	syscall.Kill(web, syscall.SIGKILL)
	s.waitLog(`"role":"lb","of":"web","reason":"ended"`)
	s.eventually("lb knows that web is back", func() bool { return s.ask("lb", "others") == "map[db:true web:true]" })
	if s.ask("web", "succeeds") != "false" {
		t.Error("a role that crashed has a predecessor that hands over")
	}
	s.ask("web", "mute")
	s.waitLog(`"role":"lb","of":"web","reason":"does not answer"`)
	s.eventually("lb knows that web is back", func() bool { return s.ask("lb", "others") == "map[db:true web:true]" })
	s.ask("web", "wedge")
	s.waitLog(`"role":"lb","of":"web","reason":"makes no progress"`)
}

func TestPanicIsLogged(t *testing.T) {
	s := newSite(t).launch()
	c, err := dial(s.addr("lb"))
	if err != nil {
		t.Fatal(err)
	}
	c.ask("panic")
	s.waitLog(`"msg":"role restarted"`)
	if !s.logged(`"msg":"panic: asked for","node":"n1","role":"lb"`) {
		t.Error("the panic is not in the log")
	}
}
