// Package hpack reads and writes HTTP/2 header blocks as RFC 7541 defines them,
// without an allocation once a connection's table and the shared scratch buffers
// have grown: fields are handed out as slices that are valid for one call.
//
// It knows octets only. Whether a name is in lower case, a pseudo-header in its
// place or a value free of control characters is for the caller to decide, and so
// is the end of the connection after an Error.
//
// The decoder keeps the dynamic table that the protocol prescribes; the encoder
// keeps none, so that a connection costs no memory for what is sent on it.
package hpack

import "errors"

// Sink takes the fields of a block in their order. name and value are valid only
// until Field returns and must not be written to.
type Sink interface {
	Field(name, value []byte) error
}

// Error says why a block cannot be decoded. The tables of the two peers are no
// longer in step then: the connection must end with COMPRESSION_ERROR
// (RFC 9113 section 4.3).
type Error struct {
	Reason string
}

func (e *Error) Error() string { return "header block: " + e.Reason }

// The errors are made once: a peer that sends bad blocks costs no memory.
var (
	errTruncated    = &Error{"it ends within a field"}
	errInteger      = &Error{"an integer exceeds 32 bits or five continuation octets"}
	errIndex        = &Error{"an index is zero or beyond the tables"}
	errLateUpdate   = &Error{"a table size update stands behind a field"}
	errManyUpdates  = &Error{"more than two table size updates"}
	errUpdateSize   = &Error{"a table size update exceeds SETTINGS_HEADER_TABLE_SIZE"}
	errHuffmanEOS   = &Error{"a Huffman string contains the end-of-string symbol"}
	errHuffmanShort = &Error{"a Huffman string ends within a symbol or in wrong padding"}
	errBomb         = &Error{"its decoded fields exceed 64 times the limit"}
)

// ErrTooLarge says that the fields of a block exceed the limit given to Decode.
// The block was decoded to its end, so that the connection can go on.
var ErrTooLarge = errors.New("header block: its decoded fields exceed the limit")

// fieldOverhead is what a field counts beyond its octets (RFC 7541 section 4.1).
const fieldOverhead = 32
