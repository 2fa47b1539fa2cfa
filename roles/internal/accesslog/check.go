package accesslog

import (
	"fmt"
	"os"
	"path/filepath"

	"stack/appliance/config"
)

// Check says whether Prepare would accept c, as far as that can be told without
// creating the file.
func Check(c config.AccessLog) error {
	if !c.Enabled {
		return nil
	}
	if _, err := parseFormat(c.Format); err != nil {
		return err
	}
	if c.Path == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(c.Path)); err != nil {
		return openError(c.Path, err)
	} else if !info.IsDir() {
		return openError(c.Path, fmt.Errorf("%s is not a directory", filepath.Dir(c.Path)))
	}
	return nil
}

func parseFormat(format string) (mode int32, err error) {
	switch format {
	case "", "json":
		return asJSON, nil
	case "combined":
		return asCombined, nil
	}
	return off, fmt.Errorf("access_log.format %q is not known; use json or combined", format)
}

func openError(path string, err error) error {
	return fmt.Errorf("access_log.path: cannot open %s: %w; make its directory exist and writable for this process, or name another file", path, plain(err))
}
