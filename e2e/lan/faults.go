package lan

import (
	"fmt"
	"syscall"
)

// Balancer is a host with a proxy that serves an address, and whatever moves the address
// to another host when it does not.
type Balancer interface {
	Host() string
	// Start runs all of its programs that do not run.
	Start() error
	// Stop ends them in the way that an operator does.
	Stop() error
	// Kill, Freeze and Thaw are for all of its programs at once.
	Kill()
	Freeze()
	Thaw()
	// Proxy is the process that serves, 0 if there is none.
	Proxy() int
	// State is master, backup or fault as its programs tell, "" if they do not.
	State() string
}

// Fault takes a balancer away, and brings it back.
type Fault struct {
	Name string
	Do   func(*LAN, Balancer) error
	Undo func(*LAN, Balancer) error
}

func start(_ *LAN, b Balancer) error { return b.Start() }

func signalProxy(s syscall.Signal) func(*LAN, Balancer) error {
	return func(_ *LAN, b Balancer) error {
		pid := b.Proxy()
		if pid == 0 {
			return fmt.Errorf("%s: no proxy runs", b.Host())
		}
		return syscall.Kill(pid, s)
	}
}

// The faults that a client of a shared address must not notice for long.
var (
	ProxyKilled = Fault{"kill -9 of the proxy", signalProxy(syscall.SIGKILL), start}
	ProxyFrozen = Fault{"SIGSTOP of the proxy", signalProxy(syscall.SIGSTOP), signalProxy(syscall.SIGCONT)}
	NodeKilled  = Fault{"kill -9 of the node", func(_ *LAN, b Balancer) error { b.Kill(); return nil }, start}
	NodeFrozen  = Fault{"freeze of the node",
		func(_ *LAN, b Balancer) error { b.Freeze(); return nil },
		func(_ *LAN, b Balancer) error { b.Thaw(); return nil }}
	LinkDown = Fault{"link down",
		func(l *LAN, b Balancer) error { return l.SetLink(b.Host(), false) },
		func(l *LAN, b Balancer) error { return l.SetLink(b.Host(), true) }}
	NamespaceGone = Fault{"namespace gone",
		func(l *LAN, b Balancer) error {
			if err := l.Leave(b.Host()); err != nil {
				return err
			}
			b.Kill()
			return nil
		},
		func(l *LAN, b Balancer) error {
			if err := l.Return(b.Host()); err != nil {
				return err
			}
			return b.Start()
		}}
	Released = Fault{"clean stop", func(_ *LAN, b Balancer) error { return b.Stop() }, start}
)
