package lan

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Helper()
	os.Exit(m.Run())
}

func newLAN(t *testing.T) *LAN {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	l, err := New(fmt.Sprintf("lan%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	for i, name := range []string{"client", "web"} {
		if err := l.Join(name, 20+i); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// What the probe calls a gap is a cut that was made; a cut in one direction is enough,
// and others are not touched.
func TestProbeSeesACut(t *testing.T) {
	l := newLAN(t)
	at := netip.AddrPortFrom(Address(21), 8080)
	server, err := l.Serve("web", at)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	control, err := StartControl(time.Millisecond, false)
	if err != nil {
		t.Fatal(err)
	}
	defer control.Stop()
	p, err := l.StartProbe("client", at, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 10; _, n = p.Counts() {
		time.Sleep(time.Millisecond) // until its process runs; the test's time-out bounds it
	}
	start := time.Now()
	time.Sleep(300 * time.Millisecond) // a measurement takes its time
	if gap, worst := p.Gap(start), control.Worst(start); gap > 100*time.Millisecond+worst {
		t.Errorf("a gap of %v without a cut; the control saw %v", gap, worst)
	}
	sent, answered := p.Counts()
	if sent < 100 || answered < sent*8/10 {
		t.Errorf("%d of %d answered", answered, sent)
	}
	cut := time.Now()
	if err := l.Cut("web", "client"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	time.Sleep(200 * time.Millisecond) // the length of the cut
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	for p.Answered().Before(begun.Add(210 * time.Millisecond)) {
		if time.Since(begun) > 5*time.Second {
			t.Fatal("no answer after the cut")
		}
		time.Sleep(time.Millisecond) // a poll, bounded
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if gap := p.Gap(cut); gap < 190*time.Millisecond || gap > time.Since(cut) {
		t.Errorf("a cut of 200 ms is a gap of %v", gap)
	}
}

// An advert of RFC 9568 section 5.1 in an IPv4 and an IPv6 frame.
func TestParse(t *testing.T) {
	advert := []byte{0x31, 51, 254, 1, 0, 10, 0, 0, 10, 86, 0, 10}
	four := append(make([]byte, 12), 0x08, 0)
	four = append(four, 0x45, 0xc0, 0, 32, 0, 0, 0, 0, 255, 112, 0, 0, 10, 86, 0, 11, 224, 0, 0, 18)
	six := append(make([]byte, 12), 0x86, 0xdd)
	six = append(six, 0x6c, 0, 0, 0, 0, 12, 112, 255)
	six = append(six, Address6(11).AsSlice()...)
	six = append(six, netip.MustParseAddr("ff02::12").AsSlice()...)
	for _, frame := range [][]byte{append(four, advert...), append(six, advert...)} {
		a, ok := parse(frame)
		if !ok || a.Version != 3 || a.VRID != 51 || a.Priority != 254 || a.Interval != 100*time.Millisecond || !a.To.IsMulticast() || !bytes.Equal(a.Frame, frame) {
			t.Errorf("%v %+v", ok, a)
		}
		for n := range len(frame) - len(advert) + 8 {
			if _, ok := parse(frame[:n]); ok {
				t.Errorf("a frame cut to %d bytes is an advert", n)
			}
		}
	}
}

func TestAnnounced(t *testing.T) {
	arp := append(make([]byte, 12), 0x08, 0x06)
	arp = append(arp, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 86, 0, 10, 0, 0, 0, 0, 0, 0, 10, 86, 0, 10)
	if got := announced(arp); got != Address(10) {
		t.Errorf("a gratuitous ARP announces %v", got)
	}
	arp[len(arp)-1] = 11
	if got := announced(arp); got.IsValid() {
		t.Errorf("a question announces %v", got)
	}
	na := append(make([]byte, 12), 0x86, 0xdd)
	na = append(na, 0x60, 0, 0, 0, 0, 32, 58, 255)
	na = append(na, make([]byte, 32)...)
	na = append(na, 136, 0, 0, 0, 0x20, 0, 0, 0)
	na = append(na, Address6(10).AsSlice()...)
	if got := announced(na); got != Address6(10) {
		t.Errorf("a neighbour advertisement announces %v", got)
	}
	na[14+40+4] |= 0x40
	if got := announced(na); got.IsValid() {
		t.Errorf("an answer announces %v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0x45}, 60))
	f.Add(bytes.Repeat([]byte{0x60}, 80))
	f.Fuzz(func(t *testing.T, frame []byte) {
		announced(frame)
		if a, ok := parse(frame); ok && (!a.From.IsValid() || a.Interval < 0) {
			t.Errorf("%+v", a)
		}
	})
}
