package seed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/store"
)

// stateFile stands beside the copy and says what it is of.
const stateFile = "SEED.json"

// stateLimit bounds it, bytes: about half a million files.
const stateLimit = 64 << 20

// state is what a recipient knows of its seed.
type state struct {
	ID        string `json:"id"` // of the donor's checkpoint; empty: begin anew
	From      string `json:"from"`
	Executed  string `json:"executed"`
	Files     []File `json:"files"`
	Site      bool   `json:"site"`      // the server fetches it for itself
	Epoch     uint64 `json:"epoch"`     // in which the donor is the primary, where Site
	Finishing bool   `json:"finishing"` // all files are here, and the store may have been opened
	// Begun is when the donor was asked for it: the copy has everything that was committed before.
	Begun time.Time `json:"begun,omitzero"`
}

func (s *state) total() (n int64) {
	for _, f := range s.Files {
		n += f.Bytes
	}
	return n
}

func (s *state) same(other state) bool {
	return s.Executed == other.Executed && slices.Equal(s.Files, other.Files)
}

// check refuses what no donor sends: files outside the copy above all.
func (s *state) check() error {
	seen := map[string]bool{}
	var total int64
	for _, f := range s.Files {
		if !store.ValidCopyName(f.Name) || seen[f.Name] || f.Bytes < 0 || total+f.Bytes < total {
			return fmt.Errorf("the list of files names %q with %d bytes, which no seed has", f.Name, f.Bytes)
		}
		seen[f.Name] = true
		total += f.Bytes
	}
	if !seen["FORMAT"] {
		return errors.New("the list of files is not complete: it has no FORMAT")
	}
	return nil
}

// parseState reads what writeState has written.
func parseState(b []byte) (s state, err error) {
	if err = json.Unmarshal(b, &s); err == nil && s.ID != "" {
		err = s.check()
	}
	return s, err
}

// readState reads the state of an unfinished clone; none is the zero state.
func readState(fs vfs.FS, path string) (s state, err error) {
	f, err := fs.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read the state of the clone: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, stateLimit))
	if err == nil {
		s, err = parseState(b)
	}
	if err != nil {
		return state{}, fmt.Errorf("read the state of the clone, %s: %w; remove the file: the clone then begins anew", path, err)
	}
	return s, nil
}

// writeState replaces the state, durably.
func writeState(fs vfs.FS, path string, s state) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := fs.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(b)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = fs.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(fs, filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write the state of the clone: %w", err)
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(fs vfs.FS, path string) error {
	dir, err := fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Receiving is a clone that is not finished, for status.
type Receiving struct {
	From     string `json:"from"`
	Executed string `json:"executed"`
	Bytes    int64  `json:"bytes"`
	Done     int64  `json:"done_bytes"`
	Site     bool   `json:"automatic,omitempty"` // nobody has asked for it
}

// Unfinished looks for a clone into a data directory that is under way, or was cut; nil where
// there is none. It changes nothing and may be called while the clone runs.
func Unfinished(fs vfs.FS, dir string) (*Receiving, error) {
	if fs == nil {
		fs = vfs.Default
	}
	at := store.SeedingDir(dir)
	if _, err := fs.Stat(at); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	s, err := readState(fs, filepath.Join(at, stateFile))
	if err != nil {
		return nil, err
	}
	r := &Receiving{From: s.From, Executed: s.Executed, Bytes: s.total(), Site: s.Site}
	if s.Finishing {
		r.Done = r.Bytes
		return r, nil
	}
	for _, f := range s.Files {
		if info, err := fs.Stat(filepath.Join(at, filepath.FromSlash(f.Name))); err == nil {
			r.Done += min(info.Size(), f.Bytes)
		}
	}
	names, err := fs.List(at)
	if err != nil {
		return r, nil // it has just been finished
	}
	for _, name := range names {
		if len(name) > len(partStart) && name[:len(partStart)] == partStart {
			if info, err := fs.Stat(filepath.Join(at, name)); err == nil {
				r.Done += info.Size()
			}
		}
	}
	r.Done = min(r.Done, r.Bytes)
	return r, nil
}
