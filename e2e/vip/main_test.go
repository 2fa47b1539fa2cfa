// Package vip drives balancers of the built binary on a network segment of their own
// through all that takes one of them away, and judges what their client, the adverts on
// the wire and the neighbours' tables show.
package vip

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"stack/e2e/lan"
)

// binary is the stack binary under test, built once.
var binary string

func TestMain(m *testing.M) {
	lan.Helper()
	flag.Parse()
	flag.Set("test.parallel", "6") // those that are parallel wait more than they work
	dir, err := os.MkdirTemp("", "stack-vip-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "stack")
	build := exec.Command("go", "build", "-tags", "gms_pure_go", "-ldflags", "-s -w -X main.version=e2e", "-o", binary, "stack/cmd/stack")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the binary: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}
