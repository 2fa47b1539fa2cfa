package direct

import (
	"strconv"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// Kind is what a literal is.
type Kind uint8

// The kinds of values.
const (
	Null    Kind = iota
	Int          // in Int
	Uint         // above the largest int64: the bits of Int
	Decimal      // digits with a point, in Text
	String       // UTF-8, in Text
	Param        // parameter number Int, counted from 0, of a prepared statement
	Other        // a parameter of a type that is left to the planner
)

// Value is a literal of a statement, or a parameter.
type Value struct {
	Kind Kind
	Int  int64
	Text string
}

// class is how the values of a column may be compared.
type class uint8

const (
	classNone class = iota // not at all
	classInt
	classText
)

func classOf(t gms.Type) class {
	if types.IsInteger(t) {
		return classInt
	}
	if s, ok := t.(gms.StringType); ok && s.Collation() != gms.Collation_binary && types.IsText(t) {
		if cs := s.Collation().CharacterSet(); cs == gms.CharacterSet_utf8mb4 || cs == gms.CharacterSet_utf8mb3 {
			return classText
		}
	}
	return classNone
}

// comparable brings a literal to what a column of class c is compared with: an int64,
// an uint64 above the largest int64, or a string. false: a coercion would be needed.
func (v Value) comparable(c class) (any, bool) {
	switch {
	case c == classInt && v.Kind == Int:
		return v.Int, true
	case c == classInt && v.Kind == Uint:
		return uint64(v.Int), true
	case c == classInt && v.Kind == String:
		return integerText(v.Text)
	case c == classText && v.Kind == String:
		return v.Text, true
	}
	return nil, false
}

// integerText is the integer that a text is the shortest form of. Beyond 15 digits the
// comparison with a text would not be exact.
func integerText(text string) (any, bool) {
	if len(text) > 15 {
		return nil, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text {
		return nil, false
	}
	return n, true
}

// literal is the value as the planner reads the literal, for a conversion to a column's
// type; false where it is not that simple.
func (v Value) literal() (any, bool) {
	switch v.Kind {
	case Null:
		return nil, true
	case Int:
		return v.Int, true
	case Uint:
		return uint64(v.Int), true
	case String:
		return v.Text, true
	}
	return nil, false
}

// CompareInts orders two integers of any Go types; false where one of them is none.
func CompareInts(v, w any) (n int, ok bool) {
	return compareInts(v, w), isInt(v) && isInt(w)
}

func isInt(v any) bool {
	switch v.(type) {
	case int64, int32, int16, int8, uint64, uint32, uint16, uint8:
		return true
	}
	return false
}

// compareInts orders an integer of any Go type and an int64 or uint64.
func compareInts(v, w any) int {
	vi, vu, vBig := split(v)
	wi, wu, wBig := split(w)
	switch {
	case vBig && wBig:
		return order(vu, wu)
	case vBig:
		return 1
	case wBig:
		return -1
	}
	return order(vi, wi)
}

func order[T int64 | uint64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// split is v as an int64, or as an uint64 where it is above every int64.
func split(v any) (i int64, u uint64, big bool) {
	switch v := v.(type) {
	case int64:
		return v, 0, false
	case int32:
		return int64(v), 0, false
	case uint32:
		return int64(v), 0, false
	case uint64:
		return int64(v), v, v > 1<<63-1
	case int16:
		return int64(v), 0, false
	case int8:
		return int64(v), 0, false
	case uint16:
		return int64(v), 0, false
	case uint8:
		return int64(v), 0, false
	}
	return 0, 0, false
}
