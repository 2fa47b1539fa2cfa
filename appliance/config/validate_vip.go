package config

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// vipNotify checks what a group tells the outside.
func (v *validator) vipNotify(key string, list []VIPNotify) {
	for i, n := range list {
		at := v.item(join(key, "notify"), i, "")
		switch {
		case len(n.Command) == 0 && n.Webhook == "":
			v.at(at, "say whom: command: [/path/to/program, argument] or webhook: https://…")
			continue
		case len(n.Command) > 0 && n.Webhook != "":
			v.at(at, "command and webhook exclude each other; write two items")
			continue
		case len(n.Command) > 0:
			v.program(join(at, "command"), n.Command)
			if n.TokenFile != "" || n.CAFile != "" {
				v.at(at, "token_file and ca_file belong to a webhook, not to a command")
			}
			continue
		}
		v.webhook(join(at, "webhook"), n.Webhook)
		v.absolute(join(at, "token_file"), n.TokenFile)
		v.absolute(join(at, "ca_file"), n.CAFile)
	}
}

func (v *validator) webhook(key, text string) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Fragment != "" { // not shown: its path may be a secret
		v.at(key, "the text is not a URL such as https://hooks.example.com/vip")
		return
	}
	if u.User != nil { // not shown: it may be a password
		v.at(key, "the URL names a user; a token goes into token_file")
		return
	}
	ip, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		v.at(key, "%s is not encrypted; write https://, http:// is for this machine alone", quote(u.Scheme+"://"+u.Host))
	}
}

// vipTrack checks what a group depends on.
func (v *validator) vipTrack(key string, t VIPTrack) {
	for i, it := range t.Interfaces {
		at := v.item(join(key, "interfaces"), i, it.Name)
		v.interfaceName(join(at, "name"), it.Name)
		if it.Name == "" {
			v.at(at, "the name of the interface is missing")
		}
	}
	for i, c := range t.Commands {
		at := v.item(join(key, "commands"), i, c.Name)
		v.name(join(at, "name"), c.Name)
		v.program(join(at, "command"), c.Command)
		if c.Timeout > c.Interval {
			v.at(join(at, "timeout"), "%s is longer than the interval of %s; one run at a time", c.Timeout, c.Interval)
		}
	}
}

func (v *validator) interfaceName(key, name string) {
	if len(name) > 15 || strings.ContainsAny(name, "/ ") {
		v.at(key, "%s is not the name of a network interface", quote(name))
	}
}

// program checks a program with its arguments.
func (v *validator) program(key string, command []string) {
	if len(command) == 0 {
		v.at(key, "the program is missing: command: [/path/to/program, argument]")
		return
	}
	if !filepath.IsAbs(command[0]) {
		v.at(key, "%s is not an absolute path; the program is not looked for", quote(command[0]))
	}
}

// peers checks the routers that are not in the file. own names the node of an address,
// owner the group of a virtual one.
func (v *validator) peers(key string, list []netip.Addr, nodes []NodeDecl, own, owner map[netip.Addr]string) {
	for i, peer := range list {
		at := v.item(join(key, "peers"), i, "")
		switch {
		case !peer.IsValid():
		case peer.IsUnspecified() || peer.IsMulticast() || peer.IsLoopback() || peer.Zone() != "":
			v.at(at, "%q is not the address of another router", peer.String())
		case slices.ContainsFunc(nodes, func(d NodeDecl) bool { return slices.Contains(d.Roles, "lb") && d.Address.Is6() != peer.Is6() }):
			v.at(at, "%q is not of the family of the balancers' addresses, between which advertisements travel", peer.String())
		case own[peer] != "":
			v.at(at, "%q is the address of node %s; the balancers of the file are peers without being named, remove it", peer.String(), own[peer])
		case owner[peer] != "":
			v.at(at, "%q is the virtual address of group %s; name the router's own", peer.String(), owner[peer])
		}
	}
}

// vrrp checks what the keys of the protocol allow together.
func (v *validator) vrrp(key string, g *VIP) {
	if !g.Accept {
		v.at(join(key, "accept"), "false would drop what clients send to the addresses; a balancer serves on them, remove the key")
	}
	if g.Advert%(10*time.Millisecond) != 0 {
		v.at(join(key, "advert"), "%s is not a multiple of 10ms, the unit of VRRP", g.Advert)
	}
	if len(g.Peers) > 0 && g.Transport == "multicast" {
		v.at(join(key, "peers"), "peers are for transport: unicast; by multicast every router of the segment is heard")
	}
	if len(g.Peers) > 0 && g.Auth == "hmac" {
		v.at(join(key, "auth"), "hmac and peers exclude each other: routers outside of the file cannot authenticate")
	}
	if g.Version != 2 {
		return
	}
	if g.Advert < time.Second || g.Advert%time.Second != 0 {
		v.at(join(key, "advert"), "%s is not possible with version: 2, which knows whole seconds from 1s", g.Advert)
	}
	if g.Auth == "hmac" {
		v.at(join(key, "auth"), "hmac needs version: 3")
	}
	for i, a := range g.Addresses {
		if a.Is6() {
			v.at(v.item(join(key, "addresses"), i, ""), "%q is not possible with version: 2, which is for IPv4", a.String())
		}
	}
}
