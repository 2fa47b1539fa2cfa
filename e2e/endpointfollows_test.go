package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	// checkEvery is how often the balancer asks each server, but for a tenth more or less.
	checkEvery = time.Second
	// onTop is what an answer and a busy machine may take.
	onTop = 300 * time.Millisecond
)

// From the moment at which a new primary says that it is one, the balancer's endpoint for writes leads there within one
// interval of its checks, and on; sessions on the old one end as soon as that one knows, or, where it is frozen, when the
// endpoint leads elsewhere.
func TestEndpointFollowsWithinAnInterval(t *testing.T) {
	if _, err := exec.LookPath("mariadb"); err != nil {
		t.Skip("needs mariadb: make tools")
	}
	d := newDatabases(t, 2, fmt.Sprintf("lb:\n  backends: [{name: mysql-primary, check: {interval: %s}}]\n", checkEvery))
	for _, name := range append([]string{"lb1"}, d.names...) {
		d.start(name)
	}
	await(t, "the endpoint leads to the primary", time.Minute, d.writable("endpoint", "CREATE TABLE IF NOT EXISTS shop.list (id INT PRIMARY KEY)"))
	primary := "db1"
	switches := 12
	if testing.Short() {
		switches = 3
	}
	for i := range switches {
		time.Sleep(time.Duration(rand.IntN(int(checkEvery)))) // at any moment between two checks
		next := d.otherThan(primary)
		c := d.change(primary, next, func() { d.switchover(primary, next) })
		c.followed(fmt.Sprint("switchover ", i))
		c.cutAfter("the old primary closes", c.left)
		primary = next
	}
	next := d.otherThan(primary)
	c := d.change(primary, next, func() {
		signalAll(d.run[primary].cmd.Process.Pid, syscall.SIGSTOP)
		d.promote(next)
	})
	c.followed("promotion in place of a frozen primary")
	c.cutAfter("the new primary opens", c.opened.Add(checkEvery))
	signalAll(d.run[primary].cmd.Process.Pid, syscall.SIGCONT)
	d.follows(next, primary)
	primary, next = next, primary
	c = d.change(primary, next, func() {
		d.kill(primary)
		d.promote(next)
	})
	c.followed("promotion in place of a dead primary")
}

// follows waits until a server follows the primary.
func (d *databases) follows(primary, replica string) {
	d.t.Helper()
	await(d.t, replica+" follows "+primary, time.Minute, func() bool {
		out, err := d.sql(replica, "SHOW STACK ROLE")
		fields := strings.Split(out, "\t")
		return err == nil && len(fields) == 6 && fields[2] == primary && fields[4] == "1"
	})
}

func (d *databases) otherThan(name string) string {
	return d.names[1-slices.Index(d.names, name)]
}

// promote has a replica take the place of a primary that does not answer.
func (d *databases) promote(name string) {
	d.t.Helper()
	await(d.t, name+" is promoted", time.Minute, func() bool {
		_, code := run(d.t, d.dir, "db", "promote", "--socket", filepath.Join(d.dir, name+".sock"))
		return code == 0
	})
}

// change is what is seen of a change of roles: moments.
type change struct {
	t                    *testing.T
	opened               time.Time            // the new primary says in its status that it is one
	left                 time.Time            // the old primary says that it is not; zero: it has said nothing
	led                  time.Time            // a new connection to the endpoint reaches the new primary, and all later ones do
	ended                map[string]time.Time // sessions on the old primary
	wrong                []string             // what new connections have reached after that
	mu                   sync.Mutex
	stop                 context.CancelFunc
	watching             sync.WaitGroup
	oldServer, newServer string // UUIDs
}

// change watches while the roles go from one server to the other.
func (d *databases) change(from, to string, how func()) *change {
	d.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 90*time.Second)
	defer stop()
	c := &change{t: d.t, ended: map[string]time.Time{}, stop: stop, oldServer: d.mustSQL(from, "SELECT @@server_uuid"), newServer: d.mustSQL(to, "SELECT @@server_uuid")}
	await(d.t, "the endpoint leads to "+from, time.Minute, func() bool {
		server, err := d.reached(ctx)
		return err == nil && server == c.oldServer
	})
	d.sessions(ctx, c)
	c.watching.Go(func() { c.opened = d.when(ctx, to, "primary", true) })
	var leaving sync.WaitGroup
	leaving.Go(func() { c.left = d.when(ctx, from, "primary", false) })
	probing, end := context.WithCancel(ctx)
	var probes sync.WaitGroup
	probes.Go(func() { d.probe(probing, c) })
	how()
	c.watching.Wait()
	time.Sleep(2 * checkEvery) // later connections are seen too
	end()
	probes.Wait()
	stop() // a frozen server says nothing
	leaving.Wait()
	return c
}

// when is the moment at which a server says in its status that it has a role, or not any more; zero: it has not.
func (d *databases) when(ctx context.Context, name, role string, has bool) time.Time {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(d.dir, name+".sock"))
	}}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		if is, err := roleOf(ctx, client); err == nil && (is == role) == has {
			return time.Now()
		}
		time.Sleep(3 * time.Millisecond) // between two looks, bounded by ctx
	}
	return time.Time{}
}

func roleOf(ctx context.Context, client *http.Client) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node/v1/db/status", nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var status struct{ Role string }
	return status.Role, json.NewDecoder(response.Body).Decode(&status)
}

// connect opens a connection to the endpoint for writes; on it the driver speaks.
func (d *databases) connect(ctx context.Context) (db *sql.DB, on net.Conn, err error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.Logger = "root", "secret", "tcp", fmt.Sprint("127.0.0.11:", d.port+2), &mysql.NopLogger{}
	cfg.ReadTimeout = 90 * time.Second // only the balancer frees who waits for a frozen server
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, network, address)
		on = c
		return c, err
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, nil, err
	}
	db = sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, nil, err
	}
	return db, on, nil
}

// reached is the server that a new connection to the endpoint reaches.
func (d *databases) reached(ctx context.Context) (server string, err error) {
	asking, cancel := context.WithTimeout(ctx, time.Second) // a frozen server does not answer
	defer cancel()
	db, _, err := d.connect(asking)
	if err != nil {
		return "", err
	}
	defer db.Close()
	return server, db.QueryRowContext(asking, "SELECT @@server_uuid").Scan(&server)
}

// probe opens one connection to the endpoint after another. None waits for the answer of one before.
func (d *databases) probe(ctx context.Context, c *change) {
	var each sync.WaitGroup
	defer each.Wait()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		each.Go(func() {
			begun := time.Now()
			server, err := d.reached(ctx)
			now := time.Now()
			c.mu.Lock()
			defer c.mu.Unlock()
			switch {
			case err == nil && server == c.newServer:
				if c.led.IsZero() || now.Before(c.led) {
					c.led = now
				}
			case ctx.Err() == nil && !c.led.IsZero() && begun.After(c.led):
				c.wrong = append(c.wrong, fmt.Sprintf("%v later %s, %v", begun.Sub(c.led), server, err))
			}
		})
	}
}

// sessions opens sessions on the primary through the endpoint, which do different things, and notes when they end.
func (d *databases) sessions(ctx context.Context, c *change) {
	d.t.Helper()
	for name, does := range map[string]func(db *sql.DB, on net.Conn) error{
		"idle": func(_ *sql.DB, on net.Conn) error {
			_, err := on.Read(make([]byte, 1)) // the driver reads nothing meanwhile
			return err
		},
		"in a statement": func(db *sql.DB, _ net.Conn) error {
			var n int
			return db.QueryRowContext(ctx, "SELECT SLEEP(90)").Scan(&n)
		},
		"in a transaction": func(db *sql.DB, on net.Conn) error {
			if _, err := db.ExecContext(ctx, "BEGIN"); err != nil {
				return err
			}
			if _, err := db.ExecContext(ctx, "INSERT INTO shop.list VALUES (-1)"); err != nil {
				return err
			}
			_, err := on.Read(make([]byte, 1))
			return err
		},
	} {
		db, on, err := d.connect(ctx)
		if err != nil {
			d.t.Fatal(err)
		}
		c.watching.Go(func() {
			defer db.Close()
			err := does(db, on)
			if ctx.Err() != nil || err == nil {
				return // it has not ended
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.ended[name] = time.Now()
		})
	}
}

// followed holds the endpoint to the interval.
func (c *change) followed(what string) {
	c.t.Helper()
	c.t.Logf("%s: the endpoint leads to the new primary after %v", what, c.led.Sub(c.opened).Round(time.Millisecond))
	if c.opened.IsZero() || c.led.IsZero() {
		c.t.Fatalf("%s: the new primary opens at %v, the endpoint leads there at %v", what, c.opened, c.led)
	}
	if took := c.led.Sub(c.opened); took > checkEvery+onTop {
		c.t.Errorf("%s: the endpoint leads to the new primary after %v", what, took)
	}
	if len(c.wrong) > 0 {
		c.t.Errorf("%s: after it led to the new primary connections reached: %s", what, strings.Join(c.wrong, "; "))
	}
}

// cutAfter holds the ends of the sessions to a moment.
func (c *change) cutAfter(what string, moment time.Time) {
	c.t.Helper()
	if moment.IsZero() {
		c.t.Errorf("%s at no time", what)
	}
	if len(c.ended) != 3 {
		c.t.Errorf("%d of 3 sessions on the old primary have ended", len(c.ended))
	}
	for name, at := range c.ended {
		if took := at.Sub(moment); took > onTop {
			c.t.Errorf("%s, and a session %s ends %v later", what, name, took)
		}
	}
}
