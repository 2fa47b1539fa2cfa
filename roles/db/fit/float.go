package fit

import (
	"math"
	"strconv"
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// decimalOfFloat is f by its shortest digits, or, to become an integer, rounded to the
// nearest even one.
func decimalOfFloat(f float64, bits int, whole bool) *apd.Decimal {
	switch {
	case f != f:
		return new(apd.Decimal)
	case math.IsInf(f, 0):
		big := apd.New(1, largestExponent)
		big.Negative = f < 0
		return big
	}
	if whole {
		f = math.RoundToEven(f)
	}
	d, _, err := apd.NewFromString(strconv.FormatFloat(f, 'g', -1, bits))
	if err != nil {
		return new(apd.Decimal)
	}
	return bounded(d)
}

// floatOf is the number that a text begins with, infinite beyond the range.
func floatOf(text string) (float64, *Problem) {
	number, rest := leadingNumber(text)
	if number == "" {
		return 0, noNumber("double", text)
	}
	// Beyond the range it is infinite, which is what the error says too.
	f, _ := strconv.ParseFloat(number, 64)
	if strings.Trim(rest, space) != "" {
		return f, cut()
	}
	return f, nil
}
