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
	query     []queryPart
	hasQuery  bool // the jump brings its own query; else the request's is kept
	status    int  // =CODE
}

// queryPart is a literal or a variable of a jump's query.
type queryPart struct {
	literal string
	kind    byte // 'l' literal, 'u' $uri, 'a' $args
}

// parseTryFiles reads try_files. Entries but the last name files below the root. The
// last is =CODE, or a fixed path that the request goes on with, or one more file.
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
	path, query, hasQuery := strings.Cut(entry, "?")
	if hasQuery {
		if !last || strings.Contains(path, "$uri") {
			return item, fmt.Errorf("only a fixed path as the last entry may carry a query")
		}
		item.hasQuery = true
		var err error
		if item.query, err = parseQuery(query); err != nil {
			return item, err
		}
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

func parseQuery(query string) ([]queryPart, error) {
	var parts []queryPart
	for query != "" {
		dollar := strings.IndexByte(query, '$')
		if dollar != 0 {
			if dollar < 0 {
				dollar = len(query)
			}
			parts = append(parts, queryPart{literal: query[:dollar], kind: 'l'})
			query = query[dollar:]
			continue
		}
		switch {
		case strings.HasPrefix(query, "$args"):
			parts, query = append(parts, queryPart{kind: 'a'}), query[len("$args"):]
		case strings.HasPrefix(query, "$query_string"):
			parts, query = append(parts, queryPart{kind: 'a'}), query[len("$query_string"):]
		case strings.HasPrefix(query, "$uri"):
			parts, query = append(parts, queryPart{kind: 'u'}), query[len("$uri"):]
		default:
			return nil, fmt.Errorf("$uri, $args and $query_string are the only variables of a query")
		}
	}
	return parts, nil
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

// makeQuery returns the query that goes with a jump; uri is escaped where it stands in.
func (t *tryItem) makeQuery(uri, args []byte) []byte {
	if !t.hasQuery {
		return args
	}
	var q []byte
	for _, part := range t.query {
		switch part.kind {
		case 'a':
			q = append(q, args...)
		case 'u':
			q = appendQueryEscaped(q, uri)
		default:
			q = append(q, part.literal...)
		}
	}
	return q
}

// appendQueryEscaped escapes all but what is plain in a query value.
func appendQueryEscaped(dst, value []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range value {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || bytes.IndexByte([]byte("/-._~"), c) >= 0 {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '%', digits[c>>4], digits[c&15])
	}
	return dst
}
