package supervise

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestReloadAllOrNothing(t *testing.T) {
	s := newSite(t, "n1", "n2").launch()
	pid := s.pid("lb")
	s.nodes[0].Fingerprint, s.nodes[1].Fingerprint = "two", "two"
	s.write()
	s.mustAdmin("POST", "/v1/reload")
	for _, role := range []string{"db", "web", "lb"} {
		if got := s.ask(role, "who"); !strings.HasSuffix(got, " 1 two") {
			t.Errorf("%s answers %q", role, got)
		}
	}
	if s.pid("lb") != pid {
		t.Error("a reload changed the process")
	}
	// The last role of the second node refuses: nobody takes it.
	s.nodes[0].Fingerprint, s.nodes[1].Fingerprint = "three", "refuse-lb"
	s.write()
	code, b, err := s.admin("POST", "/v1/reload")
	want := "role lb of n2: the config was told to be bad"
	if err != nil || code != 409 || !strings.Contains(string(b), want) {
		t.Fatalf("reload answered %d %s %v", code, b, err)
	}
	for _, role := range []string{"db", "web", "lb"} {
		if got := s.ask(role, "who"); !strings.HasSuffix(got, " 1 two") {
			t.Errorf("%s answers %q after a failed reload", role, got)
		}
	}
	if st := s.status(); st.ReloadError != want || st.Fingerprint != "two" {
		t.Errorf("status %+v", st)
	}
	// A hanging Prepare ends at the deadline, and SIGHUP works as the request does.
	s.nodes[0].Fingerprint, s.nodes[1].Fingerprint = "hang-web", "four"
	s.nodes[0].Process.StartTimeout = 300 * time.Millisecond
	s.write()
	s.signal(syscall.SIGHUP)
	s.waitLogs(`"msg":"reload failed, the old config keeps serving"`, 2)
	s.nodes[0].Fingerprint = "four"
	s.nodes[0].Process.StartTimeout = time.Minute
	s.write()
	s.signal(syscall.SIGHUP)
	s.waitLogs(`"msg":"reloaded"`, 2)
	if got := s.ask("web", "who"); !strings.HasSuffix(got, " 1 four") {
		t.Errorf("web answers %q", got)
	}
	if st := s.status(); st.ReloadError != "" {
		t.Errorf("the old error stands: %+v", st)
	}
}

func TestReloadMovesSockets(t *testing.T) {
	s := newSite(t).launch()
	old := s.addr("lb")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	n := s.nodes[0]
	n.Binds = n.Binds[:2]
	added := s.bind(n, "lb", 2)
	n.Binds[1].Addr = taken.Addr().(*net.TCPAddr).AddrPort()
	s.write()
	if code, b, _ := s.admin("POST", "/v1/reload"); code != 409 || !strings.Contains(string(b), "in use by") {
		t.Fatalf("reload onto a taken port: %d %s", code, b)
	}
	if c, err := net.Dial("tcp", added.String()); err == nil {
		c.Close()
		t.Fatal("a failed reload left a socket open")
	}
	taken.Close()
	s.write()
	s.mustAdmin("POST", "/v1/reload")
	s.ask("lb", "who")
	s.ask("web", "who")
	s.eventually("the old address refuses", func() bool {
		c, err := net.Dial("tcp", old)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	// There and back within the second in which children still hold it.
	before := n.Binds[2]
	for range 3 {
		n.Binds[2].Addr = netAddr(t, old)
		s.write()
		s.mustAdmin("POST", "/v1/reload")
		s.ask("lb", "who")
		n.Binds[2] = before
		s.write()
		s.mustAdmin("POST", "/v1/reload")
		s.ask("lb", "who")
	}
}

// TestReloadThatMovesTheAdminInterfaceAnswers: the command that asked waits on the
// interface that the reload replaces.
func TestReloadThatMovesTheAdminInterfaceAnswers(t *testing.T) {
	s := newSite(t).launch()
	n := s.nodes[0]
	s.bind(n, "admin", 1)
	s.write()
	s.mustAdmin("POST", "/v1/reload")
	n.Name, n.Roles = "n2", []string{"web", "lb"} // another node, on the same control socket
	s.write()
	s.mustAdmin("POST", "/v1/reload")
	if st := s.status(); st.Node != "n2" {
		t.Errorf("node %s serves", st.Node)
	}
}

func TestReloadAddsAndRemovesRoles(t *testing.T) {
	s := newSite(t).launch()
	n := s.nodes[0]
	web := s.pid("web")
	n.Roles = []string{"db", "lb"}
	all := n.Binds
	n.Binds = append(n.Binds[:1:1], n.Binds[2])
	s.write()
	s.mustAdmin("POST", "/v1/reload")
	s.eventually("web is gone", func() bool { return !alive(web) })
	if st := s.status(); len(st.Roles) != 2 {
		t.Fatalf("roles %+v", st.Roles)
	}
	n.Roles, n.Binds = []string{"db", "web", "lb"}, all
	s.write()
	s.mustAdmin("POST", "/v1/reload")
	if s.pid("web") == web {
		t.Error("web did not start anew")
	}
	// The exclusive role leaves and returns at once.
	for _, roles := range [][]string{{"web", "lb"}, {"db", "web", "lb"}} {
		n.Roles = roles
		s.write()
		s.mustAdmin("POST", "/v1/reload")
	}
	s.ask("db", "who")
	// An unknown role is refused with its name.
	n.Roles = []string{"mail"}
	s.write()
	if code, b, _ := s.admin("POST", "/v1/reload"); code != 409 || !strings.Contains(string(b), `node n1: role "mail" is not available in this version`) {
		t.Errorf("%d %s", code, b)
	}
}

func TestReloadOfLoopsIsANewGeneration(t *testing.T) {
	s := newSite(t)
	s.nodes[0].LB = lbLoops(2)
	s.write()
	s.launch()
	if got := s.ask("lb", "env"); !strings.HasPrefix(got, "procs=4 ") {
		t.Fatalf("lb: %s", got)
	}
	kept, err := dial(s.addr("lb"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kept.ask("who"); err != nil {
		t.Fatal(err)
	}
	s.nodes[0].LB = lbLoops(3)
	s.write()
	s.mustAdmin("POST", "/v1/reload")
	// Until the old process has heard that it drains, it takes connections too.
	s.eventually("a new connection comes to a process with three loops", func() bool { return strings.HasPrefix(s.ask("lb", "env"), "procs=5 ") })
	s.eventually("the idle connection has passed to the new process", func() bool {
		got, err := kept.ask("who")
		if err != nil {
			t.Fatal(err)
		}
		return got == fmt.Sprint(s.pid("lb"), " 2 one")
	})
}

func TestReloadAfterFailedRestart(t *testing.T) {
	s := newSite(t).launch()
	s.nodes[0].Fingerprint = "refuse-web"
	s.write()
	// The old config serves; then web crashes and comes back with it.
	s.admin("POST", "/v1/reload")
	syscall.Kill(s.pid("web"), syscall.SIGKILL)
	if got := s.ask("web", "who"); !strings.HasSuffix(got, " 2 one") {
		t.Errorf("web answers %q", got)
	}
}

func TestFiftyReloadsLeakNothing(t *testing.T) {
	s := newSite(t).launch()
	n := s.nodes[0]
	a := n.Binds[2]
	extra := s.bind(n, "lb", 4)
	n.Binds = n.Binds[:3]
	usage := func() (sup, lb string) {
		return string(s.mustAdmin("GET", "/fds")), fmt.Sprint(openFiles(t, s.pid("lb")))
	}
	cycle := func(i int) {
		n.Fingerprint = fmt.Sprint("r", i)
		n.Binds = n.Binds[:3]
		if i%2 == 0 {
			n.Binds = append(n.Binds, a)
			n.Binds[3].Addr = extra
		}
		if i%5 == 0 {
			n.Fingerprint = "refuse-lb"
		}
		s.write()
		s.admin("POST", "/v1/reload")
	}
	cycle(1)
	var sup, lb string
	settle := func() bool {
		s1, l1 := usage()
		s2, l2 := usage()
		sup, lb = s1, l1
		return s1 == s2 && l1 == l2 && !listening(extra.String())
	}
	s.eventually("quiet", settle)
	sup0, lb0 := sup, lb
	for i := range 51 {
		cycle(i + 1)
	}
	s.eventually("descriptors and goroutines are as before", func() bool { return settle() && sup == sup0 && lb == lb0 })
}
