package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options of Open. Dir alone is needed.
type Options struct {
	Dir          string
	FS           vfs.FS       // default: the operating system's
	CacheBytes   int64        // block cache; default 64 MiB. It lives on the Go heap.
	MemtableSize uint64       // bytes, default 32 MiB
	Reserve      uint64       // bytes kept free at least; default 1 GiB. More where 3 memtables and the largest compaction are more.
	Log          *slog.Logger // default: discards
	Version      string       // of the binary, kept in the data directory for messages
	// Fatal ends the process after a write-ahead log or manifest could not be made
	// durable: what was acknowledged before is safe, nothing after may be promised.
	// It must not return. Default: exit with status 1. The reason is logged before.
	Fatal func(reason string)
}

// Store is one node's open data directory. All methods are safe for concurrent use.
type Store struct {
	DB     *pebble.DB
	Server string // server UUID, made with the data directory
	// History is the GTID set of what was executed here and other servers have committed
	// first, as it was when the store was opened: that of the backup which the data directory
	// was restored from, and what was applied from logs.
	History string

	dir      string
	fs       vfs.FS
	pebbleFS *pebbleFS
	log      *slog.Logger
	opts     Options
	owner    *owner
	cache    *pebble.Cache
	renamed  bool // since the FORMAT file was written

	// taking is held for reading while table files become part of the store, and for writing while the store is copied.
	taking    sync.RWMutex
	space     space
	stalls    stalls
	hold      cacheHold
	scratches atomic.Uint64 // temporary directories made so far
	closing   sync.Once
	closed    error
}

const (
	defaultCache    = 64 << 20
	defaultMemtable = 32 << 20
	defaultReserve  = 1 << 30
	maxOpenFiles    = 1000
	// indexBlock is the size from which a file's index has two levels, which are an access to the cache more for
	// each key: Pebble's default, a data block's, has them in every file of half a megabyte.
	indexBlock = 256 << 10
)

// Open opens the data directory, making it where it does not exist. Errors are one
// sentence with the cure: in use by another process, owned by another user, written
// by a newer version.
func Open(opts Options) (*Store, error) {
	opts.setDefaults()
	own, err := takeOwnership(opts.FS, opts.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: opts.Dir, fs: opts.FS, log: opts.Log, opts: opts, owner: own}
	if err = refuseUnfinished(s.fs, s.dir); err == nil {
		err = s.open()
	}
	if err != nil {
		own.release()
		return nil, err
	}
	return s, nil
}

func (o *Options) setDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCache
	}
	if o.MemtableSize == 0 {
		o.MemtableSize = defaultMemtable
	}
	if o.Reserve == 0 {
		o.Reserve = defaultReserve
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Fatal == nil {
		o.Fatal = func(string) { os.Exit(1) }
	}
}

func (s *Store) open() error {
	format, err := readFormat(s.fs, s.dir)
	if err != nil {
		return err
	}
	if format == nil {
		if err := refuseReplaced(s.fs, s.dir); err != nil {
			return err
		}
	}
	if err := s.clearScratch(); err != nil {
		return err
	}
	if err := s.openPebble(false); err != nil {
		return err
	}
	if format == nil {
		// Pebble syncs its own directory, not the name of it in ours.
		if err = syncDir(s.fs, s.dir); err == nil {
			err = s.initialise()
		}
	} else if err = s.verify(format); err == nil && s.renamed {
		err = s.writeFormat()
	}
	if err == nil {
		err = s.readHistory()
	}
	if err == nil {
		err = s.keepSpace()
	}
	if err != nil {
		return errors.Join(err, s.closeDB())
	}
	s.watchSpace()
	return nil
}

func (s *Store) openPebble(readOnly bool) (err error) {
	s.cache = pebble.NewCache(s.opts.CacheBytes)
	s.pebbleFS = &pebbleFS{FS: s.fs, dir: filepath.Join(s.dir, pebbleDir), until: map[string]context.Context{}}
	if !readOnly {
		s.pebbleFS.spare.open(&s.opts, filepath.Join(s.pebbleFS.dir, spareFile))
	}
	o := s.pebbleOptions()
	o.ReadOnly = readOnly
	if s.DB, err = pebble.Open(s.pebbleFS.dir, o); err != nil {
		s.cache.Unref()
		if noSpace(err) {
			return fmt.Errorf("cannot open the store in %s: %w; free %d MiB on its file system and start again", s.dir, err, s.opts.spareSize()>>20+1)
		}
		return fmt.Errorf("cannot open the store in %s: %w; if the disk is sound, restore the directory from a backup", s.dir, err)
	}
	s.pebbleFS.failed.Store(&o.Logger)
	return nil
}

func (s *Store) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                          s.pebbleFS,
		Cache:                       s.cache,
		MemTableSize:                s.opts.MemtableSize,
		MemTableStopWritesThreshold: 4,
		MaxOpenFiles:                maxOpenFiles,
		FormatMajorVersion:          pebbleFormat,
		Logger:                      logger{s.log, s.opts.Fatal},
		EventListener:               s.events(),
		L0CompactionThreshold:       2,
		FlushDelayDeleteRange:       time.Second, // a dropped table gives its space back soon
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].IndexBlockSize = indexBlock
	}
	return o
}

// events keeps a damaged block from ending the process, which is Pebble's default: the
// statement that reads it fails, the rest goes on, and the log names the file.
func (s *Store) events() *pebble.EventListener {
	return &pebble.EventListener{
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.log.Error("a file of the store is damaged: look at the disk, run stack db check, and restore a backup",
				"file", info.Path, "error", info.Details)
		},
		BackgroundError: s.backgroundError,
		WriteStallBegin: func(pebble.WriteStallBeginInfo) { s.stalls.begin() },
		WriteStallEnd:   s.stalls.end,
	}
}

// backgroundError logs what Pebble could not do for now; it tries again.
func (s *Store) backgroundError(err error) {
	if !noSpace(err) {
		s.log.Error("background work of the store: " + err.Error())
	} else if now := time.Now().Unix(); now-s.space.told.Load() >= tellAgain {
		s.space.told.Store(now)
		s.log.Error(fmt.Sprintf("background work of the store waits for space: free some on the file system of %s: %v", s.dir, err))
	}
}

// Close closes the store and gives the data directory free. Views and iterators
// must be closed before. Further calls return the first one's result.
func (s *Store) Close() error {
	s.closing.Do(func() {
		if s.space.done != nil { // nobody watches one that is read-only
			s.space.stop()
		}
		s.closed = s.closeDB()
		if s.owner != nil {
			s.closed = errors.Join(s.closed, s.owner.release())
		}
	})
	return s.closed
}

func (s *Store) closeDB() error {
	err := s.DB.Close()
	s.cache.Unref()
	if err != nil {
		return fmt.Errorf("close the store in %s: %w", s.dir, err)
	}
	return nil
}

// Dir is the data directory.
func (s *Store) Dir() string { return s.dir }

// FS is the file system of the data directory.
func (s *Store) FS() vfs.FS { return s.fs }

// Fail ends the process after a file beside the store could not be made durable, as
// Options.Fatal does for the store's own. It does not return, but in tests.
func (s *Store) Fail(reason string) {
	s.log.Error(reason)
	s.opts.Fatal(reason)
}

// MakeDir makes a directory for the files beside the store, readable by the owner only.
func (s *Store) MakeDir(name string) (string, error) {
	path := filepath.Join(s.dir, name)
	if err := makeDir(s.fs, path); err != nil {
		return "", err
	}
	return path, s.SyncDir(s.dir)
}

// SyncDir makes the names in a directory durable.
func (s *Store) SyncDir(path string) error {
	if err := syncDir(s.fs, path); err != nil {
		return fmt.Errorf("sync the directory %s: %w", path, err)
	}
	return nil
}

// DiskUsage estimates the bytes on disk of an index: its rows and large values.
func (s *Store) DiskUsage(index uint32) (uint64, error) {
	var total uint64
	for _, space := range []Space{SpaceRows, SpaceLarge} {
		span := IndexSpan(space, index)
		n, err := s.DB.EstimateDiskUsage(span.Start, span.End)
		if err != nil {
			return 0, fmt.Errorf("estimate the size of index %d: %w", index, err)
		}
		total += n
	}
	return total, nil
}

// Compact rewrites an index's rows and large values, so that what was deleted leaves the
// disk. It takes as long as reading and writing them.
func (s *Store) Compact(ctx context.Context, index uint32) error {
	for _, space := range []Space{SpaceRows, SpaceLarge} {
		span := IndexSpan(space, index)
		if err := s.DB.Compact(ctx, span.Start, span.End, false); err != nil {
			return fmt.Errorf("compact index %d: %w", index, err)
		}
	}
	return nil
}

// Get reads a key; nil where it does not exist. The result is the caller's.
func Get(r pebble.Reader, key []byte) ([]byte, error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read key % x: %w", key, err)
	}
	out := append(make([]byte, 0, len(v)), v...)
	return out, closer.Close()
}

func getU64(r pebble.Reader, key []byte) (uint64, error) {
	b, err := Get(r, key)
	if err != nil || b == nil {
		return 0, err
	}
	v, ok := U64(b)
	if !ok {
		return 0, fmt.Errorf("counter % x has %d bytes: %w", key, len(b), ErrCorrupt)
	}
	return v, nil
}
