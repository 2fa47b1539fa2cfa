package backup

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// Report is what a check has found.
type Report struct {
	Files    int      `json:"files"` // table files read
	Tables   int      `json:"tables"`
	Rows     uint64   `json:"rows"`
	Entries  uint64   `json:"entries"` // of secondary indexes
	Large    uint64   `json:"large"`   // large values
	Problems []string `json:"problems"`
	More     int      `json:"more"` // problems beyond those listed
}

// String is the report in one sentence.
func (r *Report) String() string {
	return fmt.Sprintf("%d files, %d tables, %d rows, %d index entries, %d large values", r.Files, r.Tables, r.Rows, r.Entries, r.Large)
}

// OK reports whether nothing is wrong.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// Running checks the store of a server that runs: the checksums of all blocks on the disk,
// and the data as the newest view shows it.
func Running(ctx context.Context, st *store.Store, e *txn.Engine) (*Report, error) {
	return check(ctx, st, func() (*txn.CheckReport, error) { return e.Check(ctx, nil) })
}

// Directory checks a data directory that no process uses, and changes nothing in it.
func Directory(ctx context.Context, opts store.Options) (*Report, error) {
	st, err := store.OpenReadOnly(opts)
	if err != nil {
		return nil, err
	}
	r, err := check(ctx, st, func() (*txn.CheckReport, error) { return txn.CheckStore(ctx, st, nil) })
	return r, errors.Join(err, st.Close())
}

// Backup checks a backup: the sums of its files, then as Directory.
func Backup(ctx context.Context, opts store.Options) (*Report, error) {
	if _, err := Verify(ctx, opts.FS, opts.Dir); err != nil {
		return nil, err
	}
	st, err := store.OpenBackup(opts)
	if err != nil {
		return nil, err
	}
	r, err := check(ctx, st, func() (*txn.CheckReport, error) { return txn.CheckStore(ctx, st, nil) })
	return r, errors.Join(err, st.Close())
}

func check(ctx context.Context, st *store.Store, data func() (*txn.CheckReport, error)) (*Report, error) {
	r := &Report{}
	var err error
	if r.Files, err = st.CheckFiles(ctx, func(file string, err error) {
		r.Problems = append(r.Problems, fmt.Sprintf("file %s: %v", file, err))
	}); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	found, err := data()
	switch {
	case err != nil && (errors.Is(err, store.ErrCorrupt) || pebble.IsCorruptionError(err)):
		// A block that cannot be read ends the look at what is stored; the file is named above.
		r.Problems = append(r.Problems, fmt.Sprintf("the stored data cannot be read to the end: %v", err))
		return r, nil
	case err != nil:
		return nil, err
	}
	r.Tables, r.Rows, r.Entries, r.Large, r.More = found.Tables, found.Rows, found.Entries, found.Large, found.More
	r.Problems = append(r.Problems, found.Problems...)
	return r, nil
}
