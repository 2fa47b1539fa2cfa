package vip

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stack/appliance/config"
	"stack/appliance/supervise"
)

// The test binary is also a balancer: started with this variable it runs the net role
// in the network namespace that it finds itself in, until its standard input ends.
const helperVariable = "STACK_INTERNAL_VIP_HELPER"

func TestMain(m *testing.M) {
	if text := os.Getenv(helperVariable); text != "" {
		if err := runHelper(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func runHelper(text string) error {
	var node config.Node
	if err := json.Unmarshal([]byte(text), &node); err != nil {
		return err
	}
	role, err := New(supervise.Env{Node: node.Name, Role: "net", Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Metrics: prometheus.NewRegistry()})
	if err != nil {
		return err
	}
	change, err := role.Prepare(context.Background(), &node, nil)
	if err != nil {
		return err
	}
	change.Commit()
	ready := func(on bool) {
		role.(*Role).RolesChanged(map[string]supervise.Health{"lb": {Ready: on, Reason: supervise.ReasonNotReady}})
	}
	ready(true)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	lines := make(chan string)
	go func() {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- in.Text()
		}
		close(lines)
	}()
	for {
		select {
		case <-stop:
			return role.Close()
		case line, ok := <-lines:
			if !ok {
				return role.Close()
			}
			if line == "upgrade" {
				if role, err = succeedInProcess(role, &node); err != nil {
					return err
				}
				continue
			}
			if method, rest, ok := strings.Cut(line, " "); ok {
				commandInProcess(role, method, rest)
				continue
			}
			ready(line == "ready")
		}
	}
}

// network is a switch with hosts a and b on it, in namespaces of this test's own.
type network struct {
	t      *testing.T
	prefix string
	state  string // the directory of every host's state
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	n := &network{t, fmt.Sprintf("vip%d", os.Getpid()), t.TempDir()}
	t.Cleanup(func() {
		for _, name := range []string{"sw", "a", "b"} {
			exec.Command("ip", "netns", "del", n.ns(name)).Run()
		}
	})
	for _, name := range []string{"sw", "a", "b"} {
		n.ip("netns", "add", n.ns(name))
		n.in(name, "ip", "link", "set", "lo", "up")
	}
	n.in("sw", "ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
	n.in("sw", "ip", "link", "set", "br0", "up")
	n.in("sw", "ip", "addr", "add", "10.9.0.1/24", "dev", "br0")
	for i, name := range []string{"a", "b"} {
		n.in("sw", "ip", "link", "add", "port-"+name, "type", "veth", "peer", "name", "eth0", "netns", n.ns(name))
		n.in("sw", "ip", "link", "set", "port-"+name, "master", "br0", "up")
		n.in(name, "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad")
		n.in(name, "ip", "link", "set", "eth0", "up")
		n.in(name, "ip", "addr", "add", fmt.Sprintf("10.9.0.1%d/24", i+1), "dev", "eth0")
		n.in(name, "ip", "addr", "add", fmt.Sprintf("fd09::1%d/64", i+1), "dev", "eth0", "nodad")
	}
	return n
}

func (n *network) ns(name string) string { return n.prefix + name }

func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (n *network) in(name string, command ...string) {
	n.t.Helper()
	n.ip(append([]string{"netns", "exec", n.ns(name)}, command...)...)
}

// holds tells whether a host has the address now.
func (n *network) holds(name, address string) bool {
	out, err := exec.Command("ip", "-o", "-n", n.ns(name), "addr", "show", "dev", "eth0").Output()
	return err == nil && bytes.Contains(out, []byte(" "+address+"/"))
}

// await polls until exactly the host want (of a and b) holds address.
func (n *network) await(address, want string, within time.Duration) time.Duration {
	n.t.Helper()
	other := map[string]string{"a": "b", "b": "a"}[want]
	start := time.Now()
	for {
		if n.holds(want, address) && !n.holds(other, address) {
			return time.Since(start)
		}
		if time.Since(start) > within {
			n.t.Fatalf("after %v: a holds %s: %v, b: %v; want it on %s alone", within, address, n.holds("a", address), n.holds("b", address), want)
		}
		time.Sleep(2 * time.Millisecond) // a poll, bounded by within
	}
}

// process is a balancer or a keepalived in a namespace.
type process struct {
	*exec.Cmd
	stdin io.WriteCloser
	out   *output
	done  chan struct{}
}

// output may be read while the process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (n *network) start(name string, env []string, command ...string) *process {
	n.t.Helper()
	p := &process{Cmd: exec.Command("ip", append([]string{"netns", "exec", n.ns(name)}, command...)...), out: &output{}, done: make(chan struct{})}
	p.Env = append(os.Environ(), env...)
	p.Stdout, p.Stderr = p.out, p.out
	var err error
	if p.stdin, err = p.StdinPipe(); err != nil {
		n.t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		n.t.Fatal(err)
	}
	go func() { p.Wait(); close(p.done) }()
	n.t.Cleanup(func() {
		p.stop(syscall.SIGKILL)
		if n.t.Failed() {
			n.t.Logf("%s in %s:\n%s", command[0], name, p.out)
		}
	})
	return p
}

func (p *process) stop(signal syscall.Signal) {
	p.Process.Signal(signal)
	<-p.done
}

// stack starts our net role on a host.
func (n *network) stack(name string, change func(*config.VIP)) *process {
	n.t.Helper()
	return n.stackNode(name, change, func(*config.Node) {})
}

func (n *network) stackNode(name string, change func(*config.VIP), more func(*config.Node)) *process {
	node := &config.Node{Name: name, Roles: []string{"lb"}, Members: []config.Member{
		{Name: "a", Roles: []string{"lb"}, Address: addr("10.9.0.11")}, {Name: "b", Roles: []string{"lb"}, Address: addr("10.9.0.12")}}}
	for _, m := range node.Members {
		if m.Name == name {
			node.Address = m.Address
		}
	}
	vip := config.VIP{Name: "www", Addresses: append([]netip.Addr{}, addr("10.9.0.10")), VRID: 51, Version: 3, Advert: interval, Preempt: true, Transport: "unicast", Auth: "auto", Assign: true, Accept: true}
	if change != nil {
		change(&vip)
	}
	node.VIP = []config.VIP{vip}
	more(node)
	text, err := json.Marshal(node)
	if err != nil {
		n.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	return n.start(name, []string{helperVariable + "=" + string(text), "STATE_DIRECTORY=" + n.state}, self)
}

// keepalived starts the real one on a host; body is the inside of its vrrp_instance.
func (n *network) keepalived(name, body string) *process {
	n.t.Helper()
	if _, err := exec.LookPath("keepalived"); err != nil {
		n.t.Skip("needs keepalived")
	}
	dir := n.t.TempDir()
	file := filepath.Join(dir, "keepalived.conf")
	text := "global_defs {\n vrrp_version 3\n vrrp_garp_master_delay 1\n}\nvrrp_instance www {\n interface eth0\n virtual_router_id 51\n advert_int 0.1\n" + body + "\n}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return n.start(name, nil, "keepalived", "-n", "-l", "-D", "-P", "-f", file, "-p", dir+"/pid", "-r", dir+"/vpid")
}

func TestTwoBalancers(t *testing.T) {
	n := newNetwork(t)
	const vip = "10.9.0.10"
	a := n.stack("a", nil)
	n.await(vip, "a", 20*time.Second)
	b := n.stack("b", nil)

	t.Run("a clean stop moves the address within the skew", func(t *testing.T) {
		waitOutput(t, b, "virtual address backup")
		a.stop(syscall.SIGTERM)
		t.Logf("moved in %v", n.await(vip, "b", time.Second))
	})
	t.Run("the preferred one takes it back", func(t *testing.T) {
		a = n.stack("a", nil)
		n.await(vip, "a", 20*time.Second)
	})
	t.Run("a balancer that is not ready gives it away", func(t *testing.T) {
		fmt.Fprintln(a.stdin, "down")
		n.await(vip, "b", time.Second)
		fmt.Fprintln(a.stdin, "ready")
		n.await(vip, "a", 20*time.Second)
	})
	t.Run("a removed address is put back", func(t *testing.T) {
		monitor := n.start("a", nil, "ip", "-ts", "monitor", "address")
		for i := 0; !strings.Contains(monitor.out.String(), "10.9.1."); i++ { // until it watches
			n.in("a", "ip", "addr", "add", fmt.Sprintf("10.9.1.%d/32", i), "dev", "lo")
		}
		end := make(chan struct{})
		latest := oversleeping(end)
		for range 9 {
			n.in("a", "ip", "addr", "del", vip+"/32", "dev", "eth0")
			n.await(vip, "a", time.Second)
		}
		waitOutput(t, a, "removed by another program")
		close(end)
		control := <-latest
		var back []time.Duration
		for late := time.Now().Add(time.Minute); len(back) < 9 && time.Now().Before(late); time.Sleep(5 * time.Millisecond) { // until it has printed all
			back = absences(t, monitor.out.String(), vip)
		}
		slices.Sort(back)
		t.Logf("back in %v; a process that only sleeps woke late by up to %v", back, control)
		if len(back) < 9 || back[len(back)/2] > 100*time.Millisecond {
			t.Errorf("the median of %d is above 100 ms", len(back))
		}
	})
	t.Run("kill -9 leaves the address on one host only", func(t *testing.T) {
		a.stop(syscall.SIGKILL)
		// The kernel takes it from the dead within the lifetime of 2 s.
		t.Logf("on one host after %v", n.await(vip, "b", 5*time.Second))
	})
}

// absences reads how long an address was away each time from what ip -ts monitor printed.
func absences(t *testing.T, text, address string) (list []time.Duration) {
	var gone time.Time
	for line := range strings.Lines(text) {
		if !strings.Contains(line, " "+address+"/") {
			continue
		}
		stamp, _, _ := strings.Cut(strings.TrimPrefix(line, "["), "]")
		at, err := time.Parse("2006-01-02T15:04:05.999999", stamp)
		switch {
		case err != nil:
			t.Fatalf("%q: %v", line, err)
		case strings.Contains(line, "Deleted"):
			gone = at
		case !gone.IsZero():
			list, gone = append(list, at.Sub(gone)), time.Time{}
		}
	}
	return list
}

// oversleeping sleeps again and again for a millisecond until end, and tells how much
// longer it took at most.
func oversleeping(end chan struct{}) chan time.Duration {
	latest := make(chan time.Duration, 1)
	go func() {
		var most time.Duration
		for {
			start := time.Now()
			select {
			case <-end:
				latest <- most
				return
			case <-time.After(time.Millisecond):
				most = max(most, time.Since(start)-time.Millisecond)
			}
		}
	}()
	return latest
}

func TestBothFamiliesMoveTogether(t *testing.T) {
	n := newNetwork(t)
	both := func(v *config.VIP) { v.Addresses = append(v.Addresses, addr("fd09::10")) }
	a := n.stack("a", both)
	n.await("10.9.0.10", "a", 20*time.Second)
	n.await("fd09::10", "a", 20*time.Second)
	b := n.stack("b", both)
	waitOutput(t, b, "virtual address backup")
	a.stop(syscall.SIGTERM)
	n.await("10.9.0.10", "b", time.Second)
	n.await("fd09::10", "b", time.Second)
}

func TestFrozenMasterLosesTheAddress(t *testing.T) {
	n := newNetwork(t)
	const vip = "10.9.0.10"
	a := n.stack("a", nil)
	n.await(vip, "a", 20*time.Second)
	b := n.stack("b", nil)
	waitOutput(t, b, "virtual address backup")
	// `ip netns exec` replaces itself by the command: the pid is the balancer's.
	a.Process.Signal(syscall.SIGSTOP)
	t.Logf("on one host after %v", n.await(vip, "b", 5*time.Second))
	a.Process.Signal(syscall.SIGCONT)
	n.await(vip, "a", 20*time.Second)
}

// Interop with keepalived in both directions: it must heed our adverts and we its.
func TestKeepalived(t *testing.T) {
	for _, c := range []struct {
		name, vip string
		body      string
		change    func(*config.VIP)
	}{
		{"IPv4 unicast", "10.9.0.10", "unicast_src_ip 10.9.0.12\n unicast_peer {\n 10.9.0.11\n }\n virtual_ipaddress {\n 10.9.0.10/32\n }", nil},
		{"IPv4 multicast", "10.9.0.10", "virtual_ipaddress {\n 10.9.0.10/32\n }", func(v *config.VIP) { v.Transport = "multicast" }},
		{"version 2", "10.9.0.10", "version 2\n advert_int 1\n unicast_src_ip 10.9.0.12\n unicast_peer {\n 10.9.0.11\n }\n virtual_ipaddress {\n 10.9.0.10/32\n }", func(v *config.VIP) {
			v.Version, v.Advert = 2, time.Second
		}},
		{"IPv6 multicast", "fd09::10", "virtual_ipaddress {\n fd09::10/128\n }", func(v *config.VIP) {
			v.Transport, v.Addresses = "multicast", []netip.Addr{addr("fd09::10")}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t)
			ours := n.stack("a", c.change) // priority 254
			n.await(c.vip, "a", 10*time.Second)
			theirs := n.keepalived("b", "state BACKUP\n priority 100\n "+c.body)
			waitOutput(t, theirs, "Entering BACKUP STATE")
			ours.stop(syscall.SIGTERM)
			t.Logf("keepalived took over in %v", n.await(c.vip, "b", 2*time.Second))
			ours = n.stack("a", c.change)
			t.Logf("stack preempted in %v", n.await(c.vip, "a", 10*time.Second))
			theirs.stop(syscall.SIGTERM)

			ours.stop(syscall.SIGTERM)
			theirs = n.keepalived("b", "state BACKUP\n priority 255\n "+c.body)
			n.await(c.vip, "b", 10*time.Second)
			ours = n.stack("a", c.change)
			waitOutput(t, ours, "virtual address backup")
			theirs.stop(syscall.SIGTERM)
			t.Logf("stack took over in %v", n.await(c.vip, "a", 2*time.Second))
		})
	}
}

func waitOutput(t *testing.T, p *process, text string) {
	t.Helper()
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(5 * time.Millisecond) {
		if strings.Contains(p.out.String(), text) {
			return
		}
	}
	t.Fatalf("no %q in the output within a minute", text)
}

// withKey has a balancer of the test find this key in its secrets, or none.
func withKey(n *network, name, key string) func(*config.Node) {
	dir := n.t.TempDir()
	if key != "" {
		if err := os.WriteFile(filepath.Join(dir, "vrrp.key"), []byte(strings.Repeat(key, 32)), 0o600); err != nil {
			n.t.Fatal(err)
		}
	}
	return func(node *config.Node) { node.TLS.SecretsDir = dir }
}

func TestAuthenticatedBalancers(t *testing.T) {
	n := newNetwork(t)
	const vip = "10.9.0.10"
	a := n.stackNode("a", nil, withKey(n, "a", "5a"))
	n.await(vip, "a", 20*time.Second)
	b := n.stackNode("b", nil, withKey(n, "b", "5a"))
	waitOutput(t, b, "virtual address backup")
	time.Sleep(5 * interval) // longer than it would wait for a master that it does not trust
	if !n.holds("a", vip) || n.holds("b", vip) {
		t.Fatal("b does not heed a, which has the same key")
	}
	a.stop(syscall.SIGTERM)
	n.await(vip, "b", time.Second)
	a = n.stackNode("a", nil, withKey(n, "a", "5a")) // its numbers go on
	n.await(vip, "a", 20*time.Second)
	b.stop(syscall.SIGTERM)

	for key, want := range map[string]string{"": "this one has no vrrp.key", "5b": "another vrrp.key"} {
		b = n.stackNode("b", nil, withKey(n, "b", key))
		waitOutput(t, b, want)
		b.stop(syscall.SIGTERM)
	}
	if strings.Contains(a.out.String(), "5a5a5a") {
		t.Error("the key is in the log")
	}
}

// The addresses are somebody else's to set.
func TestUnassigned(t *testing.T) {
	n := newNetwork(t)
	a := n.stack("a", func(v *config.VIP) { v.Assign = false })
	waitOutput(t, a, "virtual address master")
	b := n.stack("b", func(v *config.VIP) { v.Assign = false })
	waitOutput(t, b, "virtual address backup")
	a.stop(syscall.SIGTERM)
	waitOutput(t, b, "virtual address master")
	if n.holds("a", "10.9.0.10") || n.holds("b", "10.9.0.10") {
		t.Error("the address was set")
	}
}

// A machine that was given the address by hand is found, and reported with its MAC.
func TestStranger(t *testing.T) {
	n := newNetwork(t)
	a := n.stack("a", func(v *config.VIP) { v.Addresses = append(v.Addresses, addr("fd09::10")) })
	n.await("10.9.0.10", "a", 20*time.Second)
	n.in("b", "ip", "addr", "add", "10.9.0.10/32", "dev", "eth0")
	n.in("b", "ip", "addr", "add", "fd09::10/128", "dev", "eth0", "nodad")
	mac, err := exec.Command("ip", "netns", "exec", n.ns("b"), "cat", "/sys/class/net/eth0/address").Output()
	if err != nil {
		t.Fatal(err)
	}
	waitOutput(t, a, "mac="+string(bytes.TrimSpace(mac)))
	if !n.holds("a", "10.9.0.10") {
		t.Error("the holder has given up the address")
	}
}

// An interface that gets another MAC address, or is made again, is used as it is now.
func TestInterfaceChanges(t *testing.T) {
	n := newNetwork(t)
	const vip, mac = "10.9.0.10", "02:00:00:00:09:01"
	n.stack("a", nil)
	n.await(vip, "a", 20*time.Second)
	t.Run("another MAC address is announced", func(t *testing.T) {
		n.in("sw", "bash", "-c", "echo >/dev/udp/"+vip+"/9") // br0 learns the first one
		n.in("a", "ip", "link", "set", "eth0", "address", mac)
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			out, err := exec.Command("ip", "-n", n.ns("sw"), "neigh", "show", vip).Output()
			if err == nil && bytes.Contains(out, []byte(mac)) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("the neighbour still has %s, %v", out, err)
			}
		}
	})
	t.Run("an interface that is made again", func(t *testing.T) {
		n.in("a", "ip", "link", "del", "eth0")
		n.in("sw", "ip", "link", "add", "port-a", "type", "veth", "peer", "name", "eth0", "netns", n.ns("a"))
		n.in("sw", "ip", "link", "set", "port-a", "master", "br0", "up")
		n.in("a", "ip", "link", "set", "eth0", "up")
		n.in("a", "ip", "addr", "add", "10.9.0.11/24", "dev", "eth0")
		t.Logf("there after %v", n.await(vip, "a", 20*time.Second))
	})
}
