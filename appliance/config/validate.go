package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// validator checks relations between keys. Shapes, words and ranges are checked
// where they are decoded; what a role finds only by trying (files, names, ports in
// use) is checked by the role.
type validator struct {
	p      *problems
	known  *problems // what was wrong before this validation
	places map[string]*node
	site   bool // the file has nodes
	// balanced: one of them has the role lb.
	balanced  bool
	databases []string          // names of the nodes of the role db
	used      map[string]string // pool of the balancer → mode of the first frontend that uses it
}

// at reports that something is wrong with the value of a key, or, when it is
// absent, with what should hold it; unless that is known to be wrong already.
func (v *validator) at(key, format string, args ...any) {
	if v.known.about(key) {
		return
	}
	place := key
	for {
		if n := v.places[place]; n != nil && n.file != derivedSource {
			v.p.at(n, key, format, args...)
			return
		}
		if place == "" {
			break
		}
		place = place[:max(strings.LastIndexAny(place, ".["), 0)]
	}
	v.p.add(Error{Key: key, Text: fmt.Sprintf(format, args...)})
}

// newValidator remembers what p holds already.
func newValidator(p *problems, places map[string]*node) *validator {
	return &validator{p: p, known: &problems{list: slices.Clone(p.list), meant: slices.Clone(p.meant)}, places: places}
}

// item is the key of a list item as the decoder chose it: by index where the name is
// a default or there twice.
func (v *validator) item(list string, i int, name string) string {
	if key := itemKey(list, i, ""); v.places[key] != nil {
		return key
	}
	return itemKey(list, i, name)
}

// written says whether the key stands in a source, not only as a default.
func (v *validator) written(key string) bool {
	n := v.places[key]
	return n != nil && n.file != derivedSource
}

var (
	// nodeName: a host name's label, which also is a file name and a metric label.
	nodeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	// itemName is for frontends, pools, servers and groups.
	itemName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,62})$`)
	hostName = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

const nodeNameForm = "letters a-z, digits and hyphens, at most 63, not a hyphen at either end"

// maxDatabases: an epoch names the server that has begun it by its rest.
const maxDatabases = 64

const itemNameForm = "letters, digits and _ . -, at most 63, a letter or digit first"

// topology checks what the nodes have in common.
func (v *validator) topology(c *Config) {
	if len(c.Nodes) == 0 {
		v.alone(c)
		return
	}
	if c.Site == "" {
		v.at("site", "the key is missing; write the name that visitors type, such as \"site: www.example.com\"")
	} else {
		v.host("site", c.Site, false)
	}
	var names []string
	taken := map[netip.Addr]string{}
	databases := 0
	for i, d := range c.Nodes {
		key := v.item("nodes", i, d.Name)
		names = append(names, d.Name)
		if !nodeName.MatchString(d.Name) {
			v.at(join(key, "name"), "%s is not a node name, which has %s", missing(d.Name), nodeNameForm)
		}
		v.nodeRoles(key, d)
		v.nodeAddress(join(key, "address"), d, taken)
		if slices.Contains(d.Roles, "db") {
			if databases++; databases > maxDatabases {
				v.at(join(key, "roles"), "there are %d nodes of the role db before it, and no more are allowed", maxDatabases)
			}
		}
	}
	v.set(c)
	v.vip(c, taken)
	for _, s := range []struct {
		role string
		on   bool
	}{{"lb", c.LB != nil}, {"web", c.Web != nil}, {"db", c.DB != nil}} {
		used := slices.ContainsFunc(c.Nodes, func(d NodeDecl) bool { return slices.Contains(d.Roles, s.role) })
		if s.on && !used {
			v.at(s.role, "no node has the role %s; give it to one, or remove this section", s.role)
		}
	}
}

func missing(value string) string {
	if value == "" {
		return "the empty word"
	}
	return quote(value)
}

func (v *validator) nodeRoles(key string, d NodeDecl) {
	if len(d.Roles) == 0 {
		v.at(join(key, "roles"), "the node has no role, allowed are lb, web and db, as in \"roles: [web]\"")
	}
	for i, r := range d.Roles {
		if slices.Contains(d.Roles[:i], r) {
			v.at(v.item(join(key, "roles"), i, ""), "the role %s is there twice", r)
		}
	}
}

func (v *validator) nodeAddress(key string, d NodeDecl, taken map[netip.Addr]string) {
	a := d.Address
	switch {
	case !v.written(key):
		v.at(key, "the key is missing; write the address that the other nodes use, such as \"address: 10.0.0.11\"")
	case !a.IsValid():
	case a.IsUnspecified() || a.IsMulticast():
		v.at(key, "%q is not the address of a server", a.String())
	case a.Zone() != "" || a.Is6() && a.IsLinkLocalUnicast():
		v.at(key, "%q is an address of one link only; write one that every node can use", a.String())
	case taken[a] != "":
		v.at(key, "%q is the address of node %s too; each node has its own", a.String(), taken[a])
	default:
		taken[a] = d.Name
	}
}

// set checks what a node may change for itself.
func (v *validator) set(c *Config) {
	if v.places["nodes"] == nil || v.places["nodes"].kind != list {
		return
	}
	for i, item := range v.places["nodes"].items {
		if i >= len(c.Nodes) {
			return
		}
		d := c.Nodes[i]
		key := join(v.item("nodes", i, d.Name), "set")
		set := item.get("set")
		if set == nil {
			continue
		}
		for _, e := range set.entries {
			switch e.key {
			case "nodes", "site":
				v.p.at(e.place, join(key, e.key), "this key is the same for all nodes; set it at the top of the file")
			case "lb", "web", "db":
				if !slices.Contains(d.Roles, e.key) {
					v.p.at(e.place, join(key, e.key), "the node has no role %s, it has %s", e.key, orNone(d.Roles))
				}
			}
		}
	}
}

// alone checks a file without nodes.
func (v *validator) alone(c *Config) {
	if len(c.VIP) > 0 {
		v.at("vip", "virtual addresses need nodes, of which at least one has the role lb")
	}
	if v.written("nodes") {
		v.at("nodes", "the list is empty; name the servers of the site, or remove the key to run a role alone")
	} else if len(written(c)) == 0 {
		v.at("", "the file asks for nothing: write nodes, or one of the sections lb, web and db")
	}
	if c.Site != "" {
		v.host("site", c.Site, false)
	}
}

func (v *validator) vip(c *Config, taken map[netip.Addr]string) {
	var balancers []string
	for _, d := range c.Nodes {
		if slices.Contains(d.Roles, "lb") {
			balancers = append(balancers, d.Name)
		}
	}
	if len(c.VIP) > 0 && len(balancers) == 0 {
		v.at("vip", "virtual addresses need a node with the role lb")
		return
	}
	vrids, owner := map[int]string{}, map[netip.Addr]string{}
	for i, g := range c.VIP {
		key := v.item("vip", i, g.Name)
		v.name(join(key, "name"), g.Name)
		if first := vrids[g.VRID]; first != "" && g.VRID != 0 { // 0 is chosen later
			v.at(join(key, "vrid"), "%d is the identifier of group %s too; each group has its own", g.VRID, first)
		}
		vrids[g.VRID] = g.Name
		if len(g.Addresses) == 0 {
			v.at(join(key, "addresses"), "the group has no address")
		}
		for j, a := range g.Addresses {
			at := v.item(join(key, "addresses"), j, "")
			switch {
			case !a.IsValid():
			case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Zone() != "":
				v.at(at, "%q is not an address that servers can share", a.String())
			case taken[a] != "":
				v.at(at, "%q is the own address of node %s; a virtual address is one more", a.String(), taken[a])
			case owner[a] != "":
				v.at(at, "%q stands in group %s already", a.String(), owner[a])
			}
			owner[a] = g.Name
		}
		if g.Prefer != "" && !slices.Contains(balancers, g.Prefer) {
			v.at(join(key, "prefer"), "%s is not a node with the role lb, there are %s%s", quote(g.Prefer), strings.Join(balancers, ", "), hint(g.Prefer, balancers))
		}
		v.interfaceName(join(key, "interface"), g.Interface)
		v.vrrp(key, &g)
		v.vipNotify(key, g.Notify)
		v.vipTrack(join(key, "track"), g.Track)
	}
	for i, g := range c.VIP { // whose peers may name an address of any group
		v.peers(v.item("vip", i, g.Name), g.Peers, c.Nodes, taken, owner)
	}
}

func (v *validator) name(key, name string) {
	if !itemName.MatchString(name) {
		v.at(key, "%s is not a name, which has %s", missing(name), itemNameForm)
	}
}

// host checks a host name; wild allows "*." before it.
func (v *validator) host(key, h string, wild bool) {
	bare := h
	if wild {
		bare = strings.TrimPrefix(h, "*.")
	}
	switch {
	case len(h) <= 253 && hostName.MatchString(bare):
	case strings.ToLower(h) != h && hostName.MatchString(strings.ToLower(bare)):
		v.at(key, "%s has upper-case letters; nearest is %s", quote(h), quote(strings.ToLower(h)))
	case strings.Contains(h, "://") || strings.ContainsAny(h, "/:"):
		v.at(key, "%s is not a host name: write it without scheme, port and path", quote(h))
	default:
		v.at(key, "%s is not a host name such as www.example.com%s", missing(h), map[bool]string{true: " or *.example.com", false: ""}[wild])
	}
}

// serverAddress checks "host:port" and "unix:/path".
func (v *validator) serverAddress(key, a string) {
	if p, ok := strings.CutPrefix(a, "unix:"); ok {
		v.socketPath(key, a, p)
		return
	}
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		v.at(key, "%s is not an address such as \"10.0.0.21:8080\", \"[fd00::21]:8080\" or \"unix:/run/app.sock\"", missing(a))
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		v.at(key, "%s has no port between 1 and 65535", quote(a))
	}
	if _, err := netip.ParseAddr(host); err != nil && (len(host) > 253 || !hostName.MatchString(strings.ToLower(host))) {
		v.at(key, "%s has neither an IP address nor a host name before the port", quote(a))
	}
}

// maxSocketPath is the room for a path in sockaddr_un, less the final NUL (unix(7)).
const maxSocketPath = 107

func (v *validator) socketPath(key, value, p string) {
	switch {
	case !filepath.IsAbs(p):
		v.at(key, "%s is not an absolute path", quote(value))
	case len(p) > maxSocketPath:
		v.at(key, "%s is longer than the %d bytes that the system allows for the path of a socket", quote(value), maxSocketPath)
	}
}

// certificates checks the paths of a listener's files.
func (v *validator) certificates(key string, t *BindTLS) {
	if t == nil {
		return
	}
	for i, c := range t.Certificates {
		at := itemKey(join(key, "certificates"), i, "")
		if c.Cert == "" {
			v.at(join(at, "cert"), "the key is missing; name the file of the certificate")
		}
		v.absolute(join(at, "cert"), c.Cert)
		if c.Key != c.Cert {
			v.absolute(join(at, "key"), c.Key)
		}
	}
	if t.Client != nil {
		v.clientCA(join(key, "client"), t.Client)
	}
}

// poolTimeouts refuses, in the timeouts of a pool, those that concern clients, and
// in mode tcp those of requests.
func (v *validator) poolTimeouts(pool, role, mode string) {
	own := func(k string) (key string, written bool) {
		key = pool + ".timeouts." + k
		return key, v.written(key) && v.places[key] != v.places[role+".timeouts."+k]
	}
	for _, k := range []string{"request_head", "drain", "tunnel_drain"} {
		if key, written := own(k); written {
			v.at(key, "the key concerns clients, not a pool; set it in %s.timeouts", role)
		}
	}
	if mode != "tcp" {
		return
	}
	for _, k := range []string{"response", "body", "idle"} {
		if key, written := own(k); written {
			v.at(key, "the pool has mode tcp, which knows no requests; connect and tunnel bound its connections")
		}
	}
}

func (v *validator) absolute(key, p string) {
	if p != "" && !filepath.IsAbs(p) {
		v.at(key, "%s is not an absolute path", quote(p))
	}
}
