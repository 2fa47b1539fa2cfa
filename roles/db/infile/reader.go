package infile

import (
	"errors"
	"io"
)

// ErrTooLong is returned for a line whose fields are longer than the reader may keep.
var ErrTooLong = errors.New("a line of the file is longer than max_allowed_packet")

// bufferSize is how much of the file is read at a time, bytes. Separators are longer only
// in a statement that is as long.
const bufferSize = 64 << 10

// Reader splits a file into lines and fields. The caller takes as many fields of a line as
// it wants and then asks for the next line:
//
//	for more := true; more; {
//		for … { field, ok, err := r.Field() … }
//		more, rest, err = r.NextLine()
//	}
//
// Memory is bounded by the buffer and one field; the fields of a line together by limit.
type Reader struct {
	source io.Reader
	buf    []byte
	pos    int
	end    int
	err    error // of source; io.EOF at its end

	format     Format
	fieldFirst int
	lineFirst  int
	stops      [256]bool // bytes that may mean something outside of an enclosed field
	quoted     [256]bool // and within one

	field     []byte
	taken     int // bytes of the line's fields so far
	limit     int
	startLine bool // LinesStarting has to be looked for
	lineEnd   bool // no field is left in this line
	eof       bool
}

// NewReader reads r. The fields of one line may have limit bytes together.
func NewReader(r io.Reader, f Format, limit int) *Reader {
	if f.FieldsTerminated == f.LinesTerminated {
		f.LinesTerminated = "" // a line ends with its last field then
	}
	longest := max(len(f.FieldsTerminated), len(f.LinesTerminated), len(f.LinesStarting))
	out := &Reader{
		source: r, format: f, limit: limit, startLine: f.LinesStarting != "",
		buf:        make([]byte, bufferSize+longest),
		fieldFirst: first(f.FieldsTerminated), lineFirst: first(f.LinesTerminated),
	}
	for _, c := range []int{out.fieldFirst, out.lineFirst, f.Escaped} {
		if c >= 0 {
			out.stops[c] = true
		}
	}
	for _, c := range []int{f.Enclosed, f.Escaped} {
		if c >= 0 {
			out.quoted[c] = true
		}
	}
	return out
}

// more makes n bytes available if the file has as many.
func (r *Reader) more(n int) bool {
	for r.end-r.pos < n {
		if r.err != nil {
			return false
		}
		if r.pos > 0 {
			r.end = copy(r.buf, r.buf[r.pos:r.end])
			r.pos = 0
		}
		var got int
		got, r.err = r.source.Read(r.buf[r.end:])
		r.end += got
	}
	return true
}

// get takes the next byte, -1 at the end.
func (r *Reader) get() int {
	if r.pos == r.end && !r.more(1) {
		return -1
	}
	c := r.buf[r.pos]
	r.pos++
	return int(c)
}

// skip moves over the rest of a separator whose first byte has been taken, if it follows.
func (r *Reader) skip(separator string) bool {
	rest := separator[1:]
	if !r.more(len(rest)) || string(r.buf[r.pos:r.pos+len(rest)]) != rest {
		return false
	}
	r.pos += len(rest)
	return true
}

// failure is the error of the file itself.
func (r *Reader) failure() error {
	if r.err == io.EOF {
		return nil
	}
	return r.err
}

// Field takes the next field of the line. false: the line has no more, or the file has
// ended.
//
// Hot path: BenchmarkReader.
func (r *Reader) Field() (Field, bool, error) {
	if r.lineEnd {
		return Field{}, false, nil
	}
	if r.startLine {
		r.startLine = false
		if !r.findStart() {
			return Field{}, false, r.failure()
		}
	}
	c := r.get()
	if c < 0 {
		r.lineEnd, r.eof = true, true
		return Field{}, false, r.failure()
	}
	r.field = r.field[:0]
	enclosed := c == r.format.Enclosed
	if enclosed {
		r.field = append(r.field, byte(c)) // it belongs to the content if nothing encloses
	} else {
		r.pos--
	}
	closed, null, err := r.content(enclosed)
	if err != nil {
		return Field{}, false, err
	}
	f := Field{Bytes: r.field}
	if closed {
		f.Bytes = f.Bytes[1:]
	}
	f.Null = null && len(f.Bytes) == 1 ||
		!closed && r.format.Enclosed != None && string(f.Bytes) == "NULL"
	r.taken += len(f.Bytes)
	return f, true, nil
}

// content reads up to the end of the field. closed says that the field ended with the
// character that encloses it, null that an N was escaped.
func (r *Reader) content(enclosed bool) (closed, null bool, err error) {
	stops := &r.stops
	if enclosed {
		stops = &r.quoted
	}
	for {
		if r.taken+len(r.field) > r.limit {
			return false, false, ErrTooLong
		}
		if r.pos == r.end && !r.more(1) {
			r.lineEnd, r.eof = true, true
			return false, null, r.failure()
		}
		// What means nothing is copied at once.
		at := r.pos
		for at < r.end && !stops[r.buf[at]] {
			at++
		}
		if at > r.pos {
			r.field = append(r.field, r.buf[r.pos:at]...)
			r.pos = at
			continue
		}
		c := r.get()
		if c == r.format.Escaped {
			next := r.get()
			if next < 0 {
				r.field = append(r.field, byte(c))
				continue
			}
			// The same character for both is escaped by doubling it alone.
			if c != r.format.Enclosed || next == c {
				r.field = append(r.field, unescape(byte(next)))
				null = null || next == 'N'
				continue
			}
			r.pos--
		}
		switch {
		case enclosed && c == r.format.Enclosed:
			if r.closes(c) {
				return true, null, nil
			}
		case !enclosed && c == r.lineFirst && r.skip(r.format.LinesTerminated):
			r.lineEnd = true
			return false, null, nil
		case !enclosed && c == r.fieldFirst && r.skip(r.format.FieldsTerminated):
			return false, null, nil
		}
		r.field = append(r.field, byte(c))
	}
}

// closes says whether the enclosing character c that has been taken ends the field: not if
// it is doubled or followed by anything but a separator.
func (r *Reader) closes(c int) bool {
	next := r.get()
	switch {
	case next < 0:
		r.lineEnd, r.eof = true, true
		return true
	case next == c:
		return false // one of the two is kept
	case next == r.lineFirst && r.skip(r.format.LinesTerminated):
		r.lineEnd = true
		return true
	case next == r.fieldFirst && r.skip(r.format.FieldsTerminated):
		return true
	}
	r.pos--
	return false
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'r':
		return '\r'
	case 'b':
		return '\b'
	case '0':
		return 0
	case 'Z':
		return 26
	}
	return c
}

// findStart moves behind the next LinesStarting; lines without it are passed over.
func (r *Reader) findStart() bool {
	start := r.format.LinesStarting
	for c := r.get(); c >= 0; c = r.get() {
		if c == int(start[0]) && r.skip(start) {
			return true
		}
	}
	r.lineEnd, r.eof = true, true
	return false
}

// NextLine goes to the next line; false: there is none. rest says that the line had more
// than the fields that were taken.
func (r *Reader) NextLine() (more, rest bool, err error) {
	r.startLine, r.taken = r.format.LinesStarting != "", 0
	if r.lineEnd {
		r.lineEnd = false
		return !r.eof, false, nil
	}
	if r.lineFirst < 0 {
		return true, false, nil // lines have no end of their own
	}
	for {
		c := r.get()
		if c == r.lineFirst && r.skip(r.format.LinesTerminated) {
			return true, rest, nil
		}
		if c == r.format.Escaped && c >= 0 {
			c = r.get()
		}
		if c < 0 {
			r.eof, r.lineEnd = true, true
			return false, rest, r.failure()
		}
		rest = true
	}
}

// SkipLines is IGNORE n LINES: fields are not looked at, so a separator of lines in an
// enclosed field counts.
func (r *Reader) SkipLines(n uint64) error {
	if r.lineFirst < 0 {
		return nil
	}
	for ; n > 0; n-- {
		if more, _, err := r.NextLine(); err != nil || !more {
			return err
		}
	}
	return nil
}
