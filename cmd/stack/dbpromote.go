package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"stack/appliance/admin"
	"stack/roles/db"
	"stack/roles/db/group"
)

func newDBPromoteCommand() *cobra.Command {
	var t target
	var force bool
	c := &cobra.Command{
		Use:   "promote",
		Short: "Make a replica the primary in place of a dead one",
		Long: "Run it on a node with the role db. Of R replicas, of which commits wait for a (db.ack), R - a + 1 have to answer:\n" +
			"so many hold every commit that was acknowledged, and with them the old primary gets no more acknowledgements. They enter\n" +
			"a new epoch, and the one that has most becomes the primary. The old primary closes itself when it hears of the epoch.\n\n" +
			"Where fewer answer nothing is done and the missing nodes are named. With --force it goes on without them, and says what\n" +
			"may be lost.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := t.database(c.Context(), "replica")
			if err != nil {
				return err
			}
			var done group.Promoted
			if err := client.Post(c.Context(), "/v1/db/promote", db.PromoteRequest{Force: force}, &done); err != nil {
				return err
			}
			writePromoted(c.OutOrStdout(), &done)
			return nil
		},
	}
	c.Flags().BoolVar(&force, "force", false, "promote although it is not proved that nothing is lost")
	t.flags(c)
	return c
}

func writePromoted(w io.Writer, done *group.Promoted) {
	fmt.Fprintf(w, "%s is the primary now, in epoch %d, at %s. Before it was %s.\n", done.Primary, done.Epoch, position(done.Executed), done.Before)
	if done.Proved {
		fmt.Fprintln(w, "No commit that replicas have acknowledged is lost.")
	}
	for _, text := range done.Warnings {
		fmt.Fprintln(w, "Warning: "+text)
	}
	if len(done.Missing) > 0 {
		fmt.Fprintf(w, "Did not take part: %s.\n", strings.Join(done.Missing, ", "))
	}
}

func newDBSwitchoverCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:   "switchover [NODE]",
		Short: "Make a replica the primary in place of one that lives",
		Long: "Run it on the primary's node; where several nodes run here (stack dev) it is found. NODE is the new primary; without it,\n" +
			"the replica that has most. New commits wait until the replica has what is in the log, for 2 s at most; then the roles\n" +
			"change, and the sessions of clients on the old primary are closed. Where the replica fails on the way the old primary\n" +
			"goes on.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := t.database(c.Context(), "primary")
			if err != nil {
				return err
			}
			var body db.SwitchRequest
			if len(args) == 1 {
				body.To = args[0]
			}
			var done group.Promoted
			if err := client.Post(c.Context(), "/v1/db/switchover", body, &done); err != nil {
				return err
			}
			writePromoted(c.OutOrStdout(), &done)
			return nil
		},
	}
	t.flags(c)
	return c
}

// database is the node here that has a database; where several have, the first that is this: primary or replica.
func (t *target) database(ctx context.Context, role string) (*admin.Client, error) {
	clients, err := t.having(ctx, "db")
	if err != nil {
		return nil, err
	}
	if len(clients) == 1 {
		return clients[0], nil
	}
	for _, client := range clients {
		if databaseRole(ctx, client) == role {
			return client, nil
		}
	}
	return nil, fmt.Errorf("none of the %d databases that run here is a %s at the moment: stack db status shows what they are; choose one by --node", len(clients), role)
}

// databaseRole is what the database of a node says that it is; empty: it does not answer.
func databaseRole(ctx context.Context, client *admin.Client) string {
	var d db.Detail
	if err := client.Get(ctx, "/v1/db/status", &d); err != nil {
		return ""
	}
	return d.Role
}
