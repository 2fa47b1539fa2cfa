package static

import (
	"bytes"
	"net/http"
	"time"
)

// Validators of a file (RFC 9110 section 8.8).
type Validators struct {
	ETag         []byte    // with its quotes; strong
	LastModified time.Time // whole seconds
}

// Conditions are the fields of a request that ask "only if". A field that is absent
// is nil; one that came on several lines is joined with ", ".
type Conditions struct {
	IfMatch, IfNoneMatch, IfModifiedSince, IfUnmodifiedSince, IfRange, Range []byte
}

// None reports whether the request asks no condition and no range: the hot case.
func (c *Conditions) None() bool {
	return c.IfMatch == nil && c.IfNoneMatch == nil && c.IfModifiedSince == nil &&
		c.IfUnmodifiedSince == nil && c.Range == nil
}

// Verdict is what the conditions decide.
type Verdict uint8

const (
	Send           Verdict = iota // 200, or 206 for a range
	NotModified                   // 304
	PreconditionNo                // 412
)

// Evaluate decides for GET and HEAD in the order of RFC 9110 section 13.2.2.
func (c *Conditions) Evaluate(v *Validators) Verdict {
	switch {
	case c.IfMatch != nil:
		if !matchAny(c.IfMatch, v.ETag, true) {
			return PreconditionNo
		}
	case c.IfUnmodifiedSince != nil:
		if t, ok := parseDate(c.IfUnmodifiedSince); ok && v.LastModified.After(t) {
			return PreconditionNo
		}
	}
	switch {
	case c.IfNoneMatch != nil:
		if matchAny(c.IfNoneMatch, v.ETag, false) {
			return NotModified
		}
	case c.IfModifiedSince != nil:
		if t, ok := parseDate(c.IfModifiedSince); ok && !v.LastModified.After(t) {
			return NotModified
		}
	}
	return Send
}

// RangeApplies reports whether If-Range lets the Range field count. now guards the
// one-second grain of dates: a date is a strong validator only a minute later
// (RFC 9110 section 8.8.2.2).
func (c *Conditions) RangeApplies(v *Validators, now time.Time) bool {
	if c.Range == nil {
		return false
	}
	if c.IfRange == nil {
		return true
	}
	if i := bytes.IndexByte(c.IfRange, '"'); i >= 0 {
		return i == 0 && bytes.Equal(c.IfRange, v.ETag)
	}
	t, ok := parseDate(c.IfRange)
	return ok && t.Equal(v.LastModified) && now.Sub(v.LastModified) >= time.Minute
}

// matchAny looks for etag in a list of entity tags or "*". A strong comparison
// refuses weak tags. What is not an entity tag ends the list.
func matchAny(list, etag []byte, strong bool) bool {
	list = bytes.Trim(list, " \t")
	if len(list) == 1 && list[0] == '*' {
		return true
	}
	for {
		list = bytes.TrimLeft(list, " \t,")
		weak := bytes.HasPrefix(list, []byte("W/"))
		if weak {
			list = list[2:]
		}
		if len(list) < 2 || list[0] != '"' {
			return false
		}
		end := bytes.IndexByte(list[1:], '"')
		if end < 0 {
			return false
		}
		tag := list[:end+2]
		list = list[end+2:]
		if bytes.Equal(tag, etag) && !(strong && weak) {
			return true
		}
	}
}

func parseDate(field []byte) (time.Time, bool) {
	t, err := http.ParseTime(string(field))
	return t, err == nil
}
