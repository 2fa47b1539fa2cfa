package vip

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"stack/appliance/config"
	"stack/appliance/sockets"
	"stack/appliance/supervise"
)

// succeedInProcess does to a role what the supervisor does at an upgrade.
func succeedInProcess(old supervise.Role, node *config.Node) (supervise.Role, error) {
	next, err := New(supervise.Env{Node: node.Name, Role: "net", Succeeds: true, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Metrics: prometheus.NewRegistry()})
	if err != nil {
		return nil, err
	}
	change, err := next.Prepare(context.Background(), node, nil)
	if err != nil {
		return nil, err
	}
	change.Commit()
	to, from, err := sockets.NewPassage()
	if err != nil {
		return nil, err
	}
	defer to.Close()
	received := make(chan error, 1)
	go func() {
		defer from.Close()
		fd, meta, err := from.Receive()
		if err == nil {
			next.Adopt(fd, meta)
		}
		received <- err
	}()
	if err := old.Drain(context.Background(), to); err != nil {
		return nil, err
	}
	if err := old.Close(); err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "upgraded")
	return next, <-received
}

// An upgrade of the holder, and of the other, moves nothing and removes nothing.
func TestUpgradeKeepsTheMastership(t *testing.T) {
	n := newNetwork(t)
	const vip = "10.9.0.10"
	told := filepath.Join(t.TempDir(), "told")
	tell := func(v *config.VIP) {
		v.Notify = []config.VIPNotify{{Command: []string{script(t, "echo $VIP_NODE $VIP_STATE >>"+told)}, Timeout: 10 * time.Second}}
	}
	a := n.stackNode("a", tell, withKey(n, "a", "5a"))
	n.await(vip, "a", 20*time.Second)
	b := n.stackNode("b", tell, withKey(n, "b", "5a"))
	waitOutput(t, b, "virtual address backup")
	monitor := n.start("a", nil, "ip", "monitor", "address")
	for i := 0; !strings.Contains(monitor.out.String(), "10.9.1."); i++ { // until it watches
		n.in("a", "ip", "addr", "add", fmt.Sprintf("10.9.1.%d/32", i), "dev", "lo")
	}
	for range 3 {
		for _, p := range []*process{a, b} {
			before := strings.Count(p.out.String(), "upgraded")
			fmt.Fprintln(p.stdin, "upgrade")
			for end := time.Now().Add(5 * time.Second); strings.Count(p.out.String(), "upgraded") == before; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("not upgraded")
				}
			}
		}
	}
	time.Sleep(4 * interval) // whoever missed the adverts would have taken over by now
	if strings.Contains(b.out.String(), "virtual address master") {
		t.Error("the address moved to b")
	}
	if text := monitor.out.String(); strings.Contains(text, "Deleted") {
		t.Errorf("an address was removed: %s", text)
	}
	if !n.holds("a", vip) {
		t.Error("a lost the address")
	}
	// Drain has waited for the hooks of the old ones; the new ones had nothing to tell.
	if text, err := os.ReadFile(told); err != nil || strings.Count(string(text), "a master") != 1 || strings.Count(string(text), "b backup") != 1 {
		t.Errorf("told %q, %v", text, err)
	}
	// The last one is as good as the first.
	a.stop(syscall.SIGTERM)
	n.await(vip, "b", time.Second)
}

// One whose predecessor has died begins at once, and by itself where it says nothing.
func TestSucceedsNobody(t *testing.T) {
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprint("passage open: ", open), func(t *testing.T) { testSucceedsNobody(t, open) })
	}
}

func testSucceedsNobody(t *testing.T, open bool) {
	inNamespace(t, func() {
		role, err := New(supervise.Env{Node: "a", Role: "net", Succeeds: true, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		change, err := role.Prepare(context.Background(), &config.Node{Name: "a"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		change.Commit()
		if st := role.Status(); !st.Ready || role.Alive() != nil {
			t.Errorf("while it waits: %+v, %v", st, role.Alive())
		}
		began := time.Now()
		role.(*Role).PassageChanged(open)
		if e := role.(*Role).running(); (e == nil) != open {
			t.Errorf("with an open passage %v it runs %v", open, e)
		}
		for end := began.Add(2 * awaitOld); role.(*Role).running() == nil; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("it still waits")
			}
		}
		role.Adopt(-1, []byte("{}")) // too late
		if err := role.Close(); err != nil {
			t.Error(err)
		}
	})
}

// inNamespace runs do on a thread in a network namespace of its own, which ends with it.
func inNamespace(t *testing.T, do func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	done := make(chan error)
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		do()
	}()
	if err := <-done; err != nil {
		t.Fatalf("network namespace: %v", err)
	}
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v: %s", name, args, err, out)
	}
}

func TestClean(t *testing.T) {
	inNamespace(t, func() {
		ip := func(args string) { command(t, "ip", strings.Fields(args)...) }
		ip("link add eth0 type veth peer name eth1")
		ip("link set eth0 up")
		ip("addr add 10.9.0.10/32 dev eth0 valid_lft 2 preferred_lft 2")
		ip("addr add fd09::10/128 dev eth0 valid_lft 2 preferred_lft 2 nodad")
		ip("addr add 10.9.0.11/32 dev eth0")                             // kept: for ever
		ip("addr add 10.9.0.12/24 dev eth0 valid_lft 2 preferred_lft 2") // kept: with its network
		ip("addr add 10.9.0.13/32 dev eth0 valid_lft 2 preferred_lft 2") // kept: not in the config
		node := &config.Node{VIP: []config.VIP{{Addresses: []netip.Addr{addr("10.9.0.10"), addr("fd09::10"), addr("10.9.0.11"), addr("10.9.0.12")}}}}
		removed, err := Clean(node)
		if got := strings.Join(removed, " "); err != nil || got != "10.9.0.10 fd09::10" {
			t.Errorf("removed %q, %v", got, err)
		}
		left, err := netlink.AddrList(nil, netlink.FAMILY_V4)
		if err != nil || len(left) != 3 {
			t.Errorf("left %v, %v", left, err)
		}
		if removed, err = Clean(node); err != nil || len(removed) != 0 {
			t.Errorf("a second time removed %v, %v", removed, err)
		}
	})
}

// An IPv6 address of a network is not made a virtual one, which would be lost with it.
func TestNetworkAddressIsKept(t *testing.T) {
	inNamespace(t, func() {
		ip := func(args string) { command(t, "ip", strings.Fields(args)...) }
		ip("link add eth0 type veth peer name eth1")
		ip("link set eth0 up")
		ip("addr add fd09::10/64 dev eth0 nodad")
		device, err := interfaceNamed("www", "eth0")
		if err != nil {
			t.Error(err)
			return
		}
		a := addresses{device, []netip.Addr{addr("fd09::10"), addr("fd09::11")}}
		set, err := a.hold()
		if err == nil || len(set) != 1 || set[0] != addr("fd09::11") {
			t.Errorf("set %v, %v", set, err)
		}
		out, err := exec.Command("ip", "-6", "-o", "addr", "show", "dev", "eth0", "permanent").Output()
		if err != nil || !strings.Contains(string(out), "fd09::10/64") || !strings.Contains(string(out), "valid_lft forever") {
			t.Errorf("left %s, %v", out, err)
		}
	})
}

func TestTrackLinks(t *testing.T) {
	inNamespace(t, func() {
		ip := func(args string) { command(t, "ip", strings.Fields(args)...) }
		tr, v := testTracker()
		tr.unwatch = func() {} // the watch would run in another thread's namespace
		look := func(want string) {
			t.Helper()
			// The kernel takes up to a second to tell that a link is there or gone.
			for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
				if tr.lookAtLinks(); v.String() == want {
					return
				}
			}
			if v.String() != want {
				t.Errorf("reported %s, not %s", v, want)
			}
		}
		tr.set([]config.VIP{{Name: "www", Track: config.VIPTrack{Interfaces: []config.VIPTrackInterface{{Name: "eth0"}, {Name: "eth1", Weight: 30}}}}}, holdsNothing)
		look("[www/interface eth0: interface eth0 is gone www/interface eth1: -30]")
		ip("link add eth0 type veth peer name eth1")
		ip("link set eth0 up")
		look("[www/interface eth0: interface eth0 is gone www/interface eth1: -30]") // the reason as it was; still no link
		ip("link set eth1 up")
		look("[]")
		ip("link set eth1 down")
		look("[www/interface eth0: interface eth0 has no link www/interface eth1: -30]")
		tr.close()
		look("[]")
	})
}

// The kernel's word makes the tracker look at once.
func TestTrackLinksIsToldByTheKernel(t *testing.T) {
	inNamespace(t, func() {
		updates, end := subscribeLinks()
		if updates == nil {
			t.Error("no subscription")
			return
		}
		command(t, "ip", "link", "set", "lo", "up")
		select {
		case <-updates:
		case <-time.After(5 * time.Second):
			t.Error("the kernel did not tell")
		}
		end()
	})
}
