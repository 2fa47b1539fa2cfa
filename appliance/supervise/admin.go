package supervise

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"stack/appliance/config"
	"stack/appliance/sockets"
)

// adminStop bounds the wait for admin answers that have begun, before an upgrade and at
// the end.
const adminStop = 3 * time.Second

// AdminFunc serves a node's control and health interface until ctx is done, then ends
// what it has begun and returns. The listeners are its own to close: the sockets behind
// them stay with the supervisor, over reloads and upgrades.
type AdminFunc func(ctx context.Context, n *Node, unix net.Listener, tcp []net.Listener) error

// adminServer is a running AdminFunc.
type adminServer struct {
	key    string // what it listens on
	cancel context.CancelFunc
	done   chan struct{}
}

// adminKey names the listeners of a node's admin interface.
func adminKey(c *config.Node) string {
	return fmt.Sprint(c.Admin.Socket, roleAddrs(c, "admin"))
}

// serveAdmin starts the admin interface of a node, or restarts it when its listeners
// have changed.
func (s *supervisor) serveAdmin(n *Node) error {
	if s.opt.Admin == nil {
		return nil
	}
	cfg := n.Config()
	key := adminKey(cfg)
	n.mu.Lock()
	running := n.admin
	n.mu.Unlock()
	if running != nil && running.key == key {
		return nil
	}
	var unixL net.Listener
	var tcp []net.Listener
	fail := func(err error) error {
		for _, l := range append(tcp, unixL) {
			if l != nil {
				l.Close()
			}
		}
		return fmt.Errorf("admin interface of %s: %w", n.name, err)
	}
	if fd, ok := s.reg.UnixFD(cfg.Admin.Socket); ok {
		l, err := sockets.Listener(fd)
		if err != nil {
			return fail(err)
		}
		unixL = l
	}
	for _, a := range roleAddrs(cfg, "admin") {
		for _, fd := range s.reg.FDs(a) {
			l, err := sockets.Listener(fd)
			if err != nil {
				return fail(err)
			}
			tcp = append(tcp, l)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &adminServer{key: key, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		if err := s.opt.Admin(ctx, n, unixL, tcp); err != nil && ctx.Err() == nil {
			s.log.Error("admin interface ended", "node", n.name, "error", err)
		}
		for _, l := range append(slices.Clone(tcp), unixL) {
			if l != nil {
				l.Close()
			}
		}
	}()
	n.mu.Lock()
	n.admin = a
	n.mu.Unlock()
	if running != nil {
		// Not waited for: the reload that brings us here may have been asked for through
		// it, and its answer is what it finishes.
		running.cancel()
	}
	return nil
}

// stop lets it finish what it has begun.
func (a *adminServer) stop() {
	a.cancel()
	select {
	case <-a.done:
	case <-time.After(adminStop):
	}
}

func (n *Node) stopAdmin() {
	if a := n.takeAdmin(); a != nil {
		a.stop()
	}
}

// leaveAdmin ends the interface of a node that a reload took away, after the answers
// that it has begun, that reload's among them.
func (n *Node) leaveAdmin() {
	if a := n.takeAdmin(); a != nil {
		a.cancel()
	}
}

func (n *Node) takeAdmin() *adminServer {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.admin
	n.admin = nil
	return a
}

// unixPaths returns the control sockets of nodes.
func (s *supervisor) unixPaths(nodes []*config.Node) []string {
	var out []string
	if s.opt.Admin == nil {
		return nil
	}
	for _, n := range nodes {
		if n.Admin.Socket != "" {
			out = append(out, n.Admin.Socket)
		}
	}
	return out
}
