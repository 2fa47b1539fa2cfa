package store

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// digitBytes is how many bytes MySQL's binary DECIMAL takes for 0 to 9 digits.
var digitBytes = [10]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}

// DecimalWidth is the stored length of DECIMAL(precision, scale).
func DecimalWidth(precision, scale uint8) int {
	whole, frac := int(precision)-int(scale), int(scale)
	return whole/9*4 + digitBytes[whole%9] + frac/9*4 + digitBytes[frac%9]
}

// AppendDecimal appends MySQL's sortable binary form (strings/decimal.c of MySQL
// describes it): the digits before and after the point in groups of nine, four bytes
// a group, the odd group outermost; the sign bit flipped, a negative number
// complemented.
//
//	DECIMAL(14,4)  1234567890.1234  →  81 0D FB 38 D2 04 D2
//
// It fails where d has more digits before or after the point than the column.
func AppendDecimal(dst []byte, d *apd.Decimal, precision, scale uint8) ([]byte, error) {
	digits, err := decimalDigits(d, precision, scale)
	if err != nil {
		return nil, err
	}
	start := len(dst)
	whole, frac := int(precision)-int(scale), int(scale)
	take := func(n int) {
		var group uint64
		for _, c := range digits[:n] {
			group = group*10 + uint64(c-'0')
		}
		digits = digits[n:]
		dst = appendUint(dst, group, digitBytes[n])
	}
	if whole%9 > 0 {
		take(whole % 9)
	}
	for range whole / 9 {
		take(9)
	}
	for range frac / 9 {
		take(9)
	}
	if frac%9 > 0 {
		take(frac % 9)
	}
	if d.Negative && !d.IsZero() {
		for i := start; i < len(dst); i++ {
			dst[i] = ^dst[i]
		}
	}
	if len(dst) > start {
		dst[start] ^= 0x80
	}
	return dst, nil
}

// decimalDigits returns exactly precision digits of |d| at the given scale.
func decimalDigits(d *apd.Decimal, precision, scale uint8) (string, error) {
	if d.Form != apd.Finite {
		return "", fmt.Errorf("%s cannot be stored as DECIMAL(%d,%d)", d, precision, scale)
	}
	digits := d.Coeff.String()
	shift := int(d.Exponent) + int(scale) // zeros to append; negative: digits to cut
	if digits == "0" {
		return strings.Repeat("0", int(precision)), nil
	}
	switch {
	case shift > int(precision):
		return "", fmt.Errorf("%s is out of range for DECIMAL(%d,%d)", d, precision, scale)
	case shift >= 0:
		digits += strings.Repeat("0", shift)
	case -shift <= len(digits) && strings.Trim(digits[len(digits)+shift:], "0") == "":
		digits = digits[:len(digits)+shift]
	default:
		return "", fmt.Errorf("%s has more than %d fraction digits", d, scale)
	}
	if len(digits) > int(precision) {
		return "", fmt.Errorf("%s is out of range for DECIMAL(%d,%d)", d, precision, scale)
	}
	return strings.Repeat("0", int(precision)-len(digits)) + digits, nil
}

// ReadDecimal decodes what AppendDecimal wrote, with the column's scale: DecimalWidth
// bytes.
func ReadDecimal(b []byte, precision, scale uint8) (any, error) {
	if len(b) == 0 || len(b) != DecimalWidth(precision, scale) {
		return nil, fmt.Errorf("DECIMAL(%d,%d) of %d bytes: %w", precision, scale, len(b), ErrCorrupt)
	}
	buf := append(make([]byte, 0, 40), b...)
	buf[0] ^= 0x80
	negative := buf[0]&0x80 != 0
	if negative {
		for i := range buf {
			buf[i] = ^buf[i]
		}
	}
	digits := make([]byte, 0, precision)
	take := func(n int) {
		group := readUint(buf[:digitBytes[n]])
		buf = buf[digitBytes[n]:]
		at := len(digits)
		for range n {
			digits = append(digits, '0')
		}
		for i := n - 1; i >= 0; i-- {
			digits[at+i] = '0' + byte(group%10)
			group /= 10
		}
		if group > 0 {
			digits[at] = 'x' // more digits than fit: refused below
		}
	}
	whole, frac := int(precision)-int(scale), int(scale)
	if whole%9 > 0 {
		take(whole % 9)
	}
	for range whole / 9 {
		take(9)
	}
	for range frac / 9 {
		take(9)
	}
	if frac%9 > 0 {
		take(frac % 9)
	}
	d := new(apd.Decimal)
	if _, ok := d.Coeff.SetString(string(digits), 10); !ok || negative && d.Coeff.Sign() == 0 {
		return nil, fmt.Errorf("DECIMAL(%d,%d) % x: %w", precision, scale, b, ErrCorrupt)
	}
	d.Negative, d.Exponent = negative, -int32(scale)
	return d, nil
}
