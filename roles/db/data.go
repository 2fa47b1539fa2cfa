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
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/appliance/supervise"
	"stack/roles/db/binlog"
	"stack/roles/db/sql"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// data is the open database: store, transactions and SQL engine.
type data struct {
	store  *store.Store
	db     *txn.Engine
	engine *sql.Engine
	groups groups
}

// openData opens the data directory. Half of the memory goes to the block cache.
func openData(node *config.Node, env supervise.Env, kill func(uint32) error) (*data, error) {
	d := &data{}
	var err error
	if d.store, err = store.Open(store.Options{
		Dir: node.DB.DataDir, CacheBytes: node.DB.Memory / 2, Log: env.Log, Version: sql.Version,
	}); err != nil {
		return nil, err
	}
	if d.db, err = txn.Open(d.store, txn.Options{
		LockWaitTimeout: node.DB.LockWaitTimeout,
		WriteSetLimit:   min(32<<20, max(4<<20, node.DB.Memory/16)),
		Log:             env.Log,
		Binlog:          binlog.Options{Version: sql.Version, Keep: node.DB.Binlog.Keep, MaxSize: node.DB.Binlog.MaxSize},
		Observe:         d.groups.observe,
	}); err != nil {
		return nil, errors.Join(err, d.close())
	}
	if d.engine, err = sql.New(d.store, d.db, sql.Options{
		Log: env.Log, DataDir: node.DB.DataDir, Server: d.store.Server, Hostname: node.Name, KillConnection: kill,
		MaxConnections: node.DB.MaxConnections, QueryMemory: node.DB.QueryMemory, Socket: node.DB.Socket,
	}); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *data) close() error {
	var errs []error
	if d.engine != nil {
		errs = append(errs, d.engine.Close())
	}
	if d.db != nil {
		errs = append(errs, d.db.Close())
	}
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	return errors.Join(errs...)
}

// ensure makes what the configuration names and the database lacks: root with its
// password, databases, accounts. undo takes back what this call has made.
func (d *data) ensure(ctx context.Context, node *config.Node, root string, users []user) (undo func(), err error) {
	var made []string
	undo = func() {
		for i := len(made) - 1; i >= 0; i-- {
			// Best effort: what stays is empty, and is found again by the next reload.
			_ = d.engine.Do(context.Background(), made[i])
		}
	}
	if err := d.engine.EnsureAdministrator(ctx, "root", "%", root); err != nil {
		return undo, fmt.Errorf("set the password of root: %w", err)
	}
	for _, name := range node.DB.Databases {
		if d.engine.Catalog().Database(name) != nil {
			continue
		}
		if err := d.engine.Do(ctx, "CREATE DATABASE "+sql.QuoteName(name)); err != nil {
			return undo, fmt.Errorf("create the database %s: %w", name, err)
		}
		made = append(made, "DROP DATABASE "+sql.QuoteName(name))
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
		made = append(made, "DROP USER IF EXISTS "+account)
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
