package store

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// FormatVersion is the version of everything that this package stores. It grows when
// an older binary would misread what a newer one wrote.
const FormatVersion = 1

const (
	pebbleDir    = "store"
	formatFile   = "FORMAT"
	formatLimit  = 4096
	pebbleFormat = pebble.FormatValueSeparation
)

// format is the content of the FORMAT file: what a binary must know before it opens
// the store. A plain file, because Probe reads it while another process runs.
type format struct {
	Format  int    `json:"format"`
	Server  string `json:"server_uuid"`
	Version string `json:"written_by"`
}

// Probe checks, read-only, that this binary could open the data directory: owner and
// format version. It works while another process has the directory open. A directory
// that does not exist yet is fine.
func Probe(dir string) error {
	if err := checkOwner(dir); err != nil {
		return err
	}
	if err := refuseUnfinished(vfs.Default, dir); err != nil {
		return err
	}
	f, err := readFormat(vfs.Default, dir)
	if err != nil || f == nil {
		return err
	}
	desc, err := pebble.Peek(filepath.Join(dir, pebbleDir), vfs.Default)
	if err != nil {
		return fmt.Errorf("cannot read the store in %s: %w", dir, err)
	}
	if desc.FormatMajorVersion > pebbleFormat {
		return newerError(dir, f.Version)
	}
	return nil
}

// IsDataDirectory reports whether dir is laid out as a data directory.
func IsDataDirectory(fs vfs.FS, dir string) bool {
	for _, name := range []string{formatFile, pebbleDir} {
		if _, err := fs.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

func newerError(dir, version string) error {
	if version == "" {
		version = "of stack"
	}
	return fmt.Errorf("data directory %s was written by a newer version (%s) and this one cannot read it; install that version or restore a backup made by this one", dir, version)
}

// readFormat returns nil where the directory has no store yet.
func readFormat(fs vfs.FS, dir string) (*format, error) {
	path := filepath.Join(dir, formatFile)
	file, err := fs.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, formatLimit))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	f := new(format)
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(f); err != nil || f.Format < 1 || f.Server == "" {
		return nil, fmt.Errorf("%s is damaged; restore it from a backup", path)
	}
	if f.Format > FormatVersion {
		return nil, newerError(dir, f.Version)
	}
	return f, nil
}

// initialise writes what a new data directory begins with. The FORMAT file comes
// last, by rename; where a crash left the store without it, it is written again.
func (s *Store) initialise() error {
	server, err := Get(s.DB, []byte{byte(SpaceMeta), metaServer})
	if err != nil {
		return err
	}
	if server != nil {
		if err := s.verify(&format{Server: string(server)}); err != nil {
			return err
		}
		return s.writeFormat()
	}
	s.Server = newUUID()
	b := s.DB.NewBatch()
	defer b.Close()
	err = errors.Join(
		b.Set([]byte{byte(SpaceMeta), metaFormat}, binary.BigEndian.AppendUint32(nil, FormatVersion), nil),
		b.Set([]byte{byte(SpaceMeta), metaServer}, []byte(s.Server), nil),
		b.Set(MetaNextIDKey(), binary.BigEndian.AppendUint32(nil, 1), nil),
		b.Commit(pebble.Sync),
	)
	if err != nil {
		return fmt.Errorf("initialise the store in %s: %w", s.dir, err)
	}
	return s.writeFormat()
}

func (s *Store) writeFormat() error {
	content, err := json.Marshal(format{FormatVersion, s.Server, s.opts.Version})
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, formatFile)
	file, err := s.fs.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = file.Write(append(content, '\n'))
		err = errors.Join(err, file.Sync(), file.Close())
	}
	if err == nil {
		err = s.fs.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(s.fs, s.dir)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// Rename gives the store a new server UUID with the batch: transactions that were taken back
// must not be mistaken for later ones of the same number. The store must be opened anew behind it, which
// brings the FORMAT file up to date.
func (s *Store) Rename(b *pebble.Batch) (server string, err error) {
	server = newUUID()
	return server, errors.Join(
		b.Set([]byte{byte(SpaceMeta), metaFormer}, []byte(s.Server), nil),
		b.Set([]byte{byte(SpaceMeta), metaServer}, []byte(server), nil),
	)
}

// verify compares the FORMAT file with the store behind it.
func (s *Store) verify(f *format) error {
	stored, err := Get(s.DB, []byte{byte(SpaceMeta), metaFormat})
	if err != nil {
		return err
	}
	if v, ok := U32(stored); !ok || v < 1 {
		return fmt.Errorf("the store in %s has no format version; restore the directory from a backup", s.dir)
	} else if v > FormatVersion {
		return newerError(s.dir, f.Version)
	}
	server, err := Get(s.DB, []byte{byte(SpaceMeta), metaServer})
	if err != nil {
		return err
	}
	former, err := Get(s.DB, []byte{byte(SpaceMeta), metaFormer})
	if err != nil {
		return err
	}
	if s.Server = string(server); s.Server == f.Server {
		return nil
	}
	if s.renamed = former != nil && string(former) == f.Server; !s.renamed {
		return fmt.Errorf("data directory %s: file %s belongs to server %s, the store to server %s; restore both from the same backup", s.dir, formatFile, f.Server, s.Server)
	}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// newUUID is a random (version 4) UUID in MySQL's text form.
func newUUID() string {
	var u [16]byte
	rand.Read(u[:]) // never fails (crypto/rand)
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
