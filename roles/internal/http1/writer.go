package http1

import "strconv"

// Writer builds a head in a buffer. It appends; the caller sees to it that the
// buffer is large enough for no allocation to happen on a hot path.
type Writer struct{ B []byte }

// Field appends a field. Bytes that no field value may hold, above all line ends, are
// left out, so that a value cannot become a field of its own.
func (w *Writer) Field(name, value string) {
	w.B = append(w.B, name...)
	w.B = append(w.B, ": "...)
	for i := range len(value) {
		if class[value[i]]&isValue != 0 {
			w.B = append(w.B, value[i])
		}
	}
	w.B = append(w.B, "\r\n"...)
}

// Bytes appends a field of a parsed head: it is known to be valid.
func (w *Writer) Bytes(name, value []byte) {
	w.B = append(w.B, name...)
	w.B = append(w.B, ": "...)
	w.B = append(w.B, value...)
	w.B = append(w.B, "\r\n"...)
}

// Value is Field for a value in bytes.
func (w *Writer) Value(name string, value []byte) {
	w.B = append(w.B, name...)
	w.B = append(w.B, ": "...)
	for _, c := range value {
		if class[c]&isValue != 0 {
			w.B = append(w.B, c)
		}
	}
	w.B = append(w.B, "\r\n"...)
}

// Int appends a field with a number.
func (w *Writer) Int(name string, v int64) {
	w.B = append(w.B, name...)
	w.B = append(w.B, ": "...)
	w.B = strconv.AppendInt(w.B, v, 10)
	w.B = append(w.B, "\r\n"...)
}

// Raw appends text as it is.
func (w *Writer) Raw(s string) { w.B = append(w.B, s...) }

// RawBytes appends bytes as they are.
func (w *Writer) RawBytes(b []byte) { w.B = append(w.B, b...) }
