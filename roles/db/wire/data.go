package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
)

// The elements of packets: integers are little endian; a length-encoded integer is one
// byte below 251, or 252, 253, 254 and 2, 3, 8 bytes; 251 stands for NULL.

// errMalformed says that a packet ends before what it announces, or says something
// that the protocol does not know.
var errMalformed = errors.New("malformed packet")

// reader takes a packet apart. After the first failure every read answers zero and bad
// is set.
type reader struct {
	p   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.p) {
		r.bad, r.p = true, nil
		return nil
	}
	b := r.p[:n:n]
	r.p = r.p[n:]
	return b
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// lenenc reads a length-encoded integer; NULL and 255 are malformed here.
func (r *reader) lenenc() uint64 {
	switch c := r.u8(); c {
	case 251, 255:
		r.bad, r.p = true, nil
		return 0
	case 252:
		return uint64(r.u16())
	case 253:
		b := r.take(3)
		if b == nil {
			return 0
		}
		return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16
	case 254:
		return r.u64()
	default:
		return uint64(c)
	}
}

// lenbytes reads a length-encoded string.
func (r *reader) lenbytes() []byte {
	n := r.lenenc()
	if n > uint64(len(r.p)) {
		r.bad, r.p = true, nil
		return nil
	}
	return r.take(int(n))
}

// nulbytes reads up to a NUL and past it.
func (r *reader) nulbytes() []byte {
	for i, c := range r.p {
		if c == 0 {
			b := r.p[:i:i]
			r.p = r.p[i+1:]
			return b
		}
	}
	r.bad, r.p = true, nil
	return nil
}

// tailbytes reads up to a NUL and past it, or all that is left.
func (r *reader) tailbytes() []byte {
	for _, c := range r.p {
		if c == 0 {
			return r.nulbytes()
		}
	}
	return r.take(len(r.p))
}

func appendU16(b []byte, v uint16) []byte { return append(b, byte(v), byte(v>>8)) }

func appendU32(b []byte, v uint32) []byte {
	return append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
}

func appendU64(b []byte, v uint64) []byte {
	return append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24),
		byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
}

func appendLenenc(b []byte, v uint64) []byte {
	switch {
	case v < 251:
		return append(b, byte(v))
	case v < 1<<16:
		return append(b, 252, byte(v), byte(v>>8))
	case v < 1<<24:
		return append(b, 253, byte(v), byte(v>>8), byte(v>>16))
	}
	return appendU64(append(b, 254), v)
}

func appendLenString[T string | []byte](b []byte, s T) []byte {
	return append(appendLenenc(b, uint64(len(s))), s...)
}

// appendFloat writes a FLOAT (bits 32: six significant digits) or DOUBLE (bits 64: the
// shortest text that reads back the same) as MySQL prints it: with an exponent where
// the point would stand more than 15 places to the right or 14 to the left of the
// first digit.
func appendFloat(b []byte, f float64, bits int) []byte {
	if f == 0 || math.IsNaN(f) || math.IsInf(f, 0) {
		// MySQL stores neither NaN nor infinity; they read as 0 there.
		return append(b, '0')
	}
	prec := -1
	if bits == 32 {
		prec = 5
	}
	var tmp [32]byte
	t := strconv.AppendFloat(tmp[:0], f, 'e', prec, bits)
	// t is [-]d[.ddd]e±xx
	neg := t[0] == '-'
	if neg {
		t = t[1:]
		b = append(b, '-')
	}
	e := 0
	for i, c := range t {
		if c == 'e' {
			e, _ = strconv.Atoi(string(t[i+1:]))
			t = t[:i]
			break
		}
	}
	digits := t[:1]
	if len(t) > 2 {
		digits = append(digits, t[2:]...)
	}
	for len(digits) > 1 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
	}
	switch point := e + 1; {
	case point > 15 || point < -14:
		b = append(b, digits[0])
		if len(digits) > 1 {
			b = append(append(b, '.'), digits[1:]...)
		}
		b = append(b, 'e')
		return strconv.AppendInt(b, int64(e), 10)
	case point <= 0:
		b = append(b, '0', '.')
		for range -point {
			b = append(b, '0')
		}
		return append(b, digits...)
	case point >= len(digits):
		b = append(b, digits...)
		for range point - len(digits) {
			b = append(b, '0')
		}
		return b
	default:
		b = append(append(b, digits[:point]...), '.')
		return append(b, digits[point:]...)
	}
}
