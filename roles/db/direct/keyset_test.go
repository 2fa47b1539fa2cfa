package direct

import (
	"fmt"
	"strings"
	"testing"
)

// Rows with long texts are told apart without keeping them.
func TestKeySet(t *testing.T) {
	var k keySet
	for _, long := range []string{"", strings.Repeat("x", 1000)} {
		for i := range 100 {
			key := []byte(fmt.Sprint(long, i))
			if !k.add(key) {
				t.Fatalf("%q is taken for another key", key)
			}
			if k.add(key) {
				t.Fatalf("%q is new a second time", key)
			}
		}
	}
	for key := range k.keys {
		if len(key) > longestKey {
			t.Fatalf("%d bytes are kept of a key", len(key))
		}
	}
}
