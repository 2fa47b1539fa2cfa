package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Run executes the command line args, without the program's name.
func Run(ctx context.Context, args []string) error {
	root := newRootCommand()
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

// newRootCommand builds the command tree; it is also what man pages and completions
// are made from.
func newRootCommand() *cobra.Command {
	root := newRunCommand()
	root.AddCommand(
		newChildCommand(),
		newDevCommand(),
		newCheckCommand(),
		newReloadCommand(),
		newUpgradeCommand(),
		newStopCommand(),
		newStatusCommand(),
		newLBCommand(),
		newVIPCommand(),
		newDBCommand(),
		newFirewallCommand(),
		newSecretsCommand(),
		newConfigCommand(),
		newManCommand(),
		newVersionCommand(),
	)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; %s --help lists the flags", err, c.CommandPath())
	})
	explain(root)
	return root
}

// explain makes a wrong command line name what would be right.
func explain(c *cobra.Command) {
	for _, sub := range c.Commands() {
		explain(sub)
	}
	if !c.Runnable() {
		var names []string
		for _, sub := range c.Commands() {
			names = append(names, sub.Name())
		}
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q for %q; there are %s", args[0], c.CommandPath(), strings.Join(names, ", "))
			}
			return fmt.Errorf("%s needs one of the commands %s", c.CommandPath(), strings.Join(names, ", "))
		}
	}
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if err != nil && !c.HasParent() {
				return fmt.Errorf("%w; stack --help lists the commands", err)
			}
			if err != nil {
				return fmt.Errorf("%w; usage: %s", err, c.UseLine())
			}
			return nil
		}
	}
}
