package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"stack/appliance/config"
)

// Table is the one table that this package owns, of family inet.
const Table = "stack"

// Render returns the complete ruleset of node, to be loaded with `nft -f`. The error
// is for a node without a name only, which config.Resolve never returns.
func Render(node *config.Node) (string, error) {
	if node == nil || node.Name == "" {
		return "", fmt.Errorf("render the firewall: the node has no name; take one from config.Resolve")
	}
	r := &ruleset{node: node}
	r.header()
	r.sets()
	r.prerouting()
	r.input()
	r.public()
	r.forward()
	r.line(0, "}")
	return r.b.String(), nil
}

// ruleset is the text in the making.
type ruleset struct {
	b    strings.Builder
	node *config.Node
}

// line writes one line, indented by depth tabs.
func (r *ruleset) line(depth int, format string, args ...any) {
	if format != "" {
		r.b.WriteString(strings.Repeat("\t", depth))
		fmt.Fprintf(&r.b, format, args...)
	}
	r.b.WriteByte('\n')
}

// rule writes a rule of a chain. Every rule counts and says what it is for.
func (r *ruleset) rule(match, verdict, comment string, args ...any) {
	if match != "" {
		match += " "
	}
	r.line(2, "%scounter %s comment %q", match, verdict, fmt.Sprintf(comment, args...))
}

func (r *ruleset) header() {
	n := r.node
	of := ""
	if n.Site != "" {
		of = " of " + n.Site
	}
	r.line(0, "#!/usr/sbin/nft -f")
	r.line(0, "# The packet filter of node %s (%s)%s, made by stack from config %s.", n.Name, strings.Join(n.Roles, ", "), of, n.Fingerprint)
	r.line(0, "# Loading it replaces the table inet %s in one step and touches no other table.", Table)
	r.line(0, "")
	r.line(0, "table inet %s", Table)
	r.line(0, "delete table inet %s", Table)
	r.line(0, "")
	r.line(0, "table inet %s {", Table)
}

// meterSize bounds the memory of the rate limit. When that many sources are in the
// set, further ones are let through without a limit of their own.
const meterSize = 65536

// sets writes the named sets: who is who.
func (r *ruleset) sets() {
	for _, g := range []struct {
		group group
		about string
	}{
		{balancers, "The balancers of the site."},
		{servers, "Every server of the site."},
		{admins, "firewall.admin_from."},
	} {
		for _, v6 := range []bool{false, true} {
			list := r.elements(g.group, v6)
			if len(list) == 0 || !r.uses(g.group) {
				continue
			}
			r.line(1, "# %s", g.about)
			r.line(1, "set %s {", g.group.set(v6))
			r.line(2, "type %s", addrType(v6))
			if g.group == admins {
				r.line(2, "flags interval")
				r.line(2, "auto-merge")
			}
			r.line(2, "elements = { %s }", strings.Join(list, ", "))
			r.line(1, "}")
			r.line(0, "")
		}
	}
	if r.limited() {
		for _, v6 := range []bool{false, true} {
			r.line(1, "# How fast each source opens connections to public ports; at most %d sources at a time.", meterSize)
			r.line(1, "set new%s {", suffix(v6))
			r.line(2, "type %s", addrType(v6))
			r.line(2, "size %d", meterSize)
			r.line(2, "flags dynamic,timeout")
			r.line(2, "timeout 1m")
			r.line(1, "}")
			r.line(0, "")
		}
	}
}

func addrType(v6 bool) string {
	if v6 {
		return "ipv6_addr"
	}
	return "ipv4_addr"
}

func suffix(v6 bool) string {
	if v6 {
		return "6"
	}
	return "4"
}

// prerouting drops packets whose source is a lie, before they cost anything.
func (r *ruleset) prerouting() {
	r.line(1, "chain prerouting {")
	r.line(2, "type filter hook prerouting priority raw; policy accept;")
	r.rule(`iif "lo"`, "accept", "loopback")
	r.line(2, "# A host that is about to take an address, or has none yet, has no route back.")
	r.rule("ip6 saddr :: icmpv6 type nd-neighbor-solicit", "accept", "duplicate address detection")
	r.rule("udp sport 67 udp dport 68", "accept", "DHCP")
	r.rule("fib saddr type { local, broadcast, multicast }", "drop", "spoofed: own, broadcast or multicast address as source")
	r.rule("fib saddr . iif oif missing", "drop", "spoofed: the way back does not lead to where it came from")
	r.line(1, "}")
	r.line(0, "")
}

func (r *ruleset) input() {
	r.line(1, "chain input {")
	r.line(2, "type filter hook input priority filter; policy drop;")
	r.rule(`iif "lo"`, "accept", "loopback")
	r.rule("ct state established,related", "accept", "answers, and errors about what is established")
	r.rule("ct state invalid", "drop", "packets that belong to no connection and begin none")
	r.icmp()
	r.line(2, "# Addresses of this host by DHCP.")
	r.rule("udp sport 67 udp dport 68", "accept", "DHCP")
	r.rule("ip6 saddr fe80::/10 udp sport 547 udp dport 546", "accept", "DHCPv6")
	r.vrrp()
	r.ports()
	r.admin()
	r.rule("", "drop", "everything else")
	r.line(1, "}")
	r.line(0, "")
}

// icmp lets through what IP cannot work without (RFC 4890, RFC 1191, RFC 8201).
func (r *ruleset) icmp() {
	r.line(2, "# What IP needs: errors, path MTU, neighbours.")
	r.rule("icmp type { destination-unreachable, time-exceeded, parameter-problem }", "accept", "ICMP errors, path MTU")
	r.rule("icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }", "accept", "ICMPv6 errors, path MTU")
	r.rule("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } ip6 hoplimit 255", "accept", "neighbour discovery, from this link only")
	r.rule("icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } ip6 saddr fe80::/10", "accept", "multicast groups")
	r.rule("icmp type echo-request limit rate 50/second burst 100 packets", "accept", "ping")
	r.rule("icmpv6 type echo-request limit rate 50/second burst 100 packets", "accept", "ping")
}

// Groups and addresses of VRRP (RFC 9568 sections 5.1.1.2, 5.1.2.2, 5.1.1.4).
const (
	vrrpProtocol = 112
	vrrpGroup4   = "224.0.0.18"
	vrrpGroup6   = "ff02::12"
)

// vrrp lets advertisements through between the balancers and from nobody else.
func (r *ruleset) vrrp() {
	n := r.node
	if n.LB == nil || len(n.VIP) == 0 {
		return
	}
	r.line(2, "# Advertisements of the virtual addresses, between the balancers.")
	if slices.ContainsFunc(n.VIP, func(v config.VIP) bool { return v.Transport != "multicast" }) && n.Address.IsValid() {
		v6 := n.Address.Is6()
		r.rule(fmt.Sprintf("%s saddr @%s %s daddr %s meta l4proto %d", ip(v6), balancers.set(v6), ip(v6), n.Address.WithZone(""), vrrpProtocol), "accept", "VRRP")
		for _, peer := range vrrpPeers(n) {
			r.rule(fmt.Sprintf("%s saddr %s %s daddr %s meta l4proto %d", ip(v6), peer, ip(v6), n.Address.WithZone(""), vrrpProtocol), "accept", "VRRP of a router outside of the file")
		}
	}
	if r.multicast(false) {
		from := "ip saddr @" + balancers.set(false) + " "
		if len(r.elements(balancers, true)) > 0 {
			from = "" // one has an IPv6 address in the file, so that of its adverts is not known
		}
		r.rule(fmt.Sprintf("%sip daddr %s ip ttl 255 meta l4proto %d", from, vrrpGroup4, vrrpProtocol), "accept", "VRRP, from this link only")
		r.rule("ip protocol igmp ip daddr 224.0.0.0/4", "accept", "multicast groups")
	}
	if r.multicast(true) {
		r.rule(fmt.Sprintf("ip6 saddr fe80::/10 ip6 daddr %s ip6 hoplimit 255 meta l4proto %d", vrrpGroup6, vrrpProtocol), "accept", "VRRP over IPv6, from this link only")
	}
}

// vrrpPeers are the routers outside of the file that share addresses, each once.
func vrrpPeers(n *config.Node) []netip.Addr {
	var out []netip.Addr
	for _, v := range n.VIP {
		out = append(out, v.Peers...)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// multicast says whether addresses of a family are advertised by multicast.
func (r *ruleset) multicast(v6 bool) bool {
	return slices.ContainsFunc(r.node.VIP, func(v config.VIP) bool {
		return v.Transport == "multicast" && slices.ContainsFunc(v.Addresses, func(a netip.Addr) bool { return a.Is6() == v6 })
	})
}

// public holds what every connection from everyone goes through.
func (r *ruleset) public() {
	if !r.limited() {
		return
	}
	rate := r.node.Firewall.NewPerSecond
	r.line(1, "# Ports that are open to everyone lead here.")
	r.line(1, "chain public {")
	r.rule(fmt.Sprintf("ct state new update @new4 { ip saddr limit rate over %d/second burst %d packets }", rate, 2*rate), "drop", "too many new connections from one address")
	r.rule(fmt.Sprintf("ct state new update @new6 { ip6 saddr and ffff:ffff:ffff:ffff:: limit rate over %d/second burst %d packets }", rate, 2*rate), "drop", "too many new connections from one /64")
	r.rule("", "accept", "within the limit")
	r.line(1, "}")
	r.line(0, "")
}

func (r *ruleset) forward() {
	r.line(1, "# A server of the site routes nothing.")
	r.line(1, "chain forward {")
	r.line(2, "type filter hook forward priority filter; policy drop;")
	r.rule("", "drop", "routed packets")
	r.line(1, "}")
}

// elements lists the addresses of a group in one family.
func (r *ruleset) elements(g group, v6 bool) []string {
	var out []string
	if g == admins {
		for _, p := range r.node.Firewall.AdminFrom {
			if p.Addr().Is6() == v6 {
				out = append(out, element(p))
			}
		}
		return out
	}
	for _, m := range r.node.Members {
		if m.Address.IsValid() && m.Address.Is6() == v6 && (g == servers || slices.Contains(m.Roles, "lb")) {
			out = append(out, m.Address.WithZone("").String())
		}
	}
	return out
}

func element(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
