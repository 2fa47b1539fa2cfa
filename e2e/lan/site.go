package lan

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Site is a stack site whose balancers stand on the LAN before one web server.
type Site struct {
	LAN    *LAN
	Binary string // of stack, an absolute path
	Dir    string // for the files of the nodes; a short path, as sockets are in it
	Nodes  []Node
	IPv6   bool   // the nodes have their IPv6 addresses
	VIP    string // the list of the key vip, in YAML
	Origin netip.AddrPort
}

// Node is a balancer: the host of that name, and its number on the LAN.
type Node struct {
	Name   string
	Number int
}

const siteFile = `site: www.example.com
nodes:
%[1]svip:
%[2]s
lb:
  loops: 1
  access_log: {enabled: false}
  frontends: [{name: http, bind: [":80"], backend: web}]
  backends: [{name: web, servers: [{name: web, address: "%[3]s"}], check: {type: tcp}}]
tls: {secrets_dir: %[4]s/secrets}
admin: {socket: %[4]s/%[5]s.sock}
process: {run_dir: %[4]s/%[5]s}
`

// Write makes the file of a node; a reload follows it.
func (s *Site) Write(node string) error {
	var nodes strings.Builder
	for _, n := range s.Nodes {
		address := Address(n.Number)
		if s.IPv6 {
			address = Address6(n.Number)
		}
		fmt.Fprintf(&nodes, "  - {name: %s, roles: [lb], address: \"%s\"}\n", n.Name, address)
	}
	text := fmt.Sprintf(siteFile, nodes.String(), strings.TrimRight(s.VIP, "\n"), s.Origin, s.Dir, node)
	return os.WriteFile(s.file(node), []byte(text), 0o644)
}

func (s *Site) file(node string) string { return filepath.Join(s.Dir, node+".yaml") }

// Prepare writes the files of the balancers and the site's secrets.
func (s *Site) Prepare() error {
	for _, n := range s.Nodes {
		if err := s.Write(n.Name); err != nil {
			return err
		}
	}
	return run(s.Binary, "secrets", "init", "--config", s.file(s.Nodes[0].Name))
}

// Start runs a balancer.
func (s *Site) Start(node string) (*Process, error) {
	if err := os.MkdirAll(filepath.Join(s.Dir, node), 0o755); err != nil {
		return nil, err
	}
	return s.LAN.Start(node, s.Dir, s.Binary, "--config", s.file(node), "--node", node)
}

// Command runs a command of the binary against a running node, at most 30 s.
func (s *Site) Command(node string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.Binary, append(args, "--socket", filepath.Join(s.Dir, node+".sock"))...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("stack %s on %s: %w: %s", strings.Join(args, " "), node, err, out)
	}
	return string(out), nil
}

// Metric sums the samples of a node's metric whose labels hold every part of with.
func (s *Site) Metric(node, name string, with ...string) (total float64, err error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial("unix", filepath.Join(s.Dir, node+".sock"))
		}}}
	response, err := client.Get("http://node/metrics")
	if err != nil {
		return 0, fmt.Errorf("metrics of %s: %w", node, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, fmt.Errorf("metrics of %s: %w", node, err)
	}
	found := false
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		matches := true
		for _, part := range with {
			matches = matches && strings.Contains(rest, part)
		}
		fields := strings.Fields(rest[strings.LastIndexByte(rest, '}')+1:])
		if !matches || len(fields) == 0 {
			continue
		}
		v, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return 0, fmt.Errorf("metrics of %s: %w", node, err)
		}
		found = true
		total += v
	}
	if !found {
		return 0, fmt.Errorf("metrics of %s: no sample %s %v", node, name, with)
	}
	return total, nil
}

// Serve answers every request at a host's port with a few bytes until it is closed.
func (l *LAN) Serve(host string, at netip.AddrPort) (io.Closer, error) {
	var listener net.Listener
	err := l.In(host, func() (err error) {
		config := net.ListenConfig{}
		config.SetMultipathTCP(false)
		listener, err = config.Listen(context.Background(), "tcp", at.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("serve on %s: %w", host, err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello\n") })}
	go server.Serve(listener)
	return server, nil
}
