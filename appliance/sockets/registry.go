package sockets

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
)

// Registry holds the listening sockets of a supervisor by address. Safe for
// concurrent use; the descriptors that it hands out belong to it.
type Registry struct {
	mu     sync.Mutex
	groups map[netip.AddrPort]*Group
	unix   map[string]int
}

// Group is the sockets of one address, in the form that is carried over an upgrade.
type Group struct {
	Addr netip.AddrPort `json:"addr"`
	FDs  []int          `json:"fds"`
	Name string         `json:"name,omitempty"` // FileDescriptorName, if from systemd
}

// State is all that a registry holds, to be carried over an exec.
type State struct {
	Groups []Group        `json:"groups"`
	Unix   map[string]int `json:"unix"`
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{groups: map[netip.AddrPort]*Group{}, unix: map[string]int{}}
}

// Restore builds a registry from the state of the process that ran before under this
// PID. The descriptors are inherited; they become close-on-exec again.
func Restore(s State) *Registry {
	r := NewRegistry()
	for _, g := range s.Groups {
		for _, fd := range g.FDs {
			unix.CloseOnExec(fd)
		}
		r.groups[g.Addr] = &g
	}
	for path, fd := range s.Unix {
		unix.CloseOnExec(fd)
		r.unix[path] = fd
	}
	return r
}

// State returns what Restore needs; the registry keeps its descriptors.
func (r *Registry) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := State{Unix: map[string]int{}}
	for _, g := range r.groups {
		s.Groups = append(s.Groups, *g)
	}
	slices.SortFunc(s.Groups, func(a, b Group) int { return a.Addr.Compare(b.Addr) })
	for p, fd := range r.unix {
		s.Unix[p] = fd
	}
	return s
}

// Open opens the sockets of every bind whose address is not held yet: all of them or,
// with an error that names the address and the cure, none. Binds of several owners
// that name one address share its group, whose size is the largest asked for. A group
// keeps the size that it was created with, since a member that closes resets the
// connections queued on it.
func (r *Registry) Open(binds []config.Bind) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	want := map[netip.AddrPort]config.Bind{}
	var order []netip.AddrPort
	for _, b := range binds {
		if r.groups[b.Addr] != nil {
			continue
		}
		have, ok := want[b.Addr]
		if !ok {
			order = append(order, b.Addr)
			have = b
		}
		have.Group = max(have.Group, b.Group, 1)
		have.Freebind = have.Freebind || b.Freebind
		want[b.Addr] = have
	}
	opened := make([]*Group, 0, len(order))
	for _, a := range order {
		b := want[a]
		fds, err := listenGroup(b)
		if err != nil {
			for _, g := range opened {
				closeAll(g.FDs)
			}
			return err
		}
		opened = append(opened, &Group{Addr: a, FDs: fds})
	}
	for _, g := range opened {
		r.groups[g.Addr] = g
	}
	return nil
}

// FDs returns the descriptors held for an address, nil if there are none.
func (r *Registry) FDs(addr netip.AddrPort) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.groups[addr]
	if g == nil {
		return nil
	}
	return slices.Clone(g.FDs)
}

// Keep closes the sockets of every address that binds do not name, and the Unix
// sockets of every path that paths do not name (their files are removed).
func (r *Registry) Keep(binds []config.Bind, paths []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for addr, g := range r.groups {
		named := slices.ContainsFunc(binds, func(b config.Bind) bool { return b.Addr == addr })
		if !named {
			closeAll(g.FDs)
			delete(r.groups, addr)
		}
	}
	for path, fd := range r.unix {
		if !slices.Contains(paths, path) {
			unix.Close(fd)
			unix.Unlink(path)
			delete(r.unix, path)
		}
	}
}

// Mark returns what is held now, for Revert.
func (r *Registry) Mark() State { return r.State() }

// Revert closes what was opened since mark.
func (r *Registry) Revert(mark State) {
	var binds []config.Bind
	for _, g := range mark.Groups {
		binds = append(binds, config.Bind{Addr: g.Addr})
	}
	r.Keep(binds, slices.Collect(maps.Keys(mark.Unix)))
}

// Take gives the registry sockets that systemd passed. Each must be named by exactly
// the bind that its FileDescriptorName says, if it says one.
func (r *Registry) Take(passed []Group, binds []config.Bind) error {
	for _, g := range passed {
		if err := matchActivated(g, binds); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range passed {
		if have := r.groups[g.Addr]; have != nil {
			have.FDs = append(have.FDs, g.FDs...)
			continue
		}
		r.groups[g.Addr] = &g
	}
	return nil
}

// SetInherit decides whether descriptors stay open over an exec. It is on only between
// the decision to exec and the exec, under syscall.ForkLock.
func SetInherit(fds []int, on bool) error {
	flag := unix.FD_CLOEXEC
	if on {
		flag = 0
	}
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flag); err != nil {
			return fmt.Errorf("close-on-exec of descriptor %d: %w", fd, err)
		}
	}
	return nil
}

// Close closes everything and removes the files of the Unix sockets.
func (r *Registry) Close() {
	r.Keep(nil, nil)
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
