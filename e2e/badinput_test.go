package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is the unprivileged user of the permission cases.
const nobody = 65534

// attempt is one command line that has to be refused.
type attempt struct {
	args []string
	env  []string // beside the test's own
	uid  int      // 0 is the user of the test
}

// refuse runs the binary and holds the refusal to the rule: it ends by itself with
// status 1, and says one sentence that holds every part of want.
func refuse(t *testing.T, dir string, a attempt, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, binary, a.args...)
	c.Dir = dir
	c.Env = append(os.Environ(), a.env...)
	if a.uid != 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.uid)}}
	}
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	what := "stack " + strings.Join(a.args, " ")
	if code := c.ProcessState.ExitCode(); code != 1 {
		t.Errorf("%s: exit status %d, want 1", what, code)
	}
	oneSentence(t, what, string(out), want...)
}

func oneSentence(t *testing.T, what, said string, want ...string) {
	t.Helper()
	said = strings.TrimSuffix(said, "\n")
	if strings.Contains(said, "\n") || !strings.HasPrefix(said, "stack: ") || strings.Contains(said, "goroutine ") {
		t.Errorf("%s: not one sentence:\n%s", what, said)
	}
	for _, part := range want {
		if !strings.Contains(said, part) {
			t.Errorf("%s: does not say %q:\n%s", what, part, said)
		}
	}
}

// openDir makes a directory that every user may enter, and opens the way to the binary.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "stack-bad-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, d := range []string{dir, filepath.Dir(binary)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate writes NAME.crt and NAME.key.
func certificate(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, name+".crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})), 0o644)
	write(t, filepath.Join(dir, name+".key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), 0o600)
}

// badSite is a directory in which single files are bad.
type badSite struct {
	dir  string
	base int
}

func newBadSite(t *testing.T) badSite {
	s := badSite{openDir(t), nextPorts()}
	write(t, s.path("www/index.html"), "good", 0o644)
	certificate(t, s.dir, "good.example")
	certificate(t, s.dir, "other.example")
	if err := os.Chmod(s.path("other.example.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, s.path("junk.pem"), "no PEM", 0o644)
	write(t, s.path("locked/www/index.html"), "locked", 0o644)
	if err := os.Chmod(s.path("locked"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.path("run"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.path("run"), 0o777); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s badSite) path(name string) string { return filepath.Join(s.dir, name) }

func (s badSite) addr(i int) string { return fmt.Sprintf("127.0.0.1:%d", s.base+i) }

// config is a web server whose section begins with web.
func (s badSite) config(web string) string {
	return strings.NewReplacer("DIR", s.dir, "ADDR", s.addr(0), "MORE", s.addr(3)).Replace(web) + fmt.Sprintf(`
tls: {secrets_dir: %s}
admin: {bind: ["%s"], socket: %s}
process: {run_dir: %s, start_timeout: 5s}
`, s.path("secrets"), s.addr(1), s.path("run/s.sock"), s.path("run"))
}

// badFile is a config that no node can serve, with what has to be said about it.
type badFile struct {
	name string
	text string
	uid  int
	want []string
}

const goodWeb = `web:
  bind: ["ADDR"]
  sites: [{root: DIR/www}]`

func tlsWeb(certificates string) string {
	return strings.Replace(goodWeb, `["ADDR"]`, `["ADDR", {address: "MORE", tls: true}]`, 1) + "\n  tls: {certificates: " + certificates + "}"
}

// badFiles are the configs that are refused alike at the start, by a reload and by check.
func (s badSite) badFiles() []badFile {
	return []badFile{
		{"not YAML", "web: [\n", 0, []string{"site.yaml:1:", "not valid YAML", "check the indentation"}},
		{"a NUL byte", "web: \x00", 0, []string{"site.yaml:1:1", "not a text file"}},
		{"empty", "", 0, []string{"asks for nothing", "lb, web and db"}},
		{"an unknown key", s.config(strings.Replace(goodWeb, "sites", "sties", 1)), 0, []string{"site.yaml:3:3", `"sties"`, `nearest is "sites"`}},
		{"a wrong value", s.config(goodWeb + "\n  loops: many"), 0, []string{"site.yaml:4:10", `"many"`, "0 to 256"}},
		{"a key of a later version", s.config(goodWeb + "\n  cache: {}"), 0, []string{"site.yaml:4:3", "web.cache"}},
		{"a missing root", s.config(strings.Replace(goodWeb, "DIR/www", "DIR/gone", 1)), 0, []string{s.path("gone"), "does not exist; create it"}},
		{"a root that is a file", s.config(strings.Replace(goodWeb, "DIR/www", "DIR/junk.pem", 1)), 0, []string{s.path("junk.pem"), "is not a directory; name"}},
		{"a missing certificate", s.config(tlsWeb("[{cert: DIR/none.crt, key: DIR/good.example.key}]")), 0, []string{s.path("none.crt"), "no such file", "check the path"}},
		{"a key of another certificate", s.config(tlsWeb("[{cert: DIR/good.example.crt, key: DIR/other.example.key}]")), 0, []string{"good.example.crt", "other.example.key", "belong together"}},
		{"a certificate that is none", s.config(tlsWeb("[{cert: DIR/junk.pem}]")), 0, []string{"junk.pem", "must be PEM"}},
		{"tls auto without secrets", s.config(tlsWeb("auto")), 0, []string{s.path("secrets"), "stack secrets init"}},
		{"an unreadable key", s.config(tlsWeb("[{cert: DIR/good.example.crt, key: DIR/good.example.key}]")), nobody,
			[]string{"good.example.key", "permission denied", "let the user that runs stack read it"}},
		{"an unreadable root", s.config(strings.Replace(goodWeb, "DIR/www", "DIR/locked/www", 1)), nobody,
			[]string{s.path("locked/www"), "permission denied", "search permission"}},
		{"an access log that cannot be", s.config(goodWeb + "\n  access_log: {path: DIR/none/access.log}"), 0, []string{s.path("none/access.log"), "access_log.path", "make its directory exist"}},
	}
}

// TestBadInputAtTheStart: nothing starts, one sentence says why, and `stack check` says
// the same without starting.
func TestBadInputAtTheStart(t *testing.T) {
	s := newBadSite(t)
	for _, bad := range s.badFiles() {
		t.Run(bad.name, func(t *testing.T) {
			if bad.uid != 0 {
				needRoot(t)
			}
			file := write(t, s.path("site.yaml"), bad.text, 0o644)
			refuse(t, s.dir, attempt{args: []string{"--config", file}, uid: bad.uid}, bad.want...)
			refuse(t, s.dir, attempt{args: []string{"check", file}, uid: bad.uid}, bad.want...)
			if conn, err := net.Dial("tcp", s.addr(0)); err == nil {
				conn.Close()
				t.Error("something listens after the refusal")
			}
			if left, _ := filepath.Glob(s.path("run/*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	good := write(t, s.path("site.yaml"), s.config(goodWeb), 0o644)
	t.Run("a missing file", func(t *testing.T) {
		refuse(t, s.dir, attempt{args: []string{"--config", "none.yaml"}}, "none.yaml", "no such file", "--config")
	})
	t.Run("an unreadable file", func(t *testing.T) {
		needRoot(t)
		file := write(t, s.path("locked.yaml"), s.config(goodWeb), 0o600)
		refuse(t, s.dir, attempt{args: []string{"--config", file}, uid: nobody}, "locked.yaml", "permission denied", "let the user that runs stack read it")
	})
	t.Run("a port in use", func(t *testing.T) {
		l, err := net.Listen("tcp", s.addr(0))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		refuse(t, s.dir, attempt{args: []string{"--config", good}}, s.addr(0), fmt.Sprintf("in use by e2e.test (PID %d)", os.Getpid()), "choose another bind")
	})
	t.Run("a port below 1024 as a user", func(t *testing.T) {
		needRoot(t)
		if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err != nil || strings.TrimSpace(string(b)) != "1024" {
			t.Skip("this machine lets every user bind ports below 1024")
		}
		file := write(t, s.path("low.yaml"), strings.Replace(s.config(goodWeb), s.addr(0), "127.0.0.1:81", 1), 0o644)
		refuse(t, s.dir, attempt{args: []string{"--config", file}, uid: nobody}, "127.0.0.1:81", "CAP_NET_BIND_SERVICE", "start as root")
	})
	t.Run("a run directory that may not be written", func(t *testing.T) {
		needRoot(t)
		file := write(t, s.path("run.yaml"), strings.Replace(s.config(goodWeb), "/run/s.sock", "/s.sock", 1), 0o644)
		refuse(t, s.dir, attempt{args: []string{"--config", file}, uid: nobody}, "control socket", "permission denied", "let the user that runs stack write to")
	})
	t.Run("an unknown role", func(t *testing.T) {
		refuse(t, s.dir, attempt{args: []string{"--config", good, "--role=cache"}}, `"cache" is no role`, "lb, web and db")
	})
	t.Run("a role that the file does not have", func(t *testing.T) {
		refuse(t, s.dir, attempt{args: []string{"--config", good, "--role=db"}}, `no section for the role "db"`, "it has web")
	})
	t.Run("environment and flags", func(t *testing.T) {
		refuse(t, s.dir, attempt{args: []string{"--config", good}, env: []string{"STACK_WEB_LOPS=2"}}, "STACK_WEB_LOPS", "STACK_WEB_LOOPS")
		refuse(t, s.dir, attempt{args: []string{"--config", good}, env: []string{"STACK_WEB_LOOPS=x"}}, "STACK_WEB_LOOPS", "whole number")
		refuse(t, s.dir, attempt{args: []string{"--config", good, "--web.loops=x"}}, "--web.loops", "whole number")
		refuse(t, s.dir, attempt{args: []string{"--config", good, "--lopps=2"}}, "--lopps", "--help")
	})
	t.Run("wrong commands", func(t *testing.T) {
		refuse(t, s.dir, attempt{args: []string{"statsu"}}, "statsu", "--help")
		refuse(t, s.dir, attempt{args: []string{"lb", "drain", "web"}}, "POOL SERVER")
		refuse(t, s.dir, attempt{args: []string{"secrets"}}, "init")
		refuse(t, s.dir, attempt{args: []string{"status", "--node", "none"}}, "no node", "runs here")
		refuse(t, s.dir, attempt{args: []string{"reload", "--socket", s.path("run/none.sock")}}, "nothing answers", "is stack running?")
	})
	t.Run("nodes", func(t *testing.T) {
		file := write(t, s.path("nodes.yaml"), fmt.Sprintf(`site: www.example.com
nodes:
  - {name: there1, roles: [web], address: 192.0.2.11}
  - {name: there2, roles: [web], address: 192.0.2.12}
web: {sites: [{root: %s}]}
process: {run_dir: %s}
`, s.path("www"), s.path("run")), 0o644)
		refuse(t, s.dir, attempt{args: []string{"--config", file}}, "no node has this host's name", "there1, there2", "--node")
		refuse(t, s.dir, attempt{args: []string{"--config", file, "--node", "there3"}}, `"there3"`, "there1, there2")
		refuse(t, s.dir, attempt{args: []string{"--config", file, "--node", "there1", "--role", "lb"}}, "there1", `no role "lb"`, "it has web")
		refuse(t, s.dir, attempt{args: []string{"--config", file, "--node", "there1"}}, "no interface of this server has the address 192.0.2.11", "correct the bind")
	})
}

// TestBadInputAtAReload: each bad file is refused by the running site, which goes on with
// the one before it, and the next good one is taken.
func TestBadInputAtAReload(t *testing.T) {
	s := newBadSite(t)
	file := write(t, s.path("site.yaml"), s.config(goodWeb), 0o644)
	socket := s.path("run/s.sock")
	c := exec.Command(binary, "--config", file)
	if os.Getuid() == 0 { // so that the permission cases hold
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	p := startCommand(t, s.dir, c)
	p.awaitOutput(`"msg":"started"`, 30*time.Second)
	before := status(t, s.dir, "--socket", socket)[0]
	busy, err := net.Listen("tcp", s.addr(4))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	bad := append(s.badFiles(),
		badFile{"a port in use", s.config(strings.Replace(goodWeb, `["ADDR"]`, `["ADDR", "MORE", "`+s.addr(4)+`"]`, 1)), 0,
			[]string{s.addr(4), "in use by", "choose another bind"}},
		badFile{"a good listener beside a missing root", s.config(strings.NewReplacer(`["ADDR"]`, `["ADDR", "MORE"]`, "DIR/www", "DIR/gone").Replace(goodWeb)), 0,
			[]string{s.path("gone"), "does not exist"}},
	)
	for _, bad := range bad {
		t.Run(bad.name, func(t *testing.T) {
			if bad.uid != 0 {
				needRoot(t)
			}
			write(t, file, bad.text, 0o644)
			refuse(t, s.dir, attempt{args: []string{"reload", "--socket", socket}}, bad.want...)
			now := status(t, s.dir, "--socket", socket)[0]
			if now.Fingerprint != before.Fingerprint || now.Roles[0].Pid != before.Roles[0].Pid || !now.Ready {
				t.Errorf("the refused reload changed the node: %+v", now)
			}
			for _, part := range bad.want {
				if !strings.Contains(now.ReloadError, part) {
					t.Errorf("the status does not show %q: %q", part, now.ReloadError)
				}
			}
			if code, body, err := get(newPlainClient(), "http://"+s.addr(0)+"/"); err != nil || code != 200 || body != "good" {
				t.Errorf("after the refusal: %d %v %q", code, err, body)
			}
			if conn, err := net.Dial("tcp", s.addr(3)); err == nil {
				conn.Close()
				t.Error("a listener of the refused config is open")
			}
			if table := must(t, s.dir, "status", "--socket", socket); !strings.Contains(table, "the last reload was refused") {
				t.Errorf("the table does not show the refusal:\n%s", table)
			}
		})
	}
	t.Run("a missing file", func(t *testing.T) {
		os.Remove(file)
		refuse(t, s.dir, attempt{args: []string{"reload", "--socket", socket}}, "site.yaml", "no such file")
	})
	write(t, file, s.config(strings.Replace(goodWeb, `["ADDR"]`, `["ADDR", "MORE"]`, 1)), 0o644)
	must(t, s.dir, "reload", "--socket", socket)
	if now := status(t, s.dir, "--socket", socket)[0]; now.ReloadError != "" || now.Fingerprint == before.Fingerprint {
		t.Errorf("after a good reload: %+v", now)
	}
	if code, _, err := get(newPlainClient(), "http://"+s.addr(3)+"/"); err != nil || code != 200 {
		t.Errorf("the new listener: %d %v", code, err)
	}
}

// TestBrokenBinaryIsRefused: an upgrade to a file that cannot take over leaves the old
// binary at work, and a good file is taken afterwards.
func TestBrokenBinaryIsRefused(t *testing.T) {
	s := newBadSite(t)
	file := write(t, s.path("site.yaml"), s.config(goodWeb), 0o644)
	socket := s.path("run/s.sock")
	installed := s.path("bin/stack")
	install := func(text []byte, mode os.FileMode) {
		t.Helper()
		write(t, installed+".new", string(text), mode) // as a package does: never into the running file
		if err := os.Rename(installed+".new", installed); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	install(good, 0o755)
	p := startCommand(t, s.dir, exec.Command(installed, "--config", file))
	p.awaitOutput(`"msg":"started"`, 30*time.Second)
	before := status(t, s.dir, "--socket", socket)[0]
	unchanged := func(t *testing.T) {
		t.Helper()
		now := status(t, s.dir, "--socket", socket)[0]
		if now.Pid != before.Pid || now.Generation != before.Generation || now.Roles[0].Pid != before.Roles[0].Pid {
			t.Errorf("the refused upgrade changed the node: %+v, was %+v", now, before)
		}
		if now.UpgradeError == "" {
			t.Error("the status does not show why the upgrade was refused")
		}
		if code, _, err := get(newPlainClient(), "http://"+s.addr(0)+"/"); err != nil || code != 200 {
			t.Errorf("after the refused upgrade: %d %v", code, err)
		}
	}
	for _, bad := range []struct {
		name string
		text string
		mode os.FileMode
		want []string
	}{
		{"not executable", string(good), 0o644, []string{installed, "permission denied"}},
		{"no program", "\x00\x01\x02\x03 no program", 0o755, []string{installed, "exec format error"}},
		{"half a file", string(good[:len(good)/3]), 0o755, []string{installed}},
		{"one that fails at once", "#!/bin/sh\nexit 3\n", 0o755, []string{installed, "does not run", "exit status 3"}},
		{"one that knows no hand-over", "#!/bin/sh\necho 'stack: unknown command \"child\"' >&2; exit 1\n", 0o755, []string{installed, "cannot take over", "unknown command"}},
		{"one that hangs", "#!/bin/sh\nexec sleep 600\n", 0o755, []string{installed, "did not prove itself in time"}},
	} {
		t.Run(bad.name, func(t *testing.T) {
			install([]byte(bad.text), bad.mode)
			refuse(t, s.dir, attempt{args: []string{"upgrade", "--socket", socket}}, bad.want...)
			unchanged(t)
		})
	}
	t.Run("none", func(t *testing.T) {
		os.Remove(installed)
		refuse(t, s.dir, attempt{args: []string{"upgrade", "--socket", socket}}, installed, "no such file")
		unchanged(t)
	})
	t.Run("a config that the new one refuses", func(t *testing.T) {
		install(good, 0o755)
		write(t, file, strings.Replace(s.config(goodWeb), "www", "gone", 1), 0o644)
		refuse(t, s.dir, attempt{args: []string{"upgrade", "--socket", socket}}, s.path("gone"), "does not exist")
		unchanged(t)
	})
	write(t, file, s.config(goodWeb), 0o644)
	must(t, s.dir, "upgrade", "--socket", socket)
	await(t, "the new generation serves", 30*time.Second, func() bool {
		out, code := run(t, s.dir, "status", "--json", "--socket", socket)
		return code == 0 && strings.Contains(out, fmt.Sprintf(`"generation": %d`, before.Generation+1)) && !strings.Contains(out, "upgrade_error")
	})
}
