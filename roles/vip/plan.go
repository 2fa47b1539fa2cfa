package vip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"stack/appliance/config"
	"stack/tls"
)

// plan is one virtual router as the config asks for it: a group of addresses that move
// together.
type plan struct {
	name       string
	device     *net.Interface
	own        netip.Addr
	peers      []netip.Addr // empty: multicast
	router     routerConfig
	advertised []netip.Addr // those of the family in which the adverts travel
	sorted     []netip.Addr // the same in order
	virtual    []netip.Addr // all of the group
	unassigned bool         // something else moves the addresses, such as a cloud
	startDelay time.Duration
	key        []byte // that authenticates adverts; empty: none does
	keyUnused  bool   // the site has a key, but not every router of the group can use it
}

// plans derives the virtual routers of node; nothing is opened but the key.
func plans(node *config.Node) ([]plan, error) {
	secret, err := secretOf(node)
	if err != nil {
		return nil, err
	}
	var out []plan
	for _, vip := range node.VIP {
		device, err := interfaceOf(vip, node.Address)
		if err != nil {
			return nil, err
		}
		p := plan{name: vip.Name, device: device, virtual: vip.Addresses, unassigned: !vip.Assign, startDelay: vip.StartDelay}
		if p.key, err = keyOf(vip, secret, node); err != nil {
			return nil, err
		}
		p.keyUnused = len(secret) > 0 && len(p.key) == 0 && vip.Auth == "auto"
		if err := p.transportOf(vip, node); err != nil {
			return nil, err
		}
		for _, address := range vip.Addresses {
			if address.Is6() == p.own.Is6() {
				p.advertised = append(p.advertised, address)
			}
		}
		p.sorted = slices.SortedFunc(slices.Values(p.advertised), netip.Addr.Compare)
		p.router = routerConfig{version: vip.Version, vrid: uint8(vip.VRID), priority: priorityOf(vip, node), interval: vip.Advert,
			preempt: vip.Preempt, delay: vip.PreemptDelay, address: p.own}
		out = append(out, p)
	}
	return out, nil
}

// transportOf chooses our address and the peers. Adverts of a group with addresses of
// both families travel in one of them, that of the balancers' own addresses where it
// can, and the others follow.
func (p *plan) transportOf(vip config.VIP, node *config.Node) error {
	v6 := node.Address.Is6()
	sameFamily := slices.ContainsFunc(vip.Addresses, func(a netip.Addr) bool { return a.Is6() == v6 })
	if vip.Transport == "multicast" {
		own, err := sourceOf(p.device, node.Address, v6 == sameFamily)
		p.own = own
		return err
	}
	if !sameFamily {
		return fmt.Errorf("vip %s: %s cannot travel between balancers whose addresses are of the other family: say transport: multicast", vip.Name, vip.Addresses[0])
	}
	p.own = node.Address
	for _, m := range node.Members {
		if m.Name != node.Name && slices.Contains(m.Roles, "lb") {
			p.peers = append(p.peers, m.Address)
		}
	}
	p.peers = append(p.peers, vip.Peers...)
	return nil
}

// secretOf is the site's key of VRRP, nil where the site has none.
func secretOf(node *config.Node) ([]byte, error) {
	secret, err := tls.ReadKey(node.TLS.SecretsDir, "vrrp.key")
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return secret, err
}

// keyOf is what authenticates the adverts of a group: the site's key, unless the config
// or a peer that cannot do it turns it off.
func keyOf(vip config.VIP, secret []byte, node *config.Node) ([]byte, error) {
	able := vip.Version == 3 && len(vip.Peers) == 0
	switch {
	case vip.Auth == "none" || vip.Auth == "auto" && !able:
		return nil, nil
	case vip.Auth == "hmac" && secret == nil:
		return nil, fmt.Errorf("vip %s: auth: hmac needs %s: make it with `stack secrets init`, or copy it with `stack secrets export %s`",
			vip.Name, filepath.Join(node.TLS.SecretsDir, "vrrp.key"), node.Name)
	}
	return secret, nil
}

// priorityOf is the one of the config, else it follows the order of the balancers in the file: 254, 253, …; the
// preferred one comes first.
func priorityOf(vip config.VIP, node *config.Node) uint8 {
	if vip.Priority > 0 {
		return uint8(vip.Priority)
	}
	var order []string
	for _, m := range node.Members {
		if slices.Contains(m.Roles, "lb") && m.Name != vip.Prefer {
			order = append(order, m.Name)
		}
	}
	if vip.Prefer != "" {
		order = slices.Insert(order, 0, vip.Prefer)
	}
	return uint8(max(1, 254-slices.Index(order, node.Name)))
}

func interfaceOf(vip config.VIP, own netip.Addr) (*net.Interface, error) {
	if vip.Interface != "" {
		return interfaceNamed(vip.Name, vip.Interface)
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	for i := range all {
		list, err := all[i].Addrs()
		if err != nil {
			return nil, fmt.Errorf("list the addresses of %s: %w", all[i].Name, err)
		}
		for _, a := range list {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap() == own {
				return &all[i], nil
			}
		}
	}
	return nil, fmt.Errorf("vip %s: no interface holds %s: name one in vip.interface", vip.Name, own)
}

func interfaceNamed(vip, name string) (*net.Interface, error) {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("vip %s: interface %s: %w: `ip link` lists what there is", vip, name, err)
	}
	return device, nil
}

// sourceOf finds the address that multicast adverts come from: the node's own, or for
// IPv6 the link-local one (RFC 9568 section 5.1.2.1).
func sourceOf(device *net.Interface, own netip.Addr, v6 bool) (netip.Addr, error) {
	if !v6 && own.Is4() {
		return own, nil
	}
	list, err := device.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list the addresses of %s: %w", device.Name, err)
	}
	for _, a := range list {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		address := prefix.Addr().Unmap()
		if address.Is6() == v6 && (!v6 || address.IsLinkLocalUnicast()) {
			return address.WithZone(""), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("interface %s has no address of its own to send adverts from", device.Name)
}

// same tells whether a reload leaves the virtual router as it is. What else the
// interface is than its name changes by itself.
func (p plan) same(q plan) bool {
	if p.device.Name != q.device.Name {
		return false
	}
	p.device, q.device = nil, nil
	return reflect.DeepEqual(p, q)
}
