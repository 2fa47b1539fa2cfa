// Package admin is the control and health interface of a node: HTTP/JSON under /v1 on
// a Unix socket for the commands, and a read-only TCP listener with /metrics, /livez,
// /readyz, /primary and /replica. It also holds the client that the commands use.
//
// It decides nothing: every action is a call of the supervisor's Node. It never
// listens by itself; the supervisor holds the sockets, so they survive an upgrade.
package admin

import (
	"context"
	"net/http"

	dto "github.com/prometheus/client_model/go"

	"stack/appliance/config"
	"stack/appliance/supervise"
)

// Node is what admin shows and acts on. All methods are safe for concurrent use.
type Node interface {
	Name() string
	Config() *config.Node
	Status() supervise.NodeStatus
	// Gather returns the metrics of all processes of the node.
	Gather(ctx context.Context) ([]*dto.MetricFamily, error)
	// Reload and Upgrade return when the new config or the new generation serves, or
	// with the reason why the old one still does.
	Reload(ctx context.Context) error
	Upgrade(ctx context.Context) error
	// Stop begins an orderly stop and returns at once.
	Stop()
	// Role forwards run-time commands to a role's process; nil if the node has no such role.
	Role(name string) http.Handler
}
