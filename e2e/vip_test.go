package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pair is two balancers a and b, each with a web server, that share addresses on a
// switch. A client lives in the namespace of the switch.
type pair struct {
	t    *testing.T
	dir  string
	name string
	runs map[string]*program
}

const (
	vip4 = "10.84.0.10"
	vip6 = "fd84::10"
)

func newPair(t *testing.T) *pair {
	t.Helper()
	needRoot(t)
	p := &pair{t: t, dir: openDir(t), name: fmt.Sprintf("stackvip%d", os.Getpid()), runs: map[string]*program{}}
	t.Cleanup(func() {
		for _, n := range []string{"sw", "a", "b"} {
			exec.Command("ip", "netns", "del", p.name+n).Run()
		}
	})
	if out, err := exec.Command("ip", "netns", "add", p.name+"sw").CombinedOutput(); err != nil {
		t.Skipf("needs network namespaces: %v %s", err, out)
	}
	p.in("sw", "ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
	p.in("sw", "ip", "link", "set", "br0", "up")
	p.in("sw", "ip", "addr", "add", "10.84.0.1/24", "dev", "br0")
	p.in("sw", "ip", "addr", "add", "fd84::1/64", "dev", "br0", "nodad")
	for i, n := range []string{"a", "b"} {
		p.sys("ip", "netns", "add", p.name+n)
		p.in(n, "ip", "link", "set", "lo", "up")
		p.plug(n, i+11)
	}
	write(t, filepath.Join(p.dir, "www/index.html"), "hello through the vip", 0o644)
	for _, n := range []string{"a", "b"} {
		p.config(n, "www")
	}
	must(t, p.dir, "secrets", "init", "--config", "a.yaml")
	return p
}

// plug joins a node to the switch.
func (p *pair) plug(node string, host int) {
	p.t.Helper()
	p.in("sw", "ip", "link", "add", "port-"+node, "type", "veth", "peer", "name", "eth0", "netns", p.name+node)
	p.in("sw", "ip", "link", "set", "port-"+node, "master", "br0", "up")
	p.in(node, "ip", "link", "set", "eth0", "up")
	p.in(node, "ip", "addr", "add", fmt.Sprintf("10.84.0.%d/24", host), "dev", "eth0")
	p.in(node, "ip", "addr", "add", fmt.Sprintf("fd84::%d/64", host), "dev", "eth0", "nodad")
}

// config writes the file of a node; the two differ in what is the machine's own. more
// stands in the list of groups.
func (p *pair) config(node, group string, more ...string) {
	p.t.Helper()
	write(p.t, filepath.Join(p.dir, node+".yaml"), fmt.Sprintf(`site: www.example.com
nodes:
  - {name: a, roles: [lb, web], address: 10.84.0.11}
  - {name: b, roles: [lb, web], address: 10.84.0.12}
vip:
  - {name: %[3]s, addresses: [%[4]s, "%[5]s"], vrid: 51, interface: eth0}
%[6]s
web: {sites: [{root: %[1]s/www}]}
tls: {secrets_dir: %[1]s/secrets}
admin: {socket: %[1]s/%[2]s.sock}
process: {run_dir: %[1]s/%[2]s}
`, p.dir, node, group, vip4, vip6, strings.Join(more, "\n")), 0o644)
}

func (p *pair) sys(args ...string) {
	p.t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v %s", strings.Join(args, " "), err, out)
	}
}

func (p *pair) in(node string, args ...string) {
	p.t.Helper()
	p.sys(append([]string{"ip", "netns", "exec", p.name + node}, args...)...)
}

func (p *pair) start(node string) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Join(p.dir, node), 0o755); err != nil {
		p.t.Fatal(err)
	}
	p.runs[node] = startCommand(p.t, p.dir, exec.Command("ip", "netns", "exec", p.name+node, binary, "--config", node+".yaml", "--node", node))
	p.runs[node].awaitOutput(`"msg":"started"`, 60*time.Second)
}

func (p *pair) socket(node string) []string {
	return []string{"--socket", filepath.Join(p.dir, node+".sock")}
}

// pid awaits that a process of the role runs: 0 would send a signal to the test itself.
func (p *pair) pid(node, role string) (pid int) {
	p.t.Helper()
	await(p.t, node+" runs "+role, 30*time.Second, func() bool {
		pid = pidOf(p.t, p.dir, node, role, p.socket(node)...)
		return pid > 0
	})
	return pid
}

func (p *pair) holds(node, address string) bool {
	out, err := exec.Command("ip", "-o", "-n", p.name+node, "addr", "show").Output()
	return err == nil && strings.Contains(string(out), " "+address+"/")
}

// held awaits that node alone holds both addresses and that the client is answered
// through them.
func (p *pair) held(node string) {
	p.t.Helper()
	other := map[string]string{"a": "b", "b": "a"}[node]
	await(p.t, node+" alone holds the addresses", 30*time.Second, func() bool {
		return p.holds(node, vip4) && p.holds(node, vip6) && !p.holds(other, vip4) && !p.holds(other, vip6)
	})
	p.answered()
}

func (p *pair) answered() {
	p.t.Helper()
	for _, address := range []string{vip4, "[" + vip6 + "]"} {
		await(p.t, "an answer through "+address, 30*time.Second, func() bool {
			out, err := exec.Command("ip", "netns", "exec", p.name+"sw", "curl", "-sk", "-m", "1",
				"--connect-to", "www.example.com:443:"+address+":443", "https://www.example.com/").Output()
			return err == nil && strings.Contains(string(out), "hello through the vip")
		})
	}
}

// states maps the names of a node's groups to their states, as `stack status` tells.
func (p *pair) states(node string) map[string]string {
	p.t.Helper()
	var nodes []struct {
		Roles []struct {
			Role   string
			Detail struct {
				VIPs []struct{ Name, State string } `json:"vips"`
			}
		}
	}
	out := must(p.t, p.dir, append([]string{"status", "--json"}, p.socket(node)...)...)
	if err := json.Unmarshal([]byte(out), &nodes); err != nil {
		p.t.Fatal(err)
	}
	states := map[string]string{}
	for _, r := range nodes[0].Roles {
		for _, v := range r.Detail.VIPs {
			states[v.Name] = v.State
		}
	}
	return states
}

func (p *pair) reload(node string) {
	p.t.Helper()
	must(p.t, p.dir, append([]string{"reload"}, p.socket(node)...)...)
}

// TestVirtualAddresses drives two balancers through everything that takes one of them
// away; a client outside is answered through the addresses after each.
func TestVirtualAddresses(t *testing.T) {
	p := newPair(t)
	p.start("b")
	p.held("b") // alone, although a is preferred
	p.start("a")
	p.held("a")

	t.Run("a killed lb child gives them away", func(t *testing.T) {
		before := strings.Count(p.runs["b"].out.String(), "virtual address master")
		syscall.Kill(p.pid("a", "lb"), syscall.SIGKILL)
		await(t, "b takes over", 30*time.Second, func() bool {
			return strings.Count(p.runs["b"].out.String(), "virtual address master") > before
		})
		p.answered()
		p.held("a") // the restarted child serves
	})
	t.Run("a killed net child", func(t *testing.T) {
		before := p.pid("a", "net")
		syscall.Kill(before, syscall.SIGKILL)
		p.answered()
		await(t, "another process takes its place", 30*time.Second, func() bool {
			now := p.pid("a", "net")
			return now != before && p.states("a")["www"] == "master"
		})
		p.held("a")
	})
	t.Run("a frozen net child", func(t *testing.T) {
		pid := p.pid("a", "net")
		syscall.Kill(pid, syscall.SIGSTOP)
		p.held("b")
		syscall.Kill(pid, syscall.SIGCONT)
		p.held("a")
	})
	t.Run("a frozen lb child", func(t *testing.T) {
		pid := p.pid("a", "lb")
		syscall.Kill(pid, syscall.SIGSTOP)
		p.held("b")
		syscall.Kill(pid, syscall.SIGCONT)
		p.held("a")
	})
	t.Run("link down and up", func(t *testing.T) {
		p.in("sw", "ip", "link", "set", "port-a", "down")
		await(t, "a says that it does not serve", 30*time.Second, func() bool { return p.states("a")["www"] == "fault" })
		p.held("b")
		p.in("sw", "ip", "link", "set", "port-a", "up")
		p.held("a")
	})
	t.Run("the interface is deleted and made again", func(t *testing.T) {
		p.in("sw", "ip", "link", "del", "port-a")
		await(t, "a says that it does not serve", 30*time.Second, func() bool { return p.states("a")["www"] == "fault" })
		p.held("b")
		p.plug("a", 11)
		p.held("a")
	})
	t.Run("reloads move what they change and nothing else", func(t *testing.T) {
		seen := p.runs["a"].out.String()
		p.in("a", "ip", "link", "set", "eth0", "mtu", "1400")
		p.reload("a")
		p.config("a", "www", `  - {name: more, addresses: [10.84.0.20], vrid: 52, interface: eth0}`)
		p.reload("a")
		await(t, "the second group is held", 30*time.Second, func() bool { return p.holds("a", "10.84.0.20") })
		p.config("a", "www", `  - {name: again, addresses: [10.84.0.21], vrid: 52, interface: eth0}`)
		p.reload("a")
		await(t, "the second group has its new address alone", 30*time.Second, func() bool {
			return p.holds("a", "10.84.0.21") && !p.holds("a", "10.84.0.20")
		})
		await(t, "the status has the two groups, both held", 30*time.Second, func() bool {
			return fmt.Sprint(p.states("a")) == "map[again:master www:master]"
		})
		for line := range strings.Lines(strings.TrimPrefix(p.runs["a"].out.String(), seen)) {
			if strings.Contains(line, `"vip":"www"`) && strings.Contains(line, `"virtual address `) {
				t.Errorf("a reload that does not change the group moved it: %s", line)
			}
		}
		fds := func() int {
			list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid("a", "net")))
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		before := fds()
		for i := range 30 {
			p.config("a", "www", fmt.Sprintf(`  - {name: again, addresses: [10.84.0.%d], vrid: 52, interface: eth0}`, 30+i))
			p.reload("a")
		}
		await(t, "30 reloads leave no descriptor open", 30*time.Second, func() bool { return fds() <= before })
		p.held("a")
	})
	t.Run("a planned stop", func(t *testing.T) {
		a := p.runs["a"]
		heard := func() int { return strings.Count(p.runs["b"].out.String(), "the master left") }
		before := heard()
		a.cmd.Process.Signal(syscall.SIGTERM)
		<-a.done
		p.held("b")
		await(t, "b heard that the master left", 30*time.Second, func() bool { return heard() > before })
		p.config("a", "www")
		p.start("a")
		p.held("a")
	})
	t.Run("everything of a node is killed", func(t *testing.T) {
		a := p.runs["a"]
		pids := []int{a.cmd.Process.Pid, p.pid("a", "net"), p.pid("a", "lb"), p.pid("a", "web")}
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		<-a.done
		p.held("b")
	})
}
