package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
)

// Ports of the site of stack dev. All are above 1023, so no root is needed; two
// sites on one machine need different ones.
type Ports struct {
	HTTP, HTTPS      uint16 // of the shared front address and of each balancer
	MySQL, MySQLRead uint16 // the same: to the primary, and to the replicas
	Web, DB, Admin   uint16 // of each node
}

// DefaultPorts are those of stack dev without flags.
var DefaultPorts = Ports{HTTP: 8080, HTTPS: 8443, MySQL: 13306, MySQLRead: 13307, Web: 8081, DB: 13308, Admin: 9180}

// PortsFrom takes seven ports in a row, for tests that run side by side.
func PortsFrom(first uint16) Ports {
	return Ports{first, first + 1, first + 2, first + 3, first + 4, first + 5, first + 6}
}

// Addresses of the site of stack dev, all on loopback.
const (
	DevFront = "127.0.0.10" // shared by both balancers with SO_REUSEPORT, in place of a VIP
	DevSite  = "stack.localhost"
	DevUser  = "demo" // database and account of the demo application
)

// DevOptions shape the site of stack dev.
type DevOptions struct {
	// Dir holds everything, empty: ./.stack. The caller makes in it: secrets/ (CA and
	// leaves, and db-demo, the password of the demo account), run/ (sockets), data/
	// and www/ (the static part of the demo site).
	Dir   string
	Ports Ports // zero: DefaultPorts
	// Environ and Flags as in Options; they hold for every node.
	Environ []string
	Flags   *pflag.FlagSet
}

// Dev is the site that stack dev runs: two balancers, two web servers with the demo
// application, a primary database and its replica, each on its own loopback address. It is
// a Config like any other; its file never exists on disk.
func Dev(opt DevOptions) (*Config, error) {
	dir := opt.Dir
	if dir == "" {
		dir = ".stack"
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot find the directory of stack dev: %w", err)
	}
	if opt.Ports == (Ports{}) {
		opt.Ports = DefaultPorts
	}
	s := &sources{
		opt: Options{File: "stack dev", Environ: opt.Environ, Flags: opt.Flags},
		dev: true,
		plan: plan{
			http: opt.Ports.HTTP, https: opt.Ports.HTTPS, mysql: opt.Ports.MySQL, mysqlRead: opt.Ports.MySQLRead,
			web: opt.Ports.Web, db: opt.Ports.DB, admin: opt.Ports.Admin,
			front: []netip.Addr{netip.MustParseAddr(DevFront)},
		},
	}
	s.opt.Text = devText(dir, opt.Ports)
	s.opt.Hostname = func() (string, error) { return "", os.ErrNotExist }
	s.opt.Addrs = func() ([]netip.Addr, error) { return nil, nil }
	var p problems
	if _, err := s.read(&p); err != nil {
		return nil, err
	}
	return s.config(&p)
}

// devText is the file of stack dev. One event loop per role keeps a laptop quiet. Commits wait
// for the replica for less time than a page has.
func devText(dir string, ports Ports) []byte {
	in := func(parts ...string) string {
		return fmt.Sprintf("%q", filepath.Join(append([]string{dir}, parts...)...))
	}
	front := func(port uint16) string { return netip.AddrPortFrom(netip.MustParseAddr(DevFront), port).String() }
	return []byte(strings.NewReplacer(
		"SITE", DevSite, "USERPASS", in("secrets", "db-"+DevUser), "USER", DevUser,
		"SECRETS", in("secrets"), "RUN", in("run"), "DATA1", in("data", "db1"), "DATA2", in("data", "db2"), "WWW", in("www"),
		"CACERT", in("secrets", "ca.crt"), "MYSQL", front(ports.MySQL), "READERS", front(ports.MySQLRead),
	).Replace(`site: SITE
nodes:
  - {name: lb1,  roles: [lb],  address: 127.0.0.11}
  - {name: lb2,  roles: [lb],  address: 127.0.0.12}
  - {name: web1, roles: [web], address: 127.0.0.21}
  - {name: web2, roles: [web], address: 127.0.0.22}
  - {name: db1,  roles: [db],  address: 127.0.0.31, set: {db: {data_dir: DATA1}}}
  - {name: db2,  roles: [db],  address: 127.0.0.32, set: {db: {data_dir: DATA2}}}
tls: {secrets_dir: SECRETS}
process: {run_dir: RUN}
lb:
  loops: 1
web:
  loops: 1
  trusted_proxies: [127.0.0.0/8] # connections inside one machine come from 127.0.0.1
  sites:
    - hosts: [SITE, localhost]
      root: WWW
      app: demo
      demo: {address: "MYSQL", read_address: "READERS", user: USER, password_file: USERPASS, database: USER, ca_file: CACERT, server_name: SITE}
db:
  memory: 128MiB
  ack: one
  ack_timeout: 500ms
  proxy_from: [127.0.0.0/8]
  databases: [USER]
  users:
    - {name: USER, databases: [USER], password_file: USERPASS}
`))
}
