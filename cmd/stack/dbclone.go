package main

import (
	ctls "crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"stack/appliance/config"
	"stack/roles/db/seed"
	"stack/roles/db/sql"
	"stack/roles/db/store"
)

// clone are the flags of stack db clone.
type clone struct {
	from, user, passwordFile, ca, rate string
	replace                            bool
}

func newDBCloneCommand() *cobra.Command {
	s := source{}
	var f clone
	c := &cobra.Command{
		Use:   "clone --from HOST:PORT --user NAME --password-file FILE",
		Short: "Fill the data directory with a copy of another node's database, while the one here is stopped",
		Long: "The copy is what the other node, the donor, has committed when the command begins; the donor goes on serving. It travels\n" +
			"over TLS. The donor's certificate must be for HOST, and signed by the site's CA or one in --ca. The account needs the\n" +
			"privileges REPLICATION SLAVE and CLONE_ADMIN there.\n\n" +
			"Interrupted, killed or cut off, it goes on where it was when it is run again with the same --from: whole files stay, and the\n" +
			"donor keeps its checkpoint for 10 minutes. The last line says of when the copy is. Every file is compared with the SHA-256\n" +
			"of what the donor read, and every block of the copy with its checksum before it is used.\n\n" +
			"The data directory must be empty or not there; with --replace, what it holds is kept in it, in a directory replaced-TIME,\n" +
			"and can be started again until the copy is whole. The copy is a server of its own, with a new UUID, which knows all that the donor\n" +
			"had executed. Run it as the user that the service runs as.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			node, err := s.database(c)
			if err != nil {
				return err
			}
			o, err := f.options(node)
			if err != nil {
				return err
			}
			o.Progress = (&cloneProgress{out: c.OutOrStdout()}).tell
			r, err := seed.Clone(c.Context(), o)
			if err != nil {
				return err
			}
			writeCloned(c.OutOrStdout(), node.DB.DataDir, r)
			return nil
		},
	}
	s.flags(c)
	f.flags(c)
	return c
}

func (f *clone) flags(c *cobra.Command) {
	l := c.Flags()
	l.StringVar(&f.from, "from", "", "the donor, as HOST:PORT")
	l.StringVar(&f.user, "user", "", "the account on the donor")
	l.StringVar(&f.passwordFile, "password-file", "", "the file with its password as the only line")
	l.StringVar(&f.ca, "ca", "", "the file of the certificates that are believed; by default the site's ca.crt, or else those of the system")
	l.StringVar(&f.rate, "rate", "", "fetch no more than this a second, as 50MiB")
	l.BoolVar(&f.replace, "replace", false, "put aside what the data directory holds")
	for _, name := range []string{"from", "user", "password-file"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was defined above
		}
	}
}

// leastRate keeps the pauses between two pieces far below the time after which a
// connection counts as dead.
const leastRate = 64 << 10

func (f *clone) options(node *config.Node) (o seed.Options, err error) {
	host, _, err := net.SplitHostPort(f.from)
	if err != nil || host == "" {
		return o, fmt.Errorf("--from %s: name the donor as HOST:PORT, such as 10.0.0.5:3306", f.from)
	}
	password, err := os.ReadFile(f.passwordFile)
	if err != nil {
		return o, fmt.Errorf("--password-file: %w", err)
	}
	o = seed.Options{
		Address: f.from, User: f.user, Dir: node.DB.DataDir, Replace: f.replace,
		Store: store.Options{Version: sql.Version, CacheBytes: node.DB.Memory / 2},
	}
	line, _, _ := strings.Cut(string(password), "\n")
	o.Password = strings.TrimRight(line, "\r")
	if f.rate != "" {
		if o.Rate, err = config.ParseSize(f.rate); err != nil || o.Rate < leastRate {
			return o, fmt.Errorf("--rate %s: write a size of 64KiB or more, such as 50MiB", f.rate)
		}
	}
	o.TLS = &ctls.Config{MinVersion: ctls.VersionTLS12, ServerName: host}
	path := f.ca
	if path == "" {
		path = filepath.Join(node.TLS.SecretsDir, "ca.crt")
	}
	o.TLS.RootCAs, err = seed.Roots(vfs.Default, path)
	if f.ca == "" && errors.Is(err, fs.ErrNotExist) {
		err = nil // no CA of the site: that of the system
	}
	if err != nil {
		return o, fmt.Errorf("the certificates that are believed: %w", err)
	}
	return o, nil
}

// cloneProgress prints a line every few seconds.
type cloneProgress struct {
	out  io.Writer
	step seed.Step
	last time.Time
}

func (p *cloneProgress) tell(now seed.Progress) {
	switch {
	case now.Broken != nil:
		fmt.Fprintf(p.out, "The connection broke (%v); connecting again.\n", now.Broken)
		return
	case now.Step != p.step && now.Step != seed.StepFetch:
		fmt.Fprintf(p.out, "%s%s.\n", strings.ToUpper(string(now.Step[:1])), now.Step[1:])
	case now.Step == seed.StepFetch && (now.Done == now.Total || time.Since(p.last) >= 2*time.Second):
		fmt.Fprintln(p.out, fetched(now.Done, now.Total, now.Rate))
	default:
		return
	}
	p.step, p.last = now.Step, time.Now()
}

func fetched(done, total, rate int64) string {
	text := fmt.Sprintf("%.1f of %.1f MB", float64(done)/1e6, float64(total)/1e6)
	if total > 0 {
		text += fmt.Sprintf(" (%d %%)", done*100/total)
	}
	if rate > 0 {
		text += fmt.Sprintf(", %.1f MB/s", float64(rate)/1e6)
	}
	return text
}

func writeCloned(out io.Writer, dir string, r seed.Result) {
	if r.Fetched > 0 {
		fmt.Fprintf(out, "Fetched %.1f MB in %.1f s, %.1f MB/s; checked in %.1f s.\n",
			float64(r.Fetched)/1e6, r.Fetching, float64(r.Fetched)/1e6/max(r.Fetching, 0.001), r.Checking)
	}
	text := fmt.Sprintf("Cloned into %s: %d files, %.1f MB, at %s.", dir, r.Files, float64(r.Bytes)/1e6, position(r.Executed))
	if !r.Begun.IsZero() {
		text += " It has all that the donor had on " + r.Begun.Local().Format(time.DateTime) + "."
	}
	if r.Server != "" {
		text += " It is server " + r.Server + " now."
	}
	if r.Aside != "" {
		text += " What was there is in " + r.Aside + "."
	}
	fmt.Fprintln(out, text+" Start stack.")
}
