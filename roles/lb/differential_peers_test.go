package lb

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"stack/appliance/config"
)

// hop is one proxy on a path: where it listens and where it forwards to.
type hop struct{ listen, target string }

// lane is one set of paths to origins of their own, so that cases can run beside each other.
type lane struct{ paths map[string]*way }

// way is the path from a client through one or two proxies to an origin.
type way struct {
	entry  string
	origin *rawOrigin
}

// direct are the proxies by themselves, chains the pairs in which stack takes part.
var (
	direct = []string{"stack", "haproxy", "nginx"}
	chains = [][2]string{{"stack", "haproxy"}, {"stack", "nginx"}, {"haproxy", "stack"}, {"nginx", "stack"}}
)

func chainName(c [2]string) string { return c[0] + " → " + c[1] }

// peerVersion returns the first line of what a program says about itself; empty if it is
// not installed.
func peerVersion(program string) string {
	out, err := exec.Command(program, "-v").CombinedOutput()
	if err != nil {
		return ""
	}
	return regexp.MustCompile(`\d+\.\d+\.\d+\S*`).FindString(string(out))
}

// startLanes starts the three proxies with n lanes; without peers stack alone.
func startLanes(t *testing.T, n int, peers bool) []lane {
	t.Helper()
	hops := map[string][]hop{}
	var lanes []lane
	reserve, release := reservePorts(t)
	add := func(proxies ...string) *way {
		p := &way{origin: startRawOrigin(t)}
		p.entry = p.origin.addr
		for i := len(proxies) - 1; i >= 0; i-- {
			h := hop{listen: reserve(), target: p.entry}
			hops[proxies[i]] = append(hops[proxies[i]], h)
			p.entry = h.listen
		}
		return p
	}
	for range n {
		l := lane{paths: map[string]*way{"stack": add("stack")}}
		if peers {
			l.paths["haproxy"], l.paths["nginx"] = add("haproxy"), add("nginx")
			for _, c := range chains {
				l.paths[chainName(c)] = add(c[0], c[1])
			}
		}
		lanes = append(lanes, l)
	}
	release()
	startStack(t, hops["stack"])
	if peers {
		startHAProxy(t, hops["haproxy"])
		startNginx(t, hops["nginx"])
	}
	return lanes
}

// reservePorts gives addresses that nobody else takes in the time before a proxy listens
// there: on a loopback address of this process alone, from which no connection goes out,
// all held until release.
func reservePorts(t *testing.T) (reserve func() string, release func()) {
	pid := os.Getpid()
	address := fmt.Sprintf("127.%d.%d.%d:0", 64+pid>>14&63, pid>>7&127, 1+pid&127)
	var held []net.Listener
	reserve = func() string {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, ln)
		return ln.Addr().String()
	}
	return reserve, func() {
		for _, ln := range held {
			ln.Close()
		}
	}
}

func startStack(t *testing.T, hops []hop) {
	var c config.LB
	for i, h := range hops {
		name := fmt.Sprintf("f%d", i)
		b := backend(name, at("origin", h.target))
		b.Check.Type = "none"
		c.Backends = append(c.Backends, b)
		c.Frontends = append(c.Frontends, config.Frontend{Name: name, Mode: "http", Backend: name, Bind: listen(netip.MustParseAddrPort(h.listen))})
	}
	start(t, c)
}

// startHAProxy runs it as it is when nothing about strictness is said.
func startHAProxy(t *testing.T, hops []hop) {
	var b strings.Builder
	b.WriteString("global\n maxconn 500\n nbthread 1\ndefaults\n mode http\n timeout connect 2s\n timeout client 20s\n timeout server 20s\n")
	for i, h := range hops {
		fmt.Fprintf(&b, "listen l%d\n bind %s\n server origin %s\n", i, h.listen, h.target)
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, hops, "haproxy", "-db", "-f", file)
}

// startNginx runs it as it is when nothing about strictness is said. HTTP/1.1 to the
// server, and bodies that are passed on as they come, are what the others do without being
// told; so is the client's Host.
func startNginx(t *testing.T, hops []hop) {
	dir := t.TempDir()
	var b strings.Builder
	fmt.Fprintf(&b, "daemon off;\nmaster_process off;\npid %s/pid;\nerror_log stderr crit;\nevents { worker_connections 500; }\nhttp {\n access_log off;\n", dir)
	for _, p := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, " %s_temp_path %s/%s;\n", p, dir, p)
	}
	b.WriteString(" proxy_http_version 1.1;\n proxy_request_buffering off;\n proxy_set_header Connection \"\";\n proxy_set_header Host $host;\n")
	for i, h := range hops {
		fmt.Fprintf(&b, " upstream u%d { server %s; keepalive 8; }\n server { listen %s; location / { proxy_pass http://u%d; } }\n", i, h.target, h.listen, i)
	}
	b.WriteString("}\n")
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, hops, "nginx", "-p", dir, "-c", file)
}

// run starts a program, waits until it listens, and ends it with the test.
func run(t *testing.T, hops []hop, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	for _, h := range hops {
		eventually(t, program+" listens", func() bool {
			select {
			case err := <-ended:
				ended <- err
				t.Fatalf("%s: %v: %s", program, err, out.String())
			default:
			}
			c, err := net.Dial("tcp", h.listen)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
}
