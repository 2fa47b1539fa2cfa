package supervise

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"stack/appliance/logs"
)

// TestTwoNodesShareAnAddress is stack dev: both balancers listen on one front address.
func TestTwoNodesShareAnAddress(t *testing.T) {
	s := newSite(t, "n1", "n2")
	front := s.nodes[0].Binds[2]
	front.Group = 3
	s.nodes[0].Binds[2] = front
	front.Group = 1
	s.nodes[1].Binds = append(s.nodes[1].Binds[:2], front)
	s.write()
	s.launch()
	pids := map[string]bool{}
	s.eventually("both balancers answer", func() bool {
		pids[strings.Fields(s.ask("lb", "who"))[0]] = true
		return len(pids) == 2
	})
	for range 3 {
		if err := syscall.Kill(s.pid("lb"), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for range 30 {
			s.ask("lb", "who") // a failed connection fails the test
		}
	}
	nodes := map[string]bool{}
	for _, m := range s.families()["stack_role_up"].Metric {
		for _, node := range []string{"n1", "n2"} {
			nodes[node] = nodes[node] || hasLabel(m, "node", node)
		}
	}
	if !nodes["n1"] || nodes["n2"] {
		t.Errorf("the metrics of n1 are of the nodes %v", nodes)
	}
}

// TestManySocketsAndALargeConfig: more descriptors than one message carries, and a
// config that does not fit into one either; over a reload and an upgrade.
func TestManySocketsAndALargeConfig(t *testing.T) {
	s := newSite(t)
	n := s.nodes[0]
	n.Binds[2].Group = 450
	for i := range 20_000 {
		n.Hosts = append(n.Hosts, fmt.Sprintf("host%d.example.org", i))
	}
	s.write()
	s.launch()
	if got := s.ask("lb", "size"); got != "450 20000" {
		t.Fatalf("lb has %s", got)
	}
	n.Hosts = append(n.Hosts, "one.more.example.org")
	s.write()
	s.mustAdmin("POST", "/v1/reload")
	s.signal(syscall.SIGUSR2)
	s.waitLogs(`"msg":"started"`, 2)
	s.eventually("the new generation has it all", func() bool {
		return s.ask("lb", "size") == "450 20001" && strings.Contains(s.ask("lb", "who"), " 2 one")
	})
}

func TestStandardErrorIsBounded(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	log, err := logs.New(logs.Options{Format: "json", Output: out})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { pumpStderr(r, log.Logger); close(done) }()
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s\n", strings.Repeat("a", 3*maxStderrLine))
	for range 3 * stderrBurst {
		b.WriteString("again\n")
	}
	b.WriteString("no end of line")
	b.Flush()
	w.Close()
	<-done
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Count(string(text), "\n")
	if lines < stderrBurst || lines > 2*stderrBurst || !strings.Contains(string(text), stderrOverflow) {
		t.Errorf("%d lines of %d were logged", lines, 3*stderrBurst)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if len(line) > maxStderrLine+300 {
			t.Fatalf("a line of %d bytes", len(line))
		}
	}
}
