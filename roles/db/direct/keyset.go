package direct

import (
	"crypto/sha256"
	"errors"
)

// longestKey is how many bytes of a key a keySet keeps; of a longer one it keeps the digest.
const longestKey = 64

// keySet holds the keys of rows that were answered, however long their texts are. The
// zero value is empty.
type keySet struct {
	keys  map[string]struct{}
	bytes int64 // that they take, about
}

// ErrMemory says that a DISTINCT whose rows were sent already keeps more keys than allowed.
var ErrMemory = errors.New("the keys of DISTINCT take more memory than allowed")

// keyMemory is what a key takes beside its bytes.
const keyMemory = 32

// add says whether the key was not there before.
func (k *keySet) add(key []byte) bool {
	if len(key) > longestKey {
		digest := sha256.Sum256(key)
		key = digest[:]
	}
	if _, seen := k.keys[string(key)]; seen {
		return false
	}
	if k.keys == nil {
		k.keys = map[string]struct{}{}
	}
	k.keys[string(key)] = struct{}{}
	k.bytes += int64(len(key)) + keyMemory
	return true
}
