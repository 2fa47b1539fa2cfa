package rewind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/apply"
	"stack/roles/db/binlog"
	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// Options of Run.
type Options struct {
	// Errant is which of the executed transactions are to be taken back; empty: none.
	Errant func(executed string) (string, error)
	// Limit is the most bytes of events that are undone, default 16 MiB. They are in memory.
	Limit int64
	// WriteSetLimit is that of txn.Options: what undoes more is refused.
	WriteSetLimit int64
	Version       string       // of the server, in the file
	Log           *slog.Logger // nil: nothing is logged
}

// Result is what Run has done.
type Result struct {
	Errant       string // GTID set; empty: there was nothing to take back
	Transactions int
	File         string // that has them; empty: it could not be written
	Server       string // UUID of the server from now on
}

// ErrRefused is wrapped where the transactions cannot be undone: the server needs a copy of
// the primary's data.
var ErrRefused = errors.New("they cannot be taken back")

const (
	defaultLimit = 16 << 20
	sealWithin   = 30 * time.Second // bounds the wait for the log to be in plain files
)

// Run takes transactions back on a store on which nothing else runs, and which the caller closes and opens anew
// where it returns no error and Result.Errant is not empty. After an error nothing has changed but that Result.File may be there.
func Run(ctx context.Context, st *store.Store, o Options) (r Result, err error) {
	if o.Limit == 0 {
		o.Limit = defaultLimit
	}
	db, err := txn.Open(st, txn.Options{WriteSetLimit: o.WriteSetLimit, Log: o.Log, Binlog: binlog.Options{Version: o.Version}})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if r.Errant, err = o.Errant(db.ExecutedSet()); err != nil || r.Errant == "" {
		return r, err
	}
	executed, err := event.ParseGTIDs(db.ExecutedSet())
	if err != nil {
		return r, err
	}
	errant, err := event.ParseGTIDs(r.Errant)
	if err != nil {
		return r, err
	}
	sealing, cancel := context.WithTimeout(ctx, sealWithin)
	defer cancel()
	if err := db.Binlog().WaitSealed(sealing); err != nil {
		return r, fmt.Errorf("wait for the files of the binary log: %w", err)
	}
	dir, err := st.MakeDir(store.ErrantDir)
	if err != nil {
		return r, err
	}
	path := filepath.Join(dir, fileName(r.Errant))
	c := collector{left: o.Limit}
	ending, err := db.Binlog().Ending(ctx, executed, errant, path, c.add)
	if errors.Is(err, binlog.ErrNotEnding) || errors.Is(err, binlog.ErrPurged) {
		return r, fmt.Errorf("%w: %w", err, ErrRefused)
	}
	if err != nil {
		return r, fmt.Errorf("copy the transactions that are to be taken back: %w", err)
	}
	r.File, r.Transactions = path, ending.Transactions
	if err := prune(st, dir, path); err != nil {
		return r, err
	}
	if c.refused != "" {
		return r, fmt.Errorf("%s: %w", c.refused, ErrRefused)
	}
	if r.Server, err = undo(ctx, st, db, c.events, ending, event.Without(executed, errant)); err != nil {
		r.Server = ""
		if errors.Is(err, txn.ErrDiverged) || errors.Is(err, txn.ErrTooLarge) {
			err = fmt.Errorf("%w: %w", err, ErrRefused)
		}
	}
	return r, err
}

// Keep keeps transactions that are not to be applied, errant, in a file beside those that were taken back. each gives add their
// events without checksums; previous is what was executed before them.
func Keep(st *store.Store, log *binlog.Log, errant string, previous mysql.Mysql56GTIDSet, each func(add func(ev []byte) error) error) (path string, err error) {
	dir, err := st.MakeDir(store.ErrantDir)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, fileName(errant))
	if err := log.WriteCopy(path, previous, each); err != nil {
		return "", fmt.Errorf("keep transactions that are not applied: %w", err)
	}
	return path, prune(st, dir, path)
}

// fileName is the same for the same transactions: an attempt that a crash has ended is written over.
func fileName(errant string) string {
	first, _, _ := strings.Cut(errant, ",")
	server, numbers, _ := strings.Cut(first, ":")
	number, _, _ := strings.Cut(numbers, ":")
	return server + "-from-" + strings.SplitN(number, "-", 2)[0] + fileSuffix
}

const (
	fileSuffix = ".binlog"
	filesKept  = 8
)

// prune removes the oldest files beyond those that are kept, but not written, which is the newest whatever the clock says.
func prune(st *store.Store, dir, written string) error {
	files, err := files(st, dir)
	if err != nil {
		return err
	}
	files = slices.DeleteFunc(files, func(path string) bool { return path == written })
	for len(files) >= filesKept {
		if err := st.FS().Remove(files[0]); err != nil {
			return fmt.Errorf("remove an old file of transactions that were taken back: %w", err)
		}
		files = files[1:]
	}
	return nil
}

// Files are the files with transactions that were taken back from a store, the oldest first.
func Files(st *store.Store) ([]string, error) {
	return files(st, filepath.Join(st.Dir(), store.ErrantDir))
}

func files(st *store.Store, dir string) ([]string, error) {
	if _, err := st.FS().Stat(dir); err != nil {
		return nil, nil // there never were any
	}
	names, err := st.FS().List(dir)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	type dated struct {
		path string
		at   time.Time
	}
	var list []dated
	for _, name := range names {
		path := filepath.Join(dir, name)
		if info, err := st.FS().Stat(path); err == nil && strings.HasSuffix(name, fileSuffix) {
			list = append(list, dated{path, info.ModTime()})
		}
	}
	slices.SortFunc(list, func(a, b dated) int { return a.at.Compare(b.at) })
	paths := make([]string, len(list))
	for i, f := range list {
		paths[i] = f.path
	}
	return paths, nil
}

// collector keeps the rows of the transactions, and sees what cannot be undone.
type collector struct {
	left    int64
	events  [][]byte
	refused string
}

func (c *collector) add(ev []byte) error {
	h, err := event.ParseHeader(ev)
	if err != nil || c.refused != "" {
		return err
	}
	switch kind, _ := h.Type.Rows(); {
	case h.Type == event.TypeTableMap || kind != 0:
		if c.left -= int64(len(ev)); c.left < 0 {
			c.refused, c.events = "they are larger than one batch", nil
			return nil
		}
		c.events = append(c.events, bytes.Clone(ev))
	case h.Type == event.TypeQuery:
		q, err := event.ParseQuery(ev)
		if err != nil {
			return err
		}
		if q.Text != "BEGIN" && q.Text != "COMMIT" {
			c.refused, c.events = "among them is the statement "+shown(q.Text), nil
		}
	case h.Type == event.TypeGTID || h.Type == event.TypeXID || h.Ignorable():
	default:
		c.refused, c.events = fmt.Sprintf("among them is an event of type %v", h.Type), nil
	}
	return nil
}

// shown cuts a statement for a message.
func shown(text string) string {
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return fmt.Sprintf("%q", text)
}

// undo undoes the rows and takes the transactions off the log.
func undo(ctx context.Context, st *store.Store, db *txn.Engine, events [][]byte, e *binlog.Ending, keep mysql.Mysql56GTIDSet) (server string, err error) {
	tx := db.Begin(txn.ReadCommitted)
	tx.TakeBack()
	a := apply.New(db, nil)
	defer a.Close()
	if err := a.Invert(ctx, tx, events); err != nil {
		tx.Rollback()
		return "", err
	}
	executed := keep.String()
	err = tx.CommitBack(ctx, func(b *pebble.Batch) (err error) {
		if server, err = st.Rename(b); err != nil {
			return err
		}
		if executed == "" {
			err = b.Delete(store.MetaHistoryKey(), nil)
		} else {
			err = b.Set(store.MetaHistoryKey(), []byte(executed), nil)
		}
		return errors.Join(err,
			db.Binlog().Cut(b, e, executed, server),
			b.Delete(store.MetaExecutedKey(), nil), // counts transactions under the old UUID, as the next does
			b.Delete(store.MetaUnackedKey(), nil),
			b.Delete(store.MetaDivergedKey(), nil),
			b.Delete(store.MetaRejoinKey(), nil))
	})
	return server, err
}
