package config

import (
	"net/netip"
	"time"
)

// LB is the balancer.
type LB struct {
	Loops int `yaml:"loops" default:"0" min:"0" max:"256" doc:"Event loops; 0 is one per CPU."`
	// Derived says whether the frontends and pools that follow from the nodes are
	// there beside the written ones.
	Derived   bool       `yaml:"derived" default:"true" doc:"Whether the frontends http, https, mysql and mysql-read and the pools web, mysql-primary and mysql-replicas, which follow from the nodes, exist beside what is written here. A written one of the same name is laid over the derived one."`
	Frontends []Frontend `yaml:"frontends" doc:"What the balancer listens on."`
	Backends  []Backend  `yaml:"backends" doc:"The pools of servers."`
	Timeouts  Timeouts   `yaml:"timeouts" doc:"The bound of every wait."`
	Limits    Limits     `yaml:"limits" doc:"The bounds of memory and connections."`
	AccessLog AccessLog  `yaml:"access_log" doc:"One record per request."`
	// TrustedProxies are the peers whose X-Forwarded-* and Forwarded are kept.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies" doc:"The peers whose X-Forwarded-* and Forwarded fields are kept; those of all others are replaced. limits.connections_per_source does not count them."`
}

// Frontend is a listener of the balancer and what it does with what arrives.
type Frontend struct {
	Name string   `yaml:"name" doc:"The name in logs, metrics and the control interface."`
	Bind []Listen `yaml:"bind" doc:"The addresses: \"10.0.0.10:443\", \"[fd00::10]:443\" or \":443\" for all of IPv4 and IPv6."`
	Mode string   `yaml:"mode" default:"http" enum:"http tcp" doc:"http understands requests, tcp passes bytes."`
	TLS  *BindTLS `yaml:"tls" doc:"Present: the frontend speaks TLS."`
	HTTP []string `yaml:"http" default:"h1 h2" enum:"h1 h2" doc:"The versions of HTTP that clients may speak: [h1] or [h1, h2]. HTTP/2 is chosen by ALPN where the frontend speaks TLS, else by a client that begins with it (prior knowledge)."`
	// ProxyFrom: nil = no PROXY protocol.
	ProxyFrom     []netip.Prefix `yaml:"proxy_from" doc:"The proxies before this frontend. Present: every connection must come from one of them and begin with a PROXY protocol header, version 1 or 2, which names the client; all others are refused."`
	HalfClose     bool           `yaml:"half_close" doc:"Mode http: answer clients of HTTP/1 that close their sending direction behind the request (scripts with nc -N do). Otherwise such a client counts as one that left, and its server is free at once; the two look the same. Mode tcp always passes a half-close on."`
	RedirectHTTPS bool           `yaml:"redirect_https" doc:"Answer every request with 308 to the same URL on https."`
	HTTPSPort     int            `yaml:"https_port" default:"443" min:"1" max:"65535" doc:"The port that the redirect names; 443 is left out of the URL."`
	Routes        []Route        `yaml:"routes" doc:"Mode http: where requests go, evaluated in this order. A route that no request can reach is an error."`
	Backend       string         `yaml:"backend" doc:"The pool for everything: in mode tcp, or in mode http instead of routes."`
	Connections   int            `yaml:"connections" default:"0" min:"0" max:"10000000" doc:"Client connections at a time over all addresses of the frontend; 0 sets no bound beside lb.limits.connections, which counts all frontends."`
}

// Route sends what matches to a backend.
type Route struct {
	Match   Match  `yaml:"match" doc:"The conditions, all of which must hold; {} takes everything."`
	Backend string `yaml:"backend" doc:"The name of the pool."`
}

// Match has only ANDed conditions; the empty Match takes everything.
type Match struct {
	Host       string   `yaml:"host" doc:"The host name, or \"*.example.com\" for every name below it, at any depth, but not it."`
	PathPrefix string   `yaml:"path_prefix" doc:"The first segments of the path: /api takes /api and /api/x, not /apix. A slash at the end makes no difference."`
	Path       string   `yaml:"path" doc:"The whole path."`
	Methods    []string `yaml:"methods" doc:"The request methods."`
}

// Backend is a pool of servers.
type Backend struct {
	Name       string     `yaml:"name" doc:"The name in routes, logs, metrics and the control interface."`
	Mode       string     `yaml:"mode" enum:"http tcp" doc:"By default the mode of the frontends that use it."`
	HTTP       string     `yaml:"http" default:"h1" enum:"h1 h2" doc:"What is spoken with the servers: HTTP/1.1, or HTTP/2 (with prior knowledge where the pool has no tls). gRPC needs h2."`
	Algorithm  string     `yaml:"algorithm" default:"roundrobin" enum:"roundrobin leastconn" doc:"How a server is chosen, in proportion to the weights."`
	AllBackups bool       `yaml:"all_backups" doc:"When no other server is up: use all backup servers, not only the first."`
	Servers    []Server   `yaml:"servers" doc:"The members; by default the nodes of the role web."`
	TLS        *ServerTLS `yaml:"tls" doc:"Present: TLS is spoken with the servers, by the checks too."`
	Check      Check      `yaml:"check" doc:"How the pool learns which servers are up."`
	Retries    Retries    `yaml:"retries" doc:"When another server is tried."`
	SendProxy  string     `yaml:"send_proxy" enum:"v1 v2" doc:"Begin every connection to a server with a PROXY protocol header of this version, which names the client. Such a connection serves one client connection only."`
	// SendProxyOptions are for v2.
	SendProxyOptions []string  `yaml:"send_proxy_options" enum:"crc32c ssl cert_cn authority alpn" doc:"What the header of send_proxy: v2 holds beside the addresses: crc32c, a checksum; ssl, whether and with which version the client speaks TLS and whether it has shown a certificate; cert_cn, that and the common name in it; authority, the host name that it asked for in TLS (SNI); alpn, in mode tcp the protocol agreed on in TLS."`
	Timeouts         *Timeouts `yaml:"timeouts" doc:"For this pool in place of lb.timeouts, key by key: connect, response, body, tunnel, and idle for kept connections to servers."`
}

// Server is one member of a pool.
type Server struct {
	Name    string `yaml:"name" doc:"The name in logs, metrics and the control interface."`
	Address string `yaml:"address" doc:"\"host:port\", \"[v6]:port\" or \"unix:/path\"."`
	Weight  int    `yaml:"weight" default:"1" min:"0" max:"256" doc:"Its share; 0 takes no new traffic."`
	Backup  bool   `yaml:"backup" doc:"Used only when no other server is up."`
	MaxConn int    `yaml:"maxconn" default:"0" min:"0" max:"1000000" doc:"Connections or requests that it serves at a time; 0 sets no bound."`
}

// Check is how a pool learns which servers are up.
type Check struct {
	Type     string        `yaml:"type" default:"tcp" enum:"none tcp http mysql" doc:"none: always up; tcp: a connection opens; http: a GET is answered as expected; mysql, for mode tcp: a MySQL server greets, and is what role asks for."`
	Role     string        `yaml:"role" enum:"primary replica" doc:"Type mysql: the servers are nodes of the role db, by their names, and are asked for their role over TLS. primary: the one that takes writes, in the highest epoch that any of them knows; sessions on others are ended. replica: those that follow it, and itself as the last resort. Without it any MySQL server will do, and nobody logs in."`
	MaxLag   time.Duration `yaml:"max_lag" default:"10s" min:"10ms" max:"365d" doc:"Role replica: a replica that is farther behind is not used."`
	Path     string        `yaml:"path" doc:"The path of the GET; / by default."`
	Host     string        `yaml:"host" doc:"The Host field of the GET; the server's address by default."`
	Interval time.Duration `yaml:"interval" default:"1s" min:"10ms" max:"1h" doc:"The time between two checks."`
	Timeout  time.Duration `yaml:"timeout" default:"2s" min:"10ms" max:"10m" doc:"A check that takes longer has failed."`
	Rise     int           `yaml:"rise" default:"2" min:"1" max:"100" doc:"Good checks in a row until a server is up."`
	Fall     int           `yaml:"fall" default:"3" min:"1" max:"100" doc:"Failed checks in a row until a server is down."`
	Expect   Expect        `yaml:"expect" doc:"What a healthy answer is."`
}

// Expect lists the statuses of a healthy answer; empty means 200..399.
type Expect struct {
	Status []int `yaml:"status" min:"100" max:"599" doc:"The statuses; by default all from 200 to 399."`
}

// Retries says when a request is tried on another server. Only "connect"
// (nothing was sent) is available in this version.
type Retries struct {
	Attempts int      `yaml:"attempts" default:"2" min:"0" max:"10" doc:"How often after the first time."`
	When     []string `yaml:"when" default:"connect" enum:"connect" doc:"connect: the connection could not be opened, so nothing was sent."`
}
