package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
)

// Node is one node that the supervisor runs. Its methods may be called at any time
// from any goroutine.
type Node struct {
	sup  *supervisor
	name string

	mu          sync.Mutex
	cfg         *config.Node
	slots       []*slot // in the order of Options.Specs
	admin       *adminServer
	reloaded    time.Time
	reloadError string

	telling sync.Mutex
	told    map[*child]string // what each child knows of the others
}

// NodeStatus is what `stack status` shows of a node.
type NodeStatus struct {
	Node         string       `json:"node"`
	Site         string       `json:"site"`
	Version      string       `json:"version"`
	Fingerprint  string       `json:"fingerprint"`
	Pid          int          `json:"pid"`        // of the supervisor
	Since        time.Time    `json:"since"`      // start of the supervisor, before any upgrade
	Generation   int          `json:"generation"` // upgrades so far, plus one
	Ready        bool         `json:"ready"`      // every role is ready
	Reloaded     time.Time    `json:"reloaded"`   // when the config in use was taken
	ReloadError  string       `json:"reload_error,omitempty"`
	UpgradeError string       `json:"upgrade_error,omitempty"`
	Roles        []RoleStatus `json:"roles"`
}

// RoleStatus is the part of one role.
type RoleStatus struct {
	Role       string          `json:"role"`
	Pid        int             `json:"pid"` // 0 while it is down
	Generation int             `json:"generation"`
	Restarts   int             `json:"restarts"`
	Since      time.Time       `json:"since"`
	Ready      bool            `json:"ready"`
	Text       string          `json:"text"`
	Detail     json.RawMessage `json:"detail,omitempty"`
	Draining   []int           `json:"draining"` // PIDs of old generations
}

// Name returns the node's name.
func (n *Node) Name() string { return n.name }

// Log returns the supervisor's log with the node's name on every line.
func (n *Node) Log() *slog.Logger { return n.sup.log.With("node", n.name) }

// Config returns the config in use; it must not be changed.
func (n *Node) Config() *config.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cfg
}

// Status describes the node as of the last look at its children, see Timing.Ping.
func (n *Node) Status() NodeStatus {
	cfg := n.Config()
	st := NodeStatus{
		Node: n.name, Site: cfg.Site, Fingerprint: cfg.Fingerprint, Version: n.sup.opt.Version, Pid: os.Getpid(), Ready: true,
	}
	st.Since, st.Generation, st.UpgradeError = n.sup.facts()
	n.mu.Lock()
	st.Reloaded, st.ReloadError = n.reloaded, n.reloadError
	n.mu.Unlock()
	for _, s := range n.slotList() {
		r := s.status()
		st.Ready = st.Ready && r.Ready
		st.Roles = append(st.Roles, r)
	}
	return st
}

// Reload loads the config of the whole supervisor again and returns when it serves. On
// an error the old config keeps serving, everywhere.
func (n *Node) Reload(ctx context.Context) error { return n.sup.reload(ctx) }

// Upgrade proves that the installed binary can take over and returns; then, after the
// admin listeners have answered what they have begun, it takes over. What goes wrong
// after that is in the log and in Status.
func (n *Node) Upgrade(ctx context.Context) error { return n.sup.upgrade(ctx) }

// Stop begins an orderly stop of the whole supervisor and returns at once.
func (n *Node) Stop() { n.sup.askStop() }

// Role returns a handler that forwards requests to the role's own commands, nil if the
// node does not run it.
func (n *Node) Role(name string) http.Handler {
	i := slices.IndexFunc(n.slotList(), func(s *slot) bool { return s.spec.Name == name })
	if i < 0 {
		return nil
	}
	s := n.slotList()[i]
	// Without a time-out: a backup takes as long as it takes, and one who is tired of waiting
	// ends the request.
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			c := s.serving()
			if c == nil {
				return nil, errors.New("role " + name + " is down; see stack status")
			}
			conn, fd, err := connPair()
			if err != nil {
				return nil, err
			}
			defer unix.Close(fd)
			if err := c.ch.tell(kindHTTP, nil, fd); err != nil {
				conn.Close()
				return nil, err
			}
			return conn, nil
		},
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", name
		},
		Transport: transport,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		},
	}
}

func (n *Node) slotList() []*slot {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.slots)
}

func (n *Node) setReload(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reloadError = ""
	if err != nil {
		n.reloadError = err.Error()
	}
}
