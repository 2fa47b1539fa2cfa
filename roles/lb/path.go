package lb

// A path is matched in the form that the server behind will understand: percent
// encodings decoded, dot segments resolved (RFC 3986 section 5.2.4), empty segments
// merged. Otherwise /%61dmin or /x/../admin would go around a route for /admin. Only
// the match uses this form; the request is forwarded as it came.

// needsCleaning reports whether p differs from its clean form.
func needsCleaning(p []byte) bool {
	for i, c := range p {
		switch c {
		case '%':
			return true
		case '/':
			if i+1 < len(p) && (p[i+1] == '/' || p[i+1] == '.') {
				return true
			}
		}
	}
	return false
}

// cleanPath appends the clean form of p, which begins with a slash, to dst[:0]. An
// encoded slash stays encoded, since it does not separate segments; a percent sign
// that begins no encoding stands for itself. The result is never longer than p, so it
// allocates nothing once dst has room for the longest head.
func cleanPath(dst, p []byte) []byte {
	dst = dst[:0]
	for i := 0; i < len(p); i++ {
		c := p[i]
		if c == '%' && i+2 < len(p) {
			if hi, lo := unhex(p[i+1]), unhex(p[i+2]); hi >= 0 && lo >= 0 {
				if c = byte(hi<<4 | lo); c == '/' {
					dst = append(dst, '%', '2', 'F')
					i += 2
					continue
				}
				i += 2
			}
		} else if c == '/' {
			dst = endSegment(dst)
			if len(dst) > 0 && dst[len(dst)-1] == '/' {
				continue
			}
		}
		dst = append(dst, c)
	}
	n := len(dst)
	dst = endSegment(dst)
	if len(dst) < n && (len(dst) == 0 || dst[len(dst)-1] != '/') {
		dst = append(dst, '/') // "/a/.." is "/", with its slash
	}
	return dst
}

// endSegment removes a dot segment at the end of dst and, for "..", the one before it.
func endSegment(dst []byte) []byte {
	start := len(dst)
	for start > 0 && dst[start-1] != '/' {
		start--
	}
	switch string(dst[start:]) {
	case ".":
		return dst[:start]
	case "..":
		if start <= 1 {
			return dst[:start] // nothing above the root
		}
		start-- // the slash before ".."
		for start > 0 && dst[start-1] != '/' {
			start--
		}
		return dst[:start]
	}
	return dst
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
