package freeport

import (
	"net"
	"runtime"
	"testing"
)

// A port that was given is not given again soon, nor can another process have its block.
func TestPortsAreGivenOnce(t *testing.T) {
	seen := map[int]bool{}
	for range ports / 2 {
		p := TCP(t)
		if seen[p] {
			t.Errorf("%d is given twice", p)
		}
		seen[p] = true
	}
	runtime.GC() // closes what nobody keeps
	if l, err := net.Listen("unix", name((block-first)/ports)); err == nil {
		l.Close()
		t.Errorf("another process can have the block from %d on", block)
	}
	if mark == nil {
		t.Error("no block is marked")
	}
}
