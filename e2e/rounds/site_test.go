package rounds

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"stack/e2e/lan"
)

// Everybody's numbers on the LAN.
const (
	clientNumber   = 1
	balancerNumber = 11
	databaseNumber = 31 // of the first
)

// Ports of the balancer's endpoints; a database server has the first.
const (
	writePort = 3306
	readPort  = 3307
)

// patience is how long a condition is awaited: a machine may be busy.
const patience = 90 * time.Second

// site is a balancer and database servers, each on a host of its own.
type site struct {
	setting
	t      *testing.T
	lan    *lan.LAN
	dir    string
	names  []string // of the database servers
	nodes  map[string]*lan.Process
	before map[string]string // what earlier processes of a node have printed
	frozen map[string]bool
	pools  map[string]*sql.DB // of the test's own questions, by server
}

var segments atomic.Int32

const siteFile = `site: www.example.com
nodes:
  - {name: lb1, roles: [lb], address: %[1]s, set: {lb: {loops: 1, access_log: {enabled: false}}}}
%[2]stls: {secrets_dir: %[3]s/secrets}
process: {run_dir: %[3]s}
db:
  memory: 64MiB
  databases: [shop]
  root_password_file: %[3]s/root
  ack: %[4]s
  ack_policy: %[5]s
  ack_timeout: %[6]s
`

// newSite starts a site.
func newSite(t *testing.T, of setting) *site {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	l, err := lan.New(fmt.Sprintf("rounds%d-%d", os.Getpid(), segments.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	s := &site{setting: of, t: t, lan: l, dir: t.TempDir(), nodes: map[string]*lan.Process{}, before: map[string]string{}, frozen: map[string]bool{}, pools: map[string]*sql.DB{}}
	s.must(l.Join("client", clientNumber))
	s.must(l.Join("lb1", balancerNumber))
	var nodes strings.Builder
	for i := range of.replicas + 1 {
		name := fmt.Sprint("db", i+1)
		s.names = append(s.names, name)
		s.must(l.Join(name, databaseNumber+i))
		fmt.Fprintf(&nodes, "  - {name: %s, roles: [db], address: %s, set: {db: {data_dir: %s}}}\n", name, lan.Address(databaseNumber+i), filepath.Join(s.dir, name))
	}
	s.must(os.WriteFile(filepath.Join(s.dir, "root"), []byte("secret\n"), 0o600))
	s.must(os.WriteFile(s.file(), []byte(fmt.Sprintf(siteFile, lan.Address(balancerNumber), nodes.String(), s.dir, of.ack, of.policy, of.timeout)), 0o644))
	s.command("secrets", "init", "--config", s.file())
	t.Cleanup(s.stop)
	for _, name := range append([]string{"lb1"}, s.names...) {
		s.start(name)
	}
	for _, name := range s.names {
		s.pools[name] = s.open(s.address(name), writePort, patience)
	}
	return s
}

func (s *site) file() string { return filepath.Join(s.dir, "stack.yaml") }

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// address of a database server.
func (s *site) address(name string) string {
	return lan.Address(databaseNumber + slices.Index(s.names, name)).String()
}

// start runs a node.
func (s *site) start(name string) {
	s.t.Helper()
	if p := s.nodes[name]; p != nil {
		s.before[name] += p.Output()
	}
	var err error
	s.nodes[name], err = s.lan.Start(name, s.dir, binary, "--node", name, "--config", s.file())
	s.must(err)
}

// said is what a node has printed so far.
func (s *site) said(name string) string { return s.before[name] + s.nodes[name].Output() }

// stop ends all, and shows what they said where the test has failed.
func (s *site) stop() {
	for name, p := range s.nodes {
		p.Kill()
		if s.t.Failed() {
			out := p.Output()
			s.t.Logf("%s:\n%s", name, out[max(0, len(out)-12000):])
		}
	}
}

// freeze lets a node stand still, or go on.
func (s *site) freeze(name string, on bool) {
	if s.frozen[name] == on {
		return
	}
	if s.frozen[name] = on; on {
		s.nodes[name].Freeze()
	} else {
		s.nodes[name].Thaw()
	}
}

// open is a pool of connections from the client's host, with this much patience for an answer.
func (s *site) open(host string, port int, answer time.Duration) *sql.DB {
	s.t.Helper()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DBName = "root", "secret", "shop"
	cfg.Net, cfg.Addr, cfg.Logger = "tcp", net.JoinHostPort(host, fmt.Sprint(port)), &mysql.NopLogger{}
	cfg.ReadTimeout, cfg.WriteTimeout, cfg.InterpolateParams = answer, answer, true
	cfg.DialFunc = func(ctx context.Context, network, address string) (c net.Conn, err error) {
		err = s.lan.In("client", func() (err error) {
			d := net.Dialer{Timeout: 3 * time.Second}
			d.SetMultipathTCP(false)
			c, err = d.DialContext(ctx, network, address)
			return err
		})
		return c, err
	}
	connector, err := mysql.NewConnector(cfg)
	s.must(err)
	db := sql.OpenDB(connector)
	db.SetMaxIdleConns(64)
	s.t.Cleanup(func() { db.Close() })
	return db
}

// try runs a command of the binary.
func (s *site) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, binary, args...)
	c.Dir = s.dir
	out, err := c.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// command is try where it has to succeed.
func (s *site) command(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("stack %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// on runs a command against a node.
func (s *site) on(name string, args ...string) (string, error) {
	return s.try(append(args, "--socket", filepath.Join(s.dir, name+".sock"))...)
}

// await polls until ok.
func (s *site) await(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			s.t.Fatalf("not within %v: %s\n%s", patience, what, s.describe())
		}
		time.Sleep(50 * time.Millisecond) // between two looks, bounded by patience
	}
}

// state is what the test reads of a node's status.
type state struct {
	Role     string `json:"role"`
	Primary  string `json:"primary"`
	Epoch    uint64 `json:"epoch"`
	Executed string `json:"executed"`
	Source   *struct {
		State, Error string
	} `json:"source"`
	Acks *struct {
		State   string `json:"state"`
		Unacked string `json:"unacknowledged_from"`
	} `json:"acknowledgements"`
}

// state asks a node; false: it does not answer.
func (s *site) state(name string) (st state, ok bool) {
	if s.frozen[name] || !s.nodes[name].Running() {
		return st, false
	}
	response, err := s.control(name).Get("http://node/v1/db/status")
	if err != nil {
		return st, false
	}
	defer response.Body.Close()
	return st, response.StatusCode == http.StatusOK && json.NewDecoder(response.Body).Decode(&st) == nil
}

// control is a client of a node's control socket.
func (s *site) control(name string) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial("unix", filepath.Join(s.dir, name+".sock"))
		}}}
}

// putAside are the files of transactions that servers took back, and the directories that a copy has replaced.
func (s *site) putAside() map[string]bool {
	found := map[string]bool{}
	for _, name := range s.names {
		for _, pattern := range []string{"errant/*.binlog", "replaced-auto-*"} {
			paths, err := filepath.Glob(filepath.Join(s.dir, name, pattern))
			s.must(err)
			for _, path := range paths {
				found[strings.TrimPrefix(path, s.dir+"/")] = true
			}
		}
	}
	return found
}

// primary is the one server that takes writes; empty: there is none, or not all of the others follow it.
func (s *site) primary() (name string) {
	states := map[string]state{}
	for _, n := range s.names {
		st, ok := s.state(n)
		if !ok {
			return ""
		}
		if states[n] = st; st.Role == "primary" {
			name = n
		}
	}
	for _, n := range s.names {
		st := states[n]
		if st.Epoch != states[name].Epoch || st.Primary != name {
			return ""
		}
		if n != name && (st.Role != "replica" || st.Source == nil || st.Source.State != "running") {
			return ""
		}
	}
	return name
}

// describe is what a failure needs to be understood.
func (s *site) describe() string {
	var b strings.Builder
	for _, name := range s.names {
		st, ok := s.state(name)
		fmt.Fprintf(&b, "%s: answers %v, %+v", name, ok, st)
		if st.Source != nil {
			fmt.Fprintf(&b, " source %+v", *st.Source)
		}
		if st.Acks != nil {
			fmt.Fprintf(&b, " acknowledgements %+v", *st.Acks)
		}
		b.WriteString("\n")
	}
	return b.String()
}
