package lan

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// switchName is the namespace of the bridge.
const switchName = "sw"

// LAN is a switch with hosts on it, 10.86.0.0/24 and fd86::/64. Its methods may be called
// by one goroutine at a time, except In, Holds and Neighbour, which any may call.
type LAN struct {
	prefix string

	mu    sync.Mutex
	hosts map[string]*host
}

type host struct {
	number int
	port   int // index of its port on the switch, 0 while it is unplugged
	mac    net.HardwareAddr
}

// New makes a switch without hosts. prefix begins the names of the namespaces.
func New(prefix string) (*LAN, error) {
	l := &LAN{prefix: prefix, hosts: make(map[string]*host)}
	err := run("ip", "netns", "add", l.Namespace(switchName))
	if err == nil {
		err = l.script(switchName,
			"ip link set lo up",
			"ip link add br0 type bridge mcast_snooping 0",
			"ip link set br0 up",
			"nft add table bridge cuts",
			"nft add chain bridge cuts forward '{ type filter hook forward priority 0; }'")
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Close removes everything. Processes that still run in a namespace keep it alive: they
// have to be stopped before.
func (l *LAN) Close() {
	for name := range l.hosts {
		exec.Command("ip", "netns", "del", l.Namespace(name)).Run()
	}
	exec.Command("ip", "netns", "del", l.Namespace(switchName)).Run()
}

// Namespace is the name of a host's namespace.
func (l *LAN) Namespace(name string) string { return l.prefix + name }

// Address is the IPv4 address that a host with this number has.
func Address(number int) netip.Addr { return netip.AddrFrom4([4]byte{10, 86, 0, byte(number)}) }

// Address6 is its IPv6 address.
func Address6(number int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("fd86::%d", number))
}

// Join makes a host and plugs it into the switch. number is the last part of its addresses.
func (l *LAN) Join(name string, number int) error {
	l.mu.Lock()
	l.hosts[name] = &host{number: number}
	l.mu.Unlock()
	return l.Return(name)
}

// Return makes a host again that has left.
func (l *LAN) Return(name string) error {
	if err := run("ip", "netns", "add", l.Namespace(name)); err != nil {
		return err
	}
	if err := l.script(name, "ip link set lo up", "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad"); err != nil {
		return err
	}
	return l.Plug(name)
}

// Plug gives a host its interface eth0, as Join does and after Unplug.
func (l *LAN) Plug(name string) error {
	h := l.hosts[name]
	port := portOf(name)
	if err := l.script(switchName,
		// Addresses that do not differ between runs: IPv6's link-local ones follow.
		fmt.Sprintf("ip link add %s type veth peer name eth0 netns %s address 02:86:00:00:00:%02x", port, l.Namespace(name), h.number),
		"ip link set "+port+" master br0 up"); err != nil {
		return err
	}
	if err := l.script(name,
		"ip link set eth0 up",
		fmt.Sprintf("ip addr add %s/24 dev eth0", Address(h.number)),
		fmt.Sprintf("ip addr add %s/64 dev eth0 nodad", Address6(h.number))); err != nil {
		return err
	}
	index, err := l.index(switchName, port)
	if err != nil {
		return err
	}
	return l.In(name, func() error {
		device, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		h.port, h.mac = index, device.HardwareAddr
		return nil
	})
}

// Unplug removes the host's interface at once.
func (l *LAN) Unplug(name string) error {
	l.mu.Lock()
	l.hosts[name].port = 0
	l.mu.Unlock()
	return l.In(switchName, func() error {
		link, err := netlink.LinkByName(portOf(name))
		if err != nil {
			return fmt.Errorf("unplug %s: %w", name, err)
		}
		return netlink.LinkDel(link)
	})
}

// Leave unplugs a host and removes its namespace, whose processes have ended or will be
// killed by the caller: no packet of theirs arrives any more.
func (l *LAN) Leave(name string) error {
	if err := l.Unplug(name); err != nil {
		return err
	}
	return run("ip", "netns", "del", l.Namespace(name))
}

// SetLink takes the carrier from a host's eth0, or gives it back.
func (l *LAN) SetLink(name string, up bool) error {
	return l.In(switchName, func() error {
		link, err := netlink.LinkByName(portOf(name))
		if err != nil {
			return fmt.Errorf("set the link of %s: %w", name, err)
		}
		if up {
			return netlink.LinkSetUp(link)
		}
		return netlink.LinkSetDown(link)
	})
}

// Cut drops what the switch would forward from one host to another; the other direction
// and all other hosts are not touched.
func (l *LAN) Cut(from, to string) error {
	return l.script(switchName, fmt.Sprintf("nft add rule bridge cuts forward iifname %s oifname %s drop", portOf(from), portOf(to)))
}

// Set writes a setting of a host's network, a path below /proc/sys.
func (l *LAN) Set(name, path, value string) error {
	return l.script(name, "echo "+value+" >/proc/sys/"+path)
}

// Heal ends all cuts.
func (l *LAN) Heal() error { return l.script(switchName, "nft flush chain bridge cuts forward") }

// Holds tells whether a host has an address now.
func (l *LAN) Holds(name string, address netip.Addr) bool {
	found := false
	l.In(name, func() error {
		list, err := netlink.AddrList(nil, unix.AF_UNSPEC)
		found = err == nil && slices.ContainsFunc(list, func(a netlink.Addr) bool { return a.IP.Equal(address.AsSlice()) })
		return err
	})
	return found
}

// Remove takes an address from a host.
func (l *LAN) Remove(name string, address netip.Addr) error {
	return l.script(name, fmt.Sprintf("ip addr del %s/%d dev eth0", address, address.BitLen()))
}

// Forget has a host's kernel forget the hardware addresses of all others.
func (l *LAN) Forget(name string) error { return l.script(name, "ip neigh flush dev eth0") }

// Neighbour is the host whose hardware address the host of has for address: "" if it has
// none or that of nobody here.
func (l *LAN) Neighbour(of string, address netip.Addr) string {
	var mac net.HardwareAddr
	l.In(of, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		list, err := netlink.NeighList(link.Attrs().Index, unix.AF_UNSPEC)
		for _, n := range list {
			if n.IP.Equal(address.AsSlice()) {
				mac = n.HardwareAddr
			}
		}
		return err
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, h := range l.hosts {
		if len(mac) > 0 && bytes.Equal(h.mac, mac) {
			return name
		}
	}
	return ""
}

// behind is the host at a port of the switch.
func (l *LAN) behind(port int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, h := range l.hosts {
		if h.port == port {
			return name
		}
	}
	return ""
}

func (l *LAN) index(name, device string) (index int, err error) {
	err = l.In(name, func() error {
		found, err := net.InterfaceByName(device)
		if err == nil {
			index = found.Index
		}
		return err
	})
	return index, err
}

func portOf(name string) string { return "port-" + name }

// script runs lines of shell in a namespace.
func (l *LAN) script(name string, lines ...string) error {
	return run("ip", "netns", "exec", l.Namespace(name), "sh", "-ec", strings.Join(lines, "\n"))
}

func run(command ...string) error {
	c := exec.Command(command[0], command[1:]...)
	c.Env = append(os.Environ(), "LC_ALL=C")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
