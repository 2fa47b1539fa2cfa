// Package e2e drives the built binary as its users do: `stack dev` and single roles from
// files, with curl and the mariadb client as peers, killed, reloaded and upgraded while
// they serve.
package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"stack/e2e/built"
)

// binary is the stack binary under test, built once.
var binary string

func TestMain(m *testing.M) {
	built.Main(m, &binary)
}

// portBases keeps sites of one run apart; each takes 100 ports.
var portBases atomic.Int32

// nextPorts stays below the range from which the kernel takes ports for clients.
func nextPorts() int { return 20000 + (os.Getpid()+int(portBases.Add(1)))%120*100 }

// program is a running stack.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	dir  string
	out  *output
	done chan struct{}
}

// start runs the binary in dir; it is stopped when the test ends.
func start(t *testing.T, dir string, args ...string) *program {
	t.Helper()
	return startCommand(t, dir, exec.Command(binary, args...))
}

// startCommand is start for a command that the caller made, such as a copy of the binary
// or one with an environment of its own.
func startCommand(t *testing.T, dir string, c *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, cmd: c, dir: dir, out: &output{}, done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(40 * time.Second):
			t.Error("did not stop within 40 s of SIGTERM")
			p.cmd.Process.Kill()
			<-p.done
		}
		if t.Failed() {
			t.Logf("output of stack %s:\n%s", strings.Join(c.Args[1:], " "), p.out.tail(20000))
		}
	})
	return p
}

// output collects what a program prints and may be read meanwhile.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) tail(n int) string {
	s := o.String()
	return s[max(0, len(s)-n):]
}

// await polls until ok, at most within.
func await(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(20 * time.Millisecond) // between two looks, bounded by within
	}
}

func (p *program) awaitOutput(text string, within time.Duration) {
	p.t.Helper()
	await(p.t, "output "+strconv.Quote(text), within, func() bool {
		select {
		case <-p.done:
			p.t.Fatalf("stack ended before it printed %q:\n%s", text, p.out.tail(5000))
		default:
		}
		return strings.Contains(p.out.String(), text)
	})
}

// run runs a command of the binary to its end.
func run(t *testing.T, dir string, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, binary, args...)
	c.Dir = dir
	text, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("stack %s: %v", strings.Join(args, " "), err)
	}
	return string(text), c.ProcessState.ExitCode()
}

// must is run for a command that has to succeed.
func must(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, code := run(t, dir, args...)
	if code != 0 {
		t.Fatalf("stack %s: exit %d:\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// tool runs a real client and returns what it prints.
func tool(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("needs %s: make tools", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return string(out), err
}

// nodeStatus is what the tests read of `stack status --json`.
type nodeStatus struct {
	Node         string `json:"node"`
	Pid          int    `json:"pid"`
	Generation   int    `json:"generation"`
	Ready        bool   `json:"ready"`
	Fingerprint  string `json:"fingerprint"`
	ReloadError  string `json:"reload_error"`
	UpgradeError string `json:"upgrade_error"`
	Roles        []struct {
		Role       string `json:"role"`
		Pid        int    `json:"pid"`
		Generation int    `json:"generation"`
		Restarts   int    `json:"restarts"`
		Ready      bool   `json:"ready"`
		Draining   []int  `json:"draining"`
	} `json:"roles"`
	Members []struct {
		Name       string `json:"name"`
		State      string `json:"state"`
		SameConfig bool   `json:"same_config"`
	} `json:"members"`
}

// status reads the state of every node that runs in dir.
func status(t *testing.T, dir string, args ...string) []nodeStatus {
	t.Helper()
	var nodes []nodeStatus
	out := must(t, dir, append([]string{"status", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &nodes); err != nil {
		t.Fatalf("stack status --json: %v\n%s", err, out)
	}
	return nodes
}

// pidOf returns the process of a node's role.
func pidOf(t *testing.T, dir, node, role string, args ...string) int {
	t.Helper()
	for _, n := range status(t, dir, args...) {
		for _, r := range n.Roles {
			if n.Node == node && r.Role == role {
				return r.Pid
			}
		}
	}
	t.Fatalf("no role %s on node %s", role, node)
	return 0
}

// devSite is a running `stack dev`.
type devSite struct {
	*program
	page    string // https URL of the front
	plain   string
	mysql   int
	ca      string
	secrets string
	client  *http.Client
}

const front = "127.0.0.10"

func startDev(t *testing.T) *devSite {
	t.Helper()
	dir := t.TempDir()
	base := nextPorts()
	s := &devSite{program: start(t, dir, "dev", "--ports", strconv.Itoa(base))}
	s.awaitOutput("Ctrl-C stops everything", 60*time.Second) // the last line of what it tells
	s.secrets = filepath.Join(dir, ".stack", "secrets")
	s.ca = filepath.Join(s.secrets, "ca.crt")
	s.page = between(t, s.out.String(), "page       ", " ")
	s.plain = between(t, s.out.String(), "(plain ", " ")
	_, port, err := net.SplitHostPort(between(t, s.out.String(), "database   ", " "))
	if err != nil {
		t.Fatal(err)
	}
	s.mysql, _ = strconv.Atoi(port)
	s.client = newClient(t, s.ca)
	return s
}

// newClient makes a client that opens a connection per request and trusts ca alone.
func newClient(t *testing.T, ca string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Client{
		Timeout:       10 * time.Second,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func get(client *http.Client, url string) (status int, body string, err error) {
	response, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// sql runs statements with the mariadb client through the balancers.
func (s *devSite) sql(user, statements string) (string, error) {
	s.t.Helper()
	file := map[string]string{"root": "db-root", "demo": "db-demo"}[user]
	password, err := os.ReadFile(filepath.Join(s.secrets, file))
	if err != nil {
		s.t.Fatal(err)
	}
	return tool(s.t, "mariadb", "--no-defaults", "--host", front, "--port", strconv.Itoa(s.mysql), "--ssl-ca", s.ca,
		"--user", user, "--password="+strings.TrimSpace(string(password)), "--batch", "--skip-column-names", "--execute", statements)
}

func between(t *testing.T, text, after, before string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, after)
	if !found {
		t.Fatalf("no %q in %q", after, text)
	}
	got, _, _ := strings.Cut(rest, before)
	return strings.TrimSpace(got)
}

// metric returns a sample's value from a text exposition, summed over its label sets
// that contain every part of with.
func metric(text, name string, with ...string) float64 {
	total := 0.0
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		matches := true
		for _, part := range with {
			matches = matches && strings.Contains(rest, part)
		}
		fields := strings.Fields(rest[strings.LastIndexByte(rest, '}')+1:])
		if matches && len(fields) > 0 {
			v, _ := strconv.ParseFloat(fields[0], 64)
			total += v
		}
	}
	return total
}

// newPlainClient opens a connection per request.
func newPlainClient() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}
