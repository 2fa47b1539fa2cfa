// Package timing holds servers to times that the documentation promises. It is for tests only.
package timing

import (
	"slices"
	"testing"
	"time"
)

// Median measures rounds of the same thing, of which most take less than limit. A shared machine holds up some
// rounds; what takes too long by itself does so in all. The worst one is logged.
func Median(t testing.TB, what string, limit time.Duration, rounds int, round func() time.Duration) {
	t.Helper()
	took := make([]time.Duration, rounds)
	for i := range took {
		took[i] = round()
	}
	slices.Sort(took)
	median := took[rounds/2]
	t.Logf("%s: median %v, worst %v of %d", what, median, took[rounds-1], rounds)
	if median >= limit {
		t.Errorf("%s: median %v, want less than %v: %v", what, median, limit, took)
	}
}
