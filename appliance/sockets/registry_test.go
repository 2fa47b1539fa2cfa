package sockets

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/config"
)

func loopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

func free(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return loopback(uint16(l.Addr().(*net.TCPAddr).Port))
}

func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func option(t *testing.T, fd, level, name int) int {
	t.Helper()
	v, err := unix.GetsockoptInt(fd, level, name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestOpenMakesGroups(t *testing.T) {
	before := openFiles(t)
	r := NewRegistry()
	one, many := free(t), free(t)
	six := netip.AddrPortFrom(netip.IPv6Loopback(), many.Port())
	binds := []config.Bind{
		{Role: "lb", Owner: "http", Addr: one, Group: 1},
		{Role: "lb", Owner: "https", Addr: many, Group: 2},
		{Role: "web", Owner: "web", Addr: many, Group: 3}, // the same address: one group, the larger size
		{Role: "lb", Owner: "v6", Addr: six, Group: 1},
	}
	if err := r.Open(binds); err != nil {
		t.Fatal(err)
	}
	if n := len(r.FDs(many)); n != 3 {
		t.Fatalf("%d members, want 3", n)
	}
	for _, fd := range r.FDs(many) {
		if option(t, fd, unix.SOL_SOCKET, unix.SO_REUSEPORT) != 1 || option(t, fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN) != 1 {
			t.Error("a member does not listen with SO_REUSEPORT")
		}
		flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		exec, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if flags&unix.O_NONBLOCK == 0 || exec&unix.FD_CLOEXEC == 0 {
			t.Error("a member blocks or is inherited")
		}
		if option(t, fd, unix.SOL_SOCKET, unix.SO_PROTOCOL) != unix.IPPROTO_TCP {
			t.Error("not plain TCP")
		}
		if a, err := LocalAddr(fd); err != nil || a != many {
			t.Errorf("address %s, %v", a, err)
		}
	}
	if fd := r.FDs(one)[0]; option(t, fd, unix.SOL_SOCKET, unix.SO_REUSEPORT) != 0 {
		t.Error("a plain socket lets others join")
	}
	if fd := r.FDs(six)[0]; option(t, fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY) != 1 {
		t.Error("an IPv6 socket takes IPv4")
	}
	// Opening again keeps what is there.
	was := r.FDs(many)
	if err := r.Open(binds); err != nil || fmt.Sprint(r.FDs(many)) != fmt.Sprint(was) {
		t.Errorf("reopened: %v, %v", r.FDs(many), err)
	}
	r.Keep(binds[:1], nil)
	if r.FDs(many) != nil || r.FDs(one) == nil {
		t.Error("Keep closed the wrong sockets")
	}
	r.Close()
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestOpenIsAllOrNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := loopback(uint16(l.Addr().(*net.TCPAddr).Port))
	self, _ := os.ReadFile("/proc/self/comm")
	for _, c := range []struct {
		bind config.Bind
		want string
	}{
		{config.Bind{Role: "lb", Owner: "https", Addr: taken, Group: 1},
			fmt.Sprintf("listen on %s for lb https: the port is in use by %s (PID %d); stop it or choose another bind: address already in use",
				taken, strings.TrimSpace(string(self)), os.Getpid())},
		{config.Bind{Role: "db", Owner: "db", Addr: netip.MustParseAddrPort("192.0.2.77:3306"), Group: 1},
			"listen on 192.0.2.77:3306 for db: no interface of this server has the address 192.0.2.77; correct the bind or the node's address: cannot assign requested address"},
	} {
		before := openFiles(t)
		r := NewRegistry()
		err := r.Open([]config.Bind{{Role: "web", Addr: free(t), Group: 2}, c.bind})
		if err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
		if after := openFiles(t); after != before {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
	}
}

// TestGroupDoesNotJoinAnother: a second stack of the same user could otherwise bind the
// same address and take half of the connections.
func TestGroupDoesNotJoinAnother(t *testing.T) {
	a := free(t)
	first, second := NewRegistry(), NewRegistry()
	defer first.Close()
	b := []config.Bind{{Role: "lb", Addr: a, Group: 2}}
	if err := first.Open(b); err != nil {
		t.Fatal(err)
	}
	if err := second.Open(b); !errors.Is(err, unix.EADDRINUSE) {
		second.Close()
		t.Fatalf("the second opened it too: %v", err)
	}
}

func TestFreebind(t *testing.T) {
	r := NewRegistry()
	defer r.Close()
	for _, a := range []string{"192.0.2.77:18443", "[2001:db8::77]:18443"} {
		if err := r.Open([]config.Bind{{Role: "lb", Addr: netip.MustParseAddrPort(a), Group: 2, Freebind: true}}); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestMarkAndRevert(t *testing.T) {
	r := NewRegistry()
	defer r.Close()
	a, b := free(t), free(t)
	path := filepath.Join(t.TempDir(), "s")
	if err := r.Open([]config.Bind{{Addr: a}}); err != nil {
		t.Fatal(err)
	}
	mark := r.Mark()
	if err := r.Open([]config.Bind{{Addr: b}}); err != nil {
		t.Fatal(err)
	}
	if err := r.OpenUnix(path); err != nil {
		t.Fatal(err)
	}
	r.Revert(mark)
	if _, ok := r.UnixFD(path); ok || r.FDs(b) != nil || r.FDs(a) == nil {
		t.Error("not as it was")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket's file is left: %v", err)
	}
}

func TestOpenForTests(t *testing.T) {
	set, err := Open([]config.Bind{{Role: "web", Addr: loopback(0), Group: 2}})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	fds := set.Get(loopback(0))
	a, err := LocalAddr(fds[0])
	b, err2 := LocalAddr(fds[1])
	if err != nil || err2 != nil || len(fds) != 2 || a != b || a.Port() == 0 || len(set.Addrs()) != 1 {
		t.Fatalf("%v %v %v %v", fds, a, b, err)
	}
	l, err := Listener(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if option(t, fds[0], unix.SOL_SOCKET, unix.SO_ACCEPTCONN) != 1 {
		t.Error("closing the listener shut the socket")
	}
	var none *Set
	if none.Get(a) != nil || none.Addrs() != nil {
		t.Error("an empty set has sockets")
	}
}

func TestUnixSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run", "n1.sock")
	// One left by a process that was killed.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "stale"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	r := NewRegistry()
	defer r.Close()
	if err := r.OpenUnix(path); err != nil {
		t.Fatal(err)
	}
	if err := r.OpenUnix(filepath.Join(dir, "stale")); err != nil {
		t.Errorf("stale: %v", err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	other := NewRegistry()
	for p, want := range map[string]string{
		path:                           "another stack answers on it",
		"/" + strings.Repeat("x", 200): "has at most 107 bytes",
		filepath.Join(dir, "file"):     "not a socket is in the way",
		"/proc/nowhere/stack.sock":     "cannot make its directory",
	} {
		if p == filepath.Join(dir, "file") {
			os.WriteFile(p, nil, 0o600)
		}
		if err := other.OpenUnix(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", p, err, want)
		}
	}
	fd, _ := r.UnixFD(path)
	l, err := Listener(fd)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := os.Stat(path); err != nil {
		t.Error("closing the listener removed the file")
	}
}

func TestActivatedSockets(t *testing.T) {
	if g, err := Activated([]string{"LISTEN_PID=1", "LISTEN_FDS=1"}, 2); g != nil || err != nil {
		t.Errorf("somebody else's sockets: %v, %v", g, err)
	}
	if _, err := Activated([]string{"LISTEN_PID=2", "LISTEN_FDS=x"}, 2); err == nil {
		t.Error("LISTEN_FDS=x was taken")
	}
	dual, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Skip("no IPv6 here")
	}
	defer dual.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	check := func(c interface{ File() (*os.File, error) }) error {
		f, err := c.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		_, err = checkActivated(int(f.Fd()))
		return err
	}
	if err := check(dual.(*net.TCPListener)); err == nil || !strings.Contains(err.Error(), "takes IPv4 too; set BindIPv6Only=ipv6-only") {
		t.Errorf("dual stack: %v", err)
	}
	if err := check(udp.(*net.UDPConn)); err == nil || !strings.Contains(err.Error(), "not a listening stream socket") {
		t.Errorf("udp: %v", err)
	}
	binds := []config.Bind{{Role: "lb", Owner: "https", Addr: loopback(443)}}
	for name, want := range map[string]string{"": "", "stack.socket": "", "unknown": "", "lb": "", "lb.https": "", "lb.http": `gives to "lb.https"`} {
		err := matchActivated(Group{Addr: loopback(443), Name: name}, binds)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if err := matchActivated(Group{Addr: loopback(80), Name: "lb"}, binds); err == nil || !strings.Contains(err.Error(), "which no bind of the config names") {
		t.Errorf("unknown address: %v", err)
	}
}

func TestPassage(t *testing.T) {
	before := openFiles(t)
	a, b, err := NewPassage()
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	meta := []byte(strings.Repeat("m", MaxMeta))
	if err := a.Send(fds[0], meta); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(fds[0], append(meta, 'x')); err == nil {
		t.Error("more than MaxMeta was sent")
	}
	fd, got, err := b.Receive()
	if err != nil || string(got) != string(meta) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	unix.Write(fds[1], []byte("hi"))
	var p [2]byte
	if n, _ := unix.Read(fd, p[:]); n != 2 {
		t.Error("not the same connection")
	}
	unix.Close(fd)
	// A receiver that does not keep up costs the sender 2 ms and nothing else.
	full, sent := false, 0
	for !full && sent < 100_000 {
		began := time.Now()
		err := a.Send(fds[0], nil)
		if errors.Is(err, ErrFull) {
			full = true
			if took := time.Since(began); took > time.Second {
				t.Errorf("Send held its caller for %s", took)
			}
		} else if err != nil {
			t.Fatal(err)
		} else {
			sent++
		}
	}
	if !full {
		t.Fatal("never full")
	}
	// After StopReceiving what is queued arrives, and new ones stay with the sender.
	b.StopReceiving()
	if err := a.Send(fds[0], nil); err == nil {
		t.Error("sent to one who receives no more")
	}
	received := 0
	for {
		fd, _, err := b.Receive()
		if err != nil {
			break
		}
		unix.Close(fd)
		received++
	}
	if received != sent {
		t.Errorf("%d of %d arrived", received, sent)
	}
	unix.Close(fds[0])
	unix.Close(fds[1])
	a.Close()
	b.Close()
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestReceiveEndsWithItsPeer(t *testing.T) {
	a, b, err := NewPassage()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ended := make(chan error)
	go func() { _, _, err := b.Receive(); ended <- err }()
	a.Close()
	if err := <-ended; err == nil {
		t.Error("a passage without sender yields connections")
	}
}

const procTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0
   2: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0
`

func TestListenerInode(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:3306": "4711", "0.0.0.0:3306": "4711", "127.0.0.2:3306": "", "192.0.2.1:80": "4712", "127.0.0.1:8080": "",
	} {
		if got := listenerInode(strings.NewReader(procTable), netip.MustParseAddrPort(addr)); got != want {
			t.Errorf("%s: inode %q, want %q", addr, got, want)
		}
	}
}

func FuzzListenerInode(f *testing.F) {
	f.Add(procTable)
	f.Add("   0: 0000000000000000FFFF00000100007F:0CEA 0:0 0A 1 2 3 4 5 6 7 8\n")
	f.Fuzz(func(t *testing.T, table string) {
		inode := listenerInode(bufio.NewReader(strings.NewReader(table)), netip.MustParseAddrPort("127.0.0.1:3306"))
		if strings.ContainsAny(inode, " \n") {
			t.Fatalf("inode %q", inode)
		}
	})
}
