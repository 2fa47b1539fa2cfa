package config

import (
	"net/netip"
	"time"
)

// Web is the web server.
type Web struct {
	Loops int      `yaml:"loops" default:"0" min:"0" max:"256" doc:"Event loops; 0 is one per CPU."`
	Bind  []Listen `yaml:"bind" short:"{address: \":8443\", tls: true}" doc:"The addresses. One on port 443 speaks TLS, the others do not, unless an item is written out as {address, tls}. By default port 8080 of the node's address behind a balancer, else :80 and :443."`
	HTTP  []string `yaml:"http" default:"h1 h2" enum:"h1 h2" doc:"The versions of HTTP that clients may speak: [h1] or [h1, h2]. HTTP/2 is chosen by ALPN on an address that speaks TLS, else by a client that begins with it (prior knowledge)."`
	// ProxyFrom: nil = no PROXY protocol.
	ProxyFrom      []netip.Prefix `yaml:"proxy_from" doc:"The proxies before all addresses of bind. Present: every connection must come from one of them and begin with a PROXY protocol header, version 1 or 2, which names the client; all others are refused. The derived pool web of the balancers then sends one."`
	HalfClose      bool           `yaml:"half_close" doc:"Answer clients of HTTP/1 that close their sending direction behind the request also where a server works for them (proxy, fastcgi). Otherwise such a client counts as one that left, and the server is free at once; files are sent in any case."`
	TLS            *BindTLS       `yaml:"tls" doc:"The certificates of the addresses that speak TLS; by default of the local CA."`
	Public         bool           `yaml:"public" doc:"Behind a balancer: listen on :80 and :443 too."`
	Sites          []WebSite      `yaml:"sites" doc:"The virtual hosts. The first is also for host names that no site has."`
	Timeouts       Timeouts       `yaml:"timeouts" doc:"The bound of every wait."`
	Limits         Limits         `yaml:"limits" doc:"The bounds of memory and connections; body_bytes is 64MiB by default."`
	AccessLog      AccessLog      `yaml:"access_log" doc:"One record per request."`
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies" doc:"The peers whose X-Forwarded-* fields are believed; by default exactly the balancers. limits.connections_per_source does not count them."`
	HealthPath     string         `yaml:"health_path" default:"/.stack/healthz" doc:"The reserved path that the role answers by itself and the balancers check."`
}

// WebSite is a virtual host. The first site is the default for unknown hosts.
type WebSite struct {
	Hosts      []string    `yaml:"hosts" doc:"The host names: exact or \"*.example.org\"; none is every host."`
	Root       string      `yaml:"root" doc:"The directory of the files."`
	Index      []string    `yaml:"index" default:"index.html" doc:"The files that stand for a directory, the first that exists."`
	TryFiles   []string    `yaml:"try_files" default:"$uri $uri/" doc:"What is tried for a path, in this order; the last may be a path to go on with, or =404."`
	PHP        string      `yaml:"php" doc:"The address of php-fpm, unix:/path or host:port: short for index.php in index and try_files and a location for \\.php."`
	Symlinks   string      `yaml:"symlinks" default:"within" enum:"within follow deny" doc:"Which symbolic links are followed: those that stay inside the root, all, or none."`
	Dotfiles   bool        `yaml:"dotfiles" doc:"Serve names that begin with a dot; those below /.well-known/ always are."`
	Locations  []Location  `yaml:"locations" doc:"Paths that are treated in their own way. An exact one comes first; then a regex in file order unless the longest prefix is final; then that prefix."`
	ErrorPages []ErrorPage `yaml:"error_pages" doc:"Files for statuses."`
	App        string      `yaml:"app" enum:"demo" doc:"demo: the small application inside the binary that stack dev shows."`
	Demo       *Demo       `yaml:"demo" doc:"Where the demo application finds its database; without it the page is shown without visits."`
}

// Demo is what the demo application needs.
type Demo struct {
	Address      string `yaml:"address" doc:"host:port of the MySQL server; best the balancers' endpoint for the primary."`
	ReadAddress  string `yaml:"read_address" doc:"host:port where the lists are read; best the balancers' endpoint for the replicas. Without it, or while it does not answer, they are read at address."`
	User         string `yaml:"user" doc:"The account."`
	PasswordFile string `yaml:"password_file" doc:"The file that holds its password."`
	Database     string `yaml:"database" default:"demo" doc:"The database; the table in it is made when it is missing."`
	CAFile       string `yaml:"ca_file" doc:"The certificate of the authority that the server's certificate must come from; without it the connection is not encrypted."`
	ServerName   string `yaml:"server_name" doc:"The name that the server's certificate must hold; by default the host of the address."`
}

// ErrorPage is a file, relative to the site's root, shown for some statuses.
type ErrorPage struct {
	Status []int  `yaml:"status" min:"400" max:"599" doc:"The statuses."`
	File   string `yaml:"file" doc:"The file, from the root of the site."`
}

// Location treats some paths of a site in their own way. Exactly one of Path,
// Exact and Regex is set. Order: exact; then regex in file order unless the
// longest prefix says Final; then that prefix.
type Location struct {
	Exact    string         `yaml:"exact" doc:"The whole path."`
	Path     string         `yaml:"path" doc:"How the path begins."`
	Regex    string         `yaml:"regex" doc:"A regular expression (RE2) for the path."`
	Final    bool           `yaml:"final" doc:"With path: no regex is asked when this is the longest prefix."`
	Root     string         `yaml:"root" doc:"The directory of the files; by default the site's."`
	Index    []string       `yaml:"index" doc:"As in the site, whose list is the default."`
	TryFiles []string       `yaml:"try_files" doc:"As in the site, whose list is the default."`
	Expires  *time.Duration `yaml:"expires" max:"10y" doc:"How long clients may keep the answer (Cache-Control: max-age)."`
	Proxy    *Proxy         `yaml:"proxy" doc:"Hand requests to an application server over HTTP."`
	FastCGI  *FastCGI       `yaml:"fastcgi" doc:"Hand requests to an application server over FastCGI."`
	Status   int            `yaml:"status" min:"200" max:"599" doc:"Answer this status and nothing else."`
}

// Proxy hands requests to an application server over HTTP.
type Proxy struct {
	HTTP      string     `yaml:"http" default:"h1" enum:"h1 h2" doc:"What is spoken with the servers: HTTP/1.1, or HTTP/2 (with prior knowledge where tls is not there). gRPC needs h2."`
	Servers   []Server   `yaml:"servers" doc:"The application servers."`
	Algorithm string     `yaml:"algorithm" default:"roundrobin" enum:"roundrobin leastconn" doc:"How one is chosen."`
	TLS       *ServerTLS `yaml:"tls" doc:"Present: TLS is spoken with the servers, by the checks too."`
	Check     Check      `yaml:"check" doc:"How the pool learns which servers are up."`
	Retries   Retries    `yaml:"retries" doc:"When another server is tried."`
	Timeouts  *Timeouts  `yaml:"timeouts" doc:"In place of web.timeouts, key by key: connect, response, body, tunnel, and idle for kept connections to servers."`
}

// FastCGI hands requests to an application server over FastCGI.
type FastCGI struct {
	Address string  `yaml:"address" doc:"unix:/path or host:port."`
	Index   string  `yaml:"index" default:"index.php" doc:"The script for a path that ends in a slash."`
	Params  []Param `yaml:"params" doc:"Parameters added to the standard ones, or in their place."`
	Keep    int     `yaml:"keep" default:"0" min:"0" max:"1024" doc:"Idle connections kept to the application, over all loops. A php-fpm worker serves nobody else while its connection is kept: stay below pm.max_children, or leave it at 0."`
}
