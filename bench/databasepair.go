package main

import (
	"context"
	gosql "database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"text/template"
	"time"

	_ "github.com/go-sql-driver/mysql"
)

// databasePair is a primary and the replica that follows it.
type databasePair struct {
	name             string
	primary, replica *databaseServer
	sessions         [2]*gosql.DB // of root, on either
}

// Numbers of the servers of a pair.
const (
	primaryID = 1
	replicaID = 2
)

// pairSetup is what is ended after measuring, in reverse order.
type pairSetup struct {
	pairs []*databasePair
	dir   string
}

// startPairs starts a pair of each program that takes part. acknowledged: the primary
// answers a commit when the replica has it, too.
func startPairs(ctx context.Context, s settings, acknowledged bool) (setup *pairSetup, err error) {
	setup = &pairSetup{}
	defer func() {
		if err != nil {
			setup.stop()
		}
	}()
	if setup.dir, err = os.MkdirTemp(s.dataDir, "stack-bench-pair-"); err != nil {
		return setup, err
	}
	for _, name := range []string{stack, mariadb} {
		if !s.runs(name) {
			continue
		}
		p := &databasePair{name: name}
		setup.pairs = append(setup.pairs, p)
		if err := p.start(ctx, setup.dir, s, acknowledged); err != nil {
			return setup, fmt.Errorf("pair of %s: %w", name, err)
		}
	}
	return setup, nil
}

func (setup *pairSetup) stop() {
	for _, p := range setup.pairs {
		p.stop()
	}
	os.RemoveAll(setup.dir)
}

func (p *databasePair) stop() {
	for _, session := range p.sessions {
		if session != nil {
			session.Close()
		}
	}
	p.replica.stop()
	p.primary.stop()
}

// start starts both, lets one follow the other, and fills the table.
func (p *databasePair) start(ctx context.Context, dir string, s settings, acknowledged bool) error {
	dir = filepath.Join(dir, p.name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	start := p.startAlone
	if p.name == stack && acknowledged {
		start = p.startSite
	}
	if err := start(ctx, dir, s); err != nil {
		return err
	}
	for i, d := range []*databaseServer{p.primary, p.replica} {
		account := "root"
		if p.name == stack {
			account += ":" + benchPassword
		}
		var err error
		if p.sessions[i], err = gosql.Open("mysql", account+"@unix("+filepath.Join(d.dir, "sql.sock")+")/?interpolateParams=true"); err != nil {
			return err
		}
	}
	if p.name == mariadb && acknowledged {
		if err := p.semiSync(ctx); err != nil {
			return err
		}
	}
	if err := p.primary.fill(ctx, s.rows); err != nil {
		return fmt.Errorf("fill the table: %w", err)
	}
	_, err := p.caughtUp(ctx, 5*time.Minute)
	return err
}

// startAlone starts two servers that know nothing of each other, and lets one follow.
func (p *databasePair) startAlone(ctx context.Context, dir string, s settings) (err error) {
	if p.primary, err = launchDatabase(ctx, &databaseServer{name: p.name, dir: filepath.Join(dir, "primary"), id: primaryID}, s); err != nil {
		return err
	}
	if err := p.primary.makeAccount(ctx); err != nil {
		return err
	}
	if p.replica, err = launchDatabase(ctx, &databaseServer{name: p.name, dir: filepath.Join(dir, "replica"), id: replicaID}, s); err != nil {
		return err
	}
	follow := "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = %d, SOURCE_USER = 'bench', SOURCE_PASSWORD = '%s', SOURCE_AUTO_POSITION = 1; START REPLICA"
	if p.name == mariadb {
		follow = "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = %d, MASTER_USER = 'bench', MASTER_PASSWORD = '%s', MASTER_USE_GTID = slave_pos; START SLAVE"
	}
	return p.replica.whenUp(ctx, fmt.Sprintf(follow, p.primary.port, benchPassword))
}

// startSite starts two servers of one site, of which the second follows the first by itself.
func (p *databasePair) startSite(ctx context.Context, dir string, s settings) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	admin, err := freePort()
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "stack.yaml")
	t, err := template.ParseFS(peers, "peers/stack-db-site.yaml")
	if err != nil {
		return err
	}
	out, err := os.Create(config)
	if err != nil {
		return err
	}
	defer out.Close()
	type node struct{ Name, Host, Dir string }
	values := struct {
		Dir, Password string
		Port, Admin   int
		Nodes         []node
	}{dir, benchPassword, port, admin, nil}
	for i, name := range []string{"db1", "db2"} {
		values.Nodes = append(values.Nodes, node{name, "127.0.0." + strconv.Itoa(31+i), filepath.Join(dir, name)})
	}
	if err := t.Execute(out, values); err != nil {
		return err
	}
	binary, err := filepath.Abs(s.binary)
	if err != nil {
		return err
	}
	if text, err := exec.CommandContext(ctx, binary, "secrets", "init", "--config", config).CombinedOutput(); err != nil {
		return fmt.Errorf("secrets init: %w: %s", err, text)
	}
	servers := []**databaseServer{&p.primary, &p.replica}
	for i, n := range values.Nodes {
		d := &databaseServer{name: stack, dir: n.Dir, host: n.Host, port: port, admin: admin}
		*servers[i] = d
		if err := os.Mkdir(d.dir, 0o700); err != nil {
			return err
		}
		if err := d.begin(ctx, binary, "--node", n.Name, "--config", config); err != nil {
			return err
		}
	}
	return p.primary.makeAccount(ctx)
}

// semiSync makes MariaDB's primary wait for its replica between the sync of its log and
// the moment at which others see the commit.
func (p *databasePair) semiSync(ctx context.Context) error {
	for i, text := range []string{
		"SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC'; SET GLOBAL rpl_semi_sync_master_enabled = 1",
		"SET GLOBAL rpl_semi_sync_slave_enabled = 1; STOP SLAVE; START SLAVE",
	} {
		if _, err := []*databaseServer{p.primary, p.replica}[i].client(ctx, text); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if n, err := p.semiSyncStatus(ctx, "clients"); err == nil && n == "1" {
			return nil
		}
	}
	return errors.New("the replica does not acknowledge")
}

func (p *databasePair) semiSyncStatus(ctx context.Context, name string) (value string, err error) {
	var variable string
	err = p.sessions[0].QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_"+name+"'").Scan(&variable, &value)
	return value, err
}

// unacknowledged is how many commits were answered that the replica had not acknowledged.
func (p *databasePair) unacknowledged(ctx context.Context) (int, error) {
	if p.name == stack {
		return 0, nil // its policy is strict: such commits fail
	}
	text, err := p.semiSyncStatus(ctx, "no_tx")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// caughtUp waits until the replica has executed what the primary has now, and says how
// long that took.
func (p *databasePair) caughtUp(ctx context.Context, patience time.Duration) (time.Duration, error) {
	begun := time.Now()
	queries := [2]string{"SELECT @@global.gtid_executed", "SELECT @@global.gtid_executed"}
	if p.name == mariadb {
		queries = [2]string{"SELECT @@global.gtid_binlog_pos", "SELECT @@global.gtid_slave_pos"}
	}
	var want, have string
	if err := p.sessions[0].QueryRowContext(ctx, queries[0]).Scan(&want); err != nil {
		return 0, err
	}
	for {
		if err := p.sessions[1].QueryRowContext(ctx, queries[1]).Scan(&have); err != nil {
			return 0, err
		}
		if have == want {
			return time.Since(begun), nil
		}
		if time.Since(begun) > patience {
			return 0, fmt.Errorf("the replica of %s has executed %s and not %s after %v", p.name, have, want, patience)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// groups is how often either server has synced its logs for commits.
func (p *databasePair) groups(ctx context.Context) (n [2]float64, err error) {
	for i, d := range []*databaseServer{p.primary, p.replica} {
		if n[i], _, err = d.syncs(ctx); err != nil {
			return n, err
		}
	}
	return n, nil
}

// cpu is the CPU time of both servers.
func (p *databasePair) cpu() (primary, replica time.Duration, err error) {
	if primary, err = cpuTime(p.primary.command.Process.Pid); err != nil {
		return 0, 0, err
	}
	replica, err = cpuTime(p.replica.command.Process.Pid)
	return primary, replica, err
}
