package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"stack/appliance/admin"
)

// target is the flag by which commands choose among the nodes that run here.
type target struct{ node, socket string }

func (t *target) flags(c *cobra.Command) {
	c.Flags().StringVar(&t.node, "node", "", "the node, where several run here (stack dev)")
	c.Flags().StringVar(&t.socket, "socket", "", "the control socket; found by itself otherwise")
}

// all returns a client for each node that runs here and was meant.
func (t *target) all() ([]*admin.Client, error) {
	paths := []string{t.socket}
	if t.socket == "" {
		var err error
		if paths, err = admin.Sockets(t.node); err != nil {
			return nil, err
		}
	}
	var clients []*admin.Client
	for _, path := range paths {
		clients = append(clients, admin.NewClient(path))
	}
	return clients, nil
}

func newStatusCommand() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show this node and the site: roles, servers, config fingerprint",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			clients, err := t.all()
			if err != nil {
				return err
			}
			nodes := make([]admin.Status, len(clients))
			for i, client := range clients {
				if err := client.Get(c.Context(), "/v1/status", &nodes[i]); err != nil {
					return err
				}
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), nodes)
			}
			return admin.WriteTable(c.OutOrStdout(), nodes, time.Now())
		},
	}
	t.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON: a list with one entry per node that runs here")
	return c
}

func newReloadCommand() *cobra.Command {
	return wholeProcess("reload", "Load the config again; on any error the one before it keeps serving",
		"The new config serves.", post("reload"))
}

func newUpgradeCommand() *cobra.Command {
	return wholeProcess("upgrade", "Let the installed binary take over without losing a connection",
		"The new generation serves; the old one drains.", admin.Upgrade)
}

func newStopCommand() *cobra.Command {
	return wholeProcess("stop", "Drain and stop", "Stopping.", post("stop"))
}

// post asks for something of the process that the nodes share.
func post(name string) func(context.Context, []*admin.Client) error {
	return func(ctx context.Context, clients []*admin.Client) error {
		return clients[0].Post(ctx, "/v1/"+name, nil, nil)
	}
}

// wholeProcess makes a command that concerns every node that runs here: those of
// stack dev share one supervisor.
func wholeProcess(name, short, done string, do func(context.Context, []*admin.Client) error) *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			clients, err := t.all()
			if err != nil {
				return err
			}
			if err := do(c.Context(), clients); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), done)
			return nil
		},
	}
	t.flags(c)
	return c
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func newLBCommand() *cobra.Command {
	c := &cobra.Command{Use: "lb", Short: "Show and change the servers of the balancer while it runs"}
	var t target
	backends := &cobra.Command{
		Use:   "backends",
		Short: "Show pools and servers as JSON",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return t.eachWith(c.Context(), "lb", func(client *admin.Client) error {
				var got json.RawMessage
				if err := client.Get(c.Context(), "/v1/lb/backends", &got); err != nil {
					return err
				}
				return writeJSON(c.OutOrStdout(), got)
			})
		},
	}
	t.flags(backends)
	c.AddCommand(backends)
	for _, action := range []struct{ name, short string }{
		{"ready", "Give a server traffic again"},
		{"drain", "Give a server no new traffic; sessions that run go on"},
		{"maint", "Take a server out; its checks stop"},
	} {
		c.AddCommand(serverCommand(action.name+" POOL SERVER", action.short, cobra.ExactArgs(2), func([]string) (any, error) { return nil, nil }))
	}
	c.AddCommand(serverCommand("weight POOL SERVER 0..256", "Change a server's share until the next reload that changes it", cobra.ExactArgs(3),
		weightBody))
	return c
}

func weightBody(args []string) (any, error) {
	weight, err := strconv.Atoi(args[2])
	if err != nil || weight < 0 || weight > 256 {
		return nil, fmt.Errorf("%q is not a weight: a whole number from 0 to 256", args[2])
	}
	return map[string]int{"weight": weight}, nil
}

// serverCommand makes a command that posts to /v1/lb/servers/POOL/SERVER/NAME on every
// balancer that runs here.
func serverCommand(use, short string, args cobra.PositionalArgs, body func([]string) (any, error)) *cobra.Command {
	var t target
	c := &cobra.Command{Use: use, Short: short, Args: args}
	c.RunE = func(c *cobra.Command, args []string) error {
		send, err := body(args)
		if err != nil {
			return err
		}
		path := fmt.Sprintf("/v1/lb/servers/%s/%s/%s", args[0], args[1], c.Name())
		return t.eachWith(c.Context(), "lb", func(client *admin.Client) error {
			return client.Post(c.Context(), path, send, nil)
		})
	}
	t.flags(c)
	return c
}

// eachWith calls do for every node here that has role.
func (t *target) eachWith(ctx context.Context, role string, do func(*admin.Client) error) error {
	clients, err := t.all()
	if err != nil {
		return err
	}
	found := false
	for _, client := range clients {
		var st admin.Status
		if err := client.Get(ctx, "/v1/status", &st); err != nil {
			return err
		}
		for _, r := range st.Roles {
			if r.Role == role {
				found = true
				if err := do(client); err != nil {
					return fmt.Errorf("%s: %w", st.Node, err)
				}
			}
		}
	}
	if !found {
		return fmt.Errorf("%w %s", errNoRole, role)
	}
	return nil
}

var errNoRole = errors.New("no node here has the role")
