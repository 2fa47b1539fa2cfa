package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stack/appliance/config"
)

func newCheckCommand() *cobra.Command {
	s := source{}
	c := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check the config, and build on this node all that it asks for, without serving",
		Long: "Check reports every error of the config at once, as file:line:column, for every node of the site. On a\n" +
			"server of the site it then builds what that server would serve: certificates, routes, document roots and\n" +
			"the format of stored data. Nothing listens, and nothing is changed, except that where the key of the\n" +
			"site's CA is, a node's certificate that is missing or does not cover its names is issued.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				s.file = args[0]
			}
			cfg, err := s.load(c)
			if err != nil {
				return err
			}
			nodes, err := cfg.ResolveAll()
			if err != nil {
				return err
			}
			for _, w := range warnings(nodes) {
				fmt.Fprintln(c.ErrOrStderr(), "warning:", w)
			}
			node, err := cfg.Resolve(s.node)
			if err != nil && s.node != "" {
				return err
			}
			if err != nil {
				fmt.Fprintf(c.OutOrStdout(), "The config of %d node(s) is good, but files were not looked at: %v.\n", len(nodes), err)
				return nil
			}
			if err := probe(node); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "The config is good, and %s has all that it asks for. Fingerprint %s.\n", node.Name, cfg.Fingerprint())
			return nil
		},
	}
	s.flags(c)
	return c
}

// warnings collects those of all nodes, each once.
func warnings(nodes []*config.Node) (out []string) {
	for _, n := range nodes {
		for _, w := range n.Warnings() {
			if !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	return out
}

// probe builds what each role of node would serve; all errors are returned together.
func probe(node *config.Node) error {
	var problems []error
	for _, spec := range roles() {
		for _, name := range node.Roles {
			if spec.Name == name && spec.Probe != nil {
				if err := spec.Probe(node); err != nil {
					problems = append(problems, named(name, err))
				}
			}
		}
	}
	return errors.Join(problems...)
}

// named puts the role before an error that does not begin with it.
func named(role string, err error) error {
	if strings.HasPrefix(err.Error(), role+": ") {
		return err
	}
	return fmt.Errorf("%s: %w", role, err)
}
