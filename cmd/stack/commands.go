package main

import (
	"context"

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
		newFirewallCommand(),
		newSecretsCommand(),
		newConfigCommand(),
		newManCommand(),
		newVersionCommand(),
	)
	return root
}
