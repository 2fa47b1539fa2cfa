package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"stack/tls"
)

func newSecretsCommand() *cobra.Command {
	c := &cobra.Command{Use: "secrets", Short: "The site's CA, keys and leaf certificates"}
	c.AddCommand(newSecretsInitCommand(), newSecretsExportCommand())
	return c
}

func newSecretsInitCommand() *cobra.Command {
	s := source{}
	c := &cobra.Command{
		Use:   "init",
		Short: "Make the CA and the keys that are missing; nothing is ever replaced",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := s.load(c)
			if err != nil {
				return err
			}
			made, err := tls.InitSecrets(cfg.TLS.SecretsDir, cfg.Site)
			for _, name := range made {
				fmt.Fprintf(c.OutOrStdout(), "made %s/%s\n", cfg.TLS.SecretsDir, name)
			}
			if err == nil && len(made) == 0 {
				fmt.Fprintf(c.OutOrStdout(), "%s is complete\n", cfg.TLS.SecretsDir)
			}
			return err
		},
	}
	s.flags(c)
	return c
}

func newSecretsExportCommand() *cobra.Command {
	s := source{}
	c := &cobra.Command{
		Use:   "export NODE",
		Short: "Write a tar archive of what a node needs: CA certificate, its leaf, its shared keys",
		Long: "Write to standard output the tar archive to unpack in the node's secrets directory:\n\n" +
			"  stack secrets export web1 | ssh web1 sudo -u stack tar -x -C /etc/stack/secrets",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if out, ok := c.OutOrStdout().(*os.File); ok && term.IsTerminal(int(out.Fd())) {
				return errors.New("the archive holds private keys and is not shown on a terminal: send it to tar or a file, as in `stack secrets export NODE > node.tar`")
			}
			cfg, err := s.load(c)
			if err != nil {
				return err
			}
			node, err := cfg.Resolve(args[0])
			if err != nil {
				return err
			}
			return tls.Export(c.OutOrStdout(), node.TLS.SecretsDir, node)
		},
	}
	s.flags(c)
	return c
}
