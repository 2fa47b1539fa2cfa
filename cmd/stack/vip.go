package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"stack/appliance/admin"
	"stack/roles/vip"
)

func newVIPCommand() *cobra.Command {
	c := &cobra.Command{Use: "vip", Short: "The virtual addresses that the balancers share: show and move them"}
	c.AddCommand(newVIPShowCommand(), newVIPReleaseCommand(), newVIPForceCommand(), newVIPCleanCommand())
	return c
}

// eachVIP calls do for every node here that shares virtual addresses.
func eachVIP(ctx context.Context, t *target, do func(*admin.Client) error) error {
	err := t.eachWith(ctx, "net", do)
	if errors.Is(err, errNoRole) {
		return errors.New("no node here shares virtual addresses: they need `vip` in the config and a node with the role lb; stack dev has none")
	}
	return err
}

func newVIPShowCommand() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the groups of virtual addresses and who this node is in each",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return eachVIP(c.Context(), &t, func(client *admin.Client) error {
				var views []vip.View
				if err := client.Get(c.Context(), "/v1/net/vips", &views); err != nil {
					return err
				}
				if asJSON {
					return writeJSON(c.OutOrStdout(), views)
				}
				return vip.WriteTable(c.OutOrStdout(), views, time.Now())
			})
		},
	}
	t.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON")
	return c
}

func newVIPReleaseCommand() *cobra.Command {
	var lasting time.Duration
	c := vipAction("release [GROUP]", "Give a group of addresses to another balancer",
		"The group stays away from this node for the time of --for, then the usual election decides again; `stack vip\n"+
			"force` ends the time early. GROUP may be left out where there is one group.",
		func() any { return vip.Release{For: lasting.String()} })
	c.Flags().DurationVar(&lasting, "for", 10*time.Minute, "how long this node stands back: 1s to 24h")
	return c
}

func newVIPForceCommand() *cobra.Command {
	return vipAction("force [GROUP]", "Take a group of addresses to this node",
		"It ends a release, too. GROUP may be left out where there is one group.", func() any { return nil })
}

// vipAction makes a command that posts to /v1/net/vips/GROUP/NAME.
func vipAction(use, short, long string, body func() any) *cobra.Command {
	var t target
	c := &cobra.Command{Use: use, Short: short, Long: short + ".\n\n" + long, Args: cobra.MaximumNArgs(1)}
	c.RunE = func(c *cobra.Command, args []string) error {
		return eachVIP(c.Context(), &t, func(client *admin.Client) error {
			var views []vip.View
			if err := client.Get(c.Context(), "/v1/net/vips", &views); err != nil {
				return err
			}
			group, err := vip.Choose(views, args)
			if err != nil {
				return err
			}
			var done vip.View
			if err := client.Post(c.Context(), "/v1/net/vips/"+group+"/"+c.Name(), body(), &done); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is %s here: %s.\n", done.Name, done.State, done.Reason)
			return nil
		})
	}
	t.flags(c)
	return c
}

func newVIPCleanCommand() *cobra.Command {
	s := source{}
	c := &cobra.Command{
		Use:   "clean",
		Short: "Remove virtual addresses that a killed process left on this machine",
		Long: "The unit runs it after the service has ended in whatever way. Where stack runs it does nothing; without it\n" +
			"the kernel removes the addresses within two seconds.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := s.load(c)
			if err != nil {
				return err
			}
			node, err := cfg.Resolve(s.node)
			if err != nil {
				return err
			}
			if admin.Answers(node.Admin.Socket) {
				fmt.Fprintf(c.OutOrStdout(), "Nothing removed: %s runs.\n", node.Name)
				return nil
			}
			removed, err := vip.Clean(node)
			for _, address := range removed {
				fmt.Fprintf(c.OutOrStdout(), "Removed %s.\n", address)
			}
			return err
		},
	}
	s.flags(c)
	return c
}
