package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"stack/appliance/admin"
	"stack/appliance/config"
	"stack/roles/db"
	"stack/roles/db/seed"
)

func newDBStatusCommand() *cobra.Command {
	s := source{}
	var socket string
	asJSON := false
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the database of a node, how it follows its source, and the copies that are being made of it or for it",
		Long: "Without --config it is the nodes that run here. With it, it is the node of that config: of one that does not run, a clone\n" +
			"into its data directory is shown that is under way or was cut. With --json it prints what GET /v1/db/status answers.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("config") && socket == "" {
				node, err := s.database(c)
				if err != nil {
					return err
				}
				if !admin.Answers(node.Admin.Socket) {
					return writeStopped(c.OutOrStdout(), node, asJSON)
				}
				socket = node.Admin.Socket
			}
			clients, err := (&target{node: s.node, socket: socket}).having(c.Context(), "db")
			if err != nil {
				return err
			}
			for _, client := range clients {
				var text json.RawMessage
				if err := client.Get(c.Context(), "/v1/db/status", &text); err != nil {
					return err
				}
				if asJSON {
					if err := writeJSON(c.OutOrStdout(), text); err != nil {
						return err
					}
					continue
				}
				var d db.Detail
				if err := json.Unmarshal(text, &d); err != nil {
					return fmt.Errorf("read the status: %w", err)
				}
				if len(clients) > 1 {
					var st admin.Status
					if err := client.Get(c.Context(), "/v1/status", &st); err != nil {
						return err
					}
					fmt.Fprintf(c.OutOrStdout(), "node %s\n", st.Node)
				}
				writeDatabase(c.OutOrStdout(), &d)
			}
			return nil
		},
	}
	s.flags(c)
	c.Flags().StringVar(&socket, "socket", "", "the control socket; found by itself otherwise")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// stopped is what there is to say of a node that does not run.
type stopped struct {
	DataDir string          `json:"data_dir"`
	Clone   *seed.Receiving `json:"clone"`
}

func writeStopped(out io.Writer, node *config.Node, asJSON bool) error {
	r, err := seed.Unfinished(nil, node.DB.DataDir)
	switch {
	case err != nil:
		return err
	case asJSON:
		return writeJSON(out, stopped{node.DB.DataDir, r})
	case r == nil:
		return errors.New("the node does not run, and no clone into its data directory is unfinished")
	}
	fmt.Fprintf(out, "The node does not run. A clone into %s is not finished: %s", node.DB.DataDir, fetched(r.Done, r.Bytes, 0))
	if r.From != "" {
		fmt.Fprintf(out, " from %s", r.From)
	}
	fmt.Fprintf(out, ", at %s.\n", position(r.Executed))
	return nil
}

// writeDatabase shows a database, a line a fact.
func writeDatabase(w io.Writer, d *db.Detail) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-20s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("role", "%s", d.Role)
	line("version", "%s", d.Version)
	line("server", "%s", d.Server)
	line("executed", "%s", position(d.Executed))
	line("data", "%s, %.1f MB, %.1f MB free", d.DataDir, float64(d.DataBytes)/1e6, float64(d.FreeBytes)/1e6)
	line("connections", "%d of %d", d.Connections, d.MaxConnections)
	line("transactions", "%d open, %d wait for locks", d.Transactions, d.LockWaiting)
	for _, r := range d.Readers {
		name := r.Name
		if name == "" {
			name = fmt.Sprintf("server id %d", r.ServerID)
		}
		line("log reader", "%s from %s, at %s, %.1f MB sent", name, r.Host, r.Position, float64(r.Bytes)/1e6)
	}
	for _, s := range d.Seeds {
		text := fetched(s.Sent, s.Bytes, s.Rate)
		if len(s.Clients) == 0 {
			text += ", not connected"
		}
		for _, address := range s.Clients {
			text += ", to " + address
		}
		line("seed", "%s, as %s, for %.0f s; it keeps %.1f MB on the disk", text, s.Account, s.Age, float64(s.HeldBytes)/1e6)
	}
	writeAcks(line, d)
	if d.Trouble != "" {
		line("trouble", "%s", d.Trouble)
	}
	if r := d.Rejoin; r != nil {
		line("rejoin", "%s", r)
		line("why", "%s", r.Why)
	}
	for _, path := range d.Errant {
		line("taken back", "%s", path)
	}
	for _, path := range d.Replaced {
		line("replaced data", "%s", path)
	}
	s := d.Source
	if s == nil {
		return
	}
	line("source", "%s, %s", s.Address, s.State)
	line("source position", "%s", s.Position)
	lag := "not known"
	if s.Lag != nil {
		lag = fmt.Sprintf("%.3f s", *s.Lag)
	}
	line("lag", "%s", lag)
	line("transactions behind", "%d", s.Behind)
	line("applied", "%d transactions since the start", s.Applied)
	if s.Error != "" {
		line("error", "%s", s.Error)
	}
	if s.Diverged != "" {
		line("diverged", "%s", s.Diverged)
	}
}

// writeAcks shows what a server is among those of the site.
func writeAcks(line func(name, format string, args ...any), d *db.Detail) {
	a := d.Acks
	if a == nil {
		return
	}
	primary := d.Primary
	if primary == "" {
		primary = "not known yet"
	}
	line("primary", "%s, epoch %d", primary, d.Epoch)
	if d.Role != "primary" {
		return
	}
	line("acknowledgements", "%s: %d needed, then %s after %s", a.State, a.Need, a.Policy, a.Timeout)
	if a.Unacked != "" {
		line("unacknowledged from", "%s", a.Unacked)
	}
	for _, m := range a.Members {
		line("replica "+m.Name, "%d transactions behind, heard %s", m.Behind, m.At.Local().Format("2006-01-02 15:04:05"))
	}
}
