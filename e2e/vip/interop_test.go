package vip

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stack/e2e/lan"
)

var rewrite = flag.Bool("rewrite", false, "write the transcripts of what went over the wire")

// dialect is one way in which both sides can speak VRRP.
type dialect struct {
	name            string
	version         int
	ipv6, multicast bool
}

var dialects = []dialect{
	{"v2-ipv4-unicast", 2, false, false},
	{"v2-ipv4-multicast", 2, false, true},
	{"v3-ipv4-unicast", 3, false, false},
	{"v3-ipv4-multicast", 3, false, true},
	{"v3-ipv6-unicast", 3, true, false},
	{"v3-ipv6-multicast", 3, true, true},
}

// TestKeepalived has stack and keepalived take over from each other in every dialect, with
// and without preempt. What they say on the way is compared with testdata; -rewrite
// accepts it.
func TestKeepalived(t *testing.T) {
	if _, err := exec.LookPath("keepalived"); err != nil {
		t.Skip("needs keepalived: make tools")
	}
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel() // they wait more than they work
			s := newStory(t, d)
			s.stackIsPreferred()
			if d.version == 3 || !testing.Short() { // version 2 counts in seconds
				s.keepalivedIsPreferred()
			}
			s.compare()
		})
	}
}

// story is stack on one host, keepalived on another, and what each step makes them say.
type story struct {
	*cluster
	dialect
	address netip.Addr
	before  string // the last line of the step before
	text    strings.Builder
}

func newStory(t *testing.T, d dialect) *story {
	s := &story{dialect: d, address: vip}
	interval := slow
	if d.version == 2 {
		interval = time.Second
	}
	if d.ipv6 {
		s.address = vip6
	}
	s.cluster = newSegment(t, 2, interval, d.ipv6, "")
	return s
}

// write configures stack on both hosts; it runs on one of them.
func (s *story) write(preempt bool) {
	s.t.Helper()
	transport := "unicast"
	if s.multicast {
		transport = "multicast"
	}
	s.site.VIP = fmt.Sprintf(`  - {name: www, addresses: ["%s"], vrid: %d, interface: eth0, version: %d, advert: %v, transport: %s, preempt: %v, auth: none}`,
		s.address, vrid, s.version, s.interval, transport, preempt)
	for _, name := range s.names {
		s.must(s.site.Write(name))
	}
}

// keepalived configures it on a host. It does not run yet.
func (s *story) keepalived(host, priority string) *lan.Keepalived {
	s.t.Helper()
	k := &lan.Keepalived{LAN: s.lan, Host: host, Dir: s.t.TempDir(), Addresses: []netip.Addr{s.address}}
	own := map[string]int{"lb1": 11, "lb2": 12}
	address := lan.Address
	if s.ipv6 {
		address = lan.Address6
	}
	peers := ""
	if !s.multicast {
		// Without unicast_ttl it sends over IPv6 with the host's hop limit, which section
		// 7.1 of RFC 9568 has us drop.
		peers = fmt.Sprintf("unicast_src_ip %s\n unicast_ttl 255\n unicast_peer {\n %s\n }", address(own[host]), address(own[s.other(host)]))
	}
	text := fmt.Sprintf("global_defs {\n vrrp_version %d\n}\nvrrp_instance www {\n state BACKUP\n interface eth0\n virtual_router_id %d\n advert_int %v\n priority %s\n %s\n virtual_ipaddress {\n %s/%d\n }\n}\n",
		s.version, vrid, s.interval.Seconds(), priority, peers, s.address, s.address.BitLen())
	s.must(os.WriteFile(filepath.Join(k.Dir, "keepalived.conf"), []byte(text), 0o600))
	s.t.Cleanup(func() {
		k.Kill()
		if s.t.Failed() {
			s.t.Logf("keepalived on %s:\n%s", host, k.Output())
		}
	})
	return k
}

// step does something and awaits who holds the address then, alone, and what the other
// thinks of itself, nil for a host without programs. What is said meanwhile goes into the
// transcript.
func (s *story) step(what string, do func() error, holder string, settled func() bool) {
	s.t.Helper()
	after := s.interval * 3 / 2
	if settled == nil {
		settled = func() bool { return true }
	} else {
		after = s.interval * 9 / 2
	}
	start := time.Now()
	s.must(do())
	s.await(what+": "+holder+" holds the address", 15*time.Second, func() bool { return s.one(s.address) == holder && settled() })
	s.t.Logf("%s: %v", what, time.Since(start).Round(time.Millisecond))
	// What comes after it: an advert of the holder, and where another heeds it, that it
	// does so for longer than its master-down interval.
	time.Sleep(after)
	if s.one(s.address) != holder || !settled() {
		s.t.Errorf("%s: %v later the address is on %v", what, after, s.holders(s.address))
	}
	fmt.Fprintf(&s.text, "# %s\n", what)
	seen := map[string]bool{s.before: true} // who was master before may have said so once more
	for _, a := range s.recorder.Since(start, vrid) {
		line := describe(a)
		if s.before = line; !seen[line] {
			seen[line] = true
			fmt.Fprintln(&s.text, line)
		}
	}
}

// stackIsPreferred has stack on lb1 (254) and keepalived on lb2 (100).
func (s *story) stackIsPreferred() {
	s.t.Helper()
	s.write(true)
	ours, theirs := s.nodes["lb1"], s.keepalived("lb2", "100")
	backup := func() bool { return theirs.State() == "backup" }
	s.step("stack (254) starts alone", ours.Start, "lb1", nil)
	s.step("keepalived (100) starts", theirs.Start, "lb1", backup)
	s.step("stack is killed", func() error { ours.Kill(); return nil }, "lb2", nil)
	s.step("stack starts and preempts", ours.Start, "lb1", backup)
	s.step("stack stops", ours.Stop, "lb2", nil)
	s.write(false)
	s.step("stack starts without preempt", ours.Start, "lb2", func() bool { return ours.State() == "backup" })
	s.step("keepalived stops", theirs.Stop, "lb1", nil)
	s.must(ours.Stop())
}

// keepalivedIsPreferred has keepalived on lb1 (254) and stack on lb2 (253).
func (s *story) keepalivedIsPreferred() {
	s.t.Helper()
	s.write(true)
	ours, theirs := s.nodes["lb2"], s.keepalived("lb1", "254")
	backup := func() bool { return ours.State() == "backup" }
	s.step("stack (253) starts alone", ours.Start, "lb2", nil)
	s.step("keepalived (254) starts and preempts", theirs.Start, "lb1", backup)
	// keepalived that is killed keeps its address for good: an operator removes it.
	s.step("keepalived is killed", func() error { theirs.Kill(); return s.lan.Remove("lb1", s.address) }, "lb2", nil)
	quiet := s.keepalived("lb1", "254\n nopreempt")
	s.step("keepalived starts without preempt", quiet.Start, "lb2", func() bool { return quiet.State() == "backup" })
	s.step("stack stops", ours.Stop, "lb1", nil)
	s.step("stack (253) starts", ours.Start, "lb1", backup)
	s.step("keepalived stops", quiet.Stop, "lb2", nil)
	s.must(ours.Stop())
}

// describe is an advert with all of its bytes that do not differ between runs.
func describe(a lan.Advert) string {
	packet := a.Frame[14:]
	class, hops, payload := packet[1], packet[8], packet[20:]
	if a.From.Is6() {
		class, hops, payload = packet[0]<<4|packet[1]>>4, packet[7], packet[40:]
	}
	return fmt.Sprintf("%s %v > %v class %#x hops %d v%d vrid %d priority %d interval %v: %x", a.Host, a.From, a.To, class, hops, a.Version, a.VRID, a.Priority, a.Interval, payload)
}

func (s *story) compare() {
	s.t.Helper()
	file := filepath.Join("testdata", s.name+".txt")
	got := []byte(s.text.String())
	if *rewrite {
		s.must(os.MkdirAll("testdata", 0o755))
		s.must(os.WriteFile(file, got, 0o644))
		return
	}
	want, err := os.ReadFile(file)
	s.must(err)
	if testing.Short() {
		want = want[:min(len(want), len(got))] // the short run of version 2 ends before
	}
	if !bytes.Equal(got, want) {
		s.t.Errorf("the wire differs from %s:\n%s\nwant\n%s", file, got, want)
	}
}
