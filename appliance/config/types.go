// Package config holds the one typed description of a site and is the only
// place that knows YAML, viper, the environment and flags. Everything else takes
// the structs of this package.
//
// Load reads and merges the sources and returns a *Config as written. Resolve
// turns it into a *Node: everything one node needs, derived and complete, with no
// optional left to interpret. Roles take a *Node and never look at a *Config.
//
// What a key is called, means, allows and is by default stands in the tags of its
// field, and nowhere else: the decoder, the JSON schema, the reference page, the
// environment variables and the flags are all made from them.
//
//	yaml     the key
//	doc      one sentence or two for the reference page
//	default  the value when the key is absent, written as in the file
//	enum     the allowed words, separated by spaces
//	min, max the bounds of a number, size or duration, written as in the file
//	unit     "bytes": the number is written as a size (64KiB)
//	short    a second, shorter way to write the value, shown in the reference
//
// The package never opens a socket, reads a certificate or looks at a document
// root: that is for the roles.
package config

import (
	"net/netip"
	"time"
)

// Config is the file as written, after merging, before derivation.
type Config struct {
	Site     string     `yaml:"site" doc:"The name of the site, as visitors type it. Needed with nodes; it is the first name in every certificate that the local CA issues."`
	Nodes    []NodeDecl `yaml:"nodes" doc:"The servers of the site. Without this list the roles written in the file run alone on this machine."`
	VIP      []VIP      `yaml:"vip" short:"a list of addresses: one group of them" doc:"The virtual addresses that the balancers share."`
	TLS      TLS        `yaml:"tls" doc:"Where certificates come from."`
	LB       *LB        `yaml:"lb" doc:"The balancer."`
	Web      *Web       `yaml:"web" doc:"The web server."`
	DB       *DB        `yaml:"db" doc:"The database server."`
	Firewall Firewall   `yaml:"firewall" doc:"What shapes the packet filter that is derived from the nodes."`
	Admin    Admin      `yaml:"admin" doc:"The control and health interface."`
	Log      Log        `yaml:"log" doc:"The log of the processes, not the access logs."`
	Process  Process    `yaml:"process" doc:"The supervisor."`

	src *sources // what Resolve merges again for each node
}

// NodeDecl is one server of the site.
type NodeDecl struct {
	Name    string     `yaml:"name" doc:"Lower-case letters, digits and hyphens; best the host name, by which a server finds itself."`
	Roles   []string   `yaml:"roles" enum:"lb web db" doc:"What the server does."`
	Address netip.Addr `yaml:"address" doc:"The address that the other servers use."`
	Weight  int        `yaml:"weight" default:"1" min:"1" max:"256" doc:"Its share in the web pool that is derived for the balancers."`
	// set, a partial Config merged for this node only, is handled by the merge and
	// absent from the typed result.
}

// VIP is a group of addresses that move together between the balancers.
type VIP struct {
	Name      string        `yaml:"name" default:"vip" doc:"A name for the group."`
	Addresses []netip.Addr  `yaml:"addresses" doc:"The addresses that move together."`
	Interface string        `yaml:"interface" doc:"The network interface that carries them; by default the one that holds the node's address."`
	VRID      int           `yaml:"vrid" min:"1" max:"255" doc:"The virtual router identifier, unique in the network segment; by default 51 for the first group of the file, then 52 and so on, without those that other groups name. Append new groups or write it: the others keep their numbers then."`
	Prefer    string        `yaml:"prefer" doc:"The balancer that owns the addresses when it can; by default the first in the list of nodes."`
	Priority  int           `yaml:"priority" min:"1" max:"255" doc:"The priority of VRRP, of use in set of a node beside routers that are not in the file; by default 254 for the preferred balancer, then 253 and so on in the order of the nodes. 255 is for who never waits for another, and no weight of track lowers it."`
	Version   int           `yaml:"version" default:"3" enum:"2 3" doc:"The version of VRRP. 2 is for old routers as peers: IPv4 only, adverts in whole seconds, no authentication."`
	Advert    time.Duration `yaml:"advert" default:"100ms" min:"10ms" max:"40950ms" doc:"The time between two advertisements, in steps of 10 ms; an owner that dies is noticed after a little more than three of them."`
	Preempt   bool          `yaml:"preempt" default:"true" doc:"Whether a balancer of higher priority takes the addresses back when it returns."`
	Transport string        `yaml:"transport" default:"unicast" enum:"unicast multicast" doc:"How advertisements travel."`
	Peers     []netip.Addr  `yaml:"peers" doc:"Routers outside of the file, such as a keepalived, that share the addresses too: they are sent unicast advertisements and heard. They cannot authenticate."`
	Auth      string        `yaml:"auth" default:"auto" enum:"auto hmac none" doc:"Whether advertisements are authenticated with the site's vrrp.key: auto does where the key exists, the version is 3 and there are no peers outside of the file; hmac refuses to start without the key."`
	Assign    bool          `yaml:"assign" default:"true" doc:"Whether the holder sets the addresses on its interface. false is for clouds whose interface moves them, by notify."`
	Accept    bool          `yaml:"accept" default:"true" doc:"Whether the holder takes packets to the addresses (Accept_Mode of RFC 9568). A balancer has to: false is refused."`

	PreemptDelay time.Duration `yaml:"preempt_delay" default:"0s" min:"0s" max:"1h" doc:"How long a balancer that returns leaves the addresses to a holder of lower priority before it takes them back."`
	StartDelay   time.Duration `yaml:"start_delay" default:"0s" min:"0s" max:"1h" doc:"How long after its start a balancer does not take part."`

	Notify []VIPNotify `yaml:"notify" doc:"Whom to tell of every change of the group's state."`
	Track  VIPTrack    `yaml:"track" doc:"What this node must have to hold the addresses."`
}

// TLS says where certificates come from when a listener says "auto".
type TLS struct {
	SecretsDir string `yaml:"secrets_dir" default:"/etc/stack/secrets" doc:"The directory of the site's CA, keys and leaf certificates, which stack secrets fills."`
	MinVersion string `yaml:"min_version" default:"1.2" enum:"1.2 1.3" doc:"The oldest TLS version that is spoken."`
}

// Firewall shapes the derived ruleset.
type Firewall struct {
	AdminFrom []netip.Prefix `yaml:"admin_from" doc:"The networks from which ssh, metrics and the control interface may be reached. Empty: ssh from everywhere, the rest from the site's own servers only."`
	SSHPort   int            `yaml:"ssh_port" default:"22" min:"1" max:"65535" doc:"The port of the ssh server."`
	// NewPerSecond bounds new connections per source address to public ports; 0 = none.
	NewPerSecond int `yaml:"new_per_second" default:"200" min:"0" max:"1000000" doc:"New connections per second that one source address may open to public ports, with a burst of twice as many; 0 sets no bound."`
}

// Admin is the control and health interface.
type Admin struct {
	Bind   []Listen `yaml:"bind" doc:"Where /metrics, /livez, /readyz and the site's page are served; by default port 9180 of the node's address, without nodes of 127.0.0.1."`
	Socket string   `yaml:"socket" doc:"The Unix socket that the commands use; by default NODE.sock in process.run_dir."`
}

// Log is the process's own log, not the access log.
type Log struct {
	Level  string `yaml:"level" default:"info" enum:"debug info warn error" doc:"The least important records that are written."`
	Format string `yaml:"format" default:"auto" enum:"auto text json journal" doc:"How they are written; auto is text on a terminal, journal fields under systemd, else json."`
}

// Process shapes the supervisor.
type Process struct {
	StopTimeout  time.Duration `yaml:"stop_timeout" default:"30s" min:"1s" max:"1h" doc:"How long a stop waits for requests that run."`
	StartTimeout time.Duration `yaml:"start_timeout" default:"30s" min:"1s" max:"1h" doc:"A role that does not serve within this time has failed."`
	RunDir       string        `yaml:"run_dir" default:"/run/stack" doc:"The directory of the control socket."`
}

// Listen is one address a role listens on. Written as "host:port", ":port" (v4
// and v6) or "[v6]:port"; after Resolve each Listen is exactly one socket address.
// Before Resolve, ":port" is an AddrPort whose Addr is the zero Addr.
type Listen struct {
	Addr netip.AddrPort `yaml:"-"`
	// TLS is set where the same list mixes plain and TLS (web :443).
	TLS bool `yaml:"-"`
}

// BindTLS turns TLS on for a listener.
type BindTLS struct {
	// Auto asks for the local CA; else Certificates are used, chosen by SNI, the
	// first being the default.
	Auto         bool       `yaml:"-"`
	Certificates []CertFile `yaml:"certificates" short:"auto: a certificate of the local CA" doc:"The certificates, chosen by the name that the client asks for; the first is for the others."`
	Client       *ClientCA  `yaml:"client" doc:"Present: clients identify themselves by certificate."`
}

// CertFile is a certificate chain and its key, PEM. Both may be one file.
type CertFile struct {
	Cert string `yaml:"cert" doc:"The file of the certificate and its chain, PEM."`
	Key  string `yaml:"key" doc:"The file of the private key, PEM; by default the same file."`
}

// Timeouts bound every wait. All > 0.
type Timeouts struct {
	RequestHead time.Duration `yaml:"request_head" default:"10s" min:"100ms" max:"1h" doc:"From the first byte of a request's head to its end."`
	Idle        time.Duration `yaml:"idle" default:"1m" min:"100ms" max:"1d" doc:"A kept connection between two requests."`
	Body        time.Duration `yaml:"body" default:"1m" min:"100ms" max:"1d" doc:"Between two reads or writes of a body."`
	Connect     time.Duration `yaml:"connect" default:"5s" min:"10ms" max:"10m" doc:"Opening a connection to a server."`
	Response    time.Duration `yaml:"response" default:"1m" min:"10ms" max:"1d" doc:"From the request sent to the first byte of the answer."`
	Tunnel      time.Duration `yaml:"tunnel" default:"1h" min:"1s" max:"30d" doc:"TCP mode and upgraded connections: silence in both directions."`
	Drain       time.Duration `yaml:"drain" default:"5m" min:"1s" max:"1d" doc:"How long the old generation keeps its connections after an upgrade."`
	TunnelDrain time.Duration `yaml:"tunnel_drain" default:"1h" min:"1s" max:"30d" doc:"The same for TCP mode and upgraded connections."`
}

// Limits bound memory and connections.
type Limits struct {
	HeadBytes   int `yaml:"head_bytes" default:"16KiB" min:"1KiB" max:"1MiB" unit:"bytes" doc:"Request line and header fields of one request."`
	Headers     int `yaml:"headers" default:"100" min:"8" max:"10000" doc:"Header fields of one request."`
	Connections int `yaml:"connections" default:"65536" min:"1" max:"10000000" doc:"Client connections at a time."`
	Handshakes  int `yaml:"handshakes" default:"10000" min:"1" max:"1000000" doc:"TLS handshakes with clients in progress at a time; more are closed at once."`
	BufferBytes int `yaml:"buffer_bytes" default:"256KiB" min:"4KiB" max:"16MiB" unit:"bytes" doc:"Memory for one connection and direction while its peer is slower."`
	// ConnectionsPerSource bounds those of one IPv4 address or IPv6 /64; 0 = no bound.
	ConnectionsPerSource int `yaml:"connections_per_source" default:"16384" min:"0" max:"10000000" doc:"Client connections at a time of one IPv4 address or one IPv6 /64; those of trusted_proxies, which carry many clients, are not counted. 0 sets no bound."`
	// Memory bounds what connections hold; filled in by Resolve where the file says 0.
	Memory int64 `yaml:"memory" default:"0" min:"0" max:"16TiB" unit:"bytes" doc:"What all connections together may hold in buffers and TLS states; at least 16MiB. 0 is a quarter of the machine's memory, or of what its control group leaves the process."`
	// MinRate is in bytes per second; 0 = no bound.
	MinRate int `yaml:"min_rate" default:"100" min:"0" max:"1000000000" doc:"Bytes per second that a client must send of a body, or read of an answer, on average over the time that it was waited for, once that is longer than timeouts.body; 0 sets no bound."`
	// BodyBytes bounds a request body; 0 = no bound (lb), default 64 MiB (web).
	BodyBytes int64 `yaml:"body_bytes" default:"0" min:"0" max:"1TiB" unit:"bytes" doc:"The largest request body; 0 sets no bound."`
}

// AccessLog is one line per request.
type AccessLog struct {
	Enabled bool   `yaml:"enabled" default:"true" doc:"Whether each request is logged."`
	Path    string `yaml:"path" doc:"The file; empty: the log of the process."`
	Format  string `yaml:"format" default:"json" enum:"json combined" doc:"json has all timers; combined is the line that log analysers of other servers read."`
}

// Param is a named value.
type Param struct {
	Name  string `yaml:"name" doc:"The name."`
	Value string `yaml:"value" doc:"The value."`
}
