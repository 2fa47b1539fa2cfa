package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"stack/e2e/lan"
)

const keepalived = "keepalived"

// keepalivedNode is a host with keepalived and haproxy, as people run them together.
type keepalivedNode struct {
	lan                *lan.LAN
	name, dir          string
	keepalived, proxy  *lan.Process
	address, peer, vip netip.Addr
}

// newKeepalivedNode writes the configs of a host.
func newKeepalivedNode(l *lan.LAN, dir, name string, address, peer netip.Addr, priority int, interval time.Duration) (*keepalivedNode, error) {
	n := &keepalivedNode{lan: l, name: name, dir: filepath.Join(dir, name), address: address, peer: peer, vip: sharedAddress}
	if err := os.Mkdir(n.dir, 0o755); err != nil {
		return nil, err
	}
	for _, file := range []string{"keepalived.conf", "keepalived-haproxy.cfg"} {
		t, err := template.ParseFS(peers, "peers/"+file)
		if err != nil {
			return nil, err
		}
		out, err := os.Create(filepath.Join(n.dir, file))
		if err != nil {
			return nil, err
		}
		defer out.Close()
		if err := t.Execute(out, map[string]any{"Own": address, "Peer": peer, "VIP": n.vip, "VRID": sharedVRID, "Priority": priority,
			"Interval": strconv.FormatFloat(interval.Seconds(), 'f', 2, 64), "Origin": originAddress}); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Host implements lan.Balancer.
func (n *keepalivedNode) Host() string { return n.name }

// Start implements lan.Balancer, with what an init system does for haproxy and an operator
// for the address that a killed keepalived leaves behind.
func (n *keepalivedNode) Start() (err error) {
	if n.proxy == nil || !n.proxy.Running() {
		if n.proxy, err = n.lan.Start(n.name, n.dir, "haproxy", "-db", "-f", "keepalived-haproxy.cfg"); err != nil {
			return err
		}
	}
	if n.keepalived != nil && n.keepalived.Running() {
		return nil
	}
	if n.lan.Holds(n.name, n.vip) {
		if err := n.lan.Remove(n.name, n.vip); err != nil {
			return err
		}
	}
	// It believes files of those that were killed while their parent has not waited for them.
	pid, child := filepath.Join(n.dir, "pid"), filepath.Join(n.dir, "vrrp.pid")
	os.Remove(pid)
	os.Remove(child)
	n.keepalived, err = n.lan.Start(n.name, n.dir, "keepalived", "-n", "-l", "-D", "-P",
		"-f", filepath.Join(n.dir, "keepalived.conf"), "-p", pid, "-r", child)
	return err
}

// Stop implements lan.Balancer.
func (n *keepalivedNode) Stop() error {
	if err := n.keepalived.Stop(); err != nil {
		return err
	}
	return n.proxy.Stop()
}

// Kill implements lan.Balancer.
func (n *keepalivedNode) Kill() {
	n.keepalived.Kill()
	n.proxy.Kill()
}

// Freeze implements lan.Balancer.
func (n *keepalivedNode) Freeze() {
	n.keepalived.Freeze()
	n.proxy.Freeze()
}

// Thaw implements lan.Balancer.
func (n *keepalivedNode) Thaw() {
	n.proxy.Thaw()
	n.keepalived.Thaw()
}

// Proxy implements lan.Balancer.
func (n *keepalivedNode) Proxy() int { return n.proxy.Child("haproxy") }

// State implements lan.Balancer by the last transition in the log.
func (n *keepalivedNode) State() string {
	log := n.keepalived.Output()
	at := strings.LastIndex(log, "Entering ")
	if at < 0 {
		return ""
	}
	state, _, _ := strings.Cut(log[at+len("Entering "):], " STATE")
	return strings.ToLower(state)
}

// check says what is missing for keepalived to take part.
func checkKeepalived() error {
	for _, file := range []string{"/usr/sbin/keepalived", "/usr/sbin/haproxy", "/usr/bin/curl"} {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("%w: run `make tools` first", err)
		}
	}
	return nil
}
