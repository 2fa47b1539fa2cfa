package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteTable shows the status of one or several nodes to a person.
func WriteTable(w io.Writer, nodes []Status, now time.Time) error {
	for i, st := range nodes {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := writeNode(w, st, now); err != nil {
			return err
		}
	}
	if len(nodes) == 1 && len(nodes[0].Members) > 1 {
		return writeMembers(w, nodes[0], now)
	}
	return nil
}

func writeNode(w io.Writer, st Status, now time.Time) error {
	fmt.Fprintf(w, "node %s  pid %d  up %s  version %s  config %s\n", st.Node, st.Pid, age(now, st.Since), st.Version, short(st.Fingerprint))
	if st.ReloadError != "" {
		fmt.Fprintf(w, "  ! the last reload was refused, the config before it still serves: %s\n", st.ReloadError)
	}
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "  ROLE\tSTATE\tPID\tGEN\tUP\tRESTARTS\t")
	for _, r := range st.Roles {
		state := "ready"
		if !r.Ready {
			state = "NOT READY"
		}
		fmt.Fprintf(t, "  %s\t%s\t%d\t%d\t%s\t%d\t%s\n", r.Role, state, r.Pid, r.Generation, age(now, r.Since), r.Restarts, roleText(r.Text, r.Draining))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range st.Roles {
		if err := writeServers(w, r.Detail); err != nil {
			return err
		}
	}
	return nil
}

func roleText(text string, draining []int) string {
	if len(draining) > 0 {
		text += fmt.Sprintf(" (%d older generation(s) draining)", len(draining))
	}
	return text
}

// servers is the part of a balancer's detail that the table shows.
type servers struct {
	Backends []struct {
		Name    string `json:"name"`
		Servers []struct {
			Name     string `json:"name"`
			Address  string `json:"address"`
			Up       bool   `json:"up"`
			Used     bool   `json:"in_rotation"`
			Admin    string `json:"admin"`
			Weight   int    `json:"weight"`
			Backup   bool   `json:"backup"`
			InFlight int64  `json:"in_flight"`
			Reason   string `json:"reason"`
		} `json:"servers"`
	} `json:"backends"`
}

func writeServers(w io.Writer, detail json.RawMessage) error {
	var s servers
	if len(detail) == 0 || json.Unmarshal(detail, &s) != nil || len(s.Backends) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "  POOL\tSERVER\tADDRESS\tSTATE\tWEIGHT\tIN FLIGHT\t")
	for _, pool := range s.Backends {
		for _, server := range pool.Servers {
			name := server.Name
			if server.Backup {
				name += " (backup)"
			}
			state := "up"
			switch {
			case !server.Up:
				state = "DOWN"
			case !server.Used && !server.Backup && server.Admin == "ready" && server.Weight > 0:
				state = "up, not used" // has another role than the pool asks for, or no address yet
			}
			if server.Admin != "ready" {
				state += ", " + server.Admin
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%d\t%d\t%s\n", pool.Name, name, server.Address, state, server.Weight, server.InFlight, server.Reason)
		}
	}
	return t.Flush()
}

func writeMembers(w io.Writer, st Status, now time.Time) error {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "SITE\tROLES\tADDRESS\tSTATE\tCONFIG\tVERSION\tSEEN")
	for _, m := range st.Members {
		config := short(m.Fingerprint)
		if m.Fingerprint != "" && !m.SameConfig {
			config += " DIFFERS"
		}
		seen := "never"
		if !m.Seen.IsZero() {
			seen = age(now, m.Seen) + " ago"
		}
		if m.State == "self" {
			seen = "now"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, strings.Join(m.Roles, ","), m.Address, m.State, config, m.Version, seen)
	}
	return t.Flush()
}

func short(fingerprint string) string {
	if len(fingerprint) > 12 {
		return fingerprint[:12]
	}
	if fingerprint == "" {
		return "-"
	}
	return fingerprint
}

// age is a duration as people say it: 3s, 4m, 5h, 6d.
func age(now, since time.Time) string {
	if since.IsZero() {
		return "-"
	}
	d := max(now.Sub(since), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}
