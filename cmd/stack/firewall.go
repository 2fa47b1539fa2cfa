package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"stack/firewall"
)

func newFirewallCommand() *cobra.Command {
	c := &cobra.Command{Use: "firewall", Short: "The packet filter that follows from the site's nodes"}
	s := source{}
	show := &cobra.Command{
		Use:   "show [NODE]",
		Short: "Print the complete nftables ruleset of a node, by default this one",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			name := s.node
			if len(args) == 1 {
				name = args[0]
			}
			cfg, err := s.load(c)
			if err != nil {
				return err
			}
			node, err := cfg.Resolve(name)
			if err != nil {
				return err
			}
			text, err := firewall.Render(node)
			if err != nil {
				return err
			}
			for _, warning := range firewall.Warnings("/") {
				fmt.Fprintln(c.ErrOrStderr(), "warning:", warning)
			}
			_, err = fmt.Fprint(c.OutOrStdout(), text)
			return err
		},
	}
	s.flags(show)
	c.AddCommand(show)
	return c
}
