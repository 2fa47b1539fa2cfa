package firewall

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"stack/appliance/config"
)

// wire is two network namespaces with one cable: node, which loads a ruleset, and
// peer, which holds every other address.
type wire struct {
	t          *testing.T
	node, peer string
}

func newWire(t *testing.T) *wire {
	t.Helper()
	for _, p := range []string{"ip", "nft", "curl"} {
		if _, err := exec.LookPath(p); err != nil || os.Geteuid() != 0 {
			t.Skip("needs root, ip, nft and curl")
		}
	}
	w := &wire{t, fmt.Sprintf("fw-node-%d", os.Getpid()), fmt.Sprintf("fw-peer-%d", os.Getpid())}
	for _, ns := range []string{w.node, w.peer} {
		if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			t.Skipf("no network namespaces here: %s", out)
		}
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
		w.in(ns, "ip", "link", "set", "lo", "up")
	}
	w.in(w.node, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", w.peer)
	w.in(w.node, "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth2")
	for _, dev := range []string{"eth0", "eth1", "eth2"} {
		w.in(w.node, "ip", "link", "set", dev, "up")
	}
	w.in(w.peer, "ip", "link", "set", "eth0", "up")
	for _, a := range []string{"10.0.0.11/24", "10.0.0.31/24", "192.0.2.1/24"} {
		w.in(w.node, "ip", "addr", "add", a, "dev", "eth0")
	}
	w.in(w.node, "ip", "addr", "add", "203.0.113.1/24", "dev", "eth1")
	w.in(w.node, "ip", "addr", "add", "fd00::31/64", "dev", "eth0", "nodad")
	w.in(w.peer, "ip", "addr", "add", "fd00::21/64", "dev", "eth0", "nodad")
	for _, a := range []string{"10.0.0.12/24", "10.0.0.21/24", "10.0.0.99/24", "192.0.2.5/24", "203.0.113.5/24"} {
		w.in(w.peer, "ip", "addr", "add", a, "dev", "eth0")
	}
	return w
}

func (w *wire) in(ns string, command ...string) string {
	w.t.Helper()
	out, err := exec.Command("ip", append([]string{"netns", "exec", ns}, command...)...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

func (w *wire) load(n *config.Node) {
	w.t.Helper()
	text, err := Render(n)
	if err != nil {
		w.t.Fatal(err)
	}
	c := exec.Command("ip", "netns", "exec", w.node, "nft", "-f", "-")
	c.Stdin = strings.NewReader(text)
	if out, err := c.CombinedOutput(); err != nil {
		w.t.Fatalf("%s", out)
	}
}

// reaches says whether a connection gets through: nothing listens on the other side,
// so a refusal is an answer and silence is the firewall.
func (w *wire) reaches(ns, from, to string) bool {
	w.t.Helper()
	err := exec.Command("ip", "netns", "exec", ns, "curl", "-gsS", "--interface", from, "--connect-timeout", "1", "http://"+to+"/").Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		switch exit.ExitCode() {
		case 7: // could not connect: refused
			return true
		case 28: // timed out
			return false
		}
	}
	w.t.Fatalf("%s to %s: %v", from, to, err)
	return false
}

// counter is the number of packets that the rule with this comment has counted.
func (w *wire) counter(comment string) int {
	w.t.Helper()
	text := w.in(w.node, "nft", "list", "table", "inet", Table)
	m := regexp.MustCompile(`counter packets (\d+) bytes \d+ \w+ ?\w* comment "` + regexp.QuoteMeta(comment) + `"`).FindStringSubmatch(text)
	if m == nil {
		w.t.Fatalf("no rule %q in\n%s", comment, text)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func nodeOf(t *testing.T, name, text string) *config.Node {
	t.Helper()
	c, err := config.Load(config.Options{File: "test", Text: []byte(text), CPUs: 1})
	if err != nil {
		t.Fatal(err)
	}
	n, err := c.Resolve(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const wireSite = `site: www.example.com
nodes:
  - {name: lb1,  roles: [lb],  address: 10.0.0.11}
  - {name: lb2,  roles: [lb],  address: 10.0.0.12}
  - {name: web1, roles: [web], address: 10.0.0.21}
  - {name: db1,  roles: [db],  address: 10.0.0.31}
vip: [10.0.0.10]
web: {sites: [{root: /srv/www}]}
firewall: {admin_from: [192.0.2.0/24, "fd00::/64"], new_per_second: 1}
`

// TestPackets sends packets through the rulesets.
func TestPackets(t *testing.T) {
	w := newWire(t)
	w.load(nodeOf(t, "db1", wireSite))
	check := func(from, to string, want bool) {
		t.Helper()
		if got := w.reaches(w.peer, from, to); got != want {
			t.Errorf("%s reaches %s: %v, want %v", from, to, got, want)
		}
	}
	check("10.0.0.21", "10.0.0.31:3306", true)  // a web server
	check("10.0.0.99", "10.0.0.31:3306", false) // a stranger in the same network
	check("192.0.2.5", "10.0.0.31:3306", false) // an admin is no client of the database
	check("10.0.0.21", "10.0.0.31:9180", true)  // a server of the site
	check("192.0.2.5", "10.0.0.31:9180", true)  // an admin
	check("10.0.0.99", "10.0.0.31:9180", false) //
	check("192.0.2.5", "10.0.0.31:22", true)    //
	check("10.0.0.21", "10.0.0.31:22", false)   // ssh is for admins only
	check("fd00::21", "[fd00::31]:22", true)    // neighbour discovery works
	check("203.0.113.5", "10.0.0.31:22", false) // the way back is another interface
	if !w.reaches(w.node, "10.0.0.31", "10.0.0.21:80") {
		t.Error("answers to the node's own connections do not come back")
	}
	if n := w.counter("spoofed: the way back does not lead to where it came from"); n == 0 {
		t.Error("the spoofed packet was dropped by another rule")
	}
	if n := w.counter("everything else"); n < 4 {
		t.Errorf("%d packets counted as everything else", n)
	}

	// The other role, over the first: one transaction replaces the table.
	w.load(nodeOf(t, "lb1", wireSite))
	check("10.0.0.99", "10.0.0.11:80", true)
	check("10.0.0.99", "10.0.0.11:3306", false) // the endpoint is as private as the database
	check("10.0.0.21", "10.0.0.11:3306", true)
	before := w.counter("too many new connections from one address")
	refused := 0
	for range 30 { // burst 2, 1 a second; far less than curl can do
		if !w.reaches(w.peer, "10.0.0.99", "10.0.0.11:443") {
			break
		}
		refused++
	}
	if refused == 30 || w.counter("too many new connections from one address") == before {
		t.Errorf("no limit after %d connections", refused)
	}
	if refused < 2 {
		t.Errorf("only %d connections within the burst", refused)
	}
	check("10.0.0.21", "10.0.0.11:443", true) // each source has its own limit
}
