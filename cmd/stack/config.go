package main

import (
	"github.com/spf13/cobra"

	"stack/appliance/config"
)

func newConfigCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "What may stand in the config file"}
	c.AddCommand(
		printer("schema", "Print the JSON schema of the config file, for editors", config.Schema),
		printer("reference", "Print every key with its meaning, default and bounds, as Markdown", config.Reference),
	)
	return c
}

func printer(use, short string, text func() []byte) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(text())
			return err
		},
	}
}
