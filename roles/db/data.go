package db

import (
	"context"
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/appliance/supervise"
	"stack/roles/db/binlog"
	"stack/roles/db/group"
	"stack/roles/db/incarnation"
	"stack/roles/db/relay"
	"stack/roles/db/replica"
	"stack/roles/db/seed"
	"stack/roles/db/sql"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// data is the open database: store, transactions and SQL engine.
type data struct {
	store   *store.Store
	db      *txn.Engine
	engine  *sql.Engine
	relay   *relay.Log // nil: the site has no other database server
	replica *replica.Replica
	member  *member // nil: the site has no other database server
	donor   *seed.Donor
	groups  groups
	undone  undone
}

// memtableSize is that of a process with this memory: two at a time are an eighth of it.
func memtableSize(memory int64) uint64 { return uint64(min(32<<20, max(4<<20, memory/16))) }

// openData opens the data directory. Half of the memory goes to the block cache, of which memtables
// take their part.
func openData(node *config.Node, env supervise.Env, kill func(uint32) error) (*data, error) {
	d := &data{}
	if err := d.openStore(node, env); err != nil {
		return nil, err
	}
	var err error
	if d.db, err = txn.Open(d.store, txn.Options{
		LockWaitTimeout: node.DB.LockWaitTimeout,
		WriteSetLimit:   txn.WriteSetLimitOf(node.DB.Memory),
		WriteSetsLimit:  node.DB.Memory / 8,
		Log:             env.Log,
		Binlog:          binlog.Options{Version: sql.Version, Keep: node.DB.Binlog.Keep, MaxSize: node.DB.Binlog.MaxSize, Archive: node.DB.Binlog.Archive},
		Observe:         d.groups.observe,
	}); err != nil {
		return nil, errors.Join(err, d.close())
	}
	own, err := d.openRelay(node, env.Log)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	if err := incarnation.Begin(d.store, max(d.db.AckStatus().Logged, own)); err != nil {
		return nil, errors.Join(err, d.close())
	}
	if d.engine, err = sql.New(d.store, d.db, sql.Options{
		Log: env.Log, DataDir: node.DB.DataDir, Server: d.store.Server, Hostname: node.Name, KillConnection: kill,
		MaxConnections: node.DB.MaxConnections, QueryMemory: node.DB.QueryMemory, Socket: node.DB.Socket,
	}); err != nil {
		return nil, errors.Join(err, d.close())
	}
	if d.replica, err = replica.Open(replica.Options{
		Store: d.store, DB: d.db, Statements: d.engine, Name: node.Name, Log: env.Log, Following: d.following(env), Relay: d.relay, RelayAccount: group.Account,
		Leads: func() bool { return d.member == nil },
		Held:  node.AckNeed() > 1,
	}); err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.engine.SetReplica(d.replica)
	if d.donor, err = seed.NewDonor(d.store, seed.DonorOptions{Rate: node.DB.SeedRate, Log: env.Log}); err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.engine.SetDonor(d.donor)
	if err := d.store.GrowMemtables(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// openStore opens the store, as the next start of a member of a site is to find it.
func (d *data) openStore(node *config.Node, env supervise.Env) (err error) {
	opts := store.Options{
		Dir: node.DB.DataDir, CacheBytes: node.DB.Memory / 2, MemtableSize: memtableSize(node.DB.Memory), Log: env.Log, Version: sql.Version,
	}
	if err := installSeed(node, env.Log); err != nil {
		return err
	}
	if d.store, err = store.Open(opts); err != nil {
		return err
	}
	again := false
	if again, d.undone, err = takeBack(d.store, node, env.Log); err != nil {
		return errors.Join(err, d.store.Close())
	}
	if !again {
		return nil
	}
	if err := d.store.Close(); err != nil {
		return err
	}
	d.store, err = store.Open(opts)
	return err
}

// following tells the SQL layer whether only a source changes the data.
func (d *data) following(env supervise.Env) func(bool) {
	return func(on bool) {
		d.engine.SetFollowing(on)
		if !on && d.member == nil {
			// The source may have had a higher epoch, which closes a server. Nobody else here has one.
			if err := d.db.OpenForWrites(d.db.Epoch()); err != nil {
				env.Log.Error("the server takes no writes although it follows nobody", "error", err)
			}
		}
		if err := sql.SetReadOnlyVariables(on); err != nil {
			env.Log.Error("@@read_only and @@super_read_only keep their old values", "error", err)
		}
	}
}

func (d *data) close() error {
	var errs []error
	if d.replica != nil {
		d.replica.Close()
	}
	if d.relay != nil {
		errs = append(errs, d.relay.Close())
	}
	if d.donor != nil {
		errs = append(errs, d.donor.Close())
	}
	if d.engine != nil {
		errs = append(errs, d.engine.Close())
	}
	if d.member != nil {
		errs = append(errs, d.member.settle())
	}
	if d.db != nil {
		errs = append(errs, d.db.Close())
	}
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	return errors.Join(errs...)
}

// ensureRoot gives root its password. A server that follows another has what that one has.
func (d *data) ensureRoot(ctx context.Context, root string) error {
	if d.replica.Following() {
		return nil
	}
	if err := d.engine.EnsureAdministrator(ctx, "root", "%", root); err != nil {
		return fmt.Errorf("set the password of root: %w", err)
	}
	return nil
}

// ensure makes what the configuration names and the database lacks: databases and accounts. undo takes
// back what this call has made, but for a database that clients have used meanwhile. A server that
// follows another has what that one has.
func (d *data) ensure(ctx context.Context, node *config.Node, users []user) (undo func(), err error) {
	if d.replica.Following() {
		return func() {}, nil
	}
	var made []func() (drop string)
	undo = func() {
		for _, dropped := range slices.Backward(made) {
			if drop := dropped(); drop != "" {
				// Best effort: what stays is found again by the next reload.
				_ = d.engine.Do(context.Background(), drop)
			}
		}
	}
	for _, name := range node.DB.Databases {
		if d.engine.Catalog().Database(name) != nil {
			continue
		}
		if err := d.engine.Do(ctx, "CREATE DATABASE "+sql.QuoteName(name)); err != nil {
			return undo, fmt.Errorf("create the database %s: %w", name, err)
		}
		made = append(made, func() string {
			if c := d.engine.Catalog(); len(c.Tables(name)) > 0 || len(c.ObjectsOf(name)) > 0 {
				return ""
			}
			return "DROP DATABASE IF EXISTS " + sql.QuoteName(name)
		})
	}
	for _, u := range users {
		if d.engine.HasAccount(u.Name, u.Host) {
			continue
		}
		account := sql.QuoteText(u.Name) + "@" + sql.QuoteText(u.Host)
		statements := []string{"CREATE USER " + account + " IDENTIFIED BY " + sql.QuoteText(u.password)}
		for _, db := range u.Databases {
			statements = append(statements, "GRANT ALL ON "+sql.QuoteName(db)+".* TO "+account)
		}
		made = append(made, func() string { return "DROP USER IF EXISTS " + account })
		if err := d.engine.Do(ctx, statements...); err != nil {
			return undo, fmt.Errorf("create the account %s@%s: %w", u.Name, u.Host, err)
		}
	}
	return undo, nil
}

// alive says whether the store answers.
func (d *data) alive() error {
	if _, err := store.Get(d.store.DB, store.MetaExecutedKey()); err != nil {
		return fmt.Errorf("the store does not answer: %w", err)
	}
	return nil
}

// cursorDir is where large results of server-side cursors go.
func cursorDir(node *config.Node) string { return node.DB.DataDir }

// verifyClients lets clients show a certificate of the site's CA, for accounts that
// REQUIRE X509.
func verifyClients(tc *ctls.Config, node *config.Node) error {
	path := filepath.Join(node.TLS.SecretsDir, "ca.crt")
	pem, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // certificates from files, and no CA of the site
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate: restore it from a backup", path)
	}
	tc.ClientCAs, tc.ClientAuth = pool, ctls.VerifyClientCertIfGiven
	return nil
}

// listenUnix opens the socket of db.socket. A file that a dead process left is removed,
// one that answers belongs to another server.
func listenUnix(path string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("db.socket %s is served by another process: stop it or name another path", path)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("db.socket %s is there and no socket: remove the file or name another path", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("db.socket: remove the left socket: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("db.socket: %w", err)
	}
	// Who may log in is decided by the account, as over TCP.
	if err := os.Chmod(path, 0o777); err != nil {
		l.Close()
		return nil, fmt.Errorf("db.socket: %w", err)
	}
	return l, nil
}

func closeFD(fd int) { _ = unix.Close(fd) }
