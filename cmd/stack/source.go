package main

import (
	"os"

	"github.com/spf13/cobra"

	"stack/appliance/config"
)

// version is set by the linker from git.
var version = "unknown"

// source is where a command's config comes from.
type source struct{ file, node string }

func (s *source) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.file, "config", config.DefaultFile, "the config file")
	c.Flags().StringVar(&s.node, "node", "", "this node's name; by default the host name or a local address tells")
	c.Flags().AddFlagSet(config.Flags())
}

// load reads and checks the config; the error names every problem.
func (s *source) load(c *cobra.Command) (*config.Config, error) {
	return config.Load(config.Options{File: s.file, Node: s.node, Environ: os.Environ(), Flags: c.Flags()})
}
