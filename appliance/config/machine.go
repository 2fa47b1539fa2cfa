package config

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// leastMemory is the least that limits.memory may be, in bytes: the buffers of a few
// busy connections per loop.
const leastMemory = 16 << 20

// fillMemory gives a role the share of the machine that is its bound by default.
func (s *sources) fillMemory(l *Limits) {
	if l.Memory == 0 {
		l.Memory = max(leastMemory, s.opt.Memory/4)
	}
}

// memory refuses a bound with which nothing could be served.
func (v *validator) memory(key string, bytes int64) {
	if bytes > 0 && bytes < leastMemory {
		v.at(key, "%dKiB is too little to serve with; allowed is 0 (a quarter of the machine) and from %dMiB", bytes>>10, leastMemory>>20)
	}
}

// usableMemory returns the bytes that this process may use: the machine's, or the least
// that a control group above the process allows (cgroup v2, memory.max). Without either
// it assumes a small machine of 1 GiB.
func usableMemory(proc, cgroups string) int64 {
	usable := int64(1 << 30)
	if text, err := os.ReadFile(filepath.Join(proc, "meminfo")); err == nil {
		if kib := memTotal(text); kib > 0 {
			usable = kib << 10
		}
	}
	text, err := os.ReadFile(filepath.Join(proc, "self/cgroup"))
	if err != nil {
		return usable
	}
	for line := range strings.Lines(string(text)) {
		group, unified := strings.CutPrefix(strings.TrimSpace(line), "0::")
		for ; unified; group = filepath.Dir(group) {
			bound, err := os.ReadFile(filepath.Join(cgroups, group, "memory.max"))
			if n, e := strconv.ParseInt(strings.TrimSpace(string(bound)), 10, 64); err == nil && e == nil && n > 0 {
				usable = min(usable, n) // "max" is no number
			}
			if group == "/" || group == "." {
				break
			}
		}
	}
	return usable
}

// memTotal finds the line "MemTotal:  16316412 kB".
func memTotal(meminfo []byte) (kib int64) {
	lines := bufio.NewScanner(bytes.NewReader(meminfo))
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) >= 2 && f[0] == "MemTotal:" {
			kib, _ = strconv.ParseInt(f[1], 10, 64)
			return kib
		}
	}
	return 0
}
