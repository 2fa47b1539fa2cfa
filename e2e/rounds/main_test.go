// Package rounds proves that a site's databases lose nothing: on a network segment of their own its
// servers are killed, frozen and cut off, at random, while clients append to lists through the
// balancer's endpoints, and replicas are promoted by command. What was answered, what was seen and
// who took writes in which epoch is noted and judged.
package rounds

import (
	"flag"
	"testing"

	"stack/e2e/built"
	"stack/e2e/lan"
)

// binary is the stack binary under test, built once.
var binary string

func TestMain(m *testing.M) {
	lan.Helper()
	flag.Parse()
	flag.Set("test.parallel", "3") // sites wait more than they work
	built.Main(m, &binary)
}
