// Package config holds the one typed description of a site and is the only
// place that knows YAML, viper, the environment and flags. Everything else takes
// the structs of this file.
//
// Load reads and merges the sources and returns a *Config as written. Resolve
// turns it into a *Node: everything one node needs, derived and complete, with no
// optional left to interpret. Roles take a *Node and never look at a *Config.
package config

import (
	"net/netip"
	"time"
)

// Config is the file as written, after merging, before derivation.
type Config struct {
	Site     string     `yaml:"site"`
	Nodes    []NodeDecl `yaml:"nodes"`
	VIP      []VIP      `yaml:"vip"`
	TLS      TLS        `yaml:"tls"`
	LB       *LB        `yaml:"lb"`
	Web      *Web       `yaml:"web"`
	DB       *DB        `yaml:"db"`
	Firewall Firewall   `yaml:"firewall"`
	Admin    Admin      `yaml:"admin"`
	Log      Log        `yaml:"log"`
	Process  Process    `yaml:"process"`
}

// NodeDecl is one server of the site.
type NodeDecl struct {
	Name    string     `yaml:"name"`
	Roles   []string   `yaml:"roles"`   // lb, web, db
	Address netip.Addr `yaml:"address"` // the address the other nodes use
	Weight  int        `yaml:"weight"`  // 1..256 in the derived web pool
	// Set is a partial Config merged for this node only; handled as YAML by the
	// merge and absent from the typed result.
}

// VIP is a group of addresses that move together between the balancers.
type VIP struct {
	Name      string        `yaml:"name"`
	Addresses []netip.Addr  `yaml:"addresses"`
	Interface string        `yaml:"interface"`
	VRID      int           `yaml:"vrid"`   // 1..255
	Prefer    string        `yaml:"prefer"` // node name
	Advert    time.Duration `yaml:"advert"` // 10ms..40s
	Preempt   bool          `yaml:"preempt"`
	Transport string        `yaml:"transport"` // unicast | multicast
}

// TLS says where certificates come from when a listener says "auto".
type TLS struct {
	SecretsDir string `yaml:"secrets_dir"` // default /etc/stack/secrets
	MinVersion string `yaml:"min_version"` // "1.2" | "1.3"
}

// LB is the balancer.
type LB struct {
	Loops     int        `yaml:"loops"` // event loops; 0 = one per CPU
	Frontends []Frontend `yaml:"frontends"`
	Backends  []Backend  `yaml:"backends"`
	Timeouts  Timeouts   `yaml:"timeouts"`
	Limits    Limits     `yaml:"limits"`
	AccessLog AccessLog  `yaml:"access_log"`
	// TrustedProxies are the peers whose X-Forwarded-* and Forwarded are kept.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies"`
}

// Frontend is a listener of the balancer and what it does with what arrives.
type Frontend struct {
	Name          string   `yaml:"name"`
	Bind          []Listen `yaml:"bind"`
	Mode          string   `yaml:"mode"` // http | tcp
	TLS           *BindTLS `yaml:"tls"`
	RedirectHTTPS bool     `yaml:"redirect_https"` // answer 308 to the same URL on https
	HTTPSPort     int      `yaml:"https_port"`     // the port the redirect names; 443 leaves it out
	Routes        []Route  `yaml:"routes"`         // mode http; evaluated in order
	Backend       string   `yaml:"backend"`        // mode tcp, or http without routes
}

// BindTLS turns TLS on for a listener.
type BindTLS struct {
	// Auto asks for the local CA (ACME later); else Certificates are used, chosen
	// by SNI, the first being the default.
	Auto         bool       `yaml:"-"`
	Certificates []CertFile `yaml:"certificates"` // or the word "auto"
}

// CertFile is a certificate chain and its key, PEM. Both may be one file.
type CertFile struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Route sends what matches to a backend.
type Route struct {
	Match   Match  `yaml:"match"`
	Backend string `yaml:"backend"`
}

// Match has only ANDed conditions; the empty Match takes everything.
type Match struct {
	Host       string   `yaml:"host"`        // exact, or "*.example.com"
	PathPrefix string   `yaml:"path_prefix"` // begins with /
	Path       string   `yaml:"path"`        // exact
	Methods    []string `yaml:"methods"`
}

// Backend is a pool of servers.
type Backend struct {
	Name       string    `yaml:"name"`
	Mode       string    `yaml:"mode"`      // http | tcp, from the frontends that use it
	Algorithm  string    `yaml:"algorithm"` // roundrobin | leastconn
	AllBackups bool      `yaml:"all_backups"`
	Servers    []Server  `yaml:"servers"`
	Check      Check     `yaml:"check"`
	Retries    Retries   `yaml:"retries"`
	Timeouts   *Timeouts `yaml:"timeouts"` // overrides lb.timeouts for this pool
}

// Server is one member of a pool.
type Server struct {
	Name    string `yaml:"name"`
	Address string `yaml:"address"` // host:port, or unix:/path
	Weight  int    `yaml:"weight"`  // 0..256; 0 takes no new traffic
	Backup  bool   `yaml:"backup"`
	MaxConn int    `yaml:"maxconn"` // 0 = no bound
}

// Check is how a pool learns which servers are up.
type Check struct {
	Type     string        `yaml:"type"` // none | tcp | http
	Path     string        `yaml:"path"`
	Host     string        `yaml:"host"`
	Interval time.Duration `yaml:"interval"`
	Timeout  time.Duration `yaml:"timeout"`
	Rise     int           `yaml:"rise"`
	Fall     int           `yaml:"fall"`
	Expect   Expect        `yaml:"expect"`
}

// Expect lists the statuses of a healthy answer; empty means 200..399.
type Expect struct {
	Status []int `yaml:"status"`
}

// Retries says when a request is tried on another server. Only "connect"
// (nothing was sent) is available in this version.
type Retries struct {
	Attempts int      `yaml:"attempts"`
	When     []string `yaml:"when"`
}

// Timeouts bound every wait. All > 0.
type Timeouts struct {
	RequestHead time.Duration `yaml:"request_head"` // first byte of a head to its end
	Idle        time.Duration `yaml:"idle"`         // keep-alive between requests
	Body        time.Duration `yaml:"body"`         // between two reads or writes of a body
	Connect     time.Duration `yaml:"connect"`
	Response    time.Duration `yaml:"response"` // request sent to first byte of the answer
	Tunnel      time.Duration `yaml:"tunnel"`   // TCP mode and Upgrade, idle both ways
	Drain       time.Duration `yaml:"drain"`    // old connections after an upgrade or stop
	TunnelDrain time.Duration `yaml:"tunnel_drain"`
}

// Limits bound memory and connections.
type Limits struct {
	HeadBytes   int `yaml:"head_bytes"` // request line and headers
	Headers     int `yaml:"headers"`    // number of header fields
	Connections int `yaml:"connections"`
	BufferBytes int `yaml:"buffer_bytes"` // per connection and direction
	// BodyBytes bounds a request body; 0 = no bound (lb), default 64 MiB (web).
	BodyBytes int64 `yaml:"body_bytes"`
}

// AccessLog is one line per request.
type AccessLog struct {
	Enabled bool   `yaml:"enabled"`
	Path    string `yaml:"path"`   // file; empty = the process's log
	Format  string `yaml:"format"` // json | combined
}

// Web is the web server.
type Web struct {
	Loops          int            `yaml:"loops"`
	Bind           []Listen       `yaml:"bind"`
	TLS            *BindTLS       `yaml:"tls"`    // for the binds whose Listen.TLS is true
	Public         bool           `yaml:"public"` // also listens on :80 and :443 behind a balancer
	Sites          []WebSite      `yaml:"sites"`
	Timeouts       Timeouts       `yaml:"timeouts"`
	Limits         Limits         `yaml:"limits"`
	AccessLog      AccessLog      `yaml:"access_log"`
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies"` // default: exactly the lb nodes
	HealthPath     string         `yaml:"health_path"`     // reserved path, answered by the role itself
}

// WebSite is a virtual host. The first site is the default for unknown hosts.
type WebSite struct {
	Hosts      []string    `yaml:"hosts"` // exact, "*.example.org", or empty for every host
	Root       string      `yaml:"root"`
	Index      []string    `yaml:"index"`
	TryFiles   []string    `yaml:"try_files"`
	PHP        string      `yaml:"php"`      // short for index.php, try_files and a FastCGI location
	Symlinks   string      `yaml:"symlinks"` // within (default: targets inside root) | follow | deny
	Dotfiles   bool        `yaml:"dotfiles"` // serve names that begin with a dot; /.well-known/ always
	Locations  []Location  `yaml:"locations"`
	ErrorPages []ErrorPage `yaml:"error_pages"`
	App        string      `yaml:"app"` // "demo": the built-in demo application of stack dev
}

// ErrorPage is a file, relative to the site's root, shown for some statuses.
type ErrorPage struct {
	Status []int  `yaml:"status"`
	File   string `yaml:"file"`
}

// Location treats some paths of a site in their own way. Exactly one of Path,
// Exact and Regex is set. Order: exact; then regex in file order unless the
// longest prefix says Final; then that prefix.
type Location struct {
	Exact    string         `yaml:"exact"`
	Path     string         `yaml:"path"`
	Regex    string         `yaml:"regex"`
	Final    bool           `yaml:"final"`
	Root     string         `yaml:"root"`
	Index    []string       `yaml:"index"`
	TryFiles []string       `yaml:"try_files"`
	Expires  *time.Duration `yaml:"expires"` // Cache-Control: max-age; accepts d and y
	Proxy    *Proxy         `yaml:"proxy"`
	FastCGI  *FastCGI       `yaml:"fastcgi"`
	Status   int            `yaml:"status"` // answer this status and nothing else
}

// Proxy hands requests to an application server over HTTP/1.1.
type Proxy struct {
	Servers   []Server  `yaml:"servers"`
	Algorithm string    `yaml:"algorithm"`
	Check     Check     `yaml:"check"`
	Retries   Retries   `yaml:"retries"`
	Timeouts  *Timeouts `yaml:"timeouts"`
}

// FastCGI hands requests to an application server over FastCGI.
type FastCGI struct {
	Address string  `yaml:"address"` // unix:/path or host:port
	Index   string  `yaml:"index"`
	Params  []Param `yaml:"params"` // added to, or replacing, the standard ones
}

// Param is a named value.
type Param struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// DB is the database server.
type DB struct {
	Role             string         `yaml:"role"` // primary (replica is not available yet); an error where nodes is present
	Bind             []Listen       `yaml:"bind"`
	Socket           string         `yaml:"socket"` // unix socket path; empty = none
	DataDir          string         `yaml:"data_dir"`
	RootPasswordFile string         `yaml:"root_password_file"`
	RootPassword     string         `yaml:"root_password"` // for tests
	Databases        []string       `yaml:"databases"`
	Users            []DBUser       `yaml:"users"`
	Memory           int64          `yaml:"memory"`          // bytes; GOMEMLIMIT of the child, half of it block cache
	MaxConnections   int            `yaml:"max_connections"` // one more for an administrator
	TLS              *BindTLS       `yaml:"tls"`             // default auto
	ProxyFrom        []netip.Prefix `yaml:"proxy_from"`      // peers that may send PROXY v2; default the lb nodes
	LockWaitTimeout  time.Duration  `yaml:"lock_wait_timeout"`
}

// DBUser is an account made at start if it does not exist.
type DBUser struct {
	Name         string   `yaml:"name"`
	Databases    []string `yaml:"databases"`
	PasswordFile string   `yaml:"password_file"`
	From         string   `yaml:"from"` // host part, default %
}

// Firewall shapes the derived ruleset.
type Firewall struct {
	AdminFrom []netip.Prefix `yaml:"admin_from"`
	SSHPort   int            `yaml:"ssh_port"`
	// NewPerSecond bounds new connections per source address to public ports; 0 = none.
	NewPerSecond int `yaml:"new_per_second"`
}

// Admin is the control and health interface.
type Admin struct {
	Bind   []Listen `yaml:"bind"`   // default node-address:9180, else 127.0.0.1:9180
	Socket string   `yaml:"socket"` // default /run/stack/NODE.sock
}

// Log is the process's own log, not the access log.
type Log struct {
	Level  string `yaml:"level"`  // debug | info | warn | error
	Format string `yaml:"format"` // auto | text | json | journal
}

// Process shapes the supervisor.
type Process struct {
	StopTimeout  time.Duration `yaml:"stop_timeout"`  // drain deadline at stop
	StartTimeout time.Duration `yaml:"start_timeout"` // a child that is not ready by then has failed
	RunDir       string        `yaml:"run_dir"`       // default /run/stack
}

// Listen is one address a role listens on. Written as "host:port", ":port" (v4
// and v6) or "[v6]:port"; after Resolve each Listen is exactly one socket address.
type Listen struct {
	Addr netip.AddrPort `yaml:"-"`
	// TLS is set where the same list mixes plain and TLS (web :443).
	TLS bool `yaml:"-"`
}
