package sockets

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Bounds of the search: it is for one sentence of an error, not worth more.
const (
	maxTCPLines = 100_000
	maxPIDs     = 20_000
)

// holder names the process that listens on addr's port, such as "nginx (PID 812)", or
// is empty if /proc does not tell (another user's process, another namespace).
func holder(addr netip.AddrPort) string {
	inode := ""
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		inode = listenerInode(f, addr)
		f.Close()
		if inode != "" {
			break
		}
	}
	if inode == "" {
		return ""
	}
	pid := socketOwner("socket:[" + inode + "]")
	if pid == 0 {
		return ""
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return fmt.Sprintf("PID %d", pid)
	}
	return fmt.Sprintf("%s (PID %d)", strings.TrimSpace(string(comm)), pid)
}

// listenerInode finds the inode of the socket in state LISTEN that conflicts with addr
// in a table of the form of /proc/net/tcp (proc_net_tcp(5)).
func listenerInode(table io.Reader, addr netip.AddrPort) string {
	sc := bufio.NewScanner(table)
	for n := 0; n < maxTCPLines && sc.Scan(); n++ {
		f := strings.Fields(sc.Text())
		if len(f) < 10 || f[3] != "0A" {
			continue
		}
		local, ok := parseProcAddr(f[1])
		if !ok || local.Port() != addr.Port() {
			continue
		}
		same := local.Addr().Unmap() == addr.Addr().WithZone("")
		if same || local.Addr().IsUnspecified() || addr.Addr().IsUnspecified() {
			return f[9]
		}
	}
	return ""
}

// parseProcAddr reads "0100007F:0050": 32-bit words in host order, port in hex.
func parseProcAddr(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	if !ok {
		return netip.AddrPort{}, false
	}
	b, err := hex.DecodeString(host)
	if err != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	ip, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.AddrPort{}, false
	}
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip, uint16(p)), true
}

func socketOwner(link string) int {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for n, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || n > maxPIDs {
			continue
		}
		dir := filepath.Join("/proc", p.Name(), "fd")
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if t, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && t == link {
				return pid
			}
		}
	}
	return 0
}
