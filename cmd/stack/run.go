package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"stack/appliance/config"
	"stack/appliance/supervise"
)

// newRunCommand is the root: it runs this node.
func newRunCommand() *cobra.Command {
	var s source
	var only []string
	c := &cobra.Command{
		Use:   "stack",
		Short: "A redundant web site from plain Linux servers: balancers, web servers, MySQL",
		Long: "Without a sub-command, stack runs this node: one process per role, until SIGTERM. SIGHUP reloads the\n" +
			"config, SIGUSR2 lets the installed binary take over.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			return serve(c.Context(), func() ([]*config.Node, error) {
				cfg, err := config.Load(config.Options{
					File: s.file, Node: s.node, Roles: only, Environ: os.Environ(), Flags: c.Flags(),
				})
				if err != nil {
					return nil, err
				}
				node, err := cfg.Resolve(s.node)
				if err != nil {
					return nil, err
				}
				return []*config.Node{node}, nil
			})
		},
	}
	s.flags(c)
	c.Flags().StringSliceVar(&only, "role", nil, "run only these roles (lb, web, db); by default the node's roles come from the file")
	return c
}

// serve runs the nodes that load returns until a signal ends it.
func serve(ctx context.Context, load func() ([]*config.Node, error)) error {
	return supervise.Run(ctx, supervise.Options{
		Specs:   roles(),
		Load:    load,
		Version: version,
		Args:    os.Args,
		Environ: os.Environ(),
		Admin:   serveAdmin,
	})
}
