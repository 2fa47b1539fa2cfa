package sql

import (
	"sync"
	"unicode/utf8"

	gms "github.com/dolthub/go-mysql-server/sql"
)

// weights are a collation's: what its characters are compared by. Those of ASCII, which
// most text is, are at hand.
type weights struct {
	ascii [utf8.RuneSelf]int32
	other func(rune) int32
}

var knownWeights sync.Map // of *weights by gms.CollationID

// weightsOf returns the weights of a collation of UTF-8 text, nil for any other.
func weightsOf(collation gms.CollationID) *weights {
	if w, ok := knownWeights.Load(collation); ok {
		return w.(*weights)
	}
	set := collation.CharacterSet()
	if collation == gms.Collation_binary || set != gms.CharacterSet_utf8mb4 && set != gms.CharacterSet_utf8mb3 {
		return nil
	}
	w := &weights{other: collation.Sorter()}
	for r := range w.ascii {
		w.ascii[r] = w.other(rune(r))
	}
	knownWeights.Store(collation, w)
	return w
}

// next is the weight of the first character of s, which is UTF-8 and not empty, and its
// length.
func (w *weights) next(s string) (weight int32, length int) {
	if c := s[0]; c < utf8.RuneSelf {
		return w.ascii[c], 1
	}
	r, length := utf8.DecodeRuneInString(s)
	return w.other(r), length
}

// all are the weights of a text in UTF-8.
func (w *weights) all(s string) []int32 {
	list := make([]int32, 0, len(s))
	for len(s) > 0 {
		weight, n := w.next(s)
		list, s = append(list, weight), s[n:]
	}
	return list
}

// order orders a text in UTF-8 and one whose weights are given.
func (w *weights) order(s string, with []int32) int {
	for _, other := range with {
		if s == "" {
			return -1
		}
		weight, n := w.next(s)
		switch {
		case weight < other:
			return -1
		case weight > other:
			return 1
		}
		s = s[n:]
	}
	if s == "" {
		return 0
	}
	return 1
}
