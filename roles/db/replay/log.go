package replay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/apply"
	"stack/roles/db/binlog"
	"stack/roles/db/store"
)

// Log is a binary log to read: plain files, or all of a data directory, whose newest
// transactions are in the store still.
type Log struct {
	dir   string
	plain *binlog.Directory
	store *store.Store // nil for plain files
	log   *binlog.Log
}

// Open opens the log in dir: the data directory of a server that does not run, or the
// directory of the files in it, or files from anywhere else. Close must be called.
func Open(fs vfs.FS, dir string) (*Log, error) {
	if fs == nil {
		fs = vfs.Default
	}
	dir = filepath.Clean(dir)
	l := &Log{dir: dir}
	var err error
	for _, data := range []string{dir, filepath.Dir(dir)} {
		// Other directories inside are other logs: what was taken back, an archive.
		if data != dir && dir != binlog.Dir(data) || !store.IsDataDirectory(fs, data) {
			continue
		}
		if l.store, err = store.OpenReadOnly(store.Options{Dir: data, FS: fs}); err != nil {
			return nil, err
		}
		if l.log, err = binlog.OpenReadOnly(l.store); err != nil {
			return nil, errors.Join(err, l.store.Close())
		}
		return l, nil
	}
	l.plain, err = binlog.OpenDirectory(fs, dir)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%s is not there: name the directory of the binary log", dir)
	}
	return l, err
}

// Close gives free what the log holds.
func (l *Log) Close() error {
	if l.store == nil {
		return nil
	}
	return l.store.Close()
}

// from is a source of all that is not in executed. close must be called.
func (l *Log) from(executed mysql.Mysql56GTIDSet) (src apply.Source, close func(), err error) {
	if l.plain != nil {
		r, err := l.plain.From(executed)
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	}
	r, err := l.log.OpenGTID(executed)
	if errors.Is(err, binlog.ErrPurged) {
		err = fmt.Errorf("the binary log in %s begins behind what the backup holds: use a newer backup, or the archive of the log", l.dir)
	}
	if err != nil {
		return nil, nil, err
	}
	return apply.FromLog(r), r.Close, nil
}
