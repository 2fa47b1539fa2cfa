package store

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// CopyFiles names the files of a copy that Checkpoint has made in dir, sorted: FORMAT and
// store/NAME.
func CopyFiles(fs vfs.FS, dir string) ([]string, error) {
	names, err := fs.List(filepath.Join(dir, pebbleDir))
	if err != nil {
		return nil, err
	}
	files := []string{formatFile}
	for _, name := range names {
		if name != lockFile {
			files = append(files, pebbleDir+"/"+name)
		}
	}
	slices.Sort(files)
	return files, nil
}

// ValidCopyName reports whether a copy may hold a file of this name: nothing outside it.
func ValidCopyName(name string) bool {
	if name == formatFile {
		return true
	}
	base, ok := strings.CutPrefix(name, pebbleDir+"/")
	return ok && base != "" && base[0] != '.' && base != lockFile && !strings.ContainsAny(base, "/\\\x00")
}
