package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestUsableMemory(t *testing.T) {
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	proc, groups := t.TempDir(), t.TempDir()
	if n := usableMemory(proc, groups); n != 1<<30 {
		t.Errorf("of a machine that says nothing: %d", n)
	}
	write(proc+"/meminfo", "MemFree: 1 kB\nMemTotal:       2097152 kB\n")
	write(proc+"/self/cgroup", "0::/system.slice/stack.service\n")
	if n := usableMemory(proc, groups); n != 2<<30 {
		t.Errorf("without a bound of the group: %d", n)
	}
	write(groups+"/system.slice/stack.service/memory.max", "max\n")
	write(groups+"/system.slice/memory.max", "536870912\n")
	if n := usableMemory(proc, groups); n != 512<<20 {
		t.Errorf("with a bound of a group above: %d", n)
	}
	write(groups+"/system.slice/stack.service/memory.max", "268435456\n")
	if n := usableMemory(proc, groups); n != 256<<20 {
		t.Errorf("with a bound of its own: %d", n)
	}
	if n := usableMemory("/proc", "/sys/fs/cgroup"); n < leastMemory {
		t.Errorf("of this machine: %d", n)
	}
}
