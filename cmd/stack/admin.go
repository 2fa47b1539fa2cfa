package main

import (
	"context"
	"net"

	"stack/appliance/admin"
	"stack/appliance/supervise"
)

// serveAdmin gives a node its control and health interface.
func serveAdmin(ctx context.Context, n *supervise.Node, unix net.Listener, tcp []net.Listener) error {
	admin.New(n, n.Log()).Serve(ctx, unix, tcp)
	return nil
}
