// Package freeport finds ports for servers that a test starts later or starts again. It is for
// tests only.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
)

// The range is below the one from which the kernel takes ports for clients, and for listeners
// that want any: no other program takes one of these by chance before it is used, or between
// two starts. Those of package e2e lie above it.
const (
	first  = 10_000
	blocks = 50
	ports  = 200 // of a block
)

var (
	block, mark = claim()
	given       atomic.Int32
)

// claim takes a block of ports for this process: tests of several packages run at once. A name in the
// kernel, which ends with the process, says that it is taken; it is opened before any test counts descriptors.
func claim() (block int, mark net.Listener) {
	n := rand.IntN(blocks)
	for range blocks {
		var err error
		if mark, err = net.Listen("unix", name(n)); err == nil {
			break
		}
		n = (n + 1) % blocks
	}
	return first + n*ports, mark // where all are taken, one that another process has too
}

func name(n int) string { return fmt.Sprint("@stack-test-ports-", n) }

// TCP returns a port of 127.0.0.1 that nobody listens on. The next 199 calls return others.
func TCP(t testing.TB) int {
	t.Helper()
	for range ports {
		port := block + int(given.Add(1))%ports
		if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatalf("freeport: %d ports from %d on are taken; end what listens there", ports, block)
	return 0
}
