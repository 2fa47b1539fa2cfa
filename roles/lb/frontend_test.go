package lb

import (
	"reflect"
	"testing"

	"stack/roles/internal/exchange"
)

// A counter of a point that add forgets would be missing in every sum.
func TestAddSumsEveryCounter(t *testing.T) {
	var one, sum, want exchange.Counters
	fill := func(c *exchange.Counters, n int) {
		v := reflect.ValueOf(c).Elem()
		set := func(f reflect.Value) {
			if f.CanInt() {
				f.SetInt(int64(n))
			} else {
				f.SetUint(uint64(n))
			}
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() != reflect.Array {
				set(f)
			} else {
				for j := range f.Len() {
					set(f.Index(j))
				}
			}
		}
	}
	fill(&one, 1)
	fill(&want, 2)
	add(&sum, one)
	add(&sum, one)
	if sum != want {
		t.Errorf("the sum is %+v", sum)
	}
}
