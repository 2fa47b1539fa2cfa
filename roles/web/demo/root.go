package demo

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

//go:embed root
var rootFiles embed.FS

// WriteRoot writes the static files of the demo site below dir, which is made. Files
// that are there already are kept: the visitor is invited to change them.
func WriteRoot(dir string) error {
	return fs.WalkDir(rootFiles, "root", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel("root", name)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, rel)
		if d.IsDir() {
			if err := os.MkdirAll(to, 0o755); err != nil {
				return fmt.Errorf("demo files: %w", err)
			}
			return nil
		}
		content, err := rootFiles.ReadFile(name)
		if err != nil {
			return err
		}
		return writeNew(to, content)
	})
}

// writeNew makes the file whole or not at all.
func writeNew(path string, content []byte) error {
	if old, err := os.ReadFile(path); err == nil && len(old) > 0 {
		return nil
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, content, 0o644); err != nil {
		return fmt.Errorf("demo files: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("demo files: %w", err)
	}
	return nil
}
