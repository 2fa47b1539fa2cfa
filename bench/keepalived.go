package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"text/template"
	"time"

	"stack/e2e/lan"
)

const keepalived = "keepalived"

// keepalivedNode is a host with keepalived and haproxy, as people run them together.
type keepalivedNode struct {
	lan.Keepalived
	proxy *lan.Process
}

// newKeepalivedNode writes the configs of a host.
func newKeepalivedNode(l *lan.LAN, dir, name string, address, peer netip.Addr, priority int, interval time.Duration) (*keepalivedNode, error) {
	n := &keepalivedNode{Keepalived: lan.Keepalived{LAN: l, Host: name, Dir: filepath.Join(dir, name), Addresses: []netip.Addr{sharedAddress}}}
	if err := os.Mkdir(n.Dir, 0o755); err != nil {
		return nil, err
	}
	for _, file := range []string{"keepalived.conf", "keepalived-haproxy.cfg"} {
		t, err := template.ParseFS(peers, "peers/"+file)
		if err != nil {
			return nil, err
		}
		out, err := os.Create(filepath.Join(n.Dir, file))
		if err != nil {
			return nil, err
		}
		defer out.Close()
		if err := t.Execute(out, map[string]any{"Own": address, "Peer": peer, "VIP": sharedAddress, "VRID": sharedVRID, "Priority": priority,
			"Interval": strconv.FormatFloat(interval.Seconds(), 'f', 2, 64), "Origin": originAddress}); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Host implements lan.Balancer.
func (n *keepalivedNode) Host() string { return n.Keepalived.Host }

// Start implements lan.Balancer: it also does what an init system does for haproxy.
func (n *keepalivedNode) Start() (err error) {
	if n.proxy == nil || !n.proxy.Running() {
		if n.proxy, err = n.LAN.Start(n.Host(), n.Dir, "haproxy", "-db", "-f", "keepalived-haproxy.cfg"); err != nil {
			return err
		}
	}
	return n.Keepalived.Start()
}

// Stop implements lan.Balancer.
func (n *keepalivedNode) Stop() error {
	if err := n.Keepalived.Stop(); err != nil {
		return err
	}
	return n.proxy.Stop()
}

// Kill implements lan.Balancer.
func (n *keepalivedNode) Kill() {
	n.Keepalived.Kill()
	if n.proxy != nil {
		n.proxy.Kill()
	}
}

// Freeze implements lan.Balancer.
func (n *keepalivedNode) Freeze() {
	n.Keepalived.Freeze()
	n.proxy.Freeze()
}

// Thaw implements lan.Balancer.
func (n *keepalivedNode) Thaw() {
	n.proxy.Thaw()
	n.Keepalived.Thaw()
}

// Proxy implements lan.Balancer.
func (n *keepalivedNode) Proxy() int { return n.proxy.Child("haproxy") }

// checkKeepalived says what is missing for keepalived to take part.
func checkKeepalived() error {
	for _, file := range []string{"/usr/sbin/keepalived", "/usr/sbin/haproxy", "/usr/bin/curl"} {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("%w: run `make tools` first", err)
		}
	}
	return nil
}
