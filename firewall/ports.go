package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"stack/appliance/config"
)

// group is who may reach a port.
type group string

const (
	everyone  group = ""
	balancers group = "balancers"
	servers   group = "servers"
	admins    group = "admins"
	nobody    group = "nobody"
)

// set is the name of the group's set in one family.
func (g group) set(v6 bool) string { return string(g) + suffix(v6) }

// opening is one thing that listens, and who may reach it.
type opening struct {
	what  string // for the comment
	binds []netip.AddrPort
	from  []group
}

// openings lists what the roles of the node listen on, in the order of its binds.
func (r *ruleset) openings() []opening {
	var out []opening
	for _, b := range r.node.Binds {
		if b.Role == "admin" || b.Addr.Addr().IsLoopback() {
			continue
		}
		from, what := r.mayReach(b), describe(b)
		if last := len(out) - 1; last >= 0 && out[last].what == what && slices.Equal(out[last].from, from) {
			out[last].binds = append(out[last].binds, b.Addr)
			continue
		}
		out = append(out, opening{what, []netip.AddrPort{b.Addr}, from})
	}
	return out
}

func describe(b config.Bind) string {
	switch b.Role {
	case "lb":
		return "frontend " + b.Owner
	case "web":
		return "web"
	}
	return "database"
}

// mayReach says to whom a listener of a role belongs.
func (r *ruleset) mayReach(b config.Bind) []group {
	balanced := len(r.elements(balancers, false))+len(r.elements(balancers, true)) > 0
	switch {
	case b.Role == "lb" && !r.database(b.Owner):
		return []group{everyone}
	case b.Role == "web" && (!balanced || r.node.Web.Public && b.Addr.Addr().IsUnspecified()):
		return []group{everyone}
	case b.Role == "web":
		return []group{balancers}
	case r.node.Address.IsValid():
		return []group{servers}
	case len(r.node.Firewall.AdminFrom) > 0:
		return []group{admins} // without nodes nobody else is known
	}
	return []group{nobody}
}

// database says whether a frontend leads to the site's databases: then it is as
// private as they are.
func (r *ruleset) database(frontend string) bool {
	lb := r.node.LB
	i := slices.IndexFunc(lb.Frontends, func(f config.Frontend) bool { return f.Name == frontend })
	if i < 0 || lb.Frontends[i].Mode != "tcp" {
		return false
	}
	j := slices.IndexFunc(lb.Backends, func(p config.Backend) bool { return p.Name == lb.Frontends[i].Backend })
	if j < 0 {
		return false
	}
	return slices.ContainsFunc(lb.Backends[j].Servers, func(s config.Server) bool {
		a, err := netip.ParseAddrPort(s.Address)
		return err == nil && r.isDatabase(a)
	})
}

// isDatabase says whether a database of the site, or the one of this node, listens
// on a.
func (r *ruleset) isDatabase(a netip.AddrPort) bool {
	if slices.ContainsFunc(r.node.Members, func(m config.Member) bool { return m.DB == a }) {
		return true
	}
	return r.node.DB != nil && slices.ContainsFunc(r.node.DB.Bind, func(l config.Listen) bool {
		return l.Addr == a || l.Addr.Port() == a.Port() && a.Addr().IsLoopback()
	})
}

// uses says whether any rule names the group.
func (r *ruleset) uses(g group) bool {
	if g == admins || g == servers {
		return true // ssh, and the admin interface
	}
	if r.node.LB != nil && len(r.node.VIP) > 0 {
		return true // VRRP
	}
	return slices.ContainsFunc(r.openings(), func(o opening) bool { return slices.Contains(o.from, g) })
}

// limited says whether there are public ports with a rate limit.
func (r *ruleset) limited() bool {
	return r.node.Firewall.NewPerSecond > 0 &&
		slices.ContainsFunc(r.openings(), func(o opening) bool { return slices.Contains(o.from, everyone) })
}

// ports opens what the roles listen on.
func (r *ruleset) ports() {
	list := r.openings()
	if len(list) > 0 {
		r.line(2, "# What the roles listen on.")
	}
	for _, o := range list {
		for _, g := range o.from {
			r.open(o.what, o.binds, g)
		}
	}
}

// open writes the rules that let a group reach some sockets.
func (r *ruleset) open(what string, binds []netip.AddrPort, g group) {
	verdict := "accept"
	switch {
	case g == nobody:
		r.line(2, "# %s: open to nobody, as neither nodes nor firewall.admin_from say who needs it.", what)
		return
	case g == everyone && r.limited() && !strings.HasPrefix(what, "ssh"):
		verdict = "jump public"
	}
	comment := what + " from everyone"
	if g != everyone {
		comment = fmt.Sprintf("%s from the %s", what, map[group]string{balancers: "balancers", servers: "site's servers", admins: "admins"}[g])
	}
	for _, d := range destinations(binds) {
		switch {
		case g != everyone:
			for _, v6 := range []bool{false, true} {
				if d.covers(v6) && len(r.elements(g, v6)) > 0 {
					r.rule(fmt.Sprintf("%s saddr @%s %s%s", ip(v6), g.set(v6), d.daddr(v6), d.dport()), verdict, "%s", comment)
				}
			}
		case d.any4 && d.any6:
			r.rule(d.dport(), verdict, "%s", comment)
		default:
			for _, v6 := range []bool{false, true} {
				if d.covers(v6) {
					match := d.daddr(v6)
					if match == "" {
						match = map[bool]string{false: "meta nfproto ipv4 ", true: "meta nfproto ipv6 "}[v6]
					}
					r.rule(match+d.dport(), verdict, "%s", comment)
				}
			}
		}
	}
}

// admin opens metrics, health and ssh.
func (r *ruleset) admin() {
	n := r.node
	var binds []netip.AddrPort
	for _, b := range n.Binds {
		if b.Role == "admin" && !b.Addr.Addr().IsLoopback() {
			binds = append(binds, b.Addr)
		}
	}
	if len(binds) > 0 {
		r.line(2, "# Metrics and health.")
		r.open("admin interface", binds, servers)
		r.open("admin interface", binds, admins)
	}
	ssh := []netip.AddrPort{
		netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(n.Firewall.SSHPort)),
		netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(n.Firewall.SSHPort)),
	}
	if len(n.Firewall.AdminFrom) > 0 {
		r.open("ssh", ssh, admins)
		return
	}
	r.line(2, "# firewall.admin_from is empty, so ssh stays open to everyone: nobody is locked out. Set it.")
	r.open("ssh", ssh, everyone)
}

// destination is the part of a rule that names sockets of one port.
type destination struct {
	port       uint16
	any4, any6 bool
	v4, v6     []string
}

// destinations groups sockets by port, in the order of their first.
func destinations(binds []netip.AddrPort) []*destination {
	var out []*destination
	for _, b := range binds {
		i := slices.IndexFunc(out, func(d *destination) bool { return d.port == b.Port() })
		if i < 0 {
			i = len(out)
			out = append(out, &destination{port: b.Port()})
		}
		d, a := out[i], b.Addr().WithZone("")
		switch {
		case a.IsUnspecified() && a.Is4():
			d.any4 = true
		case a.IsUnspecified():
			d.any6 = true
		case a.Is4():
			d.v4 = append(d.v4, a.String())
		default:
			d.v6 = append(d.v6, a.String())
		}
	}
	return out
}

func (d *destination) covers(v6 bool) bool {
	if v6 {
		return d.any6 || len(d.v6) > 0
	}
	return d.any4 || len(d.v4) > 0
}

// daddr is "ip daddr X " or "" for any address of the host.
func (d *destination) daddr(v6 bool) string {
	list, all := d.v4, d.any4
	if v6 {
		list, all = d.v6, d.any6
	}
	switch {
	case all:
		return ""
	case len(list) == 1:
		return ip(v6) + " daddr " + list[0] + " "
	}
	return ip(v6) + " daddr { " + strings.Join(list, ", ") + " } "
}

func (d *destination) dport() string { return fmt.Sprintf("tcp dport %d", d.port) }

func ip(v6 bool) string {
	if v6 {
		return "ip6"
	}
	return "ip"
}
