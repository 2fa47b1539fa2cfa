package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrDiskFull refuses a commit before the store meets a full disk (MySQL error 1021).
var ErrDiskFull = errors.New("disk full: the file system of the data directory is below its reserve; free space, or DROP or TRUNCATE tables")

const (
	spaceInterval = time.Second
	tellAgain     = 60 // seconds until the log says again that there is no space
)

// space is the last measurement of the file system under the data directory.
type space struct {
	available atomic.Uint64
	reserve   atomic.Uint64
	promised  atomic.Uint64 // bytes let through since then
	told      atomic.Int64  // when the log said that background work waits for space, Unix seconds
	unlimited atomic.Bool   // the file system cannot tell (in memory)
	done      chan struct{}
	wait      sync.WaitGroup
}

// measureSpace reads the free space now; what is held in the spare file is part of it. The
// reserve is max(Options.Reserve, 3 memtables + the largest compaction): what the store may
// still need for the work it has already accepted.
func (s *Store) measureSpace() error {
	usage, err := s.fs.GetDiskUsage(s.dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		s.space.unlimited.Store(true)
		return nil
	}
	if err != nil {
		return fmt.Errorf("measure free space of data directory %s: %w", s.dir, err)
	}
	reserve := max(s.opts.Reserve, 3*s.opts.MemtableSize+largestCompaction(s.DB.Metrics()))
	s.space.unlimited.Store(false)
	s.space.reserve.Store(reserve)
	s.space.available.Store(usage.AvailBytes + s.pebbleFS.spare.bytes())
	s.space.promised.Store(0)
	return nil
}

// keepSpace measures, and fills the spare file up.
func (s *Store) keepSpace() error {
	if err := s.measureSpace(); err != nil || s.space.unlimited.Load() {
		return err
	}
	held := &s.pebbleFS.spare
	held.take(s.space.available.Load() - min(held.bytes(), s.space.available.Load()))
	return nil
}

// largestCompaction estimates the bytes that the biggest compaction may write while
// its inputs still exist.
func largestCompaction(m *pebble.Metrics) uint64 {
	const fileLimit = 25 // output files' worth of input that Pebble allows in one compaction
	var largest uint64
	for i := range m.Levels {
		if n := m.Levels[i].TablesCount; n > 0 {
			largest = max(largest, fileLimit*uint64(m.Levels[i].TablesSize)/uint64(n))
		}
	}
	return max(largest, intoBase(m))
}

// intoBase is what a compaction from level 0 rewrites: the tables there hold keys of all
// spaces, and so everything in the first level below, if that is the one they go to. Pebble
// lets it grow to 64 MiB and not much beyond before it begins another above.
func intoBase(m *pebble.Metrics) uint64 {
	const baseLimit = 128 << 20
	for i := range m.Levels[1:] {
		if size := uint64(m.Levels[1+i].TablesSize); size > 0 {
			return uint64(m.Levels[0].TablesSize) + min(size, baseLimit)
		}
	}
	return uint64(m.Levels[0].TablesSize)
}

func (s *Store) watchSpace() {
	s.space.done = make(chan struct{})
	s.space.wait.Go(func() {
		tick := time.NewTicker(spaceInterval)
		defer tick.Stop()
		low := false
		for {
			if available, reserve := s.FreeSpace(); low != (available < reserve) {
				low = !low
				s.sayLow(low, available, reserve)
			}
			select {
			case <-s.space.done:
				return
			case <-tick.C:
				if err := s.keepSpace(); err != nil {
					s.log.Warn(err.Error())
				}
			}
		}
	})
}

func (s *Store) sayLow(low bool, available, reserve uint64) {
	if !low {
		s.log.Info("there is space again: writes are taken", "directory", s.dir, "free_mib", available>>20, "reserve_mib", reserve>>20)
		return
	}
	s.log.Error("disk full: writes are refused; free space on the file system of the data directory, or DROP or TRUNCATE tables",
		"directory", s.dir, "free_mib", available>>20, "reserve_mib", reserve>>20)
}

func (sp *space) stop() {
	close(sp.done)
	sp.wait.Wait()
}

// CheckMargin returns an error that wraps ErrDiskFull where fewer bytes than these and a quarter more than the reserve are free,
// as it was measured last: for what may wait until those who free space have had theirs.
func (s *Store) CheckMargin(bytes uint64) error {
	if s.space.unlimited.Load() {
		return nil
	}
	if available, reserve := s.FreeSpace(); available < reserve+reserve/4+bytes {
		return ErrDiskFull
	}
	return nil
}

// CheckSpace returns an error that wraps ErrDiskFull where a write of this many bytes would leave less
// than the reserve. It measures again before it refuses, and for large writes.
func (s *Store) CheckSpace(bytes uint64) error {
	if s.space.unlimited.Load() {
		return nil
	}
	if bytes < s.opts.MemtableSize/4 && s.promise(bytes) {
		return nil
	}
	if err := s.measureSpace(); err != nil {
		return err
	}
	if s.promise(bytes) {
		return nil
	}
	return s.full()
}

// full is ErrDiskFull with what was measured.
func (s *Store) full() error {
	available, reserve := s.FreeSpace()
	return fmt.Errorf("%w (%d MiB free in %s, %d MiB are kept)", ErrDiskFull, available>>20, s.dir, reserve>>20)
}

// CheckRoom returns an error that wraps ErrDiskFull where files of this many bytes, which are written once and go
// past the log, would leave less than the reserve. It measures.
func (s *Store) CheckRoom(bytes uint64) error {
	if err := s.measureSpace(); err != nil || s.space.unlimited.Load() {
		return err
	}
	if available, reserve := s.FreeSpace(); available >= reserve && available-reserve >= bytes {
		return nil
	}
	return s.full()
}

// CheckLastSpace is CheckSpace for small writes that may take from the reserve: what gives space back, and
// what a client does not wait for. It refuses where there is little but what the store needs to go on, and to start.
func (s *Store) CheckLastSpace() error {
	last := s.opts.spareSize() / spareMemtables
	if s.space.unlimited.Load() || s.space.available.Load() >= s.space.reserve.Load() {
		return nil
	}
	if err := s.measureSpace(); err != nil {
		return err
	}
	if available := s.space.available.Load(); available < last {
		return fmt.Errorf("%w (%d MiB free in %s: not even what gives space back is possible)", ErrDiskFull, available>>20, s.dir)
	}
	return nil
}

// promise lets a write through where it leaves the reserve. Writes since the last
// measurement count: in a second, many can follow each other.
func (s *Store) promise(bytes uint64) bool {
	// What is written now takes its place in the log and again in a table.
	promised := s.space.promised.Add(2 * bytes)
	if s.space.available.Load() >= s.space.reserve.Load()+promised {
		return true
	}
	s.space.promised.Add(^(2*bytes - 1))
	return false
}

// FreeSpace is the free bytes under the data directory, with those held in the spare file,
// and the reserve kept from them, as last measured; both 0 where the file system cannot tell.
func (s *Store) FreeSpace() (available, reserve uint64) {
	return s.space.available.Load(), s.space.reserve.Load()
}
