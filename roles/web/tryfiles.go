package web

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// tryItem is one entry of try_files.
type tryItem struct {
	// parts of the path: literals, and "" for $uri.
	parts     []string
	directory bool   // asks for a directory with an index file: ends in /
	jump      bool   // the last entry, a fixed path: go on with it through the locations
	target    []byte // that path
	status    int    // =CODE
}

// parseTryFiles reads try_files. Entries but the last name files below the root. The
// last is =CODE, or a fixed path that the request goes on with, or one more file. The
// query of the request goes on too; "?$args" behind the path says the same.
func parseTryFiles(entries []string) ([]tryItem, error) {
	items := make([]tryItem, 0, len(entries))
	for i, entry := range entries {
		last := i == len(entries)-1
		item, err := parseTryItem(entry, last)
		if err != nil {
			return nil, fmt.Errorf("try_files: %q: %w", entry, err)
		}
		items = append(items, item)
	}
	return items, nil
}

func parseTryItem(entry string, last bool) (tryItem, error) {
	if code, ok := strings.CutPrefix(entry, "="); ok {
		n, err := strconv.Atoi(code)
		switch {
		case err != nil || n < 400 || n > 599:
			return tryItem{}, fmt.Errorf("want = and a status from 400 to 599")
		case !last:
			return tryItem{}, fmt.Errorf("a status can only be the last entry")
		}
		return tryItem{status: n}, nil
	}
	var item tryItem
	path, _ := strings.CutSuffix(entry, "?$args")
	switch {
	case path != entry && !last:
		return item, fmt.Errorf("only the last entry may carry ?$args")
	case strings.ContainsAny(path, "?#"):
		return item, fmt.Errorf("a query can only be ?$args, the one of the request")
	}
	pieces := strings.Split(path, "$uri")
	for i, piece := range pieces {
		if strings.Contains(piece, "$") {
			return item, fmt.Errorf("$uri is the only variable of a path")
		}
		if i > 0 {
			item.parts = append(item.parts, "")
		}
		if piece != "" {
			item.parts = append(item.parts, piece)
		}
	}
	if len(item.parts) == 0 || item.parts[0] != "" && !strings.HasPrefix(item.parts[0], "/") {
		return item, fmt.Errorf("a path begins with / or $uri")
	}
	for _, segment := range strings.Split(path, "/") {
		if segment == ".." || segment == "." {
			return item, fmt.Errorf("a path holds no dot segment")
		}
	}
	item.jump = last && len(pieces) == 1
	item.target = []byte(path)
	item.directory = !item.jump && strings.HasSuffix(path, "/")
	return item, nil
}

// appendPath appends the entry's path for the request path uri. A slash at a seam is
// written once.
func (t *tryItem) appendPath(dst, uri []byte) []byte {
	start := len(dst)
	for _, part := range t.parts {
		piece := []byte(part)
		if part == "" {
			piece = uri
		}
		if len(dst) > start && dst[len(dst)-1] == '/' {
			piece = bytes.TrimLeft(piece, "/")
		}
		dst = append(dst, piece...)
	}
	return dst
}
