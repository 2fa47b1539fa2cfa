package vip

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sequence numbers the adverts of this node. It grows over restarts and steps of the
// clock: a start begins at the time in nanoseconds or at the end of what the process
// before had reserved, whichever is higher. Only the engine's thread calls next.
type sequence struct{ last uint64 }

// reservation is 67 ms as time, and the adverts of at least 40 minutes (255 groups, one in
// 10 ms each), of which keep asks every minute. A start uses it up whole, so a large one
// would let a node that restarts often run ahead of the clock, at which one that is
// installed anew at the same address begins.
const reservation = 1 << 26

func (s *sequence) next() uint64 {
	s.last++
	return s.last
}

// memory is what authentication keeps over a restart, in one small file.
type memory struct {
	Reserved uint64            `json:"reserved"` // the highest number that this node may have sent
	Heard    map[string]uint64 `json:"heard"`    // by virtual router and sender, the highest number heard
}

// memoryFile is where a node keeps it: systemd names the directory that it made for us.
func memoryFile(node string) string {
	dir := os.Getenv("STATE_DIRECTORY")
	if dir == "" {
		dir = "/var/lib/stack"
	}
	return filepath.Join(dir, "vrrp-"+node+".json")
}

// recall reads the file; one that is not there, or broken, is an empty memory: the clock
// is above what was sent unless it was set back.
func recall(file string) (memory, error) {
	m := memory{Heard: map[string]uint64{}}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if m.Heard == nil {
		m.Heard = map[string]uint64{}
	}
	if err != nil {
		return m, fmt.Errorf("read the memory of VRRP authentication: %w: it begins anew", err)
	}
	return m, nil
}

// start reserves numbers for a process that begins now, before it sends the first.
func (m *memory) start(now time.Time) *sequence {
	s := &sequence{max(m.Reserved, uint64(now.UnixNano()))}
	m.Reserved = s.last + reservation
	return s
}

// raise takes every number of other that is higher, and tells whether one is.
func (m *memory) raise(other memory) (raised bool) {
	if other.Reserved > m.Reserved {
		m.Reserved, raised = other.Reserved, true
	}
	for key, number := range other.Heard {
		if number > m.Heard[key] {
			m.Heard[key], raised = number, true
		}
	}
	return raised
}

// store writes the file whole or not at all. It lowers nothing that another process, which
// runs beside this one at an upgrade, has written.
func (m *memory) store(file string) error {
	err := os.MkdirAll(filepath.Dir(file), 0o750)
	if err == nil {
		err = m.storeLocked(file)
	}
	if err != nil {
		return fmt.Errorf("keep the memory of VRRP authentication: %w: after a restart old adverts may be heeded, and with the clock set back, peers refuse this node's", err)
	}
	return nil
}

func (m *memory) storeLocked(file string) error {
	lock, err := os.OpenFile(file+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // which unlocks
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if stored, err := recall(file); err == nil {
		m.raise(stored)
	}
	text, err := json.Marshal(m)
	if err == nil {
		err = writeSynced(file+".new", text)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	return err
}

func writeSynced(file string, text []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// heardKey names a sender of a virtual router in memory.
func heardKey(vrid uint8, from netip.Addr) string { return fmt.Sprintf("%d %s", vrid, from) }

// heardFrom is the sender that a key of this virtual router names.
func heardFrom(vrid uint8, key string) (from netip.Addr, ours bool) {
	text, ours := strings.CutPrefix(key, fmt.Sprintf("%d ", vrid))
	if !ours {
		return from, false
	}
	from, err := netip.ParseAddr(text)
	return from, err == nil
}
