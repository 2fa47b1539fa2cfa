package main

import (
	"context"
	"crypto/rand"
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/spf13/cobra"

	"stack/appliance/admin"
	"stack/appliance/config"
	"stack/appliance/supervise"
	"stack/roles/web/demo"
	"stack/tls"
)

func newDevCommand() *cobra.Command {
	var dir string
	var base uint16
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole site on loopback: two balancers, two web servers, two databases",
		Long: "Dev runs six nodes through the same code path as on real servers, each on its own loopback address with\n" +
			"high ports and without root. Data, keys and certificates stay in one directory. Ctrl-C stops everything.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			options := config.DevOptions{Dir: dir, Environ: os.Environ(), Flags: c.Flags()}
			if base != 0 {
				options.Ports = config.PortsFrom(base)
			}
			load := func() ([]*config.Node, error) {
				cfg, err := config.Dev(options)
				if err != nil {
					return nil, err
				}
				return cfg.ResolveAll()
			}
			if err := prepareDev(dir); err != nil {
				return err
			}
			nodes, err := load()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithCancel(c.Context())
			defer cancel()
			if !supervise.Resumed(os.Environ()) { // an upgrade is no news
				go announceDev(ctx, c.OutOrStdout(), dir, nodes)
			}
			return serve(ctx, load)
		},
	}
	c.Flags().StringVar(&dir, "dir", ".stack", "where data, keys and sockets are kept; other commands find .stack by themselves, and need --socket for another one")
	c.Flags().Uint16Var(&base, "ports", 0, "first of the ports to use, for several sites side by side; 0: 8080, 8443, 13306, …")
	c.Flags().AddFlagSet(config.Flags())
	return c
}

// prepareDev makes what an operator makes on real servers: directories, secrets, the
// demo account's password and the demo's files. What is there is kept.
func prepareDev(dir string) error {
	for _, sub := range []string{"run", "data", "www"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return fmt.Errorf("prepare the dev site: %w: choose another directory with --dir", err)
		}
	}
	secrets := filepath.Join(dir, "secrets")
	if _, err := tls.InitSecrets(secrets, "stack dev"); err != nil {
		return err
	}
	password := filepath.Join(secrets, "db-demo")
	if _, err := os.Stat(password); errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(password, []byte(rand.Text()+"\n"), 0o600); err != nil {
			return fmt.Errorf("prepare the dev site: %w", err)
		}
	}
	if err := demo.WriteRoot(filepath.Join(dir, "www")); err != nil {
		return fmt.Errorf("prepare the dev site: %w", err)
	}
	return nil
}

// announceDev waits until every node is ready and the demo account can log in to the primary through each balancer,
// and prints how to use the site.
func announceDev(ctx context.Context, w io.Writer, dir string, nodes []*config.Node) {
	for !devIsUp(ctx, dir, nodes) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
	printDev(w, dir, nodes)
}

func devIsUp(ctx context.Context, dir string, nodes []*config.Node) bool {
	for _, node := range nodes {
		var st admin.Status
		if err := admin.NewClient(node.Admin.Socket).Get(ctx, "/v1/status", &st); err != nil || !st.Ready {
			return false
		}
		if node.LB == nil {
			continue
		}
		for _, f := range node.LB.Frontends {
			for _, l := range f.Bind {
				if f.Name == config.FrontendMySQL && logInToDev(ctx, dir, l.Addr.String()) != nil {
					return false
				}
			}
		}
	}
	return true
}

// logInToDev logs in as the demo account, which the primary makes.
func logInToDev(ctx context.Context, dir, address string) error {
	secrets := filepath.Join(dir, "secrets")
	password, err := os.ReadFile(filepath.Join(secrets, "db-"+config.DevUser))
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(filepath.Join(secrets, "ca.crt"))
	if err != nil {
		return err
	}
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.DBName = "tcp", address, config.DevUser, config.DevUser
	c.Passwd = strings.TrimSpace(string(password))
	c.Timeout, c.ReadTimeout, c.Logger = time.Second, time.Second, &mysql.NopLogger{}
	c.TLS = &ctls.Config{RootCAs: x509.NewCertPool(), ServerName: config.DevSite, MinVersion: ctls.VersionTLS12}
	c.TLS.RootCAs.AppendCertsFromPEM(pem)
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return err
	}
	conn, err := connector.Connect(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

func printDev(w io.Writer, dir string, nodes []*config.Node) {
	front := func(frontend string) string {
		for _, node := range nodes {
			if node.LB == nil {
				continue
			}
			for _, f := range node.LB.Frontends {
				for _, l := range f.Bind {
					if f.Name == frontend && l.Addr.Addr().String() == config.DevFront {
						return l.Addr.String()
					}
				}
			}
		}
		return ""
	}
	host, port, _ := net.SplitHostPort(front(config.FrontendMySQL))
	ca := filepath.Join(dir, "secrets", "ca.crt")
	elsewhere := ""
	if filepath.Clean(dir) != ".stack" {
		elsewhere = fmt.Sprintf("As the site is not in ./.stack, these commands need --socket, the control socket of the node that is meant, such as %s\n\n", nodes[0].Admin.Socket)
	}
	fmt.Fprintf(w, "\nThe site is up:\n\n")
	fmt.Fprintf(w, "  page       https://%s/          (plain http://%s/ redirects there)\n", front("https"), front("http"))
	fmt.Fprintf(w, "  database   %s:%s through the balancers; account demo, database demo\n", host, port)
	fmt.Fprintf(w, "  replica    %s, to read from\n", front(config.FrontendMySQLRead))
	for _, node := range nodes {
		fmt.Fprintf(w, "  %-10s metrics and health http://%s/metrics\n", node.Name, adminAddress(node))
	}
	fmt.Fprintf(w, `
Try:

  curl --cacert %[1]s https://%[2]s/
  mariadb --host %[3]s --port %[4]s --ssl-ca %[1]s --user demo --password="$(cat %[5]s)" demo
  mariadb --host %[3]s --port %[4]s --ssl-ca %[1]s --user root --password="$(cat %[6]s)"
  %[7]s status
  %[7]s db switchover     # the replica becomes the primary, and the page's writes move there
  %[7]s db status
  kill -9 PID            # of any process that status shows: the site goes on, the process comes back
  %[7]s reload; %[7]s upgrade

%[9]sTrust %[1]s in the browser, or accept its warning. Ctrl-C stops everything; %[8]s keeps the data.

`, ca, front("https"), host, port, filepath.Join(dir, "secrets", "db-demo"), filepath.Join(dir, "secrets", "db-root"), os.Args[0], dir, elsewhere)
}

func adminAddress(node *config.Node) string {
	if len(node.Admin.Bind) == 0 {
		return "-"
	}
	a := node.Admin.Bind[0].Addr
	return net.JoinHostPort(a.Addr().String(), strconv.Itoa(int(a.Port())))
}
