// Package built makes the binary that end-to-end tests run.
package built

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Main builds stack, sets binary to its path, runs the tests, and ends the process with their code.
func Main(m *testing.M, binary *string) {
	dir, err := os.MkdirTemp("", "stack-e2e-")
	if err != nil {
		panic(err)
	}
	*binary = filepath.Join(dir, "stack")
	build := exec.Command("go", "build", "-tags", "gms_pure_go", "-ldflags", "-s -w -X main.version=e2e", "-o", *binary, "stack/cmd/stack")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the binary: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}
