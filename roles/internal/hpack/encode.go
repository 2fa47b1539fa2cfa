package hpack

import "unsafe"

// shortCookie is the length below which a cookie could be guessed octet by octet
// if a compressor further on kept it in a table (RFC 7541 section 7.1.3).
const shortCookie = 20

// First octets of the representations that are written (RFC 7541 section 6).
const (
	formIndexed    = 0x80 // 7 bits of index
	formSizeUpdate = 0x20 // 5 bits of size
	formPlain      = 0x00 // 4 bits of index: literal without indexing
	formNever      = 0x10 // 4 bits of index: literal never indexed
)

// AppendSizeUpdate0 appends the update of the dynamic table to size 0 that the
// first block of a connection begins with: the encoder has no table, and the peer
// need not keep one.
func AppendSizeUpdate0(dst []byte) []byte { return append(dst, formSizeUpdate) }

// Append appends one field; the name may be in any case and goes out in lower
// case. Strings are written as they are: the Huffman code would save a fifth of a
// head and cost more than the rest of the encoder (docs/decisions/025).
// authorization, proxy-authorization, set-cookie and short cookies are marked
// never to be indexed, for the sake of compressors further on.
//
// Hot path: BenchmarkAppend.
func Append(dst, name, value []byte) []byte {
	return AppendString(dst, view(name), view(value))
}

// AppendString is Append for strings.
func AppendString(dst []byte, name, value string) []byte {
	index := staticIndex(name)
	form := byte(formPlain)
	if sensitive(index, len(value)) {
		form = formNever
	} else if index != 0 {
		if match := staticMatch(index, value); match != 0 {
			return append(dst, formIndexed|byte(match))
		}
	}
	dst = appendInteger(dst, form, 4, index)
	if index == 0 {
		dst = appendInteger(dst, 0, 7, len(name))
		for i := range len(name) {
			dst = append(dst, toLower[name[i]])
		}
	}
	dst = appendInteger(dst, 0, 7, len(value))
	return append(dst, value...)
}

// AppendStatus appends :status, 100 to 999.
func AppendStatus(dst []byte, status int) []byte {
	digits := [3]byte{'0' + byte(status/100), '0' + byte(status/10%10), '0' + byte(status%10)}
	if match := staticMatch(indexStatus, view(digits[:])); match != 0 {
		return append(dst, formIndexed|byte(match))
	}
	return append(dst, formPlain|indexStatus, 3, digits[0], digits[1], digits[2])
}

func sensitive(index, length int) bool {
	switch index {
	case indexAuthorization, indexProxyAuthorization, indexSetCookie:
		return true
	case indexCookie:
		return length < shortCookie
	}
	return false
}

// appendInteger appends v with a prefix of so many bits below form (RFC 7541
// section 5.1).
func appendInteger(dst []byte, form byte, prefix uint, v int) []byte {
	limit := 1<<prefix - 1
	if v < limit {
		return append(dst, form|byte(v))
	}
	dst = append(dst, form|byte(limit))
	for v -= limit; v >= 0x80; v >>= 7 {
		dst = append(dst, byte(v)|0x80)
	}
	return append(dst, byte(v))
}

// view reads octets as a string that must not outlive the call.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
