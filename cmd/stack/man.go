package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIRECTORY",
		Short: "Write the manual pages",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("write the manual pages: %w", err)
			}
			// A date in the page would make every build differ.
			head := &doc.GenManHeader{Title: strings.ToUpper(c.Root().Name()), Section: "8", Source: "stack " + version}
			c.Root().DisableAutoGenTag = true
			return doc.GenManTree(c.Root(), head, args[0])
		},
	}
}
