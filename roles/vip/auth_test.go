package vip

import (
	"bytes"
	"errors"
	"net/netip"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var testKey = bytes.Repeat([]byte{7}, 32)

func signer(vrid uint8, key []byte, start uint64) *authenticator {
	return newAuthenticator(key, vrid, &sequence{start}, map[netip.Addr]uint64{})
}

// signed is an authenticated advert as it travels.
func signed(t *testing.T, auth *authenticator, from, to netip.Addr) []byte {
	t.Helper()
	a := &Advert{Version: 3, VRID: 51, Priority: 254, Interval: interval, Addresses: []netip.Addr{addr("10.0.0.10")}}
	payload, err := a.encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	auth.next()
	payload = auth.seal(payload, from, to)
	a.finish(payload, from, to)
	return payload
}

func verify(auth *authenticator, payload []byte, from, to netip.Addr) error {
	var a Advert
	trailer, err := a.Parse(payload, from, to)
	if err != nil {
		return err
	}
	return auth.check(payload, trailer, from, to)
}

func TestAuthentication(t *testing.T) {
	from, to := addr("10.0.0.11"), addr("10.0.0.12")
	sender, receiver := signer(51, testKey, 100), signer(51, testKey, 1)
	first, second := signed(t, sender, from, to), signed(t, sender, from, to)
	for _, c := range []struct {
		name    string
		payload []byte
		auth    *authenticator
		want    error
	}{
		{"the second", second, receiver, nil},
		{"the second again", second, receiver, errReplay},
		{"the first after the second", first, receiver, errReplay},
		{"a restart of the sender", signed(t, signer(51, testKey, 1000), from, to), receiver, nil},
		{"a receiver without key", second, nil, errSigned},
		{"another key", signed(t, signer(51, bytes.Repeat([]byte{8}, 32), 2000), from, to), receiver, errOtherKey},
		{"the key of another VRID", signed(t, signer(52, testKey, 2000), from, to), receiver, errOtherKey},
		{"no trailer", signed(t, sender, from, to)[:12], nil, errChecksum},
	} {
		if err := verify(c.auth, c.payload, from, to); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	plain, _ := (&Advert{Version: 3, VRID: 51, Priority: 254, Interval: interval, Addresses: []netip.Addr{addr("10.0.0.10")}}).Append(nil, from, to)
	if err := verify(receiver, plain, from, to); !errors.Is(err, errUnsigned) {
		t.Errorf("without trailer: %v", err)
	}
	// The sender of another address, with the checksum made to fit.
	other := addr("10.0.0.13")
	moved := signed(t, sender, from, to)
	(&Advert{Version: 3}).refinish(moved, other, to)
	if err := verify(receiver, moved, other, to); !errors.Is(err, errForged) {
		t.Errorf("another sender's: %v", err)
	}
}

// refinish makes the checksum of a changed packet right.
func (a *Advert) refinish(payload []byte, from, to netip.Addr) {
	payload[6], payload[7] = 0, 0
	a.finish(payload, from, to)
}

// Every bit counts: no change of one passes.
func TestEveryBitIsAuthenticated(t *testing.T) {
	from, to := addr("10.0.0.11"), addr("10.0.0.12")
	good := signed(t, signer(51, testKey, 100), from, to)
	for bit := range len(good) * 8 {
		if bit/8 == 6 || bit/8 == 7 {
			continue // the checksum, which is made to fit
		}
		changed := bytes.Clone(good)
		changed[bit/8] ^= 1 << (bit % 8)
		(&Advert{Version: 3}).refinish(changed, from, to)
		if err := verify(signer(51, testKey, 1), changed, from, to); err == nil {
			t.Fatalf("bit %d of byte %d can be changed", bit%8, bit/8)
		}
	}
}

func TestSequenceGrowsOverRestartsAndClockSteps(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "vrrp.json")
	now := time.Unix(1_800_000_000, 0)
	var last uint64
	for _, step := range []time.Duration{0, time.Second, -time.Hour, time.Hour, -24 * time.Hour} {
		now = now.Add(step)
		m, err := recall(file)
		if err != nil {
			t.Fatal(err)
		}
		s := m.start(now)
		if err := m.store(file); err != nil {
			t.Fatal(err)
		}
		if n := s.next(); n <= last {
			t.Fatalf("after a step of %v: %d after %d", step, n, last)
		} else {
			last = n + 1000
		}
	}
	// What a process that is replaced writes late lowers nothing.
	old := memory{Reserved: 5, Heard: map[string]uint64{}}
	if err := old.store(file); err != nil {
		t.Fatal(err)
	}
	if m, err := recall(file); err != nil || m.Reserved <= last {
		t.Fatalf("reserved %d after %d: %v", m.Reserved, last, err)
	}
}

// A restarted receiver knows what it has heard.
func TestReplayAfterRestart(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	from, to := addr("10.0.0.11"), addr("10.0.0.12")
	p := plan{key: testKey, router: routerConfig{vrid: 51}}
	before := newTrust(quiet(), "b")
	receiver := before.authenticator(p)
	payload := signed(t, signer(51, testKey, 100), from, to)
	if err := verify(receiver, payload, from, to); err != nil {
		t.Fatal(err)
	}
	heard := map[string]uint64{}
	receiver.remember(51, heard)
	before.keep(heard, receiver.sequence.last)
	if err := verify(newTrust(quiet(), "b").authenticator(p), payload, from, to); !errors.Is(err, errReplay) {
		t.Fatalf("a replay after the restart: %v", err)
	}
}

// Nothing that an advert costs is left to the garbage collector.
func TestAdvertsDoNotAllocate(t *testing.T) {
	inNamespace(t, func() {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		device, err := interfaceNamed("test", "lo")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ own, peer, vip string }{{"127.0.0.1", "127.0.0.1", "127.0.0.10"}, {"::1", "::1", "fd00::10"}} {
			sender, err := openTransport(device, addr(c.own), []netip.Addr{addr(c.peer)})
			if err != nil {
				t.Fatal(err)
			}
			p := plan{name: "test", device: device, own: addr("192.0.2.1"), router: routerConfig{version: 3, vrid: 51, priority: 100, interval: interval, preempt: true},
				sorted: []netip.Addr{addr(c.vip)}}
			if addr(c.own).Is6() {
				p.own = addr("2001:db8::1")
			}
			g := newTestGroup(p)
			g.transport = sender
			g.auth = signer(51, testKey, 1)
			g.machine.Ready(time.Now(), true, "test")
			auth := signer(51, testKey, 100)
			a := &Advert{Version: 3, VRID: 51, Priority: 200, Interval: interval, Addresses: []netip.Addr{addr(c.vip)}}
			now := time.Now()
			once := func() {
				if _, err := sender.send(a, auth); err != nil {
					t.Fatal(err)
				}
				g.read(now)
			}
			once()
			heard := len(g.auth.heard)
			if n := testing.AllocsPerRun(200, once); n != 0 || heard != 1 {
				t.Errorf("%s: %v allocations for an advert sent and received; senders heard: %d", c.own, n, heard)
			}
			sender.close()
		}
	})
}

func FuzzAuthenticated(f *testing.F) {
	from, to := addr("10.0.0.11"), addr("10.0.0.12")
	a := &Advert{Version: 3, VRID: 51, Priority: 254, Interval: interval, Addresses: []netip.Addr{addr("10.0.0.10")}}
	good, _ := a.encode(nil)
	sender := signer(51, testKey, 100)
	sender.next()
	good = sender.seal(good, from, to)
	f.Add(good)
	f.Add(good[:12])
	f.Fuzz(func(t *testing.T, payload []byte) {
		if bytes.Equal(payload, good) || len(payload) < headLength {
			return
		}
		changed := bytes.Clone(payload)
		changed[0] = 3<<4 | typeAdvertisement
		(&Advert{Version: 3}).refinish(changed, from, to)
		whole := bytes.Clone(good)
		(&Advert{Version: 3}).refinish(whole, from, to)
		if err := verify(signer(51, testKey, 1), changed, from, to); err == nil && !bytes.Equal(changed, whole) {
			t.Fatalf("accepted %x", changed)
		}
	})
}

func FuzzParseIPv4(f *testing.F) {
	f.Add([]byte{0x45, 0xc0, 0, 32, 0, 0, 0, 0, 255, 112, 0, 0, 10, 0, 0, 11, 10, 0, 0, 12, 0x31, 51})
	f.Add([]byte{0x4f})
	f.Fuzz(func(t *testing.T, packet []byte) {
		p := parseIPv4(packet)
		if len(p.payload) > max(0, len(packet)-20) {
			t.Fatalf("%d bytes of %d are payload", len(p.payload), len(packet))
		}
	})
}
