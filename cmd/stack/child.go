package main

import (
	"errors"

	"github.com/spf13/cobra"

	"stack/appliance/supervise"
)

// newChildCommand is what the supervisor runs, never a person: "child ROLE" is the
// process of a role, "child --probe=N -- ARGS" proves that this binary could take over
// from a supervisor that was started with ARGS.
func newChildCommand() *cobra.Command {
	var state int
	c := &cobra.Command{
		Use:    "child ROLE",
		Hidden: true,
		Args:   cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("probe") {
				return Run(supervise.WithProbe(c.Context(), state), args)
			}
			if len(args) != 1 {
				return errors.New("child: needs one role")
			}
			return supervise.RunChild(args[0], roles())
		},
	}
	c.Flags().IntVar(&state, "probe", 0, "version of the state that the running supervisor hands over")
	return c
}
