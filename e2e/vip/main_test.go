// Package vip drives balancers of the built binary on a network segment of their own
// through all that takes one of them away, and judges what their client, the adverts on
// the wire and the neighbours' tables show.
package vip

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
	flag.Set("test.parallel", "6") // those that are parallel wait more than they work
	built.Main(m, &binary)
}
