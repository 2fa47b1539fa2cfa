// Package infile reads the files of LOAD DATA: fields and lines, as the clauses FIELDS and
// LINES describe them ("LOAD DATA Statement" of the MySQL manual). It knows nothing of
// tables and values. What it does with odd files is what MySQL and MariaDB do.
package infile

// None stands for an enclosing or escaping character that there is not.
const None = -1

// Format is how a file is written. Separators are bytes, compared as they are.
type Format struct {
	FieldsTerminated string
	Enclosed         int // byte, or None
	Escaped          int // byte, or None
	LinesStarting    string
	LinesTerminated  string
}

// Default is what a statement without FIELDS and LINES means.
func Default() Format {
	return Format{FieldsTerminated: "\t", Enclosed: None, Escaped: '\\', LinesTerminated: "\n"}
}

// Field is one field of a line.
type Field struct {
	// Bytes are the content without what encloses it, escapes resolved. They are valid until
	// the next call of the reader.
	Bytes []byte
	// Null says that the field is \N, or NULL without what would enclose a text.
	Null bool
}

// first is the first byte of a separator, -1 if it is empty.
func first(separator string) int {
	if separator == "" {
		return -1
	}
	return int(separator[0])
}
