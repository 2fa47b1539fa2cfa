package store

import (
	"sync"

	"github.com/dolthub/go-mysql-server/sql"
)

// asciiWeights are, per ASCII character, the bytes of its weight in keys of a collation:
// most text is made of them, and the collation's own function searches a tree.
type asciiWeights [128]struct {
	bytes [5]byte
	size  uint8
}

// weightsOf keeps them by collation.
var weightsOf sync.Map // sql.CollationID → *asciiWeights, nil where they cannot be had

// asciiWeightsOf returns the weights, nil for character sets in which a byte below 128 is
// not always that character.
func asciiWeightsOf(c *codec) *asciiWeights {
	if w, ok := weightsOf.Load(c.collation); ok {
		return w.(*asciiWeights)
	}
	var out *asciiWeights
	switch c.collation.CharacterSet() {
	case sql.CharacterSet_utf8mb4, sql.CharacterSet_utf8mb3, sql.CharacterSet_ascii, sql.CharacterSet_latin1:
		if c.weight != nil {
			out = &asciiWeights{}
			for r := range rune(128) {
				b := appendWeight(nil, c.weight(r))
				out[r].size = uint8(copy(out[r].bytes[:], b))
			}
		}
	}
	weightsOf.Store(c.collation, out)
	return out
}
