package config

import (
	"fmt"
	"slices"
	"strings"
)

// self finds the node that this process is: by Options.Node, by host name, by a
// local address. It is "" with a reason when there is no such node.
func (s *sources) self(c *Config) (name string, reason error) {
	if len(c.Nodes) == 0 {
		return s.lonelyName(), nil
	}
	var names []string
	for _, n := range c.Nodes {
		names = append(names, n.Name)
	}
	if s.opt.Node != "" {
		if slices.Contains(names, s.opt.Node) {
			return s.opt.Node, nil
		}
		return "", fmt.Errorf("no node has the name %s, there are %s%s", quote(s.opt.Node), strings.Join(names, ", "), hint(s.opt.Node, names))
	}
	host, err := s.opt.Hostname()
	if err == nil {
		host = strings.ToLower(host)
		first, _, _ := strings.Cut(host, ".")
		for _, name := range []string{host, first} {
			if slices.Contains(names, name) {
				return name, nil
			}
		}
	}
	addrs, err := s.opt.Addrs()
	if err == nil {
		for _, n := range c.Nodes {
			if slices.Contains(addrs, n.Address) {
				return n.Name, nil
			}
		}
	}
	return "", fmt.Errorf("no node has this host's name (%s) or one of its addresses; say which of %s it is with --node", host, strings.Join(names, ", "))
}

// lonelyName names a server that runs without nodes.
func (s *sources) lonelyName() string {
	if s.opt.Node != "" {
		return s.opt.Node
	}
	if host, err := s.opt.Hostname(); err == nil {
		first, _, _ := strings.Cut(strings.ToLower(host), ".")
		if nodeName.MatchString(first) {
			return first
		}
	}
	return "localhost"
}
