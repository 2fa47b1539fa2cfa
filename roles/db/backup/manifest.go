package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stack/roles/db/store"
)

const (
	manifestFile  = "BACKUP.json"
	manifestLimit = 64 << 20 // bytes; about half a million files
	// manifestFormat grows when an older binary would misread a newer backup.
	manifestFormat = 1
)

// Manifest describes a backup.
type Manifest struct {
	Format   int       `json:"format"`      // 1
	Made     time.Time `json:"made"`        // when the copy was taken, UTC
	Version  string    `json:"version"`     // @@version of the server
	Server   string    `json:"server_uuid"` // of the server that it was taken from
	Executed string    `json:"executed"`    // GTID set of all that the copy holds
	Bytes    int64     `json:"bytes"`       // of all files together
	Files    []File    `json:"files"`
	Sum      string    `json:"sum"` // SHA-256 of this object with an empty sum
}

// File is one file of a backup.
type File struct {
	Name  string `json:"name"` // FORMAT or store/NAME
	Bytes int64  `json:"bytes"`
	Sum   string `json:"sha256"`
}

// seal computes the manifest's own sum.
func (m *Manifest) seal() (string, error) {
	unsealed := *m
	unsealed.Sum = ""
	b, err := json.Marshal(&unsealed)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// encode seals the manifest and writes it as JSON.
func (m *Manifest) encode() ([]byte, error) {
	var err error
	if m.Sum, err = m.seal(); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(m, "", " ")
	return append(b, '\n'), err
}

// parseManifest reads what encode has written, and refuses everything else.
func parseManifest(b []byte) (*Manifest, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, err
	}
	if head.Format > manifestFormat {
		return nil, fmt.Errorf("it was made by a newer version of stack (format %d, this one reads %d)", head.Format, manifestFormat)
	}
	m := new(Manifest)
	dec.DisallowUnknownFields()
	if err := dec.Decode(m); err != nil {
		return nil, err
	}
	sum, err := m.seal()
	if err != nil {
		return nil, err
	}
	if m.Format < 1 || sum != m.Sum {
		return nil, errors.New("its checksum is wrong")
	}
	seen := map[string]bool{}
	var total int64
	for _, f := range m.Files {
		if !store.ValidCopyName(f.Name) || seen[f.Name] || f.Bytes < 0 {
			return nil, fmt.Errorf("it names the file %q, which no backup has", f.Name)
		}
		seen[f.Name] = true
		total += f.Bytes
	}
	if !seen[formatName] || total != m.Bytes {
		return nil, errors.New("its list of files is not complete")
	}
	return m, nil
}

const (
	formatName  = "FORMAT"
	storePrefix = "store/"
	// lockName is the store's own lock file, which is part of no backup.
	lockName = "LOCK"
)

// Read reads the manifest of the backup in dir. The error says what to do.
func Read(fs vfs.FS, dir string) (*Manifest, error) {
	path := filepath.Join(dir, manifestFile)
	info, err := lookAt(fs, path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is no finished backup: it has no %s; take another one", dir, manifestFile)
	}
	if err == nil && !info.Mode().IsRegular() {
		return nil, damaged(dir, manifestFile, "it is no plain file")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the backup: %w", err)
	}
	file, err := fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the backup: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, manifestLimit))
	if err != nil {
		return nil, fmt.Errorf("cannot read the backup: %w", err)
	}
	m, err := parseManifest(b)
	if err != nil {
		return nil, fmt.Errorf("the backup is damaged: %s: %w; use another backup", path, err)
	}
	return m, nil
}

// writeManifest makes the backup whole: the file has its name only when all of it is durable.
func writeManifest(fs vfs.FS, dir string, m *Manifest) error {
	b, err := m.encode()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, manifestFile)
	file, err := fs.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return errors.Join(fs.Rename(path+".new", path), syncDir(fs, dir))
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
