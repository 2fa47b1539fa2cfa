package config

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
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
	if err != nil || u.Hostname() == "" || u.Fragment != "" {
		v.at(key, "%s is not a URL such as https://hooks.example.com/vip", quote(text))
		return
	}
	if u.User != nil { // not shown: it may be a password
		v.at(key, "the URL names a user; a token goes into token_file")
		return
	}
	ip, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		v.at(key, "%s is not encrypted; write https://, http:// is for this machine alone", quote(text))
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
