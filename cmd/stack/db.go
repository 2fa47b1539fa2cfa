package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"stack/appliance/admin"
	"stack/appliance/config"
	"stack/roles/db"
	"stack/roles/db/backup"
	"stack/roles/db/replay"
	"stack/roles/db/sql"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

func newDBCommand() *cobra.Command {
	c := &cobra.Command{Use: "db", Short: "Look at, back up, restore, clone, check and promote the database, and switch roles"}
	c.AddCommand(newDBStatusCommand(), newDBBackupCommand(), newDBRestoreCommand(), newDBCheckCommand(), newDBCloneCommand(), newDBPromoteCommand(), newDBSwitchoverCommand())
	return c
}

func newDBBackupCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:   "backup DIR",
		Short: "Copy the database to a directory while it runs",
		Long: "The server makes DIR, which must not exist or be empty, and fills it with a copy of the database as it is at\n" +
			"one moment, and with BACKUP.json, which names every file with its SHA-256. On the file system of the data\n" +
			"directory the copy consists of hard links and takes no space at first: copy it to another machine.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			clients, err := t.having(c.Context(), "db")
			if err != nil {
				return err
			}
			if len(clients) > 1 {
				return errors.New("several nodes here have a database: choose one by --node")
			}
			var done db.BackupDone
			if err := clients[0].Post(c.Context(), "/v1/db/backup", db.BackupRequest{Dir: dir}, &done); err != nil {
				return err
			}
			if err := seenHere(dir); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "Backed up to %s: %d files, %.1f MB, in %.1f s, at %s.\n",
				done.Dir, done.Files, float64(done.Bytes)/1e6, done.Seconds, position(done.Executed))
			return nil
		},
	}
	t.flags(c)
	return c
}

// seenHere refuses to call done a backup that only the server sees: the unit gives it a /tmp
// of its own, which ends with the service.
func seenHere(dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the backup was taken, and is not at %s here: the service has a /tmp of its own, which is removed when it stops; name a directory that both see, such as one below /var/lib/stack", dir)
	}
	return nil
}

func newDBRestoreCommand() *cobra.Command {
	s := source{}
	var log restoreLog
	c := &cobra.Command{
		Use:   "restore DIR",
		Short: "Fill an empty data directory from a backup, while the database is stopped",
		Long: "DIR is a directory that `stack db backup` has made. Every file is compared with its SHA-256. The data directory\n" +
			"of the config must be empty or not there; nothing is overwritten. The restored database is a server of its own,\n" +
			"with a new UUID. Run it as the user that the service runs as.\n\n" +
			"With --binlog, what was committed after the backup is replayed from the binary log: up to its end, or to just before\n" +
			"a moment or a transaction. The log is read and checked whole before anything is written. Name the data directory\n" +
			"of the server that wrote it, where there is one: its newest transactions are in no file yet.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			node, err := s.database(c)
			if err != nil {
				return err
			}
			r, err := log.open(node.DB.Memory)
			if err != nil {
				return err
			}
			opts := store.Options{Version: sql.Version, CacheBytes: node.DB.Memory / 2}
			var server string
			var m *backup.Manifest
			if r == nil {
				server, m, err = backup.Restore(c.Context(), nil, filepath.Clean(args[0]), node.DB.DataDir, opts, nil)
			} else {
				defer r.Log.Close() // it was only read
				server, m, err = backup.Restore(c.Context(), nil, filepath.Clean(args[0]), node.DB.DataDir, opts, r)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "Restored into %s: %d files, %.1f MB, as it was on %s, at %s. It is server %s now; start stack.\n",
				node.DB.DataDir, len(m.Files), float64(m.Bytes)/1e6, m.Made.Local().Format("2006-01-02 15:04:05 -0700"), position(m.Executed), server)
			if r != nil {
				fmt.Fprintln(c.OutOrStdout(), r.Found)
			}
			if n := len(node.Databases()); n > 1 {
				fmt.Fprintf(c.ErrOrStderr(), "The site has %d database servers. One that is running has what this backup lacks: this server would fetch it from there, or stay closed where it was the primary itself:\n"+
					"stop them all, start this one alone, run `stack db promote --force` on it, and start the others with empty data directories.\n", n)
			}
			return nil
		},
	}
	s.flags(c)
	log.flags(c)
	return c
}

// restoreLog are the flags about the binary log.
type restoreLog struct{ dir, time, gtid string }

func (l *restoreLog) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&l.dir, "binlog", "", "replay the binary log in this directory: its files, or the data directory of a server that does not run")
	f.StringVar(&l.time, "before-time", "", "with --binlog: stop before what was committed at this time, as 2026-11-29 14:30:00 (local) or 2026-11-29T14:30:00Z")
	f.StringVar(&l.gtid, "before-gtid", "", "with --binlog: stop before this transaction, as UUID:NUMBER")
	c.MarkFlagsMutuallyExclusive("before-time", "before-gtid")
}

// open makes a replay of the flags; nil without --binlog.
func (l *restoreLog) open(memory int64) (*replay.Replay, error) {
	if l.dir == "" {
		if l.time != "" || l.gtid != "" {
			return nil, errors.New("--before-time and --before-gtid are about the binary log: name its directory by --binlog")
		}
		return nil, nil
	}
	stop, err := replay.ParseStop(l.time, l.gtid)
	if err != nil {
		return nil, err
	}
	log, err := replay.Open(nil, filepath.Clean(l.dir))
	if err != nil {
		return nil, err
	}
	return &replay.Replay{Log: log, Stop: stop, WriteSetLimit: txn.WriteSetLimitOf(memory)}, nil
}

func newDBCheckCommand() *cobra.Command {
	s := source{}
	c := &cobra.Command{
		Use:   "check [DIR]",
		Short: "Read all stored data and compare it with its checksums and indexes",
		Long: "Without DIR it is the database of this node, whether it runs or not; with DIR a backup. Checked are the checksums\n" +
			"of all blocks on the disk, every row and its index entries in both directions, large values, and that all that is\n" +
			"stored belongs to somebody. Nothing is changed. It ends with status 1 where something is wrong.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			report, err := s.checkDatabase(c, args)
			if err != nil {
				return err
			}
			return writeReport(c.OutOrStdout(), report)
		},
	}
	s.flags(c)
	return c
}

// checkDatabase checks a backup, the running database or the data directory.
func (s *source) checkDatabase(c *cobra.Command, args []string) (*backup.Report, error) {
	ctx := c.Context()
	if len(args) == 1 {
		return backup.Backup(ctx, store.Options{Dir: filepath.Clean(args[0])})
	}
	node, err := s.database(c)
	if err != nil {
		return nil, err
	}
	if admin.Answers(node.Admin.Socket) {
		report := new(backup.Report)
		return report, admin.NewClient(node.Admin.Socket).Post(ctx, "/v1/db/check", nil, report)
	}
	return backup.Directory(ctx, store.Options{Dir: node.DB.DataDir, CacheBytes: node.DB.Memory / 2})
}

func writeReport(w io.Writer, r *backup.Report) error {
	for _, p := range r.Problems {
		fmt.Fprintln(w, p)
	}
	if !r.OK() {
		return fmt.Errorf("%d problems in %s", len(r.Problems)+r.More, r)
	}
	fmt.Fprintf(w, "Nothing is wrong: %s.\n", r)
	return nil
}

// database resolves the node of the config that this command is about.
func (s *source) database(c *cobra.Command) (*config.Node, error) {
	cfg, err := s.load(c)
	if err != nil {
		return nil, err
	}
	node, err := cfg.Resolve(s.node)
	if err != nil {
		return nil, err
	}
	if node.DB == nil {
		return nil, fmt.Errorf("node %s has no role db", node.Name)
	}
	return node, nil
}

func position(executed string) string {
	if executed == "" {
		return "the beginning"
	}
	return executed
}

// having returns a client for each node here that has role.
func (t *target) having(ctx context.Context, role string) (clients []*admin.Client, err error) {
	err = t.eachWith(ctx, role, func(client *admin.Client) error {
		clients = append(clients, client)
		return nil
	})
	return clients, err
}
